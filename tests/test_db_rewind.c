/* The database goes back to an earlier state under a living engine, as a whole or in
 * part. */
#include "tests/process.h"
#include "tests/travel_kit.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct drive *d, const char *words)
{
    free(travel_command(d, words, 0));
}

/* A dump of a database at work, restored later between `pause` and `resume`. */
Test(rewind, a_dump_restored_while_paused)
{
    struct drive d;
    drive_begin(&d, 61, NULL);
    drive_sample(&d, 20000, 300);
    drive_engine(&d);
    drive_feed(&d, 6, 10000);
    drive_wait_batches(&d, d.sample.batch_count / 4);
    char *dump = travel_dump(&d, NULL);
    drive_wait_batches(&d, d.sample.batch_count / 2);
    say(&d, "pause");
    travel_restore(&d, d.w.database, dump);
    drive_wait_batches(&d, d.sample.batch_count * 3 / 4);
    say(&d, "resume");
    drive_finish(&d);
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 0, "nobody noticed");
    free(dump);
    drive_end(&d);
}

/* Twice in a row to the same dump, with the engine killed while it catches up, and with
 * streams of several lanes. */
Test(rewind, twice_with_lanes_and_a_kill_between)
{
    struct drive d;
    drive_begin(&d, 62, NULL);
    d.options.streams = "[{name: mozi, preset: botnet, lanes: 3}, {name: test, preset: "
                        "botnet, lanes: 2}]";
    drive_configure(&d);
    drive_sample(&d, 15000, 300);
    drive_engine(&d);
    drive_feed(&d, 6, 0);
    drive_wait_batches(&d, d.sample.batch_count / 4);
    char *dump = travel_dump(&d, NULL);
    drive_acknowledged(&d);
    drive_applied(&d);
    for (int i = 0; i < 2; i++) {
        say(&d, "pause");
        travel_restore(&d, d.w.database, dump);
        say(&d, "resume");
        if (i == 0)
            engine_kill(&d.engine);
        if (i == 0)
            drive_engine(&d);
    }
    drive_wait_idle(&d);
    drive_applied(&d);
    struct oracle_report report;
    drive_compare(&d, &report);
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 1, "nobody noticed");
    free(dump);
    drive_end(&d);
}

static int64_t applied(struct drive *d)
{
    return world_scalar(&d->w, "SELECT COALESCE(SUM(records), 0) FROM holdfast_ledger");
}

/* So that what is committed stays in the server's memory. */
static void relax(struct drive *d)
{
    world_exec(&d->w, "SET GLOBAL innodb_flush_log_at_timeout = 2700;"
                      "SET GLOBAL innodb_flush_log_at_trx_commit = 0");
}

/* Kills the server once it has applied something more; how many records it lost. */
static int64_t lose(struct drive *d)
{
    int64_t end = process_now_ms() + DRIVE_PATIENCE_MS;
    int64_t kept = applied(d);
    while (applied(d) == kept && process_now_ms() < end)
        process_sleep_ms(5);
    cr_assert_eq(kill(d->engine.pid, SIGSTOP), 0);
    int64_t before = applied(d);
    world_kill_db(&d->w);
    world_start_db(&d->w);
    int64_t lost = before - applied(d);
    relax(d);
    cr_assert_eq(kill(d->engine.pid, SIGCONT), 0);
    cr_log_info("%lld of %lld records lost\n", (long long)lost, (long long)before);
    return lost;
}

/* A server that doesn't sync what it commits, and dies: the engine alone brings all
 * back. */
Test(rewind, relaxed_server_killed)
{
    struct drive d;
    int64_t lost = 0;
    drive_begin(&d, 63, NULL);
    drive_sample(&d, 20000, 300);
    drive_engine(&d);
    drive_wait_idle(&d); /* the tables are there */
    relax(&d);
    drive_feed(&d, 6, 10000);
    for (uint32_t i = 1; i <= 3; i++) {
        drive_wait_batches(&d, d.sample.batch_count * i / 5);
        lost += lose(&d);
    }
    drive_finish(&d);
    cr_assert_gt(lost, 0, "the server lost nothing: this test shows nothing");
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 0, "nobody noticed");
    drive_end(&d);
}

/* How many of a stream's records audit --deep misses; each must lie behind `after`. */
static int64_t missed_behind(const struct json_value *audit, int64_t after)
{
    const struct json_value *streams = json_get(audit, "deep");
    int64_t missed = 0;
    for (size_t i = 0; i < json_count(streams); i++) {
        const struct json_value *stream = json_item(streams, i);
        const struct json_value *gaps = json_get(stream, "gaps");
        missed += json_as_integer(json_get(stream, "event_missing"), 0);
        for (size_t k = 0; k < json_count(gaps); k++) {
            int64_t seq = json_as_integer(json_get(json_item(gaps, k), "seq"), -1);
            cr_assert_gt(seq, after, "entry %lld was in the dump", (long long)seq);
        }
    }
    return missed;
}

