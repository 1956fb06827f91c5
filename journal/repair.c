/* `journal repair`, in this order: what LMDB can still read is copied, value by value, by
 * a child process which is started anew behind whatever ended it (salvage.c); entries
 * that it could not come to are searched for in the file's bytes (carve.c); what is still
 * missing becomes gaps, so that every chain holds (mend.c); records of lanes and of the
 * journal that are lost are told from the entries; and all of it is verified before it
 * gets its name. The damaged journal is only read, under its writer's lock.
 */
#include "journal/copy.h"
#include "journal/mend.h"
#include "journal/pieces.h"
#include "journal/salvage.h"
#include "journal/store.h"
#include "journal/tools.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct repairing {
    const char *path;
    const struct journal_progress *progress;
    struct journal_repair *repair;
    struct copy copy;
    struct mend mend;

    /* what was read */
    enum salvage_step step;
    bool any;          /* an entry */
    bool doubt;        /* something went wrong before the first one */
    uint64_t first;    /* the first one's seq */
    uint64_t promised; /* entries that there should be; 0: not known */
    uint64_t damaged;  /* of those that came, with nothing but their header */
    uint64_t expected; /* the seq that comes next */
    uint64_t reached;  /* behind the last one that the child was at */
    bool id_known;
    bool state_known;
    struct format_state state;
    uint64_t entries;
    uint64_t bytes;
};

static void tell(const struct repairing *repairing, const char *step)
{
    if (repairing->progress) {
        repairing->progress->report(step, repairing->bytes, repairing->entries,
                                    repairing->progress->context);
    }
}

/* ---- Reading what can be read ------------------------------------------------------ */

static int lose(struct repairing *repairing, uint64_t first, uint64_t end,
                struct err *err)
{
    struct mend *mend = &repairing->mend;
    void *items = mend->lost;
    if (first >= end) {
        return ERR_OK;
    }
    if (!mend_grow(&items, &mend->lost_capacity, mend->lost_count, sizeof *mend->lost)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for what is damaged");
    }
    mend->lost = items;
    mend->lost[mend->lost_count++] = (struct mend_range){first, end};
    return ERR_OK;
}

static int note_old_gap(struct repairing *repairing, uint64_t seq, struct err *err)
{
    struct mend *mend = &repairing->mend;
    void *items = mend->gaps;
    if (!mend_grow(&items, &mend->gap_capacity, mend->gap_count, sizeof *mend->gaps)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for what is damaged");
    }
    mend->gaps = items;
    mend->gaps[mend->gap_count++] = seq;
    return ERR_OK;
}

/* The state record is older than this entry: a write of its page was lost. What it counts
 * is no more believed than one that can't be read. */
static void outgrow_state(struct repairing *repairing, uint64_t seq)
{
    if (repairing->mend.next_seq && seq >= repairing->mend.next_seq) {
        repairing->mend.next_seq = seq + 1;
        repairing->state_known = false;
    }
}

/* What should have come before `seq` didn't. */
static int arrive_at(struct repairing *repairing, uint64_t seq, struct err *err)
{
    uint64_t from = repairing->any ? repairing->expected : repairing->doubt ? 1 : seq;
    repairing->first = repairing->any ? repairing->first : seq;
    repairing->any = true;
    repairing->expected = seq;
    return lose(repairing, from, seq, err);
}

static int take_entry(struct repairing *repairing, const struct piece *piece,
                      struct err *err)
{
    enum { EACH = 256 };
    struct entry_header header;
    uint64_t seq = piece->number;
    int rc = format_entry_decode(piece->value, &header, err);
    rc = rc ? rc : arrive_at(repairing, seq, err);
    repairing->expected = repairing->reached = seq + 1;
    outgrow_state(repairing, seq);
    repairing->bytes += piece->value.len;
    if (++repairing->entries % EACH == 0) {
        tell(repairing, "read");
    }
    bool damaged = slice_is(piece->key, SALVAGE_DAMAGED);
    repairing->damaged += damaged;
    if (!rc && damaged) {
        rc = lose(repairing, seq, seq + 1, err);
    } else if (!rc && header.state == JOURNAL_ENTRY_GAP) {
        rc = note_old_gap(repairing, seq, err);
    }
    return rc ? rc : copy_put_entry(&repairing->copy, seq, piece->value, err);
}

