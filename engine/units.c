#include "engine/units.h"

#include <stdio.h>

static const int64_t hundred_years_us = INT64_C(100) * 366 * 86400 * 1000000;

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit sizes[] = {
    {"", 1},
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

static const struct unit durations[] = {
    {"ms", UINT64_C(1000)},      {"s", UINT64_C(1000000)},
    {"m", UINT64_C(60000000)},   {"min", UINT64_C(60000000)},
    {"h", UINT64_C(3600000000)}, {"d", UINT64_C(86400000000)},
};

/* Digits at the start; *text becomes what follows them, blanks left out. */
static bool take_digits(struct slice *text, uint64_t *out_number)
{
    uint64_t number = 0;
    size_t at = 0;
    for (; at < text->len && text->data[at] >= '0' && text->data[at] <= '9'; at++) {
        uint64_t digit = (uint64_t)(text->data[at] - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    if (at == 0) {
        return false;
    }
    *text = slice_trim(slice_of(text->data + at, text->len - at));
    *out_number = number;
    return true;
}

static bool apply_unit(struct slice name, const struct unit *units, size_t count,
                       uint64_t *number)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, units[i].name)) {
            return !__builtin_mul_overflow(*number, units[i].factor, number);
        }
    }
    return false;
}

bool units_parse_size(struct slice text, uint64_t *out_bytes)
{
    uint64_t number;
    text = slice_trim(text);
    if (!take_digits(&text, &number) ||
        !apply_unit(text, sizes, sizeof sizes / sizeof sizes[0], &number)) {
        return false;
    }
    *out_bytes = number;
    return true;
}

bool units_parse_duration(struct slice text, int64_t *out_us)
{
    uint64_t number;
    text = slice_trim(text);
    if (!take_digits(&text, &number)) {
        return false;
    }
    if (number == 0 && text.len == 0) {
        *out_us = 0;
        return true;
    }
    if (!apply_unit(text, durations, sizeof durations / sizeof durations[0], &number) ||
        number > (uint64_t)hundred_years_us) {
        return false;
    }
    *out_us = (int64_t)number;
    return true;
}

bool units_parse_count(struct slice text, uint64_t *out_count)
{
    uint64_t number;
    text = slice_trim(text);
    if (!take_digits(&text, &number) || text.len) {
        return false;
    }
    *out_count = number;
    return true;
}

/* Digits without their point, and how many stood behind it; false: not so. */
static bool parse_decimal(struct slice text, uint32_t max, uint32_t *out_number,
                          size_t *out_decimals)
{
    uint32_t number = 0;
    size_t decimals = 0;
    bool point = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '.' && !point && i) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9' || number > max) {
            return false;
        }
        number = number * 10 + (uint32_t)(c - '0');
        decimals += point;
    }
    *out_number = number;
    *out_decimals = decimals;
    return text.len > 0 && (!point || decimals > 0);
}

bool units_parse_percent(struct slice text, uint32_t *out_hundredths)
{
    enum { ALL = 10000, DECIMALS = 2 };
    uint32_t number;
    size_t decimals;
    if (text.len && text.data[text.len - 1] == '%') {
        text.len--;
    }
    if (!parse_decimal(text, ALL, &number, &decimals) || decimals > DECIMALS) {
        return false;
    }
    for (; decimals < DECIMALS; decimals++) {
        number *= 10;
    }
    if (number > ALL) {
        return false;
    }
    *out_hundredths = number;
    return true;
}

bool units_parse_bool(struct slice text, bool *out_value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"yes", true},
                 {"no", false},  {"on", true},     {"off", false}};
    text = slice_trim(text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_is(text, words[i].word)) {
            *out_value = words[i].value;
            return true;
        }
    }
    return false;
}

void units_format_size(uint64_t bytes, char out_text[UNITS_TEXT])
{
    size_t at = 1;
    while (at + 1 < sizeof sizes / sizeof sizes[0] && bytes >= sizes[at + 1].factor) {
        at++;
    }
    if (at == 1) {
        snprintf(out_text, UNITS_TEXT, "%llu B", (unsigned long long)bytes);
    } else {
        snprintf(out_text, UNITS_TEXT, "%.1f %s",
                 (double)bytes / (double)sizes[at].factor, sizes[at].name);
    }
}
