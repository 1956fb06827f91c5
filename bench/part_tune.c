/* One setting after the other, the earlier choices kept: first the way of applying, then
 * transactions, lanes, memory, and the journal's preallocation. The candidates of a
 * setting take turns, so that growing tables and other load weigh on all of them alike.
 * What is chosen is the cheapest within a few per cent of the best. */
#include "bench/bench.h"
#include "bench/tune_choose.h"
#include "bench/tune_run.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

enum {
    WARM_UP = 20000,
    RECORDS_MIN = 5000,
    RECORDS_MAX = 100000,
    RUN_S = 2, /* a run is to take about so long */
    BUDGET_S = 240,
    BUDGET_QUICK_S = 60,
    ROUNDS = 3,
};
static const uint64_t burst_bytes = 128 * MIB;
static const double slack = 0.05;

/* One setting's sweep. */
struct sweep {
    const char *name;
    uint64_t unit; /* values are multiples of it in the output; 0: a truth value */
    uint64_t configured;
    struct tune_candidates candidates;
    size_t chosen;
    bool measured;
};

enum { FAST, TRANSACTION, LANES, CACHE, PREALLOCATE, SWEEPS };

struct session {
    struct bench *bench;
    struct tune tune;
    struct tune_setting setting;
    uint32_t records; /* of a run */
    int64_t end_us;   /* of the budget */
    struct sweep sweeps[SWEEPS];
};

/* ---- A place of its own ------------------------------------------------------------ */

static int refuse(const struct tune *tune, const char *what, struct err *err)
{
    return err_set(err, ERR_SCHEMA, 0,
                   "%s; tune works in a database of its own and touches no other: "
                   "CREATE DATABASE " TUNE_DATABASE "; GRANT ALL ON " TUNE_DATABASE
                   ".* TO '%s'@'%%'; and DROP DATABASE " TUNE_DATABASE " afterwards",
                   what, tune->database.user);
}

static int count(struct db *db, const char *sql, uint64_t *out_count, struct err *err)
{
    struct db_rows rows = {0};
    int code = db_query(db, slice_text(sql), &rows, err);
    if (code == ERR_OK) {
        *out_count = strtoull(db_cell(&rows, 0, 0).data, NULL, 10);
    }
    db_rows_free(&rows);
    return code;
}

/* The database is there and empty, or is made. */
static int claim_database(struct tune *tune, struct err *err)
{
    uint64_t databases = 0;
    uint64_t tables = 0;
    int code = count(tune->db,
                     "SELECT COUNT(*) FROM information_schema.schemata WHERE "
                     "schema_name = '" TUNE_DATABASE "'",
                     &databases, err);
    code = code ? code
                : count(tune->db,
                        "SELECT COUNT(*) FROM information_schema.tables WHERE "
                        "table_schema = '" TUNE_DATABASE "'",
                        &tables, err);
    if (code != ERR_OK) {
        return code;
    }
    if (tables) {
        return refuse(tune,
                      "the database " TUNE_DATABASE " holds tables already, of a tune "
                      "that was killed or of somebody else: look, and drop them",
                      err);
    }
    if (!databases &&
        db_execf(tune->db, NULL, err,
                 "CREATE DATABASE " TUNE_DATABASE " DEFAULT CHARSET utf8mb4")) {
        char what[ERR_MESSAGE_MAX];
        memcpy(what, err->message, sizeof what);
        return refuse(tune, what, err);
    }
    tune->made_database = !databases;
    return ERR_OK;
}

/* All that a run makes, and nothing else. */
static void release_database(struct tune *tune)
{
    static const char *const tables[] = {"botnet_communications_" TUNE_STREAM,
                                         "botnet_nodes_" TUNE_STREAM, LEDGER_TABLE};
    struct err err = {0};
    int code = ERR_OK;
    if (tune->made_database) {
        code = db_execf(tune->db, NULL, &err, "DROP DATABASE " TUNE_DATABASE);
    } else {
        for (size_t i = 0; i < sizeof tables / sizeof tables[0] && !code; i++) {
            code = db_execf(tune->db, NULL, &err,
                            "DROP TABLE IF EXISTS " TUNE_DATABASE ".`%s`", tables[i]);
        }
    }
    if (code) {
        fprintf(stderr,
                "tune: the database " TUNE_DATABASE " is left behind, drop it: %s\n",
                err.message);
    }
}

