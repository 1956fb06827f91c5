/* schema/stream.h: a checked stream: two tables, the record fields that feed them, and
 * what each value must obey. Immutable after stream_new; any thread may read it.
 */
#ifndef HOLDFAST_SCHEMA_STREAM_H
#define HOLDFAST_SCHEMA_STREAM_H

#include "base/err.h"
#include "schema/spec.h"
#include "schema/value.h"

enum {
    STREAM_NAME_MAX = 32,
    STREAM_FIELDS_MAX = 64,
    STREAM_COLUMNS_MAX = 96,
    STREAM_LANES_MAX = 64,
    STREAM_NO_FIELD = -1,
    STREAM_RECEIVED = -2, /* column.field of a $received column */
};

/* One field that a record may carry. Where several columns are fed by it, it must obey
 * all of them. */
struct stream_field {
    const char *name;
    enum value_type type;
    bool required; /* part of a key, the time, or feeds a NOT NULL
                    * column without a default */
    bool is_time;  /* the observation's time: max_future is for it alone */
    bool key;      /* entity key or event key: no trailing blank in text */
    uint32_t
        characters_max;  /* VALUE_TEXT: the narrowest column; UINT32_MAX: enums only */
    int64_t integer_min; /* VALUE_INTEGER: the narrowest column */
    uint64_t integer_max;
    bool is_unsigned;
    uint32_t float_bits;
    uint32_t precision;   /* VALUE_TIME: cut to so many digits, the coarsest column */
    bool timestamp_range; /* VALUE_TIME: feeds a TIMESTAMP column */
    const char *const *members; /* VALUE_TEXT that feeds an enum: what all of them allow;
                                 * NULL: any */
    size_t member_count;
};

struct stream_column {
    const char *name;
    enum column_type type;
    int field; /* index of the field that feeds it, or a negative constant */
    enum merge_rule merge;
    struct column_spec spec; /* as written, with bits filled in; key columns not_null */
    struct value constant;   /* ABSENT where it has none */
    struct value fallback;   /* its default as a value; ABSENT where it has none */
};

struct stream_table {
    const char *name; /* {stream} replaced; checked as an identifier */
    const char *id;
    uint32_t id_bits;
    const struct stream_column *columns; /* without id and without entity_ref */
    size_t column_count;
    const struct index_spec *indexes;
    size_t index_count; /* each with its name filled in */
};

struct stream {
    const char *name;
    uint32_t lanes;
    enum on_conflict on_conflict;
    const struct stream_field *fields;
    size_t field_count;
    int time_field;
    int key_field; /* field of the entity key */
    struct stream_table entity;
    struct stream_table event;
    const char *entity_ref; /* event table's column */
    int entity_key_column;  /* index in entity.columns */
    int watermark_column;   /* entity column: max of the time field; -1: none, and then
                             * no column is MERGE_LATEST */
    int count_column;       /* entity column MERGE_COUNT; -1: none */
    const int *event_key;   /* indexes in event.columns, in the unique key's order */
    size_t event_key_count;
    const int *compare; /* indexes in event.columns */
    size_t compare_count;
    const int *csv; /* field indexes */
    size_t csv_count;
};

/* Copies and checks a spec. On ERR_CONFIG `err` says what is wrong and out_path (if not
 * NULL) names the key within the stream, such as "entity.columns[3].merge", so that the
 * caller can name the line. Checked: names are identifiers of at most 64 bytes, types and
 * widths, one value type a field, exactly one entity key, the event key holds the entity
 * key's field, no floats or bools in keys, LATEST needs a MAX column of the time field
 * that is not optional, MIN and MAX on numbers and times, at most one COUNT, defaults and
 * constants parse as their type, csv names fields and holds every required one, lanes and
 * key lengths within bounds. ERR_NOMEM. */
enum { STREAM_PATH_MAX = 128 };
int stream_new(const struct stream_spec *spec, struct stream **out_stream,
               char out_path[STREAM_PATH_MAX], struct err *err);
void stream_free(struct stream *stream);

/* Index of the field, or STREAM_NO_FIELD. */
int stream_field_find(const struct stream *stream, struct slice name);

/* How times are read and judged. */
struct time_rules {
    int32_t zone_offset_s;
    int64_t now_us;
    int64_t max_future_us;
};

/* Why a record is refused: `reason` is a stable word (missing, type, utf8, too_long,
 * not_a_number, range, enum, ip, time, future, blank_end, nul), field its name, detail
 * a sentence. */
enum { REJECT_DETAIL_MAX = 200 };
struct reject {
    const char *reason;
    const char *field;
    char detail[REJECT_DETAIL_MAX];
};

/* Turns one raw scalar into the field's value, cut to precision and checked against every
 * limit. A null (or empty CSV) value is ABSENT. False: *out_reject says why. Text is
 * borrowed from raw. Numbers may come as strings and strings as numbers, since collectors
 * differ ("true", "1", 1 for a bool; 114.05 or "114.05" for a float). */
bool stream_field_parse(const struct stream_field *field, const struct raw_value *raw,
                        const struct time_rules *rules, struct value *out_value,
                        struct reject *out_reject);

/* A whole record: every required field is there. */
bool stream_record_check(const struct stream *stream, const struct value *values,
                         struct reject *out_reject);

/* The lane that records with this entity key belong to: XXH3 of the key's canonical text
 * over `lanes`; stable for ever, since backlogs on disk depend on it. */
uint32_t stream_lane(const struct stream *stream, const struct value *values);

#endif
