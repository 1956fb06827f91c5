#include "engine/ingest_key.h"

#include <inttypes.h>
#include <stdio.h>

static void write_hex(char *out_hex, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        snprintf(out_hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

void ingest_key(struct slice name, uint64_t offset, struct slice bytes,
                char out_text[INGEST_KEY_TEXT])
{
    uint8_t sum[DIGEST_BODY_LEN];
    char name_hex[DIGEST_BODY_LEN + 1]; /* half of it will do */
    char hex[2 * DIGEST_BODY_LEN + 1];
    digest_body(name, sum);
    write_hex(name_hex, sum, DIGEST_BODY_LEN / 2);
    digest_body(bytes, sum);
    write_hex(hex, sum, DIGEST_BODY_LEN);
    snprintf(out_text, INGEST_KEY_TEXT, "ingest-%s-%" PRIu64 "-%s", name_hex, offset,
             hex);
}

void ingest_scope(const char *path, uint8_t out_scope[INGEST_SCOPE_LEN])
{
    memset(out_scope, 0, DIGEST_BODY_LEN);
    digest_body(slice_text(path), out_scope + DIGEST_BODY_LEN);
}
