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
};

/* Makes missing tables where `create` is set, the ledger among them, and holds what is
 * there against the stream. ERR_SCHEMA: all differences, named. */
int examine_tables(struct db *db, const struct stream *stream, bool create,
                   struct sink_tables *out_tables, struct buf *notes, struct err *err);

/* ERR_DURABILITY: the server doesn't keep what it commits, and `durability` is REQUIRE;
 * with WARN that is a note. */
int examine_server(const struct db *db, enum durability durability, struct buf *notes,
                   struct err *err);

#endif
