/* What each column of a stream is for: keys, time, watermark, counts, comparison. */
#include "schema/builder.h"

#include <strings.h>

enum { KEY_BYTES_MAX = 3072, KEY_COLUMNS_MAX = 16 };

static struct stream_column *columns_of(const struct stream_table *table)
{
    return (struct stream_column *)table->columns; /* ours until stream_new returns */
}

/* ---- Entity columns ---------------------------------------------------------------- */

static bool is_ordered(enum column_type type)
{
    return type == COLUMN_INTEGER || type == COLUMN_FLOAT || type == COLUMN_TIMESTAMP ||
           type == COLUMN_DATETIME;
}

/* Which rules read a record field. */
static bool reads_field(enum merge_rule merge)
{
    return merge != MERGE_NONE && merge != MERGE_COUNT && merge != MERGE_CONSTANT;
}

static int check_merge(struct builder *builder, const struct stream_column *column)
{
    enum merge_rule merge = column->merge;
    if (reads_field(merge) && column->field < 0) {
        return builder_refuse(builder, "column '%s' needs `from`, a record field",
                              column->name);
    }
    if (!reads_field(merge) && column->field >= 0) {
        return builder_refuse(builder,
                              "column '%s' has `from`, but its merge rule reads no field",
                              column->name);
    }
    if ((merge == MERGE_CONSTANT) != (column->spec.value != NULL)) {
        return builder_refuse(builder,
                              "column '%s': `value` and merge rule constant go together",
                              column->name);
    }
    if ((merge == MERGE_MIN || merge == MERGE_MAX) && !is_ordered(column->type)) {
        return builder_refuse(
            builder, "column '%s': min and max are for numbers and times", column->name);
    }
    if (merge == MERGE_COUNT && column->type != COLUMN_INTEGER) {
        return builder_refuse(builder, "column '%s': count needs an integer column",
                              column->name);
    }
    return ERR_OK;
}

/* Remembers the one column of its kind. */
static int take_single(struct builder *builder, int *slot, size_t index, const char *kind)
{
    if (*slot >= 0) {
        return builder_refuse(builder, "a second column with merge rule %s", kind);
    }
    *slot = (int)index;
    return ERR_OK;
}

static int take_merges(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    stream->entity_key_column = -1;
    stream->count_column = -1;
    int code = ERR_OK;
    for (size_t i = 0; !code && i < stream->entity.column_count; i++) {
        const struct stream_column *column = &stream->entity.columns[i];
        builder_at(builder, "entity.columns[%zu].merge", i);
        code = check_merge(builder, column);
        if (!code && column->merge == MERGE_KEY) {
            code = take_single(builder, &stream->entity_key_column, i, "key");
        }
        if (!code && column->merge == MERGE_COUNT) {
            code = take_single(builder, &stream->count_column, i, "count");
        }
    }
    if (!code && stream->entity_key_column < 0) {
        builder_at(builder, "entity.columns");
        code = builder_refuse(builder, "one column needs merge rule key");
    }
    return code;
}

static int check_key_type(struct builder *builder, const struct stream_column *column)
{
    if (column->type == COLUMN_FLOAT || column->type == COLUMN_BOOL) {
        return builder_refuse(builder, "column '%s': a key can't be a float or a bool",
                              column->name);
    }
    if (column->spec.optional) {
        return builder_refuse(builder, "column '%s': a key column can't be optional",
                              column->name);
    }
    return ERR_OK;
}

/* The field of a key: every record has it, and its column is never NULL. */
static void mark_key(struct builder *builder, struct stream_column *column)
{
    struct stream_field *field = &builder->owner->fields[column->field];
    field->required = true;
    field->key = true;
    column->spec.not_null = true;
}

static int take_entity_key(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    size_t index = (size_t)stream->entity_key_column;
    struct stream_column *column = &columns_of(&stream->entity)[index];
    builder_at(builder, "entity.columns[%zu]", index);
    int code = check_key_type(builder, column);
    if (!code) {
        stream->key_field = column->field;
        mark_key(builder, column);
    }
    return code;
}

static int take_time(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    const char *name = builder->spec->time ? builder->spec->time : "";
    builder_at(builder, "time");
    stream->time_field = stream_field_find(stream, slice_text(name));
    if (stream->time_field < 0 || stream->fields[stream->time_field].type != VALUE_TIME) {
        return builder_refuse(builder,
                              "'%s' must be a record field that feeds a timestamp or "
                              "datetime column",
                              name);
    }
    builder->owner->fields[stream->time_field].required = true;
    builder->owner->fields[stream->time_field].is_time = true;
    return ERR_OK;
}

