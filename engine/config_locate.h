/* engine/config_locate.h: which line of a YAML text a key such as
 * "streams[0].entity.columns[3].merge" is on. */
#ifndef HOLDFAST_ENGINE_CONFIG_LOCATE_H
#define HOLDFAST_ENGINE_CONFIG_LOCATE_H

#include "base/err.h"
#include "base/slice.h"

enum { LOCATE_TEXT_MAX = 1 << 20, LOCATE_DEPTH_MAX = 16 };

struct locate;

/* Walks the text once. ERR_CONFIG, as "name:line: key: what; what to do": no YAML, a key
 * twice in one mapping, aliases, a second document, nested too deep, too large.
 * ERR_NOMEM. `name` is borrowed until locate_free. */
int locate_new(const char *name, struct slice text, struct locate **out_locate,
               struct err *err);
void locate_free(struct locate *locate);

/* The line of the key, or of the nearest key above it that is there; from 1. */
size_t locate_line(const struct locate *locate, const char *path);

/* Sets ERR_CONFIG "name:line: path: message"; path "" is the file as a whole. */
int locate_refuse(const struct locate *locate, struct err *err, const char *path,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
