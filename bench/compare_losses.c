/* Each writer is disturbed in the midst of its work: its process by kill -9, or its
 * database connection by KILL CONNECTION, at moments of chance; it is started again as a
 * supervisor would, and goes on with what its producers still hold. Then the tables are
 * compared with what was taken. They were empty before, each (ip, time) is sent once. */
#include "bench/compare.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DISTURBANCES_QUICK = 4,
    DISTURBANCES = 30,
    RECORDS_EACH = 2500,         /* the slow writers get so many a disturbance */
    RECORDS_EACH_ENGINE = 20000, /* and the engine, to be at work as long */
    PATIENCE_S = 600,
    POLL_MS = 5,
};

enum disturbance { KILL_PROCESS, CUT_CONNECTION };
static const char *const disturbance_names[] = {"kill", "cut"};

struct trial {
    struct compare *compare;
    const struct sent *sent;
    enum disturbance disturbance;
    uint32_t count;   /* disturbances wanted */
    uint32_t done;    /* disturbances made */
    uint32_t taken;   /* records that producers believe taken */
    uint32_t crashes; /* ends of its own */
};

/* xorshift64* (Vigna, 2016) */
static uint64_t next_random(struct compare *compare)
{
    uint64_t x = compare->random | 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    compare->random = x;
    return x * 0x2545f4914f6cdd1du;
}

