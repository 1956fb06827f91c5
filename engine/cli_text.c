#include "engine/cli_text.h"
#include "engine/cli.h"

enum { DEPTH_MAX = 32 };

struct renderer {
    struct slice in;
    struct buf *out;
    char open[DEPTH_MAX]; /* '{' or '[' of each level */
    size_t depth;
    bool after_key;  /* a value here stands on its key's line */
    bool line_begun; /* "- " is written, and what follows goes on in its line */
};

static void new_line(struct renderer *renderer)
{
    if (renderer->line_begun) {
        renderer->line_begun = false;
        return;
    }
    if (renderer->out->len) {
        buf_append_char(renderer->out, '\n');
    }
    for (size_t i = 1; i < renderer->depth; i++) {
        buf_append_text(renderer->out, "  ");
    }
}

static bool in_array(const struct renderer *renderer)
{
    return renderer->depth && renderer->open[renderer->depth - 1] == '[';
}

/* Before a value: the rest of its key's line, or an item of its own. */
static void begin_value(struct renderer *renderer)
{
    if (in_array(renderer)) {
        new_line(renderer);
        buf_append_text(renderer->out, "- ");
    } else if (renderer->after_key) {
        buf_append_char(renderer->out, ' ');
    }
    renderer->after_key = false;
}

/* Length of the string with its quotes, at the start of `in`. */
static size_t string_len(struct slice in)
{
    size_t at = 1;
    while (at < in.len && in.data[at] != '"') {
        at += in.data[at] == '\\' ? 2 : 1;
    }
    return at + 1 < in.len ? at + 1 : in.len;
}

static void take(struct renderer *renderer, size_t len)
{
    renderer->in = slice_of(renderer->in.data + len, renderer->in.len - len);
}

/* Without quotes where nothing in it is escaped. */
static void append_string(struct renderer *renderer, struct slice text)
{
    bool plain = text.len > 2 && !memchr(text.data, '\\', text.len);
    buf_append_slice(renderer->out, plain ? slice_of(text.data + 1, text.len - 2) : text);
}

static void take_string(struct renderer *renderer)
{
    struct slice text = slice_of(renderer->in.data, string_len(renderer->in));
    take(renderer, text.len);
    renderer->in = slice_trim(renderer->in);
    if (renderer->in.len && renderer->in.data[0] == ':') {
        take(renderer, 1);
        new_line(renderer);
        append_string(renderer, text);
        buf_append_char(renderer->out, ':');
        renderer->after_key = true;
        return;
    }
    begin_value(renderer);
    append_string(renderer, text);
}

static void open_level(struct renderer *renderer, char bracket)
{
    bool item = in_array(renderer);
    if (item) {
        begin_value(renderer);
        renderer->line_begun = true;
    }
    renderer->after_key = false;
    if (renderer->depth < DEPTH_MAX) {
        renderer->open[renderer->depth++] = bracket;
    }
    take(renderer, 1);
    renderer->in = slice_trim(renderer->in);
    if (renderer->in.len &&
        (renderer->in.data[0] == '}' || renderer->in.data[0] == ']')) {
        buf_append_text(renderer->out, item ? "none" : " none");
        renderer->line_begun = false;
    }
}

static void take_token(struct renderer *renderer)
{
    char c = renderer->in.data[0];
    size_t len = 1;
    switch (c) {
    case '{':
    case '[':
        open_level(renderer, c);
        return;
    case '}':
    case ']':
        renderer->depth -= renderer->depth > 0;
        take(renderer, 1);
        return;
    case '"':
        take_string(renderer);
        return;
    case ',':
    case ':':
        take(renderer, 1);
        return;
    default:
        while (len < renderer->in.len && !strchr(",]} \n", renderer->in.data[len])) {
            len++;
        }
        begin_value(renderer);
        buf_append(renderer->out, renderer->in.data, len);
        take(renderer, len);
    }
}

void cli_text_render(struct slice json, struct buf *out)
{
    struct renderer renderer = {.in = slice_trim(json), .out = out};
    while (renderer.in.len) {
        take_token(&renderer);
        renderer.in = slice_trim(renderer.in);
    }
    buf_append_char(out, '\n');
}

int cli_show(struct slice json, bool as_json)
{
    if (as_json) {
        return cli_print(json);
    }
    struct buf text = {0};
    cli_text_render(json, &text);
    int exit_code = text.failed ? cli_fail(EXIT_AGAIN, "no memory for the answer")
                                : cli_print(buf_slice(&text));
    buf_free(&text);
    return exit_code;
}
