/* replay/tsv.h: rows as LOAD DATA reads them. Pure. Not a door.
 *
 * For FIELDS TERMINATED BY '\t' ESCAPED BY '\\' LINES TERMINATED BY '\n', nothing
 * enclosed, CHARACTER SET utf8mb4 or binary.
 */
#ifndef HOLDFAST_REPLAY_TSV_H
#define HOLDFAST_REPLAY_TSV_H

#include "base/slice.h"
#include "schema/stream.h"

#define TSV_FORM                                                                         \
    " CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\'" \
    " LINES TERMINATED BY '\\n' STARTING BY ''"

/* As sql_append_value, without quotes; \N where it is ABSENT. */
void tsv_append_value(struct buf *out, const struct stream_column *column,
                      const struct value *value, int32_t zone_offset_s);
void tsv_append_number(struct buf *out, uint64_t number);

/* Between fields, and after the last. */
static inline void tsv_next(struct buf *out)
{
    buf_append_char(out, '\t');
}
static inline void tsv_end(struct buf *out)
{
    buf_append_char(out, '\n');
}

#endif
