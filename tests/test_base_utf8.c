#include "base/utf8.h"

#include <criterion/criterion.h>

/* The UTF-8 of a code point; its length. Any number up to 21 bits, so that tests can
 * write what must not be. */
static size_t encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)((0xf00 >> len & 0xf0) | point);
    return len;
}

Test(base_utf8, every_code_point)
{
    for (uint32_t point = 0; point < 0x200000; point++) {
        char text[4];
        size_t len = encode(point, text);
        bool valid = point < 0x110000 && (point < 0xd800 || point > 0xdfff);
        cr_assert_eq(utf8_next(slice_of(text, len)), valid ? len : 0, "U+%x", point);
        for (size_t cut = 0; cut < len; cut++) {
            cr_assert_eq(utf8_next(slice_of(text, cut)), 0, "U+%x cut", point);
        }
    }
}

Test(base_utf8, what_is_not_utf8)
{
    static const char *const cases[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "\xfe",
                                        "\xe4\xb8",
                                        "\xe4\xb8x",
                                        "\xc3(",
                                        "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t characters = 7;
        cr_assert_eq(utf8_next(slice_text(cases[i])), 0, "%zu", i);
        cr_assert_not(utf8_count(slice_text(cases[i]), &characters));
        cr_assert_eq(characters, 7, "untouched on failure");
    }
}

Test(base_utf8, counts_characters)
{
    size_t characters;
    cr_assert(
        utf8_count(slice_text("a\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80"), &characters));
    cr_assert_eq(characters, 4);
    cr_assert(utf8_count(slice_of("a\0b", 3), &characters));
    cr_assert_eq(characters, 3);
    cr_assert(utf8_count(slice_of(NULL, 0), &characters));
    cr_assert_eq(characters, 0);
    cr_assert_not(utf8_count(slice_text("good then \xff"), &characters));
}

/* ASCII is taken in runs: a character of another length, or no character, wherever it
 * stands in one. */
Test(base_utf8, between_ascii)
{
    static const char other[3] = {'\xe4', '\xb8', '\xad'};
    for (size_t before = 0; before < 20; before++) {
        for (size_t after = 0; after < 20; after++) {
            char text[48];
            size_t characters;
            size_t len = before + 3 + after;
            memset(text, 'a', sizeof text);
            memcpy(text + before, other, sizeof other);
            cr_assert(utf8_count(slice_of(text, len), &characters));
            cr_assert_eq(characters, before + 1 + after);
            cr_assert_not(utf8_count(slice_of(text, before + 2), &characters));
            text[before + 2] = 'a';
            cr_assert_not(utf8_count(slice_of(text, len), &characters));
        }
    }
}
