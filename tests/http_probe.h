/* tests/http_probe.h: one HTTP/1.1 connection to 127.0.0.1 that hides nothing.
 *
 * A library that quietly sends again on a fresh connection would make two sends of one,
 * and the tests must know exactly how often a batch was sent. Here a request is written
 * once, and its fate is one of three.
 * Threads: one thread at a time for each connection.
 */
#ifndef HOLDFAST_TESTS_HTTP_PROBE_H
#define HOLDFAST_TESTS_HTTP_PROBE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum http_fate {
    HTTP_ANSWERED, /* a whole answer came */
    HTTP_NOT_SENT, /* no connection: the server can't have seen a byte */
    HTTP_UNKNOWN,  /* lost on the way: nobody knows */
};

/* Zero-initialise; set port. Keeps the connection from one request to the next. */
struct http_probe {
    uint16_t port;
    int fd; /* valid while connected */
    bool connected;
    struct buf in; /* what came */
};

struct http_probe_request {
    const char *method;
    const char *path;
    struct slice body;
    const char *idempotency_key; /* NULL: none */
};

struct http_probe_answer {
    int status;
    struct slice body; /* valid until the next request */
};

enum { HTTP_PROBE_TIMEOUT_S = 60 };

enum http_fate http_probe_send(struct http_probe *probe,
                               const struct http_probe_request *request,
                               struct http_probe_answer *out_answer);
void http_probe_close(struct http_probe *probe);

/* GET path in a connection of its own; the body is appended to out. The status, or 0
 * where there was no answer. */
int http_probe_get(uint16_t port, const char *path, struct buf *out);

/* The number after "key": in a flat JSON answer; fallback where there is none. */
int64_t http_probe_number(struct slice json, const char *key, int64_t fallback);

#endif
