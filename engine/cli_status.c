/* `status`, `pause`, `resume`, `deadletter accept`: the running engine's, or the
 * journal's. */
#include "engine/cli.h"
#include "engine/cli_control.h"
#include "engine/cli_overview.h"
#include "engine/cli_text.h"
#include "engine/json.h"

#include <stdio.h>
#include <stdlib.h>

static int show_status(struct slice json, bool as_json)
{
    struct buf overview = {0};
    if (as_json || !cli_overview(json, &overview)) {
        return cli_show(json, as_json);
    }
    int exit_code = overview.failed ? cli_fail(EXIT_AGAIN, "no memory for the answer")
                                    : cli_print(buf_slice(&overview));
    buf_free(&overview);
    return exit_code;
}

/* ---- status without an engine ---------------------------------------------------- */

static void put_lane(struct json_writer *json, const struct config *config,
                     const struct journal_lane *lane)
{
    json_object(json);
    json_put_text(json, "stream", lane->stream);
    json_put_unsigned(json, "lane", lane->lane);
    json_put_bool(json, "configured",
                  config_stream(config, slice_text(lane->stream)) != NULL);
    json_put_unsigned(json, "last_seq", lane->last_seq);
    json_put_unsigned(json, "done_seq", lane->done.seq);
    json_put_unsigned(json, "accepted", lane->running);
    json_put_unsigned(json, "pending", journal_lane_pending(lane));
    json_put_unsigned(json, "rejected", lane->rejected);
    json_put_unsigned(json, "given_up", lane->given_up);
    if (lane->oldest_pending_at_us) {
        cli_put_time(json, "oldest_pending_at", lane->oldest_pending_at_us);
    }
    json_object_end(json);
}

static void put_journal(struct json_writer *json, struct journal *journal,
                        const struct journal_stat *stat)
{
    json_key(json, "journal");
    json_object(json);
    json_put_text(json, "id", journal_id(journal));
    json_put_unsigned(json, "size_max", stat->size_max);
    json_put_unsigned(json, "file_bytes", stat->file_bytes);
    json_put_unsigned(json, "used_bytes", stat->used_bytes);
    json_put_unsigned(json, "free_bytes", stat->free_bytes);
    json_put_unsigned(json, "first_seq", stat->first_seq);
    json_put_unsigned(json, "next_seq", stat->next_seq);
    json_put_unsigned(json, "accepted", stat->records);
    json_put_unsigned(json, "dead_letters", stat->dead_letters);
    json_object_end(json);
}

static bool is_paused(struct journal *journal)
{
    struct buf value = {0};
    struct err err = {0};
    bool paused = journal_setting_get(journal, "paused", &value, &err) == 0 &&
                  slice_is(buf_slice(&value), "yes");
    buf_free(&value);
    return paused;
}

static int read_journal(const struct config *config, struct journal *journal,
                        struct json_writer *json, struct err *err)
{
    struct journal_stat stat;
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    int code = journal_stat(journal, &stat, err);
    code = code ? code : journal_lanes(journal, &lanes, &count, err);
    if (code) {
        return code;
    }
    json_object(json);
    json_put_bool(json, "running", false);
    json_put_text(json, "note", "no engine is running; this is what the journal holds");
    json_put_bool(json, "paused", is_paused(journal));
    put_journal(json, journal, &stat);
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < count; i++) {
        put_lane(json, config, &lanes[i]);
    }
    json_array_end(json);
    json_object_end(json);
    free(lanes);
    return ERR_OK;
}

static int status_of_journal(const struct config *config, bool as_json)
{
    struct journal *journal = NULL;
    int exit_code = cli_open_reader(config, &journal);
    if (exit_code) {
        return exit_code;
    }
    struct err err = {0};
    struct json_writer *json = json_new();
    if (!json) {
        exit_code = cli_fail(EXIT_AGAIN, "no memory for the answer");
    } else if (read_journal(config, journal, json, &err)) {
        exit_code = cli_fail_err(&err);
    } else {
        exit_code = show_status(json_result(json), as_json);
    }
    json_free(json);
    journal_close(journal);
    return exit_code;
}

int cli_status(const struct cli *cli)
{
    struct config *config = NULL;
    struct buf body = {0};
    struct err err = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    bool as_json = cli_has(cli, OPTION_JSON);
    int code = cli_control(config, "GET", "/v1/status", &body, &err);
    if (code == ERR_NOT_FOUND) {
        exit_code = status_of_journal(config, as_json);
    } else {
        exit_code = code ? cli_fail_err(&err) : show_status(buf_slice(&body), as_json);
    }
    buf_free(&body);
    config_free(config);
    return exit_code;
}

/* ---- pause, resume --------------------------------------------------------------- */

/* Takes the writer's lock, so that no engine starts meanwhile. */
static int put_paused(const struct config *config, bool paused, struct err *err)
{
    struct journal *journal = NULL;
    int code = journal_open(&config->journal, false, &journal, err);
    code =
        code ? code : journal_setting_put(journal, "paused", paused ? "yes" : "no", err);
    journal_close(journal);
    return code;
}

static int pause_or_resume(const struct cli *cli, bool paused)
{
    struct config *config = NULL;
    struct buf body = {0};
    struct err err = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    int code = cli_control(config, "POST", paused ? "/control/pause" : "/control/resume",
                           &body, &err);
    bool running = code != ERR_NOT_FOUND;
    code = running ? code : put_paused(config, paused, &err);
    if (code) {
        exit_code = cli_fail_err(&err);
    } else {
        printf("%s%s\n", paused ? "paused" : "resumed",
               running ? "" : "; no engine is running, the next one begins so");
    }
    buf_free(&body);
    config_free(config);
    return exit_code;
}

int cli_pause(const struct cli *cli)
{
    return pause_or_resume(cli, true);
}

int cli_resume(const struct cli *cli)
{
    return pause_or_resume(cli, false);
}

/* ---- deadletter accept ----------------------------------------------------------- */

int cli_deadletter_accept(const struct cli *cli)
{
    struct config *config = NULL;
    struct buf body = {0};
    struct err err = {0};
    uint64_t lane;
    char path[160];
    const char *stream = cli->text[OPTION_STREAM];
    if (!stream) {
        return cli_fail(EXIT_USAGE, "--stream is needed: whose lane may go on");
    }
    if (!cli_number(cli, OPTION_LANE, 0, &lane)) {
        return EXIT_USAGE;
    }
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    if (!config_stream(config, slice_text(stream))) {
        exit_code = cli_no_stream(config, stream);
    } else {
        snprintf(path, sizeof path, "/control/deadletter/accept?stream=%s&lane=%llu",
                 stream, (unsigned long long)lane);
        int code = cli_control(config, "POST", path, &body, &err);
        if (code == ERR_NOT_FOUND) {
            exit_code = cli_fail(EXIT_PROBLEM,
                                 "no engine is running on journal %s: start "
                                 "it first, a stopped lane lives in it",
                                 config->journal.path);
        } else {
            exit_code = code ? cli_fail_err(&err) : cli_show(buf_slice(&body), false);
        }
    }
    buf_free(&body);
    config_free(config);
    return exit_code;
}
