#include "engine/progress.h"

#include <stdio.h>
#include <unistd.h>

enum {
    BAR_WIDTH = 24,
    TERMINAL_EVERY_US = 100000,
    PLAIN_EVERY_US = 5000000,
};

void progress_begin(struct progress *progress, const char *label, uint64_t total,
                    const struct clock *clock)
{
    int64_t now_us = clock_steady_us(clock);
    *progress = (struct progress){
        .label = label,
        .total = total,
        .terminal = isatty(STDERR_FILENO) == 1,
        .clock = clock,
        .started_us = now_us,
        .shown_us = now_us,
    };
}

static void render_bar(struct buf *out, double share)
{
    int full = (int)(share * BAR_WIDTH);
    buf_append_char(out, '[');
    for (int i = 0; i < BAR_WIDTH; i++) {
        buf_append_char(out, i < full ? '#' : '.');
    }
    buf_append_text(out, "] ");
}

void progress_render(struct buf *out, const struct progress_state *state, bool bar)
{
    double seconds = (double)state->elapsed_us / 1e6;
    double rate = seconds > 0 ? (double)state->items / seconds : 0;
    buf_printf(out, "%s: ", state->label);
    if (state->total) {
        double share = (double)state->done / (double)state->total;
        share = share > 1 ? 1 : share;
        if (bar) {
            render_bar(out, share);
        }
        buf_printf(out, "%3d%%  ", (int)(share * 100));
    }
    buf_printf(out, "%llu %s, %.0f/s", (unsigned long long)state->items, state->item,
               rate);
    if (state->total > state->done && state->done && seconds > 0) {
        double left = seconds * (double)(state->total - state->done);
        buf_printf(out, ", %.0f s left", left / (double)state->done);
    }
}

void progress_show(struct progress *progress, uint64_t done, uint64_t items,
                   const char *item)
{
    int64_t now_us = clock_steady_us(progress->clock);
    int64_t every_us = progress->terminal ? TERMINAL_EVERY_US : PLAIN_EVERY_US;
    if (progress->quiet || now_us - progress->shown_us < every_us) {
        return;
    }
    progress->shown_us = now_us;
    struct progress_state state = {
        .label = progress->label,
        .total = progress->total,
        .done = done,
        .items = items,
        .item = item,
        .elapsed_us = now_us - progress->started_us,
    };
    struct buf line = {0};
    progress_render(&line, &state, progress->terminal);
    const char *text = buf_text(&line);
    if (text) {
        fprintf(stderr, progress->terminal ? "\r\033[K%s" : "%s\n", text);
    }
    buf_free(&line);
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && !progress->quiet) {
        fputs("\r\033[K", stderr);
    }
}
