#include "journal/salvage.h"

#include "journal/format.h"
#include "journal/pieces.h"
#include "journal/store.h"

struct salvage {
    const struct salvage_plan *plan;
    FILE *out;
    struct buf buf;
    struct store store; /* only its databases */
    uint64_t next_seq;  /* as the state record has it; 0: it could not be read */
};

/* At once: what is kept back would be lost with the process. */
static bool send(struct salvage *salvage, const struct piece *piece)
{
    piece_add(&salvage->buf, piece);
    return pieces_send(salvage->out, &salvage->buf);
}

static void send_problem(struct salvage *salvage, enum building_database database,
                         uint64_t seq, const struct err *err)
{
    if (err->code == ERR_NOMEM) {
        reading_child_lacks_memory(); /* nothing is damaged */
    }
    struct piece piece = {.kind = PIECE_PROBLEM,
                          .database = database,
                          .number = seq,
                          .value = slice_of(err, sizeof *err)};
    (void)send(salvage, &piece);
}

/* Of a call of LMDB's that is about no value: why the step can't go on. False. */
static bool stop_at(struct salvage *salvage, int failed)
{
    struct err err = {0};
    store_error(&err, failed, "not all can be read");
    send_problem(salvage, BUILDING_META, 0, &err);
    return false;
}

static void send_done(struct salvage *salvage, enum salvage_step next)
{
    struct piece piece = {.kind = PIECE_DONE, .number = next};
    (void)send(salvage, &piece);
}

/* ---- Meta, dead letters, receipts ------------------------------------------------ */

static int check_meta(struct slice key, struct slice value, struct err *err)
{
    struct format_identity identity;
    struct format_state state;
    struct format_lane lane;
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t number;
    if (slice_is(key, "id")) {
        return format_identity_decode(value, &identity, err);
    }
    if (slice_is(key, "state")) {
        return format_state_decode(value, &state, err);
    }
    if (key.len && key.data[0] == FORMAT_LANE_TAG) {
        int rc = format_lane_key_decode(key, stream, &number, err);
        return rc ? rc : format_lane_decode(value, &lane, err);
    }
    return key.len && key.data[0] == FORMAT_SETTING_TAG
               ? ERR_OK
               : err_set(err, ERR_CORRUPT, 0, "a record of the journal has no known key");
}

static int check_dead(struct slice key, struct slice value, struct err *err)
{
    struct format_dead dead;
    uint64_t seq;
    uint32_t index;
    int rc = format_dead_key_decode(key, &seq, &index, err);
    return rc ? rc : format_dead_decode(value, &dead, err);
}

static int check_receipt(struct slice key, struct slice value, struct err *err)
{
    struct format_receipt receipt;
    int64_t at_us;
    return key.len && key.data[0] == FORMAT_RECEIPT_TIME_TAG
               ? format_receipt_time_decode(key, &at_us, err)
               : format_receipt_decode(value, &receipt, err);
}

static const struct values_step {
    enum building_database database;
    MDB_cursor_op op;
    int (*check)(struct slice key, struct slice value, struct err *err);
} values_steps[] = {
    [SALVAGE_META] = {BUILDING_META, MDB_NEXT, check_meta},
    [SALVAGE_META_BACK] = {BUILDING_META, MDB_PREV, check_meta},
    [SALVAGE_DEAD] = {BUILDING_DEAD, MDB_NEXT, check_dead},
    [SALVAGE_DEAD_BACK] = {BUILDING_DEAD, MDB_PREV, check_dead},
    [SALVAGE_RECEIPTS] = {BUILDING_RECEIPTS, MDB_NEXT, check_receipt},
    [SALVAGE_RECEIPTS_BACK] = {BUILDING_RECEIPTS, MDB_PREV, check_receipt},
};

static int take_value(struct salvage *salvage, const struct values_step *step,
                      MDB_val key, MDB_val value)
{
    struct err err = {0};
    struct piece piece = {.kind = PIECE_VALUE,
                          .database = step->database,
                          .key = store_slice(key),
                          .value = store_slice(value)};
    if (step->check(piece.key, piece.value, &err)) {
        send_problem(salvage, step->database, 0, &err);
        return ERR_OK;
    }
    if (slice_is(piece.key, "state") && step->database == BUILDING_META) {
        struct format_state state;
        (void)format_state_decode(piece.value, &state, &err);
        salvage->next_seq = state.next_seq;
    }
    return send(salvage, &piece) ? ERR_OK : ERR_IO;
}

/* True where it came to the end. */
static bool read_values(struct salvage *salvage, const struct values_step *step,
                        MDB_dbi dbi)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    int rc = ERR_OK;
    int found = mdb_txn_begin(salvage->store.env, NULL, MDB_RDONLY, &txn);
    if (found) {
        return stop_at(salvage, found);
    }
    found = mdb_cursor_open(txn, dbi, &cursor);
    while (!rc && !found && !(found = mdb_cursor_get(cursor, &key, &value, step->op))) {
        rc = take_value(salvage, step, key, value);
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc ? false : found == MDB_NOTFOUND || stop_at(salvage, found);
}

/* ---- Entries --------------------------------------------------------------------- */

