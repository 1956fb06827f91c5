/* journal/salvage.h: what LMDB can still read of a damaged journal, handed over piece by
 * piece from a child process (journal/pieces.h).
 *
 * Each value that comes has passed its own check. An entry's key says more: "" it is as
 * it was; SALVAGE_DAMAGED: its payload is damaged, the value is a gap with its header. */
#ifndef HOLDFAST_JOURNAL_SALVAGE_H
#define HOLDFAST_JOURNAL_SALVAGE_H

#include <stdint.h>
#include <stdio.h>

#define SALVAGE_DAMAGED "damaged"

/* In this order. What can't be read forwards to the end is read backwards too. */
enum salvage_step {
    SALVAGE_META,
    SALVAGE_META_BACK,
    SALVAGE_DEAD,
    SALVAGE_DEAD_BACK,
    SALVAGE_RECEIPTS,
    SALVAGE_RECEIPTS_BACK,
    SALVAGE_ENTRIES,
    SALVAGE_END
};

struct salvage_plan {
    const char *path;
    enum salvage_step step; /* begin here */
    uint64_t from;          /* with this entry */
};

/* For pieces_start, with a struct salvage_plan. PIECE_DONE's number is the step that
 * comes next, a PIECE_BEGIN of the entries says how many there should be. Ends without
 * SALVAGE_END where it can't go on: at the first entry that it can't come to, or because
 * LMDB ended the process. */
void salvage_read(FILE *out, const void *context);

#endif
