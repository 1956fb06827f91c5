/* The database dies, stands still or cuts the connection under load. */
#include "tests/drive.h"
#include "tests/process.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVER_KILLS = 5, CUTS = 60 };

Test(crash, server_killed_under_load)
{
    struct drive d;
    drive_begin(&d, 31, NULL);
    drive_sample(&d, 40000, 300);
    drive_engine(&d);
    drive_feed(&d, 8, 20000);
    for (uint32_t i = 1; i <= SERVER_KILLS; i++) {
        drive_wait_batches(&d, d.sample.batch_count * i / (SERVER_KILLS + 2));
        process_sleep_ms((long)sample_below(&d.random, 40));
        world_kill_db(&d.w);
        /* Intake goes on without a database. */
        drive_wait_batches(&d, d.sample.batch_count * i / (SERVER_KILLS + 2) + 10);
        world_start_db(&d.w);
    }
    drive_finish(&d);
    drive_end(&d);
}

Test(crash, server_and_engine_killed_together)
{
    struct drive d;
    drive_begin(&d, 32, NULL);
    drive_sample(&d, 30000, 300);
    drive_engine(&d);
    drive_feed(&d, 8, 20000);
    for (uint32_t i = 1; i <= 3; i++) {
        drive_wait_batches(&d, d.sample.batch_count * i / 5);
        world_kill_db(&d.w);
        engine_kill(&d.engine);
        world_start_db(&d.w);
        drive_engine(&d);
    }
    drive_finish(&d);
    drive_end(&d);
}

/* Kills every session but the asking one; how many there were. */
static unsigned cut_all(struct drive *d)
{
    static const char sql[] = "SELECT id FROM information_schema.processlist"
                              " WHERE db = 'holdfast' AND id <> CONNECTION_ID()";
    cr_assert_eq(mysql_query(d->w.session, sql), 0, "%s", mysql_error(d->w.session));
    MYSQL_RES *result = mysql_store_result(d->w.session);
    cr_assert_not_null(result);
    unsigned cut = 0;
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL) {
        char kill_sql[64];
        (void)snprintf(kill_sql, sizeof kill_sql, "KILL CONNECTION %s", row[0]);
        /* One that has just gone by itself is 1094. */
        cut += mysql_query(d->w.session, kill_sql) == 0;
    }
    mysql_free_result(result);
    return cut;
}

Test(crash, connections_cut_again_and_again)
{
    struct drive d;
    drive_begin(&d, 33, NULL);
    drive_sample(&d, 40000, 300);
    drive_engine(&d);
    drive_feed(&d, 8, 30000);
    unsigned cuts = 0;
    struct feeder_progress progress = {0};
    while (cuts < CUTS && !progress.done) {
        cuts += cut_all(&d);
        process_sleep_ms((long)sample_below(&d.random, 30));
        feeder_progress(d.feeder, &progress);
    }
    drive_finish(&d);
    cr_assert_gt(cuts, 10, "only %u connections were cut", cuts);
    cr_log_info("%u connections cut\n", cuts);
    drive_end(&d);
}

/* A server that is there and never answers: intake goes on, and nothing is doubled when
 * it comes back to life with the old session's transaction half open. */
Test(crash, server_stands_still)
{
    struct drive d;
    drive_begin(&d, 34, NULL);
    drive_sample(&d, 10000, 300);
    drive_engine(&d);
    drive_feed(&d, 8, 20000);
    for (uint32_t i = 1; i <= 3; i++) {
        drive_wait_batches(&d, d.sample.batch_count * i / 5);
        world_freeze_db(&d.w);
        drive_wait_batches(&d, d.sample.batch_count * i / 5 + 10);
        world_thaw_db(&d.w);
    }
    drive_finish(&d);
    drive_end(&d);
}

Test(crash, database_down_from_the_start)
{
    struct drive d;
    drive_begin(&d, 35, NULL);
    drive_sample(&d, 5000, 300);
    world_kill_db(&d.w);
    drive_engine(&d);
    drive_feed(&d, 4, 0);
    drive_acknowledged(&d);
    cr_assert_gt(engine_pending(&d.engine), 4000, "nothing can be applied yet");
    world_start_db(&d.w);
    drive_applied(&d);
    struct oracle_report report;
    drive_compare(&d, &report);
    drive_end(&d);
}
