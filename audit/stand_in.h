/* audit/stand_in.h: the statement that makes events which stand in for lost ones. Pure.
 * Not a door. */
#ifndef HOLDFAST_AUDIT_STAND_IN_H
#define HOLDFAST_AUDIT_STAND_IN_H

#include "audit/columns.h"

/* Why a stream can't have them, a sentence into `out`; empty: it can. */
void stand_in_refuse(const struct audit_columns *columns, char *out, size_t out_size);

/* INSERT ... SELECT of one event for each of these entities that has a time and no event:
 * at its first time, with what the entity knows of the event's other columns. An entity
 * whose key has an event at that time, though of another entity, is passed over. */
void stand_in_append(struct buf *out, const struct audit_columns *columns,
                     const uint64_t *ids, size_t count);

/* Appends the UPDATE that counts the events of those among these entities, locked, whose
 * count says that they have none; nothing where the stream keeps no count. */
void stand_in_append_count(struct buf *out, const struct audit_columns *columns,
                           const uint64_t *ids, size_t count);

#endif
