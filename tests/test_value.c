#include "schema/value.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t second_us = 1000000;

/* ---- IP --------------------------------------------------------------------------- */

Test(value_ip, canonical_text_both_ways)
{
    static const struct {
        const char *text;
        uint32_t ip;
    } cases[] = {
        {"0.0.0.0", 0},
        {"255.255.255.255", UINT32_MAX},
        {"203.0.113.9", 0xcb007109},
        {"1.20.100.0", 0x01146400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t ip = 7;
        char text[VALUE_IP_TEXT];
        cr_assert(value_parse_ip(slice_text(cases[i].text), &ip), "%s", cases[i].text);
        cr_assert_eq(ip, cases[i].ip);
        cr_assert_eq(value_format_ip(ip, text), strlen(cases[i].text));
        cr_assert_str_eq(text, cases[i].text);
    }
}

Test(value_ip, what_the_collation_would_fold_is_refused)
{
    static const char *const cases[] = {
        "",          "1.2.3",      "1.2.3.4.",  ".1.2.3.4",  "1.2.3.4 ",
        " 1.2.3.4",  "1.2.3.04",   "01.2.3.4",  "1.2.3.256", "1.2.3.1000",
        "1.2..4",    "1.2.3.-4",   "1.2.3.+4",  "1,2,3,4",   "1.2.3.4.5",
        "1.2.3.4/8", "0x1.2.3.4",  "::1",       "a.b.c.d",   "\xef\xbc\x91.2.3.4",
        "1.2.3.4\n", "4294967295", "1.2.3.4\t", "00.0.0.0",  "1.2.3.99999999999",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t ip = 7;
        cr_assert_not(value_parse_ip(slice_text(cases[i]), &ip), "'%s'", cases[i]);
        cr_assert_eq(ip, 7, "untouched on failure");
    }
    uint32_t ip;
    cr_assert_not(value_parse_ip(slice_of("1.2.3.4\0", 8), &ip), "a NUL is a byte");
    cr_assert(value_parse_ip(slice_of("1.2.3.45", 7), &ip), "the slice ends it");
    cr_assert_eq(ip, 0x01020304);
}

/* ---- Time ------------------------------------------------------------------------- */

static void assert_time(const char *text, int32_t zone_s, int64_t expected_us)
{
    int64_t time_us = -7;
    cr_assert(value_parse_time(slice_text(text), zone_s, &time_us), "%s", text);
    cr_assert_eq(time_us, expected_us, "%s: %lld", text, (long long)time_us);
}

Test(value_time, every_form)
{
    const int64_t utc = 1767834266 * second_us; /* 2026-01-08 01:04:26 UTC */
    const int64_t hour = 3600 * second_us;
    assert_time("2026-01-08 01:04:26", 0, utc);
    assert_time("2026/01/08 01:04:26", 0, utc);
    assert_time("2026-01-08T01:04:26", 0, utc);
    assert_time("2026-01-08T01:04:26Z", 28800, utc);
    assert_time("2026-01-08t01:04:26z", 28800, utc);
    assert_time("2026-01-08 01:04:26", 28800, utc - 8 * hour);
    assert_time("2026-01-08T01:04:26+08:00", 0, utc - 8 * hour);
    assert_time("2026-01-08T01:04:26+0800", 0, utc - 8 * hour);
    assert_time("2026-01-08T01:04:26-08", 28800, utc + 8 * hour);
    assert_time("2026-01-08T01:04:26.5", 0, utc + 500000);
    assert_time("2026-01-08T01:04:26,125Z", 0, utc + 125000);
    assert_time("2026-01-08T01:04:26.123456789+00:00", 0, utc + 123456);
    assert_time("1767834266", 28800, utc);
    assert_time("1767834266.25", 28800, utc + 250000);
    assert_time("1767834266125", 28800, utc + 125000);
    assert_time("1767834266125.5", 28800, utc + 125500);
    assert_time("99999999999", 0, 99999999999 * second_us);
    assert_time("100000000000", 0, 100000000000 * 1000);
    assert_time("0", 3600, 0);
}

Test(value_time, cut_is_downwards_also_before_1970)
{
    assert_time("1969-12-31 23:59:59.9999999", 0, -1);
    assert_time("-1", 0, -second_us);
    assert_time("-0.5", 0, -500000);
    assert_time("-0.0000001", 0, -1);
    assert_time("-1.0000000", 0, -second_us);
    assert_time("-100000000000.0001", 0, -100000000000 * 1000 - 1);
}

Test(value_time, what_is_no_time)
{
    static const char *const cases[] = {
        "",
        "now",
        "2026",
        "2026-01-08",
        "2026-01-08 01:04",
        "2026-1-8 01:04:26",
        "2026-01/08 01:04:26",
        "2026-13-08 01:04:26",
        "2026-00-08 01:04:26",
        "2026-02-29 01:04:26",
        "1900-02-29 01:04:26",
        "2026-04-31 01:04:26",
        "2026-01-00 01:04:26",
        "0000-00-00 00:00:00",
        "2026-01-08 24:00:00",
        "2026-01-08 01:60:26",
        "2016-12-31 23:59:60",
        "2026-01-08  01:04:26",
        " 2026-01-08 01:04:26",
        "2026-01-08 01:04:26 ",
        "2026-01-08 01:04:26.",
        "2026-01-08 01:04:26.Z",
        "2026-01-08 01:04:26+",
        "2026-01-08 01:04:26+8",
        "2026-01-08 01:04:26+08:0",
        "2026-01-08 01:04:26+08:60",
        "2026-01-08 01:04:26+15:00",
        "2026-01-08 01:04:26UTC",
        "2026-01-08X01:04:26",
        "-",
        ".5",
        "5.",
        "1.5e9",
        "0x10",
        "1767834266Z",
        "1 767834266",
        "1000000000000000",
        "99999999999999999999999999",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t time_us = 7;
        if (strcmp(cases[i], "2026") == 0) { /* an epoch, if an early one */
            assert_time("2026", 0, 2026 * second_us);
            continue;
        }
        cr_assert_not(value_parse_time(slice_text(cases[i]), 0, &time_us), "'%s'",
                      cases[i]);
        cr_assert_eq(time_us, 7, "untouched on failure");
    }
}

Test(value_time, leap_days)
{
    assert_time("2000-02-29 00:00:00", 0, 951782400 * second_us);
    assert_time("2024-02-29 12:00:00", 0, 1709208000 * second_us);
    assert_time("1000-01-01 00:00:00", 0, -30610224000 * second_us);
    assert_time("9999-12-31 23:59:59.999999", 0, 253402300799999999);
}

/* The C library has the same calendar. */
Test(value_time, agrees_with_the_c_library)
{
    for (int64_t day = -354285; day < 2932896; day += 17) {
        int64_t time_us =
            (day * 86400 + (day * 7919 % 86400 + 86400) % 86400) * second_us;
        time_t seconds = (time_t)(time_us / second_us);
        struct tm utc;
        char expected[64];
        char text[VALUE_TIME_TEXT];
        gmtime_r(&seconds, &utc);
        strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S", &utc);
        value_format_time(time_us, 0, 0, text);
        cr_assert_str_eq(text, expected);
        assert_time(text, 0, time_us);
    }
}

Test(value_time, format)
{
    char text[VALUE_TIME_TEXT];
    cr_assert_eq(value_format_time(1767834266123456, 28800, 6, text), 26);
    cr_assert_str_eq(text, "2026-01-08 09:04:26.123456");
    value_format_time(1767834266123456, -12600, 3, text);
    cr_assert_str_eq(text, "2026-01-07 21:34:26.123");
    value_format_time(-1, 0, 6, text);
    cr_assert_str_eq(text, "1969-12-31 23:59:59.999999");
    value_format_time(-1, 0, 0, text);
    cr_assert_str_eq(text, "1969-12-31 23:59:59");
    cr_assert_lt(value_format_time(INT64_MAX, INT32_MAX, 6, text), VALUE_TIME_TEXT);
    cr_assert_lt(value_format_time(INT64_MIN, INT32_MIN, 6, text), VALUE_TIME_TEXT);
}

Test(value_time, offsets)
{
    static const struct {
        const char *text;
        int32_t offset_s;
    } good[] = {{"+08:00", 28800}, {"-0330", -12600}, {"+08", 28800},   {"Z", 0},
                {"UTC", 0},        {"-00:00", 0},     {"+14:00", 50400}};
    static const char *const bad[] = {
        "",      "8",   "+8",     "+08:", "+14:01", "+08:000",
        "08:00", "GMT", "+ab:cd", "Z ",   "+-8:00"};
    int32_t offset_s;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(value_parse_offset(slice_text(good[i].text), &offset_s));
        cr_assert_eq(offset_s, good[i].offset_s, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(value_parse_offset(slice_text(bad[i]), &offset_s), "%s", bad[i]);
    }
}

/* ---- Numbers ---------------------------------------------------------------------- */

Test(value_number, integers)
{
    int64_t integer;
    cr_assert(
        value_parse_integer(SLICE_LITERAL("-9223372036854775808"), false, &integer));
    cr_assert_eq(integer, INT64_MIN);
    cr_assert(value_parse_integer(SLICE_LITERAL("9223372036854775807"), false, &integer));
    cr_assert_eq(integer, INT64_MAX);
    cr_assert(value_parse_integer(SLICE_LITERAL("18446744073709551615"), true, &integer));
    cr_assert_eq((uint64_t)integer, UINT64_MAX);
    cr_assert(value_parse_integer(SLICE_LITERAL("007"), false, &integer));
    cr_assert_eq(integer, 7);
    cr_assert(value_parse_integer(SLICE_LITERAL("-0"), false, &integer));
    cr_assert_eq(integer, 0);
    static const char *const bad[] = {"",
                                      "-",
                                      "+1",
                                      "1.0",
                                      "1e3",
                                      " 1",
                                      "1 ",
                                      "--1",
                                      "0x1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(value_parse_integer(slice_text(bad[i]), false, &integer), "%s",
                      bad[i]);
    }
    cr_assert_not(value_parse_integer(SLICE_LITERAL("-1"), true, &integer));
    cr_assert_not(
        value_parse_integer(SLICE_LITERAL("18446744073709551616"), true, &integer));
}

