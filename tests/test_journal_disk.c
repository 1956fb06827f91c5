/* A disk that the journal itself has filled, a real and small one: a tmpfs and an ext4 of
 * their own, in a mount namespace that ends with the test. Where they can't be mounted
 * the test says NOT RUN. */
#include "journal/store.h"
#include "tests/journal_kit.h"
#include "tests/process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ENTRY = 20000,
    TMPFS_MIB = 6,
    EXT4_MIB = 16, /* 4 of them for its own log */
    RESERVE = 1 << 20,
    COMMAND_TIMEOUT_MS = 20000,
};

enum disk { TMPFS, EXT4 };

static bool command(const char *const *argv, const char *log)
{
    pid_t pid = 0;
    int exit_code = -1;
    struct err err = {0};
    if (process_start(argv, log, SIGKILL, &pid, &err) != ERR_OK) {
        return false;
    }
    if (!process_wait(pid, COMMAND_TIMEOUT_MS, &exit_code)) {
        process_kill(pid);
    }
    return exit_code == 0;
}

/* The image lies on a tmpfs of its own, which goes with the namespace too. */
static bool mount_ext4(const struct kit *kit)
{
    char image[128];
    char log[128];
    (void)snprintf(image, sizeof image, "%s/image", kit->directory);
    (void)snprintf(log, sizeof log, "%s/log", kit->directory);
    int fd = open(image, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool made = fd >= 0 && ftruncate(fd, (off_t)EXT4_MIB << 20) == 0;
    if (fd >= 0) {
        made = close(fd) == 0 && made;
    }
    const char *make[] = {
        "mkfs.ext4", "-q",     "-F", "-m",   "0",   "-E", "lazy_itable_init=0",
        "-J",        "size=4", "-b", "4096", image, NULL};
    const char *attach[] = {"mount", "-o", "loop", image, kit->directory, NULL};
    return made && command(make, log) && command(attach, log);
}

/* A kit whose journal has a small disk of its own, and a map that is much larger. */
static void start_disk(struct kit *kit, enum disk disk)
{
    char size[32];
    kit_start(kit);
    kit->config.size_max = 64 << 20;
    kit->config.reserve = RESERVE;
    (void)snprintf(size, sizeof size, "size=%dM,mode=0700",
                   disk == TMPFS ? TMPFS_MIB : 2 * EXT4_MIB);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("holdfast-small", kit->directory, "tmpfs", 0, size) != 0 ||
        (disk == EXT4 && !mount_ext4(kit))) {
        (void)fprintf(stderr, "NOT RUN: no small file system can be mounted here: %s\n",
                      strerror(errno));
        cr_skip_test("no small file system can be mounted here");
    }
}

static void start(struct kit *kit, enum disk disk)
{
    start_disk(kit, disk);
    kit_open(kit);
}

/* And a file of others that may take what is left. */
static void start_beside(struct kit *kit, enum disk disk, char ballast[128])
{
    start(kit, disk);
    (void)snprintf(ballast, 128, "%s/ballast", kit->directory);
}

static void end(struct kit *kit)
{
    struct err err = {0};
    cr_expect_eq(journal_health(kit->journal, &err), ERR_OK, "%s", err.message);
    kit_close(kit);
    while (umount2(kit->directory, 0) == 0) {
    }
    kit_end(kit);
}

/* Appends until it is refused; the newest seq, and how many bytes went in. */
static uint64_t fill(struct kit *kit, size_t len, uint64_t *out_bytes)
{
    char *bytes = kit_bytes(len, 3);
    uint64_t seq = 0;
    int rc;
    *out_bytes = 0;
    do {
        rc = kit_try(kit, "s", 0, slice_of(bytes, len), &seq);
        *out_bytes += rc == ERR_OK ? len : 0;
    } while (rc == ERR_OK && *out_bytes < (uint64_t)64 << 20);
    free(bytes);
    cr_assert_eq(rc, ERR_FULL, "%s", err_name((enum err_code)rc));
    cr_assert(kit_stat(kit).refusing, "refused, and the status doesn't say so");
    return seq;
}

/* All that is not marked as done is there. */
static void expect_kept(struct kit *kit, uint64_t done, uint64_t last)
{
    struct journal_entries entries = kit_read(kit, "s", 0, done);
    cr_assert_eq(entries.count, last - done);
    journal_entries_free(&entries);
}

