/* journal/journal.h: the durable, ordered sequence of entries. The folder's door; what is
 * done to whole journals, apart from the engine, is behind journal/tools.h.
 *
 * Promise: when an append completes with ERR_OK its entries survive power loss; they
 * stay until they are marked done, and then for `retain`. The payload is opaque here.
 *
 * After an error of class HALT from the writer the handle is dead: every call that would
 * write repeats that first error and only journal_close() is useful. There is no second
 * try on a handle whose sync failed: a restart reads what the disk really holds.
 *
 * Threads: every function may be called from any thread unless it says otherwise; one
 * writer thread inside owns all write transactions, reading functions use short read
 * transactions of their own. The handle must not be used across fork().
 *
 * Words (see docs): an append is one batch; it becomes one entry per lane and stream;
 * seq is an entry's place, dense, from 1; sum is its checksum (XXH3-128).
 */
#ifndef HOLDFAST_JOURNAL_JOURNAL_H
#define HOLDFAST_JOURNAL_JOURNAL_H

#include "base/clock.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JOURNAL_ID_TEXT = 33, /* 32 hex digits and NUL */
    JOURNAL_SUM_LEN = 16,
    JOURNAL_STREAM_MAX = 64, /* bytes of a stream's name */
    JOURNAL_RECEIPT_KEY_MAX = 256,
    JOURNAL_ANSWER_MAX = 16384, /* bytes of a receipt's stored answer */
    JOURNAL_REASON_MAX = 255,
};

struct journal;

struct journal_config {
    const char *path;          /* the journal's directory */
    uint64_t size_max;         /* bytes of the map; set once, page-aligned up */
    uint64_t preallocate;      /* bytes of written zeros kept ahead; 0: none */
    int64_t retain_us;         /* how long applied entries stay */
    uint64_t dead_letters_max; /* bytes of all dead letters together */
    int64_t receipts_retain_us;
    uint64_t receipts_max;     /* number of receipts */
    uint64_t queue_bytes_max;  /* payload waiting for the writer; beyond: ERR_BUSY */
    uint64_t reserve;          /* bytes kept free for draining; 0: chosen by size */
    const struct clock *clock; /* borrowed for the life of the handle */
};

/* Fills in DESIGN's defaults; path and clock are NULL and &clock_system. */
void journal_config_defaults(struct journal_config *config);

/* Opens the journal and starts its writer, creating it power-safely where the directory
 * does not exist (or is empty) and `create` is set. Takes the writer's lock.
 * ERR_LOCKED: another process writes to it (its pid is named). ERR_NOT_FOUND: no journal
 * and !create. ERR_CORRUPT: damaged, truncated or emptied; nothing was changed.
 * ERR_VERSION: made by a newer version. ERR_IO, ERR_NOMEM. */
int journal_open(const struct journal_config *config, bool create,
                 struct journal **out_journal, struct err *err);

/* Opens for reading only, beside a living writer or without one: the reading functions
 * work, the writing ones give ERR_INVALID. Takes no lock. Errors as journal_open. */
int journal_open_reader(const char *path, struct journal **out_journal, struct err *err);

/* Completes what is queued (commits it, or fails it with ERR_CLOSED when the handle is
 * dead), stops the writer and frees everything. Accepts NULL. */
void journal_close(struct journal *journal);

/* The journal's identity, 32 hex digits; valid until close. */
const char *journal_id(const struct journal *journal);

/* The first error of class HALT of the writer; ERR_OK while it is well. */
int journal_health(struct journal *journal, struct err *err);

/* ---- Appending ---------------------------------------------------------------- */

/* A record that was taken but can't be applied, kept with its bytes and its reason. */
struct journal_dead_letter {
    uint32_t index; /* place in its entry, see journal_part.records */
    int64_t at_us;
    const char *reason; /* stable word, such as "too_long" */
    const char *field;  /* "" where it is about the whole record */
    const char *detail; /* a sentence for a person, cut at JOURNAL_REASON_MAX */
    struct slice bytes; /* the record as it came, or as it can be shown */
};

/* A dead letter's place: its entry and its index there. */
struct journal_dead_place {
    uint64_t seq;
    uint32_t index;
};

/* One entry to be: the records of one batch for one lane of one stream. */
struct journal_part {
    const char *stream;
    uint32_t lane;
    uint32_t records; /* all records counted as accepted: rows of the payload (index 0
                       * to records - dead_count - 1), then its dead letters */
    struct slice payload;
    const struct journal_dead_letter *dead;
    size_t dead_count;
    /* Not NULL: row i of the payload is this dead letter tried again. The entry then has
     * just these records and no dead letters of its own, its records aren't accepted
     * anew, and in the same commit each letter becomes RETRIED. Where one isn't KEPT any
     * more the whole append is refused with ERR_NOT_FOUND. */
    const struct journal_dead_place *retried; /* `records` of them, ascending; none is in
                                               * two parts */
};

