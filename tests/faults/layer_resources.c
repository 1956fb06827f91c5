/* The layer "resources": too little memory, too few descriptors, a full journal, a
 * clock that jumps, an engine that stands still, ten restarts, a longer run, a disk that
 * the journal fills, and limits (limits.h). A point is one of these. */
#include "tests/faults/limits.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEMORY_LIMIT = 160 << 20,
    ADDRESS_LIMIT_MIB = 3072,
    BODY_BYTES = 4 << 20,
    SENDERS = 8,
    CONNECTIONS = 128,
    DESCRIPTORS = 128, /* a few more than the engine needs for itself */
    FULL_TIMEOUT_MS = 60000,
    BATCH = 50,
    TAKEN_AGAIN = 100,
    DISK_ROUNDS = 3,
    FLAT_KB = 24 << 10,
    RESTARTS = 10,
};

static const int64_t day_s = 86400;

static struct stage stage;

/* ---- What the engine takes ------------------------------------------------------------
 */

struct taken {
    int64_t anonymous_kb;
    int64_t threads;
    int64_t descriptors;
    int64_t cpu_ms;
};

static int64_t number_after(struct buf *text, const char *name)
{
    const char *at = buf_text(text) ? strstr(buf_text(text), name) : NULL;
    return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

static int64_t cpu_ms(pid_t pid)
{
    char path[64];
    struct buf text = {0};
    unsigned long user = 0;
    unsigned long system = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    (void)hostile_read(path, &text);
    const char *at = buf_text(&text) ? strrchr(buf_text(&text), ')') : NULL;
    if (at)
        (void)sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                     &system);
    buf_free(&text);
    return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

static struct taken look(void)
{
    char path[64];
    struct buf text = {0};
    struct taken taken = {.cpu_ms = cpu_ms(stage.engine.pid)};
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)stage.engine.pid);
    (void)hostile_read(path, &text);
    taken.anonymous_kb = number_after(&text, "RssAnon:");
    taken.threads = number_after(&text, "Threads:");
    buf_free(&text);
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)stage.engine.pid);
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        taken.descriptors++;
    if (dir)
        (void)closedir(dir);
    return taken;
}

static bool is_alive(void)
{
    struct buf out = {0};
    int status = http_probe_get(stage.port, "/healthz", &out);
    buf_free(&out);
    return status == 200;
}

static int begin(const struct stage_plan *plan, const char *journal, const char *intake,
                 struct err *err)
{
    int code = stage_begin(&stage, plan, err);
    if (journal)
        stage.options.journal = journal;
    stage.options.intake = intake;
    return code ? code : stage_configure(&stage, err);
}

