#include "replay/entity_cache.h"

#include <criterion/criterion.h>

static struct entity_cache *cache;

static void open_cache(size_t bytes)
{
    struct err err = {0};
    cr_assert_eq(entity_cache_new(bytes, 7, &cache, &err), 0, "%s", err.message);
    cr_assert_leq(entity_cache_bytes(cache), bytes);
}

static void open_small(void)
{
    open_cache(20000);
}

static void close_cache(void)
{
    entity_cache_free(cache);
}

static struct entity_hash of_ip(uint32_t ip)
{
    struct value key = {.type = VALUE_IP, .ip = ip};
    return entity_cache_hash(cache, "nodes", &key);
}

static bool holds(uint32_t ip, uint64_t id, int64_t newest_us)
{
    struct entity_known known = {0};
    return entity_cache_find(cache, of_ip(ip), &known) && known.id == id &&
           known.newest_us == newest_us;
}

Test(entity_cache, keeps_what_was_last_said, .init = open_small, .fini = close_cache)
{
    struct entity_known known;
    cr_assert_not(entity_cache_find(cache, of_ip(1), &known));
    entity_cache_put(cache, of_ip(1), (struct entity_known){10, 100});
    entity_cache_put(cache, of_ip(2), (struct entity_known){20, INT64_MIN});
    cr_assert(holds(1, 10, 100) && holds(2, 20, INT64_MIN));
    entity_cache_put(cache, of_ip(1), (struct entity_known){11, 101});
    cr_assert(holds(1, 11, 101));
    cr_assert_eq(entity_cache_count(cache), 2);
    entity_cache_drop(cache, of_ip(1));
    entity_cache_drop(cache, of_ip(3));
    cr_assert_not(entity_cache_find(cache, of_ip(1), &known));
    cr_assert(holds(2, 20, INT64_MIN));
    cr_assert_eq(entity_cache_count(cache), 1);
}

Test(entity_cache, keys_are_their_text_and_table, .init = open_small, .fini = close_cache)
{
    struct value ip = {.type = VALUE_IP, .ip = 0x01020304};
    struct value text = {.type = VALUE_TEXT, .text = SLICE_LITERAL("1.2.3.4")};
    struct value number = {.type = VALUE_INTEGER, .integer = -5};
    struct value digits = {.type = VALUE_TEXT, .text = SLICE_LITERAL("-5")};
    struct entity_hash a = entity_cache_hash(cache, "nodes", &ip);
    struct entity_hash b = entity_cache_hash(cache, "nodes", &text);
    cr_assert(a.high == b.high && a.low == b.low);
    b = entity_cache_hash(cache, "others", &ip);
    cr_assert(a.high != b.high && a.low != b.low);
    a = entity_cache_hash(cache, "nodes", &number);
    b = entity_cache_hash(cache, "nodes", &digits);
    cr_assert(a.high == b.high && a.low == b.low);
}

Test(entity_cache, stays_within_its_bound, .init = open_small, .fini = close_cache)
{
    size_t bytes = entity_cache_bytes(cache);
    size_t room = entity_cache_room(cache);
    cr_assert(room >= 256 && room * 32 <= bytes);
    for (uint32_t i = 1; i <= 100000; i++) {
        entity_cache_put(cache, of_ip(i), (struct entity_known){i, i});
        cr_assert(holds(i, i, i));
    }
    cr_assert_eq(entity_cache_bytes(cache), bytes);
    cr_assert_leq(entity_cache_count(cache), room);
    cr_assert_geq(entity_cache_count(cache), room * 9 / 10);
    size_t held = 0;
    for (uint32_t i = 1; i <= 100000; i++) {
        struct entity_known known;
        if (entity_cache_find(cache, of_ip(i), &known)) {
            cr_assert(known.id == i && known.newest_us == i);
            held++;
        }
    }
    cr_assert_eq(held, entity_cache_count(cache));
}

/* Those asked for again and again outlive a stream of strangers. */
Test(entity_cache, keeps_the_frequent, .init = open_small, .fini = close_cache)
{
    enum { FREQUENT = 50 };
    size_t lost = 0;
    for (uint32_t i = 1; i <= FREQUENT; i++) {
        entity_cache_put(cache, of_ip(i), (struct entity_known){i, i});
    }
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t frequent = i % FREQUENT + 1;
        struct entity_known known;
        if (!entity_cache_find(cache, of_ip(frequent), &known)) {
            lost++;
            entity_cache_put(cache, of_ip(frequent),
                             (struct entity_known){frequent, frequent});
        }
        entity_cache_put(cache, of_ip(1000 + i), (struct entity_known){i + 1, i});
    }
    cr_assert_lt(lost, 2000, "%zu of 20000", lost);
}

Test(entity_cache, refuses_to_hold_nothing)
{
    struct entity_cache *none = NULL;
    struct err err = {0};
    cr_assert_eq(entity_cache_new(100, 0, &none, &err), ERR_INVALID);
    cr_assert_null(none);
    cr_assert_eq(entity_cache_new(0, 0, &none, &err), ERR_INVALID);
}
