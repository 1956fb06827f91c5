/* replay/examine.h: does the server hold what the stream needs, and does it keep what it
 * commits? Not a door.
 *
 * Notes are sentences for a person, one a line. Called outside of transactions.
 */
#ifndef HOLDFAST_REPLAY_EXAMINE_H
#define HOLDFAST_REPLAY_EXAMINE_H

#include "replay/sink.h"

enum { EXAMINE_INDEX_MAX = 64 };

/* What was found out about a stream's tables. */
struct sink_tables {
    const struct stream *stream;
    bool entity_missing[STREAM_COLUMNS_MAX]; /* optional columns that are not there */
    bool event_missing[STREAM_COLUMNS_MAX];
    bool entity_not_null[STREAM_COLUMNS_MAX]; /* as the table has it */
    char entity_index[EXAMINE_INDEX_MAX + 1]; /* the unique key over the entity key */
    char event_index[EXAMINE_INDEX_MAX + 1];
    bool absent; /* with EXAMINE_LOOK: not all that EXAMINE_CREATE makes is there yet */
};

enum {
    EXAMINE_CREATE = 1, /* what is missing is made, the ledger too; else it is an error */
    EXAMINE_LOOK = 2,   /* nothing is changed: notes say what would be made */
};

/* Holds what is there against the stream; a ledger of an older version gets the columns
 * that it lacks. `flags`: of the above. ERR_SCHEMA: all differences, named. */
int examine_tables(struct db *db, const struct stream *stream, unsigned flags,
                   struct sink_tables *out_tables, struct buf *notes, struct err *err);

/* ERR_DURABILITY: the server doesn't keep what it commits, and `durability` is REQUIRE;
 * with WARN that is a note. */
int examine_server(const struct db *db, enum durability durability, struct buf *notes,
                   struct err *err);

#endif
