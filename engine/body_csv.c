/* engine/body_csv.c: CSV bodies (RFC 4180: quotes, doubled inside; CRLF or LF). The first
 * line is a header where it names all key fields. Blank lines are passed over; a line
 * with fewer columns lacks the last ones. */
#include "engine/body_forms.h"

enum { COLUMNS_MAX = 128 };

struct csv_cell {
    struct slice text; /* without its quotes */
    bool quoted;       /* doubled quotes are still in it */
};

struct csv_line {
    struct slice bytes;
    struct csv_cell cells[COLUMNS_MAX];
    size_t count;
    const char *error; /* NULL: none */
};

struct csv_body {
    const struct body_handler *handler;
    struct slice names[COLUMNS_MAX];
    size_t name_count;
    struct buf unquoted;
    uint64_t records;
};

static bool is_quote(struct slice text, size_t at)
{
    return at < text.len && text.data[at] == '"';
}

/* The closing quote of the cell whose text begins at `at`; text.len where there is none.
 * A doubled quote is a quote within. */
static size_t find_quote(struct slice text, size_t at)
{
    while (at < text.len) {
        if (!is_quote(text, at)) {
            at++;
        } else if (is_quote(text, at + 1)) {
            at += 2;
        } else {
            return at;
        }
    }
    return text.len;
}

/* One quoted cell from `at` (its opening quote) on; returns where it ends, or text.len.
 */
static size_t read_quoted(struct slice text, size_t at, struct csv_line *line)
{
    size_t start = at + 1;
    size_t end = find_quote(text, start);
    if (end == text.len) {
        line->error = "a quote is not closed";
        return end;
    }
    line->cells[line->count++] =
        (struct csv_cell){slice_of(text.data + start, end - start), true};
    return end + 1;
}

static size_t read_bare(struct slice text, size_t at, struct csv_line *line)
{
    size_t start = at;
    while (at < text.len && text.data[at] != ',' && text.data[at] != '\n') {
        at++;
    }
    struct slice cell = slice_of(text.data + start, at - start);
    if (cell.len && cell.data[cell.len - 1] == '\r' &&
        (at == text.len || text.data[at] == '\n')) {
        cell.len--;
    }
    line->cells[line->count++] = (struct csv_cell){cell, false};
    return at;
}

static size_t skip_line(struct slice text, size_t at)
{
    const char *newline = memchr(text.data + at, '\n', text.len - at);
    return newline ? (size_t)(newline - text.data) : text.len;
}

/* After a quoted cell: the carriage return of a CRLF. */
static size_t skip_return(struct slice text, size_t at)
{
    bool ends = at < text.len && text.data[at] == '\r' &&
                (at + 1 == text.len || text.data[at + 1] == '\n');
    return ends ? at + 1 : at;
}

/* Reads the line at the beginning of *text and moves *text behind it. A line that is
 * wrong ends at its first newline, so that the lines after it are read. */
static void read_line(struct slice *text, struct csv_line *line)
{
    size_t at = 0;
    line->count = 0;
    line->error = NULL;
    for (;;) {
        if (line->count == COLUMNS_MAX) {
            line->error = "more columns than any stream has";
            break;
        }
        bool quoted = at < text->len && text->data[at] == '"';
        at = quoted ? skip_return(*text, read_quoted(*text, at, line))
                    : read_bare(*text, at, line);
        if (line->error || at >= text->len || text->data[at] == '\n') {
            break;
        }
        if (text->data[at] != ',') {
            line->error = "text after a closing quote";
            break;
        }
        at++;
    }
    if (line->error) {
        at = skip_line(*text, 0);
    }
    line->bytes = slice_of(text->data, at);
    size_t next = at < text->len ? at + 1 : at;
    *text = slice_of(text->data + next, text->len - next);
}

static bool names_field(const struct csv_line *line, const char *name)
{
    for (size_t i = 0; i < line->count; i++) {
        if (slice_is(slice_trim(line->cells[i].text), name)) {
            return true;
        }
    }
    return false;
}

static bool is_header(const struct csv_line *line, const struct body_rules *rules)
{
    for (size_t i = 0; i < rules->key_count; i++) {
        if (!names_field(line, rules->key_fields[i])) {
            return false;
        }
    }
    return rules->key_count > 0 && !line->error;
}

static void name_columns(struct csv_body *body, const struct csv_line *header,
                         const struct body_rules *rules)
{
    if (header) {
        for (size_t i = 0; i < header->count; i++) {
            body->names[i] = slice_trim(header->cells[i].text);
        }
        body->name_count = header->count;
        return;
    }
    for (size_t i = 0; i < rules->csv_count && i < COLUMNS_MAX; i++) {
        body->names[body->name_count++] = slice_text(rules->csv_fields[i]);
    }
}

/* The cell's text with doubled quotes made single. */
static struct slice cell_text(struct csv_body *body, const struct csv_cell *cell)
{
    if (!cell->quoted || !memchr(cell->text.data, '"', cell->text.len)) {
        return cell->text;
    }
    buf_clear(&body->unquoted);
    for (size_t i = 0; i < cell->text.len; i++) {
        buf_append_char(&body->unquoted, cell->text.data[i]);
        if (cell->text.data[i] == '"') {
            i++;
        }
    }
    return buf_slice(&body->unquoted);
}

static void tell_line(struct csv_body *body, const struct csv_line *line)
{
    const struct body_handler *handler = body->handler;
    if (line->error || line->count > body->name_count) {
        handler->broken(handler->context, line->bytes, "csv",
                        line->error ? line->error : "more columns than are named");
        return;
    }
    handler->begin(handler->context);
    for (size_t i = 0; i < line->count; i++) {
        struct raw_value value = {.type = RAW_STRING,
                                  .text = cell_text(body, &line->cells[i])};
        if (value.text.len) {
            handler->field(handler->context, body->names[i], &value);
        }
    }
    body->records++;
    handler->end(handler->context, slice_trim(line->bytes));
}

static bool is_blank(const struct csv_line *line)
{
    return slice_trim(line->bytes).len == 0;
}

uint64_t body_parse_csv(struct slice text, const struct body_rules *rules,
                        const struct body_handler *handler)
{
    struct csv_body body = {.handler = handler};
    struct csv_line line;
    struct slice rest = text;
    read_line(&rest, &line);
    bool header = is_header(&line, rules);
    name_columns(&body, header ? &line : NULL, rules);
    if (body.name_count == 0) {
        return 0; /* nobody knows what the columns are */
    }
    if (!header) {
        rest = text;
    } else if (handler->header) {
        handler->header(handler->context, slice_trim(line.bytes));
    }
    while (rest.len) {
        read_line(&rest, &line);
        if (!is_blank(&line)) {
            tell_line(&body, &line);
        }
    }
    buf_free(&body.unquoted);
    return body.records;
}
