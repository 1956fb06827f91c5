/* Copies, mending and new identities of journals that were really used, damaged, copied.
 */
#include "journal/format.h"
#include "journal/tools.h"
#include "tests/lane_kit.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void place(const struct kit *kit, const char *name, char out_path[128])
{
    (void)snprintf(out_path, 128, "%s/%s", kit->directory, name);
}

static int backup(const struct kit *kit, const char *target, struct err *err)
{
    struct journal_verify_result result;
    return journal_backup(kit->path, target, NULL, &result, err);
}

static void expect_backup(const struct kit *kit, const char *target)
{
    struct err err = {0};
    int rc = backup(kit, target, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
}

static struct journal *open_copy(const char *path)
{
    struct journal *copy = NULL;
    struct err err = {0};
    int rc = journal_open_reader(path, &copy, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return copy;
}

/* Files in the kit's directory: nothing half-made is left beside the journal. */
static size_t count_files(const struct kit *kit)
{
    DIR *dir = opendir(kit->directory);
    size_t count = 0;
    cr_assert(dir);
    for (struct dirent *item; (item = readdir(dir)) != NULL;) {
        count += item->d_name[0] != '.';
    }
    cr_assert_eq(closedir(dir), 0);
    return count;
}

static bool count_letter(const struct journal_dead_entry *entry, void *context)
{
    size_t *count = context;
    *count += slice_is(entry->letter.bytes, "lone row");
    return true;
}

/* ---- backup ---------------------------------------------------------------------- */

Test(journal_tools, a_backup_holds_all_that_the_journal_does)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "copy", target);
    kit_open(&kit);
    for (unsigned i = 0; i < 300; i++) {
        kit_append_bytes(&kit, i % 3 ? "mozi" : "test", i % 2, 10 + 37 * i, i);
    }
    kit_done(&kit, 200);
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("lone row")};
    struct err err = {0};
    cr_assert_eq(journal_dead_letters_add(kit.journal, 7, &letter, 1, &err), ERR_OK);
    cr_assert_eq(journal_setting_put(kit.journal, "paused", "yes", &err), ERR_OK);
    struct journal_lane lane = kit_lane(&kit, "mozi", 1);
    struct journal_stat stat = kit_stat(&kit);
    kit_close(&kit);
    expect_backup(&kit, target);

    struct journal *copy = open_copy(target);
    kit_open(&kit);
    cr_assert_str_eq(journal_id(copy), journal_id(kit.journal));
    for (uint64_t seq = 1; seq <= 300; seq++) {
        struct journal_entries there = {0};
        struct journal_entries here = {0};
        cr_assert_eq(journal_read_entry(copy, seq, &there, &err), ERR_OK);
        cr_assert_eq(journal_read_entry(kit.journal, seq, &here, &err), ERR_OK);
        cr_assert(slice_equal(there.items[0].payload, here.items[0].payload));
        cr_assert_arr_eq(there.items[0].sum, here.items[0].sum, JOURNAL_SUM_LEN);
        journal_entries_free(&there);
        journal_entries_free(&here);
    }
    struct journal_lane copied;
    struct journal_stat copied_stat;
    cr_assert_eq(journal_lane_get(copy, "mozi", 1, &copied, &err), ERR_OK);
    cr_assert_eq(copied.done.seq, lane.done.seq);
    cr_assert_eq(copied.running, lane.running);
    cr_assert_eq(journal_stat(copy, &copied_stat, &err), ERR_OK);
    cr_assert_eq(copied_stat.next_seq, stat.next_seq);
    cr_assert_eq(copied_stat.dead_letter_bytes, stat.dead_letter_bytes);
    size_t letters = 0;
    cr_assert_eq(journal_dead_letters_visit(copy, 1, 300, count_letter, &letters, &err),
                 ERR_OK);
    cr_assert_eq(letters, 1);
    struct buf value = {0};
    cr_assert_eq(journal_setting_get(copy, "paused", &value, &err), ERR_OK);
    cr_assert(slice_is(buf_slice(&value), "yes"));
    buf_free(&value);
    journal_close(copy);

    /* and it can be written to */
    kit_close(&kit);
    kit.config.path = target;
    kit_open(&kit);
    cr_assert_eq(kit_append(&kit, "mozi", 0, "next"), 301);
    kit_end(&kit);
}

