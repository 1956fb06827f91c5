#include "schema/stream.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { COLUMNS_MAX = STREAM_COLUMNS_MAX + 1 };

/* 2026-01-08 01:04:26 UTC */
static const int64_t now_us = 1767834266000000;
static const int64_t day_us = 86400000000;

static const struct stream_field *field_of(const struct stream *stream, const char *name)
{
    int index = stream_field_find(stream, slice_text(name));
    cr_assert_geq(index, 0, "no field %s", name);
    return &stream->fields[index];
}

static bool parse(const struct stream_field *field, enum raw_type type, struct slice text,
                  struct value *out_value, struct reject *out_reject)
{
    struct time_rules rules = {0, now_us, day_us};
    struct raw_value raw = {type, text};
    return stream_field_parse(field, &raw, &rules, out_value, out_reject);
}

/* ---- Parsing --------------------------------------------------------------------- */

struct parse_case {
    const char *field;
    enum raw_type type;
    const char *text;
    const char *outcome; /* the value as text, or "!reason"; "" is ABSENT */
};

static void assert_parsed(const struct stream *stream, const struct parse_case *c)
{
    const struct stream_field *field = field_of(stream, c->field);
    struct value value = {.type = VALUE_ABSENT};
    struct reject reject = {0};
    bool taken = parse(field, c->type, slice_text(c->text), &value, &reject);
    if (c->outcome[0] == '!') {
        cr_assert_not(taken, "%s=%s was taken", c->field, c->text);
        cr_assert_str_eq(reject.reason, c->outcome + 1, "%s=%s", c->field, c->text);
        cr_assert_str_eq(reject.field, c->field);
        cr_assert_neq(reject.detail[0], '\0');
        cr_assert_eq(value.type, VALUE_ABSENT, "untouched on failure");
        return;
    }
    cr_assert(taken, "%s=%s: %s", c->field, c->text, reject.detail);
    struct buf out = {0};
    value_append_text(&out, &value);
    cr_assert_str_eq(buf_text(&out), c->outcome, "%s=%s", c->field, c->text);
    buf_free(&out);
}

Test(stream_parse, botnet)
{
    static const struct parse_case cases[] = {
        {"ip", RAW_STRING, "203.0.113.9", "203.0.113.9"},
        {"ip", RAW_STRING, "203.0.113.9 ", "!ip"},
        {"ip", RAW_STRING, "", "!missing"},
        {"ip", RAW_NUMBER, "203", "!type"},
        {"ip", RAW_TRUE, "", "!type"},
        {"ip", RAW_NULL, "", ""},
        {"timestamp", RAW_STRING, "2026-01-08 01:04:26.999", "2026-01-08T01:04:26Z"},
        {"timestamp", RAW_NUMBER, "1767834266", "2026-01-08T01:04:26Z"},
        {"timestamp", RAW_NUMBER, "1767834266999", "2026-01-08T01:04:26Z"},
        {"timestamp", RAW_STRING, "2026-01-09 01:04:26", "2026-01-09T01:04:26Z"},
        {"timestamp", RAW_STRING, "2026-01-09 01:04:27", "!future"},
        {"timestamp", RAW_STRING, "2038-01-19 03:14:08", "!future"},
        {"timestamp", RAW_STRING, "1970-01-01 00:00:01", "1970-01-01T00:00:01Z"},
        {"timestamp", RAW_STRING, "1970-01-01 00:00:00.9", "!range"},
        {"timestamp", RAW_STRING, "1969-12-31 23:59:59", "!range"},
        {"timestamp", RAW_STRING, "yesterday", "!time"},
        {"timestamp", RAW_STRING, "", "!missing"},
        {"timestamp", RAW_TRUE, "", "!type"},
        {"timestamp", RAW_NESTED, "{}", "!type"},
        {"longitude", RAW_NUMBER, "114.05", "114.05"},
        {"longitude", RAW_STRING, "114.05", "114.05"},
        {"longitude", RAW_NUMBER, "3.5e38", "!range"},
        {"longitude", RAW_NUMBER, "-3.5e38", "!range"},
        {"longitude", RAW_NUMBER, "1e400", "!range"},
        {"longitude", RAW_STRING, "east", "!not_a_number"},
        {"longitude", RAW_STRING, "NaN", "!not_a_number"},
        {"longitude", RAW_STRING, "", "!not_a_number"},
        {"longitude", RAW_FALSE, "", "!type"},
        {"longitude", RAW_NULL, "", ""},
        {"country", RAW_STRING, "中国", "中国"},
        {"country", RAW_STRING, "", ""},
        {"country", RAW_NUMBER, "86", "86"},
        {"country", RAW_TRUE, "", "true"},
        {"country", RAW_STRING, "ends in blank ", "ends in blank "},
        {"country", RAW_STRING, "\xff", "!utf8"},
        {"country", RAW_STRING, "\xed\xa0\x80", "!utf8"},
        {"country", RAW_NESTED, "[]", "!type"},
        {"country", RAW_STRING,
         "中中中中中中中中中中中中中中中中中中中中中中中中中"
         "中中中中中中中中中中中中中中中中中中中中中中中中中",
         "中中中中中中中中中中中中中中中中中中中中中中中中中"
         "中中中中中中中中中中中中中中中中中中中中中中中中中"},
        {"country", RAW_STRING,
         "中中中中中中中中中中中中中中中中中中中中中中中中中"
         "中中中中中中中中中中中中中中中中中中中中中中中中中x",
         "!too_long"},
        {"status", RAW_STRING, "cleaned", "cleaned"},
        {"status", RAW_STRING, "Cleaned", "!enum"},
        {"status", RAW_STRING, "", "!enum"},
        {"is_china", RAW_TRUE, "", "true"},
        {"is_china", RAW_FALSE, "", "false"},
        {"is_china", RAW_STRING, "TRUE", "true"},
        {"is_china", RAW_STRING, "False", "false"},
        {"is_china", RAW_STRING, "1", "true"},
        {"is_china", RAW_NUMBER, "0", "false"},
        {"is_china", RAW_NUMBER, "2", "!type"},
        {"is_china", RAW_STRING, "yes", "!type"},
        {"is_china", RAW_STRING, "", "!type"},
    };
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_parsed(stream, &cases[i]);
    }
    stream_free(stream);
}

