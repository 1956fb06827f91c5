/* tests/faults/layer.h: the frame of a layer of the fault suite.
 *
 * A layer knows points: places where a fault can be put, numbered from 0. The frame
 * chooses which are run: first the kept cases (tests/faults/cases/<layer>.txt, each a
 * point and seed that once failed), then, with --quick, points dealt by the seed until
 * the budget is spent (or every point, where they are few); with --full every point, or
 * `full_count` draws where a point is a choice of chance; with --soak draws with ever new
 * seeds until the time is over. It prints the seed first and one line last, which
 * tests/faults/run.sh collects:
 *
 *     kill-intake   412 of 3180 points   in flight 97 %   0 failed   58.1 s   seed 7
 *
 * with the number of runs behind it where some points were run more than once, and of the
 * points that can't be run on this machine.
 *
 * A point that fails is printed with the invariants that it broke and the command that
 * runs it again alone: `faults_<layer> --point N --seed S`; where points have names, N
 * may be one.
 *
 * Exit codes: 0 all held; 1 something failed, or too little was in flight; 64 usage; 77
 * the layer can't run on this machine, with the reason.
 *
 * The invariants, checked from outside, are named in what a layer reports:
 * I1 acknowledged means exactly once in both tables; I2 nothing appears that was not
 * sent, byte for byte; I3 counts and times match the events; I4 unacknowledged is all or
 * nothing; I5 the journal opens after any crash image and takes new work; I6 memory,
 * disk, descriptors and threads are bounded; I7 full means refused, never lost; I8 it
 * recovers by itself within a stated time; I9 a poison record holds up nobody; I10
 * restarting ten times equals once.
 *
 * Threads: a layer is run by one thread.
 */
#ifndef HOLDFAST_TESTS_FAULTS_LAYER_H
#define HOLDFAST_TESTS_FAULTS_LAYER_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum layer_mode { LAYER_QUICK, LAYER_FULL, LAYER_SOAK, LAYER_ONE };

/* What a layer is told about the run. */
struct layer_run {
    enum layer_mode mode;
    uint64_t seed;       /* of the whole run; printed */
    const char *binary;  /* the holdfast executable */
    const char *preload; /* the shared object for LD_PRELOAD, tests/faults/preload.c */
    const char *dir;     /* temporary, of this run's own; removed by the frame at the end,
                            and kept if something failed */
};

enum layer_verdict {
    LAYER_HELD,    /* every invariant held, and something was in flight */
    LAYER_IDLE,    /* every invariant held, but the fault met nothing in flight */
    LAYER_BROKEN,  /* an invariant is broken: layer_broken said which */
    LAYER_NOT_RUN, /* this machine can't have it, which was said; counts as not run */
    LAYER_END,     /* there is no such point: the last one was before it */
};

struct layer {
    const char *name;
    const char *invariants; /* that it checks, such as "I1 I2 I3 I4" */
    uint64_t full_count;    /* 0: --full runs every point */
    uint32_t budget_s;      /* of --quick */
    bool each; /* the points are few: --quick runs every one, too, whatever the budget */
    bool in_flight; /* of the points run, 80 % must be LAYER_HELD, not LAYER_IDLE */

    /* Makes what all points need and tells the number of points (0: not known before,
     * they end with LAYER_END). ERR_NOT_FOUND: can't run on this machine, the message
     * says why. */
    int (*open)(const struct layer_run *run, uint64_t *out_points, struct err *err);

    /* Runs one point; all chance in it comes from `seed`. An error is a failure of the
     * suite itself and ends the layer. */
    int (*point)(const struct layer_run *run, uint64_t point, uint64_t seed,
                 enum layer_verdict *out_verdict, struct err *err);

    /* What a point is called; NULL: it is none. NULL: only numbers tell them apart. */
    const char *(*point_name)(uint64_t point);

    /* Also after a failed open; ends every process that the layer started. */
    void (*close)(const struct layer_run *run);
};

/* Says what a point broke: `invariant` is one of I1 ... I10. Returns LAYER_BROKEN. */
enum layer_verdict layer_broken(const char *invariant, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How many lines of the file hold the text. ERR_IO. */
int layer_count_lines(const char *path, const char *text, uint64_t *out_count,
                      struct err *err);

/* A 64-bit generator (splitmix64), for all chance of a point. */
uint64_t layer_random(uint64_t *state);

/* main() of a layer's program: the exit code. */
int layer_main(const struct layer *layer, int argc, char **argv);

#endif
