#include "audit/scan.h"

#include "schema/ddl.h"

#include <stdlib.h>

enum {
    CELL_ID,
    CELL_KEY,
    CELL_FIRST,
    CELL_LAST,
    CELL_COUNT,
    CELL_EVENTS,
    CELL_EARLIEST,
    CELL_LATEST,
    CELLS
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to read the entities");
}

/* ---- The statement --------------------------------------------------------------- */

static void append_optional(struct buf *sql, const struct stream_column *column)
{
    buf_append_text(sql, ", ");
    if (column) {
        columns_append(sql, "n", column->name);
    } else {
        buf_append_text(sql, "NULL");
    }
}

static void append_events(struct buf *sql, const struct audit_columns *columns,
                          const char *index)
{
    buf_append_text(sql, " FROM ");
    ddl_append_identifier(sql, columns->stream->event.name);
    buf_append_text(sql, " e FORCE INDEX (");
    ddl_append_identifier(sql, index);
    buf_append_text(sql, ") WHERE ");
}

static void append_by_entity(struct buf *sql, const struct audit_columns *columns)
{
    append_events(sql, columns, columns->ref_index);
    columns_append(sql, "e", columns->stream->entity_ref);
    buf_append_text(sql, " = ");
    columns_append(sql, "n", columns->stream->entity.id);
}

/* The first or the last event: one dive into the index by key and time. Where there is no
 * such index the events themselves are read. */
static void append_extreme(struct buf *sql, const struct audit_columns *columns,
                           bool latest)
{
    if (!columns->time) {
        buf_append_text(sql, ", NULL");
        return;
    }
    if (!columns->key_index[0]) {
        buf_append_text(sql, latest ? ", (SELECT MAX(" : ", (SELECT MIN(");
        columns_append(sql, "e", columns->time->name);
        buf_append_char(sql, ')');
        append_by_entity(sql, columns);
        buf_append_char(sql, ')');
        return;
    }
    const char *order = latest ? " DESC" : "";
    buf_append_text(sql, ", (SELECT ");
    columns_append(sql, "e", columns->time->name);
    append_events(sql, columns, columns->key_index);
    columns_append(sql, "e", columns->event_key->name);
    buf_append_text(sql, " = ");
    columns_append(sql, "n", columns->key->name);
    buf_append_text(sql, " ORDER BY ");
    columns_append(sql, "e", columns->event_key->name);
    buf_printf(sql, "%s, ", order);
    columns_append(sql, "e", columns->time->name);
    buf_printf(sql, "%s LIMIT 1)", order);
}

static void append_select(struct buf *sql, const struct audit_columns *columns,
                          const char *by)
{
    buf_append_text(sql, "SELECT ");
    columns_append(sql, "n", columns->stream->entity.id);
    append_optional(sql, columns->key);
    append_optional(sql, columns->first);
    append_optional(sql, columns->last);
    append_optional(sql, columns->count);
    buf_append_text(sql, ", (SELECT COUNT(*)");
    append_by_entity(sql, columns);
    buf_append_char(sql, ')');
    append_extreme(sql, columns, false);
    append_extreme(sql, columns, true);
    buf_append_text(sql, " FROM ");
    ddl_append_identifier(sql, columns->stream->entity.name);
    buf_append_text(sql, " n WHERE ");
    columns_append(sql, "n", by);
}

static void append_order(struct buf *sql, const struct audit_columns *columns)
{
    buf_append_text(sql, " ORDER BY ");
    columns_append(sql, "n", columns->stream->entity.id);
}

void scan_append_ids(struct buf *out, const uint64_t *ids, size_t count)
{
    buf_append_text(out, " IN (");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, i ? ",%llu" : "%llu", (unsigned long long)ids[i]);
    }
    buf_append_char(out, ')');
}

/* ---- Its answer ------------------------------------------------------------------ */

static uint64_t number_of(struct slice cell)
{
    return cell.data ? strtoull(cell.data, NULL, 10) : 0;
}

