#include "schema/stream.h"
#include "base/utf8.h"
#include "schema/internal.h"

#include <assert.h>
#include <float.h>
#include <stdio.h>
#include <strings.h>
#include <xxhash.h>

static const int64_t second_us = 1000000;
/* 1970-01-01 00:00:01 to 2038-01-19 03:14:07.999999 UTC */
static const int64_t timestamp_min_us = 1000000;
static const int64_t timestamp_max_us = 2147483647999999;
/* 1000-01-01 00:00:00 to 9999-12-31 23:59:59.999999 of a local time */
static const int64_t datetime_min_us = -30610224000000000;
static const int64_t datetime_max_us = 253402300799999999;
/* no zone is further from UTC than this */
static const int64_t zone_max_us = (int64_t)14 * 3600 * 1000000;

bool field_reject(const struct stream_field *field, const char *reason,
                  struct reject *out_reject, const char *format, ...)
{
    out_reject->reason = reason;
    out_reject->field = field->name;
    va_list args;
    va_start(args, format);
    vsnprintf(out_reject->detail, sizeof out_reject->detail, format, args);
    va_end(args);
    return false;
}

/* ---- Limits ------------------------------------------------------------------- */

static bool is_member(const struct stream_field *field, struct slice text)
{
    for (size_t i = 0; i < field->member_count; i++) {
        if (slice_is(text, field->members[i])) {
            return true;
        }
    }
    return false;
}

/* Blanks at the end: under a PAD SPACE collation 'a' and 'a ' are one key. */
static bool ends_blank(struct slice text)
{
    return slice_trim(slice_of(text.data + text.len - 1, 1)).len == 0;
}

static bool limit_text(const struct stream_field *field, struct slice text,
                       struct reject *out_reject)
{
    if (text.len > field->characters_max) {
        size_t characters = 0;
        if (!utf8_count(text, &characters)) {
            return field_reject(field, "utf8", out_reject, "not valid UTF-8");
        }
        if (characters > field->characters_max) {
            return field_reject(field, "too_long", out_reject,
                                "%zu characters where the column takes %u", characters,
                                field->characters_max);
        }
    }
    if (field->key && text.len == 0) {
        return field_reject(field, "missing", out_reject, "a key can't be empty");
    }
    if (field->key && ends_blank(text)) {
        return field_reject(field, "blank_end", out_reject,
                            "a key can't end in a blank: the database would take it for "
                            "the same key as without");
    }
    if (field->members && !is_member(field, text)) {
        return field_reject(field, "enum", out_reject,
                            "not one of the %zu members that the column allows",
                            field->member_count);
    }
    return true;
}

