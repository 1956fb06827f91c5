#include "audit/stand_in.h"

#include "audit/scan.h"
#include "schema/ddl.h"
#include "schema/recovery.h"

#include <stdio.h>

/* ---- Values ---------------------------------------------------------------------- */

static bool is_text(enum column_type type)
{
    return type == COLUMN_STRING || type == COLUMN_ENUM || type == COLUMN_IP;
}

/* Can the event column take what the entity column holds? */
static bool is_like(const struct stream_column *event, const struct stream_column *entity)
{
    if (event->type == COLUMN_STRING) {
        return is_text(entity->type);
    }
    return event->type == entity->type && event->spec.bits >= entity->spec.bits &&
           event->spec.is_unsigned == entity->spec.is_unsigned &&
           event->type != COLUMN_ENUM;
}

/* The entity column that the same field feeds. */
static const struct stream_column *twin(const struct audit_columns *columns,
                                        const struct stream_column *event)
{
    const struct stream_table *table = &columns->stream->entity;
    for (size_t i = 0; i < table->column_count && event->field >= 0; i++) {
        const struct stream_column *column = &table->columns[i];
        if (columns->entity_has[i] && column->field == event->field &&
            column->merge != MERGE_NONE && is_like(event, column)) {
            return column;
        }
    }
    return NULL;
}

static void append_literal(struct buf *out, const struct audit_columns *columns,
                           const struct stream_column *column, const struct value *value)
{
    struct buf text = {0};
    if (value->type == VALUE_BOOL) {
        buf_append_char(out, value->boolean ? '1' : '0');
    } else if (value->type == VALUE_TIME) {
        columns_append_time(out, columns, column, value->time_us);
    } else {
        value_append_text(&text, value);
        db_append_quoted(out, buf_slice(&text));
    }
    out->failed = out->failed || text.failed;
    buf_free(&text);
}

/* An instant in a DATETIME column is local time, in the others it is UTC. */
static void append_shift(struct buf *out, const struct audit_columns *columns,
                         enum column_type from, enum column_type to)
{
    int32_t shift_s = (to == COLUMN_DATETIME ? columns->zone_offset_s : 0) -
                      (from == COLUMN_DATETIME ? columns->zone_offset_s : 0);
    if (shift_s) {
        buf_printf(out, " + INTERVAL %d SECOND", shift_s);
    }
}

static void append_entity_time(struct buf *out, const struct audit_columns *columns,
                               const struct stream_column *column)
{
    columns_append(out, "n", column->name);
    append_shift(out, columns, column->type, columns->time->type);
}

static void append_time(struct buf *out, const struct audit_columns *columns)
{
    const struct stream_column *first = columns->first ? columns->first : columns->last;
    buf_append_text(out, "COALESCE(");
    append_entity_time(out, columns, first);
    if (columns->first && columns->last) {
        buf_append_text(out, ", ");
        append_entity_time(out, columns, columns->last);
    }
    buf_append_char(out, ')');
}

static void append_twin(struct buf *out, const struct audit_columns *columns,
                        const struct stream_column *column,
                        const struct stream_column *entity)
{
    bool cut = column->type == COLUMN_STRING && entity->type == COLUMN_STRING &&
               entity->spec.max > column->spec.max;
    buf_append_text(out, "COALESCE(");
    buf_append_text(out, cut ? "LEFT(" : "");
    columns_append(out, "n", entity->name);
    if (cut) {
        buf_printf(out, ", %u)", column->spec.max);
    }
    buf_append_text(out, ", ");
    if (column->fallback.type != VALUE_ABSENT) {
        append_literal(out, columns, column, &column->fallback);
    } else {
        buf_append_text(out, "NULL");
    }
    buf_append_char(out, ')');
}

/* What a column gets; false: nothing is known, its default will do. */
static bool append_value(struct buf *out, const struct audit_columns *columns,
                         const struct stream_column *column)
{
    const struct stream_column *entity = twin(columns, column);
    if (column == columns->time) {
        append_time(out, columns);
    } else if (column == columns->marker) {
        db_append_quoted(out, SLICE_LITERAL(RECOVERY_EVENT_TYPE));
    } else if (column->field == STREAM_RECEIVED) {
        buf_printf(out, "CURRENT_TIMESTAMP(%u)", column->spec.precision);
        append_shift(out, columns, COLUMN_TIMESTAMP, column->type);
    } else if (column->constant.type != VALUE_ABSENT) {
        append_literal(out, columns, column, &column->constant);
    } else if (entity) {
        append_twin(out, columns, column, entity);
    } else if (column->fallback.type != VALUE_ABSENT) {
        append_literal(out, columns, column, &column->fallback);
    } else {
        return false;
    }
    return true;
}

/* ---- The statement --------------------------------------------------------------- */

