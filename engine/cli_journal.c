/* `journal ls`, `journal show`, `journal verify`: what the journal holds. */
#include "engine/cli.h"
#include "engine/cli_letters.h"
#include "engine/cli_text.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "engine/units.h"
#include "schema/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *state_name(const struct journal_entry *entry)
{
    static const char *const names[] = {
        [JOURNAL_ENTRY_FULL] = "full",
        [JOURNAL_ENTRY_EXPIRED] = "expired",
        [JOURNAL_ENTRY_GAP] = "gap",
    };
    return names[entry->state];
}

static void put_entry(struct json_writer *json, const struct journal_entry *entry)
{
    char sum[2 * JOURNAL_SUM_LEN + 1];
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        snprintf(sum + 2 * i, 3, "%02x", entry->sum[i]);
    }
    json_object(json);
    json_put_unsigned(json, "seq", entry->seq);
    json_put_text(json, "stream", entry->stream);
    json_put_unsigned(json, "lane", entry->lane);
    json_put_unsigned(json, "batch", entry->batch_seq);
    json_put_unsigned(json, "batch_entries", entry->batch_entries);
    json_put_unsigned(json, "records", entry->records);
    json_put_unsigned(json, "running", entry->running);
    cli_put_time(json, "received_at", entry->received_at_us);
    json_put_text(json, "sum", sum);
    json_put_text(json, "state", state_name(entry));
    json_object_end(json);
}

/* ---- journal ls ------------------------------------------------------------------ */

struct listing {
    const char *stream; /* NULL: all */
    uint64_t left;
    struct json_writer *json; /* NULL: a table */
};

static bool list_entry(const struct journal_entry *entry, void *context)
{
    struct listing *listing = context;
    char text[CLI_TIME_TEXT];
    if (listing->stream && strcmp(listing->stream, entry->stream) != 0) {
        return true;
    }
    if (listing->left == 0) {
        return false;
    }
    listing->left--;
    if (listing->json) {
        put_entry(listing->json, entry);
    } else {
        printf("%10" PRIu64 "  %-20s %4u  %8u  %12" PRIu64 "  %s  %s\n", entry->seq,
               entry->stream, entry->lane, entry->records, entry->running,
               cli_time(entry->received_at_us, text), state_name(entry));
    }
    return listing->left > 0;
}

static int list_entries(struct journal *journal, uint64_t from, struct listing *listing)
{
    struct err err = {0};
    if (listing->json) {
        json_object(listing->json);
        json_put_text(listing->json, "journal", journal_id(journal));
        json_key(listing->json, "entries");
        json_array(listing->json);
    } else {
        printf("%10s  %-20s %4s  %8s  %12s  %-24s  %s\n", "seq", "stream", "lane",
               "records", "running", "received at", "state");
    }
    if (journal_visit(journal, from, list_entry, listing, &err)) {
        return cli_fail_err(&err);
    }
    if (!listing->json) {
        return EXIT_FINE;
    }
    json_array_end(listing->json);
    json_object_end(listing->json);
    return cli_print(json_result(listing->json));
}

int cli_journal_ls(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal *journal = NULL;
    struct listing listing = {.stream = cli->text[OPTION_STREAM]};
    uint64_t from;
    if (!cli_number(cli, OPTION_FROM, 1, &from) ||
        !cli_number(cli, OPTION_LIMIT, 100, &listing.left)) {
        return EXIT_USAGE;
    }
    int exit_code = cli_load_config(cli, &config);
    exit_code = exit_code ? exit_code : cli_open_reader(config, &journal);
    if (!exit_code && cli_has(cli, OPTION_JSON)) {
        listing.json = json_new();
        exit_code = listing.json ? 0 : cli_fail(EXIT_AGAIN, "no memory");
    }
    exit_code = exit_code ? exit_code : list_entries(journal, from, &listing);
    json_free(listing.json);
    journal_close(journal);
    config_free(config);
    return exit_code;
}

/* ---- journal show ---------------------------------------------------------------- */

/* The rows as JSON. They carry their own names, so that any stream will do to walk over
 * those of one that is gone. */
