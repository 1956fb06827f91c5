/* engine/cli.h: the command line: one table of options, one of commands. A command is a
 * function in a cli_<group>.c; it returns the process's exit code. */
#ifndef HOLDFAST_ENGINE_CLI_H
#define HOLDFAST_ENGINE_CLI_H

#include "engine/config.h"

#include <stdbool.h>
#include <stdint.h>

/* As sysexits.h has them, where it has them. */
enum {
    EXIT_FINE = 0,
    EXIT_PROBLEM = 1,   /* the command worked, and what it looked at is not well */
    EXIT_USAGE = 64,    /* the command line is wrong */
    EXIT_DATABASE = 69, /* the database can't be reached */
    EXIT_INTERNAL = 70, /* a fault of the program */
    EXIT_JOURNAL = 74,  /* the journal can't be read, written or synced */
    EXIT_AGAIN = 75,    /* busy, full, no memory, owned by another process: try again */
    EXIT_CONFIGURATION = 78
};

/* option, long name, argument ("" for a flag), help line */
/* clang-format off */
#define OPTION_TABLE(X)                                                                  \
    X(CONFIG, "config", "FILE", "the configuration; else $HOLDFAST_CONFIG, else "        \
                                "/etc/holdfast/holdfast.yaml")                           \
    X(JSON, "json", "", "print JSON")                                                    \
    X(DATABASE, "database", "", "also connect, and examine the tables as they are")      \
    X(STREAM, "stream", "NAME", "only this stream")                                      \
    X(LANE, "lane", "N", "only this lane of the stream")                                 \
    X(REASON, "reason", "WORD", "only dead letters of this reason")                      \
    X(FROM, "from", "SEQ", "begin at this entry; of `replay` also a time")               \
    X(TO, "to", "SEQ", "end with this entry; of `replay` also a time")                   \
    X(INTO, "into", "DATABASE", "into this database of the configured server")           \
    X(SINCE, "since", "TIME", "only dead letters made at or after this time")            \
    X(UNTIL, "until", "TIME", "only dead letters made at or before this time")           \
    X(EXECUTE, "execute", "", "do it; without it only the plan is shown")                \
    X(SET, "set", "FIELD=VALUE", "in place of the record's own field; may be repeated")   \
    X(ACCEPT_GAP, "accept-gap", "", "pass over entries that are gone for good")          \
    X(THRESHOLD, "threshold", "N", "percent; below it exit 1; default: as configured")   \
    X(DEEP, "deep", "", "look up in the database all that the journal retains, too")      \
    X(EXPLAIN, "explain", "", "when and where events are missing")                       \
    X(COUNTS, "counts", "", "mend counts and first and last times instead")              \
    X(OUTPUT, "output", "FILE", "write to this new file instead of standard output")     \
    X(DEAD_LETTERS, "dead-letters", "", "dead letters too, each with its reason")        \
    X(LIMIT, "limit", "N", "print at most so many; default 100")                         \
    X(USER, "user", "NAME", "the database user that rights are granted to")              \
    X(DATABASE_NAME, "database-name", "NAME", "the database; default: as configured")    \
    X(ROUTED, "routed", "", "records name their stream in intake.route_field")           \
    X(URL, "url", "URL", "send to the engine at http://host:port")                       \
    X(TOKEN_FILE, "token-file", "FILE", "the token for --url, on the first line")        \
    X(CA, "ca", "FILE", "whom to trust behind --url; default: the system's")      \
    X(TIMEOUT, "timeout", "TIME", "how long to try; default 10min")                      \
    X(STRICT, "strict", "", "exit 1 where there were dead letters")                      \
    X(QUIET, "quiet", "", "no progress on standard error")                               \
    X(TEST, "test", "", "send a test message")                                           \
    X(HELP, "help", "", "this text")                                                     \
    X(VERSION, "version", "", "print the version")
/* clang-format on */

enum cli_option {
#define X(option, name, argument, help) OPTION_##option,
    OPTION_TABLE(X)
#undef X
        OPTION_COUNT
};

#define WITH(option) (UINT64_C(1) << OPTION_##option)

enum { CLI_SETS_MAX = 16 };

struct command;
struct json_writer;

/* A command line, read. */
struct cli {
    const struct command *command;
    const char *text[OPTION_COUNT]; /* as given; "" for a flag; NULL: not given */
    const char *sets[CLI_SETS_MAX]; /* every --set, as given */
    size_t set_count;
    const char *const *args; /* what follows the command's words */
    int arg_count;
};

static inline bool cli_has(const struct cli *cli, enum cli_option option)
{
    return cli->text[option] != NULL;
}

struct command {
    const char *name;      /* "journal show" */
    const char *arguments; /* "SEQ" */
    const char *summary;   /* one line */
    const char *help;      /* what it does, and examples */
    uint64_t options;      /* WITH(...) besides config, help */
    int args_min;
    int args_max;
    int (*run)(const struct cli *cli);
};

int cli_main(int argc, char **argv);

/* ---- For commands ---------------------------------------------------------------- */

/* Says "holdfast: ..." on standard error and returns `exit_code`. */
int cli_fail(int exit_code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says err->message and returns the exit code that goes with its code. */
int cli_fail_err(const struct err *err);
int cli_exit_code(enum err_code code);

/* Loads the configuration; 0, or the exit code after saying why not. */
int cli_load_config(const struct cli *cli, struct config **out_config);

/* Says that no such stream is configured, and which are; the exit code. */
int cli_no_stream(const struct config *config, const char *name);

/* Opens the configured journal for reading; 0, or the exit code after saying why not. */
int cli_open_reader(const struct config *config, struct journal **out_journal);

/* An option's number, `fallback` where it isn't given; false after saying what is wrong.
 */
bool cli_number(const struct cli *cli, enum cli_option option, uint64_t fallback,
                uint64_t *out);

/* Microseconds since 1970 as 2026-01-08T01:04:26.000Z. */
enum { CLI_TIME_TEXT = 48 };
const char *cli_time(int64_t time_us, char out_text[CLI_TIME_TEXT]);
void cli_put_time(struct json_writer *json, const char *key, int64_t time_us);

/* Writes a whole document to standard output and a line end; 0 or EXIT_JOURNAL. */
int cli_print(struct slice text);

int cli_alert(const struct cli *cli);
int cli_serve(const struct cli *cli);
int cli_validate(const struct cli *cli);
int cli_ingest(const struct cli *cli);
int cli_status(const struct cli *cli);
int cli_pause(const struct cli *cli);
int cli_resume(const struct cli *cli);
int cli_journal_ls(const struct cli *cli);
int cli_journal_show(const struct cli *cli);
int cli_journal_verify(const struct cli *cli);
int cli_journal_export(const struct cli *cli);
int cli_journal_backup(const struct cli *cli);
int cli_journal_adopt(const struct cli *cli);
int cli_journal_repair(const struct cli *cli);
int cli_deadletter_ls(const struct cli *cli);
int cli_deadletter_show(const struct cli *cli);
int cli_deadletter_accept(const struct cli *cli);
int cli_deadletter_purge(const struct cli *cli);
int cli_deadletter_retry(const struct cli *cli);
int cli_replay(const struct cli *cli);
int cli_schema(const struct cli *cli);
int cli_audit(const struct cli *cli);
int cli_check(const struct cli *cli);
int cli_repair(const struct cli *cli);
int cli_explain(const struct cli *cli);

#endif
