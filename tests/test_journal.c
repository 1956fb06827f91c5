/* The journal's main way: creating, appending, reading, marking, dead letters. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

Test(journal, opens_what_it_created)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    char id[JOURNAL_ID_TEXT];
    (void)snprintf(id, sizeof id, "%s", journal_id(kit.journal));
    cr_assert_eq(strspn(id, "0123456789abcdef"), 32);
    cr_assert_eq(kit_append(&kit, "mozi", 0, "one"), 1);
    cr_assert_eq(kit_append(&kit, "mozi", 0, "two"), 2);
    kit_reopen(&kit);
    cr_assert_str_eq(journal_id(kit.journal), id);
    cr_assert_eq(kit_append(&kit, "mozi", 0, "three"), 3);
    struct stat about;
    cr_assert_eq(stat(kit.path, &about), 0);
    cr_assert_eq(about.st_mode & 0777, 0700);
    kit_end(&kit);
}

Test(journal, is_not_created_unless_asked)
{
    struct kit kit;
    kit_start(&kit);
    struct err err = {0};
    cr_assert_eq(journal_open(&kit.config, false, &kit.journal, &err), ERR_NOT_FOUND);
    cr_assert_eq(access(kit.path, F_OK), -1);
    cr_assert_eq(journal_open_reader(kit.path, &kit.journal, &err), ERR_NOT_FOUND);
    kit_end(&kit);
}

Test(journal, takes_an_empty_directory_and_refuses_a_strangers)
{
    struct kit kit;
    kit_start(&kit);
    struct err err;
    cr_assert_eq(mkdir(kit.path, 0755), 0);
    char stranger[128];
    (void)snprintf(stranger, sizeof stranger, "%s/notes.txt", kit.path);
    FILE *file = fopen(stranger, "w");
    cr_assert(file);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_NOT_FOUND);
    cr_assert_eq(unlink(stranger), 0);
    kit_open(&kit);
    cr_assert_eq(kit_append(&kit, "s", 0, "x"), 1);
    kit_end(&kit);
}

Test(journal, removes_what_a_crashed_creation_left)
{
    struct kit kit;
    kit_start(&kit);
    char left[128];
    char file_name[160];
    (void)snprintf(left, sizeof left, "%s/journal.new-abcdef", kit.directory);
    (void)snprintf(file_name, sizeof file_name, "%s/data.mdb", left);
    cr_assert_eq(mkdir(left, 0700), 0);
    FILE *file = fopen(file_name, "w");
    cr_assert(file);
    cr_assert_eq(fclose(file), 0);
    kit_open(&kit);
    cr_assert_eq(access(left, F_OK), -1);
    DIR *dir = opendir(kit.directory);
    int names = 0;
    while (readdir(dir)) {
        names++;
    }
    closedir(dir);
    cr_assert_eq(names, 3, "only ., .. and the journal are there");
    kit_end(&kit);
}

Test(journal, gives_back_what_was_appended)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    char *large = kit_bytes(300000, 7);
    struct journal_part parts[] = {
        {.stream = "mozi", .lane = 0, .records = 3, .payload = SLICE_LITERAL("first")},
        {.stream = "mozi", .lane = 1, .records = 2, .payload = {large, 300000}},
        {.stream = "test", .lane = 0, .records = 1, .payload = {"", 0}},
    };
    struct journal_append append = {
        .parts = parts, .part_count = 3, .received_at_us = 1234567};
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.first_seq, 1);
    cr_assert_eq(append.outcome, JOURNAL_APPENDED);

    struct journal_entries entries = kit_read(&kit, "mozi", 1, 0);
    cr_assert_eq(entries.count, 1);
    const struct journal_entry *entry = &entries.items[0];
    cr_assert_eq(entry->seq, 2);
    cr_assert_eq(entry->batch_seq, 1);
    cr_assert_eq(entry->batch_entries, 3);
    cr_assert_eq(entry->records, 2);
    cr_assert_eq(entry->running, 2);
    cr_assert_eq(entry->received_at_us, 1234567);
    cr_assert_eq(entry->lane, 1);
    cr_assert_str_eq(entry->stream, "mozi");
    cr_assert_eq(entry->state, JOURNAL_ENTRY_FULL);
    cr_assert(slice_equal(entry->payload, parts[1].payload));
    journal_entries_free(&entries);

    entries = kit_read(&kit, "test", 0, 0);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].payload.len, 0);
    journal_entries_free(&entries);
    entries = kit_read(&kit, "unknown", 0, 0);
    cr_assert_eq(entries.count, 0);
    journal_entries_free(&entries);
    cr_assert_eq(kit_stat(&kit).records, 6);
    free(large);
    kit_end(&kit);
}

Test(journal, reads_within_limits)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (unsigned i = 0; i < 20; i++) {
        kit_append_bytes(&kit, i % 2 ? "odd" : "even", 0, 1000, i);
    }
    static const struct {
        struct journal_read_limits limits;
        size_t count;
    } cases[] = {
        {{3500, 1000, 1000}, 3}, {{1, 1000, 1000}, 1},       {{1 << 20, 4, 1000}, 4},
        {{1 << 20, 1000, 5}, 5}, {{1 << 20, 1000, 100}, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct journal_entries entries = {0};
        struct err err = {0};
        cr_assert_eq(
            journal_read_lane(kit.journal, "odd", 0, 0, &cases[i].limits, &entries, &err),
            ERR_OK);
        cr_assert_eq(entries.count, cases[i].count, "case %zu: %zu", i, entries.count);
        journal_entries_free(&entries);
    }
    /* one after the other, the hint moving along */
    uint64_t after = 0;
    size_t seen = 0;
    for (;;) {
        struct journal_entries entries = {0};
        struct err err = {0};
        struct journal_read_limits one = {1, 1, 1};
        cr_assert_eq(
            journal_read_lane(kit.journal, "odd", 0, after, &one, &entries, &err),
            ERR_OK);
        if (entries.count == 0) {
            break;
        }
        cr_assert_eq(entries.count, 1);
        cr_assert_eq(entries.items[0].seq, after ? after + 2 : 2);
        cr_assert_eq(entries.items[0].running, ++seen);
        after = entries.items[0].seq;
        journal_entries_free(&entries);
    }
    cr_assert_eq(seen, 10);
    /* new entries after the lane stood idle */
    cr_assert_eq(kit_append(&kit, "even", 0, "x"), 21);
    cr_assert_eq(kit_append(&kit, "odd", 0, "y"), 22);
    struct journal_entries entries = kit_read(&kit, "odd", 0, after);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].seq, 22);
    journal_entries_free(&entries);
    kit_end(&kit);
}

