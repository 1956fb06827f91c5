/* `explain`: one entity's story, from the journal and the database. */
#include "audit/explain.h"
#include "engine/cli_database.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "engine/progress.h"

#include <inttypes.h>
#include <stdio.h>

struct explainer {
    const struct cli *cli;
    struct database database;
    struct journal *journal;
    struct json_writer *json;
    const char *key;
    uint64_t limit;
    bool known;
    bool agrees;
    struct progress progress;
};

/* ---- The row ----------------------------------------------------------------------- */

static void put_sides(struct json_writer *json, const char *name,
                      const struct explain_time *time)
{
    if (!time->there) {
        return;
    }
    json_key(json, name);
    json_object(json);
    if (time->known) {
        cli_put_time(json, "row", time->us);
    }
    if (time->by_events) {
        cli_put_time(json, "events", time->by_events_us);
    }
    json_put_bool(json, "agrees", !time->off);
    json_object_end(json);
}

static void put_entity(struct json_writer *json, const struct explain_report *report)
{
    const struct explain_entity *entity = &report->entity;
    json_key(json, "entity");
    if (!report->entity_found) {
        json_null(json);
        return;
    }
    json_object(json);
    json_put_unsigned(json, "id", entity->id);
    json_put_unsigned(json, "events", entity->events);
    if (entity->has_count) {
        json_key(json, "count");
        json_object(json);
        json_put_integer(json, "row", entity->count);
        json_put_unsigned(json, "events", entity->events);
        json_put_bool(json, "agrees", !entity->count_off);
        json_object_end(json);
    }
    put_sides(json, "first", &entity->first);
    put_sides(json, "last", &entity->last);
    json_object_end(json);
}

/* ---- Records ----------------------------------------------------------------------- */

static void put_columns(struct json_writer *json, const struct stream *stream,
                        const bool *columns)
{
    bool any = false;
    for (size_t i = 0; i < stream->event.column_count; i++) {
        if (columns[i] && !any) {
            any = true;
            json_key(json, "differs_in");
            json_array(json);
        }
        if (columns[i]) {
            json_text(json, slice_text(stream->event.columns[i].name));
        }
    }
    if (any) {
        json_array_end(json);
    }
}

static const char *state_of(const struct explain_record *record)
{
    if (!record->applied) {
        return "pending";
    }
    if (record->gap) {
        return deep_kind_word(record->kind);
    }
    return !record->event_id       ? "aged"
           : record->made_by_other ? "met_its_event"
                                   : "made_its_event";
}

static void put_record(struct json_writer *json, const struct stream *stream,
                       const struct explain_record *record)
{
    json_object(json);
    json_put_unsigned(json, "seq", record->seq);
    json_put_unsigned(json, "index", record->index);
    json_put_unsigned(json, "batch", record->batch_seq);
    json_put_unsigned(json, "lane", record->lane);
    cli_put_time(json, "journaled_at", record->received_at_us);
    cli_put_time(json, "time", record->time_us);
    json_put_bool(json, "applied", record->applied);
    json_put_text(json, "state", state_of(record));
    if (record->event_id) {
        json_put_unsigned(json, "event_id", record->event_id);
    }
    put_columns(json, stream, record->columns);
    json_object_end(json);
}

