/* audit/scan.h: the entities of a stream, each with what its events come to, in chunks by
 * primary key. Not a door.
 *
 * Every chunk is one reading statement, so that what it says of an entity and of its
 * events belongs to one moment, whoever writes meanwhile; it locks nothing. Events are
 * only met in indexes where there are such: by entity for their number, by key and time
 * for the first and the last.
 */
#ifndef HOLDFAST_AUDIT_SCAN_H
#define HOLDFAST_AUDIT_SCAN_H

#include "audit/columns.h"

struct scan_time {
    bool known; /* false: NULL, no such column, or no event */
    int64_t us;
};

struct scan_entity {
    uint64_t id;
    struct slice key; /* the cell's text; valid within the visit */
    struct scan_time first;
    struct scan_time last;
    bool has_count;
    int64_t count;
    uint64_t events;
    struct scan_time earliest; /* of its events */
    struct scan_time latest;
};

struct scan_chunk {
    uint64_t after_id; /* ids above it */
    uint64_t last_id;  /* to and with it */
    size_t entities;
    uint64_t events; /* of these entities together */
};

struct scan {
    struct db *db;
    const struct audit_columns *columns;
    size_t chunk_rows;
    int (*entity)(const struct scan_entity *entity, void *context, struct err *err);
    int (*chunk)(const struct scan_chunk *chunk, void *context, struct err *err);
    void *context;
};

/* All entities with ids above `after_id`, in order. The first code that is not 0 of a
 * visit (`chunk` may be NULL, and may use the connection) ends it and is returned. Errors
 * as db_query; ERR_NOMEM. */
int scan_run(const struct scan *scan, uint64_t after_id, struct err *err);

/* The same of these ids alone, in one statement. */
int scan_ids(const struct scan *scan, const uint64_t *ids, size_t count, struct err *err);

/* The same of the entity with this key, as the database compares keys. */
int scan_key(const struct scan *scan, struct slice key, struct err *err);

/* " IN (1,2,3)" */
void scan_append_ids(struct buf *out, const uint64_t *ids, size_t count);

/* One number; 0 where the answer is NULL. `sql` is freed. */
int scan_number(struct db *db, struct buf *sql, uint64_t *out, struct err *err);

#endif
