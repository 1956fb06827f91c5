#include "engine/cli.h"
#include "engine/cli_commands.h"
#include "engine/json.h"
#include "engine/units.h"
#include "holdfast_version.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_CONFIG "/etc/holdfast/holdfast.yaml"

static const struct {
    const char *name;
    const char *argument;
    const char *help;
} options[] = {
#define X(option, name, argument, help) {name, argument, help},
    OPTION_TABLE(X)
#undef X
};

/* ---- Saying what is wrong -------------------------------------------------------- */

int cli_fail(int exit_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("holdfast: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return exit_code;
}

int cli_exit_code(enum err_code code)
{
    static const int codes[] = {
        [ERR_OK] = EXIT_FINE,
        [ERR_INVALID] = EXIT_PROBLEM,
        [ERR_TOO_LARGE] = EXIT_PROBLEM,
        [ERR_NOT_FOUND] = EXIT_PROBLEM,
        [ERR_KEY_REUSED] = EXIT_PROBLEM,
        [ERR_DATA] = EXIT_PROBLEM,
        [ERR_NOMEM] = EXIT_AGAIN,
        [ERR_FULL] = EXIT_AGAIN,
        [ERR_BUSY] = EXIT_AGAIN,
        [ERR_TIMEOUT] = EXIT_AGAIN,
        [ERR_UNKNOWN] = EXIT_JOURNAL,
        [ERR_TRANSIENT] = EXIT_DATABASE,
        [ERR_RESOURCE] = EXIT_DATABASE,
        [ERR_MISS] = EXIT_DATABASE,
        [ERR_CLOSED] = EXIT_AGAIN,
        [ERR_LOCKED] = EXIT_AGAIN,
        [ERR_IO] = EXIT_JOURNAL,
        [ERR_CORRUPT] = EXIT_JOURNAL,
        [ERR_VERSION] = EXIT_JOURNAL,
        [ERR_IDENTITY] = EXIT_PROBLEM,
        [ERR_GAP] = EXIT_PROBLEM,
        [ERR_SCHEMA] = EXIT_PROBLEM,
        [ERR_DURABILITY] = EXIT_PROBLEM,
        [ERR_CONFIG] = EXIT_CONFIGURATION,
        [ERR_INTERNAL] = EXIT_INTERNAL,
    };
    size_t at = (size_t)code;
    return at < sizeof codes / sizeof codes[0] ? codes[at] : EXIT_INTERNAL;
}

int cli_fail_err(const struct err *err)
{
    bool advised = err->code != ERR_CORRUPT || strstr(err->message, "journal repair");
    return cli_fail(cli_exit_code(err->code), "%s%s", err->message,
                    advised ? ""
                            : "; see `holdfast journal verify` and `journal repair`");
}

/* ---- Help ------------------------------------------------------------------------ */

static void print_options(uint64_t allowed)
{
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (allowed >> i & 1) {
            char form[64];
            snprintf(form, sizeof form, "--%s%s%s", options[i].name,
                     options[i].argument[0] ? " " : "", options[i].argument);
            printf("  %-22s %s\n", form, options[i].help);
        }
    }
}

static void print_overview(void)
{
    puts("holdfast: crash-safe ingestion into MySQL and MariaDB\n\n"
         "usage: holdfast COMMAND [OPTIONS]\n\ncommands:");
    for (size_t i = 0; i < cli_command_count; i++) {
        char form[64];
        snprintf(form, sizeof form, "%s %s", cli_commands[i].name,
                 cli_commands[i].arguments);
        printf("  %-28s %s\n", form, cli_commands[i].summary);
    }
    puts("\n`holdfast COMMAND --help` says more. Exit codes: 0 fine, 1 a problem was "
         "found,\n64 usage, 69 database unreachable, 70 internal, 74 journal I/O failed, "
         "75 try\nagain, 78 configuration.\n");
    print_options(WITH(CONFIG) | WITH(HELP) | WITH(VERSION));
}

