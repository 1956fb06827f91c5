/* engine/http_listen.h: the two listening sockets. */
#ifndef HOLDFAST_ENGINE_HTTP_LISTEN_H
#define HOLDFAST_ENGINE_HTTP_LISTEN_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Listens on "host:port" ("[::1]:0"). *out_loopback: only this machine can reach it.
 * ERR_CONFIG: it can't be read or taken. */
int http_listen_tcp(const char *address, int *out_fd, uint16_t *out_port,
                    bool *out_loopback, struct err *err);

/* Listens on a Unix socket of mode 0600, in place of one that a dead engine left: only
 * the journal's owner calls this. */
int http_listen_unix(const char *path, int *out_fd, struct err *err);

#endif
