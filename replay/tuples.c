#include "replay/tuples.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

struct tuple {
    uint64_t hash;
    size_t start;
    size_t len;
};

void tuples_free(struct tuples *tuples)
{
    free(tuples->items);
    free(tuples->slots);
    buf_free(&tuples->text);
    *tuples = (struct tuples){0};
}

bool tuples_clear(struct tuples *tuples, size_t items_max)
{
    size_t slots = 16;
    while (slots < items_max * 2) {
        slots *= 2;
    }
    if (slots > tuples->slot_count) {
        free(tuples->items);
        free(tuples->slots);
        tuples->items = malloc(slots / 2 * sizeof *tuples->items);
        tuples->slots = malloc(slots * sizeof *tuples->slots);
        tuples->slot_count = tuples->items && tuples->slots ? slots : 0;
    }
    if (tuples->slot_count) {
        memset(tuples->slots, 0, tuples->slot_count * sizeof *tuples->slots);
    }
    tuples->count = 0;
    buf_clear(&tuples->text);
    return tuples->slot_count > 0;
}

struct slice tuples_row(const struct tuples *tuples, uint32_t number)
{
    const struct tuple *item = &tuples->items[number - 1];
    return slice_of(tuples->text.data + item->start, item->len);
}

uint32_t tuples_number(struct tuples *tuples, struct slice row)
{
    uint64_t hash = XXH3_64bits(row.data, row.len);
    size_t slot = hash & (tuples->slot_count - 1);
    while (tuples->slots[slot]) {
        uint32_t number = tuples->slots[slot];
        if (tuples->items[number - 1].hash == hash &&
            slice_equal(tuples_row(tuples, number), row)) {
            return number;
        }
        slot = (slot + 1) & (tuples->slot_count - 1);
    }
    assert(tuples->count < tuples->slot_count / 2);
    size_t start = tuples->text.len;
    if (!buf_append_slice(&tuples->text, row)) {
        return 0;
    }
    tuples->items[tuples->count++] = (struct tuple){hash, start, row.len};
    tuples->slots[slot] = tuples->count;
    return tuples->count;
}
