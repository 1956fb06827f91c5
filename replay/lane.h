/* replay/lane.h: one lane's way from the journal to the database: compare with the
 * ledger, apply, mark done, and what to do when that fails.
 *
 * A lane belongs to one worker thread, which calls lane_step() with its link; only
 * `status` and the operator's wishes are shared, under the replay's lock, which is never
 * held across I/O.
 */
#ifndef HOLDFAST_REPLAY_LANE_H
#define HOLDFAST_REPLAY_LANE_H

#include "replay/ahead.h"
#include "replay/layout.h"
#include "replay/plan.h"
#include "replay/replay.h"

#include <pthread.h>

/* What all lanes of one replay share. */
struct lane_shared {
    struct replay_config config;
    const char *journal_id;
    pthread_mutex_t lock; /* the status of every lane, pace, doubts */
    struct pace pace;
    uint64_t doubts; /* how often the database went back, or may have */
};

enum { LANE_NOTES_MAX = sizeof((struct lane_status *)0)->notes };

/* A stream that was prepared on the present connection. */
struct lane_prepared {
    const struct stream *stream;
    char notes[LANE_NOTES_MAX];
};

/* A worker's connection, as its lanes use it. */
struct lane_link {
    struct sink *sink;
    struct ahead *ahead;
    struct lane_prepared *prepared; /* room for every configured stream */
    size_t prepared_count;          /* 0 after each connect */
};

struct lane {
    struct lane_shared *shared;
    const struct stream *stream; /* NULL: not configured any more; nothing is applied */
    struct ledger_lane id;
    char stream_name[JOURNAL_STREAM_MAX + 1];

    /* the worker's own */
    bool compared;            /* with the ledger, on the present connection */
    struct ledger_row ledger; /* what it held then, or since the last commit */
    uint64_t doubts;          /* those of `shared` before the ledger was asked */
    struct plan plan;
    struct layout layout;
    size_t in_hand;                    /* records of the transaction in hand; 0: none */
    uint32_t failures;                 /* in a row, of whatever */
    uint32_t misses;                   /* in a row */
    bool unknown;                      /* a COMMIT was sent and not answered */
    struct journal_position attempted; /* by that one */
    bool stopped;                      /* until something passes */
    struct err stop_reason;            /* as it was told */
    uint32_t dead_in_a_row;
    uint64_t dead_seq; /* the last dead letter that was made here */
    uint32_t dead_index;
    bool ends_well;      /* a record of the transaction in hand comes after that one */
    uint64_t buried_seq; /* the first dead letter of the last bisection */
    uint32_t buried_index;
    int64_t next_try_us; /* 0: at once */
    uint64_t random;     /* for the backoff's jitter */

    /* under shared->lock */
    struct lane_status status;
    bool dead_accepted; /* an operator takes what the lane stopped for, until a record
                         * passes */
    bool try_now;
};

/* `stream` NULL: the lane is compared with its ledger, so that its entries may expire,
 * unless some are pending: then it is orphaned and only has a status. `layout` is the
 * stream's, filled in by the caller afterwards. */
void lane_init(struct lane *lane, struct lane_shared *shared, const char *name,
               const struct stream *stream, uint32_t number);

/* The worker's own question. */
bool lane_is_orphaned(const struct lane *lane);

/* True where lane_step would do something at `now_us` (steady). False: *out_wake_us is
 * when it is worth asking again, INT64_MAX: only when something comes. */
bool lane_is_ready(struct lane *lane, int64_t now_us, int64_t *out_wake_us);

/* One comparison or one transaction. The link is connected. */
void lane_step(struct lane *lane, struct lane_link *link);

/* The worker's connection is gone: nothing expires until the ledger is seen again. */
void lane_disconnected(struct lane *lane);

/* Compares again at the next step, though the connection is the same; nothing expires
 * until then: whoever asks doesn't know. */
void lane_recheck(struct lane *lane);

/* The worker can't connect: the lane waits, or is stopped where that takes a person,
 * until `next_try_us`. */
void lane_cannot_connect(struct lane *lane, const struct err *why, int64_t next_try_us);

/* ---- For replay/lane*.c ------------------------------------------------------------ */

static inline const struct replay_config *lane_config(const struct lane *lane)
{
    return &lane->shared->config;
}

static inline int64_t lane_now_us(const struct lane *lane)
{
    return clock_steady_us(lane_config(lane)->clock);
}

/* Tells the observer, with a copy of the status. err NULL: none. */
void lane_tell(struct lane *lane, const char *event, const struct err *err);

/* The state for all to see, with what belongs to it. */
void lane_publish(struct lane *lane, enum lane_state state, const struct err *why);

/* A transaction of `totals` by fate is in the database, whoever saw it commit. */
void lane_count(struct lane *lane, const uint64_t totals[FATE_COUNT]);

/* The ledger has to be compared before anything else, and nothing expires until then. */
void lane_forget_ledger(struct lane *lane);

/* The lane's entries may go and others may rely on its done mark, as far as it has come:
 * its ledger was asked. Unless another lane has found meanwhile that the database went
 * back, or lost its connection: then this one compares again. */
void lane_confirm(struct lane *lane);

/* Moves the journal's done mark to the ledger's position and tells. */
int lane_mark_done(struct lane *lane, const struct ledger_row *row, struct err *err);

/* replay/lane_compare.c: the ledger against the journal. ERR_OK: they agree. */
int lane_compare(struct lane *lane, struct lane_link *link, struct err *err);

/* replay/lane_gap.c: moves the ledger from `row` over the gap behind it, and has the lane
 * compare again. ERR_NOT_FOUND: that gap was not accepted. */
int lane_pass_gap(struct lane *lane, struct sink *sink, const struct ledger_row *row,
                  struct err *err);

/* replay/lane_apply.c: one transaction of what is ready; nothing is: ERR_OK. */
int lane_apply(struct lane *lane, struct lane_link *link, struct err *err);

#endif