static int take_lane(struct repairing *repairing, const struct piece *piece,
                     struct err *err)
{
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t number;
    struct format_lane record;
    int rc = format_lane_key_decode(piece->key, stream, &number, err);
    rc = rc ? rc : format_lane_decode(piece->value, &record, err);
    if (rc) {
        return rc;
    }
    struct mend_lane *lane = mend_lane(&repairing->mend, stream, number);
    if (!lane) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    lane->recorded = true;
    lane->record = record;
    return ERR_OK;
}

static int take_meta(struct repairing *repairing, const struct piece *piece,
                     struct err *err)
{
    struct format_identity identity;
    int rc = ERR_OK;
    if (slice_is(piece->key, "id")) {
        rc = format_identity_decode(piece->value, &identity, err);
        if (!rc) {
            format_id_text(identity.id, repairing->repair->id);
            repairing->id_known = true;
        }
    } else if (slice_is(piece->key, "state")) {
        rc = format_state_decode(piece->value, &repairing->state, err);
        repairing->state_known = !rc;
        repairing->mend.next_seq = repairing->state.next_seq;
    } else if (piece->key.data[0] == FORMAT_LANE_TAG) {
        rc = take_lane(repairing, piece, err);
    }
    return rc ? rc
              : copy_put(&repairing->copy, BUILDING_META, piece->key, piece->value, err);
}

static int take_problem(struct repairing *repairing, const struct piece *piece,
                        struct err *err)
{
    struct journal_repair *repair = repairing->repair;
    struct err said;
    memcpy(&said, piece->value.data, sizeof said);
    if (said.code == ERR_VERSION) {
        return err_set(err, said.code, 0, "%s", said.message);
    }
    if (!repair->problem[0]) {
        memcpy(repair->problem, said.message, sizeof repair->problem);
    }
    if (piece->database != BUILDING_ENTRIES) {
        return ERR_OK;
    }
    repairing->reached = piece->number + 1;
    return repairing->any ? ERR_OK : arrive_at(repairing, piece->number, err);
}

static int take(struct repairing *repairing, const struct piece *piece, struct err *err)
{
    switch (piece->kind) {
    case PIECE_VALUE:
        return piece->database == BUILDING_ENTRIES ? take_entry(repairing, piece, err)
               : piece->database == BUILDING_META
                   ? take_meta(repairing, piece, err)
                   : copy_put(&repairing->copy, piece->database, piece->key, piece->value,
                              err);
    case PIECE_PROBLEM:
        return take_problem(repairing, piece, err);
    case PIECE_DONE:
        repairing->step = (enum salvage_step)piece->number;
        return ERR_OK;
    case PIECE_BEGIN:
        if (piece->database == BUILDING_ENTRIES) {
            repairing->promised = piece->number;
        }
        return ERR_OK;
    case PIECE_FORGET:
    case PIECE_END:
        break;
    }
    return ERR_OK;
}

static int run_child(struct repairing *repairing, const struct salvage_plan *plan,
                     struct err *err)
{
    struct pieces pieces;
    struct piece piece;
    int rc = pieces_start(salvage_read, plan, &pieces, err);
    if (rc) {
        return rc;
    }
    while (!rc && pieces_next(&pieces, &piece)) {
        rc = take(repairing, &piece, err);
    }
    int status = 0; /* however it ended, its plan goes on behind that */
    struct err lack = {0};
    int lacks = pieces_stop(&pieces, &status, &lack);
    return rc || !lacks ? rc : err_set(err, ERR_NOMEM, 0, "%s", lack.message);
}

/* Behind what ended the child: one entry further, and twice as far each time that there
 * is nothing. What it leaps over is searched for in the file. */
static void go_behind(struct repairing *repairing, struct salvage_plan *plan,
                      uint64_t *stride)
{
    uint64_t end = repairing->mend.next_seq ? repairing->mend.next_seq : UINT64_MAX / 4;
    if (!repairing->repair->problem[0]) {
        snprintf(repairing->repair->problem, sizeof repairing->repair->problem,
                 "a page is damaged: reading it ended the reader");
    }
    if (plan->step != SALVAGE_ENTRIES) {
        plan->step++;
        return;
    }
    bool moved = repairing->reached > plan->from;
    *stride = moved ? 1 : 2 * *stride;
    plan->from = (moved ? repairing->reached : plan->from) + *stride;
    repairing->doubt = true;
    if (plan->from >= end) {
        plan->step = SALVAGE_END;
    }
}

