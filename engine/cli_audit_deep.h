/* engine/cli_audit_deep.h: `audit --deep`. */
#ifndef HOLDFAST_ENGINE_CLI_AUDIT_DEEP_H
#define HOLDFAST_ENGINE_CLI_AUDIT_DEEP_H

#include "engine/cli_database.h"

struct json_writer;

struct cli_deep {
    const struct cli *cli;
    struct database *database;
    struct journal *journal;
};

/* Looks the streams up and prints what it finds as it finds it: as text or, in the
 * document's open object, as its "deep". Does nothing without --deep. The exit code. */
int cli_audit_deep(const struct cli_deep *deep, struct json_writer *json);

#endif
