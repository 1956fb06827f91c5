/* The command line, by the real executable. */
#include "tests/world.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000 };

struct bench {
    char dir[WORLD_PATH_MAX];
    char config[WORLD_PATH_MAX];
};

/* A configuration whose database nobody serves. */
static void write_config(const struct bench *bench, const char *stream)
{
    char text[2048];
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "intake: {listen: \"127.0.0.1:0\"}\n"
             "database: {socket: %s/nobody.sock, name: b, user: u}\n"
             "streams: [{name: %s, preset: botnet}]\n",
             bench->dir, bench->dir, stream);
    world_write_file(bench->config, text);
}

static void setup(struct bench *bench)
{
    world_make_dir(bench->dir);
    snprintf(bench->config, sizeof bench->config, "%.200s/holdfast.yaml", bench->dir);
    write_config(bench, "mozi");
}

/* Runs `holdfast` with words parted by blanks; "@" stands for --config and the file. */
static int run(const struct bench *bench, const char *words, const char *input,
               char **out_text)
{
    char copy[512];
    const char *argv[24] = {world_holdfast()};
    size_t count = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "@") == 0) {
            argv[count++] = "--config";
            word = (char *)bench->config;
        }
        argv[count++] = word;
    }
    return world_run(argv, input, out_text, TIMEOUT_MS);
}

static void expect(const struct bench *bench, const char *words, int exit_code,
                   const char *holds)
{
    char *text = NULL;
    int code = run(bench, words, NULL, &text);
    cr_assert_eq(code, exit_code, "holdfast %s: %d, not %d", words, code, exit_code);
    cr_assert(!holds || strstr(text, holds), "holdfast %s lacks '%s': %s", words, holds,
              text);
    free(text);
}

static const char *const commands[] = {
    "serve",
    "validate",
    "ingest",
    "status",
    "pause",
    "resume",
    "journal ls",
    "journal show",
    "journal verify",
    "journal export",
    "journal backup",
    "journal adopt",
    "journal repair",
    "deadletter ls",
    "deadletter show",
    "deadletter accept",
    "deadletter purge",
    "deadletter retry",
    "replay",
    "schema",
    "audit",
    "check",
    "explain",
    "repair",
};

Test(cli, each_command_has_help)
{
    struct bench bench;
    setup(&bench);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char words[64];
        char usage[64];
        snprintf(words, sizeof words, "%s --help", commands[i]);
        snprintf(usage, sizeof usage, "usage: holdfast %s", commands[i]);
        expect(&bench, words, 0, usage);
        expect(&bench, "--help", 0, commands[i]);
    }
    expect(&bench, "--version", 0, "holdfast 0.");
    world_remove_dir(bench.dir);
}

static const char *const misused[] = {
    "",
    "nonsense",
    "journal",
    "journal frobnicate",
    "status --nonsense",
    "status --limit 3",
    "status extra",
    "journal show",
    "journal show x @",
    "journal ls --limit",
    "journal ls --limit ten @",
    "journal backup @",
    "journal repair @",
    "explain @",
    "explain 10.0.0.1 --limit 0 @",
    "audit --stream mozi @",
    "journal export --from one @",
    "deadletter show 12 @",
    "deadletter accept @",
    "deadletter accept --stream none @",
    "ingest --stream mozi @",
    "ingest - @",
    "ingest --stream mozi --routed - @",
    "ingest --stream none - @",
    "ingest --stream mozi --timeout soon - @",
    "ingest --stream mozi --token-file t - @",
    "ingest --stream mozi --ca c - @",
    "schema --stream none @",
};

Test(cli, misuse_is_64)
{
    struct bench bench;
    setup(&bench);
    for (size_t i = 0; i < sizeof misused / sizeof misused[0]; i++) {
        expect(&bench, misused[i], 64, NULL);
    }
    world_remove_dir(bench.dir);
}

Test(cli, a_wrong_configuration_is_78)
{
    struct bench bench;
    setup(&bench);
    expect(&bench, "validate --config /nowhere/x.yaml", 78, NULL);
    world_write_file(bench.config, "jornal: {}\n");
    expect(&bench, "validate @", 78, NULL);
    expect(&bench, "serve @", 78, NULL);
    expect(&bench, "status @", 78, NULL);
    world_remove_dir(bench.dir);
}

Test(cli, validate_and_schema)
{
    struct bench bench;
    setup(&bench);
    expect(&bench, "validate @", 0,
           "mozi: botnet_nodes_mozi, botnet_communications_mozi");
    expect(&bench, "validate --json @", 0, "\"ok\":true");
    expect(&bench, "validate --database @", 69, NULL);
    expect(&bench, "schema @", 0, "CREATE TABLE IF NOT EXISTS `botnet_nodes_mozi`");
    expect(&bench, "schema --user writer --database-name prod @", 0,
           "ON `prod`.`holdfast_ledger` TO 'writer'@'%'");
    world_remove_dir(bench.dir);
}

