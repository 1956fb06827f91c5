#include "audit/chunk.h"

#include "audit/scan.h"
#include "schema/ddl.h"

#include <time.h>

enum { TRIES_MAX = 10, PAUSE_NS = 20 * 1000 * 1000 };

static int run_once(struct db *db, const struct chunk *chunk, struct err *err)
{
    int code = db_begin(db, err);
    code = code ? code : chunk->work(chunk->context, err);
    code = code ? code : db_commit(db, err);
    if (code) {
        db_rollback(db);
    }
    return code;
}

int chunk_run(struct db *db, const struct chunk *chunk, struct err *err)
{
    int code = run_once(db, chunk, err);
    for (int i = 1; i < TRIES_MAX && code == ERR_TRANSIENT && db_alive(db); i++) {
        struct timespec pause = {0, (long)i * PAUSE_NS};
        nanosleep(&pause, NULL);
        code = run_once(db, chunk, err);
    }
    return code;
}

int chunk_lock(struct db *db, const struct audit_columns *columns, const uint64_t *ids,
               size_t count, struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    const char *id = columns->stream->entity.id;
    buf_append_text(&sql, "SELECT ");
    columns_append(&sql, "n", id);
    buf_append_text(&sql, " FROM ");
    ddl_append_identifier(&sql, columns->stream->entity.name);
    buf_append_text(&sql, " n WHERE ");
    columns_append(&sql, "n", id);
    scan_append_ids(&sql, ids, count);
    buf_append_text(&sql, " ORDER BY ");
    columns_append(&sql, "n", id);
    buf_append_text(&sql, " FOR UPDATE");
    int code = sql.failed ? err_set(err, ERR_NOMEM, 0, "no memory to lock entities")
                          : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code == 0) {
        db_rows_free(&rows);
    }
    return code;
}
