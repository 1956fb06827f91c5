/* audit/bursts.h: what the times and ids of entities without events tell: how many on
 * which day, in which runs of consecutive ones, and in which bursts, as a writer leaves
 * them behind that was killed between its two tables. Pure. Not a door; audit/check.h
 * hands its results out. */
#ifndef HOLDFAST_AUDIT_BURSTS_H
#define HOLDFAST_AUDIT_BURSTS_H

#include "audit/check.h"

struct bursts;

/* Days are those of the time zone. NULL: no memory. */
struct bursts *bursts_new(int32_t zone_offset_s);
void bursts_free(struct bursts *bursts);

/* The next entity without events, in order of id. */
void bursts_add(struct bursts *bursts, uint64_t id, bool timed, int64_t time_us);

/* An entity that has events stands here: no run goes on. */
void bursts_break(struct bursts *bursts);

/* False: no memory. */
bool bursts_finish(struct bursts *bursts, struct check_explained *out);

#endif
