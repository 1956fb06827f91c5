/* engine/tokens.h: the bearer tokens of a token file: one a line, blank lines and lines
 * that begin with # passed over. Only digests are kept.
 * Threads: tokens_check from any; tokens_reload beside it.
 */
#ifndef HOLDFAST_ENGINE_TOKENS_H
#define HOLDFAST_ENGINE_TOKENS_H

#include "engine/digest.h"

#include "base/err.h"

struct tokens;

/* ERR_CONFIG: the file can't be read, or holds no token. */
int tokens_new(const char *path, struct tokens **out_tokens, struct err *err);
void tokens_free(struct tokens *tokens);

/* Reads the file again; on failure the old tokens stay. */
int tokens_reload(struct tokens *tokens, struct err *err);

/* Compares the token's digest with every known one, without an early end. True: it is
 * known, and out_scope names it without telling it. */
bool tokens_check(struct tokens *tokens, struct slice token,
                  uint8_t out_scope[DIGEST_BODY_LEN]);

#endif
