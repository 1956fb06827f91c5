/* `journal export`: records as JSON, one a line.
 *
 * {"seq":1042,"index":7,"stream":"mozi","lane":0,"received_at":"...","record":{...}}
 *
 * A dead letter (--dead-letters) has "dead_letter" instead of "record": its reason and
 * its bytes as text. Memory is bounded by one entry: what is written is written at once.
 */
#include "engine/cli.h"
#include "engine/cli_letters.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "schema/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { WRITE_BYTES = 256 << 10 };

struct exporter {
    const struct config *config;
    struct journal *journal;
    const char *stream; /* NULL: all */
    uint64_t to;
    bool letters;
    int fd;
    struct buf out;
    struct progress progress;
    int exit_code;         /* ends the export */
    bool unwanted;         /* the reader has closed the pipe: it has what it wants */
    struct err unreadable; /* the first of the entries that can't be read */
    uint64_t not_held;
    uint64_t not_held_records;
    uint64_t entries;
    uint64_t records;
};

static bool goes_on(const struct exporter *exporter)
{
    return !exporter->exit_code && !exporter->unwanted;
}

static void flush(struct exporter *exporter)
{
    size_t at = 0;
    while (at < exporter->out.len && goes_on(exporter)) {
        ssize_t put =
            write(exporter->fd, exporter->out.data + at, exporter->out.len - at);
        if (put >= 0) {
            at += (size_t)put;
        } else if (errno == EPIPE) {
            exporter->unwanted = true;
        } else if (errno != EINTR) {
            exporter->exit_code =
                cli_fail(EXIT_JOURNAL, "cannot write the export: %s", strerror(errno));
        }
    }
    buf_clear(&exporter->out);
}

static void end_line(struct exporter *exporter)
{
    buf_append_char(&exporter->out, '\n');
    if (exporter->out.failed) {
        exporter->exit_code = cli_fail(EXIT_AGAIN, "no memory for a record");
    } else if (exporter->out.len >= WRITE_BYTES) {
        flush(exporter);
    }
}

/* Names of streams are words, so they need no escapes. */
static void begin_line(struct exporter *exporter, const struct journal_entry *entry,
                       uint32_t index)
{
    char text[CLI_TIME_TEXT];
    buf_printf(&exporter->out,
               "{\"seq\":%" PRIu64 ",\"index\":%u,\"stream\":\"%s\",\"lane\":%u,"
               "\"received_at\":\"%s\",",
               entry->seq, index, entry->stream, entry->lane,
               cli_time(entry->received_at_us, text));
}

/* ---- Records --------------------------------------------------------------------- */

static int export_rows(struct exporter *exporter, const struct journal_entry *entry,
                       struct err *err)
{
    const struct config *config = exporter->config;
    const struct stream *stream = config_stream(config, slice_text(entry->stream));
    struct record_decoder *decoder = NULL;
    struct value values[STREAM_FIELDS_MAX];
    struct reject reject;
    uint32_t index = 0;
    /* Rows carry their own names: any stream will do for those of one that is gone. */
    int code = record_decoder_new(stream ? stream : config->streams[0], entry->payload,
                                  &decoder, err);
    if (code) {
        return code;
    }
    while (goes_on(exporter) &&
           ((code = record_decoder_next(decoder, values, &reject, err)) == ERR_OK ||
            code == ERR_DATA)) {
        begin_line(exporter, entry, index++);
        buf_append_text(&exporter->out, "\"record\":");
        record_decoder_append_json(decoder, &exporter->out);
        buf_append_char(&exporter->out, '}');
        exporter->records++;
        end_line(exporter);
    }
    record_decoder_free(decoder);
    return code == ERR_NOT_FOUND || code == ERR_DATA ? ERR_OK : code;
}

struct letter_context {
    struct exporter *exporter;
    const struct journal_entry *entry;
};

static bool export_letter(const struct journal_dead_entry *dead, void *context)
{
    struct letter_context *at = context;
    struct exporter *exporter = at->exporter;
    struct json_writer *json = json_new();
    if (!json) {
        exporter->exit_code = cli_fail(EXIT_AGAIN, "no memory for a dead letter");
        return false;
    }
    cli_letter_put(json, dead);
    begin_line(exporter, at->entry, dead->letter.index);
    buf_append_text(&exporter->out, "\"dead_letter\":");
    buf_append_slice(&exporter->out, json_result(json));
    buf_append_char(&exporter->out, '}');
    end_line(exporter);
    json_free(json);
    return goes_on(exporter);
}

/* ---- Entries --------------------------------------------------------------------- */

static void note_not_held(struct exporter *exporter, const struct journal_entry *entry)
{
    exporter->not_held++;
    exporter->not_held_records += entry->records;
}

