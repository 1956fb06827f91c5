#include "journal/change.h"

#include "journal/lanes.h"

#include <assert.h>
#include <stdlib.h>

static size_t cut(const char *text)
{
    size_t len = strlen(text);
    return len > FORMAT_FIELD_MAX ? FORMAT_FIELD_MAX : len;
}

uint64_t dead_bytes_max(const char *stream, const struct journal_dead_letter *letters,
                        size_t count)
{
    /* key, fixed fields, five lengths, seal */
    enum { FIXED = FORMAT_DEAD_KEY_LEN + 23 + 4 * 2 + 10 + 8 };
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct journal_dead_letter *letter = &letters[i];
        bytes += FIXED + strlen(stream) + cut(letter->reason) + cut(letter->field) +
                 cut(letter->detail) + letter->bytes.len;
    }
    return bytes;
}

/* A copy of a conflict under this key gives way to a dead letter: that alone leaves the
 * record out of replay. */
static int drop_copy(struct change *change, struct slice key, struct err *err)
{
    MDB_dbi dbi = change->journal->store.dead;
    struct slice value;
    struct format_dead there;
    struct err absent;
    int rc = change_get(change, dbi, key, &value, &absent);
    if (rc) {
        return rc == ERR_NOT_FOUND ? ERR_OK
                                   : err_set(err, rc, absent.sys, "%s", absent.message);
    }
    rc = format_dead_decode(value, &there, err);
    if (rc || there.state != JOURNAL_DEAD_CONFLICT) {
        return rc;
    }
    change->next.dead_bytes -= key.len + value.len;
    return change_delete(change, dbi, key, err);
}

int dead_put(struct change *change, const struct dead_origin *origin,
             const struct journal_dead_letter *letter, struct err *err)
{
    struct journal *journal = change->journal;
    uint8_t key[FORMAT_DEAD_KEY_LEN];
    struct format_dead dead = {.state = origin->state,
                               .at_intake = origin->at_intake,
                               .lane = origin->lane,
                               .at_us = letter->at_us,
                               .stream = slice_text(origin->stream),
                               .reason = slice_text(letter->reason),
                               .field = slice_text(letter->field),
                               .detail = slice_text(letter->detail),
                               .bytes = letter->bytes};
    buf_clear(&journal->scratch);
    format_dead_encode(&journal->scratch, &dead);
    if (journal->scratch.failed) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    format_dead_key(key, origin->seq, letter->index);
    if (origin->state == JOURNAL_DEAD_KEPT) {
        int dropped = drop_copy(change, slice_of(key, sizeof key), err);
        if (dropped) {
            return dropped;
        }
    }
    struct err there;
    int rc = change_put(change, journal->store.dead, slice_of(key, sizeof key),
                        buf_slice(&journal->scratch), MDB_NOOVERWRITE, &there);
    if (rc == ERR_KEY_REUSED) {
        return ERR_OK; /* kept as it is */
    }
    if (rc) {
        return err_set(err, there.code, there.sys, "%s", there.message);
    }
    change->next.dead_bytes += sizeof key + journal->scratch.len;
    change->next.dead_kept += origin->state == JOURNAL_DEAD_KEPT;
    return ERR_OK;
}

/* ---- Made when an entry is applied ----------------------------------------------- */

struct addition {
    uint64_t seq;
    enum journal_dead_state state;
    const struct journal_dead_letter *letters;
    size_t count;
};

