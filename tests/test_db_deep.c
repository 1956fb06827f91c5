/* `audit --deep` by the real executable, beside a real engine on a real server, on tables
 * that somebody has laid hands on. */
#include "audit/deep.h"
#include "schema/record.h"
#include "tests/cli_kit.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
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

static const char intake[] = "intake: {listen: \"127.0.0.1:0\"}\n";

/* Entry 1: four events of three entities; entry 2: two more, one of them a new entity's.
 */
static void begin(struct cli_kit *cli, const char *more)
{
    char text[256];
    snprintf(text, sizeof text, "%s%s", intake, more);
    cli_kit_begin(cli, text);
    cli_kit_serve(cli);
    cli_kit_ingest(cli, "2026-01-08 01:00:01,10.0.0.1,beacon\n"
                        "2026-01-08 01:00:02,10.0.0.1,scan\n"
                        "2026-01-08 01:00:03,10.0.0.2,beacon\n"
                        "2026-01-08 01:00:04,10.0.0.3,beacon\n");
    cli_kit_ingest(cli, "2026-01-08 01:00:05,10.0.0.3,scan\n"
                        "2026-01-08 01:00:06,10.0.0.4,beacon\n");
}

/* The gap at this place of the list. */
static void expect_gap(const struct json_value *found, unsigned place, const char *kind,
                       int64_t seq, int64_t index)
{
    char path[64];
    snprintf(path, sizeof path, "deep.0.gaps.%u.kind", place);
    cli_kit_expect_text(found, path, kind);
    snprintf(path, sizeof path, "deep.0.gaps.%u.seq", place);
    cli_kit_expect(found, path, seq);
    snprintf(path, sizeof path, "deep.0.gaps.%u.index", place);
    cli_kit_expect(found, path, index);
}

static void expect_clean(struct cli_kit *cli, int64_t records)
{
    struct json_value *found = cli_kit_run(cli, "audit --deep", 0);
    cr_assert(json_as_bool(cli_kit_at(found, "ok"), false));
    cli_kit_expect(found, "deep.0.gap_count", 0);
    cli_kit_expect(found, "deep.0.records", records);
    json_value_free(found);
}

Test(deep, all_is_there)
{
    struct cli_kit cli;
    begin(&cli, "");
    expect_clean(&cli, 6);
    char *text = cli_kit_text(&cli, "audit --deep --stream mozi", 0);
    cr_assert_not_null(strstr(text, "6 records of 2 entries, 1 to 2: 0 not as"), "%s",
                       text);
    free(text);
    free(cli_kit_text(&cli, "audit --deep --stream none", 64));
    free(cli_kit_text(&cli, "audit --stream mozi", 64));
    cli_kit_end(&cli);
}

Test(deep, nothing_is_journaled_yet)
{
    struct cli_kit cli;
    cli_kit_begin(&cli, intake);
    cli_kit_serve(&cli);
    expect_clean(&cli, 0);
    cli_kit_end(&cli);
}

/* A duplicate and a conflict of stored events, in the second of these or later; one of
 * each within a batch; a dead letter. */
Test(deep, duplicates_conflicts_and_dead_letters_are_no_gaps)
{
    struct cli_kit cli;
    begin(&cli, "");
    cli_kit_ingest(&cli, "2026-01-08 01:00:01,10.0.0.1,beacon\n"
                         "2026-01-08 01:00:03,10.0.0.2,other\n"
                         "2026-01-08 01:00:03,10.0.0.2,beacon\n"
                         "2026-01-08 01:00:09,10.0.0.9,beacon\n"
                         "2026-01-08 01:00:09,10.0.0.9,other\n"
                         "2026-01-08 01:00:09,10.0.0.300,beacon\n");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 0);
    cli_kit_expect(found, "totals.duplicates", 2);
    cli_kit_expect(found, "totals.conflicts", 2);
    cli_kit_expect(found, "totals.dead_letters", 1);
    cli_kit_expect(found, "deep.0.records", 11);
    cli_kit_expect(found, "deep.0.gap_count", 0);
    cli_kit_expect(found, "deep.0.made_by_others", 0); /* who made them is retained */
    json_value_free(found);
    free(cli_kit_text(&cli, "deadletter retry --set ip=10.0.0.30 --execute", 0));
    cli_kit_wait_applied(&cli);
    expect_clean(&cli, 12);
    cli_kit_end(&cli);
}

