/* The worker pool: which lanes there are, who is served, pause, stop, status. */
#include "tests/lane_kit.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static int64_t far_deadline(void)
{
    return clock_steady_us(&clock_system) + 3600LL * 1000000;
}

Test(replay, applies_what_is_there_and_what_comes)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 10, NULL);
    lane_kit_append(&kit, mozi, 1, 10, 10, NULL);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    lane_kit_await_done(&kit, mozi, 1, 2);
    cr_assert_eq(lane_kit_append(&kit, mozi, 0, 20, 5, NULL), 3);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 25);
    cr_assert_eq(fake_entity_events(kit.database), 25);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.position.seq, 3);
    cr_assert_eq(row.records, 15);
    cr_assert_eq(row.events, 15);
    cr_assert_eq(lane_kit_told(&kit, "connected"), 2);
    lane_kit_end(&kit);
}

Test(replay, more_lanes_than_connections_are_all_served)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 7, CONFLICT_COUNT);
    kit.config.connections = 2;
    lane_kit_run(&kit);
    for (unsigned i = 0; i < 21; i++) {
        lane_kit_append(&kit, mozi, i % 7, 3 * i, 3, NULL);
    }
    for (uint32_t lane = 0; lane < 7; lane++) {
        lane_kit_await_done(&kit, mozi, lane, 15 + lane);
    }
    cr_assert_eq(fake_events(kit.database), 63);
    cr_assert_eq(lane_kit_told(&kit, "connected"), 2);
    cr_assert_eq(fake_calls(kit.database, FAKE_PREPARE), 2); /* once a connection */
    lane_kit_end(&kit);
}

Test(replay, a_backlog_is_taken_in_few_transactions)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.config.transaction_records_max = 30;
    for (unsigned i = 0; i < 10; i++) {
        lane_kit_append(&kit, mozi, 0, 10 * i, 10, NULL);
    }
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 10);
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), 4);
    cr_assert_eq(fake_largest_apply(kit.database), 30);
    lane_kit_end(&kit);
}

Test(replay, a_lane_beyond_the_configured_number_is_drained)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 4, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 3, 0, 4, NULL);
    lane_kit_no_streams(&kit);
    mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 3, 1);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(fake_events(kit.database), 8);
    lane_kit_stop(&kit);
    /* Nothing waits there any more, but its entries may expire only where the ledger has
     * been seen. */
    lane_kit_run(&kit);
    lane_kit_await_state(&kit, "mozi", 3, LANE_IDLE);
    cr_assert(kit_lane(&kit.journal, "mozi", 3).confirmed);
    lane_kit_end(&kit);
}

Test(replay, the_backlog_of_a_removed_stream_is_shown_and_left_alone)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t gone = lane_kit_stream(&kit, "gone", 1, CONFLICT_COUNT);
    lane_kit_append(&kit, gone, 0, 0, 4, NULL);
    lane_kit_no_streams(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(lane_kit_status(&kit, "gone", 0).state, LANE_ORPHANED);
    cr_assert_eq(fake_events(kit.database), 4);
    cr_assert_eq(kit_lane(&kit.journal, "gone", 0).done.seq, 0);
    lane_kit_end(&kit);
}

/* Nothing of a removed stream is to be applied, but its entries may expire only where the
 * ledger has been seen. */
Test(replay, a_removed_stream_without_a_backlog_lets_its_entries_expire)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t gone = lane_kit_stream(&kit, "gone", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, gone, 0, lane_kit_append(&kit, gone, 0, 0, 4, NULL));
    lane_kit_stop(&kit);
    lane_kit_no_streams(&kit);
    kit_close(&kit.journal);
    kit.journal.config.retain_us = 1000000;
    kit_open(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await_state(&kit, "gone", 0, LANE_IDLE);
    cr_assert(kit_lane(&kit.journal, "gone", 0).confirmed);
    kit_pass(&kit.journal, 3600LL * 1000000);
    kit_commit(&kit.journal);
    kit_commit(&kit.journal);
    cr_assert_eq(kit_lane(&kit.journal, "gone", 0).oldest_seq, 0);
    lane_kit_stop(&kit);
    lane_kit_run(&kit); /* nothing of it is held any more */
    struct replay_status status;
    struct err err = {0};
    cr_assert_eq(replay_status(kit.replay, &status, &err), ERR_OK);
    cr_assert_eq(status.lane_count, 0);
    free(status.lanes);
    lane_kit_end(&kit);
}

