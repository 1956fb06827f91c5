#include "journal/change.h"

#include "journal/lanes.h"
#include "journal/preallocate.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Copies what the lanes are now; the marks that came since the last commit go along. */
static void sample_lanes(struct change *change)
{
    struct journal *journal = change->journal;
    pthread_mutex_lock(&journal->lock);
    change->next = journal->state;
    for (size_t i = 0; i < journal->lane_count; i++) {
        struct lane *lane = journal->lanes[i];
        lane->next = lane->record;
        lane->next_exists = lane->exists;
        lane->expirable = lane->confirmed;
        lane->touched = lane->rewound = false;
        lane->first_new = 0;
        if (lane->mark_dirty) {
            change_touch(change, lane);
        }
    }
    if (journal->lanes_moved) {
        journal->expiry.moved = true;
        journal->lanes_moved = false;
    }
    change->expiry = journal->expiry;
    pthread_mutex_unlock(&journal->lock);
}

int handle_look_at_file(const struct journal *journal, struct extent *out_extent,
                        struct err *err)
{
    struct stat file;
    if (fstat(journal->store.data_fd, &file)) {
        return err_set_errno(err, ERR_IO, errno, "cannot examine the journal's file");
    }
    struct extent extent = {.bytes = (uint64_t)file.st_size,
                            .written = (uint64_t)file.st_blocks * 512,
                            .end = store_end_bytes(&journal->store)};
    if (extent.written > extent.bytes) {
        extent.written = extent.bytes;
    }
    *out_extent = extent;
    return ERR_OK;
}

int handle_measure(const struct journal *journal, MDB_txn *txn,
                   const struct extent *extent, struct space *out_space, struct err *err)
{
    const struct store *store = &journal->store;
    struct space space = {.page_size = store->page_size,
                          .map_bytes = store->map_bytes,
                          .reserve_bytes = journal->reserve_bytes};
    uint64_t pages = 0;
    int rc = store_used_pages(store, txn, &pages, err);
    if (rc) {
        return rc;
    }
    struct statvfs disk;
    if (fstatvfs(store->data_fd, &disk)) {
        return err_set(err, ERR_IO, 0, "cannot ask how full the journal's disk is");
    }
    /* Zeros that are really there: a hole ahead takes disk when it is filled. */
    uint64_t end = store_end_bytes(store);
    space.used_bytes = pages * store->page_size;
    space.file_bytes = extent->bytes;
    space.ahead_bytes = extent->written > end ? extent->written - end : 0;
    space.disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    *out_space = space;
    return ERR_OK;
}

int change_begin(struct journal *journal, struct change *change, struct err *err)
{
    *change = (struct change){
        .journal = journal,
        .now_us = clock_wall_us(journal->config.clock),
        .steady_us = clock_steady_us(journal->config.clock),
    };
    int rc = mdb_txn_begin(journal->store.env, NULL, 0, &change->txn);
    if (rc) {
        return store_error(err, rc, "cannot begin a transaction");
    }
    struct space space;
    rc = preallocate_look(journal, err);
    if (!rc) {
        rc = handle_measure(journal, change->txn, &journal->extent, &space, err);
    }
    if (rc) {
        change_abort(change);
        return rc;
    }
    change->intake_left = space_intake(&space);
    sample_lanes(change);
    return ERR_OK;
}

void change_abort(struct change *change)
{
    if (change->txn) {
        mdb_txn_abort(change->txn);
        change->txn = NULL;
    }
}

uint64_t change_growth(const struct change *change)
{
    /* What is appended; the leaves that expiry and receipts touch, copied and split; the
     * trees above them, the list of free pages. */
    static const uint64_t always = 2ULL << 20;
    enum { PAGES_EACH = 6 };
    uint64_t page = change->journal->store.page_size;
    return always + change->appended_bytes + change->appended * PAGES_EACH * page;
}

void change_touch(struct change *change, struct lane *lane)
{
    change->dirty = true;
    if (!lane->touched) {
        lane->touched = true;
        lane->next_touched = change->touched;
        change->touched = lane;
    }
}

int change_put(struct change *change, MDB_dbi dbi, struct slice key, struct slice value,
               unsigned flags, struct err *err)
{
    MDB_val name = store_val(key);
    MDB_val data = store_val(value);
    int rc = mdb_put(change->txn, dbi, &name, &data, flags);
    if (rc == MDB_KEYEXIST) {
        return err_set(err, ERR_KEY_REUSED, 0, "the key exists");
    }
    change->dirty = true;
    return rc ? store_error(err, rc, "cannot write to the journal") : ERR_OK;
}

