/* engine/http.h: the HTTP door, over TCP (intake.listen) and over the control socket in
 * the journal's directory, by libmicrohttpd. A request that waits for its commit holds no
 * thread: its connection is suspended and resumed.
 *
 * Over TCP: DESIGN's HTTP table, tokens where a token file is set. Over the control
 * socket (0600, same user): the same, without a token, and what changes a live journal:
 * POST /control/pause, /control/resume, /control/deadletter/accept?stream=&lane=.
 */
#ifndef HOLDFAST_ENGINE_HTTP_H
#define HOLDFAST_ENGINE_HTTP_H

#include "engine/engine.h"

struct http;

/* ERR_CONFIG: the address can't be listened on, beyond loopback without a token, TLS
 * files unreadable; ERR_IO; ERR_NOMEM. */
int http_start(struct engine *engine, struct http **out_http, struct err *err);

/* The TCP port in use (where `listen` says port 0). */
uint16_t http_port(const struct http *http);

/* Reads the token file again (SIGHUP); on failure the old tokens stay. */
int http_reload(struct http *http, struct err *err);

/* Lets requests in hand be answered until `deadline_us` (steady clock), refuses those
 * that come meanwhile with 503, closes and frees. Accepts NULL. */
void http_stop(struct http *http, int64_t deadline_us);

/* Path of a journal's control socket. */
void http_control_path(const char *journal_path, struct buf *out);

#endif