Test(replay, a_removed_stream_whose_database_went_back_keeps_its_entries)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t gone = lane_kit_stream(&kit, "gone", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, gone, 0, lane_kit_append(&kit, gone, 0, 0, 4, NULL));
    lane_kit_stop(&kit);
    lane_kit_no_streams(&kit);
    fake_drop_ledger(kit.database);
    lane_kit_run(&kit);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_not_null(strstr(stopped.err.message, "configure it again"));
    cr_assert_eq(kit_lane(&kit.journal, "gone", 0).done.seq, 1);
    cr_assert_not(kit_lane(&kit.journal, "gone", 0).confirmed);
    lane_kit_end(&kit);
}

Test(replay, a_removed_stream_waits_with_the_others_for_the_database)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t gone = lane_kit_stream(&kit, "gone", 1, CONFLICT_COUNT);
    size_t left = lane_kit_stream(&kit, "left", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, gone, 0, lane_kit_append(&kit, gone, 0, 0, 4, NULL));
    lane_kit_stop(&kit);
    lane_kit_append(&kit, left, 0, 4, 4, NULL);
    lane_kit_no_streams(&kit);
    kit.config.connections = 1;
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_CONNECT, .times = 3, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await_state(&kit, "gone", 0, LANE_IDLE);
    cr_assert_eq(lane_kit_status(&kit, "left", 0).state, LANE_ORPHANED);
    cr_assert_eq(lane_kit_told(&kit, "connect_failed"), 3);
    lane_kit_end(&kit);
}

Test(replay, a_stopped_stream_holds_up_no_other_on_the_same_connection)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t bad = lane_kit_stream(&kit, "bad", 1, CONFLICT_COUNT);
    size_t good = lane_kit_stream(&kit, "good", 1, CONFLICT_COUNT);
    kit.config.connections = 1;
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_PREPARE, .stream = "bad", .code = ERR_SCHEMA});
    lane_kit_append(&kit, bad, 0, 0, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    for (unsigned i = 0; i < 5; i++) {
        lane_kit_await_done(&kit, good, 0,
                            lane_kit_append(&kit, good, 0, 10 + i, 1, NULL));
    }
    struct lane_status status = lane_kit_status(&kit, "bad", 0);
    cr_assert_eq(status.state, LANE_STOPPED);
    cr_assert_eq(status.reason.code, ERR_SCHEMA);
    cr_assert(status.next_try_us > clock_steady_us(&clock_system));
    cr_assert_eq(fake_events(kit.database), 5);
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 1);
    lane_kit_end(&kit);
}

Test(replay, a_waiting_stream_holds_up_no_other_on_the_same_connection)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t bad = lane_kit_stream(&kit, "bad", 1, CONFLICT_COUNT);
    size_t good = lane_kit_stream(&kit, "good", 1, CONFLICT_COUNT);
    kit.config.connections = 1;
    kit.config.backoff_min_us = 3600LL * 1000000;
    kit.config.backoff_max_us = 3600LL * 1000000;
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_APPLY, .stream = "bad", .code = ERR_TRANSIENT});
    lane_kit_append(&kit, bad, 0, 0, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "retry", 1);
    lane_kit_await_done(&kit, good, 0, lane_kit_append(&kit, good, 0, 10, 1, NULL));
    struct lane_status status = lane_kit_status(&kit, "bad", 0);
    cr_assert_eq(status.state, LANE_WAITING);
    cr_assert_eq(status.failures, 1);
    cr_assert_eq(status.counts.retries[RETRY_TRANSIENT], 1);
    lane_kit_end(&kit);
}

Test(replay, connects_again_and_again)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    kit.config.connections = 1;
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_CONNECT, .times = 4, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 1, lane_kit_append(&kit, mozi, 1, 0, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "connect_failed"), 4);
    cr_assert_eq(lane_kit_told(&kit, "connected"), 1);
    cr_assert_not(lane_kit_await(&kit, "connected", 1).of_lane);
    lane_kit_end(&kit);
}

