/* bench/report.h: what was measured, by name; printed as a table and written as JSON, and
 * as plain columns for the charts. Not thread-safe.
 */
#ifndef HOLDFAST_BENCH_REPORT_H
#define HOLDFAST_BENCH_REPORT_H

#include "bench/stats.h"

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

enum {
    REPORT_SERIES_MAX = 512,
    REPORT_NAME_MAX = 96,
    REPORT_TEXTS_MAX = 32,
    REPORT_TEXT_MAX = 256,
};

struct report_series {
    char name[REPORT_NAME_MAX]; /* "journal.200b.64.acks_per_s" */
    struct stats stats;
};

struct report_text {
    char name[REPORT_NAME_MAX];
    char text[REPORT_TEXT_MAX];
};

struct report_texts {
    struct report_text items[REPORT_TEXTS_MAX];
    size_t count;
};

struct report {
    struct report_series series[REPORT_SERIES_MAX];
    size_t count;
    struct report_texts facts;   /* of the machine and the settings */
    struct report_texts skipped; /* what was not measured, and why */
    bool exact;                  /* every run's result was checked and right */
};

/* Adds one repetition's sample to the series of that name. The unit is told by the name's
 * end: bytes_per_s, _per_s, _us, _ms, _s, _mib, _bytes, _share; ratio and count have
 * none. */
void report_add(struct report *report, double sample, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Notes a fact, or a figure that was left out with its reason; said twice, the last
 * holds. Too long a text is cut. */
void report_fact(struct report *report, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void report_skip(struct report *report, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Notes processor, cores, memory and kernel as facts. */
void report_machine(struct report *report);

/* NULL where nothing was measured under that name. */
const struct stats *report_find(const struct report *report, const char *name);

/* The unit that a series' name tells: "1/s", "ms"; "" where it has none. Static text. */
const char *report_unit(const char *name);

/* Facts; one line a series: name, median, min, max, samples, unit; what was skipped. */
void report_print(const struct report *report, FILE *out);

/* Facts, every series with its samples, what was skipped. ERR_IO. */
int report_write_json(const struct report *report, const char *path, struct err *err);

/* The same series as columns, one a line: name median min max samples. ERR_IO. */
int report_write_columns(const struct report *report, const char *path, struct err *err);

/* One line: the medians of the named figures of the harness, and `exact`. */
void report_print_summary(const struct report *report, FILE *out);

#endif
