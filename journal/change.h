/* journal/change.h: one write transaction and the state that it will leave. Only on the
 * writer's thread. What is in memory changes only after the commit has returned; an
 * aborted change leaves no trace.
 *
 * Room is looked at twice. Before a batch is put its bytes are held against what is left
 * by count (space.h). And before the commit, what the transaction took, and what LMDB
 * will take while it commits, is held against the disk:
 *   - values of several pages: where LMDB put them is read off their pages, each as soon
 *     as it is put. What is behind the file's end has to fit into what may be grown by:
 *     for intake that is what lies above the reserve;
 *   - single pages: LMDB takes a free one as long as there is any. Where the disk has no
 *     room for all of them, the usable ones are counted;
 *   - the list of freed pages, which lies in one piece.
 * Where the disk is so full that this matters, it is asked for the bytes (preallocate.h).
 * What it lacks is found before a byte is written, then, and is as MDB_MAP_FULL: nothing
 * happened, and the writer tries again in smaller pieces, when freed pages have come
 * back.
 */
#ifndef HOLDFAST_JOURNAL_CHANGE_H
#define HOLDFAST_JOURNAL_CHANGE_H

#include "journal/handle.h"

struct change {
    struct journal *journal;
    MDB_txn *txn;
    struct format_state next;
    struct lane *touched;
    struct expiry_state expiry;
    int64_t now_us; /* wall */
    int64_t steady_us;
    uint64_t intake_left; /* bytes that may still be appended */
    uint64_t appended_bytes;
    uint64_t appended;
    uint64_t freed_bytes; /* by expiry */

    struct space space; /* when it began, */
    struct store_tree trees[STORE_TREES];
    uint64_t growth_max;           /* bytes that the file may grow by in all, */
    uint64_t growth_bytes;         /* and does, for values of several pages */
    uint64_t reused_pages;         /* of values that lie within the file */
    uint64_t own_pages;            /* of all values that have pages of their own */
    uint64_t touches[STORE_TREES]; /* puts and deletes */

    bool refused; /* an append found no room */
    bool dirty;   /* there is something to commit */
};

/* The codes that these return make the transaction unusable: ERR_FULL (MDB_MAP_FULL:
 * abort and try smaller), anything else is final. */
int change_begin(struct journal *journal, struct change *change, struct err *err);
void change_abort(struct change *change);

/* Writes records of lanes and state, makes sure of the disk, and commits. After ERR_OK
 * memory agrees with the disk. *out_unknown: the failure came from the commit itself, so
 * nobody knows what the disk holds. */
int change_commit(struct change *change, bool *out_unknown, struct err *err);

void change_touch(struct change *change, struct lane *lane);

/* The place of a value of place->mv_size bytes, to be written before the next call. */
int change_reserve(struct change *change, MDB_dbi dbi, struct slice key, unsigned flags,
                   MDB_val *place, struct err *err);
int change_put(struct change *change, MDB_dbi dbi, struct slice key, struct slice value,
               unsigned flags, struct err *err);
/* ERR_NOT_FOUND is no failure of the transaction. */
int change_get(struct change *change, MDB_dbi dbi, struct slice key,
               struct slice *out_value, struct err *err);
int change_delete(struct change *change, MDB_dbi dbi, struct slice key, struct err *err);

/* One batch (append.c). A refusal (ERR_FULL, ERR_KEY_REUSED ...) is in append->err with
 * ERR_OK returned. */
int change_append(struct change *change, struct journal_append *append, struct err *err);

/* What the batch adds in bytes of pages, at most. */
uint64_t append_bytes(const struct journal *journal, const struct journal_append *append);

/* Receipts (receipts.c). */
int receipts_look_up(struct change *change, struct journal_append *append,
                     bool *out_decided, struct err *err);
int receipts_put(struct change *change, const struct journal_append *append,
                 struct err *err);
int receipts_expire(struct change *change, struct err *err);

/* Dead letters (deadletters.c). */
struct dead_origin {
    uint64_t seq;
    const char *stream;
    uint32_t lane;
    enum journal_dead_state state;
    bool at_intake;
};
uint64_t dead_bytes_max(const char *stream, const struct journal_dead_letter *letters,
                        size_t count);
int dead_put(struct change *change, const struct dead_origin *origin,
             const struct journal_dead_letter *letter, struct err *err);

/* Every dead letter that the batch tries again is still kept, and named once. Else
 * append->err says which is not, and its code is returned. */
int dead_check_retried(struct change *change, struct journal_append *append);
int dead_mark_retried(struct change *change, const struct journal_part *part,
                      uint64_t retried_seq, struct err *err);

/* Entries whose time is over, or that intake needs the room of (expiry.c). */
int expiry_run(struct change *change, bool room_needed, struct err *err);

#endif
