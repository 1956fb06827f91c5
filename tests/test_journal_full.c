/* A journal that fills up, and what leaves it when. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdlib.h>

enum { ENTRY = 20000 };

static const int64_t hour_us = 3600LL * 1000000;

/* Appends until it is refused; returns how many went in. */
static unsigned fill(struct kit *kit, const char *stream)
{
    char *bytes = kit_bytes(ENTRY, 3);
    unsigned count = 0;
    int rc;
    do {
        rc = kit_try(kit, stream, 0, slice_of(bytes, ENTRY), NULL);
        count += rc == ERR_OK;
    } while (rc == ERR_OK && count < 10000);
    free(bytes);
    cr_assert_eq(rc, ERR_FULL);
    return count;
}

Test(journal_full, refuses_new_and_keeps_old)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 1 << 20;
    kit_open(&kit);
    unsigned count = fill(&kit, "s");
    cr_assert_gt(count, 30);
    cr_assert(kit_stat(&kit).refusing);
    cr_assert_eq(kit_stat(&kit).next_seq, count + 1);
    kit_reopen(&kit);
    struct journal_entries entries = kit_read(&kit, "s", 0, 0);
    cr_assert_eq(entries.count, count);
    journal_entries_free(&entries);

    /* marks and dead letters still get through, and give room */
    struct err err = {0};
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("row")};
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &letter, 1, &err), ERR_OK);
    char *bytes = kit_bytes(ENTRY, 4);
    cr_assert_eq(kit_try(&kit, "s", 0, slice_of(bytes, ENTRY), NULL), ERR_FULL);
    kit_done(&kit, count / 2);
    cr_assert_eq(kit_try(&kit, "s", 0, slice_of(bytes, ENTRY), NULL), ERR_FULL,
                 "a lane without a confirmed position gives nothing");
    journal_confirm(kit.journal, "s", 0, true);
    for (unsigned i = 0; i < count / 4; i++) {
        cr_assert_eq(kit_try(&kit, "s", 0, slice_of(bytes, ENTRY), NULL), ERR_OK,
                     "batch %u", i);
    }
    cr_assert_not(kit_stat(&kit).refusing);
    free(bytes);
    /* nothing that was pending has left */
    entries = kit_read(&kit, "s", 0, count / 2);
    cr_assert_eq(entries.count, count - count / 2 + count / 4);
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_full, works_on_for_ever_at_a_bounded_backlog)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 1 << 20;
    kit_open(&kit);
    uint64_t seq = 0;
    for (unsigned i = 0; i < 600; i++) {
        seq = kit_append_bytes(&kit, "s", 0, 1000 + i * 37 % 60000, i);
        kit_done(&kit, seq);
        journal_confirm(kit.journal, "s", 0, true);
    }
    cr_assert_eq(seq, 600);
    cr_assert_leq(kit_stat(&kit).file_bytes, 1 << 20);
    kit_end(&kit);
}

/* Large values need neighbouring pages: room is made in several commits. */
Test(journal_full, makes_room_for_a_large_one_among_small_ones)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 2 << 20;
    kit_open(&kit);
    unsigned count = fill(&kit, "s");
    kit_done(&kit, count);
    journal_confirm(kit.journal, "s", 0, true);
    kit_append_bytes(&kit, "s", 0, 1 << 20, 1);
    struct journal_entries entries = kit_read(&kit, "s", 0, count);
    cr_assert_eq(entries.count, 1);
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_full, retains_applied_entries_for_their_time)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    for (unsigned i = 0; i < 10; i++) {
        kit_append(&kit, "s", 0, "payload");
        kit_pass(&kit, hour_us / 10);
    }
    kit_done(&kit, 10);
    journal_confirm(kit.journal, "s", 0, true);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL, "exactly its time, not over");
    kit_pass(&kit, 1);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), -1);
    cr_assert_eq(kit_state(&kit, 2), JOURNAL_ENTRY_FULL);
    cr_assert_eq(kit_lane(&kit, "s", 0).oldest_seq, 2);
    kit_pass(&kit, 2 * hour_us);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 10), -1);
    struct journal_stat stat = kit_stat(&kit);
    cr_assert_eq(stat.first_seq, 0);
    cr_assert_eq(kit_lane(&kit, "s", 0).oldest_seq, 0);
    kit_reopen(&kit);
    cr_assert_eq(kit_append(&kit, "s", 0, "payload"), 11, "seq goes on");
    struct journal_entries entries = kit_read(&kit, "s", 0, 10);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].running, 11);
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_full, retains_pending_unconfirmed_and_rewound_entries)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    for (unsigned i = 0; i < 4; i++) {
        kit_append(&kit, "s", 0, "payload");
    }
    journal_confirm(kit.journal, "s", 0, true);
    kit_pass(&kit, 2 * hour_us);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL, "pending");
    journal_confirm(kit.journal, "s", 0, false);
    kit_done(&kit, 3);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL, "unconfirmed");
    struct err err = {0};
    struct journal_position one = kit_position(&kit, 1);
    cr_assert_eq(journal_rewind(kit.journal, "s", 0, &one, &err), ERR_OK);
    journal_confirm(kit.journal, "s", 0, true);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), -1, "below the position it was rewound to");
    cr_assert_eq(kit_state(&kit, 2), JOURNAL_ENTRY_FULL, "rewound");
    cr_assert_eq(kit_state(&kit, 4), JOURNAL_ENTRY_FULL);
    /* the entry is gone, its position can still be told */
    cr_assert_eq(journal_check_position(kit.journal, "s", 0, &one, &err), ERR_OK);
    kit_end(&kit);
}

