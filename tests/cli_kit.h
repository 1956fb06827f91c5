/* tests/cli_kit.h: the executable on a database of its own on the shared server, with the
 * botnet stream mozi. All functions fail the test where something unexpected happens. */
#ifndef HOLDFAST_TESTS_CLI_KIT_H
#define HOLDFAST_TESTS_CLI_KIT_H

#include "engine/json.h"
#include "tests/sink_kit.h"

enum { CLI_KIT_TIMEOUT_MS = 120000 };

struct cli_kit {
    struct world w;
    struct sink_kit kit;
    char dir[WORLD_PATH_MAX];
    char config[WORLD_PATH_MAX];
    pid_t engine; /* 0: none runs */
};

/* `more` is further top-level YAML. */
void cli_kit_begin(struct cli_kit *cli, const char *more);
void cli_kit_end(struct cli_kit *cli);

/* Runs `holdfast words... --config F`; its standard output, free() it. */
char *cli_kit_text(struct cli_kit *cli, const char *words, int exit_code);

/* The same with --json --quiet; free with json_value_free. */
struct json_value *cli_kit_run(struct cli_kit *cli, const char *words, int exit_code);

/* What lies at a path such as "streams.0.plan"; NULL: nothing. */
const struct json_value *cli_kit_at(const struct json_value *value, const char *path);
void cli_kit_expect(const struct json_value *value, const char *path, int64_t expected);
void cli_kit_expect_text(const struct json_value *value, const char *path,
                         const char *expected);

/* The engine, listening (`more` must say intake: {listen: "127.0.0.1:0"}); SIGTERM. */
void cli_kit_serve(struct cli_kit *cli);
void cli_kit_stop(struct cli_kit *cli);

/* Until nothing is pending; the engine runs. */
void cli_kit_wait_applied(struct cli_kit *cli);

/* One batch of CSV lines into the running engine; and until all is applied. */
void cli_kit_send(struct cli_kit *cli, const char *lines);
void cli_kit_ingest(struct cli_kit *cli, const char *lines);

#endif
