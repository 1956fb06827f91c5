/* engine/cli_travel.c: see cli_travel.h. The plan comes from the journal as a reader and
 * from the target's ledger; --execute carries it out (replay/travel.h).
 */
#include "engine/cli_travel.h"

#include "engine/cli_control.h"
#include "engine/cli_database.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "replay/travel.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum { SERVER_NO_RIGHT = 1044, SERVER_NO_DATABASE = 1049 };

struct traveller {
    const struct cli *cli;
    struct config *config;
    struct db_config target; /* the configured one, with another name */
    struct db_hosts *hosts;
    struct db *db;
    struct sink *sink;
    struct journal *journal;
    struct travel_config range;
    const struct stream *only; /* --stream */
    struct travel_plan plan;
    struct json_writer *json;
    struct progress progress;
    bool engine_applies; /* one runs and isn't paused */
};

/* ---- What is asked for ------------------------------------------------------------- */

/* A whole number is a seq, all else a time. */
static bool read_bound(const struct traveller *at, enum cli_option option,
                       const char *name, struct travel_bound *out)
{
    const char *text = at->cli->text[option];
    struct travel_bound bound = {.kind = TRAVEL_OPEN};
    if (text && strspn(text, "0123456789") == strlen(text)) {
        bound.kind = TRAVEL_SEQ;
        if (!cli_number(at->cli, option, 0, &bound.seq)) {
            return false;
        }
    } else if (text) {
        bound.kind = TRAVEL_TIME;
        if (!value_parse_time(slice_text(text), at->config->zone_offset_s,
                              &bound.time_us)) {
            cli_fail(EXIT_USAGE,
                     "--%s '%s' is neither an entry's number nor a time such as "
                     "2026-01-08T01:04:26Z",
                     name, text);
            return false;
        }
    }
    *out = bound;
    return true;
}

static bool is_backwards(const struct travel_config *range)
{
    const struct travel_bound *from = &range->from;
    const struct travel_bound *to = &range->to;
    return from->kind == to->kind && (from->seq > to->seq || from->time_us > to->time_us);
}

static int read_range(struct traveller *at)
{
    const char *stream = at->cli->text[OPTION_STREAM];
    if (!read_bound(at, OPTION_FROM, "from", &at->range.from) ||
        !read_bound(at, OPTION_TO, "to", &at->range.to)) {
        return EXIT_USAGE;
    }
    if (is_backwards(&at->range)) {
        return cli_fail(EXIT_USAGE, "--from %s comes after --to %s: nothing lies between",
                        at->cli->text[OPTION_FROM], at->cli->text[OPTION_TO]);
    }
    at->range.streams = (const struct stream *const *)at->config->streams;
    at->range.stream_count = at->config->stream_count;
    if (stream) {
        at->only = config_stream(at->config, slice_text(stream));
        at->range.streams = &at->only;
        at->range.stream_count = 1;
    }
    return stream && !at->only ? cli_no_stream(at->config, stream) : 0;
}

/* ---- The target -------------------------------------------------------------------- */

static int fail_target(const struct traveller *at, const struct err *err)
{
    const char *name = at->target.name;
    if (err->sys == SERVER_NO_DATABASE || err->sys == SERVER_NO_RIGHT) {
        return cli_fail(EXIT_DATABASE,
                        "database %s is not there, or not for user %s: CREATE DATABASE "
                        "`%s`, then give the rights that 'holdfast schema "
                        "--database-name %s --user %s' prints (%s)",
                        name, at->target.user, name, name, at->target.user, err->message);
    }
    return cli_fail(err->code == ERR_CONFIG ? EXIT_CONFIGURATION : EXIT_DATABASE,
                    "the database can't be asked: %s", err->message);
}

/* Names that differ only in case may be one database; the server knows. */
static int is_here(struct traveller *at, bool *out_here, struct err *err)
{
    const char *into = at->cli->text[OPTION_INTO];
    struct db_rows rows = {0};
    *out_here = !into || strcmp(into, at->config->database.name) == 0;
    if (*out_here || strcasecmp(into, at->config->database.name) != 0) {
        return ERR_OK;
    }
    int code = db_query(
        at->db, SLICE_LITERAL("SELECT 1 FROM DUAL WHERE @@lower_case_table_names <> 0"),
        &rows, err);
    if (code == ERR_OK) {
        *out_here = rows.row_count > 0;
        db_rows_free(&rows);
    }
    return code;
}

