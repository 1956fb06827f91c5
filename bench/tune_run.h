/* bench/tune_run.h: one run of `tune`: records from a temporary journal into tables of
 * its own on the user's server, under one setting; and bursts into the journal alone.
 * Threads: one at a time, but for tune_interrupted. */
#ifndef HOLDFAST_BENCH_TUNE_RUN_H
#define HOLDFAST_BENCH_TUNE_RUN_H

#include "bench/workload.h"

#include "engine/config.h"

/* A database of its own on the user's server, so that neither the user's tables nor the
 * user's ledger are touched. */
#define TUNE_DATABASE "holdfast_tune"
#define TUNE_STREAM "tune"

enum { TUNE_PATH_MAX = 512 };

struct tune_setting {
    uint32_t transaction_records;
    uint32_t lanes;
    bool fast;
    uint64_t cache_bytes;
};

struct tune {
    const struct config *config; /* the user's */
    struct db_config database;   /* the user's server and account, TUNE_DATABASE */
    struct db_hosts *hosts;
    struct db *db;
    bool made_database;
    char directory[TUNE_PATH_MAX]; /* beside the configured journal; removed at the end */
    struct workload *workload;
};

/* SIGINT and SIGTERM only set a mark, from now until tune_signals_restore. */
void tune_signals_catch(void);
void tune_signals_restore(void);
bool tune_interrupted(void);

/* Applies `records` further records and says how many a second. ERR_CLOSED: interrupted.
 * ERR_TIMEOUT; else as replay and journal. */
int tune_apply(struct tune *tune, const struct tune_setting *setting, uint32_t records,
               double *out_per_s, struct err *err);

/* Appends `bytes` to a fresh journal that keeps `preallocate` ahead, once it does, and
 * says how many bytes a second were durable. */
int tune_burst(struct tune *tune, uint64_t preallocate, uint64_t bytes, double *out_per_s,
               struct err *err);

#endif
