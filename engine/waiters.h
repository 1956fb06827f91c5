/* engine/waiters.h: who waits for a batch to be applied (?wait=applied, the library). A
 * bounded table; checked when a lane moves, and when time passes.
 * Threads: any; `done` is called without the lock.
 */
#ifndef HOLDFAST_ENGINE_WAITERS_H
#define HOLDFAST_ENGINE_WAITERS_H

#include "engine/engine.h"

enum { WAITERS_MAX = 4096 };

struct waiters;

int waiters_new(struct waiters **out_waiters, struct err *err);
void waiters_free(struct waiters *waiters);

/* The entries are copied. ERR_BUSY: WAITERS_MAX are waiting. ERR_NOMEM. */
int waiters_add(struct waiters *waiters, const struct engine_wait *wait, struct err *err);

/* The lane is applied through `seq`. */
void waiters_applied(struct waiters *waiters, const char *stream, uint32_t lane,
                     uint64_t seq);

bool waiters_any(struct waiters *waiters);

/* Tells those whose time is up; INT64_MAX: everybody. */
void waiters_expire(struct waiters *waiters, int64_t now_us);

#endif
