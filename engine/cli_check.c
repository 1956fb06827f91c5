/* `check`: has every entity its events? */
#include "engine/check_json.h"
#include "engine/cli_database.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "engine/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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
    if (why->runs_total == 0) {
        return;
    }
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
               check_day_text(why->days[i].day, from), why->days[i].count,
               check_share(why->days[i].count, report->missing));
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
    if (check_disagrees(report)) {
        printf("  `holdfast repair --counts` shows how counts and times can be mended\n");
    }
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
        exit_code = cli_fail(EXIT_AGAIN, "no memory for the answer");
    } else {
        exit_code = check_all(&at);
    }
    json_free(at.json);
    database_close(&at.database);
    return exit_code;
}