static void assert_real(const char *text)
{
    double real;
    cr_assert(value_parse_float(slice_text(text), &real), "%s", text);
    double expected = strtod(text, NULL);
    cr_assert(real == expected && signbit(real) == signbit(expected), "%s: %.17g", text,
              real);
}

Test(value_number, floats_are_the_nearest_double)
{
    static const char *const cases[] = {"0",
                                        "-0",
                                        "0.0",
                                        "114.05",
                                        "-114.05",
                                        "1e22",
                                        "1e23",
                                        "123456789012345e22",
                                        "1234567890123456",
                                        "12345678901234567890123456789",
                                        "4.35",
                                        "0.1",
                                        "1e-22",
                                        "1E+5",
                                        "5e-324",
                                        "1.7976931348623157e308",
                                        "1e-400",
                                        ".5",
                                        "5.",
                                        "-.5e-1",
                                        "0.000000000000000000000000000001",
                                        "9007199254740993",
                                        "1e00000005",
                                        "00000000000000000000000000000000000000001.5",
                                        "2.2250738585072011e-308",
                                        "0e999999999999999999999",
                                        "999999999999999",
                                        "0.30000000000000004"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_real(cases[i]);
    }
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        char text[64];
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        snprintf(text, sizeof text, "%.*fe%d", (int)(state % 9),
                 (double)(int64_t)state / 1e12, (int)(state >> 32) % 40);
        assert_real(text);
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)(state >> 7),
                 (int)(state % 45) - 22);
        assert_real(text);
    }
}

