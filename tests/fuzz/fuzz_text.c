/* Whatever is written for the database, for a person or for a program is read back by
 * the rules of who reads it: SQL literals and identifiers, LOAD DATA rows, JSON, a log
 * line. And values are parsed from text, written and parsed again. */
#include "base/log.h"
#include "base/utf8.h"
#include "engine/json.h"
#include "replay/sql.h"
#include "replay/tsv.h"
#include "schema/ddl.h"
#include "tests/fuzz/kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const int64_t year_1000_us = INT64_C(-30610224000000000);
static const int64_t year_9999_us = INT64_C(253370764800000000);

static const struct stream_column text_column = {.name = "c", .type = COLUMN_STRING};

/* ---- As the server reads ----------------------------------------------------------- */

/* What a backslash and `c` stand for in a literal, as the manual has it. */
static char unescaped(char c)
{
    static const char from[] = "0'\"bnrtZ\\";
    static const char to[] = "\0'\"\b\n\r\t\x1a\\";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : c;
}

/* The literal that all of `sql` is. */
static void read_literal(struct slice sql, struct buf *out)
{
    fuzz_expect(sql.len >= 2 && sql.data[0] == '\'' && sql.data[sql.len - 1] == '\'',
                "a literal is quoted");
    for (size_t i = 1; i < sql.len - 1; i++) {
        char c = sql.data[i];
        if (c == '\\') {
            i++;
            fuzz_expect(i < sql.len - 1, "the closing quote is not escaped");
            c = unescaped(sql.data[i]);
        } else if (c == '\'') {
            i++;
            fuzz_expect(i < sql.len - 1 && sql.data[i] == '\'', "no quote within");
        }
        buf_append_char(out, c);
    }
}

/* One field of LOAD DATA's line. */
static void read_field(struct slice field, struct buf *out)
{
    for (size_t i = 0; i < field.len; i++) {
        char c = field.data[i];
        fuzz_expect(c != '\t' && c != '\n', "no separator within");
        if (c == '\\') {
            i++;
            fuzz_expect(i < field.len, "the separator is not escaped");
            c = field.data[i];
            c = c == '\'' || c == '"' ? c : unescaped(c);
        }
        buf_append_char(out, c);
    }
}

static void write_to_database(struct slice text)
{
    struct value value = {.type = VALUE_TEXT, .text = text};
    struct buf sql = {0};
    struct buf back = {0};
    sql_append_value(&sql, &text_column, &value, 0);
    read_literal(buf_slice(&sql), &back);
    fuzz_expect(slice_equal(text, buf_slice(&back)), "a literal reads back the same");
    buf_clear(&sql);
    buf_clear(&back);
    tsv_append_value(&sql, &text_column, &value, 0);
    fuzz_expect(!slice_is(buf_slice(&sql), "\\N"), "text is not NULL");
    read_field(buf_slice(&sql), &back);
    fuzz_expect(slice_equal(text, buf_slice(&back)), "a field reads back the same");
    buf_free(&sql);
    buf_free(&back);
}

static void write_identifier(struct slice text)
{
    struct buf name = {0};
    struct buf sql = {0};
    buf_append_slice(&name, text);
    const char *wanted = buf_text(&name);
    ddl_append_identifier(&sql, wanted);
    const char *got = buf_text(&sql);
    fuzz_expect(*got++ == '`', "a name is quoted");
    for (; *wanted; wanted++, got++) {
        got += *got == '`';
        fuzz_expect(*got == *wanted, "a name reads back the same");
    }
    fuzz_expect(strcmp(got, "`") == 0, "a name ends with its quote");
    buf_free(&name);
    buf_free(&sql);
}

/* ---- As people and programs read --------------------------------------------------- */

static void write_json(struct slice text)
{
    struct json_writer *json = json_new();
    size_t characters = 0;
    json_object(json);
    json_key(json, "k");
    json_text(json, text);
    json_object_end(json);
    struct json_value *value = json_parse(json_result(json));
    const char *got = json_as_text(json_get(value, "k"));
    fuzz_expect(got != NULL, "what was written is JSON");
    if (utf8_count(text, &characters) && !memchr(text.data, '\0', text.len)) {
        fuzz_expect(slice_equal(slice_text(got), text), "text reads back the same");
    }
    json_value_free(value);
    json_free(json);
}