Test(cli, the_environment_names_the_configuration)
{
    struct bench bench;
    setup(&bench);
    setenv("HOLDFAST_CONFIG", bench.config, 1);
    expect(&bench, "validate", 0, bench.config);
    world_remove_dir(bench.dir);
}

Test(cli, without_a_journal)
{
    struct bench bench;
    setup(&bench);
    expect(&bench, "status @", 1, NULL);
    expect(&bench, "journal ls @", 1, NULL);
    expect(&bench, "pause @", 1, NULL);
    world_remove_dir(bench.dir);
}

/* ---- ingest without an engine ---------------------------------------------------- */

static char *many_records(size_t count)
{
    size_t size = count * 96 + 1;
    char *text = malloc(size);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len,
                                "{\"ip\":\"10.0.%zu.%zu\",\"timestamp\":"
                                "\"2026-01-08 01:04:26\"}\n",
                                i / 250, i % 250 + 1);
    }
    return text;
}

Test(cli, ingest_twice_adds_nothing_twice)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    char *records = many_records(7000); /* two parts */
    cr_assert_eq(run(&bench, "ingest --stream mozi --json - @", records, &out), 0);
    cr_assert_not_null(strstr(out, "\"parts\":2,\"parts_replayed\":0,\"accepted\":7000"),
                       "%s", out);
    free(out);
    cr_assert_eq(run(&bench, "ingest --stream mozi --json - @", records, &out), 0);
    cr_assert_not_null(strstr(out, "\"parts_replayed\":2,\"accepted\":0"), "%s", out);
    free(out);
    expect(&bench, "status --json @", 0, "\"accepted\":7000");
    expect(&bench, "journal ls @", 0, "5000");
    expect(&bench, "journal show 2 --json @", 0, "\"ip\":\"10.0.27.250\"");
    expect(&bench, "journal verify --quiet @", 0, "records: 7000");
    expect(&bench, "audit @", 69, NULL);
    free(records);
    world_remove_dir(bench.dir);
}

Test(cli, csv_parts_keep_their_header)
{
    struct bench bench;
    setup(&bench);
    size_t size = (size_t)6000 * 64;
    char *text = malloc(size);
    size_t len = (size_t)snprintf(text, size, "event_type,ip,timestamp\n");
    for (int i = 0; i < 6000; i++) {
        len += (size_t)snprintf(text + len, size - len,
                                "scan,10.0.%d.%d,2026-01-08 01:04:26\n", i / 250,
                                i % 250 + 1);
    }
    char *out = NULL;
    cr_assert_eq(run(&bench, "ingest --stream mozi --strict --json - @", text, &out), 0,
                 "%s", out);
    cr_assert_not_null(strstr(out, "\"accepted\":6000,\"replayed\":0,"
                                   "\"dead_lettered\":0"),
                       "%s", out);
    free(out);
    free(text);
    world_remove_dir(bench.dir);
}

Test(cli, dead_letters_are_kept_listed_and_strict_tells)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    static const char input[] =
        "{\"ip\":\"10.0.0.1\",\"timestamp\":\"2026-01-08 01:04:26\"}\n"
        "{\"ip\":\"10.0.0.999\",\"timestamp\":\"2026-01-08 01:04:26\"}\n";
    cr_assert_eq(run(&bench, "ingest --stream mozi --strict - @", input, &out), 1);
    cr_assert_not_null(strstr(out, "2 records accepted, 1 of them dead letters"), "%s",
                       out);
    free(out);
    expect(&bench, "deadletter ls @", 0, "1/1");
    expect(&bench, "deadletter ls --reason ip --json @", 0, "10.0.0.999");
    expect(&bench, "deadletter show 1/1 @", 0, "reason: ip");
    expect(&bench, "deadletter show 1/7 @", 1, NULL);
    expect(&bench, "deadletter accept --stream mozi @", 1, NULL);
    world_remove_dir(bench.dir);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; text++) {
        lines += *text == '\n';
    }
    return lines;
}

