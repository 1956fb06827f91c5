#include "engine/cli_database.h"

int database_open(const struct cli *cli, struct database *out_database)
{
    struct database database = {0};
    struct err err = {0};
    const char *stream = cli->text[OPTION_STREAM];
    int exit_code = cli_load_config(cli, &database.config);
    if (exit_code) {
        return exit_code;
    }
    if (stream) {
        database.stream = config_stream(database.config, slice_text(stream));
    }
    if (stream && !database.stream) {
        exit_code = cli_no_stream(database.config, stream);
        database_close(&database);
        return exit_code;
    }
    int code = db_hosts_new(&database.config->database, &database.hosts, &err);
    code =
        code ? code
             : db_connect(&database.config->database, database.hosts, &database.db, &err);
    if (code) {
        exit_code = cli_fail(code == ERR_CONFIG ? EXIT_CONFIGURATION : EXIT_DATABASE,
                             "the database can't be asked: %s", err.message);
        database_close(&database);
        return exit_code;
    }
    *out_database = database;
    return 0;
}

void database_close(struct database *database)
{
    db_close(database->db);
    db_hosts_free(database->hosts);
    config_free(database->config);
}

struct check_rules database_check_rules(const struct config *config)
{
    return (struct check_rules){
        .now_us = clock_wall_us(&clock_system),
        .since_us = config->check.since_us,
        .zone_offset_s = config->zone_offset_s,
    };
}
