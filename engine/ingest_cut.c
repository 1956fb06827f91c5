#include "engine/ingest_cut.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum cut_form cut_form_of(struct slice data)
{
    data = slice_trim(data);
    if (data.len == 0) {
        return CUT_BLANK;
    }
    if (data.len >= 2 && (unsigned char)data.data[0] == 0x1f &&
        (unsigned char)data.data[1] == 0x8b) {
        return CUT_GZIP;
    }
    return data.data[0] == '{' ? CUT_JSON : data.data[0] == '[' ? CUT_WHOLE : CUT_CSV;
}

/* A record's end is `boundary` bytes from the start; there were `records` up to it. */
struct scan {
    uint64_t records;
    size_t boundary;
    /* JSON */
    unsigned depth;
    bool in_string;
    bool escaped;
    bool other; /* something that is no object since the boundary */
    /* CSV */
    bool quoted;
    bool field_start;
    bool just_closed;
};

static void end_record(struct scan *scan, size_t at)
{
    scan->records++;
    scan->boundary = at;
    scan->depth = 0;
    scan->in_string = scan->escaped = scan->other = false;
}

static void scan_string(struct scan *scan, char c)
{
    if (scan->escaped) {
        scan->escaped = false;
    } else if (c == '\\') {
        scan->escaped = true;
    } else if (c == '"') {
        scan->in_string = false;
    }
}

static void scan_bracket(struct scan *scan, char c, size_t at)
{
    if (c == '{' || c == '[') {
        scan->depth++;
    } else if (scan->depth && --scan->depth == 0) {
        end_record(scan, at + 1);
    }
}

/* A record that is broken must not swallow the ones after it: no string runs over a line
 * end, and an object that begins a line begins a record. */
static void scan_json(struct scan *scan, struct slice data, size_t at)
{
    char c = data.data[at];
    bool line_start = at > 0 && data.data[at - 1] == '\n';
    if (c == '{' && line_start && (scan->depth || scan->in_string)) {
        end_record(scan, at);
    }
    if (c == '\n' && (scan->in_string || (scan->depth == 0 && scan->other))) {
        end_record(scan, at + 1);
    } else if (scan->in_string) {
        scan_string(scan, c);
    } else if (c == '"') {
        scan->in_string = scan->depth > 0;
        scan->other = scan->other || scan->depth == 0;
    } else if (c == '{' || c == '[' || c == '}' || c == ']') {
        scan_bracket(scan, c, at);
    } else {
        scan->other = scan->other || (scan->depth == 0 && !is_blank(c) && c != ',');
    }
}

static void scan_csv(struct scan *scan, struct slice data, size_t at)
{
    char c = data.data[at];
    if (c == '"' && (scan->quoted || scan->field_start || scan->just_closed)) {
        scan->just_closed = scan->quoted;
        scan->quoted = !scan->quoted;
        scan->field_start = false;
        return;
    }
    scan->just_closed = false;
    scan->field_start = !scan->quoted && (c == ',' || c == '\n');
    if (c == '\n' && !scan->quoted) {
        end_record(scan, at + 1);
    }
}

/* Nothing looks like a record's end for too long: a quote or bracket that never closes.
 * A line's end is the next best place. */
static struct cut cut_at_line(struct slice data, const struct cut_limits *limits)
{
    size_t len = data.len < limits->bytes_max ? data.len : limits->bytes_max;
    const char *end = memrchr(data.data, '\n', len);
    if (!end) {
        return (struct cut){.outcome = CUT_TOO_LARGE};
    }
    return (struct cut){CUT_PART, (size_t)(end - data.data) + 1, 1};
}

static struct cut cut_whole(struct slice data, bool at_end,
                            const struct cut_limits *limits)
{
    if (data.len > limits->bytes_max) {
        return (struct cut){.outcome = CUT_TOO_LARGE};
    }
    return at_end ? (struct cut){CUT_PART, data.len, 1}
                  : (struct cut){.outcome = CUT_MORE};
}

struct cut cut_next(enum cut_form form, struct slice data, bool at_end,
                    const struct cut_limits *limits)
{
    struct scan scan = {.field_start = true};
    if (form != CUT_JSON && form != CUT_CSV) {
        return cut_whole(data, at_end, limits);
    }
    size_t span = data.len < limits->bytes_max ? data.len : limits->bytes_max;
    size_t reached = 0;
    for (size_t at = 0; at < span; at++) {
        if (form == CUT_JSON) {
            scan_json(&scan, data, at);
        } else {
            scan_csv(&scan, data, at);
        }
        if (scan.boundary > reached &&
            (scan.boundary >= limits->bytes || scan.records >= limits->records)) {
            return (struct cut){CUT_PART, scan.boundary, scan.records};
        }
        reached = scan.boundary;
    }
    if (data.len >= limits->bytes_max && data.len > 0) {
        return scan.boundary ? (struct cut){CUT_PART, scan.boundary, scan.records}
                             : cut_at_line(data, limits);
    }
    if (!at_end) {
        return (struct cut){.outcome = CUT_MORE};
    }
    bool tail =
        slice_trim(slice_of(data.data + scan.boundary, data.len - scan.boundary)).len > 0;
    return (struct cut){CUT_PART, data.len, scan.records + tail};
}

static struct slice next_name(struct slice *line)
{
    const char *comma = memchr(line->data, ',', line->len);
    size_t len = comma ? (size_t)(comma - line->data) : line->len;
    struct slice name = slice_trim(slice_of(line->data, len));
    *line = comma ? slice_of(comma + 1, line->len - len - 1) : slice_of("", 0);
    if (name.len >= 2 && name.data[0] == '"' && name.data[name.len - 1] == '"') {
        name = slice_of(name.data + 1, name.len - 2);
    }
    return name;
}

static bool names_field(struct slice line, const char *name)
{
    while (line.len) {
        if (slice_is(next_name(&line), name)) {
            return true;
        }
    }
    return false;
}

bool cut_has_header(struct slice data, const char *const *names, size_t count,
                    size_t *out_len)
{
    const char *end = memchr(data.data, '\n', data.len);
    size_t len = end ? (size_t)(end - data.data) + 1 : data.len;
    struct slice line = slice_of(data.data, len);
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8 */
    if (len >= 3 && memcmp(line.data, mark, 3) == 0) {
        line = slice_of(line.data + 3, len - 3);
    }
    for (size_t i = 0; i < count; i++) {
        if (!names_field(line, names[i])) {
            return false;
        }
    }
    *out_len = len;
    return count > 0;
}
