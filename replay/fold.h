/* replay/fold.h: what a run of records comes to, in memory. Pure.
 *
 * Folding gives what applying record by record in seq order would. The `latest` columns
 * of an entity move together, from one record whose time is not below the stored
 * last_seen, and absent fields stay; since the stored last_seen is not known here, the
 * fold keeps for each column the last value among the records that are not older than any
 * before them in the run, with that record's time: fold_entity_latest() then tells, for
 * the last_seen found under the row's lock, whether it is to be written.
 */
#ifndef HOLDFAST_REPLAY_FOLD_H
#define HOLDFAST_REPLAY_FOLD_H

#include "replay/sink.h"

/* One entity column's fold; value.type ABSENT: no record carried it. */
struct fold_cell {
    struct value value;
    int64_t time_us; /* LATEST: of the record that it comes from */
};

struct fold_entity {
    struct value key;
    struct fold_cell *cells; /* stream->entity.column_count */
    uint32_t *events;        /* indexes into fold.events, in seq order */
    size_t event_count;
};

/* One distinct event key of the run. */
struct fold_event {
    uint32_t record; /* the first record with this key: the one to be stored */
    uint32_t entity; /* index into fold.entities */
};

struct fold {
    const struct stream *stream;
    struct fold_entity *entities; /* in key order, which is the locking order */
    size_t entity_count;
    struct fold_event *events; /* in (entity, key) order */
    size_t event_count;
    uint32_t *event_of; /* for each record, its event; later records of the same
                         * event are duplicates or conflicts of the first */
    void *memory;
};

/* Records' values stay borrowed. ERR_NOMEM. */
int fold_new(const struct stream *stream, const struct apply_record *records,
             size_t count, struct fold *out_fold, struct err *err);
void fold_free(struct fold *fold);

/* The orders that `entities` and `events` are in: of two entity keys, and of two records
 * by entity key, then event key. */
int fold_order_keys(const struct stream *stream, const struct value *a,
                    const struct value *b);
int fold_order_records(const struct stream *stream, const struct apply_record *a,
                       const struct apply_record *b);

/* The value to write into a LATEST column where the locked row's last_seen is
 * `stored_us` (has_stored false: NULL); ABSENT: leave the column alone. */
struct value fold_entity_latest(const struct fold_entity *entity, size_t column,
                                bool has_stored, int64_t stored_us);

/* What to write into a column of an entity that has no row yet: the folded value, the
 * constant or fallback, count 0, ABSENT for NULL. MIN, MAX and FIRST see the fallback
 * that the first record of the run would have left. */
struct value fold_entity_initial(const struct fold *fold,
                                 const struct apply_record *records,
                                 const struct fold_entity *entity, size_t index);

/* The value that an event column stores for a record: constant, fallback or the time of
 * receipt where they apply, cut to the column's width; ABSENT for NULL. */
struct value fold_event_value(const struct stream_column *column,
                              const struct apply_record *record);

/* DUPLICATE where all compare columns of the two agree (as the event columns would store
 * them: with fallbacks, cut to width), else CONFLICT. */
enum record_fate fold_compare(const struct stream *stream, const struct value *stored,
                              const struct value *later);

#endif
