#include "tests/faults/layer.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_HELD = 0, EXIT_BROKEN = 1, EXIT_USAGE = 64, EXIT_CANT_RUN = 77 };
enum {
    PATH_MAX_HERE = 512,
    IN_FLIGHT_PERCENT = 80,
    FAILURES_MAX = 20,
    LINE_SIZE = 4096,
    DECK_MAX = 1 << 20
};

struct options {
    enum layer_mode mode;
    uint64_t seed;
    uint64_t point;
    const char *point_name; /* instead of its number; NULL */
    uint64_t budget_s;      /* 0: the layer's own */
    const char *cases;      /* directory */
};

struct tally {
    uint64_t run;
    uint64_t held;
    uint64_t failed;
    uint64_t not_run;
    struct timespec start;
    uint8_t *seen;     /* which of the points were run, a byte each; NULL: not known */
    uint64_t points;   /* that it has room for */
    uint64_t distinct; /* were run, however often */
};

enum layer_verdict layer_broken(const char *invariant, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)printf("  %s broken: %s\n", invariant, text);
    return LAYER_BROKEN;
}

int layer_count_lines(const char *path, const char *text, uint64_t *out_count,
                      struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "can't read %s", path);
    char line[LINE_SIZE];
    uint64_t count = 0;
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, text) != NULL;
    (void)fclose(file);
    *out_count = count;
    return 0;
}

uint64_t layer_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double elapsed_s(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) +
           (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static int usage(const struct layer *layer)
{
    (void)fprintf(stderr,
                  "usage: faults_%s --quick | --full | --soak SECONDS | --point N\n"
                  "    [--seed N] [--budget SECONDS] [--cases DIRECTORY]\n"
                  "checks %s\n",
                  layer->name, layer->invariants);
    return EXIT_USAGE;
}

static bool number(const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        return false;
    }
    *out = value;
    return true;
}

static bool take_option(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'q':
        o->mode = LAYER_QUICK;
        return true;
    case 'f':
        o->mode = LAYER_FULL;
        return true;
    case 'k':
        o->mode = LAYER_SOAK;
        return number(value, &o->budget_s);
    case 'p':
        o->mode = LAYER_ONE;
        o->point_name = number(value, &o->point) ? NULL : value;
        return true;
    case 's':
        return number(value, &o->seed);
    case 'b':
        return number(value, &o->budget_s);
    case 'c':
        o->cases = value;
        return true;
    default:
        return false;
    }
}

