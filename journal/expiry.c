/* Which entries leave, and when.
 *
 * An entry may leave when it is applied (at or below its lane's done mark) and its lane
 * has a ledger position confirmed on the present connection. It leaves when its `retain`
 * is over, or earlier when intake needs the room, oldest first.
 *
 * Entries are deleted only as a prefix of seq, so that a hole is always damage. One
 * stopped lane must not pin the room of all others, though: behind the first entry that
 * has to stay, a sweep replaces those that may leave by stubs (their headers), which go
 * when the prefix reaches them. The sweep goes on over several commits, since each commit
 * visits and frees a bounded amount.
 *
 * Pages freed by a transaction come back to LMDB two transactions later: whoever needs
 * the room at once commits more than once (see writer.c). And freeing takes pages itself,
 * copies of those that name what is freed, and the list of it: the fuller the journal,
 * the less is freed at once, so that the next commit has pages too.
 */
#include "journal/change.h"

#include "journal/lanes.h"

enum {
    ENTRIES_AT_LEAST = 256,
    HEADERS_MAX = 1024,
    SWEEP_EVERY_US = 60 * 1000 * 1000,
};

static const uint64_t bytes_at_least = 16ULL << 20;

struct pass {
    struct change *change;
    MDB_cursor *cursor;
    uint64_t room_target; /* bytes wanted though their time is not over */
    uint64_t entries_left;
    uint64_t bytes_left;
    uint64_t stubs_left;
    unsigned headers_left;
    uint64_t
        blocked_seq; /* the first entry has to stay; 0: there is none, or a young one */
};

enum verdict { STAYS, IS_YOUNG, LEAVES };

static enum verdict judge(const struct pass *pass, const struct entry_header *header)
{
    const struct change *change = pass->change;
    const struct journal *journal = change->journal;
    const struct lane *lane = lanes_find(journal, header->stream, header->lane);
    if (format_is_unknown(header)) {
        return LEAVES;
    }
    if (!lane || !lane->expirable || header->seq > lane->next.done.seq) {
        return STAYS;
    }
    bool aged = change->now_us - header->received_at_us > journal->config.retain_us;
    bool wanted = change->freed_bytes < pass->room_target;
    /* A stub holds nothing that could be retained. */
    return aged || wanted || header->state != JOURNAL_ENTRY_FULL ? LEAVES : IS_YOUNG;
}

static bool has_budget(const struct pass *pass)
{
    return pass->entries_left && pass->bytes_left;
}

static void spend(struct pass *pass, uint64_t bytes)
{
    pass->entries_left--;
    pass->bytes_left -= bytes < pass->bytes_left ? bytes : pass->bytes_left;
    pass->change->freed_bytes += bytes;
    pass->change->dirty = true;
}

struct found {
    bool there;
    struct entry_header header;
    uint64_t len; /* of the value */
};

static int read_header(struct pass *pass, MDB_val *key, MDB_cursor_op op,
                       struct found *out_found, struct err *err)
{
    MDB_val value;
    int rc = mdb_cursor_get(pass->cursor, key, &value, op);
    out_found->there = rc == 0;
    if (rc == MDB_NOTFOUND) {
        return ERR_OK;
    }
    if (rc) {
        return store_error(err, rc, "cannot read entries");
    }
    out_found->len = value.mv_size;
    rc = format_entry_decode(store_slice(value), &out_found->header, err);
    if (rc) {
        err_wrap(err, "expiring the oldest entries");
    }
    return rc;
}

/* Deletes from the front. */
static int delete_prefix(struct pass *pass, struct err *err)
{
    while (has_budget(pass)) {
        MDB_val key;
        struct found found;
        int rc = read_header(pass, &key, MDB_FIRST, &found, err);
        if (rc || !found.there) {
            return rc;
        }
        enum verdict verdict = judge(pass, &found.header);
        if (verdict != LEAVES) {
            pass->blocked_seq = verdict == STAYS ? found.header.seq : 0;
            return ERR_OK;
        }
        rc = mdb_cursor_del(pass->cursor, 0);
        if (rc) {
            return store_error(err, rc, "cannot delete an entry");
        }
        /* The leaf that was emptied last is what the next one is copied to. */
        pass->change->touches[STORE_ENTRIES] += pass->change->freed_bytes == 0;
        spend(pass, found.len);
    }
    return ERR_OK;
}

static int replace_by_stub(struct pass *pass, struct entry_header *header, uint64_t len,
                           struct err *err)
{
    uint8_t stub[FORMAT_HEADER_MAX];
    header->state = JOURNAL_ENTRY_EXPIRED;
    size_t stub_len = format_stub_encode(header, stub);
    uint64_t seq = header->seq;
    int rc = change_put(pass->change, pass->change->journal->store.entries,
                        slice_of(&seq, sizeof seq), slice_of(stub, stub_len), 0, err);
    if (!rc) {
        pass->stubs_left--;
        spend(pass, len - stub_len);
    }
    return rc;
}

