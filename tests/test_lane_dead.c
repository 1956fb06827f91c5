/* Records that can't be applied, conflicts that are kept. */
#include "tests/lane_kit.h"

#include "tests/specs.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static size_t begin(struct lane_kit *kit, enum on_conflict on_conflict)
{
    lane_kit_start(kit);
    fake_refuse(kit->database, lane_kit_is_bad);
    return lane_kit_stream(kit, "mozi", 1, on_conflict);
}

static bool has_event(struct lane_kit *kit, unsigned number)
{
    char key[64];
    lane_kit_key(number, key);
    return fake_has_event(kit->database, key);
}

/* ---- The database refuses -------------------------------------------------------- */

Test(lane_dead, whatever_is_bad_the_rest_is_applied)
{
    static const char *const runs[] = {"bggggggg", "gggggggb", "gggbgggg", "bggggggb",
                                       "bgbgbgbg", "gbbbbbbg", "b",        "bbb",
                                       "gb",       "bg"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct lane_kit kit;
        size_t mozi = begin(&kit, CONFLICT_COUNT);
        size_t len = strlen(runs[i]);
        lane_kit_append(&kit, mozi, 0, 0, (unsigned)len, runs[i]);
        lane_kit_append(&kit, mozi, 0, 100, 2, NULL);
        lane_kit_run(&kit);
        lane_kit_await_done(&kit, mozi, 0, 2);
        size_t bad = 0;
        for (size_t k = 0; k < len; k++) {
            bad += runs[i][k] == 'b';
            cr_assert_eq(has_event(&kit, (unsigned)k), runs[i][k] == 'g', "%s", runs[i]);
        }
        cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), bad, "%s", runs[i]);
        cr_assert_eq(fake_events(kit.database), len + 2 - bad, "%s", runs[i]);
        struct lane_status status = lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE);
        cr_assert_eq(status.counts.dead_letters, bad);
        cr_assert_eq(status.counts.events, len + 2 - bad);
        cr_assert_eq(status.dead_in_a_row, 0);
        cr_assert_eq(lane_kit_told(&kit, "dead_letter"), bad);
        cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
        lane_kit_end(&kit);
    }
}

static bool keep_letter(const struct journal_dead_entry *entry, void *context)
{
    struct buf *out = context;
    buf_printf(out, "%llu/%u %s '%s' ", (unsigned long long)entry->seq,
               entry->letter.index, entry->letter.reason, entry->letter.field);
    buf_printf(out, "%s %.*s|", entry->letter.detail, (int)entry->letter.bytes.len,
               entry->letter.bytes.data);
    return true;
}

Test(lane_dead, a_dead_letter_says_what_and_why)
{
    struct lane_kit kit;
    struct err err = {0};
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 2, NULL);
    lane_kit_append(&kit, mozi, 0, 2, 4, "ggbg");
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 2);
    struct buf text = {0};
    cr_assert_eq(journal_dead_letters_visit(kit.journal.journal, 0, UINT64_MAX,
                                            keep_letter, &text, &err),
                 ERR_OK);
    char key[64];
    lane_kit_key(4, key);
    struct buf expected = {0};
    buf_printf(&expected,
               "2/2 database '' bad value at %s "
               "{\"ip\":\"10.0.0.5\",\"timestamp\":\"%s\",\"event_type\":\"bad\"}|",
               key, strchr(key, ' ') + 1);
    cr_assert_str_eq(buf_text(&text), buf_text(&expected));
    buf_free(&text);
    buf_free(&expected);
    lane_kit_end(&kit);
}

Test(lane_dead, one_bad_record_takes_a_handful_of_trials)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    char types[129];
    memset(types, 'g', 128);
    types[77] = 'b';
    types[128] = '\0';
    lane_kit_append(&kit, mozi, 0, 0, 128, types);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert(fake_calls(kit.database, FAKE_TRIAL) <= 2 * 7 + 1);
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), 2);
    lane_kit_end(&kit);
}

Test(lane_dead, a_record_with_a_dead_letter_is_left_out_for_good)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 8, "gggbgggb");
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    uint64_t trials = fake_calls(kit.database, FAKE_TRIAL);
    lane_kit_stop(&kit);
    kit_reopen(&kit.journal);
    fake_drop_ledger(kit.database);
    fake_refuse(kit.database, NULL); /* it would pass now */
    lane_kit_run(&kit);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(fake_events(kit.database), 6);
    cr_assert_eq(fake_calls(kit.database, FAKE_TRIAL), trials);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 2);
    lane_kit_end(&kit);
}

