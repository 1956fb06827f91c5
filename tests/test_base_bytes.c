#include "base/bytes.h"

#include <criterion/criterion.h>

static const uint64_t varints[] = {0,          1,          127,        128,
                                   16383,      16384,      UINT32_MAX, INT64_MAX,
                                   UINT64_MAX, 1ull << 63, 300,        1ull << 56};

Test(base_bytes, fixed_widths_are_little_endian)
{
    struct buf buf = {0};
    bytes_put_u8(&buf, 0x01);
    bytes_put_u16(&buf, 0x0302);
    bytes_put_u32(&buf, 0x07060504);
    bytes_put_u64(&buf, 0x0f0e0d0c0b0a0908);
    cr_assert_eq(buf.len, 15);
    for (size_t i = 0; i < buf.len; i++) {
        cr_assert_eq(buf.data[i], (char)(i + 1));
    }
    struct bytes_reader in = bytes_reader(buf_slice(&buf));
    cr_assert_eq(bytes_get_u8(&in), 0x01);
    cr_assert_eq(bytes_get_u16(&in), 0x0302);
    cr_assert_eq(bytes_get_u32(&in), 0x07060504);
    cr_assert_eq(bytes_get_u64(&in), 0x0f0e0d0c0b0a0908);
    cr_assert_eq(bytes_left(&in), 0);
    cr_assert_not(in.failed);
    buf_free(&buf);
}

Test(base_bytes, varints_come_back)
{
    struct buf buf = {0};
    for (size_t i = 0; i < sizeof varints / sizeof varints[0]; i++) {
        bytes_put_varint(&buf, varints[i]);
    }
    struct bytes_reader in = bytes_reader(buf_slice(&buf));
    for (size_t i = 0; i < sizeof varints / sizeof varints[0]; i++) {
        cr_assert_eq(bytes_get_varint(&in), varints[i]);
    }
    cr_assert_eq(bytes_left(&in), 0);
    cr_assert_not(in.failed);
    buf_free(&buf);
    bytes_put_varint(&buf, 300);
    cr_assert_eq(memcmp(buf.data, "\xac\x02", 2), 0);
    buf_free(&buf);
}

Test(base_bytes, a_varint_beyond_64_bits_or_cut_fails)
{
    static const struct slice cases[] = {
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x80", 1},
        {"", 0},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes_reader in = bytes_reader(cases[i]);
        cr_assert_eq(bytes_get_varint(&in), 0);
        cr_assert(in.failed, "%zu", i);
    }
}

Test(base_bytes, slices_come_back_and_point_into_the_input)
{
    struct buf buf = {0};
    bytes_put_slice(&buf, SLICE_LITERAL("a\0b"));
    bytes_put_slice(&buf, SLICE_LITERAL(""));
    struct bytes_reader in = bytes_reader(buf_slice(&buf));
    struct slice slice = bytes_get_slice(&in);
    cr_assert(slice_equal(slice, SLICE_LITERAL("a\0b")));
    cr_assert_eq(slice.data, buf.data + 1);
    cr_assert_eq(bytes_get_slice(&in).len, 0);
    cr_assert_not(in.failed);
    buf_free(&buf);
}

Test(base_bytes, a_length_beyond_the_input_fails)
{
    static const struct slice cases[] = {
        {"\x02"
         "a",
         2},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
         "abc",
         13},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes_reader in = bytes_reader(cases[i]);
        struct slice slice = bytes_get_slice(&in);
        cr_assert(in.failed);
        cr_assert_eq(slice.len, 0);
    }
}

Test(base_bytes, after_a_failure_every_read_gives_nothing)
{
    struct bytes_reader in = bytes_reader(SLICE_LITERAL("abc"));
    cr_assert_eq(bytes_get_u32(&in), 0);
    cr_assert(in.failed);
    cr_assert_eq(bytes_get_u8(&in), 0, "although a byte is there");
    cr_assert_eq(bytes_get_u16(&in), 0);
    cr_assert_eq(bytes_get_varint(&in), 0);
    cr_assert_eq(bytes_get_slice(&in).len, 0);
    cr_assert_eq(bytes_get_raw(&in, 1).len, 0);
    cr_assert_eq(bytes_get_raw(&in, 0).len, 0);
    cr_assert(in.failed);
    in = bytes_reader(slice_of(NULL, 0));
    cr_assert_eq(bytes_get_raw(&in, 0).len, 0);
    cr_assert_not(in.failed, "nothing was asked for");
}

Test(base_bytes, writing_beyond_the_bound_fails_once_and_for_all)
{
    struct buf buf = {.max = 4};
    bytes_put_u16(&buf, 1);
    bytes_put_u32(&buf, 2);
    bytes_put_u8(&buf, 3);
    cr_assert(buf.failed);
    cr_assert_eq(buf.len, 2);
    buf_free(&buf);
}
