#include "engine/cli_audit_deep.h"

#include "audit/deep.h"
#include "engine/json.h"
#include "engine/progress.h"

#include <inttypes.h>
#include <stdio.h>

struct listing {
    const struct cli_deep *deep;
    struct json_writer *json; /* NULL: text */
    struct progress progress;
};

/* ---- A gap ------------------------------------------------------------------------- */

static void put_columns(struct json_writer *json, const struct deep_gap *gap)
{
    json_key(json, "columns");
    json_array(json);
    for (size_t i = 0; i < gap->stream->event.column_count; i++) {
        if (gap->columns[i]) {
            json_text(json, slice_text(gap->stream->event.columns[i].name));
        }
    }
    json_array_end(json);
}

static void put_gap(struct json_writer *json, const struct deep_gap *gap)
{
    json_object(json);
    json_put_text(json, "kind", deep_kind_word(gap->kind));
    json_put_unsigned(json, "seq", gap->seq);
    json_put_unsigned(json, "index", gap->index);
    if (gap->kind == DEEP_UNREADABLE) {
        json_put_text(json, "field", gap->why.field);
        json_put_text(json, "detail", gap->why.detail);
        json_object_end(json);
        return;
    }
    cli_put_time(json, "received_at", gap->received_at_us);
    json_put_text(json, "key", gap->key);
    cli_put_time(json, "time", gap->time_us);
    if (gap->entity_id) {
        json_put_unsigned(json, "entity_id", gap->entity_id);
    }
    if (gap->event_id) {
        json_put_unsigned(json, "event_id", gap->event_id);
    }
    if (gap->kind == DEEP_ALTERED) {
        put_columns(json, gap);
    }
    json_object_end(json);
}

static void print_gap(const struct deep_gap *gap)
{
    char text[CLI_TIME_TEXT];
    printf("  %" PRIu64 "/%u: %s", gap->seq, gap->index, deep_kind_sentence(gap->kind));
    if (gap->kind == DEEP_UNREADABLE) {
        printf(": %s: %s\n", gap->why.field, gap->why.detail);
        return;
    }
    const char *before = ": ";
    for (size_t i = 0; i < gap->stream->event.column_count; i++) {
        if (gap->columns[i]) {
            printf("%s%s", before, gap->stream->event.columns[i].name);
            before = ", ";
        }
    }
    printf(" (%s, %s)\n", gap->key, cli_time(gap->time_us, text));
}

/* However many there are, none is kept. */
static void show_gap(const struct deep_gap *gap, void *context)
{
    struct listing *listing = context;
    if (!listing->json) {
        print_gap(gap);
        return;
    }
    put_gap(listing->json, gap);
    struct slice text = json_result(listing->json);
    (void)fwrite(text.data, 1, text.len, stdout); /* cli_main looks at ferror */
    json_drop(listing->json);
}

/* ---- A stream ---------------------------------------------------------------------- */

static void put_report(struct json_writer *json, const struct deep_report *report)
{
    json_put_unsigned(json, "entries", report->entries);
    json_put_unsigned(json, "first_seq", report->first_seq);
    json_put_unsigned(json, "last_seq", report->last_seq);
    json_put_unsigned(json, "records", report->records);
    json_put_unsigned(json, "aged", report->aged);
    json_put_unsigned(json, "made_by_others", report->others);
    json_put_unsigned(json, "lanes_left_out", report->foreign);
    json_put_unsigned(json, "gap_count", report->gaps);
    for (unsigned i = 0; i < DEEP_KIND_COUNT; i++) {
        json_put_unsigned(json, deep_kind_word((enum deep_kind)i), report->kinds[i]);
    }
}

static void print_deep(const struct deep_report *report)
{
    if (report->entries == 0) {
        printf("  the journal retains no applied entry\n");
        return;
    }
    printf("  %" PRIu64 " records of %" PRIu64 " entries, %" PRIu64 " to %" PRIu64
           ": %" PRIu64 " not as they should be\n",
           report->records, report->entries, report->first_seq, report->last_seq,
           report->gaps);
    if (report->aged) {
        printf("  %" PRIu64 " are not there, but older than check.since\n", report->aged);
    }
    if (report->others) {
        printf("  %" PRIu64 " met an event that another record had made, with other "
               "values\n",
               report->others);
    }
}

