#include "journal/lanes.h"

#include "journal/reading.h"

#include <assert.h>
#include <stdlib.h>

static int order(const struct lane *lane, const char *stream, uint32_t number)
{
    int by_name = strcmp(lane->stream, stream);
    if (by_name) {
        return by_name;
    }
    return (lane->number > number) - (lane->number < number);
}

/* Where the lane is, or would be. */
static size_t place_of(const struct journal *journal, const char *stream, uint32_t number)
{
    size_t low = 0;
    size_t high = journal->lane_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(journal->lanes[middle], stream, number) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct lane *lanes_find(const struct journal *journal, const char *stream,
                        uint32_t number)
{
    size_t place = place_of(journal, stream, number);
    if (place == journal->lane_count ||
        order(journal->lanes[place], stream, number) != 0) {
        return NULL;
    }
    return journal->lanes[place];
}

static bool make_room(struct journal *journal)
{
    if (journal->lane_count < journal->lane_capacity) {
        return true;
    }
    size_t capacity = journal->lane_capacity ? 2 * journal->lane_capacity : 16;
    struct lane **lanes = realloc(journal->lanes, capacity * sizeof(struct lane *));
    if (!lanes) {
        return false;
    }
    journal->lanes = lanes;
    journal->lane_capacity = capacity;
    return true;
}

static int insert(struct journal *journal, struct lane *lane, struct err *err)
{
    pthread_mutex_lock(&journal->lock);
    bool room = make_room(journal);
    if (room) {
        size_t place = place_of(journal, lane->stream, lane->number);
        memmove(journal->lanes + place + 1, journal->lanes + place,
                (journal->lane_count - place) * sizeof(struct lane *));
        journal->lanes[place] = lane;
        journal->lane_count++;
    }
    pthread_mutex_unlock(&journal->lock);
    return room ? ERR_OK : err_set(err, ERR_NOMEM, 0, "out of memory");
}

int lanes_find_or_add(struct journal *journal, const char *stream, uint32_t number,
                      struct lane **out_lane, struct err *err)
{
    struct lane *lane = lanes_find(journal, stream, number);
    if (lane) {
        *out_lane = lane;
        return ERR_OK;
    }
    if (journal->lane_count >= LANES_MAX) {
        return err_set(err, ERR_FULL, 0,
                       "the journal knows %d lanes already and takes no new one",
                       LANES_MAX);
    }
    lane = calloc(1, sizeof *lane);
    if (!lane) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    assert(strlen(stream) <= JOURNAL_STREAM_MAX);
    memcpy(lane->stream, stream, strlen(stream) + 1);
    lane->number = number;
    int rc = insert(journal, lane, err);
    if (rc) {
        free(lane);
        return rc;
    }
    *out_lane = lane;
    return ERR_OK;
}

/* ---- Loading --------------------------------------------------------------------- */

static int load_state(struct journal *journal, MDB_txn *txn, struct err *err)
{
    MDB_val key = store_val(SLICE_LITERAL("state"));
    MDB_val value;
    int rc = mdb_get(txn, journal->store.meta, &key, &value);
    if (rc) {
        return store_error(err, rc, "the journal has no state record");
    }
    struct format_state state;
    rc = format_state_decode(store_slice(value), &state, err);
    if (!rc) {
        pthread_mutex_lock(&journal->lock);
        journal->state = state;
        pthread_mutex_unlock(&journal->lock);
    }
    return rc;
}

static int load_lane(struct journal *journal, MDB_val key, MDB_val value, struct err *err)
{
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t number = 0;
    struct format_lane record;
    int rc = format_lane_key_decode(store_slice(key), stream, &number, err);
    if (!rc) {
        rc = format_lane_decode(store_slice(value), &record, err);
    }
    struct lane *lane = NULL;
    if (!rc) {
        rc = lanes_find_or_add(journal, stream, number, &lane, err);
    }
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    lane->record = record;
    lane->exists = true;
    lane->hint_after = lane->hint_next = 0;
    pthread_mutex_unlock(&journal->lock);
    return ERR_OK;
}

static int load_lanes(struct journal *journal, MDB_txn *txn, struct err *err)
{
    static const char tag[] = {FORMAT_LANE_TAG};
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(txn, journal->store.meta, &cursor);
    if (rc) {
        return store_error(err, rc, "cannot read the journal's lanes");
    }
    MDB_val key = store_val(slice_of(tag, sizeof tag));
    MDB_val value;
    int found = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && !found && key.mv_size &&
           *(const char *)key.mv_data == FORMAT_LANE_TAG) {
        rc = load_lane(journal, key, value, err);
        found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (!rc && found && found != MDB_NOTFOUND) {
        rc = store_error(err, found, "cannot read the journal's lanes");
    }
    return rc;
}

int lanes_load(struct journal *journal, MDB_txn *txn, struct err *err)
{
    int rc = load_state(journal, txn, err);
    return rc ? rc : load_lanes(journal, txn, err);
}

int lanes_check_end(const struct journal *journal, MDB_txn *txn, struct err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    uint64_t last = 0;
    int found = mdb_cursor_open(txn, journal->store.entries, &cursor);
    if (!found) {
        found = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
        memcpy(&last, found ? &last : key.mv_data, sizeof last);
        mdb_cursor_close(cursor);
    }
    if (found) {
        return found == MDB_NOTFOUND ? ERR_OK
                                     : store_error(err, found, "cannot read entries");
    }
    if (last + 1 != journal->state.next_seq) {
        return err_set(err, ERR_CORRUPT, 0,
                       "entry %llu is the newest, but the journal's record says that it "
                       "is entry %llu: a write was lost; keep the directory and see "
                       "`holdfast journal repair`",
                       (unsigned long long)last,
                       (unsigned long long)journal->state.next_seq - 1);
    }
    return ERR_OK;
}

int lanes_refresh(struct journal *journal, struct err *err)
{
    if (!journal->reader) {
        return ERR_OK;
    }
    MDB_txn *txn = NULL;
    pthread_mutex_lock(&journal->refreshing);
    int rc = store_read_begin(&journal->store, &txn, err);
    if (!rc) {
        rc = lanes_load(journal, txn, err);
        mdb_txn_abort(txn);
    }
    pthread_mutex_unlock(&journal->refreshing);
    return rc;
}

void lanes_free(struct journal *journal)
{
    for (size_t i = 0; i < journal->lane_count; i++) {
        free(journal->lanes[i]);
    }
    free(journal->lanes);
    journal->lanes = NULL;
    journal->lane_count = journal->lane_capacity = 0;
}

/* ---- The door -------------------------------------------------------------------- */

static void copy_out(const struct lane *lane, struct journal_lane *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->stream, lane->stream, sizeof out->stream);
    out->lane = lane->number;
    out->last_seq = lane->record.last.seq;
    out->running = lane->record.running;
    out->retried = lane->record.retried;
    out->done = lane->record.done;
    out->done_running = lane->record.done_running;
    out->done_retried = lane->record.done_retried;
    out->rejected = lane->record.rejected;
    out->given_up = lane->record.given_up;
    out->confirmed = lane->confirmed;
}

