/* replay/ledger.h: the table in the database that says how far each (journal, stream,
 * lane) is applied, with its cumulative counts. A door for audit too.
 *
 * One row per lane; the row's lock orders everybody who applies for that lane. Decisions
 * come only from ledger_advance (compare-and-set) or ledger_read with lock.
 */
#ifndef HOLDFAST_REPLAY_LEDGER_H
#define HOLDFAST_REPLAY_LEDGER_H

#include "journal/journal.h"
#include "replay/db.h"

#define LEDGER_TABLE "holdfast_ledger"

struct ledger_lane {
    const char *journal_id;
    const char *stream;
    uint32_t lane;
};

struct ledger_row {
    bool found; /* no row: everything below is zero */
    struct journal_position position;
    uint64_t records; /* the entry's running count at position */
    uint64_t events;
    uint64_t duplicates;
    uint64_t conflicts;
    uint64_t retried;  /* of the lane up to position: dead letters tried again */
    uint64_t given_up; /* records of gaps that were accepted */
    int64_t moved_us;  /* when it last moved, by the server's clock; only as read */
};

/* CREATE TABLE IF NOT EXISTS holdfast_ledger. Pure. */
void ledger_append_ddl(struct buf *out);

/* Adds the counts that an earlier version's table lacks, and which were 0 then, outside
 * any transaction. Errors as db_exec: the user may lack the right to. */
int ledger_upgrade(struct db *db, struct err *err);

/* Reads the lane's row; with `lock` FOR UPDATE, inside the caller's transaction. */
int ledger_read(struct db *db, const struct ledger_lane *lane, bool lock,
                struct ledger_row *out_row, struct err *err);

/* First statement of every applying transaction: moves the row from `previous` to `next`
 * (inserts it where previous->found is false). ERR_IDENTITY: the row is not at previous
 * any more; *out_found is what it says, read FOR UPDATE. Other errors as db_exec. */
int ledger_advance(struct db *db, const struct ledger_lane *lane,
                   const struct ledger_row *previous, const struct ledger_row *next,
                   struct ledger_row *out_found, struct err *err);

/* Sets the counts of this transaction in the row that ledger_advance has just moved;
 * called before COMMIT, when they are known. */
int ledger_count(struct db *db, const struct ledger_lane *lane,
                 const struct ledger_row *next, struct err *err);

#endif
