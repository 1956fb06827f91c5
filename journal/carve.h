/* journal/carve.h: entries found by their bytes in a journal's file, whatever the tree of
 * pages says. An entry lies in one piece: header and payload carry their checksums. */
#ifndef HOLDFAST_JOURNAL_CARVE_H
#define HOLDFAST_JOURNAL_CARVE_H

#include "journal/format.h"

#include <stdbool.h>

struct carved {
    uint64_t seq;
    uint64_t at; /* where in the file */
    uint64_t len;
    uint32_t lane; /* index into lanes */
    uint8_t sum[JOURNAL_SUM_LEN];
};

struct carved_lane {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t number;
};

/* What was found, by seq. Copies on pages that are free now are found too: what belongs
 * to the journal is told by the sums that its neighbours know. */
struct carving {
    int fd;
    struct carved *items;
    size_t count;
    size_t capacity;
    struct carved_lane *lanes;
    size_t lane_count;
    size_t lane_capacity;
    struct buf value; /* the last one read */
};

/* Searches <path>/data.mdb for whole entries that `wants` says yes to. What the disk
 * can't read is passed over. ERR_IO, ERR_NOMEM. carving_free in any case. */
int carve(const char *path, bool (*wants)(uint64_t seq, void *context), void *context,
          struct carving *out_carving, struct err *err);
void carving_free(struct carving *carving);

/* The one of that seq and sum; NULL. */
const struct carved *carved_find(const struct carving *carving,
                                 const struct journal_position *position);

/* The newest of a lane below `seq`; NULL. */
const struct carved *carved_before(const struct carving *carving, const char *stream,
                                   uint32_t lane, uint64_t seq);

/* Reads it again: header and whole value, valid until the next call. */
int carved_read(struct carving *carving, const struct carved *item,
                struct entry_header *out_header, struct slice *out_value,
                struct err *err);

#endif
