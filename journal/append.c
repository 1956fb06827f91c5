/* One batch into the transaction in hand. Everything that can refuse it is asked before
 * the first byte is put, so that a refused batch leaves nothing in a transaction that
 * goes on for others. */
#include "journal/change.h"

#include "journal/lanes.h"

#include <assert.h>

uint64_t append_bytes(const struct journal *journal, const struct journal_append *append)
{
    uint64_t page = journal->store.page_size;
    /* State and lane records are rewritten in place: the reserve covers them. */
    uint64_t bytes = 0;
    for (size_t i = 0; i < append->part_count; i++) {
        const struct journal_part *part = &append->parts[i];
        bytes += space_of_value(page, FORMAT_HEADER_MAX + part->payload.len);
        for (size_t k = 0; k < part->dead_count; k++) {
            bytes +=
                space_of_value(page, dead_bytes_max(part->stream, &part->dead[k], 1));
        }
    }
    if (append->receipt.scope_key.len) {
        bytes += space_of_value(page, 2 * JOURNAL_RECEIPT_KEY_MAX + 64) +
                 space_of_value(page, append->receipt.answer.len + 64);
    }
    return bytes;
}

/* A lane that comes twice is counted twice: only near the limit does it matter. */
static bool lanes_fit(const struct journal *journal, const struct journal_append *append)
{
    if (journal->lane_count + append->part_count <= LANES_MAX) {
        return true;
    }
    size_t fresh = 0;
    for (size_t i = 0; i < append->part_count; i++) {
        const struct journal_part *part = &append->parts[i];
        fresh += lanes_find(journal, part->stream, part->lane) == NULL;
    }
    return journal->lane_count + fresh <= LANES_MAX;
}

static int admit(struct change *change, struct journal_append *append)
{
    const struct journal *journal = change->journal;
    uint64_t dead = 0;
    for (size_t i = 0; i < append->part_count; i++) {
        const struct journal_part *part = &append->parts[i];
        dead += dead_bytes_max(part->stream, part->dead, part->dead_count);
    }
    if (dead && change->next.dead_bytes + dead > journal->config.dead_letters_max) {
        return err_set(&append->err, ERR_FULL, 0,
                       "dead letters take %llu of %llu bytes: no room for more; look at "
                       "`holdfast deadletter ls`, then retry or purge them",
                       (unsigned long long)change->next.dead_bytes,
                       (unsigned long long)journal->config.dead_letters_max);
    }
    if (!lanes_fit(journal, append)) {
        return err_set(&append->err, ERR_FULL, 0,
                       "the journal has %zu lanes and takes at most %d: name streams and "
                       "lanes that are there",
                       journal->lane_count, LANES_MAX);
    }
    if (dead_check_retried(change, append)) {
        return append->err.code;
    }
    uint64_t bytes = append_bytes(journal, append);
    if (bytes > change->intake_left) {
        change->refused = true;
        return err_set(&append->err, ERR_FULL, 0, "%s", handle_full_advice);
    }
    change->intake_left -= bytes;
    change->appended_bytes += bytes;
    change->growth_max = space_growth_for_intake(&change->space);
    return ERR_OK;
}

static int put_dead(struct change *change, const struct journal_part *part, uint64_t seq,
                    struct err *err)
{
    struct dead_origin origin = {.seq = seq,
                                 .stream = part->stream,
                                 .lane = part->lane,
                                 .state = JOURNAL_DEAD_KEPT,
                                 .at_intake = true};
    int rc = ERR_OK;
    for (size_t i = 0; i < part->dead_count && !rc; i++) {
        rc = dead_put(change, &origin, &part->dead[i], err);
    }
    return rc;
}

static int put_entry(struct change *change, const struct journal_part *part,
                     struct entry_header *header, struct err *err)
{
    uint64_t seq = header->seq;
    MDB_val place = {format_header_len(strlen(header->stream)) + part->payload.len, NULL};
    int rc = change_reserve(change, change->journal->store.entries,
                            slice_of(&seq, sizeof seq), MDB_APPEND, &place, err);
    if (!rc) {
        format_entry_encode(header, part->payload, place.mv_data);
    }
    return rc;
}

static int append_part(struct change *change, const struct journal_append *append,
                       const struct journal_part *part, struct err *err)
{
    struct lane *lane = NULL;
    int rc = lanes_find_or_add(change->journal, part->stream, part->lane, &lane, err);
    if (rc) {
        return rc;
    }
    change_touch(change, lane);
    uint32_t accepted = part->retried ? 0 : part->records;
    struct entry_header header = {
        .state = JOURNAL_ENTRY_FULL,
        .seq = change->next.next_seq,
        .batch_seq = append->first_seq,
        .batch_entries = (uint32_t)append->part_count,
        .records = part->records,
        .accepted = accepted,
        .running = lane->next.running + accepted,
        .retried = lane->next.retried + part->records - accepted,
        .received_at_us = append->received_at_us,
        .lane = part->lane,
        .previous = lane->next.last,
    };
    memcpy(header.stream, lane->stream, sizeof header.stream);
    rc = put_entry(change, part, &header, err);
    if (!rc) {
        rc = put_dead(change, part, header.seq, err);
    }
    if (!rc && part->retried) {
        rc = dead_mark_retried(change, part, header.seq, err);
    }
    if (rc) {
        return rc;
    }
    lane->next_exists = true;
    lane->next.last.seq = header.seq;
    memcpy(lane->next.last.sum, header.sum, JOURNAL_SUM_LEN);
    lane->next.running = header.running;
    lane->next.retried = header.retried;
    lane->next.rejected += part->dead_count;
    lane->first_new = lane->first_new ? lane->first_new : header.seq;
    change->next.next_seq++;
    change->next.records += accepted;
    return ERR_OK;
}

int change_append(struct change *change, struct journal_append *append, struct err *err)
{
    append->err.code = ERR_OK;
    append->err.message[0] = '\0';
    append->outcome = JOURNAL_APPENDED;
    bool decided = false;
    int rc = receipts_look_up(change, append, &decided, err);
    if (rc || decided) {
        return rc;
    }
    if (admit(change, append)) {
        return ERR_OK;
    }
    append->first_seq = change->next.next_seq;
    for (size_t i = 0; i < append->part_count && !rc; i++) {
        rc = append_part(change, append, &append->parts[i], err);
    }
    if (!rc) {
        rc = receipts_put(change, append, err);
    }
    change->appended += !rc;
    return rc;
}
