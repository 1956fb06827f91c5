/* engine/progress.h: how far a command is, on standard error: a bar on a terminal, a
 * plain line every few seconds elsewhere. One thread. */
#ifndef HOLDFAST_ENGINE_PROGRESS_H
#define HOLDFAST_ENGINE_PROGRESS_H

#include "base/clock.h"
#include "base/slice.h"

#include <stdbool.h>

struct progress {
    const char *label;
    uint64_t total; /* in the unit of `done`; 0: not known */
    bool quiet;
    bool terminal;
    const struct clock *clock;
    int64_t started_us;
    int64_t shown_us;
};

void progress_begin(struct progress *progress, const char *label, uint64_t total,
                    const struct clock *clock);

/* `done` out of total; `items` of `item` are counted for the rate. */
void progress_show(struct progress *progress, uint64_t done, uint64_t items,
                   const char *item);

/* Ends the line, so that what follows begins on its own. */
void progress_end(struct progress *progress);

/* What one line says; pure. */
struct progress_state {
    const char *label;
    uint64_t total;
    uint64_t done;
    uint64_t items;
    const char *item;
    int64_t elapsed_us;
};
void progress_render(struct buf *out, const struct progress_state *state, bool bar);

#endif
