/* audit/deep_judge.h: what a record that was applied, and what the database holds for it,
 * say together. Pure. Not a door.
 *
 * An event keeps what the first record with its key said; later ones with the same key
 * were duplicates or conflicts, and what they say is no measure for it. Which record was
 * the first is not always known: an earlier one may have left the journal, or the event
 * have been there before. These tell it:
 *
 *  - A lane whose ledger counts no duplicate and no conflict met no event that was there:
 *    each of its records made its own.
 *  - An event that says it was received when this record's entry was, was made by this
 *    record, or by an earlier one that was received within the same unit of that column.
 *  - In a lane whose ledger counts no conflict, each event has the columns that are
 *    compared as each of its records says them.
 */
#ifndef HOLDFAST_AUDIT_DEEP_JUDGE_H
#define HOLDFAST_AUDIT_DEEP_JUDGE_H

#include "audit/deep.h"
#include "replay/lookup.h"

enum deep_verdict {
    DEEP_AGREES,
    DEEP_AGED,    /* not there, and older than events are kept */
    DEEP_OTHERS,  /* the event has other content, of another record as far as is known */
    DEEP_SUSPECT, /* it has other content, and nobody but this record, or an earlier one
                   * of the same moment, can have made it */
    DEEP_GAP
};

struct deep_ground {
    const struct stream *stream;
    int64_t cutoff_us; /* events before it may have been purged; INT64_MIN: none */
    bool met;          /* the lane's ledger counts duplicates */
    bool differed;     /* conflicts */
};

/* *out_kind is set with DEEP_GAP and DEEP_SUSPECT. */
enum deep_verdict deep_judge(const struct lookup_fact *fact,
                             const struct deep_ground *ground, enum deep_kind *out_kind);

#endif
