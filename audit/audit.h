/* audit/audit.h: the law of conservation, proved from two sides. The folder's door.
 *
 * For each lane, at the position L that its ledger row holds:
 *
 *     records accepted + dead letters retried up to L
 *         = new events + duplicates + conflicts + dead letters of entries up to L
 *           + records given up with a gap
 *
 * and what the journal holds above L is pending, whatever dead letters it has. A dead
 * letter counts on the right whatever became of it, and once more on the left of the lane
 * in which it was tried again. The left side is the journal's (each entry carries its
 * lane's running counts), events, duplicates, conflicts and what was given up are the
 * database's, written in the data's transaction.
 *
 * Done marks are read first, then the ledger, then everything else, evaluated at what the
 * ledger said, so that an engine may go on applying meanwhile: a ledger that is behind an
 * earlier done mark is a database that was rewound, never one that was slow.
 */
#ifndef HOLDFAST_AUDIT_AUDIT_H
#define HOLDFAST_AUDIT_AUDIT_H

#include "journal/journal.h"
#include "replay/db.h"
#include "replay/ledger.h"
#include "schema/stream.h"

enum { AUDIT_PROBLEM_MAX = 512 };

struct audit_lane {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    bool configured;
    bool in_journal;          /* false: only the ledger knows it */
    struct ledger_row ledger; /* not found: nothing is applied, L is 0 */
    uint64_t done_seq;        /* the journal's done mark before the ledger was read */
    uint64_t accepted;        /* by the journal, ever */
    uint64_t retried;         /* in this lane, ever */
    bool position_known;      /* the journal still knows its counts at L: */
    struct journal_counts position_counts;
    uint64_t dead_kept; /* dead letters of entries up to L */
    uint64_t dead_retried;
    uint64_t dead_purged;
    /* filled in by audit_judge */
    uint64_t pending;
    int64_t unaccounted; /* the left side less the right one; 0 where the law holds */
    char problem[AUDIT_PROBLEM_MAX]; /* "": none */
};

struct audit_stream {
    const struct stream *stream;
    bool entity_found; /* the table is there */
    bool event_found;
    uint64_t entities; /* rows */
    uint64_t events;
};

struct audit_report {
    char journal_id[JOURNAL_ID_TEXT];
    struct audit_lane *lanes; /* by stream and lane */
    size_t lane_count;
    struct audit_stream *streams;
    size_t stream_count;
    bool ledger_found; /* the ledger table is there */
    size_t problems;   /* lanes with a problem */
};

/* Audits the journal against the database that `db` is connected to; the streams are
 * those that are configured. Reads only. 0 where it could be done, whatever it found.
 * Errors as db_query and the journal's reading functions; ERR_NOMEM. */
int audit_run(struct journal *journal, struct db *db, const struct stream *const *streams,
              size_t stream_count, struct audit_report *out_report, struct err *err);
void audit_report_free(struct audit_report *report);

/* Fills in pending, unaccounted and problem from the rest. Pure. `problem` may hold a
 * finding already, which stays. */
void audit_judge(struct audit_lane *lane);

#endif
