/* Each entry names the one before it in its lane with its sum, and a lane's record names
 * the last. So wherever entries are missing, what comes behind them knows the newest of
 * them: its seq, its sum, and what the lane had counted there. An entry that was found by
 * its bytes is believed if it has the seq and the sum that are asked for; then it names
 * the one before it, and so on. Where none is found, a gap takes that place, with the
 * counts that are known and as successor of what is there before: it stands for all that
 * the lane lost there. Seqs in between which nobody names get gaps without a lane.
 *
 * What is missing before a lane's first entry and is applied has expired, or may have: it
 * is no loss. A lane whose record is lost is believed to end with its newest entry.
 */
#include "journal/mend.h"

#include "journal/store.h"

#include <stdlib.h>

enum { FILL_MAX = 65536 };

bool mend_grow(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*items, wanted * size);
    if (grown) {
        *items = grown;
        *capacity = wanted;
    }
    return grown != NULL;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "out of memory for what is damaged");
}

bool mend_is_lost(const struct mend *mend, uint64_t seq)
{
    size_t low = 0;
    size_t high = mend->lost_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mend->lost[middle].end <= seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < mend->lost_count && mend->lost[low].first <= seq;
}

struct mend_lane *mend_lane(struct mend *mend, const char *stream, uint32_t number)
{
    for (size_t i = mend->lane_count; i-- > 0;) {
        if (mend->lanes[i].number == number &&
            strcmp(mend->lanes[i].stream, stream) == 0) {
            return &mend->lanes[i];
        }
    }
    void *items = mend->lanes;
    if (!mend_grow(&items, &mend->lane_capacity, mend->lane_count, sizeof *mend->lanes)) {
        return NULL;
    }
    mend->lanes = items;
    struct mend_lane *lane = &mend->lanes[mend->lane_count++];
    *lane = (struct mend_lane){.number = number};
    memcpy(lane->stream, stream, strlen(stream) + 1);
    return lane;
}

void mend_free(struct mend *mend)
{
    carving_free(&mend->carving);
    free(mend->lost);
    free(mend->gaps);
    free(mend->lanes);
    free(mend->holes);
    free(mend->missing);
}

/* ---- Walking ----------------------------------------------------------------------- */

