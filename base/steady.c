#include "base/steady.h"

#include <time.h>

enum { SECOND_US = 1000000, US_NS = 1000 };

void steady_cond_init(pthread_cond_t *out_cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(out_cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

int steady_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_us)
{
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * US_NS};
    return pthread_cond_timedwait(cond, lock, &until);
}