void compare_pause(struct compare *compare, uint32_t from_ms, uint32_t to_ms)
{
    uint64_t ms = from_ms + next_random(compare) % (to_ms - from_ms + 1);
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* KILL CONNECTION for all sessions of the database but our own. */
static int cut_connections(struct trial *trial, struct err *err)
{
    struct db *db = trial->compare->db;
    struct db_rows rows = {0};
    int code = db_query(db,
                        SLICE_LITERAL("SELECT id FROM information_schema.processlist "
                                      "WHERE db = '" COMPARE_DATABASE
                                      "' AND id <> CONNECTION_ID()"),
                        &rows, err);
    for (size_t i = 0; i < rows.row_count && code == ERR_OK; i++) {
        /* one that has ended meanwhile is no error */
        (void)db_execf(db, NULL, NULL, "KILL CONNECTION %s", db_cell(&rows, i, 0).data);
    }
    trial->done += rows.row_count > 0;
    db_rows_free(&rows);
    return code;
}

/* ---- The Python writer --------------------------------------------------------------
 */

static off_t size_of(const char *path)
{
    struct stat stat_of;
    return stat(path, &stat_of) ? 0 : stat_of.st_size;
}

/* Reads what the writer told so far; with `db` the flushed batches are marked too. */
static int read_python_log(const char *path, uint32_t *out_taken, struct db *db,
                           struct err *err)
{
    FILE *log = fopen(path, "re");
    char line[128];
    int code = ERR_OK;
    while (log && code == ERR_OK && fgets(line, sizeof line, log)) {
        char *rest = strchr(line, ' ');
        uint32_t first = rest ? (uint32_t)strtoul(rest, &rest, 10) : 0;
        if (strncmp(line, "taken ", 6) == 0) {
            *out_taken = first;
        } else if (db && rest && strncmp(line, "flushed ", 8) == 0) {
            code = sent_mark_flushed(db, first, (uint32_t)strtoul(rest, NULL, 10), err);
        }
    }
    if (log) {
        (void)fclose(log);
    }
    return code;
}

static void wait_growth(const char *path, off_t size, struct child *child,
                        struct compare *compare)
{
    while (size_of(path) == size && !child_ended(child)) {
        compare_pause(compare, POLL_MS, POLL_MS);
    }
}

/* One life of the writer; disturbed while there are disturbances left. */
static int live_python(struct trial *trial, struct err *err)
{
    struct compare *compare = trial->compare;
    struct child child;
    int code = compare_start_python(compare, trial->sent, trial->taken, &child, err);
    if (code != ERR_OK) {
        return code;
    }
    wait_growth(compare->log, size_of(compare->log), &child, compare);
    while (trial->done < trial->count && !child_ended(&child) && code == ERR_OK) {
        compare_pause(compare, 20, 250);
        if (trial->disturbance == CUT_CONNECTION) {
            code = cut_connections(trial, err);
        } else if (!child_ended(&child)) {
            child_end(&child, SIGKILL);
            trial->done++;
        }
    }
    if (code == ERR_OK && child.pid != 0) {
        code = child_wait(&child, PATIENCE_S, err);
    }
    child_end(&child, SIGKILL);
    trial->crashes += child.exit_code != 0 && child.exit_code != 128 + SIGKILL;
    return code ? code : read_python_log(compare->log, &trial->taken, NULL, err);
}

static int lose_python(struct trial *trial, struct err *err)
{
    (void)unlink(trial->compare->log);
    int code = ERR_OK;
    while (code == ERR_OK && trial->taken < trial->sent->records) {
        code = live_python(trial, err);
    }
    uint32_t taken = 0;
    return code ? code
                : read_python_log(trial->compare->log, &taken, trial->compare->db, err);
}

/* ---- rsyslog ------------------------------------------------------------------------
 */

static int disturb_rsyslog(struct trial *trial, struct child *child, struct err *err)
{
    struct compare *compare = trial->compare;
    compare_pause(compare, 100, 500);
    bool crashed = child_ended(child);
    trial->crashes += crashed;
    if (!crashed && trial->disturbance == CUT_CONNECTION) {
        return cut_connections(trial, err);
    }
    child_end(child, SIGKILL);
    trial->done += !crashed;
    return compare_start_rsyslog(compare, child, err);
}

static int lose_rsyslog(struct trial *trial, struct err *err)
{
    struct compare *compare = trial->compare;
    struct child child = {0};
    struct rsyslog_sender *sender = NULL;
    int64_t last_us;
    int code = compare_fresh_rsyslog(compare, err);
    code = code ? code : compare_start_rsyslog(compare, &child, err);
    code = code ? code : rsyslog_sender_start(compare, trial->sent, &sender, err);
    while (code == ERR_OK && trial->done < trial->count &&
           trial->crashes <= trial->count) {
        code = disturb_rsyslog(trial, &child, err);
    }
    if (code == ERR_OK && child_ended(&child)) {
        trial->crashes++;
        code = compare_start_rsyslog(compare, &child, err);
    }
    code =
        code ? code
             : compare_wait_events(compare, trial->sent->expected.events, &last_us, err);
    if (sender) {
        trial->taken = rsyslog_sender_sent(sender);
    }
    rsyslog_sender_stop(sender);
    child_end(&child, SIGKILL);
    return code;
}

/* ---- The engine ---------------------------------------------------------------------
 */

/* One life of the engine, killed together with the command that sends to it. */
static int kill_engine_once(struct trial *trial, struct process *process, struct err *err)
{
    struct child ingest = {0};
    int64_t ready_us;
    int code = process_start(process, &ready_us, err);
    code = code
               ? code
               : compare_start_ingest(trial->compare, process, trial->sent, &ingest, err);
    compare_pause(trial->compare, 20, 250);
    process_kill(process);
    child_end(&ingest, SIGKILL);
    trial->done++;
    return code;
}

static int finish_engine(struct trial *trial, struct process *process, struct err *err)
{
    struct child ingest = {0};
    int64_t ready_us;
    int code = process_start(process, &ready_us, err);
    code = code
               ? code
               : compare_start_ingest(trial->compare, process, trial->sent, &ingest, err);
    while (code == ERR_OK && trial->done < trial->count && !child_ended(&ingest)) {
        compare_pause(trial->compare, 20, 150);
        code = cut_connections(trial, err);
    }
    if (code == ERR_OK && ingest.pid != 0) {
        code = child_wait(&ingest, PATIENCE_S, err);
    }
    child_end(&ingest, SIGKILL);
    if (code == ERR_OK && ingest.exit_code != 0) {
        code = err_set(err, ERR_IO, 0, "holdfast ingest ended with %d; see %s",
                       ingest.exit_code, trial->compare->output);
    }
    return code;
}

/* All is acknowledged; the backlog is still being applied. */
static int cut_backlog(struct trial *trial, struct process *process, struct err *err)
{
    struct process_status status = {.pending = 1};
    int code = ERR_OK;
    while (code == ERR_OK && trial->done < trial->count && status.pending) {
        compare_pause(trial->compare, 20, 150);
        code = cut_connections(trial, err);
        code = code ? code : process_status(process, &status, err);
    }
    return code;
}

static int lose_engine(struct trial *trial, struct err *err)
{
    struct process process;
    int code = compare_prepare_engine(trial->compare, &process, err);
    if (code != ERR_OK) {
        return code;
    }
    while (code == ERR_OK && trial->disturbance == KILL_PROCESS &&
           trial->done < trial->count) {
        code = kill_engine_once(trial, &process, err);
    }
    code = code ? code : finish_engine(trial, &process, err);
    code = code ? code : cut_backlog(trial, &process, err);
    code = code ? code : process_wait_applied(&process, PATIENCE_S, err);
    trial->taken = trial->sent->records;
    code = code ? code : sent_mark_flushed(trial->compare->db, 0, trial->taken, err);
    if (code != ERR_OK) {
        process_kill(&process);
        return code;
    }
    return process_stop(&process, err);
}

/* ---- All of them --------------------------------------------------------------------
 */

static const struct contender {
    const char *name;
    int (*lose)(struct trial *trial, struct err *err);
    bool is_engine;
} contenders[] = {
    {"python", lose_python, false},
    {"rsyslog", lose_rsyslog, false},
    {"engine", lose_engine, true},
};

static bool is_present(const struct compare *compare, const struct contender *contender)
{
    return contender->is_engine || (contender->lose == lose_python && compare->python) ||
           (contender->lose == lose_rsyslog && compare->rsyslog);
}

static void add_losses(const struct trial *trial, const struct contender *contender,
                       const struct losses *losses)
{
    const struct {
        const char *name;
        uint64_t count;
    } figures[] = {
        {"disturbances", trial->done},
        {"crashes", trial->crashes},
        {"taken", trial->taken},
        {"entities_without_event", losses->orphans},
        {"taken_and_lost", losses->missing},
        {"flushed_and_lost", losses->missing_flushed},
        {"counted_without_event", losses->phantoms},
        {"entities_miscounted", losses->miscounted},
    };
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        report_add(trial->compare->bench->report, (double)figures[i].count,
                   "compare.%s.%s.%s", contender->name,
                   disturbance_names[trial->disturbance], figures[i].name);
    }
}

