/* audit/repair.h: gives entities without events their events back, and mends counts and
 * times that disagree with the events. A door.
 *
 * Where the journal still retains the records, their own events are written again. Every
 * other missing entity gets one event at its first time that says by its type that it
 * stands in for a lost one (schema/recovery.h); replay puts the real record in its place
 * should it come. Neither changes the entity's count: it stands for an event that was
 * counted when it was first written.
 *
 * All goes in chunks, each a transaction of its own that locks its entities before it
 * looks at their events, so engines may go on applying, and whoever interrupts it runs it
 * again. A chunk that meets a deadlock is done once more.
 */
#ifndef HOLDFAST_AUDIT_REPAIR_H
#define HOLDFAST_AUDIT_REPAIR_H

#include "audit/check.h"
#include "journal/journal.h"

enum { REPAIR_SAMPLE = 10, REPAIR_KEY_MAX = 64 };

struct repair_rules {
    struct check_rules check; /* now, since, zone; progress is called with the number of
                               * entities mended so far, and 0 */
    struct journal *journal;  /* NULL: there is none to take events from */
    bool execute;             /* false: the plan alone, nothing is changed */
    size_t chunk_rows;        /* entities a transaction; 0: 500 */
};

struct repair_sample {
    uint64_t id;
    char key[REPAIR_KEY_MAX + 1]; /* cut */
    bool timed;
    int64_t time_us;
    bool in_journal; /* its own events are retained */
    uint64_t events; /* counts: as the events have it */
    int64_t count;   /* counts: as the entity has it */
};

struct repair_report {
    uint64_t missing;      /* entities without events, found */
    uint64_t in_journal;   /* of these, with records in the journal */
    uint64_t stand_ins;    /* of these, that get (or got) an event that stands in */
    uint64_t untimed;      /* of these, without any time: nothing can be written */
    uint64_t restored;     /* execute: events written from the journal */
    uint64_t inserted;     /* execute: stand-ins written */
    uint64_t counts_off;   /* counts: entities to mend, */
    uint64_t counts_fixed; /* and mended */
    char no_stand_in[256]; /* why this stream can't have stand-ins; "": it can */
    struct repair_sample sample[REPAIR_SAMPLE];
    size_t sample_count;
};

/* Plans or does it for one stream. ERR_SCHEMA: its tables are not there, or can't be
 * asked without reading all of them. Errors as db_exec and the journal's; what was
 * committed before an error stays, and is right. */
int repair_events(struct db *db, const struct stream *stream,
                  const struct repair_rules *rules, struct repair_report *out_report,
                  struct err *err);

/* The same for the counts and times of entities that have events. */
int repair_counts(struct db *db, const struct stream *stream,
                  const struct repair_rules *rules, struct repair_report *out_report,
                  struct err *err);

#endif
