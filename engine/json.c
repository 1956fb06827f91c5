#include "engine/json.h"

#include "base/utf8.h"
#include "engine/json_memory.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

enum { PARSE_MAX = 64 << 20, PARSE_DEPTH_MAX = 64 };

/* ---- Writing --------------------------------------------------------------------- */

struct json_writer {
    yajl_gen gen;
};

/* Every status but OK is a misuse. */
static void check(yajl_gen_status status)
{
    assert(status == yajl_gen_status_ok || status == yajl_gen_generation_complete);
}

struct json_writer *json_new(void)
{
    struct json_writer *json = calloc(1, sizeof *json);
    if (json) {
        json->gen = yajl_gen_alloc(json_memory());
    }
    if (!json || !json->gen) {
        free(json);
        return NULL;
    }
    return json;
}

void json_free(struct json_writer *json)
{
    if (json) {
        yajl_gen_free(json->gen);
        free(json);
    }
}

void json_object(struct json_writer *json)
{
    check(yajl_gen_map_open(json->gen));
}

void json_object_end(struct json_writer *json)
{
    check(yajl_gen_map_close(json->gen));
}

void json_array(struct json_writer *json)
{
    check(yajl_gen_array_open(json->gen));
}

void json_array_end(struct json_writer *json)
{
    check(yajl_gen_array_close(json->gen));
}

void json_key(struct json_writer *json, const char *key)
{
    json_text(json, slice_text(key));
}

static void append_valid_utf8(struct buf *out, struct slice text)
{
    while (text.len) {
        size_t len = utf8_next(text);
        if (len) {
            buf_append(out, text.data, len);
        } else {
            buf_append_text(out, "\xef\xbf\xbd");
            len = 1;
        }
        text = slice_of(text.data + len, text.len - len);
    }
}

void json_text(struct json_writer *json, struct slice text)
{
    size_t characters;
    if (utf8_count(text, &characters)) {
        const char *data = text.len ? text.data : "";
        check(yajl_gen_string(json->gen, (const unsigned char *)data, text.len));
        return;
    }
    struct buf valid = {0};
    append_valid_utf8(&valid, text);
    check(yajl_gen_string(json->gen, (const unsigned char *)valid.data, valid.len));
    buf_free(&valid);
}

/* As "%..." of the value writes it: on the stack, since a number that lacked memory would
 * be read as 0. */
static void put_number(struct json_writer *json, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_number(struct json_writer *json, const char *format, ...)
{
    char text[40];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(len > 0 && len < (int)sizeof text);
    check(yajl_gen_number(json->gen, text, (size_t)len));
}

void json_integer(struct json_writer *json, int64_t value)
{
    put_number(json, "%lld", (long long)value);
}

void json_unsigned(struct json_writer *json, uint64_t value)
{
    put_number(json, "%llu", (unsigned long long)value);
}

void json_real(struct json_writer *json, double value)
{
    if (!isfinite(value)) {
        json_null(json);
        return;
    }
    put_number(json, "%.15g", value);
}

void json_bool(struct json_writer *json, bool value)
{
    check(yajl_gen_bool(json->gen, value));
}

void json_null(struct json_writer *json)
{
    check(yajl_gen_null(json->gen));
}

void json_put_text(struct json_writer *json, const char *key, const char *value)
{
    json_key(json, key);
    json_text(json, slice_text(value));
}

void json_put_unsigned(struct json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_unsigned(json, value);
}

void json_put_integer(struct json_writer *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_integer(json, value);
}

void json_put_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

struct slice json_result(struct json_writer *json)
{
    const unsigned char *text = NULL;
    size_t len = 0;
    check(yajl_gen_get_buf(json->gen, &text, &len));
    return slice_of(text, len);
}

void json_drop(struct json_writer *json)
{
    yajl_gen_clear(json->gen);
}

/* ---- Reading --------------------------------------------------------------------- */

/* A json_value is yajl's tree node under another name: never made here, only handed on.
 */
static struct json_value *wrap(yajl_val value)
{
    return (struct json_value *)value;
}

static yajl_val unwrap(const struct json_value *value)
{
    union {
        const struct json_value *in;
        yajl_val out;
    } pointer = {.in = value};
    return pointer.out;
}

/* Freeing a tree goes as deep as the document: it is measured first. Brackets in strings
 * are passed over. */
static bool is_shallow(struct slice text)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len && depth <= PARSE_DEPTH_MAX; i++) {
        char c = text.data[i];
        if (c == '"') {
            quoted = !quoted;
        } else if (quoted) {
            i += c == '\\';
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return depth <= PARSE_DEPTH_MAX;
}

struct json_value *json_parse(struct slice text)
{
    if (text.len == 0 || text.len > PARSE_MAX || memchr(text.data, '\0', text.len) ||
        !is_shallow(text)) {
        return NULL;
    }
    struct buf copy = {0}; /* closed by a NUL */
    struct json_value *value = NULL;
    if (buf_append_slice(&copy, text) && buf_text(&copy)) {
        value = wrap(yajl_tree_parse(copy.data, NULL, 0));
    }
    buf_free(&copy);
    return value;
}

void json_value_free(struct json_value *value)
{
    yajl_tree_free(unwrap(value));
}

const struct json_value *json_get(const struct json_value *object, const char *key)
{
    yajl_val value = unwrap(object);
    if (!YAJL_IS_OBJECT(value)) {
        return NULL;
    }
    for (size_t i = 0; i < value->u.object.len; i++) {
        if (strcmp(value->u.object.keys[i], key) == 0) {
            return wrap(value->u.object.values[i]);
        }
    }
    return NULL;
}

size_t json_count(const struct json_value *array)
{
    yajl_val value = unwrap(array);
    return YAJL_IS_ARRAY(value) ? value->u.array.len : 0;
}

const struct json_value *json_item(const struct json_value *array, size_t index)
{
    return index < json_count(array) ? wrap(unwrap(array)->u.array.values[index]) : NULL;
}

const char *json_as_text(const struct json_value *value)
{
    return YAJL_GET_STRING(unwrap(value));
}

int64_t json_as_integer(const struct json_value *value, int64_t fallback)
{
    return YAJL_IS_INTEGER(unwrap(value)) ? YAJL_GET_INTEGER(unwrap(value)) : fallback;
}

bool json_as_bool(const struct json_value *value, bool fallback)
{
    if (YAJL_IS_TRUE(unwrap(value))) {
        return true;
    }
    return YAJL_IS_FALSE(unwrap(value)) ? false : fallback;
}
