/* `repair`: events for entities that have none, and counts that agree with the events. */
#include "audit/repair.h"
#include "engine/check_json.h"
#include "engine/cli_database.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "schema/recovery.h"

#include <stdio.h>
#include <stdlib.h>

struct repairer {
    const struct cli *cli;
    struct database database;
    struct journal *journal; /* NULL: there is none */
    char no_journal[ERR_MESSAGE_MAX];
    struct json_writer *json;
    struct progress progress;
    bool counts;
    bool execute;
};

typedef int repair_function(struct db *db, const struct stream *stream,
                            const struct repair_rules *rules,
                            struct repair_report *out_report, struct err *err);

/* ---- What is said ----------------------------------------------------------------- */

static void put_sample(struct json_writer *json, const struct repair_sample *sample,
                       bool counts)
{
    json_object(json);
    json_put_unsigned(json, "id", sample->id);
    json_put_text(json, "key", sample->key);
    if (sample->timed) {
        cli_put_time(json, "first_seen", sample->time_us);
    }
    if (counts) {
        json_put_integer(json, "count", sample->count);
        json_put_unsigned(json, "events", sample->events);
    } else {
        json_put_text(json, "gets",
                      sample->in_journal ? "its events, from the journal"
                      : sample->timed    ? "one event of type " RECOVERY_EVENT_TYPE
                                         : "nothing: it has no time");
    }
    json_object_end(json);
}

static void put_samples(struct json_writer *json, const struct repair_report *report,
                        bool counts)
{
    json_key(json, "sample");
    json_array(json);
    for (size_t i = 0; i < report->sample_count; i++) {
        put_sample(json, &report->sample[i], counts);
    }
    json_array_end(json);
}

static void put_plan(const struct repairer *at, const struct repair_report *plan)
{
    struct json_writer *json = at->json;
    json_key(json, "plan");
    json_object(json);
    if (at->counts) {
        json_put_unsigned(json, "entities_to_mend", plan->counts_off);
    } else {
        json_put_unsigned(json, "without_events", plan->missing);
        json_put_unsigned(json, "from_journal", plan->in_journal);
        json_put_unsigned(json, RECOVERY_EVENT_TYPE, plan->stand_ins);
        json_put_unsigned(json, "without_a_time", plan->untimed);
        if (plan->no_stand_in[0]) {
            json_put_text(json, "no_" RECOVERY_EVENT_TYPE "_because", plan->no_stand_in);
        }
        if (at->no_journal[0]) {
            json_put_text(json, "no_journal_because", at->no_journal);
        }
    }
    put_samples(json, plan, at->counts);
    json_object_end(json);
}

static void put_done(const struct repairer *at, const struct repair_report *done)
{
    struct json_writer *json = at->json;
    json_key(json, "done");
    json_object(json);
    if (at->counts) {
        json_put_unsigned(json, "entities_mended", done->counts_fixed);
    } else {
        json_put_unsigned(json, "events_from_journal", done->restored);
        json_put_unsigned(json, RECOVERY_EVENT_TYPE, done->inserted);
    }
    json_object_end(json);
}

/* The line that saves both tables as they are. */
static void put_backup(const struct repairer *at, const struct stream *stream)
{
    const struct db_config *config = &at->database.config->database;
    const char *host = db_server(at->database.db)->host;
    struct buf line = {0};
    buf_append_text(&line, "mysqldump --single-transaction");
    if (config->socket) {
        buf_printf(&line, " --socket=%s", config->socket);
    } else {
        const char *port = strrchr(host, ':');
        int len = port ? (int)(port - host) : (int)strlen(host);
        bool bracket = host[0] == '[' && len > 2;
        buf_printf(&line, " --host=%.*s --port=%s", bracket ? len - 2 : len,
                   bracket ? host + 1 : host, port ? port + 1 : "3306");
    }
    buf_printf(&line, " --user=%s%s %s %s %s > %s-before-repair.sql", config->user,
               config->password_file ? " --password" : "", config->name,
               stream->entity.name, stream->event.name, stream->name);
    const char *text = buf_text(&line);
    json_put_text(at->json, "backup_first", text ? text : "");
    buf_free(&line);
}

/* ---- What is done ----------------------------------------------------------------- */

static bool show_progress(void *context, uint64_t done, uint64_t end)
{
    (void)end;
    progress_show(context, done, done, "entities");
    return true;
}

static int check(struct repairer *at, const struct stream *stream, const char *key,
                 struct check_report *out_report)
{
    struct check_rules rules = database_check_rules(at->database.config);
    struct err err = {0};
    if (check_stream(at->database.db, stream, &rules, out_report, &err)) {
        return cli_fail_err(&err);
    }
    json_key(at->json, key);
    check_put_report(at->json, out_report, at->database.config->check.threshold);
    return 0;
}

