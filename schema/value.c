#include "schema/value.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NUMBER_TEXT_MAX = 1100, /* a double needs at most 767 digits to be told apart */
    EXACT_DIGITS = 15,      /* so many digits fit into a double exactly ... */
    EXACT_POWER = 22,       /* ... and so does this power of ten */
};

static const double powers_of_ten[EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One number 0 to 255 without leading zeros; the number of its digits, or 0. */
static size_t parse_octet(struct slice text, uint32_t *out_octet)
{
    size_t len = 0;
    uint32_t octet = 0;
    while (len < text.len && len < 4 && is_digit(text.data[len])) {
        octet = octet * 10 + (uint32_t)(text.data[len++] - '0');
    }
    if (len == 0 || octet > 255 || (len > 1 && text.data[0] == '0')) {
        return 0;
    }
    *out_octet = octet;
    return len;
}

bool value_parse_ip(struct slice text, uint32_t *out_ip)
{
    uint32_t ip = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0 && (text.len == 0 || text.data[0] != '.')) {
            return false;
        }
        text = slice_of(text.data + (i > 0), text.len - (i > 0));
        uint32_t octet = 0;
        size_t len = parse_octet(text, &octet);
        if (len == 0) {
            return false;
        }
        ip = ip << 8 | octet;
        text = slice_of(text.data + len, text.len - len);
    }
    if (text.len) {
        return false;
    }
    *out_ip = ip;
    return true;
}

size_t value_format_ip(uint32_t ip, char out_text[VALUE_IP_TEXT])
{
    size_t len = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t octet = ip >> shift & 0xff;
        if (octet >= 100) {
            out_text[len++] = (char)('0' + octet / 100);
        }
        if (octet >= 10) {
            out_text[len++] = (char)('0' + octet / 10 % 10);
        }
        out_text[len++] = (char)('0' + octet % 10);
        out_text[len++] = '.';
    }
    out_text[--len] = '\0';
    return len;
}

