/* The N-th call fails, once or from then on for a while: writes, syncs, sizes and names
 * of the journal, memory, and connections to the database and to producers, in the real
 * engine with a real server behind it, from its first start on. Where the engine ends, as
 * it must when a sync has failed, it is started again, as a supervisor would; the fault
 * goes away, and then all must be acknowledged, applied and as it was sent.
 *
 * A point is a scenario and N, counted in a run without a fault; of memory, of which
 * there is much, so many places spread over the run. Idle: the run was over before the
 * N-th.
 */
#include "tests/faults/layer.h"
#include "tests/faults/preload_control.h"
#include "tests/faults/stage.h"
#include "tests/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATH_SIZE = 512,
    RECORDS = 120,
    SAMPLE_SEED = 7,
    MEMORY_PLACES = 150,
    POINTS_MIN = 60, /* of a scenario: each is drawn often enough, if it has few calls */
    FAULT_LASTS_MS = 300, /* a fault that stays, once it was met */
    FAULT_STARTS = 3,     /* or so many ends of the engine */
    STARTS_MAX = 12,
    FEED_MS = 90000,
    LOOK_MS = 5,
    DESCRIPTORS_MAX = 128,
    THREADS_MAX = 64,
    EXIT_JOURNAL = 74,
    EXIT_TRY_AGAIN = 75,
};

struct scenario {
    const char *name;
    enum control_kind kind;
    enum control_way way;
    int error;
    uint32_t family;
    bool forever;
};

static const struct scenario scenarios[] = {
    {"write EIO", CONTROL_WRITE, CONTROL_ERROR, EIO, 0, false},
    {"write ENOSPC for a while", CONTROL_WRITE, CONTROL_ERROR, ENOSPC, 0, true},
    {"write EINTR", CONTROL_WRITE, CONTROL_ERROR, EINTR, 0, false},
    {"write short", CONTROL_WRITE, CONTROL_SHORT, ENOSPC, 0, false},
    {"sync EIO", CONTROL_SYNC, CONTROL_ERROR, EIO, 0, false},
    {"sync EIO for a while", CONTROL_SYNC, CONTROL_ERROR, EIO, 0, true},
    {"sync EINTR", CONTROL_SYNC, CONTROL_ERROR, EINTR, 0, false},
    {"size ENOSPC", CONTROL_SIZE, CONTROL_ERROR, ENOSPC, 0, false},
    {"size EIO for a while", CONTROL_SIZE, CONTROL_ERROR, EIO, 0, true},
    {"name EIO", CONTROL_NAME, CONTROL_ERROR, EIO, 0, false},
    {"name ENOSPC for a while", CONTROL_NAME, CONTROL_ERROR, ENOSPC, 0, true},
    {"memory", CONTROL_MEMORY, CONTROL_ERROR, ENOMEM, 0, false},
    {"memory for a while", CONTROL_MEMORY, CONTROL_ERROR, ENOMEM, 0, true},
    {"connect refused", CONTROL_CONNECT, CONTROL_ERROR, ECONNREFUSED, AF_UNIX, false},
    {"connect times out for a while", CONTROL_CONNECT, CONTROL_ERROR, ETIMEDOUT, AF_UNIX,
     true},
    {"send to the database", CONTROL_SEND, CONTROL_ERROR, EPIPE, AF_UNIX, false},
    {"send to the database, cut off", CONTROL_SEND, CONTROL_CUT, ECONNRESET, AF_UNIX,
     false},
    {"send to the database short", CONTROL_SEND, CONTROL_SHORT, EINTR, AF_UNIX, false},
    {"send to the database EINTR", CONTROL_SEND, CONTROL_ERROR, EINTR, AF_UNIX, false},
    {"receive from the database", CONTROL_RECV, CONTROL_ERROR, ECONNRESET, AF_UNIX,
     false},
    {"receive from the database, time-out", CONTROL_RECV, CONTROL_ERROR, ETIMEDOUT,
     AF_UNIX, false},
    {"receive from the database short", CONTROL_RECV, CONTROL_SHORT, EINTR, AF_UNIX,
     false},
    {"database away for a while", CONTROL_RECV, CONTROL_CUT, ECONNRESET, AF_UNIX, true},
    {"send to a producer", CONTROL_SEND, CONTROL_CUT, EPIPE, AF_INET, false},
    {"send to a producer short", CONTROL_SEND, CONTROL_SHORT, EAGAIN, AF_INET, false},
    {"receive from a producer", CONTROL_RECV, CONTROL_CUT, ECONNRESET, AF_INET, false},
    {"receive from a producer short", CONTROL_RECV, CONTROL_SHORT, EAGAIN, AF_INET,
     false},
    {"producers away for a while", CONTROL_RECV, CONTROL_CUT, ECONNRESET, AF_INET, true},
};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static struct {
    struct stage stage;
    uint64_t calls[SCENARIOS];
    uint64_t points[SCENARIOS];
    uint64_t memory_calls;
    char preload[PATH_SIZE];
    char control_path[PATH_SIZE];
    struct control *control;
} at;

