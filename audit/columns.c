#include "audit/columns.h"

#include "schema/ddl.h"
#include "schema/recovery.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to look at the tables");
}

static int query_table(struct db *db, const char *what, const char *table,
                       struct db_rows *out_rows, struct err *err)
{
    struct buf sql = {0};
    buf_append_text(&sql, what);
    buf_append_text(&sql, " WHERE table_schema = DATABASE() AND table_name = ");
    db_append_quoted(&sql, slice_text(table));
    buf_append_text(&sql, " ORDER BY 1, 2");
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), out_rows, err);
    buf_free(&sql);
    return code;
}

/* ---- Columns --------------------------------------------------------------------- */

static bool holds(const struct db_rows *rows, const char *name)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        if (strcasecmp(db_cell(rows, i, 0).data, name) == 0) {
            return true;
        }
    }
    return false;
}

/* *out_found: the table is there. */
static int find_columns(struct db *db, const struct stream_table *table, bool *has,
                        bool *out_found, struct err *err)
{
    struct db_rows rows = {0};
    int code = query_table(db,
                           "SELECT column_name, ordinal_position FROM "
                           "information_schema.columns",
                           table->name, &rows, err);
    if (code) {
        return code;
    }
    *out_found = rows.row_count > 0;
    for (size_t i = 0; i < table->column_count; i++) {
        has[i] = holds(&rows, table->columns[i].name);
    }
    db_rows_free(&rows);
    return 0;
}

static const struct stream_column *entity_column(const struct audit_columns *columns,
                                                 int index)
{
    return index >= 0 && columns->entity_has[index]
               ? &columns->stream->entity.columns[index]
               : NULL;
}

static const struct stream_column *first_column(const struct audit_columns *columns)
{
    const struct stream_table *table = &columns->stream->entity;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].merge == MERGE_MIN && columns->entity_has[i] &&
            table->columns[i].field == columns->stream->time_field) {
            return &table->columns[i];
        }
    }
    return NULL;
}

static const struct stream_column *event_column(const struct audit_columns *columns,
                                                int field)
{
    const struct stream_table *table = &columns->stream->event;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].field == field && columns->event_has[i]) {
            return &table->columns[i];
        }
    }
    return NULL;
}

static void name_columns(struct audit_columns *columns)
{
    const struct stream *stream = columns->stream;
    int marker = recovery_column(stream);
    columns->key = entity_column(columns, stream->entity_key_column);
    columns->first = first_column(columns);
    columns->last = entity_column(columns, stream->watermark_column);
    columns->count = entity_column(columns, stream->count_column);
    columns->time = event_column(columns, stream->time_field);
    columns->event_key = event_column(columns, stream->key_field);
    if (marker >= 0 && columns->event_has[marker]) {
        columns->marker = &stream->event.columns[marker];
    }
}

/* ---- Indexes --------------------------------------------------------------------- */

static bool is_part(const struct db_rows *rows, size_t row, const char *index,
                    const struct stream_column *column)
{
    return column && row < rows->row_count &&
           strcmp(db_cell(rows, row, 0).data, index) == 0 &&
           strcasecmp(db_cell(rows, row, 2).data, column->name) == 0;
}

static void name_indexes(struct audit_columns *columns, const struct db_rows *rows)
{
    for (size_t i = 0; i < rows->row_count; i++) {
        const char *index = db_cell(rows, i, 0).data;
        if (!slice_is(db_cell(rows, i, 1), "1")) {
            continue;
        }
        if (strcasecmp(db_cell(rows, i, 2).data, columns->stream->entity_ref) == 0) {
            snprintf(columns->ref_index, sizeof columns->ref_index, "%s", index);
        }
        if (is_part(rows, i, index, columns->event_key) &&
            is_part(rows, i + 1, index, columns->time)) {
            snprintf(columns->key_index, sizeof columns->key_index, "%s", index);
        }
    }
}

static int find_indexes(struct db *db, struct audit_columns *columns, struct err *err)
{
    struct db_rows rows = {0};
    const char *table = columns->stream->event.name;
    int code = query_table(db,
                           "SELECT index_name, seq_in_index, column_name FROM "
                           "information_schema.statistics",
                           table, &rows, err);
    if (code) {
        return code;
    }
    name_indexes(columns, &rows);
    db_rows_free(&rows);
    const char *ref = columns->stream->entity_ref;
    return columns->ref_index[0]
               ? 0
               : err_set(err, ERR_SCHEMA, 0,
                         "table %s has no index that begins with %s, so that every "
                         "question would read all of it; ALTER TABLE %s ADD INDEX (%s)",
                         table, ref, table, ref);
}

int columns_find(struct db *db, const struct stream *stream, int32_t zone_offset_s,
                 struct audit_columns *out_columns, struct err *err)
{
    assert(stream->entity.columns && stream->event.columns);
    struct audit_columns columns = {.stream = stream, .zone_offset_s = zone_offset_s};
    bool entities = false;
    bool events = false;
    int code = find_columns(db, &stream->entity, columns.entity_has, &entities, err);
    code =
        code ? code : find_columns(db, &stream->event, columns.event_has, &events, err);
    columns.found = entities && events;
    if (code == 0 && columns.found) {
        name_columns(&columns);
        code = columns.key
                   ? find_indexes(db, &columns, err)
                   : err_set(err, ERR_SCHEMA, 0, "table %s has no column %s",
                             stream->entity.name,
                             stream->entity.columns[stream->entity_key_column].name);
    }
    if (code == 0) {
        *out_columns = columns;
    }
    return code;
}

/* ---- Text ------------------------------------------------------------------------ */

void columns_append(struct buf *out, const char *alias, const char *name)
{
    buf_printf(out, "%s.", alias);
    ddl_append_identifier(out, name);
}

static int32_t offset_of(const struct audit_columns *columns,
                         const struct stream_column *column)
{
    return column->type == COLUMN_DATETIME ? columns->zone_offset_s : 0;
}

bool columns_read_time(const struct audit_columns *columns,
                       const struct stream_column *column, struct slice cell,
                       int64_t *out_us)
{
    return column && cell.data &&
           value_parse_time(cell, offset_of(columns, column), out_us);
}

void columns_append_time(struct buf *out, const struct audit_columns *columns,
                         const struct stream_column *column, int64_t time_us)
{
    char text[VALUE_TIME_TEXT];
    size_t len = value_format_time(time_us, offset_of(columns, column),
                                   column->spec.precision, text);
    db_append_quoted(out, slice_of(text, len));
}
