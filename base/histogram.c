#include "base/histogram.h"

#include <assert.h>

#define S(seconds) (INT64_C(1000000) * (seconds))

const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS] = {
    500,    1000,   2500,    5000,     10000,    25000,    50000, 100000,
    250000, 500000, S(1),    2500000,  S(5),     S(10),    S(30), S(60),
    S(300), S(900), S(3600), S(21600), S(43200), S(86400),
};

void histogram_add(struct histogram *histogram, int64_t us)
{
    size_t bound = 0;
    us = us < 0 ? 0 : us;
    while (bound < HISTOGRAM_BOUNDS && us > histogram_bounds_us[bound]) {
        bound++;
    }
    histogram->buckets[bound]++;
    histogram->sum_us += (uint64_t)us;
}

uint64_t histogram_up_to(const struct histogram *histogram, size_t bound)
{
    uint64_t count = 0;
    assert(bound <= HISTOGRAM_BOUNDS);
    for (size_t i = 0; i <= bound; i++) {
        count += histogram->buckets[i];
    }
    return count;
}
