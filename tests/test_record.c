#include "schema/record.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUES_MAX = STREAM_FIELDS_MAX };

static void clear(struct value *values)
{
    for (size_t i = 0; i < VALUES_MAX; i++) {
        values[i] = (struct value){.type = VALUE_ABSENT};
    }
}

static void botnet_record(const struct stream *stream, struct value *values)
{
    clear(values);
    set_field(stream, values, "ip", "203.0.113.9");
    set_field(stream, values, "timestamp", "2026-01-08 01:04:26");
    set_field(stream, values, "event_type", "beacon");
    set_field(stream, values, "country", "中国");
    set_field(stream, values, "longitude", "114.05");
    set_field(stream, values, "is_china", "true");
}

static void reading_record(const struct stream *stream, struct value *values)
{
    clear(values);
    set_field(stream, values, "serial", "dev-7");
    set_field(stream, values, "at", "2026-01-08T01:04:26.125Z");
    set_field(stream, values, "probe", "-2147483648");
    set_field(stream, values, "value", "-0.1");
    set_field(stream, values, "quality", "65535");
    set_field(stream, values, "level", "9223372036854775807");
    set_field(stream, values, "enabled", "false");
    set_field(stream, values, "note", "\"a\\b\"\x01\xf0\x9f\x98\x80");
}

static void assert_same(const struct stream *stream, const struct value *a,
                        const struct value *b)
{
    for (size_t i = 0; i < stream->field_count; i++) {
        cr_assert(value_equal(&a[i], &b[i]), "field %s", stream->fields[i].name);
    }
}

static struct record_decoder *decoder_of(const struct stream *stream,
                                         struct slice payload)
{
    struct record_decoder *decoder = NULL;
    struct err err = {0};
    int code = record_decoder_new(stream, payload, &decoder, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    return decoder;
}

static int next(struct record_decoder *decoder, struct value *values)
{
    struct reject reject;
    struct err err = {0};
    return record_decoder_next(decoder, values, &reject, &err);
}

Test(record, what_goes_in_comes_out)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct value values[2][VALUES_MAX];
    reading_record(stream, values[0]);
    clear(values[1]);
    set_field(stream, values[1], "serial", "x");
    set_field(stream, values[1], "at", "1000-01-01 00:00:00");
    set_field(stream, values[1], "probe", "0");
    set_field(stream, values[1], "note", "");
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 1 << 20);
    cr_assert(record_encoder_add(&encoder, values[0]));
    cr_assert(record_encoder_add(&encoder, values[1]));
    struct record_decoder *decoder = decoder_of(stream, record_encoder_finish(&encoder));
    cr_assert_eq(record_decoder_rows(decoder), 2);
    struct value found[VALUES_MAX];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(next(decoder, found), ERR_OK);
        assert_same(stream, values[i], found);
    }
    cr_assert_eq(next(decoder, found), ERR_NOT_FOUND);
    cr_assert_eq(next(decoder, found), ERR_NOT_FOUND);
    record_decoder_free(decoder);
    record_encoder_free(&encoder);
    stream_free(stream);
}

Test(record, no_rows_is_a_payload)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 0);
    struct record_decoder *decoder = decoder_of(stream, record_encoder_finish(&encoder));
    struct value found[VALUES_MAX];
    cr_assert_eq(record_decoder_rows(decoder), 0);
    cr_assert_eq(next(decoder, found), ERR_NOT_FOUND);
    record_decoder_free(decoder);
    record_encoder_free(&encoder);
    stream_free(stream);
}

Test(record, floats_survive_to_the_bit)
{
    static const double reals[] = {-0.0, 5e-324, DBL_MAX, 0.1, -1.0 / 3};
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    int field = stream_field_find(stream, SLICE_LITERAL("value"));
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 0);
    struct value values[VALUES_MAX];
    reading_record(stream, values);
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        values[field] = (struct value){.type = VALUE_FLOAT, .real = reals[i]};
        cr_assert(record_encoder_add(&encoder, values));
    }
    struct record_decoder *decoder = decoder_of(stream, record_encoder_finish(&encoder));
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        cr_assert_eq(next(decoder, values), ERR_OK);
        uint64_t found;
        uint64_t expected;
        memcpy(&found, &values[field].real, sizeof found);
        memcpy(&expected, &reals[i], sizeof expected);
        cr_assert_eq(found, expected);
    }
    record_decoder_free(decoder);
    record_encoder_free(&encoder);
    stream_free(stream);
}

