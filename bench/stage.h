/* bench/stage.h: what a part that posts over HTTP works with: one engine, one database
 * with the seeded tables, the workload twice (for the engine and for the limit), and what
 * the tables must hold. Threads: one at a time.
 */
#ifndef HOLDFAST_BENCH_STAGE_H
#define HOLDFAST_BENCH_STAGE_H

#include "bench/bench.h"
#include "bench/database.h"
#include "bench/expected.h"
#include "bench/poster.h"
#include "bench/process.h"

#include "engine/config.h"

enum { STAGE_LIMIT_ROWS = 50000, STAGE_APPLY_TIMEOUT_S = 600 };

struct stage {
    const struct bench *bench;
    char database[64];
    struct workload_config workload;
    struct workload *sent;
    struct workload *limit;
    struct expected *expected;
    struct db *db;
    struct config *config;
    const struct stream *stream;
    struct process process;
};

struct stage_options {
    const char *name; /* of the part: its directory; its database is bench_<name> */
    uint32_t lanes;
    uint32_t transaction_records;
    const char *journal; /* as process_options.journal; NULL */
};

/* Tables seeded, engine configured and not started. Close it also after an error. */
int stage_open(struct stage *stage, const struct bench *bench,
               const struct stage_options *options, struct err *err);
/* Kills the engine if it runs. */
void stage_close(struct stage *stage);

/* Configures the engine, which doesn't run, anew. */
int stage_configure(struct stage *stage, const struct stage_options *options,
                    struct err *err);

/* An engine anew, with an empty journal, over the tables as they are. */
int stage_renew(struct stage *stage, const struct stage_options *options,
                struct err *err);

/* LOAD DATA of so many ready events; rows a second. */
int stage_limit(struct stage *stage, uint32_t rows, double *out_per_s, struct err *err);

/* Compares the tables with what was sent, or, where not the whole of it is applied, with
 * each other; the report is not exact any more where they differ. */
int stage_check(struct stage *stage, bool whole, struct err *err);

/* Ready-made bodies. */
struct bodies {
    struct buf text;
    struct slice *items;
    size_t count;
    uint32_t records;
    bool of_all; /* every ip once */
};

/* Of the next `records` of the workload, all of which are expected in the tables then. */
int bodies_make(struct stage *stage, uint32_t records, uint32_t records_of_body,
                struct bodies *out_bodies, struct err *err);
/* Of every ip once. */
int bodies_of_all(struct stage *stage, uint32_t records_of_body,
                  struct bodies *out_bodies, struct err *err);
void bodies_free(struct bodies *bodies);

/* Posts all of them. */
int stage_post(struct stage *stage, const struct bodies *bodies, uint32_t producers,
               struct poster_result *out_result, struct err *err);

/* The database's process stands still (SIGSTOP), or goes on. Whoever stops it must let it
 * go on, whatever happens (bench/run.sh does, where the harness is killed meanwhile). */
void stage_stop_server(const struct stage *stage);
void stage_continue_server(const struct stage *stage);

#endif
