#include "base/log.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_LINE_MAX = 8192,
    LOG_VALUE_MAX = 1000, /* bytes of one value: escaped in full it still fits a line */
    LOG_CLOSE_MAX = 16,   /* what ends a line, in either format */
    LOG_EVENTS_TRACKED = 64,
    LOG_WINDOW_US = 1000000,
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    enum log_level level;
    enum log_format format;
    int fd;
} settings = {LOG_INFO, LOG_LOGFMT, STDERR_FILENO};

/* What was written of one event within the present window of a second. */
struct repeats {
    const char *event;
    int64_t since_us;
    unsigned written;
    unsigned suppressed;
};

static pthread_mutex_t repeats_lock = PTHREAD_MUTEX_INITIALIZER;
static struct repeats repeats[LOG_EVENTS_TRACKED];

void log_setup(enum log_level level, enum log_format format, int fd)
{
    settings.level = level;
    settings.format = format;
    settings.fd = fd;
}

bool log_enabled(enum log_level level)
{
    return level >= settings.level;
}

/* Characters of several bytes that steer a terminal or a viewer: C1 controls, line and
 * paragraph separators, changes of the writing direction. Their code point, else 0. */
static unsigned steering_point(struct slice text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text.data;
    unsigned point = 0;
    if (len == 2) {
        point = (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    } else if (len == 3) {
        point = (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    }
    bool steers = (point >= 0x80 && point < 0xa0) ||
                  (point >= 0x2028 && point <= 0x202e) ||
                  (point >= 0x2066 && point <= 0x2069);
    return steers ? point : 0;
}

static void append_escaped(struct buf *out, struct slice text)
{
    while (text.len) {
        size_t len = utf8_next(text);
        unsigned char first = (unsigned char)text.data[0];
        unsigned steering = steering_point(text, len);
        if (len == 0) {
            buf_printf(out, "\\\\x%02x", first);
            len = 1;
        } else if (first == '"' || first == '\\') {
            buf_append_char(out, '\\');
            buf_append_char(out, (char)first);
        } else if (first < 0x20 || first == 0x7f || steering) {
            buf_printf(out, "\\u%04x", steering ? steering : first);
        } else {
            buf_append(out, text.data, len);
        }
        text.data += len;
        text.len -= len;
    }
}

/* At most LOG_VALUE_MAX bytes, not cut within a character. */
static struct slice cut_value(struct slice text)
{
    if (text.len > LOG_VALUE_MAX) {
        text.len = LOG_VALUE_MAX;
        for (int i = 0; i < 3 && (text.data[text.len] & 0xc0) == 0x80; i++) {
            text.len--;
        }
    }
    return text;
}

static void append_quoted(struct buf *out, struct slice text)
{
    struct slice shown = cut_value(text);
    buf_append_char(out, '"');
    append_escaped(out, shown);
    buf_append_text(out, shown.len < text.len ? "...\"" : "\"");
}

/* In logfmt a value without blanks, quotes and control bytes stands bare. */
static bool stands_bare(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return text.len > 0;
}

static void append_text(struct buf *out, enum log_format format, struct slice text)
{
    if (format == LOG_LOGFMT && text.len <= LOG_VALUE_MAX && stands_bare(text)) {
        buf_append_slice(out, text);
    } else {
        append_quoted(out, text);
    }
}

static void append_key(struct buf *out, enum log_format format, const char *key)
{
    if (format == LOG_JSON) {
        buf_printf(out, ",\"%s\":", key);
    } else {
        buf_printf(out, " %s=", key);
    }
}

/* JSON knows no infinity and no NaN. */
static void append_real(struct buf *out, enum log_format format, double real)
{
    if (format == LOG_JSON && !isfinite(real)) {
        buf_append_text(out, "null");
    } else {
        buf_printf(out, "%.6g", real);
    }
}

static void append_field(struct buf *out, enum log_format format,
                         const struct log_field *field)
{
    append_key(out, format, field->key);
    switch (field->type) {
    case LOG_FIELD_TEXT:
        append_text(out, format, field->text);
        break;
    case LOG_FIELD_INT:
        buf_printf(out, "%lld", (long long)field->integer);
        break;
    case LOG_FIELD_REAL:
        append_real(out, format, field->real);
        break;
    }
}

static void append_head(struct buf *out, enum log_format format,
                        const struct log_line *line)
{
    int64_t us = line->wall_us % 1000000;
    us += us < 0 ? 1000000 : 0;
    time_t seconds = (time_t)((line->wall_us - us) / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[64];
    size_t len = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + len, sizeof stamp - len, ".%06dZ", (int)us);
    if (format == LOG_JSON) {
        buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", stamp,
                   level_names[line->level], line->event);
    } else {
        buf_printf(out, "time=%s level=%s event=%s", stamp, level_names[line->level],
                   line->event);
    }
}

/* A field that a bounded buffer has no room for is left out with all after it, and the
 * line says so: it stays well-formed. */
void log_render(struct buf *out, enum log_format format, const struct log_line *line)
{
    const char *end = format == LOG_JSON ? "}\n" : "\n";
    append_head(out, format, line);
    for (size_t i = 0; i < line->count && !out->failed; i++) {
        size_t before = out->len;
        append_field(out, format, &line->fields[i]);
        if (out->failed || (out->max && out->len + LOG_CLOSE_MAX > out->max)) {
            out->len = before;
            out->failed = false;
            end = format == LOG_JSON ? ",\"cut\":true}\n" : " cut=true\n";
            break;
        }
    }
    buf_append_text(out, end);
}

static struct repeats *repeats_of(const char *event)
{
    struct repeats *oldest = &repeats[0];
    for (size_t i = 0; i < LOG_EVENTS_TRACKED; i++) {
        if (repeats[i].event && strcmp(repeats[i].event, event) == 0) {
            return &repeats[i];
        }
        if (repeats[i].since_us < oldest->since_us) {
            oldest = &repeats[i];
        }
    }
    *oldest = (struct repeats){.event = event};
    return oldest;
}

/* True if the line may be written; *out_suppressed is how many were not before it. */
static bool admit(const char *event, int64_t now_us, unsigned *out_suppressed)
{
    pthread_mutex_lock(&repeats_lock);
    struct repeats *seen = repeats_of(event);
    *out_suppressed = 0;
    if (now_us - seen->since_us >= LOG_WINDOW_US) {
        *out_suppressed = seen->suppressed;
        seen->since_us = now_us;
        seen->written = seen->suppressed = 0;
    }
    bool admitted = seen->written < LOG_BURST;
    if (admitted) {
        seen->written++;
    } else {
        seen->suppressed++;
    }
    pthread_mutex_unlock(&repeats_lock);
    return admitted;
}

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    unsigned suppressed;
    if (!log_enabled(level) ||
        !admit(event, clock_steady_us(&clock_system), &suppressed)) {
        return;
    }
    char room[LOG_LINE_MAX]; /* no memory is asked for: its lack is to be told, too */
    struct buf out = {.data = room, .capacity = sizeof room, .max = sizeof room};
    int64_t now_us = clock_wall_us(&clock_system);
    if (suppressed) {
        struct log_field note[] = {L_STR("of", event), L_INT("lines", suppressed)};
        struct log_line line = {now_us, LOG_WARN, "log_suppressed", note, 2};
        log_render(&out, settings.format, &line);
    }
    struct log_line line = {now_us, level, event, fields, count};
    log_render(&out, settings.format, &line);
    if (!out.failed) {
        ssize_t written = write(settings.fd, out.data, out.len);
        (void)written; /* there is nowhere to report a log that can't be written */
    }
}