Test(stream_parse, readings)
{
    static const struct parse_case cases[] = {
        {"serial", RAW_STRING, "dev 7", "dev 7"},
        {"serial", RAW_STRING, " dev", " dev"},
        {"serial", RAW_STRING, "dev ", "!blank_end"},
        {"serial", RAW_STRING, "dev\n", "!blank_end"},
        {"serial", RAW_STRING, "", "!missing"},
        {"serial", RAW_NUMBER, "7", "7"},
        {"at", RAW_STRING, "1000-01-01 00:00:00", "1000-01-01T00:00:00Z"},
        {"at", RAW_STRING, "0999-12-31 23:59:59.999", "!range"},
        {"at", RAW_STRING, "1969-12-31 23:59:59.9999", "1969-12-31T23:59:59.999Z"},
        {"at", RAW_STRING, "1960-01-01 00:00:00.0019", "1960-01-01T00:00:00.001Z"},
        {"at", RAW_STRING, "2026-01-09 01:04:26.001", "!future"},
        {"probe", RAW_NUMBER, "-2147483648", "-2147483648"},
        {"probe", RAW_NUMBER, "2147483648", "!range"},
        {"probe", RAW_NUMBER, "99999999999999999999", "!range"},
        {"probe", RAW_NUMBER, "1.0", "!not_a_number"},
        {"probe", RAW_NUMBER, "1e3", "!not_a_number"},
        {"probe", RAW_STRING, "12", "12"},
        {"probe", RAW_STRING, "-", "!not_a_number"},
        {"probe", RAW_STRING, "", "!missing"},
        {"probe", RAW_TRUE, "", "!type"},
        {"quality", RAW_NUMBER, "65535", "65535"},
        {"quality", RAW_NUMBER, "65536", "!range"},
        {"quality", RAW_NUMBER, "-1", "!range"},
        {"quality", RAW_STRING, "", "!not_a_number"},
        {"value", RAW_NUMBER, "3.5e38", "3.5e+38"},
        {"value", RAW_NUMBER, "1e309", "!range"},
        {"level", RAW_NUMBER, "9223372036854775807", "9223372036854775807"},
        {"level", RAW_NUMBER, "9223372036854775808", "!range"},
        {"state", RAW_STRING, "lost", "lost"},
        {"state", RAW_STRING, "found", "!enum"},
    };
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_parsed(stream, &cases[i]);
    }
    stream_free(stream);
}

