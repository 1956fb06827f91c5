/* tests/specs.h: streams as tests use them, spelled out by hand. Static data: valid for
 * ever, not to be freed. */
#ifndef HOLDFAST_TESTS_SPECS_H
#define HOLDFAST_TESTS_SPECS_H

#include "schema/stream.h"

/* The botnet preset. `name` is borrowed. */
struct stream_spec botnet_spec(const char *name);

/* A stream with all that botnet lacks: a string key, a key of three columns, DATETIME
 * with milliseconds, 64-bit floats, unsigned integers, first, min, constant. */
struct stream_spec readings_spec(void);

/* The checked stream; the test fails where the spec is refused. */
struct stream *stream_of(const struct stream_spec *spec);

/* Parses `text` as the field's value into values[] (which has room for all fields), as
 * intake would at 2026-01-08 00:00:00 UTC in UTC; the test fails where it is refused.
 * `text` stays borrowed. */
void set_field(const struct stream *stream, struct value *values, const char *field,
               const char *text);

#endif
