#include "base/slice.h"

#include <criterion/criterion.h>
#include <stdint.h>

static struct slice trim(const char *text)
{
    return slice_trim(slice_text(text));
}

Test(base_slice, order_is_bytewise_and_the_prefix_first)
{
    cr_assert_eq(slice_compare(slice_text("a"), slice_text("a")), 0);
    cr_assert_lt(slice_compare(slice_text("a"), slice_text("b")), 0);
    cr_assert_gt(slice_compare(slice_text("\xff"), slice_text("a")), 0);
    cr_assert_lt(slice_compare(slice_text("a"), slice_text("aa")), 0);
    cr_assert_gt(slice_compare(slice_text("a"), slice_of(NULL, 0)), 0);
    cr_assert_eq(slice_compare(slice_of(NULL, 0), slice_text("")), 0);
}

Test(base_slice, equality)
{
    cr_assert(slice_equal(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    cr_assert_not(slice_equal(slice_of("a\0b", 3), slice_of("a\0c", 3)));
    cr_assert(slice_equal(slice_of(NULL, 0), slice_of("x", 0)));
    cr_assert(slice_is(SLICE_LITERAL("abc"), "abc"));
    cr_assert_not(slice_is(SLICE_LITERAL("abc"), "ab"));
    cr_assert_not(slice_is(SLICE_LITERAL("abc"), "abcd"));
}

Test(base_slice, trim)
{
    cr_assert(slice_is(trim(" \t\r\n a b \n"), "a b"));
    cr_assert(slice_is(trim("a"), "a"));
    cr_assert_eq(trim("  ").len, 0);
    cr_assert_eq(slice_trim(slice_of(NULL, 0)).len, 0);
    cr_assert(slice_is(trim("\x0b"), "\x0b"), "only space, tab, CR and LF");
}

Test(base_buf, appends_and_grows)
{
    struct buf buf = {0};
    size_t len = 0;
    for (int i = 0; i < 5000; i++) {
        cr_assert(buf_append_char(&buf, (char)('a' + i % 26)));
        len++;
    }
    cr_assert(buf_append_text(&buf, "text"));
    cr_assert(buf_append_slice(&buf, SLICE_LITERAL("sl\0ce")));
    cr_assert(buf_append(&buf, NULL, 0));
    len += 9;
    cr_assert_eq(buf.len, len);
    cr_assert_eq(buf.data[4999], 'a' + 4999 % 26);
    cr_assert_eq(memcmp(buf.data + 5000, "textsl\0ce", 9), 0);
    buf_free(&buf);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.capacity, 0);
}

Test(base_buf, a_bound_is_kept_and_the_content_stays)
{
    struct buf buf = {.max = 5};
    cr_assert(buf_append_text(&buf, "12345"));
    cr_assert_not(buf_append_char(&buf, '6'));
    cr_assert(buf.failed);
    cr_assert(slice_is(buf_slice(&buf), "12345"));
    cr_assert_not(buf_append(&buf, "", 0), "every later append fails too");
    buf_clear(&buf);
    cr_assert(buf_append_text(&buf, "abc"));
    cr_assert_not(buf_append_text(&buf, "def"));
    cr_assert(slice_is(buf_slice(&buf), "abc"), "not a part of what did not fit");
    buf_free(&buf);
    cr_assert_eq(buf.max, 5);
    cr_assert_not(buf.failed);
}

Test(base_buf, a_length_that_can_not_be_is_refused)
{
    struct buf buf = {0};
    cr_assert(buf_append_text(&buf, "abc"));
    cr_assert_not(buf_reserve(&buf, SIZE_MAX));
    cr_assert(buf.failed);
    buf_clear(&buf);
    cr_assert_not(buf_reserve(&buf, SIZE_MAX / 2));
    buf_free(&buf);
    struct buf bounded = {.max = 10};
    cr_assert_not(buf_reserve(&bounded, SIZE_MAX - 1));
    buf_free(&bounded);
}

Test(base_buf, printf_of_any_length)
{
    for (int len = 250; len < 260; len++) {
        struct buf buf = {0};
        cr_assert(buf_printf(&buf, "%*s|", len - 1, "x"));
        cr_assert_eq(buf.len, (size_t)len);
        cr_assert_eq(buf.data[len - 1], '|');
        cr_assert_eq(buf.data[len - 2], 'x');
        buf_free(&buf);
    }
    struct buf bounded = {.max = 300};
    cr_assert_not(buf_printf(&bounded, "%400d", 1));
    cr_assert_eq(bounded.len, 0);
    buf_free(&bounded);
}

Test(base_buf, half_a_text_is_none)
{
    struct buf buf = {.max = 4};
    cr_assert(buf_append_text(&buf, "/a/"));
    cr_assert_not(buf_append_text(&buf, "journal"));
    cr_assert_null(buf_text(&buf));
    buf_clear(&buf);
    cr_assert_str_eq(buf_text(&buf), "");
    buf_free(&buf);
}

Test(base_buf, text_is_terminated_and_not_longer)
{
    struct buf buf = {0};
    cr_assert_str_eq(buf_text(&buf), "");
    while (buf.len < buf.capacity || buf.len == 0) {
        buf_append_char(&buf, 'x');
    }
    cr_assert_eq(buf.len, buf.capacity);
    size_t len = buf.len;
    cr_assert_eq(strlen(buf_text(&buf)), len);
    cr_assert_eq(buf.len, len);
    buf_append_char(&buf, 'y');
    cr_assert_eq(buf_text(&buf)[len], 'y');
    buf_free(&buf);
}
