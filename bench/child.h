/* bench/child.h: another program as a child that dies with this one.
 * Threads: one at a time for each child. */
#ifndef HOLDFAST_BENCH_CHILD_H
#define HOLDFAST_BENCH_CHILD_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;     /* 0: not running */
    int exit_code; /* once it ended; a signal is 128 and its number */
};

/* Starts argv[0] (looked for in PATH), its output and errors appended to the file
 * `output`. ERR_IO. */
int child_start(const char *const *argv, const char *output, struct child *out_child,
                struct err *err);

/* True once it has ended; does not wait. */
bool child_ended(struct child *child);

/* Waits for its end; ERR_TIMEOUT: it was killed. */
int child_wait(struct child *child, int timeout_s, struct err *err);

/* The signal (0: none), and returns once it is gone. */
void child_end(struct child *child, int signal);

/* Starts, waits; ERR_IO where its exit code is not 0, with the end of `output`. */
int child_run(const char *const *argv, const char *output, int timeout_s,
              struct err *err);

#endif
