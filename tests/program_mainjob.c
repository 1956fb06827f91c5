/* program_mainjob: the whole promise before one's eyes.
 *
 *     program_mainjob ENGINE VAR [--once]
 *
 * A private database server, the engine, producers that feed it a sample and keep their
 * own log; the engine is killed (SIGKILL) three times while one of its database
 * transactions is open and has modified rows, and started again; then what the producers
 * were told is compared with what the database holds. A kill counts only with the
 * server's own word for the open transaction: the engine is stopped (SIGSTOP), the server
 * is asked twice, and the kill meets the engine where it stood.
 *
 * Afterwards it serves until TERM or INT; with --once it ends. Last line: one JSON
 * object. Exit code 1 where anything is off.
 */
#include "tests/engine_process.h"
#include "tests/feeder.h"
#include "tests/oracle.h"
#include "tests/private_server.h"
#include "tests/process.h"
#include "tests/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PRODUCERS = 8,
    CRASHES = 3,
    RECORDS = 60000,
    BATCH_MAX = 400,
    PAUSE_US = 50000,
    PORT = 8640,
    MEET_TIMEOUT_MS = 60000,
    APPLY_TIMEOUT_MS = 300000,
    STOP_TIMEOUT_MS = 30000,
    FEED_TIMEOUT_MS = 600000,
    EXIT_INTERRUPTED = 130,
    JOB_PATH_MAX = 200,
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

struct job {
    const char *binary;
    bool once;
    bool tty;
    char run_dir[JOB_PATH_MAX];
    struct private_server server;
    MYSQL *session;
    struct engine_process engine;
    struct sample sample;
    struct feeder *feeder;
    struct feeder_line *lines;
    uint64_t random;
    uint32_t crashes;
    int64_t started_ms;
};

/* A line for the reader; on a terminal it takes the place of the progress line. */
__attribute__((format(printf, 2, 3))) static void say(const struct job *job,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s", job->tty ? "\r\x1b[K" : "");
    vprintf(format, args);
    printf("\n");
    (void)fflush(stdout);
    va_end(args);
}

/* ---- Preparing ------------------------------------------------------------------- */

/* The process that a lock file names, 0 where it names none that lives. */
static pid_t holder(int fd)
{
    char text[32] = "";
    if (pread(fd, text, sizeof text - 1, 0) <= 0)
        return 0;
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) ? pid : 0;
}

/* Only one job at a time in one directory: a second one would wipe what the first uses.
 * The lock belongs to the open file, which the servers inherit: after a job that was
 * killed it is free as soon as they have ended too. */
static int take_lock(const char *var, struct err *err)
{
    char path[JOB_PATH_MAX + 16];
    char own[32];
    if (mkdir(var, 0755) != 0 && errno != EEXIST)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", var);
    (void)snprintf(path, sizeof path, "%s/lock", var);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "can't open %s", path);
    int64_t end = process_now_ms() + STOP_TIMEOUT_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        pid_t other = holder(fd);
        if (other != 0 || process_now_ms() > end)
            return err_set(err, ERR_LOCKED, 0,
                           "another run.sh (process %d) uses %s: end it with Ctrl-C, or "
                           "wait until it has ended",
                           (int)other, var);
        process_sleep_ms(100);
    }
    int len = snprintf(own, sizeof own, "%d", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, own, (size_t)len, 0) != len)
        return err_set_errno(err, ERR_IO, errno, "can't write %s", path);
    return 0;
}

