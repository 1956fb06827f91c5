/* base/bytes.h: fields of on-disk formats, encoded one by one: little-endian integers,
 * LEB128 varints, length-prefixed bytes. Overflow-checked on both sides. */
#ifndef HOLDFAST_BASE_BYTES_H
#define HOLDFAST_BASE_BYTES_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* Writing goes to a struct buf, whose `failed` is checked once at the end. */
void bytes_put_u8(struct buf *out, uint8_t value);
void bytes_put_u16(struct buf *out, uint16_t value);
void bytes_put_u32(struct buf *out, uint32_t value);
void bytes_put_u64(struct buf *out, uint64_t value);
void bytes_put_varint(struct buf *out, uint64_t value);
/* varint length, then the bytes */
void bytes_put_slice(struct buf *out, struct slice bytes);

/* Reading. After the first read past the end `failed` is set and every read gives 0 or
 * an empty slice; check `failed` once, after the last field. Slices point into the
 * input. */
struct bytes_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct bytes_reader bytes_reader(struct slice input);
uint8_t bytes_get_u8(struct bytes_reader *in);
uint16_t bytes_get_u16(struct bytes_reader *in);
uint32_t bytes_get_u32(struct bytes_reader *in);
uint64_t bytes_get_u64(struct bytes_reader *in);
uint64_t bytes_get_varint(struct bytes_reader *in);
struct slice bytes_get_slice(struct bytes_reader *in);
/* exactly `len` bytes */
struct slice bytes_get_raw(struct bytes_reader *in, size_t len);

static inline size_t bytes_left(const struct bytes_reader *in)
{
    return (size_t)(in->end - in->at);
}

#endif
