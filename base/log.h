/* base/log.h: one line per event on standard error, logfmt or JSON.
 *
 *     log_warn("lane_stopped", L_STR("stream", name), L_INT("lane", lane));
 *
 * Every event has a stable name. Control characters, those that steer the writing
 * direction, and bytes that are not UTF-8, are escaped, so that a hostile value can't
 * forge a line. A value over 1000 bytes is cut ("..."), and fields beyond 8 KiB are left
 * out (cut=true). The same event repeated
 * within a second is written at most LOG_BURST times;
 * the next second's first line says how many were suppressed.
 * Threads: any; a line is one write(2).
 */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum { LOG_BURST = 10 };

struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_REAL } type;
    struct slice text;
    int64_t integer;
    double real;
};

#define L_STR(k, v)                                                                      \
    ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .text = slice_text(v)})
#define L_SLICE(k, v)                                                                    \
    ((struct log_field){.key = (k), .type = LOG_FIELD_TEXT, .text = (v)})
#define L_INT(k, v)                                                                      \
    ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .integer = (int64_t)(v)})
#define L_REAL(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_REAL, .real = (v)})
/* the message, its code's name being logged apart by L_CODE */
#define L_ERR(e) L_STR("error", (e)->message)
#define L_CODE(e) L_STR("code", err_name((e)->code))

/* Set once, before threads start. Default: LOG_INFO, LOG_LOGFMT, file descriptor 2. */
void log_setup(enum log_level level, enum log_format format, int fd);

bool log_enabled(enum log_level level);

void log_event(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);

#define LOG_EVENT_(level, event, ...)                                                    \
    log_event((level), (event), (const struct log_field[]){__VA_ARGS__},                 \
              sizeof((const struct log_field[]){__VA_ARGS__}) /                          \
                  sizeof(struct log_field))
#define log_debug(event, ...) LOG_EVENT_(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) LOG_EVENT_(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) LOG_EVENT_(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) LOG_EVENT_(LOG_ERROR, event, __VA_ARGS__)

/* What log_event writes, as a value. */
struct log_line {
    int64_t wall_us;
    enum log_level level;
    const char *event;
    const struct log_field *fields;
    size_t count;
};

/* Appends one line, its end included; the pure part. */
void log_render(struct buf *out, enum log_format format, const struct log_line *line);

#endif