/* ---- Many groups ------------------------------------------------------------------- */

struct row {
    const char *time;
    const char *ip;
    const char *event_type;
};

static void set(const struct stream *stream, struct value *values, const char *name,
                const char *text)
{
    struct raw_value raw = {RAW_STRING, slice_text(text)};
    struct time_rules rules = {.now_us = INT64_MAX / 2, .max_future_us = INT64_MAX / 2};
    struct reject reject;
    int field = stream_field_find(stream, slice_text(name));
    cr_assert(stream_field_parse(&stream->fields[field], &raw, &rules, &values[field],
                                 &reject));
}

/* One entry, received at that time. */
static void append(struct journal *journal, const struct stream *stream, int64_t at_us,
                   const struct row *rows, size_t count)
{
    struct record_encoder encoder;
    record_encoder_init(&encoder, stream, 1 << 16);
    for (size_t i = 0; i < count; i++) {
        struct value values[STREAM_FIELDS_MAX] = {0};
        set(stream, values, "timestamp", rows[i].time);
        set(stream, values, "ip", rows[i].ip);
        set(stream, values, "event_type", rows[i].event_type);
        cr_assert(record_encoder_add(&encoder, values));
    }
    struct journal_part part = {.stream = "mozi",
                                .records = (uint32_t)count,
                                .payload = record_encoder_finish(&encoder)};
    struct journal_append entry = {
        .parts = &part, .part_count = 1, .received_at_us = at_us};
    cr_assert_eq(journal_append_wait(journal, &entry), 0, "%s", entry.err.message);
    record_encoder_free(&encoder);
}

/* Two entries of one second; the second repeats the first one's records, one of them with
 * another type. */
static void make_journal(struct cli_kit *cli, const char *path)
{
    static const struct row first[] = {{"2026-01-08 01:00:01", "10.0.0.1", "beacon"},
                                       {"2026-01-08 01:00:02", "10.0.0.1", "scan"}};
    static const struct row second[] = {{"2026-01-08 01:00:01", "10.0.0.1", "other"},
                                        {"2026-01-08 01:00:02", "10.0.0.1", "scan"}};
    struct journal_config config;
    struct journal *journal = NULL;
    struct err err = {0};
    int64_t at_us = clock_wall_us(&clock_system) / 1000000 * 1000000;
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = 64 << 20;
    config.preallocate = 1 << 20;
    cr_assert_eq(journal_open(&config, true, &journal, &err), 0, "%s", err.message);
    append(journal, cli->kit.stream, at_us + 100000, first, 2);
    append(journal, cli->kit.stream, at_us + 400000, second, 2);
    journal_close(journal);
}

struct heard {
    struct deep_gap gaps[4];
    size_t count;
};

static void hear(const struct deep_gap *gap, void *context)
{
    struct heard *heard = context;
    cr_assert_lt(heard->count, 4);
    heard->gaps[heard->count++] = *gap;
}

/* As where the journal is long: each entry is a group of its own, so that the second
 * one's records can't be told from the first one's but by reading the journal again. */
Test(deep, what_an_earlier_group_made_is_no_gap)
{
    struct cli_kit cli;
    struct journal *journal = NULL;
    struct db *db = NULL;
    struct deep_report report;
    struct err err = {0};
    struct heard heard = {.count = 0};
    struct deep_rules rules = {
        .group_records = 1, .zone_offset_s = 8 * 3600, .gap = hear, .context = &heard};
    char path[WORLD_PATH_MAX];
    cli_kit_begin(&cli, intake);
    snprintf(path, sizeof path, "%.200s/journal", cli.dir);
    make_journal(&cli, path);
    cli_kit_serve(&cli);
    cli_kit_ingest(&cli, "2026-01-08 03:00:03,10.0.0.2,beacon\n");
    world_exec(&cli.w, "UPDATE botnet_communications_mozi SET country = 'x' WHERE "
                       "event_type = 'scan'");
    cr_assert_eq(journal_open_reader(path, &journal, &err), 0, "%s", err.message);
    cr_assert_eq(db_connect(&cli.kit.db, cli.kit.hosts, &db, &err), 0, "%s", err.message);
    cr_assert_eq(deep_stream(journal, db, cli.kit.stream, &rules, &report, &err), 0, "%s",
                 err.message);
    cr_assert_eq(report.records, 5, "%llu", (unsigned long long)report.records);
    cr_assert_eq(report.gaps, 1, "%llu", (unsigned long long)report.gaps);
    cr_assert_eq(report.others, 2);
    cr_assert_eq(heard.count, 1);
    cr_assert_eq(heard.gaps[0].kind, DEEP_ALTERED);
    cr_assert_eq(heard.gaps[0].seq, 1);
    cr_assert_eq(heard.gaps[0].index, 1);
    journal_close(journal);
    db_close(db);
    cli_kit_end(&cli);
}

