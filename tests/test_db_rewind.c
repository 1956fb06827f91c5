/* The database goes back to an earlier state under a living engine, as a whole or in
 * part. */
#include "tests/process.h"
#include "tests/travel_kit.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

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

/* A server that doesn't sync what it commits, and dies: the engine alone brings all
 * back. */
Test(rewind, relaxed_server_killed)
{
    static const char relaxed[] = "SET GLOBAL innodb_flush_log_at_timeout = 2700;"
                                  "SET GLOBAL innodb_flush_log_at_trx_commit = 0";
    struct drive d;
    drive_begin(&d, 63, NULL);
    drive_sample(&d, 20000, 300);
    world_exec(&d.w, relaxed);
    drive_engine(&d);
    drive_feed(&d, 6, 10000);
    for (uint32_t i = 1; i <= 3; i++) {
        drive_wait_batches(&d, d.sample.batch_count * i / 5);
        world_kill_db(&d.w);
        world_start_db(&d.w);
        world_exec(&d.w, relaxed);
    }
    drive_finish(&d);
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 0,
                 "the server lost nothing: this test shows nothing");
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
