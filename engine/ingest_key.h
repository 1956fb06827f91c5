/* engine/ingest_key.h: idempotency keys of bodies that don't come over HTTP. Pure. */
#ifndef HOLDFAST_ENGINE_INGEST_KEY_H
#define HOLDFAST_ENGINE_INGEST_KEY_H

#include "base/slice.h"
#include "engine/digest.h"

#include <stdint.h>

enum { INGEST_KEY_TEXT = 96, INGEST_SCOPE_LEN = 2 * DIGEST_BODY_LEN };

/* The key of one part of a file: the same for the same name, place and bytes, whenever it
 * is sent. `name` is the file's name without directories, since files move. */
void ingest_key(struct slice name, uint64_t offset, struct slice bytes,
                char out_text[INGEST_KEY_TEXT]);

/* Whose key it is, as for a request without a token to `path`: what was sent through the
 * control socket is known again when it comes this way, and the other way round. */
void ingest_scope(const char *path, uint8_t out_scope[INGEST_SCOPE_LEN]);

#endif
