#include "engine/ids.h"

#include "base/steady.h"

#include <pthread.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)

/* Sooner, and later and later, while a stream's tables aren't known yet. */
static const int64_t again_us = 60 * SECOND_US;
static const int64_t every_us = 600 * SECOND_US;

struct ids {
    const struct config *config;
    struct db_hosts *hosts;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    bool stopping;
    struct db *db;   /* while it is asked */
    double shares[]; /* by stream; below 0: not known */
};

/* One row: used share; none: no such table or column, or no AUTO_INCREMENT. */
static void append_question(struct buf *sql, const char *table, const char *id)
{
    buf_append_text(sql,
                    "SELECT t.auto_increment / (CASE c.data_type WHEN 'tinyint' THEN 127 "
                    "WHEN 'smallint' THEN 32767 WHEN 'mediumint' THEN 8388607 "
                    "WHEN 'int' THEN 2147483647 ELSE 9223372036854775807 END * "
                    "IF(c.column_type LIKE '%unsigned%', 2, 1)) "
                    "FROM information_schema.tables t JOIN information_schema.columns c "
                    "ON c.table_schema = t.table_schema AND c.table_name = t.table_name "
                    "WHERE t.table_schema = DATABASE() AND t.table_name = ");
    db_append_quoted(sql, slice_text(table));
    buf_append_text(sql, " AND c.column_name = ");
    db_append_quoted(sql, slice_text(id));
}

static int ask_table(struct db *db, const char *table, const char *id, double *share,
                     struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    append_question(&sql, table, id);
    int code = sql.failed ? err_set(err, ERR_NOMEM, 0, "no memory to ask for ids")
                          : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    struct slice cell = rows.row_count ? db_cell(&rows, 0, 0) : (struct slice){0};
    double used = cell.data ? strtod(cell.data, NULL) : -1;
    *share = used > *share ? used : *share;
    db_rows_free(&rows);
    return ERR_OK;
}

static int ask_streams(struct ids *ids, struct db *db, struct err *err)
{
    int code = ERR_OK;
    if (!db_server(db)->is_mariadb) { /* MySQL answers with what it knew yesterday */
        code = db_exec(db, SLICE_LITERAL("SET SESSION information_schema_stats_expiry=0"),
                       NULL, err);
    }
    for (size_t i = 0; i < ids->config->stream_count && !code; i++) {
        const struct stream *stream = ids->config->streams[i];
        double share = -1;
        code = ask_table(db, stream->entity.name, stream->entity.id, &share, err);
        code = code ? code
                    : ask_table(db, stream->event.name, stream->event.id, &share, err);
        pthread_mutex_lock(&ids->lock);
        ids->shares[i] = code ? ids->shares[i] : share;
        pthread_mutex_unlock(&ids->lock);
    }
    return code;
}

static void set_db(struct ids *ids, struct db *db)
{
    pthread_mutex_lock(&ids->lock);
    ids->db = db;
    if (db && ids->stopping) {
        db_abort(db);
    }
    pthread_mutex_unlock(&ids->lock);
}

static int ask(struct ids *ids, struct err *err)
{
    struct db *db = NULL;
    int code = db_new(ids->hosts, &db, err);
    if (code) {
        return code;
    }
    set_db(ids, db); /* before it is opened: stop must reach it */
    code = db_open(db, &ids->config->database, err);
    code = code ? code : ask_streams(ids, db, err);
    set_db(ids, NULL);
    db_close(db);
    return code;
}

/* Under the lock. */
static bool knows_all(const struct ids *ids)
{
    for (size_t i = 0; i < ids->config->stream_count; i++) {
        if (ids->shares[i] < 0) {
            return false;
        }
    }
    return true;
}

static int64_t next_wait_us(int64_t wait_us)
{
    return wait_us * 2 > again_us ? again_us : wait_us * 2;
}

static void *run(void *context)
{
    struct ids *ids = context;
    struct err err = {0};
    int64_t wait_us = SECOND_US;
    pthread_mutex_lock(&ids->lock);
    while (!ids->stopping) {
        pthread_mutex_unlock(&ids->lock);
        int code = ask(ids, &err); /* that the database is gone, the lanes say */
        pthread_mutex_lock(&ids->lock);
        wait_us = code == ERR_OK && knows_all(ids) ? every_us : next_wait_us(wait_us);
        int64_t until_us = clock_steady_us(&clock_system) + wait_us;
        while (!ids->stopping && clock_steady_us(&clock_system) < until_us) {
            steady_cond_wait(&ids->changed, &ids->lock, until_us);
        }
    }
    pthread_mutex_unlock(&ids->lock);
    return NULL;
}

int ids_start(const struct config *config, struct db_hosts *hosts, struct ids **out_ids,
              struct err *err)
{
    struct ids *ids =
        calloc(1, sizeof *ids + config->stream_count * sizeof ids->shares[0]);
    if (!ids) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the use of ids");
    }
    ids->config = config;
    ids->hosts = hosts;
    for (size_t i = 0; i < config->stream_count; i++) {
        ids->shares[i] = -1;
    }
    pthread_mutex_init(&ids->lock, NULL);
    steady_cond_init(&ids->changed);
    int rc = pthread_create(&ids->thread, NULL, run, ids);
    ids->started = rc == 0;
    if (rc) {
        ids_stop(ids);
        return err_set_errno(err, ERR_NOMEM, rc, "starting the thread that asks for ids");
    }
    *out_ids = ids;
    return ERR_OK;
}

void ids_stop(struct ids *ids)
{
    if (!ids) {
        return;
    }
    pthread_mutex_lock(&ids->lock);
    ids->stopping = true;
    if (ids->db) {
        db_abort(ids->db);
    }
    pthread_cond_broadcast(&ids->changed);
    pthread_mutex_unlock(&ids->lock);
    if (ids->started) {
        pthread_join(ids->thread, NULL);
    }
    pthread_cond_destroy(&ids->changed);
    pthread_mutex_destroy(&ids->lock);
    free(ids);
}

bool ids_used(struct ids *ids, size_t stream, double *out_share)
{
    pthread_mutex_lock(&ids->lock);
    double share = ids->shares[stream];
    pthread_mutex_unlock(&ids->lock);
    if (share < 0) {
        return false;
    }
    *out_share = share;
    return true;
}
