/* engine/batches.h: what became of a batch, by the seq of one of its entries. */
#ifndef HOLDFAST_ENGINE_BATCHES_H
#define HOLDFAST_ENGINE_BATCHES_H

#include "engine/intake.h"

struct batch_entry {
    struct intake_entry entry; /* its stream's name points to `stream` */
    char stream[JOURNAL_STREAM_MAX + 1];
};

struct batch {
    uint64_t seq;         /* of its first entry */
    uint32_t entry_count; /* it had so many */
    uint32_t applied;     /* so many of them are applied */
    uint64_t records;     /* of those that the journal still knows */
    uint64_t dead_letters;
    struct batch_entry *pending; /* those that are not applied */
    size_t pending_count;
};

/* The batch that the entry at `seq` belongs to. Entries that are no longer retained, or
 * that hold nothing but dead letters without a stream, count as applied. ERR_NOT_FOUND:
 * no such entry was written yet. Other errors as the journal's reading functions. */
int batch_read(struct journal *journal, uint64_t seq, struct batch *out_batch,
               struct err *err);
void batch_free(struct batch *batch);

#endif