enum { THREADS = 16, EACH = 200, ALL = THREADS * EACH };

struct producer {
    struct kit *kit;
    unsigned number;
    uint64_t seqs[EACH];
};

static void *produce(void *argument)
{
    struct producer *producer = argument;
    for (unsigned i = 0; i < EACH; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "producer %u batch %u", producer->number, i);
        struct journal_part part = {.stream = "mozi",
                                    .lane = producer->number % 3,
                                    .records = 1,
                                    .payload = slice_text(text)};
        struct journal_append append = {.parts = &part, .part_count = 1};
        if (journal_append_wait(producer->kit->journal, &append)) {
            return NULL;
        }
        producer->seqs[i] = append.first_seq;
    }
    return NULL;
}

Test(journal, commits_in_groups)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.clock = &clock_system;
    kit_open(&kit);
    static struct producer producers[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        producers[i] = (struct producer){.kit = &kit, .number = i};
        cr_assert_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    static bool seen[ALL + 1];
    struct journal_stat stat = kit_stat(&kit);
    cr_assert_eq(stat.next_seq, ALL + 1);
    cr_assert_lt(stat.commits, ALL, "each batch was committed alone");
    cr_assert_eq(stat.queue_bytes, 0);
    kit_reopen(&kit);
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned k = 0; k < EACH; k++) {
            uint64_t seq = producers[i].seqs[k];
            cr_assert(seq >= 1 && seq <= ALL && !seen[seq]);
            cr_assert(k == 0 || seq > producers[i].seqs[k - 1], "out of order");
            seen[seq] = true;
            char text[64];
            (void)snprintf(text, sizeof text, "producer %u batch %u", i, k);
            struct journal_entries entries = {0};
            struct err err = {0};
            cr_assert_eq(journal_read_entry(kit.journal, seq, &entries, &err), ERR_OK);
            cr_assert(slice_is(entries.items[0].payload, text));
            journal_entries_free(&entries);
        }
    }
    kit_end(&kit);
}

