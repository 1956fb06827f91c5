/* journal/preallocate.h: written zeros ahead of the last used page, since growing a file
 * is the slow part of a commit. Only on the writer's thread, between commits. */
#ifndef HOLDFAST_JOURNAL_PREALLOCATE_H
#define HOLDFAST_JOURNAL_PREALLOCATE_H

#include "journal/handle.h"

/* Zeros are missing, and may be written now. */
bool preallocate_due(const struct journal *journal);

/* Writes one step. *out_more: there is more to be written now. A disk that has no room
 * is no failure; nothing is written then for a while. `sync`: nobody waits for a commit,
 * so make this step durable at once. ERR_IO: the sync failed, which is final. */
int preallocate_step(struct journal *journal, bool sync, bool *out_more, struct err *err);

/* Brings journal->extent up to date where what is known of it may be wrong: at first, and
 * while there are holes that commits fill. ERR_IO. */
int preallocate_look(struct journal *journal, struct err *err);

/* LMDB doesn't write a page that was allocated and freed in one transaction, even if it
 * is the file's last: the file would look truncated when it is opened again. So before a
 * commit that may take up to `bytes` of new pages the file is made long enough (a hole
 * will do), and after it the writer looks whether it was. */
int preallocate_reach(struct journal *journal, uint64_t bytes, struct err *err);

/* So too, on a disk that is nearly full: those bytes, and holes below them, are taken
 * from the disk now, so that a commit within them doesn't fail for want of room.
 * ERR_FULL: it hasn't so many. A file system that can't give room in advance is believed.
 */
int preallocate_secure(struct journal *journal, uint64_t bytes, struct err *err);

int preallocate_cover(struct journal *journal, struct err *err);

#endif