Test(replay, refused_rights_stop_all_lanes_of_the_connection)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.config.stopped_retry_us = 1000;
    fake_fault(kit.database, &(struct fake_fault){
                                 .call = FAKE_CONNECT, .times = 3, .code = ERR_SCHEMA});
    lane_kit_run(&kit);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_SCHEMA);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    lane_kit_await(&kit, "lane_resumed", 1);
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 1); /* not at each try */
    lane_kit_end(&kit);
}

Test(replay, a_lost_connection_is_told_and_made_again)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .times = 1,
                                                  .code = ERR_TRANSIENT,
                                                  .disconnect = true});
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "connection_lost"), 1);
    cr_assert_eq(lane_kit_told(&kit, "connected"), 2);
    cr_assert_eq(fake_calls(kit.database, FAKE_PREPARE), 2);
    cr_assert_eq(fake_calls(kit.database, FAKE_POSITION), 2);
    lane_kit_end(&kit);
}

Test(replay, a_fault_that_lasts_is_left_behind_with_its_connection)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_fault(kit.database, &(struct fake_fault){
                                 .call = FAKE_APPLY, .times = 3, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "connected"), 2);
    lane_kit_end(&kit);
}

Test(replay, confirms_only_while_the_ledger_is_known)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    /* the lane has no entry when it is compared */
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    cr_assert(kit_lane(&kit.journal, "mozi", 0).confirmed);
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_CONNECT, .code = ERR_TRANSIENT});
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .code = ERR_TRANSIENT,
                                                  .disconnect = true});
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    lane_kit_await(&kit, "connect_failed", 1);
    cr_assert_not(kit_lane(&kit.journal, "mozi", 0).confirmed);
    fake_heal(kit.database);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert(kit_lane(&kit.journal, "mozi", 0).confirmed);
    lane_kit_stop(&kit);
    cr_assert_not(kit_lane(&kit.journal, "mozi", 0).confirmed);
    lane_kit_end(&kit);
}

/* ---- Pause ----------------------------------------------------------------------- */

Test(replay, pause_survives_a_restart_and_intake_goes_on)
{
    struct lane_kit kit;
    struct err err = {0};
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_OK);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    cr_assert_eq(lane_kit_status(&kit, "mozi", 0).state, LANE_PAUSED);
    lane_kit_stop(&kit);
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_append(&kit, mozi, 0, 8, 4, NULL);
    cr_assert_eq(lane_kit_status(&kit, "mozi", 0).state, LANE_PAUSED);
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), 1);
    cr_assert_eq(replay_pause(kit.replay, false, &err), ERR_OK);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_stop(&kit);
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    lane_kit_end(&kit);
}

static bool is_connected(struct lane_kit *kit)
{
    struct replay_status status;
    struct err err = {0};
    cr_assert_eq(replay_status(kit->replay, &status, &err), ERR_OK);
    free(status.lanes);
    return status.connected;
}

struct pausing {
    struct replay *replay;
    atomic_bool returned;
};

static void *pause_it(void *context)
{
    struct pausing *pausing = context;
    struct err err = {0};
    cr_assert_eq(replay_pause(pausing->replay, true, &err), ERR_OK);
    pausing->returned = true;
    return NULL;
}

Test(replay, pause_waits_for_the_transaction_in_hand)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.config.clock = &kit.journal.clock.clock; /* stands still: pause waits */
    lane_kit_run(&kit);
    fake_hang(kit.database);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    fake_await_hanging(kit.database);
    struct pausing pausing = {.replay = kit.replay};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, pause_it, &pausing), 0);
    lane_kit_await_state(&kit, "mozi", 0, LANE_PAUSED);
    cr_assert_not(pausing.returned);
    fake_release(kit.database);
    pthread_join(thread, NULL);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 1);
    lane_kit_end(&kit);
}

/* Whoever pauses is not held up for as long as the database is. */
Test(replay, pause_gives_up_waiting_but_not_pausing)
{
    struct lane_kit kit;
    struct err err = {0};
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    fake_hang(kit.database);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    fake_await_hanging(kit.database);
    cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_TIMEOUT);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    fake_release(kit.database);
    cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_OK);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 1);
    lane_kit_end(&kit);
}

