/* journal/space.h: the arithmetic of the reserve. Pure.
 *
 * Deletes and done marks need pages too, so intake stops while `reserve` bytes are still
 * free, both in the map and on the disk. On the disk
 *   - zeros that are written ahead of the last used page count as free: with the disk's
 *     own free bytes they are what the file may grow by. Only what is above the reserve
 *     is intake's;
 *   - free pages inside the file count too, wherever the disk stands, since LMDB takes
 *     them again without asking the disk for anything: else a journal that has grown to
 *     the disk's end would refuse for ever, drained as it is, for its file never shrinks.
 *     But not at once (a page comes back two transactions after it was freed, and when no
 *     older reader is left), and a large value needs neighbours. So some are left for
 *     operations, and the count is only the first of two looks: the second, at what the
 *     transaction really took, comes before its commit (change.h).
 *
 * Below the floor the disk lacks what the list of freed pages may need in one piece, so
 * that even room inside the file is not given to intake. */
#ifndef HOLDFAST_JOURNAL_SPACE_H
#define HOLDFAST_JOURNAL_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct space {
    uint64_t page_size;
    uint64_t map_bytes;
    uint64_t used_bytes; /* pages that hold something */
    uint64_t file_bytes;
    uint64_t end_bytes;     /* up to the last used page */
    uint64_t inside_bytes;  /* free pages before that which are on the disk */
    uint64_t working_bytes; /* of these, what operations need until pages come back */
    uint64_t ahead_bytes;   /* written behind the last used page */
    uint64_t disk_free_bytes;
    uint64_t reserve_bytes;
};

/* The configured reserve, or max(8 MiB, 1/64 of the map) up to 256 MiB; never more than
 * an eighth of the map, so that small journals work too. */
uint64_t space_reserve(uint64_t configured, uint64_t map_bytes);

/* What intake may still take. */
uint64_t space_intake(const struct space *space);

/* Free in all, wherever it is, the reserve too. */
uint64_t space_free(const struct space *space);

/* What the file may grow by: in all, for operations, for what intake takes. */
uint64_t space_growth(const struct space *space);
uint64_t space_growth_for_work(const struct space *space);
uint64_t space_growth_for_intake(const struct space *space);

/* Pages of its own that a value has; 0: it lies beside others. It may have one from a
 * little below half a page on: 1 then. */
uint64_t space_pages_of_value(uint64_t page_size, uint64_t len);

/* Bytes of pages that a value of `len` bytes takes, at most. */
uint64_t space_of_value(uint64_t page_size, uint64_t len);

/* Pages of the list, next to each other, that `freed` pages take. */
uint64_t space_pages_of_list(uint64_t page_size, uint64_t freed);

#endif
