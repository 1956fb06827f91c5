/* engine/ingest_cut.h: where to cut a file into bodies. Pure.
 *
 * A cut depends on the bytes alone, never on how they were read, so that the same file is
 * cut alike on every run: the first record's end at which `bytes` or `records` is
 * reached.
 */
#ifndef HOLDFAST_ENGINE_INGEST_CUT_H
#define HOLDFAST_ENGINE_INGEST_CUT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum cut_form {
    CUT_BLANK, /* nothing but blanks so far */
    CUT_JSON,  /* objects, one a line or not */
    CUT_WHOLE, /* a JSON array: can't be cut */
    CUT_CSV,
    CUT_GZIP,
};

struct cut_limits {
    size_t bytes;     /* a part ends at the first record that reaches this */
    uint64_t records; /* or this */
    size_t bytes_max; /* no part is larger */
};

struct cut {
    enum {
        CUT_PART,     /* `len` bytes are a part */
        CUT_MORE,     /* more bytes are needed to tell */
        CUT_TOO_LARGE /* no place to cut within bytes_max */
    } outcome;
    size_t len;
    uint64_t records; /* about so many: what looks like one */
};

/* By the first bytes that are not blank. */
enum cut_form cut_form_of(struct slice data);

/* The next part of `data`, which begins at a record; `at_end`: nothing follows it. */
struct cut cut_next(enum cut_form form, struct slice data, bool at_end,
                    const struct cut_limits *limits);

/* Whether the first line of a CSV file names all of `names`; *out_len is the line's
 * length with its end. */
bool cut_has_header(struct slice data, const char *const *names, size_t count,
                    size_t *out_len);

#endif
