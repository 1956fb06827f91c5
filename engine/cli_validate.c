/* `validate`: the configuration, the files it names, the journal's backlog of streams
 * that are gone, and with --database the tables. */
#include "engine/cli.h"
#include "engine/intake.h"
#include "engine/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int check_file(const struct config *config, const char *key, const char *path)
{
    if (!path || access(path, R_OK) == 0) {
        return 0;
    }
    char why[128];
    return cli_fail(EXIT_CONFIGURATION,
                    "%s: %s: '%s' can't be read: %s; make the file, or let this user "
                    "read it",
                    config->path, key, path, strerror_r(errno, why, sizeof why));
}

static int check_files(const struct config *config)
{
    const struct {
        const char *key;
        const char *path;
    } files[] = {
        {"intake.token_file", config->intake.token_file},
        {"intake.tls.cert", config->intake.tls_cert},
        {"intake.tls.key", config->intake.tls_key},
        {"database.password_file", config->database.password_file},
        {"database.tls.ca", config->database.tls_ca},
        {"database.tls.cert", config->database.tls_cert},
        {"database.tls.key", config->database.tls_key},
    };
    int exit_code = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        int failed = check_file(config, files[i].key, files[i].path);
        exit_code = exit_code ? exit_code : failed;
    }
    return exit_code;
}

/* ---- The journal's backlog ------------------------------------------------------- */

static int check_lanes(const struct config *config, const struct journal_lane *lanes,
                       size_t count)
{
    int exit_code = 0;
    for (size_t i = 0; i < count; i++) {
        const struct journal_lane *lane = &lanes[i];
        bool pending =
            lane->last_seq > lane->done.seq && strcmp(lane->stream, INTAKE_UNROUTED) != 0;
        if (pending && !config_stream(config, slice_text(lane->stream))) {
            exit_code = cli_fail(
                EXIT_CONFIGURATION,
                "%s: streams: '%s' is not configured any more, but lane %u of it still "
                "has %llu records to apply (journal %s); configure it again until they "
                "are applied",
                config->path, lane->stream, lane->lane,
                (unsigned long long)journal_lane_pending(lane), config->journal.path);
        }
    }
    return exit_code;
}

static int check_backlog(const struct config *config)
{
    struct journal *journal = NULL;
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    struct err err = {0};
    int code = journal_open_reader(config->journal.path, &journal, &err);
    if (code == ERR_NOT_FOUND) {
        return 0; /* serve makes it */
    }
    code = code ? code : journal_lanes(journal, &lanes, &count, &err);
    int exit_code = code ? cli_fail_err(&err) : check_lanes(config, lanes, count);
    free(lanes);
    journal_close(journal);
    return exit_code;
}

/* ---- The database ---------------------------------------------------------------- */

struct examination {
    const struct config *config;
    struct db_hosts *hosts;
    struct sink *sink;
    struct buf notes;
};

static int reach(struct examination *examination, struct err *err)
{
    const struct config *config = examination->config;
    int code = db_hosts_new(&config->database, &examination->hosts, err);
    if (code) {
        return code;
    }
    struct sink_mariadb_config sink = {
        .db = &config->database,
        .hosts = examination->hosts,
        .durability = config->durability,
        .zone_offset_s = config->zone_offset_s,
        .create_tables = config->create_tables,
        .look_only = true,
        .cache_bytes = config->fast ? config->cache_bytes / config->connections : 0,
    };
    code = sink_mariadb_new(&sink, &examination->sink, err);
    return code ? code : examination->sink->ops->connect(examination->sink, err);
}

static int examine_database(const struct config *config, struct buf *out_notes)
{
    struct examination examination = {.config = config};
    struct err err = {0};
    int exit_code = 0;
    if (reach(&examination, &err)) {
        exit_code = cli_fail(err.code == ERR_CONFIG ? EXIT_CONFIGURATION : EXIT_DATABASE,
                             "%s", err.message);
    }
    for (size_t i = 0; i < config->stream_count && !exit_code; i++) {
        struct sink *sink = examination.sink;
        if (sink->ops->prepare(sink, config->streams[i], &examination.notes, &err)) {
            err_wrap(&err, "stream %s", config->streams[i]->name);
            exit_code = cli_fail_err(&err);
        }
    }
    if (examination.sink) {
        examination.sink->ops->free(examination.sink);
    }
    db_hosts_free(examination.hosts);
    *out_notes = examination.notes;
    return exit_code;
}

/* --------------------------------------------------------------------------------------
 */

static int print_text(const struct config *config, struct buf *notes)
{
    printf("%s: fine: %zu stream%s\n", config->path, config->stream_count,
           config->stream_count == 1 ? "" : "s");
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct stream *stream = config->streams[i];
        printf("  %s: %s, %s; %u lane%s\n", stream->name, stream->entity.name,
               stream->event.name, stream->lanes, stream->lanes == 1 ? "" : "s");
    }
    if (notes->len) {
        printf("notes: %s\n", buf_text(notes));
    }
    return EXIT_FINE;
}

static int print_json(const struct config *config, const struct buf *notes)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    json_put_bool(json, "ok", true);
    json_put_text(json, "config", config->path);
    json_key(json, "streams");
    json_array(json);
    for (size_t i = 0; i < config->stream_count; i++) {
        json_object(json);
        json_put_text(json, "name", config->streams[i]->name);
        json_put_text(json, "entity_table", config->streams[i]->entity.name);
        json_put_text(json, "event_table", config->streams[i]->event.name);
        json_put_unsigned(json, "lanes", config->streams[i]->lanes);
        json_object_end(json);
    }
    json_array_end(json);
    json_key(json, "notes");
    json_text(json, buf_slice(notes));
    json_object_end(json);
    int exit_code = cli_print(json_result(json));
    json_free(json);
    return exit_code;
}

int cli_validate(const struct cli *cli)
{
    struct config *config = NULL;
    struct buf notes = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    exit_code = check_files(config);
    exit_code = exit_code ? exit_code : check_backlog(config);
    if (!exit_code && cli_has(cli, OPTION_DATABASE)) {
        exit_code = examine_database(config, &notes);
    }
    if (!exit_code) {
        exit_code = cli_has(cli, OPTION_JSON) ? print_json(config, &notes)
                                              : print_text(config, &notes);
    }
    buf_free(&notes);
    config_free(config);
    return exit_code;
}
