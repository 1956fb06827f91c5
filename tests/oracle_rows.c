/* tests/oracle_rows.c: see oracle_rows.h. */
#include "tests/oracle_rows.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVER_NO_SUCH_TABLE = 1146 };

static int compare_facts(const void *left, const void *right)
{
    const struct fact *a = left;
    const struct fact *b = right;
    if (a->ip != b->ip)
        return a->ip < b->ip ? -1 : 1;
    if (a->time_s != b->time_s)
        return a->time_s < b->time_s ? -1 : 1;
    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    if (a->batch != b->batch)
        return a->batch < b->batch ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static void add_batch(struct facts *facts, const struct oracle_log *log, uint32_t index,
                      const char *stream, const struct fact *base)
{
    const struct sample_batch *batch = &log->sample->batches[index];
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct sample_record *record = &batch->records[i];
        const char *name = log->sample->config.streams[record->stream];
        if (record->fault != SAMPLE_GOOD || strcmp(name, stream) != 0)
            continue;
        struct fact fact = *base;
        fact.ip = record->ip;
        fact.time_s = record->time_s;
        fact.row = i;
        fact.event = record->event;
        fact.city = record->city;
        fact.status = record->status;
        facts->items[facts->count++] = fact;
    }
}

/* What of a batch may be in the database; false: nothing. */
static bool batch_base(const struct sample_batch *batch, const struct feeder_line *line,
                       struct fact *base)
{
    base->sure = line->state == FEEDER_ACKED;
    base->order = line->seq;
    base->ordered = base->sure && (line->unknown == 0 || batch->key[0] != '\0');
    return base->sure || line->unknown > 0;
}

int oracle_facts(const struct oracle_log *logs, size_t log_count, const char *stream,
                 struct facts *out_facts, struct err *err)
{
    size_t most = 1;
    for (size_t i = 0; i < log_count; i++) {
        for (uint32_t b = 0; b < logs[i].sample->batch_count; b++)
            most += logs[i].sample->batches[b].record_count;
    }
    struct facts facts = {.items = calloc(most, sizeof *facts.items)};
    if (!facts.items)
        return err_set(err, ERR_NOMEM, 0, "no memory for %zu records", most);
    struct fact base = {0};
    for (size_t i = 0; i < log_count; i++) {
        base.log = (uint8_t)i;
        for (uint32_t b = 0; b < logs[i].sample->batch_count; b++, base.batch++) {
            if (batch_base(&logs[i].sample->batches[b], &logs[i].lines[b], &base))
                add_batch(&facts, &logs[i], b, stream, &base);
        }
    }
    qsort(facts.items, facts.count, sizeof *facts.items, compare_facts);
    *out_facts = facts;
    return 0;
}

static int server_error(MYSQL *session, struct err *err)
{
    return err_set(err, ERR_TRANSIENT, (int)mysql_errno(session),
                   "the oracle can't read the database: %u %s", mysql_errno(session),
                   mysql_error(session));
}

/* The result of a query, *out_result NULL where there is no such table. */
static int query(MYSQL *session, const struct buf *sql, MYSQL_RES **out_result,
                 struct err *err)
{
    *out_result = NULL;
    if (sql->failed)
        return err_set(err, ERR_NOMEM, 0, "no memory for a query");
    if (mysql_query(session, "SET NAMES utf8mb4") != 0)
        return server_error(session, err);
    if (mysql_real_query(session, sql->data, sql->len) != 0) {
        if (mysql_errno(session) == SERVER_NO_SUCH_TABLE)
            return 0;
        return server_error(session, err);
    }
    *out_result = mysql_store_result(session);
    return *out_result ? 0 : server_error(session, err);
}

static int64_t number(const char *cell, int64_t absent)
{
    return cell ? strtoll(cell, NULL, 10) : absent;
}

static int8_t index_of(const char *cell, const char *(*name)(int), int count)
{
    if (!cell)
        return SAMPLE_NONE;
    for (int i = 0; i < count; i++) {
        if (strcmp(name(i), cell) == 0)
            return (int8_t)i;
    }
    return ROW_STRANGE;
}

