/* holdfast-bench: runs the parts of the harness and writes what they measured. */
#include "bench/bench.h"

#include "base/clock.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(struct bench *bench, struct err *err);
} parts[] = {
    {"journal", bench_journal},
    {"apply", bench_apply},
    {"end-to-end", bench_end_to_end},
    {"intake", bench_intake},
    {"recover", bench_recover},
    {"compare", bench_compare},
    {"tune", bench_tune},
};

struct arguments {
    struct bench bench;
    const char *wanted; /* comma-separated names; NULL: all */
    const char *json_path;
    bool json_line;
};

static const struct option options[] = {
    {"directory", required_argument, NULL, 'd'},
    {"engine", required_argument, NULL, 'e'},
    {"parts", required_argument, NULL, 'p'},
    {"socket", required_argument, NULL, 'o'},
    {"server", required_argument, NULL, 'P'},
    {"binlog-socket", required_argument, NULL, 'O'},
    {"binlog-server", required_argument, NULL, 'B'},
    {"config", required_argument, NULL, 'c'},
    {"seed", required_argument, NULL, 's'},
    {"repetitions", required_argument, NULL, 'r'},
    {"quick", no_argument, NULL, 'q'},
    {"json", no_argument, NULL, 'j'},
    {"json-file", required_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char usage[] =
    "usage: holdfast-bench --directory DIR --engine PATH [--parts journal,...] "
    "[--quick]\n"
    "                      [--socket PATH --server PID] [--binlog-socket PATH "
    "--binlog-server PID]\n"
    "                      [--config FILE] [--repetitions N] [--seed N] [--json]\n"
    "                      [--json-file FILE]\n";

static bool read_arguments(int argc, char **argv, struct arguments *out)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            out->bench.directory = optarg;
            break;
        case 'e':
            out->bench.engine = optarg;
            break;
        case 'p':
            out->wanted = optarg;
            break;
        case 'o':
            out->bench.socket = optarg;
            break;
        case 'P':
            out->bench.server = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'O':
            out->bench.binlog_socket = optarg;
            break;
        case 'B':
            out->bench.binlog_server = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'c':
            out->bench.config = optarg;
            break;
        case 's':
            out->bench.seed = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            out->bench.repetitions = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'q':
            out->bench.quick = true;
            break;
        case 'j':
            out->json_line = true;
            break;
        case 'f':
            out->json_path = optarg;
            break;
        default:
            return false;
        }
    }
    return out->bench.directory && out->bench.engine && out->bench.repetitions > 0 &&
           optind == argc;
}

static bool is_wanted(const char *wanted, const char *name)
{
    if (!wanted) {
        return true;
    }
    size_t len = strlen(name);
    for (const char *at = wanted; (at = strstr(at, name)); at += len) {
        bool begins = at == wanted || at[-1] == ',';
        if (begins && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static int run_parts(struct arguments *arguments, struct err *err)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!is_wanted(arguments->wanted, parts[i].name)) {
            continue;
        }
        fprintf(stderr, "== %s\n", parts[i].name);
        int64_t begun_us = clock_steady_us(&clock_system);
        if (parts[i].run(&arguments->bench, err) != ERR_OK) {
            return err_wrap(err, "%s", parts[i].name);
        }
        char fact[48];
        (void)snprintf(fact, sizeof fact, "took, %s", parts[i].name);
        report_fact(arguments->bench.report, fact, "%.0f s",
                    (double)(clock_steady_us(&clock_system) - begun_us) / 1e6);
    }
    return ERR_OK;
}

/* The JSON file, and beside the parts' own data what bench/charts.sh draws. */
static int write_files(const struct arguments *arguments, struct err *err)
{
    char columns[4096];
    (void)snprintf(columns, sizeof columns, "%s/figures.dat", arguments->bench.directory);
    int code = report_write_json(arguments->bench.report, arguments->json_path, err);
    return code ? code : report_write_columns(arguments->bench.report, columns, err);
}

int main(int argc, char **argv)
{
    static struct report report = {.exact = true};
    struct arguments arguments = {
        .bench = {.seed = 1, .repetitions = 5, .report = &report}};
    if (!read_arguments(argc, argv, &arguments)) {
        fputs(usage, stderr);
        return 64;
    }
    report_machine(&report);
    struct err err = {0};
    int code = run_parts(&arguments, &err);
    if (code == ERR_OK && arguments.json_path) {
        code = write_files(&arguments, &err);
    }
    report_print(&report, stderr);
    if (code != ERR_OK) {
        fprintf(stderr, "holdfast-bench: %s\n", err.message);
        return 70;
    }
    if (arguments.json_line) {
        report_print_summary(&report, stdout);
    }
    return report.exact ? 0 : 1;
}
