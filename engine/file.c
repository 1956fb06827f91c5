#include "engine/file.h"

#include <errno.h>
#include <stdio.h>

static int refuse(const char *path, int sys, struct err *err)
{
    enum err_code code =
        sys == ENOENT ? ERR_NOT_FOUND : err_code_of_errno(sys, ERR_CONFIG);
    return err_set_errno(err, code, sys, "%s: can't be read", path);
}

int file_read(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return refuse(path, errno, err);
    }
    char piece[4096];
    size_t got;
    bool larger = false;
    while (!out->failed && (got = fread(piece, 1, sizeof piece, file)) > 0) {
        larger = out->len + got > out->max;
        buf_append(out, piece, got);
    }
    int sys = ferror(file) ? errno : 0;
    (void)fclose(file); /* it was only read */
    if (sys) {
        return refuse(path, sys, err);
    }
    if (larger) {
        return err_set(err, ERR_CONFIG, 0, "%s: larger than %zu bytes", path, out->max);
    }
    return out->failed ? err_set(err, ERR_NOMEM, 0, "%s: no memory to read it", path)
                       : ERR_OK;
}
