#include "engine/digest.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <xxhash.h>

void digest_sha256(struct slice bytes, uint8_t out_digest[DIGEST_LEN])
{
    int rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes.len ? bytes.data : "", bytes.len,
                              out_digest);
    assert(rc == 0);
}

bool digest_equal(const uint8_t a[DIGEST_LEN], const uint8_t b[DIGEST_LEN])
{
    return gnutls_memcmp(a, b, DIGEST_LEN) == 0;
}

void digest_body(struct slice body, uint8_t out_sum[DIGEST_BODY_LEN])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(body.data, body.len));
    memcpy(out_sum, canonical.digest, DIGEST_BODY_LEN);
}
