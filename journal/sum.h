/* journal/sum.h: an entry's checksum, XXH3-128 over its header and payload. Pure. */
#ifndef HOLDFAST_JOURNAL_SUM_H
#define HOLDFAST_JOURNAL_SUM_H

#include "base/slice.h"

#include <stdint.h>

enum { SUM_LEN = 16 };

/* `copy` NULL, or room for the payload: it is copied there on the way, while the piece
 * that was just read is still in the processor's cache. */
void sum_entry(struct slice head, struct slice payload, void *copy, uint8_t out[SUM_LEN]);

/* The same for processors with AVX2, which do it in half the time; on others it must not
 * be called (sum_entry knows). */
void sum_entry_avx2(struct slice head, struct slice payload, void *copy,
                    uint8_t out[SUM_LEN]);

#endif
