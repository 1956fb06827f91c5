/* audit/retained.h: walks the entries of a stream that the journal retains and that its
 * database has applied, as the ledger says. Those above the ledger's position are
 * pending: their lane will apply them. Not a door. */
#ifndef HOLDFAST_AUDIT_RETAINED_H
#define HOLDFAST_AUDIT_RETAINED_H

#include "journal/journal.h"
#include "replay/db.h"
#include "schema/stream.h"

struct retained {
    uint64_t applied[STREAM_LANES_MAX]; /* per lane; 0: nothing of it is to be read */
    bool met[STREAM_LANES_MAX];         /* per lane: the ledger counts duplicates, */
    bool differed[STREAM_LANES_MAX];    /* conflicts */
    uint32_t foreign;                   /* lanes that were left out */
    uint64_t last_seq;                  /* the highest of `applied` */
    bool any;
};

/* Reads the ledger. A lane whose ledger names another journal's entry is left out. */
int retained_find(struct journal *journal, struct db *db, const struct stream *stream,
                  struct retained *out_retained, struct err *err);

/* Each entry, oldest first, outside of the journal's read transaction. `visit` may take
 * it over and leave it empty. The first code that is not 0 ends the walk and is returned.
 */
struct retained_visit {
    int (*visit)(struct journal_entries *entry, void *context, struct err *err);
    void *context;
    struct db *db; /* not NULL: it is spoken to every few seconds, since the server takes
                    * a long silence for a connection that is gone */
};
int retained_walk(const struct retained *retained, struct journal *journal,
                  const struct stream *stream, const struct retained_visit *visit,
                  struct err *err);

#endif
