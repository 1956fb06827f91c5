/* replay/db_hosts.h: the list of database hosts and the one in use; not a door. */
#ifndef HOLDFAST_REPLAY_DB_HOSTS_H
#define HOLDFAST_REPLAY_DB_HOSTS_H

#include "replay/db.h"

enum { DB_HOST_NAME_MAX = 253, DB_PORT_DEFAULT = 3306 };

/* The host in use at one moment. The generation changes when the list moves on. */
struct db_host {
    char name[DB_HOST_NAME_MAX + 1]; /* without brackets; empty where there is no list */
    uint16_t port;
    uint64_t generation;
};

/* Any thread. */
struct db_host db_hosts_present(struct db_hosts *hosts);
bool db_hosts_is_present(struct db_hosts *hosts, uint64_t generation);

/* The next host of the list, unless somebody else has moved on from `generation` since.
 * A list of one stays where it is. */
void db_hosts_move_on(struct db_hosts *hosts, uint64_t generation);

#endif