Test(journal, counts_run_along_each_lane)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (uint32_t i = 1; i <= 10; i++) {
        struct journal_part parts[] = {
            {.stream = "a", .lane = 0, .records = i, .payload = SLICE_LITERAL("x")},
            {.stream = "b", .lane = 0, .records = 100, .payload = SLICE_LITERAL("y")}};
        struct journal_append append = {.parts = parts, .part_count = 2};
        cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
        if (i == 5) {
            kit_reopen(&kit);
        }
    }
    struct journal_entries entries = kit_read(&kit, "a", 0, 0);
    cr_assert_eq(entries.count, 10);
    for (uint64_t i = 1; i <= 10; i++) {
        cr_assert_eq(entries.items[i - 1].running, i * (i + 1) / 2);
    }
    journal_entries_free(&entries);
    cr_assert_eq(kit_lane(&kit, "a", 0).running, 55);
    cr_assert_eq(kit_lane(&kit, "b", 0).running, 1000);
    kit_end(&kit);
}

Test(journal, keeps_done_marks)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (unsigned i = 0; i < 6; i++) {
        kit_append(&kit, i % 2 ? "b" : "a", 0, "payload");
    }
    cr_assert_neq(kit_lane(&kit, "a", 0).oldest_pending_at_us, 0);
    kit_done(&kit, 3);
    struct journal_lane lane = kit_lane(&kit, "a", 0);
    cr_assert_eq(lane.done.seq, 3);
    cr_assert_eq(lane.done_running, 2);
    cr_assert_eq(lane.last_seq, 5);
    cr_assert_eq(lane.oldest_seq, 1);
    kit_done(&kit, 1); /* only forward */
    cr_assert_eq(kit_lane(&kit, "a", 0).done.seq, 3);
    kit_reopen(&kit);
    cr_assert_eq(kit_lane(&kit, "a", 0).done.seq, 3);
    cr_assert_eq(kit_lane(&kit, "b", 0).done.seq, 0);
    kit_done(&kit, 5);
    cr_assert_eq(kit_lane(&kit, "a", 0).oldest_pending_at_us, 0);
    struct err err = {0};
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    cr_assert_eq(journal_lanes(kit.journal, &lanes, &count, &err), ERR_OK);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(lanes[0].stream, "a");
    cr_assert_str_eq(lanes[1].stream, "b");
    free(lanes);
    kit_end(&kit);
}

Test(journal, compares_positions_by_their_sum)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (unsigned i = 0; i < 4; i++) {
        kit_append(&kit, i % 2 ? "b" : "a", 0, "payload");
    }
    struct err err = {0};
    struct journal_position right = kit_position(&kit, 1);
    struct journal_position wrong = right;
    wrong.sum[5] ^= 1;
    struct journal_position beyond = {.seq = 99};
    struct journal_position others = kit_position(&kit, 2);
    struct journal_position nothing = {0};
    cr_assert_eq(journal_check_position(kit.journal, "a", 0, &right, &err), ERR_OK);
    cr_assert_eq(journal_check_position(kit.journal, "a", 0, &nothing, &err), ERR_OK);
    cr_assert_eq(journal_check_position(kit.journal, "a", 0, &wrong, &err), ERR_IDENTITY);
    cr_assert_eq(journal_check_position(kit.journal, "a", 0, &beyond, &err),
                 ERR_IDENTITY);
    cr_assert_eq(journal_check_position(kit.journal, "a", 0, &others, &err),
                 ERR_IDENTITY);
    cr_assert_eq(journal_check_position(kit.journal, "no", 0, &right, &err),
                 ERR_IDENTITY);
    cr_assert_eq(journal_mark_done(kit.journal, "a", 0, &wrong, &err), ERR_IDENTITY);
    cr_assert_eq(journal_mark_done(kit.journal, "a", 0, &others, &err), ERR_IDENTITY);
    cr_assert_eq(kit_lane(&kit, "a", 0).done.seq, 0);
    kit_end(&kit);
}

