/* tests/replay_life.h: a whole life of replay over a journal and a real server, in one
 * call: entries of three lanes are applied on both paths, with duplicates, conflicts,
 * records that can't be read and one that the database refuses; lanes are added, the
 * ledger of one goes back, replay is paused and looked at. Any call within may fail: the
 * life goes on as the engine would, until all is applied. Afterwards, with nothing
 * failing any more, the tables must hold what they hold after a life without a fault.
 */
#ifndef HOLDFAST_TESTS_REPLAY_LIFE_H
#define HOLDFAST_TESTS_REPLAY_LIFE_H

#include "replay/replay.h"
#include "tests/journal_kit.h"
#include "tests/world.h"

enum { REPLAY_LIFE_TEXT = 1024, REPLAY_LIFE_STREAMS = 2 };

struct replay_life {
    struct world w;
    struct db_config db;
    struct sink_mariadb_config sink;
    struct db_hosts *hosts;
    struct stream *streams[REPLAY_LIFE_STREAMS];
    struct stream *wide; /* the first one as it was when an entry came */
    char password_file[WORLD_PATH_MAX];
    char *expected; /* what the tables hold after a life without a fault */

    struct kit kit;
    struct replay *replay;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned troubles; /* that the observer was told of, or that a call gave */
    char broken[REPLAY_LIFE_TEXT]; /* the first promise that was not kept; "": none */
};

/* What its tables hold, as one text. */
extern const char replay_life_sql[];

/* Once: the tables, on the shared server; and a life without a fault. */
void replay_life_open(struct replay_life *life);
void replay_life_close(struct replay_life *life);

/* A new journal with entries, and empty tables. */
void replay_life_start(struct replay_life *life);
/* Lives. Asserts nothing. */
void replay_life_run(struct replay_life *life);
/* Looks; what is wrong is in life->broken. No journal is open afterwards. */
void replay_life_check(struct replay_life *life);

#endif
