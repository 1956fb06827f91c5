/* engine/config_read.h: strings of the configuration -> values. The first fault is kept
 * and every later call does nothing, so that a run of takes is checked once, at its end.
 * A NULL text leaves the default that *out holds. */
#ifndef HOLDFAST_ENGINE_CONFIG_READ_H
#define HOLDFAST_ENGINE_CONFIG_READ_H

#include "engine/config_locate.h"

#include <stdbool.h>
#include <stdint.h>

struct config_reader {
    const struct locate *locate;
    struct err *err;
    int code; /* 0 until something is wrong */
};

void read_refuse(struct config_reader *reader, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void read_text(struct config_reader *reader, const char *path, const char *text,
               const char **out);
void read_size(struct config_reader *reader, const char *path, const char *text,
               uint64_t min, uint64_t *out);
void read_duration(struct config_reader *reader, const char *path, const char *text,
                   int64_t *out_us);
/* whole seconds, at least one */
void read_seconds(struct config_reader *reader, const char *path, const char *text,
                  uint32_t *out_s);
void read_bool(struct config_reader *reader, const char *path, const char *text,
               bool *out);

struct read_range {
    uint64_t min;
    uint64_t max;
};
void read_count(struct config_reader *reader, const char *path, const char *text,
                struct read_range range, uint64_t *out);
void read_count32(struct config_reader *reader, const char *path, const char *text,
                  struct read_range range, uint32_t *out);

/* 0 to 100 with up to two decimals, in hundredths */
void read_percent(struct config_reader *reader, const char *path, const char *text,
                  uint32_t *out_hundredths);

/* One of `words` (closed by NULL): its index. */
void read_word(struct config_reader *reader, const char *path, const char *text,
               const char *const *words, unsigned *out_index);

#endif