enum met { MET_NOTHING, MET_YOUNG, MET_END };

/* One entry of a sweep at *place, which moves on unless something was met. */
static int sweep_one(struct pass *pass, uint64_t *place, enum met *out_met,
                     struct err *err)
{
    uint64_t seq = *place;
    MDB_val key = {sizeof seq, &seq};
    struct found found;
    int rc = read_header(pass, &key, MDB_SET_RANGE, &found, err);
    *out_met = found.there ? MET_NOTHING : MET_END;
    if (rc || !found.there) {
        return rc;
    }
    struct entry_header *header = &found.header;
    pass->headers_left--;
    enum verdict verdict = judge(pass, header);
    if (verdict == IS_YOUNG) {
        *out_met = MET_YOUNG;
        return ERR_OK;
    }
    *place = header->seq + 1;
    bool holds = header->state == JOURNAL_ENTRY_FULL && header->payload_len > 0;
    return verdict == LEAVES && holds ? replace_by_stub(pass, header, found.len, err)
                                      : ERR_OK;
}

static int sweep_from(struct pass *pass, uint64_t *place, enum met *out_met,
                      struct err *err)
{
    int rc = ERR_OK;
    *out_met = MET_NOTHING;
    if (*place <= pass->blocked_seq) {
        *place = pass->blocked_seq + 1;
    }
    while (!rc && !*out_met && has_budget(pass) && pass->headers_left &&
           pass->stubs_left) {
        rc = sweep_one(pass, place, out_met, err);
    }
    return rc;
}

/* Goes on where the last one got to: many stubs may lie before that. What was applied
 * behind its back is found when it has come to the end. */
static int sweep_for_room(struct pass *pass, struct err *err)
{
    struct expiry_state *expiry = &pass->change->expiry;
    enum met met = MET_NOTHING;
    int rc = sweep_from(pass, &expiry->room_seq, &met, err);
    if (!rc && met == MET_END && expiry->moved) {
        expiry->moved = false;
        expiry->room_seq = 0;
        rc = sweep_from(pass, &expiry->room_seq, &met, err);
    }
    return rc;
}

/* From the front to the first young entry, over as many commits as it takes. */
static int sweep_aged(struct pass *pass, struct err *err)
{
    struct expiry_state *expiry = &pass->change->expiry;
    if (!expiry->aged_seq && pass->change->steady_us < expiry->next_aged_us) {
        return ERR_OK;
    }
    if (!expiry->aged_seq) {
        expiry->next_aged_us = pass->change->steady_us + SWEEP_EVERY_US;
    }
    enum met met = MET_NOTHING;
    int rc = sweep_from(pass, &expiry->aged_seq, &met, err);
    if (met) {
        /* The oldest that can give room. Lanes may have moved behind this sweep. */
        expiry->room_seq = expiry->aged_seq;
        expiry->moved = true;
        expiry->aged_seq = 0;
    }
    return rc;
}

static int sweep(struct pass *pass, struct err *err)
{
    int rc = ERR_OK;
    if (pass->change->freed_bytes < pass->room_target) {
        rc = sweep_for_room(pass, err);
    }
    return rc ? rc : sweep_aged(pass, err);
}

/* Freeing takes pages itself, and what it takes is not back for the commit after it. */
static void set_budget(struct pass *pass)
{
    enum { AN_EIGHTH = 8, LISTED_BY_ONE = 400 };
    const struct change *change = pass->change;
    const struct space *space = &change->space;
    pass->entries_left = ENTRIES_AT_LEAST + 2 * change->appended;
    pass->bytes_left = bytes_at_least + 2 * change->appended_bytes;
    pass->headers_left = HEADERS_MAX;
    /* Each stub may take a page, the copy of the one that it lies on. */
    pass->stubs_left = 1 + space_free(space) / space->page_size / AN_EIGHTH;
    /* The list of what is freed lies in one piece, of one page if the disk has no other.
     */
    uint64_t listed = LISTED_BY_ONE * space->page_size;
    if (!space_growth_for_work(space) && pass->bytes_left > listed) {
        pass->bytes_left = listed;
    }
}

int expiry_run(struct change *change, bool room_needed, struct err *err)
{
    struct journal *journal = change->journal;
    struct pass pass = {
        .change = change,
    };
    set_budget(&pass);
    if (room_needed) {
        pass.room_target = journal->reserve_bytes + 2 * change->appended_bytes;
    }
    int rc = mdb_cursor_open(change->txn, journal->store.entries, &pass.cursor);
    if (rc) {
        return store_error(err, rc, "cannot read entries");
    }
    rc = delete_prefix(&pass, err);
    if (!rc && pass.blocked_seq) {
        rc = sweep(&pass, err);
    }
    mdb_cursor_close(pass.cursor);
    return rc ? rc : receipts_expire(change, err);
}