/* ---- The fault --------------------------------------------------------------------- */

static void arm(const struct scenario *scenario, uint64_t number)
{
    *at.control = (struct control){.fail_at = number,
                                   .fail_forever = scenario->forever,
                                   .fail_way = scenario->way,
                                   .fail_error = scenario->error,
                                   .fail_family = scenario->family};
    __atomic_store_n(&at.control->fail_kind, scenario->kind, __ATOMIC_SEQ_CST);
}

static void disarm(void)
{
    __atomic_store_n(&at.control->fail_kind, CONTROL_NONE, __ATOMIC_SEQ_CST);
}

static bool was_met(void)
{
    return __atomic_load_n(&at.control->failed, __ATOMIC_SEQ_CST) > 0;
}

/* ---- The supervisor ---------------------------------------------------------------- */

/* What the engine may end with because of a fault: its journal failed, or it lacks
 * something and is to be started again. */
static bool is_documented(int code)
{
    return code == EXIT_JOURNAL || code == EXIT_TRY_AGAIN;
}

/* Looks whether the engine has ended, and starts it again. False: it may not go on. */
static bool supervise(uint32_t *ends, struct err *err)
{
    int code = 0;
    if (!process_wait(at.stage.engine.pid, LOOK_MS, &code)) {
        return true;
    }
    at.stage.engine.pid = 0;
    *ends += 1;
    if (!is_documented(code)) {
        (void)layer_broken("I8", "the engine ended with %d%s; see %s", code,
                           code > 128 ? ", a signal" : "", at.stage.engine.log);
        at.stage.broken = true;
        return false;
    }
    if (*ends >= FAULT_STARTS) {
        disarm();
    }
    if (*ends >= STARTS_MAX) {
        (void)layer_broken("I8", "the engine ended %u times, the last time with %d",
                           *ends, code);
        at.stage.broken = true;
        return false;
    }
    return stage_launch(&at.stage, at.preload, err) == ERR_OK;
}

/* How far it came, for whoever looks for the reason. */
static int give_up(struct err *err)
{
    struct feeder_progress progress;
    feeder_progress(at.stage.feeder, &progress);
    at.stage.blame = true;
    return err_set(
        err, ERR_TIMEOUT, 0,
        "not all is acknowledged and applied after %d s: %u of %u batches are "
        "done, %u in flight, %llu sends had no answer and %llu a refusal, %lld "
        "records pending; see %s",
        FEED_MS / 1000, progress.batches, at.stage.sample.batch_count, progress.in_flight,
        (unsigned long long)progress.unknown, (unsigned long long)progress.busy,
        (long long)engine_pending(&at.stage.engine), at.stage.engine.log);
}

static bool is_fed(void)
{
    struct feeder_progress progress;
    feeder_progress(at.stage.feeder, &progress);
    return progress.done;
}

/* Until all is acknowledged and applied, or it is clear that this won't be. */
static int live_through(struct err *err)
{
    uint32_t ends = 0;
    int64_t end = process_now_ms() + FEED_MS;
    int64_t met_at = 0;
    bool through = false;
    while (!through && process_now_ms() < end) {
        if (!supervise(&ends, err)) {
            return err->code;
        }
        met_at = met_at == 0 && was_met() ? process_now_ms() : met_at;
        if (met_at != 0 && process_now_ms() - met_at > FAULT_LASTS_MS) {
            disarm();
        }
        through =
            is_fed() && at.stage.engine.pid != 0 && engine_pending(&at.stage.engine) == 0;
    }
    disarm();
    return through ? ERR_OK : give_up(err);
}

static size_t count_entries(const char *what)
{
    char path[64];
    size_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)at.stage.engine.pid, what);
    DIR *dir = opendir(path);
    while (dir && readdir(dir) != NULL) {
        count++;
    }
    if (dir) {
        (void)closedir(dir);
    }
    return count;
}

static void check_bounds(void)
{
    size_t descriptors = count_entries("fd");
    size_t threads = count_entries("task");
    if (descriptors > DESCRIPTORS_MAX || threads > THREADS_MAX) {
        (void)layer_broken("I6", "%zu descriptors, %zu threads are left", descriptors,
                           threads);
        at.stage.broken = true;
    }
}

static int begin(struct err *err)
{
    struct stage_plan plan = {
        .seed = SAMPLE_SEED, .records = RECORDS, .lanes = 2, .may_stop = true};
    int code = stage_begin(&at.stage, &plan, err);
    return code != ERR_OK ? code : stage_feed_begin(&at.stage, 0, err);
}

