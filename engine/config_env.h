/* engine/config_env.h: ${NAME} in configuration strings. */
#ifndef HOLDFAST_ENGINE_CONFIG_ENV_H
#define HOLDFAST_ENGINE_CONFIG_ENV_H

#include "base/err.h"
#include "base/slice.h"

/* Appends `text` to `out` with every ${NAME} replaced by `lookup(NAME)`; "$${" stands for
 * "${" itself. ERR_CONFIG: a name is not set, badly written or not closed (the message is
 * a clause, without place). ERR_NOMEM. */
int config_env_expand(struct slice text, const char *(*lookup)(const char *name),
                      struct buf *out, struct err *err);

#endif
