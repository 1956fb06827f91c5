/* journal/tools.h: what is done to whole journals, apart from the running engine: copies,
 * mending, a new identity. A door.
 *
 * Those that read do so in a child process, since LMDB may abort or fault on damaged
 * pages: call them before threads are started. What they make is built beside its place
 * and gets its name once it is whole and synced, so a crash leaves either nothing under
 * the name or all of it.
 */
#ifndef HOLDFAST_JOURNAL_TOOLS_H
#define HOLDFAST_JOURNAL_TOOLS_H

#include "journal/journal.h"

/* How far a tool is; `step` is a word such as "copy". */
struct journal_progress {
    void (*report)(const char *step, uint64_t bytes, uint64_t entries, void *context);
    void *context;
};

/* Copies the journal at `path`, beside its writer or without one, into a new journal at
 * `target` (which doesn't exist or is an empty directory) and verifies the copy. It is
 * the journal as it was at one moment near the end of the call, and may hold older
 * applied entries that have left since. It has the same id: it is there to take the place
 * of one that is lost. `progress` may be NULL. *out_result is what the verification read.
 * ERR_INVALID: the target is taken. ERR_CORRUPT: `path` is damaged; see journal_repair.
 * ERR_NOT_FOUND, ERR_VERSION, ERR_IO (a full disk too), ERR_NOMEM. */
int journal_backup(const char *path, const char *target,
                   const struct journal_progress *progress,
                   struct journal_verify_result *out_result, struct err *err);

#endif
