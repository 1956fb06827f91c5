/* base/histogram.h: how long something took, counted in fixed buckets.
 *
 * One set of bounds for all, from half a millisecond to a day, so that a sync of a
 * journal and the lag of an outage both find their place, and histograms of several
 * engines can be added up. A plain value: copy freely. No locks.
 */
#ifndef HOLDFAST_BASE_HISTOGRAM_H
#define HOLDFAST_BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 22 };

/* Upper bounds in microseconds, included, ascending. */
extern const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS];

struct histogram {
    uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* not cumulative; the last: above all */
    uint64_t sum_us;
};

/* A time below 0 (a clock that was set back) counts as 0. */
void histogram_add(struct histogram *histogram, int64_t us);

/* How many were at most histogram_bounds_us[bound]; HISTOGRAM_BOUNDS: all. */
uint64_t histogram_up_to(const struct histogram *histogram, size_t bound);

#endif
