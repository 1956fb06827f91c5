/* tests/replay_errands.h: what else reads a journal and writes or asks a database, one
 * after the other, over the journal of a life (tests/replay_life.h): events that are gone
 * are put back, each record is looked up, all is applied to a second database. Any call
 * within may fail: what failed is done again, as a person would.
 */
#ifndef HOLDFAST_TESTS_REPLAY_ERRANDS_H
#define HOLDFAST_TESTS_REPLAY_ERRANDS_H

#include "tests/replay_life.h"

struct replay_errands {
    struct replay_life life; /* lived without a fault; its journal is open */
    struct db_config past;   /* the second database */
    struct db_hosts *hosts;
    struct journal_entries entries; /* of the first lane */
    char *expected;                 /* what the second database holds */
};

void replay_errands_open(struct replay_errands *errands);
void replay_errands_close(struct replay_errands *errands);

/* Events are gone, the second database is empty. */
void replay_errands_start(struct replay_errands *errands);
/* Asserts nothing; what is wrong is in life.broken. */
void replay_errands_run(struct replay_errands *errands);
/* Both databases hold what they are to hold, or life.broken says what is wrong. */
void replay_errands_check(struct replay_errands *errands);

#endif
