/* journal/space.h: the arithmetic of the reserve. Pure.
 *
 * Deletes and done marks need pages too, so intake stops while `reserve` bytes are still
 * free, both in the map and on the disk. On the disk the zeros that are written ahead of
 * the last used page count as free; free pages inside the file don't, since LMDB reuses
 * a page only some transactions after it was freed and grows the file until then. */
#ifndef HOLDFAST_JOURNAL_SPACE_H
#define HOLDFAST_JOURNAL_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct space {
    uint64_t page_size;
    uint64_t map_bytes;
    uint64_t used_bytes; /* pages that hold something */
    uint64_t file_bytes;
    uint64_t ahead_bytes; /* written behind the last used page */
    uint64_t disk_free_bytes;
    uint64_t reserve_bytes;
};

/* The configured reserve, or max(8 MiB, 1/64 of the map) up to 256 MiB; never more than
 * an eighth of the map, so that small journals work too. */
uint64_t space_reserve(uint64_t configured, uint64_t map_bytes);

/* What intake may still take. */
uint64_t space_intake(const struct space *space);

/* Bytes of pages that a value of `len` bytes takes, at most. */
uint64_t space_of_value(uint64_t page_size, uint64_t len);

#endif
