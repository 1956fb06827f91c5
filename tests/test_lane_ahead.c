/* The next transaction, made while the database works on the present one. */
#include "replay/ahead.h"
#include "tests/lane_kit.h"

#include <criterion/criterion.h>

enum { ENTRIES = 8, RECORDS = 4, ALL = ENTRIES * RECORDS };

/* A backlog of entries of 4 records, each a transaction. Letters as of lane_kit_append,
 * one an entry's record; NULL: all good. */
static size_t begin(struct lane_kit *kit, const char *types)
{
    lane_kit_start(kit);
    kit->config.transaction_records_max = RECORDS;
    size_t mozi = lane_kit_stream(kit, "mozi", 1, CONFLICT_COUNT);
    for (unsigned i = 0; i < ENTRIES; i++) {
        lane_kit_append(kit, mozi, 0, RECORDS * i, RECORDS,
                        types ? types + (size_t)RECORDS * i : NULL);
    }
    return mozi;
}

static void expect_applied(struct lane_kit *kit, size_t mozi, size_t events)
{
    lane_kit_await_done(kit, mozi, 0, ENTRIES);
    cr_assert_eq(fake_events(kit->database), events);
    cr_assert_eq(fake_entity_events(kit->database), events);
    cr_assert_eq(fake_ledger(kit->database, "mozi", 0).events, events);
    cr_assert_eq(fake_ledger(kit->database, "mozi", 0).records, ALL);
}

/* The second record of an entry, by another hand. */
static void add_dead(struct lane_kit *kit, uint64_t seq)
{
    struct journal_dead_letter dead = {
        .index = 1, .reason = "database", .field = "", .detail = "refused"};
    struct err err = {0};
    int code = journal_dead_letters_add(kit->journal.journal, seq, &dead, 1, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
}

/* ---- The lane -------------------------------------------------------------------- */

Test(ahead, a_backlog_is_applied_in_its_transactions)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    lane_kit_run(&kit);
    expect_applied(&kit, mozi, ALL);
    cr_assert_eq(fake_calls(kit.database, FAKE_APPLY), ENTRIES);
    lane_kit_end(&kit);
}

Test(ahead, what_fails_is_applied_before_what_was_made_ahead)
{
    for (uint32_t failing = 0; failing < ENTRIES; failing++) {
        struct lane_kit kit;
        size_t mozi = begin(&kit, NULL);
        fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                      .after = failing,
                                                      .times = 1,
                                                      .code = ERR_TRANSIENT});
        lane_kit_run(&kit);
        expect_applied(&kit, mozi, ALL);
        cr_assert_eq(lane_kit_told(&kit, "retry"), 1);
        lane_kit_end(&kit);
    }
}

Test(ahead, a_connection_is_lost_at_any_transaction)
{
    for (uint32_t i = 0; i < 2 * ENTRIES; i++) {
        struct lane_kit kit;
        size_t mozi = begin(&kit, NULL);
        fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                      .after = i / 2,
                                                      .times = 1,
                                                      .code = ERR_UNKNOWN,
                                                      .committed = i % 2,
                                                      .disconnect = true});
        lane_kit_run(&kit);
        expect_applied(&kit, mozi, ALL);
        lane_kit_end(&kit);
    }
}

Test(ahead, a_transaction_that_fails_twice_halves_with_one_made_ahead)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    kit.config.transaction_records_max = (size_t)3 * RECORDS;
    fake_fault(kit.database, &(struct fake_fault){.call = FAKE_APPLY,
                                                  .over_records = RECORDS,
                                                  .code = ERR_RESOURCE});
    lane_kit_run(&kit);
    expect_applied(&kit, mozi, ALL);
    cr_assert_eq(fake_largest_apply(kit.database), RECORDS);
    lane_kit_end(&kit);
}

Test(ahead, bad_records_are_left_out_wherever_they_are)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, "gggg"
                              "gbgg"
                              "bggg"
                              "gggb"
                              "gggg"
                              "bgbg"
                              "gggg"
                              "gggb");
    fake_refuse(kit.database, lane_kit_is_bad);
    lane_kit_run(&kit);
    expect_applied(&kit, mozi, ALL - 6);
    cr_assert_eq(lane_kit_dead(&kit, JOURNAL_DEAD_KEPT), 6);
    lane_kit_end(&kit);
}

Test(ahead, what_became_a_dead_letter_meanwhile_is_left_out)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database); /* the first; the second may be made already */
    add_dead(&kit, 2);
    fake_release(kit.database);
    expect_applied(&kit, mozi, ALL - 1);
    char key[64];
    lane_kit_key(RECORDS + 1, key);
    cr_assert_not(fake_has_event(kit.database, key));
    lane_kit_end(&kit);
}