static void print_help(const struct command *command)
{
    printf("usage: holdfast %s%s%s [OPTIONS]\n\n%s.\n", command->name,
           command->arguments[0] ? " " : "", command->arguments, command->summary);
    if (command->help[0]) {
        printf("\n%s", command->help);
    }
    puts("\noptions:");
    print_options(command->options | WITH(CONFIG) | WITH(HELP));
}

/* ---- Reading the command line ---------------------------------------------------- */

static int take_option(struct cli *cli, int option)
{
    if (option == OPTION_SET) {
        if (cli->set_count == CLI_SETS_MAX) {
            return cli_fail(EXIT_USAGE, "--set can be given %d times", CLI_SETS_MAX);
        }
        cli->sets[cli->set_count++] = optarg;
    }
    cli->text[option] = optarg ? optarg : "";
    return 0;
}

/* Options may stand anywhere; whether one belongs to the command is checked later. */
static int read_options(int argc, char **argv, struct cli *cli)
{
    struct option longs[OPTION_COUNT + 1] = {0};
    for (int i = 0; i < OPTION_COUNT; i++) {
        longs[i] = (struct option){
            .name = options[i].name,
            .has_arg = options[i].argument[0] ? required_argument : no_argument,
            .val = 256 + i,
        };
    }
    opterr = 0;
    int found;
    while ((found = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (found == 'h') {
            found = 256 + OPTION_HELP;
        }
        if (found == ':') {
            return cli_fail(EXIT_USAGE, "%s needs a value; see `holdfast --help`",
                            argv[optind - 1]);
        }
        if (found < 256) {
            return cli_fail(EXIT_USAGE, "unknown option %s; see `holdfast --help`",
                            argv[optind - 1]);
        }
        int exit_code = take_option(cli, found - 256);
        if (exit_code) {
            return exit_code;
        }
    }
    cli->args = (const char *const *)argv + optind;
    cli->arg_count = argc - optind;
    return 0;
}

/* How many words of `args` the name takes; 0: it is another command. */
static int match_words(const char *name, const char *const *args, int count)
{
    int words = 0;
    while (*name) {
        size_t len = strcspn(name, " ");
        if (words == count || strlen(args[words]) != len ||
            memcmp(args[words], name, len) != 0) {
            return 0;
        }
        words++;
        name += len + (name[len] == ' ');
    }
    return words;
}

static bool find_command(struct cli *cli)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        int words = match_words(cli_commands[i].name, cli->args, cli->arg_count);
        if (words) {
            cli->command = &cli_commands[i];
            cli->args += words;
            cli->arg_count -= words;
            return true;
        }
    }
    return false;
}

/* "journal" alone names a group: its commands are what the user needs to see. */
static int fail_command(const struct cli *cli)
{
    const char *word = cli->args[0];
    size_t len = strlen(word);
    struct buf group = {0};
    for (size_t i = 0; i < cli_command_count; i++) {
        const char *name = cli_commands[i].name;
        if (strncmp(name, word, len) == 0 && name[len] == ' ') {
            buf_printf(&group, "%s%s", group.len ? ", " : "", name + len + 1);
        }
    }
    if (group.len) {
        cli_fail(EXIT_USAGE, "%s needs one of: %s", word, buf_text(&group));
    } else {
        cli_fail(EXIT_USAGE, "unknown command '%s'; see `holdfast --help`", word);
    }
    buf_free(&group);
    return EXIT_USAGE;
}

static int check_fit(const struct cli *cli)
{
    const struct command *command = cli->command;
    uint64_t allowed = command->options | WITH(CONFIG) | WITH(HELP) | WITH(VERSION);
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        if (cli->text[i] && !(allowed >> i & 1)) {
            return cli_fail(EXIT_USAGE,
                            "--%s does not go with %s; see `holdfast %s --help`",
                            options[i].name, command->name, command->name);
        }
    }
    if (cli->arg_count < command->args_min || cli->arg_count > command->args_max) {
        return cli_fail(EXIT_USAGE, "usage: holdfast %s%s%s; see `holdfast %s --help`",
                        command->name, command->arguments[0] ? " " : "",
                        command->arguments, command->name);
    }
    return 0;
}