Test(journal, rewinds_durably)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (unsigned i = 0; i < 5; i++) {
        kit_append(&kit, "a", 0, "payload");
    }
    kit_done(&kit, 4);
    kit_commit(&kit);
    struct err err = {0};
    struct journal_position back = kit_position(&kit, 2);
    cr_assert_eq(journal_rewind(kit.journal, "a", 0, &back, &err), ERR_OK);
    struct journal_lane lane = kit_lane(&kit, "a", 0);
    cr_assert_eq(lane.done.seq, 2);
    cr_assert_eq(lane.done_running, 2);
    kit_reopen(&kit);
    cr_assert_eq(kit_lane(&kit, "a", 0).done.seq, 2);
    struct journal_position start = {0};
    cr_assert_eq(journal_rewind(kit.journal, "a", 0, &start, &err), ERR_OK);
    cr_assert_eq(kit_lane(&kit, "a", 0).done_running, 0);
    back.sum[0] ^= 1;
    cr_assert_eq(journal_rewind(kit.journal, "a", 0, &back, &err), ERR_IDENTITY);
    kit_end(&kit);
}

struct letters {
    unsigned count;
    uint64_t seqs[16];
    uint32_t indexes[16];
    enum journal_dead_state states[16];
    char reasons[16][32];
    char bytes[16][32];
    bool at_intake[16];
    unsigned stop_at;
};

static bool collect(const struct journal_dead_entry *entry, void *context)
{
    struct letters *letters = context;
    unsigned i = letters->count++;
    letters->seqs[i] = entry->seq;
    letters->indexes[i] = entry->letter.index;
    letters->states[i] = entry->state;
    letters->at_intake[i] = entry->at_intake;
    (void)snprintf(letters->reasons[i], 32, "%s", entry->letter.reason);
    (void)snprintf(letters->bytes[i], 32, "%.*s", (int)entry->letter.bytes.len,
                   entry->letter.bytes.data);
    return letters->count != letters->stop_at;
}

static struct letters visit_letters(struct kit *kit, uint64_t from, uint64_t to)
{
    struct letters letters = {0};
    struct err err = {0};
    cr_assert_eq(
        journal_dead_letters_visit(kit->journal, from, to, collect, &letters, &err),
        ERR_OK);
    return letters;
}

Test(journal, keeps_dead_letters)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    struct journal_dead_letter at_intake = {.index = 2,
                                            .at_us = 55,
                                            .reason = "bad_ip",
                                            .field = "ip",
                                            .detail = "not an address",
                                            .bytes = SLICE_LITERAL("{\"ip\":1}")};
    struct journal_part part = {.stream = "mozi",
                                .lane = 4,
                                .records = 3,
                                .payload = SLICE_LITERAL("rows"),
                                .dead = &at_intake,
                                .dead_count = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    struct journal_dead_letter later = {.index = 0,
                                        .reason = "too_long",
                                        .field = "isp",
                                        .detail = "",
                                        .bytes = SLICE_LITERAL("row 0")};
    struct err err = {0};
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &later, 1, &err), ERR_OK);
    later.reason = "other";
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &later, 1, &err), ERR_OK);
    struct journal_dead_letter conflict = later;
    conflict.index = 1;
    cr_assert_eq(journal_conflicts_add(kit.journal, 1, &conflict, 1, &err), ERR_OK);
    cr_assert_eq(journal_dead_letters_add(kit.journal, 9, &later, 1, &err),
                 ERR_NOT_FOUND);
    kit_reopen(&kit);
    struct letters letters = visit_letters(&kit, 1, 1);
    cr_assert_eq(letters.count, 3);
    cr_assert_eq(letters.indexes[0], 0);
    cr_assert_str_eq(letters.reasons[0], "too_long", "the first is kept as it is");
    cr_assert_not(letters.at_intake[0]);
    cr_assert_eq(letters.states[1], JOURNAL_DEAD_CONFLICT);
    cr_assert_str_eq(letters.bytes[2], "{\"ip\":1}");
    cr_assert(letters.at_intake[2]);
    cr_assert_eq(letters.states[2], JOURNAL_DEAD_KEPT);
    cr_assert_eq(visit_letters(&kit, 2, 9).count, 0);
    struct journal_stat stat = kit_stat(&kit);
    cr_assert_eq(stat.dead_letters, 2);
    cr_assert_gt(stat.dead_letter_bytes, 100);
    cr_assert_eq(kit_lane(&kit, "mozi", 4).rejected, 1);
    kit_end(&kit);
}