Test(record, a_row_beyond_the_bound_leaves_the_payload_as_it_was)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct value values[VALUES_MAX];
    botnet_record(stream, values);
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 0);
    cr_assert(record_encoder_add(&encoder, values));
    size_t one = record_encoder_finish(&encoder).len;
    cr_assert(record_encoder_add(&encoder, values));
    size_t two = record_encoder_finish(&encoder).len;
    record_encoder_free(&encoder);

    record_encoder_init(&encoder, stream, two - 1);
    cr_assert(record_encoder_add(&encoder, values));
    cr_assert_not(record_encoder_add(&encoder, values));
    cr_assert_eq(record_encoder_finish(&encoder).len, one);
    record_encoder_free(&encoder);
    record_encoder_init(&encoder, stream, two);
    cr_assert(record_encoder_add(&encoder, values));
    cr_assert(record_encoder_add(&encoder, values), "a bound that is met exactly");
    record_encoder_free(&encoder);
    record_encoder_init(&encoder, stream, 5);
    cr_assert_not(record_encoder_add(&encoder, values));
    cr_assert_eq(record_encoder_finish(&encoder).len, 0);
    record_encoder_free(&encoder);
    stream_free(stream);
}

Test(record, shown_as_json)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct value values[VALUES_MAX];
    reading_record(stream, values);
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 0);
    cr_assert(record_encoder_add(&encoder, values));
    struct record_decoder *decoder = decoder_of(stream, record_encoder_finish(&encoder));
    struct buf json = {0};
    record_decoder_append_json(decoder, &json);
    cr_assert_str_eq(buf_text(&json), "{}", "before the first row there is none");
    cr_assert_eq(next(decoder, values), ERR_OK);
    buf_clear(&json);
    record_decoder_append_json(decoder, &json);
    cr_assert_str_eq(buf_text(&json),
                     "{\"serial\":\"dev-7\",\"at\":\"2026-01-08T01:04:26.125Z\","
                     "\"level\":9223372036854775807,\"value\":-0.1,\"enabled\":false,"
                     "\"probe\":-2147483648,\"quality\":65535,"
                     "\"note\":\"\\\"a\\\\b\\\"\\u0001\xf0\x9f\x98\x80\"}");
    buf_free(&json);
    record_decoder_free(decoder);
    record_encoder_free(&encoder);
    stream_free(stream);
}

/* ---- Yesterday's payload --------------------------------------------------------- */

/* tests/data/record-v1.hex as bytes: two readings. */
static struct buf golden(void)
{
    char path[4096];
    const char *source = getenv("HOLDFAST_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/record-v1.hex", source ? source : ".");
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    struct buf bytes = {0};
    unsigned byte;
    while (fscanf(file, "%2x", &byte) == 1) {
        buf_append_char(&bytes, (char)byte);
    }
    cr_assert_eq(fclose(file), 0);
    return bytes;
}

static void golden_records(const struct stream *stream,
                           struct value values[2][VALUES_MAX])
{
    reading_record(stream, values[0]);
    clear(values[1]);
    set_field(stream, values[1], "serial", "ﾃ-8");
    set_field(stream, values[1], "at", "1969-12-31 23:59:59.999");
    set_field(stream, values[1], "probe", "12");
    set_field(stream, values[1], "note", "seventeen");
}

/* Reads the golden payload's first row under a changed spec. */
static int read_changed(const struct stream_spec *spec, struct value *values,
                        struct stream **out_stream, struct reject *out_reject)
{
    static struct buf bytes;
    buf_free(&bytes);
    bytes = golden();
    *out_stream = stream_of(spec);
    struct record_decoder *decoder = decoder_of(*out_stream, buf_slice(&bytes));
    struct err err = {0};
    int code = record_decoder_next(decoder, values, out_reject, &err);
    struct value second[VALUES_MAX];
    struct reject reject;
    int after = record_decoder_next(decoder, second, &reject, &err);
    cr_assert(after == ERR_OK || after == ERR_DATA, "the next row is readable");
    record_decoder_free(decoder);
    return code;
}