/* One stopped lane doesn't pin the room of the others. */
Test(journal_full, leaves_stubs_behind_a_pending_entry)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    kit_append(&kit, "stopped", 0, "pending");
    for (unsigned i = 0; i < 20; i++) {
        kit_append_bytes(&kit, "busy", 0, 10000, i);
    }
    struct journal_position middle = kit_position(&kit, 11);
    uint64_t used = kit_stat(&kit).used_bytes;
    kit_done(&kit, 21);
    journal_confirm(kit.journal, "busy", 0, true);
    kit_pass(&kit, 2 * hour_us);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL);
    for (uint64_t seq = 2; seq <= 21; seq++) {
        cr_assert_eq(kit_state(&kit, seq), JOURNAL_ENTRY_EXPIRED, "entry %d", (int)seq);
    }
    cr_assert_lt(kit_stat(&kit).used_bytes, used / 2);
    cr_assert_eq(kit_lane(&kit, "busy", 0).oldest_seq, 0);

    struct journal_entries entries = {0};
    struct err err = {0};
    cr_assert_eq(
        journal_read_lane(kit.journal, "busy", 0, 5, &kit_no_limits, &entries, &err),
        ERR_GAP);
    cr_assert_eq(journal_check_position(kit.journal, "busy", 0, &middle, &err), ERR_OK);
    middle.sum[0] ^= 1;
    cr_assert_eq(journal_check_position(kit.journal, "busy", 0, &middle, &err),
                 ERR_IDENTITY);
    /* what is appended behind stubs follows them */
    cr_assert_eq(kit_append(&kit, "busy", 0, "more"), 22);
    entries = kit_read(&kit, "busy", 0, 21);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].running, 21);
    journal_entries_free(&entries);

    /* the stubs go when the pending one has gone */
    kit_done(&kit, 1);
    journal_confirm(kit.journal, "stopped", 0, true);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 1), -1);
    cr_assert_eq(kit_state(&kit, 21), -1);
    cr_assert_eq(kit_state(&kit, 22), JOURNAL_ENTRY_FULL);
    kit_end(&kit);
}

Test(journal_full, gives_retained_entries_to_intake_behind_a_stopped_lane)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 1 << 20;
    kit_open(&kit);
    kit_append(&kit, "stopped", 0, "pending");
    for (unsigned i = 0; i < 200; i++) {
        uint64_t seq = kit_append_bytes(&kit, "busy", 0, ENTRY, i);
        kit_done(&kit, seq);
        journal_confirm(kit.journal, "busy", 0, true);
    }
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL);
    cr_assert_eq(kit_state(&kit, 201), JOURNAL_ENTRY_FULL);
    cr_assert_eq(kit_state(&kit, 2), JOURNAL_ENTRY_EXPIRED);
    struct journal_entries entries = kit_read(&kit, "stopped", 0, 0);
    cr_assert_eq(entries.count, 1);
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_full, names_what_is_no_longer_retained)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    for (unsigned i = 0; i < 6; i++) {
        kit_append(&kit, i % 2 ? "other" : "s", 0, "payload");
    }
    struct journal_position first = kit_position(&kit, 1);
    struct journal_position third = kit_position(&kit, 3);
    kit_done(&kit, 3);
    kit_done(&kit, 4);
    journal_confirm(kit.journal, "s", 0, true);
    journal_confirm(kit.journal, "other", 0, true);
    kit_pass(&kit, 2 * hour_us);
    kit_commit(&kit);
    cr_assert_eq(kit_state(&kit, 4), -1);
    cr_assert_eq(kit_state(&kit, 5), JOURNAL_ENTRY_FULL);
    struct journal_entries entries = {0};
    struct err err = {0};
    cr_assert_eq(
        journal_read_lane(kit.journal, "s", 0, 1, &kit_no_limits, &entries, &err),
        ERR_GAP);
    cr_assert(strstr(err.message, "entry 3"), "%s", err.message);
    cr_assert_eq(journal_check_position(kit.journal, "s", 0, &first, &err), ERR_GAP);
    cr_assert_eq(journal_rewind(kit.journal, "s", 0, &first, &err), ERR_GAP);
    cr_assert_eq(journal_check_position(kit.journal, "s", 0, &third, &err), ERR_OK);
    entries = kit_read(&kit, "s", 0, 3);
    cr_assert_eq(entries.count, 1);
    journal_entries_free(&entries);
    kit_end(&kit);
}