Test(lane_dead, each_lane_leaves_out_its_own_among_those_of_others)
{
    static const struct {
        uint32_t lane;
        const char *types;
    } entries[] = {{0, "gb"}, {0, "gg"}, {1, "gg"}, {0, "bg"}, {1, "bg"}, {1, "gb"},
                   {0, "gb"}, {0, "bb"}, {1, "bb"}, {0, "gg"}, {1, "gg"}, {0, "bg"}};
    struct lane_kit kit;
    lane_kit_start(&kit);
    fake_refuse(kit.database, lane_kit_is_bad);
    size_t mozi = lane_kit_stream(&kit, "mozi", 2, CONFLICT_COUNT);
    for (unsigned i = 0; i < 12; i++) {
        lane_kit_append(&kit, mozi, entries[i].lane, 2 * i, 2, entries[i].types);
    }
    for (unsigned round = 0; round < 2; round++) {
        lane_kit_run(&kit);
        lane_kit_await(&kit, "rewound", 2UL * round);
        lane_kit_await_done(&kit, mozi, 0, 12);
        lane_kit_await_done(&kit, mozi, 1, 11);
        for (unsigned i = 0; i < 24; i++) {
            cr_assert_eq(has_event(&kit, i), entries[i / 2].types[i % 2] == 'g', "%u", i);
        }
        lane_kit_stop(&kit);
        fake_drop_ledger(kit.database);
        fake_refuse(kit.database, NULL); /* they would pass now */
        kit_reopen(&kit.journal);
    }
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 10);
    lane_kit_end(&kit);
}

Test(lane_dead, a_fault_during_the_trials_is_that_fault)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_TRIAL,
                                                  .after = 2,
                                                  .times = 3,
                                                  .code = ERR_TRANSIENT,
                                                  .disconnect = true});
    lane_kit_append(&kit, mozi, 0, 0, 8, "gggggggb");
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 1);
    cr_assert_eq(fake_events(kit.database), 7);
    cr_assert(lane_kit_status(&kit, "mozi", 0).counts.retries[RETRY_TRANSIENT] > 0);
    lane_kit_end(&kit);
}

Test(lane_dead, the_letter_is_there_before_the_commit_that_leaves_its_record_out)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 4, "gbgg");
    fake_fault(kit.database, &(struct fake_fault){
                                 .call = FAKE_APPLY, .after = 1, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await(&kit, "retry", 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 1);
    cr_assert_eq(fake_events(kit.database), 0);
    fake_heal(kit.database);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 1);
    cr_assert_eq(lane_kit_status(&kit, "mozi", 0).counts.dead_letters, 1);
    cr_assert_eq(fake_events(kit.database), 3);
    lane_kit_end(&kit);
}

Test(lane_dead, records_refused_only_together_are_parted_by_entries)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    fake_refuse_together(kit.database, lane_kit_is_pair);
    for (unsigned i = 0; i < 4; i++) {
        lane_kit_append(&kit, mozi, 0, 2 * i, 2, "gp");
    }
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 4);
    cr_assert_eq(fake_events(kit.database), 8);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 0);
    lane_kit_append(&kit, mozi, 0, 8, 2, "pp"); /* one entry: nothing is left to part */
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_MISS);
    cr_assert_not_null(strstr(stopped.err.message, "none of them alone"));
    lane_kit_end(&kit);
}

/* ---- Many in a row --------------------------------------------------------------- */

Test(lane_dead, many_in_a_row_stop_the_lane_until_accepted)
{
    struct lane_kit kit;
    struct err err = {0};
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    char types[31];
    memset(types, 'b', 30);
    types[30] = '\0';
    lane_kit_append(&kit, mozi, 0, 0, 3, NULL);
    lane_kit_append(&kit, mozi, 0, 3, 30, types);
    lane_kit_append(&kit, mozi, 0, 40, 30, types);
    lane_kit_append(&kit, mozi, 0, 80, 1, "g");
    lane_kit_append(&kit, mozi, 0, 90, 30, types);
    kit.config.transaction_records_max = 30; /* several transactions */
    lane_kit_run(&kit);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_SCHEMA);
    cr_assert_not_null(
        strstr(stopped.err.message, "deadletter accept --stream mozi --lane 0"));
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 0);
    cr_assert(lane_kit_await_state(&kit, "mozi", 0, LANE_STOPPED).dead_in_a_row >= 10);
    cr_assert_eq(replay_accept_dead(kit.replay, "mozi", 0, &err), ERR_OK);
    lane_kit_await(&kit, "lane_resumed", 1);
    /* accepted until a record passes; then it is watched again */
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 2).err.code, ERR_SCHEMA);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 4);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 60);
    cr_assert_eq(replay_accept_dead(kit.replay, "mozi", 0, &err), ERR_OK);
    lane_kit_await_done(&kit, mozi, 0, 5);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 90);
    cr_assert_eq(fake_events(kit.database), 4);
    lane_kit_end(&kit);
}

