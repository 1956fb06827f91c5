/* engine/body_json.c: JSON bodies, by one pass of yajl over the whole text.
 *
 * Where the parser stands is a stack of places:
 *
 *   TOP      the sequence of values of the body
 *   LIST     an array of records: at the top, or under "records" or "metrics"
 *   RECORD   an object whose members are fields
 *   WRAPPER  a top object that holds lists: its other members are passed over
 *   FLAT     an object within a record whose members are the record's fields: "fields"
 *            and "tags" of a metric, "value" of an element of "records"
 *   NESTED   anything deeper: passed over, and told as one RAW_NESTED field
 *   STRAY    an array where a record should be: one broken record
 *
 * A top object is a record until its first member turns out to be "records" or "metrics"
 * with an array. An element of "records" that has a "value" object is that object, as
 * Kafka's REST proxy has it, and its other members are not fields. After a syntax error
 * at the top, parsing goes on with the next line that begins a value; inside a list the
 * rest of the body is one broken tail.
 *
 * Depth is bounded, and with it the work: a line is parsed again at most BODY_DEPTH_MAX
 * times, since whoever begins there must still be open at its end.
 */
#include "engine/body_forms.h"
#include "engine/json_memory.h"

#include <yajl/yajl_parse.h>

enum place { TOP, LIST, RECORD, WRAPPER, FLAT, NESTED, STRAY };

/* Why the list's elements are what they are. */
enum list_kind { LIST_PLAIN, LIST_RECORDS, LIST_METRICS };

struct json_body {
    const struct body_handler *handler;
    struct slice text; /* what this parser was given */
    yajl_handle parser;
    enum place places[BODY_DEPTH_MAX + 1];
    size_t depth; /* places[depth] is where we are */
    enum list_kind list;
    size_t value_start; /* offset of the record, or the broken piece, in hand */
    size_t top_start;   /* offset of the top value in hand */
    size_t last_end;    /* of the last whole value at the top or in the list */
    bool has_fields;    /* of the record in hand */
    bool is_value;      /* the record in hand is its "value": others are no fields */
    bool is_torn;       /* it has several: none of them can be left out */
    bool finishing;     /* the text is at its end: offsets are no longer the parser's */
    bool too_deep;
    struct slice key; /* of the member in hand */
    char key_copy[BODY_FIELD_NAME_MAX];
    uint64_t records;
};

static enum place here(const struct json_body *body)
{
    return body->places[body->depth];
}

/* In a callback: where the token in hand ends. */
static size_t offset(const struct json_body *body)
{
    return body->finishing ? body->text.len : yajl_get_bytes_consumed(body->parser);
}

static bool push(struct json_body *body, enum place place)
{
    if (body->depth == BODY_DEPTH_MAX) {
        body->too_deep = true;
        return false;
    }
    body->places[++body->depth] = place;
    return true;
}

static struct slice piece(const struct json_body *body, size_t from, size_t to)
{
    return slice_of(body->text.data + from, to - from);
}

/* Without the separators before it and the blanks around it. */
static struct slice strip(struct slice text)
{
    text = slice_trim(text);
    while (text.len && text.data[0] == ',') {
        text = slice_trim(slice_of(text.data + 1, text.len - 1));
    }
    return text;
}

/* What stands between the last value and here, and is no record. */
static void tell_stray(struct json_body *body, const char *detail)
{
    size_t end = offset(body);
    body->handler->broken(body->handler->context, strip(piece(body, body->last_end, end)),
                          "json", detail);
    body->last_end = end;
}

static void tell_field(struct json_body *body, enum raw_type type, struct slice text)
{
    struct raw_value value = {.type = type, .text = text};
    body->has_fields = true;
    if (body->is_value && here(body) == RECORD) {
        return;
    }
    body->handler->field(body->handler->context, body->key, &value);
}

/* A scalar of any kind. */
static int on_scalar(struct json_body *body, enum raw_type type, struct slice text)
{
    switch (here(body)) {
    case TOP:
    case LIST:
        tell_stray(body, "a record must be an object");
        break;
    case RECORD:
    case FLAT:
        tell_field(body, type, text);
        break;
    case WRAPPER:
    case NESTED:
    case STRAY:
        break;
    }
    return 1;
}

static int on_null(void *context)
{
    return on_scalar(context, RAW_NULL, (struct slice){0});
}

static int on_boolean(void *context, int value)
{
    return on_scalar(context, value ? RAW_TRUE : RAW_FALSE, (struct slice){0});
}

