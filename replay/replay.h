/* replay/replay.h: journal -> database, the one path; recovery is the same path from an
 * older position.
 *
 * replay_start gives every (stream, lane) that is configured, or has entries in the
 * journal, to a bounded pool of worker threads, each with one connection. It returns
 * at once: the database may be down. Nothing here logs; the observer is told what
 * happened and the engine decides what to say.
 */
#ifndef HOLDFAST_REPLAY_REPLAY_H
#define HOLDFAST_REPLAY_REPLAY_H

#include "base/clock.h"
#include "journal/journal.h"
#include "replay/sink.h"
#include "schema/stream.h"

enum lane_state {
    LANE_STARTING, /* not compared with its ledger yet */
    LANE_IDLE,     /* all applied */
    LANE_APPLYING,
    LANE_WAITING, /* backing off after a passing fault */
    LANE_STOPPED, /* a person must look; tried again slowly where that can help */
    LANE_PAUSED,
    LANE_ORPHANED /* has entries to apply, and its stream is not configured any more */
};

const char *lane_state_name(enum lane_state state);

struct lane_counts {
    uint64_t applied_records; /* since start */
    uint64_t events;
    uint64_t duplicates;
    uint64_t conflicts;
    uint64_t dead_letters; /* made by replay since start */
    uint64_t transactions;
    struct histogram apply_times; /* of transactions that were seen to commit */
    struct histogram lags; /* of these: from their oldest entry's arrival to the commit */
    uint64_t retries[4];   /* by enum retry_class */
    uint64_t ambiguous_committed; /* unknown commits that the ledger showed as done */
    uint64_t ambiguous_lost;
    uint64_t rewinds;
};

enum retry_class { RETRY_TRANSIENT, RETRY_UNKNOWN, RETRY_RESOURCE, RETRY_MISS };

struct lane_status {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    enum lane_state state;
    char notes[512];          /* what the examination of the sink found worth a warning */
    struct err reason;        /* why it waits or is stopped; ERR_OK otherwise */
    uint32_t failures;        /* in a row */
    int64_t next_try_us;      /* steady clock; 0: none */
    struct ledger_row ledger; /* as last read or written */
    struct lane_counts counts;
    uint64_t first_seq; /* of the transaction in hand, or the last one */
    uint64_t last_seq;
    uint64_t records;
    size_t transaction_records_max; /* present adaptive size */
    uint32_t dead_in_a_row;
};

struct replay_status {
    struct lane_status *lanes; /* free() */
    size_t lane_count;
    bool paused;
    bool connected; /* at least one worker */
};

/* Told from worker threads, without locks held; must not block long. */
struct replay_observer {
    void *context;
    /* the lane's done mark moved to `seq` */
    void (*applied)(void *context, const char *stream, uint32_t lane, uint64_t seq);
    /* one line for the log: event is a stable name: of a lane lane_stopped, lane_resumed,
     * retry, commit_unknown, commit_resolved, rewound, dead_letter, transaction_begun,
     * transaction_done, sink_note; of a connection, with lane NULL, connected,
     * connect_failed, connection_lost. err may be ERR_OK and still hold a message. */
    void (*event)(void *context, const char *event, const struct lane_status *lane,
                  const struct err *err);
};

struct replay_config {
    const struct stream *const *streams; /* borrowed until replay_stop */
    size_t stream_count;
    struct journal *journal;
    const struct clock *clock;
    struct replay_observer observer;
    /* makes one sink a worker */
    int (*sink_new)(void *context, struct sink **out_sink, struct err *err);
    void *sink_context;
    size_t connections; /* workers; at most the number of lanes */
    bool validate;
    uint64_t rows_per_second_max;   /* 0: none */
    size_t transaction_records_max; /* upper bound of the adaptive size; default 10000 */
    uint64_t transaction_bytes_max;
    size_t statement_rows_max;
    int64_t backoff_min_us; /* defaults 50 ms, 30 s; slow retry 60 s */
    int64_t backoff_max_us;
    int64_t stopped_retry_us;
    uint32_t dead_in_a_row_max; /* 100 */
};
void replay_config_defaults(struct replay_config *config);

struct replay;

int replay_start(const struct replay_config *config, struct replay **out_replay,
                 struct err *err);

/* Lets transactions in hand end within `deadline_us` (steady), then cuts their
 * connections, joins the workers and frees. Accepts NULL. */
void replay_stop(struct replay *replay, int64_t deadline_us);

/* New entries may be there. Cheap; any thread, also the journal's writer. */
void replay_wake(struct replay *replay);

/* Lanes stand still after their present transaction, and `true` waits for that, at most
 * 3 s: ERR_TIMEOUT then, and they stand still when it has ended. Remembered in the
 * journal, so it survives a restart. */
int replay_pause(struct replay *replay, bool paused, struct err *err);

/* `deadletter accept`: the lane goes on after dead_in_a_row_max. ERR_NOT_FOUND. */
int replay_accept_dead(struct replay *replay, const char *stream, uint32_t lane,
                       struct err *err);

/* The entries behind the lane's ledger position that are no longer there, for which it is
 * stopped. ERR_NOT_FOUND: nothing is missing, or no such lane. */
int replay_gap_find(struct replay *replay, const char *stream, uint32_t lane,
                    struct journal_gap *out_gap, struct err *err);

/* Lets the lane pass over that gap, if it still ends at `to`: its records are given up,
 * durably. Else as replay_gap_find, and ERR_INVALID. */
int replay_gap_accept(struct replay *replay, const char *stream, uint32_t lane,
                      const struct journal_position *to, struct err *err);

int replay_status(struct replay *replay, struct replay_status *out_status,
                  struct err *err);

#endif
