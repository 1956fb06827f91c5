/* engine/gzip.h: gzip bodies, by zlib. */
#ifndef HOLDFAST_ENGINE_GZIP_H
#define HOLDFAST_ENGINE_GZIP_H

#include "base/err.h"
#include "base/slice.h"

/* Whether the bytes begin as gzip does; no JSON and no CSV does. */
bool gzip_is(struct slice bytes);

/* Appends the inflated text of one or more gzip members to `out`, whose `max` bounds it.
 * ERR_TOO_LARGE: beyond out->max. ERR_INVALID: not gzip, or cut off. ERR_NOMEM. */
int gzip_inflate(struct slice packed, struct buf *out, struct err *err);

#endif
