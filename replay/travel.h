/* replay/travel.h: entries that the journal retains, applied on purpose: to another
 * database (time travel, a fresh copy), or to the journal's own one where its ledger says
 * that it went back. A door.
 *
 * The way is the lanes': the same portions, the same transaction over both tables with
 * the target's ledger moved by compare-and-set first. So it may be interrupted anywhere
 * and done again, beside another that does the same, and beside an engine.
 *
 * Under which name the target's ledger keeps its place:
 *   - the journal's own id, where the range goes on from what that ledger says is applied
 *     there (nothing, in an empty database). Such a target is what the engine would have
 *     made: an engine that is pointed at it later goes on behind it.
 *   - a name made of the id and the range's first entry, where the range begins later and
 *     leaves out entries that the target lacks. The journal's own position stays where it
 *     is: an engine that is pointed at it applies all that it retains, and what is there
 *     already is found as duplicates; so is what two ranges have in common.
 *
 * Nothing is written to the journal, and a reader's handle will do: a record that the
 * target refuses ends it, since only the engine makes dead letters; those that there are
 * stay left out.
 */
#ifndef HOLDFAST_REPLAY_TRAVEL_H
#define HOLDFAST_REPLAY_TRAVEL_H

#include "base/clock.h"
#include "journal/journal.h"
#include "replay/db.h"
#include "replay/sink.h"
#include "schema/stream.h"

enum { TRAVEL_PROBLEM_MAX = 400 };

struct travel_bound {
    enum { TRAVEL_OPEN, TRAVEL_SEQ, TRAVEL_TIME } kind;
    uint64_t seq;
    int64_t time_us; /* when it was received */
};

struct travel_config {
    struct journal *journal;             /* borrowed until travel_plan_free, as */
    const struct stream *const *streams; /* these */
    size_t stream_count;
    struct travel_bound from; /* the first entry at or after the time; open: from where
                               * the target's ledger stands */
    struct travel_bound to;   /* all before the first entry after the time; open: what is
                               * there now. Both are widened to whole batches. */
    bool here; /* the target is the journal's own database: at most up to the done marks,
                * and under its own id */
};

struct travel_lane {
    const struct stream *stream;
    uint32_t lane;
    char ledger[JOURNAL_ID_TEXT]; /* its name in the target's ledger */
    struct ledger_row row;        /* what that one says */
    uint64_t done_seq;            /* the journal's done mark */
    uint64_t after_seq;           /* begins behind this entry, */
    uint64_t to_seq;              /* and ends with the last one up to this */
    uint64_t first_seq;           /* to be applied; 0: nothing */
    uint64_t last_seq;
    uint64_t entries;
    uint64_t records; /* of these; dead letters among them are left out */
    int64_t first_at_us;
    int64_t last_at_us;
    char problem[TRAVEL_PROBLEM_MAX]; /* why it can't be done; "": it can */
};

struct travel_plan {
    struct travel_config config;
    struct travel_lane *lanes; /* by stream and lane */
    size_t lane_count;
    uint64_t from_seq; /* of the range; 1: from the beginning */
    uint64_t to_seq;
    uint64_t batches;
    uint64_t entries;
    uint64_t records;
    uint64_t left_out; /* entries in the range of streams that are not among the
                        * configured ones */
    bool rewound;      /* a lane's ledger is behind its done mark */
    size_t problems;   /* lanes that have one */
};

/* What would be done, from the journal and the ledger in the database that `db` is on (no
 * ledger there: nothing is applied). Reads only, in short steps. Errors as the journal's
 * reading functions and db_query; ERR_NOMEM. */
int travel_plan_make(const struct travel_config *config, struct db *db,
                     struct travel_plan *out_plan, struct err *err);
void travel_plan_free(struct travel_plan *plan);

struct travel_run {
    struct sink *sink; /* borrowed; connects and makes tables as it was made to */
    const struct clock *clock;
    bool validate;
    uint64_t rows_per_second_max;
    size_t transaction_records_max;
    /* Now and then. NULL: none. */
    void (*progress)(uint64_t records, void *context);
    void *context;
};

struct travel_report {
    uint64_t events; /* new ones */
    uint64_t duplicates;
    uint64_t conflicts;
    uint64_t transactions;
};

/* Does what the plan says; one thread, which sleeps between tries. A passing fault is
 * waited for, a minute or so altogether; then, and for all else, it ends with what is
 * wrong, and what was applied stays so. *out_report is what this call was seen to apply,
 * also on failure. ERR_GAP: an entry left the journal meanwhile. ERR_DATA: the target
 * refuses a record, which is named. Other errors as the sink's. */
int travel_run(const struct travel_plan *plan, const struct travel_run *run,
               struct travel_report *out_report, struct err *err);

#endif