/* readings_spec with one event column changed; columns[] is the caller's copy. */
static struct stream_spec readings_with(struct column_spec columns[16], const char *name,
                                        struct column_spec changed)
{
    struct stream_spec spec = readings_spec();
    memcpy(columns, spec.event.columns, spec.event.column_count * sizeof *columns);
    spec.event.columns = columns;
    for (size_t i = 0; i < spec.event.column_count; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            columns[i] = changed;
            return spec;
        }
    }
    columns[spec.event.column_count++] = changed;
    return spec;
}

static const struct value *value_of(const struct stream *stream,
                                    const struct value *values, const char *field)
{
    int index = stream_field_find(stream, slice_text(field));
    cr_assert_geq(index, 0);
    return &values[index];
}

Test(record_golden, is_what_is_written_today)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct value values[2][VALUES_MAX];
    golden_records(stream, values);
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 0);
    cr_assert(record_encoder_add(&encoder, values[0]));
    cr_assert(record_encoder_add(&encoder, values[1]));
    struct buf bytes = golden();
    cr_assert(slice_equal(record_encoder_finish(&encoder), buf_slice(&bytes)),
              "the format has changed: that needs a new version and a new golden file");
    buf_free(&bytes);
    record_encoder_free(&encoder);
    stream_free(stream);
}

Test(record_golden, reads_under_the_same_spec)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct value expected[2][VALUES_MAX];
    struct value found[VALUES_MAX];
    golden_records(stream, expected);
    struct buf bytes = golden();
    struct record_decoder *decoder = decoder_of(stream, buf_slice(&bytes));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(next(decoder, found), ERR_OK);
        assert_same(stream, expected[i], found);
    }
    cr_assert_eq(next(decoder, found), ERR_NOT_FOUND);
    record_decoder_free(decoder);
    buf_free(&bytes);
    stream_free(stream);
}

Test(record_golden, a_field_that_is_gone_is_passed_over)
{
    struct stream_spec spec = readings_spec();
    spec.event.column_count--; /* note */
    spec.compare_count--;
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_OK);
    cr_assert_eq(stream_field_find(stream, SLICE_LITERAL("note")), STREAM_NO_FIELD);
    cr_assert_eq(value_of(stream, values, "quality")->integer, 65535);
    stream_free(stream);
}

Test(record_golden, a_new_field_is_absent)
{
    struct column_spec columns[16];
    struct column_spec added = {
        .name = "unit", .type = COLUMN_STRING, .max = 10, .from = "unit"};
    struct stream_spec spec = readings_with(columns, "unit", added);
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_OK);
    cr_assert_eq(value_of(stream, values, "unit")->type, VALUE_ABSENT);
    cr_assert_eq(value_of(stream, values, "quality")->integer, 65535);
    stream_free(stream);
}

Test(record_golden, a_new_field_that_must_be_there_refuses_the_row)
{
    struct column_spec columns[16];
    struct column_spec added = {.name = "unit",
                                .type = COLUMN_STRING,
                                .max = 10,
                                .from = "unit",
                                .not_null = true};
    struct stream_spec spec = readings_with(columns, "unit", added);
    spec.csv_count = 0;
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_DATA);
    cr_assert_str_eq(reject.reason, "missing");
    cr_assert_str_eq(reject.field, "unit");
    stream_free(stream);
}

Test(record_golden, an_integer_becomes_its_text)
{
    struct column_spec columns[16];
    struct column_spec changed = {
        .name = "quality", .type = COLUMN_STRING, .max = 10, .from = "quality"};
    struct stream_spec spec = readings_with(columns, "quality", changed);
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_OK);
    /* the first row's text is the decoder's until the next call: read it in a fresh one
     */
    struct buf bytes = golden();
    struct record_decoder *decoder = decoder_of(stream, buf_slice(&bytes));
    cr_assert_eq(next(decoder, values), ERR_OK);
    cr_assert(slice_is(value_of(stream, values, "quality")->text, "65535"));
    record_decoder_free(decoder);
    buf_free(&bytes);
    stream_free(stream);
}

Test(record_golden, text_that_is_no_integer_refuses_the_row_alone)
{
    struct column_spec columns[16];
    struct column_spec changed = {
        .name = "note", .type = COLUMN_INTEGER, .bits = 32, .from = "note"};
    struct stream_spec spec = readings_with(columns, "note", changed);
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_DATA);
    cr_assert_str_eq(reject.reason, "not_a_number");
    cr_assert_str_eq(reject.field, "note");
    stream_free(stream);
}