static int on_number(void *context, const char *text, size_t len)
{
    return on_scalar(context, RAW_NUMBER, slice_of(text, len));
}

/* True where the text is the body's own: it had no escapes. */
static bool is_within(const struct json_body *body, struct slice text)
{
    return text.data >= body->text.data &&
           text.data + text.len <= body->text.data + body->text.len;
}

/* Is the quote at `at` escaped? An odd number of backslashes says so. */
static bool is_escaped(const char *text, size_t at)
{
    size_t start = at;
    while (start > 0 && text[start - 1] == '\\') {
        start--;
    }
    return (at - start) % 2 == 1;
}

/* The string that ends at `end`, behind its closing quote, as it was written. */
static struct slice written_string(const struct json_body *body, size_t end)
{
    const char *text = body->text.data;
    size_t start = end - 2; /* before the closing quote */
    while (start > 0 && (text[start] != '"' || is_escaped(text, start))) {
        start--;
    }
    return slice_of(text + start, end - start);
}

enum escape { ESCAPE_OTHER, ESCAPE_CHARACTER, ESCAPE_HIGH, ESCAPE_LOW };

/* The kind of \uXXXX at `at`, if it is one. */
static enum escape escape_at(struct slice text, size_t at)
{
    if (at + 6 > text.len || text.data[at] != '\\' || text.data[at + 1] != 'u') {
        return ESCAPE_OTHER;
    }
    char first = (char)(text.data[at + 2] | 0x20);
    char second = (char)(text.data[at + 3] | 0x20);
    if (first != 'd' || !strchr("89abcdef", second)) {
        return ESCAPE_CHARACTER;
    }
    return strchr("89ab", second) ? ESCAPE_HIGH : ESCAPE_LOW;
}

/* yajl makes "?" of a high surrogate without its low one, and drops what follows. */
static bool has_lone_surrogate(struct slice text)
{
    static const size_t lengths[] = {
        [ESCAPE_OTHER] = 2, [ESCAPE_CHARACTER] = 6, [ESCAPE_HIGH] = 12, [ESCAPE_LOW] = 6};
    for (size_t i = 0; i < text.len;) {
        if (text.data[i] != '\\') {
            i++;
            continue;
        }
        enum escape escape = escape_at(text, i);
        if (escape == ESCAPE_LOW ||
            (escape == ESCAPE_HIGH && escape_at(text, i + 6) != ESCAPE_LOW)) {
            return true;
        }
        i += lengths[escape];
    }
    return false;
}

static int on_string(void *context, const unsigned char *text, size_t len)
{
    struct json_body *body = context;
    struct slice string = slice_of(text, len);
    if (!is_within(body, string) &&
        has_lone_surrogate(written_string(body, offset(body)))) {
        string = SLICE_LITERAL("\xed\xa0\x80"); /* no UTF-8: the field's check says so */
    }
    return on_scalar(body, RAW_STRING, string);
}

/* The key outlives the callback: in the body where it stands there as it is. */
static int on_key(void *context, const unsigned char *text, size_t len)
{
    struct json_body *body = context;
    struct slice key = slice_of(text, len);
    if (!is_within(body, key)) {
        len = len < sizeof body->key_copy ? len : sizeof body->key_copy;
        memcpy(body->key_copy, text, len);
        key = slice_of(body->key_copy, len);
    }
    if (here(body) != NESTED && here(body) != STRAY) {
        body->key = key;
    }
    return 1;
}

static int begin_record(struct json_body *body)
{
    body->value_start = offset(body) - 1;
    body->has_fields = false;
    body->is_value = false;
    body->is_torn = false;
    body->handler->begin(body->handler->context);
    return push(body, RECORD);
}

/* An object where a field's value should be. */
static int on_inner_object(struct json_body *body)
{
    bool outer = here(body) == RECORD;
    bool kafka = body->list == LIST_RECORDS && slice_is(body->key, "value");
    bool metric = body->list == LIST_METRICS &&
                  (slice_is(body->key, "fields") || slice_is(body->key, "tags"));
    if (outer && kafka) {
        body->is_torn = body->is_value;
        body->is_value = true;
        body->handler->begin(body->handler->context); /* forgets members before it */
    }
    if (outer && (kafka || metric)) {
        return push(body, FLAT);
    }
    tell_field(body, RAW_NESTED, (struct slice){0});
    return push(body, NESTED);
}

static int on_object(void *context)
{
    struct json_body *body = context;
    switch (here(body)) {
    case TOP:
        body->top_start = offset(body) - 1;
        return begin_record(body);
    case LIST:
        return begin_record(body);
    case RECORD:
    case FLAT:
        return on_inner_object(body);
    case WRAPPER:
    case NESTED:
    case STRAY:
        break;
    }
    return push(body, NESTED);
}