Test(stream_parse, a_nul_is_refused)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct value value;
    struct reject reject;
    cr_assert_not(parse(field_of(stream, "country"), RAW_STRING, slice_of("a\0b", 3),
                        &value, &reject));
    cr_assert_str_eq(reject.reason, "nul");
    stream_free(stream);
}

Test(stream_parse, the_zone_moves_times_and_the_datetime_range)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    const struct stream_field *at = field_of(stream, "at");
    struct time_rules rules = {28800, INT64_MAX, INT64_MAX};
    struct raw_value raw = {RAW_STRING, SLICE_LITERAL("9999-12-31 23:59:59.999")};
    struct value value;
    struct reject reject;
    cr_assert(stream_field_parse(at, &raw, &rules, &value, &reject),
              "a max_future without end is none");
    cr_assert_eq(value.time_us, (253402300799 - 28800) * 1000000 + 999000);
    raw.text = SLICE_LITERAL("9999-12-31T23:59:59.999Z");
    cr_assert_not(stream_field_parse(at, &raw, &rules, &value, &reject),
                  "it is the year 10000 in that zone");
    cr_assert_str_eq(reject.reason, "range");
    raw.text = SLICE_LITERAL("1000-01-01 00:00:00");
    cr_assert(stream_field_parse(at, &raw, &rules, &value, &reject));
    stream_free(stream);
}

/* ---- Streams --------------------------------------------------------------------- */

Test(stream_new, botnet)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    cr_assert_str_eq(stream->entity.name, "botnet_nodes_mozi");
    cr_assert_str_eq(stream->event.name, "botnet_communications_mozi");
    cr_assert_eq(stream->lanes, 1);
    cr_assert_eq(stream->entity.id_bits, 32);
    cr_assert_eq(stream->event.id_bits, 64);
    cr_assert_str_eq(stream->fields[stream->key_field].name, "ip");
    cr_assert_str_eq(stream->fields[stream->time_field].name, "timestamp");
    const struct stream_column *entity = stream->entity.columns;
    cr_assert_str_eq(entity[stream->entity_key_column].name, "ip");
    cr_assert_str_eq(entity[stream->watermark_column].name, "last_seen");
    cr_assert_str_eq(entity[stream->count_column].name, "communication_count");
    cr_assert_str_eq(stream->event.columns[stream->event_key[1]].name,
                     "communication_time");
    cr_assert_eq(stream->event.columns[2].field, STREAM_RECEIVED);
    cr_assert_eq(stream->compare_count, 1);
    cr_assert_eq(stream->csv_count, 3);
    cr_assert_eq(stream->csv[1], stream->key_field);
    cr_assert(field_of(stream, "timestamp")->is_time);
    cr_assert(field_of(stream, "timestamp")->required);
    cr_assert_not(field_of(stream, "country")->required);
    cr_assert_eq(field_of(stream, "status")->member_count, 3);
    cr_assert_eq(field_of(stream, "status")->characters_max, 50);
    cr_assert_eq(field_of(stream, "isp")->characters_max, 255);
    cr_assert_eq(stream_field_find(stream, SLICE_LITERAL("botnet_type")),
                 STREAM_NO_FIELD);
    cr_assert_eq(stream_field_find(stream, SLICE_LITERAL("i")), STREAM_NO_FIELD);
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        if (strcmp(entity[i].name, "status") == 0) {
            cr_assert(slice_is(entity[i].fallback.text, "active"));
        }
        if (strcmp(entity[i].name, "is_china") == 0) {
            cr_assert_eq(entity[i].fallback.type, VALUE_BOOL);
        }
        if (strcmp(entity[i].name, "created_time") == 0) {
            cr_assert_eq(entity[i].fallback.type, VALUE_ABSENT);
        }
    }
    stream_free(stream);
}

Test(stream_new, keeps_nothing_of_the_spec)
{
    char name[] = "mozi";
    struct column_spec columns[COLUMNS_MAX];
    struct stream_spec spec = botnet_spec(name);
    memcpy(columns, spec.entity.columns, spec.entity.column_count * sizeof *columns);
    spec.entity.columns = columns;
    char column[] = "ip";
    columns[0].name = column;
    struct stream *stream = stream_of(&spec);
    memset(name, 'x', sizeof name - 1);
    memset(column, 'x', sizeof column - 1);
    memset(columns, 0, sizeof columns);
    cr_assert_str_eq(stream->name, "mozi");
    cr_assert_str_eq(stream->entity.columns[0].name, "ip");
    stream_free(stream);
    stream_free(NULL);
}