Test(journal_tools, a_backup_while_entries_come)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "copy", target);
    struct kit_program program = kit_run(&kit, "append", 0);
    struct kit_ack ack = {0};
    uint64_t acknowledged = 0;
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(read(program.out, &ack, sizeof ack), (ssize_t)sizeof ack);
        acknowledged = ack.seq > acknowledged ? ack.seq : acknowledged;
    }
    expect_backup(&kit, target);
    cr_assert_eq(waitpid(program.pid, NULL, WNOHANG), 0, "it writes on");
    cr_assert_eq(kill(program.pid, SIGKILL), 0);
    (void)kit_wait(&program);

    struct journal_verify_result result;
    struct err err = {0};
    int rc = journal_verify(target, NULL, NULL, &result, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert_eq(result.first_seq, 1);
    cr_assert_geq(result.last_seq, acknowledged);
    struct journal *copy = open_copy(target);
    struct journal_stat stat;
    cr_assert_eq(journal_stat(copy, &stat, &err), ERR_OK);
    cr_assert_eq(stat.next_seq, result.last_seq + 1);
    journal_close(copy);
    kit_end(&kit);
}

Test(journal_tools, a_backup_of_stubs_and_of_nothing)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "empty", target);
    kit_open(&kit);
    kit_close(&kit);
    expect_backup(&kit, target);

    kit.config.retain_us = 0;
    kit_open(&kit);
    kit_append(&kit, "first", 0, "stays");
    for (int i = 0; i < 20; i++) {
        kit_append(&kit, "mozi", 0, "leaves");
    }
    kit_done(&kit, 21);
    journal_confirm(kit.journal, "mozi", 0, true);
    kit_pass(&kit, 120LL * 1000000);
    while (kit_state(&kit, 20) == JOURNAL_ENTRY_FULL) {
        kit_pass(&kit, 120LL * 1000000);
        kit_commit(&kit);
    }
    kit_close(&kit);
    place(&kit, "stubs", target);
    expect_backup(&kit, target);
    kit.config.path = target;
    kit_open(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL);
    cr_assert_eq(kit_state(&kit, 20), JOURNAL_ENTRY_EXPIRED);
    kit_end(&kit);
}

Test(journal_tools, a_backup_refuses_what_is_taken_or_damaged)
{
    struct kit kit;
    char target[128];
    char file[160];
    struct err err = {0};
    kit_start(&kit);
    place(&kit, "copy", target);
    kit_open(&kit);
    kit_append(&kit, "mozi", 0, "the needle");
    kit_close(&kit);
    expect_backup(&kit, target);
    cr_assert_eq(backup(&kit, target, &err), ERR_INVALID);
    cr_assert(strstr(err.message, "exists already"), "%s", err.message);
    size_t files = count_files(&kit);

    (void)snprintf(file, sizeof file, "%s/data.mdb", kit.path);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    const char *at = memmem(bytes, (size_t)len, "the needle", 10);
    cr_assert(at);
    cr_assert_eq(pwrite(fd, "!", 1, at - bytes), 1);
    cr_assert_eq(close(fd), 0);
    free(bytes);
    place(&kit, "other", target);
    cr_assert_eq(backup(&kit, target, &err), ERR_CORRUPT);
    cr_assert(strstr(err.message, "entry 1"), "%s", err.message);
    cr_assert_eq(count_files(&kit), files, "nothing half-made is left");
    kit_end(&kit);
}

static int open_data(const struct kit *kit)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", kit->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