/* All sent, all applied, all as it was sent. */
static int finish(struct err *err)
{
    int code = stage_feed(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    return code ? code : stage_compare(&stage, err);
}

/* ---- Memory
 * ----------------------------------------------------------------------------- */

static char group[HOSTILE_PATH_MAX];

static bool write_group(const char *name, long long value)
{
    char path[HOSTILE_PATH_MAX + 64];
    char text[32];
    (void)snprintf(path, sizeof path, "%s/%s", group, name);
    int len = snprintf(text, sizeof text, "%lld", value);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool fine = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (fd >= 0)
        (void)close(fd);
    return fine;
}

/* Into a control group of its own with so little memory: version 1, or 2, or else only
 * its address space is bounded, which is said. */
static int limit_memory(struct err *err)
{
    static const struct {
        const char *parent;
        const char *limit;
    } ways[] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                {"/sys/fs/cgroup", "memory.max"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        (void)snprintf(group, sizeof group, "%s/holdfast-faults-%d", ways[i].parent,
                       (int)getpid());
        if (mkdir(group, 0755) == 0 && write_group(ways[i].limit, MEMORY_LIMIT) &&
            write_group("cgroup.procs", stage.engine.pid))
            return 0;
        (void)rmdir(group);
    }
    group[0] = '\0';
    (void)printf("  no control group for memory here: the address space is bounded\n");
    struct rlimit limit = {(rlim_t)ADDRESS_LIMIT_MIB << 20,
                           (rlim_t)ADDRESS_LIMIT_MIB << 20};
    return prlimit(stage.engine.pid, RLIMIT_AS, &limit, NULL) == 0
               ? 0
               : err_set_errno(err, ERR_IO, errno, "can't bound the engine's memory");
}

/* Bodies of 4 MiB of what is no record, from several sides at once: each piece would be
 * told of, were there a record beside it. */
static void *send_bodies(void *context)
{
    (void)context;
    enum { TIMES = 12 };
    char *body = malloc(BODY_BYTES);
    if (!body)
        return NULL;
    for (size_t i = 0; i + 1 < BODY_BYTES; i += 2) {
        body[i] = '1';
        body[i + 1] = ',';
    }
    body[0] = '[';
    body[1] = ' ';
    body[BODY_BYTES - 1] = ']';
    for (unsigned i = 0; i < TIMES; i++)
        (void)hostile_post(&stage, "mozi", slice_of(body, BODY_BYTES), NULL);
    free(body);
    return NULL;
}

static int little_memory(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed, .records = 2000, .lanes = 2};
    pthread_t senders[SENDERS];
    unsigned started = 0;
    int code = begin(&plan, NULL,
                     ", max_body: 4MiB, max_bodies: 24MiB, max_entry_records: 2000", err);
    code = code ? code : stage_start(&stage, err);
    code = code ? code : limit_memory(err);
    while (code == 0 && started < SENDERS &&
           pthread_create(&senders[started], NULL, send_bodies, NULL) == 0)
        started++;
    code = code ? code : finish(err);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(senders[i], NULL);
    if (code == 0 && !is_alive())
        hostile_breaks(&stage, "I6", "the engine is gone for want of memory");
    engine_kill(&stage.engine);
    if (group[0])
        (void)rmdir(group);
    return code;
}

/* ---- Descriptors
 * ------------------------------------------------------------------------ */

/* Silent connections, more than there are descriptors for, and how much the engine works
 * meanwhile. */
static int crowd(struct err *err)
{
    int fds[CONNECTIONS];
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = hostile_connect(stage.port);
    int64_t from = process_now_ms();
    int64_t cpu = cpu_ms(stage.engine.pid);
    process_sleep_ms(2000);
    cpu = cpu_ms(stage.engine.pid) - cpu;
    if (cpu * 3 > process_now_ms() - from)
        hostile_breaks(&stage, "I6", "without a descriptor left it turns round: %lld ms",
                       (long long)cpu);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    int code = finish(err);
    if (code == 0 && !is_alive())
        hostile_breaks(&stage, "I8", "it does not recover from too few descriptors");
    return code;
}

static int few_descriptors(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed, .streams = 1};
    char line[32];
    (void)snprintf(line, sizeof line, "ulimit -n %d", DESCRIPTORS);
    int code = begin(&plan, NULL, ", idle_timeout: 60s", err);
    code = code ? code : limits_configure(&stage, line, err);
    code = code ? code : stage_start(&stage, err);
    return code ? code : crowd(err);
}

static int no_descriptors(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed, .records = 1500, .lanes = 2};
    int code = begin(&plan, NULL, NULL, err);
    return code ? code : limits_of_descriptors(&stage, seed, err);
}

static int little_space(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed, .records = 1500, .lanes = 2};
    int code = begin(&plan, NULL, NULL, err);
    return code ? code : limits_of_space(&stage, seed, err);
}

/* ---- Full
 * --------------------------------------------------------------------------------- */

/* Producers begin, or go on, while the database stands still, until the journal refuses,
 * or all is taken. */
