/* base/steady.h: condition variables whose deadlines are of the steady clock, so that no
 * wait ends early or late because the wall clock was set. */
#ifndef HOLDFAST_BASE_STEADY_H
#define HOLDFAST_BASE_STEADY_H

#include <pthread.h>
#include <stdint.h>

/* pthread_cond_destroy it. */
void steady_cond_init(pthread_cond_t *out_cond);

/* Under the lock. Waits until somebody wakes it, or until `until_us`, a time of
 * clock_system's steady clock. As with pthread_cond_timedwait: 0, also where it woke for
 * nothing, or ETIMEDOUT. */
int steady_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us);

#endif