static int run(struct repairer *at, const struct stream *stream, bool execute,
               uint64_t total, struct repair_report *out_report)
{
    repair_function *repair = at->counts ? repair_counts : repair_events;
    struct repair_rules rules = {
        .check = database_check_rules(at->database.config),
        .journal = at->journal,
        .execute = execute,
    };
    struct err err = {0};
    rules.check.progress = show_progress;
    rules.check.progress_context = &at->progress;
    progress_begin(&at->progress, stream->name, total, &clock_system);
    at->progress.quiet = cli_has(at->cli, OPTION_QUIET);
    int code = repair(at->database.db, stream, &rules, out_report, &err);
    progress_end(&at->progress);
    if (code) {
        err_wrap(&err, "stream %s", stream->name);
    }
    return code ? cli_fail_err(&err) : 0;
}

/* What is left after a repair is a problem. */
static int execute(struct repairer *at, const struct stream *stream, uint64_t total)
{
    struct repair_report done = {0};
    struct check_report after = {0};
    int exit_code = run(at, stream, true, total, &done);
    if (exit_code) {
        return exit_code;
    }
    put_done(at, &done);
    exit_code = check(at, stream, "after", &after);
    bool disagrees = check_disagrees(&after);
    bool left = at->counts ? disagrees : after.missing > 0;
    check_report_free(&after);
    if (exit_code == 0 && disagrees && !at->counts) {
        json_put_text(at->json, "next",
                      "counts or times still differ from the events; `holdfast repair "
                      "--counts` shows how they can be mended");
    }
    if (exit_code == 0 && left) {
        exit_code = cli_fail(EXIT_PROBLEM,
                             "stream %s: not all could be mended; the plan says why, "
                             "and an event of the same key may belong to another entity",
                             stream->name);
    }
    return exit_code;
}

static int repair_one(struct repairer *at, const struct stream *stream)
{
    struct repair_report plan = {0};
    struct check_report before = {0};
    json_object(at->json);
    json_put_text(at->json, "stream", stream->name);
    json_put_bool(at->json, "executed", at->execute);
    int exit_code = check(at, stream, "before", &before);
    bool found = before.found;
    check_report_free(&before);
    if (exit_code == 0 && found) {
        exit_code = run(at, stream, false, 0, &plan);
        if (exit_code == 0) {
            put_plan(at, &plan);
            put_backup(at, stream);
        }
        uint64_t wanting = at->counts ? plan.counts_off : plan.missing;
        if (exit_code == 0 && at->execute) {
            exit_code = execute(at, stream, wanting);
        } else if (exit_code == 0) {
            json_put_text(at->json, "next",
                          wanting ? "nothing was changed; make the backup, then run it "
                                    "again with --execute"
                                  : "there is nothing to mend");
        }
    }
    json_object_end(at->json);
    return exit_code;
}

static int repair_all(struct repairer *at)
{
    const struct config *config = at->database.config;
    int exit_code = EXIT_FINE;
    json_object(at->json);
    json_key(at->json, "streams");
    json_array(at->json);
    for (size_t i = 0; i < config->stream_count && exit_code <= EXIT_PROBLEM; i++) {
        if (database_wants(&at->database, config->streams[i])) {
            int found = repair_one(at, config->streams[i]);
            exit_code = found > exit_code ? found : exit_code;
        }
    }
    json_array_end(at->json);
    json_object_end(at->json);
    int shown = cli_show(json_result(at->json), cli_has(at->cli, OPTION_JSON));
    return exit_code ? exit_code : shown;
}

/* Without a journal there are stand-ins alone. */
static void open_journal(struct repairer *at)
{
    struct err err = {0};
    if (!at->counts &&
        journal_open_reader(at->database.config->journal.path, &at->journal, &err)) {
        snprintf(at->no_journal, sizeof at->no_journal, "%s", err.message);
    }
}

int cli_repair(const struct cli *cli)
{
    struct repairer at = {.cli = cli,
                          .counts = cli_has(cli, OPTION_COUNTS),
                          .execute = cli_has(cli, OPTION_EXECUTE)};
    int exit_code = database_open(cli, &at.database);
    if (exit_code) {
        return exit_code;
    }
    open_journal(&at);
    at.json = json_new();
    exit_code =
        at.json ? repair_all(&at) : cli_fail(EXIT_AGAIN, "no memory for the answer");
    json_free(at.json);
    journal_close(at.journal);
    database_close(&at.database);
    return exit_code;
}
