/* `check`: has every entity its events? */
#include "engine/cli_database.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "engine/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- JSON ------------------------------------------------------------------------ */

static void put_time(struct json_writer *json, const char *key, int64_t time_us)
{
    char text[CLI_TIME_TEXT];
    json_put_text(json, key, cli_time(time_us, text));
}

static void put_run(struct json_writer *json, const struct check_run *run)
{
    json_object(json);
    json_put_unsigned(json, "first_id", run->first_id);
    json_put_unsigned(json, "last_id", run->last_id);
    json_put_unsigned(json, "entities", run->count);
    put_time(json, "from", run->first_us);
    put_time(json, "to", run->last_us);
    json_object_end(json);
}

static void put_burst(struct json_writer *json, const struct check_burst *burst)
{
    json_object(json);
    put_time(json, "from", burst->first_us);
    put_time(json, "to", burst->last_us);
    json_put_unsigned(json, "entities", burst->count);
    json_put_unsigned(json, "first_id", burst->first_id);
    json_put_unsigned(json, "last_id", burst->last_id);
    json_put_unsigned(json, "runs", burst->runs);
    json_put_unsigned(json, "longest_run", burst->longest_run);
    json_put_bool(json, "likely_interruption", burst->likely);
    json_object_end(json);
}

static double share_of(uint64_t part, uint64_t whole)
{
    enum { ALL = 10000 };
    return whole ? (double)(part * ALL / whole) / 100 : 0;
}

/* "2026-01-11" */
static const char *day_text(int64_t day, char out_text[VALUE_TIME_TEXT])
{
    enum { DATE_LEN = 10 };
    value_format_time(day * INT64_C(86400) * 1000000, 0, 0, out_text);
    out_text[DATE_LEN] = '\0';
    return out_text;
}