static void mark_done(struct kit *kit, uint64_t seq)
{
    kit_done(kit, seq);
    journal_confirm(kit->journal, "s", 0, true);
}

static void fill_and_drain(enum disk disk, size_t len, unsigned rounds)
{
    struct kit kit;
    uint64_t first = 0;
    uint64_t done = 0;
    start(&kit, disk);
    uint64_t last = fill(&kit, len, &first);
    cr_assert_gt(first, (uint64_t)2 << 20);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t again = 0;
        mark_done(&kit, last);
        done = last;
        last = fill(&kit, len, &again);
        cr_assert_geq(again, first / 2, "round %u: %llu bytes, at first %llu", round,
                      (unsigned long long)again, (unsigned long long)first);
        expect_kept(&kit, done, last);
    }
    kit_reopen(&kit);
    expect_kept(&kit, done, last);
    end(&kit);
}

Test(journal_disk, takes_again_once_drained, .timeout = 120)
{
    fill_and_drain(TMPFS, ENTRY, 12);
}

Test(journal_disk, takes_again_once_drained_on_ext4, .timeout = 120)
{
    fill_and_drain(EXT4, ENTRY, 6);
}

Test(journal_disk, takes_large_ones_again, .timeout = 120)
{
    fill_and_drain(TMPFS, 600000, 12);
}

Test(journal_disk, takes_small_ones_again, .timeout = 120)
{
    fill_and_drain(TMPFS, 1500, 2);
}

/* ---- All sizes ------------------------------------------------------------------- */

static size_t draw_len(unsigned *random)
{
    *random = *random * 1103515245U + 12345U;
    unsigned kind = *random >> 16 & 15;
    *random = *random * 1103515245U + 12345U;
    size_t most = kind < 8 ? 3000 : kind < 15 ? 60000 : 700000;
    return 20 + (*random >> 8) % most;
}

/* Refuses large ones while it takes small ones; what is drained is a part of it, or all.
 */
static uint64_t take_and_drain(struct kit *kit, unsigned *random, uint64_t *done,
                               uint64_t last)
{
    enum { TRIES = 120 };
    for (unsigned i = 0; i < TRIES; i++) {
        size_t len = draw_len(random);
        char *bytes = kit_bytes(len, i);
        int rc = kit_try(kit, "s", 0, slice_of(bytes, len), &last);
        free(bytes);
        cr_assert(rc == ERR_OK || rc == ERR_FULL, "%s", err_name((enum err_code)rc));
    }
    expect_kept(kit, *done, last);
    *done += (last - *done) / (1 + *random % 4);
    if (*done) {
        mark_done(kit, *done);
    }
    return last;
}

static void all_sizes(enum disk disk)
{
    enum { ROUNDS = 60, LARGE = 700000, PREALLOCATE = 512 << 10 };
    struct kit kit;
    unsigned random = 7;
    uint64_t done = 0;
    uint64_t last = 0;
    start_disk(&kit, disk);
    kit.config.preallocate = PREALLOCATE;
    kit_open(&kit);
    for (unsigned round = 0; round < ROUNDS; round++) {
        last = take_and_drain(&kit, &random, &done, last);
        if (round % 10 == 9) {
            kit_reopen(&kit);
            journal_confirm(kit.journal, "s", 0, true);
        }
    }
    /* once all is drained there is room for any again, and for as many as there was */
    mark_done(&kit, last);
    for (unsigned i = 0; i < 4; i++) {
        done = last;
        last = kit_append_bytes(&kit, "s", 0, LARGE, i);
        mark_done(&kit, last);
    }
    end(&kit);
}

Test(journal_disk, takes_all_sizes_for_ever, .timeout = 120)
{
    all_sizes(TMPFS);
}

Test(journal_disk, takes_all_sizes_for_ever_on_ext4, .timeout = 120)
{
    all_sizes(EXT4);
}

/* ---- Others ---------------------------------------------------------------------- */

/* A process that reads from when it is told until it is told again. */
struct reader {
    pid_t pid;
    int in;
    int out;
};

