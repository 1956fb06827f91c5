/* tests/faults/network.h: two network namespaces with one cable between them, one for
 * the program and all that it starts from then on, one for a database server; and
 * faults of that cable by nft. They are gone with the processes in them; the machine's
 * own network is not touched.
 *
 * Threads: one, the program's first, and none started before network_open.
 */
#ifndef HOLDFAST_TESTS_FAULTS_NETWORK_H
#define HOLDFAST_TESTS_FAULTS_NETWORK_H

#include "base/err.h"

#include <sys/types.h>

#define NETWORK_SERVER "10.77.0.2"

struct network {
    int here;  /* the program's namespace; -1: none */
    int there; /* the server's */
    char log[256];
};

/* Makes the namespaces. ERR_NOT_FOUND: can't be had here; the message says why. */
int network_open(struct network *network, const char *dir, struct err *err);

/* What is started until network_leave lives in the server's namespace. */
int network_enter(const struct network *network, struct err *err);
int network_leave(const struct network *network, struct err *err);

/* Puts the cable's other end to `pid`'s namespace, and the addresses on both ends. */
int network_connect(const struct network *network, pid_t pid, struct err *err);

/* Rules for what leaves for the server and what comes from it, such as "drop",
 * "reject with tcp reset" or "numgen random mod 100 < 20 drop"; NULL: none. They take
 * the place of those before. */
int network_rule(const struct network *network, const char *out, const char *in,
                 struct err *err);

/* The cable out, and in again. */
int network_cable(const struct network *network, const char *state, struct err *err);

void network_close(struct network *network);

#endif