/* The idempotency key of a batch. `scope_key` names token, path and key together. */
struct journal_receipt {
    struct slice scope_key; /* at most JOURNAL_RECEIPT_KEY_MAX bytes; empty: none */
    uint8_t body_sum[16];
    struct slice answer; /* opaque, at most JOURNAL_ANSWER_MAX bytes */
};

enum journal_outcome {
    JOURNAL_APPENDED,
    JOURNAL_REPLAYED, /* the key is known with the same body: nothing was appended */
};

struct journal_append {
    /* in: borrowed until `done` is called */
    const struct journal_part *parts; /* at least one; entries get seqs in this order */
    size_t part_count;
    struct journal_receipt receipt;
    int64_t received_at_us;
    /* called once, on the writer's thread (or on the caller's, when it is refused at
     * once); must not block and must not call back into appending functions */
    void (*done)(struct journal_append *append);
    void *context;

    /* out: valid in `done` */
    struct err err; /* ERR_OK, or why not */
    enum journal_outcome outcome;
    uint64_t first_seq;          /* of the batch, replayed or new */
    struct slice answer;         /* JOURNAL_REPLAYED: what the receipt holds; valid only
                                  * within `done` */
    struct journal_append *next; /* the journal's own */
};

/* Hands one batch to the writer; never blocks on I/O. `done` tells the outcome:
 * ERR_OK: durable (or replayed). ERR_FULL: journal, disk reserve or dead-letter room;
 * nothing was written. ERR_BUSY: too much is waiting. ERR_KEY_REUSED: the key is known
 * with another body. ERR_TOO_LARGE: it can't fit into this journal at all. ERR_UNKNOWN:
 * the commit's outcome is unknown and the handle is dead now. ERR_IO: it was dead
 * before; nothing was written. ERR_CLOSED: closing. ERR_INVALID: parts out of bounds. */
void journal_submit(struct journal *journal, struct journal_append *append);

/* As journal_submit, and waits; `append->done` and `context` are the journal's here.
 * Returns append->err.code. A replayed answer is not handed out. */
int journal_append_wait(struct journal *journal, struct journal_append *append);

/* Looks a receipt up without appending. 0: found, *out_first_seq set, answer appended to
 * `answer`; ERR_NOT_FOUND; ERR_KEY_REUSED: another body; ERR_CORRUPT, ERR_IO. */
int journal_receipt_find(struct journal *journal, struct slice scope_key,
                         const uint8_t body_sum[16], uint64_t *out_first_seq,
                         struct buf *answer, struct err *err);

/* Called on the writer's thread after every durable commit; must not block. NULL: none.
 */
void journal_set_listener(struct journal *journal, void (*on_commit)(void *context),
                          void *context);

/* ---- Reading entries ------------------------------------------------------------ */

struct journal_entry {
    uint64_t seq;
    const char *stream; /* points into the set */
    uint32_t lane;
    uint64_t batch_seq; /* first seq of its batch */
    uint32_t batch_entries;
    uint32_t records;
    uint32_t accepted; /* of these, counted as accepted: all or, in a retry, none */
    uint64_t running;  /* records accepted in this lane up to and with this entry */
    uint64_t retried;  /* and records that were retried */
    int64_t received_at_us;
    uint8_t sum[JOURNAL_SUM_LEN];
    enum {
        JOURNAL_ENTRY_FULL,
        JOURNAL_ENTRY_EXPIRED, /* applied, its payload given up early: header only */
        JOURNAL_ENTRY_GAP      /* lost to damage, put there by journal repair */
    } state;
    struct slice payload; /* points into the set; empty unless FULL */
};

/* Owned copies of entries, in seq order. */
struct journal_entries {
    struct journal_entry *items;
    size_t count;
    void *memory;
};

void journal_entries_free(struct journal_entries *entries);

/* A position of one lane: the last seq applied and its sum; seq 0 and zeros: nothing. */
struct journal_position {
    uint64_t seq;
    uint8_t sum[JOURNAL_SUM_LEN];
};

/* Copies the lane's entries after `after_seq`, oldest first: at least one if there is
 * one, then while their payloads stay within `bytes_max` together, their records within
 * `records_max` and their number within `entries_max`. Every checksum, the density of
 * seq and the lane's running count are verified. Nothing there: count 0.
 * ERR_GAP: entries after `after_seq` that the lane had are no longer retained, or are
 * EXPIRED or GAP; the first such seq is named. ERR_CORRUPT, ERR_IO, ERR_NOMEM. */