/* Whatever page is garbage: the copy is sound, or there is none. */
Test(journal_tools, a_backup_of_any_damaged_page)
{
    static const char blank[4096];
    static char saved[4096];
    static char ruined[4096];
    struct kit kit;
    char target[128];
    size_t refused = 0;
    kit_start(&kit);
    place(&kit, "copy", target);
    kit_open(&kit);
    for (unsigned i = 0; i < 30; i++) {
        kit_append_bytes(&kit, "mozi", 0, i % 9 ? 400 : 9000, i);
    }
    kit_close(&kit);
    size_t files = count_files(&kit);
    memset(ruined, 0xa5, sizeof ruined);
    int fd = open_data(&kit);
    off_t len = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at + 4096 <= len; at += 4096) {
        struct err err = {0};
        cr_assert_eq(pread(fd, saved, sizeof saved, at), (ssize_t)sizeof saved);
        if (memcmp(saved, blank, sizeof saved) == 0) {
            continue;
        }
        cr_assert_eq(pwrite(fd, ruined, sizeof ruined, at), (ssize_t)sizeof ruined);
        int rc = backup(&kit, target, &err);
        cr_assert_eq(pwrite(fd, saved, sizeof saved, at), (ssize_t)sizeof saved);
        if (rc == ERR_OK) {
            kit_remove(target); /* it was verified */
        }
        refused += rc != ERR_OK;
        cr_assert(rc == ERR_OK || err.message[0]);
        cr_assert_eq(count_files(&kit), files, "nothing half-made is left");
    }
    cr_assert_geq(refused, 6, "%zu", refused);
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

enum { MANY = 600, EACH = 20000 };

/* So many that they don't go over in one piece, in one commit. */
static void append_many(struct kit *kit)
{
    static struct journal_part parts[MANY];
    char *bytes = kit_bytes(EACH, 1);
    for (size_t i = 0; i < MANY; i++) {
        parts[i] = (struct journal_part){
            .stream = "s", .records = 1, .payload = slice_of(bytes, EACH)};
    }
    struct journal_append append = {.parts = parts, .part_count = MANY};
    cr_assert_eq(journal_append_wait(kit->journal, &append), ERR_OK, "%s",
                 append.err.message);
    free(bytes);
}

/* A closed journal of many entries, and where its copy is to be. */
static void start_with_many(struct kit *kit, char target[128])
{
    kit_start(kit);
    place(kit, "copy", target);
    kit->config.size_max = 64 << 20;
    kit_open(kit);
    append_many(kit);
    kit_close(kit);
}

static void cut_off(const char *step, uint64_t bytes, uint64_t entries, void *context)
{
    const struct kit *kit = context;
    (void)step;
    (void)bytes;
    (void)entries;
    int fd = open_data(kit);
    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    cr_assert_eq(close(fd), 0);
}

/* Reading it ends the reader: that is what is said, and no copy is made. */
Test(journal_tools, a_backup_of_a_file_that_is_cut_off_meanwhile)
{
    struct kit kit;
    char target[128];
    struct journal_verify_result result;
    struct err err = {0};
    start_with_many(&kit, target);
    size_t files = count_files(&kit);
    struct journal_progress progress = {.report = cut_off, .context = &kit};
    cr_assert_eq(journal_backup(kit.path, target, &progress, &result, &err), ERR_CORRUPT,
                 "%s", err.message);
    cr_assert(strstr(err.message, "signal"), "%s", err.message);
    cr_assert(strstr(err.message, "journal repair"), "%s", err.message);
    cr_assert_eq(count_files(&kit), files);
    kit_end(&kit);
}

/* A limit on the size of files stands for a disk that is full. */
Test(journal_tools, a_backup_without_room_leaves_nothing)
{
    struct kit kit;
    char target[128];
    struct err err = {0};
    kit_start(&kit);
    place(&kit, "copy", target);
    kit_open(&kit);
    for (unsigned i = 0; i < 40; i++) {
        kit_append_bytes(&kit, "mozi", 0, 50000, i);
    }
    kit_close(&kit);
    size_t files = count_files(&kit);
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(backup(&kit, target, &err), ERR_IO, "%s", err.message);
    cr_assert_eq(count_files(&kit), files);
    kit_end(&kit);
}

struct leaving {
    struct kit *kit;
    unsigned up_to; /* 0: they have left */
};

/* The writer goes on while half of them are copied. */
static void let_them_leave(const char *step, uint64_t bytes, uint64_t entries,
                           void *context)
{
    struct leaving *leaving = context;
    (void)bytes;
    (void)entries;
    if (leaving->up_to && strcmp(step, "copy") == 0) {
        struct kit_program program = kit_run(leaving->kit, "expire", leaving->up_to);
        cr_assert_eq(kit_wait(&program), 0);
        leaving->up_to = 0;
    }
}

