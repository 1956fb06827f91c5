#include "replay/backoff.h"

int64_t backoff_us(uint32_t failures, int64_t min_us, int64_t max_us, uint64_t random)
{
    int64_t delay_us = min_us;
    for (uint32_t i = 1; i < failures && delay_us < max_us; i++) {
        delay_us *= 2;
    }
    if (delay_us > max_us) {
        delay_us = max_us;
    }
    return delay_us - (int64_t)(random % (uint64_t)(delay_us / 2 + 1));
}
