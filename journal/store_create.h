/* journal/store_create.h: making a journal's directory so that power loss at any point
 * leaves either nothing under the name or a whole journal. */
#ifndef HOLDFAST_JOURNAL_STORE_CREATE_H
#define HOLDFAST_JOURNAL_STORE_CREATE_H

#include "base/err.h"

#include <lmdb.h>
#include <stdint.h>

/* Builds a journal at `path`, which doesn't exist or is an empty directory. Another
 * process that was quicker is no error. ERR_IO, ERR_NOMEM. */
int store_create(const char *path, uint64_t map_bytes, struct err *err);

/* The environment of both: limits set, not opened. */
int store_env_new(uint64_t map_bytes, MDB_env **out_env, struct err *err);

#endif
