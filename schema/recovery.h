/* schema/recovery.h: events that stand in for lost ones. Pure.
 *
 * `repair` gives an entity whose events are lost one event that says so by its type. When
 * the real record comes after all, replay puts it in that one's place.
 */
#ifndef HOLDFAST_SCHEMA_RECOVERY_H
#define HOLDFAST_SCHEMA_RECOVERY_H

#include "schema/stream.h"

#define RECOVERY_EVENT_TYPE "data_recovery"

/* The event column that says what kind an event is: a string column named event_type that
 * is wide enough, is fed by the record and is no part of the event key. Index in
 * event.columns; -1: the stream has none, and then no event can stand in for another. */
int recovery_column(const struct stream *stream);

#endif
