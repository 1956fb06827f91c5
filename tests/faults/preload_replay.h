/* tests/faults/preload_replay.h: what preload_replay.c and a layer share: a page of
 * memory, a file that the layer makes and names in HOLDFAST_REPLAY_WATCH.
 *
 * Counted are the calls by which replay passes something on: send and recv on the
 * connections to the database's socket (HOLDFAST_REPLAY_SOCKET), pwrite, writev and
 * fdatasync on the journal. Other calls leave nothing outside of the process, so a
 * kill at them is a kill between two of these.
 */
#ifndef HOLDFAST_TESTS_FAULTS_PRELOAD_REPLAY_H
#define HOLDFAST_TESTS_FAULTS_PRELOAD_REPLAY_H

#include <stdint.h>

enum replay_kill {
    KILL_BEFORE,
    KILL_AFTER,
    KILL_HALFWAY, /* half of the bytes were sent or written; else as before */
    KILL_WAYS
};

enum { REPLAY_WHAT_MAX = 96 };

struct replay_watch {
    /* set by the layer */
    uint64_t kill_at; /* number of the call, from 1; 0: never */
    uint32_t how;     /* enum replay_kill */

    /* by the process; atomically */
    uint64_t calls;
    uint64_t begun;     /* transactions that have moved the ledger */
    uint64_t before;    /* calls before the first of them */
    uint64_t committed; /* of them, with an answer to COMMIT */
    uint32_t open;      /* begun, not answered and not rolled back */
    uint32_t killed;
    uint32_t open_at_kill;
    char what[REPLAY_WHAT_MAX]; /* the call that was met */
};

#endif
