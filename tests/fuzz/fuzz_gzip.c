/* Gzip bodies: the first two bytes choose the cap. Whatever comes, no more than the cap
 * is made; and what is packed comes back. */
#include "engine/gzip.h"
#include "tests/fuzz/kit.h"

#include <stdlib.h>
#include <zlib.h>

static void pack(struct slice text, struct buf *out)
{
    z_stream stream = {0};
    fuzz_expect(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) ==
                    Z_OK,
                "zlib works");
    uLong most = deflateBound(&stream, (uLong)text.len);
    fuzz_expect(buf_reserve(out, most), "memory");
    stream.next_in = (Bytef *)text.data; /* it reads only */
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)out->data;
    stream.avail_out = (uInt)most;
    fuzz_expect(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib packs");
    out->len = most - stream.avail_out;
    (void)deflateEnd(&stream);
}

/* `cap` bytes must be enough exactly where the text is not longer. */
static void there_and_back(struct slice text, size_t cap)
{
    struct buf packed = {0};
    struct buf unpacked = {.max = cap};
    struct err err = {0};
    pack(text, &packed);
    fuzz_expect(gzip_is(buf_slice(&packed)), "gzip is recognised");
    int code = gzip_inflate(buf_slice(&packed), &unpacked, &err);
    fuzz_expect(code == (text.len <= cap ? ERR_OK : ERR_TOO_LARGE), "the cap is exact");
    fuzz_expect(code != ERR_OK || slice_equal(text, buf_slice(&unpacked)),
                "what was packed comes back");
    buf_free(&packed);
    buf_free(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cap = 1 + fuzz_byte(&data, &size);
    cap += (size_t)fuzz_byte(&data, &size) << 8;
    struct slice bytes = fuzz_copy(data, size);
    struct buf out = {.max = cap};
    struct err err = {0};
    int code = gzip_inflate(bytes, &out, &err);
    fuzz_expect(out.len <= cap, "no more than the cap");
    fuzz_expect(out.capacity <= 2 * cap + 4096, "nor room for much more");
    fuzz_expect(code == ERR_OK || code == ERR_INVALID || code == ERR_TOO_LARGE,
                "an error that intake knows");
    fuzz_expect(code == ERR_OK || err.message[0], "an error says what it is");
    buf_free(&out);
    there_and_back(bytes, cap);
    free((void *)bytes.data);
    return 0;
}
