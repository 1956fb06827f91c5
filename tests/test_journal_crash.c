/* Processes killed while they append, marks that are committed alone, zeros ahead. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PRODUCERS = 4 };

struct acknowledged {
    uint64_t seq;
    uint32_t producer;
    uint32_t number;
};

struct producer {
    struct kit *kit;
    int fd;
    uint32_t number;
    uint32_t start;
};

/* What producer p's batch n holds: 20 bytes to 30 KB. */
static char *payload_of(uint32_t producer, uint32_t number, size_t *out_len)
{
    *out_len = 20 + (producer * 7919U + number * 104729U) % 30000;
    return kit_bytes(*out_len, producer * 1000003U + number);
}

static void *produce(void *argument)
{
    struct producer *producer = argument;
    for (uint32_t i = producer->start;; i++) {
        size_t len = 0;
        char *bytes = payload_of(producer->number, i, &len);
        struct journal_part part = {.stream = "s",
                                    .lane = producer->number,
                                    .records = 1,
                                    .payload = {bytes, len}};
        struct journal_append append = {.parts = &part, .part_count = 1};
        int rc = journal_append_wait(producer->kit->journal, &append);
        free(bytes);
        struct acknowledged acknowledged = {append.first_seq, producer->number, i};
        if (rc || write(producer->fd, &acknowledged, sizeof acknowledged) !=
                      (ssize_t)sizeof acknowledged) {
            return NULL;
        }
    }
}

static _Noreturn void run_producers(struct kit *kit, int fd, uint32_t start)
{
    kit_open(kit);
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){kit, fd, i, start};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    _exit(3);
}

static void check_there(struct kit *kit, const struct acknowledged *acknowledged)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_entry(kit->journal, acknowledged->seq, &entries, &err);
    cr_assert(rc == ERR_OK, "acknowledged, but: %s", err.message);
    size_t len = 0;
    char *bytes = payload_of(acknowledged->producer, acknowledged->number, &len);
    cr_assert(slice_equal(entries.items[0].payload, slice_of(bytes, len)));
    cr_assert_eq(entries.items[0].lane, acknowledged->producer);
    free(bytes);
    journal_entries_free(&entries);
}

Test(journal_crash, keeps_all_that_was_acknowledged_before_a_kill)
{
    enum { ROUNDS = 6, ENOUGH = 150 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 256 << 20;
    kit.config.preallocate = 1 << 20;
    kit.config.clock = &clock_system;
    static struct acknowledged all[100000];
    size_t count = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            run_producers(&kit, ends[1], round * 1000000);
        }
        cr_assert_eq(close(ends[1]), 0);
        size_t until = count + ENOUGH + round * 37;
        while (read(ends[0], &all[count], sizeof *all) == (ssize_t)sizeof *all) {
            if (++count == until) {
                cr_assert_eq(kill(child, SIGKILL), 0);
            }
        }
        cr_assert_eq(close(ends[0]), 0);
        int status = 0;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "round %u ended by itself", round);
        struct journal_verify_result result;
        struct err err = {0};
        cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_OK, "%s",
                     err.message);
        cr_assert_geq(result.entries, count);
    }
    kit_open(&kit);
    for (size_t i = 0; i < count; i++) {
        check_there(&kit, &all[i]);
    }
    kit_end(&kit);
}

/* Marks are committed alone within a second, on the journal's own account: seen by a
 * reader in another process, while the writer's process stays. */
static _Noreturn void mark_and_stay(struct kit *kit, int ready, int finish)
{
    char byte = 'r';
    kit_open(kit);
    kit_append(kit, "s", 0, "payload");
    kit_done(kit, 1);
    (void)!write(ready, &byte, 1);
    (void)!read(finish, &byte, 1);
    _exit(0);
}

Test(journal_crash, commits_marks_alone)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.clock = &clock_system;
    int ready[2];
    int finish[2];
    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(finish), 0);
    pid_t child = fork();
    if (child == 0) {
        mark_and_stay(&kit, ready[1], finish[0]);
    }
    cr_assert_eq(close(ready[1]), 0);
    char byte = 0;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    struct err err = {0};
    cr_assert_eq(journal_open_reader(kit.path, &kit.journal, &err), ERR_OK);
    uint64_t done = 0;
    for (int i = 0; i < 600 && !done; i++) {
        done = kit_lane(&kit, "s", 0).done.seq;
        usleep(50000);
    }
    cr_assert_eq(done, 1);
    kit_close(&kit);
    cr_assert_eq(write(finish[1], &byte, 1), 1);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    kit_end(&kit);
}

Test(journal_crash, writes_zeros_ahead)
{
    enum { AHEAD = 3 << 20 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 64 << 20;
    kit.config.preallocate = AHEAD;
    kit.config.clock = &clock_system;
    kit_open(&kit);
    for (unsigned i = 0; i < 40; i++) {
        kit_append_bytes(&kit, "s", 0, 100000, i);
        /* the file grows while entries come, and what was written stays */
        if (i % 8 == 7) {
            kit_reopen(&kit);
        }
    }
    struct journal_stat stat = kit_stat(&kit);
    for (int i = 0; i < 600 && stat.file_bytes < stat.used_bytes + AHEAD; i++) {
        usleep(50000);
        stat = kit_stat(&kit);
    }
    cr_assert_geq(stat.file_bytes, stat.used_bytes + AHEAD);
    cr_assert_leq(stat.file_bytes, stat.used_bytes + 2 * AHEAD);
    kit_close(&kit);
    struct journal_verify_result result;
    struct err err = {0};
    cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_eq(result.entries, 40);
    kit_open(&kit);
    struct journal_entries entries = kit_read(&kit, "s", 0, 0);
    cr_assert_eq(entries.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        char *bytes = kit_bytes(100000, i);
        cr_assert(slice_equal(entries.items[i].payload, slice_of(bytes, 100000)));
        free(bytes);
    }
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_crash, zeros_end_with_the_map)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 1 << 20;
    kit.config.preallocate = 64 << 20;
    kit.config.clock = &clock_system;
    kit_open(&kit);
    kit_append(&kit, "s", 0, "payload");
    struct journal_stat stat = kit_stat(&kit);
    for (int i = 0; i < 600 && stat.file_bytes < 1 << 20; i++) {
        usleep(50000);
        stat = kit_stat(&kit);
    }
    kit_reopen(&kit);
    kit_append(&kit, "s", 0, "payload");
    cr_assert_eq(kit_stat(&kit).file_bytes, 1 << 20);
    kit_end(&kit);
}
