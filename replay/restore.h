/* replay/restore.h: puts back events that are gone from the database while the journal
 * still has their records. A door for audit.
 *
 * These records were applied once: the ledger has counted them, and the entity its
 * events. So only the events are written, neither counts nor anything else of the entity,
 * and the ledger stays where it is.
 */
#ifndef HOLDFAST_REPLAY_RESTORE_H
#define HOLDFAST_REPLAY_RESTORE_H

#include "journal/journal.h"
#include "replay/db.h"
#include "schema/stream.h"

struct restore;

/* Examines the stream's tables. `db`, `journal` and `stream` are borrowed. ERR_SCHEMA:
 * they are not there, or not as the stream needs them; ERR_NOMEM; errors as db_query. */
int restore_new(struct db *db, struct journal *journal, const struct stream *stream,
                int32_t zone_offset_s, struct restore **out_restore, struct err *err);
void restore_free(struct restore *restore);

/* Which entities are asked for, by key. */
struct restore_filter {
    bool (*wants)(const struct value *key, void *context);
    void *context;
};

/* In one transaction, with the entities' rows locked: writes those events of the entries'
 * records of wanted entities that are not there; dead letters are left out. *out_events
 * is how many it wrote. A wanted entity that has gone meanwhile is ERR_MISS. Other errors
 * as db_exec and the journal's; rolled back. */
int restore_apply(struct restore *restore, const struct journal_entries *entries,
                  const struct restore_filter *filter, uint64_t *out_events,
                  struct err *err);

/* Asks the filter about each of these records, and does nothing else. */
int restore_look(struct restore *restore, const struct journal_entries *entries,
                 const struct restore_filter *filter, struct err *err);

#endif
