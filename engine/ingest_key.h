/* engine/ingest_key.h: the idempotency key of one part of a file: the same for the same
 * file's name, place and bytes, whenever it is sent. Pure. */
#ifndef HOLDFAST_ENGINE_INGEST_KEY_H
#define HOLDFAST_ENGINE_INGEST_KEY_H

#include "base/slice.h"

#include <stdint.h>

enum { INGEST_KEY_TEXT = 96 };

/* `name` is the file's name without directories, since files move. */
void ingest_key(struct slice name, uint64_t offset, struct slice bytes,
                char out_text[INGEST_KEY_TEXT]);

#endif