/* ---- Hands ------------------------------------------------------------------------- */

Test(deep, an_event_that_is_gone_is_named)
{
    struct cli_kit cli;
    begin(&cli, "");
    world_exec(&cli.w, "DELETE FROM botnet_communications_mozi WHERE ip = '10.0.0.1' AND "
                       "event_type = 'scan'");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 1);
    cr_assert_not(json_as_bool(cli_kit_at(found, "ok"), true));
    cli_kit_expect(found, "deep.0.gap_count", 1);
    cli_kit_expect(found, "deep.0.event_missing", 1);
    expect_gap(found, 0, "event_missing", 1, 1);
    cli_kit_expect_text(found, "deep.0.gaps.0.key", "10.0.0.1");
    cli_kit_expect_text(found, "deep.0.gaps.0.time", "2026-01-07T17:00:02.000Z");
    json_value_free(found);
    char *text = cli_kit_text(&cli, "audit --deep", 1);
    cr_assert_not_null(strstr(text, "\n  1/1: the event is not there (10.0.0.1, 2026-01-"
                                    "07T17:00:02.000Z)\n"),
                       "%s", text);
    free(text);
    free(cli_kit_text(&cli, "audit", 0)); /* the law doesn't see it */
    cli_kit_end(&cli);
}

Test(deep, an_entity_that_is_gone_is_named)
{
    struct cli_kit cli;
    begin(&cli, "");
    world_exec(&cli.w, "SET foreign_key_checks = 0;"
                       "DELETE FROM botnet_nodes_mozi WHERE ip = '10.0.0.2';"
                       "DELETE FROM botnet_nodes_mozi WHERE ip = '10.0.0.4';"
                       "DELETE FROM botnet_communications_mozi WHERE ip = '10.0.0.4';"
                       "SET foreign_key_checks = 1");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 1);
    cli_kit_expect(found, "deep.0.gap_count", 2);
    expect_gap(found, 0, "entity_missing", 1, 2);
    cli_kit_expect_text(found, "deep.0.gaps.0.key", "10.0.0.2");
    expect_gap(found, 1, "entity_and_event_missing", 2, 1);
    json_value_free(found);
    /* made anew under another id */
    world_exec(&cli.w, "INSERT INTO botnet_nodes_mozi (ip, last_seen) VALUES "
                       "('10.0.0.2', '2026-01-08 01:00:03')");
    found = cli_kit_run(&cli, "audit --deep", 1);
    expect_gap(found, 0, "other_entity", 1, 2);
    json_value_free(found);
    cli_kit_end(&cli);
}

/* In a lane without duplicates; then in one with, and with conflicts. */
Test(deep, a_value_that_was_altered_is_named)
{
    struct cli_kit cli;
    begin(&cli, "");
    world_exec(&cli.w, "UPDATE botnet_communications_mozi SET country = 'x', "
                       "longitude = 7.5 WHERE ip = '10.0.0.3' AND event_type = 'scan'");
    for (int round = 0; round < 2; round++) {
        struct json_value *found = cli_kit_run(&cli, "audit --deep", 1);
        cli_kit_expect(found, "deep.0.gap_count", 1);
        expect_gap(found, 0, "altered", 2, 0);
        cr_assert_eq(json_count(cli_kit_at(found, "deep.0.gaps.0.columns")), 2);
        cli_kit_expect_text(found, "deep.0.gaps.0.columns.0", "longitude");
        cli_kit_expect_text(found, "deep.0.gaps.0.columns.1", "country");
        json_value_free(found);
        if (round == 0) {
            cli_kit_ingest(&cli, "2026-01-08 01:00:01,10.0.0.1,beacon\n"
                                 "2026-01-08 01:00:05,10.0.0.3,other\n");
        }
    }
    cli_kit_end(&cli);
}

