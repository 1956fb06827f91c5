#include "journal/space.h"

uint64_t space_reserve(uint64_t configured, uint64_t map_bytes)
{
    static const uint64_t low = 8ULL << 20;
    static const uint64_t high = 256ULL << 20;
    uint64_t reserve = configured;
    if (!reserve) {
        reserve = map_bytes / 64;
        reserve = reserve < low ? low : reserve;
        reserve = reserve > high ? high : reserve;
    }
    return reserve > map_bytes / 8 ? map_bytes / 8 : reserve;
}

static uint64_t without(uint64_t bytes, uint64_t reserve)
{
    return bytes > reserve ? bytes - reserve : 0;
}

/* Twice what freeing every page of the file would take in the list of free pages, and a
 * little. */
static uint64_t floor_of(const struct space *space)
{
    enum { A_LITTLE = 8 };
    uint64_t pages = space->end_bytes / space->page_size;
    uint64_t list = 2 * space_pages_of_list(space->page_size, pages) + A_LITTLE;
    uint64_t bytes = list * space->page_size;
    return bytes < space->reserve_bytes / 2 ? bytes : space->reserve_bytes / 2;
}

uint64_t space_growth(const struct space *space)
{
    return space->ahead_bytes + space->disk_free_bytes;
}

uint64_t space_growth_for_work(const struct space *space)
{
    return without(space_growth(space), floor_of(space));
}

uint64_t space_growth_for_intake(const struct space *space)
{
    return without(space_growth(space), space->reserve_bytes);
}

uint64_t space_intake(const struct space *space)
{
    uint64_t map =
        without(without(space->map_bytes, space->used_bytes), space->reserve_bytes);
    uint64_t disk = 0;
    if (space_growth(space) >= floor_of(space)) {
        disk = without(space_growth_for_intake(space) + space->inside_bytes,
                       space->working_bytes);
    }
    return map < disk ? map : disk;
}

uint64_t space_free(const struct space *space)
{
    uint64_t map = without(space->map_bytes, space->used_bytes);
    uint64_t disk = space_growth(space) + space->inside_bytes;
    return map < disk ? map : disk;
}

/* LMDB's pages and what it puts before each value. */
static const uint64_t page_header = 16;
static const uint64_t node_header = 32;

uint64_t space_pages_of_value(uint64_t page_size, uint64_t len)
{
    return len + node_header < page_size / 2
               ? 0
               : (len + page_header + page_size - 1) / page_size;
}

uint64_t space_of_value(uint64_t page_size, uint64_t len)
{
    /* LMDB keeps up to about half a page beside others, and more on pages of its own
     * with a header of 16 bytes. A leaf is split in the worst case. */
    uint64_t pages = space_pages_of_value(page_size, len);
    return pages ? pages * page_size + 2 * node_header : 2 * (len + node_header);
}

uint64_t space_pages_of_list(uint64_t page_size, uint64_t freed)
{
    return ((freed + 1) * sizeof(uint64_t) + page_header + page_size - 1) / page_size;
}