Test(value_number, what_is_no_float)
{
    static const char *const bad[] = {"",      "-",  ".",   "-.",    "e5",    "1e",
                                      "1e+",   "+1", "1,5", "nan",   "inf",   "-Infinity",
                                      "0x1p3", " 1", "1 ",  "1.5.5", "1_000", "1e5.0"};
    static const char *const huge[] = {"1e400", "-1e400", "2e308", "1e99999999999999"};
    double real = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(value_parse_float(slice_text(bad[i]), &real), "%s", bad[i]);
        cr_assert_not(value_is_number(slice_text(bad[i])), "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        cr_assert_not(value_parse_float(slice_text(huge[i]), &real), "%s", huge[i]);
        cr_assert(value_is_number(slice_text(huge[i])), "%s", huge[i]);
    }
    cr_assert_eq(real, 7, "untouched on failure");
    char longer[2000];
    memset(longer, '1', sizeof longer);
    cr_assert_not(value_parse_float(slice_of(longer, sizeof longer), &real));
}

/* ---- Comparing and showing --------------------------------------------------------- */

static struct value real(double number)
{
    return (struct value){.type = VALUE_FLOAT, .real = number};
}

static struct value integer(int64_t number)
{
    return (struct value){.type = VALUE_INTEGER, .integer = number};
}

