/* Kill at every call of intake: the real engine (four HTTP threads, no database needed)
 * takes a workload from four clients and is killed at its N-th write, sync, size, name or
 * send, over all threads (preload_control.c); then again at a call of its restart; then
 * it starts for good, clients send again what has an Idempotency-Key, and the journal is
 * compared with what they were told. A point is a workload and N, counted in runs without
 * a fault.
 *
 * In flight: a request was sent and had no answer when the kill met it.
 */
#include "tests/engine_process.h"
#include "tests/faults/intake.h"
#include "tests/faults/layer.h"
#include "tests/faults/preload_control.h"
#include "tests/process.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 512,
    END_TIMEOUT_MS = 20000,
    PORT_FIRST = 19640,
    RESTARTS = 10,
    RESTARTS_EACH = 64, /* points, of which one restarts so often */
    ORDERLY_EACH = 8,   /* and one ends by TERM */
    AGAIN_TRIES = 100,
    TRIES = 4,
};

static struct {
    struct intake_work works[INTAKE_WORKS];
    uint64_t calls[INTAKE_WORKS]; /* of a run without a fault, from ready to done */
    uint64_t start_calls;         /* of a start on an existing journal */
    struct intake_line *lines;
    struct engine_process engine;
    char scratch[PATH_SIZE]; /* in memory: a kill leaves the page cache alone */
    char preload[PATH_SIZE];
    char control_path[PATH_SIZE];
    struct control *control;
} layer;

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- The engine -------------------------------------------------------------------- */

/* Starts it, with the calls counted from 0; kill_at 0: none. ERR_IO: it ended. */
static int start(uint64_t kill_at, struct err *err)
{
    *layer.control = (struct control){.kill_at = kill_at};
    if (setenv("LD_PRELOAD", layer.preload, 1) != 0 ||
        setenv("HOLDFAST_FAULTS_CONTROL", layer.control_path, 1) != 0) {
        return err_set_errno(err, ERR_NOMEM, errno, "can't set LD_PRELOAD");
    }
    int code = engine_start(&layer.engine, err);
    (void)unsetenv("LD_PRELOAD");
    return code;
}

static uint64_t total(void)
{
    return __atomic_load_n(&layer.control->total, __ATOMIC_SEQ_CST);
}

static bool was_killed(void)
{
    return __atomic_load_n(&layer.control->killed, __ATOMIC_SEQ_CST) != 0;
}

static void clear(uint32_t lines)
{
    (void)unlink(layer.engine.log);
    remove_all(layer.engine.journal);
    memset(layer.lines, 0, lines * sizeof *layer.lines);
}

/* ---- Without a fault --------------------------------------------------------------- */

static int learn(uint32_t which, struct err *err)
{
    struct intake_work *work = &layer.works[which];
    int exit_code = -1;
    clear(work->count);
    int code = start(0, err);
    if (code != ERR_OK) {
        return code;
    }
    uint64_t before = total();
    code = intake_send(work, layer.engine.port, true, layer.lines, err);
    layer.calls[which] = total() - before;
    int stop = engine_stop(&layer.engine, END_TIMEOUT_MS, &exit_code, err);
    if (code == ERR_OK && (stop != ERR_OK || exit_code != 0)) {
        return err_set(err, ERR_IO, 0, "the engine ended with %d", exit_code);
    }
    code = code != ERR_OK ? code
                          : intake_learn(work, layer.lines, layer.engine.journal, err);
    code = code != ERR_OK ? code : start(0, err);
    layer.start_calls = total();
    engine_kill(&layer.engine);
    return code;
}

