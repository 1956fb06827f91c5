/* audit/deep.h: is what the journal retains of a stream in its tables? A door.
 *
 * Every retained entry that the ledger says is applied is read again, and each of its
 * records, but for dead letters, is looked up: its entity, its event, and what they hold.
 * Nothing is changed and nothing is locked; engines may go on applying meanwhile. A
 * restore of one of the tables shows here, where the ledger can't show it.
 *
 * Operators purge old events: of records from before `since` nothing is missed.
 */
#ifndef HOLDFAST_AUDIT_DEEP_H
#define HOLDFAST_AUDIT_DEEP_H

#include "journal/journal.h"
#include "replay/db.h"
#include "schema/stream.h"

/* kind, its word, a sentence for a person */
#define DEEP_KINDS(X)                                                                    \
    X(EVENT_MISSING, "event_missing", "the event is not there")                          \
    X(ENTITY_MISSING, "entity_missing", "the entity is not there")                       \
    X(BOTH_MISSING, "entity_and_event_missing",                                          \
      "neither the entity nor the event is there")                                       \
    X(OTHER_ENTITY, "other_entity", "the event belongs to another entity")               \
    X(ENTITY_BEHIND, "entity_behind", "the entity was last seen before this record")     \
    X(STANDS_IN, "stands_in", "an event made by `repair` is in its place")               \
    X(ALTERED, "altered", "the event holds other values")                                \
    X(UNREADABLE, "unreadable", "the record can't be read under today's configuration")

enum deep_kind {
#define X(kind, word, sentence) DEEP_##kind,
    DEEP_KINDS(X)
#undef X
        DEEP_KIND_COUNT
};

const char *deep_kind_word(enum deep_kind kind);
const char *deep_kind_sentence(enum deep_kind kind);

enum { DEEP_KEY_MAX = 64 };

struct deep_gap {
    const struct stream *stream;
    enum deep_kind kind;
    uint64_t seq;
    uint32_t index; /* the record's, in its entry */
    int64_t received_at_us;
    /* not of UNREADABLE: */
    char key[DEEP_KEY_MAX + 1]; /* of the entity, cut */
    int64_t time_us;            /* of the record */
    uint64_t entity_id;         /* 0: not there */
    uint64_t event_id;
    bool columns[STREAM_COLUMNS_MAX]; /* ALTERED: of the stream's event columns, those
                                       * that hold another value */
    struct reject why;                /* UNREADABLE */
};

struct deep_rules {
    int64_t now_us;
    int64_t since_us; /* the age that events are kept; 0: for ever */
    int32_t zone_offset_s;
    size_t group_records; /* looked up together; 0: 20000 */
    /* Each gap, once; those of ALTERED come late, otherwise by seq. */
    void (*gap)(const struct deep_gap *gap, void *context);
    /* Now and then: entries up to `at` of `end`. NULL: none. */
    void (*progress)(uint64_t at, uint64_t end, uint64_t records, void *context);
    void *context;
};

struct deep_report {
    uint64_t entries; /* read */
    uint64_t records; /* looked up */
    uint64_t first_seq;
    uint64_t last_seq;
    uint64_t aged;    /* of these, not there and older than `since` */
    uint64_t others;  /* of these, whose event was made by another record, with other
                       * values: no gap, as far as can be told */
    uint32_t foreign; /* lanes left out, since the ledger doesn't know this journal */
    uint64_t gaps;
    uint64_t kinds[DEEP_KIND_COUNT];
};

/* 0 where it could be done, whatever it found. ERR_SCHEMA: the tables are not there, or
 * not as the stream needs them. Errors as db_query and the journal's; ERR_NOMEM. Memory:
 * bounded by the group and the largest entry, whatever is found. */
int deep_stream(struct journal *journal, struct db *db, const struct stream *stream,
                const struct deep_rules *rules, struct deep_report *out_report,
                struct err *err);

#endif
