#include "bench/database.h"

#include "base/clock.h"
#include "schema/ddl.h"
#include "schema/value.h"

#include <stdlib.h>

/* Seeded nodes were seen in the day before the workload begins, and none of its records,
 * late ones included, is as old. */
enum { CALL_TIMEOUT_S = 600, SEEN_BEFORE_S = 90000, SEEN_PER_SECOND = 10 };

/* ---- Connection ------------------------------------------------------------------ */

static int connect_to(const struct bench *bench, const char *name, struct db **out_db,
                      struct err *err)
{
    const struct db_config config = {.socket = bench->socket,
                                     .name = name,
                                     .user = "root",
                                     .call_timeout_s = CALL_TIMEOUT_S,
                                     .lock_wait_timeout_s = CALL_TIMEOUT_S,
                                     .wait_timeout_s = 3600};
    struct db_hosts *hosts = NULL;
    int code = db_hosts_new(&config, &hosts, err);
    code = code ? code : db_connect(&config, hosts, out_db, err);
    db_hosts_free(hosts); /* asked again only by db_check_host */
    return code;
}

int database_connect(const struct bench *bench, const char *name, struct db **out_db,
                     struct err *err)
{
    struct db *db = NULL;
    if (!bench->socket) {
        return err_set(err, ERR_INVALID, 0, "needs a database server: give its --socket");
    }
    int code = connect_to(bench, "mysql", &db, err);
    code = code ? code
                : db_execf(db, NULL, err,
                           "CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET utf8mb4 "
                           "COLLATE utf8mb4_unicode_ci",
                           name);
    db_close(db);
    return code ? code : connect_to(bench, name, out_db, err);
}

/* ---- Seeding --------------------------------------------------------------------- */

static int run(struct db *db, struct buf *sql, struct err *err)
{
    int code = sql->failed ? err_set(err, ERR_NOMEM, 0, "no memory for a statement")
                           : db_exec(db, buf_slice(sql), NULL, err);
    buf_clear(sql);
    return code;
}

/* The limit's table after the stream's, in all but the name: LIKE copies no foreign key.
 */
static int create_tables(struct db *db, const struct stream *stream, struct err *err)
{
    struct buf sql = {0};
    int code = db_execf(db, NULL, err,
                        "DROP TABLE IF EXISTS limit_communications, `%s`, `%s`, "
                        "bench_seeded, holdfast_ledger",
                        stream->event.name, stream->entity.name);
    ddl_append_entity_table(&sql, stream);
    code = code ? code : run(db, &sql, err);
    ddl_append_event_table(&sql, stream);
    code = code ? code : run(db, &sql, err);
    buf_free(&sql);
    code = code ? code
                : db_execf(db, NULL, err, "CREATE TABLE limit_communications LIKE `%s`",
                           stream->event.name);
    return code ? code
                : db_execf(db, NULL, err,
                           "ALTER TABLE limit_communications ADD FOREIGN KEY (`%s`) "
                           "REFERENCES `%s` (`%s`) ON DELETE RESTRICT",
                           stream->entity_ref, stream->entity.name, stream->entity.id);
}

static void append_ip(struct buf *out, uint32_t ip)
{
    char text[VALUE_IP_TEXT];
    buf_append(out, text, value_format_ip(ip, text));
}

static void append_time(struct buf *out, int64_t time_s)
{
    char text[VALUE_TIME_TEXT];
    buf_append(out, text, value_format_time(time_s * 1000000, 0, 0, text));
}

static void append_place(struct buf *out, const struct workload_place *place)
{
    buf_printf(out, "\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t%d", place->longitude,
               place->latitude, place->country, place->province, place->city,
               place->continent, place->isp, place->asn, place->is_china);
}

#define PLACE_COLUMNS                                                                    \
    "longitude, latitude, country, province, city, continent, isp, asn, is_china"

static void append_nodes(struct buf *text, const struct workload *workload,
                         const struct workload_config *config)
{
    for (uint32_t i = 0; i < config->seeded; i++) {
        int64_t seen_s = config->start_s - SEEN_BEFORE_S + i / SEEN_PER_SECOND;
        buf_printf(text, "%u\t", i + 1);
        append_ip(text, workload_ip(i));
        append_place(text, workload_home(workload, i));
        buf_append_char(text, '\t');
        append_time(text, seen_s);
        buf_append_char(text, '\t');
        append_time(text, seen_s);
        buf_append_text(text, "\t0\n");
    }
}

