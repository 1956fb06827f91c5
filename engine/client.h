/* engine/client.h: talking to a running engine over its control socket, by libcurl. */
#ifndef HOLDFAST_ENGINE_CLIENT_H
#define HOLDFAST_ENGINE_CLIENT_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct client;

/* Where to: an engine's control socket (Unix path), or a base URL such as
 * "https://127.0.0.1:8640" with an optional bearer token, and optionally the file of the
 * authorities that its certificate must come from instead of the system's. One thread at
 * a time. */
int client_new_socket(const char *socket_path, struct client **out_client,
                      struct err *err);
int client_new_url(const char *url, const char *token, const char *ca,
                   struct client **out_client, struct err *err);
void client_free(struct client *client);

struct client_answer {
    int status;      /* HTTP status */
    struct buf body; /* buf_free it; closed by a NUL that its len does not count */
};

struct client_call {
    const char *method;
    const char *path;
    struct slice body;           /* empty and method GET: none */
    const char *idempotency_key; /* NULL: none */
    uint32_t timeout_s;
};

/* One request. ERR_NOT_FOUND: nobody listens there. ERR_TIMEOUT, ERR_TRANSIENT:
 * connection lost. ERR_CONFIG: its certificate is not to be trusted. ERR_TOO_LARGE,
 * ERR_INVALID, ERR_NOMEM. */
int client_request(struct client *client, const struct client_call *call,
                   struct client_answer *out_answer, struct err *err);

#endif
