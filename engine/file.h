/* engine/file.h: small files that the configuration names, read whole. */
#ifndef HOLDFAST_ENGINE_FILE_H
#define HOLDFAST_ENGINE_FILE_H

#include "base/err.h"
#include "base/slice.h"

/* Appends the file at `path` to *out, which bounds it by its `max` (not 0).
 * ERR_NOT_FOUND where there is none; ERR_CONFIG where it may not be read or is larger;
 * what passes by itself as err_code_of_errno() has it. The message names the path. */
int file_read(const char *path, struct buf *out, struct err *err);

#endif