static int connect_target(struct traveller *at)
{
    const struct config *config = at->config;
    struct err err = {0};
    at->target = config->database;
    if (cli_has(at->cli, OPTION_INTO)) {
        at->target.name = at->cli->text[OPTION_INTO];
    }
    int code = db_hosts_new(&at->target, &at->hosts, &err);
    code = code ? code : db_connect(&at->target, at->hosts, &at->db, &err);
    code = code ? code : is_here(at, &at->range.here, &err);
    if (code) {
        return fail_target(at, &err);
    }
    return 0;
}

/* Sentences, one a line. */
static void put_notes(const struct traveller *at, struct slice notes)
{
    json_key(at->json, "notes");
    json_array(at->json);
    while (notes.len) {
        const char *end = memchr(notes.data, '\n', notes.len);
        size_t len = end ? (size_t)(end - notes.data) : notes.len;
        json_text(at->json, (struct slice){notes.data, len});
        notes.data += end ? len + 1 : len;
        notes.len -= end ? len + 1 : len;
    }
    json_array_end(at->json);
}

/* What the tables there would need is said where nothing is to be done yet; otherwise
 * they are made and examined on the way. */
static int examine(struct traveller *at, bool execute)
{
    const struct config *config = at->config;
    struct err err = {0};
    struct buf notes = {0};
    struct sink_mariadb_config sink = {
        .db = &at->target,
        .hosts = at->hosts,
        .durability = config->durability,
        .zone_offset_s = config->zone_offset_s,
        .create_tables = config->create_tables,
        .look_only = !execute,
        .cache_bytes = config->fast ? config->cache_bytes : 0,
    };
    int code = sink_mariadb_new(&sink, &at->sink, &err);
    code = code || execute ? code : at->sink->ops->connect(at->sink, &err);
    for (size_t i = 0; i < at->range.stream_count && !code && !execute; i++) {
        code = at->sink->ops->prepare(at->sink, at->range.streams[i], &notes, &err);
    }
    put_notes(at, buf_slice(&notes));
    buf_free(&notes);
    return code ? cli_fail_err(&err) : 0;
}

/* ---- What is said ------------------------------------------------------------------ */

static void put_entries(struct json_writer *json, const struct travel_lane *lane)
{
    json_put_unsigned(json, "entries", lane->entries);
    json_put_unsigned(json, "records", lane->records);
    if (lane->entries) {
        json_put_unsigned(json, "first_seq", lane->first_seq);
        cli_put_time(json, "first_received_at", lane->first_at_us);
        json_put_unsigned(json, "last_seq", lane->last_seq);
        cli_put_time(json, "last_received_at", lane->last_at_us);
    }
}

