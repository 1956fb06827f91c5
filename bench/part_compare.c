/* What a user would pick, on the same server, tables and records, interleaved with the
 * engine. Parsing is not counted for the Python writer, and neither is intake for the
 * engine: what is compared is the way from memory or journal into both tables. */
#include "bench/compare.h"

#include "base/clock.h"
#include "engine/config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RECORDS_QUICK = 60000,
    RECORDS = 200000,
    RECORDS_RSYSLOG = 20000, /* it takes several times as long */
    ROUNDS_QUICK = 2,
    TRANSACTION_RECORDS = 10000,
    PATIENCE_S = 600,
};

static const char script[] = HOLDFAST_BENCH_SOURCE "/compare/python_writer.py";

int compare_start_python(struct compare *compare, const struct sent *sent, uint32_t first,
                         struct child *out_child, struct err *err)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", first);
    const char *argv[] = {
        compare->python, script,           "--socket", compare->bench->socket,
        "--database",    COMPARE_DATABASE, "--stream", COMPARE_STREAM,
        "--records",     sent->path,       "--log",    compare->log,
        "--first",       number,           NULL};
    return child_start(argv, compare->output, out_child, err);
}

int compare_prepare_engine(struct compare *compare, struct process *out_process,
                           struct err *err)
{
    struct process_options options = {
        .name = "compare",
        .database = COMPARE_DATABASE,
        .stream = COMPARE_STREAM,
        .lanes = 1,
        .transaction_records = TRANSACTION_RECORDS,
    };
    return process_prepare(out_process, compare->bench, &options, err);
}

int compare_start_ingest(struct compare *compare, const struct process *process,
                         const struct sent *sent, struct child *out_child,
                         struct err *err)
{
    const char *argv[] = {compare->bench->engine,
                          "ingest",
                          "--config",
                          process->config,
                          "--stream",
                          COMPARE_STREAM,
                          "--quiet",
                          sent->path,
                          NULL};
    return child_start(argv, compare->output, out_child, err);
}

/* ---- Throughput ------------------------------------------------------------------- */

/* The last line of the writer's output: records and seconds. */
static int read_python_rate(const char *path, double *out_per_s, struct err *err)
{
    FILE *file = fopen(path, "re");
    char line[256] = "";
    while (file && fgets(line, sizeof line, file)) {
    }
    if (file) {
        (void)fclose(file);
    }
    char *end = line;
    double records = strtod(line, &end);
    double seconds = strtod(end, NULL);
    if (seconds <= 0) {
        return err_set(err, ERR_IO, 0, "the Python writer ended with: %s", line);
    }
    *out_per_s = records / seconds;
    return ERR_OK;
}

static int run_python(struct compare *compare, const struct sent *sent, double *out_per_s,
                      struct err *err)
{
    struct child child;
    (void)unlink(compare->output);
    int code = compare_start_python(compare, sent, 0, &child, err);
    code = code ? code : child_wait(&child, PATIENCE_S, err);
    return code ? code : read_python_rate(compare->output, out_per_s, err);
}

static int drain(struct process *process, const struct sent *sent, double *out_per_s,
                 struct err *err)
{
    int64_t begun_us = clock_steady_us(&clock_system);
    int code = process_resume(process, err);
    code = code ? code : process_wait_applied(process, PATIENCE_S, err);
    if (code == ERR_OK) {
        double took_s = (double)(clock_steady_us(&clock_system) - begun_us) / 1e6;
        *out_per_s = sent->records / took_s;
    }
    return code;
}

static int ingest_paused(struct compare *compare, struct process *process,
                         const struct sent *sent, struct err *err)
{
    struct child ingest;
    int code = process_pause(process, err);
    code = code ? code : compare_start_ingest(compare, process, sent, &ingest, err);
    code = code ? code : child_wait(&ingest, PATIENCE_S, err);
    if (code == ERR_OK && ingest.exit_code != 0) {
        code = err_set(err, ERR_IO, 0, "holdfast ingest ended with %d; see %s",
                       ingest.exit_code, compare->output);
    }
    return code;
}

/* All is journaled beforehand; what is timed is from `resume` to nothing pending. */
static int run_engine(struct compare *compare, const struct sent *sent, double *out_per_s,
                      struct err *err)
{
    struct process process;
    int64_t ready_us;
    int code = compare_prepare_engine(compare, &process, err);
    code = code ? code : process_start(&process, &ready_us, err);
    if (code != ERR_OK) {
        return code;
    }
    code = ingest_paused(compare, &process, sent, err);
    code = code ? code : drain(&process, sent, out_per_s, err);
    if (code != ERR_OK) {
        process_kill(&process);
        return code;
    }
    code = process_stop(&process, err);
    bool exact = false;
    code =
        code ? code
             : database_check(compare->db, compare->stream, &sent->expected, &exact, err);
    compare->bench->report->exact &= exact;
    return code;
}

static int run_rsyslog(struct compare *compare, const struct sent *sent,
                       double *out_per_s, struct err *err)
{
    struct child child;
    struct rsyslog_sender *sender = NULL;
    int64_t last_us = 0;
    int code = compare_fresh_rsyslog(compare, err);
    code = code ? code : compare_start_rsyslog(compare, &child, err);
    if (code != ERR_OK) {
        return code;
    }
    int64_t begun_us = clock_steady_us(&clock_system);
    code = rsyslog_sender_start(compare, sent, &sender, err);
    code =
        code ? code : compare_wait_events(compare, sent->expected.events, &last_us, err);
    rsyslog_sender_stop(sender);
    child_end(&child, SIGKILL);
    if (code == ERR_OK) {
        *out_per_s = sent->records / ((double)(last_us - begun_us) / 1e6);
    }
    return code;
}

