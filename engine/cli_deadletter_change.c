/* `deadletter retry`, `deadletter purge`: what changes dead letters. The plan comes from
 * the journal as it is; the change is made by the running engine, or in the journal
 * itself where none runs.
 */
#include "engine/cli.h"
#include "engine/cli_control.h"
#include "engine/cli_text.h"
#include "engine/engine.h"
#include "engine/json.h"
#include "engine/letters.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- Which ------------------------------------------------------------------------- */

static bool read_time(const struct cli *cli, enum cli_option option, const char *name,
                      const struct config *config, int64_t *out)
{
    const char *text = cli->text[option];
    if (text && !value_parse_time(slice_text(text), config->zone_offset_s, out)) {
        cli_fail(EXIT_USAGE, "--%s '%s' is not a time such as 2026-01-08T01:04:26Z", name,
                 text);
        return false;
    }
    return true;
}

static bool read_filter(const struct cli *cli, const struct config *config,
                        struct letters_filter *out)
{
    letters_filter_all(out);
    out->stream = cli->text[OPTION_STREAM];
    out->reason = cli->text[OPTION_REASON];
    if (!cli_number(cli, OPTION_FROM, 0, &out->from_seq) ||
        !cli_number(cli, OPTION_TO, UINT64_MAX, &out->to_seq) ||
        !read_time(cli, OPTION_SINCE, "since", config, &out->since_us) ||
        !read_time(cli, OPTION_UNTIL, "until", config, &out->until_us)) {
        return false;
    }
    if (cli->arg_count == 0) {
        return true;
    }
    out->one = letters_parse_place(cli->args[0], &out->from_seq, &out->index);
    out->to_seq = out->from_seq;
    if (!out->one) {
        cli_fail(EXIT_USAGE, "'%s' is no dead letter's place, such as 1042/7",
                 cli->args[0]);
    }
    return out->one;
}

/* Streams' names and reasons are words that a query takes as they are, but nobody holds
 * an operator to it. */