/* The watermark is what `latest` is judged by, so it is there in every table. */
static int take_watermark(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    stream->watermark_column = -1;
    for (size_t i = stream->entity.column_count; i > 0; i--) {
        const struct stream_column *column = &stream->entity.columns[i - 1];
        if (column->merge == MERGE_MAX && column->field == stream->time_field &&
            !column->spec.optional) {
            stream->watermark_column = (int)(i - 1);
        }
    }
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        if (stream->entity.columns[i].merge == MERGE_LATEST &&
            stream->watermark_column < 0) {
            builder_at(builder, "entity.columns[%zu].merge", i);
            return builder_refuse(builder,
                                  "latest needs a column (not an optional one) with "
                                  "merge rule max of the time field '%s'",
                                  builder->spec->time);
        }
    }
    return ERR_OK;
}

/* ---- Event columns ----------------------------------------------------------------- */

static int check_event_columns(struct builder *builder)
{
    const struct stream_table *event = &builder->owner->stream.event;
    for (size_t i = 0; i < event->column_count; i++) {
        if (event->columns[i].merge != MERGE_NONE) {
            builder_at(builder, "event.columns[%zu].merge", i);
            return builder_refuse(builder,
                                  "column '%s': merge rules are for the entity table",
                                  event->columns[i].name);
        }
    }
    return ERR_OK;
}

static bool is_among(const int *list, size_t count, int wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == wanted) {
            return true;
        }
    }
    return false;
}

/* Indexes of the named event columns, each fed by a record field. */
static int take_event_columns(struct builder *builder, const char *const *names,
                              size_t count, const char *label, const int **out_indexes)
{
    const struct stream_table *event = &builder->owner->stream.event;
    int *indexes = builder_alloc(builder, count + 1, sizeof *indexes);
    if (!indexes) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i] ? names[i] : "";
        builder_at(builder, "%s[%zu]", label, i);
        indexes[i] = column_find(event, name);
        if (indexes[i] < 0 || event->columns[indexes[i]].field < 0) {
            return builder_refuse(
                builder, "'%s' is not an event column that a record field feeds", name);
        }
        if (is_among(indexes, i, indexes[i])) {
            return builder_refuse(builder, "'%s' is named twice", name);
        }
    }
    *out_indexes = indexes;
    return ERR_OK;
}

static int check_event_key(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    bool holds_entity = false;
    for (size_t i = 0; i < stream->event_key_count; i++) {
        struct stream_column *column = &columns_of(&stream->event)[stream->event_key[i]];
        builder_at(builder, "event.key[%zu]", i);
        int code = check_key_type(builder, column);
        if (code) {
            return code;
        }
        mark_key(builder, column);
        holds_entity = holds_entity || column->field == stream->key_field;
    }
    builder_at(builder, "event.key");
    if (!holds_entity) {
        return builder_refuse(builder,
                              "the entity key's field '%s' must feed one of its columns",
                              stream->fields[stream->key_field].name);
    }
    return ERR_OK;
}

static int take_event_key(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    const struct stream_spec *spec = builder->spec;
    builder_at(builder, "event.key");
    if (spec->event_key_count == 0 || spec->event_key_count > KEY_COLUMNS_MAX) {
        return builder_refuse(builder, "an event key has 1 to %d columns",
                              KEY_COLUMNS_MAX);
    }
    int code = take_event_columns(builder, spec->event_key, spec->event_key_count,
                                  "event.key", &stream->event_key);
    if (code) {
        return code;
    }
    stream->event_key_count = spec->event_key_count;
    return check_event_key(builder);
}

static int take_compare(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    const struct stream_spec *spec = builder->spec;
    int code = take_event_columns(builder, spec->compare, spec->compare_count,
                                  "event.compare", &stream->compare);
    if (!code) {
        stream->compare_count = spec->compare_count;
    }
    return code;
}

/* ---- Both tables ----------------------------------------------------------------- */

/* A NOT NULL column without a default makes the field that feeds it required; one that
 * nobody feeds could never be written. */
static int check_not_null(struct builder *builder, const struct stream_table *table,
                          const char *label)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const struct stream_column *column = &table->columns[i];
        bool has_value = column->spec.default_value || column->spec.value ||
                         column->field == STREAM_RECEIVED || column->merge == MERGE_COUNT;
        if (!column->spec.not_null || has_value) {
            continue;
        }
        if (column->field < 0) {
            builder_at(builder, "%s.columns[%zu]", label, i);
            return builder_refuse(builder,
                                  "column '%s' is NOT NULL, but nothing feeds it and it "
                                  "has no default",
                                  column->name);
        }
        builder->owner->fields[column->field].required = true;
    }
    return ERR_OK;
}