Test(cli, the_journal_is_exported_and_backed_up)
{
    enum { RECORDS = 3000 };
    struct bench bench;
    char words[512];
    char *text = NULL;
    setup(&bench);
    char *records = many_records(RECORDS);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, NULL), 0);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @",
                     "{\"ip\":\"nonsense\",\"timestamp\":\"2026-01-08 01:04:26\"}", NULL),
                 0);
    free(records);
    cr_assert_eq(run(&bench, "journal export @", NULL, &text), 0);
    cr_assert_eq(count_lines(text), RECORDS);
    cr_assert(strstr(text, "{\"seq\":1,\"index\":0,\"stream\":\"mozi\",\"lane\":0,"),
              "%.200s", text);
    cr_assert(strstr(text, "\"record\":{"), "%.200s", text);
    free(text);
    cr_assert_eq(run(&bench, "journal export --dead-letters @", NULL, &text), 0);
    cr_assert_eq(count_lines(text), RECORDS + 1);
    cr_assert(strstr(text, "\"dead_letter\":{"), "%.200s", text);
    free(text);
    expect(&bench, "journal export --from 2 --to 1 @", 0, NULL);
    cr_assert_eq(run(&bench, "journal export --stream none @", NULL, &text), 0);
    cr_assert_eq(count_lines(text), 0);
    free(text);

    snprintf(words, sizeof words, "journal export --output %.200s/out.ndjson @",
             bench.dir);
    expect(&bench, words, 0, NULL);
    expect(&bench, words, 74, NULL); /* it is there already */
    snprintf(words, sizeof words, "%.200s/out.ndjson", bench.dir);
    text = world_read_file(words);
    cr_assert(text);
    cr_assert_eq(count_lines(text), RECORDS);
    free(text);

    snprintf(words, sizeof words, "journal backup %.200s/copy --json @", bench.dir);
    expect(&bench, words, 0, "\"sound\":true");
    expect(&bench, words, 1, NULL);

    snprintf(words, sizeof words, "journal repair %.200s/mended --json @", bench.dir);
    expect(&bench, words, 0, "\"lost\":[]");
    snprintf(words, sizeof words, "journal repair %.200s/mended --execute --json @",
             bench.dir);
    expect(&bench, words, 0, "\"executed\":true");
    expect(&bench, words, 1, NULL); /* it is there now */

    expect(&bench, "journal adopt --json @", 0, "\"executed\":false");
    expect(&bench, "journal adopt --json @", 0, "\"records\":3001");
    expect(&bench, "journal adopt --execute --json @", 0, "\"executed\":true");
    expect(&bench, "journal verify --json @", 0, "\"sound\":true");
    world_remove_dir(bench.dir);
}

/* `journal export | head -1` is no error. */
Test(cli, an_export_nobody_reads_on_ends_quietly)
{
    struct bench bench;
    char line[2048];
    char *text = NULL;
    setup(&bench);
    char *records = many_records(20000);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, NULL), 0);
    free(records);
    snprintf(line, sizeof line,
             "{ %s journal export --quiet --config %s; echo code $? >&2; } 2>&1 "
             ">/dev/full | cat; { %s journal export --quiet --config %s 2>&1; "
             "echo code $? >&2; } 2>%s/code | head -1 >/dev/null; cat %s/code",
             world_holdfast(), bench.config, world_holdfast(), bench.config, bench.dir,
             bench.dir);
    const char *argv[] = {"sh", "-c", line, NULL};
    cr_assert_eq(world_run(argv, NULL, &text, TIMEOUT_MS), 0);
    cr_assert_str_eq(text, "holdfast: cannot write the export: No space left on device\n"
                           "code 74\ncode 0\n");
    free(text);
    world_remove_dir(bench.dir);
}

Test(cli, dead_letters_are_purged_where_that_is_said)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    static const char input[] =
        "{\"ip\":\"10.0.0.777\",\"timestamp\":\"2026-01-08 01:04:26\"}\n"
        "{\"ip\":\"10.0.0.888\",\"timestamp\":\"2026-01-08 01:04:26\"}\n"
        "{\"ip\":\"10.0.0.1\",\"timestamp\":\"yesterday\"}\n";
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", input, &out), 0);
    free(out);
    expect(&bench, "deadletter purge --reason ip @", 0, "kept: 2");
    expect(&bench, "deadletter purge --since 2999-01-01T00:00:00Z @", 0, "kept: 0");
    expect(&bench, "deadletter purge --since yesterday @", 64, NULL);
    expect(&bench, "deadletter purge 1-0 @", 64, NULL);
    expect(&bench, "deadletter show 1/0 @", 0, "state: kept");
    expect(&bench, "deadletter purge 1/0 --execute --json @", 0, "{\"purged\":1}");
    expect(&bench, "deadletter show 1/0 @", 0, "state: purged");
    expect(&bench, "deadletter show 1/1 @", 0, "10.0.0.888");
    expect(&bench, "deadletter purge --reason ip --stream mozi --execute @", 0,
           "purged: 1");
    expect(&bench, "deadletter purge --reason ip --execute @", 0, "purged: 0");
    expect(&bench, "status --json @", 0, "\"given_up\":2");
    expect(&bench, "journal verify @", 0, NULL);
    world_remove_dir(bench.dir);
}