static void put_records(struct json_writer *json, const struct stream *stream,
                        const struct explain_report *report)
{
    json_put_unsigned(json, "records_found", report->records_found);
    json_key(json, "records");
    json_array(json);
    for (size_t i = 0; i < report->record_count; i++) {
        put_record(json, stream, &report->records[i]);
    }
    json_array_end(json);
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < report->lane_count; i++) {
        const struct explain_lane *lane = &report->lanes[i];
        json_object(json);
        json_put_unsigned(json, "lane", lane->lane);
        json_put_unsigned(json, "applied_to", lane->applied_seq);
        if (lane->moved_us) {
            cli_put_time(json, "last_applied_at", lane->moved_us);
        }
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- Events, dead letters ---------------------------------------------------------- */

/* The record that made it, where the journal retains that. */
static void put_maker(struct json_writer *json, const struct explain_report *report,
                      const struct explain_event *event)
{
    for (size_t i = 0; i < report->record_count; i++) {
        const struct explain_record *record = &report->records[i];
        if (record->event_id == event->id && !record->made_by_other) {
            json_put_unsigned(json, "seq", record->seq);
            json_put_unsigned(json, "index", record->index);
            return;
        }
    }
}

static void put_events(struct json_writer *json, const struct explain_report *report)
{
    json_key(json, "events");
    json_array(json);
    for (size_t i = 0; i < report->event_count; i++) {
        const struct explain_event *event = &report->events[i];
        json_object(json);
        json_put_unsigned(json, "id", event->id);
        json_put_unsigned(json, "entity_id", event->entity_id);
        if (event->timed) {
            cli_put_time(json, "time", event->time_us);
        }
        if (event->received) {
            cli_put_time(json, "received_at", event->received_at_us);
        }
        if (event->type) {
            json_put_text(json, "event_type", event->type);
            json_put_bool(json, "stands_in", event->stands_in);
        }
        put_maker(json, report, event);
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_letters(struct json_writer *json, const struct explain_report *report)
{
    static const char *const states[] = {[JOURNAL_DEAD_KEPT] = "kept",
                                         [JOURNAL_DEAD_RETRIED] = "retried",
                                         [JOURNAL_DEAD_PURGED] = "purged",
                                         [JOURNAL_DEAD_CONFLICT] = "conflict"};
    json_put_unsigned(json, "dead_letters_found", report->letters_found);
    json_key(json, "dead_letters");
    json_array(json);
    for (size_t i = 0; i < report->letter_count; i++) {
        const struct explain_letter *letter = &report->letters[i];
        json_object(json);
        json_put_unsigned(json, "seq", letter->seq);
        json_put_unsigned(json, "index", letter->index);
        cli_put_time(json, "at", letter->at_us);
        json_put_text(json, "state", states[letter->state]);
        json_put_text(json, "reason", letter->reason);
        json_put_text(json, "field", letter->field);
        json_object_end(json);
    }
    json_array_end(json);
}

/* ---- A stream ---------------------------------------------------------------------- */

static void put_report(struct json_writer *json, const struct stream *stream,
                       const struct explain_report *report)
{
    json_object(json);
    json_put_text(json, "stream", stream->name);
    json_put_bool(json, "known", report->known);
    json_put_bool(json, "agrees", report->agrees);
    put_entity(json, report);
    put_records(json, stream, report);
    put_events(json, report);
    put_letters(json, report);
    json_key(json, "journal");
    json_object(json);
    json_put_unsigned(json, "retained_from", report->first_seq);
    if (report->first_seq) {
        cli_put_time(json, "retained_since", report->first_at_us);
    }
    json_object_end(json);
    json_object_end(json);
}

static void advise(const struct explainer *at, const struct stream *stream,
                   const struct explain_report *report)
{
    if (report->gaps) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: the database doesn't have %" PRIu64 " of its records as "
                 "they were applied; `holdfast audit --deep` says how it stands with "
                 "others, and what to do",
                 stream->name, report->gaps);
    } else if (report->entity.missing) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: its row has no event; `holdfast repair` shows what can be "
                 "done",
                 stream->name);
    } else if (report->event_count && !report->entity_found) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: its events have no row in %s; `holdfast check` counts such "
                 "events",
                 stream->name, stream->entity.name);
    } else if (!report->agrees) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: its row disagrees with its events; `holdfast repair "
                 "--counts` shows what can be done",
                 stream->name);
    }
    if (report->records_found > report->record_count ||
        report->letters_found > report->letter_count ||
        report->entity.events > report->event_count) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: not all is listed; --limit %" PRIu64 " is more",
                 stream->name, at->limit * 10);
    }
}

static void show_progress(uint64_t seq, uint64_t end, void *context)
{
    struct explainer *at = context;
    at->progress.total = end;
    progress_show(&at->progress, seq, seq, "entries");
}

