/* The oracle finds what is wrong: tables filled by a plain writer, then one difference of
 * each kind planted. */
#include "tests/oracle.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

/* A sample, its log as if all were acknowledged, and tables that hold it. */
struct bench {
    struct world w;
    struct sample sample;
    struct feeder_line *lines;
    uint64_t events, repeats, records;
};

static void make_tables(struct world *w)
{
    world_exec(
        w,
        "DROP TABLE IF EXISTS botnet_communications_mozi, botnet_nodes_mozi,"
        " holdfast_ledger;"
        "CREATE TABLE botnet_nodes_mozi (id INT AUTO_INCREMENT PRIMARY KEY,"
        " ip VARCHAR(15) UNIQUE, city VARCHAR(50),"
        " status ENUM('active','inactive','cleaned') DEFAULT 'active',"
        " first_seen TIMESTAMP NULL, last_seen TIMESTAMP NULL,"
        " communication_count INT DEFAULT 0) CHARACTER SET utf8mb4;"
        "CREATE TABLE botnet_communications_mozi (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
        " node_id INT, ip VARCHAR(15), communication_time TIMESTAMP NULL,"
        " event_type VARCHAR(50), city VARCHAR(50)) CHARACTER SET utf8mb4;"
        "CREATE TABLE holdfast_ledger (records BIGINT, events BIGINT,"
        " duplicates BIGINT, conflicts BIGINT)");
}

static void append_text(struct buf *sql, const char *text)
{
    if (text[0] == '\0')
        buf_append_text(sql, "NULL");
    else
        buf_printf(sql, "'%s'", text);
}

/* One record, one statement after the other, as simply as can be. */
static void write_record(struct bench *b, const struct sample_record *record)
{
    char ip[INET_ADDRSTRLEN];
    struct in_addr address = {.s_addr = htonl(record->ip)};
    (void)inet_ntop(AF_INET, &address, ip, sizeof ip);
    struct buf sql = {0};
    long long at = record->time_s;
    buf_printf(&sql, "INSERT IGNORE INTO botnet_nodes_mozi (ip) VALUES ('%s');", ip);
    buf_printf(&sql,
               "INSERT INTO botnet_communications_mozi (node_id, ip, communication_time,"
               " event_type, city) SELECT id, ip, FROM_UNIXTIME(%lld), ",
               at);
    append_text(&sql, sample_event_name(record->event));
    buf_append_text(&sql, ", ");
    append_text(&sql, sample_city_name(record->city));
    buf_printf(&sql,
               " FROM botnet_nodes_mozi n WHERE ip = '%s' AND NOT EXISTS (SELECT 1 FROM"
               " botnet_communications_mozi c WHERE c.ip = n.ip AND"
               " communication_time = FROM_UNIXTIME(%lld));",
               ip, at);
    buf_append_text(&sql, "UPDATE botnet_nodes_mozi SET ");
    if (record->city != SAMPLE_NONE)
        buf_printf(&sql, "city = IF(last_seen > FROM_UNIXTIME(%lld), city, '%s'), ", at,
                   sample_city_name(record->city));
    if (record->status != SAMPLE_NONE)
        buf_printf(&sql, "status = IF(last_seen > FROM_UNIXTIME(%lld), status, '%s'), ",
                   at, sample_status_name(record->status));
    buf_printf(&sql,
               "communication_count = (SELECT COUNT(*) FROM botnet_communications_mozi c"
               " WHERE c.ip = botnet_nodes_mozi.ip), first_seen ="
               " LEAST(COALESCE(first_seen, FROM_UNIXTIME(%lld)), FROM_UNIXTIME(%lld)),"
               " last_seen = GREATEST(COALESCE(last_seen, FROM_UNIXTIME(%lld)),"
               " FROM_UNIXTIME(%lld)) WHERE ip = '%s'",
               at, at, at, at, ip);
    world_exec(&b->w, buf_text(&sql));
    buf_free(&sql);
}

