/* engine/http_connections.h: who is connected, and for how long. Private to http*.c.
 *
 * libmicrohttpd closes a connection that is silent; one that drips a byte now and then is
 * never silent. So every connection is in one of the phases below, each but one has a
 * time, and a thread looks whose time is up.
 *
 * Threads: any; the connection in hand belongs to its own thread.
 */
#ifndef HOLDFAST_ENGINE_HTTP_CONNECTIONS_H
#define HOLDFAST_ENGINE_HTTP_CONNECTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum connection_phase {
    CONNECTION_IDLE,     /* no request, or its headers: idle and request time-out */
    CONNECTION_TRANSFER, /* the body comes: request time-out; told 408 */
    CONNECTION_WAITING,  /* for a commit or a lane, which have their own bounds */
    CONNECTION_ANSWER,   /* the answer goes out: request time-out */
};

struct connection;
struct connections;

struct connections_limits {
    int64_t idle_us;
    int64_t request_us;
};

/* Starts the thread. ERR_NOMEM. */
int connections_new(const struct connections_limits *limits,
                    struct connections **out_connections, struct err *err);
/* When no connection is left. Accepts NULL. */
void connections_free(struct connections *connections);

/* A connection on `fd`; `plain`: what is written to it is HTTP as it stands. NULL: out of
 * memory. */
struct connection *connections_add(struct connections *connections, int fd, bool plain);
/* Before its fd is closed. Accepts NULL. */
void connections_remove(struct connection *connection);

/* The phase begins now. Accepts NULL. */
void connection_enter(struct connection *connection, enum connection_phase phase);

/* Writes a whole refusal and closes for writing, past the HTTP library, which answers a
 * body only at its end. False: it can't, since the connection is encrypted or was told
 * already. Accepts NULL. */
bool connection_refuse(struct connection *connection, unsigned status,
                       const struct err *err);

#endif