static bool take_entry(struct salvage *salvage, uint64_t seq, struct slice value)
{
    struct entry_header header;
    struct err err = {0};
    uint8_t stub[FORMAT_HEADER_MAX];
    struct piece piece = {
        .kind = PIECE_VALUE, .database = BUILDING_ENTRIES, .number = seq, .value = value};
    int rc = format_entry_decode(value, &header, &err);
    if (!rc && header.seq != seq) {
        rc = err_set(&err, ERR_CORRUPT, 0, "entry %llu says that it is entry %llu",
                     (unsigned long long)seq, (unsigned long long)header.seq);
    }
    if (rc) {
        send_problem(salvage, BUILDING_ENTRIES, seq, &err);
        return true;
    }
    if (header.state == JOURNAL_ENTRY_FULL &&
        format_entry_check(&header, (const uint8_t *)value.data,
                           format_entry_payload(&header, value), &err)) {
        header.state = JOURNAL_ENTRY_GAP;
        piece.key = SLICE_LITERAL(SALVAGE_DAMAGED);
        piece.value = slice_of(stub, format_stub_encode(&header, stub));
    }
    return send(salvage, &piece);
}

/* A key that can't be is a page that was damaged. One behind the journal's end is an
 * entry nevertheless where it says so itself: then it is the record of the end that is
 * old. */
static bool is_sane(const struct salvage *salvage, uint64_t seq, struct slice value)
{
    struct entry_header header;
    struct err err;
    return !salvage->next_seq || seq < salvage->next_seq ||
           (!format_entry_decode(value, &header, &err) && header.seq == seq);
}

/* How many the tree is said to hold, so that a part of it that is gone without a trace is
 * missed nevertheless. */
static bool send_count(struct salvage *salvage)
{
    MDB_txn *txn = NULL;
    MDB_stat about = {0};
    int failed = mdb_txn_begin(salvage->store.env, NULL, MDB_RDONLY, &txn);
    if (failed) {
        return stop_at(salvage, failed);
    }
    failed = mdb_stat(txn, salvage->store.entries, &about);
    mdb_txn_abort(txn);
    struct piece piece = {.kind = PIECE_BEGIN,
                          .database = BUILDING_ENTRIES,
                          .number = failed ? 0 : about.ms_entries};
    return send(salvage, &piece);
}

/* From `seq` to the end: true. False: something on the way can't be come to. */
static bool read_entries(struct salvage *salvage, uint64_t seq)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    int found = mdb_txn_begin(salvage->store.env, NULL, MDB_RDONLY, &txn);
    if (found) {
        return stop_at(salvage, found);
    }
    found = mdb_cursor_open(txn, salvage->store.entries, &cursor);
    bool going = !found;
    while (going) {
        MDB_val key = {sizeof seq, &seq};
        MDB_val value;
        uint64_t at = 0;
        found = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (!found && key.mv_size == sizeof at) {
            memcpy(&at, key.mv_data, sizeof at);
        }
        going = !found && at >= seq && is_sane(salvage, at, store_slice(value)) &&
                take_entry(salvage, at, store_slice(value));
        seq = at + 1;
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    /* without an error it was a value that can't be, or the parent is gone */
    return found == MDB_NOTFOUND || (found && stop_at(salvage, found));
}

/* ---- The child --------------------------------------------------------------------- */

static int open_damaged(struct salvage *salvage, struct err *err)
{
    struct store *store = &salvage->store;
    int rc = store_env_new(0, &store->env, err);
    if (rc) {
        return rc;
    }
    /* Without its lock file: the caller holds the writer's lock, and nothing is to be
     * changed in there. */
    int failed = mdb_env_open(store->env, salvage->plan->path,
                              MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (failed) {
        return store_error(err, failed, "cannot open the journal's file");
    }
    MDB_envinfo info;
    failed = mdb_env_info(store->env, &info);
    struct piece begin = {.kind = PIECE_BEGIN, .number = failed ? 0 : info.me_mapsize};
    return send(salvage, &begin) ? ERR_OK : ERR_IO;
}

static bool open_database(struct salvage *salvage, const char *name, unsigned flags,
                          MDB_dbi *out_dbi)
{
    MDB_txn *txn = NULL;
    int failed = mdb_txn_begin(salvage->store.env, NULL, MDB_RDONLY, &txn);
    if (failed) {
        return stop_at(salvage, failed);
    }
    failed = mdb_dbi_open(txn, name, flags, out_dbi);
    if (failed) {
        mdb_txn_abort(txn);
        return stop_at(salvage, failed);
    }
    failed = mdb_txn_commit(txn);
    return !failed || stop_at(salvage, failed);
}

static enum salvage_step read_step(struct salvage *salvage, enum salvage_step step)
{
    static const char *const names[] = {[BUILDING_META] = "meta",
                                        [BUILDING_RECEIPTS] = "receipts",
                                        [BUILDING_DEAD] = "deadletter"};
    if (step == SALVAGE_ENTRIES) {
        bool opened =
            open_database(salvage, "entries", MDB_INTEGERKEY, &salvage->store.entries);
        return opened && send_count(salvage) && read_entries(salvage, salvage->plan->from)
                   ? SALVAGE_END
                   : step;
    }
    const struct values_step *values = &values_steps[step];
    MDB_dbi dbi = 0;
    bool whole = open_database(salvage, names[values->database], 0, &dbi) &&
                 read_values(salvage, values, dbi);
    bool forwards = values->op == MDB_NEXT;
    return step + (whole && forwards ? 2 : 1);
}

void salvage_read(FILE *out, const void *context)
{
    struct salvage salvage = {.plan = context, .out = out};
    struct err err = {0};
    enum salvage_step step = salvage.plan->step;
    if (open_damaged(&salvage, &err)) {
        send_problem(&salvage, BUILDING_META, 0, &err);
        send_done(&salvage, SALVAGE_END);
        return;
    }
    enum salvage_step next = step;
    do {
        step = next;
        next = read_step(&salvage, step);
        if (next != step) {
            send_done(&salvage, next);
        }
    } while (next != step && next != SALVAGE_END);
    buf_free(&salvage.buf);
}
