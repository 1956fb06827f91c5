/* bench/tune_choose.h: which setting to use, from what was measured. Pure. */
#ifndef HOLDFAST_BENCH_TUNE_CHOOSE_H
#define HOLDFAST_BENCH_TUNE_CHOOSE_H

#include "bench/stats.h"

#include <stdint.h>

enum { TUNE_CANDIDATES_MAX = 8 };

/* Candidates of one setting, the cheapest first: fewer connections, less memory, smaller
 * transactions. */
struct tune_candidates {
    uint64_t values[TUNE_CANDIDATES_MAX];
    struct stats rates[TUNE_CANDIDATES_MAX];
    size_t count;
};

/* Index of the cheapest one whose median rate is within `slack` (0.05: 5 %) of the best;
 * one that was not measured is never chosen, but where none was: 0. */
size_t tune_choose(const struct tune_candidates *candidates, double slack);

#endif