Test(ahead, a_stop_leaves_what_was_made_ahead)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    fake_hang(kit.database);
    lane_kit_run(&kit);
    fake_await_hanging(kit.database);
    replay_stop(kit.replay, 0); /* cuts the one in hand */
    kit.replay = NULL;
    cr_assert_eq(fake_events(kit.database), 0);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).done.seq, 0);
    fake_release(kit.database);
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    expect_applied(&kit, mozi, ALL);
    lane_kit_end(&kit);
}

/* ---- The slot -------------------------------------------------------------------- */

static const struct layout one_lane = {.lanes = 1};

static struct portion_wish wish_after(struct lane_kit *kit, size_t mozi, uint64_t seq)
{
    struct portion_wish wish = {.journal = kit->journal.journal,
                                .stream = kit->streams[mozi],
                                .layout = &one_lane,
                                .bytes_max = 1 << 20,
                                .records_max = RECORDS};
    if (seq) {
        wish.after = kit_position(&kit->journal, seq);
    }
    return wish;
}

static struct ahead *new_ahead(void)
{
    struct ahead *ahead = NULL;
    struct err err = {0};
    cr_assert_eq(ahead_new(&ahead, &err), ERR_OK, "%s", err.message);
    return ahead;
}

Test(ahead, gives_what_was_asked_for_and_nothing_else)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    struct ahead *ahead = new_ahead();
    struct portion_wish second = wish_after(&kit, mozi, 1);
    struct portion_wish third = wish_after(&kit, mozi, 2);
    struct portion portion = {0};
    cr_assert_not(ahead_take(ahead, &second, &portion));
    ahead_ask(ahead, &second);
    ahead_ask(ahead, &third); /* the slot is in use */
    cr_assert(ahead_take(ahead, &second, &portion));
    cr_assert_eq(portion.entries.count, 1);
    cr_assert_eq(portion.entries.items[0].seq, 2);
    cr_assert_eq(portion.decoded.count, RECORDS);
    cr_assert_eq(portion.fold.event_count, RECORDS);
    portion_free(&portion);
    cr_assert_not(ahead_take(ahead, &second, &portion));
    ahead_ask(ahead, &third);
    ahead_free(ahead); /* with one asked for, being made or made */
    lane_kit_end(&kit);
}

Test(ahead, a_portion_from_elsewhere_or_of_another_size_is_not_given)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    struct ahead *ahead = new_ahead();
    struct portion_wish asked = wish_after(&kit, mozi, 1);
    struct portion_wish others[] = {asked, asked, asked};
    others[0].after.seq = 0;
    others[1].after.sum[3] ^= 1;
    others[2].records_max /= 2;
    struct portion portion = {0};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ahead_ask(ahead, &asked);
        cr_assert_not(ahead_take(ahead, &others[i], &portion));
        cr_assert_not(ahead_take(ahead, &asked, &portion), "%zu is still there", i);
        ahead_drop(ahead);
    }
    ahead_free(ahead);
    lane_kit_end(&kit);
}

Test(ahead, another_lane_s_portion_stays)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    struct ahead *ahead = new_ahead();
    struct portion_wish asked = wish_after(&kit, mozi, 1);
    struct portion_wish other = asked;
    other.lane = 1;
    struct portion portion = {0};
    ahead_ask(ahead, &asked);
    cr_assert_not(ahead_take(ahead, &other, &portion));
    cr_assert(ahead_take(ahead, &asked, &portion));
    portion_free(&portion);
    ahead_free(ahead);
    lane_kit_end(&kit);
}

Test(ahead, a_portion_shows_that_dead_letters_came)
{
    struct lane_kit kit;
    size_t mozi = begin(&kit, NULL);
    struct portion_wish wish = wish_after(&kit, mozi, 1);
    struct portion portion = {0};
    struct err err = {0};
    bool current = false;
    cr_assert_eq(portion_make(&wish, &portion, &err), ERR_OK, "%s", err.message);
    add_dead(&kit, 3); /* of another transaction */
    cr_assert_eq(decode_is_current(wish.journal, &portion.entries, &portion.decoded,
                                   &current, &err),
                 ERR_OK);
    cr_assert(current);
    add_dead(&kit, 2);
    cr_assert_eq(decode_is_current(wish.journal, &portion.entries, &portion.decoded,
                                   &current, &err),
                 ERR_OK);
    cr_assert_not(current);
    portion_free(&portion);
    cr_assert_eq(portion_make(&wish, &portion, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(portion.decoded.count, RECORDS - 1);
    portion_free(&portion);
    lane_kit_end(&kit);
}