static int apply_addition(struct change *change, struct operation *operation,
                          struct err *err)
{
    const struct addition *addition = operation->context;
    struct journal *journal = change->journal;
    uint64_t seq = addition->seq;
    MDB_val key = {sizeof seq, &seq};
    MDB_val value;
    int rc = mdb_get(change->txn, journal->store.entries, &key, &value);
    if (rc == MDB_NOTFOUND) {
        return err_set(&operation->err, ERR_NOT_FOUND, 0,
                       "entry %llu is not in the journal", (unsigned long long)seq),
               0;
    }
    if (rc) {
        return store_error(err, rc, "cannot read an entry");
    }
    struct entry_header header;
    rc = format_entry_decode(store_slice(value), &header, err);
    if (rc) {
        return rc;
    }
    uint64_t bytes = dead_bytes_max(header.stream, addition->letters, addition->count);
    if (change->next.dead_bytes + bytes > journal->config.dead_letters_max) {
        err_set(&operation->err, ERR_FULL, 0,
                "dead letters take %llu of %llu bytes: no room for more; look at "
                "`holdfast deadletter ls`, then retry or purge them",
                (unsigned long long)change->next.dead_bytes,
                (unsigned long long)journal->config.dead_letters_max);
        return ERR_OK;
    }
    struct dead_origin origin = {.seq = seq,
                                 .stream = header.stream,
                                 .lane = header.lane,
                                 .state = addition->state,
                                 .at_intake = false};
    for (size_t i = 0; i < addition->count && !rc; i++) {
        rc = dead_put(change, &origin, &addition->letters[i], err);
    }
    return rc;
}

static int add(struct journal *journal, const struct addition *addition, struct err *err)
{
    int rc = handle_check_writable(journal, err);
    if (rc || !addition->count) {
        return rc;
    }
    struct addition copy = *addition;
    struct operation operation = {.apply = apply_addition, .context = &copy};
    return handle_run(journal, &operation, err);
}

int journal_dead_letters_add(struct journal *journal, uint64_t seq,
                             const struct journal_dead_letter *dead, size_t count,
                             struct err *err)
{
    struct addition addition = {seq, JOURNAL_DEAD_KEPT, dead, count};
    return add(journal, &addition, err);
}

int journal_conflicts_add(struct journal *journal, uint64_t seq,
                          const struct journal_dead_letter *dead, size_t count,
                          struct err *err)
{
    struct addition addition = {seq, JOURNAL_DEAD_CONFLICT, dead, count};
    return add(journal, &addition, err);
}

/* ---- Retried and purged ---------------------------------------------------------- */

/* ERR_NOT_FOUND is no failure of the transaction. The value lives as long as nothing is
 * written. */
static int find_letter(struct change *change, const struct journal_dead_place *place,
                       uint8_t key[FORMAT_DEAD_KEY_LEN], struct slice *out_value,
                       struct format_dead *out_dead, struct err *err)
{
    format_dead_key(key, place->seq, place->index);
    int rc = change_get(change, change->journal->store.dead,
                        slice_of(key, (size_t)FORMAT_DEAD_KEY_LEN), out_value, err);
    return rc ? rc : format_dead_decode(*out_value, out_dead, err);
}

static int not_kept(const struct journal_dead_place *place, const char *what,
                    struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0, "dead letter %llu/%u %s",
                   (unsigned long long)place->seq, place->index, what);
}

static int check_kept(struct change *change, const struct journal_dead_place *place,
                      struct err *err)
{
    static const char *const states[] = {
        [JOURNAL_DEAD_RETRIED] = "was retried already",
        [JOURNAL_DEAD_PURGED] = "was purged",
        [JOURNAL_DEAD_CONFLICT] = "is the copy of a conflict, which was counted",
    };
    uint8_t key[FORMAT_DEAD_KEY_LEN];
    struct slice value;
    struct format_dead dead;
    int rc = find_letter(change, place, key, &value, &dead, err);
    if (rc == ERR_NOT_FOUND) {
        return not_kept(place, "does not exist", err);
    }
    return rc || dead.state == JOURNAL_DEAD_KEPT
               ? rc
               : not_kept(place, states[dead.state], err);
}

int dead_check_retried(struct change *change, struct journal_append *append)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < append->part_count && !rc; i++) {
        const struct journal_part *part = &append->parts[i];
        for (size_t k = 0; part->retried && k < part->records && !rc; k++) {
            rc = check_kept(change, &part->retried[k], &append->err);
        }
    }
    return rc;
}

/* A kept letter becomes a tombstone. */
static int entomb(struct change *change, const struct journal_dead_place *place,
                  enum journal_dead_state state, uint64_t retried_seq, struct err *err)
{
    struct journal *journal = change->journal;
    uint8_t key[FORMAT_DEAD_KEY_LEN];
    struct slice value;
    struct format_dead dead;
    int rc = find_letter(change, place, key, &value, &dead, err);
    if (rc) {
        return rc;
    }
    assert(dead.state == JOURNAL_DEAD_KEPT);
    size_t before = value.len;
    dead.state = state;
    dead.retried_seq = retried_seq;
    dead.bytes = (struct slice){0};
    buf_clear(&journal->scratch);
    format_dead_encode(&journal->scratch, &dead);
    if (journal->scratch.failed) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    change->next.dead_bytes -= before - journal->scratch.len;
    change->next.dead_kept--;
    return change_put(change, journal->store.dead, slice_of(key, sizeof key),
                      buf_slice(&journal->scratch), 0, err);
}