static void put_lanes(const struct traveller *at)
{
    struct json_writer *json = at->json;
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < at->plan.lane_count; i++) {
        const struct travel_lane *lane = &at->plan.lanes[i];
        json_object(json);
        json_put_text(json, "stream", lane->stream->name);
        json_put_unsigned(json, "lane", lane->lane);
        json_put_text(json, "ledger", lane->ledger);
        json_put_unsigned(json, "ledger_seq",
                          lane->row.found ? lane->row.position.seq : 0);
        if (at->range.here) {
            json_put_unsigned(json, "done_seq", lane->done_seq);
        }
        put_entries(json, lane);
        if (lane->problem[0]) {
            json_put_text(json, "problem", lane->problem);
        }
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_plan(const struct traveller *at)
{
    struct json_writer *json = at->json;
    json_put_text(json, "server", db_server(at->db)->host);
    json_put_text(json, "database", at->target.name);
    json_put_bool(json, "rewound", at->range.here && at->plan.rewound);
    json_put_unsigned(json, "from_seq", at->plan.from_seq);
    json_put_unsigned(json, "to_seq", at->plan.to_seq);
    json_put_unsigned(json, "batches", at->plan.batches);
    json_put_unsigned(json, "entries", at->plan.entries);
    json_put_unsigned(json, "records", at->plan.records);
    if (at->plan.left_out && !at->only) {
        json_put_unsigned(json, "entries_of_other_streams", at->plan.left_out);
    }
    put_lanes(at);
}

static void put_done(const struct traveller *at, const struct travel_report *done)
{
    struct json_writer *json = at->json;
    json_key(json, "done");
    json_object(json);
    json_put_unsigned(json, "events", done->events);
    json_put_unsigned(json, "duplicates", done->duplicates);
    json_put_unsigned(json, "conflicts", done->conflicts);
    json_put_unsigned(json, "transactions", done->transactions);
    json_object_end(json);
}

static const char *next_step(const struct traveller *at)
{
    if (at->plan.problems) {
        return "nothing was changed: a lane has a problem that comes first";
    }
    if (!at->plan.entries) {
        return "nothing is left to be applied";
    }
    if (at->engine_applies) {
        return "nothing was changed: the running engine applies this again by itself, "
               "see 'holdfast status'";
    }
    return "nothing was changed; --execute does it";
}

/* ---- What is done ------------------------------------------------------------------ */

static void show_progress(uint64_t records, void *context)
{
    progress_show(context, records, records, "records");
}

static int run(struct traveller *at)
{
    struct travel_report done = {0};
    struct err err = {0};
    struct travel_run run = {
        .sink = at->sink,
        .clock = &clock_system,
        .validate = at->config->validate,
        .rows_per_second_max = at->config->rows_per_second_max,
        .transaction_records_max = at->config->transaction_records_max,
        .progress = show_progress,
        .context = &at->progress,
    };
    progress_begin(&at->progress, at->target.name, at->plan.records, &clock_system);
    at->progress.quiet = cli_has(at->cli, OPTION_QUIET);
    int code = travel_run(&at->plan, &run, &done, &err);
    progress_end(&at->progress);
    put_done(at, &done);
    return code ? cli_fail(cli_exit_code(err.code),
                           "%s (what was applied stays; the same command goes on there)",
                           err.message)
                : 0;
}

static bool may_execute(const struct traveller *at)
{
    return cli_has(at->cli, OPTION_EXECUTE) && !at->plan.problems && at->plan.entries &&
           !at->engine_applies;
}

/* Under --execute what was not done for want of something is no success. */
static int judge(const struct traveller *at)
{
    if (at->plan.problems) {
        return EXIT_PROBLEM;
    }
    bool refused = cli_has(at->cli, OPTION_EXECUTE) && at->plan.entries;
    return refused && at->engine_applies
               ? cli_fail(EXIT_AGAIN, "the running engine applies this again by itself; "
                                      "'holdfast pause' first to do it by hand")
               : 0;
}

static int answer(struct traveller *at)
{
    bool execute = may_execute(at);
    json_object(at->json);
    put_plan(at);
    int exit_code = examine(at, execute);
    if (exit_code) {
        return exit_code;
    }
    json_put_bool(at->json, "executed", execute);
    if (execute) {
        exit_code = run(at);
    } else {
        json_put_text(at->json, "next", next_step(at));
        exit_code = judge(at);
    }
    json_object_end(at->json);
    int shown = cli_show(json_result(at->json), cli_has(at->cli, OPTION_JSON));
    return exit_code ? exit_code : shown;
}

/* ---- The journal's own database ------------------------------------------------------
 */

static int ask_engine(struct traveller *at)
{
    struct buf body = {0};
    struct err err = {0};
    int code = cli_control(at->config, "GET", "/v1/status", &body, &err);
    if (code == ERR_NOT_FOUND) {
        return 0;
    }
    if (code) {
        return cli_fail_err(&err);
    }
    struct json_value *status = json_parse(buf_slice(&body));
    at->engine_applies = !json_as_bool(json_get(status, "paused"), false);
    json_value_free(status);
    buf_free(&body);
    return 0;
}

static int check_here(struct traveller *at)
{
    if (!at->range.here) {
        return 0;
    }
    if (!at->plan.rewound && !at->plan.problems) {
        return cli_fail(EXIT_PROBLEM,
                        "database %s was not rewound: its ledger is not behind what the "
                        "journal knows as applied, so there is nothing to apply again; "
                        "name another database with --into",
                        at->target.name);
    }
    return ask_engine(at);
}

static int travel(struct traveller *at)
{
    struct err err = {0};
    int exit_code = read_range(at);
    exit_code = exit_code ? exit_code : connect_target(at);
    exit_code = exit_code ? exit_code : cli_open_reader(at->config, &at->journal);
    if (exit_code) {
        return exit_code;
    }
    at->range.journal = at->journal;
    int code = travel_plan_make(&at->range, at->db, &at->plan, &err);
    exit_code = code ? cli_fail_err(&err) : check_here(at);
    at->json = exit_code ? NULL : json_new();
    if (!exit_code && !at->json) {
        exit_code = cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    return exit_code ? exit_code : answer(at);
}

int cli_travel(const struct cli *cli)
{
    struct traveller at = {.cli = cli};
    int exit_code = cli_load_config(cli, &at.config);
    if (exit_code) {
        return exit_code;
    }
    exit_code = travel(&at);
    json_free(at.json);
    travel_plan_free(&at.plan);
    journal_close(at.journal);
    if (at.sink) {
        at.sink->ops->free(at.sink);
    }
    db_close(at.db);
    db_hosts_free(at.hosts);
    config_free(at.config);
    return exit_code;
}