Test(stream_new, a_field_obeys_all_its_columns)
{
    static const char *const some[] = {"ok", "lost", "new"};
    struct stream_spec spec = readings_spec();
    struct column_spec columns[COLUMNS_MAX];
    size_t count = spec.event.column_count;
    memcpy(columns, spec.event.columns, count * sizeof *columns);
    columns[count++] = (struct column_spec){.name = "l",
                                            .type = COLUMN_INTEGER,
                                            .bits = 8,
                                            .is_unsigned = true,
                                            .from = "level"};
    columns[count++] = (struct column_spec){.name = "s",
                                            .type = COLUMN_ENUM,
                                            .members = some,
                                            .member_count = 3,
                                            .from = "state"};
    columns[count++] = (struct column_spec){
        .name = "a", .type = COLUMN_TIMESTAMP, .precision = 1, .from = "at"};
    spec.event.columns = columns;
    spec.event.column_count = count;
    struct stream *stream = stream_of(&spec);
    const struct stream_field *level = field_of(stream, "level");
    cr_assert_eq(level->integer_min, 0);
    cr_assert_eq(level->integer_max, 255);
    cr_assert_not(level->is_unsigned);
    cr_assert_eq(field_of(stream, "state")->member_count, 2);
    cr_assert_eq(field_of(stream, "at")->precision, 1);
    cr_assert(field_of(stream, "at")->timestamp_range);
    struct parse_case failing = {"state", RAW_STRING, "failing", "!enum"};
    struct parse_case lost = {"state", RAW_STRING, "lost", "lost"};
    struct parse_case negative = {"level", RAW_NUMBER, "-1", "!range"};
    assert_parsed(stream, &failing);
    assert_parsed(stream, &lost);
    assert_parsed(stream, &negative);
    stream_free(stream);
}

/* A spec to be spoilt: botnet with columns of its own. */
struct draft {
    struct stream_spec spec;
    struct column_spec entity[COLUMNS_MAX];
    struct column_spec event[COLUMNS_MAX];
    struct index_spec indexes[2];
};

static struct column_spec *column_in(struct draft *draft, bool entity, const char *name)
{
    struct column_spec *columns = entity ? draft->entity : draft->event;
    size_t count =
        entity ? draft->spec.entity.column_count : draft->spec.event.column_count;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            return &columns[i];
        }
    }
    cr_assert_fail("no column %s", name);
    return NULL;
}

#define E(name) column_in(draft, true, name)
#define V(name) column_in(draft, false, name)

static const char *const list_type[] = {"event_type"};
static const char *const list_ip[] = {"ip"};
static const char *const list_time[] = {"communication_time"};
static const char *const list_twice[] = {"ip", "ip"};
static const char *const list_unknown[] = {"ip", "nothing"};
static const char *const list_received[] = {"ip", "received_at"};
static const char *const list_float[] = {"ip", "longitude"};
static const char *const members_case[] = {"a", "A"};
static const char *const members_quote[] = {"a\\"};

/* clang-format off */
#define SPOIL(n, body) static void spoil_##n(struct draft *draft) { body; }
SPOIL(name, draft->spec.name = "mo-zi")
SPOIL(no_name, draft->spec.name = NULL)
SPOIL(long_name, draft->spec.name = "a12345678901234567890123456789012")
SPOIL(lanes, draft->spec.lanes = 65)
SPOIL(table, draft->spec.entity.table = "a`b")
SPOIL(no_table, draft->spec.event.table = NULL)
SPOIL(long_table, draft->spec.event.table =
      "{stream}_12345678901234567890123456789012345678901234567890123456789012")
