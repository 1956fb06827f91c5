/* tests/fakes/fake_sink.h: a database in memory that any number of sinks connect to: one
 * ledger row a lane, the set of event keys with their event_type, the entities as counts
 * by key. It obeys replay/sink.h, transactions included: what fails leaves nothing.
 *
 * Faults are written down before they happen; each is used up by as many calls as it
 * says. A test looks at the database through the functions below, from any thread.
 */
#ifndef HOLDFAST_TESTS_FAKE_SINK_H
#define HOLDFAST_TESTS_FAKE_SINK_H

#include "replay/sink.h"

enum fake_call { FAKE_CONNECT, FAKE_PREPARE, FAKE_POSITION, FAKE_APPLY, FAKE_TRIAL };

struct fake_fault {
    enum fake_call call;
    const char *stream; /* NULL: any; connect has none */
    uint32_t after;     /* calls that pass first */
    uint32_t times;     /* 0: for ever */
    enum err_code code;
    bool committed;        /* apply: its commit takes effect all the same */
    bool disconnect;       /* the connection is lost */
    uint64_t over_records; /* apply: only transactions of more records than that */
};

struct fake_database;

struct fake_database *fake_new(void);
void fake_free(struct fake_database *database); /* once its sinks are freed */

/* For replay_config.sink_new; context: the database. */
int fake_sink_new(void *context, struct sink **out_sink, struct err *err);

void fake_fault(struct fake_database *database, const struct fake_fault *fault);
void fake_heal(struct fake_database *database); /* no faults any more */

/* Records for which it returns true are refused as ERR_DATA, "bad value at <ip>"; NULL:
 * none. Two or more records by `together` in one transaction are refused, none alone. */
typedef bool fake_predicate(const struct stream *stream, const struct value *values);
void fake_refuse(struct fake_database *database, fake_predicate *predicate);
void fake_refuse_together(struct fake_database *database, fake_predicate *predicate);

/* What prepare notes. "" at first. */
void fake_note(struct fake_database *database, const char *note);

/* apply hangs once it has begun, until fake_release or abort; fake_await_hanging returns
 * when one does. */
void fake_hang(struct fake_database *database);
void fake_await_hanging(struct fake_database *database);
void fake_release(struct fake_database *database);

/* The whole database as it is now; and back to it. One is kept. */
void fake_snapshot(struct fake_database *database);
void fake_rewind(struct fake_database *database);
/* All rows of the ledger gone, the data stays. */
void fake_drop_ledger(struct fake_database *database);

size_t fake_events(struct fake_database *database);
/* The sum of all entities' counts of new events. */
uint64_t fake_entity_events(struct fake_database *database);
bool fake_has_event(struct fake_database *database, const char *key); /* "<ip> <time>" */
struct ledger_row fake_ledger(struct fake_database *database, const char *stream,
                              uint32_t lane);
/* Overwrites it, also its sum. */
void fake_set_ledger(struct fake_database *database, const char *journal_id,
                     const char *stream, uint32_t lane, const struct ledger_row *row);

uint64_t fake_calls(struct fake_database *database, enum fake_call call);
/* The most records that one successful apply had, and the last one's statement rows. */
size_t fake_largest_apply(struct fake_database *database);
size_t fake_last_statement_rows(struct fake_database *database);

#endif
