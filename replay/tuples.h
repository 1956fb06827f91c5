/* replay/tuples.h: distinct rows of text, numbered from 1. Pure. Not a door. */
#ifndef HOLDFAST_REPLAY_TUPLES_H
#define HOLDFAST_REPLAY_TUPLES_H

#include "base/slice.h"

#include <stdint.h>

/* Zero-initialise. */
struct tuples {
    struct tuple *items;
    uint32_t *slots; /* hash table: item number or 0 */
    size_t slot_count;
    uint32_t count;
    struct buf text; /* all items, one after the other */
};

void tuples_free(struct tuples *tuples);

/* Empties it and makes room for so many items. False: no memory. */
bool tuples_clear(struct tuples *tuples, size_t items_max);

/* The number of this row, which is new if nobody said it since tuples_clear; at most
 * items_max different ones. 0: no memory. */
uint32_t tuples_number(struct tuples *tuples, struct slice row);

struct slice tuples_row(const struct tuples *tuples, uint32_t number);

#endif