SPOIL(one_table, draft->spec.event.table = "BOTNET_nodes_mozi")
SPOIL(id, draft->spec.entity.id = "")
SPOIL(id_bits, draft->spec.entity.id_bits = 16)
SPOIL(ref, draft->spec.entity_ref = NULL)
SPOIL(ref_is_column, draft->spec.entity_ref = "Country")
SPOIL(no_columns, draft->spec.entity.column_count = 0)
SPOIL(many_columns, draft->spec.entity.column_count = COLUMNS_MAX)
SPOIL(column_name, E("city")->name = "ci ty")
SPOIL(column_is_id, E("city")->name = "ID")
SPOIL(column_twice, E("city")->name = "Country")
SPOIL(column_type, E("city")->type = (enum column_type)99)
SPOIL(string_max, E("city")->max = 0)
SPOIL(string_huge, E("city")->max = 16384)
SPOIL(bits, E("communication_count")->bits = 24)
SPOIL(float_bits, E("longitude")->bits = 16)
SPOIL(precision, E("last_seen")->precision = 7)
SPOIL(no_members, E("status")->member_count = 0)
SPOIL(members_alike, E("status")->members = members_case; E("status")->member_count = 2)
SPOIL(members_quoted, E("status")->members = members_quote; E("status")->member_count = 1)
SPOIL(two_types, V("city")->type = COLUMN_FLOAT)
SPOIL(from_dollar, V("city")->from = "$now")
SPOIL(from_empty, V("city")->from = "")
SPOIL(entity_received, E("updated_at")->from = COLUMN_FROM_RECEIVED)
SPOIL(received_type, V("received_at")->type = COLUMN_BOOL; V("received_at")->default_value = NULL)
SPOIL(default_wrong, E("status")->default_value = "gone")
SPOIL(default_number, E("communication_count")->default_value = "none")
SPOIL(default_now_fed, E("last_seen")->default_value = "now")
SPOIL(default_time, E("created_time")->default_value = "2026-01-01 00:00:00")
SPOIL(default_quoted, V("status")->default_value = "a\\b")
SPOIL(from_and_value, V("city")->value = "x")
SPOIL(no_key, E("ip")->merge = MERGE_LATEST)
SPOIL(two_keys, E("city")->merge = MERGE_KEY)
SPOIL(two_counts, E("longitude")->type = COLUMN_INTEGER; E("longitude")->from = NULL;
      E("longitude")->merge = MERGE_COUNT)
SPOIL(count_text, E("city")->from = NULL; E("city")->merge = MERGE_COUNT)
SPOIL(count_from, E("communication_count")->from = "n")
SPOIL(latest_without_from, E("city")->from = NULL)
SPOIL(none_with_from, E("city")->merge = MERGE_NONE)
SPOIL(constant_without_value, E("city")->from = NULL; E("city")->merge = MERGE_CONSTANT)
SPOIL(value_without_constant, E("city")->from = NULL; E("city")->merge = MERGE_NONE;
      E("city")->value = "x")
SPOIL(min_of_text, E("city")->merge = MERGE_MIN)
SPOIL(no_watermark, E("last_seen")->merge = MERGE_MIN)
SPOIL(optional_watermark, E("last_seen")->optional = true)
SPOIL(optional_key, E("ip")->optional = true)
SPOIL(event_merge, V("city")->merge = MERGE_LATEST)
SPOIL(time, draft->spec.time = "city")
SPOIL(no_time, draft->spec.time = NULL)
SPOIL(key_empty, draft->spec.event_key_count = 0)
SPOIL(key_without_entity, draft->spec.event_key = list_time; draft->spec.event_key_count = 1)
SPOIL(key_twice, draft->spec.event_key = list_twice)
SPOIL(key_unknown, draft->spec.event_key = list_unknown)
SPOIL(key_received, draft->spec.event_key = list_received)
SPOIL(key_float, draft->spec.event_key = list_float)
SPOIL(compare_unknown, draft->spec.compare = list_unknown; draft->spec.compare_count = 2)
SPOIL(csv_unknown, draft->spec.csv = list_unknown; draft->spec.csv_count = 2)
SPOIL(csv_twice, draft->spec.csv = list_twice; draft->spec.csv_count = 2)
SPOIL(csv_incomplete, draft->spec.csv = list_ip; draft->spec.csv_count = 1)
SPOIL(not_null_unfed, E("created_time")->default_value = NULL; E("created_time")->not_null = true)
SPOIL(index_empty, draft->indexes[0].column_count = 0)
SPOIL(index_unknown, draft->indexes[0].columns = list_unknown; draft->indexes[0].column_count = 2)
SPOIL(index_twice, draft->indexes[1] = draft->indexes[0])
SPOIL(index_primary, draft->indexes[0].name = "primary")
SPOIL(key_too_long, V("event_type")->max = 1000; draft->indexes[0].columns = list_type)