int dead_mark_retried(struct change *change, const struct journal_part *part,
                      uint64_t retried_seq, struct err *err)
{
    int rc = ERR_OK;
    for (size_t i = 0; i < part->records && !rc; i++) {
        rc = entomb(change, &part->retried[i], JOURNAL_DEAD_RETRIED, retried_seq, err);
    }
    return rc;
}

struct purge {
    const struct journal_dead_place *places;
    size_t count;
    size_t purged;
};

static int purge_copy(struct change *change, const uint8_t key[FORMAT_DEAD_KEY_LEN],
                      size_t value_len, struct err *err)
{
    change->next.dead_bytes -= FORMAT_DEAD_KEY_LEN + value_len;
    return change_delete(change, change->journal->store.dead,
                         slice_of(key, (size_t)FORMAT_DEAD_KEY_LEN), err);
}

static int purge_kept(struct change *change, const struct journal_dead_place *place,
                      const struct format_dead *dead, struct err *err)
{
    char stream[JOURNAL_STREAM_MAX + 1] = "";
    memcpy(stream, dead->stream.data, dead->stream.len);
    struct lane *lane = lanes_find(change->journal, stream, dead->lane);
    if (lane) {
        change_touch(change, lane);
        lane->next.given_up++;
    }
    return entomb(change, place, JOURNAL_DEAD_PURGED, 0, err);
}

static int purge_one(struct change *change, struct purge *purge,
                     const struct journal_dead_place *place, struct err *err)
{
    uint8_t key[FORMAT_DEAD_KEY_LEN];
    struct slice value;
    struct format_dead dead;
    struct err why = {0};
    int rc = find_letter(change, place, key, &value, &dead, &why);
    if (rc) {
        return rc == ERR_NOT_FOUND ? ERR_OK
                                   : err_set(err, rc, why.sys, "%s", why.message);
    }
    bool copy = dead.state == JOURNAL_DEAD_CONFLICT;
    if (!copy && dead.state != JOURNAL_DEAD_KEPT) {
        return ERR_OK;
    }
    purge->purged++;
    return copy ? purge_copy(change, key, value.len, err)
                : purge_kept(change, place, &dead, err);
}

static int apply_purge(struct change *change, struct operation *operation,
                       struct err *err)
{
    struct purge *purge = operation->context;
    int rc = ERR_OK;
    purge->purged = 0;
    for (size_t i = 0; i < purge->count && !rc; i++) {
        rc = purge_one(change, purge, &purge->places[i], err);
    }
    return rc;
}

int journal_dead_letters_purge(struct journal *journal,
                               const struct journal_dead_place *places, size_t count,
                               size_t *out_purged, struct err *err)
{
    struct purge purge = {.places = places, .count = count};
    struct operation operation = {.apply = apply_purge, .context = &purge};
    int rc = handle_check_writable(journal, err);
    rc = rc || !count ? rc : handle_run(journal, &operation, err);
    if (!rc) {
        *out_purged = purge.purged;
    }
    return rc;
}

/* ---- Visiting -------------------------------------------------------------------- */

/* A bite: keys and values copied out, so that the visitor runs outside a transaction. */
struct bite {
    struct buf bytes;
    size_t count;
    bool more;
    uint8_t next_key[FORMAT_DEAD_KEY_LEN];
    struct {
        size_t at;
        size_t len;
        uint64_t seq;
        uint32_t index;
    } items[64];
};

static int take(struct bite *bite, MDB_val key, MDB_val value, struct err *err)
{
    size_t i = bite->count;
    int rc = format_dead_key_decode(store_slice(key), &bite->items[i].seq,
                                    &bite->items[i].index, err);
    if (rc) {
        return rc;
    }
    bite->items[i].at = bite->bytes.len;
    bite->items[i].len = value.mv_size;
    if (!buf_append_slice(&bite->bytes, store_slice(value))) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    bite->count++;
    return ERR_OK;
}