Test(replay, pause_lets_no_other_lane_begin)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    kit.config.connections = 1;
    kit.config.clock = &kit.journal.clock.clock; /* stands still: pause waits */
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_append(&kit, mozi, 1, 4, 4, NULL);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database);
    struct pausing pausing = {.replay = kit.replay};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, pause_it, &pausing), 0);
    lane_kit_await_state(&kit, "mozi", 1, LANE_PAUSED);
    fake_release(kit.database);
    pthread_join(thread, NULL);
    while (is_connected(&kit)) { /* a paused worker lets go of its connection */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 1);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 1).done.seq, 0);
    cr_assert_not(kit_lane(&kit.journal, "mozi", 0).confirmed);
    cr_assert_eq(lane_kit_told(&kit, "connection_lost"), 0);
    lane_kit_end(&kit);
}

Test(replay, what_was_restored_during_a_pause_is_seen_without_a_new_entry)
{
    struct lane_kit kit;
    struct err err = {0};
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    fake_snapshot(kit.database);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_OK);
    fake_rewind(kit.database);
    cr_assert_eq(fake_events(kit.database), 4);
    cr_assert_eq(replay_pause(kit.replay, false, &err), ERR_OK);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(fake_events(kit.database), 8);
    lane_kit_end(&kit);
}

/* A clock that holds up whoever else asks it, once it is to. */
struct held_clock {
    struct clock clock;
    pthread_t owner;
    _Atomic bool holds;
    sem_t asked;
    sem_t released;
};

static int64_t held_steady_us(const struct clock *clock)
{
    struct held_clock *held = (struct held_clock *)(uintptr_t)clock;
    if (!pthread_equal(pthread_self(), held->owner) &&
        atomic_exchange(&held->holds, false)) {
        (void)sem_post(&held->asked);
        (void)sem_wait(&held->released);
    }
    return 1000000; /* it stands still: no lane looks by itself */
}

static void start_held_clock(struct held_clock *held)
{
    *held = (struct held_clock){.clock = clock_system, .owner = pthread_self()};
    held->clock.steady_us = held_steady_us;
    (void)sem_init(&held->asked, 0, 0);
    (void)sem_init(&held->released, 0, 0);
}

/* The worker comes to see nothing of it. */
Test(replay, what_was_restored_during_a_short_pause_is_seen)
{
    struct lane_kit kit;
    struct held_clock held;
    struct err err = {0};
    lane_kit_start(&kit);
    start_held_clock(&held);
    kit.config.clock = &held.clock;
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    uint64_t last = lane_kit_append(&kit, mozi, 0, 0, 2, NULL);
    lane_kit_run(&kit);
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    held.holds = true;
    replay_wake(kit.replay);
    (void)sem_wait(&held.asked);
    cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_OK);
    fake_drop_ledger(kit.database);
    cr_assert_eq(replay_pause(kit.replay, false, &err), ERR_OK);
    (void)sem_post(&held.released);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, last);
    cr_assert_eq(fake_events(kit.database), 2);
    lane_kit_end(&kit);
}

Test(replay, an_idle_lane_looks_at_its_ledger_from_time_to_time)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.config.clock = &kit.journal.clock.clock; /* moves only by kit_pass */
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    fake_snapshot(kit.database);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    fake_rewind(kit.database);
    kit_pass(&kit.journal, 60LL * 1000000);
    replay_wake(kit.replay);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(fake_events(kit.database), 8);
    cr_assert_eq(lane_kit_told(&kit, "connected"), 1);
    lane_kit_end(&kit);
}