static int append_rows(const struct config *config, const struct journal_entry *entry,
                       struct buf *out, struct err *err)
{
    const struct stream *stream = config_stream(config, slice_text(entry->stream));
    struct record_decoder *decoder = NULL;
    stream = stream ? stream : config->streams[0];
    int code = record_decoder_new(stream, entry->payload, &decoder, err);
    if (code) {
        return code;
    }
    struct value values[STREAM_FIELDS_MAX];
    struct reject reject;
    const char *separator = "";
    code = record_decoder_next(decoder, values, &reject, err);
    while (code == ERR_OK || code == ERR_DATA) {
        buf_append_text(out, separator);
        record_decoder_append_json(decoder, out);
        separator = ",\n";
        code = record_decoder_next(decoder, values, &reject, err);
    }
    record_decoder_free(decoder);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static int append_entry(const struct config *config, struct journal *journal,
                        const struct journal_entry *entry, struct buf *out,
                        struct err *err)
{
    struct json_writer *json = json_new();
    if (!json) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the answer");
    }
    put_entry(json, entry);
    buf_append_text(out, "{\"entry\":");
    buf_append_slice(out, json_result(json));
    buf_append_text(out, ",\n\"records\":[");
    json_free(json);
    int code = entry->payload.len ? append_rows(config, entry, out, err) : ERR_OK;
    buf_append_text(out, "],\n\"dead_letters\":");
    code = code ? code : cli_letters_append(journal, entry->seq, out, err);
    buf_append_char(out, '}');
    return !code && out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for the answer")
                                : code;
}

static int show_entry(const struct config *config, uint64_t seq, bool as_json)
{
    struct journal *journal = NULL;
    struct journal_entries entries = {0};
    struct buf out = {0};
    struct err err = {0};
    int exit_code = cli_open_reader(config, &journal);
    if (exit_code) {
        return exit_code;
    }
    int code = journal_read_entry(journal, seq, &entries, &err);
    code = code ? code : append_entry(config, journal, &entries.items[0], &out, &err);
    exit_code = code ? cli_fail_err(&err) : cli_show(buf_slice(&out), as_json);
    buf_free(&out);
    journal_entries_free(&entries);
    journal_close(journal);
    return exit_code;
}

int cli_journal_show(const struct cli *cli)
{
    struct config *config = NULL;
    uint64_t seq;
    if (!units_parse_count(slice_text(cli->args[0]), &seq) || seq == 0) {
        return cli_fail(EXIT_USAGE, "'%s' is no entry's number, such as 1042",
                        cli->args[0]);
    }
    int exit_code = cli_load_config(cli, &config);
    exit_code =
        exit_code ? exit_code : show_entry(config, seq, cli_has(cli, OPTION_JSON));
    config_free(config);
    return exit_code;
}

/* ---- journal verify -------------------------------------------------------------- */

static void report_verify(const struct journal_verify_result *sofar, void *context)
{
    progress_show(context, sofar->bytes, sofar->entries, "entries");
}

static int print_verify(const struct journal_verify_result *result, const struct err *err,
                        bool as_json)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    json_put_bool(json, "sound", err->code == ERR_OK);
    if (err->code) {
        json_put_text(json, "problem", err->message);
    }
    json_put_unsigned(json, "entries", result->entries);
    json_put_unsigned(json, "records", result->records);
    json_put_unsigned(json, "bytes", result->bytes);
    json_put_unsigned(json, "first_seq", result->first_seq);
    json_put_unsigned(json, "last_seq", result->last_seq);
    json_put_unsigned(json, "problems", result->problems);
    if (result->first_bad_seq) {
        json_put_unsigned(json, "first_bad_seq", result->first_bad_seq);
    }
    json_object_end(json);
    int exit_code = cli_show(json_result(json), as_json);
    json_free(json);
    return exit_code;
}

int cli_journal_verify(const struct cli *cli)
{
    struct config *config = NULL;
    struct journal_verify_result result = {0};
    struct progress progress;
    struct err err = {0};
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    progress_begin(&progress, "verify", 0, &clock_system);
    progress.quiet = cli_has(cli, OPTION_QUIET);
    int code =
        journal_verify(config->journal.path, report_verify, &progress, &result, &err);
    progress_end(&progress);
    if (code && code != ERR_CORRUPT) {
        exit_code = cli_fail_err(&err);
    } else {
        exit_code = print_verify(&result, &err, cli_has(cli, OPTION_JSON));
        exit_code = code && !exit_code ? EXIT_PROBLEM : exit_code;
    }
    config_free(config);
    return exit_code;
}
