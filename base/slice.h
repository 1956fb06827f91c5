/* base/slice.h: borrowed bytes (struct slice) and owned, growing, bounded bytes
 * (struct buf). */
#ifndef HOLDFAST_BASE_SLICE_H
#define HOLDFAST_BASE_SLICE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A view of bytes that somebody else owns; not terminated by NUL. */
struct slice {
    const char *data;
    size_t len;
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){data, len};
}

static inline struct slice slice_text(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_text(text));
}

/* Bytewise order, the shorter first where one is a prefix of the other. */
int slice_compare(struct slice a, struct slice b);

/* Without blanks (space, tab, CR, LF) at both ends. */
struct slice slice_trim(struct slice text);

/* Growing bytes. Zero-initialise; `max` bounds len (0: no bound but memory). A failed
 * append sets `failed` and leaves the content as it was; every later append fails too, so
 * a run of appends is checked once, at its end. */
struct buf {
    char *data;
    size_t len;
    size_t capacity;
    size_t max;
    bool failed;
};

/* Frees the bytes and makes the buffer empty again; `max` stays. */
void buf_free(struct buf *buf);

/* Empties, keeping the memory; clears `failed`. */
void buf_clear(struct buf *buf);

/* Room for `len` more bytes; false and `failed` when there is none. */
bool buf_reserve(struct buf *buf, size_t len);

bool buf_append(struct buf *buf, const void *data, size_t len);
bool buf_append_slice(struct buf *buf, struct slice bytes);
bool buf_append_text(struct buf *buf, const char *text);
bool buf_append_char(struct buf *buf, char c);
/* Appends text with each byte that has one replaced by its escape (NULL: as it is). */
bool buf_append_escaped(struct buf *buf, struct slice text,
                        const char *const escapes[256]);
bool buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The content as a NUL-terminated string (the NUL is not counted in len); NULL when
 * memory is out, or an append has failed. Valid until the next change. */
const char *buf_text(struct buf *buf);

static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->data, buf->len};
}

#endif
