/* journal/store_create.h: making a journal's directory so that power loss at any point
 * leaves either nothing under the name or a whole journal. */
#ifndef HOLDFAST_JOURNAL_STORE_CREATE_H
#define HOLDFAST_JOURNAL_STORE_CREATE_H

#include "base/err.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>

/* Builds a journal at `path`, which doesn't exist or is an empty directory. Another
 * process that was quicker is no error. ERR_IO, ERR_NOMEM. */
int store_create(const char *path, uint64_t map_bytes, struct err *err);

/* The environment of both: limits set, not opened. */
int store_env_new(uint64_t map_bytes, MDB_env **out_env, struct err *err);

struct format_identity;
int store_draw_identity(struct format_identity *out_identity, struct err *err);

/* Another id in journal.id: power loss leaves the old one or the new one. ERR_IO. */
int store_replace_sentinel(const char *directory, const char *id, struct err *err);

/* ---- The steps, for those who fill a new journal themselves ----------------------- */

/* A journal's directory while it is built beside its place. */
struct building {
    char *path;      /* where it goes */
    char *parent;    /* of both */
    char *temporary; /* where it is built; flocked, so that nobody takes it for a
                        left-over */
    int fd;
};

enum building_database {
    BUILDING_META,
    BUILDING_ENTRIES,
    BUILDING_RECEIPTS,
    BUILDING_DEAD,
    BUILDING_DATABASES
};

struct building_env {
    MDB_env *env;
    MDB_dbi dbi[BUILDING_DATABASES];
};

/* ERR_IO, ERR_NOMEM. Then building_publish or, always allowed, building_discard. */
int building_begin(const char *path, struct building *out_building, struct err *err);

/* The environment in it, with its databases made and empty; the caller's to close. */
int building_open(const struct building *building, uint64_t map_bytes, unsigned flags,
                  struct building_env *out_env, struct err *err);

/* Once the environment is synced and closed: the sentinel, and every file synced. */
int building_seal(const struct building *building, const char *id, struct err *err);

/* Gives it its name, durably. *out_taken, and ERR_OK: something is there already, and
 * nothing was named. building_discard is still to be called. */
int building_publish(struct building *building, bool *out_taken, struct err *err);

/* Frees it, and removes what was built unless it was published. */
void building_discard(struct building *building);

#endif
