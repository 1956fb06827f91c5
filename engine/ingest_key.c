#include "engine/ingest_key.h"

#include <stdio.h>
#include <xxhash.h>

void ingest_key(struct slice name, uint64_t offset, struct slice bytes,
                char out_text[INGEST_KEY_TEXT])
{
    XXH128_hash_t sum = XXH3_128bits(bytes.data, bytes.len);
    snprintf(out_text, INGEST_KEY_TEXT, "ingest-%016llx-%llu-%016llx%016llx",
             (unsigned long long)XXH3_64bits(name.data, name.len),
             (unsigned long long)offset, (unsigned long long)sum.high64,
             (unsigned long long)sum.low64);
}
