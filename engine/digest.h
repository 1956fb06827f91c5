/* engine/digest.h: digests of tokens and bodies. */
#ifndef HOLDFAST_ENGINE_DIGEST_H
#define HOLDFAST_ENGINE_DIGEST_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { DIGEST_LEN = 32, DIGEST_BODY_LEN = 16 };

/* SHA-256. */
void digest_sha256(struct slice bytes, uint8_t out_digest[DIGEST_LEN]);

/* In a time that does not depend on where they differ. */
bool digest_equal(const uint8_t a[DIGEST_LEN], const uint8_t b[DIGEST_LEN]);

/* XXH3-128 of a body: tells a resend from another body under the same key. */
void digest_body(struct slice body, uint8_t out_sum[DIGEST_BODY_LEN]);

#endif