static void pop(struct json_body *body)
{
    body->depth--;
    if (here(body) == TOP || here(body) == LIST || here(body) == WRAPPER) {
        body->last_end = offset(body);
    }
}

static void end_record(struct json_body *body)
{
    struct slice bytes = piece(body, body->value_start, offset(body));
    if (body->is_torn) {
        body->handler->broken(body->handler->context, bytes, "json",
                              "one element with several values");
        return;
    }
    body->records++;
    body->handler->end(body->handler->context, bytes);
}

static int on_object_end(void *context)
{
    struct json_body *body = context;
    if (here(body) == RECORD) {
        end_record(body);
    }
    pop(body);
    return 1;
}

static int begin_list(struct json_body *body, enum list_kind kind)
{
    body->list = kind;
    body->last_end = offset(body);
    return push(body, LIST);
}

static int on_array(void *context)
{
    struct json_body *body = context;
    enum place place = here(body);
    if (place == TOP) {
        body->top_start = offset(body) - 1;
        return begin_list(body, LIST_PLAIN);
    }
    bool wraps =
        body->depth == 1 && (place == WRAPPER || (place == RECORD && !body->has_fields));
    if (wraps && (slice_is(body->key, "records") || slice_is(body->key, "metrics"))) {
        body->places[body->depth] = WRAPPER;
        return begin_list(body,
                          slice_is(body->key, "records") ? LIST_RECORDS : LIST_METRICS);
    }
    if (place == LIST) {
        return push(body, STRAY);
    }
    if (place == RECORD || place == FLAT) {
        tell_field(body, RAW_NESTED, (struct slice){0});
    }
    return push(body, NESTED);
}

static int on_array_end(void *context)
{
    struct json_body *body = context;
    enum place ended = here(body);
    if (ended == LIST) {
        body->list = LIST_PLAIN;
    } else if (ended == STRAY) {
        tell_stray(body, "a record must be an object, not an array");
    }
    pop(body);
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_object_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_array_end,
};

/* Parses `text` until its end or the first error; true at the end. */
static bool run(struct json_body *body)
{
    body->parser = yajl_alloc(&callbacks, json_memory(), body);
    if (!body->parser) {
        return false;
    }
    yajl_config(body->parser, yajl_allow_multiple_values, 1);
    yajl_config(body->parser, yajl_dont_validate_strings, 1);
    yajl_status status =
        yajl_parse(body->parser, (const unsigned char *)body->text.data, body->text.len);
    if (status == yajl_status_ok) {
        body->finishing = true;
        status = yajl_complete_parse(body->parser);
    }
    yajl_free(body->parser);
    body->parser = NULL;
    return status == yajl_status_ok;
}

/* The next line after `from` that begins a value; the end of the text if there is none.
 */
static size_t next_value_line(struct slice text, size_t from)
{
    while (from < text.len) {
        const char *newline = memchr(text.data + from, '\n', text.len - from);
        if (!newline) {
            return text.len;
        }
        from = (size_t)(newline - text.data) + 1;
        if (from < text.len && (text.data[from] == '{' || text.data[from] == '[')) {
            return from;
        }
    }
    return text.len;
}

/* Where the piece that can't be parsed begins, and where parsing can go on. */
static void find_break(const struct json_body *body, size_t *out_from, size_t *out_to)
{
    bool in_list =
        body->depth > 0 && (body->places[1] == LIST || body->places[1] == WRAPPER);
    if (in_list) {
        bool in_record = body->depth > 1 && body->value_start > body->last_end;
        *out_from = in_record ? body->value_start : body->last_end;
        *out_to = body->text.len;
        return;
    }
    *out_from = body->depth > 0 ? body->top_start : body->last_end;
    *out_to = next_value_line(body->text, *out_from);
}

uint64_t body_parse_json(struct slice text, const struct body_handler *handler)
{
    uint64_t records = 0;
    while (slice_trim(text).len) {
        struct json_body body = {.handler = handler, .text = text};
        if (run(&body)) {
            return records + body.records;
        }
        records += body.records;
        size_t from;
        size_t to;
        find_break(&body, &from, &to);
        handler->broken(handler->context, strip(piece(&body, from, to)),
                        body.too_deep ? "depth" : "json",
                        body.too_deep ? "objects or arrays nested too deeply"
                                      : "this is not JSON");
        text = slice_of(text.data + to, text.len - to);
    }
    return records;
}
