/* Dead letters tried again or given up, and entries that are no longer there. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct kit kit;

static void start(void)
{
    kit_start(&kit);
    kit_open(&kit);
}

static void end(void)
{
    kit_end(&kit);
}

static const struct journal_dead_letter letter = {
    .reason = "too_long", .field = "isp", .detail = "why", .bytes = {"{\"ip\":1}", 8}};

/* An entry of `rows` rows and one dead letter behind them. */
static uint64_t append_with_letter(uint32_t rows)
{
    struct journal_dead_letter dead = letter;
    dead.index = rows;
    struct journal_part part = {.stream = "mozi",
                                .records = rows + 1,
                                .payload = SLICE_LITERAL("rows"),
                                .dead = &dead,
                                .dead_count = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK, "%s",
                 append.err.message);
    return append.first_seq;
}

static int retry(const struct journal_dead_place *places, uint32_t count,
                 struct journal_append *append)
{
    static struct journal_part part;
    part = (struct journal_part){.stream = "mozi",
                                 .lane = 1,
                                 .records = count,
                                 .payload = SLICE_LITERAL("again"),
                                 .retried = places};
    *append = (struct journal_append){.parts = &part, .part_count = 1};
    return journal_append_wait(kit.journal, append);
}

struct seen {
    enum journal_dead_state state;
    uint64_t retried_seq;
    size_t bytes;
    int count;
};

static bool see(const struct journal_dead_entry *entry, void *context)
{
    struct seen *seen = context;
    seen->state = entry->state;
    seen->retried_seq = entry->retried_seq;
    seen->bytes = entry->letter.bytes.len;
    seen->count++;
    return true;
}

static struct seen look(uint64_t seq)
{
    struct seen seen = {0};
    struct err err = {0};
    cr_assert_eq(journal_dead_letters_visit(kit.journal, seq, seq, see, &seen, &err), 0);
    return seen;
}

Test(journal_retry, a_retry_is_a_new_entry_that_is_not_accepted_anew, .init = start,
     .fini = end)
{
    uint64_t seq = append_with_letter(2);
    struct journal_dead_place place = {seq, 2};
    struct journal_append append;
    cr_assert_eq(retry(&place, 1, &append), ERR_OK, "%s", append.err.message);
    struct seen seen = look(seq);
    cr_assert_eq(seen.state, JOURNAL_DEAD_RETRIED);
    cr_assert_eq(seen.retried_seq, append.first_seq);
    cr_assert_eq(seen.bytes, 0);
    cr_assert_eq(kit_stat(&kit).records, 3);
    cr_assert_eq(kit_stat(&kit).dead_letters, 0);
    struct journal_lane lane = kit_lane(&kit, "mozi", 1);
    cr_assert_eq(lane.running, 0);
    cr_assert_eq(lane.retried, 1);
    cr_assert_eq(journal_lane_pending(&lane), 1);

    kit_done(&kit, append.first_seq);
    kit_reopen(&kit);
    lane = kit_lane(&kit, "mozi", 1);
    cr_assert_eq(lane.done_retried, 1);
    cr_assert_eq(journal_lane_pending(&lane), 0);
    struct journal_entries entries = kit_read(&kit, "mozi", 1, 0);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].records, 1);
    cr_assert_eq(entries.items[0].accepted, 0);
    cr_assert_eq(entries.items[0].retried, 1);
    journal_entries_free(&entries);
    struct journal_verify_result result;
    struct err err = {0};
    cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), 0, "%s",
                 err.message);
}

Test(journal_retry, nothing_is_tried_twice, .init = start, .fini = end)
{
    uint64_t seq = append_with_letter(0);
    struct journal_dead_place place = {seq, 0};
    struct journal_append append;
    cr_assert_eq(retry(&place, 1, &append), ERR_OK);
    uint64_t next = kit_stat(&kit).next_seq;
    cr_assert_eq(retry(&place, 1, &append), ERR_NOT_FOUND);
    cr_assert_not_null(strstr(append.err.message, "was retried already"), "%s",
                       append.err.message);
    place.index = 9;
    cr_assert_eq(retry(&place, 1, &append), ERR_NOT_FOUND);
    cr_assert_not_null(strstr(append.err.message, "does not exist"));
    cr_assert_eq(kit_stat(&kit).next_seq, next, "nothing was appended");

    struct journal_dead_place twice[] = {{seq, 0}, {seq, 0}};
    cr_assert_eq(retry(twice, 2, &append), ERR_INVALID);
    cr_assert_eq(journal_health(kit.journal, &append.err), ERR_OK);
}

Test(journal_retry, one_that_is_gone_refuses_all, .init = start, .fini = end)
{
    uint64_t seq = append_with_letter(0);
    struct journal_dead_place places[] = {{seq, 0}, {seq + 1, 0}};
    struct journal_append append;
    cr_assert_eq(retry(places, 2, &append), ERR_NOT_FOUND);
    cr_assert_eq(look(seq).state, JOURNAL_DEAD_KEPT);
    cr_assert_eq(look(seq).bytes, letter.bytes.len);
}

