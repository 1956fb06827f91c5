/* tests/fuzz/kit.h: what the fuzz targets share.
 *
 * A target is fuzz_<name>.c with LLVMFuzzerTestOneInput, and LLVMFuzzerInitialize where
 * it needs something made first. A build with HF_FUZZ links it with libFuzzer; every
 * other build with inputs.c, which runs the inputs that are kept.
 */
#ifndef HOLDFAST_TESTS_FUZZ_KIT_H
#define HOLDFAST_TESTS_FUZZ_KIT_H

#include "base/slice.h"
#include "engine/config.h"

#include <stdbool.h>
#include <stdint.h>

/* NOLINTBEGIN(readability-identifier-naming): libFuzzer's names */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* NOLINTEND(readability-identifier-naming) */

/* Ends the program, which is a finding, with what was expected. */
_Noreturn void fuzz_fail(const char *what);

static inline void fuzz_expect(bool holds, const char *what)
{
    if (!holds) {
        fuzz_fail(what);
    }
}

/* The input as memory of its own length, so that a sanitizer sees a byte too far. free()
 * the data. */
struct slice fuzz_copy(const uint8_t *data, size_t size);

/* Takes one byte off the front; 0 where none is left. */
uint8_t fuzz_byte(const uint8_t **data, size_t *size);

/* Text up to the next 0xff, which is taken too. */
struct slice fuzz_text(const uint8_t **data, size_t *size);

/* Streams "mozi" (preset botnet, one lane), "test" (the same, 3 lanes) and "readings"
 * (every type of column); `more` is further YAML. config_free it. */
struct config *fuzz_config(const char *more);

/* A directory in memory if there is one, else in $TMPDIR or /tmp; removed at exit. */
const char *fuzz_directory(void);

/* Removes a directory and what is in it. */
void fuzz_remove(const char *path);

#endif
