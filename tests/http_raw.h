/* tests/http_raw.h: bytes to an HTTP server as they are, and its answers taken apart.
 * What goes wrong with the socket itself fails the test. Threads: one a connection. */
#ifndef HOLDFAST_TESTS_HTTP_RAW_H
#define HOLDFAST_TESTS_HTTP_RAW_H

#include "base/slice.h"

#include <stdint.h>

struct raw {
    int fd;
    struct buf in; /* what came and was not taken yet */
};

struct raw_answer {
    int status;      /* 0: the connection ended without one */
    struct buf head; /* status line and headers */
    struct buf body;
};

/* To 127.0.0.1, or to a Unix socket. */
struct raw raw_connect(uint16_t port);
struct raw raw_connect_unix(const char *path);
void raw_close(struct raw *raw);

/* False: the other side has closed. */
bool raw_send(struct raw *raw, struct slice bytes);
bool raw_send_text(struct raw *raw, const char *text);

/* The next answer, interim ones (100) included; waits at most RAW_PATIENCE_S. */
enum { RAW_PATIENCE_S = 60 };
struct raw_answer raw_receive(struct raw *raw);
/* True where nothing but the connection's end comes. */
bool raw_is_closed(struct raw *raw);
void raw_answer_free(struct raw_answer *answer);

/* The header's value up to the line's end; NULL: none. free() it. */
char *raw_header(const struct raw_answer *answer, const char *name);

/* One request with a body by its length, on a connection of its own. `headers` are whole
 * lines, or "". */
struct raw_request {
    const char *method;
    const char *path;
    const char *headers;
    struct slice body;
};
struct raw_answer raw_ask(uint16_t port, const struct raw_request *request);
void raw_append_request(struct buf *out, const struct raw_request *request);

#endif
