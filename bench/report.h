/* bench/report.h: what was measured, by name; printed as a table and written as JSON.
 * Not thread-safe.
 */
#ifndef HOLDFAST_BENCH_REPORT_H
#define HOLDFAST_BENCH_REPORT_H

#include "bench/stats.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

enum { REPORT_SERIES_MAX = 512, REPORT_NAME_MAX = 96 };

struct report_series {
    char name[REPORT_NAME_MAX]; /* "journal.200b.64.acks_per_s" */
    struct stats stats;
};

struct report {
    struct report_series series[REPORT_SERIES_MAX];
    size_t count;
    bool exact; /* every run's result was checked and right */
};

/* Adds one repetition's sample to the series of that name. */
void report_add(struct report *report, double sample, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* NULL where nothing was measured under that name. */
const struct stats *report_find(const struct report *report, const char *name);

/* One line a series: name, median, min, max, samples. */
void report_print(const struct report *report, FILE *out);

/* Every series with its samples. */
int report_write_json(const struct report *report, const char *path, struct err *err);

/* One line: the medians of the named figures of the harness, and `exact`. */
void report_print_summary(const struct report *report, FILE *out);

#endif
