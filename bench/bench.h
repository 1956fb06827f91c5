/* bench/bench.h: the parts of the harness; each measures into the report. */
#ifndef HOLDFAST_BENCH_BENCH_H
#define HOLDFAST_BENCH_BENCH_H

#include "bench/report.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct bench {
    const char *directory; /* own, on the disk to be measured */
    const char *engine;    /* the holdfast executable */
    uint64_t seed;
    uint32_t repetitions; /* interleaved pairs of a figure */
    bool quick;
    struct report *report;
};

/* Durable appends of 200 B, 20 KB and 1 MiB by 1 to 256 producers, each against the raw
 * log in the same run. */
int bench_journal(struct bench *bench, struct err *err);

#endif