struct journal_read_limits {
    uint64_t bytes_max;
    uint64_t records_max;
    size_t entries_max;
};
int journal_read_lane(struct journal *journal, const char *stream, uint32_t lane,
                      uint64_t after_seq, const struct journal_read_limits *limits,
                      struct journal_entries *out_entries, struct err *err);

/* One entry by seq, whatever its lane. ERR_NOT_FOUND: not retained, or not written yet.
 */
int journal_read_entry(struct journal *journal, uint64_t seq,
                       struct journal_entries *out_entries, struct err *err);

/* Visits headers (payload empty, checksum not read) from `from_seq` on, in bounded read
 * transactions; stops when `visit` returns false. */
int journal_visit(struct journal *journal, uint64_t from_seq,
                  bool (*visit)(const struct journal_entry *entry, void *context),
                  void *context, struct err *err);

/* ---- Lanes: done marks, confirmation, dead letters ------------------------------- */

struct journal_lane {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    uint64_t last_seq; /* its newest entry */
    uint64_t running;  /* records accepted in this lane, ever */
    uint64_t retried;  /* dead letters tried again in this lane, ever */
    struct journal_position done;
    uint64_t done_running; /* both, up to the done mark */
    uint64_t done_retried;
    uint64_t oldest_seq;          /* its oldest entry still retained in full; 0: none */
    int64_t oldest_pending_at_us; /* received_at of its first unapplied entry; 0: none */
    uint64_t rejected;            /* dead letters made at intake, ever */
    uint64_t given_up;            /* dead letters purged, ever */
    bool confirmed; /* a ledger position is confirmed on a live connection */
};

/* Records in entries above the done mark, retried ones among them. */
static inline uint64_t journal_lane_pending(const struct journal_lane *lane)
{
    return lane->running - lane->done_running + lane->retried - lane->done_retried;
}

/* All lanes that ever had an entry, sorted by stream and lane. Caller frees *out_lanes
 * with free(). Done marks are those in memory: newer than what the disk may hold. */
int journal_lanes(struct journal *journal, struct journal_lane **out_lanes,
                  size_t *out_count, struct err *err);

/* One lane; ERR_NOT_FOUND where it never had an entry. */
int journal_lane_get(struct journal *journal, const char *stream, uint32_t lane,
                     struct journal_lane *out_lane, struct err *err);

/* Notes that the lane is applied through `done` (a seq of this lane with its sum). Only
 * forward; takes effect at once in memory and is folded into the next commit, or
 * committed alone within a second: a lost mark is found again in the ledger.
 * ERR_IDENTITY: no such entry with that sum. */
int journal_mark_done(struct journal *journal, const char *stream, uint32_t lane,
                      const struct journal_position *done, struct err *err);

/* Sets the done mark back to `position`, durably, before it returns: the database was
 * rewound. Nothing of the lane above it expires from now on. */
int journal_rewind(struct journal *journal, const char *stream, uint32_t lane,
                   const struct journal_position *position, struct err *err);

/* ERR_OK if the journal's entry at position->seq is of this lane and has that sum (seq 0:
 * always). ERR_IDENTITY: it has another one, or is beyond the journal's end.
 * ERR_GAP: not retained any more, so that it can't be told. */
int journal_check_position(struct journal *journal, const char *stream, uint32_t lane,
                           const struct journal_position *position, struct err *err);

/* How much a lane counted up to a position. */
struct journal_counts {
    uint64_t running; /* records accepted */
    uint64_t retried; /* dead letters tried again */
};

/* journal_check_position, and what the lane had counted there. */
int journal_position_counts(struct journal *journal, const char *stream, uint32_t lane,
                            const struct journal_position *position,
                            struct journal_counts *out_counts, struct err *err);

/* The lane's ledger position has been compared on the present connection and agrees up to
 * its done mark; only then may its applied entries expire. Withdraw when the connection
 * is lost. */
void journal_confirm(struct journal *journal, const char *stream, uint32_t lane,
                     bool confirmed);

/* Writes dead letters of an entry, durably, before it returns; one that exists under the
 * same seq and index is left as it is. ERR_FULL: over dead_letters_max. */
int journal_dead_letters_add(struct journal *journal, uint64_t seq,
                             const struct journal_dead_letter *dead, size_t count,
                             struct err *err);