/* Beside the configured journal: the same disk. */
static int make_directory(struct tune *tune, struct err *err)
{
    const char *journal = tune->config->journal.path;
    const char *slash = strrchr(journal, '/');
    int len = slash ? (int)(slash - journal + 1) : 0;
    (void)snprintf(tune->directory, sizeof tune->directory, "%.*sholdfast-tune-XXXXXX",
                   len, journal);
    if (!mkdtemp(tune->directory)) {
        return err_set_errno(err, ERR_IO, errno,
                             "no directory beside the journal %s can be made, which must "
                             "be measured on the same disk",
                             journal);
    }
    return ERR_OK;
}

/* ---- Measuring --------------------------------------------------------------------- */

static int apply_candidate(struct session *session, size_t sweep, uint64_t value,
                           double *out_rate, struct err *err)
{
    struct tune_setting setting = session->setting;
    switch (sweep) {
    case FAST:
        setting.fast = value != 0;
        break;
    case TRANSACTION:
        setting.transaction_records = (uint32_t)value;
        break;
    case LANES:
        setting.lanes = (uint32_t)value;
        break;
    case CACHE:
        setting.cache_bytes = value;
        break;
    default:
        return tune_burst(&session->tune, value, burst_bytes, out_rate, err);
    }
    return tune_apply(&session->tune, &setting, session->records, out_rate, err);
}

static bool in_time(const struct session *session)
{
    return clock_steady_us(&clock_system) < session->end_us;
}

/* One round over the candidates of a setting. */
static int measure_round(struct session *session, size_t index, struct err *err)
{
    struct sweep *sweep = &session->sweeps[index];
    for (size_t i = 0; i < sweep->candidates.count; i++) {
        double rate;
        uint64_t value = sweep->candidates.values[i];
        if (tune_interrupted()) {
            return err_set(err, ERR_CLOSED, 0, "interrupted");
        }
        if (apply_candidate(session, index, value, &rate, err) != ERR_OK) {
            return err_wrap(err, "%s %" PRIu64, sweep->name, value);
        }
        stats_add(&sweep->candidates.rates[i], rate);
        report_add(session->bench->report, rate, "tune.%s.%" PRIu64 ".%s", sweep->name,
                   value, index == PREALLOCATE ? "bytes_per_s" : "records_per_s");
    }
    return ERR_OK;
}

/* Whole rounds while there is time; without one, what is configured stays. */
static int measure_sweep(struct session *session, size_t index, struct err *err)
{
    struct sweep *sweep = &session->sweeps[index];
    uint32_t rounds = session->bench->quick ? 1 : ROUNDS;
    fprintf(stderr, "tune: %s\n", sweep->name);
    for (uint32_t i = 0; i < rounds && in_time(session); i++) {
        if (measure_round(session, index, err) != ERR_OK) {
            return err->code;
        }
        sweep->measured = true;
    }
    if (!sweep->measured) {
        return ERR_OK;
    }
    sweep->chosen = tune_choose(&sweep->candidates, slack);
    uint64_t value = sweep->candidates.values[sweep->chosen];
    session->setting.fast = index == FAST ? value != 0 : session->setting.fast;
    session->setting.transaction_records =
        index == TRANSACTION ? (uint32_t)value : session->setting.transaction_records;
    session->setting.lanes = index == LANES ? (uint32_t)value : session->setting.lanes;
    session->setting.cache_bytes = index == CACHE ? value : session->setting.cache_bytes;
    return ERR_OK;
}

static void add_candidate(struct sweep *sweep, uint64_t value)
{
    sweep->candidates.values[sweep->candidates.count++] = value;
}

