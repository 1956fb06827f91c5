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

/* Ends the child, which has no memory to go on. */
_Noreturn void reading_child_lacks_memory(void);

/* Closes the pipe and waits for the child. *out_status is its wait status. ERR_NOMEM: it
 * ended for want of memory, which says nothing about the journal. */
int reading_child_stop(struct reading_child *child, int *out_status, struct err *err);

#endif
