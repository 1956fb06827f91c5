/* `journal repair`: a sound journal made of a damaged one. */
#include "engine/cli_progress.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "journal/tools.h"

static void put_loss(struct json_writer *json, const struct journal_loss *loss)
{
    json_object(json);
    json_put_unsigned(json, "seq", loss->seq);
    if (loss->stream[0]) {
        json_put_text(json, "stream", loss->stream);
        json_put_unsigned(json, "lane", loss->lane);
        json_put_unsigned(json, "records", loss->records);
        json_put_unsigned(json, "pending", loss->pending);
    }
    if (loss->received_at_us) {
        cli_put_time(json, "received_at", loss->received_at_us);
    }
    json_object_end(json);
}

static void put_repair(struct json_writer *json, const struct cli *cli,
                       const struct journal_repair *repair)
{
    bool executed = cli_has(cli, OPTION_EXECUTE);
    json_put_bool(json, "executed", executed);
    json_put_text(json, "journal", repair->id);
    json_put_text(json, "into", cli->args[0]);
    json_put_unsigned(json, "entries", repair->result.entries);
    json_put_unsigned(json, "first_seq", repair->result.first_seq);
    json_put_unsigned(json, "last_seq", repair->result.last_seq);
    json_put_unsigned(json, "found_by_bytes", repair->found);
    json_put_unsigned(json, "lost_entries", repair->loss_count);
    json_put_unsigned(json, "lost_records", repair->records);
    json_put_unsigned(json, "lost_pending", repair->pending);
    json_put_unsigned(json, "dropped_applied_entries", repair->dropped);
    json_put_unsigned(json, "unread_applied_entries", repair->unread);
    json_put_unsigned(json, "lost_dead_letters", repair->dead_letters_lost);
    json_put_unsigned(json, "lost_receipts", repair->receipts_lost);
    json_put_unsigned(json, "lost_lane_records", repair->lanes_lost);
    json_put_bool(json, "lost_state", repair->state_lost);
    json_put_bool(json, "lost_id", repair->id_lost);
    if (repair->problem[0]) {
        json_put_text(json, "problem", repair->problem);
    }
    json_key(json, "lost");
    json_array(json);
    for (size_t i = 0; i < repair->loss_count; i++) {
        put_loss(json, &repair->losses[i]);
    }
    json_array_end(json);
    json_put_text(json, "note",
                  executed ? "the damaged journal is as it was; put the new one in its "
                             "place, and lanes stop at what is lost until `replay "
                             "--accept-gap`"
                           : "this is the plan; --execute makes the new journal");
}

static int print_repair(const struct cli *cli, const struct journal_repair *repair)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    put_repair(json, cli, repair);
    json_object_end(json);
    int exit_code = cli_show(json_result(json), cli_has(cli, OPTION_JSON));
    json_free(json);
    return exit_code ? exit_code : journal_repair_lost(repair) ? EXIT_PROBLEM : EXIT_FINE;
}

int cli_journal_repair(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal_repair repair = {0};
    struct cli_progress progress;
    struct err err = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    cli_progress_begin(cli, &progress);
    int code =
        journal_repair(config->journal.path, cli->args[0], cli_has(cli, OPTION_EXECUTE),
                       &progress.journal, &repair, &err);
    cli_progress_end(&progress);
    exit_code = code ? cli_fail_err(&err) : print_repair(cli, &repair);
    journal_repair_free(&repair);
    config_free(config);
    return exit_code;
}