/* A name that was not used lately, since repeats are suppressed. */
static const char *next_event(void)
{
    static char names[256][8];
    static unsigned next;
    char *name = names[next++ % 256];
    (void)snprintf(name, sizeof names[0], "e%u", next % 256);
    return name;
}

/* One line, whatever the value: nobody forges a second one. */
static void write_log(struct slice text, enum log_format format)
{
    static char line[64 << 10];
    static int fd = -1;
    fd = fd < 0 ? memfd_create("log", MFD_CLOEXEC) : fd;
    fuzz_expect(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0,
                "a file in memory");
    log_setup(LOG_INFO, format, fd);
    log_event(LOG_ERROR, next_event(), (struct log_field[]){L_SLICE("value", text)}, 1);
    ssize_t len = pread(fd, line, sizeof line, 0);
    fuzz_expect(len > 0, "a line is written");
    for (ssize_t i = 0; i < len - 1; i++) {
        unsigned char c = (unsigned char)line[i];
        fuzz_expect(c >= ' ' && c != 0x7f, "no control byte in a line");
    }
    fuzz_expect(line[len - 1] == '\n', "a line ends");
    fuzz_expect(utf8_count(slice_of(line, (size_t)len), &(size_t){0}), "and is UTF-8");
    if (format == LOG_JSON) {
        struct json_value *value = json_parse(slice_of(line, (size_t)len));
        fuzz_expect(value != NULL, "a line of JSON is JSON");
        json_value_free(value);
    }
}

static void read_json(struct slice text)
{
    struct json_value *value = json_parse(text);
    (void)json_as_text(json_get(value, "a"));
    (void)json_as_integer(json_item(value, json_count(value) / 2), 0);
    json_value_free(value);
}

/* ---- Values -------------------------------------------------------------------------
 */

static void read_time(struct slice text)
{
    int64_t time_us = 0;
    int64_t again_us = 0;
    char written[VALUE_TIME_TEXT];
    if (!value_parse_time(text, 28800, &time_us)) {
        return;
    }
    size_t len = value_format_time(time_us, 28800, 6, written);
    fuzz_expect(len < sizeof written, "a time has its length");
    if (time_us < year_1000_us || time_us > year_9999_us) {
        return; /* beyond what any column takes */
    }
    fuzz_expect(value_parse_time(slice_of(written, len), 28800, &again_us) &&
                    again_us == time_us,
                "a time reads back the same");
}

static void read_float(struct slice text)
{
    struct value value = {.type = VALUE_FLOAT};
    double again = 0;
    struct buf written = {0};
    if (!value_parse_float(text, &value.real)) {
        return;
    }
    fuzz_expect(isfinite(value.real) && value_is_number(text), "a float is a number");
    value_append_text(&written, &value);
    fuzz_expect(value_parse_float(buf_slice(&written), &again) && again == value.real,
                "a float reads back the same");
    buf_free(&written);
}

static void read_scalars(struct slice text)
{
    uint32_t ip = 0;
    int64_t integer = 0;
    int32_t offset_s = 0;
    char written[VALUE_IP_TEXT];
    if (value_parse_ip(text, &ip)) {
        fuzz_expect(slice_equal(slice_of(written, value_format_ip(ip, written)), text),
                    "an address is canonical");
    }
    if (value_parse_integer(text, false, &integer)) {
        fuzz_expect(value_is_number(text), "an integer is a number");
    }
    (void)value_parse_integer(text, true, &integer);
    fuzz_expect(!value_parse_offset(text, &offset_s) || abs(offset_s) <= 14 * 3600,
                "an offset is bounded");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = fuzz_copy(data, size);
    write_to_database(text);
    write_identifier(text);
    write_json(text);
    write_log(text, LOG_LOGFMT);
    write_log(text, LOG_JSON);
    read_json(text);
    read_time(text);
    read_float(text);
    read_scalars(text);
    free((void *)text.data);
    return 0;
}
