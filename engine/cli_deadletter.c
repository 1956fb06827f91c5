/* `deadletter ls`, `deadletter show`. */
#include "engine/cli.h"
#include "engine/cli_letters.h"
#include "engine/cli_text.h"
#include "engine/letters.h"

#include <inttypes.h>
#include <stdio.h>

const char *cli_letter_state(const struct journal_dead_entry *dead)
{
    static const char *const names[] = {
        [JOURNAL_DEAD_KEPT] = "kept",
        [JOURNAL_DEAD_RETRIED] = "retried",
        [JOURNAL_DEAD_PURGED] = "purged",
        [JOURNAL_DEAD_CONFLICT] = "conflict",
    };
    return names[dead->state];
}

void cli_letter_put(struct json_writer *json, const struct journal_dead_entry *dead)
{
    json_object(json);
    json_put_unsigned(json, "seq", dead->seq);
    json_put_unsigned(json, "index", dead->letter.index);
    json_put_text(json, "stream", dead->stream);
    json_put_unsigned(json, "lane", dead->lane);
    json_put_text(json, "state", cli_letter_state(dead));
    if (dead->state == JOURNAL_DEAD_RETRIED) {
        json_put_unsigned(json, "retried_seq", dead->retried_seq);
    }
    json_put_text(json, "found", dead->at_intake ? "intake" : "replay");
    cli_put_time(json, "at", dead->letter.at_us);
    json_put_text(json, "reason", dead->letter.reason);
    json_put_text(json, "field", dead->letter.field);
    json_put_text(json, "detail", dead->letter.detail);
    json_key(json, "bytes");
    json_text(json, dead->letter.bytes);
    json_object_end(json);
}

static bool put_each(const struct journal_dead_entry *dead, void *context)
{
    cli_letter_put(context, dead);
    return true;
}

int cli_letters_append(struct journal *journal, uint64_t seq, struct buf *out,
                       struct err *err)
{
    struct json_writer *json = json_new();
    if (!json) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the answer");
    }
    json_array(json);
    int code = journal_dead_letters_visit(journal, seq, seq, put_each, json, err);
    json_array_end(json);
    buf_append_slice(out, json_result(json));
    json_free(json);
    return code;
}

/* ---- deadletter ls --------------------------------------------------------------- */

struct listing {
    const char *stream; /* NULL: all */
    const char *reason; /* NULL: all */
    uint64_t left;
    struct json_writer *json; /* NULL: a table */
};

static bool is_wanted(const struct listing *listing,
                      const struct journal_dead_entry *dead)
{
    return (!listing->stream || strcmp(listing->stream, dead->stream) == 0) &&
           (!listing->reason || strcmp(listing->reason, dead->letter.reason) == 0);
}

static bool list_letter(const struct journal_dead_entry *dead, void *context)
{
    struct listing *listing = context;
    char text[CLI_TIME_TEXT];
    char place[48];
    if (!is_wanted(listing, dead)) {
        return true;
    }
    if (listing->left == 0) {
        return false;
    }
    listing->left--;
    if (listing->json) {
        cli_letter_put(listing->json, dead);
    } else {
        snprintf(place, sizeof place, "%" PRIu64 "/%u", dead->seq, dead->letter.index);
        printf("%-14s  %-20s %4u  %-24s  %-8s  %-14s %s%s%s\n", place, dead->stream,
               dead->lane, cli_time(dead->letter.at_us, text), cli_letter_state(dead),
               dead->letter.reason, dead->letter.field, *dead->letter.field ? ": " : "",
               dead->letter.detail);
    }
    return listing->left > 0;
}

static int list_letters(struct journal *journal, uint64_t from, struct listing *listing)
{
    struct err err = {0};
    if (listing->json) {
        json_object(listing->json);
        json_key(listing->json, "dead_letters");
        json_array(listing->json);
    } else {
        printf("%-14s  %-20s %4s  %-24s  %-8s  %-14s %s\n", "seq/index", "stream", "lane",
               "at", "state", "reason", "field: detail");
    }
    if (journal_dead_letters_visit(journal, from, UINT64_MAX, list_letter, listing,
                                   &err)) {
        return cli_fail_err(&err);
    }
    if (!listing->json) {
        return EXIT_FINE;
    }
    json_array_end(listing->json);
    json_object_end(listing->json);
    return cli_print(json_result(listing->json));
}

int cli_deadletter_ls(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal *journal = NULL;
    struct listing listing = {.stream = cli->text[OPTION_STREAM],
                              .reason = cli->text[OPTION_REASON]};
    uint64_t from;
    if (!cli_number(cli, OPTION_FROM, 0, &from) ||
        !cli_number(cli, OPTION_LIMIT, 100, &listing.left)) {
        return EXIT_USAGE;
    }
    int exit_code = cli_load_config(cli, &config);
    exit_code = exit_code ? exit_code : cli_open_reader(config, &journal);
    if (!exit_code && cli_has(cli, OPTION_JSON)) {
        listing.json = json_new();
        exit_code = listing.json ? 0 : cli_fail(EXIT_AGAIN, "no memory");
    }
    exit_code = exit_code ? exit_code : list_letters(journal, from, &listing);
    json_free(listing.json);
    journal_close(journal);
    config_free(config);
    return exit_code;
}

/* ---- deadletter show ------------------------------------------------------------- */

struct search {
    uint32_t index;
    struct json_writer *json;
    bool found;
};

static bool take_letter(const struct journal_dead_entry *dead, void *context)
{
    struct search *search = context;
    if (dead->letter.index != search->index) {
        return true;
    }
    cli_letter_put(search->json, dead);
    search->found = true;
    return false;
}

int cli_deadletter_show(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal *journal = NULL;
    struct search search = {0};
    struct err err = {0};
    uint64_t seq;
    if (!letters_parse_place(cli->args[0], &seq, &search.index)) {
        return cli_fail(EXIT_USAGE, "'%s' is no dead letter's place, such as 1042/7",
                        cli->args[0]);
    }
    int exit_code = cli_load_config(cli, &config);
    exit_code = exit_code ? exit_code : cli_open_reader(config, &journal);
    search.json = exit_code ? NULL : json_new();
    if (!exit_code && !search.json) {
        exit_code = cli_fail(EXIT_AGAIN, "no memory");
    }
    if (!exit_code &&
        journal_dead_letters_visit(journal, seq, seq, take_letter, &search, &err)) {
        exit_code = cli_fail_err(&err);
    } else if (!exit_code && !search.found) {
        exit_code = cli_fail(EXIT_PROBLEM, "there is no dead letter %s", cli->args[0]);
    } else if (!exit_code) {
        exit_code = cli_show(json_result(search.json), cli_has(cli, OPTION_JSON));
    }
    json_free(search.json);
    journal_close(journal);
    config_free(config);
    return exit_code;
}