static void export_entry(struct exporter *exporter, const struct journal_entry *header)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int code = journal_read_entry(exporter->journal, header->seq, &entries, &err);
    if (code == ERR_NOT_FOUND ||
        (!code && entries.items[0].state != JOURNAL_ENTRY_FULL)) {
        note_not_held(exporter, header); /* it left just now */
    } else if (!code && entries.items[0].payload.len) {
        code = export_rows(exporter, &entries.items[0], &err);
        exporter->entries++;
    }
    if (code && code != ERR_NOT_FOUND && !exporter->unreadable.code) {
        exporter->unreadable = err;
    }
    journal_entries_free(&entries);
}

static bool visit(const struct journal_entry *entry, void *context)
{
    struct exporter *exporter = context;
    if (entry->seq > exporter->to) {
        return false;
    }
    if (exporter->stream && strcmp(exporter->stream, entry->stream) != 0) {
        return true;
    }
    if (entry->state == JOURNAL_ENTRY_FULL) {
        export_entry(exporter, entry);
    } else {
        note_not_held(exporter, entry);
    }
    if (exporter->letters && goes_on(exporter)) {
        struct letter_context at = {exporter, entry};
        struct err err = {0};
        if (journal_dead_letters_visit(exporter->journal, entry->seq, entry->seq,
                                       export_letter, &at, &err) &&
            !exporter->unreadable.code) {
            exporter->unreadable = err;
        }
    }
    progress_show(&exporter->progress, entry->seq, exporter->records, "records");
    return goes_on(exporter);
}

static int tell_end(struct exporter *exporter)
{
    if (exporter->not_held && !exporter->progress.quiet) {
        fprintf(stderr,
                "holdfast: %" PRIu64 " entries with %" PRIu64 " records are no longer "
                "held in full and were left out\n",
                exporter->not_held, exporter->not_held_records);
    }
    if (exporter->unreadable.code) {
        return cli_fail(EXIT_PROBLEM,
                        "not all could be read: %s; see `holdfast journal "
                        "repair`",
                        exporter->unreadable.message);
    }
    return EXIT_FINE;
}

static int export_all(struct exporter *exporter, const struct cli *cli, uint64_t from)
{
    struct journal_stat stat;
    struct err err = {0};
    if (journal_stat(exporter->journal, &stat, &err)) {
        return cli_fail_err(&err);
    }
    if (exporter->to >= stat.next_seq) {
        exporter->to = stat.next_seq - 1;
    }
    progress_begin(&exporter->progress, "export", exporter->to, &clock_system);
    exporter->progress.quiet = cli_has(cli, OPTION_QUIET);
    int code = journal_visit(exporter->journal, from, visit, exporter, &err);
    flush(exporter);
    progress_end(&exporter->progress);
    if (code && !exporter->unreadable.code) {
        exporter->unreadable = err;
    }
    return exporter->exit_code ? exporter->exit_code : tell_end(exporter);
}

/* ---- The command ------------------------------------------------------------------- */

/* A file is whole and synced, or gone. */
static int export_to_file(struct exporter *exporter, const struct cli *cli, uint64_t from)
{
    const char *path = cli->text[OPTION_OUTPUT];
    exporter->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (exporter->fd < 0) {
        return cli_fail(EXIT_JOURNAL, "cannot create %s: %s", path, strerror(errno));
    }
    int exit_code = export_all(exporter, cli, from);
    bool failed = fsync(exporter->fd) != 0;
    failed = close(exporter->fd) != 0 || failed;
    if (failed && exit_code <= EXIT_PROBLEM) {
        exit_code = cli_fail(EXIT_JOURNAL, "cannot write %s: %s", path, strerror(errno));
    }
    if (exit_code > EXIT_PROBLEM && unlink(path)) {
        cli_fail(exit_code, "%s is not complete", path);
    }
    return exit_code;
}

int cli_journal_export(const struct cli *cli)
{
    struct config *config = NULL;
    struct exporter exporter = {.stream = cli->text[OPTION_STREAM],
                                .letters = cli_has(cli, OPTION_DEAD_LETTERS),
                                .fd = STDOUT_FILENO};
    uint64_t from;
    if (!cli_number(cli, OPTION_FROM, 1, &from) ||
        !cli_number(cli, OPTION_TO, UINT64_MAX, &exporter.to)) {
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* EPIPE instead, so that all is closed in order */
    int exit_code = cli_load_config(cli, &config);
    exit_code = exit_code ? exit_code : cli_open_reader(config, &exporter.journal);
    exporter.config = config;
    if (!exit_code) {
        exit_code = cli_has(cli, OPTION_OUTPUT) ? export_to_file(&exporter, cli, from)
                                                : export_all(&exporter, cli, from);
    }
    buf_free(&exporter.out);
    journal_close(exporter.journal);
    config_free(config);
    return exit_code;
}
