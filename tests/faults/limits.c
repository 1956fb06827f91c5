/* tests/faults/limits.c: see limits.h. */
#include "tests/faults/limits.h"

#include "tests/process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
    STARTS = 6,
    SPACE_MIN_MIB = 120, /* below it the loader finds no room for the libraries */
    SPACE_RANGE_MIB = 1500,
    START_MS = 60000,
    LOOK_MS = 10,
    EXIT_TRY_AGAIN = 75,
    LINE_MAX_LEN = 64,
    TAKINGS = 4,
    SPARE_DESCRIPTORS = 3,
    TAKEN_MS = 300,
};

int limits_configure(struct stage *stage, const char *line, struct err *err)
{
    static char script[HOSTILE_PATH_MAX];
    char text[2 * HOSTILE_PATH_MAX];
    stage->options.binary = stage->run->binary;
    if (line) {
        hostile_path(stage, "limited.sh", script);
        (void)snprintf(text, sizeof text, "#!/bin/sh\n%s && exec '%.400s' \"$@\"\n", line,
                       stage->run->binary);
        int code = hostile_write(script, text, err);
        if (code != 0)
            return code;
        if (chmod(script, 0700) != 0)
            return err_set_errno(err, ERR_IO, errno, "can't make a program of %s",
                                 script);
        stage->options.binary = script;
    }
    return stage_configure(stage, err);
}

/* ---- Address space ----------------------------------------------------------------- */

/* Until it is ready, or has ended. */
static void judge_start(struct stage *stage, unsigned mib)
{
    int64_t end = process_now_ms() + START_MS;
    int code = 0;
    while (engine_pending(&stage->engine) < 0) {
        if (process_wait(stage->engine.pid, LOOK_MS, &code)) {
            stage->engine.pid = 0;
            if (code != EXIT_TRY_AGAIN)
                hostile_breaks(stage, "I6", "with %u MiB the start ends with %d; see %s",
                               mib, code, stage->engine.log);
            return;
        }
        if (process_now_ms() > end) {
            hostile_breaks(stage, "I8", "with %u MiB it neither starts nor ends; see %s",
                           mib, stage->engine.log);
            return;
        }
    }
}

static int start_in_little(struct stage *stage, uint64_t *random, struct err *err)
{
    int code = 0;
    for (unsigned i = 0; code == 0 && i < STARTS && !stage->broken; i++) {
        char line[LINE_MAX_LEN];
        unsigned mib = SPACE_MIN_MIB + (unsigned)(layer_random(random) % SPACE_RANGE_MIB);
        (void)snprintf(line, sizeof line, "ulimit -v %u", mib << 10);
        code = limits_configure(stage, line, err);
        code = code ? code : engine_launch(&stage->engine, err);
        if (code == 0)
            judge_start(stage, mib);
        engine_kill(&stage->engine);
    }
    code = code ? code : limits_configure(stage, NULL, err);
    return code ? code : stage_start(stage, err);
}

int limits_of_space(struct stage *stage, uint64_t seed, struct err *err)
{
    uint64_t random = seed;
    int code = start_in_little(stage, &random, err);
    code = code ? code : stage_feed(stage, err);
    engine_kill(&stage->engine);
    code = code ? code : start_in_little(stage, &random, err);
    code = code ? code : stage_settle(stage, err);
    return code ? code : stage_compare(stage, err);
}

/* ---- Descriptors ------------------------------------------------------------------- */

static rlim_t count_descriptors(pid_t pid)
{
    char path[LINE_MAX_LEN];
    rlim_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

/* Every session but our own. */
static int kill_sessions(struct stage *stage, struct err *err)
{
    int64_t id = 0;
    int code = 0;
    do {
        char sql[200];
        (void)snprintf(sql, sizeof sql,
                       "SELECT MIN(id) FROM information_schema.processlist WHERE db = "
                       "'holdfast' AND id <> CONNECTION_ID() AND id > %lld",
                       (long long)id);
        code = stage_number(stage, sql, &id, err);
        (void)snprintf(sql, sizeof sql, "KILL %lld", (long long)id);
        struct err gone = {0}; /* by itself, meanwhile */
        if (code == 0 && id != 0)
            (void)stage_exec(stage, sql, &gone);
    } while (code == 0 && id != 0);
    return code;
}

static int take_descriptors(struct stage *stage, uint64_t *random, struct err *err)
{
    pid_t pid = stage->engine.pid;
    struct rlimit before;
    rlim_t left = count_descriptors(pid) + layer_random(random) % SPARE_DESCRIPTORS;
    if (prlimit(pid, RLIMIT_NOFILE, NULL, &before) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't read the engine's limits");
    struct rlimit little = {.rlim_cur = left, .rlim_max = before.rlim_max};
    if (prlimit(pid, RLIMIT_NOFILE, &little, NULL) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't take descriptors");
    int code = kill_sessions(stage, err);
    process_sleep_ms(TAKEN_MS);
    if (prlimit(pid, RLIMIT_NOFILE, &before, NULL) != 0 && code == 0)
        code = err_set_errno(err, ERR_IO, errno, "can't give descriptors back");
    return code;
}

int limits_of_descriptors(struct stage *stage, uint64_t seed, struct err *err)
{
    uint64_t random = seed;
    int code = stage_start(stage, err);
    code = code ? code : stage_feed_begin(stage, 2000, err);
    for (unsigned i = 0; code == 0 && i < TAKINGS; i++) {
        process_sleep_ms(20 + (long)(layer_random(&random) % 80));
        code = take_descriptors(stage, &random, err);
    }
    code = code ? code : stage_feed_end(stage, err);
    code = code ? code : stage_settle(stage, err);
    code = code ? code : stage_compare(stage, err);
    return code ? code : stage_stop(stage, err);
}