/* The table goes back alone; nobody else sees it. What is advised then helps. */
Test(deep, an_older_event_table_is_found_and_mended)
{
    struct cli_kit cli;
    begin(&cli, "");
    world_exec(&cli.w, "CREATE TABLE dump AS SELECT * FROM botnet_communications_mozi");
    cli_kit_ingest(&cli, "2026-01-08 02:00:01,10.0.0.1,beacon\n"
                         "2026-01-08 02:00:02,10.0.0.5,beacon\n");
    cli_kit_ingest(&cli, "2026-01-08 02:00:03,10.0.0.5,scan\n");
    world_exec(&cli.w, "DELETE FROM botnet_communications_mozi;"
                       "INSERT INTO botnet_communications_mozi SELECT * FROM dump");
    free(cli_kit_text(&cli, "audit", 0));
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 1);
    cli_kit_expect(found, "deep.0.gap_count", 3);
    expect_gap(found, 0, "event_missing", 3, 0);
    expect_gap(found, 1, "event_missing", 3, 1);
    expect_gap(found, 2, "event_missing", 4, 0);
    json_value_free(found);

    cli_kit_stop(&cli);
    free(cli_kit_text(&cli, "journal adopt --execute", 0));
    cli_kit_serve(&cli);
    cli_kit_ingest(&cli, "2026-01-08 02:00:04,10.0.0.5,scan\n");
    json_value_free(cli_kit_run(&cli, "repair --counts --execute", 0));
    expect_clean(&cli, 10);
    sink_kit_number(&cli.kit, "SELECT COUNT(*) FROM botnet_communications_mozi", 10);
    sink_kit_number(&cli.kit, "SELECT SUM(communication_count) FROM botnet_nodes_mozi",
                    10);
    cli_kit_end(&cli);
}

Test(deep, an_older_entity_table_is_found)
{
    struct cli_kit cli;
    begin(&cli, "");
    world_exec(&cli.w, "CREATE TABLE dump AS SELECT * FROM botnet_nodes_mozi");
    cli_kit_ingest(&cli, "2026-01-08 02:00:01,10.0.0.1,beacon\n"
                         "2026-01-08 02:00:02,10.0.0.5,beacon\n");
    world_exec(&cli.w, "SET foreign_key_checks = 0; DELETE FROM botnet_nodes_mozi;"
                       "INSERT INTO botnet_nodes_mozi SELECT * FROM dump;"
                       "SET foreign_key_checks = 1");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 1);
    cli_kit_expect(found, "deep.0.gap_count", 2);
    expect_gap(found, 0, "entity_behind", 3, 0);
    expect_gap(found, 1, "entity_missing", 3, 1);
    json_value_free(found);
    cli_kit_end(&cli);
}

/* Looks again and again while lanes apply: what it knows as applied is there. */
Test(deep, beside_lanes_that_apply)
{
    struct cli_kit cli;
    struct buf lines = {0};
    char path[WORLD_PATH_MAX];
    char log[WORLD_PATH_MAX];
    int64_t records = 0;
    begin(&cli, "");
    for (unsigned i = 0; i < 30000; i++) {
        buf_printf(&lines, "2026-01-08 %02u:%02u:%02u,10.1.%u.%u,%s\n", i / 3600 % 24,
                   i / 60 % 60, i % 60, i % 40, i % 251, i % 3 ? "beacon" : "scan");
    }
    snprintf(path, sizeof path, "%.200s/lines.csv", cli.dir);
    snprintf(log, sizeof log, "%.200s/ingest.log", cli.dir);
    world_write_file(path, buf_text(&lines));
    buf_free(&lines);
    const char *argv[] = {world_holdfast(), "ingest",   "--stream", "mozi",
                          "--config",       cli.config, path,       NULL};
    pid_t ingest = world_spawn(argv, NULL, log);
    while (records < 30006) {
        struct json_value *found = cli_kit_run(&cli, "audit --deep", 0);
        cli_kit_expect(found, "deep.0.gap_count", 0);
        records = json_as_integer(cli_kit_at(found, "deep.0.records"), 0);
        json_value_free(found);
    }
    cr_assert_eq(world_wait(ingest, CLI_KIT_TIMEOUT_MS), 0);
    cli_kit_end(&cli);
}

