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

/* An entry that is lost. */
struct journal_loss {
    uint64_t seq;
    char stream[JOURNAL_STREAM_MAX + 1]; /* "": whose it was isn't known; then it is
                                          * counted with a later one of its lane */
    uint32_t lane;
    uint64_t records; /* that the lane counted in it and in those before it which can't be
                       * told from it */
    uint64_t pending; /* of these, not applied as far as the journal knows */
    int64_t received_at_us; /* at the latest; 0: not known */
};

struct journal_repair {
    char id[JOURNAL_ID_TEXT];
    struct journal_verify_result result; /* of the new journal */
    struct journal_loss *losses;         /* by seq */
    size_t loss_count;
    uint64_t records; /* lost, of all of them */
    uint64_t pending;
    uint64_t found;   /* entries that the pages' tree had lost, found by their bytes */
    uint64_t dropped; /* applied entries left out, since too many before them are lost */
    uint64_t unread;  /* applied entries before the first one that is there, which could
                       * not be read; some or all of them may have expired before */
    uint64_t dead_letters_lost;
    uint64_t receipts_lost;
    /* The journal's own record was lost, or is older than its entries: what it counted is
     * taken from these, and how many letters and receipts are lost isn't known. */
    bool state_lost;
    bool id_lost; /* it has a new one */
    /* Lanes whose record was lost, or is older than their entries: their done mark is
     * found in the ledger. */
    size_t lanes_lost;
    char problem[ERR_MESSAGE_MAX]; /* the first; "" where all could be read */
};

void journal_repair_free(struct journal_repair *repair);

/* True where something is lost. */
bool journal_repair_lost(const struct journal_repair *repair);

/* Reads the damaged journal at `path`, which no engine may use meanwhile and which isn't
 * changed, as far as it can be read, and makes a sound one of it with the same id, seqs
 * and marks. An entry that is lost becomes a gap, which its lane passes only after
 * `replay --accept-gap`. With `execute` the new one is at `target` then, else only what
 * would be lost is told. `progress` may be NULL. Call before threads are started.
 * ERR_INVALID: the target is taken. ERR_LOCKED, ERR_NOT_FOUND, ERR_VERSION, ERR_IO,
 * ERR_NOMEM. */
int journal_repair(const char *path, const char *target, bool execute,
                   const struct journal_progress *progress,
                   struct journal_repair *out_repair, struct err *err);

/* What a lane brings along when the journal gets a new identity. */
struct journal_adopted_lane {
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    uint64_t entries; /* held in full: they are replayed, */
    uint64_t records; /* with so many records */
    uint64_t gone;    /* records before what is held: they can't be, and count as given
                       * up under the new identity */
    uint64_t gone_to; /* the last entry of these; 0: none */
};

struct journal_adoption {
    char id_before[JOURNAL_ID_TEXT];
    char id[JOURNAL_ID_TEXT]; /* new; "" in a plan */
    struct journal_adopted_lane *lanes;
    size_t lane_count;
};

void journal_adoption_free(struct journal_adoption *adoption);

/* What journal_adopt would do; the handle may be a reader. ERR_CORRUPT, ERR_IO ... */
int journal_adoption_plan(struct journal *journal, struct journal_adoption *out_adoption,
                          struct err *err);

/* Gives a restored or copied journal a new identity, in one durable transaction: a new
 * id, every lane back at its beginning, since no ledger knows the new id yet. What the
 * journal holds is replayed, and what is there already is found as duplicates. Entries,
 * dead letters, receipts and other settings stay. A gap that a lane begins with is
 * accepted beforehand (`replay --accept-gap`): those entries were dealt with under the
 * old identity. A writer's handle that nobody else uses; close it afterwards. ERR_IO: it
 * may have been done or not; the next open finds the one or the other. */
int journal_adopt(struct journal *journal, struct journal_adoption *out_adoption,
                  struct err *err);

#endif