static bool is_full(const struct bite *bite)
{
    enum { BYTES = 4 << 20 };
    return bite->count == sizeof bite->items / sizeof *bite->items ||
           bite->bytes.len >= BYTES;
}

static int fill(struct bite *bite, MDB_cursor *cursor, uint64_t to_seq, struct err *err)
{
    MDB_val key = store_val(slice_of(bite->next_key, sizeof bite->next_key));
    MDB_val value;
    int found = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!found) {
        uint64_t seq = 0;
        uint32_t index = 0;
        int rc = format_dead_key_decode(store_slice(key), &seq, &index, err);
        if (rc || seq > to_seq) {
            return rc;
        }
        if (is_full(bite)) {
            memcpy(bite->next_key, key.mv_data, sizeof bite->next_key);
            bite->more = true;
            return ERR_OK;
        }
        rc = take(bite, key, value, err);
        if (rc) {
            return rc;
        }
        found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return found == MDB_NOTFOUND ? ERR_OK
                                 : store_error(err, found, "cannot read dead letters");
}

static int fetch(struct journal *journal, struct bite *bite, uint64_t to_seq,
                 struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    buf_clear(&bite->bytes);
    bite->count = 0;
    bite->more = false;
    int rc = store_read_begin(&journal->store, &txn, err);
    if (rc) {
        return rc;
    }
    int opened = mdb_cursor_open(txn, journal->store.dead, &cursor);
    if (opened) {
        rc = store_error(err, opened, "cannot read dead letters");
    } else {
        rc = fill(bite, cursor, to_seq, err);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc;
}

static void terminate(char out[FORMAT_FIELD_MAX + 1], struct slice text)
{
    size_t len = text.len > FORMAT_FIELD_MAX ? FORMAT_FIELD_MAX : text.len;
    if (len) {
        memcpy(out, text.data, len);
    }
    out[len] = '\0';
}

static int show(const struct bite *bite, size_t i,
                bool (*visit)(const struct journal_dead_entry *entry, void *context),
                void *context, bool *out_go_on, struct err *err)
{
    struct format_dead dead;
    int rc = format_dead_decode(
        slice_of(bite->bytes.data + bite->items[i].at, bite->items[i].len), &dead, err);
    if (rc) {
        err_wrap(err, "dead letter %llu/%u", (unsigned long long)bite->items[i].seq,
                 bite->items[i].index);
        return rc;
    }
    char reason[FORMAT_FIELD_MAX + 1];
    char field[FORMAT_FIELD_MAX + 1];
    char detail[FORMAT_FIELD_MAX + 1];
    terminate(reason, dead.reason);
    terminate(field, dead.field);
    terminate(detail, dead.detail);
    struct journal_dead_entry entry = {
        .seq = bite->items[i].seq,
        .lane = dead.lane,
        .state = dead.state,
        .retried_seq = dead.retried_seq,
        .at_intake = dead.at_intake,
        .letter = {.index = bite->items[i].index,
                   .at_us = dead.at_us,
                   .reason = reason,
                   .field = field,
                   .detail = detail,
                   .bytes = dead.bytes},
    };
    memcpy(entry.stream, dead.stream.data, dead.stream.len);
    *out_go_on = visit(&entry, context);
    return ERR_OK;
}

int journal_dead_letters_visit(struct journal *journal, uint64_t from_seq,
                               uint64_t to_seq,
                               bool (*visit)(const struct journal_dead_entry *entry,
                                             void *context),
                               void *context, struct err *err)
{
    struct bite *bite = calloc(1, sizeof *bite);
    if (!bite) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    format_dead_key(bite->next_key, from_seq, 0);
    bool go_on = true;
    int rc;
    do {
        rc = fetch(journal, bite, to_seq, err);
        for (size_t i = 0; i < bite->count && !rc && go_on; i++) {
            rc = show(bite, i, visit, context, &go_on, err);
        }
    } while (!rc && go_on && bite->more);
    buf_free(&bite->bytes);
    free(bite);
    return rc;
}