static int walk_cursor(struct mend *mend, MDB_cursor *cursor,
                       int (*visit)(struct mend *mend, const struct entry_header *header,
                                    void *context, struct err *err),
                       void *context, struct err *err)
{
    MDB_val key;
    MDB_val value;
    int rc = ERR_OK;
    int found = 0;
    while (!rc && !(found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        struct entry_header header;
        rc = format_entry_decode(store_slice(value), &header, err);
        rc = rc ? rc : visit(mend, &header, context, err);
    }
    return rc || found == MDB_NOTFOUND ? rc
                                       : store_error(err, found, "cannot read the copy");
}

int mend_walk(struct mend *mend,
              int (*visit)(struct mend *mend, const struct entry_header *header,
                           void *context, struct err *err),
              void *context, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int rc = copy_txn(mend->copy, &txn, err);
    if (rc) {
        return rc;
    }
    int failed = mdb_cursor_open(txn, mend->copy->made.dbi[BUILDING_ENTRIES], &cursor);
    if (failed) {
        return store_error(err, failed, "cannot read the copy");
    }
    rc = walk_cursor(mend, cursor, visit, context, err);
    mdb_cursor_close(cursor);
    return rc;
}

/* ---- Holes ------------------------------------------------------------------------- */

static int add_hole(struct mend *mend, const struct mend_hole *hole, struct err *err)
{
    void *items = mend->holes;
    if (!mend_grow(&items, &mend->hole_capacity, mend->hole_count, sizeof *hole)) {
        return no_memory(err);
    }
    mend->holes = items;
    mend->holes[mend->hole_count++] = *hole;
    return ERR_OK;
}

static struct journal_position position_of(const struct entry_header *header)
{
    struct journal_position position = {.seq = header->seq};
    memcpy(position.sum, header->sum, sizeof position.sum);
    return position;
}

/* A gap that is known from its own header is a hole too: its bytes may be elsewhere. */
static int look_at_entry(struct mend *mend, const struct entry_header *header,
                         void *context, struct err *err)
{
    (void)context;
    struct mend_lane *lane = mend_lane(mend, header->stream, header->lane);
    int rc = ERR_OK;
    if (!lane) {
        return no_memory(err);
    }
    if (format_is_unknown(header)) {
        return ERR_OK;
    }
    struct mend_hole hole = {.lane = (size_t)(lane - mend->lanes),
                             .from = lane->newest,
                             .to = header->previous,
                             .to_counts = format_entry_before(header),
                             .at_us = header->received_at_us};
    lane->newest = *header;
    if (header->previous.seq > hole.from.seq) {
        rc = add_hole(mend, &hole, err);
    }
    if (!rc && header->state == JOURNAL_ENTRY_GAP && mend_is_lost(mend, header->seq)) {
        hole.is_gap = true;
        hole.to = position_of(header);
        rc = add_hole(mend, &hole, err);
    }
    return rc;
}

/* Behind a lane's newest entry: what its record knows or, without one, what was found. */
static int look_at_end(struct mend *mend, size_t i, struct err *err)
{
    const struct mend_lane *lane = &mend->lanes[i];
    struct mend_hole hole = {.lane = i,
                             .from = lane->newest,
                             .to = lane->record.last,
                             .to_counts = {lane->record.running, lane->record.retried}};
    if (!lane->recorded) {
        const struct carved *head =
            carved_before(&mend->carving, lane->stream, lane->number,
                          mend->next_seq ? mend->next_seq : UINT64_MAX);
        hole.to.seq = head ? head->seq : 0;
        memcpy(hole.to.sum, head ? head->sum : hole.to.sum, sizeof hole.to.sum);
    }
    return hole.to.seq > lane->newest.seq ? add_hole(mend, &hole, err) : ERR_OK;
}

static int find_holes(struct mend *mend, struct err *err)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < mend->carving.lane_count && !rc; i++) {
        const struct carved_lane *lane = &mend->carving.lanes[i];
        rc = mend_lane(mend, lane->stream, lane->number) ? ERR_OK : no_memory(err);
    }
    rc = rc ? rc : mend_walk(mend, look_at_entry, NULL, err);
    for (size_t i = 0; i < mend->lane_count && !rc; i++) {
        rc = look_at_end(mend, i, err);
    }
    return rc;
}

/* ---- Closing one ------------------------------------------------------------------- */

/* What the gap follows: the newest of what is known to be before it. */
static int find_before(struct mend *mend, const struct mend_hole *hole,
                       const struct journal_position *at,
                       const struct journal_counts *counts,
                       struct entry_header *out_before, struct err *err)
{
    const struct mend_lane *lane = &mend->lanes[hole->lane];
    const struct carved *item =
        carved_before(&mend->carving, lane->stream, lane->number, at->seq);
    struct entry_header header;
    struct slice value;
    *out_before = hole->from;
    if (item && item->seq > hole->from.seq) {
        int rc = carved_read(&mend->carving, item, &header, &value, err);
        if (rc ||
            (header.running <= counts->running && header.retried <= counts->retried)) {
            *out_before = header;
            return rc;
        }
    }
    if (!hole->from.seq && lane->record.done.seq < at->seq) {
        out_before->seq = lane->record.done.seq;
        memcpy(out_before->sum, lane->record.done.sum, sizeof out_before->sum);
        out_before->running = lane->record.done_running;
        out_before->retried = lane->record.done_retried;
    }
    return ERR_OK;
}

