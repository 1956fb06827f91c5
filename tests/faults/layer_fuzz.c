/* The layer "fuzz": each target of tests/fuzz over the inputs that are kept, and then by
 * libFuzzer for a while. A point is a target. */
#include "tests/faults/layer.h"
#include "tests/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUICK_S = 6, FULL_S = 60, SOAK_S = 300, END_MS = 120000, PATH_LEN = 512 };

static const struct target {
    const char *name;
    const char *invariant; /* what a finding breaks */
} targets[] = {
    {"body", "I2"}, {"intake", "I2"}, {"http", "I1"},
    {"text", "I2"}, {"record", "I2"}, {"format", "I5"},
    {"gzip", "I6"}, {"config", "I6"}, {"journal", "I5"},
};

static const char *fuzz_build(void)
{
    return getenv("HOLDFAST_FUZZ_BUILD");
}

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    (void)run;
    *out_points = sizeof targets / sizeof targets[0];
    if (!fuzz_build()) {
        return err_set(
            err, ERR_NOT_FOUND, 0,
            "no build with libFuzzer: install clang-14 and libclang-rt-14-dev, "
            "and let tests/faults/run.sh build it");
    }
    return ERR_OK;
}

static unsigned seconds_of(enum layer_mode mode)
{
    switch (mode) {
    case LAYER_QUICK:
        return QUICK_S;
    case LAYER_SOAK:
        return SOAK_S;
    case LAYER_FULL:
    case LAYER_ONE:
        break;
    }
    return FULL_S;
}

/* Runs the program to its end; its exit code, or -1 where it could not be run. */
static int run_program(const char *const *argv, const char *log, unsigned seconds)
{
    struct err err = {0};
    pid_t pid = 0;
    int code = -1;
    if (process_start(argv, log, SIGKILL, &pid, &err) != ERR_OK) {
        (void)printf("  %s\n", err.message);
        return -1;
    }
    if (!process_wait(pid, (int)seconds * 1000 + END_MS, &code)) {
        process_kill(pid);
        (void)printf("  %s did not end\n", argv[0]);
    }
    return code;
}

struct paths {
    char program[PATH_LEN];
    char kept[PATH_LEN];
    char regressions[PATH_LEN];
    char found[PATH_LEN]; /* new inputs, thrown away with the run's directory */
    char log[PATH_LEN];
    char artifacts[PATH_LEN];
};

static void name_paths(const struct layer_run *run, const char *target, struct paths *out)
{
    (void)snprintf(out->program, PATH_LEN, "%s/tests/fuzz_%s", fuzz_build(), target);
    (void)snprintf(out->kept, PATH_LEN, "tests/fuzz/corpus/%s", target);
    (void)snprintf(out->regressions, PATH_LEN, "tests/fuzz/regressions/%s", target);
    (void)snprintf(out->found, PATH_LEN, "%s/found-%s", run->dir, target);
    (void)snprintf(out->log, PATH_LEN, "%s/%s.log", run->dir, target);
    (void)snprintf(out->artifacts, PATH_LEN, "-artifact_prefix=%s/%s-", run->dir, target);
}

/* What libFuzzer said last about its work, such as the number of runs. */
static void tell_work(const char *target, const char *log)
{
    FILE *file = fopen(log, "re");
    char line[1024];
    char runs[64] = "?";
    while (file && fgets(line, sizeof line, file)) {
        (void)sscanf(line, "stat::number_of_executed_units: %63s", runs);
        if (strncmp(line, "does not hold: ", 15) == 0 || strstr(line, "SUMMARY: ")) {
            (void)printf("  %s: %s", target, line);
        }
    }
    if (file) {
        (void)fclose(file); /* it was only read */
    }
    (void)printf("  fuzz_%s: %s runs\n", target, runs);
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    struct paths paths;
    char time[32];
    char chance[32];
    unsigned seconds = seconds_of(run->mode);
    if (point >= sizeof targets / sizeof targets[0]) {
        *out_verdict = LAYER_END;
        return ERR_OK;
    }
    const struct target *target = &targets[point];
    name_paths(run, target->name, &paths);
    if (mkdir(paths.found, 0700) != 0 && errno != EEXIST) {
        return err_set_errno(err, ERR_IO, errno, "%s", paths.found);
    }
    (void)snprintf(time, sizeof time, "-max_total_time=%u", seconds);
    (void)snprintf(chance, sizeof chance, "-seed=%u", (uint32_t)seed | 1U);
    bool has_regressions = access(paths.regressions, R_OK) == 0;
    const char *const argv[] = {paths.program,
                                time,
                                chance,
                                "-timeout=30",
                                "-rss_limit_mb=2048",
                                "-print_final_stats=1",
                                paths.artifacts,
                                paths.found,
                                paths.kept,
                                has_regressions ? paths.regressions : NULL,
                                NULL};
    int code = run_program(argv, paths.log, seconds);
    tell_work(target->name, paths.log);
    *out_verdict = code == 0
                       ? LAYER_HELD
                       : layer_broken(target->invariant, "fuzz_%s ended with %d; see %s",
                                      target->name, code, paths.log);
    return ERR_OK;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
}

int main(int argc, char **argv)
{
    static const struct layer layer = {.name = "fuzz",
                                       .invariants = "I1 I2 I5 I6",
                                       .each = true,
                                       .budget_s = 60,
                                       .open = open_layer,
                                       .point = run_point,
                                       .close = close_layer};
    return layer_main(&layer, argc, argv);
}
