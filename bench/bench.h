/* bench/bench.h: the parts of the harness; each measures into the report. */
#ifndef HOLDFAST_BENCH_BENCH_H
#define HOLDFAST_BENCH_BENCH_H

#include "bench/report.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bench {
    const char *directory; /* own, on the disk to be measured */
    const char *engine;    /* the holdfast executable */
    const char *socket;    /* of the private database server, user root without password;
                            * NULL: parts that need one say so and fail */
    pid_t server;          /* its process, for its CPU time and to stop it; 0: none */
    const char *binlog_socket; /* of a second server that differs from the first in that
                                * it writes a binary log; NULL: none, and apply says so */
    pid_t binlog_server;
    const char *config; /* tune: the user's own configuration; NULL: none */
    uint64_t seed;
    uint32_t repetitions; /* interleaved pairs of a figure */
    bool quick;
    struct report *report;
};

/* Sleeps that long. */
void bench_rest(int64_t us);

/* Durable appends of 200 B, 20 KB and 1 MiB by 1 to 256 producers, each against the raw
 * log in the same run. */
int bench_journal(struct bench *bench, struct err *err);

/* Journaled batches to the database by 1, 2 and 4 lanes at 500 to 50k rows a transaction,
 * each against LOAD DATA LOCAL of ready communications in the same run. */
int bench_apply(struct bench *bench, struct err *err);

/* HTTP NDJSON in, both tables out; a one-record batch from submit to applied. */
int bench_end_to_end(struct bench *bench, struct err *err);

/* Durable acknowledgements over HTTP with the database stopped, and while the journal
 * grows through such a stall. */
int bench_intake(struct bench *bench, struct err *err);

/* kill -9 with a backlog: time to accept again, private memory, time to drain. */
int bench_recover(struct bench *bench, struct err *err);

/* What a user would pick instead, on the same records, with its losses when its
 * connection or its process is killed. Says what is not installed and skips it. */
int bench_compare(struct bench *bench, struct err *err);

/* Sweeps settings on the user's own database, in tables of its own that are dropped
 * afterwards, and prints the configuration to use and why. */
int bench_tune(struct bench *bench, struct err *err);

#endif
