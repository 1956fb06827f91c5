/* schema/builder.h: the state of stream_new, shared by its two halves: stream_new.c takes
 * the tables over, stream_roles.c decides what each column is for. Not a door. */
#ifndef HOLDFAST_SCHEMA_BUILDER_H
#define HOLDFAST_SCHEMA_BUILDER_H

#include "schema/internal.h"

struct builder {
    const struct stream_spec *spec;
    struct stream_owner *owner;
    struct err *err;
    char path[STREAM_PATH_MAX]; /* of what is being looked at */
};

/* Says what is being looked at, as in "entity.columns[3].merge". */
void builder_at(struct builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ERR_CONFIG with the path before the message. */
int builder_refuse(struct builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Zeroed memory that lives as long as the stream; NULL: ERR_NOMEM was set. */
void *builder_alloc(struct builder *builder, size_t count, size_t size);

/* Decides time, keys, watermark, count, compare and csv, once fields and columns are
 * there. */
int builder_roles(struct builder *builder);

#endif
