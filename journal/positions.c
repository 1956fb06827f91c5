/* Done marks and ledger positions: is a position (seq and sum) one of this lane of this
 * journal, and how many records does it stand for?
 *
 * The entry itself tells, while it is retained. After that the lane's record knows the
 * newest entry and the done mark, and the lane's next entry names the one before it.
 */
#include "journal/change.h"
#include "journal/lanes.h"
#include "journal/reading.h"

static int differs(const char *stream, uint32_t lane, uint64_t seq, const char *why,
                   struct err *err)
{
    return err_set(err, ERR_IDENTITY, 0,
                   "stream %s lane %u: position %llu %s: this journal was restored or "
                   "copied, or belongs to another database",
                   stream, lane, (unsigned long long)seq, why);
}

static int compare(const char *stream, uint32_t lane,
                   const struct journal_position *wanted, const uint8_t *sum,
                   struct err *err)
{
    if (memcmp(wanted->sum, sum, JOURNAL_SUM_LEN) != 0) {
        return differs(stream, lane, wanted->seq, "has another checksum here", err);
    }
    return ERR_OK;
}

/* From the entries that are there. */
static int resolve_by_entries(struct journal *journal, const char *stream, uint32_t lane,
                              const struct journal_position *wanted,
                              struct journal_counts *out_counts, struct err *err)
{
    struct scan scan = scan_from(journal, wanted->seq);
    struct scanned entry;
    int rc = scan_next_of_lane(&scan, stream, lane, &entry, err);
    const struct entry_header *header = &entry.header;
    scan_end(&scan);
    if (rc) {
        return rc;
    }
    if (entry.found && header->seq == wanted->seq) {
        *out_counts = (struct journal_counts){header->running, header->retried};
        return compare(stream, lane, wanted, header->sum, err);
    }
    if (entry.found && header->previous.seq == wanted->seq) {
        *out_counts = format_entry_before(header);
        return compare(stream, lane, wanted, header->previous.sum, err);
    }
    bool mended = entry.found && header->state == JOURNAL_ENTRY_GAP;
    if (entry.found && !mended && header->previous.seq < wanted->seq) {
        return differs(stream, lane, wanted->seq, "is not an entry of this lane", err);
    }
    /* One gap can stand for several entries that were lost to damage. */
    return err_set(err, ERR_GAP, 0,
                   "stream %s lane %u: entry %llu is no longer retained, so that its "
                   "checksum can't be compared",
                   stream, lane, (unsigned long long)wanted->seq);
}

static int resolve(struct journal *journal, const char *stream, uint32_t lane,
                   const struct journal_position *wanted,
                   struct journal_counts *out_counts, struct err *err)
{
    if (wanted->seq == 0) {
        *out_counts = (struct journal_counts){0};
        return ERR_OK;
    }
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    const struct lane *found = lanes_find(journal, stream, lane);
    struct format_lane record = {0};
    if (found && found->exists) {
        record = found->record;
    }
    pthread_mutex_unlock(&journal->lock);
    if (wanted->seq > record.last.seq) {
        return differs(stream, lane, wanted->seq, "is beyond the lane's end", err);
    }
    if (wanted->seq == record.last.seq) {
        *out_counts = (struct journal_counts){record.running, record.retried};
        return compare(stream, lane, wanted, record.last.sum, err);
    }
    if (wanted->seq == record.done.seq) {
        *out_counts = (struct journal_counts){record.done_running, record.done_retried};
        return compare(stream, lane, wanted, record.done.sum, err);
    }
    return resolve_by_entries(journal, stream, lane, wanted, out_counts, err);
}

int journal_check_position(struct journal *journal, const char *stream, uint32_t lane,
                           const struct journal_position *position, struct err *err)
{
    struct journal_counts counts;
    return resolve(journal, stream, lane, position, &counts, err);
}

int journal_position_counts(struct journal *journal, const char *stream, uint32_t lane,
                            const struct journal_position *position,
                            struct journal_counts *out_counts, struct err *err)
{
    struct journal_counts counts;
    int rc = resolve(journal, stream, lane, position, &counts, err);
    if (!rc) {
        *out_counts = counts;
    }
    return rc;
}

static bool set_mark(struct journal *journal, struct lane *lane,
                     const struct journal_position *done,
                     const struct journal_counts *counts)
{
    if (done->seq <= lane->record.done.seq) {
        return false;
    }
    lane->record.done = *done;
    lane->record.done_running = counts->running;
    lane->record.done_retried = counts->retried;
    lane->mark_dirty = true;
    journal->lanes_moved = true;
    if (journal->marks_dirty) {
        return false;
    }
    journal->marks_dirty = true;
    journal->marks_since_us = clock_steady_us(journal->config.clock);
    return journal->waiting;
}

int journal_mark_done(struct journal *journal, const char *stream, uint32_t lane,
                      const struct journal_position *done, struct err *err)
{
    int rc = handle_check_writable(journal, err);
    if (rc) {
        return rc;
    }
    struct journal_counts counts = {0};
    struct err problem;
    rc = resolve(journal, stream, lane, done, &counts, &problem);
    if (rc && rc != ERR_GAP) {
        return err_set(err, problem.code, problem.sys, "%s", problem.message);
    }
    pthread_mutex_lock(&journal->lock);
    struct lane *found = lanes_find(journal, stream, lane);
    int alive = handle_check_alive(journal, err);
    /* A position that can't be told any more lies below the done mark: nothing expires
     * above it. */
    if (!alive && !rc && found && set_mark(journal, found, done, &counts)) {
        pthread_cond_signal(&journal->work);
    }
    pthread_mutex_unlock(&journal->lock);
    return alive;
}

/* ---- Rewinding ------------------------------------------------------------------- */

struct rewinding {
    const char *stream;
    uint32_t lane;
    struct journal_position position;
    struct journal_counts counts;
};

static int apply_rewind(struct change *change, struct operation *operation,
                        struct err *err)
{
    const struct rewinding *rewinding = operation->context;
    struct lane *lane = lanes_find(change->journal, rewinding->stream, rewinding->lane);
    (void)err; /* nothing here can be the transaction's failure */
    if (!lane) {
        err_set(&operation->err, ERR_NOT_FOUND, 0,
                "stream %s has no lane %u in the journal", rewinding->stream,
                rewinding->lane);
        return ERR_OK;
    }
    change_touch(change, lane);
    lane->next.done = rewinding->position;
    lane->next.done_running = rewinding->counts.running;
    lane->next.done_retried = rewinding->counts.retried;
    lane->rewound = true;
    return ERR_OK;
}

int journal_rewind(struct journal *journal, const char *stream, uint32_t lane,
                   const struct journal_position *position, struct err *err)
{
    int rc = handle_check_writable(journal, err);
    if (rc) {
        return rc;
    }
    struct rewinding rewinding = {.stream = stream, .lane = lane, .position = *position};
    rc = resolve(journal, stream, lane, position, &rewinding.counts, err);
    if (rc) {
        return rc;
    }
    struct operation operation = {.apply = apply_rewind, .context = &rewinding};
    return handle_run(journal, &operation, err);
}