static int run(const struct scenario *scenario, uint64_t number, struct err *err)
{
    int code = begin(err);
    arm(scenario, number);
    code = code != ERR_OK ? code : stage_launch(&at.stage, at.preload, err);
    code = code != ERR_OK ? code : live_through(err);
    if (code != ERR_OK || at.stage.broken) {
        return code;
    }
    check_bounds();
    code = stage_feed_end(&at.stage, err);
    code = code != ERR_OK ? code : stage_settle(&at.stage, err);
    code = code != ERR_OK ? code : stage_compare(&at.stage, err);
    return code != ERR_OK ? code : stage_stop(&at.stage, err);
}

/* ---- The layer --------------------------------------------------------------------- */

static int make_control(const struct layer_run *layer_run, struct err *err)
{
    size_t stem = strlen(layer_run->preload) - strlen(".so");
    (void)snprintf(at.preload, sizeof at.preload, "%.*s_control.so", (int)stem,
                   layer_run->preload);
    (void)snprintf(at.control_path, sizeof at.control_path, "%.400s/control",
                   layer_run->dir);
    int fd = open(at.control_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *at.control) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't make %s", at.control_path);
    }
    void *map = mmap(NULL, sizeof *at.control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    at.control = map == MAP_FAILED ? NULL : map;
    if (at.control == NULL || access(at.preload, R_OK) != 0 ||
        setenv("HOLDFAST_FAULTS_CONTROL", at.control_path, 1) != 0) {
        return err_set_errno(err, ERR_IO, errno, "can't use %s", at.preload);
    }
    return ERR_OK;
}

/* How often each scenario's call comes in a run without a fault. */
static int count(size_t number, struct err *err)
{
    const struct scenario *scenario = &scenarios[number];
    int code = run(scenario, UINT64_MAX, err);
    if (code == ERR_OK && at.stage.broken) {
        code = err_set(err, ERR_INTERNAL, 0, "without a fault it is broken already");
    }
    uint64_t calls = at.control->calls[scenario->kind];
    at.calls[number] = calls;
    if (scenario->kind == CONTROL_MEMORY) {
        at.memory_calls = calls;
        at.calls[number] = MEMORY_PLACES;
    }
    engine_kill(&at.stage.engine);
    return code;
}

static bool are_counted_alike(const struct scenario *a, const struct scenario *b)
{
    return a->kind == b->kind && a->family == b->family;
}

static int open_layer(const struct layer_run *layer_run, uint64_t *out_points,
                      struct err *err)
{
    int code = stage_open(&at.stage, layer_run, NULL, err);
    code = code != ERR_OK ? code : make_control(layer_run, err);
    uint64_t points = 0;
    for (size_t i = 0; code == ERR_OK && i < SCENARIOS; i++) {
        size_t j = 0;
        while (!are_counted_alike(&scenarios[i], &scenarios[j])) {
            j++;
        }
        if (j < i) {
            at.calls[i] = at.calls[j];
        } else {
            code = count(i, err);
        }
        at.points[i] = at.calls[i] > POINTS_MIN ? at.calls[i] : POINTS_MIN;
        points += at.points[i];
    }
    *out_points = points;
    return code;
}

static void close_layer(const struct layer_run *layer_run)
{
    (void)layer_run;
    stage_close(&at.stage);
    if (at.control != NULL) {
        (void)munmap(at.control, sizeof *at.control);
    }
}

static void choose(uint64_t point, uint64_t *random, size_t *out_scenario,
                   uint64_t *out_number)
{
    size_t i = 0;
    uint64_t left = point;
    while (i + 1 < SCENARIOS && left >= at.points[i]) {
        left -= at.points[i++];
    }
    left %= at.calls[i] > 0 ? at.calls[i] : 1;
    if (scenarios[i].kind == CONTROL_MEMORY) {
        uint64_t step = at.memory_calls / MEMORY_PLACES + 1;
        left = left * step + layer_random(random) % step;
    }
    *out_scenario = i;
    *out_number = left + 1;
}

static int run_point(const struct layer_run *layer_run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    uint64_t random = seed;
    size_t number = 0;
    uint64_t call = 0;
    (void)layer_run;
    choose(point, &random, &number, &call);
    int code = run(&scenarios[number], call, err);
    bool met = was_met();
    code = stage_end(&at.stage, code, met, out_verdict, err);
    if (code != ERR_OK || *out_verdict == LAYER_BROKEN) {
        (void)printf("  %s, call %llu\n", scenarios[number].name,
                     (unsigned long long)call);
    }
    return code;
}

int main(int argc, char **argv)
{
    static const struct layer nth_fails = {.name = "nth_fails",
                                           .invariants = "I1 I2 I3 I4 I5 I6 I7 I8",
                                           .budget_s = 45,
                                           .in_flight = true,
                                           .open = open_layer,
                                           .point = run_point,
                                           .close = close_layer};
    return layer_main(&nth_fails, argc, argv);
}