/* The server may have ended with what it had not written yet. */
Test(replay, a_lost_connection_has_every_lane_look_at_its_ledger)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    size_t test = lane_kit_stream(&kit, "test", 1, CONFLICT_COUNT);
    kit.config.clock = &kit.journal.clock.clock; /* moves only by kit_pass */
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    lane_kit_await_done(&kit, test, 0, lane_kit_append(&kit, test, 0, 10, 4, NULL));
    fake_snapshot(kit.database);
    uint64_t last = lane_kit_append(&kit, test, 0, 20, 4, NULL);
    lane_kit_await_done(&kit, test, 0, last);
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    lane_kit_await_state(&kit, "test", 0, LANE_IDLE);
    fake_rewind(kit.database);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .stream = "mozi",
                                                  .times = 1,
                                                  .code = ERR_UNKNOWN,
                                                  .disconnect = true});
    uint64_t seq = lane_kit_append(&kit, mozi, 0, 30, 4, NULL);
    struct lane_kit_event rewound = lane_kit_await(&kit, "rewound", 1);
    cr_assert_str_eq(rewound.status.stream, "test");
    lane_kit_await(&kit, "retry", 1);
    kit_pass(&kit.journal, 100000);
    replay_wake(kit.replay);
    lane_kit_await_done(&kit, mozi, 0, seq);
    lane_kit_await_done(&kit, test, 0, last);
    cr_assert_eq(fake_events(kit.database), 16);
    lane_kit_end(&kit);
}

/* ---- Stop ------------------------------------------------------------------------ */

struct stopping {
    struct replay *replay;
    int64_t deadline_us;
};

static void *stop_it(void *context)
{
    struct stopping *stopping = context;
    replay_stop(stopping->replay, stopping->deadline_us);
    return NULL;
}

Test(replay, stop_lets_the_transaction_in_hand_end)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    fake_hang(kit.database);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    fake_await_hanging(kit.database);
    struct stopping stopping = {kit.replay, far_deadline()};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, stop_it, &stopping), 0);
    fake_release(kit.database);
    pthread_join(thread, NULL);
    kit.replay = NULL;
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 1);
    cr_assert_eq(fake_events(kit.database), 4);
    lane_kit_end(&kit);
}

Test(replay, stop_cuts_a_connection_that_hangs_beyond_the_deadline)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    lane_kit_run(&kit);
    fake_hang(kit.database);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    fake_await_hanging(kit.database);
    replay_stop(kit.replay, 0); /* would wait for ever */
    kit.replay = NULL;
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 0);
    fake_release(kit.database);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(fake_events(kit.database), 4);
    lane_kit_end(&kit);
}

Test(replay, a_stop_begins_no_connection)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    kit.config.connections = 1;
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_append(&kit, mozi, 1, 4, 4, NULL);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database);
    replay_stop(kit.replay, 0); /* cuts the connection, and the other lane has work */
    kit.replay = NULL;
    cr_assert_eq(fake_calls(kit.database, FAKE_CONNECT), 1);
    fake_release(kit.database);
    lane_kit_end(&kit);
}

Test(replay, stops_while_the_database_is_down)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 3, CONFLICT_COUNT);
    kit.config.backoff_min_us = 3600LL * 1000000;
    kit.config.backoff_max_us = 3600LL * 1000000;
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_CONNECT, .code = ERR_TRANSIENT});
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "connect_failed", 3);
    cr_assert_eq(lane_kit_status(&kit, "mozi", 2).state, LANE_WAITING);
    lane_kit_end(&kit);
}

Test(replay, starts_and_stops_with_nothing)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    lane_kit_run(&kit);
    struct replay_status status;
    struct err err = {0};
    cr_assert_eq(replay_status(kit.replay, &status, &err), ERR_OK);
    cr_assert_eq(status.lane_count, 0);
    cr_assert_not(status.connected);
    free(status.lanes);
    lane_kit_end(&kit);
    replay_stop(NULL, 0);
}

static int no_sink(void *context, struct sink **out_sink, struct err *err)
{
    int *left = context;
    if (*left == 0) {
        return err_set(err, ERR_NOMEM, 0, "no more sinks");
    }
    --*left;
    static struct fake_database *database;
    database = database ? database : fake_new();
    return fake_sink_new(database, out_sink, err);
}

Test(replay, a_start_that_fails_leaves_nothing_behind)
{
    struct lane_kit kit;
    struct err err = {0};
    lane_kit_start(&kit);
    lane_kit_stream(&kit, "mozi", 3, CONFLICT_COUNT);
    int left = 2;
    kit.config.sink_new = no_sink;
    kit.config.sink_context = &left;
    kit.config.streams = kit.streams;
    kit.config.stream_count = kit.stream_count;
    kit.config.journal = kit.journal.journal;
    struct replay *replay = NULL;
    cr_assert_eq(replay_start(&kit.config, &replay, &err), ERR_NOMEM);
    cr_assert_null(replay);
    lane_kit_end(&kit);
}

