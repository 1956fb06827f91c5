/* replay/bisect.h: which records of a transaction does the database refuse? Found by
 * trial transactions that are rolled back, halving: a handful of trials for each bad
 * record.
 */
#ifndef HOLDFAST_REPLAY_BISECT_H
#define HOLDFAST_REPLAY_BISECT_H

#include "replay/sink.h"

struct bisect_bad {
    const struct apply_record *record;
    char message[JOURNAL_REASON_MAX + 1]; /* the server's */
};

struct bisect {
    struct sink *sink;
    struct apply_request request; /* of the transaction that failed */
    uint32_t in_a_row;            /* bad records without a good one between; goes on from
                                   * what the lane has seen */
    uint32_t in_a_row_max;        /* at so many it gives up: 0: never */
    bool gave_up;
    struct bisect_bad *bad; /* free() */
    size_t bad_count;
    size_t bad_capacity;
};

/* 0: `bad` holds every record that fails alone with ERR_DATA, in order; none where the
 * trials pass, or fail only together. ERR_SCHEMA with gave_up: in_a_row_max was reached,
 * err holds the last refusal. Any other error of a trial: as the sink says. */
int bisect_find(struct bisect *bisect, struct err *err);

#endif
