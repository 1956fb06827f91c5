/* A lane against its ledger: rewound, ahead, foreign, unanswered; and faults that pass.
 */
#include "tests/lane_kit.h"

#include <criterion/criterion.h>
#include <sched.h>

/* One lane of one stream, running, with entries 1 to `entries` of 4 records applied. */
static size_t begin(struct lane_kit *kit, unsigned entries)
{
    lane_kit_start(kit);
    size_t mozi = lane_kit_stream(kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(kit);
    for (unsigned i = 0; i < entries; i++) {
        lane_kit_await_done(kit, mozi, 0, lane_kit_append(kit, mozi, 0, 4 * i, 4, NULL));
    }
    return mozi;
}

static void restart(struct lane_kit *kit)
{
    lane_kit_stop(kit);
    kit_reopen(&kit->journal);
    lane_kit_run(kit);
}

static uint64_t done_seq(struct lane_kit *kit)
{
    return kit_lane(&kit->journal, "mozi", 0).done.seq;
}

/* ---- Positions ------------------------------------------------------------------- */

Test(lane_recover, goes_on_where_it_was)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 3);
    restart(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 12, 4, NULL));
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), 4);
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).events, 16);
    cr_assert_eq(lane_kit_told(&kit, "rewound"), 0);
    lane_kit_end(&kit);
}

Test(lane_recover, takes_the_ledger_where_a_mark_was_lost)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    for (unsigned i = 0; i < 3; i++) {
        lane_kit_append(&kit, mozi, 0, 4 * i, 4, NULL);
    }
    struct ledger_row row = {.found = true,
                             .position = kit_position(&kit.journal, 2),
                             .records = 8,
                             .events = 8};
    fake_set_ledger(kit.database, journal_id(kit.journal.journal), "mozi", 0, &row);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 4); /* of entry 3 alone */
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).events, 12);
    lane_kit_end(&kit);
}

Test(lane_recover, applies_again_after_a_rewind_between_runs)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 1);
    fake_snapshot(kit.database);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 8, 4, NULL));
    lane_kit_stop(&kit);
    fake_rewind(kit.database);
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 12);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.events, 12);
    cr_assert_eq(row.duplicates, 0);
    cr_assert_eq(lane_kit_status(&kit, "mozi", 0).counts.rewinds, 1);
    lane_kit_end(&kit);
}

Test(lane_recover, finds_a_rewind_under_its_hands)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 1);
    fake_snapshot(kit.database);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    fake_rewind(kit.database);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 8, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "rewound"), 1);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_end(&kit);
}

Test(lane_recover, a_new_ledger_over_the_same_data_gives_duplicates_only)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 3);
    lane_kit_stop(&kit);
    fake_drop_ledger(kit.database);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 12);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.duplicates, 12);
    cr_assert_eq(row.events, 0);
    lane_kit_end(&kit);
}

/* What a database that went back needs is over its time, and stays until it is applied.
 */
Test(lane_recover, entries_that_a_rewound_database_needs_stay)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    kit_close(&kit.journal);
    kit.journal.config.retain_us = 1000000;
    kit_open(&kit.journal);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    fake_snapshot(kit.database);
    for (unsigned i = 0; i < 3; i++) {
        lane_kit_await_done(&kit, mozi, 0,
                            lane_kit_append(&kit, mozi, 0, 4 * i, 4, NULL));
    }
    lane_kit_stop(&kit);
    fake_rewind(kit.database);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database); /* compared, and begun to apply again */
    kit_pass(&kit.journal, 3600LL * 1000000);
    kit_commit(&kit.journal);
    kit_commit(&kit.journal);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        cr_assert_eq(kit_state(&kit.journal, seq), JOURNAL_ENTRY_FULL);
    }
    fake_release(kit.database);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_end(&kit);
}

/* Entry 1 in lane 1, then one lane alone, and entry 2 with the same events in lane 0:
 * all applied, so that entry 2 is of conflicts. A snapshot of the empty database is
 * kept. */