static void append_argument(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "%c%s=", memchr(out->data, '?', out->len) ? '&' : '?', name);
    for (const char *at = text; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || *at == '_' || *at == '-';
        buf_printf(out, plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
}

static void append_number(struct buf *out, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    append_argument(out, name, text);
}

static void append_filter(struct buf *out, const struct letters_filter *filter)
{
    append_number(out, "from", filter->from_seq);
    append_number(out, "to", filter->to_seq);
    if (filter->stream) {
        append_argument(out, "stream", filter->stream);
    }
    if (filter->reason) {
        append_argument(out, "reason", filter->reason);
    }
    if (filter->since_us > 0) {
        append_number(out, "since_us", (uint64_t)filter->since_us);
    }
    if (filter->until_us >= 0 && filter->until_us < INT64_MAX) {
        append_number(out, "until_us", (uint64_t)filter->until_us);
    }
    if (filter->one) {
        append_number(out, "index", filter->index);
    }
}

/* ---- The plan -------------------------------------------------------------------- */

static void put_plan(struct json_writer *json, const struct letters_plan *plan)
{
    char place[40];
    json_object(json);
    json_put_unsigned(json, "kept", plan->kept);
    json_put_unsigned(json, "conflicts", plan->conflicts);
    json_key(json, "reasons");
    json_object(json);
    for (size_t i = 0; i < plan->reasons.count; i++) {
        json_put_unsigned(json, plan->reasons.items[i].reason,
                          plan->reasons.items[i].count);
    }
    json_object_end(json);
    json_key(json, "samples");
    json_array(json);
    for (size_t i = 0; i < plan->sample_count; i++) {
        snprintf(place, sizeof place, "%" PRIu64 "/%u", plan->samples[i].seq,
                 plan->samples[i].index);
        json_text(json, slice_text(place));
    }
    json_array_end(json);
    json_put_text(json, "note", "this is the plan; --execute does it");
    json_object_end(json);
}

static int show_plan(const struct cli *cli, const struct config *config,
                     const struct letters_filter *filter)
{
    struct journal *journal = NULL;
    struct letters_plan plan;
    struct err err = {0};
    struct json_writer *json = NULL;
    int exit_code = cli_open_reader(config, &journal);
    if (!exit_code && letters_plan(journal, filter, &plan, &err)) {
        exit_code = cli_fail_err(&err);
    }
    if (!exit_code) {
        json = json_new();
        exit_code = json ? 0 : cli_fail(EXIT_AGAIN, "no memory");
    }
    if (!exit_code) {
        put_plan(json, &plan);
        exit_code = cli_show(json_result(json), cli_has(cli, OPTION_JSON));
    }
    json_free(json);
    journal_close(journal);
    return exit_code;
}

/* ---- deadletter purge ------------------------------------------------------------ */

/* Takes the writer's lock, so that no engine starts meanwhile. */
static int purge_here(const struct config *config, const struct letters_filter *filter,
                      struct buf *out, struct err *err)
{
    struct journal *journal = NULL;
    uint64_t purged = 0;
    int code = journal_open(&config->journal, false, &journal, err);
    code = code ? code : letters_purge(journal, filter, &purged, err);
    journal_close(journal);
    buf_printf(out, "{\"purged\":%" PRIu64 "}", purged);
    return code;
}

static int purge(const struct cli *cli, const struct config *config,
                 const struct letters_filter *filter)
{
    struct buf path = {0};
    struct buf answer = {0};
    struct err err = {0};
    buf_append_text(&path, "/control/deadletter/purge");
    append_filter(&path, filter);
    const char *text = buf_text(&path);
    int code = text ? cli_control(config, "POST", text, &answer, &err)
                    : err_set(&err, ERR_NOMEM, 0, "no memory for a request");
    if (code == ERR_NOT_FOUND) {
        code = purge_here(config, filter, &answer, &err);
    }
    int exit_code = code ? cli_fail_err(&err)
                         : cli_show(buf_slice(&answer), cli_has(cli, OPTION_JSON));
    buf_free(&answer);
    buf_free(&path);
    return exit_code;
}

int cli_deadletter_purge(const struct cli *cli)
{
    struct config *config = NULL;
    struct letters_filter filter;
    int exit_code = cli_load_config(cli, &config);
    if (!exit_code && !read_filter(cli, config, &filter)) {
        exit_code = EXIT_USAGE;
    }
    if (!exit_code) {
        exit_code = cli_has(cli, OPTION_EXECUTE) ? purge(cli, config, &filter)
                                                 : show_plan(cli, config, &filter);
    }
    config_free(config);
    return exit_code;
}

/* ---- deadletter retry ------------------------------------------------------------ */

struct corrections {
    char texts[CLI_SETS_MAX][256];
    struct letters_set sets[CLI_SETS_MAX];
    size_t count;
};

static bool read_sets(const struct cli *cli, struct corrections *out)
{
    for (size_t i = 0; i < cli->set_count; i++) {
        char *text = out->texts[i];
        int len = snprintf(text, sizeof out->texts[i], "%s", cli->sets[i]);
        if (len >= (int)sizeof out->texts[i] || !letters_parse_set(text, &out->sets[i])) {
            cli_fail(EXIT_USAGE, "--set '%.60s' is not FIELD=VALUE, of at most 255 bytes",
                     cli->sets[i]);
            return false;
        }
    }
    out->count = cli->set_count;
    return true;
}

static bool is_chosen(const struct letters_filter *filter, const struct stream *stream)
{
    return !filter->stream || strcmp(stream->name, filter->stream) == 0;
}

static bool has_field(const struct config *config, const struct letters_filter *filter,
                      const char *field)
{
    const struct intake_rules rules = engine_rules_of(config);
    bool found = rules.route_field && strcmp(rules.route_field, field) == 0;
    for (size_t i = 0; i < config->stream_count && !found; i++) {
        found = is_chosen(filter, config->streams[i]) &&
                stream_field_find(config->streams[i], slice_text(field)) >= 0;
    }
    return found;
}

static void say_fields(const struct config *config, const struct letters_filter *filter,
                       const char *field)
{
    struct buf text = {0};
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct stream *stream = config->streams[i];
        if (is_chosen(filter, stream)) {
            buf_printf(&text, "; stream %s has", stream->name);
        }
        for (size_t j = 0; is_chosen(filter, stream) && j < stream->field_count; j++) {
            buf_printf(&text, " %s", stream->fields[j].name);
        }
    }
    const char *known = buf_text(&text);
    cli_fail(EXIT_USAGE, "--set %s: there is no such field%s", field, known ? known : "");
    buf_free(&text);
}

/* A record may carry fields that no stream has, but nobody corrects those: the name is
 * mistyped. */
