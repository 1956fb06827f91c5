/* `journal adopt`: a new identity for a restored or copied journal. */
#include "engine/cli.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "journal/tools.h"

static void put_lane(struct json_writer *json, const struct journal_adopted_lane *lane)
{
    json_object(json);
    json_put_text(json, "stream", lane->stream);
    json_put_unsigned(json, "lane", lane->lane);
    json_put_unsigned(json, "entries", lane->entries);
    json_put_unsigned(json, "records", lane->records);
    json_put_unsigned(json, "gone", lane->gone);
    if (lane->gone_to) {
        json_put_unsigned(json, "gone_to", lane->gone_to);
    }
    json_object_end(json);
}

static int print_adoption(const struct cli *cli, const struct journal_adoption *adoption)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    json_put_bool(json, "executed", adoption->id[0] != '\0');
    json_put_text(json, "journal_before", adoption->id_before);
    if (adoption->id[0]) {
        json_put_text(json, "journal", adoption->id);
    }
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < adoption->lane_count; i++) {
        put_lane(json, &adoption->lanes[i]);
    }
    json_array_end(json);
    json_put_text(json, "note",
                  adoption->id[0]
                      ? "all entries are replayed when the engine starts; records that "
                        "are gone count as given up"
                      : "this is the plan; --execute gives the journal a new id and "
                        "replays these entries; records that are gone can't be");
    json_object_end(json);
    int exit_code = cli_show(json_result(json), cli_has(cli, OPTION_JSON));
    json_free(json);
    return exit_code;
}

static int adopt(const struct config *config, bool execute,
                 struct journal_adoption *out_adoption)
{
    struct journal *journal = NULL;
    struct err err = {0};
    int code = execute ? journal_open(&config->journal, false, &journal, &err)
                       : journal_open_reader(config->journal.path, &journal, &err);
    if (!code) {
        code = execute ? journal_adopt(journal, out_adoption, &err)
                       : journal_adoption_plan(journal, out_adoption, &err);
    }
    journal_close(journal);
    return code ? cli_fail_err(&err) : 0;
}

int cli_journal_adopt(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal_adoption adoption = {0};
    int exit_code = cli_load_config(cli, &config);
    exit_code =
        exit_code ? exit_code : adopt(config, cli_has(cli, OPTION_EXECUTE), &adoption);
    exit_code = exit_code ? exit_code : print_adoption(cli, &adoption);
    journal_adoption_free(&adoption);
    config_free(config);
    return exit_code;
}
