/* tests/private_server.h: a MariaDB server of a program's own, in a directory of its own,
 * reached by a socket in there alone. Errors are returned (tests use tests/world.h).
 */
#ifndef HOLDFAST_TESTS_PRIVATE_SERVER_H
#define HOLDFAST_TESTS_PRIVATE_SERVER_H

#include "base/err.h"

#include <sys/types.h>

struct st_mysql;

enum { SERVER_PATH_MAX = 256, SERVER_SOCKET_MAX = 107 };

struct private_server {
    /* Set before private_server_start, or zero: further arguments for mariadbd, closed by
     * NULL; a later one has its way over the usual ones. */
    const char *const *args;
    char dir[SERVER_PATH_MAX];
    char socket[SERVER_PATH_MAX];
    char log[SERVER_PATH_MAX];
    pid_t pid; /* 0: not running */
};

/* Makes data in `dir` (which is made too) where there are none, starts the server and
 * waits until it answers; there is a database "holdfast", user root, no password.
 * ERR_INVALID: too long a path for a socket. ERR_IO: it doesn't start; the message names
 * its log. */
int private_server_start(struct private_server *server, const char *dir, struct err *err);

/* SIGTERM, and SIGKILL after a minute. Fine where it isn't running. */
void private_server_stop(struct private_server *server);

/* SIGKILL; returns once it is gone. private_server_start starts it again on its data. */
void private_server_kill(struct private_server *server);

/* A session on the database: mysql_close it. NULL: it doesn't answer. */
struct st_mysql *private_server_connect(const struct private_server *server);

#endif
