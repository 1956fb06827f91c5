#include "tests/journal_mending.h"

#include "journal/format.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES = 40, APPLIED = 12, SMALL = 60, LARGE = 5000 };

/* Each has a text of its own; each fifth lies on pages of its own. */
static void append(struct kit *kit, unsigned number)
{
    static char bytes[LARGE + 1];
    memset(bytes, '.', LARGE);
    int len = snprintf(bytes, sizeof bytes, "entry-%03u-", number);
    bytes[len] = '.';
    bytes[number % 5 ? SMALL : LARGE] = '\0';
    cr_assert_eq(kit_append(kit, "s", number % 2, bytes), number);
}

static void fill(struct kit *kit)
{
    struct err err = {0};
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "", .detail = "", .bytes = SLICE_LITERAL("lone row")};
    struct journal_part part = {.stream = "s", .records = 1, .payload = {"p", 1}};
    struct journal_append with_receipt = {
        .parts = &part,
        .part_count = 1,
        .receipt = {.scope_key = SLICE_LITERAL("key"), .answer = SLICE_LITERAL("a")}};
    kit_open(kit);
    for (unsigned i = 1; i <= ENTRIES; i++) {
        append(kit, i);
    }
    kit_done(kit, APPLIED - 1);
    kit_done(kit, APPLIED);
    cr_assert_eq(journal_dead_letters_add(kit->journal, 5, &letter, 1, &err), ERR_OK);
    cr_assert_eq(journal_append_wait(kit->journal, &with_receipt), ERR_OK);
    kit_close(kit);
}

/* Changes the byte `offset` behind the beginning of each place where the bytes are. */
static void spoil(const char *journal, struct slice bytes, long offset)
{
    char path[160];
    unsigned found = 0;
    (void)snprintf(path, sizeof path, "%s/data.mdb", journal);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t len = lseek(fd, 0, SEEK_END);
    char *all = malloc((size_t)len);
    cr_assert_eq(pread(fd, all, (size_t)len, 0), len);
    const char *at = all;
    while ((at = memmem(at, (size_t)(all + len - at), bytes.data, bytes.len))) {
        char byte = (char)(at[offset] ^ 0x10);
        cr_assert_eq(pwrite(fd, &byte, 1, at - all + offset), 1);
        found++;
        at++;
    }
    free(all);
    cr_assert_eq(close(fd), 0);
    cr_assert_gt(found, 0);
}

/* The record of the journal's id, which is in journal.id too. */
static void spoil_id(const char *journal, const char id[JOURNAL_ID_TEXT])
{
    char bytes[FORMAT_ID_LEN];
    for (size_t i = 0; i < sizeof bytes; i++) {
        char digits[3] = {id[2 * i], id[2 * i + 1], '\0'};
        bytes[i] = (char)strtol(digits, NULL, 16);
    }
    spoil(journal, slice_of(bytes, sizeof bytes), 0);
}

static void damage(const char *journal)
{
    enum { PAYLOAD = 0, HEADER = -26, WITHIN = 4 };
    uint8_t key[FORMAT_LANE_KEY_MAX];
    size_t len = format_lane_key(key, "s", 1);
    spoil(journal, SLICE_LITERAL("entry-005-"), PAYLOAD);
    spoil(journal, SLICE_LITERAL("entry-020-"), PAYLOAD);
    spoil(journal, SLICE_LITERAL("entry-025-"), HEADER);
    spoil(journal, SLICE_LITERAL("entry-031-"), HEADER);
    spoil(journal, SLICE_LITERAL("entry-032-"), HEADER);
    spoil(journal, SLICE_LITERAL("state"), (long)strlen("state") + WITHIN);
    spoil(journal, slice_of(key, len), (long)len + WITHIN);
}

static void note(struct mending *mending, const char *what, const struct err *err)
{
    if (!mending->broken[0]) {
        (void)snprintf(mending->broken, sizeof mending->broken, "%s: %s", what,
                       err->message);
    }
}

void mending_start(struct mending *mending)
{
    struct journal_repair made;
    struct err err = {0};
    *mending = (struct mending){0};
    struct kit *kit = &mending->kit;
    kit_start_in(kit, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    (void)snprintf(mending->damaged, sizeof mending->damaged, "%s/once", kit->directory);
    (void)snprintf(mending->target, sizeof mending->target, "%s/mended", kit->directory);
    fill(kit);
    spoil(kit->path, SLICE_LITERAL("entry-015-"), 0);
    int rc = journal_repair(kit->path, mending->damaged, true, NULL, &made, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert_eq(made.loss_count, 1);
    memcpy(mending->id, made.id, sizeof mending->id);
    journal_repair_free(&made);
    damage(mending->damaged);
    spoil_id(mending->damaged, mending->id);
    rc = journal_repair(mending->damaged, mending->target, false, NULL, &made, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert(made.state_lost);
    cr_assert_eq(made.lanes_lost, 1);
    cr_assert_geq(made.loss_count, 4);
    mending->lost = made.loss_count;
    journal_repair_free(&made);
}

static void report(const char *step, uint64_t bytes, uint64_t entries, void *context)
{
    (void)step;
    (void)bytes;
    (void)entries;
    (void)context;
}

void mending_run(struct mending *mending)
{
    const struct journal_progress progress = {.report = report};
    struct journal_repair made = {0};
    struct err err = {0};
    mending->broken[0] = '\0';
    mending->rc =
        journal_repair(mending->damaged, mending->target, true, &progress, &made, &err);
    if (mending->rc) {
        bool of_fault = err.code == ERR_NOMEM || err.code == ERR_IO;
        if ((int)err.code != mending->rc || !err.message[0] || !of_fault) {
            note(mending, err_name(err.code), &err);
        }
        return;
    }
    if (made.loss_count != mending->lost &&
        !(mending->unreadable && made.loss_count > mending->lost)) {
        note(mending, "other losses than there are", &err);
    }
    if (strcmp(made.id, mending->id) != 0 && !(mending->unreadable && made.id_lost)) {
        note(mending, "another id", &err);
    }
    if (!made.state_lost || !made.lanes_lost || !made.problem[0]) {
        note(mending, "a loss that is not told", &err);
    }
    journal_repair_free(&made);
}

void mending_check(struct mending *mending)
{
    struct journal_verify_result result;
    struct err err = {0};
    bool there = access(mending->target, F_OK) == 0;
    if (!there && !mending->rc) {
        note(mending, "nothing was made", &err);
    }
    if (there) {
        if (mending->rc && journal_verify(mending->target, NULL, NULL, &result, &err)) {
            note(mending, "what was made is not sound", &err);
        }
        kit_remove(mending->target);
    }
}

void mending_end(struct mending *mending)
{
    kit_end(&mending->kit);
}
