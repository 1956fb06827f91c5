/* replay/lane.h: one lane's way from the journal to the database: compare with the
 * ledger, apply, mark done, and what to do when that fails.
 *
 * A lane belongs to one worker thread, which calls lane_step() with its sink; only
 * `status` is shared, under the replay's lock.
 */
#ifndef HOLDFAST_REPLAY_LANE_H
#define HOLDFAST_REPLAY_LANE_H

#include "replay/plan.h"
#include "replay/replay.h"

#include <pthread.h>

/* What all lanes of one replay share. */
struct lane_shared {
    struct replay_config config;
    const char *journal_id;
    pthread_mutex_t lock; /* the status of every lane, pace */
    struct pace pace;
};

struct lane {
    struct lane_shared *shared;
    const struct stream *stream; /* NULL: not configured any more */
    struct ledger_lane id;
    char stream_name[JOURNAL_STREAM_MAX + 1];

    /* the worker's own */
    bool compared;            /* with the ledger, on the present connection */
    struct ledger_row ledger; /* what it held then, or since the last commit */
    struct plan plan;
    uint32_t misses;                   /* in a row */
    bool unknown;                      /* a COMMIT was sent and not answered */
    struct journal_position attempted; /* by that one */
    uint32_t dead_in_a_row;
    int64_t next_try_us; /* 0: at once */

    /* under shared->lock */
    struct lane_status status;
    bool dead_accepted; /* an operator takes what the lane stopped for */
};

/* `stream` NULL: an orphaned lane, which only has a status. */
void lane_init(struct lane *lane, struct lane_shared *shared, const char *name,
               const struct stream *stream, uint32_t number);

/* True where lane_step would do something at `now_us` (steady). False: *out_wake_us is
 * when it is worth asking again, INT64_MAX: only when something comes. */
bool lane_is_ready(struct lane *lane, int64_t now_us, int64_t *out_wake_us);

/* One comparison or one transaction. The sink is connected. */
void lane_step(struct lane *lane, struct sink *sink);

/* The worker's connection is gone: nothing expires until the ledger is seen again. */
void lane_disconnected(struct lane *lane);

/* The worker can't connect: the lane waits until `next_try_us` for that reason. */
void lane_wait(struct lane *lane, const struct err *why, int64_t next_try_us);

void lane_set_paused(struct lane *lane, bool paused);

#endif
