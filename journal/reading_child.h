/* journal/reading_child.h: a child process in which a journal is read that may be
 * damaged: on such pages LMDB may fault, abort or assert, and its locks must not be
 * shared over fork. Not a door. */
#ifndef HOLDFAST_JOURNAL_READING_CHILD_H
#define HOLDFAST_JOURNAL_READING_CHILD_H

#include "base/err.h"

#include <stdio.h>
#include <sys/types.h>

struct reading_child {
    pid_t pid;
    FILE *in; /* what the child writes */
};

/* Runs `read` in a child, whose end it is; what it writes to `out` comes out of
 * out_child->in. The parent's handles of LMDB aren't used in it. ERR_IO, ERR_NOMEM. */
int reading_child_start(void (*read)(FILE *out, const void *context), const void *context,
                        struct reading_child *out_child, struct err *err);

/* Closes the pipe and waits for the child; its wait status. */
int reading_child_stop(struct reading_child *child);

#endif
