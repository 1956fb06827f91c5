#include "bench/report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* The figures of the last line, by the series that they are the median of. */
static const struct {
    const char *figure;
    const char *series;
} summary[] = {
    {"apply_ratio_10k", "apply.lanes1.10000.ratio"},
    {"apply_ratio_50k", "apply.lanes1.50000.ratio"},
    {"apply_ratio_2_lanes", "apply.lanes2.10000.ratio"},
    {"end_to_end_ratio", "end_to_end.lanes2.ratio"},
    {"journal_ratio_200b_64", "journal.200b.64.ratio"},
    {"journal_ratio_20k_64", "journal.20k.64.ratio"},
    {"journal_ratio_1mib_1", "journal.1mib.1.ratio"},
    {"intake_records_ratio", "intake.ratio"},
    {"python_ratio", "compare.python.ratio"},
    {"ready_ms_after_kill", "recover.ready_ms"},
    {"private_mib", "recover.private_mib"},
};

static struct report_series *series_of(struct report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->series[i].name, name) == 0) {
            return &report->series[i];
        }
    }
    assert(report->count < REPORT_SERIES_MAX);
    struct report_series *series = &report->series[report->count++];
    *series = (struct report_series){.name = ""};
    memcpy(series->name, name, strlen(name) + 1);
    return series;
}

void report_add(struct report *report, double sample, const char *format, ...)
{
    char name[REPORT_NAME_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    assert(len > 0 && (size_t)len < sizeof name);
    stats_add(&series_of(report, name)->stats, sample);
}

const struct stats *report_find(const struct report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->series[i].name, name) == 0) {
            return &report->series[i].stats;
        }
    }
    return NULL;
}

void report_print(const struct report *report, FILE *out)
{
    fprintf(out, "%-44s %14s %14s %14s %4s\n", "figure", "median", "min", "max", "n");
    for (size_t i = 0; i < report->count; i++) {
        const struct stats *stats = &report->series[i].stats;
        fprintf(out, "%-44s %14.3f %14.3f %14.3f %4zu\n", report->series[i].name,
                stats_median(stats), stats_min(stats), stats_max(stats), stats->count);
    }
}

static void write_series(FILE *out, const struct report_series *series)
{
    const struct stats *stats = &series->stats;
    fprintf(out, "    \"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, ",
            series->name, stats_median(stats), stats_min(stats), stats_max(stats));
    fprintf(out, "\"samples\": [");
    for (size_t i = 0; i < stats->count; i++) {
        fprintf(out, "%s%.6g", i ? ", " : "", stats->samples[i]);
    }
    fprintf(out, "]}");
}

int report_write_json(const struct report *report, const char *path, struct err *err)
{
    FILE *out = fopen(path, "we");
    if (!out) {
        return err_set_errno(err, ERR_IO, errno, "report: %s", path);
    }
    fprintf(out, "{\n  \"exact\": %s,\n  \"figures\": {\n",
            report->exact ? "true" : "false");
    for (size_t i = 0; i < report->count; i++) {
        write_series(out, &report->series[i]);
        fprintf(out, i + 1 < report->count ? ",\n" : "\n");
    }
    fprintf(out, "  }\n}\n");
    if (fclose(out)) {
        return err_set_errno(err, ERR_IO, errno, "report: %s", path);
    }
    return ERR_OK;
}

void report_print_summary(const struct report *report, FILE *out)
{
    fprintf(out, "{");
    for (size_t i = 0; i < sizeof summary / sizeof summary[0]; i++) {
        const struct stats *stats = report_find(report, summary[i].series);
        if (stats) {
            fprintf(out, "\"%s\":%.4g,", summary[i].figure, stats_median(stats));
        }
    }
    fprintf(out, "\"exact\":%s}\n", report->exact ? "true" : "false");
}