/* Entries that should be there, and can't be behind the first one: a part of the tree was
 * gone without a trace. They are before it, then. */
static int lose_before_first(struct repairing *repairing, struct err *err)
{
    struct mend *mend = &repairing->mend;
    uint64_t accounted = repairing->entries - repairing->damaged; /* these are lost */
    for (size_t i = 0; i < mend->lost_count; i++) {
        accounted += mend->lost[i].end - mend->lost[i].first;
    }
    uint64_t before = repairing->first - 1;
    uint64_t missing =
        repairing->promised > accounted ? repairing->promised - accounted : 0;
    missing = missing < before ? missing : before;
    int rc = lose(repairing, repairing->first - missing, repairing->first, err);
    if (!rc && missing) {
        struct mend_range range = mend->lost[mend->lost_count - 1];
        memmove(mend->lost + 1, mend->lost, (mend->lost_count - 1) * sizeof *mend->lost);
        mend->lost[0] = range;
    }
    return rc;
}

/* A lane has entries that are not applied, so that some must be there. */
static bool is_pending(const struct mend *mend)
{
    bool pending = false;
    for (size_t i = 0; i < mend->lane_count; i++) {
        const struct format_lane *record = &mend->lanes[i].record;
        pending = pending || record->last.seq > record->done.seq;
    }
    return pending;
}

static int salvage(struct repairing *repairing, struct err *err)
{
    struct salvage_plan plan = {.path = repairing->path, .from = 1};
    uint64_t stride = 1;
    int rc = ERR_OK;
    while (!rc && plan.step != SALVAGE_END) {
        repairing->step = plan.step;
        rc = run_child(repairing, &plan, err);
        plan.step = repairing->step;
        if (plan.step != SALVAGE_END) {
            go_behind(repairing, &plan, &stride);
        }
    }
    /* The end that the state record knows of, or nothing at all. */
    uint64_t end = repairing->mend.next_seq;
    bool nothing =
        !repairing->any && (repairing->doubt || repairing->repair->problem[0] ||
                            is_pending(&repairing->mend));
    if (!rc && nothing) {
        rc = lose(repairing, 1, end ? end : UINT64_MAX, err);
    } else if (!rc && repairing->any) {
        rc = lose(repairing, repairing->expected, end ? end : UINT64_MAX, err);
        rc = rc || !end ? rc : lose_before_first(repairing, err);
    }
    return rc;
}

/* ---- The records of lanes and state ------------------------------------------------ */

static int count_values(struct repairing *repairing, enum building_database database,
                        void (*count)(struct format_state *state, MDB_val key,
                                      MDB_val value),
                        struct format_state *state, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    int rc = copy_txn(&repairing->copy, &txn, err);
    if (rc) {
        return rc;
    }
    int found = mdb_cursor_open(txn, repairing->copy.made.dbi[database], &cursor);
    while (!found && !(found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        count(state, key, value);
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    return found == MDB_NOTFOUND ? ERR_OK
                                 : store_error(err, found, "cannot read the copy");
}

static void count_dead(struct format_state *state, MDB_val key, MDB_val value)
{
    struct format_dead dead;
    struct err err;
    state->dead_bytes += key.mv_size + value.mv_size;
    state->dead_kept += !format_dead_decode(store_slice(value), &dead, &err) &&
                        dead.state == JOURNAL_DEAD_KEPT;
}

static void count_receipt(struct format_state *state, MDB_val key, MDB_val value)
{
    (void)value;
    state->receipts += *(const char *)key.mv_data == FORMAT_RECEIPT_TAG;
}

static int put_lanes(struct repairing *repairing, struct format_state *state,
                     struct err *err)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < repairing->mend.lane_count && !rc; i++) {
        struct mend_lane *lane = &repairing->mend.lanes[i];
        uint8_t key[FORMAT_LANE_KEY_MAX];
        struct buf value = {0};
        bool current = lane->recorded && lane->newest.seq <= lane->record.last.seq;
        state->records += current ? lane->record.running : lane->newest.running;
        if (current || !lane->newest.seq || !lane->stream[0]) {
            continue;
        }
        repairing->repair->lanes_lost++;
        lane->record.last.seq = lane->newest.seq;
        memcpy(lane->record.last.sum, lane->newest.sum, JOURNAL_SUM_LEN);
        lane->record.running = lane->newest.running;
        lane->record.retried = lane->newest.retried;
        format_lane_encode(&value, &lane->record);
        size_t len = format_lane_key(key, lane->stream, lane->number);
        rc = value.failed ? err_set(err, ERR_NOMEM, 0, "out of memory")
                          : copy_put(&repairing->copy, BUILDING_META, slice_of(key, len),
                                     buf_slice(&value), err);
        buf_free(&value);
    }
    return rc;
}