static int seed(struct compare *compare, const struct workload_config *config,
                struct err *err)
{
    struct workload *workload;
    int code = workload_new(config, &workload, err);
    if (code == ERR_OK) {
        code = database_seed(compare->db, compare->stream, workload, config, err);
        workload_free(workload);
    }
    return code;
}

struct writer {
    const char *name;
    int (*run)(struct compare *compare, const struct sent *sent, double *out_per_s,
               struct err *err);
    const struct sent *sent;
    bool present;
};

/* What all writers get, and the fewer records that rsyslog gets, for it takes long. */
struct measured {
    struct workload_config config;
    struct sent all;
    struct sent few;
};

/* One round: each writer that is there, on tables made anew, the engine last. rsyslog has
 * the first round alone. */
static int measure_round(struct compare *compare, const struct measured *measured,
                         bool first, struct err *err)
{
    struct report *report = compare->bench->report;
    const struct writer writers[] = {
        {"python", run_python, &measured->all, compare->python != NULL},
        {"rsyslog", run_rsyslog, &measured->few, compare->rsyslog && first},
        {"engine", run_engine, &measured->all, true}};
    enum { WRITERS = sizeof writers / sizeof writers[0] };
    double per_s[WRITERS] = {0};
    for (size_t i = 0; i < WRITERS; i++) {
        if (!writers[i].present) {
            continue;
        }
        int code = seed(compare, &measured->config, err);
        code = code ? code : writers[i].run(compare, writers[i].sent, &per_s[i], err);
        if (code != ERR_OK) {
            return err_wrap(err, "%s", writers[i].name);
        }
        report_add(report, per_s[i], "compare.%s.records_per_s", writers[i].name);
    }
    for (size_t i = 0; i + 1 < WRITERS; i++) {
        if (writers[i].present) {
            report_add(report, per_s[WRITERS - 1] / per_s[i], "compare.%s.ratio",
                       writers[i].name);
        }
    }
    return ERR_OK;
}

static int measure_throughput(struct compare *compare, struct err *err)
{
    struct bench *bench = compare->bench;
    struct measured measured;
    workload_config_defaults(&measured.config);
    measured.config.seed = bench->seed;
    char path[COMPARE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/compare-all", bench->directory);
    int code = sent_make(path, &measured.config, bench->quick ? RECORDS_QUICK : RECORDS,
                         &measured.all, err);
    (void)snprintf(path, sizeof path, "%s/compare-few", bench->directory);
    code = code ? code
                : sent_make(path, &measured.config, RECORDS_RSYSLOG, &measured.few, err);
    uint32_t rounds = bench->repetitions;
    rounds = bench->quick && rounds > ROUNDS_QUICK ? ROUNDS_QUICK : rounds;
    for (uint32_t i = 0; i < rounds && code == ERR_OK; i++) {
        code = measure_round(compare, &measured, i == 0, err);
    }
    return code;
}

/* ---- What is installed ------------------------------------------------------------ */

static const char *find_python(struct compare *compare)
{
    /* Debian's own first: it is the one that python3-pymysql is for. */
    static const char *const candidates[] = {"/usr/bin/python3", "python3"};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        const char *argv[] = {candidates[i], "-c", "import pymysql", NULL};
        if (child_run(argv, compare->output, 60, NULL) == ERR_OK) {
            return candidates[i];
        }
    }
    return NULL;
}

static bool find_rsyslog(struct compare *compare)
{
    const char *argv[] = {"sh", "-c",
                          "PATH=$PATH:/usr/sbin:/sbin; command -v rsyslogd && "
                          "ls /usr/lib/*/rsyslog/ommysql.so "
                          "/usr/lib/*/rsyslog/mmjsonparse.so",
                          NULL};
    return child_run(argv, compare->output, 60, NULL) == ERR_OK;
}

static void find_writers(struct compare *compare)
{
    struct report *report = compare->bench->report;
    compare->python = find_python(compare);
    compare->rsyslog = find_rsyslog(compare);
    if (!compare->python) {
        report_skip(report, "compare.python",
                    "no python3 with pymysql (Debian: apt-get install python3-pymysql)");
    }
    if (!compare->rsyslog) {
        report_skip(report, "compare.rsyslog",
                    "no rsyslogd with ommysql (Debian: apt-get install rsyslog "
                    "rsyslog-mysql)");
    }
}

static int compare_all(struct compare *compare, struct err *err)
{
    struct bench *bench = compare->bench;
    const char *const names[] = {"compare-output", "compare-log", "compare-rsyslog"};
    char *const paths[] = {compare->output, compare->log, compare->directory};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        (void)snprintf(paths[i], COMPARE_PATH_MAX, "%s/%s", bench->directory, names[i]);
    }
    if (mkdir(compare->directory, 0700) && errno != EEXIST) {
        return err_set_errno(err, ERR_IO, errno, "%s", compare->directory);
    }
    find_writers(compare);
    report_fact(bench->report, "compare.server", "%s", db_server(compare->db)->version);
    int code = measure_throughput(compare, err);
    return code ? code : compare_losses(compare, err);
}

int bench_compare(struct bench *bench, struct err *err)
{
    static const char text[] = "database: {name: " COMPARE_DATABASE ", user: root}\n"
                               "streams: [{name: " COMPARE_STREAM ", preset: botnet}]\n";
    struct config *config;
    if (config_parse("compare", SLICE_LITERAL(text), &config, err) != ERR_OK) {
        return err->code;
    }
    struct compare compare = {
        .bench = bench, .stream = config->streams[0], .random = bench->seed};
    int code = database_connect(bench, COMPARE_DATABASE, &compare.db, err);
    if (code == ERR_OK) {
        code = compare_all(&compare, err);
        db_close(compare.db);
    }
    config_free(config);
    return code;
}
