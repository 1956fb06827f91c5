/* replay/sql.h: text of statements. Pure. Not a door.
 *
 * Literals are for sessions as replay/db.h sets them up: UTC, backslash escapes.
 */
#ifndef HOLDFAST_REPLAY_SQL_H
#define HOLDFAST_REPLAY_SQL_H

#include "base/slice.h"
#include "schema/stream.h"

/* `value` as a literal of the column's type; NULL where it is ABSENT. DATETIME columns
 * hold local time, zone_offset_s east of UTC; TIMESTAMP columns are instants. */
void sql_append_value(struct buf *out, const struct stream_column *column,
                      const struct value *value, int32_t zone_offset_s);

/* Selects the column so that its text reads back exactly: a FLOAT as such would come
 * with six digits. */
void sql_append_exact(struct buf *out, const struct stream_column *column);

/* What a cell selected by sql_append_exact holds (data NULL: SQL NULL, ABSENT). Text is
 * borrowed. False: it is none of the column's values. */
bool sql_read_value(const struct stream_column *column, struct slice cell,
                    int32_t zone_offset_s, struct value *out_value);

/* A value that satisfies NOT NULL where a statement must name the column, but will not
 * write it. */
void sql_append_filler(struct buf *out, const struct stream_column *column,
                       int32_t zone_offset_s);

/* Puts `separator` between items: nothing before the first. */
static inline void sql_append_separator(struct buf *out, size_t item,
                                        const char *separator)
{
    if (item) {
        buf_append_text(out, separator);
    }
}

#endif