static int print_version(void)
{
    const char *commit = HOLDFAST_COMMIT;
    printf("holdfast %s%s%s\n", HOLDFAST_VERSION, *commit ? " " : "", commit);
    return EXIT_FINE;
}

static int run(int argc, char **argv)
{
    struct cli cli = {0};
    int exit_code = read_options(argc, argv, &cli);
    if (exit_code) {
        return exit_code;
    }
    if (cli_has(&cli, OPTION_VERSION)) {
        return print_version();
    }
    if (cli.arg_count == 0) {
        if (cli_has(&cli, OPTION_HELP)) {
            print_overview();
            return EXIT_FINE;
        }
        return cli_fail(EXIT_USAGE, "which command? see `holdfast --help`");
    }
    if (!find_command(&cli)) {
        return fail_command(&cli);
    }
    if (cli_has(&cli, OPTION_HELP)) {
        print_help(cli.command);
        return EXIT_FINE;
    }
    exit_code = check_fit(&cli);
    return exit_code ? exit_code : cli.command->run(&cli);
}

int cli_main(int argc, char **argv)
{
    int exit_code = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return exit_code ? exit_code
                         : cli_fail(EXIT_JOURNAL, "standard output can't be written");
    }
    return exit_code;
}

/* ---- For commands ---------------------------------------------------------------- */

int cli_load_config(const struct cli *cli, struct config **out_config)
{
    const char *path = cli->text[OPTION_CONFIG];
    struct err err = {0};
    if (!path) {
        path = getenv("HOLDFAST_CONFIG");
    }
    int code = config_load(path && *path ? path : DEFAULT_CONFIG, out_config, &err);
    if (code == ERR_NOT_FOUND) {
        return cli_fail(EXIT_CONFIGURATION, "%s", err.message);
    }
    return code ? cli_fail_err(&err) : 0;
}

int cli_no_stream(const struct config *config, const char *name)
{
    struct buf names = {0};
    for (size_t i = 0; i < config->stream_count; i++) {
        buf_printf(&names, "%s%s", i ? ", " : "", config->streams[i]->name);
    }
    const char *text = buf_text(&names);
    int exit_code = cli_fail(EXIT_USAGE, "no stream '%s' is configured, but %s", name,
                             text ? text : "others");
    buf_free(&names);
    return exit_code;
}

int cli_open_reader(const struct config *config, struct journal **out_journal)
{
    struct err err = {0};
    int code = journal_open_reader(config->journal.path, out_journal, &err);
    return code ? cli_fail_err(&err) : 0;
}

bool cli_number(const struct cli *cli, enum cli_option option, uint64_t fallback,
                uint64_t *out)
{
    const char *text = cli->text[option];
    *out = fallback;
    if (text && !units_parse_count(slice_text(text), out)) {
        cli_fail(EXIT_USAGE, "--%s '%s' is not a whole number", options[option].name,
                 text);
        return false;
    }
    return true;
}

const char *cli_time(int64_t time_us, char out_text[CLI_TIME_TEXT])
{
    char text[VALUE_TIME_TEXT];
    value_format_time(time_us, 0, 3, text);
    snprintf(out_text, CLI_TIME_TEXT, "%sZ", text);
    char *blank = strchr(out_text, ' ');
    if (blank) {
        *blank = 'T';
    }
    return out_text;
}

void cli_put_time(struct json_writer *json, const char *key, int64_t time_us)
{
    char text[CLI_TIME_TEXT];
    json_put_text(json, key, cli_time(time_us, text));
}

int cli_print(struct slice text)
{
    if (fwrite(text.data, 1, text.len, stdout) != text.len) {
        return cli_fail(EXIT_JOURNAL, "standard output can't be written");
    }
    if (text.len == 0 || text.data[text.len - 1] != '\n') {
        putchar('\n');
    }
    return EXIT_FINE;
}
