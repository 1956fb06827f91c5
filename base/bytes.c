#include "base/bytes.h"

static void put_little_endian(struct buf *out, uint64_t value, size_t width)
{
    uint8_t raw[8];
    for (size_t i = 0; i < width; i++) {
        raw[i] = (uint8_t)(value >> (8 * i));
    }
    buf_append(out, raw, width);
}

void bytes_put_u8(struct buf *out, uint8_t value)
{
    put_little_endian(out, value, 1);
}

void bytes_put_u16(struct buf *out, uint16_t value)
{
    put_little_endian(out, value, 2);
}

void bytes_put_u32(struct buf *out, uint32_t value)
{
    put_little_endian(out, value, 4);
}

void bytes_put_u64(struct buf *out, uint64_t value)
{
    put_little_endian(out, value, 8);
}

void bytes_put_varint(struct buf *out, uint64_t value)
{
    uint8_t raw[10];
    size_t len = 0;
    while (value >= 0x80) {
        raw[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    raw[len++] = (uint8_t)value;
    buf_append(out, raw, len);
}

void bytes_put_slice(struct buf *out, struct slice bytes)
{
    bytes_put_varint(out, bytes.len);
    buf_append_slice(out, bytes);
}

struct bytes_reader bytes_reader(struct slice input)
{
    const uint8_t *start = (const uint8_t *)input.data;
    return (struct bytes_reader){start, start + input.len, false};
}

struct slice bytes_get_raw(struct bytes_reader *in, size_t len)
{
    if (in->failed || len > bytes_left(in)) {
        in->failed = true;
        return (struct slice){NULL, 0};
    }
    struct slice raw = {(const char *)in->at, len};
    in->at += len;
    return raw;
}

static uint64_t get_little_endian(struct bytes_reader *in, size_t width)
{
    struct slice raw = bytes_get_raw(in, width);
    uint64_t value = 0;
    for (size_t i = raw.len; i > 0; i--) {
        value = (value << 8) | (uint8_t)raw.data[i - 1];
    }
    return value;
}

uint8_t bytes_get_u8(struct bytes_reader *in)
{
    return (uint8_t)get_little_endian(in, 1);
}

uint16_t bytes_get_u16(struct bytes_reader *in)
{
    return (uint16_t)get_little_endian(in, 2);
}

uint32_t bytes_get_u32(struct bytes_reader *in)
{
    return (uint32_t)get_little_endian(in, 4);
}

uint64_t bytes_get_u64(struct bytes_reader *in)
{
    return get_little_endian(in, 8);
}

uint64_t bytes_get_varint(struct bytes_reader *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->failed || in->at == in->end) {
            break;
        }
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return value;
        }
    }
    in->failed = true;
    return 0;
}

struct slice bytes_get_slice(struct bytes_reader *in)
{
    uint64_t len = bytes_get_varint(in);
    if (in->failed || len > bytes_left(in)) {
        in->failed = true;
        return (struct slice){NULL, 0};
    }
    return bytes_get_raw(in, (size_t)len);
}