static size_t change_lanes(struct lane_kit *kit)
{
    lane_kit_start(kit);
    kit->config.connections = 1;
    kit->config.clock = &kit->journal.clock.clock;
    size_t mozi = lane_kit_stream(kit, "mozi", 2, CONFLICT_COUNT);
    fake_snapshot(kit->database);
    lane_kit_run(kit);
    lane_kit_await_done(kit, mozi, 1, lane_kit_append(kit, mozi, 1, 0, 4, NULL));
    lane_kit_stop(kit);
    lane_kit_no_streams(kit);
    mozi = lane_kit_stream(kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(kit);
    lane_kit_await_done(kit, mozi, 0, lane_kit_append(kit, mozi, 0, 0, 4, "xxxx"));
    cr_assert_eq(fake_ledger(kit->database, "mozi", 0).conflicts, 4);
    return mozi;
}

/* Time passes, slowly enough that a worker with a lane that is held is never idle, until
 * the lane is done with it. */
static void pass_until_done(struct lane_kit *kit, uint32_t lane, uint64_t seq)
{
    while (kit_lane(&kit->journal, "mozi", lane).done.seq < seq) {
        uint64_t reads = kit->journal.clock.reads;
        kit_pass(&kit->journal, 30000);
        replay_wake(kit->replay);
        while (kit->journal.clock.reads < reads + 4) {
            sched_yield();
        }
    }
}

static void expect_seq_order(struct lane_kit *kit)
{
    cr_assert_eq(fake_ledger(kit->database, "mozi", 1).events, 4);
    cr_assert_eq(fake_ledger(kit->database, "mozi", 0).conflicts, 4);
    lane_kit_end(kit);
}

/* Its done mark says that the older lane is through, but nobody has asked its ledger.
 */
Test(lane_recover, a_lane_waits_for_older_ones_whose_ledger_is_not_known_yet)
{
    struct lane_kit kit;
    change_lanes(&kit);
    lane_kit_stop(&kit);
    fake_rewind(kit.database);
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_POSITION, .after = 1, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await(&kit, "rewound", 1); /* lane 0 */
    for (int i = 0; i < 50; i++) {
        kit_pass(&kit.journal, 1000000);
        replay_wake(kit.replay);
        lane_kit_await(&kit, "retry", (size_t)i + 1);
    }
    cr_assert_eq(fake_events(kit.database), 0, "lane 0 has overtaken lane 1");
    fake_heal(kit.database);
    pass_until_done(&kit, 1, 1);
    pass_until_done(&kit, 0, 2);
    expect_seq_order(&kit);
}

/* One lane sees that the database went back, on a connection that lived on: the
 * other, with nothing to do, has not looked. */
Test(lane_recover, a_rewind_that_one_lane_notices_is_asked_of_all)
{
    struct lane_kit kit;
    size_t mozi = change_lanes(&kit);
    fake_rewind(kit.database);
    lane_kit_append(&kit, mozi, 0, 10, 4, NULL);
    lane_kit_await(&kit, "retry", 1); /* the ledger is elsewhere */
    pass_until_done(&kit, 0, 3);
    cr_assert_eq(lane_kit_told(&kit, "rewound"), 2);
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).events, 4);
    expect_seq_order(&kit);
}

/* Applied entries of mozi are given up, all but the newest. */
static size_t expire_applied(struct lane_kit *kit)
{
    lane_kit_start(kit);
    kit_close(&kit->journal);
    kit->journal.config.retain_us = 1000000;
    kit_open(&kit->journal);
    size_t mozi = lane_kit_stream(kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(kit);
    fake_snapshot(kit->database);
    for (unsigned i = 0; i < 3; i++) {
        lane_kit_await_done(kit, mozi, 0, lane_kit_append(kit, mozi, 0, 4 * i, 4, NULL));
    }
    kit_pass(&kit->journal, 3600LL * 1000000);
    kit_commit(&kit->journal);
    kit_commit(&kit->journal);
    cr_assert_neq(kit_state(&kit->journal, 1), JOURNAL_ENTRY_FULL);
    return mozi;
}

Test(lane_recover, what_is_no_longer_retained_is_named)
{
    struct lane_kit kit;
    size_t mozi = expire_applied(&kit);
    lane_kit_stop(&kit);
    fake_rewind(kit.database); /* to nothing */
    lane_kit_run(&kit);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_GAP, "%s", stopped.err.message);
    cr_assert_not_null(strstr(stopped.err.message, "entry"), "%s", stopped.err.message);
    lane_kit_append(&kit, mozi, 0, 20, 4, NULL);
    cr_assert_eq(lane_kit_await_state(&kit, "mozi", 0, LANE_STOPPED).reason.code,
                 ERR_GAP);
    cr_assert_eq(fake_events(kit.database), 0);
    cr_assert_eq(done_seq(&kit), 0);
    cr_assert_not(kit_lane(&kit.journal, "mozi", 0).confirmed);
    lane_kit_end(&kit);
}