Test(journal_retry, a_purged_letter_leaves_a_tombstone, .init = start, .fini = end)
{
    uint64_t seq = append_with_letter(1);
    struct journal_dead_letter copy = letter;
    struct err err = {0};
    copy.index = 0;
    cr_assert_eq(journal_conflicts_add(kit.journal, seq, &copy, 1, &err), 0);
    uint64_t bytes = kit_stat(&kit).dead_letter_bytes;
    struct journal_dead_place places[] = {{seq, 0}, {seq, 1}, {seq, 7}};
    size_t purged = 0;
    cr_assert_eq(journal_dead_letters_purge(kit.journal, places, 3, &purged, &err), 0,
                 "%s", err.message);
    cr_assert_eq(purged, 2);
    struct seen seen = look(seq);
    cr_assert_eq(seen.count, 1, "the copy of a conflict is gone");
    cr_assert_eq(seen.state, JOURNAL_DEAD_PURGED);
    cr_assert_eq(seen.bytes, 0);
    cr_assert_lt(kit_stat(&kit).dead_letter_bytes, bytes);
    cr_assert_eq(kit_lane(&kit, "mozi", 0).given_up, 1);
    cr_assert_eq(journal_dead_letters_purge(kit.journal, places, 3, &purged, &err), 0);
    cr_assert_eq(purged, 0);
    kit_reopen(&kit);
    cr_assert_eq(kit_lane(&kit, "mozi", 0).given_up, 1);
    struct journal_append append;
    cr_assert_eq(retry(&places[1], 1, &append), ERR_NOT_FOUND);
    cr_assert_not_null(strstr(append.err.message, "was purged"));
}

/* ---- Gaps ------------------------------------------------------------------------ */

static void expire_through(uint64_t seq)
{
    kit_done(&kit, seq);
    journal_confirm(kit.journal, "mozi", 0, true);
    kit_commit(&kit);
    kit_pass(&kit, kit.config.retain_us + 1);
    kit_pass(&kit, INT64_C(120) * 1000 * 1000);
    kit_commit(&kit);
    kit_commit(&kit);
}

static int find(uint64_t after, struct journal_gap *gap)
{
    struct err err = {0};
    /* one record an entry here */
    *gap = (struct journal_gap){.after_seq = after, .after_counts = {.running = after}};
    return journal_gap_find(kit.journal, "mozi", 0, gap, &err);
}

Test(journal_gap, what_has_left_is_found_up_to_what_is_there, .init = start, .fini = end)
{
    struct journal_gap gap;
    for (int i = 0; i < 6; i++) {
        (void)kit_append(&kit, "mozi", 0, "x");
    }
    cr_assert_eq(find(0, &gap), ERR_NOT_FOUND);
    struct journal_position fourth = kit_position(&kit, 4);
    expire_through(4);
    cr_assert_eq(kit_state(&kit, 4), -1, "it has left");
    cr_assert_eq(find(2, &gap), ERR_OK);
    cr_assert_eq(gap.to.seq, 4);
    cr_assert_arr_eq(gap.to.sum, fourth.sum, JOURNAL_SUM_LEN);
    cr_assert_eq(gap.records, 2);
    cr_assert_eq(gap.dead_letters, 0);
    cr_assert_eq(find(4, &gap), ERR_NOT_FOUND);
}

Test(journal_gap, it_reaches_the_end_where_all_has_left, .init = start, .fini = end)
{
    struct journal_gap gap;
    for (int i = 0; i < 3; i++) {
        (void)kit_append(&kit, "mozi", 0, "x");
    }
    struct journal_position last = kit_position(&kit, 3);
    expire_through(3);
    cr_assert_eq(kit_state(&kit, 3), -1);
    cr_assert_eq(find(1, &gap), ERR_OK);
    cr_assert_eq(gap.to.seq, 3);
    cr_assert_arr_eq(gap.to.sum, last.sum, JOURNAL_SUM_LEN);
    cr_assert_eq(gap.records, 2);
    cr_assert_eq(find(3, &gap), ERR_NOT_FOUND);
}

Test(journal_gap, its_dead_letters_are_not_given_up, .init = start, .fini = end)
{
    struct journal_gap gap;
    (void)kit_append(&kit, "mozi", 0, "x");
    uint64_t seq = append_with_letter(2);
    (void)kit_append(&kit, "mozi", 0, "x");
    expire_through(seq);
    cr_assert_eq(find(1, &gap), ERR_OK);
    cr_assert_eq(gap.to.seq, seq);
    cr_assert_eq(gap.records, 3);
    cr_assert_eq(gap.dead_letters, 1);
}
