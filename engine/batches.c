#include "engine/batches.h"

#include <stdlib.h>

/* Headers of one batch, in the order of their seqs. */
struct collection {
    uint64_t seq; /* the entry that was asked for */
    struct batch batch;
    struct journal_lane *lanes;
    size_t lane_count;
    bool found;
    bool no_memory;
};

static bool is_applied(const struct collection *collection,
                       const struct journal_entry *entry)
{
    if (entry->state == JOURNAL_ENTRY_EXPIRED ||
        strcmp(entry->stream, INTAKE_UNROUTED) == 0) {
        return true;
    }
    for (size_t i = 0; i < collection->lane_count; i++) {
        const struct journal_lane *lane = &collection->lanes[i];
        if (lane->lane == entry->lane && strcmp(lane->stream, entry->stream) == 0) {
            return lane->done.seq >= entry->seq;
        }
    }
    return false;
}

static bool add_pending(struct batch *batch, const struct journal_entry *entry)
{
    if (!batch->pending) {
        batch->pending = calloc(batch->entry_count, sizeof *batch->pending);
    }
    if (!batch->pending || batch->pending_count == batch->entry_count) {
        return false;
    }
    struct batch_entry *pending = &batch->pending[batch->pending_count++];
    memcpy(pending->stream, entry->stream, strlen(entry->stream) + 1);
    pending->entry = (struct intake_entry){pending->stream, entry->lane, entry->seq};
    return true;
}

static bool find_first(const struct journal_entry *entry, void *context)
{
    struct collection *collection = context;
    collection->found = entry->seq == collection->seq;
    collection->batch.seq = entry->batch_seq;
    collection->batch.entry_count = entry->batch_entries;
    return false;
}

static bool collect(const struct journal_entry *entry, void *context)
{
    struct collection *collection = context;
    struct batch *batch = &collection->batch;
    if (entry->seq >= batch->seq + batch->entry_count) {
        return false;
    }
    batch->records += entry->records;
    if (!is_applied(collection, entry)) {
        collection->no_memory = !add_pending(batch, entry);
    }
    return !collection->no_memory;
}

static bool count_letter(const struct journal_dead_entry *dead, void *context)
{
    struct batch *batch = context;
    batch->dead_letters += dead->state != JOURNAL_DEAD_CONFLICT;
    return true;
}

/* The entry is not there: was it? */
static int find_absent(struct journal *journal, uint64_t seq, struct batch *out_batch,
                       struct err *err)
{
    struct journal_stat stat;
    int code = journal_stat(journal, &stat, err);
    if (code == ERR_OK && (seq == 0 || seq >= stat.next_seq)) {
        code = err_set(err, ERR_NOT_FOUND, 0,
                       "no batch has the seq %llu: its state is unknown",
                       (unsigned long long)seq);
    }
    if (code == ERR_OK) {
        *out_batch = (struct batch){.seq = seq, .entry_count = 1, .applied = 1};
    }
    return code;
}

static int read_whole(struct journal *journal, struct collection *collection,
                      struct err *err)
{
    struct batch *batch = &collection->batch;
    /* marks before entries: what is applied in between counts as pending, not lost */
    int code = journal_lanes(journal, &collection->lanes, &collection->lane_count, err);
    code = code ? code : journal_visit(journal, batch->seq, collect, collection, err);
    if (code == ERR_OK && collection->no_memory) {
        code = err_set(err, ERR_NOMEM, 0, "no memory to look a batch up");
    }
    code = code ? code
                : journal_dead_letters_visit(journal, batch->seq,
                                             batch->seq + batch->entry_count - 1,
                                             count_letter, batch, err);
    free(collection->lanes);
    return code;
}

int batch_read(struct journal *journal, uint64_t seq, struct batch *out_batch,
               struct err *err)
{
    struct collection collection = {.seq = seq};
    int code = journal_visit(journal, seq, find_first, &collection, err);
    if (code == ERR_OK && !collection.found) {
        return find_absent(journal, seq, out_batch, err);
    }
    code = code ? code : read_whole(journal, &collection, err);
    if (code != ERR_OK) {
        batch_free(&collection.batch);
        return code;
    }
    *out_batch = collection.batch;
    out_batch->applied = out_batch->entry_count - (uint32_t)out_batch->pending_count;
    return ERR_OK;
}

void batch_free(struct batch *batch)
{
    free(batch->pending);
    batch->pending = NULL;
    batch->pending_count = 0;
}