Test(lane_dead, small_entries_add_up_to_many_in_a_row)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    lane_kit_run(&kit);
    for (unsigned i = 0; i < 9; i++) {
        lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, i, 1, "b"));
    }
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
    lane_kit_append(&kit, mozi, 0, 10, 1, "b");
    lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 9);
    lane_kit_end(&kit);
}

/* Wherever the good ones of their transactions stand. */
Test(lane_dead, many_in_a_row_are_seen_across_transactions)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 8, "ggbbbbbb"));
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 10, 5, "bbbgb"));
    cr_assert_eq(lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE).dead_in_a_row, 1);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 20, 5, "bbbbb"));
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
    cr_assert_eq(lane_kit_await_state(&kit, "mozi", 0, LANE_IDLE).dead_in_a_row, 6);
    lane_kit_append(&kit, mozi, 0, 30, 8, "bbbbgggg");
    lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 15);
    lane_kit_end(&kit);
}

Test(lane_dead, a_good_record_between_ends_the_row)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    lane_kit_run(&kit);
    for (unsigned i = 0; i < 30; i++) {
        const char *type = i % 9 == 8 ? "g" : "b";
        lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, i, 1, type));
    }
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 27);
    lane_kit_end(&kit);
}

Test(lane_dead, a_good_record_between_ends_the_row_within_a_transaction_too)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 5;
    lane_kit_append(&kit, mozi, 0, 0, 16, "bbbbgbbbbggbbbbg");
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(lane_kit_told(&kit, "lane_stopped"), 0);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 12);
    lane_kit_end(&kit);
}

Test(lane_dead, the_lane_goes_on_by_itself_once_they_pass)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    kit.config.stopped_retry_us = 1000;
    char types[31];
    memset(types, 'b', 30);
    types[30] = '\0';
    lane_kit_append(&kit, mozi, 0, 0, 30, types);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    fake_refuse(kit.database, NULL); /* the table is mended */
    lane_kit_await(&kit, "lane_resumed", 1);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 0);
    cr_assert_eq(fake_events(kit.database), 30);
    lane_kit_end(&kit);
}

Test(lane_dead, accepting_for_a_lane_that_is_not_there)
{
    struct lane_kit kit;
    struct err err = {0};
    begin(&kit, CONFLICT_COUNT);
    lane_kit_run(&kit);
    cr_assert_eq(replay_accept_dead(kit.replay, "mozi", 1, &err), ERR_NOT_FOUND);
    cr_assert_eq(replay_accept_dead(kit.replay, "other", 0, &err), ERR_NOT_FOUND);
    lane_kit_end(&kit);
}

/* ---- Today's configuration refuses ----------------------------------------------- */

/* As botnet, but an event_type has at most 4 characters: "good" and "bad" pass. */
static void narrow_stream(struct lane_kit *kit)
{
    static struct column_spec columns[STREAM_COLUMNS_MAX];
    struct stream_spec spec = botnet_spec("mozi");
    memcpy(columns, spec.event.columns, spec.event.column_count * sizeof *columns);
    for (size_t i = 0; i < spec.event.column_count; i++) {
        if (strcmp(columns[i].name, "event_type") == 0) {
            columns[i].max = 4;
        }
    }
    spec.event.columns = columns;
    lane_kit_no_streams(kit);
    kit->streams[kit->stream_count++] = stream_of(&spec);
}

Test(lane_dead, what_can_not_be_read_any_more_becomes_a_dead_letter)
{
    struct lane_kit kit;
    struct err err = {0};
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 5, "gxgxb"); /* x: "other", b: refused besides */
    narrow_stream(&kit);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(fake_events(kit.database), 2);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 3);
    struct buf text = {0};
    cr_assert_eq(journal_dead_letters_visit(kit.journal.journal, 0, UINT64_MAX,
                                            keep_letter, &text, &err),
                 ERR_OK);
    cr_assert_not_null(strstr(buf_text(&text), "1/1 too_long 'event_type'"));
    cr_assert_not_null(strstr(buf_text(&text), "\"event_type\":\"other\""));
    cr_assert_not_null(strstr(buf_text(&text), "1/4 database"));
    buf_free(&text);
    lane_kit_end(&kit);
}