/* What was copied before the front moved past it is dropped: the copy is dense. */
static void back_up_while_they_leave(unsigned up_to)
{
    struct kit kit;
    char target[128];
    struct journal_verify_result result;
    struct err err = {0};
    start_with_many(&kit, target);
    struct leaving leaving = {.kit = &kit, .up_to = up_to};
    struct journal_progress progress = {.report = let_them_leave, .context = &leaving};
    int rc = journal_backup(kit.path, target, &progress, &result, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert_eq(leaving.up_to, 0);
    cr_assert_eq(result.entries, MANY - up_to);
    cr_assert_eq(result.first_seq, up_to < MANY ? up_to + 1 : 0);
    kit.config.path = target;
    kit_open(&kit);
    cr_assert_eq(kit_lane(&kit, "s", 0).done.seq, up_to);
    cr_assert_eq(kit_append(&kit, "s", 0, "next"), MANY + 1);
    kit_end(&kit);
}

Test(journal_tools, a_backup_while_its_first_entries_leave)
{
    back_up_while_they_leave(MANY - 100);
}

Test(journal_tools, a_backup_while_all_entries_leave)
{
    back_up_while_they_leave(MANY);
}

/* ---- adopt ----------------------------------------------------------------------- */

static struct journal_adoption adopt(struct kit *kit)
{
    struct journal_adoption adoption = {0};
    struct err err = {0};
    int rc = journal_adopt(kit->journal, &adoption, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return adoption;
}

/* The copy takes the journal's place. */
static void restore(const struct kit *kit, const char *copy)
{
    char old[128];
    place(kit, "old", old);
    cr_assert_eq(rename(kit->path, old), 0);
    cr_assert_eq(rename(copy, kit->path), 0);
}

Test(journal_tools, a_restored_journal_is_adopted_and_replayed)
{
    struct lane_kit kit;
    char copy[128];
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, "gbgg"));
    lane_kit_stop(&kit);
    kit_close(&kit.journal);
    place(&kit.journal, "copy", copy);
    expect_backup(&kit.journal, copy);
    kit_open(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 8, 4, NULL));
    lane_kit_stop(&kit);
    kit_close(&kit.journal);

    restore(&kit.journal, copy);
    kit_open(&kit.journal);
    lane_kit_append(&kit, mozi, 0, 100, 4, NULL);
    lane_kit_run(&kit);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_IDENTITY, "%s", stopped.err.message);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_stop(&kit);

    struct journal_adoption adoption = adopt(&kit.journal);
    cr_assert_str_neq(adoption.id, adoption.id_before);
    cr_assert_eq(adoption.lane_count, 1);
    cr_assert_eq(adoption.lanes[0].entries, 3);
    cr_assert_eq(adoption.lanes[0].records, 12);
    cr_assert_eq(adoption.lanes[0].gone, 0);
    kit_reopen(&kit.journal);
    cr_assert_str_eq(journal_id(kit.journal.journal), adoption.id);
    journal_adoption_free(&adoption);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 3);
    cr_assert_eq(fake_events(kit.database), 16);
    cr_assert_eq(kit_lane(&kit.journal, "mozi", 0).running, 12);
    lane_kit_end(&kit);
}

/* What is no longer held doesn't stop the lane; it is counted. */
Test(journal_tools, an_adopted_journal_begins_where_its_entries_do)
{
    struct lane_kit kit;
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    kit.journal.config.retain_us = 1000;
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_append(&kit, mozi, 0, 0, 4, NULL);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 4, 4, NULL));
    kit_pass(&kit.journal, 3600LL * 1000000);
    uint64_t held = lane_kit_append(&kit, mozi, 0, 8, 4, NULL);
    lane_kit_await_done(&kit, mozi, 0, held);
    while (kit_state(&kit.journal, 2) != -1) {
        kit_commit(&kit.journal);
    }
    lane_kit_stop(&kit);
    struct journal_adoption adoption = adopt(&kit.journal);
    cr_assert_eq(adoption.lanes[0].entries, 1);
    cr_assert_eq(adoption.lanes[0].gone, 8);
    cr_assert_eq(adoption.lanes[0].gone_to, 2);
    journal_adoption_free(&adoption);
    kit_reopen(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await(&kit, "gap_passed", 1);
    lane_kit_await_done(&kit, mozi, 0, held);
    cr_assert_eq(fake_events(kit.database), 12);
    lane_kit_end(&kit);
}