static struct scan_time time_of(const struct audit_columns *columns,
                                const struct stream_column *column, struct slice cell)
{
    struct scan_time time = {0};
    time.known = columns_read_time(columns, column, cell, &time.us);
    return time;
}

static struct scan_entity read_entity(const struct audit_columns *columns,
                                      const struct slice *cells)
{
    return (struct scan_entity){
        .id = number_of(cells[CELL_ID]),
        .key = cells[CELL_KEY],
        .first = time_of(columns, columns->first, cells[CELL_FIRST]),
        .last = time_of(columns, columns->last, cells[CELL_LAST]),
        .has_count = cells[CELL_COUNT].data != NULL,
        .count = cells[CELL_COUNT].data ? strtoll(cells[CELL_COUNT].data, NULL, 10) : 0,
        .events = number_of(cells[CELL_EVENTS]),
        .earliest = time_of(columns, columns->time, cells[CELL_EARLIEST]),
        .latest = time_of(columns, columns->time, cells[CELL_LATEST]),
    };
}

static int visit_rows(const struct scan *scan, const struct db_rows *rows,
                      struct scan_chunk *chunk, struct err *err)
{
    int code = 0;
    for (size_t i = 0; i < rows->row_count && code == 0; i++) {
        struct scan_entity entity =
            read_entity(scan->columns, rows->cells + i * rows->column_count);
        chunk->last_id = entity.id;
        chunk->events += entity.events;
        code = scan->entity(&entity, scan->context, err);
    }
    chunk->entities = rows->row_count;
    return code;
}

static int run_statement(const struct scan *scan, struct buf *sql,
                         struct scan_chunk *chunk, struct err *err)
{
    struct db_rows rows = {0};
    int code =
        sql->failed ? no_memory(err) : db_query(scan->db, buf_slice(sql), &rows, err);
    buf_free(sql);
    if (code) {
        return code;
    }
    code = visit_rows(scan, &rows, chunk, err);
    db_rows_free(&rows);
    if (code == 0 && scan->chunk) {
        code = scan->chunk(chunk, scan->context, err);
    }
    return code;
}

int scan_run(const struct scan *scan, uint64_t after_id, struct err *err)
{
    struct scan_chunk chunk;
    int code;
    do {
        struct buf sql = {0};
        append_select(&sql, scan->columns, scan->columns->stream->entity.id);
        buf_printf(&sql, " > %llu", (unsigned long long)after_id);
        append_order(&sql, scan->columns);
        buf_printf(&sql, " LIMIT %zu", scan->chunk_rows);
        chunk = (struct scan_chunk){.after_id = after_id, .last_id = after_id};
        code = run_statement(scan, &sql, &chunk, err);
        after_id = chunk.last_id;
    } while (code == 0 && chunk.entities == scan->chunk_rows);
    return code;
}

int scan_ids(const struct scan *scan, const uint64_t *ids, size_t count, struct err *err)
{
    struct scan_chunk chunk = {0};
    struct buf sql = {0};
    append_select(&sql, scan->columns, scan->columns->stream->entity.id);
    scan_append_ids(&sql, ids, count);
    append_order(&sql, scan->columns);
    return run_statement(scan, &sql, &chunk, err);
}

int scan_key(const struct scan *scan, struct slice key, struct err *err)
{
    struct scan_chunk chunk = {0};
    struct buf sql = {0};
    append_select(&sql, scan->columns, scan->columns->key->name);
    buf_append_text(&sql, " = ");
    db_append_quoted(&sql, key);
    return run_statement(scan, &sql, &chunk, err);
}

int scan_number(struct db *db, struct buf *sql, uint64_t *out, struct err *err)
{
    struct db_rows rows = {0};
    int code = sql->failed ? no_memory(err) : db_query(db, buf_slice(sql), &rows, err);
    buf_free(sql);
    if (code == 0) {
        *out = rows.row_count ? number_of(db_cell(&rows, 0, 0)) : 0;
        db_rows_free(&rows);
    }
    return code;
}