static void count_down(struct journal_append *append)
{
    sem_post(append->context);
}

/* Small batches handed in together, so that few commits take them; the last one's seq. */
static uint64_t append_many(struct kit *kit, const char *stream, unsigned count)
{
    struct journal_part part = {
        .stream = stream, .records = 1, .payload = SLICE_LITERAL("small")};
    struct journal_append *appends = calloc(count, sizeof *appends);
    cr_assert(appends);
    sem_t done;
    sem_init(&done, 0, 0);
    for (unsigned i = 0; i < count; i++) {
        appends[i] = (struct journal_append){.parts = &part,
                                             .part_count = 1,
                                             .received_at_us = kit->clock.wall_us,
                                             .done = count_down,
                                             .context = &done};
        journal_submit(kit->journal, &appends[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        sem_wait(&done);
    }
    sem_destroy(&done);
    cr_assert_eq(appends[count - 1].err.code, ERR_OK);
    uint64_t last = appends[count - 1].first_seq;
    free(appends);
    return last;
}

/* All applied entries of the lane that runs are given, not only as many as were wanted
 * the first time, though nothing more is marked or confirmed meanwhile. */
static void expect_all_given(bool routine_sweep_first)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 8 << 20;
    kit_open(&kit);
    kit_append(&kit, "stopped", 0, "pending");
    journal_confirm(kit.journal, "stopped", 0, true);
    uint64_t last = 0;
    for (unsigned i = 0; i < 60; i++) {
        last = kit_append_bytes(&kit, "well", 0, (size_t)4 * ENTRY, i);
    }
    kit_done(&kit, last);
    journal_confirm(kit.journal, "well", 0, true);
    kit_commit(&kit);
    if (routine_sweep_first) {
        kit_pass(&kit, hour_us);
        kit_commit(&kit);
    }
    fill(&kit, "stopped");
    unsigned full = 0;
    for (uint64_t seq = 2; seq <= last; seq++) {
        full += kit_state(&kit, seq) == JOURNAL_ENTRY_FULL;
    }
    cr_expect_eq(full, 0, "%u applied entries stay though intake is refused", full);
    kit_end(&kit);
}

Test(journal_full, gives_all_that_is_applied_before_it_refuses)
{
    expect_all_given(false);
}

Test(journal_full, gives_all_that_is_applied_after_a_sweep_for_time)
{
    expect_all_given(true);
}

/* Many stubs may lie between the stopped lane's entry and what can still be given. */
Test(journal_full, gives_what_lies_behind_many_stubs)
{
    enum { STUBS = 6000, LARGE = 60, BATCH = 3 << 20 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 16 << 20;
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    kit_append(&kit, "stopped", 0, "pending");
    uint64_t small = append_many(&kit, "well", STUBS);
    kit_done(&kit, small);
    journal_confirm(kit.journal, "well", 0, true);
    kit_pass(&kit, 2 * hour_us);
    do {
        kit_commit(&kit);
    } while (kit_state(&kit, small) == JOURNAL_ENTRY_FULL);
    uint64_t last = small;
    for (unsigned i = 0; i < LARGE; i++) {
        last = kit_append_bytes(&kit, "well", 0, (size_t)4 * ENTRY, i);
    }
    kit_done(&kit, last);
    char *batch = kit_bytes(BATCH, 7);
    while (kit_try(&kit, "stopped", 0, slice_of(batch, BATCH), NULL) == ERR_OK) {
    }
    free(batch);
    unsigned full = 0;
    for (uint64_t seq = small + 1; seq <= last; seq++) {
        full += kit_state(&kit, seq) == JOURNAL_ENTRY_FULL;
    }
    cr_assert_eq(full, 0, "%u applied entries stay though intake is refused", full);
    kit_end(&kit);
}

/* The reach is found again from where the last look at it ended. */
Test(journal_full, tells_its_reach_behind_stubs)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.retain_us = hour_us;
    kit_open(&kit);
    kit_append(&kit, "well", 0, "payload");
    cr_assert_eq(kit_stat(&kit).oldest_at_us, kit.clock.wall_us);
    kit_append(&kit, "stopped", 0, "pending");
    int64_t stopped_us = kit.clock.wall_us;
    kit_pass(&kit, hour_us / 2);
    uint64_t last = 0;
    for (unsigned i = 0; i < 300; i++) {
        last = kit_append(&kit, "well", 0, "payload");
    }
    kit_done(&kit, last);
    journal_confirm(kit.journal, "well", 0, true);
    kit_pass(&kit, 2 * hour_us);
    do {
        kit_commit(&kit); /* a bounded number of entries goes with each */
    } while (kit_state(&kit, last) == JOURNAL_ENTRY_FULL);
    cr_assert_eq(kit_state(&kit, 1), -1);
    cr_assert_eq(kit_stat(&kit).first_seq, 2);
    cr_assert_eq(kit_stat(&kit).oldest_at_us, stopped_us);

    /* stubs of a lane that isn't confirmed are the oldest now */
    kit_reopen(&kit);
    int64_t next_us = kit.clock.wall_us;
    uint64_t next = kit_append(&kit, "other", 0, "payload");
    kit_done(&kit, 2);
    journal_confirm(kit.journal, "stopped", 0, true);
    kit_commit(&kit);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(kit_stat(&kit).first_seq, 3);
        cr_assert_eq(kit_stat(&kit).oldest_at_us, next_us);
    }
    journal_confirm(kit.journal, "well", 0, true);
    do {
        kit_commit(&kit);
    } while (kit_stat(&kit).first_seq != next);
    cr_assert_eq(kit_stat(&kit).oldest_at_us, next_us);
    kit_done(&kit, next);
    journal_confirm(kit.journal, "other", 0, true);
    kit_pass(&kit, 2 * hour_us);
    kit_commit(&kit);
    cr_assert_eq(kit_stat(&kit).first_seq, 0);
    cr_assert_eq(kit_stat(&kit).oldest_at_us, 0);
    kit_append(&kit, "well", 0, "payload");
    cr_assert_eq(kit_stat(&kit).oldest_at_us, kit.clock.wall_us);
    kit_reopen(&kit);
    cr_assert_eq(kit_stat(&kit).oldest_at_us, kit.clock.wall_us);
    kit_end(&kit);
}

