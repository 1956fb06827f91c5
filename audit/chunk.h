/* audit/chunk.h: a transaction of a repair, and once more where it met a deadlock. Not a
 * door. */
#ifndef HOLDFAST_AUDIT_CHUNK_H
#define HOLDFAST_AUDIT_CHUNK_H

#include "audit/columns.h"

/* Everything between BEGIN and COMMIT; may be called again. */
struct chunk {
    int (*work)(void *context, struct err *err);
    void *context;
};
int chunk_run(struct db *db, const struct chunk *chunk, struct err *err);

/* Locks the rows of those entities that are there. */
int chunk_lock(struct db *db, const struct audit_columns *columns, const uint64_t *ids,
               size_t count, struct err *err);

#endif