static int fresh_directory(const char *path, struct err *err)
{
    const char *argv[] = {"rm", "-rf", "--", path, NULL};
    pid_t pid;
    int exit_code = -1;
    int code = process_start(argv, "/dev/null", SIGKILL, &pid, err);
    if (code != 0)
        return code;
    if (!process_wait(pid, STOP_TIMEOUT_MS, &exit_code))
        process_kill(pid);
    if (exit_code != 0 || mkdir(path, 0700) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't make a fresh %s", path);
    return 0;
}

static int start_database(struct job *job, struct err *err)
{
    char dir[JOB_PATH_MAX + 8];
    (void)snprintf(dir, sizeof dir, "%s/db", job->run_dir);
    say(job, "database   a private MariaDB in %s", dir);
    int code = private_server_start(&job->server, dir, err);
    if (code != 0)
        return code;
    job->session = private_server_connect(&job->server);
    if (!job->session)
        return err_set(err, ERR_IO, 0, "no session; see %s", job->server.log);
    return 0;
}

static int start_engine(struct job *job, struct err *err)
{
    uint16_t port = process_free_port(PORT);
    if (port == 0)
        return err_set(err, ERR_IO, 0, "no free port from %d on", PORT);
    struct engine_options options = {
        .dir = job->run_dir,
        .name = "engine",
        .binary = job->binary,
        .socket = job->server.socket,
        .database = "holdfast",
        .port = port,
        .more = "replay: {connections: 2}",
    };
    int code = engine_configure(&job->engine, &options, err);
    if (code == 0)
        code = engine_start(&job->engine, err);
    if (code != 0)
        return code;
    say(job, "engine     http://127.0.0.1:%u/   (%s)", (unsigned)port,
        job->engine.config);
    say(job,
        "try        curl --data-binary '{\"ip\":\"203.0.113.9\",\"timestamp\":"
        "\"2026-01-08 01:04:26\",\"event_type\":\"beacon\"}' "
        "'http://127.0.0.1:%u/v1/streams/mozi/records?wait=applied'",
        (unsigned)port);
    return 0;
}

/* ---- Feeding, and killing meanwhile ------------------------------------------------ */

/* Records in the database by its ledger, 0 before there is one. */
static uint64_t applied(struct job *job)
{
    uint64_t records = 0;
    if (mysql_query(job->session,
                    "SELECT COALESCE(SUM(records), 0) FROM holdfast_ledger"))
        return 0;
    MYSQL_RES *result = mysql_store_result(job->session);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    if (row)
        records = strtoull(row[0], NULL, 10);
    mysql_free_result(result);
    return records;
}

static void show_progress(struct job *job)
{
    struct feeder_progress now;
    feeder_progress(job->feeder, &now);
    printf("%sfeeding    %u of %u batches, %llu records acknowledged, %llu applied, "
           "%llu sends without answer%s",
           job->tty ? "\r\x1b[K" : "", now.batches, job->sample.batch_count,
           (unsigned long long)now.records, (unsigned long long)applied(job),
           (unsigned long long)now.unknown, job->tty ? "" : "\n");
    (void)fflush(stdout);
}

/* Waits for so many acknowledged batches and shows how it goes. */
static int feed_until(struct job *job, uint32_t batches, struct err *err)
{
    uint32_t step_ms = job->tty ? 200 : 1000;
    int64_t end = process_now_ms() + FEED_TIMEOUT_MS;
    while (!interrupted && process_now_ms() < end) {
        bool reached = feeder_wait(job->feeder, batches, step_ms);
        show_progress(job);
        if (reached)
            return 0;
        if (!process_alive(job->engine.pid))
            return err_set(err, ERR_IO, 0, "the engine has ended by itself; see %s",
                           job->engine.log);
    }
    return err_set(err, interrupted ? ERR_CLOSED : ERR_TIMEOUT, 0,
                   interrupted ? "interrupted" : "the engine takes no more batches");
}

static int crash(struct job *job, struct err *err)
{
    struct engine_transaction open;
    int code = engine_freeze_in_transaction(&job->engine, job->session, &job->random,
                                            MEET_TIMEOUT_MS, &open, err);
    if (code != 0)
        return code;
    struct feeder_progress before;
    feeder_progress(job->feeder, &before);
    engine_kill(&job->engine);
    job->crashes++;
    uint64_t stored = applied(job);
    say(job,
        "crash %u    kill -9 in transaction %llu (%llu rows modified, not committed), "
        "%u requests in flight",
        job->crashes, (unsigned long long)open.id, (unsigned long long)open.rows,
        before.in_flight);
    say(job,
        "           %llu records acknowledged, %llu in the database: the rest is in "
        "the journal alone",
        (unsigned long long)before.records, (unsigned long long)stored);
    int64_t from = process_now_ms();
    code = engine_start(&job->engine, err);
    if (code != 0)
        return code;
    int64_t pending = engine_pending(&job->engine);
    say(job,
        "           back after %lld ms; %lld records pending, replay goes on from the "
        "ledger",
        (long long)(process_now_ms() - from), (long long)pending);
    return pending < 0 ? err_set(err, ERR_IO, 0, "no status from the engine") : 0;
}

static int feed(struct job *job, struct err *err)
{
    struct feeder_config config = {.sample = &job->sample,
                                   .producers = PRODUCERS,
                                   .port = job->engine.port,
                                   .pause_us = PAUSE_US};
    uint32_t batches = job->sample.batch_count;
    say(job, "feeding    %u batches by %d producers, who keep their own log", batches,
        PRODUCERS);
    int code = feeder_start(&config, &job->feeder, err);
    for (uint32_t i = 0; i < CRASHES && code == 0; i++) {
        code = feed_until(job, batches * (i + 1) / (CRASHES + 2), err);
        if (code == 0)
            code = crash(job, err);
    }
    if (code == 0)
        code = feed_until(job, batches, err);
    return code;
}

/* ---- Comparing --------------------------------------------------------------------- */

static void print_json(const struct job *job, const struct oracle_report *report,
                       int64_t pending)
{
    /* A send without key whose answer was lost is sent again: where both were taken, both
     * were sent, and the second makes duplicates. */
    uint64_t sent = report->sent + report->accepted - report->told;
    printf("{\"sent\":%llu,\"accepted\":%llu,\"events\":%llu,\"duplicates\":%llu,"
           "\"conflicts\":%llu,\"dead_lettered\":%llu,\"pending\":%lld,\"lost\":%llu,"
           "\"entities\":%llu,\"entities_without_events\":%llu,"
           "\"count_mismatches\":%llu,\"crashes\":%u}\n",
           (unsigned long long)sent, (unsigned long long)report->accepted,
           (unsigned long long)report->events, (unsigned long long)report->duplicates,
           (unsigned long long)report->conflicts, (unsigned long long)report->dead,
           (long long)pending, (unsigned long long)report->lost,
           (unsigned long long)report->entities,
           (unsigned long long)report->entities_without_events,
           (unsigned long long)report->count_mismatches, job->crashes);
    (void)fflush(stdout);
}

static int compare(struct job *job, struct oracle_report *out_report, struct err *err)
{
    struct oracle_log log = {.sample = &job->sample, .lines = job->lines};
    int64_t accepted = engine_accepted(&job->engine);
    if (accepted < 0)
        return err_set(err, ERR_IO, 0, "no status from the engine");
    struct oracle_context context = {.accepted = (uint64_t)accepted};
    int code = oracle_compare(job->session, &log, 1, &context, out_report, err);
    if (code != 0)
        return code;
    struct buf text = {0};
    oracle_describe(out_report, &text);
    say(job, "compared   %.*s", (int)text.len, text.data);
    buf_free(&text);
    return 0;
}

/* The engine's own audit, over journal, ledger and tables: it must agree. */
static int ask_audit(struct job *job, struct err *err)
{
    const char *args[] = {"audit", NULL};
    struct buf text = {0};
    int exit_code = engine_command(&job->engine, args, &text);
    say(job, "audit      %s (holdfast audit, exit code %d)",
        exit_code == 0 ? "the law of conservation holds" : "FAILED", exit_code);
    int code = 0;
    if (exit_code != 0)
        code = err_set(err, ERR_INTERNAL, 0, "holdfast audit: %.*s", (int)text.len,
                       text.data);
    buf_free(&text);
    return code;
}

static int settle(struct job *job, bool *out_clean, struct oracle_report *out_report,
                  struct err *err)
{
    say(job, "fed        all batches are acknowledged; waiting until all are applied");
    job->lines = feeder_finish(job->feeder);
    job->feeder = NULL;
    int code = engine_wait_applied(&job->engine, APPLY_TIMEOUT_MS, err);
    if (code == 0)
        code = compare(job, out_report, err);
    if (code == 0)
        code = ask_audit(job, err);
    *out_clean = code == 0 && oracle_clean(out_report) && job->crashes >= CRASHES;
    return code;
}

static void serve(struct job *job)
{
    say(job, "serving    http://127.0.0.1:%u/ until Ctrl-C", (unsigned)job->engine.port);
    while (!interrupted && process_alive(job->engine.pid))
        process_sleep_ms(200);
    if (!interrupted)
        say(job, "the engine has ended by itself; see %s", job->engine.log);
}

/* ---- The whole --------------------------------------------------------------------- */

static int run(struct job *job, struct err *err)
{
    struct sample_config config;
    sample_config_defaults(&config);
    config.records = RECORDS;
    config.batch_max = BATCH_MAX;
    job->random = config.seed;
    int code = sample_new(&config, &job->sample, err);
    if (code == 0)
        code = fresh_directory(job->run_dir, err);
    if (code == 0)
        code = start_database(job, err);
    if (code == 0)
        code = start_engine(job, err);
    return code == 0 ? feed(job, err) : code;
}

/* True when it ended in order. */
static bool stop_all(struct job *job)
{
    struct err err = {0};
    int exit_code = 0;
    if (job->feeder)
        job->lines = feeder_finish(job->feeder);
    if (job->engine.pid &&
        engine_stop(&job->engine, STOP_TIMEOUT_MS, &exit_code, &err) != 0)
        exit_code = 1;
    if (exit_code != 0)
        say(job, "the engine's stop: exit code %d %s", exit_code, err.message);
    if (job->session)
        mysql_close(job->session);
    private_server_stop(&job->server);
    sample_free(&job->sample);
    free(job->lines);
    return exit_code == 0;
}

static int main_job(struct job *job)
{
    struct err err = {0};
    struct oracle_report report = {0};
    bool clean = false;
    int code = run(job, &err);
    if (code == 0)
        code = settle(job, &clean, &report, &err);
    int64_t pending = job->engine.pid ? engine_pending(&job->engine) : -1;
    bool compared = code == 0;
    if (!compared && !interrupted)
        (void)fprintf(stderr, "run: %s\n", err.message);
    if (compared && !job->once) {
        print_json(job, &report, pending);
        serve(job);
    }
    bool stopped = stop_all(job);
    if (compared)
        say(job, "took       %lld s",
            (long long)(process_now_ms() - job->started_ms) / 1000);
    if (compared && job->once)
        print_json(job, &report, pending);
    if (!compared && interrupted)
        return EXIT_INTERRUPTED;
    return clean && stopped && pending == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct job job = {.tty = isatty(1) == 1, .started_ms = process_now_ms()};
    bool once = argc == 4 && strcmp(argv[3], "--once") == 0;
    if (argc != 3 && !once) {
        (void)fprintf(stderr, "usage: %s ENGINE VAR [--once]\n", argv[0]);
        return 64;
    }
    job.binary = argv[1];
    job.once = once;
    int len = snprintf(job.run_dir, sizeof job.run_dir, "%s/run", argv[2]);
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (len >= JOB_PATH_MAX)
        (void)err_set(&err, ERR_INVALID, 0, "too long a path: %s", argv[2]);
    if (len >= JOB_PATH_MAX || take_lock(argv[2], &err) != 0) {
        (void)fprintf(stderr, "run: %s\n", err.message);
        return 75;
    }
    return main_job(&job);
}