static int put_gap(struct mend *mend, const struct mend_hole *hole,
                   const struct journal_position *at, const struct journal_counts *counts,
                   const struct entry_header *before, struct err *err)
{
    const struct mend_lane *lane = &mend->lanes[hole->lane];
    uint64_t accepted = counts->running - before->running;
    uint64_t retried = counts->retried - before->retried;
    struct entry_header gap = {.version = FORMAT_VERSION,
                               .state = JOURNAL_ENTRY_GAP,
                               .seq = at->seq,
                               .batch_seq = at->seq,
                               .batch_entries = 1,
                               .records = (uint32_t)(accepted + retried),
                               .accepted = (uint32_t)accepted,
                               .running = counts->running,
                               .retried = counts->retried,
                               .received_at_us = hole->at_us,
                               .lane = lane->number,
                               .previous = position_of(before)};
    memcpy(gap.stream, lane->stream, sizeof gap.stream);
    memcpy(gap.sum, at->sum, sizeof gap.sum);
    uint8_t stub[FORMAT_HEADER_MAX];
    size_t len = format_stub_encode(&gap, stub);
    return copy_put_entry(mend->copy, gap.seq, slice_of(stub, len), err);
}

/* Where closing a hole has got to. */
struct closing {
    const struct mend_hole *hole;
    struct journal_position at;
    struct journal_counts counts;
    bool done;
};

static int put_carved(struct mend *mend, const struct carved *item,
                      struct closing *closing, struct err *err)
{
    struct entry_header header;
    struct slice value;
    int rc = carved_read(&mend->carving, item, &header, &value, err);
    rc = rc ? rc : copy_put_entry(mend->copy, item->seq, value, err);
    if (!rc) {
        closing->at = header.previous;
        closing->counts = format_entry_before(&header);
        closing->done = closing->hole->is_gap;
    }
    return rc;
}

static int bridge(struct mend *mend, struct closing *closing, struct err *err)
{
    const struct mend_hole *hole = closing->hole;
    const struct mend_lane *lane = &mend->lanes[hole->lane];
    const struct journal_position *at = &closing->at;
    struct entry_header before;
    bool expired = !hole->from.seq &&
                   (at->seq <= lane->record.done.seq || !mend_is_lost(mend, at->seq));
    closing->done = hole->is_gap || expired;
    if (closing->done) {
        return ERR_OK;
    }
    int rc = find_before(mend, hole, at, &closing->counts, &before, err);
    rc = rc ? rc : put_gap(mend, hole, at, &closing->counts, &before, err);
    if (!rc) {
        closing->at = position_of(&before);
        closing->counts = (struct journal_counts){before.running, before.retried};
    }
    return rc;
}

static int close_hole(struct mend *mend, const struct mend_hole *hole,
                      struct journal_repair *repair, struct err *err)
{
    struct closing closing = {.hole = hole, .at = hole->to, .counts = hole->to_counts};
    int rc = ERR_OK;
    while (!rc && !closing.done && closing.at.seq > hole->from.seq) {
        const struct carved *item = carved_find(&mend->carving, &closing.at);
        repair->found += item != NULL;
        rc = item ? put_carved(mend, item, &closing, err) : bridge(mend, &closing, err);
    }
    return rc;
}

/* ---- Density ---------------------------------------------------------------------- */

struct survey {
    uint64_t first;
    uint64_t last;
    uint64_t first_pending;
    uint64_t front; /* entries below it go */
    uint64_t below; /* entries seen before the front */
    uint64_t seen;
};

static int survey_missing(struct mend *mend, struct survey *survey, uint64_t end,
                          struct err *err)
{
    struct mend_range range = {survey->last + 1, end};
    void *items = mend->missing;
    if (!survey->last || range.first >= range.end) {
        return ERR_OK;
    }
    if (range.end - range.first > FILL_MAX && !survey->first_pending) {
        survey->front = end;
        survey->below = survey->seen;
        mend->missing_count = 0;
        return ERR_OK;
    }
    if (!mend_grow(&items, &mend->missing_capacity, mend->missing_count, sizeof range)) {
        return no_memory(err);
    }
    mend->missing = items;
    mend->missing[mend->missing_count++] = range;
    return ERR_OK;
}

