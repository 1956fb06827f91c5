#include "engine/gzip.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <zlib.h>

/* Appends one gzip member. */
static void pack(struct buf *out, struct slice text)
{
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
                 Z_OK);
    uLong most = deflateBound(&stream, text.len);
    cr_assert(buf_reserve(out, most));
    Bytef *in = malloc(text.len + 1);
    memcpy(in, text.data, text.len);
    stream.next_in = in;
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)out->data + out->len;
    stream.avail_out = (uInt)most;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->len += stream.total_out;
    cr_assert_eq(deflateEnd(&stream), Z_OK);
    free(in);
}

static int inflate_all(const struct buf *packed, size_t max, struct buf *out)
{
    struct err err = {0};
    *out = (struct buf){.max = max};
    int code = gzip_inflate(buf_slice(packed), out, &err);
    cr_assert_eq(code != ERR_OK, err.message[0] != '\0');
    cr_assert_leq(out->len, max);
    return code;
}

static void append_zeros(struct buf *out, size_t len)
{
    cr_assert(buf_reserve(out, len));
    memset(out->data + out->len, 0, len);
    out->len += len;
}

Test(gzip, one_member)
{
    struct buf packed = {0};
    struct buf text;
    pack(&packed, SLICE_LITERAL("{\"a\":1}\n"));
    cr_assert_eq(inflate_all(&packed, 1000, &text), ERR_OK);
    cr_assert(slice_is(buf_slice(&text), "{\"a\":1}\n"));
    buf_free(&text);
    buf_free(&packed);
}

Test(gzip, several_members)
{
    struct buf packed = {0};
    struct buf text;
    pack(&packed, SLICE_LITERAL("one "));
    pack(&packed, SLICE_LITERAL(""));
    pack(&packed, SLICE_LITERAL("two"));
    cr_assert_eq(inflate_all(&packed, 1000, &text), ERR_OK);
    cr_assert(slice_is(buf_slice(&text), "one two"));
    buf_free(&text);
    buf_free(&packed);
}

Test(gzip, the_cap_is_exact)
{
    struct buf zeros = {0};
    struct buf packed = {0};
    struct buf text;
    append_zeros(&zeros, 300000);
    pack(&packed, buf_slice(&zeros));
    cr_assert_eq(inflate_all(&packed, 300000, &text), ERR_OK);
    cr_assert_eq(text.len, 300000);
    buf_free(&text);
    cr_assert_eq(inflate_all(&packed, 299999, &text), ERR_TOO_LARGE);
    buf_free(&text);
    buf_free(&packed);
    buf_free(&zeros);
}

Test(gzip, a_bomb_takes_no_more_than_the_cap)
{
    struct buf zeros = {0};
    struct buf packed = {0};
    struct buf text;
    append_zeros(&zeros, 64 << 20);
    pack(&packed, buf_slice(&zeros));
    cr_assert_lt(packed.len, 100000);
    cr_assert_eq(inflate_all(&packed, 1 << 20, &text), ERR_TOO_LARGE);
    cr_assert_leq(text.capacity, 2 << 20);
    buf_free(&text);
    buf_free(&packed);
    buf_free(&zeros);
}

Test(gzip, every_prefix_is_refused)
{
    struct buf packed = {0};
    struct buf text;
    pack(&packed, SLICE_LITERAL("2026-01-08 01:04:26,203.0.113.9,beacon\n"));
    size_t whole = packed.len;
    for (size_t len = 0; len < whole; len++) {
        packed.len = len;
        cr_expect_eq(inflate_all(&packed, 1000, &text), ERR_INVALID, "%zu", len);
        buf_free(&text);
    }
    packed.len = whole;
    /* a whole member and a part of the next */
    pack(&packed, SLICE_LITERAL("more"));
    packed.len -= 3;
    cr_expect_eq(inflate_all(&packed, 1000, &text), ERR_INVALID);
    buf_free(&text);
    buf_free(&packed);
}

Test(gzip, damage_is_refused)
{
    struct buf packed = {0};
    struct buf text;
    pack(&packed, SLICE_LITERAL("some text that is long enough to be packed"));
    packed.data[packed.len - 6] ^= 1; /* its checksum */
    cr_expect_eq(inflate_all(&packed, 1000, &text), ERR_INVALID);
    buf_free(&text);
    buf_clear(&packed);
    buf_append_text(&packed, "{\"a\":1}");
    cr_expect_eq(inflate_all(&packed, 1000, &text), ERR_INVALID);
    buf_free(&text);
    buf_free(&packed);
}
