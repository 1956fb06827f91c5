/* tests/faults/layer_kill_replay.c: SIGKILL at every call by which replay passes
 * something on, to the server or to the journal, while it applies a backlog to a real
 * server: before the call, after it, and halfway through it.
 *
 * A point is a scenario, a call and a way; `open` counts each scenario's calls in a run
 * that is not killed. Every point starts from the same backlog (a copy of one journal)
 * and from empty tables, and by chance is killed a second time while it recovers, and
 * restarted several times at the end. In flight: a transaction had moved the ledger and
 * had no answer to its COMMIT.
 */
#include "tests/faults/layer.h"
#include "tests/faults/preload_replay.h"
#include "tests/faults/stage.h"

#include "tests/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    SAMPLE_SEED = 20260108,
    RECORDS = 600,
    TRANSACTION_RECORDS = 40,
    LANES_MAX = 2,
    END_TIMEOUT_MS = 60000,
    LOOK_MS = 20,
    SECOND_KILL_ONE_IN = 4,
    SECOND_KILL_CALLS = 120,
    RESTARTS_ONE_IN = 4,
    RESTARTS = 3,
    PATH_SIZE = 512,
};

struct scenario {
    uint32_t lanes;
    bool checked_only;
    bool fresh_tables;
};

static const struct scenario scenarios[] = {
    {1, false, false}, {2, false, false}, {1, true, false},
    {2, true, false},  {2, false, true},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

/* A journal with all of the sample and nothing applied. */
struct backlog {
    char path[PATH_SIZE];
    struct feeder_line *lines;
    uint32_t line_count;
};

/* Of a scenario that is not killed. What comes before the first transaction leaves
 * nothing halfway, so there each call is one point. */
struct count {
    uint64_t before;
    uint64_t calls; /* in all */
};

static struct {
    struct stage stage;
    struct backlog backlogs[LANES_MAX + 1]; /* by the number of lanes */
    struct count counts[SCENARIOS];
    char preload[PATH_SIZE];
    char watch_path[PATH_SIZE];
    struct replay_watch *watch;
} at;

static struct stage_plan plan_of(const struct scenario *scenario)
{
    return (struct stage_plan){.seed = SAMPLE_SEED,
                               .records = RECORDS,
                               .lanes = scenario->lanes,
                               .streams = 1,
                               .transaction_records = TRANSACTION_RECORDS,
                               .checked_only = scenario->checked_only,
                               .fresh_tables = scenario->fresh_tables};
}

/* ---- The backlog ------------------------------------------------------------------- */

static int make_backlog(uint32_t lanes, struct err *err)
{
    struct backlog *backlog = &at.backlogs[lanes];
    struct scenario scenario = {.lanes = lanes};
    struct stage_plan plan = plan_of(&scenario);
    plan.socket = "/nonexistent/holdfast";
    int code = stage_begin(&at.stage, &plan, err);
    code = code ? code : stage_start(&at.stage, err);
    code = code ? code : stage_feed(&at.stage, err);
    code = code ? code : stage_stop(&at.stage, err);
    (void)snprintf(backlog->path, sizeof backlog->path, "%.200s/backlog-%u",
                   at.stage.run->dir, lanes);
    code = code ? code : stage_copy_files(at.stage.engine.journal, backlog->path, err);
    backlog->lines = at.stage.lines;
    backlog->line_count = at.stage.sample.batch_count;
    at.stage.lines = NULL;
    return code;
}

static int begin(const struct scenario *scenario, struct err *err)
{
    const struct backlog *backlog = &at.backlogs[scenario->lanes];
    struct stage_plan plan = plan_of(scenario);
    int code = stage_begin(&at.stage, &plan, err);
    code = code ? code : stage_copy_files(backlog->path, at.stage.engine.journal, err);
    size_t size = backlog->line_count * sizeof *backlog->lines;
    at.stage.lines = code ? NULL : malloc(size);
    if (code == 0 && !at.stage.lines)
        return err_set(err, ERR_NOMEM, 0, "no memory for the producers' log");
    if (code == 0)
        memcpy(at.stage.lines, backlog->lines, size);
    return code;
}

/* ---- A watched run ----------------------------------------------------------------- */

/* What is called applied has an answer to its COMMIT. */
static void check_through(void)
{
    uint32_t open = __atomic_load_n(&at.watch->open, __ATOMIC_SEQ_CST);
    if (open > 0) {
        (void)layer_broken("I1", "all is called applied, and %u transactions are open",
                           open);
        at.stage.broken = true;
    }
}

/* Runs until it is killed or all is applied. *out_ended: it is gone. */
static int run_watched(uint64_t kill_at, enum replay_kill how, bool *out_ended,
                       struct err *err)
{
    engine_kill(&at.stage.engine); /* one that was not met is still there */
    *at.watch = (struct replay_watch){.kill_at = kill_at, .how = how};
    int code = stage_launch(&at.stage, at.preload, err);
    if (code != 0)
        return code;
    int64_t end = process_now_ms() + END_TIMEOUT_MS;
    while (process_now_ms() < end) {
        int exit_code = 0;
        if (process_wait(at.stage.engine.pid, LOOK_MS, &exit_code)) {
            at.stage.engine.pid = 0;
            *out_ended = true;
            return at.watch->killed
                       ? 0
                       : err_set(err, ERR_IO, 0,
                                 "the engine ended by itself with %d; see %s", exit_code,
                                 at.stage.engine.log);
        }
        if (!at.watch->killed && engine_pending(&at.stage.engine) == 0) {
            *out_ended = false;
            check_through();
            return 0;
        }
    }
    return err_set(err, ERR_TIMEOUT, 0, "neither killed nor through after %d s; see %s",
                   END_TIMEOUT_MS / 1000, at.stage.engine.log);
}

static int count_calls(size_t number, struct err *err)
{
    bool ended = false;
    int code = begin(&scenarios[number], err);
    code = code ? code : run_watched(0, KILL_BEFORE, &ended, err);
    if (code != 0)
        return code;
    at.counts[number] = (struct count){at.watch->before, at.watch->calls};
    if (at.watch->begun < scenarios[number].lanes)
        return err_set(err, ERR_INTERNAL, 0,
                       "%llu transactions of replay were seen: the preload doesn't see "
                       "what it should",
                       (unsigned long long)at.watch->begun);
    code = stage_compare(&at.stage, err);
    if (code == 0 && at.stage.broken)
        code = err_set(err, ERR_INTERNAL, 0, "without a kill it is broken already");
    engine_kill(&at.stage.engine);
    return code;
}

/* ---- The layer ----------------------------------------------------------------------
 */

static int open_watch(const struct layer_run *run, struct err *err)
{
    size_t stem = strlen(run->preload) - strlen(".so");
    (void)snprintf(at.preload, sizeof at.preload, "%.*s_replay.so", (int)stem,
                   run->preload);
    (void)snprintf(at.watch_path, sizeof at.watch_path, "%.200s/watch", run->dir);
    int fd = open(at.watch_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *at.watch) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", at.watch_path);
    void *map = mmap(NULL, sizeof *at.watch, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        return err_set_errno(err, ERR_IO, errno, "can't map %s", at.watch_path);
    at.watch = map;
    if (access(at.preload, R_OK) != 0 ||
        setenv("HOLDFAST_REPLAY_WATCH", at.watch_path, 1) != 0 ||
        setenv("HOLDFAST_REPLAY_SOCKET", at.stage.server.socket, 1) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't use %s", at.preload);
    return 0;
}

static uint64_t points_of(const struct count *count)
{
    return count->before + (count->calls - count->before) * KILL_WAYS;
}

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    int code = stage_open(&at.stage, run, NULL, err);
    code = code ? code : open_watch(run, err);
    for (uint32_t lanes = 1; code == 0 && lanes <= LANES_MAX; lanes++)
        code = make_backlog(lanes, err);
    uint64_t points = 0;
    for (size_t i = 0; code == 0 && i < SCENARIOS; i++) {
        code = count_calls(i, err);
        points += points_of(&at.counts[i]);
    }
    if (code == 0)
        *out_points = points;
    return code;
}

/* The point's scenario, call and way. */
static bool find_point(uint64_t point, size_t *out_scenario, uint64_t *out_call,
                       enum replay_kill *out_how)
{
    for (size_t i = 0; i < SCENARIOS; i++) {
        const struct count *count = &at.counts[i];
        if (point >= points_of(count)) {
            point -= points_of(count);
            continue;
        }
        uint64_t within = point < count->before ? 0 : point - count->before;
        *out_scenario = i;
        *out_call =
            point < count->before ? point + 1 : count->before + within / KILL_WAYS + 1;
        *out_how = (enum replay_kill)(within % KILL_WAYS);
        return true;
    }
    return false;
}

static int recover(uint64_t random, struct err *err)
{
    bool ended = true;
    int code = 0;
    if (layer_random(&random) % SECOND_KILL_ONE_IN == 0) {
        uint64_t call = 1 + layer_random(&random) % SECOND_KILL_CALLS;
        code = run_watched(call, KILL_BEFORE, &ended, err);
    }
    engine_kill(&at.stage.engine);
    code = code ? code : stage_start(&at.stage, err);
    code = code ? code : stage_settle(&at.stage, err);
    code = code ? code : stage_compare(&at.stage, err);
    if (code == 0 && layer_random(&random) % RESTARTS_ONE_IN == 0)
        code = stage_restart_alike(&at.stage, RESTARTS, err);
    return code;
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    size_t scenario = 0;
    uint64_t call = 0;
    enum replay_kill how = KILL_BEFORE;
    (void)run;
    if (!find_point(point, &scenario, &call, &how)) {
        *out_verdict = LAYER_END;
        return 0;
    }
    bool ended = false;
    int code = begin(&scenarios[scenario], err);
    code = code ? code : run_watched(call, how, &ended, err);
    bool in_flight = ended && at.watch->open_at_kill > 0;
    char what[REPLAY_WHAT_MAX];
    memcpy(what, at.watch->what, sizeof what);
    code = code ? code : recover(seed, err);
    code = stage_end(&at.stage, code, in_flight, out_verdict, err);
    if (code != 0 || *out_verdict == LAYER_BROKEN)
        (void)printf("  lanes %u%s%s, killed %s call %llu: %s\n",
                     scenarios[scenario].lanes,
                     scenarios[scenario].checked_only ? ", checked path" : "",
                     scenarios[scenario].fresh_tables ? ", fresh tables" : "",
                     how == KILL_BEFORE  ? "before"
                     : how == KILL_AFTER ? "after"
                                         : "halfway through",
                     (unsigned long long)call, what);
    return code;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    stage_close(&at.stage);
    for (size_t i = 0; i <= LANES_MAX; i++)
        free(at.backlogs[i].lines);
    if (at.watch)
        (void)munmap(at.watch, sizeof *at.watch);
}

int main(int argc, char **argv)
{
    static const struct layer layer = {
        .name = "kill_replay",
        .invariants = "I1 I2 I3 I4 I8 I10",
        .budget_s = 60,
        .in_flight = true,
        .open = open_layer,
        .point = run_point,
        .close = close_layer,
    };
    return layer_main(&layer, argc, argv);
}