static bool read_options(int argc, char **argv, struct options *out)
{
    static const struct option names[] = {
        {"quick", no_argument, NULL, 'q'},       {"full", no_argument, NULL, 'f'},
        {"soak", required_argument, NULL, 'k'},  {"point", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},  {"budget", required_argument, NULL, 'b'},
        {"cases", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
    *out = (struct options){.mode = LAYER_QUICK, .seed = (uint64_t)time(NULL)};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (!take_option(out, option, optarg)) {
            return false;
        }
    }
    return optind == argc && argc > 1;
}

/* Gives a point that is called by its name its number. */
static bool find_point(const struct layer *layer, struct options *o)
{
    if (!o->point_name) {
        return true;
    }
    const char *name = "";
    for (uint64_t i = 0; layer->point_name && (name = layer->point_name(i)); i++) {
        if (strcmp(name, o->point_name) == 0) {
            o->point = i;
            return true;
        }
    }
    (void)fprintf(stderr, "faults_%s: no point is called '%s'\n", layer->name,
                  o->point_name);
    return false;
}

/* A point may be run with many seeds, and counts once. */
static void note_seen(struct tally *tally, uint64_t point)
{
    if (point < tally->points && !tally->seen[point]) {
        tally->seen[point] = 1;
        tally->distinct++;
    }
}

static bool run_point(const struct layer *layer, const struct layer_run *run,
                      uint64_t point, uint64_t seed, struct tally *tally)
{
    enum layer_verdict verdict = LAYER_BROKEN;
    struct err err = {0};
    if (layer->point(run, point, seed, &verdict, &err) != ERR_OK) {
        (void)printf("  the suite itself: %s\n", err.message);
        verdict = LAYER_BROKEN;
    }
    if (verdict == LAYER_END) {
        return false;
    }
    if (verdict == LAYER_NOT_RUN) {
        tally->not_run++;
        return true;
    }
    tally->run++;
    note_seen(tally, point);
    tally->held += verdict == LAYER_HELD;
    if (verdict == LAYER_BROKEN) {
        tally->failed++;
        (void)printf("  FAILED; again: faults_%s --point %" PRIu64 " --seed %" PRIu64
                     "   kept in %s\n",
                     layer->name, point, seed, run->dir);
        (void)fflush(stdout);
    }
    return tally->failed < FAILURES_MAX;
}

/* Points that failed once are run each time, before all others. */
static bool run_kept(const struct layer *layer, const struct layer_run *run,
                     const char *cases, struct tally *tally)
{
    char path[PATH_MAX_HERE];
    (void)snprintf(path, sizeof(path), "%s/%s.txt", cases, layer->name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return true; /* nothing has failed yet */
    }
    char line[256];
    bool go_on = true;
    while (go_on && fgets(line, sizeof(line), file) != NULL) {
        uint64_t point = 0;
        uint64_t seed = 0;
        if (line[0] != '#' && sscanf(line, "%" SCNu64 " %" SCNu64, &point, &seed) == 2) {
            go_on = run_point(layer, run, point, seed, tally);
        }
    }
    (void)fclose(file);
    return go_on;
}

/* Points that are known are dealt like cards: none comes again before all have been. */
struct deck {
    uint64_t *points;
    uint64_t count; /* 0: not known, or too many to deal */
    uint64_t left;
};

static void deck_make(struct deck *deck, uint64_t points)
{
    *deck = (struct deck){0};
    if (points > 0 && points <= DECK_MAX) {
        deck->points = malloc((size_t)points * sizeof *deck->points);
        deck->count = deck->points ? points : 0;
    }
    for (uint64_t i = 0; i < deck->count; i++) {
        deck->points[i] = i;
    }
}

static uint64_t deck_draw(struct deck *deck, uint64_t random)
{
    if (deck->left == 0) {
        deck->left = deck->count;
    }
    uint64_t at = random % deck->left;
    uint64_t point = deck->points[at];
    deck->points[at] = deck->points[--deck->left];
    deck->points[deck->left] = point;
    return point;
}

/* Draws until the time is over; a number of points that isn't known is drawn from all
 * that 32 bits can name, which a layer takes modulo what it finds. */
static void run_drawn(const struct layer *layer, const struct layer_run *run,
                      uint64_t points, uint64_t draws, double budget_s,
                      struct tally *tally)
{
    uint64_t random = run->seed;
    uint64_t range = points > 0 ? points : UINT32_MAX;
    struct deck deck;
    deck_make(&deck, points);
    bool go_on = true;
    for (uint64_t i = 0; go_on && i < draws && elapsed_s(&tally->start) < budget_s; i++) {
        uint64_t drawn = layer_random(&random);
        uint64_t point = deck.count ? deck_draw(&deck, drawn) : drawn % range;
        go_on = run_point(layer, run, point, layer_random(&random), tally);
    }
    free(deck.points);
}

static void run_all(const struct layer *layer, const struct layer_run *run,
                    uint64_t points, struct tally *tally)
{
    uint64_t random = run->seed;
    for (uint64_t point = 0; points == 0 || point < points; point++) {
        if (!run_point(layer, run, point, layer_random(&random), tally)) {
            return;
        }
    }
}

static void run_chosen(const struct layer *layer, const struct layer_run *run,
                       const struct options *o, uint64_t points, struct tally *tally)
{
    if (o->mode == LAYER_ONE) {
        (void)run_point(layer, run, o->point, o->seed, tally);
        return;
    }
    if (!run_kept(layer, run, o->cases, tally)) {
        return;
    }
    uint64_t budget_s = o->budget_s > 0 ? o->budget_s : layer->budget_s;
    bool all = (o->mode == LAYER_FULL && layer->full_count == 0) ||
               (o->mode == LAYER_QUICK && layer->each);
    if (all) {
        run_all(layer, run, points, tally);
    } else if (o->mode == LAYER_FULL) {
        run_drawn(layer, run, points, layer->full_count, 1e18, tally);
    } else {
        run_drawn(layer, run, points, UINT64_MAX, (double)budget_s, tally);
    }
}

static int report(const struct layer *layer, const struct options *o, uint64_t points,
                  const struct tally *tally)
{
    char known[32] = "drawn";
    char runs[32] = "";
    uint64_t counted = tally->run;
    if (tally->points) {
        (void)snprintf(known, sizeof(known), "of %" PRIu64, points);
        counted = tally->distinct;
    }
    if (counted != tally->run) {
        (void)snprintf(runs, sizeof(runs), "   %" PRIu64 " runs", tally->run);
    }
    char not_run[64] = "";
    if (tally->not_run) {
        (void)snprintf(not_run, sizeof(not_run), "   %" PRIu64 " NOT RUN here",
                       tally->not_run);
    }
    uint64_t percent = tally->run == 0 ? 0 : tally->held * 100 / tally->run;
    char flight[32] = "";
    if (layer->in_flight) {
        (void)snprintf(flight, sizeof(flight), "in flight %" PRIu64 " %%", percent);
    }
    (void)printf("%-16s %8" PRIu64 " %-12s points   %-15s %4" PRIu64
                 " failed   %7.1f s   seed %" PRIu64 "%s%s\n",
                 layer->name, counted, known, flight, tally->failed,
                 elapsed_s(&tally->start), o->seed, runs, not_run);
    bool enough = tally->run > 0 && (!layer->in_flight || o->mode == LAYER_ONE ||
                                     percent >= IN_FLIGHT_PERCENT);
    return tally->failed == 0 && enough ? EXIT_HELD : EXIT_BROKEN;
}

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* A failed run keeps its directory. */
static void clean(const char *dir, int code)
{
    if (code != EXIT_BROKEN) {
        (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static int run_layer(const struct layer *layer, const struct layer_run *run,
                     const struct options *o)
{
    uint64_t points = 0;
    struct tally tally = {0};
    clock_gettime(CLOCK_MONOTONIC, &tally.start);
    struct err err = {0};
    int code = layer->open(run, &points, &err);
    int exit_code = EXIT_BROKEN;
    if (code == ERR_NOT_FOUND) {
        (void)printf("%-16s NOT RUN here: %s\n", layer->name, err.message);
        exit_code = EXIT_CANT_RUN;
    } else if (code != ERR_OK) {
        (void)printf("%-16s the suite itself failed: %s   kept in %s\n", layer->name,
                     err.message, run->dir);
    } else {
        tally.seen = points ? calloc((size_t)points, 1) : NULL;
        tally.points = tally.seen ? points : 0;
        run_chosen(layer, run, o, points, &tally);
        exit_code = report(layer, o, points, &tally);
    }
    free(tally.seen);
    layer->close(run);
    return exit_code;
}

/* The build directory is the one that this program was built in. */
static bool find_files(struct layer_run *run, char *binary, char *preload, size_t size)
{
    const char *build = getenv("HOLDFAST_BUILD");
    if (build == NULL) {
        (void)fprintf(stderr, "set HOLDFAST_BUILD to the build directory\n");
        return false;
    }
    (void)snprintf(binary, size, "%s/engine/holdfast", build);
    (void)snprintf(preload, size, "%s/tests/libfaults_preload.so", build);
    run->binary = binary;
    run->preload = preload;
    return true;
}

int layer_main(const struct layer *layer, int argc, char **argv)
{
    struct options o;
    if (!read_options(argc, argv, &o)) {
        return usage(layer);
    }
    if (!find_point(layer, &o)) {
        return EXIT_USAGE;
    }
    if (o.cases == NULL) {
        o.cases = "tests/faults/cases";
    }
    char binary[PATH_MAX_HERE];
    char preload[PATH_MAX_HERE];
    struct layer_run run = {.mode = o.mode, .seed = o.seed};
    if (!find_files(&run, binary, preload, sizeof(binary))) {
        return EXIT_USAGE;
    }
    char dir[] = "/tmp/holdfast-faults-XXXXXX";
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        return EXIT_BROKEN;
    }
    run.dir = dir;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)printf("%s: seed %" PRIu64 "\n", layer->name, o.seed);
    int code = run_layer(layer, &run, &o);
    clean(dir, code);
    return code;
}
