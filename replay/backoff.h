/* replay/backoff.h: how long to wait after a failure. Pure. */
#ifndef HOLDFAST_REPLAY_BACKOFF_H
#define HOLDFAST_REPLAY_BACKOFF_H

#include <stdint.h>

/* The delay after `failures` in a row (1: the first): it doubles from min_us up to
 * max_us, and a random part of up to a half is taken off, so that many who failed
 * together don't come back together. `random`: any 64 bits. */
int64_t backoff_us(uint32_t failures, int64_t min_us, int64_t max_us, uint64_t random);

#endif