static int64_t cut_time(int64_t time_us, uint32_t precision)
{
    static const int64_t units[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    int64_t unit = units[precision];
    int64_t rest = time_us % unit;
    return time_us - (rest < 0 ? rest + unit : rest);
}

static bool limit_time(const struct stream_field *field, int64_t *time_us,
                       struct reject *out_reject)
{
    if (*time_us < datetime_min_us - zone_max_us ||
        *time_us > datetime_max_us + zone_max_us) {
        return field_reject(field, "range", out_reject,
                            "outside of the years 1000 to 9999 of a DATETIME column");
    }
    *time_us = cut_time(*time_us, field->precision);
    if (field->timestamp_range &&
        (*time_us < timestamp_min_us || *time_us > timestamp_max_us)) {
        return field_reject(field, "range", out_reject,
                            "outside of a TIMESTAMP column's range, 1970-01-01 00:00:01 "
                            "to 2038-01-19 03:14:07 UTC");
    }
    return true;
}

static bool limit_integer(const struct stream_field *field, int64_t integer,
                          struct reject *out_reject)
{
    bool fits = field->is_unsigned
                    ? (uint64_t)integer <= field->integer_max
                    : integer >= field->integer_min &&
                          (integer < 0 || (uint64_t)integer <= field->integer_max);
    if (!fits) {
        return field_reject(
            field, "range", out_reject, "outside of the column's range, %lld to %llu",
            (long long)field->integer_min, (unsigned long long)field->integer_max);
    }
    return true;
}

static bool limit_real(const struct stream_field *field, double real,
                       struct reject *out_reject)
{
    double max = field->float_bits == 32 ? (double)FLT_MAX : DBL_MAX;
    if (!(real >= -max && real <= max)) { /* so written, a NaN is refused too */
        return field_reject(field, "range", out_reject,
                            "beyond what a %u-bit float holds", field->float_bits);
    }
    return true;
}

bool field_limit(const struct stream_field *field, struct value *value,
                 struct reject *out_reject)
{
    switch (value->type) {
    case VALUE_TEXT:
        return limit_text(field, value->text, out_reject);
    case VALUE_TIME:
        return limit_time(field, &value->time_us, out_reject);
    case VALUE_INTEGER:
        return limit_integer(field, value->integer, out_reject);
    case VALUE_FLOAT:
        return limit_real(field, value->real, out_reject);
    case VALUE_ABSENT:
    case VALUE_IP:
    case VALUE_BOOL:
        break;
    }
    return true;
}

/* ---- Parsing ------------------------------------------------------------------- */

static bool is_scalar_text(const struct raw_value *raw)
{
    return raw->type == RAW_STRING || raw->type == RAW_NUMBER;
}

static bool reject_type(const struct stream_field *field, const char *wanted,
                        struct reject *out_reject)
{
    return field_reject(field, "type", out_reject, "the column takes %s", wanted);
}

static bool parse_text(const struct stream_field *field, const struct raw_value *raw,
                       struct value *value, struct reject *out_reject)
{
    if (raw->type == RAW_NESTED) {
        return reject_type(field, "text, not an object or array", out_reject);
    }
    value->text = raw->text;
    if (raw->type == RAW_TRUE || raw->type == RAW_FALSE) {
        value->text = slice_text(raw->type == RAW_TRUE ? "true" : "false");
    }
    size_t characters;
    if (!utf8_count(value->text, &characters)) {
        return field_reject(field, "utf8", out_reject, "not valid UTF-8");
    }
    if (value->text.len && memchr(value->text.data, '\0', value->text.len)) {
        return field_reject(field, "nul", out_reject, "holds a NUL character");
    }
    return true;
}

static bool parse_ip(const struct stream_field *field, const struct raw_value *raw,
                     struct value *value, struct reject *out_reject)
{
    if (raw->type != RAW_STRING) {
        return reject_type(field, "an IPv4 address as a string", out_reject);
    }
    if (!value_parse_ip(raw->text, &value->ip)) {
        return field_reject(field, "ip", out_reject,
                            "not a canonical dotted IPv4 address such as 203.0.113.9");
    }
    return true;
}

static bool is_too_far(int64_t time_us, const struct time_rules *rules)
{
    int64_t latest;
    return !__builtin_add_overflow(rules->now_us, rules->max_future_us, &latest) &&
           time_us > latest;
}

static bool parse_time(const struct stream_field *field, const struct raw_value *raw,
                       const struct time_rules *rules, struct value *value,
                       struct reject *out_reject)
{
    if (!is_scalar_text(raw)) {
        return reject_type(field, "a time", out_reject);
    }
    if (!value_parse_time(raw->text, rules->zone_offset_s, &value->time_us)) {
        return field_reject(field, "time", out_reject,
                            "not a time such as 2026-01-08 01:04:26, "
                            "2026-01-08T01:04:26+08:00 or 1767834266");
    }
    if (field->is_time && is_too_far(value->time_us, rules)) {
        return field_reject(field, "future", out_reject,
                            "more than max_future (%lld s) ahead of the clock",
                            (long long)(rules->max_future_us / second_us));
    }
    int64_t local_us = value->time_us + rules->zone_offset_s * second_us;
    if (local_us < datetime_min_us || local_us > datetime_max_us) {
        return field_reject(field, "range", out_reject,
                            "outside of the years 1000 to 9999");
    }
    return true;
}

static bool reject_range(const struct stream_field *field, struct reject *out_reject)
{
    return field_reject(field, "range", out_reject, "beyond what the column can hold");
}

/* "-1" for an unsigned column and thirty digits are integers, if out of range. */
static bool is_integer_text(struct slice text)
{
    for (size_t i = text.len && text.data[0] == '-'; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.len && text.data[text.len - 1] != '-';
}

static bool parse_integer(const struct stream_field *field, const struct raw_value *raw,
                          struct value *value, struct reject *out_reject)
{
    if (!is_scalar_text(raw)) {
        return reject_type(field, "an integer", out_reject);
    }
    if (value_parse_integer(raw->text, field->is_unsigned, &value->integer)) {
        return true;
    }
    if (is_integer_text(raw->text)) {
        return reject_range(field, out_reject);
    }
    return field_reject(field, "not_a_number", out_reject,
                        "not an integer: digits and at most a minus are taken");
}

static bool parse_float(const struct stream_field *field, const struct raw_value *raw,
                        struct value *value, struct reject *out_reject)
{
    if (!is_scalar_text(raw)) {
        return reject_type(field, "a number", out_reject);
    }
    if (value_parse_float(raw->text, &value->real)) {
        return true;
    }
    if (value_is_number(raw->text)) {
        return reject_range(field, out_reject);
    }
    return field_reject(field, "not_a_number", out_reject, "not a decimal number");
}

static bool is_word(struct slice text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

static bool parse_bool(const struct stream_field *field, const struct raw_value *raw,
                       struct value *value, struct reject *out_reject)
{
    bool text = is_scalar_text(raw);
    if (raw->type == RAW_TRUE ||
        (text && (is_word(raw->text, "true") || is_word(raw->text, "1")))) {
        value->boolean = true;
        return true;
    }
    if (raw->type == RAW_FALSE ||
        (text && (is_word(raw->text, "false") || is_word(raw->text, "0")))) {
        value->boolean = false;
        return true;
    }
    return reject_type(field, "true, false, 1 or 0", out_reject);
}

bool stream_field_parse(const struct stream_field *field, const struct raw_value *raw,
                        const struct time_rules *rules, struct value *out_value,
                        struct reject *out_reject)
{
    struct value value = {.type = field->type};
    if (raw->type == RAW_NULL) {
        *out_value = (struct value){.type = VALUE_ABSENT};
        return true;
    }
    if (raw->type == RAW_STRING && raw->text.len == 0 && (field->key || field->is_time)) {
        return field_reject(field, "missing", out_reject, "required, but empty");
    }
    bool parsed = false;
    switch (field->type) {
    case VALUE_TEXT:
        parsed = parse_text(field, raw, &value, out_reject);
        break;
    case VALUE_IP:
        parsed = parse_ip(field, raw, &value, out_reject);
        break;
    case VALUE_TIME:
        parsed = parse_time(field, raw, rules, &value, out_reject);
        break;
    case VALUE_INTEGER:
        parsed = parse_integer(field, raw, &value, out_reject);
        break;
    case VALUE_FLOAT:
        parsed = parse_float(field, raw, &value, out_reject);
        break;
    case VALUE_BOOL:
        parsed = parse_bool(field, raw, &value, out_reject);
        break;
    case VALUE_ABSENT:
        assert(false && "a field has a type");
    }
    if (!parsed || !field_limit(field, &value, out_reject)) {
        return false;
    }
    *out_value = value;
    return true;
}

/* ---- Records --------------------------------------------------------------------- */

int stream_field_find(const struct stream *stream, struct slice name)
{
    const struct stream_owner *owner = (const struct stream_owner *)stream;
    for (size_t i = 0; i < stream->field_count; i++) {
        if (owner->name_len[i] == name.len &&
            memcmp(stream->fields[i].name, name.data, name.len) == 0) {
            return (int)i;
        }
    }
    return STREAM_NO_FIELD;
}

bool stream_record_check(const struct stream *stream, const struct value *values,
                         struct reject *out_reject)
{
    for (size_t i = 0; i < stream->field_count; i++) {
        const struct stream_field *field = &stream->fields[i];
        if (field->required && values[i].type == VALUE_ABSENT) {
            return field_reject(field, "missing", out_reject,
                                "required, but the record does not carry it");
        }
    }
    return true;
}

/* The key is hashed as its canonical text, so that a key column whose type changes (ip
 * to string, integer to string) keeps its entities on their lanes. */
static uint64_t hash_key(const struct value *key, bool is_unsigned)
{
    char text[32];
    size_t len = 0;
    switch (key->type) {
    case VALUE_TEXT:
        return XXH3_64bits(key->text.data, key->text.len);
    case VALUE_IP:
        len = value_format_ip(key->ip, text);
        break;
    case VALUE_INTEGER:
        len = (size_t)(is_unsigned ? snprintf(text, sizeof text, "%llu",
                                              (unsigned long long)key->integer)
                                   : snprintf(text, sizeof text, "%lld",
                                              (long long)key->integer));
        break;
    case VALUE_TIME:
        len = (size_t)snprintf(text, sizeof text, "%lld", (long long)key->time_us);
        break;
    case VALUE_ABSENT:
    case VALUE_FLOAT:
    case VALUE_BOOL:
        assert(false && "stream_new admits no such key");
    }
    return XXH3_64bits(text, len);
}

uint32_t stream_lane(const struct stream *stream, const struct value *values)
{
    if (stream->lanes <= 1) {
        return 0;
    }
    const struct value *key = &values[stream->key_field];
    bool is_unsigned = stream->fields[stream->key_field].is_unsigned;
    return (uint32_t)(hash_key(key, is_unsigned) % stream->lanes);
}