static void plan_journal(struct session *session)
{
    static const uint64_t mib[] = {16, 64, 256};
    struct statvfs disk;
    uint64_t free_bytes = 0;
    if (statvfs(session->tune.directory, &disk) == 0) {
        free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    for (size_t i = 0; i < 3; i++) {
        if (free_bytes > 4 * (mib[i] * MIB + burst_bytes)) {
            add_candidate(&session->sweeps[PREALLOCATE], mib[i] * MIB);
        }
    }
}

static void plan(struct session *session)
{
    static const uint32_t transactions[] = {500, 2000, 5000, 10000, 20000, 50000};
    const struct config *config = session->tune.config;
    const struct sweep sweeps[SWEEPS] = {
        [FAST] = {.name = "fast", .configured = config->fast},
        [TRANSACTION] = {.name = "transaction_records",
                         .unit = 1,
                         .configured = config->transaction_records_max},
        [LANES] = {.name = "connections", .unit = 1, .configured = config->connections},
        [CACHE] = {.name = "cache", .unit = MIB, .configured = config->cache_bytes},
        [PREALLOCATE] = {.name = "preallocate",
                         .unit = MIB,
                         .configured = config->journal.preallocate},
    };
    memcpy(session->sweeps, sweeps, sizeof sweeps);
    add_candidate(&session->sweeps[FAST], 0);
    if (db_server(session->tune.db)->local_infile) {
        add_candidate(&session->sweeps[FAST], 1);
    }
    for (size_t i = 0; i < sizeof transactions / sizeof transactions[0]; i++) {
        if (transactions[i] * 2 <= session->records || i == 0) {
            add_candidate(&session->sweeps[TRANSACTION], transactions[i]);
        }
    }
    for (uint32_t lanes = 1;
         lanes <= 8 && lanes <= 4 * (uint32_t)sysconf(_SC_NPROCESSORS_ONLN); lanes *= 2) {
        add_candidate(&session->sweeps[LANES], lanes);
    }
    for (uint64_t mib = 16; mib <= 256; mib *= 4) {
        add_candidate(&session->sweeps[CACHE], mib * MIB);
    }
    plan_journal(session);
}

/* Fills the tables a little, and finds out how many records are a run of RUN_S. */
static int warm_up(struct session *session, struct err *err)
{
    double rate;
    int code = tune_apply(&session->tune, &session->setting, WARM_UP, &rate, err);
    code = code ? code
                : tune_apply(&session->tune, &session->setting, RECORDS_MIN, &rate, err);
    if (code == ERR_OK) {
        double records = rate * RUN_S;
        session->records = records < RECORDS_MIN   ? RECORDS_MIN
                           : records > RECORDS_MAX ? RECORDS_MAX
                                                   : (uint32_t)records;
    }
    return code;
}

static int measure_all(struct session *session, struct err *err)
{
    uint32_t budget_s = session->bench->quick ? BUDGET_QUICK_S : BUDGET_S;
    session->end_us = clock_steady_us(&clock_system) + (int64_t)budget_s * 1000000;
    int code = warm_up(session, err);
    if (code != ERR_OK) {
        return code;
    }
    plan(session);
    for (size_t i = 0; i < SWEEPS && code == ERR_OK; i++) {
        bool matters = i != CACHE || session->setting.fast;
        if (matters && session->sweeps[i].candidates.count > 1) {
            code = measure_sweep(session, i, err);
        }
    }
    return code;
}

/* ---- What came of it -----------------------------------------------------------------
 */

static void print_value(const struct sweep *sweep, uint64_t value)
{
    if (sweep->unit == 0) {
        printf("%s", value ? "true" : "false");
    } else if (sweep->unit == MIB) {
        printf("%" PRIu64 "MiB", value / MIB);
    } else {
        printf("%" PRIu64, value);
    }
}

/* "records/s by value: 500: 25.1k, 2000: ..." */
static void print_reason(const struct sweep *sweep, const char *unit, double scale)
{
    if (!sweep->measured) {
        printf("  # as configured: %s\n", sweep->candidates.count > 1
                                              ? "the time was up"
                                              : "nothing to choose from");
        return;
    }
    printf("  # %s:", unit);
    for (size_t i = 0; i < sweep->candidates.count; i++) {
        printf("%s ", i ? "," : "");
        print_value(sweep, sweep->candidates.values[i]);
        printf(" gave %.1f", stats_median(&sweep->candidates.rates[i]) / scale);
    }
    printf("\n");
}

static void print_sweep(const struct session *session, size_t index)
{
    const struct sweep *sweep = &session->sweeps[index];
    bool journal = index == PREALLOCATE;
    printf("  %s: ", sweep->name);
    print_value(sweep, sweep->measured ? sweep->candidates.values[sweep->chosen]
                                       : sweep->configured);
    print_reason(sweep, journal ? "MB/s durable in a burst" : "1000 records/s",
                 journal ? 1e6 : 1e3);
}

static void print_lanes(const struct session *session)
{
    const struct sweep *sweep = &session->sweeps[LANES];
    size_t streams = session->tune.config->stream_count;
    if (!sweep->measured) {
        return;
    }
    uint64_t wanted = sweep->candidates.values[sweep->chosen];
    uint64_t lanes = (wanted + streams - 1) / streams;
    printf("# streams: lanes: %" PRIu64 " each", lanes);
    printf("  # %zu stream%s, and %" PRIu64 " connection%s at work pay%s off here\n",
           streams, streams == 1 ? "" : "s", wanted, wanted == 1 ? "" : "s",
           wanted == 1 ? "s" : "");
}

static void print_configuration(const struct session *session)
{
    const struct db_server *server = db_server(session->tune.db);
    printf("# Measured on %s at %s, %u records a run, of the botnet preset.\n",
           server->version, server->host, session->records);
    printf("# Chosen: the cheapest within %.0f %% of the best.\n", slack * 100);
    if (!server->local_infile) {
        printf("# The server refuses LOAD DATA LOCAL: with local_infile=ON the fast path "
               "could be had.\n");
    }
    printf("replay:\n");
    print_sweep(session, TRANSACTION);
    print_sweep(session, LANES);
    print_sweep(session, FAST);
    print_sweep(session, CACHE);
    printf("journal:\n");
    print_sweep(session, PREALLOCATE);
    print_lanes(session);
    (void)fflush(stdout);
}

/* ---- The part ------------------------------------------------------------------------
 */

static int tune_in_place(struct session *session, struct err *err)
{
    struct workload_config workload;
    workload_config_defaults(&workload);
    workload.seed = session->bench->seed;
    int code = workload_new(&workload, &session->tune.workload, err);
    code = code ? code : make_directory(&session->tune, err);
    if (code == ERR_OK) {
        code = measure_all(session, err);
        (void)rmdir(session->tune.directory);
    }
    workload_free(session->tune.workload);
    if (code == ERR_OK) {
        print_configuration(session);
    }
    return code;
}

static int tune_server(struct session *session, struct err *err)
{
    struct tune *tune = &session->tune;
    struct db_config any = tune->config->database;
    int code = db_hosts_new(&any, &tune->hosts, err);
    if (code != ERR_OK) {
        return code;
    }
    any.name = "information_schema"; /* for the rights that everybody has */
    any.wait_timeout_s = 3600;       /* it rests while the runs are made */
    code = db_connect(&any, tune->hosts, &tune->db, err);
    code = code ? code : claim_database(tune, err);
    if (code == ERR_OK) {
        tune_signals_catch();
        code = tune_in_place(session, err);
        release_database(tune);
        tune_signals_restore();
    }
    db_close(tune->db);
    db_hosts_free(tune->hosts);
    return code;
}

int bench_tune(struct bench *bench, struct err *err)
{
    if (!bench->config) {
        report_skip(bench->report, "tune",
                    "no --config FILE: it tunes for your own "
                    "database");
        return ERR_OK;
    }
    struct config *config;
    if (config_load(bench->config, &config, err) != ERR_OK) {
        return err->code;
    }
    struct session session = {
        .bench = bench,
        .tune = {.config = config, .database = config->database},
        .setting = {.transaction_records = config->transaction_records_max,
                    .lanes = 1,
                    .fast = config->fast,
                    .cache_bytes = config->cache_bytes}};
    session.tune.database.name = TUNE_DATABASE;
    int code = tune_server(&session, err);
    config_free(config);
    return code;
}
