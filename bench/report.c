#include "bench/report.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

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
    {"rsyslog_ratio", "compare.rsyslog.ratio"},
    {"python_lost_by_kills", "compare.python.kill.taken_and_lost"},
    {"rsyslog_lost_by_kills", "compare.rsyslog.kill.taken_and_lost"},
    {"lost_by_kills", "compare.engine.kill.taken_and_lost"},
    {"single_record_ms", "single.p50_ms"},
    {"growth_ratio", "growth.ratio"},
    {"ready_ms_after_kill", "recover.ready_ms"},
    {"private_mib", "recover.private_mib"},
};

/* ---- Taking in ------------------------------------------------------------------- */

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
    /* clang-tidy 14 takes va_start for unknown in this file */
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    int len = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    assert(len > 0 && (size_t)len < sizeof name);
    stats_add(&series_of(report, name)->stats, sample);
}

static struct report_text *text_of(struct report_texts *texts, const char *name)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (strcmp(texts->items[i].name, name) == 0) {
            return &texts->items[i];
        }
    }
    assert(texts->count < REPORT_TEXTS_MAX && strlen(name) < REPORT_NAME_MAX);
    struct report_text *text = &texts->items[texts->count++];
    memcpy(text->name, name, strlen(name) + 1);
    return text;
}

void report_fact(struct report *report, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct report_text *fact = text_of(&report->facts, name);
    /* clang-tidy 14 takes va_start for unknown in this file */
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    (void)vsnprintf(fact->text, sizeof fact->text, format, args);
    va_end(args);
}

void report_skip(struct report *report, const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct report_text *skip = text_of(&report->skipped, name);
    /* clang-tidy 14 takes va_start for unknown in this file */
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    (void)vsnprintf(skip->text, sizeof skip->text, format, args);
    va_end(args);
}

/* The text behind the colon of a line "name : text" of a file of /proc. */
static void note_line(struct report *report, const char *fact, const char *path,
                      const char *name)
{
    FILE *file = fopen(path, "re");
    char line[REPORT_TEXT_MAX];
    while (file && fgets(line, sizeof line, file)) {
        char *text = strchr(line, ':');
        if (text && strncmp(line, name, strlen(name)) == 0) {
            text += 1 + strspn(text + 1, " \t");
            text[strcspn(text, "\n")] = '\0';
            report_fact(report, fact, "%s", text);
            break;
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

void report_machine(struct report *report)
{
    struct utsname kernel;
    if (uname(&kernel) == 0) {
        report_fact(report, "kernel", "%s %s %s", kernel.sysname, kernel.release,
                    kernel.machine);
    }
    note_line(report, "processor", "/proc/cpuinfo", "model name");
    report_fact(report, "cores", "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    note_line(report, "memory", "/proc/meminfo", "MemTotal");
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

/* ---- Giving out ------------------------------------------------------------------ */

/* The first that fits holds: bytes_per_s before _per_s before _s. */
static const struct {
    const char *end;
    const char *unit;
} units[] = {
    {"bytes_per_s", "B/s"}, {"_per_s", "1/s"}, {"_us", "us"},
    {"_ms", "ms"},          {"_s", "s"},       {"_mib", "MiB"},
    {"_bytes", "bytes"},    {"_share", ""},
};

const char *report_unit(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t end = strlen(units[i].end);
        if (len > end && strcmp(name + len - end, units[i].end) == 0) {
            return units[i].unit;
        }
    }
    return "";
}

/* Four significant digits at least, and no more decimals than say something. */
static void print_number(FILE *out, double number)
{
    double size = fabs(number);
    int decimals = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
    fprintf(out, " %12.*f", decimals, number);
}

void report_print(const struct report *report, FILE *out)
{
    for (size_t i = 0; i < report->facts.count; i++) {
        const struct report_text *fact = &report->facts.items[i];
        fprintf(out, "%-16s %s\n", fact->name, fact->text);
    }
    fprintf(out, "\n%-48s %12s %12s %12s %4s  %s\n", "figure", "median", "min", "max",
            "n", "unit");
    for (size_t i = 0; i < report->count; i++) {
        const struct report_series *series = &report->series[i];
        fprintf(out, "%-48s", series->name);
        print_number(out, stats_median(&series->stats));
        print_number(out, stats_min(&series->stats));
        print_number(out, stats_max(&series->stats));
        fprintf(out, " %4zu  %s\n", series->stats.count, report_unit(series->name));
    }
    for (size_t i = 0; i < report->skipped.count; i++) {
        const struct report_text *skip = &report->skipped.items[i];
        fprintf(out, "%-48s SKIPPED: %s\n", skip->name, skip->text);
    }
}

/* JSON has no infinity: a ratio to nothing is null. */
static void write_number(FILE *out, int digits, double number)
{
    if (isfinite(number)) {
        fprintf(out, "%.*g", digits, number);
    } else {
        fputs("null", out);
    }
}

static void write_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ') {
            fprintf(out, "\\u%04x", c);
        } else {
            fputs(c == '"' || c == '\\' ? "\\" : "", out);
            fputc(c, out);
        }
    }
    fputc('"', out);
}

static void write_texts(FILE *out, const char *name, const struct report_texts *texts)
{
    fprintf(out, "  \"%s\": {", name);
    for (size_t i = 0; i < texts->count; i++) {
        fputs(i ? ",\n    " : "\n    ", out);
        write_string(out, texts->items[i].name);
        fputs(": ", out);
        write_string(out, texts->items[i].text);
    }
    fputs(texts->count ? "\n  },\n" : "},\n", out);
}

static void write_series(FILE *out, const struct report_series *series)
{
    const struct stats *stats = &series->stats;
    const struct {
        const char *name;
        double number;
    } said[] = {{"median", stats_median(stats)},
                {"min", stats_min(stats)},
                {"max", stats_max(stats)}};
    write_string(out, series->name);
    fprintf(out, ": {\"unit\": \"%s\"", report_unit(series->name));
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        fprintf(out, ", \"%s\": ", said[i].name);
        write_number(out, 6, said[i].number);
    }
    fputs(", \"samples\": [", out);
    for (size_t i = 0; i < stats->count; i++) {
        fputs(i ? ", " : "", out);
        write_number(out, 6, stats->samples[i]);
    }
    fputs("]}", out);
}