static int survey_entry(struct mend *mend, const struct entry_header *header,
                        void *context, struct err *err)
{
    struct survey *survey = context;
    struct mend_lane *lane = mend_lane(mend, header->stream, header->lane);
    if (!lane) {
        return no_memory(err);
    }
    int rc = survey_missing(mend, survey, header->seq, err);
    survey->first = survey->first ? survey->first : header->seq;
    lane->newest = *header;
    if (!survey->first_pending && header->seq > lane->record.done.seq) {
        survey->first_pending = header->seq;
    }
    survey->last = header->seq;
    survey->seen++;
    return rc;
}

static int drop_below(struct mend *mend, uint64_t front, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    int rc = copy_txn(mend->copy, &txn, err);
    if (rc || !front) {
        return rc;
    }
    int failed = mdb_cursor_open(txn, mend->copy->made.dbi[BUILDING_ENTRIES], &cursor);
    while (!failed && !(failed = mdb_cursor_get(cursor, &key, &value, MDB_FIRST))) {
        uint64_t seq = 0;
        memcpy(&seq, key.mv_data, sizeof seq);
        if (seq >= front) {
            break;
        }
        failed = mdb_cursor_del(cursor, 0);
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    return failed && failed != MDB_NOTFOUND
               ? store_error(err, failed, "cannot take entries out of the copy")
               : ERR_OK;
}

static int fill(struct mend *mend, const struct mend_range *range, struct err *err)
{
    int rc = ERR_OK;
    for (uint64_t seq = range->first; seq < range->end && !rc; seq++) {
        struct entry_header gap = {.version = FORMAT_VERSION,
                                   .state = JOURNAL_ENTRY_GAP,
                                   .seq = seq,
                                   .batch_seq = seq,
                                   .batch_entries = 1};
        uint8_t stub[FORMAT_HEADER_MAX];
        size_t len = format_stub_encode(&gap, stub);
        rc = copy_put_entry(mend->copy, seq, slice_of(stub, len), err);
    }
    return rc;
}

/* Lost seqs before the first entry: nobody misses them, but they were not well. */
static uint64_t count_unread(const struct mend *mend, uint64_t front)
{
    uint64_t unread = 0;
    for (size_t i = 0; i < mend->lost_count; i++) {
        const struct mend_range *range = &mend->lost[i];
        uint64_t end = range->end < front ? range->end : front;
        unread += range->first < end ? end - range->first : 0;
    }
    return unread;
}

static int make_dense(struct mend *mend, struct journal_repair *repair, struct err *err)
{
    struct survey survey = {0};
    for (size_t i = 0; i < mend->lane_count; i++) {
        mend->lanes[i].newest = (struct entry_header){0};
    }
    int rc = mend_walk(mend, survey_entry, &survey, err);
    uint64_t next = survey.last + 1;
    for (size_t i = 0; i < mend->lane_count; i++) {
        uint64_t last = mend->lanes[i].record.last.seq;
        next = last >= next ? last + 1 : next;
    }
    mend->next_seq = mend->next_seq ? mend->next_seq : next;
    rc = rc ? rc : survey_missing(mend, &survey, mend->next_seq, err);
    repair->dropped = survey.below;
    survey.first = survey.front ? survey.front : survey.first;
    repair->unread = count_unread(mend, survey.first ? survey.first : mend->next_seq);
    rc = rc ? rc : drop_below(mend, survey.front, err);
    for (size_t i = 0; i < mend->missing_count && !rc; i++) {
        rc = fill(mend, &mend->missing[i], err);
    }
    return rc;
}

int mend_entries(struct mend *mend, struct journal_repair *repair, struct err *err)
{
    int rc = find_holes(mend, err);
    for (size_t i = 0; i < mend->hole_count && !rc; i++) {
        rc = close_hole(mend, &mend->holes[i], repair, err);
    }
    return rc ? rc : make_dense(mend, repair, err);
}
