/* journal/copy.h: a new journal being filled with the values of another, in bounded
 * transactions.
 *
 * Nothing is synced before the end: a crash on the way leaves a directory without a name
 * that nobody takes for a journal. */
#ifndef HOLDFAST_JOURNAL_COPY_H
#define HOLDFAST_JOURNAL_COPY_H

#include "base/slice.h"
#include "journal/journal.h"
#include "journal/store_create.h"

struct copy {
    struct building building;
    struct building_env made;
    MDB_txn *txn;
    uint64_t bytes; /* put in this transaction */
    unsigned puts;
};

/* ERR_INVALID: something is at `target` already. ERR_IO, ERR_NOMEM. */
int copy_begin(const char *target, uint64_t map_bytes, struct copy *out_copy,
               struct err *err);

/* Puts one value, over another with this key. */
int copy_put(struct copy *copy, enum building_database database, struct slice key,
             struct slice value, struct err *err);
int copy_put_entry(struct copy *copy, uint64_t seq, struct slice value, struct err *err);

/* All entries so far are taken back. */
int copy_drop_entries(struct copy *copy, struct err *err);

/* The transaction in hand; begun where there is none. */
int copy_txn(struct copy *copy, MDB_txn **out_txn, struct err *err);

/* Commits, syncs, closes and seals it; it can then be read at copy->building.temporary.
 */
int copy_seal(struct copy *copy, const char *id, struct err *err);

/* Gives it its name. ERR_INVALID: something came there meanwhile. */
int copy_publish(struct copy *copy, struct err *err);

/* Frees it, and removes what was built unless it was published. */
void copy_end(struct copy *copy);

#endif
