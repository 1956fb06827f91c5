/* journal/sum_body.h: the loop of sum_entry, compiled once for each set of instructions.
 * Its includer has included <xxhash.h>, inlined. */
#ifndef HOLDFAST_JOURNAL_SUM_BODY_H
#define HOLDFAST_JOURNAL_SUM_BODY_H

#include "journal/sum.h"

#include <string.h>

static void sum_body(struct slice head, struct slice payload, void *copy,
                     uint8_t out[SUM_LEN])
{
    enum { PIECE = 16 << 10 };
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    /* These can fail only for a NULL state. */
    (void)XXH3_128bits_reset(&state);
    (void)XXH3_128bits_update(&state, head.data, head.len);
    for (size_t at = 0; at < payload.len; at += PIECE) {
        size_t len = payload.len - at < PIECE ? payload.len - at : PIECE;
        (void)XXH3_128bits_update(&state, payload.data + at, len);
        if (copy) {
            memcpy((uint8_t *)copy + at, payload.data + at, len);
        }
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(out, canonical.digest, SUM_LEN);
}

#endif