Test(lane_dead, many_unreadable_in_a_row_stop_the_lane_too)
{
    struct lane_kit kit;
    struct err err = {0};
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 5;
    lane_kit_append(&kit, mozi, 0, 0, 12, "xxxxgxxxxgxx");
    lane_kit_append(&kit, mozi, 0, 20, 6, "gxxxxx");
    narrow_stream(&kit);
    kit.config.transaction_records_max = 12;
    lane_kit_run(&kit);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_SCHEMA);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 10);
    cr_assert_eq(replay_accept_dead(kit.replay, "mozi", 0, &err), ERR_OK);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 15);
    cr_assert_eq(fake_events(kit.database), 3);
    lane_kit_end(&kit);
}

Test(lane_dead, many_in_a_row_of_both_kinds_are_seen_across_transactions)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10;
    kit.config.transaction_records_max = 8;
    lane_kit_append(&kit, mozi, 0, 0, 8, "gbbbgxbx");
    lane_kit_append(&kit, mozi, 0, 10, 8, "xbxgbxbx");
    lane_kit_append(&kit, mozi, 0, 20, 8, "xxxxxxgg"); /* ten, with the last four */
    narrow_stream(&kit);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 2);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 13);
    lane_kit_end(&kit);
}

/* ---- No room, conflicts ---------------------------------------------------------- */

Test(lane_dead, no_room_for_dead_letters_stops_the_lane_and_loses_nothing)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    kit_close(&kit.journal);
    kit.journal.config.dead_letters_max = 64;
    kit_open(&kit.journal);
    fake_refuse(kit.database, lane_kit_is_bad);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_append(&kit, mozi, 0, 0, 4, "gbgg");
    lane_kit_run(&kit);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_FULL);
    cr_assert_eq(fake_events(kit.database), 0);
    lane_kit_stop(&kit);
    kit_close(&kit.journal);
    kit.journal.config.dead_letters_max = 1 << 20;
    kit_open(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 1);
    cr_assert_eq(fake_events(kit.database), 3);
    lane_kit_end(&kit);
}

static void conflicts(enum on_conflict on_conflict, size_t copies)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, on_conflict);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_append(&kit, mozi, 0, 0, 4, "gxxg");
    /* all but COMMIT is done when this one fails */
    fake_fault(kit.database, &(struct fake_fault){
                                 .call = FAKE_APPLY, .times = 2, .code = ERR_TRANSIENT});
    lane_kit_run(&kit);
    lane_kit_await(&kit, "retry", 1);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_CONFLICT), copies);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_CONFLICT), copies);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 0);
    struct ledger_row row = fake_ledger(kit.database, "mozi", 0);
    cr_assert_eq(row.events, 4);
    cr_assert_eq(row.duplicates, 2);
    cr_assert_eq(row.conflicts, 2);
    lane_kit_stop(&kit);
    /* copies are not left out of a later replay */
    fake_drop_ledger(kit.database);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "rewound", 1);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).conflicts, 2);
    lane_kit_end(&kit);
}

Test(lane_dead, conflicts_are_kept_before_the_commit_that_counts_them)
{
    conflicts(CONFLICT_KEEP, 2);
}

Test(lane_dead, conflicts_are_only_counted_where_so_configured)
{
    conflicts(CONFLICT_COUNT, 0);
}

Test(lane_dead, a_conflict_that_can_not_be_kept_is_not_committed)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    kit_close(&kit.journal);
    kit.journal.config.dead_letters_max = 64;
    kit_open(&kit.journal);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_KEEP);
    lane_kit_append(&kit, mozi, 0, 0, 3, NULL);
    lane_kit_append(&kit, mozi, 0, 0, 3, "xgg");
    lane_kit_run(&kit);
    cr_assert_eq(lane_kit_await(&kit, "lane_stopped", 1).err.code, ERR_FULL);
    cr_assert_eq(fake_events(kit.database), 0);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 0);
    lane_kit_end(&kit);
}

Test(lane_dead, more_letters_than_are_written_at_once)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, CONFLICT_COUNT);
    kit.config.dead_in_a_row_max = 10000;
    char types[701];
    memset(types, 'b', 700);
    types[650] = 'g';
    types[700] = '\0';
    lane_kit_append(&kit, mozi, 0, 0, 700, types);
    lane_kit_append(&kit, mozi, 0, 1000, 2, "bg");
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 2);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 700);
    cr_assert_eq(fake_events(kit.database), 2);
    lane_kit_end(&kit);
}