/* What operators purge by age isn't missed; and an event that stands in is told apart. */
Test(deep, purged_and_stood_in_for)
{
    struct cli_kit cli;
    begin(&cli, "check: {since: 24h}\n");
    world_exec(&cli.w, "DELETE FROM botnet_communications_mozi WHERE ip = '10.0.0.1'");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 0);
    cli_kit_expect(found, "deep.0.aged", 2);
    json_value_free(found);
    world_exec(&cli.w, "UPDATE botnet_communications_mozi SET event_type = "
                       "'data_recovery' WHERE ip = '10.0.0.2'");
    found = cli_kit_run(&cli, "audit --deep", 1);
    expect_gap(found, 0, "stands_in", 1, 2);
    json_value_free(found);
    cli_kit_end(&cli);
}

/* ---- A stream of another kind -------------------------------------------------------
 */

/* The stream of docs/examples/readings.yaml: two lanes, text keys, milliseconds, local
 * times, doubles, conflicts that are kept. */
static void configure_readings(struct cli_kit *cli)
{
    char path[WORLD_PATH_MAX];
    char text[8192];
    snprintf(path, sizeof path, "%.180s/docs/examples/readings.yaml",
             getenv("HOLDFAST_SOURCE"));
    char *example = world_read_file(path);
    cr_assert_not_null(example);
    const char *streams = strstr(example, "\nstreams:");
    cr_assert_not_null(streams);
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "database: {socket: %s, name: %s, user: root}\n"
             "time_zone: \"+08:00\"\n%s%s",
             cli->dir, cli->w.socket, cli->kit.database, intake, streams);
    world_write_file(cli->config, text);
    free(example);
}

static void send_readings(struct cli_kit *cli, const char *lines)
{
    const char *argv[] = {world_holdfast(), "ingest",    "--stream", "readings",
                          "--config",       cli->config, "-",        NULL};
    cr_assert_eq(world_run(argv, lines, NULL, CLI_KIT_TIMEOUT_MS), 0);
    cli_kit_wait_applied(cli);
}

Test(deep, all_types_of_columns_are_read_back_as_they_were_written)
{
    static const char *const serials[] = {"A-17", "a\\\"b", "深圳 1", "x'y%_\\\\t", "0"};
    static const char *const values[] = {"0.1", "-1e300", "4.9e-324", "-0.0",
                                         "123456789.125"};
    struct cli_kit cli;
    struct buf lines = {0};
    cli_kit_begin(&cli, intake);
    configure_readings(&cli);
    cli_kit_serve(&cli);
    for (unsigned i = 0; i < 300; i++) {
        buf_printf(&lines,
                   "{\"serial\":\"%s\",\"at\":\"2026-01-08 01:%02u:%02u.%03u\","
                   "\"value\":%s,\"state\":\"on\"}\n",
                   serials[i % 5], i / 60, i % 60, i, values[i / 7 % 5]);
    }
    send_readings(&cli, buf_text(&lines));
    buf_free(&lines);
    send_readings(&cli, "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:00:00.000\","
                        "\"value\":7}\n"
                        "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:00:05.005\","
                        "\"value\":0.1}\n");
    struct json_value *found = cli_kit_run(&cli, "audit --deep", 0);
    cli_kit_expect(found, "totals.conflicts", 1);
    cli_kit_expect(found, "totals.duplicates", 1);
    cli_kit_expect(found, "deep.0.records", 302);
    cli_kit_expect(found, "deep.0.gap_count", 0);
    json_value_free(found);
    found = cli_kit_run(&cli, "explain A-17", 0);
    cli_kit_expect(found, "streams.0.records_found", 62);
    json_value_free(found);

    world_exec(&cli.w, "UPDATE device_readings SET value = 0.10000000000000002 WHERE "
                       "serial = 'A-17' AND at = '2026-01-08 01:00:05.005'");
    found = cli_kit_run(&cli, "audit --deep", 1);
    cli_kit_expect(found, "deep.0.gap_count", 1);
    expect_gap(found, 0, "altered", 1, 5);
    cli_kit_expect_text(found, "deep.0.gaps.0.columns.0", "value");
    json_value_free(found);
    cli_kit_end(&cli);
}