Test(cli, dead_letters_are_tried_again_once)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    static const char input[] = "{\"ip\":\"10.0.0.777\",\"timestamp\":\"2026-01-08 "
                                "01:04:26\",\"country\":\"A\\\"B\"}\n"
                                "{\"ip\":\"10.0.0.1\",\"timestamp\":\"yesterday\"}\n"
                                "2026-01-08 01:04:26,10.0.0.888,beacon\n";
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", input, &out), 0);
    free(out);
    expect(&bench, "deadletter retry --reason ip @", 0, "retried: 0");
    expect(&bench, "deadletter retry --set ip @", 64, NULL);
    expect(&bench, "deadletter retry --set =x @", 64, NULL);
    expect(&bench, "deadletter retry --set adress=10.0.0.7 @", 64, NULL);
    expect(&bench, "deadletter retry --reason ip --execute @", 1, "refused: 1");
    expect(&bench, "deadletter retry 1/0 --set ip=10.0.0.7 @", 0, "retried: 1");
    expect(&bench, "deadletter show 1/0 @", 0, "state: kept"); /* only a plan */
    expect(&bench, "deadletter retry 1/0 --set ip=10.0.0.7 --execute --json @", 0,
           "\"retried\":1,\"refused\":0");
    expect(&bench, "deadletter show 1/0 @", 0, "state: retried");
    expect(&bench, "journal show 2 --json @", 0, "A\\\"B");
    expect(&bench, "deadletter retry 1/0 --set ip=10.0.0.7 --execute --json @", 0,
           "\"retried\":0");
    expect(&bench,
           "deadletter retry --reason timestamp --set timestamp=2026-01-08T00:00:00Z "
           "--execute --json @",
           0, "\"retried\":");
    expect(&bench, "journal verify @", 0, NULL);
    world_remove_dir(bench.dir);
}

Test(cli, a_line_under_a_header_is_tried_again_by_its_names)
{
    struct bench bench;
    setup(&bench);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @",
                     "event_type,city,ip,timestamp\nscan,Rome,300.1.1.1,2026-01-08 "
                     "01:04:26\n",
                     NULL),
                 0);
    expect(&bench, "deadletter show 1/0 @", 0, "scan,Rome,300.1.1.1");
    expect(&bench, "deadletter retry 1/0 --set ip=10.0.0.7 --execute --json @", 0,
           "\"retried\":1,\"refused\":0");
    expect(&bench, "journal show 2 --json @", 0, "\"city\":\"Rome\"");
    expect(&bench, "journal show 2 --json @", 0, "\"event_type\":\"scan\"");
    world_remove_dir(bench.dir);
}

Test(cli, a_gap_is_accepted_by_the_engine_alone)
{
    struct bench bench;
    setup(&bench);
    expect(&bench, "replay --lane 0 @", 64, NULL);
    expect(&bench, "replay --stream mozi @", 69, NULL);
    expect(&bench, "replay --accept-gap @", 64, NULL);
    expect(&bench, "replay --accept-gap --stream none @", 64, NULL);
    expect(&bench, "replay --accept-gap --stream mozi @", 1, NULL);
    world_remove_dir(bench.dir);
}

Test(cli, a_removed_stream_with_a_backlog_is_refused)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    char *records = many_records(3);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    free(out);
    free(records);
    expect(&bench, "validate @", 0, NULL);
    write_config(&bench, "other");
    expect(&bench, "validate @", 78, NULL);
    world_remove_dir(bench.dir);
}

Test(cli, records_of_no_known_stream_are_no_backlog)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    static const char input[] = "{\"botnet_type\":\"none\",\"ip\":\"10.0.0.1\","
                                "\"timestamp\":\"2026-01-08 01:04:26\"}\n";
    cr_assert_eq(run(&bench, "ingest --routed - @", input, &out), 0);
    cr_assert_not_null(strstr(out, "1 of them dead letters"), "%s", out);
    free(out);
    expect(&bench, "validate @", 0, NULL);
    expect(&bench, "deadletter ls @", 0, "1/0");
    world_remove_dir(bench.dir);
}