/* The ledger can't show this one: it wasn't restored. */
Test(rewind, one_table_restored_is_named_by_the_audit)
{
    static const char count[] = "SELECT COUNT(*) FROM botnet_communications_mozi";
    struct drive d;
    drive_begin(&d, 64, NULL);
    drive_sample(&d, 6000, 100);
    drive_engine(&d);
    drive_feed(&d, 2, 20000);
    drive_wait_batches(&d, d.sample.batch_count / 3);
    say(&d, "pause");
    int64_t position = world_scalar(
        &d.w, "SELECT applied_seq FROM holdfast_ledger WHERE stream = 'mozi'");
    char *dump = travel_dump(&d, "botnet_communications_mozi");
    say(&d, "resume");
    drive_finish(&d);
    int64_t before = world_scalar(&d.w, count);
    say(&d, "pause");
    travel_restore(&d, d.w.database, dump);
    say(&d, "resume");
    drive_wait_idle(&d);
    int64_t lost = before - world_scalar(&d.w, count);
    cr_assert_gt(lost, 0, "the dump held all");
    cr_assert_eq(drive_log_count(&d.engine, "event=rewound"), 0);
    struct json_value *audit = travel_json(&d, "audit --deep", 1);
    cr_assert_geq(missed_behind(audit, position), lost);
    json_value_free(audit);
    free(dump);
    drive_end(&d);
}

/* ---- The journal went back -----------------------------------------------------------
 */

static void back_up(struct drive *d, char out_copy[WORLD_PATH_MAX])
{
    char words[WORLD_PATH_MAX + 32];
    world_path(&d->w, "copy", out_copy);
    (void)snprintf(words, sizeof words, "journal backup %s", out_copy);
    say(d, words);
}

/* In place of the one that is there. The engine is stopped. */
static void bring_back(struct drive *d, const char *copy)
{
    world_remove_dir(d->engine.journal);
    cr_assert_eq(rename(copy, d->engine.journal), 0);
}

static void post_one(struct drive *d, const char *ip, const char *query)
{
    char path[96];
    char body[128];
    struct buf answer = {0};
    (void)snprintf(path, sizeof path, "/v1/streams/mozi/records%s", query);
    (void)snprintf(body, sizeof body,
                   "{\"ip\":\"%s\",\"timestamp\":\"2026-01-08 02:00:00\"}", ip);
    cr_assert_eq(drive_post(d, path, body, NULL, &answer), 200, "%s", buf_text(&answer));
    buf_free(&answer);
}

static int64_t events_of(struct drive *d, const char *ip)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql,
                   "SELECT COUNT(*) FROM botnet_communications_mozi WHERE ip = '%s'", ip);
    return world_scalar(&d->w, sql);
}

static void expect_state(struct drive *d, const char *before)
{
    char *now = travel_state(d, d->w.database);
    cr_assert_str_eq(now, before);
    free(now);
}

/* The ledger is ahead of this journal: nothing is applied, all is taken, and adopting
 * brings both together. */
Test(rewind, a_journal_older_than_the_database)
{
    struct drive d;
    char copy[WORLD_PATH_MAX];
    drive_begin(&d, 65, NULL);
    d.options.streams = "[{name: mozi, preset: botnet, lanes: 2}, {name: test, preset: "
                        "botnet}]";
    drive_configure(&d);
    drive_sample(&d, 8000, 200);
    drive_engine(&d);
    drive_feed(&d, 3, 5000);
    drive_wait_batches(&d, d.sample.batch_count / 3);
    back_up(&d, copy);
    drive_finish(&d);
    drive_stop_engine(&d);
    bring_back(&d, copy);
    char *before = travel_state(&d, d.w.database);

    drive_engine(&d);
    post_one(&d, "198.51.100.7", "");
    world_wait_log(d.engine.log, "event=lane_stopped", d.engine.pid, DRIVE_PATIENCE_MS);
    char *said = travel_command(&d, "replay --execute", 1);
    cr_assert_not_null(strstr(said, "journal adopt"), "%s", said);
    free(said);
    expect_state(&d, before);
    drive_stop_engine(&d);
    say(&d, "journal adopt --execute");
    drive_engine(&d);
    drive_wait_idle(&d);
    drive_applied(&d);
    cr_assert_eq(events_of(&d, "198.51.100.7"), 1);
    world_exec(&d.w, "DELETE FROM botnet_communications_mozi WHERE ip = '198.51.100.7';"
                     "DELETE FROM botnet_nodes_mozi WHERE ip = '198.51.100.7'");
    expect_state(&d, before);
    drive_audit(&d);
    free(before);
    drive_end(&d);
}

/* Both come back, the database from an older time: what the journal holds is applied. */
Test(rewind, both_restored_the_database_older)
{
    struct drive d;
    char copy[WORLD_PATH_MAX];
    drive_begin(&d, 66, NULL);
    drive_sample(&d, 8000, 200);
    drive_engine(&d);
    drive_feed(&d, 3, 5000);
    drive_wait_batches(&d, d.sample.batch_count / 3);
    char *dump = travel_dump(&d, NULL);
    drive_finish(&d);
    back_up(&d, copy);
    char *before = travel_state(&d, d.w.database);
    post_one(&d, "198.51.100.8", "?wait=applied&timeout=60");
    cr_assert_eq(events_of(&d, "198.51.100.8"), 1);
    drive_stop_engine(&d);
    bring_back(&d, copy);
    travel_restore(&d, d.w.database, dump);
    drive_engine(&d);
    drive_wait_idle(&d);
    drive_applied(&d);
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 0);
    expect_state(&d, before);
    struct oracle_report report;
    drive_compare(&d, &report);
    free(before);
    free(dump);
    drive_end(&d);
}