static int load(struct db *db, const struct buf *sql, const struct buf *text,
                struct db_outcome *out, struct err *err)
{
    if (sql->failed || text->failed) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the rows to load");
    }
    int code = db_begin(db, err);
    code = code ? code : db_load(db, buf_slice(sql), buf_slice(text), out, err);
    code = code ? code : db_commit(db, err);
    return code;
}

static int seed_nodes(struct db *db, const struct stream *stream,
                      const struct workload *workload,
                      const struct workload_config *config, struct err *err)
{
    struct buf sql = {0};
    struct buf text = {0};
    struct db_outcome outcome = {0};
    buf_printf(&sql,
               "LOAD DATA LOCAL INFILE 'nodes' INTO TABLE `%s` CHARACTER SET utf8mb4 "
               "(id, ip, " PLACE_COLUMNS ", first_seen, last_seen, communication_count)",
               stream->entity.name);
    append_nodes(&text, workload, config);
    int code = load(db, &sql, &text, &outcome, err);
    buf_free(&sql);
    buf_free(&text);
    if (code == ERR_OK && (outcome.matched != config->seeded || outcome.warnings)) {
        code = err_set(err, ERR_MISS, 0, "%llu of %u nodes are in the table",
                       (unsigned long long)outcome.matched, config->seeded);
    }
    return code;
}

int database_seed(struct db *db, const struct stream *stream,
                  const struct workload *workload, const struct workload_config *config,
                  struct err *err)
{
    int code = create_tables(db, stream, err);
    code = code ? code : seed_nodes(db, stream, workload, config, err);
    code = code
               ? code
               : db_execf(db, NULL, err,
                          "CREATE TABLE bench_seeded (id INT PRIMARY KEY, seen TIMESTAMP "
                          "NULL) ENGINE=InnoDB AS SELECT id, last_seen AS seen FROM `%s`",
                          stream->entity.name);
    return code ? err_wrap(err, "seeding the tables") : ERR_OK;
}

/* ---- The limit ------------------------------------------------------------------- */

static void append_row(struct buf *text, const struct workload_record *record)
{
    buf_printf(text, "%u\t", record->ip_index + 1);
    append_ip(text, record->ip);
    buf_append_char(text, '\t');
    append_time(text, record->time_s);
    buf_append_char(text, '\t');
    append_time(text, record->time_s + 1);
    append_place(text, record->place);
    buf_printf(text, "\t%s\tactive\n", record->event_type);
}

/* Of entities that are in the table: what a writer would do that has only to load. */
static void append_rows(struct buf *text, struct workload *workload, uint32_t rows)
{
    for (uint32_t made = 0; made < rows;) {
        struct workload_record record;
        workload_next(workload, &record);
        if (record.ip_index < workload_config(workload)->seeded) {
            append_row(text, &record);
            made++;
        }
    }
}

/* LOCAL drops what fails: that should be the workload's duplicates and no more. */
static int check_loaded(uint32_t rows, const struct db_outcome *outcome, struct err *err)
{
    if (outcome->matched > rows || (rows - outcome->matched) > rows / 4) {
        return err_set(err, ERR_MISS, 0, "the limit has loaded %llu of %u rows",
                       (unsigned long long)outcome->matched, rows);
    }
    return ERR_OK;
}

/* One transaction. */
static int load_limit(struct db *db, const struct buf *text, uint32_t rows,
                      int64_t *took_us, struct err *err)
{
    struct buf sql = {0};
    struct db_outcome outcome = {0};
    buf_append_text(&sql, "LOAD DATA LOCAL INFILE 'rows' INTO TABLE limit_communications "
                          "CHARACTER SET utf8mb4 (node_id, ip, communication_time, "
                          "received_at, " PLACE_COLUMNS ", event_type, status)");
    int64_t begun_us = clock_steady_us(&clock_system);
    int code = load(db, &sql, text, &outcome, err);
    *took_us += clock_steady_us(&clock_system) - begun_us;
    code = code ? code : check_loaded(rows, &outcome, err);
    buf_free(&sql);
    return code ? err_wrap(err, "the limit") : ERR_OK;
}

int database_load_limit(struct db *db, struct workload *workload, uint32_t rows,
                        uint32_t rows_per_transaction, int64_t *out_took_us,
                        struct err *err)
{
    int64_t took_us = 0;
    int code = ERR_OK;
    struct buf text = {0};
    for (uint32_t done = 0; done < rows && code == ERR_OK;) {
        uint32_t left = rows - done;
        uint32_t now = left < rows_per_transaction ? left : rows_per_transaction;
        buf_clear(&text);
        append_rows(&text, workload, now);
        code = load_limit(db, &text, now, &took_us, err);
        done += now;
    }
    buf_free(&text);
    if (code == ERR_OK) {
        *out_took_us = took_us;
    }
    return code;
}

