/* replay/lookup.h: what the database holds for records of the journal. A door for audit.
 *
 * Reads only, in single statements over lists of keys, which lock nothing and wait for
 * nobody. Entries are read by the decoder of replay; dead letters are left out.
 */
#ifndef HOLDFAST_REPLAY_LOOKUP_H
#define HOLDFAST_REPLAY_LOOKUP_H

#include "journal/journal.h"
#include "replay/db.h"
#include "replay/sink.h"

struct lookup;

/* Examines the stream's tables. `db`, `journal` and `stream` are borrowed. ERR_SCHEMA:
 * they are not there, or not as the stream needs them; ERR_NOMEM; errors as db_query. */
int lookup_new(struct db *db, struct journal *journal, const struct stream *stream,
               int32_t zone_offset_s, struct lookup **out_lookup, struct err *err);
void lookup_free(struct lookup *lookup);

/* One record, and what there is for it. */
struct lookup_fact {
    const struct apply_record *record;
    bool first;            /* of its event key, among the records looked up together */
    uint64_t entity_id;    /* 0: there is no such entity */
    bool has_last;         /* the entity table has the column of the last time: */
    bool last_known;       /* it is not NULL */
    int64_t last_us;       /* and is this */
    uint64_t event_id;     /* 0: there is no such event; then nothing of what follows */
    uint64_t event_entity; /* that it belongs to */
    bool received_here;    /* it says that it was received with this record's entry */
    bool stands_in;        /* for a lost one, see schema/recovery.h; the record doesn't */
    bool differs;          /* in any of these: */
    const bool *columns;   /* one for each of the stream's event columns: it holds another
                            * value than this record would have left there. Never the time
                            * of receipt */
};

struct lookup_visit {
    /* Which entities are asked for, by key; NULL: all. */
    bool (*wants)(const struct value *key, void *context);
    /* Each record in order. `fact` is valid within the call. */
    int (*record)(const struct lookup_fact *fact, void *context, struct err *err);
    /* A row that can't be read under today's configuration; NULL: passed over. Before
     * the records. */
    int (*unreadable)(uint64_t seq, uint32_t index, const struct reject *why,
                      void *context, struct err *err);
    void *context;
};

/* The first code of a visit that is not 0 ends it and is returned. Errors as db_query and
 * the journal's; ERR_NOMEM. Memory: a few hundred bytes a record of the entries. */
int lookup_entries(struct lookup *lookup, const struct journal_entries *entries,
                   const struct lookup_visit *visit, struct err *err);

/* The same without the database: the facts hold but the record. */
int lookup_records(struct lookup *lookup, const struct journal_entries *entries,
                   const struct lookup_visit *visit, struct err *err);

/* Text that is the same for two records if and only if they name the same event. */
void lookup_append_event_key(struct buf *out, const struct stream *stream,
                             const struct apply_record *record);

/* The event table's time of receipt counts in this unit; 0: it has no such column. */
int64_t lookup_received_unit_us(const struct lookup *lookup);

#endif
