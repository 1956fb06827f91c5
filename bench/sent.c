#include "bench/sent.h"

#include "bench/expected.h"
#include "schema/value.h"

#include <errno.h>
#include <stdlib.h>

enum { KEYS_BYTES_MAX = 1 << 30 };

/* ---- Making the records ---------------------------------------------------------- */

struct making {
    FILE *records;
    FILE *keys;
    struct expected *expected;
};

static int make_one(struct making *making, uint32_t number,
                    const struct workload_record *record, struct buf *line,
                    struct err *err)
{
    char ip[VALUE_IP_TEXT];
    char at[VALUE_TIME_TEXT];
    value_format_ip(record->ip, ip);
    value_format_time(record->time_s * 1000000, 0, 0, at);
    buf_clear(line);
    workload_append_json(line, record);
    (void)fwrite(line->data, 1, line->len, making->records);
    fprintf(making->keys, "%u\t%s\t%s\n", number, ip, at);
    return expected_add(making->expected, record, err);
}

static int make_all(struct making *making, const struct workload_config *config,
                    struct sent *sent, struct err *err)
{
    struct workload *workload;
    if (workload_new(config, &workload, err) != ERR_OK) {
        return err->code;
    }
    struct buf line = {0};
    int code = ERR_OK;
    for (uint32_t i = 0; i < sent->records && code == ERR_OK; i++) {
        struct workload_record record;
        workload_next(workload, &record);
        code = make_one(making, i, &record, &line, err);
    }
    if (line.failed) {
        code = err_set(err, ERR_NOMEM, 0, "no memory for a record");
    }
    buf_free(&line);
    workload_free(workload);
    sent->expected = expected_now(making->expected);
    return code;
}

static int close_file(FILE *file, const char *path, struct err *err)
{
    if (!file) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    bool failed = ferror(file);
    if (fclose(file) || failed) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    return ERR_OK;
}

int sent_make(const char *path, const struct workload_config *config, uint32_t records,
              struct sent *out_sent, struct err *err)
{
    struct sent sent = {.records = records};
    (void)snprintf(sent.path, sizeof sent.path, "%s.json", path);
    (void)snprintf(sent.keys, sizeof sent.keys, "%s.keys", path);
    struct making making = {0};
    if (expected_new(config, &making.expected, err) != ERR_OK) {
        return err->code;
    }
    making.records = fopen(sent.path, "we");
    making.keys = fopen(sent.keys, "we");
    int code = ERR_OK;
    if (making.records && making.keys) {
        code = make_all(&making, config, &sent, err);
    }
    struct err closing = {0};
    if (close_file(making.records, sent.path, &closing) != ERR_OK && code == ERR_OK) {
        code = err_set(err, closing.code, closing.sys, "%s", closing.message);
    }
    if (close_file(making.keys, sent.keys, &closing) != ERR_OK && code == ERR_OK) {
        code = err_set(err, closing.code, closing.sys, "%s", closing.message);
    }
    expected_free(making.expected);
    if (code == ERR_OK) {
        *out_sent = sent;
    }
    return code;
}

/* ---- In the database ------------------------------------------------------------- */

static int read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    char part[1 << 16];
    size_t got;
    while ((got = fread(part, 1, sizeof part, file)) > 0 && buf_append(out, part, got)) {
    }
    (void)fclose(file);
    return out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for %s", path) : ERR_OK;
}

int sent_load(const struct sent *sent, struct db *db, struct err *err)
{
    struct buf keys = {.max = KEYS_BYTES_MAX};
    struct db_outcome outcome = {0};
    int code = read_file(sent->keys, &keys, err);
    code = code ? code
                : db_execf(db, NULL, err,
                           "CREATE OR REPLACE TABLE bench_sent (number INT UNSIGNED "
                           "PRIMARY KEY, ip VARCHAR(15) NOT NULL, at TIMESTAMP NOT NULL, "
                           "flushed BOOLEAN NOT NULL DEFAULT FALSE) ENGINE=InnoDB "
                           "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci");
    code = code ? code
                : db_load(db,
                          SLICE_LITERAL("LOAD DATA LOCAL INFILE 'keys' INTO TABLE "
                                        "bench_sent (number, ip, at)"),
                          buf_slice(&keys), &outcome, err);
    buf_free(&keys);
    if (code == ERR_OK && (outcome.matched != sent->records || outcome.warnings)) {
        code = err_set(err, ERR_MISS, 0, "bench_sent holds %llu of %u records",
                       (unsigned long long)outcome.matched, sent->records);
    }
    return code;
}

int sent_mark_flushed(struct db *db, uint32_t first, uint32_t end, struct err *err)
{
    return db_execf(db, NULL, err,
                    "UPDATE bench_sent SET flushed = TRUE WHERE number >= %u AND "
                    "number < %u",
                    first, end);
}

static int count(struct db *db, uint64_t *out_count, const struct buf *sql,
                 struct err *err)
{
    struct db_rows rows = {0};
    int code = sql->failed ? err_set(err, ERR_NOMEM, 0, "no memory for a statement")
                           : db_query(db, buf_slice(sql), &rows, err);
    if (code == ERR_OK && rows.row_count) {
        struct slice cell = db_cell(&rows, 0, 0);
        *out_count = cell.data ? strtoull(cell.data, NULL, 10) : 0;
    }
    db_rows_free(&rows);
    return code;
}

static int count_missing(struct db *db, const struct stream *stream, uint32_t taken,
                         struct losses *losses, struct err *err)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "SELECT COUNT(*) FROM bench_sent s LEFT JOIN `%s` e ON e.ip = s.ip AND "
               "e.communication_time = s.at WHERE e.id IS NULL AND s.number < %u",
               stream->event.name, taken);
    int code = count(db, &losses->missing, &sql, err);
    buf_append_text(&sql, " AND s.flushed");
    code = code ? code : count(db, &losses->missing_flushed, &sql, err);
    buf_free(&sql);
    return code;
}

static int count_entities(struct db *db, const struct stream *stream, const char *what,
                          uint64_t *out_count, struct err *err)
{
    struct buf sql = {0};
    buf_printf(
        &sql,
        "SELECT %s FROM (SELECT n.communication_count AS said, COUNT(e.id) AS held "
        "FROM `%s` n LEFT JOIN `%s` e ON e.node_id = n.id GROUP BY n.id) AS both_",
        what, stream->entity.name, stream->event.name);
    int code = count(db, out_count, &sql, err);
    buf_free(&sql);
    return code;
}

int sent_count_losses(struct db *db, const struct stream *stream, uint32_t taken,
                      struct losses *out_losses, struct err *err)
{
    struct losses losses = {0};
    int code = count_missing(db, stream, taken, &losses, err);
    code =
        code ? code : count_entities(db, stream, "SUM(held = 0)", &losses.orphans, err);
    code = code ? code
                : count_entities(db, stream, "SUM(GREATEST(said - held, 0))",
                                 &losses.phantoms, err);
    code = code
               ? code
               : count_entities(db, stream, "SUM(said <> held)", &losses.miscounted, err);
    if (code == ERR_OK) {
        *out_losses = losses;
    }
    return code;
}