static struct value text(const char *characters)
{
    return (struct value){.type = VALUE_TEXT, .text = slice_text(characters)};
}

Test(value_order, by_type_and_content)
{
    const struct {
        struct value less;
        struct value more;
        bool is_unsigned;
    } cases[] = {
        {text("a"), text("b"), false},
        {text("a"), text("aa"), false},
        {text(""), text("a"), false},
        {text("z"), text("\xc3\xa4"), false},
        {integer(-1), integer(1), false},
        {integer(1), integer(-1), true},
        {real(-0.5), real(0), false},
        {{.type = VALUE_IP, .ip = 1}, {.type = VALUE_IP, .ip = 0xff000000}, false},
        {{.type = VALUE_TIME, .time_us = -1}, {.type = VALUE_TIME, .time_us = 0}, false},
        {{.type = VALUE_BOOL}, {.type = VALUE_BOOL, .boolean = true}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct value *less = &cases[i].less;
        const struct value *more = &cases[i].more;
        cr_assert_eq(value_compare(less, more, cases[i].is_unsigned), -1, "%zu", i);
        cr_assert_eq(value_compare(more, less, cases[i].is_unsigned), 1, "%zu", i);
        cr_assert_eq(value_compare(less, less, cases[i].is_unsigned), 0, "%zu", i);
        cr_assert(value_equal(less, less));
        cr_assert_not(value_equal(less, more));
    }
}

Test(value_order, equal_is_by_value_within_a_type)
{
    struct value zero = real(0.0);
    struct value minus_zero = real(-0.0);
    struct value none = {.type = VALUE_ABSENT};
    struct value empty = text("");
    struct value number = integer(0);
    cr_assert(value_equal(&zero, &minus_zero));
    cr_assert(value_equal(&none, &none));
    cr_assert_not(value_equal(&none, &empty));
    cr_assert_not(value_equal(&number, &zero));
}

static void assert_shown(struct value value, const char *expected)
{
    struct buf out = {0};
    value_append_text(&out, &value);
    cr_assert_str_eq(buf_text(&out), expected);
    buf_free(&out);
}

Test(value_text, as_a_person_reads_it)
{
    assert_shown(text("中"), "中");
    assert_shown((struct value){.type = VALUE_IP, .ip = 0xcb007109}, "203.0.113.9");
    assert_shown((struct value){.type = VALUE_TIME, .time_us = 1767834266000000},
                 "2026-01-08T01:04:26Z");
    assert_shown((struct value){.type = VALUE_TIME, .time_us = -1000},
                 "1969-12-31T23:59:59.999Z");
    assert_shown((struct value){.type = VALUE_TIME, .time_us = 1},
                 "1970-01-01T00:00:00.000001Z");
    assert_shown(integer(INT64_MIN), "-9223372036854775808");
    assert_shown((struct value){.type = VALUE_BOOL, .boolean = true}, "true");
    assert_shown((struct value){.type = VALUE_ABSENT}, "");
    assert_shown(real(114.05), "114.05");
    assert_shown(real(0.1 + 0.2), "0.30000000000000004");
    assert_shown(real(1e300), "1e+300");
}

/* Each locale that writes a comma would break both ways; those that are installed are
 * tried. */
Test(value_text, floats_know_no_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (setlocale(LC_ALL, names[i])) {
            double parsed = 0;
            assert_shown(real(1.5), "1.5");
            cr_assert(value_parse_float(
                SLICE_LITERAL("1.00000000000000000000000000000000000001"), &parsed));
            cr_assert_eq(parsed, 1.0);
        }
    }
}