static void read_id(const struct kit *kit, char out_text[128])
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/journal.id", kit->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, out_text, 127);
    cr_assert_gt(len, 0);
    out_text[len] = '\0';
    cr_assert_eq(close(fd), 0);
}

/* The id is committed, journal.id still names the old one. */
Test(journal_tools, a_crash_within_adopt_is_made_good)
{
    struct kit kit;
    char before[128];
    char after[128];
    char now[128];
    char path[128];
    struct err err = {0};
    kit_start(&kit);
    kit_open(&kit);
    kit_done(&kit, kit_append(&kit, "mozi", 0, "applied"));
    read_id(&kit, before);
    struct journal_adoption adoption = adopt(&kit);
    kit_close(&kit);
    read_id(&kit, after);
    cr_assert_str_neq(before, after);
    (void)snprintf(path, sizeof path, "%s/journal.id", kit.path);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, before, strlen(before)), (ssize_t)strlen(before));
    cr_assert_eq(close(fd), 0);

    struct journal *reader = open_copy(kit.path);
    cr_assert_str_eq(journal_id(reader), adoption.id);
    journal_close(reader);
    struct journal_verify_result result;
    cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_OK);
    read_id(&kit, now);
    cr_assert_str_eq(now, before, "a reader changes nothing");
    kit_open(&kit);
    cr_assert_str_eq(journal_id(kit.journal), adoption.id);
    read_id(&kit, now);
    cr_assert_str_eq(now, after, "a writer does");
    cr_assert_eq(kit_lane(&kit, "mozi", 0).done.seq, 0);
    journal_adoption_free(&adoption);
    kit_end(&kit);
}

/* ---- repair ---------------------------------------------------------------------- */

/* Changes the byte `offset` behind each place of `needle`; how many there were. */
static unsigned spoil(const struct kit *kit, const char *needle, off_t offset)
{
    int fd = open_data(kit);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    unsigned found = 0;
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    const char *at = bytes;
    while ((at = memmem(at, (size_t)(bytes + len - at), needle, strlen(needle)))) {
        char byte = (char)(at[offset] ^ 0x10);
        cr_assert_eq(pwrite(fd, &byte, 1, at - bytes + offset), 1);
        found++;
        at++;
    }
    free(bytes);
    cr_assert_eq(close(fd), 0);
    return found;
}

static struct journal_repair repair(const struct kit *kit, const char *target)
{
    struct journal_repair made;
    struct err err = {0};
    int rc = journal_repair(kit->path, target, true, NULL, &made, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return made;
}

enum { ENTRIES = 60, APPLIED = 30, LARGE = 33 };

/* Entries of two streams and three lanes, small ones in leaves and large ones on pages
 * of their own, half of them applied; dead letters, receipts, a setting. */
static void fill(struct kit *kit)
{
    kit_open(kit);
    for (unsigned i = 1; i <= ENTRIES; i++) {
        kit_append_bytes(kit, i % 4 ? "mozi" : "test", i % 4 % 2,
                         i == LARGE ? 30000 : 100 + i * 7 % 1500, i);
    }
    for (unsigned i = 27; i <= APPLIED; i++) {
        kit_done(kit, i);
    }
    struct err err = {0};
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("lone row")};
    cr_assert_eq(journal_dead_letters_add(kit->journal, 5, &letter, 1, &err), ERR_OK);
    cr_assert_eq(journal_setting_put(kit->journal, "paused", "yes", &err), ERR_OK);
    kit_close(kit);
}

/* Each entry is there as it was, or it is named as lost. */
static void expect_accounted(const char *path, const struct journal_repair *made)
{
    struct journal *journal = open_copy(path);
    size_t lost = 0;
    for (unsigned i = 1; i <= ENTRIES; i++) {
        struct journal_entries entries = {0};
        struct err err = {0};
        size_t len = i == LARGE ? 30000 : 100 + i * 7 % 1500;
        int rc = journal_read_entry(journal, i, &entries, &err);
        if (rc == ERR_NOT_FOUND && i <= APPLIED && i < made->result.first_seq) {
            cr_assert_gt(made->unread, 0);
            continue; /* before the first one: it could have expired */
        }
        cr_assert(rc == ERR_OK, "entry %u: %s", i, err.message);
        if (entries.items[0].state == JOURNAL_ENTRY_FULL) {
            char *bytes = kit_bytes(len, i);
            cr_assert(slice_equal(entries.items[0].payload, slice_of(bytes, len)));
            free(bytes);
        } else {
            cr_assert_eq(entries.items[0].state, JOURNAL_ENTRY_GAP);
            cr_assert_lt(lost, made->loss_count);
            cr_assert_eq(made->losses[lost].seq, i);
            lost++;
        }
        journal_entries_free(&entries);
    }
    cr_assert_eq(lost, made->loss_count);
    journal_close(journal);
}