static const struct {
    void (*spoil)(struct draft *draft);
    const char *path;
} spoilt[] = {
    {spoil_name, "name"}, {spoil_no_name, "name"}, {spoil_long_name, "name"},
    {spoil_lanes, "lanes"}, {spoil_table, "entity.table"}, {spoil_no_table, "event.table"},
    {spoil_long_table, "event.table"}, {spoil_one_table, "event.table"},
    {spoil_id, "entity.id"}, {spoil_id_bits, "entity.id_bits"}, {spoil_ref, "entity_ref"},
    {spoil_ref_is_column, "event.columns[5]"}, {spoil_no_columns, "entity.columns"},
    {spoil_many_columns, "entity.columns"}, {spoil_column_name, "entity.columns[5]"},
    {spoil_column_is_id, "entity.columns[5]"}, {spoil_column_twice, "entity.columns[5]"},
    {spoil_column_type, "entity.columns[5]"}, {spoil_string_max, "entity.columns[5]"},
    {spoil_string_huge, "entity.columns[5]"}, {spoil_bits, "entity.columns[13]"},
    {spoil_float_bits, "entity.columns[1]"}, {spoil_precision, "entity.columns[11]"},
    {spoil_no_members, "entity.columns[9]"}, {spoil_members_alike, "entity.columns[9]"},
    {spoil_members_quoted, "entity.columns[9]"}, {spoil_two_types, "event.columns[7]"},
    {spoil_from_dollar, "event.columns[7]"}, {spoil_from_empty, "event.columns[7]"},
    {spoil_entity_received, "entity.columns[15]"},
    {spoil_received_type, "event.columns[2]"}, {spoil_default_wrong, "entity.columns[9]"},
    {spoil_default_number, "entity.columns[13]"},
    {spoil_default_now_fed, "entity.columns[11]"},
    {spoil_default_time, "entity.columns[14]"}, {spoil_default_quoted, "event.columns[12]"},
    {spoil_from_and_value, "event.columns[7]"}, {spoil_no_key, "entity.columns"},
    {spoil_two_keys, "entity.columns[5].merge"},
    {spoil_two_counts, "entity.columns[13].merge"},
    {spoil_count_text, "entity.columns[5].merge"},
    {spoil_count_from, "entity.columns[13].merge"},
    {spoil_latest_without_from, "entity.columns[5].merge"},
    {spoil_none_with_from, "entity.columns[5].merge"},
    {spoil_constant_without_value, "entity.columns[5].merge"},
    {spoil_value_without_constant, "entity.columns[5].merge"},
    {spoil_min_of_text, "entity.columns[5].merge"},
    {spoil_no_watermark, "entity.columns[1].merge"},
    {spoil_optional_watermark, "entity.columns[1].merge"},
    {spoil_optional_key, "entity.columns[0]"},
    {spoil_event_merge, "event.columns[7].merge"}, {spoil_time, "time"},
    {spoil_no_time, "time"}, {spoil_key_empty, "event.key"},
    {spoil_key_without_entity, "event.key"}, {spoil_key_twice, "event.key[1]"},
    {spoil_key_unknown, "event.key[1]"}, {spoil_key_received, "event.key[1]"},
    {spoil_key_float, "event.key[1]"}, {spoil_compare_unknown, "event.compare[1]"},
    {spoil_csv_unknown, "csv[1]"}, {spoil_csv_twice, "csv[1]"},
    {spoil_csv_incomplete, "csv"}, {spoil_not_null_unfed, "entity.columns[14]"},
    {spoil_index_empty, "event.indexes[0]"}, {spoil_index_unknown, "event.indexes[0]"},
    {spoil_index_twice, "event.indexes[1]"}, {spoil_index_primary, "event.indexes[0]"},
    {spoil_key_too_long, "event.indexes[0]"},
};
/* clang-format on */

