/* Damaged, truncated, emptied, swapped and newer journals are refused loudly. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_data(const struct kit *kit, int flags)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", kit->path);
    int fd = open(path, flags | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

/* Offset of `needle` in data.mdb; it must be there. */
static off_t find_in_data(const struct kit *kit, const char *needle)
{
    int fd = open_data(kit, O_RDONLY);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    const char *at = memmem(bytes, (size_t)len, needle, strlen(needle));
    cr_assert(at, "%s is not in the file", needle);
    off_t offset = at - bytes;
    free(bytes);
    cr_assert_eq(close(fd), 0);
    return offset;
}

static void flip(const struct kit *kit, off_t offset)
{
    int fd = open_data(kit, O_RDWR);
    char byte = 0;
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
    cr_assert_eq(close(fd), 0);
}

static void write_sentinel(const struct kit *kit, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/journal.id", kit->path);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
}

static bool never(const struct journal_dead_entry *entry, void *context)
{
    (void)context;
    cr_assert_fail("a damaged dead letter was shown: %s", entry->letter.reason);
    return false;
}

static void make(struct kit *kit)
{
    /* Large enough for pages of its own: a small one leaves old copies in the file. */
    static char hay[6000] = "the needle in the hay";
    memset(hay + strlen("the needle in the hay"), '.', 5900);
    kit_start(kit);
    kit_open(kit);
    kit_append(kit, "mozi", 0, "the first payload");
    kit_append_bytes(kit, "mozi", 0, 50000, 1);
    kit_append(kit, "mozi", 0, hay);
    kit_append(kit, "mozi", 0, "the last payload");
    kit_close(kit);
}

static int verify(const struct kit *kit, struct journal_verify_result *result,
                  struct err *err)
{
    *err = (struct err){0};
    return journal_verify(kit->path, NULL, NULL, result, err);
}

static void count_reports(const struct journal_verify_result *sofar, void *context)
{
    uint64_t *seen = context;
    cr_assert_geq(sofar->entries, *seen);
    *seen = sofar->entries;
}

Test(journal_damage, verify_finds_a_sound_one_sound)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("row")};
    struct journal_part part = {.stream = "a",
                                .records = 2,
                                .payload = SLICE_LITERAL("x"),
                                .dead = &letter,
                                .dead_count = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    append.receipt.scope_key = SLICE_LITERAL("key");
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    for (unsigned i = 0; i < 2500; i++) {
        kit_append(&kit, i % 3 ? "a" : "b", i % 2, "payload");
    }
    kit_done(&kit, 2000);
    kit_close(&kit);
    struct journal_verify_result result;
    struct err err = {0};
    uint64_t seen = 0;
    int rc = journal_verify(kit.path, count_reports, &seen, &result, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert_eq(seen, 2501);
    cr_assert_eq(result.entries, 2501);
    cr_assert_eq(result.records, 2502);
    cr_assert_eq(result.first_seq, 1);
    cr_assert_eq(result.last_seq, 2501);
    cr_assert_eq(result.problems, 0);
    kit_end(&kit);
}

Test(journal_damage, a_flipped_byte_of_a_payload_is_found)
{
    struct kit kit;
    make(&kit);
    flip(&kit, find_in_data(&kit, "needle in the hay"));
    struct journal_verify_result result;
    struct err err;
    cr_assert_eq(verify(&kit, &result, &err), ERR_CORRUPT);
    cr_assert_eq(result.first_bad_seq, 3);
    cr_assert_eq(result.problems, 1);
    cr_assert_eq(result.entries, 4, "what is behind it was read");
    kit_open(&kit);
    struct journal_entries entries = {0};
    cr_assert_eq(
        journal_read_lane(kit.journal, "mozi", 0, 0, &kit_no_limits, &entries, &err),
        ERR_CORRUPT);
    cr_assert(strstr(err.message, "entry 3"), "%s", err.message);
    cr_assert_eq(journal_read_entry(kit.journal, 3, &entries, &err), ERR_CORRUPT);
    cr_assert_eq(kit_state(&kit, 4), JOURNAL_ENTRY_FULL);
    kit_end(&kit);
}

Test(journal_damage, a_flipped_byte_of_a_header_is_found)
{
    struct kit kit;
    make(&kit);
    /* the stream's name, 24 bytes of sum and check before the payload */
    flip(&kit, find_in_data(&kit, "the needle") - 26);
    struct journal_verify_result result;
    struct err err;
    cr_assert_eq(verify(&kit, &result, &err), ERR_CORRUPT);
    cr_assert_eq(result.first_bad_seq, 3);
    kit_open(&kit);
    struct journal_entries entries = {0};
    cr_assert_eq(
        journal_read_lane(kit.journal, "mozi", 0, 0, &kit_no_limits, &entries, &err),
        ERR_CORRUPT);
    /* the code is the same for those who want no explanation */
    cr_assert_eq(
        journal_read_lane(kit.journal, "mozi", 0, 0, &kit_no_limits, &entries, NULL),
        ERR_CORRUPT);
    cr_assert_eq(journal_read_entry(kit.journal, 3, &entries, NULL), ERR_CORRUPT);
    kit_end(&kit);
}

Test(journal_damage, a_damaged_dead_letter_is_found)
{
    struct kit kit;
    make(&kit);
    kit_open(&kit);
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("lone row")};
    struct err err = {0};
    cr_assert_eq(journal_dead_letters_add(kit.journal, 1, &letter, 1, &err), ERR_OK);
    kit_close(&kit);
    flip(&kit, find_in_data(&kit, "lone row"));
    kit_open(&kit);
    cr_assert_eq(journal_dead_letters_visit(kit.journal, 1, 9, never, NULL, &err),
                 ERR_CORRUPT);
    cr_assert(strstr(err.message, "dead letter 1/0"), "%s", err.message);
    cr_assert_eq(journal_dead_letters_visit(kit.journal, 1, 9, never, NULL, NULL),
                 ERR_CORRUPT);
    kit_end(&kit);
}

