/* base/clock.h: the two clocks, behind an interface so that tests can set the time.
 * Threads: any. */
#ifndef HOLDFAST_BASE_CLOCK_H
#define HOLDFAST_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    /* microseconds since 1970-01-01 00:00:00 UTC; may jump */
    int64_t (*wall_us)(const struct clock *clock);
    /* microseconds since some start; never goes back */
    int64_t (*steady_us)(const struct clock *clock);
};

/* The system's clocks. */
extern const struct clock clock_system;

static inline int64_t clock_wall_us(const struct clock *clock)
{
    return clock->wall_us(clock);
}

static inline int64_t clock_steady_us(const struct clock *clock)
{
    return clock->steady_us(clock);
}

#endif
