/* schema/spec.h: a stream as configuration writes it, before it is checked.
 *
 * Plain data that borrows its strings; whoever filled it in (the configuration, a test)
 * owns them. stream_new() in schema/stream.h turns it into a checked struct stream.
 */
#ifndef HOLDFAST_SCHEMA_SPEC_H
#define HOLDFAST_SCHEMA_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column_type {
    COLUMN_STRING,    /* VARCHAR(max), max in characters */
    COLUMN_IP,        /* VARCHAR(15), canonical dotted IPv4 */
    COLUMN_TIMESTAMP, /* an instant, 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC */
    COLUMN_DATETIME,  /* a local time in the configured zone, years 1000 to 9999 */
    COLUMN_INTEGER,   /* 8, 16, 32 or 64 bits, signed or not */
    COLUMN_FLOAT,     /* 32 or 64 bits, finite */
    COLUMN_BOOL,      /* TINYINT(1) */
    COLUMN_ENUM,      /* one of its members */
};

/* How an entity column follows the records of its key. */
enum merge_rule {
    MERGE_NONE,     /* the database's own: never written (id, created_time) */
    MERGE_KEY,      /* the entity key */
    MERGE_FIRST,    /* the first value that a record carried, in seq order */
    MERGE_LATEST,   /* of the newest record that carries it; all such columns together */
    MERGE_MIN,      /* smallest value carried */
    MERGE_MAX,      /* largest value carried */
    MERGE_COUNT,    /* number of new events */
    MERGE_CONSTANT, /* `value`, written when the entity is made */
};

/* `from` of the event column that says when the batch was journaled. */
#define COLUMN_FROM_RECEIVED "$received"

struct column_spec {
    const char *name;
    enum column_type type;
    uint32_t max;               /* STRING: characters */
    uint32_t bits;              /* INTEGER, FLOAT; 0: 32 */
    bool is_unsigned;           /* INTEGER */
    uint32_t precision;         /* TIMESTAMP, DATETIME: digits of a second, 0 to 6 */
    const char *const *members; /* ENUM */
    size_t member_count;
    const char *from;          /* record field; NULL: none */
    enum merge_rule merge;     /* entity columns only */
    const char *value;         /* MERGE_CONSTANT, or an event column's constant */
    const char *default_value; /* where a record lacks the field; "now": the database's
                                * CURRENT_TIMESTAMP, for columns that nobody writes */
    bool not_null;
    bool optional; /* older tables may lack it: then it is left out */
};

struct index_spec {
    const char *const *columns;
    size_t column_count;
    const char *name; /* NULL: made from the columns */
};

struct table_spec {
    const char *table; /* may hold {stream}, replaced by the stream's name */
    const char *id;    /* AUTO_INCREMENT primary key */
    uint32_t id_bits;  /* 32 or 64; 0: 64 */
    const struct column_spec *columns;
    size_t column_count;
    const struct index_spec *indexes;
    size_t index_count;
};

enum on_conflict { CONFLICT_COUNT, CONFLICT_KEEP };

struct stream_spec {
    const char *name; /* [A-Za-z0-9_]{1,32} */
    uint32_t lanes;   /* 1 to 64; 0: 1 */
    enum on_conflict on_conflict;
    struct table_spec entity;
    struct table_spec event;
    const char *entity_ref;       /* event column, BIGINT or INT as the entity's id: the
                                   * foreign key to it */
    const char *time;             /* record field that is the observation's time */
    const char *const *event_key; /* event columns; the entity key's field among them */
    size_t event_key_count;
    const char *const *compare; /* event columns that tell a conflict from a duplicate */
    size_t compare_count;
    const char *const *csv; /* record fields, in the order of a CSV line without
                             * header */
    size_t csv_count;
};

#endif
