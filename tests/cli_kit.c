#include "tests/cli_kit.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORDS_MAX = 20 };

void cli_kit_begin(struct cli_kit *cli, const char *more)
{
    struct stream_spec spec = botnet_spec("mozi");
    char text[2048];
    memset(cli, 0, sizeof *cli);
    world_attach(&cli->w);
    sink_kit_open(&cli->kit, &cli->w, &spec);
    world_make_dir(cli->dir);
    snprintf(cli->config, sizeof cli->config, "%.200s/holdfast.yaml", cli->dir);
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "database: {socket: %s, name: %s, user: root}\n"
             "time_zone: \"+08:00\"\n%s"
             "streams: [{name: mozi, preset: botnet}]\n",
             cli->dir, cli->w.socket, cli->kit.database, more);
    world_write_file(cli->config, text);
}

void cli_kit_end(struct cli_kit *cli)
{
    if (cli->engine) {
        cli_kit_stop(cli);
    }
    sink_kit_close(&cli->kit);
    world_remove_dir(cli->dir);
    world_detach(&cli->w);
}

/* ---- Commands ---------------------------------------------------------------------- */

static int run(struct cli_kit *cli, const char *words, const char *const *more,
               char **out_text)
{
    char copy[256];
    const char *argv[WORDS_MAX] = {world_holdfast()};
    size_t count = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        argv[count++] = word;
    }
    argv[count++] = "--config";
    argv[count++] = cli->config;
    for (; *more; more++) {
        argv[count++] = *more;
    }
    return world_run(argv, NULL, out_text, CLI_KIT_TIMEOUT_MS);
}

char *cli_kit_text(struct cli_kit *cli, const char *words, int exit_code)
{
    static const char *const nothing[] = {NULL};
    char *text = NULL;
    int code = run(cli, words, nothing, &text);
    cr_assert_eq(code, exit_code, "holdfast %s: %d, not %d: %s", words, code, exit_code,
                 text);
    return text;
}

struct json_value *cli_kit_run(struct cli_kit *cli, const char *words, int exit_code)
{
    static const char *const as_json[] = {"--json", "--quiet", NULL};
    char *text = NULL;
    int code = run(cli, words, as_json, &text);
    cr_assert_eq(code, exit_code, "holdfast %s: %d, not %d: %s", words, code, exit_code,
                 text);
    struct json_value *value = json_parse(slice_text(text));
    cr_assert_not_null(value, "holdfast %s: no JSON: %s", words, text);
    free(text);
    return value;
}

const struct json_value *cli_kit_at(const struct json_value *value, const char *path)
{
    char copy[128];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok(copy, "."); key && value; key = strtok(NULL, ".")) {
        value = key[0] >= '0' && key[0] <= '9' ? json_item(value, strtoul(key, NULL, 10))
                                               : json_get(value, key);
    }
    return value;
}

void cli_kit_expect(const struct json_value *value, const char *path, int64_t expected)
{
    int64_t found = json_as_integer(cli_kit_at(value, path), INT64_MIN);
    cr_assert_eq(found, expected, "%s: %lld, not %lld", path, (long long)found,
                 (long long)expected);
}

void cli_kit_expect_text(const struct json_value *value, const char *path,
                         const char *expected)
{
    const char *found = json_as_text(cli_kit_at(value, path));
    cr_assert(found && strcmp(found, expected) == 0, "%s: %s, not %s", path,
              found ? found : "nothing", expected);
}

/* ---- The engine -------------------------------------------------------------------- */

void cli_kit_serve(struct cli_kit *cli)
{
    const char *argv[] = {world_holdfast(), "serve", "--config", cli->config, NULL};
    char log[WORLD_PATH_MAX];
    snprintf(log, sizeof log, "%.200s/serve.log", cli->dir);
    (void)unlink(log); /* of an earlier one */
    cli->engine = world_spawn(argv, NULL, log);
    world_wait_log(log, "listening", cli->engine, CLI_KIT_TIMEOUT_MS);
}

void cli_kit_stop(struct cli_kit *cli)
{
    cr_assert_eq(kill(cli->engine, SIGTERM), 0);
    cr_assert_eq(world_wait(cli->engine, CLI_KIT_TIMEOUT_MS), 0);
    cli->engine = 0;
}

void cli_kit_send(struct cli_kit *cli, const char *lines)
{
    const char *argv[] = {world_holdfast(), "ingest",    "--stream", "mozi",
                          "--config",       cli->config, "-",        NULL};
    cr_assert_eq(world_run(argv, lines, NULL, CLI_KIT_TIMEOUT_MS), 0);
}

void cli_kit_wait_applied(struct cli_kit *cli)
{
    int64_t pending = 1;
    while (pending) {
        struct json_value *found = cli_kit_run(cli, "audit", 0);
        pending = json_as_integer(cli_kit_at(found, "totals.pending"), 0);
        json_value_free(found);
        cr_assert_eq(kill(cli->engine, 0), 0, "the engine ended");
    }
}

void cli_kit_ingest(struct cli_kit *cli, const char *lines)
{
    cli_kit_send(cli, lines);
    cli_kit_wait_applied(cli);
}
