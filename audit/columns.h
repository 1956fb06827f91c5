/* audit/columns.h: which columns and indexes a stream's tables have for the questions of
 * check and repair. Not a door. */
#ifndef HOLDFAST_AUDIT_COLUMNS_H
#define HOLDFAST_AUDIT_COLUMNS_H

#include "replay/db.h"
#include "schema/stream.h"

enum { COLUMNS_INDEX_MAX = 64 };

/* NULL: the stream, or this site's older table, has no such column. */
struct audit_columns {
    const struct stream *stream;
    int32_t zone_offset_s; /* of DATETIME columns */
    bool found;            /* both tables are there; else all below is empty */
    bool entity_has[STREAM_COLUMNS_MAX];
    bool event_has[STREAM_COLUMNS_MAX];
    const struct stream_column *key;       /* of the entity */
    const struct stream_column *first;     /* entity: the earliest time */
    const struct stream_column *last;      /* entity: the latest time */
    const struct stream_column *count;     /* entity: its events */
    const struct stream_column *time;      /* event */
    const struct stream_column *marker;    /* event: see schema/recovery.h */
    const struct stream_column *event_key; /* event: the entity's key */
    char ref_index[COLUMNS_INDEX_MAX + 1]; /* of the event table: by entity */
    char key_index[COLUMNS_INDEX_MAX + 1]; /* by key and time; "": none */
};

/* ERR_SCHEMA: no index leads from an entity to its events, so that every question would
 * read the whole table. Otherwise as db_query; ERR_NOMEM. */
int columns_find(struct db *db, const struct stream *stream, int32_t zone_offset_s,
                 struct audit_columns *out_columns, struct err *err);

/* `alias`.`name` */
void columns_append(struct buf *out, const char *alias, const char *name);

/* The time in a cell of that column; false: NULL, or no time (0000-00-00). */
bool columns_read_time(const struct audit_columns *columns,
                       const struct stream_column *column, struct slice cell,
                       int64_t *out_us);

/* A time as a literal for that column. */
void columns_append_time(struct buf *out, const struct audit_columns *columns,
                         const struct stream_column *column, int64_t time_us);

#endif
