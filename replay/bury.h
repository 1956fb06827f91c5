/* replay/bury.h: writes dead letters, and copies of conflicts, of the entries in hand
 * into the journal, with each record as it can be shown.
 */
#ifndef HOLDFAST_REPLAY_BURY_H
#define HOLDFAST_REPLAY_BURY_H

#include "replay/sink.h"

/* One record and what is wrong with it. */
struct burial {
    uint64_t seq;
    uint32_t index;
    const char *reason;
    const char *field;
    const char *detail;
};

struct bury {
    struct journal *journal;
    const struct stream *stream;
    const struct journal_entries *entries; /* those that the burials are of */
    int64_t at_us;
    int (*add)(struct journal *journal, uint64_t seq,
               const struct journal_dead_letter *dead, size_t count, struct err *err);
};

/* All of them, durably, before it returns; `burials` in order of seq and index. `add` is
 * journal_dead_letters_add or journal_conflicts_add. ERR_FULL, and what the journal and
 * the payload say; those before the failed ones may be written. */
int bury(const struct bury *bury, const struct burial *burials, size_t count,
         struct err *err);

#endif