/* A dead letter leaves its record out of replay, a copy of a conflict doesn't: so it
 * takes the copy's place, and never the other way round. */
Test(journal, a_dead_letter_replaces_a_copy_of_a_conflict)
{
    struct kit kit;
    struct err err = {0};
    kit_start(&kit);
    kit_open(&kit);
    kit_append(&kit, "mozi", 0, "row");
    struct journal_dead_letter copy = {.reason = "conflict",
                                       .field = "",
                                       .detail = "",
                                       .bytes = SLICE_LITERAL("a long copy of the row")};
    struct journal_dead_letter letter = {
        .reason = "database", .field = "", .detail = "", .bytes = SLICE_LITERAL("row")};
    cr_assert_eq(journal_conflicts_add(kit.journal, 1, &copy, 1, &err), ERR_OK);
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &letter, 1, &err), ERR_OK);
    cr_assert_eq(journal_conflicts_add(kit.journal, 1, &copy, 1, &err), ERR_OK);
    struct letters letters = visit_letters(&kit, 1, 1);
    cr_assert_eq(letters.count, 1);
    cr_assert_eq(letters.states[0], JOURNAL_DEAD_KEPT);
    cr_assert_str_eq(letters.reasons[0], "database");
    cr_assert_eq(kit_stat(&kit).dead_letters, 1);
    uint64_t bytes = kit_stat(&kit).dead_letter_bytes;
    kit_append(&kit, "mozi", 0, "row");
    cr_assert_eq(journal_dead_letters_add(kit.journal, 2, &letter, 1, &err), ERR_OK);
    cr_assert_eq(kit_stat(&kit).dead_letter_bytes, 2 * bytes, "both take the same room");
    kit_end(&kit);
}

Test(journal, bounds_dead_letters_together)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.dead_letters_max = 2000;
    kit_open(&kit);
    char *bytes = kit_bytes(900, 1);
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = {bytes, 900}};
    struct journal_part part = {.stream = "s",
                                .records = 1,
                                .payload = SLICE_LITERAL("rows"),
                                .dead = &letter,
                                .dead_count = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    struct err err = {0};
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    letter.index = 1;
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &letter, 1, &err), ERR_OK);
    letter.index = 2;
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &letter, 1, &err), ERR_FULL);
    cr_assert_eq(journal_conflicts_add(kit.journal, 1, &letter, 1, &err), ERR_FULL);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_FULL);
    cr_assert_eq(kit_append(&kit, "s", 0, "without one"), 2, "nothing of it was written");
    cr_assert_eq(visit_letters(&kit, 1, 9).count, 2);
    free(bytes);
    kit_end(&kit);
}

Test(journal, keeps_settings)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    struct err err = {0};
    struct buf value = {0};
    cr_assert_eq(journal_setting_get(kit.journal, "paused", &value, &err), ERR_NOT_FOUND);
    cr_assert_eq(journal_setting_put(kit.journal, "paused", "yes", &err), ERR_OK);
    cr_assert_eq(journal_setting_put(kit.journal, "paused", "no", &err), ERR_OK);
    kit_reopen(&kit);
    cr_assert_eq(journal_setting_get(kit.journal, "paused", &value, &err), ERR_OK);
    cr_assert(slice_is(buf_slice(&value), "no"));
    buf_free(&value);
    cr_assert_eq(journal_setting_put(kit.journal, "", "no", &err), ERR_INVALID);
    kit_end(&kit);
}

static bool count_headers(const struct journal_entry *entry, void *context)
{
    uint64_t *count = context;
    cr_assert_eq(entry->payload.len, 0);
    cr_assert_eq(entry->seq, *count + 1);
    return ++*count != 250;
}

Test(journal, visits_headers)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    for (unsigned i = 0; i < 300; i++) {
        kit_append(&kit, "s", 0, "x");
    }
    uint64_t count = 0;
    struct err err = {0};
    cr_assert_eq(journal_visit(kit.journal, 1, count_headers, &count, &err), ERR_OK);
    cr_assert_eq(count, 250);
    kit_end(&kit);
}

