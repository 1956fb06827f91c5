/* audit/check.h: has every entity its events, and do they agree? A door.
 *
 * Nothing is changed and nothing is locked: each chunk of entities is one reading
 * statement. Engines may go on applying meanwhile, since an entity and its events are
 * committed together.
 *
 * Operators purge old events. Entities that were last seen before `since` are "aged":
 * they miss nothing. Of entities that were first seen before it, some events may be gone:
 * their count may be higher than what is there, their first time earlier.
 */
#ifndef HOLDFAST_AUDIT_CHECK_H
#define HOLDFAST_AUDIT_CHECK_H

#include "replay/db.h"
#include "schema/stream.h"

struct check_rules {
    int64_t now_us;
    int64_t since_us; /* the age that events are kept; 0: for ever */
    int32_t zone_offset_s;
    size_t chunk_rows; /* entities a statement; 0: 2000 */
    bool explain;
    /* After each chunk: ids up to `at` of about `end`. False ends it with ERR_CLOSED.
     * NULL: none. */
    bool (*progress)(void *context, uint64_t at, uint64_t end);
    void *progress_context;
};

/* Entities without events that follow one another in the table, by id and in time. */
struct check_run {
    uint64_t first_id;
    uint64_t last_id;
    uint64_t count;
    int64_t first_us;
    int64_t last_us;
};

struct check_day {
    int64_t day; /* since 1970-01-01, in the time zone */
    uint64_t count;
};

/* Entities without events whose times lie close together. */
struct check_burst {
    int64_t first_us;
    int64_t last_us;
    uint64_t first_id; /* smallest and largest */
    uint64_t last_id;
    uint64_t count;
    uint64_t runs;
    uint64_t longest_run;
    bool likely; /* an interruption: many in a row */
};

enum {
    CHECK_RUNS_MAX = 20,      /* the longest are kept */
    CHECK_BURSTS_MAX = 50,    /* the largest */
    CHECK_DAYS_MAX = 4096,    /* the first met */
    CHECK_BURST_GAP_S = 1800, /* without a missing entity: another burst */
    CHECK_LIKELY_RUN = 10,    /* in a row: that is no chance */
};

struct check_explained {
    struct check_day *days; /* by day */
    size_t day_count;
    struct check_run *runs; /* longest first */
    size_t run_count;
    uint64_t runs_total;
    struct check_burst *bursts; /* by time */
    size_t burst_count;
    uint64_t untimed;  /* without a time: in no day and no burst */
    uint64_t unplaced; /* beyond what is kept of days and times */
};

struct check_report {
    const struct stream *stream;
    bool found; /* both tables are there; else nothing else is filled in */
    int64_t at_us;
    uint64_t took_us;
    uint64_t entities;
    uint64_t missing; /* without an event, and not aged */
    uint64_t aged;
    uint64_t events; /* of entities */
    uint64_t stray;  /* events without an entity */
    bool counts;     /* the stream has such columns: */
    bool firsts;
    bool lasts;
    uint64_t count_off; /* entities whose column disagrees with their events */
    uint64_t first_off;
    uint64_t last_off;
    bool explained;
    struct check_explained why;
};

/* Checks one stream. out_report is filled in on success, to be freed. Errors as db_query;
 * ERR_SCHEMA: an index is lacking; ERR_CLOSED: `progress` said so; ERR_NOMEM. */
int check_stream(struct db *db, const struct stream *stream,
                 const struct check_rules *rules, struct check_report *out_report,
                 struct err *err);
void check_report_free(struct check_report *report);

/* Share of entities that have what they should, in hundredths of a percent, cut, so that
 * 10000 means all of them. Pure. */
uint32_t check_coverage(const struct check_report *report);

/* Has an entity a count or a time that its events don't have? Pure. */
bool check_disagrees(const struct check_report *report);

/* Is the coverage, not cut, below so many hundredths of a percent? Pure. */
bool check_is_below(const struct check_report *report, uint32_t threshold);

#endif