Test(journal_tools, nothing_is_lost_of_a_sound_journal)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "mended", target);
    fill(&kit);
    struct journal_repair made = repair(&kit, target);
    cr_assert_not(journal_repair_lost(&made));
    cr_assert_eq(made.result.entries, ENTRIES);
    expect_accounted(target, &made);
    kit_open(&kit);
    struct journal_lane lane = kit_lane(&kit, "mozi", 1);
    cr_assert_str_eq(made.id, journal_id(kit.journal));
    kit_close(&kit);
    journal_repair_free(&made);
    kit.config.path = target;
    kit_open(&kit);
    cr_assert_eq(kit_lane(&kit, "mozi", 1).done.seq, lane.done.seq);
    cr_assert_eq(kit_stat(&kit).dead_letters, 1);
    cr_assert_eq(kit_append(&kit, "mozi", 1, "next"), ENTRIES + 1);
    kit_end(&kit);
}

/* The plan leaves nothing behind. */
Test(journal_tools, a_plan_of_a_repair_makes_nothing)
{
    struct kit kit;
    char target[128];
    struct journal_repair made;
    struct err err = {0};
    kit_start(&kit);
    place(&kit, "mended", target);
    kit_open(&kit);
    kit_append(&kit, "mozi", 0, "the needle");
    kit_close(&kit);
    cr_assert_geq(spoil(&kit, "the needle", 0), 1);
    size_t files = count_files(&kit);
    cr_assert_eq(journal_repair(kit.path, target, false, NULL, &made, &err), ERR_OK, "%s",
                 err.message);
    cr_assert(journal_repair_lost(&made));
    cr_assert_eq(made.loss_count, 1);
    cr_assert_eq(made.losses[0].seq, 1);
    cr_assert_str_eq(made.losses[0].stream, "mozi");
    cr_assert_eq(made.losses[0].pending, 1);
    cr_assert_eq(made.losses[0].received_at_us, kit.clock.wall_us);
    journal_repair_free(&made);
    cr_assert_eq(count_files(&kit), files);

    kit_open(&kit);
    struct journal_repair other;
    cr_assert_eq(journal_repair(kit.path, target, true, NULL, &other, &err), ERR_LOCKED);
    kit_end(&kit);
}

enum { PAGE = 4096 };

/* What is made is sound, and tells of every entry; true where something is lost. */
static bool expect_repaired(const struct kit *kit, const char *name)
{
    char target[128];
    place(kit, name, target);
    struct journal_repair made = repair(kit, target);
    bool lost = journal_repair_lost(&made);
    expect_accounted(target, &made);
    cr_assert_leq(made.loss_count, 25, "%s: %zu", name, made.loss_count);
    journal_repair_free(&made);
    return lost;
}

static void write_page(int fd, const char page[PAGE], off_t at)
{
    cr_assert_eq(pwrite(fd, page, PAGE, at), PAGE);
}

/* Every page in turn that something was ever written to is overwritten; then all at once
 * that nothing was, which there are many of. */
static void ruin_each_page(char fill_byte)
{
    static const char blank[PAGE];
    static char saved[PAGE];
    static char ruined[PAGE];
    struct kit kit;
    kit_start(&kit);
    fill(&kit);
    memset(ruined, fill_byte, sizeof ruined);
    int fd = open_data(&kit);
    off_t len = lseek(fd, 0, SEEK_END);
    size_t damaged = 0;
    for (off_t at = 0; at + PAGE <= len; at += PAGE) {
        char name[32];
        (void)snprintf(name, sizeof name, "mended-%ld", (long)(at / PAGE));
        cr_assert_eq(pread(fd, saved, PAGE, at), PAGE);
        if (memcmp(saved, blank, PAGE) != 0) {
            write_page(fd, ruined, at);
            damaged += expect_repaired(&kit, name);
            write_page(fd, saved, at);
        }
    }
    cr_assert_geq(damaged, 8, "%zu", damaged);
    for (off_t at = 0; at + PAGE <= len; at += PAGE) {
        cr_assert_eq(pread(fd, saved, PAGE, at), PAGE);
        if (memcmp(saved, blank, PAGE) == 0) {
            write_page(fd, ruined, at);
        }
    }
    cr_assert_not(expect_repaired(&kit, "mended"));
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_tools, a_repair_of_any_zeroed_page)
{
    ruin_each_page(0);
}