static void refuse_done(struct journal_append *append)
{
    *(int *)append->context = (int)append->err.code;
}

Test(journal, refuses_what_is_out_of_bounds)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    char name[JOURNAL_STREAM_MAX + 2];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    struct journal_part part = {.stream = name, .payload = SLICE_LITERAL("x")};
    struct journal_append append = {.parts = &part, .part_count = 1};
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_INVALID);
    part.stream = "";
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_INVALID);
    part.stream = "s";
    append.part_count = 0;
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_INVALID);
    append.part_count = 1;
    char *large = kit_bytes(4 << 20, 1);
    part.payload = slice_of(large, 4 << 20);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_TOO_LARGE);
    free(large);
    int code = -1;
    append.done = refuse_done;
    append.context = &code;
    journal_submit(kit.journal, &append);
    cr_assert_eq(code, ERR_TOO_LARGE, "told on the caller's thread");
    name[JOURNAL_STREAM_MAX] = '\0';
    part.stream = name;
    part.payload = slice_text("x");
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    kit_end(&kit);
}

Test(journal, rewinding_an_unknown_lane_harms_nobody)
{
    struct kit kit;
    struct err err = {0};
    struct journal_position start = {0};
    kit_start(&kit);
    kit_open(&kit);
    kit_append(&kit, "mozi", 0, "row");
    cr_assert_eq(journal_rewind(kit.journal, "none", 7, &start, &err), ERR_NOT_FOUND);
    cr_assert_eq(journal_health(kit.journal, &err), ERR_OK);
    kit_append(&kit, "mozi", 0, "row");
    kit_end(&kit);
}

Test(journal, bounds_of_a_configuration)
{
    struct kit kit;
    struct err err;
    kit_start(&kit);
    struct journal_config config = kit.config;
    kit.config.path = NULL;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_INVALID);
    kit.config.path = "";
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_INVALID);
    kit.config = config;
    kit.config.clock = NULL;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_INVALID);
    kit.config = config;
    kit.config.size_max = (256 << 10) - 1;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_INVALID);
    cr_assert(strstr(err.message, "max_size"), "%s", err.message);
    kit.config.size_max++;
    kit_open(&kit);
    kit_end(&kit);
}

static void expect_refused(struct kit *kit, struct journal_part *part, const char *what)
{
    struct journal_append append = {.parts = part, .part_count = 1};
    cr_assert_eq(journal_append_wait(kit->journal, &append), ERR_INVALID, "%s", what);
    cr_assert(append.err.message[0]);
}

Test(journal, bounds_of_a_part)
{
    struct kit kit;
    struct journal_dead_letter letter = {.reason = "bad", .field = "", .detail = ""};
    struct journal_dead_place places[] = {{.seq = 3, .index = 1}, {.seq = 3, .index = 2}};
    const struct journal_part sound = {.stream = "s", .records = 2};
    struct journal_part part = sound;
    kit_start(&kit);
    kit_open(&kit);
    part.stream = NULL;
    expect_refused(&kit, &part, "no stream");
    part = sound;
    part.dead = &letter;
    part.dead_count = 3;
    expect_refused(&kit, &part, "more dead letters than records");
    part.dead_count = 1;
    letter.reason = NULL;
    expect_refused(&kit, &part, "no reason");
    letter = (struct journal_dead_letter){.reason = "bad", .detail = ""};
    expect_refused(&kit, &part, "no field");
    letter = (struct journal_dead_letter){.reason = "bad", .field = ""};
    expect_refused(&kit, &part, "no detail");
    letter.detail = "";
    part.retried = places;
    expect_refused(&kit, &part, "a retry with a dead letter of its own");
    part.dead_count = 0;
    places[1].index = 1;
    expect_refused(&kit, &part, "a place twice");
    places[1].seq = 2;
    expect_refused(&kit, &part, "places out of order");
    cr_assert_eq(kit_append(&kit, "s", 0, "row"), 1, "nothing was written");
    kit_end(&kit);
}

