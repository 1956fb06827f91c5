/* tests/faults/cluster.h: three Galera nodes on loopback, with small buffers, in a
 * directory of their own; each can be killed, frozen, emptied and brought back.
 *
 * Errors are returned. As root the nodes run as the user mysql, since rsync as root would
 * hand itself over to nobody in a state transfer. Threads: one.
 */
#ifndef HOLDFAST_TESTS_FAULTS_CLUSTER_H
#define HOLDFAST_TESTS_FAULTS_CLUSTER_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct st_mysql;

enum { CLUSTER_NODES = 3, CLUSTER_PATH_MAX = 200, CLUSTER_POSITION_MAX = 80 };

struct cluster_node {
    char dir[CLUSTER_PATH_MAX];
    char log[CLUSTER_PATH_MAX + 8];
    uint16_t port; /* clients'; the next three are the group's and the transfers' */
    pid_t pid;     /* 0: not running */
    bool frozen;
};

struct cluster {
    struct cluster_node nodes[CLUSTER_NODES];
};

/* ERR_NOT_FOUND: what a cluster needs is not installed; the message names it. */
int cluster_can_run(struct err *err);

/* Makes the nodes' directories in `dir` and forms the cluster. */
int cluster_open(struct cluster *cluster, const char *dir, uint16_t first_port,
                 struct err *err);
void cluster_close(struct cluster *cluster);

/* SIGKILL; SIGSTOP and SIGCONT. */
void cluster_kill(struct cluster *cluster, unsigned node);
void cluster_freeze(struct cluster *cluster, unsigned node);
void cluster_thaw(struct cluster *cluster, unsigned node);

/* A node that was killed joins the others again. `emptied`: its data are gone. */
int cluster_rejoin(struct cluster *cluster, unsigned node, bool emptied, struct err *err);

/* All were killed: the one that got furthest forms the cluster, the others join it. */
int cluster_revive(struct cluster *cluster, struct err *err);

/* Waits until the node is synced and in the primary component. ERR_TIMEOUT, ERR_IO. */
int cluster_await(struct cluster *cluster, unsigned node, struct err *err);

/* A session of root's on the node that waits for what the others committed (NULL: none is
 * to be had): mysql_close it. `database` may be NULL. */
struct st_mysql *cluster_connect(const struct cluster *cluster, unsigned node,
                                 const char *database);

/* The first column of the first row as a number; `status`: of SHOW STATUS the value. */
int cluster_number(const struct cluster *cluster, unsigned node, const char *sql,
                   int64_t *out_number, struct err *err);
int cluster_status(const struct cluster *cluster, unsigned node, const char *name,
                   int64_t *out_number, struct err *err);

#endif