int database_load_each(struct db *db, struct workload *workload, struct err *err)
{
    uint32_t seeded = workload_config(workload)->seeded;
    int64_t took_us = 0;
    struct buf text = {0};
    for (uint32_t i = 0; i < seeded; i++) {
        struct workload_record record;
        workload_next_of(workload, i, &record);
        append_row(&text, &record);
    }
    int code = load_limit(db, &text, seeded, &took_us, err);
    buf_free(&text);
    return code;
}

/* ---- Exactness ------------------------------------------------------------------- */

static int ask(struct db *db, struct buf *sql, uint64_t *out_numbers, size_t count,
               struct err *err)
{
    struct db_rows rows = {0};
    int code = sql->failed ? err_set(err, ERR_NOMEM, 0, "no memory for a statement")
                           : db_query(db, buf_slice(sql), &rows, err);
    bool answered = rows.cells && rows.row_count == 1 && rows.column_count == count;
    if (code == ERR_OK && !answered) {
        code = err_set(err, ERR_INTERNAL, 0, "a comparison has no answer");
    }
    for (size_t i = 0; i < count && answered; i++) {
        const char *cell = db_cell(&rows, 0, i).data; /* the sum of no rows is NULL */
        out_numbers[i] = cell ? strtoull(cell, NULL, 10) : 0;
    }
    db_rows_free(&rows);
    buf_clear(sql);
    return code;
}

static bool is_off(const char *what, uint64_t found, uint64_t expected)
{
    if (found != expected) {
        fprintf(stderr, "not exact: %s: %llu, expected %llu\n", what,
                (unsigned long long)found, (unsigned long long)expected);
    }
    return found != expected;
}

enum found {
    FOUND_ENTITIES,
    FOUND_JOINED, /* events of entities that are there */
    FOUND_MISCOUNTED,
    FOUND_FIRST,
    FOUND_LAST,
    FOUND_EMPTY,
    FOUND_COUNT
};

/* Each entity beside its events and what was seeded of it. In the order of the rows: the
 * index of node_id would be a look-up for each. */
static void append_entities(struct buf *sql, const struct stream *stream)
{
    buf_printf(sql,
               "SELECT COUNT(*), SUM(e.held), "
               "SUM(n.communication_count <> COALESCE(e.held, 0)), "
               "SUM(NOT n.first_seen <=> COALESCE(s.seen, e.first)), "
               "SUM(NOT n.last_seen <=> COALESCE(e.last, s.seen)), "
               "SUM(e.held IS NULL AND s.id IS NULL) FROM `%s` n LEFT JOIN "
               "(SELECT node_id, COUNT(*) AS held, MIN(communication_time) AS first, "
               "MAX(communication_time) AS last FROM `%s` FORCE INDEX (PRIMARY) "
               "GROUP BY node_id) e "
               "ON e.node_id = n.id LEFT JOIN bench_seeded s ON s.id = n.id",
               stream->entity.name, stream->event.name);
}

int database_check(struct db *db, const struct stream *stream,
                   const struct database_expected *expected, bool *out_exact,
                   struct err *err)
{
    uint64_t events[2] = {0};
    uint64_t found[FOUND_COUNT] = {0};
    struct buf sql = {0};
    buf_printf(&sql, "SELECT COUNT(*), COUNT(DISTINCT ip, communication_time) FROM `%s`",
               stream->event.name);
    int code = ask(db, &sql, events, 2, err);
    append_entities(&sql, stream);
    code = code ? code : ask(db, &sql, found, FOUND_COUNT, err);
    buf_free(&sql);
    if (code != ERR_OK) {
        return err_wrap(err, "comparing the tables with what was sent");
    }
    uint64_t events_expected = expected ? expected->events : events[0];
    uint64_t entities_expected = expected ? expected->entities : found[FOUND_ENTITIES];
    bool off = is_off("events", events[0], events_expected);
    off |= is_off("distinct keys of events", events[1], events_expected);
    off |= is_off("entities", found[FOUND_ENTITIES], entities_expected);
    off |= is_off("events with an entity", found[FOUND_JOINED], events_expected);
    off |= is_off("entities whose count is off", found[FOUND_MISCOUNTED], 0);
    off |= is_off("entities whose first_seen is off", found[FOUND_FIRST], 0);
    off |= is_off("entities whose last_seen is off", found[FOUND_LAST], 0);
    off |= is_off("new entities without event", found[FOUND_EMPTY], 0);
    *out_exact = !off;
    return ERR_OK;
}
