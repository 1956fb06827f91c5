/* replay/fast_tables.h: what the fast path needs on one connection for one stream: two
 * session tables, the texts of its statements, and how the stream's tables were defined
 * when these were made. Not a door.
 */
#ifndef HOLDFAST_REPLAY_FAST_TABLES_H
#define HOLDFAST_REPLAY_FAST_TABLES_H

#include "replay/examine.h"

struct fast_tables {
    const struct sink_tables *tables;
    struct buf definition; /* of both tables, without the next ids */
    bool keys_off;         /* the event table's only foreign key is that to its entity */
    size_t chunk_entities; /* at most so many in the session tables at once */
    struct buf touch;      /* takes the tables' metadata locks, and no row's */
    struct buf clear_deltas;
    struct buf load_deltas;
    struct buf clear_tuples;
    struct buf load_tuples;
    struct buf apply;
    struct buf load_events;
};

/* Outside of a transaction. `tables` is borrowed. out_reason: why this server, user or
 * stream can't be served fast (out_fast is then untouched), or empty; ERR_OK either way.
 * An error: as db_exec, of a connection that is lost; ERR_NOMEM. */
int fast_tables_make(struct db *db, const struct sink_tables *tables,
                     struct fast_tables *out_fast, char out_reason[ERR_MESSAGE_MAX],
                     struct err *err);
void fast_tables_free(struct fast_tables *fast);

/* Inside a transaction: from here on nobody can alter the tables. ERR_MISS: somebody
 * has. Else as db_query. */
int fast_tables_check(struct db *db, const struct fast_tables *fast, struct err *err);

/* A column of the delta table: merged by MIN or MAX. Of the tuple table: LATEST, FIRST.
 */
bool fast_in_delta(const struct sink_tables *tables, size_t column);
bool fast_in_tuple(const struct sink_tables *tables, size_t column);

/* The column of the event key that this field feeds, or NULL. */
const struct stream_column *fast_event_key(const struct stream *stream, int field);

#endif