/* What is due stays due when nobody does it any more: no reason to look all the time. */
Test(journal_damage, a_dead_journal_rests)
{
    enum { LOOK_US = 300000, OFTEN = 1000 };
    struct kit kit;
    make(&kit);
    flip(&kit, find_in_data(&kit, "the needle") - 26);
    kit.config.retain_us = 0;
    kit_open(&kit);
    kit_done(&kit, 4);
    journal_confirm(kit.journal, "mozi", 0, true);
    kit_pass(&kit, 1);
    struct err err = {0};
    cr_assert_neq(journal_setting_put(kit.journal, "a", "b", &err), ERR_OK);
    cr_assert_eq(journal_health(kit.journal, &err), ERR_CORRUPT);
    kit_pass(&kit, 3600LL * 1000000);
    uint64_t before = kit.clock.reads;
    while (kit.clock.reads == before) {
        usleep(1000);
    }
    before = kit.clock.reads;
    usleep(LOOK_US);
    cr_assert_lt(kit.clock.reads - before, OFTEN);
    kit_end(&kit);
}

Test(journal_damage, a_foreign_file_needs_no_explanation)
{
    struct kit kit;
    make(&kit);
    write_sentinel(&kit, "something else");
    cr_assert_eq(journal_open(&kit.config, true, &kit.journal, NULL), ERR_CORRUPT);
    kit_end(&kit);
}

/* Whatever byte is damaged: verify says so, or the byte means nothing; it never says
 * that all is well while giving other bytes than were appended. */
