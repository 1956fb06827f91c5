/* engine/units.h: numbers with units, as configuration and options write them. Pure. */
#ifndef HOLDFAST_ENGINE_UNITS_H
#define HOLDFAST_ENGINE_UNITS_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* "64GiB", "1 MiB", "4096" (bytes), "10B"; units are B, KiB, MiB, GiB, TiB. False: not
 * so, or too large for 64 bits. */
bool units_parse_size(struct slice text, uint64_t *out_bytes);

/* "72h", "7d", "1 min", "500ms": ms, s, min (or m), h, d; a unit is needed except for 0.
 * False: not so, or more than a hundred years. */
bool units_parse_duration(struct slice text, int64_t *out_us);

/* "50000": decimal digits alone. */
bool units_parse_count(struct slice text, uint64_t *out_count);

/* "99", "99.5", "99.05", "99%": 0 to 100 with up to two decimals, in hundredths. */
bool units_parse_percent(struct slice text, uint32_t *out_hundredths);

/* true, false, yes, no, on, off. */
bool units_parse_bool(struct slice text, bool *out_value);

/* "12.3 MiB", for people. */
enum { UNITS_TEXT = 32 };
void units_format_size(uint64_t bytes, char out_text[UNITS_TEXT]);

#endif
