#include "engine/config_read.h"
#include "engine/units.h"

#include <stdarg.h>
#include <stdio.h>

void read_refuse(struct config_reader *reader, const char *path, const char *format, ...)
{
    if (reader->code) {
        return;
    }
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    reader->code = locate_refuse(reader->locate, reader->err, path, "%s", message);
}

/* True where there is something to read. */
static bool has_text(struct config_reader *reader, const char *path, const char *text)
{
    if (reader->code || !text) {
        return false;
    }
    if (!*text) {
        read_refuse(reader, path,
                    "is empty; write a value, or leave the key out for the default");
        return false;
    }
    return true;
}

void read_text(struct config_reader *reader, const char *path, const char *text,
               const char **out)
{
    if (has_text(reader, path, text)) {
        *out = text;
    }
}

void read_size(struct config_reader *reader, const char *path, const char *text,
               uint64_t min, uint64_t *out)
{
    uint64_t bytes;
    if (!has_text(reader, path, text)) {
        return;
    }
    if (!units_parse_size(slice_text(text), &bytes)) {
        read_refuse(reader, path,
                    "'%.64s' is not a size; write a whole number with B, KiB, MiB, GiB "
                    "or TiB, such as 64MiB",
                    text);
    } else if (bytes < min) {
        char least[UNITS_TEXT];
        units_format_size(min, least);
        read_refuse(reader, path, "'%.64s' is too small; at least %s is needed", text,
                    least);
    } else {
        *out = bytes;
    }
}

void read_duration(struct config_reader *reader, const char *path, const char *text,
                   int64_t *out_us)
{
    if (has_text(reader, path, text) && !units_parse_duration(slice_text(text), out_us)) {
        read_refuse(reader, path,
                    "'%.64s' is not a time; write a whole number with ms, s, min, h or "
                    "d, such as 72h",
                    text);
    }
}

void read_seconds(struct config_reader *reader, const char *path, const char *text,
                  uint32_t *out_s)
{
    enum { DAY_S = 86400 };
    int64_t us = 0;
    read_duration(reader, path, text, &us);
    if (reader->code || !text) {
        return;
    }
    if (us < 1000000 || us > INT64_C(1000000) * DAY_S || us % 1000000) {
        read_refuse(reader, path, "'%.64s' is not between 1s and 1d in whole seconds",
                    text);
        return;
    }
    *out_s = (uint32_t)(us / 1000000);
}

void read_bool(struct config_reader *reader, const char *path, const char *text,
               bool *out)
{
    if (has_text(reader, path, text) && !units_parse_bool(slice_text(text), out)) {
        read_refuse(reader, path, "'%.64s' is neither true nor false", text);
    }
}

void read_count(struct config_reader *reader, const char *path, const char *text,
                struct read_range range, uint64_t *out)
{
    uint64_t number;
    if (!has_text(reader, path, text)) {
        return;
    }
    if (!units_parse_count(slice_text(text), &number) || number < range.min ||
        number > range.max) {
        read_refuse(reader, path, "'%.64s' is not a whole number from %llu to %llu", text,
                    (unsigned long long)range.min, (unsigned long long)range.max);
        return;
    }
    *out = number;
}

void read_count32(struct config_reader *reader, const char *path, const char *text,
                  struct read_range range, uint32_t *out)
{
    uint64_t number = *out;
    read_count(reader, path, text, range, &number);
    *out = (uint32_t)number;
}

void read_percent(struct config_reader *reader, const char *path, const char *text,
                  uint32_t *out_hundredths)
{
    if (has_text(reader, path, text) &&
        !units_parse_percent(slice_text(text), out_hundredths)) {
        read_refuse(reader, path,
                    "'%.64s' is not a share from 0 to 100 with at most two decimals, "
                    "such as 99.5",
                    text);
    }
}

void read_word(struct config_reader *reader, const char *path, const char *text,
               const char *const *words, unsigned *out_index)
{
    if (!has_text(reader, path, text)) {
        return;
    }
    struct buf all = {0};
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            *out_index = i;
            buf_free(&all);
            return;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    const char *listed = buf_text(&all);
    read_refuse(reader, path, "'%.64s' is not known; it is one of: %s", text,
                listed ? listed : "");
    buf_free(&all);
}