Test(journal, bounds_of_a_receipt_and_a_setting)
{
    static char text[JOURNAL_ANSWER_MAX + 1];
    static const uint8_t sum[16];
    struct kit kit;
    struct buf found = {0};
    uint64_t seq = 0;
    struct err err = {0};
    struct journal_part part = {.stream = "s", .records = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    memset(text, 'x', sizeof text - 1);
    kit_start(&kit);
    kit_open(&kit);
    append.receipt.scope_key = slice_of(text, JOURNAL_RECEIPT_KEY_MAX + 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_INVALID);
    cr_assert_eq(journal_receipt_find(kit.journal, append.receipt.scope_key, sum, &seq,
                                      &found, &err),
                 ERR_NOT_FOUND);
    cr_assert_eq(
        journal_receipt_find(kit.journal, slice_of("", 0), sum, &seq, &found, &err),
        ERR_NOT_FOUND);
    append.receipt.scope_key.len--;
    append.receipt.answer = slice_of(text, sizeof text);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_INVALID);
    append.receipt.answer.len--;
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);

    cr_assert_eq(journal_setting_put(kit.journal, text, "", &err), ERR_INVALID);
    cr_assert_eq(journal_setting_put(kit.journal, "a", text, &err), ERR_INVALID);
    cr_assert_eq(journal_setting_put(kit.journal, "", "", NULL), ERR_INVALID);
    cr_assert_eq(journal_setting_get(kit.journal, text, &found, &err), ERR_NOT_FOUND);
    cr_assert_eq(journal_setting_get(kit.journal, "", &found, &err), ERR_NOT_FOUND);
    kit_end(&kit);
}

/* ---- The queue ------------------------------------------------------------------- */

struct gate {
    sem_t entered;
    sem_t opened;
};

static void wait_at_gate(struct journal_append *append)
{
    struct gate *gate = append->context;
    (void)sem_post(&gate->entered);
    (void)sem_wait(&gate->opened);
}

static void count_done(struct journal_append *append)
{
    (void)sem_post(append->context);
}

/* The writer is kept busy by the first one's `done`. */
Test(journal, a_full_queue_takes_no_more)
{
    struct kit kit;
    struct gate gate;
    sem_t finished;
    struct journal_part part = {.stream = "s",
                                .records = 1,
                                .payload = SLICE_LITERAL("sixty bytes, or nearly so")};
    struct journal_append first = {
        .parts = &part, .part_count = 1, .done = wait_at_gate, .context = &gate};
    struct journal_append second = {
        .parts = &part, .part_count = 1, .done = count_done, .context = &finished};
    struct journal_append third = second;
    kit_start(&kit);
    kit.config.queue_bytes_max = 2 * part.payload.len - 1;
    kit_open(&kit);
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.opened, 0, 0);
    (void)sem_init(&finished, 0, 0);
    journal_submit(kit.journal, &first);
    (void)sem_wait(&gate.entered);
    journal_submit(kit.journal, &second);
    cr_assert_eq(kit_stat(&kit).queue_bytes, part.payload.len);
    journal_submit(kit.journal, &third);
    cr_assert_eq(third.err.code, ERR_BUSY, "told at once");
    cr_assert(strstr(third.err.message, "try again"), "%s", third.err.message);
    (void)sem_post(&gate.opened);
    (void)sem_wait(&finished);
    (void)sem_wait(&finished);
    cr_assert_eq(second.err.code, ERR_OK);
    cr_assert_eq(journal_append_wait(kit.journal, &third), ERR_OK, "there is room again");
    kit_end(&kit);
}

struct late {
    struct kit *kit;
    struct journal_append append;
    sem_t told;
    int setting;
    bool armed;
};

/* On the writer's thread, behind its last commit. */
static void come_late(void *context)
{
    struct late *late = context;
    if (late->armed) {
        late->armed = false;
        journal_submit(late->kit->journal, &late->append);
        late->setting = journal_setting_put(late->kit->journal, "a", "b", NULL);
    }
}

Test(journal, a_closing_one_takes_no_more)
{
    struct kit kit;
    struct journal_part part = {.stream = "s", .records = 1};
    struct late late = {
        .kit = &kit,
        .append = {
            .parts = &part, .part_count = 1, .done = count_done, .context = &late.told}};
    kit_start(&kit);
    kit_open(&kit);
    (void)sem_init(&late.told, 0, 0);
    uint64_t seq = kit_append(&kit, "s", 0, "row");
    journal_set_listener(kit.journal, come_late, &late);
    kit_done(&kit, seq); /* closing commits the mark */
    late.armed = true;
    kit_close(&kit);
    (void)sem_wait(&late.told);
    cr_assert_eq(late.append.err.code, ERR_CLOSED, "%s", late.append.err.message);
    cr_assert_eq(late.setting, ERR_CLOSED);
    kit_open(&kit);
    cr_assert_eq(kit_stat(&kit).next_seq, seq + 1);
    cr_assert_eq(kit_lane(&kit, "s", 0).done.seq, seq);
    kit_end(&kit);
}

