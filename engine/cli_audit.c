/* `audit`: the law of conservation, lane by lane. */
#include "audit/audit.h"
#include "engine/cli_audit_deep.h"
#include "engine/json.h"

#include <inttypes.h>
#include <stdio.h>

struct totals {
    uint64_t accepted, retried, events, duplicates, conflicts, dead, given_up, pending;
};

static uint64_t dead_of(const struct audit_lane *lane)
{
    return lane->dead_kept + lane->dead_retried;
}

/* Purged by an operator, or passed over with a gap. */
static uint64_t given_up_of(const struct audit_lane *lane)
{
    return lane->dead_purged + lane->ledger.given_up;
}

static struct totals sum_up(const struct audit_report *report)
{
    struct totals totals = {0};
    for (size_t i = 0; i < report->lane_count; i++) {
        const struct audit_lane *lane = &report->lanes[i];
        totals.accepted += lane->accepted;
        totals.retried += lane->retried;
        totals.events += lane->ledger.events;
        totals.duplicates += lane->ledger.duplicates;
        totals.conflicts += lane->ledger.conflicts;
        totals.dead += dead_of(lane);
        totals.given_up += given_up_of(lane);
        totals.pending += lane->pending;
    }
    return totals;
}

/* ---- JSON ------------------------------------------------------------------------ */

static void put_lane(struct json_writer *json, const struct audit_lane *lane)
{
    json_object(json);
    json_put_text(json, "stream", lane->stream);
    json_put_unsigned(json, "lane", lane->lane);
    json_put_bool(json, "configured", lane->configured);
    json_put_unsigned(json, "position", lane->ledger.position.seq);
    json_put_unsigned(json, "accepted", lane->accepted);
    json_put_unsigned(json, "retried", lane->retried);
    json_put_unsigned(json, "applied", lane->ledger.records);
    json_put_unsigned(json, "events", lane->ledger.events);
    json_put_unsigned(json, "duplicates", lane->ledger.duplicates);
    json_put_unsigned(json, "conflicts", lane->ledger.conflicts);
    json_put_unsigned(json, "dead_letters", dead_of(lane));
    json_put_unsigned(json, "dead_letters_kept", lane->dead_kept);
    json_put_unsigned(json, "dead_letters_retried", lane->dead_retried);
    json_put_unsigned(json, "dead_letters_purged", lane->dead_purged);
    json_put_unsigned(json, "given_up", given_up_of(lane));
    json_put_unsigned(json, "given_up_in_gaps", lane->ledger.given_up);
    json_put_unsigned(json, "pending", lane->pending);
    json_put_integer(json, "unaccounted", lane->unaccounted);
    if (lane->problem[0]) {
        json_put_text(json, "problem", lane->problem);
    }
    json_object_end(json);
}

static void put_count(struct json_writer *json, const char *key, bool found,
                      uint64_t count)
{
    json_key(json, key);
    if (found) {
        json_unsigned(json, count);
    } else {
        json_null(json);
    }
}

static void put_totals(struct json_writer *json, const struct totals *totals)
{
    json_key(json, "totals");
    json_object(json);
    json_put_unsigned(json, "accepted", totals->accepted);
    json_put_unsigned(json, "retried", totals->retried);
    json_put_unsigned(json, "events", totals->events);
    json_put_unsigned(json, "duplicates", totals->duplicates);
    json_put_unsigned(json, "conflicts", totals->conflicts);
    json_put_unsigned(json, "dead_letters", totals->dead);
    json_put_unsigned(json, "given_up", totals->given_up);
    json_put_unsigned(json, "pending", totals->pending);
    json_object_end(json);
}