int oracle_events(struct st_mysql *session, const char *stream,
                  struct event_rows *out_rows, struct err *err)
{
    MYSQL_RES *result;
    struct buf sql = {0};
    buf_printf(&sql,
               "SELECT COALESCE(INET_ATON(ip), 0) AS a,"
               " UNIX_TIMESTAMP(communication_time) AS t, event_type, city, node_id"
               " FROM botnet_communications_%s ORDER BY a, t",
               stream);
    int code = query(session, &sql, &result, err);
    buf_free(&sql);
    if (code != 0)
        return code;
    size_t most = result ? (size_t)mysql_num_rows(result) : 0;
    struct event_rows rows = {.items = calloc(most + 1, sizeof *rows.items)};
    MYSQL_ROW cells;
    while (rows.items && result && (cells = mysql_fetch_row(result)) != NULL) {
        rows.items[rows.count++] = (struct event_row){
            .ip = (uint32_t)number(cells[0], 0),
            .time_s = number(cells[1], ROW_NO_TIME),
            .event = index_of(cells[2], sample_event_name, (int)sample_event_count()),
            .city = index_of(cells[3], sample_city_name, (int)sample_city_count()),
            .node_id = number(cells[4], 0),
        };
    }
    mysql_free_result(result);
    if (!rows.items)
        return err_set(err, ERR_NOMEM, 0, "no memory for %zu events", most);
    *out_rows = rows;
    return 0;
}

int oracle_nodes(struct st_mysql *session, const char *stream, struct node_rows *out_rows,
                 struct err *err)
{
    MYSQL_RES *result;
    struct buf sql = {0};
    buf_printf(&sql,
               "SELECT COALESCE(INET_ATON(ip), 0) AS a, id,"
               " UNIX_TIMESTAMP(first_seen), UNIX_TIMESTAMP(last_seen),"
               " communication_count, city, status"
               " FROM botnet_nodes_%s ORDER BY a",
               stream);
    int code = query(session, &sql, &result, err);
    buf_free(&sql);
    if (code != 0)
        return code;
    size_t most = result ? (size_t)mysql_num_rows(result) : 0;
    struct node_rows rows = {.items = calloc(most + 1, sizeof *rows.items)};
    MYSQL_ROW cells;
    while (rows.items && result && (cells = mysql_fetch_row(result)) != NULL) {
        rows.items[rows.count++] = (struct node_row){
            .ip = (uint32_t)number(cells[0], 0),
            .id = number(cells[1], 0),
            .first_s = number(cells[2], ROW_NO_TIME),
            .last_s = number(cells[3], ROW_NO_TIME),
            .count = number(cells[4], -1),
            .city = index_of(cells[5], sample_city_name, (int)sample_city_count()),
            .status = index_of(cells[6], sample_status_name, (int)sample_status_count()),
        };
    }
    mysql_free_result(result);
    if (!rows.items)
        return err_set(err, ERR_NOMEM, 0, "no memory for %zu entities", most);
    *out_rows = rows;
    return 0;
}

int oracle_ledger(struct st_mysql *session, struct ledger_sums *out_sums, struct err *err)
{
    MYSQL_RES *result;
    struct buf sql = {0};
    buf_append_text(&sql, "SELECT SUM(records), SUM(events), SUM(duplicates),"
                          " SUM(conflicts) FROM holdfast_ledger");
    int code = query(session, &sql, &result, err);
    buf_free(&sql);
    if (code != 0)
        return code;
    *out_sums = (struct ledger_sums){0};
    MYSQL_ROW cells = result ? mysql_fetch_row(result) : NULL;
    if (cells) {
        out_sums->records = (uint64_t)number(cells[0], 0);
        out_sums->events = (uint64_t)number(cells[1], 0);
        out_sums->duplicates = (uint64_t)number(cells[2], 0);
        out_sums->conflicts = (uint64_t)number(cells[3], 0);
    }
    mysql_free_result(result);
    return 0;
}