int journal_lanes(struct journal *journal, struct journal_lane **out_lanes,
                  size_t *out_count, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    struct journal_lane *lanes = calloc(journal->lane_count + 1, sizeof *lanes);
    size_t count = 0;
    for (size_t i = 0; lanes && i < journal->lane_count; i++) {
        if (journal->lanes[i]->exists) {
            copy_out(journal->lanes[i], &lanes[count++]);
        }
    }
    pthread_mutex_unlock(&journal->lock);
    if (!lanes) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    for (size_t i = 0; i < count && !rc; i++) {
        rc = reading_fill_oldest(journal, &lanes[i], err);
    }
    if (rc) {
        free(lanes);
        return rc;
    }
    *out_lanes = lanes;
    *out_count = count;
    return ERR_OK;
}

int journal_lane_get(struct journal *journal, const char *stream, uint32_t lane,
                     struct journal_lane *out_lane, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    struct journal_lane copy;
    pthread_mutex_lock(&journal->lock);
    const struct lane *found = lanes_find(journal, stream, lane);
    bool exists = found && found->exists;
    if (exists) {
        copy_out(found, &copy);
    }
    pthread_mutex_unlock(&journal->lock);
    if (!exists) {
        return err_set(err, ERR_NOT_FOUND, 0, "stream %s has no lane %u in the journal",
                       stream, lane);
    }
    rc = reading_fill_oldest(journal, &copy, err);
    if (!rc) {
        *out_lane = copy;
    }
    return rc;
}

void journal_confirm(struct journal *journal, const char *stream, uint32_t lane,
                     bool confirmed)
{
    pthread_mutex_lock(&journal->lock);
    struct lane *found = lanes_find(journal, stream, lane);
    if (found) {
        journal->lanes_moved = journal->lanes_moved || found->confirmed != confirmed;
        found->confirmed = confirmed;
    }
    pthread_mutex_unlock(&journal->lock);
}