static void append_to_lanes(struct kit *kit, unsigned count)
{
    struct journal_part *parts = calloc(count, sizeof *parts);
    cr_assert(parts);
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct journal_part){
            .stream = "s", .lane = i, .records = 1, .payload = SLICE_LITERAL("x")};
    }
    struct journal_append append = {.parts = parts, .part_count = count};
    cr_assert_eq(journal_append_wait(kit->journal, &append), ERR_OK);
    free(parts);
}

/* Marks that don't fit are lost without harm: the ledger has them. */
Test(journal_full, closes_though_its_marks_do_not_fit, .timeout = 60)
{
    enum { LANES = 4000 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 4 << 20;
    kit.config.reserve = 1;
    kit_open(&kit);
    append_to_lanes(&kit, LANES);
    for (size_t len = ENTRY; len > 0; len /= 2) {
        char *bytes = kit_bytes(len, 1);
        while (kit_try(&kit, "s", 0, slice_of(bytes, len), NULL) == ERR_OK) {
        }
        free(bytes);
    }
    uint64_t next = kit_stat(&kit).next_seq;
    for (uint64_t seq = 1; seq <= LANES; seq++) {
        kit_done(&kit, seq);
    }
    kit_reopen(&kit);
    cr_assert_eq(kit_stat(&kit).next_seq, next);
    cr_assert_eq(kit_lane(&kit, "s", 1).done.seq, 0, "they did fit");
    kit_end(&kit);
}

/* Bounded as everything is; those that are there go on. */
Test(journal_full, no_more_lanes_than_there_may_be)
{
    enum { MOST = 65536 };
    struct kit kit;
    struct journal_part *parts = calloc(MOST, sizeof *parts);
    cr_assert(parts);
    for (uint32_t i = 0; i < MOST; i++) {
        parts[i] = (struct journal_part){.stream = "s", .lane = i, .records = 1};
    }
    struct journal_append append = {.parts = parts, .part_count = MOST};
    kit_start(&kit);
    kit.config.size_max = 128 << 20;
    kit_open(&kit);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK, "%s",
                 append.err.message);
    parts[0].lane = MOST;
    append.part_count = 1;
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_FULL);
    cr_assert(strstr(append.err.message, "lanes"), "%s", append.err.message);
    parts[0].lane = 7;
    parts[1] = parts[0];
    append.part_count = 2;
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.first_seq, MOST + 1, "nothing of the refused one is there");
    free(parts);
    kit_end(&kit);
}