Test(journal_tools, a_repair_of_any_page_of_garbage)
{
    ruin_each_page((char)0xa5);
}

static bool is_sound(const struct kit *kit)
{
    struct journal_verify_result result;
    struct err err = {0};
    int rc = journal_verify(kit->path, NULL, NULL, &result, &err);
    return rc == ERR_OK;
}

/* Every page in turn is what the page so much further on is: a write that went astray, or
 * one that was lost, so that an older page is still there. */
static void misplace_each_page(size_t further)
{
    enum { PAGES_MAX = 64 };
    static const char blank[PAGE];
    static char pages[PAGES_MAX][PAGE];
    struct kit kit;
    size_t count = 0;
    kit_start(&kit);
    fill(&kit);
    int fd = open_data(&kit);
    while (count < PAGES_MAX &&
           pread(fd, pages[count], PAGE, (off_t)(count * PAGE)) == PAGE &&
           memcmp(pages[count], blank, PAGE) != 0) {
        count++;
    }
    cr_assert_gt(count, 2 * further);
    for (size_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "mended-%zu", i);
        write_page(fd, pages[(i + further) % count], (off_t)(i * PAGE));
        bool sound = is_sound(&kit);
        bool lost = expect_repaired(&kit, name);
        cr_assert(!lost || !sound, "%s is lost, and verify didn't see it", name);
        write_page(fd, pages[i], (off_t)(i * PAGE));
    }
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_tools, a_repair_of_any_page_that_is_its_neighbour)
{
    misplace_each_page(1);
}

Test(journal_tools, a_repair_of_any_page_that_is_another)
{
    misplace_each_page(12);
}

Test(journal_tools, a_repair_of_a_file_that_was_cut_off)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "mended", target);
    fill(&kit);
    kit_open(&kit);
    off_t len = (off_t)kit_stat(&kit).used_bytes;
    kit_close(&kit);
    int fd = open_data(&kit);
    cr_assert_eq(ftruncate(fd, len / 2 / 4096 * 4096), 0);
    cr_assert_eq(close(fd), 0);
    struct journal_repair made = repair(&kit, target);
    cr_assert(journal_repair_lost(&made));
    cr_assert_gt(made.result.entries, 5);
    journal_repair_free(&made);
    kit.config.path = target;
    kit_open(&kit);
    kit_end(&kit);
}

enum { HALF = 33000, LAST = 66000, DONE = LAST - 5, FROM = 11, TO = LAST - 20 };

static void append_half(struct kit *kit)
{
    struct journal_part *parts = calloc(HALF, sizeof *parts);
    cr_assert(parts);
    for (size_t i = 0; i < HALF; i++) {
        parts[i] = (struct journal_part){
            .stream = "s", .records = 1, .payload = SLICE_LITERAL("row")};
    }
    struct journal_append append = {.parts = parts, .part_count = HALF};
    cr_assert_eq(journal_append_wait(kit->journal, &append), ERR_OK, "%s",
                 append.err.message);
    free(parts);
}

/* Each copy of the headers of entries FROM to TO. */
static void spoil_headers(const struct kit *kit)
{
    enum { STREAM_AT = 101 };
    int fd = open_data(kit);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    /* not memmem, of which ThreadSanitizer marks all that it was given, each time */
    for (char *at = bytes; (at = memchr(at, 'H', (size_t)(bytes + len - at))); at++) {
        struct entry_header header;
        struct slice value = {at, format_header_len(strlen("s")) + strlen("row")};
        bool whole = at + value.len <= bytes + len &&
                     format_entry_decode(value, &header, NULL) == ERR_OK;
        if (whole && header.seq >= FROM && header.seq <= TO) {
            at[STREAM_AT] ^= 1;
        }
    }
    cr_assert_eq(pwrite(fd, bytes, (size_t)len, 0), len);
    free(bytes);
    cr_assert_eq(close(fd), 0);
}

