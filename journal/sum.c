#include "journal/sum.h"

/* Inlined, so that the state on the stack and the code that uses it agree. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "journal/sum_body.h"

void sum_entry(struct slice head, struct slice payload, void *copy, uint8_t out[SUM_LEN])
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        sum_entry_avx2(head, payload, copy, out);
        return;
    }
#endif
    sum_body(head, payload, copy, out);
}
