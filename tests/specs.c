#include "tests/specs.h"

#include <criterion/criterion.h>

#define COUNT(items) (sizeof(items) / sizeof((items)[0]))
#define INDEX(...)                                                                       \
    {                                                                                    \
        .columns = (const char *const[]){__VA_ARGS__},                                   \
        .column_count = COUNT(((const char *const[]){__VA_ARGS__}))                      \
    }

/* ---- botnet -------------------------------------------------------------------- */

static const char *const statuses[] = {"active", "inactive", "cleaned"};

/* clang-format off */
static const struct column_spec botnet_entity_columns[] = {
    {.name = "ip", .type = COLUMN_IP, .from = "ip", .merge = MERGE_KEY, .not_null = true},
    {.name = "longitude", .type = COLUMN_FLOAT, .bits = 32, .from = "longitude",
     .merge = MERGE_LATEST},
    {.name = "latitude", .type = COLUMN_FLOAT, .bits = 32, .from = "latitude",
     .merge = MERGE_LATEST},
    {.name = "country", .type = COLUMN_STRING, .max = 50, .from = "country",
     .merge = MERGE_LATEST},
    {.name = "province", .type = COLUMN_STRING, .max = 50, .from = "province",
     .merge = MERGE_LATEST},
    {.name = "city", .type = COLUMN_STRING, .max = 50, .from = "city",
     .merge = MERGE_LATEST},
    {.name = "continent", .type = COLUMN_STRING, .max = 50, .from = "continent",
     .merge = MERGE_LATEST},
    {.name = "isp", .type = COLUMN_STRING, .max = 255, .from = "isp",
     .merge = MERGE_LATEST},
    {.name = "asn", .type = COLUMN_STRING, .max = 50, .from = "asn",
     .merge = MERGE_LATEST},
    {.name = "status", .type = COLUMN_ENUM, .members = statuses,
     .member_count = COUNT(statuses), .from = "status", .merge = MERGE_LATEST,
     .default_value = "active"},
    {.name = "first_seen", .type = COLUMN_TIMESTAMP, .from = "timestamp",
     .merge = MERGE_MIN},
    {.name = "last_seen", .type = COLUMN_TIMESTAMP, .from = "timestamp",
     .merge = MERGE_MAX},
    {.name = "cleaned_time", .type = COLUMN_TIMESTAMP, .optional = true},
    {.name = "communication_count", .type = COLUMN_INTEGER, .bits = 32,
     .merge = MERGE_COUNT, .default_value = "0"},
    {.name = "created_time", .type = COLUMN_TIMESTAMP, .default_value = "now"},
    {.name = "updated_at", .type = COLUMN_TIMESTAMP, .from = "timestamp",
     .merge = MERGE_MAX, .optional = true},
    {.name = "is_china", .type = COLUMN_BOOL, .from = "is_china", .merge = MERGE_LATEST,
     .default_value = "false"},
};

static const struct index_spec botnet_entity_indexes[] = {
    INDEX("ip"),
    INDEX("country", "province", "city"),
    INDEX("status"),
    INDEX("first_seen"),
    INDEX("last_seen"),
    INDEX("cleaned_time"),
    INDEX("communication_count"),
    INDEX("is_china"),
};

static const struct column_spec botnet_event_columns[] = {
    {.name = "ip", .type = COLUMN_IP, .from = "ip", .not_null = true},
    {.name = "communication_time", .type = COLUMN_TIMESTAMP, .from = "timestamp",
     .not_null = true},
    {.name = "received_at", .type = COLUMN_TIMESTAMP, .from = COLUMN_FROM_RECEIVED,
     .default_value = "now"},
    {.name = "longitude", .type = COLUMN_FLOAT, .bits = 32, .from = "longitude"},
    {.name = "latitude", .type = COLUMN_FLOAT, .bits = 32, .from = "latitude"},
    {.name = "country", .type = COLUMN_STRING, .max = 50, .from = "country"},
    {.name = "province", .type = COLUMN_STRING, .max = 50, .from = "province"},
    {.name = "city", .type = COLUMN_STRING, .max = 50, .from = "city"},
    {.name = "continent", .type = COLUMN_STRING, .max = 50, .from = "continent"},
    {.name = "isp", .type = COLUMN_STRING, .max = 255, .from = "isp"},
    {.name = "asn", .type = COLUMN_STRING, .max = 50, .from = "asn"},
    {.name = "event_type", .type = COLUMN_STRING, .max = 50, .from = "event_type"},
    {.name = "status", .type = COLUMN_STRING, .max = 50, .from = "status",
     .default_value = "active"},
    {.name = "is_china", .type = COLUMN_BOOL, .from = "is_china",
     .default_value = "false"},
};

static const struct index_spec botnet_event_indexes[] = {
    INDEX("node_id"),
    INDEX("communication_time"),
    INDEX("country", "province", "city"),
};

static const char *const botnet_key[] = {"ip", "communication_time"};
static const char *const botnet_compare[] = {"event_type"};
static const char *const botnet_csv[] = {"timestamp", "ip", "event_type"};

