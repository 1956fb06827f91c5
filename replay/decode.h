/* replay/decode.h: journal entries -> records to apply, without those that have a dead
 * letter: a record with a dead letter is always left out, so that replay is
 * deterministic. Reads the journal's dead letters, and otherwise no I/O.
 */
#ifndef HOLDFAST_REPLAY_DECODE_H
#define HOLDFAST_REPLAY_DECODE_H

#include "replay/sink.h"

/* A row that can't be read under today's configuration. */
struct decoded_reject {
    uint64_t seq;
    uint32_t index;
    struct reject reject;
};

struct decoded_text;

struct decoded {
    struct apply_record *records; /* in seq and index order */
    size_t count;
    struct decoded_reject *rejects;
    size_t reject_count;
    struct value *values;
    size_t left_out_count;      /* dead letters of the entries */
    struct decoded_text *texts; /* of values that were not text when they were written */
};

/* `entries` is borrowed until decode_free. The rejected rows are left out of records, as
 * if their dead letters were written already. ERR_CORRUPT, ERR_VERSION, ERR_NOMEM, and
 * what the journal says. */
int decode_entries(struct journal *journal, const struct stream *stream,
                   const struct journal_entries *entries, struct decoded *out_decoded,
                   struct err *err);
void decode_free(struct decoded *decoded);

/* Leaves in `records` only those whose entity's key is wanted. */
void decode_keep(struct decoded *decoded, const struct stream *stream,
                 bool (*wants)(const struct value *key, void *context), void *context);

/* Whether the same dead letters would be left out now. What the journal says, and
 * ERR_NOMEM. */
int decode_is_current(struct journal *journal, const struct journal_entries *entries,
                      const struct decoded *decoded, bool *out_current, struct err *err);

#endif
