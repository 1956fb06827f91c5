/* Times as text and back, by arithmetic alone: this is on the path of every record.
 * The day count is the usual one that lets years begin in March, so that the leap day
 * is the last of its year. */
#include "schema/value.h"

static const int64_t second_us = 1000000;
static const int64_t day_s = 86400;
/* an epoch of this size or more counts milliseconds */
static const int64_t epoch_ms_from = 100000000000;

enum { OFFSET_MAX_S = 14 * 3600, EPOCH_DIGITS_MAX = 15 };

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct date {
    int64_t year;
    int64_t month;
    int64_t day;
};

static struct date date_from_days(int64_t days)
{
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    struct date date;
    date.day = of_year - (153 * shifted + 2) / 5 + 1;
    date.month = shifted < 10 ? shifted + 3 : shifted - 9;
    date.year = year + era * 400 + (date.month <= 2);
    return date;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What is left to be read. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_char(struct cursor *in, char c)
{
    if (in->at == in->end || *in->at != c) {
        return false;
    }
    in->at++;
    return true;
}

/* Exactly `digits` digits. */
static bool take_number(struct cursor *in, int digits, int64_t *out_number)
{
    if (in->end - in->at < digits) {
        return false;
    }
    int64_t number = 0;
    for (int i = 0; i < digits; i++, in->at++) {
        if (!is_digit(*in->at)) {
            return false;
        }
        number = number * 10 + (*in->at - '0');
    }
    *out_number = number;
    return true;
}

/* One or more digits after a point as microseconds, cut; *out_rest: a digit beyond is
 * not zero. */
static bool take_fraction(struct cursor *in, int64_t *out_us, bool *out_rest)
{
    const char *start = in->at;
    int64_t unit = 100000;
    int64_t us = 0;
    bool rest = false;
    for (; in->at < in->end && is_digit(*in->at); in->at++) {
        us += (*in->at - '0') * unit;
        rest = rest || (unit == 0 && *in->at != '0');
        unit /= 10;
    }
    *out_us = us;
    *out_rest = rest;
    return in->at > start;
}

static bool take_date(struct cursor *in, int64_t *out_days)
{
    static const int8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct date date;
    if (!take_number(in, 4, &date.year) || in->at == in->end) {
        return false;
    }
    char separator = *in->at++;
    if ((separator != '-' && separator != '/') || !take_number(in, 2, &date.month) ||
        !take_char(in, separator) || !take_number(in, 2, &date.day)) {
        return false;
    }
    if (date.year < 1 || date.month < 1 || date.month > 12 || date.day < 1) {
        return false;
    }
    bool leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
    if (date.day > month_days[date.month - 1] + (date.month == 2 && leap)) {
        return false;
    }
    *out_days = days_from_date(date.year, date.month, date.day);
    return true;
}

static bool take_clock(struct cursor *in, int64_t *out_seconds)
{
    int64_t hours;
    int64_t minutes;
    int64_t seconds;
    if (!take_number(in, 2, &hours) || !take_char(in, ':') ||
        !take_number(in, 2, &minutes) || !take_char(in, ':') ||
        !take_number(in, 2, &seconds) || hours > 23 || minutes > 59 || seconds > 59) {
        return false;
    }
    *out_seconds = hours * 3600 + minutes * 60 + seconds;
    return true;
}

bool value_parse_offset(struct slice text, int32_t *out_offset_s)
{
    if (slice_is(text, "Z") || slice_is(text, "z") || slice_is(text, "UTC")) {
        *out_offset_s = 0;
        return true;
    }
    struct cursor in = {text.data, text.data + text.len};
    bool west = take_char(&in, '-');
    int64_t hours;
    int64_t minutes = 0;
    if ((!west && !take_char(&in, '+')) || !take_number(&in, 2, &hours)) {
        return false;
    }
    if (in.at < in.end) {
        take_char(&in, ':');
        if (!take_number(&in, 2, &minutes)) {
            return false;
        }
    }
    int64_t offset = hours * 3600 + minutes * 60;
    if (in.at != in.end || minutes > 59 || offset > OFFSET_MAX_S) {
        return false;
    }
    *out_offset_s = (int32_t)(west ? -offset : offset);
    return true;
}

static bool parse_calendar(struct slice text, int32_t zone_offset_s, int64_t *out_time_us)
{
    struct cursor in = {text.data, text.data + text.len};
    int64_t days;
    int64_t seconds;
    if (!take_date(&in, &days) ||
        (!take_char(&in, ' ') && !take_char(&in, 'T') && !take_char(&in, 't')) ||
        !take_clock(&in, &seconds)) {
        return false;
    }
    int64_t us = 0;
    bool rest;
    if ((take_char(&in, '.') || take_char(&in, ',')) && !take_fraction(&in, &us, &rest)) {
        return false;
    }
    int32_t offset_s = zone_offset_s;
    if (in.at < in.end) {
        struct slice zone = slice_of(in.at, (size_t)(in.end - in.at));
        if (slice_is(zone, "UTC") || !value_parse_offset(zone, &offset_s)) {
            return false;
        }
    }
    *out_time_us = (days * day_s + seconds - offset_s) * second_us + us;
    return true;
}

static bool parse_epoch(struct slice text, int64_t *out_time_us)
{
    struct cursor in = {text.data, text.data + text.len};
    bool negative = take_char(&in, '-');
    int64_t whole = 0;
    const char *start = in.at;
    while (in.at < in.end && in.at - start < EPOCH_DIGITS_MAX && is_digit(*in.at)) {
        whole = whole * 10 + (*in.at++ - '0');
    }
    int64_t us = 0;
    bool rest = false;
    if (in.at == start || (take_char(&in, '.') && !take_fraction(&in, &us, &rest)) ||
        in.at != in.end) {
        return false;
    }
    if (whole >= epoch_ms_from) {
        rest = rest || us % 1000;
        *out_time_us = whole * 1000 + us / 1000;
    } else {
        *out_time_us = whole * second_us + us;
    }
    if (negative) {
        *out_time_us = -*out_time_us - rest;
    }
    return true;
}

bool value_parse_time(struct slice text, int32_t zone_offset_s, int64_t *out_time_us)
{
    bool calendar = text.len > 4 && (text.data[4] == '-' || text.data[4] == '/');
    if (calendar) {
        return parse_calendar(text, zone_offset_s, out_time_us);
    }
    return parse_epoch(text, out_time_us);
}

/* `number` in at least `digits` digits; the end of what was written. */
static char *put_number(char *out, int64_t number, int digits)
{
    int64_t limit = 10;
    int width = 1;
    while (width < digits || number >= limit) {
        limit *= 10;
        width++;
    }
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + width;
}

static char *put_clock(char *out, int64_t seconds)
{
    out = put_number(out, seconds / 3600, 2);
    *out++ = ':';
    out = put_number(out, seconds / 60 % 60, 2);
    *out++ = ':';
    return put_number(out, seconds % 60, 2);
}

size_t value_format_time(int64_t time_us, int32_t offset_s, uint32_t precision,
                         char out_text[VALUE_TIME_TEXT])
{
    int64_t seconds = floor_div(time_us, second_us);
    int64_t us = time_us % second_us;
    us += us < 0 ? second_us : 0;
    seconds += offset_s;
    int64_t days = floor_div(seconds, day_s);
    struct date date = date_from_days(days);
    char *out = out_text;
    if (date.year < 0) {
        *out++ = '-';
    }
    out = put_number(out, date.year < 0 ? -date.year : date.year, 4);
    *out++ = '-';
    out = put_number(out, date.month, 2);
    *out++ = '-';
    out = put_number(out, date.day, 2);
    *out++ = ' ';
    out = put_clock(out, seconds - days * day_s);
    if (precision) {
        *out++ = '.';
        put_number(out, us, 6);
        out += precision < 6 ? precision : 6;
    }
    *out = '\0';
    return (size_t)(out - out_text);
}