bool value_parse_integer(struct slice text, bool is_unsigned, int64_t *out_integer)
{
    bool negative = !is_unsigned && text.len && text.data[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == text.len) {
        return false;
    }
    uint64_t limit = is_unsigned ? UINT64_MAX : (uint64_t)INT64_MAX + negative;
    uint64_t sum = 0;
    for (; at < text.len; at++) {
        if (!is_digit(text.data[at])) {
            return false;
        }
        uint64_t digit = (uint64_t)(text.data[at] - '0');
        if (sum > (limit - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *out_integer = (int64_t)(negative ? 0 - sum : sum);
    return true;
}

/* A decimal number taken apart: +-mantissa * 10^exponent, where `digits` says how many
 * digits the mantissa took (beyond 18 they no longer fit and it is not used). */
struct decimal {
    bool negative;
    uint64_t mantissa;
    size_t digits;
    int exponent;
};

static size_t scan_digits(struct slice text, size_t at, struct decimal *number)
{
    for (; at < text.len && is_digit(text.data[at]); at++) {
        uint64_t digit = (uint64_t)(text.data[at] - '0');
        if (number->digits < 18) {
            number->mantissa = number->mantissa * 10 + digit;
        }
        number->digits += number->digits || digit;
    }
    return at;
}

/* The end of "e+12" at `at`, or 0 where its digits are missing. */
static size_t scan_exponent(struct slice text, size_t at, struct decimal *number)
{
    bool negative = false;
    at++;
    if (at < text.len && (text.data[at] == '+' || text.data[at] == '-')) {
        negative = text.data[at++] == '-';
    }
    size_t start = at;
    int exponent = 0;
    for (; at < text.len && is_digit(text.data[at]); at++) {
        exponent = exponent < 100000 ? exponent * 10 + (text.data[at] - '0') : exponent;
    }
    number->exponent += negative ? -exponent : exponent;
    return at > start ? at : 0;
}

static bool scan_decimal(struct slice text, struct decimal *out_number)
{
    struct decimal number = {0};
    number.negative = text.len && text.data[0] == '-';
    size_t start = number.negative ? 1 : 0;
    size_t at = scan_digits(text, start, &number);
    size_t seen = at - start;
    if (at < text.len && text.data[at] == '.') {
        size_t fraction = at + 1;
        at = scan_digits(text, fraction, &number);
        seen += at - fraction;
        number.exponent = -(int)(at - fraction);
    }
    if (seen == 0 || text.len > NUMBER_TEXT_MAX) {
        return false;
    }
    if (at < text.len && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at = scan_exponent(text, at, &number);
    }
    *out_number = number;
    return at == text.len;
}

bool value_is_number(struct slice text)
{
    struct decimal number;
    return scan_decimal(text, &number);
}

/* glibc hands out a static object for "C": nothing is allocated, nothing to free. */
static locale_t c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool value_parse_float(struct slice text, double *out_real)
{
    struct decimal number;
    if (!scan_decimal(text, &number)) {
        return false;
    }
    double real;
    if (number.digits <= EXACT_DIGITS && number.exponent >= -EXACT_POWER &&
        number.exponent <= EXACT_POWER) {
        /* both operands are exact, so that one rounding gives the nearest double */
        real = (double)number.mantissa;
        real = number.exponent < 0 ? real / powers_of_ten[-number.exponent]
                                   : real * powers_of_ten[number.exponent];
        real = number.negative ? -real : real;
    } else {
        char copy[NUMBER_TEXT_MAX + 1];
        memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
        real = strtod_l(copy, NULL, c_locale());
    }
    if (!isfinite(real)) {
        return false;
    }
    *out_real = real;
    return true;
}

static int order(bool less, bool more)
{
    return (int)more - (int)less;
}

int value_compare(const struct value *a, const struct value *b, bool is_unsigned)
{
    assert(a->type == b->type);
    switch (a->type) {
    case VALUE_TEXT: {
        int difference = slice_compare(a->text, b->text);
        return order(difference<0, difference> 0);
    }
    case VALUE_IP:
        return order(a->ip<b->ip, a->ip> b->ip);
    case VALUE_TIME:
        return order(a->time_us<b->time_us, a->time_us> b->time_us);
    case VALUE_INTEGER:
        if (is_unsigned) {
            return order((uint64_t)
                             a->integer<(uint64_t)b->integer, (uint64_t)a->integer>(
                                  uint64_t) b->integer);
        }
        return order(a->integer<b->integer, a->integer> b->integer);
    case VALUE_FLOAT:
        return order(a->real<b->real, a->real> b->real);
    case VALUE_BOOL:
        return order(a->boolean<b->boolean, a->boolean> b->boolean);
    case VALUE_ABSENT:
        break;
    }
    return 0;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == VALUE_TEXT) {
        return slice_equal(a->text, b->text);
    }
    return value_compare(a, b, false) == 0;
}

/* The shortest of 15, 16 or 17 digits that reads back as the same double. */
static void append_real(struct buf *out, double real)
{
    char text[40];
    int len = 0;
    locale_t before = uselocale(c_locale());
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real) {
            break;
        }
    }
    uselocale(before);
    buf_append(out, text, (size_t)len);
}

static void append_time(struct buf *out, int64_t time_us)
{
    char text[VALUE_TIME_TEXT];
    uint32_t precision = time_us % 1000 ? 6 : time_us % 1000000 ? 3 : 0;
    size_t len = value_format_time(time_us, 0, precision, text);
    char *blank = memchr(text, ' ', len);
    *blank = 'T';
    buf_append(out, text, len);
    buf_append_char(out, 'Z');
}

void value_append_float(struct buf *out, float real)
{
    char text[40];
    locale_t before = uselocale(c_locale());
    int len = snprintf(text, sizeof text, "%.9g", (double)real);
    uselocale(before);
    buf_append(out, text, (size_t)len);
}

void value_append_text(struct buf *out, const struct value *value)
{
    char ip[VALUE_IP_TEXT];
    switch (value->type) {
    case VALUE_TEXT:
        buf_append_slice(out, value->text);
        break;
    case VALUE_IP:
        buf_append(out, ip, value_format_ip(value->ip, ip));
        break;
    case VALUE_TIME:
        append_time(out, value->time_us);
        break;
    case VALUE_INTEGER:
        buf_printf(out, "%lld", (long long)value->integer);
        break;
    case VALUE_FLOAT:
        append_real(out, value->real);
        break;
    case VALUE_BOOL:
        buf_append_text(out, value->boolean ? "true" : "false");
        break;
    case VALUE_ABSENT:
        break;
    }
}
