/* An entry's sum is XXH3-128 over header and payload, whatever instructions took part and
 * however the payload was cut on the way. The reference is compiled without them. */
#include "journal/sum.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void check_length(size_t head_len, size_t payload_len)
{
    size_t len = head_len + payload_len;
    uint8_t *bytes = malloc(len + 1);
    uint8_t *copy = malloc(payload_len + 1);
    cr_assert(bytes && copy);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    copy[payload_len] = 0x5a;
    struct slice head = slice_of(bytes, head_len);
    struct slice payload = slice_of(bytes + head_len, payload_len);
    XXH128_canonical_t expected;
    XXH128_canonicalFromHash(&expected, XXH3_128bits(bytes, len));
    uint8_t with_copy[SUM_LEN];
    uint8_t without[SUM_LEN];
    sum_entry(head, payload, copy, with_copy);
    sum_entry(head, payload, NULL, without);
    cr_assert_arr_eq(with_copy, expected.digest, SUM_LEN, "%zu bytes, copied", len);
    cr_assert_arr_eq(without, expected.digest, SUM_LEN, "%zu bytes", len);
    cr_assert_arr_eq(copy, payload.data, payload_len);
    cr_assert_eq(copy[payload_len], 0x5a, "nothing is written behind the payload");
    free(bytes);
    free(copy);
}

Test(journal_sum, is_xxh3_of_header_and_payload_at_every_length)
{
    static const size_t lengths[] = {0,     1,     15,    16,    17,     240,
                                     255,   1023,  1024,  16383, 16384,  16385,
                                     32768, 40000, 65535, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        check_length(101, lengths[i]);
        check_length(164, lengths[i]);
    }
}
