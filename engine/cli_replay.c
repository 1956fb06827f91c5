/* `replay`: applying on purpose (engine/cli_travel.c), and passing over what is gone. */
#include "engine/cli.h"
#include "engine/cli_control.h"
#include "engine/cli_text.h"
#include "engine/cli_travel.h"
#include "engine/json.h"

#include <inttypes.h>
#include <stdio.h>

struct gap_name {
    const char *stream;
    uint64_t lane;
};

static int ask(const struct config *config, const char *method, const char *path,
               struct buf *out, struct err *err)
{
    int code = cli_control(config, method, path, out, err);
    if (code == ERR_NOT_FOUND) {
        return err_set(err, ERR_NOT_FOUND, 0,
                       "no engine is running on journal %s: start it first, a stopped "
                       "lane lives in it",
                       config->journal.path);
    }
    return code;
}

/* Accepts just the gap that `found` describes: what the operator was shown. */
static int accept_gap(const struct config *config, const struct gap_name *name,
                      struct slice found, struct err *err)
{
    char path[256];
    struct buf answer = {0};
    struct json_value *gap = json_parse(found);
    int64_t to = json_as_integer(json_get(gap, "to"), -1);
    const char *sum = json_as_text(json_get(gap, "sum"));
    if (to < 0 || !sum) {
        json_value_free(gap);
        return err_set(err, ERR_INTERNAL, 0, "the engine's answer can't be read");
    }
    snprintf(path, sizeof path,
             "/control/gap/accept?stream=%s&lane=%" PRIu64 "&to=%" PRId64 "&sum=%.32s",
             name->stream, name->lane, to, sum);
    json_value_free(gap);
    int code = ask(config, "POST", path, &answer, err);
    buf_free(&answer);
    return code;
}

static int show_or_accept(const struct cli *cli, const struct config *config,
                          const struct gap_name *name)
{
    char path[160];
    struct buf found = {0};
    struct err err = {0};
    bool execute = cli_has(cli, OPTION_EXECUTE);
    snprintf(path, sizeof path, "/control/gap?stream=%s&lane=%" PRIu64, name->stream,
             name->lane);
    int code = ask(config, "GET", path, &found, &err);
    if (code == ERR_OK && execute) {
        code = accept_gap(config, name, buf_slice(&found), &err);
    }
    int exit_code = code ? cli_fail_err(&err)
                         : cli_show(buf_slice(&found), cli_has(cli, OPTION_JSON));
    if (!exit_code && !cli_has(cli, OPTION_JSON)) {
        puts(execute ? "accepted: the lane passes over these entries, and `records` of "
                       "them are given up"
                     : "--execute passes over these entries, and gives `records` of them "
                       "up for good");
    }
    buf_free(&found);
    return exit_code;
}

static int pass_gap(const struct cli *cli)
{
    struct config *config = NULL;
    struct gap_name name = {.stream = cli->text[OPTION_STREAM]};
    if (cli_has(cli, OPTION_FROM) || cli_has(cli, OPTION_TO) ||
        cli_has(cli, OPTION_INTO)) {
        return cli_fail(EXIT_USAGE, "--accept-gap goes without --from, --to and --into: "
                                    "it is about a stopped lane of the engine");
    }
    if (!name.stream) {
        return cli_fail(EXIT_USAGE, "--stream is needed: whose lane lacks entries");
    }
    if (!cli_number(cli, OPTION_LANE, 0, &name.lane)) {
        return EXIT_USAGE;
    }
    int exit_code = cli_load_config(cli, &config);
    if (!exit_code && !config_stream(config, slice_text(name.stream))) {
        exit_code = cli_no_stream(config, name.stream);
    }
    exit_code = exit_code ? exit_code : show_or_accept(cli, config, &name);
    config_free(config);
    return exit_code;
}

int cli_replay(const struct cli *cli)
{
    if (cli_has(cli, OPTION_ACCEPT_GAP)) {
        return pass_gap(cli);
    }
    if (cli_has(cli, OPTION_LANE)) {
        return cli_fail(EXIT_USAGE, "--lane goes with --accept-gap alone: a range is "
                                    "applied with all of a stream's lanes");
    }
    return cli_travel(cli);
}
