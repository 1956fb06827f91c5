#include "base/slice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int slice_compare(struct slice a, struct slice b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice text)
{
    while (text.len && is_blank(text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && is_blank(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->capacity = 0;
    buf->failed = false;
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

bool buf_reserve(struct buf *buf, size_t len)
{
    if (buf->failed || len > SIZE_MAX / 4 - buf->len ||
        (buf->max && buf->len + len > buf->max)) {
        buf->failed = true;
        return false;
    }
    size_t needed = buf->len + len;
    if (needed <= buf->capacity) {
        return true;
    }
    size_t capacity = buf->capacity ? buf->capacity * 2 : 256;
    if (capacity < needed) {
        capacity = needed;
    }
    char *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool buf_append(struct buf *buf, const void *data, size_t len)
{
    if (!buf_reserve(buf, len)) {
        return false;
    }
    if (len) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    return true;
}

bool buf_append_slice(struct buf *buf, struct slice bytes)
{
    return buf_append(buf, bytes.data, bytes.len);
}

bool buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

bool buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

bool buf_append_escaped(struct buf *buf, struct slice text,
                        const char *const escapes[256])
{
    size_t start = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *escape = escapes[(unsigned char)text.data[i]];
        if (escape) {
            buf_append(buf, text.data + start, i - start);
            buf_append_text(buf, escape);
            start = i + 1;
        }
    }
    return buf_append(buf, text.data + start, text.len - start);
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len < 0) {
        buf->failed = true;
        return false;
    }
    if ((size_t)len < sizeof small) {
        return buf_append(buf, small, (size_t)len);
    }
    char *large = malloc((size_t)len + 1);
    if (!large) {
        buf->failed = true;
        return false;
    }
    va_start(args, format);
    vsnprintf(large, (size_t)len + 1, format, args);
    va_end(args);
    bool done = buf_append(buf, large, (size_t)len);
    free(large);
    return done;
}

const char *buf_text(struct buf *buf)
{
    if (buf->failed) {
        return NULL; /* half a path names something else */
    }
    if (buf->len < buf->capacity) {
        buf->data[buf->len] = '\0';
        return buf->data;
    }
    char *data = realloc(buf->data, buf->len + 1);
    if (!data) {
        return NULL;
    }
    buf->data = data;
    buf->capacity = buf->len + 1;
    buf->data[buf->len] = '\0';
    return buf->data;
}
