/* engine/cli_control.h: asking the engine that runs on the configured journal. */
#ifndef HOLDFAST_ENGINE_CLI_CONTROL_H
#define HOLDFAST_ENGINE_CLI_CONTROL_H

#include "engine/client.h"
#include "engine/config.h"

/* One request over the control socket. ERR_NOT_FOUND: no engine is running. Other errors
 * as client_request; an answer that isn't 200 is an error with the engine's own text. */
int cli_control(const struct config *config, const char *method, const char *path,
                struct buf *out_body, struct err *err);

/* The engine's refusal as an error: 503 and 429 are ERR_BUSY, 422 ERR_KEY_REUSED, 413
 * ERR_TOO_LARGE, other 4xx ERR_INVALID, else ERR_INTERNAL. Never ERR_NOT_FOUND, which is
 * nobody's answer. */
int cli_control_refused(int status, struct slice body, struct err *err);

#endif
