#include "bench/stats.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void stats_add(struct stats *stats, double sample)
{
    assert(stats->count < STATS_SAMPLES_MAX);
    stats->samples[stats->count++] = sample;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

double stats_quantile(double *values, size_t count, double share)
{
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof *values, compare);
    double place = share * (double)(count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < count ? below + 1 : below;
    double part = place - (double)below;
    return values[below] * (1 - part) + values[above] * part;
}

static double quantile_of(const struct stats *stats, double share)
{
    double sorted[STATS_SAMPLES_MAX];
    memcpy(sorted, stats->samples, stats->count * sizeof *sorted);
    return stats_quantile(sorted, stats->count, share);
}

double stats_min(const struct stats *stats)
{
    return quantile_of(stats, 0);
}

double stats_median(const struct stats *stats)
{
    return quantile_of(stats, 0.5);
}

double stats_max(const struct stats *stats)
{
    return quantile_of(stats, 1);
}