static void write_ledger(struct bench *b)
{
    uint64_t dead = 0;
    b->events =
        (uint64_t)world_scalar(&b->w, "SELECT COUNT(*) FROM botnet_communications_mozi");
    for (uint32_t i = 0; i < b->sample.batch_count; i++) {
        b->records += b->sample.batches[i].record_count;
        dead += b->sample.batches[i].bad_count;
    }
    b->repeats = b->records - dead - b->events;
    struct buf sql = {0};
    buf_printf(&sql, "INSERT INTO holdfast_ledger VALUES (%llu, %llu, %llu, 0)",
               (unsigned long long)b->records, (unsigned long long)b->events,
               (unsigned long long)b->repeats);
    world_exec(&b->w, buf_text(&sql));
    buf_free(&sql);
}

static void bench_start(struct bench *b)
{
    *b = (struct bench){0};
    world_attach(&b->w);
    world_exec(&b->w, "SET time_zone = '+00:00', NAMES utf8mb4");
    make_tables(&b->w);
    struct sample_config config;
    sample_config_defaults(&config);
    config.stream_count = 1;
    config.records = 300;
    config.batch_max = 50;
    config.ips = 40;
    config.duplicate_share = 0.1;
    config.routed_share = 0;
    struct err err = {0};
    cr_assert_eq(sample_new(&config, &b->sample, &err), 0, "%s", err.message);
    b->lines = calloc(b->sample.batch_count, sizeof *b->lines);
    cr_assert_not_null(b->lines);
    world_exec(&b->w, "BEGIN");
    for (uint32_t i = 0; i < b->sample.batch_count; i++) {
        const struct sample_batch *batch = &b->sample.batches[i];
        b->lines[i] = (struct feeder_line){.state = FEEDER_ACKED,
                                           .status = 200,
                                           .seq = i + 1,
                                           .accepted = batch->record_count,
                                           .dead_lettered = batch->bad_count};
        for (uint32_t r = 0; r < batch->record_count; r++) {
            if (batch->records[r].fault == SAMPLE_GOOD)
                write_record(b, &batch->records[r]);
        }
    }
    world_exec(&b->w, "COMMIT");
    write_ledger(b);
}

static struct oracle_report bench_compare(struct bench *b)
{
    struct oracle_log log = {.sample = &b->sample, .lines = b->lines};
    struct oracle_report report;
    struct err err = {0};
    struct oracle_context context = {
        .accepted = (uint64_t)world_scalar(&b->w, "SELECT records FROM holdfast_ledger")};
    int code = oracle_compare(b->w.session, &log, 1, &context, &report, &err);
    cr_assert_eq(code, 0, "%s", err.message);
    return report;
}

static void bench_stop(struct bench *b)
{
    sample_free(&b->sample);
    free(b->lines);
    world_detach(&b->w);
}

Test(oracle, nothing_wrong_where_nothing_is)
{
    struct bench b;
    bench_start(&b);
    struct oracle_report report = bench_compare(&b);
    struct buf text = {0};
    oracle_describe(&report, &text);
    cr_assert(oracle_clean(&report), "%s", buf_text(&text));
    cr_assert(report.events == b.events && report.events > 100);
    cr_assert_gt(b.repeats, 10);
    cr_assert_eq(report.told, b.records);
    cr_assert_eq(report.accepted, b.records);
    buf_free(&text);
    bench_stop(&b);
}

/* clang-format off */
static const struct planted {
    const char *sql;
    size_t counter; /* of the report: what must count it */
} planted[] = {
    {"DELETE FROM botnet_communications_mozi ORDER BY id DESC LIMIT 1", offsetof(struct oracle_report, lost)},
    {"INSERT INTO botnet_communications_mozi (node_id, ip, communication_time, event_type, city)"
     " SELECT node_id, ip, communication_time, event_type, city FROM botnet_communications_mozi LIMIT 1",
     offsetof(struct oracle_report, repeated)},
    {"UPDATE botnet_communications_mozi SET communication_time = '2020-01-01 00:00:00' LIMIT 1",
     offsetof(struct oracle_report, foreign)},
    {"UPDATE botnet_communications_mozi SET event_type = 'other' LIMIT 1", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_communications_mozi SET node_id = node_id + 1 LIMIT 1", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_nodes_mozi SET first_seen = first_seen - INTERVAL 1 SECOND LIMIT 1", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_nodes_mozi SET last_seen = NULL LIMIT 1", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_nodes_mozi SET city = IF(city = '深圳市', 'Köln', '深圳市')", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_nodes_mozi SET status = IF(status = 'cleaned', 'active', 'cleaned') LIMIT 1", offsetof(struct oracle_report, altered)},
    {"UPDATE botnet_nodes_mozi SET communication_count = communication_count + 1 LIMIT 1",
     offsetof(struct oracle_report, count_mismatches)},
    {"INSERT INTO botnet_nodes_mozi (ip) VALUES ('7.7.7.7')", offsetof(struct oracle_report, entities_without_events)},
    {"DELETE FROM botnet_nodes_mozi LIMIT 1", offsetof(struct oracle_report, entities_lost)},
    {"UPDATE holdfast_ledger SET records = records + 1", offsetof(struct oracle_report, law_broken)},
    {"UPDATE holdfast_ledger SET duplicates = duplicates + 1", offsetof(struct oracle_report, law_broken)},
    {"UPDATE holdfast_ledger SET events = events - 1, conflicts = conflicts + 1", offsetof(struct oracle_report, law_broken)},
};
/* clang-format on */

Test(oracle, finds_what_is_planted)
{
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        struct bench b;
        bench_start(&b);
        world_exec(&b.w, planted[i].sql);
        struct oracle_report report = bench_compare(&b);
        uint64_t counted;
        memcpy(&counted, (const char *)&report + planted[i].counter, sizeof counted);
        cr_assert_gt(counted, 0, "not found: %s", planted[i].sql);
        cr_assert(!oracle_clean(&report) && report.difference_count > 0);
        bench_stop(&b);
    }
}