/* After that rewind, of a database that is newer, but not new enough. */
Test(lane_recover, a_ledger_above_the_done_mark_that_is_not_retained_is_no_other_journal)
{
    struct lane_kit kit;
    expire_applied(&kit);
    lane_kit_stop(&kit);
    fake_rewind(kit.database); /* to nothing */
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    lane_kit_stop(&kit);
    struct ledger_row row = {.found = true, .position.seq = 1};
    fake_set_ledger(kit.database, journal_id(kit.journal.journal), "mozi", 0, &row);
    lane_kit_run(&kit);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 2);
    cr_assert_eq(stopped.err.code, ERR_GAP, "%s", stopped.err.message);
    cr_assert_not_null(strstr(stopped.err.message, "restore a newer"));
    cr_assert_eq(done_seq(&kit), 0);
    lane_kit_end(&kit);
}

/* Passing over what is gone takes an operator's word for just that, and is counted. */
Test(lane_recover, an_accepted_gap_is_passed_over)
{
    struct lane_kit kit;
    size_t mozi = expire_applied(&kit);
    lane_kit_stop(&kit);
    fake_rewind(kit.database); /* to nothing */
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    struct journal_gap gap;
    struct err err = {0};
    cr_assert_eq(replay_gap_find(kit.replay, "mozi", 0, &gap, &err), 0, "%s",
                 err.message);
    cr_assert_eq(gap.to.seq, 3);
    cr_assert_eq(gap.records, 12);
    struct journal_position wrong = gap.to;
    wrong.sum[0] ^= 1;
    cr_assert_eq(replay_gap_accept(kit.replay, "mozi", 0, &wrong, &err), ERR_INVALID);
    cr_assert_eq(replay_gap_accept(kit.replay, "mozi", 7, &gap.to, &err), ERR_NOT_FOUND);
    cr_assert_eq(done_seq(&kit), 0);

    cr_assert_eq(replay_gap_accept(kit.replay, "mozi", 0, &gap.to, &err), 0, "%s",
                 err.message);
    lane_kit_await(&kit, "gap_passed", 1);
    lane_kit_await_done(&kit, mozi, 0, 3);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 40, 4, NULL));
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.records, 16);
    cr_assert_eq(row.given_up, 12);
    cr_assert_eq(row.events, 4);
    cr_assert_eq(fake_events(kit.database), 4);

    /* the database goes back over it once more: it was accepted already */
    lane_kit_stop(&kit);
    fake_rewind(kit.database);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "gap_passed", 2);
    lane_kit_await_done(&kit, mozi, 0, 4);
    row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.given_up, 12);
    cr_assert_eq(row.events, 4);
    lane_kit_end(&kit);
}

/* ---- What does not belong together ----------------------------------------------- */

static void refuses(struct lane_kit *kit, uint64_t seq, const struct ledger_row *row)
{
    fake_set_ledger(kit->database, journal_id(kit->journal.journal), "mozi", 0, row);
    size_t events = fake_events(kit->database);
    lane_kit_append(kit, 0, 0, 100, 4, NULL);
    lane_kit_run(kit);
    struct lane_kit_event stopped = lane_kit_await(kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_IDENTITY);
    cr_assert_not_null(strstr(stopped.err.message, "journal adopt"));
    cr_assert_eq(done_seq(kit), seq);
    cr_assert_eq(fake_events(kit->database), events);
    cr_assert_not(kit_lane(&kit->journal, "mozi", 0).confirmed);
    lane_kit_end(kit);
}

Test(lane_recover, another_sum_at_the_done_mark_stops)
{
    struct lane_kit kit;
    begin(&kit, 2);
    lane_kit_stop(&kit);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    row.position.sum[0] ^= 1;
    refuses(&kit, 2, &row);
}

