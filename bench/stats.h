/* bench/stats.h: samples of one figure, and what is said of them. Pure. */
#ifndef HOLDFAST_BENCH_STATS_H
#define HOLDFAST_BENCH_STATS_H

#include <stddef.h>

enum { STATS_SAMPLES_MAX = 64 };

struct stats {
    double samples[STATS_SAMPLES_MAX];
    size_t count;
};

void stats_add(struct stats *stats, double sample);

/* 0 where there are no samples. */
double stats_min(const struct stats *stats);
double stats_median(const struct stats *stats);
double stats_max(const struct stats *stats);

/* The value below which `share` (0 to 1) of the values lie; sorts `values`. */
double stats_quantile(double *values, size_t count, double share);

#endif