static uint64_t less(uint64_t before, uint64_t now)
{
    return before > now ? before - now : 0;
}

static int put_state(struct repairing *repairing, struct err *err)
{
    struct journal_repair *repair = repairing->repair;
    struct format_state state = {.next_seq = repairing->mend.next_seq};
    struct buf value = {0};
    int rc = count_values(repairing, BUILDING_DEAD, count_dead, &state, err);
    rc = rc ? rc : count_values(repairing, BUILDING_RECEIPTS, count_receipt, &state, err);
    rc = rc ? rc : put_lanes(repairing, &state, err);
    repair->state_lost = !repairing->state_known;
    if (repairing->state_known) {
        state.records = repairing->state.records;
        repair->dead_letters_lost = less(repairing->state.dead_kept, state.dead_kept);
        repair->receipts_lost = less(repairing->state.receipts, state.receipts);
    }
    format_state_encode(&value, &state);
    if (!rc) {
        rc = value.failed ? err_set(err, ERR_NOMEM, 0, "out of memory")
                          : copy_put(&repairing->copy, BUILDING_META,
                                     SLICE_LITERAL("state"), buf_slice(&value), err);
    }
    buf_free(&value);
    return rc;
}

static void parse_id(const char *text, uint8_t out_id[FORMAT_ID_LEN])
{
    for (size_t i = 0; i < FORMAT_ID_LEN; i++) {
        const char digits[] = {text[2 * i], text[2 * i + 1], '\0'};
        out_id[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* The sentinel knows it too. */
static int put_identity(struct repairing *repairing, struct err *err)
{
    struct journal_repair *repair = repairing->repair;
    struct format_identity identity = {0};
    struct buf value = {0};
    struct err absent;
    if (repairing->id_known) {
        return ERR_OK;
    }
    int rc = store_draw_identity(&identity, err);
    if (rc) {
        return rc;
    }
    int found = store_sentinel_id(repairing->path, repair->id, &absent);
    if (found == ERR_NOMEM) {
        return err_set(err, ERR_NOMEM, 0, "%s", absent.message);
    }
    repair->id_lost = found != ERR_OK;
    if (repair->id_lost) {
        format_id_text(identity.id, repair->id);
    } else {
        parse_id(repair->id, identity.id);
    }
    format_identity_encode(&value, &identity);
    rc = value.failed ? err_set(err, ERR_NOMEM, 0, "out of memory")
                      : copy_put(&repairing->copy, BUILDING_META, SLICE_LITERAL("id"),
                                 buf_slice(&value), err);
    buf_free(&value);
    return rc;
}

/* ---- What is lost ------------------------------------------------------------------ */

static int compare_seqs(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t pending_of(const struct entry_header *header,
                           const struct format_lane *record)
{
    if (header->seq <= record->done.seq) {
        return 0;
    }
    uint64_t since_done =
        header->running - record->done_running + header->retried - record->done_retried;
    return since_done < header->records ? since_done : header->records;
}

struct listing {
    struct journal_repair *repair;
    size_t capacity;
};

static int list_loss(struct mend *mend, const struct entry_header *header, void *context,
                     struct err *err)
{
    struct listing *listing = context;
    struct journal_repair *repair = listing->repair;
    void *items = repair->losses;
    bool old = mend->gap_count && bsearch(&header->seq, mend->gaps, mend->gap_count,
                                          sizeof header->seq, compare_seqs);
    if (header->state != JOURNAL_ENTRY_GAP || old) {
        return ERR_OK;
    }
    const struct mend_lane *lane = mend_lane(mend, header->stream, header->lane);
    if (!lane || !mend_grow(&items, &listing->capacity, repair->loss_count,
                            sizeof *repair->losses)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for what is lost");
    }
    repair->losses = items;
    struct journal_loss *loss = &repair->losses[repair->loss_count++];
    *loss = (struct journal_loss){.seq = header->seq,
                                  .lane = header->lane,
                                  .records = header->records,
                                  .pending = pending_of(header, &lane->record),
                                  .received_at_us = header->received_at_us};
    memcpy(loss->stream, header->stream, sizeof loss->stream);
    repair->records += loss->records;
    repair->pending += loss->pending;
    return ERR_OK;
}

void journal_repair_free(struct journal_repair *repair)
{
    free(repair->losses);
    *repair = (struct journal_repair){0};
}

bool journal_repair_lost(const struct journal_repair *repair)
{
    return repair->loss_count || repair->dropped || repair->unread ||
           repair->dead_letters_lost || repair->receipts_lost || repair->state_lost ||
           repair->id_lost || repair->lanes_lost;
}

/* ---- The door ---------------------------------------------------------------------- */

static bool wants(uint64_t seq, void *context)
{
    return mend_is_lost(context, seq);
}

static int mend_all(struct repairing *repairing, struct err *err)
{
    struct mend *mend = &repairing->mend;
    struct listing listing = {.repair = repairing->repair};
    int rc = ERR_OK;
    if (mend->lost_count) {
        tell(repairing, "search");
        rc = carve(repairing->path, wants, mend, &mend->carving, err);
    }
    rc = rc ? rc : mend_entries(mend, repairing->repair, err);
    rc = rc ? rc : put_state(repairing, err);
    rc = rc ? rc : put_identity(repairing, err);
    return rc ? rc : mend_walk(mend, list_loss, &listing, err);
}

static void tell_verified(const struct journal_verify_result *sofar, void *context)
{
    struct repairing *repairing = context;
    repairing->bytes = sofar->bytes;
    repairing->entries = sofar->entries;
    tell(repairing, "verify");
}

static int finish(struct repairing *repairing, bool execute, struct err *err)
{
    struct journal_repair *repair = repairing->repair;
    int rc = copy_seal(&repairing->copy, repair->id, err);
    rc = rc ? rc
            : journal_verify(repairing->copy.building.temporary, tell_verified, repairing,
                             &repair->result, err);
    if (rc == ERR_CORRUPT) {
        err_wrap(err, "what was made of the journal is not sound");
    }
    return rc || !execute ? rc : copy_publish(&repairing->copy, err);
}

static int measure(const char *path, uint64_t *out_map_bytes, struct err *err)
{
    struct buf name = {0};
    struct stat about = {0};
    buf_printf(&name, "%s/data.mdb", path);
    const char *text = buf_text(&name);
    int rc = ERR_OK;
    if (!text) {
        rc = err_set(err, ERR_NOMEM, 0, "out of memory");
    } else if (stat(text, &about)) {
        rc = errno == ENOENT || errno == ENOTDIR
                 ? err_set(err, ERR_NOT_FOUND, 0,
                           "there is no journal at %s: it has no data.mdb", path)
                 : err_set_errno(err, ERR_IO, errno, "cannot look at %s", text);
    }
    buf_free(&name);
    if (!rc) {
        /* Only addresses; the engine sets its own at its next start. */
        enum { MARGIN = 64 << 20, PAGE = 1 << 16 };
        *out_map_bytes = ((uint64_t)about.st_size * 2 + MARGIN) / PAGE * PAGE;
    }
    return rc;
}

int journal_repair(const char *path, const char *target, bool execute,
                   const struct journal_progress *progress,
                   struct journal_repair *out_repair, struct err *err)
{
    struct journal_repair repair = {0};
    struct repairing repairing = {.path = path, .progress = progress, .repair = &repair};
    struct err why = {0};
    uint64_t map_bytes = 0;
    int lock_fd = -1;
    repairing.mend.carving.fd = -1;
    int rc = measure(path, &map_bytes, err);
    rc = rc ? rc : store_lock(path, &lock_fd, err);
    if (rc) {
        return rc;
    }
    rc = copy_begin(target, map_bytes, &repairing.copy, &why);
    if (!rc) {
        repairing.mend.copy = &repairing.copy;
        rc = salvage(&repairing, &why);
        rc = rc ? rc : mend_all(&repairing, &why);
        rc = rc ? rc : finish(&repairing, execute, &why);
        copy_end(&repairing.copy);
    }
    mend_free(&repairing.mend);
    (void)close(lock_fd);
    if (rc) {
        journal_repair_free(&repair);
        return err_set(err, (enum err_code)rc, why.sys, "%s", why.message);
    }
    *out_repair = repair;
    return ERR_OK;
}