static void read_on(const char *path, int in, int out)
{
    char byte = 0;
    struct store store;
    MDB_txn *txn = NULL;
    struct err err = {0};
    bool fine = read(in, &byte, 1) == 1 &&
                store_open_reader(path, &store, &err) == ERR_OK &&
                store_read_begin(&store, &txn, &err) == ERR_OK &&
                write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1;
    if (txn) {
        mdb_txn_abort(txn);
        store_close(&store);
    }
    _exit(fine && write(out, &byte, 1) == 1 ? 0 : 1);
}

static struct reader start_reader(const struct kit *kit)
{
    int in[2];
    int out[2];
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        read_on(kit->path, in[0], out[1]);
    }
    cr_assert_gt(pid, 0);
    cr_assert_eq(close(in[0]), 0);
    cr_assert_eq(close(out[1]), 0);
    return (struct reader){.pid = pid, .in = in[1], .out = out[0]};
}

static void tell(const struct reader *reader)
{
    char byte = 0;
    cr_assert_eq(write(reader->in, &byte, 1), 1);
    cr_assert_eq(read(reader->out, &byte, 1), 1, "the reader failed");
}

/* A mark and a commit; false where the disk has no room for it now. */
static bool mark_and_commit(struct kit *kit, uint64_t seq)
{
    struct err err = {0};
    mark_done(kit, seq);
    int rc = journal_setting_put(kit->journal, "kit", "", &err);
    cr_assert(rc == ERR_OK || rc == ERR_FULL, "%s", err.message);
    return rc == ERR_OK;
}

/* As much as at first, again and again. */
static void expect_well(struct kit *kit, uint64_t last, uint64_t first)
{
    enum { ROUNDS = 3 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t again = 0;
        uint64_t done = last;
        mark_done(kit, last);
        last = fill(kit, ENTRY, &again);
        cr_assert_geq(again, first / 2, "round %u: %llu bytes, at first %llu", round,
                      (unsigned long long)again, (unsigned long long)first);
        expect_kept(kit, done, last);
    }
}

static int try_one(struct kit *kit)
{
    char *bytes = kit_bytes(ENTRY, 1);
    int rc = kit_try(kit, "s", 0, slice_of(bytes, ENTRY), NULL);
    free(bytes);
    return rc;
}

/* A long look, as a backup's: what is freed meanwhile can't be used again before its end.
 * Draining takes the disk's last bytes, then stands still; all is well afterwards. */
Test(journal_disk, outlives_a_long_reader, .timeout = 120)
{
    struct kit kit;
    uint64_t first = 0;
    unsigned refused = 0;
    start_disk(&kit, TMPFS);
    struct reader reader = start_reader(&kit);
    kit_open(&kit);
    uint64_t last = fill(&kit, ENTRY, &first);
    tell(&reader);
    for (uint64_t seq = 1; seq <= last; seq++) {
        refused += !mark_and_commit(&kit, seq);
    }
    cr_assert_gt(refused, 0, "the disk has room for all of it");
    cr_assert_eq(try_one(&kit), ERR_FULL);
    tell(&reader);
    cr_assert_eq(close(reader.in), 0);
    cr_assert_eq(close(reader.out), 0);
    cr_assert_eq(waitpid(reader.pid, NULL, 0), reader.pid);
    cr_assert(mark_and_commit(&kit, last));
    expect_well(&kit, last, first);
    end(&kit);
}

/* All that is left of the disk, by somebody else. */
static void take_the_rest(const char *path)
{
    static const char zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    cr_assert_eq(errno, ENOSPC);
    cr_assert_eq(close(fd), 0);
}

/* Nothing can be committed then, and nothing breaks. */
static void others_fill(enum disk disk)
{
    struct kit kit;
    uint64_t last = 0;
    uint64_t first = 0;
    char ballast[128];
    start_beside(&kit, disk, ballast);
    for (unsigned i = 0; i < 50; i++) {
        last = kit_append_bytes(&kit, "s", 0, ENTRY, i);
    }
    take_the_rest(ballast);
    cr_assert_eq(kit_stat(&kit).free_bytes, 0);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(try_one(&kit), ERR_FULL);
        (void)mark_and_commit(&kit, last);
    }
    expect_kept(&kit, 0, last);
    cr_assert_eq(unlink(ballast), 0);
    cr_assert(mark_and_commit(&kit, last));
    last = fill(&kit, ENTRY, &first);

    /* what is free inside the file is enough for draining */
    uint64_t begin = kit_stat(&kit).first_seq;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(mark_and_commit(&kit, (begin + last) / 2)); /* then pages are back */
    }
    take_the_rest(ballast);
    begin = kit_stat(&kit).first_seq;
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(mark_and_commit(&kit, (begin + last) / 2 + i));
    }
    cr_assert_gt(kit_stat(&kit).first_seq, begin, "nothing has left");
    cr_assert_eq(unlink(ballast), 0);
    expect_well(&kit, last, first);
    end(&kit);
}