/* The largest batch, so that it has events of its own. */
static uint32_t largest(const struct sample *sample)
{
    uint32_t best = 1;
    for (uint32_t i = 1; i < sample->batch_count; i++) {
        if (sample->batches[i].record_count > sample->batches[best].record_count)
            best = i;
    }
    return best;
}

static void forget_answer(struct bench *b, uint32_t batch)
{
    b->lines[batch] = (struct feeder_line){.state = FEEDER_UNKNOWN, .unknown = 1};
}

Test(oracle, unanswered_batch_may_be_there)
{
    struct bench b;
    bench_start(&b);
    forget_answer(&b, largest(&b.sample));
    struct oracle_report report = bench_compare(&b);
    struct buf text = {0};
    oracle_describe(&report, &text);
    cr_assert(oracle_clean(&report), "%s", buf_text(&text));
    buf_free(&text);
    bench_stop(&b);
}

Test(oracle, half_of_an_unanswered_batch_is_torn)
{
    struct bench b;
    bench_start(&b);
    uint32_t batch = largest(&b.sample);
    forget_answer(&b, batch);
    /* Its newest event goes; one that only this batch has. */
    world_exec(&b.w, "CREATE TEMPORARY TABLE own (ip VARCHAR(15), t BIGINT)");
    for (uint32_t i = 0; i < b.sample.batches[batch].record_count; i++) {
        const struct sample_record *record = &b.sample.batches[batch].records[i];
        struct buf sql = {0};
        buf_printf(&sql, "INSERT INTO own VALUES (INET_NTOA(%u), %lld)", record->ip,
                   (long long)record->time_s);
        world_exec(&b.w, buf_text(&sql));
        buf_free(&sql);
    }
    world_exec(&b.w, "DELETE FROM botnet_communications_mozi WHERE id = (SELECT MAX(id)"
                     " FROM (SELECT c.id FROM botnet_communications_mozi c JOIN own o"
                     " ON c.ip = o.ip AND UNIX_TIMESTAMP(communication_time) = o.t) x)");
    struct oracle_report report = bench_compare(&b);
    cr_assert_eq(report.torn, 1);
    bench_stop(&b);
}

Test(oracle, a_resend_without_key_explains_more_records)
{
    struct bench b;
    bench_start(&b);
    uint32_t batch = largest(&b.sample);
    uint32_t extra = b.sample.batches[batch].record_count;
    uint32_t bad = b.sample.batches[batch].bad_count;
    struct buf sql = {0};
    buf_printf(&sql,
               "UPDATE holdfast_ledger SET records = records + %u,"
               " duplicates = duplicates + %u",
               extra, extra - bad);
    world_exec(&b.w, buf_text(&sql));
    buf_free(&sql);
    cr_assert_gt(bench_compare(&b).law_broken, 0);
    b.sample.batches[batch].key[0] = '\0';
    b.lines[batch].unknown = 1;
    cr_assert_eq(bench_compare(&b).law_broken, 0);
    bench_stop(&b);
}
