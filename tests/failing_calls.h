/* tests/failing_calls.h: the same thing again and again, and each time a call fails that
 * has not failed yet. For programs that have tests/wrapped_calls.c linked in.
 *
 * A call is told from another by its callers, so that each place fails once; with
 * HOLDFAST_FAILURES=all it is the first call, the second, and so on.
 * What goes wrong in here fails the test.
 */
#ifndef HOLDFAST_TESTS_FAILING_CALLS_H
#define HOLDFAST_TESTS_FAILING_CALLS_H

#include "tests/faults/preload_control.h"

#include <stddef.h>

struct fault {
    enum control_kind kind;
    int error;
    enum control_way way;
    bool forever;   /* from then on */
    bool each;      /* each call in turn, however it was come to: there are few */
    uint32_t depth; /* how many callers tell a place, those on this side of the call among
                     * them; 0: as many as do for most */
};

/* Before any other, and before there are threads. */
void fault_start(void);

/* From here on; `number` 0: the first call from a new place fails. */
void fault_arm(const struct fault *fault, uint64_t number);
/* True: something failed. */
bool fault_disarm(void);

/* Does `once` until nothing fails in it any more, which it says by false. It arms, with
 * `number`, and disarms. */
void fault_sweep(bool (*once)(const struct fault *fault, uint64_t round, uint64_t number),
                 struct fault fault);

/* The test fails where something is broken, or descriptors are left open; with the place
 * that failed. */
void fault_expect_kept(const char *broken, uint64_t round, size_t left_open);

size_t fault_descriptors(void);

#endif