int change_get(struct change *change, MDB_dbi dbi, struct slice key,
               struct slice *out_value, struct err *err)
{
    MDB_val name = store_val(key);
    MDB_val data;
    int rc = mdb_get(change->txn, dbi, &name, &data);
    if (rc == MDB_NOTFOUND) {
        return err_set(err, ERR_NOT_FOUND, 0, "not in the journal");
    }
    if (rc) {
        return store_error(err, rc, "cannot read the journal");
    }
    *out_value = store_slice(data);
    return ERR_OK;
}

int change_delete(struct change *change, MDB_dbi dbi, struct slice key, struct err *err)
{
    MDB_val name = store_val(key);
    int rc = mdb_del(change->txn, dbi, &name, NULL);
    change->dirty = true;
    return rc && rc != MDB_NOTFOUND
               ? store_error(err, rc, "cannot delete from the journal")
               : ERR_OK;
}

/* ---- Committing ------------------------------------------------------------------ */

static int put_records(struct change *change, struct err *err)
{
    struct journal *journal = change->journal;
    struct buf *scratch = &journal->scratch;
    int rc = ERR_OK;
    for (struct lane *lane = change->touched; lane && !rc; lane = lane->next_touched) {
        uint8_t key[FORMAT_LANE_KEY_MAX];
        size_t len = format_lane_key(key, lane->stream, lane->number);
        buf_clear(scratch);
        format_lane_encode(scratch, &lane->next);
        rc = scratch->failed ? err_set(err, ERR_NOMEM, 0, "out of memory")
                             : change_put(change, journal->store.meta, slice_of(key, len),
                                          buf_slice(scratch), 0, err);
    }
    if (rc) {
        return rc;
    }
    buf_clear(scratch);
    format_state_encode(scratch, &change->next);
    return scratch->failed
               ? err_set(err, ERR_NOMEM, 0, "out of memory")
               : change_put(change, journal->store.meta, SLICE_LITERAL("state"),
                            buf_slice(scratch), 0, err);
}

/* Under the lock. */
static void publish_lane(struct lane *lane)
{
    if (lane->first_new && lane->record.last.seq == lane->record.done.seq) {
        /* The lane was idle: a walk needn't pass over what lies between. */
        lane->hint_after = lane->record.last.seq;
        lane->hint_next = lane->first_new;
    }
    lane->exists = lane->next_exists;
    lane->record.last = lane->next.last;
    lane->record.running = lane->next.running;
    lane->record.rejected = lane->next.rejected;
    lane->record.given_up = lane->next.given_up;
    lane->record.retried = lane->next.retried;
    if (lane->rewound) {
        /* Marks set while the rewind waited belong to the time before it. */
        lane->record.done = lane->next.done;
        lane->record.done_running = lane->next.done_running;
        lane->record.done_retried = lane->next.done_retried;
    }
    if (lane->record.done.seq == lane->next.done.seq) {
        lane->mark_dirty = false;
    }
}

static void publish(struct change *change, int64_t commit_us)
{
    struct journal *journal = change->journal;
    journal->expiry = change->expiry;
    pthread_mutex_lock(&journal->lock);
    journal->state = change->next;
    for (struct lane *lane = change->touched; lane; lane = lane->next_touched) {
        publish_lane(lane);
    }
    journal->marks_dirty = false;
    for (size_t i = 0; i < journal->lane_count; i++) {
        journal->marks_dirty |= journal->lanes[i]->mark_dirty;
    }
    if (journal->marks_dirty) {
        journal->marks_since_us = clock_steady_us(journal->config.clock);
    }
    journal->commits++;
    histogram_add(&journal->commit_times, commit_us);
    journal->refusing = change->refused;
    pthread_mutex_unlock(&journal->lock);
}

int change_commit(struct change *change, bool *out_unknown, struct err *err)
{
    struct journal *journal = change->journal;
    *out_unknown = false;
    int rc = put_records(change, err);
    if (rc) {
        change_abort(change);
        return rc;
    }
    int64_t before = clock_steady_us(journal->config.clock);
    rc = mdb_txn_commit(change->txn);
    change->txn = NULL;
    if (rc) {
        store_error(err, rc, "the journal's commit failed");
        *out_unknown = rc != MDB_MAP_FULL;
        /* Whatever LMDB calls it, a commit that failed is a failed write. */
        if (*out_unknown) {
            err->code = ERR_IO;
        }
        return rc == MDB_MAP_FULL ? ERR_FULL : ERR_IO;
    }
    publish(change, clock_steady_us(journal->config.clock) - before);
    return ERR_OK;
}
