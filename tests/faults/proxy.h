/* tests/faults/proxy.h: a relay between an engine and its database server that reads the
 * engine's half of the MySQL protocol, and does to a chosen statement what networks do.
 *
 * It listens on a Unix socket, or on 127.0.0.1, and connects to the server's socket.
 * Counted are the statements of transactions that have moved the ledger, from the first
 * that does to COMMIT, and the data of LOAD DATA among them. Threads: the functions may
 * be called from any one thread; the relay has its own.
 */
#ifndef HOLDFAST_TESTS_FAULTS_PROXY_H
#define HOLDFAST_TESTS_FAULTS_PROXY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum proxy_fault {
    PROXY_DROP,      /* it doesn't reach the server, and both sides are closed */
    PROXY_HALF,      /* half of it does */
    PROXY_RACE,      /* it does, and both sides are closed at once */
    PROXY_NO_ANSWER, /* it does; once there is an answer, both sides are closed */
    PROXY_SWALLOW,   /* it doesn't, and nothing more is heard on either side: the server's
                      * session stays, with its locks */
    PROXY_SILENT,    /* it does; of the answer and of all else nothing is heard */
    PROXY_FAULTS
};

const char *proxy_fault_name(enum proxy_fault fault);

struct proxy_plan {
    enum proxy_fault fault;
    uint32_t at;      /* number of the statement, from 1; 0: never */
    uint32_t times;   /* so many statements in a row, over all connections; 0: 1 */
    bool commits;     /* count COMMIT alone */
    uint32_t bytes_s; /* at most so many bytes a second each way; 0: any */
};

struct proxy_seen {
    uint64_t connections;
    uint64_t statements;
    uint64_t commits;
    uint64_t faults; /* done */
};

struct proxy;

/* `listen`: a socket's path, or NULL for a port of 127.0.0.1. ERR_IO, ERR_NOMEM. */
int proxy_start(const char *listen, const char *server, struct proxy **out_proxy,
                struct err *err);
uint16_t proxy_port(const struct proxy *proxy);

/* From now on; the counts begin anew, and connections that a fault left are closed. */
void proxy_set(struct proxy *proxy, const struct proxy_plan *plan);
void proxy_seen(struct proxy *proxy, struct proxy_seen *out_seen);

/* Closes every connection and ends the threads. NULL is fine. */
void proxy_stop(struct proxy *proxy);

#endif