/* Whoever wants no explanation gets the code all the same. */
Test(journal, an_error_without_an_explanation)
{
    struct kit kit;
    struct journal_position none = {0};
    kit_start(&kit);
    kit_open(&kit);
    cr_assert_eq(journal_rewind(kit.journal, "none", 7, &none, NULL), ERR_NOT_FOUND);
    cr_assert_eq(journal_health(kit.journal, NULL), ERR_OK);
    kit_end(&kit);
}

struct seen {
    uint64_t count;
    uint64_t until; /* stops there */
};

static bool count_in_order(const struct journal_dead_entry *entry, void *context)
{
    struct seen *seen = context;
    cr_assert_eq(entry->letter.index, seen->count);
    return ++seen->count < seen->until;
}

/* More than are copied out in one transaction. */
Test(journal, many_dead_letters_are_visited_in_order)
{
    enum { LETTERS = 200 };
    struct kit kit;
    struct journal_dead_letter letters[LETTERS];
    struct seen seen = {.until = UINT64_MAX};
    struct err err = {0};
    kit_start(&kit);
    kit_open(&kit);
    kit_append(&kit, "s", 0, "row");
    for (uint32_t i = 0; i < LETTERS; i++) {
        letters[i] = (struct journal_dead_letter){
            .index = i, .reason = "bad", .field = "", .detail = "", .bytes = {"row", 3}};
    }
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, letters, LETTERS, &err),
                 ERR_OK);
    cr_assert_eq(
        journal_dead_letters_visit(kit.journal, 1, 1, count_in_order, &seen, &err),
        ERR_OK);
    cr_assert_eq(seen.count, LETTERS);
    seen = (struct seen){.until = LETTERS / 2};
    cr_assert_eq(
        journal_dead_letters_visit(kit.journal, 1, 1, count_in_order, &seen, &err),
        ERR_OK);
    cr_assert_eq(seen.count, LETTERS / 2);
    kit_end(&kit);
}

Test(journal, a_path_with_slashes_behind_it_and_one_without_any)
{
    struct kit kit;
    char slashes[128];
    kit_start(&kit);
    (void)snprintf(slashes, sizeof slashes, "%s//", kit.path);
    kit.config.path = slashes;
    kit_open(&kit);
    kit_append(&kit, "s", 0, "row");
    kit_close(&kit);
    kit.config.path = kit.path;
    kit_open(&kit);
    cr_assert_eq(kit_stat(&kit).next_seq, 2);
    kit_close(&kit);
    cr_assert_eq(chdir(kit.directory), 0);
    kit.config.path = "another";
    kit_open(&kit);
    kit_close(&kit);
    cr_assert_eq(access("another/journal.id", F_OK), 0);
    kit_end(&kit);
}

/* As many handles as a process may have; none is left behind by the one that is refused.
 */
Test(journal, very_many_at_once_are_refused)
{
    enum { MOST = 64 };
    struct kit kit;
    struct journal *journals[MOST + 1] = {NULL};
    struct err err = {0};
    int rc = ERR_OK;
    size_t count = 0;
    kit_start(&kit);
    kit.config.size_max = 256 << 10;
    while (count <= MOST && !rc) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%zu", kit.directory, count);
        kit.config.path = path;
        rc = journal_open(&kit.config, true, &journals[count], &err);
        count += !rc;
    }
    cr_assert_eq(rc, ERR_LOCKED, "%s", err.message);
    cr_assert_eq(count, MOST);
    cr_assert(strstr(err.message, "too many"), "%s", err.message);
    journal_close(journals[0]);
    journals[0] = NULL;
    kit.config.path = kit.path;
    kit_open(&kit);
    for (size_t i = 0; i < count; i++) {
        journal_close(journals[i]);
    }
    kit_end(&kit);
}
