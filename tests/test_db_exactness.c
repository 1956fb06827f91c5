/* Exactly once, whenever the engine dies: SIGKILL at moments of chance under load, during
 * recovery, and with a database transaction proven to be open. */
#include "tests/drive.h"
#include "tests/process.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

#include <stdio.h>

enum { ROUNDS = 60, TRIES_MAX = 120, PROVEN_ROUNDS = 10, RECOVERY_ROUNDS = 12 };

/* What a kill met: sends whose answers never came. */
static uint64_t wait_lost_sends(struct drive *d, uint64_t before)
{
    struct feeder_progress now;
    /* The connections of a dead process are reset at once: the producers in flight learn
     * it without waiting, and only then is the count complete. */
    for (int i = 0; i < 50; i++) {
        feeder_progress(d->feeder, &now);
        if (now.unknown > before)
            break;
        process_sleep_ms(1);
    }
    return now.unknown - before;
}

Test(exactness, engine_killed_at_any_moment)
{
    struct drive d;
    drive_begin(&d, 20260108, NULL);
    drive_sample(&d, 120000, 60);
    drive_engine(&d);
    drive_feed(&d, 8, 8000);
    uint32_t counted = 0;
    uint32_t tries = 0;
    uint64_t lost_answers = 0;
    for (; counted < ROUNDS && tries < TRIES_MAX; tries++) {
        struct feeder_progress before;
        process_sleep_ms((long)sample_below(&d.random, 90));
        feeder_progress(d.feeder, &before);
        cr_assert(!before.done, "the sample is too small for %d rounds", ROUNDS);
        engine_kill(&d.engine);
        uint64_t lost = wait_lost_sends(&d, before.unknown);
        counted += lost > 0;
        lost_answers += lost;
        drive_engine(&d);
    }
    drive_wait_batches(&d, 50);
    feeder_stop(d.feeder);
    d.lines = feeder_finish(d.feeder);
    d.feeder = NULL;
    drive_applied(&d);
    struct oracle_report report;
    drive_compare(&d, &report);
    cr_assert_eq(counted, ROUNDS, "only %u of %u kills met a request in flight", counted,
                 tries);
    cr_log_info("%u kills met a request in flight (%u kills, %llu answers lost), %llu "
                "events\n",
                counted, tries, (unsigned long long)lost_answers,
                (unsigned long long)report.events);
    drive_end(&d);
}

Test(exactness, engine_killed_in_a_database_transaction)
{
    struct drive d;
    drive_begin(&d, 20260109, NULL);
    drive_sample(&d, 60000, 400);
    drive_engine(&d);
    drive_feed(&d, 8, 60000);
    uint64_t rows = 0;
    for (int i = 0; i < PROVEN_ROUNDS; i++) {
        struct engine_transaction open;
        struct err err = {0};
        int code = engine_freeze_in_transaction(&d.engine, d.w.session, &d.random,
                                                DRIVE_PATIENCE_MS, &open, &err);
        cr_assert_eq(code, 0, "round %d: %s", i, err.message);
        engine_kill(&d.engine);
        rows += open.rows;
        drive_engine(&d);
    }
    drive_finish(&d);
    cr_log_info("%d kills in open transactions with %llu modified rows in all\n",
                PROVEN_ROUNDS, (unsigned long long)rows);
    drive_end(&d);
}

/* Recovery is the same path from an older position, so it may be interrupted as well. */
Test(exactness, engine_killed_while_it_recovers)
{
    struct drive d;
    drive_begin(&d, 20260110, NULL);
    drive_sample(&d, 20000, 1000);
    drive_engine(&d);
    /* A backlog: the database stands still while batches are taken. */
    world_freeze_db(&d.w);
    drive_feed(&d, 8, 0);
    drive_wait_batches(&d, d.sample.batch_count);
    engine_kill(&d.engine);
    world_thaw_db(&d.w);
    for (int i = 0; i < RECOVERY_ROUNDS; i++) {
        struct err err = {0};
        cr_assert_eq(engine_launch(&d.engine, &err), 0, "%s", err.message);
        process_sleep_ms(5 + (long)sample_below(&d.random, 25) * (i + 1));
        engine_kill(&d.engine);
    }
    drive_engine(&d);
    drive_finish(&d);
    drive_end(&d);
}
