/* tests/faults/limits.h: limits of the process that are set before the engine starts, or
 * while it runs. Private to layer_resources.c and limits.c.
 *
 * The stage has begun a point and is configured. An error is one of the suite itself;
 * what the engine broke is said with hostile_breaks. Threads: one. */
#ifndef HOLDFAST_TESTS_FAULTS_LIMITS_H
#define HOLDFAST_TESTS_FAULTS_LIMITS_H

#include "tests/faults/hostile.h"

/* The engine is started behind this line of the shell from now on, such as "ulimit -n
 * 128"; NULL: without one. */
int limits_configure(struct stage *stage, const char *line, struct err *err);

/* Starts in less and less address space, with a new journal and with one that holds
 * work: each gets ready or says that it lacks memory, and leaves a journal that opens. */
int limits_of_space(struct stage *stage, uint64_t seed, struct err *err);

/* While it works it is left without descriptors, and without its database's sessions. */
int limits_of_descriptors(struct stage *stage, uint64_t seed, struct err *err);

#endif
