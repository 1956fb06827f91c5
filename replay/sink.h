/* replay/sink.h: where a lane applies its entries. An interface because two real
 * implementations exist: MariaDB/MySQL (replay/sink_mariadb.c) and the tests' fake.
 *
 * The sink does one transaction when asked; policy (which entries, when again, how
 * large, what becomes a dead letter) is the lane's.
 * Threads: one sink, one thread at a time.
 */
#ifndef HOLDFAST_REPLAY_SINK_H
#define HOLDFAST_REPLAY_SINK_H

#include "replay/ledger.h"
#include "schema/stream.h"

struct fold;

/* What became of a record in its transaction. */
enum record_fate { FATE_NEW, FATE_DUPLICATE, FATE_CONFLICT, FATE_COUNT };

/* One decoded record, in seq order within the request. */
struct apply_record {
    const struct value *values; /* stream->field_count */
    uint64_t seq;
    uint32_t index;         /* row of its entry */
    int64_t received_at_us; /* of its entry */
};

struct apply_request {
    const struct stream *stream;
    struct ledger_lane lane;
    const struct ledger_row *previous;  /* what the ledger must hold */
    struct journal_position last;       /* of the last entry in this transaction */
    uint64_t last_records;              /* that entry's running count, */
    uint64_t last_retried;              /* and its count of retried ones */
    uint64_t given_up;                  /* records that this transaction passes over */
    const struct apply_record *records; /* dead letters already left out; may be 0 */
    size_t record_count;
    const struct fold
        *fold; /* of these records, replay/fold.h; NULL: the sink makes it */
    size_t statement_rows_max;
    bool validate;
    bool trial; /* do all, check all, then ROLLBACK: is one of these records at fault? */
    /* Called with the records' fates when all but COMMIT is done (not for a trial); its
     * failure rolls back and is apply's. NULL: none. */
    int (*before_commit)(void *context, const uint8_t *fates, struct err *err);
    void *before_commit_context;
};

struct apply_result {
    struct ledger_row row; /* what the ledger holds after the commit */
    uint64_t totals[FATE_COUNT];
    uint64_t entities_new;
};

struct sink;

struct sink_ops {
    /* Connects and sets up the session. Errors: TRANSIENT, RESOURCE, SCHEMA (rights),
     * CONFIG (password file). Any earlier connection is closed first. */
    int (*connect)(struct sink *sink, struct err *err);
    void (*disconnect)(struct sink *sink);
    bool (*connected)(const struct sink *sink);

    /* Makes the stream's tables and the ledger where they are missing and examines what
     * is there; to be called once a stream and connection, before anything else.
     * ERR_SCHEMA: differences, all named. ERR_DURABILITY: durability is `require` and
     * the server does not keep what it commits. `notes` gets what is worth a warning, one
     * sentence a line. */
    int (*prepare)(struct sink *sink, const struct stream *stream, struct buf *notes,
                   struct err *err);

    /* The lane's ledger row, decided under its lock in a transaction of its own. */
    int (*position)(struct sink *sink, const struct ledger_lane *lane,
                    struct ledger_row *out_row, struct err *err);

    /* One transaction. fates[record_count] is filled in on success (may be NULL).
     * ERR_IDENTITY: the ledger is elsewhere (result->row is what it says): nothing was
     * done. ERR_MISS: a gate failed; rolled back. ERR_UNKNOWN: COMMIT may or may not
     * have happened; disconnected. TRANSIENT, RESOURCE, DATA, SCHEMA: rolled back. */
    int (*apply)(struct sink *sink, const struct apply_request *request,
                 struct apply_result *out_result, uint8_t *fates, struct err *err);

    /* Ends a call that hangs on the connection, and refuses every later one (ERR_CLOSED):
     * for a stop whose time is up. The one call allowed from another thread while the
     * sink is in use; not once `free` has been called. A login under way ends by its own
     * time-out. */
    void (*abort)(struct sink *sink);

    void (*free)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
};

enum durability { DURABILITY_WARN, DURABILITY_REQUIRE };

struct sink_mariadb_config {
    const struct db_config *db; /* borrowed, as hosts */
    struct db_hosts *hosts;
    enum durability durability;
    int32_t zone_offset_s; /* for DATETIME columns */
    bool create_tables;
    bool look_only; /* prepare changes nothing and notes what it would make; no more than
                     * that can be done then */
    size_t cache_bytes; /* what the fast path may remember; 0: the checked path only */
    size_t fast_records_min; /* transactions of fewer go the checked path; 0: 32 */
};
int sink_mariadb_new(const struct sink_mariadb_config *config, struct sink **out_sink,
                     struct err *err);

#endif