static void put_days(struct json_writer *json, const struct check_report *report)
{
    char text[VALUE_TIME_TEXT];
    const struct check_explained *why = &report->why;
    json_key(json, "days");
    json_array(json);
    for (size_t i = 0; i < why->day_count; i++) {
        json_object(json);
        json_put_text(json, "day", day_text(why->days[i].day, text));
        json_put_unsigned(json, "missing", why->days[i].count);
        json_key(json, "share_percent");
        json_real(json, share_of(why->days[i].count, report->missing));
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_explained(struct json_writer *json, const struct check_report *report)
{
    const struct check_explained *why = &report->why;
    json_key(json, "explained");
    json_object(json);
    put_days(json, report);
    json_key(json, "bursts");
    json_array(json);
    for (size_t i = 0; i < why->burst_count; i++) {
        put_burst(json, &why->bursts[i]);
    }
    json_array_end(json);
    json_put_unsigned(json, "runs_total", why->runs_total);
    json_key(json, "longest_runs");
    json_array(json);
    for (size_t i = 0; i < why->run_count; i++) {
        put_run(json, &why->runs[i]);
    }
    json_array_end(json);
    json_put_unsigned(json, "without_a_time", why->untimed);
    json_put_unsigned(json, "beyond_what_is_kept", why->unplaced);
    json_object_end(json);
}

/* null: the stream has no such column, so that it can't be told. */
static void put_known(struct json_writer *json, const char *key, bool known,
                      uint64_t value)
{
    json_key(json, key);
    if (known) {
        json_unsigned(json, value);
    } else {
        json_null(json);
    }
}

void check_put_report(struct json_writer *json, const struct check_report *report,
                      uint32_t threshold)
{
    json_object(json);
    json_put_text(json, "stream", report->stream->name);
    json_put_bool(json, "tables_found", report->found);
    put_time(json, "at", report->at_us);
    if (report->found) {
        json_put_bool(json, "ok", !check_is_below(report, threshold));
        json_put_unsigned(json, "entities", report->entities);
        json_put_unsigned(json, "without_events", report->missing);
        json_key(json, "coverage_percent");
        json_real(json, (double)check_coverage(report) / 100);
        json_put_unsigned(json, "aged", report->aged);
        json_put_unsigned(json, "events", report->events + report->stray);
        json_put_unsigned(json, "events_without_entity", report->stray);
        put_known(json, "count_off", report->counts, report->count_off);
        put_known(json, "first_seen_off", report->firsts, report->first_off);
        put_known(json, "last_seen_off", report->lasts, report->last_off);
        json_put_unsigned(json, "took_ms", report->took_us / 1000);
    }
    if (report->explained) {
        put_explained(json, report);
    }
    json_object_end(json);
}

/* ---- Text ------------------------------------------------------------------------ */

static void print_known(const char *what, bool known, uint64_t off, const char *column)
{
    if (!known) {
        printf("  %-28s can't be told: the stream has no %s column\n", what, column);
    } else {
        printf("  %-28s %" PRIu64 " entities differ\n", what, off);
    }
}

static void print_runs(const struct check_explained *why)
{
    char from[CLI_TIME_TEXT];
    char to[CLI_TIME_TEXT];
    printf("  %" PRIu64 " runs of consecutive ids%s\n", why->runs_total,
           why->runs_total > why->run_count ? "; the longest:" : ":");
    for (size_t i = 0; i < why->run_count; i++) {
        const struct check_run *run = &why->runs[i];
        printf("    ids %" PRIu64 " to %" PRIu64 ": %" PRIu64 " entities, %s to %s\n",
               run->first_id, run->last_id, run->count, cli_time(run->first_us, from),
               cli_time(run->last_us, to));
    }
}

static void print_explained(const struct check_report *report)
{
    char from[CLI_TIME_TEXT];
    char to[CLI_TIME_TEXT];
    const struct check_explained *why = &report->why;
    for (size_t i = 0; i < why->day_count; i++) {
        printf("  %s  %8" PRIu64 " without events, %.2f %% of them\n",
               day_text(why->days[i].day, from), why->days[i].count,
               share_of(why->days[i].count, report->missing));
    }
    print_runs(why);
    for (size_t i = 0; i < why->burst_count; i++) {
        const struct check_burst *burst = &why->bursts[i];
        printf("  %s: %s to %s, %" PRIu64 " entities, ids %" PRIu64 " to %" PRIu64
               ", longest run %" PRIu64 "\n",
               burst->likely ? "likely interruption" : "scattered",
               cli_time(burst->first_us, from), cli_time(burst->last_us, to),
               burst->count, burst->first_id, burst->last_id, burst->longest_run);
    }
    if (why->untimed || why->unplaced) {
        printf("  %" PRIu64 " have no time at all, %" PRIu64 " are beyond what is kept\n",
               why->untimed, why->unplaced);
    }
}

static void print_report(const struct check_report *report)
{
    printf("%s\n", report->stream->name);
    if (!report->found) {
        printf("  its tables are not there yet\n");
        return;
    }
    uint32_t coverage = check_coverage(report);
    printf("  %-28s %" PRIu64 " in %s\n", "entities", report->entities,
           report->stream->entity.name);
    printf("  %-28s %" PRIu64 "\n", "without events", report->missing);
    printf("  %-28s %u.%02u %%\n", "coverage", coverage / 100, coverage % 100);
    if (report->aged) {
        printf("  %-28s %" PRIu64 " older than check.since, not missed\n", "aged",
               report->aged);
    }
    printf("  %-28s %" PRIu64 " in %s\n", "events", report->events + report->stray,
           report->stream->event.name);
    printf("  %-28s %" PRIu64 "\n", "events without entity", report->stray);
    print_known("count against events", report->counts, report->count_off, "count");
    print_known("first time against events", report->firsts, report->first_off,
                "first time");
    print_known("last time against events", report->lasts, report->last_off, "last time");
    if (report->explained) {
        print_explained(report);
    }
}

/* ---- The command ----------------------------------------------------------------- */

struct checker {
    const struct cli *cli;
    struct database database;
    struct json_writer *json; /* NULL: text */
    uint32_t threshold;
    struct progress progress;
};

static bool show_progress(void *context, uint64_t at, uint64_t end)
{
    struct progress *progress = context;
    progress->total = end;
    progress_show(progress, at, at, "ids");
    return true;
}

static int check_one(struct checker *at, const struct stream *stream)
{
    struct check_rules rules = database_check_rules(at->database.config);
    struct check_report report;
    struct err err = {0};
    rules.explain = cli_has(at->cli, OPTION_EXPLAIN);
    rules.progress = show_progress;
    rules.progress_context = &at->progress;
    progress_begin(&at->progress, stream->name, 0, &clock_system);
    at->progress.quiet = cli_has(at->cli, OPTION_QUIET);
    int code = check_stream(at->database.db, stream, &rules, &report, &err);
    progress_end(&at->progress);
    if (code) {
        return cli_fail_err(&err);
    }
    if (at->json) {
        check_put_report(at->json, &report, at->threshold);
    } else {
        print_report(&report);
    }
    int exit_code = EXIT_FINE;
    if (report.found && check_is_below(&report, at->threshold)) {
        uint32_t coverage = check_coverage(&report);
        exit_code = cli_fail(EXIT_PROBLEM,
                             "stream %s: %u.%02u %% of the entities have events, less "
                             "than %u.%02u %%; `holdfast check --explain` says more, "
                             "`holdfast repair` shows what can be done",
                             stream->name, coverage / 100, coverage % 100,
                             at->threshold / 100, at->threshold % 100);
    }
    check_report_free(&report);
    return exit_code;
}

static int check_all(struct checker *at)
{
    int exit_code = EXIT_FINE;
    if (at->json) {
        json_object(at->json);
        json_key(at->json, "streams");
        json_array(at->json);
    }
    const struct config *config = at->database.config;
    for (size_t i = 0; i < config->stream_count; i++) {
        if (database_wants(&at->database, config->streams[i])) {
            int found = check_one(at, config->streams[i]);
            exit_code = found > exit_code ? found : exit_code;
        }
    }
    if (at->json && exit_code <= EXIT_PROBLEM) {
        json_array_end(at->json);
        json_put_bool(at->json, "ok", exit_code == EXIT_FINE);
        json_object_end(at->json);
        int printed = cli_print(json_result(at->json));
        exit_code = printed ? printed : exit_code;
    }
    return exit_code;
}

int cli_check(const struct cli *cli)
{
    struct checker at = {.cli = cli};
    int exit_code = database_open(cli, &at.database);
    if (exit_code) {
        return exit_code;
    }
    const char *threshold = cli->text[OPTION_THRESHOLD];
    at.threshold = at.database.config->check.threshold;
    at.json = cli_has(cli, OPTION_JSON) ? json_new() : NULL;
    if (threshold && !units_parse_percent(slice_text(threshold), &at.threshold)) {
        exit_code = cli_fail(EXIT_USAGE,
                             "--threshold '%s' is not a share from 0 to 100 with at "
                             "most two decimals",
                             threshold);
    } else if (cli_has(cli, OPTION_JSON) && !at.json) {
        exit_code = cli_fail(EXIT_INTERNAL, "no memory for the answer");
    } else {
        exit_code = check_all(&at);
    }
    json_free(at.json);
    database_close(&at.database);
    return exit_code;
}
