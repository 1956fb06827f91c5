#include "engine/gzip.h"

#include <stdint.h>
#include <zlib.h>

enum { STEP = 1 << 16, GZIP_ONLY = 15 + 16 };

bool gzip_is(struct slice bytes)
{
    return bytes.len >= 2 && memcmp(bytes.data, "\x1f\x8b", 2) == 0;
}

static int refuse(struct err *err, int rc)
{
    if (rc == Z_MEM_ERROR) {
        return err_set(err, ERR_NOMEM, 0, "out of memory while inflating the body");
    }
    return err_set(err, ERR_INVALID, 0,
                   "the body is not gzip, or is cut off; send it whole, or without "
                   "Content-Encoding");
}

/* One step: inflates into the free end of `out`. */
static int inflate_step(z_stream *stream, struct buf *out, int *out_rc, struct err *err)
{
    size_t room = out->max && out->max - out->len < STEP ? out->max - out->len : STEP;
    char beyond;
    if (room && !buf_reserve(out, room)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory while inflating the body");
    }
    stream->next_out = (Bytef *)(room ? out->data + out->len : &beyond);
    stream->avail_out = (uInt)(room ? room : 1);
    *out_rc = inflate(stream, Z_NO_FLUSH);
    size_t made = (room ? room : 1) - stream->avail_out;
    if (room == 0 && made > 0) {
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the inflated body is larger than %zu bytes", out->max);
    }
    out->len += made;
    return ERR_OK;
}

static int inflate_members(z_stream *stream, struct buf *out, struct err *err)
{
    int rc = Z_OK;
    int code = ERR_OK;
    while (code == ERR_OK && !(rc == Z_STREAM_END && stream->avail_in == 0)) {
        if (rc == Z_STREAM_END) {
            rc = inflateReset(stream); /* another member follows */
        }
        if (rc == Z_OK) {
            code = inflate_step(stream, out, &rc, err);
        }
        bool cut_off = rc == Z_OK && stream->avail_in == 0 && stream->avail_out;
        if (code == ERR_OK && ((rc != Z_OK && rc != Z_STREAM_END) || cut_off)) {
            code = refuse(err, rc);
        }
    }
    return code;
}

int gzip_inflate(struct slice packed, struct buf *out, struct err *err)
{
    union {
        const char *in;
        Bytef *out;
    } pointer = {.in = packed.data}; /* zlib takes it without const and reads only */
    z_stream stream = {.next_in = pointer.out, .avail_in = (uInt)packed.len};
    if (packed.len > UINT32_MAX) {
        return err_set(err, ERR_TOO_LARGE, 0, "the body is larger than 4 GiB");
    }
    int rc = inflateInit2(&stream, GZIP_ONLY);
    if (rc != Z_OK) {
        return refuse(err, rc);
    }
    int code = inflate_members(&stream, out, err);
    (void)inflateEnd(&stream);
    return code;
}
