/* audit/explain.h: what is known of one entity: its records in the journal, its row and
 * its events in the database, its dead letters, and whether they agree. A door.
 *
 * Nothing is changed and nothing is locked.
 */
#ifndef HOLDFAST_AUDIT_EXPLAIN_H
#define HOLDFAST_AUDIT_EXPLAIN_H

#include "audit/deep.h"

struct explain_rules {
    struct journal *journal;
    int64_t now_us;
    int64_t since_us; /* the age that events are kept; 0: for ever */
    int32_t zone_offset_s;
    size_t limit; /* of each list; what is beyond is counted */
    /* Now and then: the entry that the reading has come to. NULL: none. */
    void (*progress)(uint64_t at, uint64_t end, void *context);
    void *context;
};

/* A record that the journal retains. */
struct explain_record {
    uint64_t seq;
    uint32_t index;
    uint32_t lane;
    uint64_t batch_seq;
    int64_t received_at_us;
    int64_t time_us;
    bool applied; /* by the ledger; then: */
    uint64_t entity_id;
    uint64_t event_id;  /* 0: it is not there */
    bool made_by_other; /* another record has made the event, as far as can be told */
    bool gap;           /* of this kind: */
    enum deep_kind kind;
    bool columns[STREAM_COLUMNS_MAX]; /* of the stream's event columns, those that hold
                                       * other values than this record says */
};

/* An event in the database, under the entity's key. */
struct explain_event {
    uint64_t id;
    uint64_t entity_id;
    bool timed;
    int64_t time_us;
    bool received; /* the table says when: */
    int64_t received_at_us;
    char *type;     /* what kind it is, UTF-8; NULL: the table doesn't say */
    bool stands_in; /* for a lost one, made by `repair`: see schema/recovery.h */
};

enum { EXPLAIN_REASON_MAX = 64 };

/* A dead letter whose bytes hold the key. */
struct explain_letter {
    uint64_t seq;
    uint32_t index;
    enum journal_dead_state state;
    int64_t at_us;
    char reason[EXPLAIN_REASON_MAX];
    char field[EXPLAIN_REASON_MAX];
};

/* A lane that has records of it. */
struct explain_lane {
    uint32_t lane;
    uint64_t applied_seq; /* as the ledger says; 0: nothing */
    int64_t moved_us;     /* when the ledger last moved; 0: never */
};

struct explain_time {
    bool there; /* the entity table has such a column */
    bool known; /* it isn't NULL */
    int64_t us;
    bool by_events;       /* there are events: */
    int64_t by_events_us; /* what it should be by these */
    bool off;
};

/* The entity's row. */
struct explain_entity {
    uint64_t id;
    struct explain_time first;
    struct explain_time last;
    bool has_count;
    int64_t count;
    uint64_t events;
    bool count_off;
    bool missing; /* it has no event, and should */
};

struct explain_report {
    bool known; /* there is anything at all about it */
    bool agrees;
    uint64_t first_seq; /* of the stream's entries that are retained; 0: none */
    int64_t first_at_us;
    bool entity_found;
    struct explain_entity entity;
    struct explain_record *records; /* by seq and index */
    size_t record_count;
    uint64_t records_found;
    uint64_t gaps;                /* of these */
    struct explain_event *events; /* by time */
    size_t event_count;
    struct explain_letter *letters; /* by seq and index */
    size_t letter_count;
    uint64_t letters_found;
    struct explain_lane *lanes;
    size_t lane_count;
};

/* Reads the journal through, and asks the database. out_report is filled in on success,
 * to be freed. ERR_SCHEMA: the stream's tables are not there, or not as it needs them.
 * Errors as db_query and the journal's; ERR_NOMEM. */
int explain_entity(struct db *db, const struct stream *stream, const struct value *key,
                   const struct explain_rules *rules, struct explain_report *out_report,
                   struct err *err);
void explain_report_free(struct explain_report *report);

#endif
