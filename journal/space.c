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

uint64_t space_intake(const struct space *space)
{
    uint64_t map =
        without(without(space->map_bytes, space->used_bytes), space->reserve_bytes);
    uint64_t disk =
        without(space->ahead_bytes + space->disk_free_bytes, space->reserve_bytes);
    return map < disk ? map : disk;
}

uint64_t space_of_value(uint64_t page_size, uint64_t len)
{
    /* LMDB keeps up to about half a page beside others, and more on pages of its own
     * with a header of 16 bytes. A leaf is split in the worst case. */
    static const uint64_t page_header = 16;
    static const uint64_t node_header = 32;
    if (len + node_header < page_size / 2) {
        return 2 * (len + node_header);
    }
    uint64_t pages = (len + page_header + page_size - 1) / page_size;
    return pages * page_size + 2 * node_header;
}
