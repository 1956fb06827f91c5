/* engine/body.h: request bodies in all their forms -> records. Pure.
 *
 * The form is told by the first byte that is not blank, never by Content-Type: `{` or
 * `[` is JSON (lines, concatenated objects, arrays, {"records":[{"value":{...}}]},
 * {"metrics":[{"fields":{..},"tags":{..},"timestamp":..}]}), anything else CSV, with a
 * header where the first line names the key columns.
 *
 * A record that can't be parsed is `broken` and the next one goes on where that can be
 * told (the next line); otherwise the rest is one broken tail.
 */
#ifndef HOLDFAST_ENGINE_BODY_H
#define HOLDFAST_ENGINE_BODY_H

#include "base/err.h"
#include "schema/stream.h"

enum { BODY_DEPTH_MAX = 16, BODY_FIELD_NAME_MAX = 256 };

struct body_rules {
    /* CSV: fields of a line without header, and the names that make a header */
    const char *const *csv_fields;
    size_t csv_count;
    const char *const *key_fields; /* all of these in the first line: it is a header */
    size_t key_count;
};

/* Slices are valid only during the call, except `bytes`, which points into the body. */
struct body_handler {
    void *context;
    void (*begin)(void *context); /* anew: what was begun and not ended was no record */
    void (*field)(void *context, struct slice name, const struct raw_value *value);
    void (*end)(void *context, struct slice bytes);
    /* what was begun, if anything, is no record; reason: "json", "csv", "depth" */
    void (*broken)(void *context, struct slice bytes, const char *reason,
                   const char *detail);
    /* the line that names the columns of all records after it; NULL: nobody asks */
    void (*header)(void *context, struct slice bytes);
};

/* 0, however many records were broken. ERR_INVALID: no record at all was recognised (an
 * empty body, or one that is wholly unreadable). */
int body_parse(struct slice body, const struct body_rules *rules,
               const struct body_handler *handler, struct err *err);

#endif