/* ---- Status ---------------------------------------------------------------------- */

Test(replay, status_says_what_was_done)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_note(kit.database, "sync_binlog is not 1");
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_append(&kit, mozi, 0, 0, 2, "gx"); /* a duplicate and a conflict */
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 2);
    struct lane_status status = lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    cr_assert_eq(status.reason.code, ERR_OK);
    cr_assert_eq(status.counts.applied_records, 6);
    cr_assert_eq(status.counts.events, 4);
    cr_assert_eq(status.counts.duplicates, 1);
    cr_assert_eq(status.counts.conflicts, 1);
    cr_assert_eq(status.counts.transactions, 1);
    cr_assert_eq(status.first_seq, 1);
    cr_assert_eq(status.last_seq, 2);
    cr_assert_eq(status.records, 6);
    cr_assert_eq(status.ledger.position.seq, 2);
    cr_assert_eq(status.failures, 0);
    cr_assert_str_eq(status.notes, "sync_binlog is not 1");
    cr_assert_eq(lane_kit_told(&kit, "sink_note"), 1);
    struct replay_status all;
    struct err err = {0};
    cr_assert_eq(replay_status(kit.replay, &all, &err), ERR_OK);
    cr_assert(all.connected);
    cr_assert_not(all.paused);
    free(all.lanes);
    lane_kit_end(&kit);
}

Test(replay, a_transaction_is_told_before_it_begins_and_when_it_is_done)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database);
    struct lane_kit_event begun = lane_kit_await(&kit, "transaction_begun", 1);
    cr_assert_eq(begun.status.first_seq, 1);
    cr_assert_eq(begun.status.last_seq, 2);
    cr_assert_eq(begun.status.records, 8);
    cr_assert_eq(begun.status.state, LANE_APPLYING);
    cr_assert_eq(lane_kit_told(&kit, "transaction_done"), 0);
    fake_release(kit.database);
    lane_kit_await_done(&kit, mozi, 0, 2);
    struct lane_kit_event done = lane_kit_await(&kit, "transaction_done", 1);
    cr_assert_eq(done.status.last_seq, 2);
    cr_assert_eq(done.status.ledger.position.seq, 2);
    lane_kit_end(&kit);
}

Test(replay, every_state_has_a_name)
{
    for (int state = LANE_STARTING; state <= LANE_ORPHANED; state++) {
        cr_assert_not_null(lane_state_name((enum lane_state)state));
    }
    cr_assert_str_eq(lane_state_name(LANE_STOPPED), "stopped");
}

Test(replay, a_rate_is_kept_across_lanes_in_turn)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    kit.config.clock = &kit.journal.clock.clock; /* stands still */
    kit.config.rows_per_second_max = 10;
    kit.config.connections = 1;
    for (unsigned i = 0; i < 8; i++) {
        lane_kit_append(&kit, mozi, i % 2, 5 * i, 5, NULL);
    }
    lane_kit_run(&kit);
    /* 10 rows, two entries: one second's worth, of one lane and then of the other */
    struct err err = {0};
    static const uint64_t marks[][2] = {{3, 0}, {3, 4}, {7, 4}, {7, 8}};
    for (uint64_t second = 0; second < 4; second++) {
        uint32_t lane = second % 2;
        lane_kit_await_done(&kit, mozi, lane, marks[second][lane]);
        replay_wake(kit.replay);
        cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, marks[second][0]);
        cr_assert_eq(kit_lane(&kit.journal, "mozi", 1).done.seq, marks[second][1]);
        cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), second + 1);
        /* so that the worker begins its round anew, not in the middle of the last */
        cr_assert_eq(replay_pause(kit.replay, true, &err), ERR_OK);
        kit_pass(&kit.journal, 1000000);
        cr_assert_eq(replay_pause(kit.replay, false, &err), ERR_OK);
    }
    lane_kit_end(&kit);
}
