/* tests/faults/crash_check.h: opens a journal that a crash left, by the real library, and
 * compares it with what the marks said until then. */
#ifndef HOLDFAST_TESTS_FAULTS_CRASH_CHECK_H
#define HOLDFAST_TESTS_FAULTS_CRASH_CHECK_H

#include "tests/faults/crash_fs.h"
#include "tests/faults/crash_work.h"
#include "tests/faults/layer.h"

/* `moment`: the marks before it were said. What is broken was told to layer_broken. The
 * journal is opened for writing, written to and opened again. `verify`: journal_verify
 * too, which forks: no other thread may run. */
enum layer_verdict crash_check(const struct crash_fs *fs, size_t moment,
                               const struct workload *workload, const char *path,
                               bool verify);

#endif