static int make_control(struct err *err)
{
    int fd = open(layer.control_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof *layer.control) == 0) {
        map =
            mmap(NULL, sizeof *layer.control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int failed = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    layer.control = map == MAP_FAILED ? NULL : map;
    return layer.control
               ? ERR_OK
               : err_set_errno(err, ERR_IO, failed, "can't make %s", layer.control_path);
}

static int make_scratch(const struct layer_run *run, struct err *err)
{
    (void)snprintf(layer.scratch, sizeof layer.scratch,
                   "/dev/shm/holdfast-faults-XXXXXX");
    if (mkdtemp(layer.scratch) == NULL) {
        (void)snprintf(layer.scratch, sizeof layer.scratch, "%.400s/intake", run->dir);
        if (mkdir(layer.scratch, 0700) != 0) {
            return err_set_errno(err, ERR_IO, errno, "can't make %s", layer.scratch);
        }
    }
    (void)snprintf(layer.preload, sizeof layer.preload,
                   "%.*s/libfaults_preload_control.so",
                   (int)(strrchr(run->preload, '/') - run->preload), run->preload);
    (void)snprintf(layer.control_path, sizeof layer.control_path, "%.400s/control",
                   layer.scratch);
    return make_control(err);
}

static int configure(const struct layer_run *run, struct err *err)
{
    char socket[PATH_SIZE];
    (void)snprintf(socket, sizeof socket, "%.80s/no-database", layer.scratch);
    struct engine_options options = {.dir = layer.scratch,
                                     .name = "engine",
                                     .binary = run->binary,
                                     .socket = socket,
                                     .database = "none",
                                     .port = process_free_port(PORT_FIRST),
                                     .streams =
                                         "[{name: mozi, preset: botnet},"
                                         " {name: test, preset: botnet, lanes: 2}]",
                                     .journal = ", max_size: 128MiB, preallocate: 1MiB"};
    return engine_configure(&layer.engine, &options, err);
}

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    uint32_t most = 0;
    int code = make_scratch(run, err);
    code = code != ERR_OK ? code : configure(run, err);
    for (uint32_t i = 0; code == ERR_OK && i < INTAKE_WORKS; i++) {
        code = intake_work_new(i, &layer.works[i], err);
        most = layer.works[i].count > most ? layer.works[i].count : most;
    }
    layer.lines = calloc(most + 1, sizeof *layer.lines);
    *out_points = 0;
    for (uint32_t i = 0; code == ERR_OK && i < INTAKE_WORKS; i++) {
        code = learn(i, err);
        *out_points += layer.calls[i];
        (void)printf("  %s: %llu calls\n", layer.works[i].name,
                     (unsigned long long)layer.calls[i]);
    }
    return code;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    engine_kill(&layer.engine);
    for (uint32_t i = 0; i < INTAKE_WORKS; i++) {
        intake_work_free(&layer.works[i]);
    }
    if (layer.control != NULL) {
        (void)munmap(layer.control, sizeof *layer.control);
    }
    free(layer.lines);
    remove_all(layer.scratch);
}

/* ---- A point ----------------------------------------------------------------------- */

/* True where the kill met a request without an answer. */
static bool in_flight(const struct intake_work *work)
{
    for (uint32_t i = 0; i < work->count; i++) {
        if (layer.lines[i].fate == INTAKE_UNKNOWN) {
            return was_killed();
        }
    }
    return false;
}

/* Group commit makes runs of different lengths: where one was over before its call came,
 * the next is killed at the same part of it. */
static int first_kill(uint32_t which, uint64_t number, struct err *err)
{
    const struct intake_work *work = &layer.works[which];
    int code = ERR_OK;
    bool killed = false;
    for (int tries = 0; code == ERR_OK && !killed && tries < TRIES; tries++) {
        clear(work->count);
        code = start(0, err);
        if (code != ERR_OK) {
            return code;
        }
        uint64_t before = total();
        __atomic_store_n(&layer.control->kill_at, before + 1 + number, __ATOMIC_SEQ_CST);
        code = intake_send(work, layer.engine.port, true, layer.lines, err);
        killed = was_killed();
        uint64_t calls = total() - before;
        number = calls < layer.calls[which] ? number * calls / layer.calls[which]
                                            : number - number / 16;
        engine_kill(&layer.engine);
    }
    return code;
}

/* What has a key and no answer is sent until it has one; then something that was
 * acknowledged, which must be told as the first time. */