Test(journal_damage, verify_survives_any_damaged_page)
{
    struct kit kit;
    make(&kit);
    int fd = open_data(&kit, O_RDWR);
    off_t len = lseek(fd, 0, SEEK_END);
    static char saved[4096];
    static char ruined[4096];
    memset(ruined, 0xa5, sizeof ruined);
    unsigned found = 0;
    unsigned pages = 0;
    for (off_t at = 0; at + 4096 <= len; at += 4096) {
        cr_assert_eq(pread(fd, saved, sizeof saved, at), (ssize_t)sizeof saved);
        cr_assert_eq(pwrite(fd, ruined, sizeof ruined, at), (ssize_t)sizeof ruined);
        struct journal_verify_result result;
        struct err err;
        found += verify(&kit, &result, &err) != ERR_OK;
        pages++;
        cr_assert_eq(pwrite(fd, saved, sizeof saved, at), (ssize_t)sizeof saved);
    }
    struct journal_verify_result result;
    struct err err;
    cr_assert_eq(verify(&kit, &result, &err), ERR_OK, "%s", err.message);
    /* 13 pages of the large entry, the meta pages, a leaf of each database */
    cr_assert_geq(found, 16, "%u of %u", found, pages);
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_damage, a_truncated_file_is_refused)
{
    struct kit kit;
    make(&kit);
    kit_open(&kit);
    off_t len = (off_t)kit_stat(&kit).used_bytes;
    kit_close(&kit);
    /* Room ahead may be cut off, a page that is used may not. */
    int fd = open_data(&kit, O_RDWR);
    cr_assert_eq(ftruncate(fd, len - 4096), 0);
    struct err err;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    cr_assert(strstr(err.message, "cut off"), "%s", err.message);
    struct stat about;
    cr_assert_eq(fstat(fd, &about), 0);
    cr_assert_eq(about.st_size, len - 4096, "nothing was changed");
    struct journal_verify_result result;
    cr_assert_eq(verify(&kit, &result, &err), ERR_CORRUPT);
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_damage, a_page_size_that_is_none_is_refused)
{
    struct kit kit;
    make(&kit);
    static const uint8_t sizes[][4] = {{0, 0, 0, 0}, {1, 16, 0, 0}, {0, 0, 2, 0}};
    int fd = open_data(&kit, O_RDWR);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct err err;
        struct journal_verify_result result;
        cr_assert_eq(pwrite(fd, sizes[i], 4, 16 + 3 * sizeof(void *)), 4);
        cr_expect_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
        cr_expect(strstr(err.message, "page size"), "%s", err.message);
        cr_expect_eq(verify(&kit, &result, &err), ERR_CORRUPT);
    }
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_damage, an_emptied_file_is_no_fresh_journal)
{
    struct kit kit;
    make(&kit);
    int fd = open_data(&kit, O_RDWR | O_TRUNC);
    struct err err;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    cr_assert(strstr(err.message, "emptied"), "%s", err.message);
    struct stat about;
    cr_assert_eq(fstat(fd, &about), 0);
    cr_assert_eq(about.st_size, 0);
    cr_assert_eq(close(fd), 0);
    kit_end(&kit);
}

Test(journal_damage, a_missing_file_is_no_fresh_journal)
{
    struct kit kit;
    make(&kit);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/data.mdb", kit.path);
    cr_assert_eq(unlink(path), 0);
    struct err err;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    cr_assert(strstr(err.message, "missing"), "%s", err.message);
    cr_assert_eq(access(path, F_OK), -1, "none was made");
    kit_end(&kit);
}

Test(journal_damage, the_sentinel_is_compared)
{
    struct kit kit;
    make(&kit);
    struct err err;
    write_sentinel(&kit, "holdfast journal\nversion 3\nid 00\nmore\n");
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_VERSION);
    write_sentinel(&kit,
                   "holdfast journal\nversion 1\nid 00112233445566778899aabbccddeeff\n");
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    cr_assert(strstr(err.message, "two journals"), "%s", err.message);
    write_sentinel(&kit, "something else");
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/journal.id", kit.path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_CORRUPT);
    kit_end(&kit);
}

Test(journal_damage, a_second_writer_is_refused_by_pid)
{
    struct kit kit;
    kit_start(&kit);
    struct kit_program program = kit_run(&kit, "hold", 0);
    char byte = 0;
    cr_assert_eq(read(program.out, &byte, 1), 1);
    struct err err;
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_LOCKED);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "pid %d", (int)program.pid);
    cr_assert(strstr(err.message, pid), "%s", err.message);

    /* a reader beside it */
    cr_assert_eq(journal_open_reader(kit.path, &kit.journal, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_eq(kit_lane(&kit, "s", 0).last_seq, 1);
    struct journal_entries entries = kit_read(&kit, "s", 0, 0);
    cr_assert_eq(entries.count, 1);
    journal_entries_free(&entries);
    cr_assert_eq(kit_stat(&kit).next_seq, 2);
    cr_assert_eq(kit_try(&kit, "s", 0, SLICE_LITERAL("x"), NULL), ERR_INVALID);
    cr_assert_eq(journal_setting_put(kit.journal, "a", "b", &err), ERR_INVALID);
    struct journal_position none = {0};
    cr_assert_eq(journal_rewind(kit.journal, "s", 0, &none, &err), ERR_INVALID);
    cr_assert_eq(journal_mark_done(kit.journal, "s", 0, &none, &err), ERR_INVALID);
    kit_close(&kit);

    cr_assert_eq(kit_wait(&program), 0);
    kit_open(&kit);
    kit_end(&kit);
}

Test(journal_damage, one_process_opens_it_once)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    struct journal *second = NULL;
    struct err err = {0};
    cr_assert_eq(journal_open_reader(kit.path, &second, &err), ERR_LOCKED);
    cr_assert_eq(journal_open(&kit.config, false, &second, &err), ERR_LOCKED);
    kit_close(&kit);
    cr_assert_eq(journal_open_reader(kit.path, &second, &err), ERR_OK);
    journal_close(second);
    kit_end(&kit);
}
