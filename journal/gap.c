/* What a lane can't read: found by walking over stubs, gaps and what left altogether, to
 * the next entry that is there. Entries leave from the front, stubs are left behind
 * pending ones of other lanes, and `journal repair` puts gap entries where it found
 * damage, so one hole may be of all three kinds. */
#include "journal/lanes.h"
#include "journal/reading.h"

struct hole {
    struct journal_gap *gap;
    bool found; /* an entry is known to be gone */
};

static void widen(struct hole *hole, uint64_t first, const struct journal_position *to,
                  struct journal_counts counts)
{
    if (!hole->found) {
        hole->gap->first_seq = first;
    }
    hole->found = true;
    hole->gap->to = *to;
    hole->gap->to_counts = counts;
}

/* Walks to the lane's first entry behind `after` that is there in full, or to its end. */
static int walk(struct journal *journal, const struct journal_lane *lane,
                struct hole *hole, struct err *err)
{
    uint64_t after = hole->gap->after_seq;
    struct scan scan = scan_from(journal, after + 1);
    struct scanned entry;
    int rc;
    while (!(rc = scan_next_of_lane(&scan, lane->stream, lane->lane, &entry, err)) &&
           entry.found) {
        const struct entry_header *header = &entry.header;
        if (!hole->found && header->previous.seq > after) {
            widen(hole, header->previous.seq, &header->previous,
                  format_entry_before(header));
        }
        if (header->state == JOURNAL_ENTRY_FULL) {
            break;
        }
        struct journal_position here = {.seq = header->seq};
        memcpy(here.sum, header->sum, sizeof here.sum);
        widen(hole, header->seq, &here,
              (struct journal_counts){header->running, header->retried});
    }
    scan_end(&scan);
    return rc;
}

/* Nothing of the lane is left behind `after`: what its record says is its last entry. */
static int take_end(struct journal *journal, const struct journal_lane *lane,
                    struct hole *hole, struct err *err)
{
    struct journal_counts counts = {lane->running, lane->retried};
    struct journal_position last = {.seq = lane->last_seq};
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    const struct lane *known = lanes_find(journal, lane->stream, lane->lane);
    bool same = known && known->record.last.seq == last.seq;
    if (same) {
        memcpy(last.sum, known->record.last.sum, sizeof last.sum);
    }
    pthread_mutex_unlock(&journal->lock);
    if (!same) {
        return err_set(err, ERR_BUSY, 0, "the lane moved meanwhile; try again");
    }
    widen(hole, last.seq, &last, counts);
    return ERR_OK;
}

struct letters {
    const struct journal_lane *lane;
    uint64_t count;
};

static bool count_letter(const struct journal_dead_entry *dead, void *context)
{
    struct letters *letters = context;
    letters->count += dead->state != JOURNAL_DEAD_CONFLICT &&
                      dead->lane == letters->lane->lane &&
                      strcmp(dead->stream, letters->lane->stream) == 0;
    return true;
}

int journal_gap_find(struct journal *journal, const char *stream, uint32_t lane,
                     struct journal_gap *gap, struct err *err)
{
    struct journal_lane known;
    struct hole hole = {.gap = gap};
    struct letters letters = {.lane = &known};
    int rc = journal_lane_get(journal, stream, lane, &known, err);
    rc = rc ? rc : walk(journal, &known, &hole, err);
    if (!rc && !hole.found && known.last_seq > gap->after_seq && !known.oldest_seq) {
        rc = take_end(journal, &known, &hole, err);
    }
    if (!rc && !hole.found) {
        rc = err_set(err, ERR_NOT_FOUND, 0,
                     "stream %s lane %u lacks nothing behind entry %llu", stream, lane,
                     (unsigned long long)gap->after_seq);
    }
    rc = rc ? rc
            : journal_dead_letters_visit(journal, gap->after_seq + 1, gap->to.seq,
                                         count_letter, &letters, err);
    if (!rc) {
        gap->dead_letters = letters.count;
        gap->records = gap->to_counts.running - gap->after_counts.running +
                       gap->to_counts.retried - gap->after_counts.retried;
    }
    return rc;
}
