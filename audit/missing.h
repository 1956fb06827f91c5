/* audit/missing.h: a batch of entities without events, found by key. Pure. Not a door. */
#ifndef HOLDFAST_AUDIT_MISSING_H
#define HOLDFAST_AUDIT_MISSING_H

#include "audit/scan.h"
#include "base/arena.h"

enum { MISSING_MAX = 1 << 16 };

struct missing_entity {
    uint64_t id;
    struct value key;
    struct scan_time time;
    bool in_journal;
};

/* Zero-initialise. */
struct missing {
    const struct stream_column *key; /* the entity's */
    struct missing_entity *items;    /* by key once sorted */
    size_t count;
    struct arena texts;
};

/* False: no memory, or there are MISSING_MAX. */
bool missing_add(struct missing *missing, const struct scan_entity *entity);
void missing_sort(struct missing *missing);
/* NULL: it is none of them. */
struct missing_entity *missing_find(const struct missing *missing,
                                    const struct value *key);
void missing_clear(struct missing *missing);
void missing_free(struct missing *missing);

#endif