static int judge(const struct trial *trial, const struct contender *contender,
                 struct err *err)
{
    struct compare *compare = trial->compare;
    struct losses losses;
    int code =
        sent_count_losses(compare->db, compare->stream, trial->taken, &losses, err);
    if (code != ERR_OK) {
        return code;
    }
    add_losses(trial, contender, &losses);
    if (!contender->is_engine) {
        return ERR_OK;
    }
    bool exact = false;
    code =
        database_check(compare->db, compare->stream, &trial->sent->expected, &exact, err);
    compare->bench->report->exact &=
        exact && losses.orphans == 0 && losses.missing == 0 && losses.miscounted == 0;
    return code;
}

static int make_records(struct compare *compare, uint32_t records, struct sent *out_sent,
                        struct err *err)
{
    struct workload_config config;
    workload_config_defaults(&config);
    config.seed = compare->bench->seed;
    config.seeded = 0;
    /* a second for each record: no (ip, time) twice */
    config.records_per_second = 1;
    config.duplicate_share = 0;
    config.late_share = 0;
    struct workload *workload;
    if (workload_new(&config, &workload, err) != ERR_OK) {
        return err->code;
    }
    int code = database_seed(compare->db, compare->stream, workload, &config, err);
    workload_free(workload);
    char path[COMPARE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/compare-losses", compare->bench->directory);
    code = code ? code : sent_make(path, &config, records, out_sent, err);
    return code ? code : sent_load(out_sent, compare->db, err);
}

static int run_trial(struct compare *compare, const struct contender *contender,
                     enum disturbance disturbance, struct err *err)
{
    uint32_t count = compare->bench->quick ? DISTURBANCES_QUICK : DISTURBANCES;
    uint32_t each = contender->is_engine ? RECORDS_EACH_ENGINE : RECORDS_EACH;
    struct sent sent;
    struct trial trial = {
        .compare = compare, .sent = &sent, .disturbance = disturbance, .count = count};
    int code = make_records(compare, count * each, &sent, err);
    code = code ? code : contender->lose(&trial, err);
    code = code ? code : judge(&trial, contender, err);
    return code ? err_wrap(err, "losses of %s", contender->name) : ERR_OK;
}

static int lose(struct compare *compare, const struct contender *contender,
                struct err *err)
{
    int code = run_trial(compare, contender, KILL_PROCESS, err);
    return code ? code : run_trial(compare, contender, CUT_CONNECTION, err);
}

int compare_losses(struct compare *compare, struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < sizeof contenders / sizeof contenders[0] && !code; i++) {
        if (is_present(compare, &contenders[i])) {
            code = lose(compare, &contenders[i], err);
        }
    }
    return code;
}
