/* `ingest`: files or standard input -> bodies -> the engine or the journal.
 *
 * A file is cut into parts at record boundaries (ingest_cut.h), each part has a key made
 * of the file's name, its place and its bytes (ingest_key.h), and is sent once its turn
 * comes. Run again after a crash, the same parts have the same keys, and what is there
 * already is answered as "replayed". */
#include "engine/cli.h"
#include "engine/ingest_cut.h"
#include "engine/ingest_key.h"
#include "engine/ingest_send.h"
#include "engine/json.h"
#include "engine/progress.h"
#include "engine/units.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PART_BYTES = 1 << 20,
    PART_RECORDS = 5000,
    READ_BYTES = 1 << 18,
    TOKEN_MAX = 4096,
};

struct tally {
    uint64_t files;
    uint64_t bytes;
    uint64_t parts;
    uint64_t replayed_parts;
    uint64_t accepted; /* newly */
    uint64_t replayed; /* records of replayed parts */
    uint64_t dead_lettered;
};

struct ingest {
    const struct config *config;
    const struct stream *stream; /* NULL: routed */
    struct sender *sender;
    struct progress progress;
    struct tally tally;
};

/* A file that is being read. */
struct source {
    const char *path;
    struct slice name; /* the path's last part */
    int fd;
    bool at_end;
    enum cut_form form;
    struct buf data;   /* read and not sent */
    uint64_t offset;   /* of data in the file */
    struct buf header; /* CSV: the first line, repeated before each part but the first */
};

/* ---- Reading --------------------------------------------------------------------- */

