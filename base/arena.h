/* base/arena.h: many small copies that live and die together. */
#ifndef HOLDFAST_BASE_ARENA_H
#define HOLDFAST_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

/* Zero-initialise. Not thread-safe. */
struct arena {
    struct arena_block *block; /* the one in use; the others behind it */
    size_t used;               /* of that block */
};

/* A copy of the bytes, with a NUL behind it that `len` does not count; it stays where it
 * is until arena_clear or arena_free. data is NULL when memory is out. */
struct slice arena_copy(struct arena *arena, struct slice bytes);

/* Forgets all copies and keeps one block. */
void arena_clear(struct arena *arena);
void arena_free(struct arena *arena);

#endif