Test(cli, pause_is_remembered_without_an_engine)
{
    struct bench bench;
    char *out = NULL;
    setup(&bench);
    char *records = many_records(1);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    free(out);
    free(records);
    expect(&bench, "pause @", 0, "paused; no engine is running");
    expect(&bench, "status @", 0, "; PAUSED");
    expect(&bench, "resume @", 0, "resumed");
    expect(&bench, "status --json @", 0, "\"paused\":false");
    world_remove_dir(bench.dir);
}

/* ---- serve ----------------------------------------------------------------------- */

static pid_t start(const struct bench *bench, char log[WORLD_PATH_MAX])
{
    const char *argv[] = {world_holdfast(), "serve", "--config", bench->config, NULL};
    snprintf(log, WORLD_PATH_MAX, "%.200s/serve.log", bench->dir);
    pid_t pid = world_spawn(argv, NULL, log);
    world_wait_log(log, "event=listening", pid, TIMEOUT_MS);
    return pid;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
              listen(fd, 1) == 0);
    return fd;
}

static int serve_with_descriptors(const char *config, int limit, char **out_text)
{
    char command[3 * WORLD_PATH_MAX];
    snprintf(command, sizeof command,
             "exec 2>&1; ulimit -n %d && exec \"%s\" serve --config \"%s\"", limit,
             world_holdfast(), config);
    const char *argv[] = {"sh", "-c", command, NULL};
    return world_run(argv, "", out_text, TIMEOUT_MS);
}

/* What passes by itself is no wrong configuration, at which a supervisor would give up:
 * too few descriptors at each place of the start, an address that is taken, which also
 * ends the start that has all that it needs, and too few for anybody to connect. */
Test(cli, a_start_that_lacks_something_is_to_be_tried_again)
{
    struct bench bench;
    setup(&bench);
    uint16_t port = world_free_port();
    int taken = listen_on(port);
    char text[2048];
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "intake: {listen: \"127.0.0.1:%u\"}\n"
             "database: {socket: %s/nobody.sock, name: b, user: u}\n"
             "streams: [{name: mozi, preset: botnet}]\n",
             bench.dir, port, bench.dir);
    world_write_file(bench.config, text);
    bool answered = false;
    for (int limit = 5; limit <= 32; limit++) {
        char *out = NULL;
        int code = serve_with_descriptors(bench.config, limit, &out);
        cr_assert(code == 74 || code == 75 || code == 127, "%d descriptors: %d, %s",
                  limit, code, out);
        cr_assert(strlen(out) > 0, "%d descriptors: nothing is said", limit);
        answered = strstr(out, "Address already in use") != NULL;
        cr_assert(!answered || code == 75, "%d: %s", code, out);
        free(out);
    }
    cr_assert(answered);
    (void)close(taken);
    char *out = NULL;
    int code = serve_with_descriptors(bench.config, 64, &out);
    cr_assert(code == 75 && strstr(out, "LimitNOFILE"), "%d: %s", code, out);
    free(out);
    world_remove_dir(bench.dir);
}

Test(cli, serve_takes_records_and_stops_on_term)
{
    struct bench bench;
    char log[WORLD_PATH_MAX];
    char *out = NULL;
    setup(&bench);
    pid_t pid = start(&bench, log);
    char *records = many_records(20);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    cr_assert_not_null(strstr(out, "control.sock"), "%s", out);
    free(out);
    expect(&bench, "status --json @", 0, "\"accepted\":20");
    expect(&bench, "serve @", 75, NULL); /* one process writes */
    expect(&bench, "pause @", 0, "paused");
    expect(&bench, "status @", 0, "; PAUSED");
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", "{\"ip\":\"x\"}\n", &out), 0);
    free(out);
    expect(&bench, "deadletter purge --stream mozi --execute @", 0, "purged: 1");
    expect(&bench, "replay --accept-gap --stream mozi @", 1, NULL);
    kill(pid, SIGTERM);
    cr_assert_eq(world_wait(pid, TIMEOUT_MS), 0);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    cr_assert_not_null(strstr(out, "20 were there already"), "%s", out);
    free(out);
    free(records);
    world_remove_dir(bench.dir);
}

Test(cli, a_killed_engine_loses_nothing)
{
    struct bench bench;
    char log[WORLD_PATH_MAX];
    char *out = NULL;
    setup(&bench);
    pid_t pid = start(&bench, log);
    char *records = many_records(20);
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    free(out);
    world_kill(pid);
    expect(&bench, "status --json @", 0, "\"running\":false");
    expect(&bench, "status --json @", 0, "\"accepted\":20");
    cr_assert_eq(run(&bench, "ingest --stream mozi - @", records, &out), 0);
    cr_assert_not_null(strstr(out, "20 were there already"), "%s", out);
    free(out);
    free(records);
    world_remove_dir(bench.dir);
}