static bool check_sets(const struct config *config, const struct letters_filter *filter,
                       const struct corrections *corrections)
{
    for (size_t i = 0; i < corrections->count; i++) {
        const char *field = corrections->sets[i].name;
        if (!has_field(config, filter, field)) {
            say_fields(config, filter, field);
            return false;
        }
    }
    return true;
}

/* In this process: where no engine runs, or nothing is to be changed. */
static int retry_here(const struct config *config, const struct letters_retry *retry,
                      struct buf *out, struct err *err)
{
    struct journal *journal = NULL;
    struct json_writer *json = NULL;
    struct letters_retried retried;
    int code = retry->execute ? journal_open(&config->journal, false, &journal, err)
                              : journal_open_reader(config->journal.path, &journal, err);
    code = code ? code : letters_retry(journal, retry, &retried, err);
    journal_close(journal);
    if (code == ERR_OK) {
        json = json_new();
        code = json ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for the answer");
    }
    if (code == ERR_OK) {
        letters_put_retried(json, &retried);
        buf_append_slice(out, json_result(json));
    }
    json_free(json);
    return code;
}

static int retry_there(const struct cli *cli, const struct config *config,
                       const struct letters_filter *filter, struct buf *out,
                       struct err *err)
{
    struct buf path = {0};
    buf_append_text(&path, "/control/deadletter/retry");
    append_filter(&path, filter);
    for (size_t i = 0; i < cli->set_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "set%zu", i);
        append_argument(&path, name, cli->sets[i]);
    }
    const char *text = buf_text(&path);
    int code = text ? cli_control(config, "POST", text, out, err)
                    : err_set(err, ERR_NOMEM, 0, "no memory for a request");
    buf_free(&path);
    return code;
}

/* What the answer leaves to be done. */
static int say_retried(const struct cli *cli, const struct letters_filter *filter,
                       struct slice answer)
{
    struct json_value *found = json_parse(answer);
    int64_t retried = json_as_integer(json_get(found, "retried"), 0);
    int64_t refused = json_as_integer(json_get(found, "refused"), 0);
    json_value_free(found);
    if (filter->one && retried + refused == 0) {
        cli_fail(EXIT_FINE,
                 "there is no dead letter %s that waits to be tried again; `holdfast "
                 "deadletter show %s` tells whether it was retried or purged",
                 cli->args[0], cli->args[0]);
    } else if (!cli_has(cli, OPTION_EXECUTE) && !cli_has(cli, OPTION_JSON)) {
        puts("nothing was changed: --execute hands these in");
    } else if (cli_has(cli, OPTION_EXECUTE) && refused) {
        return cli_fail(EXIT_PROBLEM,
                        "%lld are refused as before and stay; correct a field of theirs "
                        "with --set FIELD=VALUE, or give them up by `holdfast deadletter "
                        "purge`",
                        (long long)refused);
    }
    return EXIT_FINE;
}

static int retry(const struct cli *cli, const struct config *config,
                 const struct letters_filter *filter,
                 const struct corrections *corrections)
{
    struct buf answer = {0};
    struct err err = {0};
    bool execute = cli_has(cli, OPTION_EXECUTE);
    int code = execute ? retry_there(cli, config, filter, &answer, &err) : ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND) {
        const struct intake_rules rules = engine_rules_of(config);
        const struct letters_retry here = {.filter = filter,
                                           .sets = corrections->sets,
                                           .set_count = corrections->count,
                                           .rules = &rules,
                                           .execute = execute};
        code = retry_here(config, &here, &answer, &err);
    }
    int exit_code = code ? cli_fail_err(&err)
                         : cli_show(buf_slice(&answer), cli_has(cli, OPTION_JSON));
    exit_code = exit_code ? exit_code : say_retried(cli, filter, buf_slice(&answer));
    buf_free(&answer);
    return exit_code;
}

int cli_deadletter_retry(const struct cli *cli)
{
    struct config *config = NULL;
    struct letters_filter filter;
    struct corrections corrections = {0};
    if (!read_sets(cli, &corrections)) {
        return EXIT_USAGE;
    }
    int exit_code = cli_load_config(cli, &config);
    if (!exit_code && (!read_filter(cli, config, &filter) ||
                       !check_sets(config, &filter, &corrections))) {
        exit_code = EXIT_USAGE;
    }
    exit_code = exit_code ? exit_code : retry(cli, config, &filter, &corrections);
    config_free(config);
    return exit_code;
}