/* What is to be done, by kind. */
static void advise(const struct stream *stream, const struct deep_report *report)
{
    const uint64_t *kinds = report->kinds;
    if (kinds[DEEP_EVENT_MISSING] || kinds[DEEP_ENTITY_MISSING] ||
        kinds[DEEP_BOTH_MISSING] || kinds[DEEP_ENTITY_BEHIND] || kinds[DEEP_STANDS_IN]) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: what is missing comes back when the journal is replayed: "
                 "stop the engine, `holdfast journal adopt --execute`, start it, and "
                 "then `holdfast repair --counts`; what is there is left alone",
                 stream->name);
    }
    if (kinds[DEEP_ENTITY_MISSING] || kinds[DEEP_OTHER_ENTITY]) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: events that are left of an entity that is gone keep its old "
                 "id in %s.%s: set it by hand to the entity's present one",
                 stream->name, stream->event.name, stream->entity_ref);
    }
    if (kinds[DEEP_ALTERED]) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: values that differ are left as they are: `holdfast explain "
                 "KEY` and `holdfast journal show ENTRY` say what was taken; which is "
                 "right is yours to say",
                 stream->name);
    }
    if (kinds[DEEP_UNREADABLE]) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: %" PRIu64 " records can't be read under today's "
                 "configuration and were not looked up; audit them under the one that "
                 "they were taken with",
                 stream->name, kinds[DEEP_UNREADABLE]);
    }
}

static int conclude(const struct stream *stream, const struct deep_report *report)
{
    advise(stream, report);
    if (report->foreign) {
        cli_fail(EXIT_PROBLEM,
                 "stream %s: %u lanes were left out: their ledger doesn't belong to this "
                 "journal",
                 stream->name, report->foreign);
    }
    return report->gaps || report->foreign ? EXIT_PROBLEM : EXIT_FINE;
}

static void show_progress(uint64_t at, uint64_t end, uint64_t records, void *context)
{
    struct listing *listing = context;
    listing->progress.total = end;
    progress_show(&listing->progress, at, records, "records");
}

static int look_up(struct listing *listing, const struct stream *stream)
{
    const struct database *database = listing->deep->database;
    struct check_rules ages = database_check_rules(database->config);
    struct deep_rules rules = {.now_us = ages.now_us,
                               .since_us = ages.since_us,
                               .zone_offset_s = ages.zone_offset_s,
                               .gap = show_gap,
                               .progress = show_progress,
                               .context = listing};
    struct deep_report report;
    struct err err = {0};
    progress_begin(&listing->progress, stream->name, 0, &clock_system);
    listing->progress.quiet = cli_has(listing->deep->cli, OPTION_QUIET);
    int code =
        deep_stream(listing->deep->journal, database->db, stream, &rules, &report, &err);
    progress_end(&listing->progress);
    if (code) {
        return cli_fail_err(&err);
    }
    if (listing->json) {
        json_array_end(listing->json);
        put_report(listing->json, &report);
    } else {
        print_deep(&report);
    }
    return conclude(stream, &report);
}

static int look_up_stream(struct listing *listing, const struct stream *stream)
{
    struct json_writer *json = listing->json;
    if (!json) {
        printf("\n%s, looked up:\n", stream->name);
        return look_up(listing, stream);
    }
    json_object(json);
    json_put_text(json, "stream", stream->name);
    json_key(json, "gaps");
    json_array(json);
    int exit_code = look_up(listing, stream);
    if (exit_code <= EXIT_PROBLEM) {
        json_object_end(json);
    }
    return exit_code;
}

static int look_up_streams(struct listing *listing)
{
    const struct database *database = listing->deep->database;
    const struct config *config = database->config;
    int exit_code = EXIT_FINE;
    for (size_t i = 0; i < config->stream_count && exit_code <= EXIT_PROBLEM; i++) {
        if (database_wants(database, config->streams[i])) {
            int found = look_up_stream(listing, config->streams[i]);
            exit_code = found > exit_code ? found : exit_code;
        }
    }
    return exit_code;
}

int cli_audit_deep(const struct cli_deep *deep, struct json_writer *json)
{
    struct listing listing = {.deep = deep, .json = json};
    if (!cli_has(deep->cli, OPTION_DEEP)) {
        return EXIT_FINE;
    }
    if (!json) {
        return look_up_streams(&listing);
    }
    json_key(json, "deep");
    json_array(json);
    int exit_code = look_up_streams(&listing);
    if (exit_code <= EXIT_PROBLEM) {
        json_array_end(json);
    }
    return exit_code;
}
