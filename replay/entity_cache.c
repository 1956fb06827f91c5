#include "replay/entity_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { WAYS = 8 };

struct entry {
    struct entity_hash hash;
    struct entity_known known; /* id 0: free */
};

struct set {
    struct entry entries[WAYS];
    uint8_t used[WAYS]; /* asked for since the hand came by */
    uint8_t hand;
};

struct entity_cache {
    uint64_t seed;
    size_t set_count;
    size_t count;
    struct set sets[];
};

int entity_cache_new(size_t bytes_max, uint64_t seed, struct entity_cache **out_cache,
                     struct err *err)
{
    size_t fixed = sizeof(struct entity_cache);
    size_t sets = bytes_max > fixed ? (bytes_max - fixed) / sizeof(struct set) : 0;
    if (sets == 0) {
        return err_set(err, ERR_INVALID, 0,
                       "an entity cache of %zu bytes holds nothing; give it %zu or more",
                       bytes_max, fixed + sizeof(struct set));
    }
    struct entity_cache *cache = calloc(1, fixed + sets * sizeof(struct set));
    if (!cache) {
        return err_set(err, ERR_NOMEM, 0, "no memory for an entity cache of %zu bytes",
                       bytes_max);
    }
    cache->seed = seed;
    cache->set_count = sets;
    *out_cache = cache;
    return 0;
}

void entity_cache_free(struct entity_cache *cache)
{
    free(cache);
}

size_t entity_cache_bytes(const struct entity_cache *cache)
{
    return sizeof *cache + cache->set_count * sizeof(struct set);
}

size_t entity_cache_count(const struct entity_cache *cache)
{
    return cache->count;
}

size_t entity_cache_room(const struct entity_cache *cache)
{
    return cache->set_count * WAYS;
}

struct entity_hash entity_cache_hash(const struct entity_cache *cache, const char *table,
                                     const struct value *key)
{
    uint64_t seed = XXH3_64bits_withSeed(table, strlen(table), cache->seed);
    char ip[VALUE_IP_TEXT];
    struct buf text = {0};
    struct slice bytes = {0};
    if (key->type == VALUE_TEXT) {
        bytes = key->text;
    } else if (key->type == VALUE_IP) {
        bytes = slice_of(ip, value_format_ip(key->ip, ip));
    } else {
        value_append_text(&text, key); /* without memory all keys are one: a miss */
        bytes = buf_slice(&text);
    }
    XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data, bytes.len, seed);
    buf_free(&text);
    return (struct entity_hash){hash.high64, hash.low64};
}

static struct set *set_of(struct entity_cache *cache, struct entity_hash hash)
{
    return &cache->sets[hash.high % cache->set_count];
}

/* The entry's place in its set, or WAYS. */
static size_t place_of(const struct set *set, struct entity_hash hash)
{
    size_t way = 0;
    while (way < WAYS &&
           (set->entries[way].known.id == 0 || set->entries[way].hash.high != hash.high ||
            set->entries[way].hash.low != hash.low)) {
        way++;
    }
    return way;
}

/* A free place, or that of the entry to go. */
static size_t place_for(struct set *set)
{
    for (size_t way = 0; way < WAYS; way++) {
        if (set->entries[way].known.id == 0) {
            return way;
        }
    }
    while (set->used[set->hand]) {
        set->used[set->hand] = 0;
        set->hand = (uint8_t)((set->hand + 1) % WAYS);
    }
    size_t way = set->hand;
    set->hand = (uint8_t)((set->hand + 1) % WAYS);
    return way;
}

bool entity_cache_find(struct entity_cache *cache, struct entity_hash hash,
                       struct entity_known *out_known)
{
    struct set *set = set_of(cache, hash);
    size_t way = place_of(set, hash);
    if (way == WAYS) {
        return false;
    }
    set->used[way] = 1;
    *out_known = set->entries[way].known;
    return true;
}

void entity_cache_put(struct entity_cache *cache, struct entity_hash hash,
                      struct entity_known known)
{
    assert(known.id);
    struct set *set = set_of(cache, hash);
    size_t way = place_of(set, hash);
    if (way == WAYS) {
        way = place_for(set);
        cache->count += set->entries[way].known.id == 0;
        set->used[way] = 0; /* it must be asked for to outlive the others */
    }
    set->entries[way] = (struct entry){hash, known};
}

void entity_cache_drop(struct entity_cache *cache, struct entity_hash hash)
{
    struct set *set = set_of(cache, hash);
    size_t way = place_of(set, hash);
    if (way < WAYS) {
        set->entries[way] = (struct entry){{0, 0}, {0, 0}};
        set->used[way] = 0;
        cache->count--;
    }
}