static int explain_stream(struct explainer *at, const struct stream *stream,
                          const struct value *key)
{
    struct check_rules ages = database_check_rules(at->database.config);
    struct explain_rules rules = {.journal = at->journal,
                                  .now_us = ages.now_us,
                                  .since_us = ages.since_us,
                                  .zone_offset_s = ages.zone_offset_s,
                                  .limit = (size_t)at->limit,
                                  .progress = show_progress,
                                  .context = at};
    struct explain_report report;
    struct err err = {0};
    progress_begin(&at->progress, stream->name, 0, &clock_system);
    at->progress.quiet = cli_has(at->cli, OPTION_QUIET);
    int code = explain_entity(at->database.db, stream, key, &rules, &report, &err);
    progress_end(&at->progress);
    if (code) {
        return cli_fail_err(&err);
    }
    at->known = at->known || report.known;
    at->agrees = at->agrees && report.agrees;
    put_report(at->json, stream, &report);
    advise(at, stream, &report);
    explain_report_free(&report);
    return EXIT_FINE;
}

/* ---- The command ------------------------------------------------------------------- */

static int explain_one(struct explainer *at, const struct stream *stream)
{
    const struct stream_field *field = &stream->fields[stream->key_field];
    struct raw_value raw = {RAW_STRING, slice_text(at->key)};
    struct time_rules rules = {.zone_offset_s = at->database.config->zone_offset_s,
                               .now_us = clock_wall_us(&clock_system),
                               .max_future_us = at->database.config->max_future_us};
    struct value key;
    struct reject reject;
    if (!stream_field_parse(field, &raw, &rules, &key, &reject)) {
        return cli_fail(EXIT_USAGE, "'%s' is no %s of stream %s: %s", at->key,
                        field->name, stream->name, reject.detail);
    }
    return explain_stream(at, stream, &key);
}

static int explain_all(struct explainer *at)
{
    const struct config *config = at->database.config;
    int exit_code = EXIT_FINE;
    json_object(at->json);
    json_put_text(at->json, "key", at->key);
    json_key(at->json, "streams");
    json_array(at->json);
    for (size_t i = 0; i < config->stream_count && !exit_code; i++) {
        if (database_wants(&at->database, config->streams[i])) {
            exit_code = explain_one(at, config->streams[i]);
        }
    }
    if (exit_code) {
        return exit_code;
    }
    json_array_end(at->json);
    json_put_bool(at->json, "known", at->known);
    json_put_bool(at->json, "agrees", at->agrees);
    json_object_end(at->json);
    exit_code = cli_show(json_result(at->json), cli_has(at->cli, OPTION_JSON));
    if (!exit_code && !at->known) {
        return cli_fail(EXIT_PROBLEM,
                        "nothing is known of '%s': no row, no event, no dead letter, and "
                        "no record in what the journal still retains; `holdfast status` "
                        "says how far back that reaches",
                        at->key);
    }
    return exit_code ? exit_code : at->agrees ? EXIT_FINE : EXIT_PROBLEM;
}

int cli_explain(const struct cli *cli)
{
    enum { LIMIT_MAX = 1000000 };
    struct explainer at = {.cli = cli, .key = cli->args[0], .agrees = true};
    if (!cli_number(cli, OPTION_LIMIT, 100, &at.limit)) {
        return EXIT_USAGE;
    }
    if (at.limit == 0 || at.limit > LIMIT_MAX) {
        return cli_fail(EXIT_USAGE, "--limit is from 1 to %d", LIMIT_MAX);
    }
    int exit_code = database_open(cli, &at.database);
    if (exit_code) {
        return exit_code;
    }
    exit_code = cli_open_reader(at.database.config, &at.journal);
    at.json = json_new();
    if (!exit_code) {
        exit_code =
            at.json ? explain_all(&at) : cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_free(at.json);
    journal_close(at.journal);
    database_close(&at.database);
    return exit_code;
}