struct stream_spec botnet_spec(const char *name)
{
    return (struct stream_spec){
        .name = name,
        .entity = {.table = "botnet_nodes_{stream}", .id = "id", .id_bits = 32,
                   .columns = botnet_entity_columns,
                   .column_count = COUNT(botnet_entity_columns),
                   .indexes = botnet_entity_indexes,
                   .index_count = COUNT(botnet_entity_indexes)},
        .event = {.table = "botnet_communications_{stream}", .id = "id", .id_bits = 64,
                  .columns = botnet_event_columns,
                  .column_count = COUNT(botnet_event_columns),
                  .indexes = botnet_event_indexes,
                  .index_count = COUNT(botnet_event_indexes)},
        .entity_ref = "node_id",
        .time = "timestamp",
        .event_key = botnet_key, .event_key_count = COUNT(botnet_key),
        .compare = botnet_compare, .compare_count = COUNT(botnet_compare),
        .csv = botnet_csv, .csv_count = COUNT(botnet_csv),
    };
}

/* ---- readings -------------------------------------------------------------------- */

static const char *const states[] = {"ok", "failing", "lost"};

static const struct column_spec device_columns[] = {
    {.name = "serial", .type = COLUMN_STRING, .max = 64, .from = "serial",
     .merge = MERGE_KEY, .not_null = true},
    {.name = "model", .type = COLUMN_STRING, .max = 40, .from = "model",
     .merge = MERGE_LATEST},
    {.name = "firmware", .type = COLUMN_STRING, .max = 40, .from = "firmware",
     .merge = MERGE_LATEST},
    {.name = "first_seen", .type = COLUMN_DATETIME, .precision = 3, .from = "at",
     .merge = MERGE_MIN},
    {.name = "last_seen", .type = COLUMN_DATETIME, .precision = 3, .from = "at",
     .merge = MERGE_MAX},
    {.name = "highest", .type = COLUMN_INTEGER, .bits = 64, .from = "level",
     .merge = MERGE_MAX},
    {.name = "lowest", .type = COLUMN_FLOAT, .bits = 64, .from = "value",
     .merge = MERGE_MIN},
    {.name = "state", .type = COLUMN_ENUM, .members = states,
     .member_count = COUNT(states), .from = "state", .merge = MERGE_LATEST,
     .default_value = "ok"},
    {.name = "enabled", .type = COLUMN_BOOL, .from = "enabled", .merge = MERGE_LATEST},
    {.name = "site", .type = COLUMN_STRING, .max = 40, .from = "site",
     .merge = MERGE_FIRST},
    {.name = "source", .type = COLUMN_STRING, .max = 20, .merge = MERGE_CONSTANT,
     .value = "holdfast"},
    {.name = "reading_count", .type = COLUMN_INTEGER, .bits = 64, .is_unsigned = true,
     .merge = MERGE_COUNT, .not_null = true, .default_value = "0"},
};

static const struct index_spec device_indexes[] = {INDEX("last_seen"),
                                                   INDEX("site", "state")};

static const struct column_spec reading_columns[] = {
    {.name = "serial", .type = COLUMN_STRING, .max = 64, .from = "serial",
     .not_null = true},
    {.name = "at", .type = COLUMN_DATETIME, .precision = 3, .from = "at",
     .not_null = true},
    {.name = "probe", .type = COLUMN_INTEGER, .bits = 32, .from = "probe",
     .not_null = true},
    {.name = "received_at", .type = COLUMN_TIMESTAMP, .precision = 6,
     .from = COLUMN_FROM_RECEIVED},
    {.name = "value", .type = COLUMN_FLOAT, .bits = 64, .from = "value"},
    {.name = "quality", .type = COLUMN_INTEGER, .bits = 16, .is_unsigned = true,
     .from = "quality"},
    {.name = "note", .type = COLUMN_STRING, .max = 200, .from = "note"},
};
/* clang-format on */

static const struct index_spec reading_indexes[] = {INDEX("device_id", "at")};

static const char *const reading_key[] = {"serial", "at", "probe"};
static const char *const reading_compare[] = {"value", "quality", "note"};
static const char *const reading_csv[] = {"at", "serial", "probe", "value"};

struct stream_spec readings_spec(void)
{
    return (struct stream_spec){
        .name = "plant",
        .entity = {.table = "devices",
                   .id = "id",
                   .columns = device_columns,
                   .column_count = COUNT(device_columns),
                   .indexes = device_indexes,
                   .index_count = COUNT(device_indexes)},
        .event = {.table = "readings_{stream}",
                  .id = "id",
                  .columns = reading_columns,
                  .column_count = COUNT(reading_columns),
                  .indexes = reading_indexes,
                  .index_count = COUNT(reading_indexes)},
        .entity_ref = "device_id",
        .time = "at",
        .event_key = reading_key,
        .event_key_count = COUNT(reading_key),
        .compare = reading_compare,
        .compare_count = COUNT(reading_compare),
        .csv = reading_csv,
        .csv_count = COUNT(reading_csv),
    };
}

/* ---- Both ------------------------------------------------------------------------- */

struct stream *stream_of(const struct stream_spec *spec)
{
    struct stream *stream = NULL;
    struct err err = {0};
    int code = stream_new(spec, &stream, NULL, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    return stream;
}

void set_field(const struct stream *stream, struct value *values, const char *field,
               const char *text)
{
    struct time_rules rules = {.now_us = 1767830400000000, .max_future_us = 86400000000};
    struct raw_value raw = {RAW_STRING, slice_text(text)};
    struct reject reject;
    int index = stream_field_find(stream, slice_text(field));
    cr_assert_geq(index, 0, "no field '%s'", field);
    bool taken =
        stream_field_parse(&stream->fields[index], &raw, &rules, &values[index], &reject);
    cr_assert(taken, "%s=%s: %s", field, text, taken ? "" : reject.detail);
}