static size_t key_bytes(const struct stream_column *column)
{
    switch (column->type) {
    case COLUMN_STRING:
        return (size_t)column->spec.max * 4;
    case COLUMN_IP:
        return 60; /* 15 characters of 4 bytes */
    case COLUMN_INTEGER:
    case COLUMN_FLOAT:
        return column->spec.bits / 8;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
        return 8;
    case COLUMN_ENUM:
    case COLUMN_BOOL:
        break;
    }
    return 2;
}

static int check_bytes(struct builder *builder, size_t bytes)
{
    if (bytes > KEY_BYTES_MAX) {
        return builder_refuse(builder,
                              "an index over %zu bytes, where InnoDB takes %d: make its "
                              "strings shorter (a character counts as 4)",
                              bytes, KEY_BYTES_MAX);
    }
    return ERR_OK;
}

static int check_index_bytes(struct builder *builder, const struct stream_table *table,
                             const char *label)
{
    int code = ERR_OK;
    for (size_t i = 0; !code && i < table->index_count; i++) {
        size_t bytes = 0;
        for (size_t j = 0; j < table->indexes[i].column_count; j++) {
            int index = column_find(table, table->indexes[i].columns[j]);
            bytes += index < 0 ? 8 : key_bytes(&table->columns[index]);
        }
        builder_at(builder, "%s.indexes[%zu]", label, i);
        code = check_bytes(builder, bytes);
    }
    return code;
}

static int check_key_bytes(struct builder *builder)
{
    const struct stream *stream = &builder->owner->stream;
    builder_at(builder, "entity.columns[%d]", stream->entity_key_column);
    int code = check_bytes(builder,
                           key_bytes(&stream->entity.columns[stream->entity_key_column]));
    size_t bytes = 0;
    for (size_t i = 0; i < stream->event_key_count; i++) {
        bytes += key_bytes(&stream->event.columns[stream->event_key[i]]);
    }
    if (!code) {
        builder_at(builder, "event.key");
        code = check_bytes(builder, bytes);
    }
    code = code ? code : check_index_bytes(builder, &stream->entity, "entity");
    return code ? code : check_index_bytes(builder, &stream->event, "event");
}

/* ---- CSV ------------------------------------------------------------------------- */

static int check_csv_complete(struct builder *builder)
{
    const struct stream *stream = &builder->owner->stream;
    builder_at(builder, "csv");
    for (size_t i = 0; i < stream->field_count; i++) {
        if (stream->fields[i].required &&
            !is_among(stream->csv, stream->csv_count, (int)i)) {
            return builder_refuse(builder, "the required field '%s' is not among them",
                                  stream->fields[i].name);
        }
    }
    return ERR_OK;
}

static int take_csv(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    const struct stream_spec *spec = builder->spec;
    if (spec->csv_count == 0) {
        return ERR_OK;
    }
    builder_at(builder, "csv");
    if (spec->csv_count > STREAM_FIELDS_MAX) {
        return builder_refuse(builder, "more than %d fields", STREAM_FIELDS_MAX);
    }
    int *csv = builder_alloc(builder, spec->csv_count, sizeof *csv);
    if (!csv) {
        return ERR_NOMEM;
    }
    stream->csv = csv;
    for (size_t i = 0; i < spec->csv_count; i++) {
        const char *name = spec->csv[i] ? spec->csv[i] : "";
        builder_at(builder, "csv[%zu]", i);
        csv[i] = stream_field_find(stream, slice_text(name));
        if (csv[i] == STREAM_NO_FIELD) {
            return builder_refuse(builder, "no column is fed by a field '%s'", name);
        }
        if (is_among(csv, i, csv[i])) {
            return builder_refuse(builder, "'%s' is named twice", name);
        }
    }
    stream->csv_count = spec->csv_count;
    return check_csv_complete(builder);
}

int builder_roles(struct builder *builder)
{
    const struct stream *stream = &builder->owner->stream;
    int code = take_merges(builder);
    code = code ? code : take_entity_key(builder);
    code = code ? code : take_time(builder);
    code = code ? code : take_watermark(builder);
    code = code ? code : check_event_columns(builder);
    code = code ? code : take_event_key(builder);
    code = code ? code : take_compare(builder);
    code = code ? code : check_not_null(builder, &stream->entity, "entity");
    code = code ? code : check_not_null(builder, &stream->event, "event");
    code = code ? code : check_key_bytes(builder);
    return code ? code : take_csv(builder);
}