static int fill(bool *out_refused, struct err *err)
{
    struct feeder_progress progress = {0};
    int64_t end = process_now_ms() + FULL_TIMEOUT_MS;
    if (kill(stage.server.pid, SIGSTOP) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't stop the server");
    int code = stage.feeder ? 0 : stage_feed_begin(&stage, 0, err);
    if (code == 0)
        feeder_progress(stage.feeder, &progress);
    uint64_t busy = progress.busy;
    while (code == 0 && progress.busy == busy && !progress.done &&
           process_now_ms() < end) {
        process_sleep_ms(10);
        feeder_progress(stage.feeder, &progress);
    }
    if (!is_alive())
        hostile_breaks(&stage, "I7", "a full journal ends the engine");
    (void)kill(stage.server.pid, SIGCONT);
    *out_refused = progress.busy > busy;
    return code;
}

/* Until so many more batches were taken as it is worth to fill it again. */
static void await_intake(void)
{
    struct feeder_progress progress;
    int64_t end = process_now_ms() + FULL_TIMEOUT_MS;
    feeder_progress(stage.feeder, &progress);
    uint32_t wanted = progress.batches + TAKEN_AGAIN;
    while (progress.batches < wanted && !progress.done && process_now_ms() < end) {
        process_sleep_ms(10);
        feeder_progress(stage.feeder, &progress);
    }
    if (progress.batches < wanted && !progress.done)
        hostile_breaks(&stage, "I8", "the database is back, and intake still refuses");
}

/* Feeds while the database stands still until the journal refuses, then lets it drain,
 * and again. What was taken instead of refused must be there all the same. */
static int fill_and_drain(unsigned rounds, struct err *err)
{
    bool refused = true;
    int code = stage_start(&stage, err);
    code = code ? code : stage_exec(&stage, "SELECT 1", err);
    for (unsigned i = 0; code == 0 && refused && i < rounds && !stage.broken; i++) {
        code = fill(&refused, err);
        if (code == 0)
            await_intake();
    }
    if (code != 0 || stage.broken)
        return code;
    code = stage_feed_end(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    code = code ? code : stage_compare(&stage, err);
    return code || refused || stage.broken
               ? code
               : err_set(err, ERR_INTERNAL, 0, "all fits: nothing was refused");
}

static int full_journal(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed,
                              .records = 12000,
                              .server = ", timeouts: {call: 2s, lock_wait: 1s}"};
    int code = begin(&plan, ", max_size: 1MiB, preallocate: 0, retain: 1h", NULL, err);
    return code ? code : fill_and_drain(1, err);
}

/* The disk goes with the point: a journal that says why it failed is kept beside it. */
static int leave_disk(const char *disk, int code, struct err *err)
{
    engine_kill(&stage.engine);
    if (code != 0 || stage.broken) {
        char kept[HOSTILE_PATH_MAX];
        struct err later = {0};
        hostile_path(&stage, "full-journal", kept);
        (void)stage_copy_files(stage.engine.journal, kept, &later);
    }
    if (umount2(disk, MNT_DETACH) != 0 && code == 0)
        code = err_set_errno(err, ERR_IO, errno, "can't unmount %s", disk);
    return code;
}

/* A disk of its own, which the journal fills long before its max_size. */
static int full_disk(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed,
                              .records = 60000,
                              .server = ", timeouts: {call: 2s, lock_wait: 1s}"};
    char disk[HOSTILE_PATH_MAX];
    hostile_path(&stage, "disk", disk);
    if (mkdir(disk, 0700) != 0 && errno != EEXIST)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", disk);
    if (!stage_mount_small(&stage, disk, "size=3M,mode=0700"))
        return 0;
    int code =
        begin(&plan, ", max_size: 1GiB, preallocate: 256KiB, reserve: 512KiB, retain: 1h",
              NULL, err);
    stage.options.disk = disk;
    code = code ? code : stage_configure(&stage, err);
    code = code ? code : fill_and_drain(DISK_ROUNDS, err);
    return leave_disk(disk, code, err);
}

/* ---- Time
 * --------------------------------------------------------------------------------- */

