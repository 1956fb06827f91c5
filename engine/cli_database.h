/* engine/cli_database.h: what commands over the database's tables have in common. */
#ifndef HOLDFAST_ENGINE_CLI_DATABASE_H
#define HOLDFAST_ENGINE_CLI_DATABASE_H

#include "audit/check.h"
#include "engine/cli.h"

struct database {
    struct config *config;
    struct db_hosts *hosts;
    struct db *db;
    const struct stream *stream; /* --stream; NULL: all */
};

/* Configuration, --stream, connection; 0, or the exit code after saying why not (nothing
 * is to be closed then). */
int database_open(const struct cli *cli, struct database *out_database);
void database_close(struct database *database);

static inline bool database_wants(const struct database *database,
                                  const struct stream *stream)
{
    return !database->stream || database->stream == stream;
}

/* As configured, at the present time. */
struct check_rules database_check_rules(const struct config *config);

#endif