static int read_more(struct source *source)
{
    if (!buf_reserve(&source->data, READ_BYTES)) {
        return cli_fail(EXIT_AGAIN, "no memory to read %s", source->path);
    }
    ssize_t got;
    do {
        got = read(source->fd, source->data.data + source->data.len, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        char why[128];
        return cli_fail(EXIT_PROBLEM, "%s can't be read: %s", source->path,
                        strerror_r(errno, why, sizeof why));
    }
    source->data.len += (size_t)got;
    source->at_end = got == 0;
    return 0;
}

static void drop(struct source *source, size_t len)
{
    memmove(source->data.data, source->data.data + len, source->data.len - len);
    source->data.len -= len;
    source->offset += len;
}

/* Which names make a first line a header. */
static size_t header_names(const struct ingest *ingest,
                           const char *names[STREAM_FIELDS_MAX])
{
    size_t count = 0;
    if (!ingest->stream) {
        names[count++] = ingest->config->intake.route_field;
        return count;
    }
    for (size_t i = 0; i < ingest->stream->field_count; i++) {
        if (ingest->stream->fields[i].key) {
            names[count++] = ingest->stream->fields[i].name;
        }
    }
    return count;
}

static int take_header(struct ingest *ingest, struct source *source)
{
    const char *names[STREAM_FIELDS_MAX];
    size_t len = 0;
    size_t count = header_names(ingest, names);
    if (!cut_has_header(buf_slice(&source->data), names, count, &len)) {
        return 0;
    }
    if (len > ingest->config->intake.body_max / 2) {
        return cli_fail(EXIT_PROBLEM,
                        "the header of %s is larger than half of "
                        "intake.max_body; raise it",
                        source->path);
    }
    if (!buf_append(&source->header, source->data.data, len)) {
        return cli_fail(EXIT_AGAIN, "no memory for the header of %s", source->path);
    }
    return 0;
}

/* Reads until the form can be told, and a CSV file's first line is whole. */
static int begin_source(struct ingest *ingest, struct source *source)
{
    int exit_code = 0;
    for (;;) {
        struct slice data = buf_slice(&source->data);
        source->form = cut_form_of(data);
        bool settled = source->form != CUT_BLANK && data.len >= 2 &&
                       (source->form != CUT_CSV || memchr(data.data, '\n', data.len) ||
                        data.len > PART_BYTES);
        if (settled || source->at_end || exit_code) {
            break;
        }
        exit_code = read_more(source);
    }
    if (exit_code) {
        return exit_code;
    }
    if (source->form == CUT_GZIP) {
        return cli_fail(EXIT_PROBLEM,
                        "%s is compressed; pipe it in: zcat %s | holdfast ingest ... -",
                        source->path, source->path);
    }
    return source->form == CUT_CSV ? take_header(ingest, source) : 0;
}

/* ---- Sending --------------------------------------------------------------------- */

static void count_answer(struct tally *tally, const struct sender_answer *answer)
{
    tally->parts++;
    if (answer->replayed) {
        tally->replayed_parts++;
        tally->replayed += answer->accepted;
    } else {
        tally->accepted += answer->accepted;
        tally->dead_lettered += answer->dead_lettered;
    }
}

static int send_part(struct ingest *ingest, const struct source *source, size_t len)
{
    struct slice part = slice_of(source->data.data, len);
    struct sender_answer answer;
    struct err err = {0};
    struct buf with_header = {0};
    char key[INGEST_KEY_TEXT];
    if (slice_trim(part).len == 0) {
        return 0;
    }
    ingest_key(source->name, source->offset, part, key);
    if (source->offset && source->header.len) {
        buf_append_slice(&with_header, buf_slice(&source->header));
        buf_append_slice(&with_header, part);
        part = buf_slice(&with_header);
    }
    int code = with_header.failed ? err_set(&err, ERR_NOMEM, 0, "no memory for a part")
                                  : sender_send(ingest->sender, part, key, &answer, &err);
    buf_free(&with_header);
    if (code) {
        return cli_fail(code == ERR_NOT_FOUND ? EXIT_AGAIN : cli_exit_code(err.code),
                        "%s, from byte %" PRIu64 ": %s", source->path, source->offset,
                        err.message);
    }
    count_answer(&ingest->tally, &answer);
    return 0;
}

static int send_source(struct ingest *ingest, struct source *source)
{
    struct cut_limits limits = {
        .bytes = PART_BYTES,
        .records = PART_RECORDS,
        .bytes_max = ingest->config->intake.body_max - source->header.len,
    };
    int exit_code = 0;
    while (!exit_code && (source->data.len || !source->at_end)) {
        struct cut cut =
            cut_next(source->form, buf_slice(&source->data), source->at_end, &limits);
        if (cut.outcome == CUT_TOO_LARGE) {
            exit_code = cli_fail(
                EXIT_PROBLEM,
                "%s, from byte %" PRIu64 ": %s of more than intake.max_body (%" PRIu64
                " bytes); raise it%s",
                source->path, source->offset,
                source->form == CUT_WHOLE ? "one JSON array" : "one record",
                ingest->config->intake.body_max,
                source->form == CUT_WHOLE ? ", or write one object a line" : "");
        } else if (cut.outcome == CUT_MORE) {
            exit_code = read_more(source);
        } else {
            exit_code = send_part(ingest, source, cut.len);
            ingest->tally.bytes += exit_code ? 0 : cut.len;
            drop(source, cut.len);
        }
        progress_show(&ingest->progress, ingest->tally.bytes,
                      ingest->tally.accepted + ingest->tally.replayed, "records");
    }
    return exit_code;
}

static int ingest_file(struct ingest *ingest, const char *path)
{
    const char *slash = strrchr(path, '/');
    bool is_stdin = strcmp(path, "-") == 0;
    struct source source = {.path = is_stdin ? "standard input" : path,
                            .name = slice_text(slash ? slash + 1 : path)};
    source.fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (source.fd < 0) {
        char why[128];
        return cli_fail(EXIT_PROBLEM, "%s can't be opened: %s", path,
                        strerror_r(errno, why, sizeof why));
    }
    int exit_code = begin_source(ingest, &source);
    exit_code = exit_code ? exit_code : send_source(ingest, &source);
    ingest->tally.files += exit_code == 0;
    buf_free(&source.data);
    buf_free(&source.header);
    if (!is_stdin && close(source.fd) != 0 && !exit_code) {
        exit_code = cli_fail(EXIT_PROBLEM, "%s can't be closed", path);
    }
    return exit_code;
}

/* ---- What was done --------------------------------------------------------------- */

static int print_json(const struct tally *tally, const char *place)
{
    struct json_writer *json = json_new();
    if (!json) {
        return cli_fail(EXIT_AGAIN, "no memory for the answer");
    }
    json_object(json);
    json_put_text(json, "sent_to", place);
    json_put_unsigned(json, "files", tally->files);
    json_put_unsigned(json, "bytes", tally->bytes);
    json_put_unsigned(json, "parts", tally->parts);
    json_put_unsigned(json, "parts_replayed", tally->replayed_parts);
    json_put_unsigned(json, "accepted", tally->accepted);
    json_put_unsigned(json, "replayed", tally->replayed);
    json_put_unsigned(json, "dead_lettered", tally->dead_lettered);
    json_object_end(json);
    int exit_code = cli_print(json_result(json));
    json_free(json);
    return exit_code;
}

static int report(const struct cli *cli, const struct ingest *ingest)
{
    const struct tally *tally = &ingest->tally;
    char size[UNITS_TEXT];
    int exit_code = EXIT_FINE;
    if (cli_has(cli, OPTION_JSON)) {
        exit_code = print_json(tally, sender_place(ingest->sender));
    } else {
        units_format_size(tally->bytes, size);
        printf("%" PRIu64 " records accepted, %" PRIu64 " of them dead letters; %" PRIu64
               " were there already; %s in %" PRIu64 " parts to %s\n",
               tally->accepted, tally->dead_lettered, tally->replayed, size, tally->parts,
               sender_place(ingest->sender));
        if (tally->dead_lettered) {
            puts("`holdfast deadletter ls` shows what was wrong with these");
        }
    }
    bool strict = cli_has(cli, OPTION_STRICT) && tally->dead_lettered;
    return exit_code ? exit_code : strict ? EXIT_PROBLEM : EXIT_FINE;
}

/* ---- Setting out ----------------------------------------------------------------- */

static uint64_t total_size(const struct cli *cli)
{
    uint64_t total = 0;
    for (int i = 0; i < cli->arg_count; i++) {
        struct stat status;
        if (stat(cli->args[i], &status) != 0 || !S_ISREG(status.st_mode)) {
            return 0; /* not known: no share can be shown */
        }
        total += (uint64_t)status.st_size;
    }
    return total;
}

static int read_token(const char *path, char out_token[TOKEN_MAX])
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out_token, TOKEN_MAX, file)) {
        if (file) {
            (void)!fclose(file);
        }
        return cli_fail(EXIT_CONFIGURATION, "no token can be read from %s", path);
    }
    (void)!fclose(file);
    out_token[strcspn(out_token, "\r\n")] = '\0';
    return 0;
}