Test(stream_new, each_mistake_is_refused_where_it_is)
{
    for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
        static struct draft draft;
        draft = (struct draft){.spec = botnet_spec("mozi")};
        struct stream_spec *spec = &draft.spec;
        memcpy(draft.entity, spec->entity.columns,
               spec->entity.column_count * sizeof draft.entity[0]);
        memcpy(draft.event, spec->event.columns,
               spec->event.column_count * sizeof draft.event[0]);
        spec->entity.columns = draft.entity;
        spec->event.columns = draft.event;
        memcpy(draft.indexes, spec->event.indexes, sizeof draft.indexes);
        spec->event.indexes = draft.indexes;
        spec->event.index_count = 2;
        spoilt[i].spoil(&draft);
        struct stream *stream = NULL;
        struct err err = {0};
        char path[STREAM_PATH_MAX] = "";
        cr_assert_eq(stream_new(spec, &stream, path, &err), ERR_CONFIG, "case %zu, %s", i,
                     spoilt[i].path);
        cr_assert_str_eq(path, spoilt[i].path, "case %zu: %s", i, err.message);
        cr_assert_eq(strncmp(err.message, path, strlen(path)), 0, "%s", err.message);
        cr_assert_null(stream);
    }
}

Test(stream_new, too_many_fields)
{
    static char names[2][STREAM_FIELDS_MAX][16];
    static struct column_spec columns[COLUMNS_MAX];
    struct stream_spec spec = botnet_spec("mozi");
    size_t count = spec.event.column_count;
    memcpy(columns, spec.event.columns, count * sizeof *columns);
    for (size_t i = 0; i < STREAM_FIELDS_MAX; i++) {
        snprintf(names[0][i], sizeof names[0][i], "x%zu", i);
        columns[count++] = (struct column_spec){
            .name = names[0][i], .type = COLUMN_BOOL, .from = names[0][i]};
    }
    spec.event.columns = columns;
    spec.event.column_count = count;
    struct stream *stream;
    struct err err = {0};
    cr_assert_eq(stream_new(&spec, &stream, NULL, &err), ERR_CONFIG);
    cr_assert_not_null(strstr(err.message, "more than 64 record fields"));
}

/* ---- Records --------------------------------------------------------------------- */

Test(stream_record, required_fields)
{
    struct stream_spec spec = readings_spec();
    struct stream *stream = stream_of(&spec);
    struct value values[STREAM_FIELDS_MAX] = {{.type = VALUE_ABSENT}};
    struct reject reject;
    set_field(stream, values, "serial", "x");
    set_field(stream, values, "at", "2026-01-01 00:00:00");
    cr_assert_not(stream_record_check(stream, values, &reject));
    cr_assert_str_eq(reject.reason, "missing");
    cr_assert_str_eq(reject.field, "probe");
    set_field(stream, values, "probe", "1");
    cr_assert(stream_record_check(stream, values, &reject));
    stream_free(stream);
}

/* The numbers are XXH3_64bits of the key's text modulo 64: backlogs on disk rest on
 * them. */
enum { LANE_IP = 22, LANE_TEXT = 15 };

Test(stream_record, lanes_never_change)
{
    struct stream_spec specs[] = {botnet_spec("mozi"), readings_spec()};
    specs[0].lanes = specs[1].lanes = 64;
    struct stream *botnet = stream_of(&specs[0]);
    struct stream *readings = stream_of(&specs[1]);
    struct value values[STREAM_FIELDS_MAX];
    set_field(botnet, values, "ip", "203.0.113.9");
    cr_assert_eq(stream_lane(botnet, values), LANE_IP);
    set_field(readings, values, "serial", "203.0.113.9");
    cr_assert_eq(stream_lane(readings, values), LANE_IP, "by text, whatever the type");
    set_field(readings, values, "serial", "中国");
    cr_assert_eq(stream_lane(readings, values), LANE_TEXT);
    stream_free(botnet);
    stream_free(readings);
}

Test(stream_record, lanes_are_within_bounds_and_all_used)
{
    struct stream_spec spec = botnet_spec("mozi");
    spec.lanes = 3;
    struct stream *stream = stream_of(&spec);
    struct value values[STREAM_FIELDS_MAX];
    size_t seen[3] = {0};
    for (uint32_t ip = 0; ip < 3000; ip++) {
        values[stream->key_field] = (struct value){.type = VALUE_IP, .ip = ip};
        uint32_t lane = stream_lane(stream, values);
        cr_assert_lt(lane, 3);
        seen[lane]++;
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_gt(seen[i], 800);
    }
    stream_free(stream);
}