Test(journal_disk, outlives_a_disk_that_others_fill, .timeout = 120)
{
    others_fill(TMPFS);
}

Test(journal_disk, outlives_an_ext4_that_others_fill, .timeout = 120)
{
    others_fill(EXT4);
}

/* A restart there: what was taken is still given out, and nothing more is taken. */
static void opens_full(enum disk disk)
{
    struct kit kit;
    uint64_t last = 0;
    char ballast[128];
    start_beside(&kit, disk, ballast);
    for (unsigned i = 0; i < 50; i++) {
        last = kit_append_bytes(&kit, "s", 0, ENTRY, i);
    }
    for (unsigned i = 0; i < 3; i++) {
        kit_close(&kit);
        take_the_rest(ballast);
        kit_open(&kit);
        cr_assert_eq(try_one(&kit), ERR_FULL);
        expect_kept(&kit, 0, last);
    }
    cr_assert_eq(unlink(ballast), 0);
    cr_assert(mark_and_commit(&kit, last));
    cr_assert_eq(try_one(&kit), ERR_OK);
    end(&kit);
}

Test(journal_disk, opens_on_a_full_disk, .timeout = 120)
{
    opens_full(TMPFS);
}

Test(journal_disk, opens_on_a_full_ext4, .timeout = 120)
{
    opens_full(EXT4);
}

/* As many transactions as LMDB has places for, all at once, in a process of their own. */
static void read_much(const char *path)
{
    enum { READERS = 120 };
    struct store store;
    MDB_txn *txns[READERS] = {NULL};
    struct err err = {0};
    bool fine = store_open_reader(path, &store, &err) == ERR_OK;
    for (size_t i = 0; fine && i < READERS; i++) {
        fine = store_read_begin(&store, &txns[i], &err) == ERR_OK;
    }
    _exit(fine ? 0 : 1);
}

/* Their places lie in a file that is mapped: a page of it that the disk has no room for
 * would end the process. */
static void reads_full(enum disk disk)
{
    struct kit kit;
    int status = 0;
    char ballast[128];
    start_beside(&kit, disk, ballast);
    uint64_t last = kit_append_bytes(&kit, "s", 0, ENTRY, 1);
    kit_close(&kit);
    take_the_rest(ballast);
    pid_t pid = fork();
    if (pid == 0) {
        read_much(kit.path);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status), "it ended by signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
    kit_open(&kit);
    expect_kept(&kit, 0, last);
    end(&kit);
}

Test(journal_disk, has_many_readers_on_a_full_disk, .timeout = 120)
{
    reads_full(TMPFS);
}

Test(journal_disk, has_many_readers_on_a_full_ext4, .timeout = 120)
{
    reads_full(EXT4);
}

/* The same file is missing, as in a directory that was copied without it. */
Test(journal_disk, says_that_readers_find_no_room, .timeout = 120)
{
    struct kit kit;
    struct err err = {0};
    char ballast[128];
    char table[256];
    start(&kit, TMPFS);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", kit.directory);
    (void)snprintf(table, sizeof table, "%s/lock.mdb", kit.path);
    uint64_t last = kit_append_bytes(&kit, "s", 0, ENTRY, 1);
    kit_close(&kit);
    cr_assert_eq(unlink(table), 0);
    take_the_rest(ballast);
    cr_assert_eq(kit_open_fails(&kit, &err), ERR_IO);
    cr_assert_eq(err.sys, ENOSPC);
    cr_assert(strstr(err.message, "lock.mdb: free some"), "%s", err.message);
    cr_assert_eq(unlink(ballast), 0);
    kit_open(&kit);
    expect_kept(&kit, 0, last);
    end(&kit);
}
