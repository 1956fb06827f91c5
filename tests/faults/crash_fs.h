/* tests/faults/crash_fs.h: what a disk may hold when the power fails, made from a trace
 * of preload_record.c.
 *
 * The model promises a program no more than POSIX does. Written bytes and a new size are
 * sure once the file was synced after them, or where they were written by O_DSYNC. A name
 * (made, moved or removed) is sure once its directory was synced after it; names of one
 * directory reach the disk in their order. Everything else is there or not, write by
 * write, and of a write that was under way any of its 512-byte sectors.
 *
 * Threads: one.
 */
#ifndef HOLDFAST_TESTS_FAULTS_CRASH_FS_H
#define HOLDFAST_TESTS_FAULTS_CRASH_FS_H

#include "base/err.h"
#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

struct crash_fs;

enum crash_mode {
    CRASH_PREFIX,    /* all before the moment: a kill, the page cache survives */
    CRASH_LOST,      /* all that isn't sure is lost */
    CRASH_SOME,      /* of what isn't sure each write is there or not */
    CRASH_TORN,      /* likewise, and those that are there are torn */
    CRASH_REORDERED, /* of what isn't sure the later is there, the earlier isn't */
    CRASH_MODES
};

extern const char *const crash_mode_names[CRASH_MODES];

/* ERR_IO, ERR_CORRUPT: no trace; ERR_NOMEM. */
int crash_fs_load(const char *trace, struct crash_fs **out_fs, struct err *err);
void crash_fs_free(struct crash_fs *fs);

/* Moments are 0 to this: before the event of that number, or while it is under way. */
size_t crash_fs_events(const struct crash_fs *fs);

/* What the program said at this event; empty where it is another one. */
struct slice crash_fs_mark(const struct crash_fs *fs, size_t event);

/* Puts what the disk holds after a failure at `moment` into `directory`, which exists and
 * is empty. ERR_IO. */
int crash_fs_image(struct crash_fs *fs, size_t moment, enum crash_mode mode,
                   uint64_t *random, const char *directory, struct err *err);

#endif