Test(lane_recover, another_sum_below_the_done_mark_stops)
{
    struct lane_kit kit;
    begin(&kit, 2);
    lane_kit_stop(&kit);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    row.position = kit_position(&kit.journal, 1);
    row.position.sum[15] ^= 0x80;
    refuses(&kit, 2, &row);
}

Test(lane_recover, another_sum_above_the_done_mark_stops)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 2);
    lane_kit_stop(&kit);
    lane_kit_append(&kit, mozi, 0, 50, 4, NULL);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    row.position = kit_position(&kit.journal, 3);
    row.position.sum[3] ^= 1;
    refuses(&kit, 2, &row);
}

Test(lane_recover, a_ledger_beyond_the_journals_end_stops)
{
    struct lane_kit kit;
    begin(&kit, 2);
    lane_kit_stop(&kit);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    row.position.seq = 99;
    refuses(&kit, 2, &row);
}

Test(lane_recover, a_stop_over_identity_ends_when_the_right_ledger_is_back)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 2);
    lane_kit_stop(&kit);
    struct ledger_row right = fake_ledger(kit.database, "mozi", 0);
    struct ledger_row wrong = right;
    wrong.position.sum[0] ^= 1;
    const char *id = journal_id(kit.journal.journal);
    fake_set_ledger(kit.database, id, "mozi", 0, &wrong);
    kit.config.stopped_retry_us = 1000;
    lane_kit_append(&kit, mozi, 0, 8, 4, NULL);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    fake_set_ledger(kit.database, id, "mozi", 0, &right);
    lane_kit_await(&kit, "lane_resumed", 1);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_end(&kit);
}

/* ---- COMMIT without an answer ---------------------------------------------------- */

static void unanswered(bool committed)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 1);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .times = 1,
                                                  .code = ERR_UNKNOWN,
                                                  .committed = committed,
                                                  .disconnect = true});
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    struct lane_kit_event resolved = lane_kit_await(&kit, "commit_resolved", 1);
    cr_assert_str_eq(resolved.err.message, committed ? "committed" : "not committed");
    cr_assert_eq(lane_kit_told(&kit, "commit_unknown"), 1);
    struct lane_status status = lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    cr_assert_eq(status.counts.ambiguous_committed, committed);
    cr_assert_eq(status.counts.ambiguous_lost, !committed);
    cr_assert_eq(status.counts.events, 8);
    cr_assert_eq(status.counts.applied_records, 8);
    cr_assert_eq(status.counts.transactions, 2);
    cr_assert_eq(status.counts.retries[RETRY_UNKNOWN], 1);
    cr_assert_eq(fake_events(kit.database), 8);
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).duplicates, 0);
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), committed ? 2 : 3);
    lane_kit_end(&kit);
}

Test(lane_recover, an_unanswered_commit_that_happened)
{
    unanswered(true);
}

Test(lane_recover, an_unanswered_commit_that_did_not_happen)
{
    unanswered(false);
}

Test(lane_recover, an_unanswered_commit_and_then_another_ledger)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 1);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .times = 1,
                                                  .code = ERR_UNKNOWN,
                                                  .disconnect = true});
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_CONNECT, .code = ERR_TRANSIENT});
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    lane_kit_await(&kit, "connect_failed", 1);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    row.position.seq = 77;
    fake_set_ledger(kit.database, journal_id(kit.journal.journal), "mozi", 0, &row);
    fake_heal(kit.database);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_IDENTITY);
    struct lane_status status = lane_kit_status(&kit, "mozi", 0);
    cr_assert_eq(status.counts.ambiguous_committed, 0);
    cr_assert_eq(status.counts.ambiguous_lost, 0);
    cr_assert_eq(done_seq(&kit), 1);
    lane_kit_end(&kit);
}

/* ---- Faults that pass, and that don't -------------------------------------------- */

Test(lane_recover, a_passing_fault_is_waited_out)
{
    static const struct {
        enum err_code code;
        enum retry_class class;
    } cases[] = {{ERR_TRANSIENT, RETRY_TRANSIENT}, {ERR_RESOURCE, RETRY_RESOURCE}};
    for (size_t i = 0; i < 2; i++) {
        struct lane_kit kit;
        size_t mozi = begin(&kit, 1);
        fake_fault(
            kit.database,
            &(struct fake_fault){.call = FAKE_APPLY, .times = 7, .code = cases[i].code});
        lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
        struct lane_status status = lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
        cr_assert_eq(status.counts.retries[cases[i].class], 7);
        cr_assert_eq(status.failures, 0);
        cr_assert_eq(fake_events(kit.database), 8);
        cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
        lane_kit_end(&kit);
    }
}

