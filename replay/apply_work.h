/* replay/apply_work.h: one run of records under way in its transaction, and the steps
 * that the checked path is made of and the fast one borrows from. Not a door.
 */
#ifndef HOLDFAST_REPLAY_APPLY_WORK_H
#define HOLDFAST_REPLAY_APPLY_WORK_H

#include "replay/apply.h"

enum {
    WORK_NO_RECORD = UINT32_MAX,
    /* MariaDB turns IN lists from 1000 values on into a join with a temporary table */
    WORK_LOOKUP_ROWS_MAX = 500,
    WORK_STATEMENT_BYTES_MAX = 4 << 20,
};

/* An entity's row. */
struct work_entity {
    uint64_t id;  /* 0: no row yet */
    bool trusted; /* the id is remembered: its row is not locked yet */
    bool made;    /* by this transaction */
    bool has_watermark;
    int64_t watermark_us;
    /* events with a later time are certainly not stored; INT64_MAX: nothing is known */
    int64_t newest_us;
    uint64_t events_new;
};

struct work {
    const struct apply_context *context;
    const struct stream *stream;
    const struct sink_tables *tables;
    const struct fold *fold;
    const struct apply_record *records;
    uint8_t *fates;
    struct work_entity *rows; /* one a fold entity */
    bool *found;              /* one a fold event: it is in the table */
    uint64_t *stand_ins;      /* one a fold event: the id of the event that stands in for
                               * it, see schema/recovery.h; 0: none */
    uint32_t *next_same; /* one a record: the next of the same event, or WORK_NO_RECORD */
    uint32_t *items;     /* room for the indexes that a step is about */
    struct buf sql;
    size_t bytes_max; /* of a statement */
    uint64_t made;    /* entities */
};

/* ERR_NOMEM; to be freed in any case. */
int work_start(struct work *at, const struct apply_context *context, uint8_t *fates,
               struct err *err);
void work_free(struct work *at);

/* One kind of statement over many items: head, items separated by commas, tail; and what
 * is to be done with it. head and tail are given the first item. */
struct work_statement {
    void (*head)(struct work *at, uint32_t first);
    void (*item)(struct work *at, uint32_t item);
    void (*tail)(struct work *at, uint32_t first);
    int (*run)(struct work *at, const uint32_t *items, size_t count, struct err *err);
    size_t rows_max; /* 0: as the request says */
};
int work_run(struct work *at, const struct work_statement *kind, const uint32_t *items,
             size_t count, struct err *err);

/* A `run` for INSERTs: every row must be new, without a warning. */
int work_insert(struct work *at, const uint32_t *items, size_t count, struct err *err);
void work_no_tail(struct work *at, uint32_t first);

/* ERR_MISS: a gate that didn't hold. */
int work_miss(const struct work *at, const char *what, uint64_t expected, uint64_t found,
              struct err *err);
int work_no_memory(struct err *err);

/* Into at->sql. */
void work_name(struct work *at, const char *name);
void work_value(struct work *at, const struct stream_column *column,
                const struct value *value);

const struct stream_column *work_key_column(const struct work *at);
bool work_is_written(const struct work *at, size_t column);

/* The fold entity of a key read from a table, among items in key order. NULL, and an
 * error of work_folded_key: none of them. */
const uint32_t *work_find_entity(const struct work *at, const uint32_t *items,
                                 size_t count, struct slice cell);
int work_folded_key(const struct work *at, const char *table, struct err *err);

/* Of statements that look events up: the columns of the event key, what lies between
 * "SELECT ..." and the list, its items, its end; and the event that a row's key (its
 * first cells) names, among items in order. NULL: none of them. */
const struct stream_column *work_event_key(const struct work *at, size_t i);
void work_event_keys(struct work *at);
void work_event_from(struct work *at);
void work_event_item(struct work *at, uint32_t item);
void work_list_tail(struct work *at, uint32_t first);
const uint32_t *work_find_event(const struct work *at, const uint32_t *items,
                                size_t count, const struct slice *cells);

/* Every entity that is there has its row's id and last time, which nothing locks. */
int work_look_up(struct work *at, struct err *err);

/* Every entity that is not trusted has its row, locked. */
int work_settle(struct work *at, struct err *err);

/* What the merge says about a column of an entity that is not trusted; ABSENT: nothing.
 * After work_decide. */
struct value work_merged_value(const struct work *at, uint32_t item, size_t column);
int work_merge(struct work *at, struct err *err);

/* Each record's fate. */
int work_decide(struct work *at, struct err *err);
int work_insert_events(struct work *at, struct err *err);

/* No entity is without an event; `all` false: those that got one in this transaction are
 * not asked about. */
int work_validate(struct work *at, bool all, struct err *err);

#endif
