/* schema/value.h: one value of a record, and how text becomes one. Pure. */
#ifndef HOLDFAST_SCHEMA_VALUE_H
#define HOLDFAST_SCHEMA_VALUE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum value_type {
    VALUE_ABSENT,
    VALUE_TEXT,
    VALUE_IP,   /* IPv4, host byte order */
    VALUE_TIME, /* microseconds since 1970 UTC */
    VALUE_INTEGER,
    VALUE_FLOAT,
    VALUE_BOOL,
};

struct value {
    enum value_type type;
    union {
        struct slice text; /* borrowed from the input or the payload */
        uint32_t ip;
        int64_t time_us;
        int64_t integer; /* unsigned 64-bit columns: the same bits, see is_unsigned */
        double real;
        bool boolean;
    };
};

/* A scalar as it came in, before anyone knows what it should be. */
struct raw_value {
    enum raw_type {
        RAW_NULL,   /* as if absent */
        RAW_STRING, /* also every non-empty CSV field */
        RAW_NUMBER, /* the number's text, as JSON writes it */
        RAW_TRUE,
        RAW_FALSE,
        RAW_NESTED /* an object or array where a scalar should be */
    } type;
    struct slice text;
};

/* Canonical dotted IPv4 only: four decimal numbers 0 to 255, no leading zeros, no blanks;
 * anything else (full-width digits, "1.2.3.4 ") is refused, since the database's
 * collation would take it for the same key. */
bool value_parse_ip(struct slice text, uint32_t *out_ip);

enum { VALUE_IP_TEXT = 16 };
/* Writes "1.2.3.4" and NUL; returns its length. */
size_t value_format_ip(uint32_t ip, char out_text[VALUE_IP_TEXT]);

/* `2026-01-08 01:04:26`, `2026/01/08 01:04:26`, ISO 8601 with T, fraction, Z or offset
 * (+08:00, +0800, +08), date and time with seconds; or epoch seconds or milliseconds
 * (told apart by size: from 100000000000 on it is milliseconds; a fraction is accepted).
 * A time without an offset is taken at `zone_offset_s` east of UTC. Calendar checked,
 * leap second 60 refused. */
bool value_parse_time(struct slice text, int32_t zone_offset_s, int64_t *out_time_us);

enum { VALUE_TIME_TEXT = 40 };
/* Writes "2026-01-08 01:04:26[.ffffff]" (`precision` digits) of the instant moved east
 * by offset_s, and NUL; returns its length. */
size_t value_format_time(int64_t time_us, int32_t offset_s, uint32_t precision,
                         char out_text[VALUE_TIME_TEXT]);

/* Fixed offset such as "+08:00", "-0330", "+08", "Z", "UTC"; at most 14 hours. */
bool value_parse_offset(struct slice text, int32_t *out_offset_s);

/* Strict decimal: optional minus, digits, and nothing else (a fraction of zeros and an
 * exponent are not integers here). */
bool value_parse_integer(struct slice text, bool is_unsigned, int64_t *out_integer);

/* Decimal floating point in full (optional minus, digits, fraction, exponent), finite,
 * locale-independent. */
bool value_parse_float(struct slice text, double *out_real);

/* Has the form of a decimal number, whatever its size: tells a number that is out of
 * range from what is no number. */
bool value_is_number(struct slice text);

/* Same type and same content. Floats compare by value. */
bool value_equal(const struct value *a, const struct value *b);

/* -1, 0, 1 for two values of one type (is_unsigned for integers); text bytewise. */
int value_compare(const struct value *a, const struct value *b, bool is_unsigned);

/* Appends the value as a person reads it: a time in UTC as 2026-01-08T01:04:26Z (with 3
 * or 6 digits of a second where it has them), a float so that it reads back the same, an
 * integer as signed, ABSENT as nothing. */
void value_append_text(struct buf *out, const struct value *value);

/* A float of 32 bits with the nine digits that tell any two of them apart. */
void value_append_float(struct buf *out, float real);

#endif