Test(lane_recover, a_transaction_that_fails_again_halves_until_it_passes)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .code = ERR_RESOURCE,
                                                  .over_records = 3});
    for (unsigned i = 0; i < 16; i++) {
        lane_kit_append(&kit, mozi, 0, i, 1, NULL);
    }
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 16);
    cr_assert_eq(fake_events(kit.database), 16);
    cr_assert(fake_largest_apply(kit.database) <= 3);
    cr_assert(fake_largest_apply(kit.database) > 1);
    lane_kit_end(&kit);
}

Test(lane_recover, an_entry_is_never_parted_but_its_statements_are)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_fault(kit.database, &(struct fake_fault){
                                 .call = FAKE_APPLY, .times = 9, .code = ERR_RESOURCE});
    lane_kit_append(&kit, mozi, 0, 0, 40, NULL);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(fake_largest_apply(kit.database), 40);
    cr_assert_eq(fake_last_statement_rows(kit.database), 1);
    lane_kit_end(&kit);
}

Test(lane_recover, a_missed_gate_is_tried_once_more)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, 1);
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_APPLY, .times = 1, .code = ERR_MISS});
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_APPLY, .times = 2, .code = ERR_MISS});
    lane_kit_append(&kit, mozi, 0, 8, 4, NULL);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_MISS);
    cr_assert_eq(done_seq(&kit), 2);
    lane_kit_end(&kit);
}

Test(lane_recover, what_stops_a_lane_is_tried_again_slowly_and_told_once)
{
    static const enum err_code codes[] = {ERR_SCHEMA, ERR_DURABILITY, ERR_INTERNAL,
                                          ERR_CONFIG};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct lane_kit kit;
        lane_kit_start(&kit);
        size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
        kit.config.stopped_retry_us = 1000;
        fake_fault(kit.database, &(struct fake_fault){
                                     .call = FAKE_APPLY, .times = 6, .code = codes[i]});
        lane_kit_run(&kit);
        lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
        cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, codes[i]);
        lane_kit_await(&kit, "lane_resumed", 1);
        cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 1);
        cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 0);
        cr_assert_eq(fake_events(kit.database), 4);
        /* the tables are examined again at each try */
        cr_assert_eq(fake_calls(kit.database, FAKE_PREPARE), 7);
        lane_kit_end(&kit);
    }
}

Test(lane_recover, a_fault_while_comparing_is_waited_out)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    fake_fault(
        kit.database,
        &(struct fake_fault){.call = FAKE_POSITION, .times = 3, .code = ERR_TRANSIENT});
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_PREPARE,
                                                  .times = 2,
                                                  .code = ERR_UNKNOWN,
                                                  .disconnect = true});
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    cr_assert_eq(lane_kit_told(&kit, "retry"), 5);
    struct lane_status status = lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    cr_assert_eq(status.transaction_records_max, kit.config.transaction_records_max);
    lane_kit_end(&kit);
}

/* Who asks the ledger again doesn't know it, so nothing may expire until it has answered.
 */
Test(lane_recover, nothing_is_confirmed_while_it_asks_again)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.config.clock = &kit.journal.clock.clock;
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    cr_assert(kit_lane(&kit.journal, "mozi", 0).confirmed);
    fake_fault(kit.database,
               &(struct fake_fault){.call = FAKE_POSITION, .code = ERR_TRANSIENT});
    kit_pass(&kit.journal, 60LL * 1000000);
    replay_wake(kit.replay);
    lane_kit_await(&kit, "retry", 1);
    cr_assert(!kit_lane(&kit.journal, "mozi", 0).confirmed);
    fake_heal(kit.database);
    kit_pass(&kit.journal, 60LL * 1000000);
    replay_wake(kit.replay);
    lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
    cr_assert(kit_lane(&kit.journal, "mozi", 0).confirmed);
    lane_kit_end(&kit);
}
