/* replay/entity_cache.h: which row an entity has, and up to when its events are known.
 * Bounded memory, a hint only: whoever uses it checks by what the database answers. Pure.
 * Not a door.
 *
 * Keyed by a hash of 128 bits, seeded anew in each cache: two keys that collide cost a
 * missed gate, never a wrong row. Set-associative; in a full set the entry goes that was
 * not asked for since the hand last came by. With more entities than fit it still works.
 * Threads: one at a time.
 */
#ifndef HOLDFAST_REPLAY_ENTITY_CACHE_H
#define HOLDFAST_REPLAY_ENTITY_CACHE_H

#include "schema/stream.h"

struct entity_cache;

struct entity_hash {
    uint64_t high;
    uint64_t low;
};

struct entity_known {
    uint64_t id; /* never 0 */
    /* no event of it is stored that is newer; INT64_MIN: none is stored at all */
    int64_t newest_us;
};

/* At most bytes_max of memory, all of it taken here; ERR_INVALID where not one set of
 * entries fits; ERR_NOMEM. */
int entity_cache_new(size_t bytes_max, uint64_t seed, struct entity_cache **out_cache,
                     struct err *err);
void entity_cache_free(struct entity_cache *cache);

/* What it takes, and how many entities it holds of how many. */
size_t entity_cache_bytes(const struct entity_cache *cache);
size_t entity_cache_count(const struct entity_cache *cache);
size_t entity_cache_room(const struct entity_cache *cache);

/* Of the key's canonical text; `table` tells streams apart. */
struct entity_hash entity_cache_hash(const struct entity_cache *cache, const char *table,
                                     const struct value *key);

bool entity_cache_find(struct entity_cache *cache, struct entity_hash hash,
                       struct entity_known *out_known);
/* Over what was known; may push another entity out. */
void entity_cache_put(struct entity_cache *cache, struct entity_hash hash,
                      struct entity_known known);
void entity_cache_drop(struct entity_cache *cache, struct entity_hash hash);

#endif