enum journal_dead_state {
    JOURNAL_DEAD_KEPT,
    JOURNAL_DEAD_RETRIED, /* its record is in entry `retried_seq` now; bytes gone */
    JOURNAL_DEAD_PURGED,  /* given up by an operator; bytes gone */
    JOURNAL_DEAD_CONFLICT /* a copy of a record that was counted as a conflict */
};

struct journal_dead_entry {
    uint64_t seq;
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    enum journal_dead_state state;
    uint64_t retried_seq;
    bool at_intake; /* made when the batch was taken, not when it was applied */
    struct journal_dead_letter letter; /* its pointers are valid only in the visit */
};

/* Visits dead letters from (from_seq, 0) through to_seq in order of seq and index, in
 * bounded read transactions; stops when `visit` returns false. */
int journal_dead_letters_visit(struct journal *journal, uint64_t from_seq,
                               uint64_t to_seq,
                               bool (*visit)(const struct journal_dead_entry *entry,
                                             void *context),
                               void *context, struct err *err);

/* As journal_dead_letters_add, for copies of conflicts: they are not left out of replay
 * and not counted as dead letters. */
int journal_conflicts_add(struct journal *journal, uint64_t seq,
                          const struct journal_dead_letter *dead, size_t count,
                          struct err *err);

/* Gives dead letters up: their bytes go, a tombstone stays (a copy of a conflict goes
 * altogether, since it was counted as one). Those that are not kept any more are passed
 * over. Durable before it returns; *out_purged is how many went. */
int journal_dead_letters_purge(struct journal *journal,
                               const struct journal_dead_place *places, size_t count,
                               size_t *out_purged, struct err *err);

/* What a lane can't read behind a position: entries that are no longer retained in full,
 * or were lost to damage, up to the next one that is there. */
struct journal_gap {
    /* in: where the lane stands, and what it had counted there, as the ledger says, since
     * that entry may be gone too */
    uint64_t after_seq;
    struct journal_counts after_counts;

    /* out */
    uint64_t first_seq;         /* first entry of the lane that is known to be gone */
    struct journal_position to; /* the last one before what is there */
    struct journal_counts to_counts;
    uint64_t records;      /* that the lane counted between the two, */
    uint64_t dead_letters; /* and of these the dead letters, which are kept */
};

/* ERR_NOT_FOUND: the entry behind it can be read, or there is none. ERR_BUSY: the lane
 * moved meanwhile. ERR_CORRUPT, ERR_IO, ERR_NOMEM. */
int journal_gap_find(struct journal *journal, const char *stream, uint32_t lane,
                     struct journal_gap *gap, struct err *err);

/* ---- Operation ------------------------------------------------------------------ */

/* Small durable settings of the engine ("paused"); value at most 255 bytes. */
int journal_setting_put(struct journal *journal, const char *name, const char *value,
                        struct err *err);
/* ERR_NOT_FOUND where it was never put. */
int journal_setting_get(struct journal *journal, const char *name, struct buf *out_value,
                        struct err *err);

struct journal_stat {
    uint64_t size_max;   /* bytes of the map */
    uint64_t file_bytes; /* the file's length on disk */
    uint64_t used_bytes; /* pages that hold something */
    uint64_t free_bytes; /* what intake may still take before it is refused */
    uint64_t disk_free_bytes;
    uint64_t reserve_bytes;
    uint64_t first_seq; /* oldest retained; 0: empty */
    uint64_t next_seq;
    uint64_t records; /* accepted, ever */
    uint64_t dead_letter_bytes;
    uint64_t dead_letters; /* kept now */
    uint64_t receipts;
    uint64_t commits;              /* since open */
    struct histogram commit_times; /* since open: how long each took */
    uint64_t queue_bytes;
    int64_t oldest_at_us; /* received_at of the oldest entry in full: the reach */
    bool refusing;        /* below the reserve: only draining */
};
int journal_stat(struct journal *journal, struct journal_stat *out_stat, struct err *err);

/* Reads the whole journal in a child process, since LMDB may abort or fault on damaged
 * pages: every checksum, density, running counts, done marks. Progress goes to `report`
 * (may be NULL) with entries seen. 0: sound. ERR_CORRUPT: what and where; a child killed
 * by a signal is ERR_CORRUPT too. Call before threads are started (it forks). */
struct journal_verify_result {
    uint64_t entries;
    uint64_t records;
    uint64_t bytes;
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t problems;
    uint64_t first_bad_seq;
};
int journal_verify(const char *path,
                   void (*report)(const struct journal_verify_result *sofar,
                                  void *context),
                   void *context, struct journal_verify_result *out_result,
                   struct err *err);

#endif