static void put_tables(struct json_writer *json, const struct audit_report *report)
{
    json_key(json, "tables");
    json_array(json);
    for (size_t i = 0; i < report->stream_count; i++) {
        const struct audit_stream *stream = &report->streams[i];
        json_object(json);
        json_put_text(json, "stream", stream->stream->name);
        put_count(json, "entities", stream->entity_found, stream->entities);
        put_count(json, "events", stream->event_found, stream->events);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_report(struct json_writer *json, const struct audit_report *report,
                       bool ok)
{
    struct totals totals = sum_up(report);
    json_put_bool(json, "ok", ok);
    json_put_text(json, "journal", report->journal_id);
    put_totals(json, &totals);
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < report->lane_count; i++) {
        put_lane(json, &report->lanes[i]);
    }
    json_array_end(json);
    put_tables(json, report);
}

/* ---- Text ------------------------------------------------------------------------ */

static void print_lane(const struct audit_lane *lane)
{
    char name[JOURNAL_STREAM_MAX + 16];
    snprintf(name, sizeof name, "%s/%u", lane->stream, lane->lane);
    printf("%-22s %10" PRIu64 " %12" PRIu64 " + %8" PRIu64 " = %12" PRIu64 " + %9" PRIu64
           " + %9" PRIu64 " + %9" PRIu64 " + %8" PRIu64 " + %12" PRIu64 "  %s\n",
           name, lane->ledger.position.seq, lane->accepted, lane->retried,
           lane->ledger.events, lane->ledger.duplicates, lane->ledger.conflicts,
           dead_of(lane), given_up_of(lane), lane->pending,
           lane->problem[0] ? "DIFFERS" : "holds");
}

static void print_text(const struct audit_report *report)
{
    struct totals totals = sum_up(report);
    printf("journal %s%s\n\n", report->journal_id,
           report->ledger_found ? "" : "; the database has no ledger yet");
    printf("%-22s %10s %12s   %8s   %12s   %9s   %9s   %9s   %8s   %12s\n", "stream/lane",
           "position", "accepted", "retried", "new events", "dups", "conflicts", "dead",
           "given up", "pending");
    for (size_t i = 0; i < report->lane_count; i++) {
        print_lane(&report->lanes[i]);
    }
    printf("\ntotal: accepted %" PRIu64 " + retried %" PRIu64 " = new events %" PRIu64
           " + duplicates %" PRIu64 " + conflicts %" PRIu64 " + dead letters %" PRIu64
           " + given up %" PRIu64 " + pending %" PRIu64 "\n\n",
           totals.accepted, totals.retried, totals.events, totals.duplicates,
           totals.conflicts, totals.dead, totals.given_up, totals.pending);
    for (size_t i = 0; i < report->stream_count; i++) {
        const struct audit_stream *stream = &report->streams[i];
        if (stream->entity_found && stream->event_found) {
            printf("%s: %" PRIu64 " rows in %s, %" PRIu64 " in %s\n",
                   stream->stream->name, stream->entities, stream->stream->entity.name,
                   stream->events, stream->stream->event.name);
        } else {
            printf("%s: its tables are not there yet\n", stream->stream->name);
        }
    }
}

/* ---- The command ----------------------------------------------------------------- */

/* What is found deep down comes first, since it is printed as it is found. */
static int print_json(const struct audit_report *report, const struct cli_deep *deep)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    int exit_code = cli_audit_deep(deep, json);
    if (exit_code <= EXIT_PROBLEM) {
        put_report(json, report, exit_code == EXIT_FINE && report->problems == 0);
        json_object_end(json);
        int printed = cli_print(json_result(json));
        exit_code = printed ? printed : exit_code;
    }
    json_free(json);
    return exit_code;
}

static int print_report(const struct audit_report *report, const struct cli_deep *deep)
{
    int exit_code = EXIT_FINE;
    if (cli_has(deep->cli, OPTION_JSON)) {
        exit_code = print_json(report, deep);
    } else {
        print_text(report);
        exit_code = cli_audit_deep(deep, NULL);
    }
    for (size_t i = 0; i < report->lane_count; i++) {
        if (report->lanes[i].problem[0]) {
            cli_fail(EXIT_PROBLEM, "stream %s, lane %u: %s", report->lanes[i].stream,
                     report->lanes[i].lane, report->lanes[i].problem);
        }
    }
    return exit_code ? exit_code : report->problems ? EXIT_PROBLEM : EXIT_FINE;
}

int cli_audit(const struct cli *cli)
{
    struct database database;
    struct journal *journal = NULL;
    struct audit_report report;
    struct err err = {0};
    if (cli_has(cli, OPTION_STREAM) && !cli_has(cli, OPTION_DEEP)) {
        return cli_fail(EXIT_USAGE, "--stream goes with --deep: the law is about all");
    }
    int exit_code = database_open(cli, &database);
    if (exit_code) {
        return exit_code;
    }
    const struct config *config = database.config;
    exit_code = cli_open_reader(config, &journal);
    if (exit_code) {
        database_close(&database);
        return exit_code;
    }
    struct cli_deep deep = {cli, &database, journal};
    if (audit_run(journal, database.db, (const struct stream *const *)config->streams,
                  config->stream_count, &report, &err)) {
        exit_code = cli_fail_err(&err);
    } else {
        exit_code = print_report(&report, &deep);
        audit_report_free(&report);
    }
    journal_close(journal);
    database_close(&database);
    return exit_code;
}
