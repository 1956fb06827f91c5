/* schema/internal.h: what the files of this folder share; not a door. */
#ifndef HOLDFAST_SCHEMA_INTERNAL_H
#define HOLDFAST_SCHEMA_INTERNAL_H

#include "schema/stream.h"

enum { IDENTIFIER_MAX = 64 };

/* How stream_new allocates a stream: everything that it points to lives in `blocks`. */
struct stream_owner {
    struct stream stream; /* first, so that a stream's address is its owner's */
    struct stream_field fields[STREAM_FIELDS_MAX];
    uint8_t name_len[STREAM_FIELDS_MAX]; /* of the fields: most names differ in it */
    struct block *blocks;
};

/* Fills in *out_reject and returns false. */
bool field_reject(const struct stream_field *field, const char *reason,
                  struct reject *out_reject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Cuts a value of the field's type to precision and holds it against the field's limits,
 * but for what only intake can judge: UTF-8, the future, and a DATETIME's zone. */
bool field_limit(const struct stream_field *field, struct value *value,
                 struct reject *out_reject);

/* Narrows the field's limits to what the column can hold. A fresh field has the widest
 * limits, see field_widest. */
void field_narrow(struct stream_field *field, const struct column_spec *column);
struct stream_field field_widest(const char *name, enum value_type type);

/* The type of value that a column of this type holds. */
enum value_type field_value_type(enum column_type type);

/* `prefix` and the names of the columns joined by "_", cut to an identifier. */
void index_name(const char *prefix, const char *const *columns, size_t count,
                char out_name[IDENTIFIER_MAX + 1]);

/* A STRING column of the entity key or the event key. */
bool ddl_is_string_key(const struct stream *stream, bool entity, size_t column);

/* Index of the column (names are compared as the database does, without case), or -1. */
int column_find(const struct stream_table *table, const char *name);

#endif