static int check_options(const struct cli *cli, int64_t *out_timeout_us)
{
    const char *timeout = cli->text[OPTION_TIMEOUT];
    if (!cli->text[OPTION_STREAM] == !cli_has(cli, OPTION_ROUTED)) {
        return cli_fail(EXIT_USAGE, "one of --stream NAME and --routed is needed");
    }
    if (cli_has(cli, OPTION_TOKEN_FILE) && !cli_has(cli, OPTION_URL)) {
        return cli_fail(EXIT_USAGE, "--token-file goes with --url");
    }
    const char *ca = cli->text[OPTION_CA];
    if (ca && !cli_has(cli, OPTION_URL)) {
        return cli_fail(EXIT_USAGE, "--ca goes with --url");
    }
    if (ca && access(ca, R_OK) != 0) {
        char why[128];
        return cli_fail(EXIT_CONFIGURATION, "--ca: %s can't be read: %s", ca,
                        strerror_r(errno, why, sizeof why));
    }
    if (!units_parse_duration(slice_text(timeout ? timeout : "10min"), out_timeout_us)) {
        return cli_fail(EXIT_USAGE, "--timeout '%s' is not a time, such as 10min",
                        timeout);
    }
    return 0;
}

static int run(const struct cli *cli, const struct config *config,
               const struct sender_target *target)
{
    struct ingest ingest = {.config = config};
    struct err err = {0};
    if (target->stream) {
        ingest.stream = config_stream(config, slice_text(target->stream));
        if (!ingest.stream) {
            return cli_no_stream(config, target->stream);
        }
    }
    if (sender_new(target, &ingest.sender, &err)) {
        return cli_fail_err(&err);
    }
    progress_begin(&ingest.progress, "ingest", total_size(cli), &clock_system);
    ingest.progress.quiet = cli_has(cli, OPTION_QUIET);
    int exit_code = 0;
    for (int i = 0; i < cli->arg_count && !exit_code; i++) {
        exit_code = ingest_file(&ingest, cli->args[i]);
    }
    progress_end(&ingest.progress);
    int reported = report(cli, &ingest);
    sender_free(ingest.sender);
    return exit_code ? exit_code : reported;
}

int cli_ingest(const struct cli *cli)
{
    struct config *config = NULL;
    struct sender_target target = {.stream = cli->text[OPTION_STREAM],
                                   .url = cli->text[OPTION_URL],
                                   .ca = cli->text[OPTION_CA]};
    char token[TOKEN_MAX];
    int exit_code = check_options(cli, &target.timeout_us);
    exit_code = exit_code ? exit_code : cli_load_config(cli, &config);
    if (!exit_code && cli_has(cli, OPTION_TOKEN_FILE)) {
        exit_code = read_token(cli->text[OPTION_TOKEN_FILE], token);
        target.token = token;
    }
    target.config = config;
    exit_code = exit_code ? exit_code : run(cli, config, &target);
    config_free(config);
    return exit_code;
}
