/* engine/cli_overview.h: /v1/status for people: a few lines that fit a terminal. Pure. */
#ifndef HOLDFAST_ENGINE_CLI_OVERVIEW_H
#define HOLDFAST_ENGINE_CLI_OVERVIEW_H

#include "base/slice.h"

/* Appends the overview of a status document, the engine's or the one that `status` makes
 * of a journal alone. False: that is no such document, nothing was appended. */
bool cli_overview(struct slice json, struct buf *out);

#endif
