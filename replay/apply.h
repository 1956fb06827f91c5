/* replay/apply.h: the ways of applying a run of records inside a transaction whose ledger
 * row is already moved. Not a door. The sink chooses one; all give the same result.
 */
#ifndef HOLDFAST_REPLAY_APPLY_H
#define HOLDFAST_REPLAY_APPLY_H

#include "replay/examine.h"
#include "replay/fold.h"

struct apply_context {
    struct db *db;
    const struct sink_tables *tables;
    const struct apply_request *request;
    const struct fold *fold; /* of the request's records */
    int32_t zone_offset_s;
};

struct apply_outcome {
    uint8_t *fates; /* one a record, the caller's memory */
    uint64_t entities_new;
};

/* The checked, portable path: every entity's row is locked before its events are looked
 * up, and nothing is taken for granted. The caller commits, or rolls back on any error.
 * ERR_MISS: a gate, see DESIGN's "Replay". Otherwise as db_exec, and ERR_NOMEM. */
int apply_checked(const struct apply_context *context, struct apply_outcome *out,
                  struct err *err);

#endif
