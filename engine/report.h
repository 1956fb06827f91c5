/* engine/report.h: one snapshot of journal and replay, for status, metrics and the page.
 */
#ifndef HOLDFAST_ENGINE_REPORT_H
#define HOLDFAST_ENGINE_REPORT_H

#include "engine/engine.h"

/* One lane: what the journal knows of it, and what replay does with it. */
struct report_lane {
    struct journal_lane journal;
    const struct lane_status *replay; /* NULL: none serves it; points into `replay` */
};

struct report {
    struct journal_stat stat;
    struct replay_status replay;
    struct report_lane *lanes; /* those with entries, then those that have none yet */
    size_t lane_count;
};

/* The journal is read before replay's status, so that no lane looks further in the ledger
 * than it has entries. */
int report_make(struct engine *engine, struct report *out_report, struct err *err);
void report_free(struct report *report);

/* Records of the lane that are not applied yet. */
uint64_t report_pending(const struct report_lane *lane);

/* Seconds since the lane's oldest unapplied entry came; 0: none. */
double report_pending_age_s(const struct report_lane *lane, int64_t wall_us);

/* Bytes of the journal that can't give way to new entries, estimated: those of entries
 * that are not applied, and of dead letters. */
uint64_t report_held_bytes(const struct report *report, int64_t wall_us);

/* What the journal can hold: its max_size or, where its disk has less room, what it has
 * in use and may take. */
uint64_t report_capacity_bytes(const struct report *report);

/* What is free on the journal's disk or, where that is more, what intake may take though
 * the disk is nearly full: the journal itself has filled it, and has room within. */
uint64_t report_disk_room_bytes(const struct report *report);

#endif