Test(record_golden, todays_limits_hold)
{
    struct column_spec columns[16];
    struct column_spec changed = {
        .name = "note", .type = COLUMN_STRING, .max = 5, .from = "note"};
    struct stream_spec spec = readings_with(columns, "note", changed);
    struct stream *stream;
    struct value values[VALUES_MAX];
    struct reject reject;
    cr_assert_eq(read_changed(&spec, values, &stream, &reject), ERR_DATA);
    cr_assert_str_eq(reject.reason, "too_long");
    stream_free(stream);
}

/* ---- Damage ---------------------------------------------------------------------- */

static int open_code(const struct stream *stream, struct slice payload)
{
    struct record_decoder *decoder = NULL;
    struct err err = {0};
    int code = record_decoder_new(stream, payload, &decoder, &err);
    record_decoder_free(decoder);
    return code;
}

Test(record_damage, every_cut_is_seen)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct buf bytes = golden();
    for (size_t len = 0; len < bytes.len; len++) {
        struct record_decoder *decoder = NULL;
        struct err err = {0};
        char *exact = malloc(len + 1); /* so that ASan sees a read beyond the cut */
        memcpy(exact, bytes.data, len);
        exact = realloc(exact, len ? len : 1);
        int code = record_decoder_new(stream, slice_of(exact, len), &decoder, &err);
        struct value values[VALUES_MAX];
        while (code == ERR_OK) {
            code = next(decoder, values);
        }
        cr_assert_eq(code, ERR_CORRUPT, "cut at %zu", len);
        record_decoder_free(decoder);
        free(exact);
    }
    buf_free(&bytes);
    stream_free(stream);
}

Test(record_damage, bytes_after_the_last_row_are_seen)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct buf bytes = golden();
    buf_append_char(&bytes, 0);
    struct record_decoder *decoder = decoder_of(stream, buf_slice(&bytes));
    struct value values[VALUES_MAX];
    cr_assert_eq(next(decoder, values), ERR_OK);
    cr_assert_eq(next(decoder, values), ERR_OK);
    cr_assert_eq(next(decoder, values), ERR_CORRUPT);
    record_decoder_free(decoder);
    buf_free(&bytes);
    stream_free(stream);
}

Test(record_damage, versions_and_counts)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\x02")), ERR_VERSION);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\0\0\0\0\0\0")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("")), ERR_CORRUPT);
    /* four thousand million rows of no field take no byte each */
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\xff\xff\xff\xff\0")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\2\0\0\0\0XX")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\xff\xff\xff\xff\1\1\1aXXXX")),
                 ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\0\0\0\0\1\x08\1a")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\0\0\0\0\2\1\1a\1\1a")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\0\0\0\0\1\1\1\xff")), ERR_CORRUPT);
    cr_assert_eq(open_code(stream, SLICE_LITERAL("\1\0\0\0\0\2\1\1a\1\1b")), ERR_OK);
    stream_free(stream);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Any bytes end in an answer; nothing is read outside of them (ASan looks). */
Test(record_damage, arbitrary_bytes_are_survived)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct buf bytes = golden();
    uint64_t state = 20260108;
    size_t read = 0;
    const size_t header = 110;
    cr_assert_gt(bytes.len, header + 8);
    for (int round = 0; round < 20000; round++) {
        size_t len = bytes.len - random_next(&state) % 8;
        char *copy = malloc(len);
        cr_assert(bytes.data && copy);
        memcpy(copy, bytes.data, len);
        for (uint64_t i = 1 + random_next(&state) % 6; i > 0; i--) {
            size_t span = round % 2 ? len : len - header; /* half of them: rows alone */
            copy[len - 1 - random_next(&state) % span] = (char)random_next(&state);
        }
        struct record_decoder *decoder = NULL;
        struct err err = {0};
        int code = record_decoder_new(stream, slice_of(copy, len), &decoder, &err);
        struct value values[VALUES_MAX];
        struct buf json = {.max = 1 << 16};
        while (code == ERR_OK || code == ERR_DATA) {
            code = next(decoder, values);
            record_decoder_append_json(decoder, &json);
            read++;
        }
        cr_assert(code == ERR_CORRUPT || code == ERR_VERSION || code == ERR_NOT_FOUND);
        buf_free(&json);
        record_decoder_free(decoder);
        free(copy);
    }
    cr_assert_gt(read, 20000, "the mutations leave something to be read");
    buf_free(&bytes);
    stream_free(stream);
}