static int set_clock(const char *path, int64_t offset_s, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool fine = fd >= 0 && pwrite(fd, &offset_s, sizeof offset_s, 0) == sizeof offset_s;
    int failed = errno;
    if (fd >= 0)
        fine = close(fd) == 0 && fine;
    return fine ? 0 : err_set_errno(err, ERR_IO, failed, "can't write %s", path);
}

static int wait_ready(struct err *err)
{
    int64_t end = process_now_ms() + ENGINE_READY_TIMEOUT_MS;
    while (!is_alive()) {
        if (process_now_ms() > end)
            return err_set(err, ERR_TIMEOUT, 0, "the engine is not ready; see %s",
                           stage.engine.log);
        process_sleep_ms(10);
    }
    return 0;
}

static int clock_jumps(uint64_t seed, struct err *err)
{
    const int64_t offsets[] = {day_s, -day_s, 0, -2 * day_s, 2 * day_s, 0};
    struct stage_plan plan = {.seed = seed, .records = 1500, .lanes = 2};
    char path[HOSTILE_PATH_MAX];
    char preload[HOSTILE_PATH_MAX];
    hostile_path(&stage, "clock", path);
    (void)snprintf(preload, sizeof preload, "%s/tests/libfaults_preload_clock.so",
                   getenv("HOLDFAST_BUILD"));
    int code = begin(&plan, ", max_size: 1GiB, preallocate: 1MiB, retain: 1h", NULL, err);
    code = code ? code : set_clock(path, 0, err);
    if (code == 0 && setenv("FAULTS_CLOCK", path, 1) != 0)
        code = err_set(err, ERR_NOMEM, 0, "no memory");
    code = code ? code : stage_launch(&stage, preload, err);
    (void)unsetenv("FAULTS_CLOCK");
    code = code ? code : wait_ready(err);
    code = code ? code : stage_feed_begin(&stage, 2000, err);
    for (size_t i = 0; code == 0 && i < sizeof offsets / sizeof offsets[0]; i++) {
        process_sleep_ms(150);
        code = set_clock(path, offsets[i], err);
    }
    code = code ? code : stage_feed_end(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    code = code ? code : stage_compare(&stage, err);
    return code ? code : stage_stop(&stage, err);
}

/* Longer than the server keeps a silent session, and while producers go on. */
static int stands_still(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {
        .seed = seed, .records = 1500, .lanes = 2, .server = ", timeouts: {idle: 1s}"};
    uint64_t random = seed;
    int code = begin(&plan, NULL, NULL, err);
    code = code ? code : stage_start(&stage, err);
    code = code ? code : stage_feed_begin(&stage, 2000, err);
    for (unsigned i = 0; code == 0 && i < 4; i++) {
        process_sleep_ms(20 + (long)(layer_random(&random) % 80));
        if (kill(stage.engine.pid, SIGSTOP) != 0)
            code = err_set_errno(err, ERR_IO, errno, "can't stop the engine");
        process_sleep_ms(i % 2 ? 2500 : 200);
        (void)kill(stage.engine.pid, SIGCONT);
    }
    code = code ? code : stage_feed_end(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    return code ? code : stage_compare(&stage, err);
}

static int ten_restarts(uint64_t seed, struct err *err)
{
    struct stage_plan plan = {.seed = seed, .records = 1000, .lanes = 2};
    int code = begin(&plan, NULL, NULL, err);
    code = code ? code : stage_start(&stage, err);
    code = code ? code : finish(err);
    code = code ? code : stage_restart_alike(&stage, RESTARTS, err);
    return code ? code : stage_compare(&stage, err);
}

/* ---- A longer run
 * --------------------------------------------------------------------------- */

static void append_batch(struct buf *out, uint64_t number)
{
    for (unsigned i = 0; i < BATCH; i++)
        buf_printf(out,
                   "{\"ip\":\"10.%u.%u.%u\",\"timestamp\":%llu,\"event_type\":\"beacon\","
                   "\"country\":\"c%llu\"}\n",
                   (unsigned)(number >> 8 & 255), (unsigned)(number & 255), i,
                   1767225600ULL + number, (unsigned long long)(number % 50));
}

static int send_round(uint64_t *number, unsigned batches)
{
    for (unsigned i = 0; i < batches; i++) {
        struct buf body = {0};
        append_batch(&body, (*number)++);
        int status = hostile_post(&stage, "mozi", buf_slice(&body), NULL);
        buf_free(&body);
        if (status != 200)
            hostile_breaks(&stage, "I8", "batch %llu is answered with %d",
                           (unsigned long long)*number, status);
    }
    return 0;
}

/* What it takes after a tenth of the run and at its end. */
static int stays_flat(enum layer_mode mode, struct err *err)
{
    unsigned batches = mode == LAYER_QUICK ? 150 : mode == LAYER_SOAK ? 20000 : 3000;
    struct stage_plan plan = {.records = 20, .streams = 1, .lanes = 2};
    int64_t rows = 0;
    uint64_t number = 0;
    int code =
        begin(&plan, ", max_size: 256MiB, preallocate: 8MiB, retain: 1s", NULL, err);
    code = code ? code : stage_start(&stage, err);
    if (code != 0)
        return code;
    (void)send_round(&number, batches);
    struct taken before = look();
    for (unsigned i = 0; i < 9; i++)
        (void)send_round(&number, batches);
    struct taken after = look();
    if (after.threads > before.threads)
        hostile_breaks(&stage, "I6", "threads: %lld, then %lld",
                       (long long)before.threads, (long long)after.threads);
    if (after.descriptors > before.descriptors + 2)
        hostile_breaks(&stage, "I6", "descriptors: %lld, then %lld",
                       (long long)before.descriptors, (long long)after.descriptors);
    if (after.anonymous_kb > before.anonymous_kb + FLAT_KB)
        hostile_breaks(&stage, "I6", "memory: %lld KiB, then %lld",
                       (long long)before.anonymous_kb, (long long)after.anonymous_kb);
    code = stage_number(&stage, "SELECT COUNT(*) FROM botnet_communications_mozi", &rows,
                        err);
    if (code == 0 && (uint64_t)rows != number * BATCH)
        hostile_breaks(&stage, "I1", "%lld rows, not %llu", (long long)rows,
                       (unsigned long long)number * BATCH);
    return code;
}

/* ---- The layer
 * -------------------------------------------------------------------------------- */

static const struct point {
    const char *name;
    int (*run)(uint64_t seed, struct err *err);
} points[] = {
    {"little memory", little_memory},
    {"few descriptors", few_descriptors},
    {"a full journal", full_journal},
    {"the clock jumps", clock_jumps},
    {"the engine stands still", stands_still},
    {"ten restarts", ten_restarts},
    {"a longer run", NULL},
    {"a full disk", full_disk},
    {"no descriptors", no_descriptors},
    {"little address space", little_space},
};
enum { POINTS = sizeof points / sizeof points[0] };

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    *out_points = POINTS;
    return stage_open(&stage, run, NULL, err);
}

static int run_point(const struct layer_run *run, uint64_t number, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    if (number >= POINTS) {
        *out_verdict = LAYER_END;
        return 0;
    }
    const struct point *point = &points[number];
    int code = point->run ? point->run(seed, err) : stays_flat(run->mode, err);
    code = stage_end(&stage, code, true, out_verdict, err);
    if (code != 0 || *out_verdict == LAYER_BROKEN)
        (void)printf("  in: %s\n", point->name);
    return code;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    stage_close(&stage);
}

static const char *point_name(uint64_t point)
{
    return point < POINTS ? points[point].name : NULL;
}

int main(int argc, char **argv)
{
    static const struct layer layer = {.name = "resources",
                                       .invariants = "I1 I2 I3 I4 I6 I7 I8 I10",
                                       .each = true,
                                       .budget_s = 60,
                                       .point_name = point_name,
                                       .open = open_layer,
                                       .point = run_point,
                                       .close = close_layer};
    return layer_main(&layer, argc, argv);
}
