/* replay/apply_fast.h: the fast path: see apply_fast.c. Not a door.
 */
#ifndef HOLDFAST_REPLAY_APPLY_FAST_H
#define HOLDFAST_REPLAY_APPLY_FAST_H

#include "replay/apply.h"
#include "replay/entity_cache.h"
#include "replay/fast_tables.h"
#include "replay/tuples.h"

/* One stream on one connection. */
struct fast {
    struct fast_tables tables;
    struct entity_cache *cache; /* borrowed; of several streams and connections */
    struct tuples tuples;
    struct buf data; /* rows that a LOAD is about to send */
    struct buf row;
    struct fast_learned *learned; /* what holds once the transaction has committed */
    size_t learned_count;
    bool altered; /* the tables are no longer those that `tables` is about */
};

void fast_free(struct fast *fast);

/* As apply_checked. With ERR_MISS, and with most other errors, the checked path may still
 * do it; fast_forget first. */
int apply_fast(struct fast *fast, const struct apply_context *context,
               struct apply_outcome *out, struct err *err);

/* After the COMMIT of what apply_fast did. */
void fast_keep(struct fast *fast);

/* After the COMMIT of the same records by other means: what is known of these entities
 * stays right. */
void fast_follow(struct fast *fast, const struct fold *fold);

/* Nothing is known of these entities any more. */
void fast_forget(struct fast *fast, const struct fold *fold);

#endif
