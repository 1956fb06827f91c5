/* `journal backup`: a verified copy of the journal. */
#include "engine/cli_progress.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "journal/tools.h"

static int print_backup(const struct cli *cli, const struct journal_verify_result *copy)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    json_put_text(json, "copy", cli->args[0]);
    json_put_bool(json, "sound", true);
    json_put_unsigned(json, "entries", copy->entries);
    json_put_unsigned(json, "records", copy->records);
    json_put_unsigned(json, "bytes", copy->bytes);
    json_put_unsigned(json, "first_seq", copy->first_seq);
    json_put_unsigned(json, "last_seq", copy->last_seq);
    json_object_end(json);
    int exit_code = cli_show(json_result(json), cli_has(cli, OPTION_JSON));
    json_free(json);
    return exit_code;
}

int cli_journal_backup(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal_verify_result copy = {0};
    struct cli_progress progress;
    struct err err = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    cli_progress_begin(cli, &progress);
    int code = journal_backup(config->journal.path, cli->args[0], &progress.journal,
                              &copy, &err);
    cli_progress_end(&progress);
    exit_code = code ? cli_fail_err(&err) : print_backup(cli, &copy);
    config_free(config);
    return exit_code;
}
