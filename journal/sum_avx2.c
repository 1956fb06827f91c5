/* Compiled with -mavx2 where the processor's kind has it (see CMakeLists.txt). */
#include "journal/sum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "journal/sum_body.h"

void sum_entry_avx2(struct slice head, struct slice payload, void *copy,
                    uint8_t out[SUM_LEN])
{
    sum_body(head, payload, copy, out);
}