static int close_written(FILE *out, const char *path, struct err *err)
{
    bool failed = ferror(out);
    if (fclose(out) || failed) {
        return err_set_errno(err, ERR_IO, errno, "report: %s", path);
    }
    return ERR_OK;
}

int report_write_json(const struct report *report, const char *path, struct err *err)
{
    FILE *out = fopen(path, "we");
    if (!out) {
        return err_set_errno(err, ERR_IO, errno, "report: %s", path);
    }
    fprintf(out, "{\n  \"exact\": %s,\n", report->exact ? "true" : "false");
    write_texts(out, "facts", &report->facts);
    write_texts(out, "skipped", &report->skipped);
    fputs("  \"figures\": {", out);
    for (size_t i = 0; i < report->count; i++) {
        fputs(i ? ",\n    " : "\n    ", out);
        write_series(out, &report->series[i]);
    }
    fputs("\n  }\n}\n", out);
    return close_written(out, path, err);
}

int report_write_columns(const struct report *report, const char *path, struct err *err)
{
    FILE *out = fopen(path, "we");
    if (!out) {
        return err_set_errno(err, ERR_IO, errno, "report: %s", path);
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct stats *stats = &report->series[i].stats;
        fprintf(out, "%s %.6g %.6g %.6g %zu\n", report->series[i].name,
                stats_median(stats), stats_min(stats), stats_max(stats), stats->count);
    }
    return close_written(out, path, err);
}

void report_print_summary(const struct report *report, FILE *out)
{
    fputc('{', out);
    for (size_t i = 0; i < sizeof summary / sizeof summary[0]; i++) {
        const struct stats *stats = report_find(report, summary[i].series);
        if (stats) {
            fprintf(out, "\"%s\":", summary[i].figure);
            write_number(out, 4, stats_median(stats));
            fputc(',', out);
        }
    }
    fprintf(out, "\"exact\":%s}\n", report->exact ? "true" : "false");
}