static bool send_again(const struct intake_work *work, uint64_t *random)
{
    uint32_t acked = work->count;
    uint32_t from = (uint32_t)(layer_random(random) % work->count);
    for (uint32_t j = 0; j < work->count; j++) {
        uint32_t i = (from + j) % work->count;
        struct intake_line *line = &layer.lines[i];
        if (work->batches[i].key[0] == '\0') {
            continue;
        }
        if (line->fate == INTAKE_ACKED) {
            acked = i;
        }
        for (int tries = 0; line->fate == INTAKE_UNKNOWN && tries < AGAIN_TRIES;
             tries++) {
            *line = intake_send_one(&work->batches[i], layer.engine.port);
        }
    }
    if (acked == work->count) {
        return true;
    }
    struct intake_line again = intake_send_one(&work->batches[acked], layer.engine.port);
    const struct intake_line *first = &layer.lines[acked];
    return again.fate == INTAKE_ACKED && again.replayed && again.seq == first->seq &&
           again.accepted == first->accepted &&
           again.dead_lettered == first->dead_lettered;
}

/* Restarts, each killed once it is ready. */
static int restart(uint32_t times, struct err *err)
{
    int code = ERR_OK;
    for (uint32_t i = 0; code == ERR_OK && i < times; i++) {
        code = start(0, err);
        engine_kill(&layer.engine);
    }
    return code;
}

static enum layer_verdict settle(const struct intake_work *work, uint64_t *random)
{
    struct err err = {0};
    int exit_code = 0;
    int code = start(1 + layer_random(random) % layer.start_calls, &err);
    bool twice = was_killed();
    engine_kill(&layer.engine);
    if (code != ERR_OK && !twice) {
        return layer_broken("I5", "it ends by itself after a kill: %s", err.message);
    }
    if (start(0, &err) != ERR_OK) {
        return layer_broken("I5", "it doesn't start after a kill: %s", err.message);
    }
    if (!send_again(work, random)) {
        return layer_broken("I1",
                            "an Idempotency-Key was not answered as the first time");
    }
    if (layer_random(random) % ORDERLY_EACH == 0) {
        (void)engine_stop(&layer.engine, END_TIMEOUT_MS, &exit_code, &err);
    }
    engine_kill(&layer.engine);
    if (exit_code != 0) {
        return layer_broken("I8", "TERM ended it with %d", exit_code);
    }
    bool often = layer_random(random) % RESTARTS_EACH == 0;
    if (often && restart(RESTARTS, &err) != ERR_OK) {
        return layer_broken("I10", "%s", err.message);
    }
    return intake_check(work, layer.lines, layer.engine.journal);
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    uint64_t number = point;
    uint64_t random = seed;
    uint32_t which = 0;
    while (which < INTAKE_WORKS && number >= layer.calls[which]) {
        number -= layer.calls[which++];
    }
    if (which == INTAKE_WORKS) {
        *out_verdict = LAYER_END;
        return ERR_OK;
    }
    const struct intake_work *work = &layer.works[which];
    int code = first_kill(which, number, err);
    if (code != ERR_OK) {
        return code;
    }
    bool met = in_flight(work);
    *out_verdict = settle(work, &random);
    if (*out_verdict == LAYER_BROKEN) {
        char kept[PATH_SIZE];
        (void)snprintf(kept, sizeof kept, "cp -r '%.200s' '%.200s/point-%llu'",
                       layer.scratch, run->dir, (unsigned long long)point);
        (void)printf("  workload \"%s\", call %llu\n", work->name,
                     (unsigned long long)number);
        if (system(kept) != 0) { /* NOLINT(cert-env33-c) */
            (void)printf("  what it left could not be kept\n");
        }
    } else if (!met) {
        *out_verdict = LAYER_IDLE;
    }
    return ERR_OK;
}

int main(int argc, char **argv)
{
    static const struct layer kill_intake = {.name = "kill_intake",
                                             .invariants = "I1 I2 I3 I4 I5 I10",
                                             .budget_s = 60,
                                             .in_flight = true,
                                             .open = open_layer,
                                             .point = run_point,
                                             .close = close_layer};
    return layer_main(&kill_intake, argc, argv);
}