static bool is_known(const struct audit_columns *columns, size_t column)
{
    struct buf text = {0};
    bool known = columns->event_has[column] &&
                 append_value(&text, columns, &columns->stream->event.columns[column]);
    buf_free(&text);
    return known;
}

void stand_in_refuse(const struct audit_columns *columns, char *out, size_t out_size)
{
    const struct stream_table *event = &columns->stream->event;
    *out = '\0';
    if (!columns->marker) {
        snprintf(out, out_size,
                 "table %s has no text column event_type, by which an event that stands "
                 "in could be told from a real one",
                 event->name);
        return;
    }
    if (!columns->time || !columns->event_key || (!columns->first && !columns->last)) {
        snprintf(out, out_size,
                 "table %s has no column for an entity's first or last time, so that "
                 "nobody knows when the lost event was",
                 columns->stream->entity.name);
        return;
    }
    for (size_t i = 0; i < event->column_count; i++) {
        if (event->columns[i].spec.not_null && !is_known(columns, i)) {
            snprintf(out, out_size,
                     "column %s of table %s must be filled in, and an entity doesn't "
                     "know it",
                     event->columns[i].name, event->name);
            return;
        }
    }
}

static void append_from(struct buf *out, const struct audit_columns *columns,
                        const char *index)
{
    buf_append_text(out, " AND (SELECT 1 FROM ");
    ddl_append_identifier(out, columns->stream->event.name);
    buf_append_text(out, " e");
    if (index[0]) {
        buf_append_text(out, " FORCE INDEX (");
        ddl_append_identifier(out, index);
        buf_append_char(out, ')');
    }
    buf_append_text(out, " WHERE ");
}

/* LIMIT keeps them look-ups, one an entity. */
static void append_conditions(struct buf *out, const struct audit_columns *columns)
{
    buf_append_text(out, " AND ");
    append_time(out, columns);
    buf_append_text(out, " IS NOT NULL");
    append_from(out, columns, columns->ref_index);
    columns_append(out, "e", columns->stream->entity_ref);
    buf_append_text(out, " = ");
    columns_append(out, "n", columns->stream->entity.id);
    buf_append_text(out, " LIMIT 1) IS NULL");
    append_from(out, columns, columns->key_index);
    columns_append(out, "e", columns->event_key->name);
    buf_append_text(out, " = ");
    columns_append(out, "n", columns->key->name);
    buf_append_text(out, " AND ");
    columns_append(out, "e", columns->time->name);
    buf_append_text(out, " = ");
    append_time(out, columns);
    buf_append_text(out, " LIMIT 1) IS NULL");
}

void stand_in_append(struct buf *out, const struct audit_columns *columns,
                     const uint64_t *ids, size_t count)
{
    const struct stream *stream = columns->stream;
    struct buf values = {0};
    buf_append_text(out, "INSERT INTO ");
    ddl_append_identifier(out, stream->event.name);
    buf_append_text(out, " (");
    ddl_append_identifier(out, stream->entity_ref);
    columns_append(&values, "n", stream->entity.id);
    for (size_t i = 0; i < stream->event.column_count; i++) {
        if (is_known(columns, i)) {
            buf_append_text(out, ", ");
            ddl_append_identifier(out, stream->event.columns[i].name);
            buf_append_text(&values, ", ");
            append_value(&values, columns, &stream->event.columns[i]);
        }
    }
    buf_append_text(out, ") SELECT ");
    buf_append_slice(out, buf_slice(&values));
    buf_append_text(out, " FROM ");
    ddl_append_identifier(out, stream->entity.name);
    buf_append_text(out, " n WHERE ");
    columns_append(out, "n", stream->entity.id);
    scan_append_ids(out, ids, count);
    append_conditions(out, columns);
    out->failed = out->failed || values.failed;
    buf_free(&values);
}

void stand_in_append_count(struct buf *out, const struct audit_columns *columns,
                           const uint64_t *ids, size_t count)
{
    const struct stream *stream = columns->stream;
    if (!columns->count) {
        return;
    }
    buf_append_text(out, "UPDATE ");
    ddl_append_identifier(out, stream->entity.name);
    buf_append_text(out, " n SET ");
    columns_append(out, "n", columns->count->name);
    buf_append_text(out, " = (SELECT COUNT(*) FROM ");
    ddl_append_identifier(out, stream->event.name);
    buf_append_text(out, " e WHERE ");
    columns_append(out, "e", stream->entity_ref);
    buf_append_text(out, " = ");
    columns_append(out, "n", stream->entity.id);
    buf_append_text(out, ") WHERE ");
    columns_append(out, "n", stream->entity.id);
    scan_append_ids(out, ids, count);
    buf_append_text(out, " AND COALESCE(");
    columns_append(out, "n", columns->count->name);
    buf_append_text(out, ", 0) = 0");
}
