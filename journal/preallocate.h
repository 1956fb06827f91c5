/* journal/preallocate.h: written zeros ahead of the last used page, since growing a file
 * is the slow part of a commit. Only on the writer's thread, between commits. */
#ifndef HOLDFAST_JOURNAL_PREALLOCATE_H
#define HOLDFAST_JOURNAL_PREALLOCATE_H

#include "journal/handle.h"

/* Writes one step. *out_more: there is more to be written now. A disk that has no room
 * is no failure; nothing is written then for a while. `sync`: nobody waits for a commit,
 * so make this step durable at once. ERR_IO: the sync failed, which is final. */
int preallocate_step(struct journal *journal, bool sync, bool *out_more, struct err *err);

/* Sees that the file reaches its last page, which LMDB doesn't write when it was
 * allocated and freed in one transaction: a shorter file would look truncated. */
int preallocate_cover(struct journal *journal, struct err *err);

#endif
