/* journal/mend.h: making the entries of a repaired journal dense and chained again. */
#ifndef HOLDFAST_JOURNAL_MEND_H
#define HOLDFAST_JOURNAL_MEND_H

#include "journal/carve.h"
#include "journal/copy.h"
#include "journal/format.h"
#include "journal/tools.h"

/* [first, end) */
struct mend_range {
    uint64_t first;
    uint64_t end;
};

struct mend_lane {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t number;
    bool recorded; /* its record could be read */
    struct format_lane record;
    struct entry_header newest; /* of the entries there; seq 0: none */
};

/* A place in a lane's chain where entries that its neighbours know are not there. */
struct mend_hole {
    size_t lane;
    struct entry_header from; /* the one before it that is there; seq 0: none */
    struct journal_position to;
    struct journal_counts to_counts;
    int64_t at_us;
    bool is_gap; /* `to` alone, and it is a gap with its own header already */
};

struct mend {
    struct copy *copy; /* holds what could be read */
    struct carving carving;
    uint64_t next_seq; /* 0: not known */

    struct mend_range *lost; /* ascending: seqs that could not be read */
    size_t lost_count;
    size_t lost_capacity;
    uint64_t *gaps; /* seqs that were gaps before, ascending */
    size_t gap_count;
    size_t gap_capacity;
    struct mend_lane *lanes;
    size_t lane_count;
    size_t lane_capacity;
    struct mend_hole *holes;
    size_t hole_count;
    size_t hole_capacity;
    struct mend_range *missing;
    size_t missing_count;
    size_t missing_capacity;
};

/* Room for one more item of an array; false: out of memory. */
bool mend_grow(void **items, size_t *capacity, size_t count, size_t size);

bool mend_is_lost(const struct mend *mend, uint64_t seq);
/* NULL: out of memory. */
struct mend_lane *mend_lane(struct mend *mend, const char *stream, uint32_t number);

/* Puts in what was carved, as far as a neighbour's sum knows it; gaps for the rest. Then
 * seq is dense, every chain holds, and mend->next_seq is known. */
int mend_entries(struct mend *mend, struct journal_repair *repair, struct err *err);

/* Calls visit with each entry of the copy, in order; nothing may be put meanwhile. */
int mend_walk(struct mend *mend,
              int (*visit)(struct mend *mend, const struct entry_header *header,
                           void *context, struct err *err),
              void *context, struct err *err);

void mend_free(struct mend *mend);

#endif
