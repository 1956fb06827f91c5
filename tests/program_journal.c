/* program_journal <mode> <journal's directory> [number]: the process that the journal's
 * tests kill, look at from beside, or let fail. A program of its own, since threads are
 * not to be started in a fork of a test.
 *
 *   append START  PRODUCERS threads append for ever; each acknowledgement goes to
 *                 standard output as a struct kit_ack
 *   hold          appends an entry, marks it done, writes a byte, waits for its input
 *                 to end
 *   sync-fails    the sync of a commit fails with EIO; 0 if all callers are told rightly
 *   expire N      marks entry N done and lets it and what is before it leave
 *   die-at-sync N as append with one producer, but the N-th sync kills the process
 */
#include "tests/journal_kit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- A sync that fails ----------------------------------------------------------- */

static atomic_int syncs_until_failure = -1; /* -1: never */
static void (*while_failing)(void);

/* Takes the place of libc's for liblmdb too. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    int left = syncs_until_failure;
    if (left > 0) {
        left = --syncs_until_failure;
    }
    if (left == 0) {
        syncs_until_failure = -1;
        while_failing();
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- Opening --------------------------------------------------------------------- */

static struct journal *open_journal(const char *path)
{
    struct journal_config config;
    struct journal *journal = NULL;
    struct err err = {0};
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = 256 << 20;
    config.preallocate = 1 << 20;
    if (journal_open(&config, true, &journal, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
    return journal;
}

/* ---- append ---------------------------------------------------------------------- */

enum { PRODUCERS = 4 };

struct producer {
    struct journal *journal;
    uint32_t number;
    uint32_t start;
};

static void *produce(void *argument)
{
    const struct producer *producer = argument;
    for (uint32_t i = producer->start;; i++) {
        size_t len = 0;
        char *bytes = kit_payload(producer->number, i, &len);
        struct journal_part part = {.stream = "s",
                                    .lane = producer->number,
                                    .records = 1,
                                    .payload = {bytes, len}};
        struct journal_append append = {.parts = &part, .part_count = 1};
        int rc = journal_append_wait(producer->journal, &append);
        free(bytes);
        struct kit_ack ack = {append.first_seq, producer->number, i};
        if (rc || write(1, &ack, sizeof ack) != (ssize_t)sizeof ack) {
            return NULL;
        }
    }
}

static int run_append(const char *path, uint32_t start)
{
    struct journal *journal = open_journal(path);
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){journal, i, start};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
    }
    return 3;
}

/* ---- hold ------------------------------------------------------------------------ */

static int run_hold(const char *path)
{
    struct kit kit = {.journal = open_journal(path)};
    kit_append(&kit, "s", 0, "payload");
    kit_done(&kit, 1);
    char byte = 'r';
    if (write(1, &byte, 1) != 1) {
        return 2;
    }
    while (read(0, &byte, 1) > 0) {
    }
    journal_close(kit.journal);
    return 0;
}

/* ---- expire ---------------------------------------------------------------------- */

static int run_expire(const char *path, uint64_t seq)
{
    struct kit kit = {.path = ""};
    struct journal_config config;
    struct err err = {0};
    journal_config_defaults(&config);
    config.path = path;
    config.retain_us = 0;
    config.preallocate = 0;
    if (journal_open(&config, false, &kit.journal, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 2;
    }
    kit_done(&kit, seq);
    journal_confirm(kit.journal, "s", 0, true);
    while (kit_state(&kit, seq) != -1) {
        kit_commit(&kit);
    }
    journal_close(kit.journal);
    return 0;
}

/* ---- sync-fails ------------------------------------------------------------------ */

enum { IN_GROUP = 3 };

static struct journal *failing;
static struct journal_append in_group[IN_GROUP];
static struct journal_append in_queue;
static sem_t told;
static const struct journal_part one_part = {
    .stream = "s", .records = 1, .payload = SLICE_LITERAL("payload")};

static void tell(struct journal_append *append)
{
    (void)append;
    sem_post(&told);
}

/* On the writer's thread, within the commit: this one waits in the queue. */
static void submit_late(void)
{
    journal_submit(failing, &in_queue);
}

static bool expect(int code, int expected, const char *what)
{
    if (code != expected) {
        (void)fprintf(stderr, "%s: %s instead of %s\n", what,
                      err_name((enum err_code)code), err_name((enum err_code)expected));
    }
    return code == expected;
}

static bool is_dead_for_all(void)
{
    struct err err = {0};
    struct journal_append later = {.parts = &one_part, .part_count = 1};
    struct kit kit = {.journal = failing};
    struct journal_position first = kit_position(&kit, 1);
    struct journal_lane lane;
    bool good = expect(journal_append_wait(failing, &later), ERR_IO, "a later append");
    good &= expect(journal_setting_put(failing, "a", "b", &err), ERR_IO, "a setting");
    good &=
        expect(journal_mark_done(failing, "s", 0, &first, &err), ERR_IO, "a done mark");
    good &= expect(journal_rewind(failing, "s", 0, &(struct journal_position){0}, &err),
                   ERR_IO, "rewinding");
    good &= expect(journal_health(failing, &err), ERR_IO, "health");
    good &= expect(journal_lane_get(failing, "s", 0, &lane, &err), ERR_OK, "reading");
    good &= expect(lane.last_seq == 1, true, "the lane stands at what was acknowledged");
    return good;
}

static int run_sync_fails(const char *path)
{
    failing = open_journal(path);
    sem_init(&told, 0, 0);
    while_failing = submit_late;
    struct journal_append before = {.parts = &one_part, .part_count = 1};
    bool good = expect(journal_append_wait(failing, &before), ERR_OK, "before");
    in_queue = (struct journal_append){.parts = &one_part, .part_count = 1, .done = tell};
    syncs_until_failure = 1;
    for (int i = 0; i < IN_GROUP; i++) {
        in_group[i] =
            (struct journal_append){.parts = &one_part, .part_count = 1, .done = tell};
        journal_submit(failing, &in_group[i]);
    }
    for (int i = 0; i < IN_GROUP + 1; i++) {
        sem_wait(&told);
    }
    good &= expect((int)in_group[0].err.code, ERR_UNKNOWN, "the group's first");
    good &= expect((int)in_queue.err.code, ERR_IO, "the queue");
    for (int i = 1; i < IN_GROUP; i++) {
        /* in the group or still in the queue */
        good &= in_group[i].err.code == ERR_UNKNOWN || in_group[i].err.code == ERR_IO;
    }
    good &= is_dead_for_all();
    journal_close(failing);
    return good ? 0 : 1;
}

/* ---- die-at-sync ----------------------------------------------------------------- */

static void end_here(void)
{
    (void)kill(getpid(), SIGKILL);
}

static int run_die_at_sync(const char *path, int number)
{
    while_failing = end_here;
    syncs_until_failure = number;
    struct producer producer = {.journal = open_journal(path)};
    produce(&producer);
    return 3;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 64;
    }
    long number = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (strcmp(argv[1], "append") == 0) {
        return run_append(argv[2], (uint32_t)number);
    }
    if (strcmp(argv[1], "hold") == 0) {
        return run_hold(argv[2]);
    }
    if (strcmp(argv[1], "expire") == 0) {
        return run_expire(argv[2], (uint64_t)number);
    }
    if (strcmp(argv[1], "sync-fails") == 0) {
        return run_sync_fails(argv[2]);
    }
    if (strcmp(argv[1], "die-at-sync") == 0) {
        return run_die_at_sync(argv[2], (int)number);
    }
    return 64;
}