/* A gap for each would be more than there is to keep: the applied ones before them go. */
Test(journal_tools, a_repair_that_lost_very_many_applied_entries_begins_behind_them)
{
    struct kit kit;
    char target[128];
    kit_start(&kit);
    place(&kit, "mended", target);
    kit.config.size_max = 64 << 20;
    kit_open(&kit);
    append_half(&kit);
    append_half(&kit);
    kit_done(&kit, DONE);
    kit_close(&kit);
    spoil_headers(&kit);
    struct journal_repair made = repair(&kit, target);
    cr_assert_eq(made.result.first_seq, TO, "the one that its successor knows is a gap");
    cr_assert_eq(made.loss_count, 1);
    cr_assert_eq(made.result.last_seq, LAST);
    cr_assert_eq(made.dropped, FROM - 1);
    cr_assert_eq(made.pending, 0);
    cr_assert(journal_repair_lost(&made));
    journal_repair_free(&made);
    kit.config.path = target;
    kit_open(&kit);
    struct journal_entries entries = kit_read(&kit, "s", 0, DONE);
    cr_assert_eq(entries.count, (size_t)5, "what is pending is there");
    journal_entries_free(&entries);
    kit_end(&kit);
}

/* A lane stops at the gap, and goes on once that is accepted; nothing else is lost. */
Test(journal_tools, a_repaired_journal_is_replayed_but_for_what_is_lost)
{
    struct lane_kit kit;
    char mended[128];
    char old[128];
    lane_kit_start(&kit);
    size_t mozi = lane_kit_stream(&kit, "mozi", 1, CONFLICT_COUNT);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, lane_kit_append(&kit, mozi, 0, 0, 4, NULL));
    lane_kit_stop(&kit);
    lane_kit_append(&kit, mozi, 0, 4, 4, NULL);
    lane_kit_append(&kit, mozi, 0, 8, 4, NULL);
    lane_kit_append(&kit, mozi, 0, 12, 4, NULL);
    kit_close(&kit.journal);
    place(&kit.journal, "mended", mended);
    place(&kit.journal, "old", old);
    /* each copy of entry 3's header */
    int fd = open_data(&kit.journal);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    for (off_t at = 0; at + 200 < len; at++) {
        if (memcmp(bytes + at, "HFEN", 4) == 0 && bytes[at + 8] == 3) {
            cr_assert_eq(pwrite(fd, "!", 1, at + 30), 1);
        }
    }
    free(bytes);
    cr_assert_eq(close(fd), 0);
    struct journal_repair made = repair(&kit.journal, mended);
    cr_assert_eq(made.loss_count, 1);
    cr_assert_eq(made.losses[0].seq, 3);
    cr_assert_str_eq(made.losses[0].stream, "mozi");
    cr_assert_eq(made.losses[0].records, 4);
    cr_assert_eq(made.losses[0].pending, 4);
    cr_assert_eq(made.pending, 4);
    journal_repair_free(&made);
    cr_assert_eq(rename(kit.journal.path, old), 0);
    cr_assert_eq(rename(mended, kit.journal.path), 0);

    kit_open(&kit.journal);
    lane_kit_run(&kit);
    lane_kit_await_done(&kit, mozi, 0, 2);
    struct lane_kit_event stopped = lane_kit_await(&kit, "lane_stopped", 1);
    cr_assert_eq(stopped.err.code, ERR_GAP, "%s", stopped.err.message);
    struct journal_gap gap;
    struct err err = {0};
    cr_assert_eq(replay_gap_find(kit.replay, "mozi", 0, &gap, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_eq(gap.to.seq, 3);
    cr_assert_eq(gap.records, 4);
    cr_assert_eq(replay_gap_accept(kit.replay, "mozi", 0, &gap.to, &err), ERR_OK);
    lane_kit_await_done(&kit, mozi, 0, 4);
    cr_assert_eq(fake_events(kit.database), 12);
    cr_assert_eq(fake_ledger(kit.database, "mozi", 0).given_up, 4);
    lane_kit_end(&kit);
}
