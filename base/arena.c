#include "base/arena.h"

#include <stdlib.h>

enum { BLOCK_SIZE = 16 << 10 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    char bytes[];
};

static bool add_block(struct arena *arena, size_t needed)
{
    size_t size = needed > BLOCK_SIZE ? needed : BLOCK_SIZE;
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block) {
        return false;
    }
    block->next = arena->block;
    block->size = size;
    arena->block = block;
    arena->used = 0;
    return true;
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
    size_t needed = bytes.len + 1;
    if (!arena->block || arena->block->size - arena->used < needed) {
        if (!add_block(arena, needed)) {
            return (struct slice){NULL, 0};
        }
    }
    char *copy = arena->block->bytes + arena->used;
    if (bytes.len) {
        memcpy(copy, bytes.data, bytes.len);
    }
    copy[bytes.len] = '\0';
    arena->used += needed;
    return slice_of(copy, bytes.len);
}

static void free_behind(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_clear(struct arena *arena)
{
    if (arena->block) {
        free_behind(arena->block->next);
        arena->block->next = NULL;
    }
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    free_behind(arena->block);
    *arena = (struct arena){0};
}
