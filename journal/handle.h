/* journal/handle.h: what a journal's handle holds; shared by the folder's files.
 *
 * One lock, never held across I/O. Every member says who may touch it:
 *   (set)    set at open, constant afterwards
 *   (lock)   under `lock`
 *   (writer) the writer's thread alone
 */
#ifndef HOLDFAST_JOURNAL_HANDLE_H
#define HOLDFAST_JOURNAL_HANDLE_H

#include "journal/format.h"
#include "journal/journal.h"
#include "journal/space.h"
#include "journal/store.h"

#include <pthread.h>
#include <semaphore.h>

enum { LANES_MAX = 65536, PARTS_MAX = 65536 };

struct lane {
    char stream[JOURNAL_STREAM_MAX + 1]; /* (set) */
    uint32_t number;                     /* (set) */

    /* (lock) as committed, but that done and done_running are the newest in memory */
    bool exists;
    struct format_lane record;
    bool mark_dirty; /* the done mark is newer than the disk's */
    bool confirmed;
    /* the lane has no entry above hint_after and below hint_next; 0: no hint */
    uint64_t hint_after;
    uint64_t hint_next;
    uint64_t oldest_from; /* no entry below it is retained in full */

    /* (writer) the state that the transaction in hand will leave */
    struct format_lane next;
    bool next_exists;
    uint64_t first_new; /* its first entry in this transaction; 0: none */
    bool touched;
    bool rewound;
    bool expirable; /* confirmed, when the transaction began */
    struct lane *next_touched;
};

struct change;

/* Something to be done by the writer for a caller who waits: settings, dead letters,
 * rewinding. Lives on the caller's stack. */
struct operation {
    int (*apply)(struct change *change, struct operation *operation, struct err *err);
    void *context;
    struct err err;
    sem_t finished;
    struct operation *next;
};

/* The sweeps behind a pending entry. */
struct expiry_state {
    uint64_t aged_seq;    /* where the one for what is over its time goes on; 0: none */
    int64_t next_aged_us; /* steady: when a new one is due */
    uint64_t room_seq;    /* where the one for room goes on */
    bool moved;           /* lanes moved since that one was at the front */
};

/* The file as it was last seen. Only the writer lengthens it. */
struct extent {
    uint64_t bytes;   /* its length */
    uint64_t written; /* of it is on the disk; the rest are holes */
    uint64_t end;     /* the last used page's end, then */
};

struct journal {
    struct journal_config config; /* (set) path is the store's */
    struct store store;           /* (set) */
    bool reader;                  /* (set) */
    uint64_t reserve_bytes;       /* (set) */
    pthread_t thread;             /* (set) */

    pthread_mutex_t refreshing; /* one thread at a time reads the lanes anew (readers) */
    pthread_mutex_t lock;
    pthread_cond_t work; /* signalled when the writer waits and something comes */

    /* (lock) the queue */
    struct journal_append *appends;
    struct journal_append **appends_end;
    struct operation *operations;
    struct operation **operations_end;
    uint64_t queue_bytes;
    bool waiting; /* the writer waits on `work` */
    bool stopping;

    /* (lock) what is known */
    struct err fatal;          /* the first HALT error */
    struct format_state state; /* as committed */
    struct lane **lanes;       /* sorted; only the writer adds */
    size_t lane_count;
    size_t lane_capacity;
    bool marks_dirty;
    int64_t marks_since_us; /* steady */
    bool lanes_moved;       /* a mark or confirmation came: expiry may find more */
    uint64_t commits;
    struct histogram commit_times;
    bool refusing;
    uint64_t full_from; /* no entry below it is retained in full */
    void (*on_commit)(void *context);
    void *on_commit_context;

    /* (writer) */
    struct expiry_state expiry;
    int64_t next_expiry_us; /* steady */
    int64_t next_reader_check_us;
    int64_t preallocate_after_us; /* steady: not before, after a failure */
    struct extent extent;
    struct buf scratch;
};

/* Looks at the file. Costs more than the call: a file whose times were read gets new ones
 * at its next write, and the sync after that writes its inode too. */
int handle_look_at_file(const struct journal *journal, struct extent *out_extent,
                        struct err *err);

/* How full map and disk are, by the trees as a transaction sees them. */
int handle_measure(const struct journal *journal, const struct extent *extent,
                   const struct store_tree trees[STORE_TREES], struct space *out_space,
                   struct err *err);

/* What whoever is refused for want of room is told. */
extern const char handle_full_advice[];

/* The error that a dead handle repeats; ERR_OK while it is well. Under the lock. */
int handle_check_alive(const struct journal *journal, struct err *err);

/* ERR_INVALID on a handle opened for reading. */
int handle_check_writable(const struct journal *journal, struct err *err);

/* Hands an operation to the writer and waits. Returns operation->err.code. */
int handle_run(struct journal *journal, struct operation *operation, struct err *err);

#endif
