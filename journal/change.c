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

/* Single pages that a transaction takes, at most: its trees' outer paths and `touches`
 * leaves of them, copied and split, but not more than there were and are; the list's,
 * whose remains, `free_pages`, are written anew. */
static uint64_t single_pages(const struct store_tree before[STORE_TREES],
                             const struct store_tree now[STORE_TREES],
                             const uint64_t touches[STORE_TREES], uint64_t free_pages)
{
    enum { A_TOUCH = 3, LISTED_BY_ONE = 500, A_FEW = 4 };
    const struct store_tree *list = &before[STORE_FREE];
    uint64_t pages = 2 * list->depth + list->pages + list->overflow +
                     free_pages / LISTED_BY_ONE + before[STORE_MAIN].pages + A_FEW;
    for (size_t i = STORE_META; i < STORE_TREES; i++) {
        uint64_t most = touches[i] ? 2 * before[i].depth + A_TOUCH * touches[i] : 0;
        uint64_t there = before[i].pages + now[i].pages;
        pages += most < there ? most : there;
    }
    return pages;
}

/* Room for some usual commits, until what they freed has come back. */
static uint64_t working_bytes(const struct space *space,
                              const struct store_tree trees[STORE_TREES])
{
    enum { COMMITS = 4 };
    static const uint64_t touches[STORE_TREES] = {
        [STORE_META] = 2, [STORE_ENTRIES] = 2, [STORE_RECEIPTS] = 2, [STORE_DEAD] = 2};
    uint64_t pages =
        single_pages(trees, trees, touches, space->inside_bytes / space->page_size);
    uint64_t bytes = COMMITS * pages * space->page_size;
    return bytes < space->reserve_bytes ? bytes : space->reserve_bytes;
}

int handle_measure(const struct journal *journal, const struct extent *extent,
                   const struct store_tree trees[STORE_TREES], struct space *out_space,
                   struct err *err)
{
    const struct store *store = &journal->store;
    struct statvfs disk;
    if (fstatvfs(store->data_fd, &disk)) {
        return err_set_errno(err, ERR_IO, errno,
                             "cannot ask how full the journal's disk is");
    }
    uint64_t end = store_end_bytes(store);
    uint64_t used = store_used_pages(trees) * store->page_size;
    /* What is really there: a hole, ahead or inside, takes disk when it is filled. */
    uint64_t there = extent->written < end ? extent->written : end;
    struct space space = {.page_size = store->page_size,
                          .map_bytes = store->map_bytes,
                          .used_bytes = used,
                          .file_bytes = extent->bytes,
                          .end_bytes = end,
                          .inside_bytes = there > used ? there - used : 0,
                          .ahead_bytes = extent->written - there,
                          .disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize,
                          .reserve_bytes = journal->reserve_bytes};
    space.working_bytes = working_bytes(&space, trees);
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
    rc = preallocate_look(journal, err);
    rc = rc ? rc : store_trees(&journal->store, change->txn, change->trees, err);
    rc = rc ? rc
            : handle_measure(journal, &journal->extent, change->trees, &change->space,
                             err);
    if (rc) {
        change_abort(change);
        return rc;
    }
    change->intake_left = space_intake(&change->space);
    change->growth_max = space_growth_for_work(&change->space);
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

void change_touch(struct change *change, struct lane *lane)
{
    change->dirty = true;
    if (!lane->touched) {
        lane->touched = true;
        lane->next_touched = change->touched;
        change->touched = lane;
    }
}

/* Where LMDB put a value of several pages, against what the file may grow by. */
static int check_place(struct change *change, const void *place, uint64_t pages,
                       struct err *err)
{
    const struct space *space = &change->space;
    uint64_t first = store_value_page(place, pages);
    uint64_t end = (first + pages) * space->page_size;
    if (first && end <= space->end_bytes) {
        change->reused_pages += pages;
        return ERR_OK;
    }
    uint64_t growth =
        first ? end - space->end_bytes : change->growth_bytes + pages * space->page_size;
    if (growth > change->growth_bytes) {
        change->growth_bytes = growth;
    }
    return growth <= change->growth_max
               ? ERR_OK
               : err_set(err, ERR_FULL, 0,
                         "the journal's disk has no room for a value of %llu pages, and "
                         "its file has no neighbouring ones",
                         (unsigned long long)pages);
}

int change_reserve(struct change *change, MDB_dbi dbi, struct slice key, unsigned flags,
                   MDB_val *place, struct err *err)
{
    MDB_val name = store_val(key);
    uint64_t pages = space_pages_of_value(change->space.page_size, place->mv_size);
    int rc = mdb_put(change->txn, dbi, &name, place, flags | MDB_RESERVE);
    if (rc == MDB_KEYEXIST) {
        return err_set(err, ERR_KEY_REUSED, 0, "the key exists");
    }
    change->dirty = true;
    change->touches[store_tree_of(&change->journal->store, dbi)]++;
    if (rc) {
        return store_error(err, rc, "cannot write to the journal");
    }
    change->own_pages += pages;
    change->reused_pages += pages == 1;
    return pages > 1 ? check_place(change, place->mv_data, pages, err) : ERR_OK;
}

int change_put(struct change *change, MDB_dbi dbi, struct slice key, struct slice value,
               unsigned flags, struct err *err)
{
    MDB_val place = {value.len, NULL};
    int rc = change_reserve(change, dbi, key, flags, &place, err);
    if (!rc && value.len) {
        memcpy(place.mv_data, value.data, value.len);
    }
    return rc;
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
    change->touches[store_tree_of(&change->journal->store, dbi)]++;
    return rc && rc != MDB_NOTFOUND
               ? store_error(err, rc, "cannot delete from the journal")
               : ERR_OK;
}

/* ---- The disk -------------------------------------------------------------------- */

/* New pages that the commit may take, at most, in bytes: what is appended; the leaves
 * that expiry and receipts touch, copied and split; the trees above them, the list of
 * free pages. */
static uint64_t growth_at_most(const struct change *change)
{
    static const uint64_t always = 2ULL << 20;
    enum { PAGES_EACH = 6 };
    uint64_t page = change->space.page_size;
    return always + change->appended_bytes + change->appended * PAGES_EACH * page;
}

static uint64_t free_pages(const struct change *change)
{
    return change->space.end_bytes / change->space.page_size -
           store_used_pages(change->trees);
}

/* Pages that the transaction gives back, at most; `singles` are copied ones. */
static uint64_t freed_pages(const struct change *change,
                            const struct store_tree trees[STORE_TREES], uint64_t singles)
{
    uint64_t before = change->own_pages + singles + trees[STORE_FREE].overflow;
    uint64_t after = 0;
    for (size_t i = STORE_META; i < STORE_TREES; i++) {
        before += change->trees[i].overflow;
        after += trees[i].overflow;
    }
    return before > after ? before - after : 0;
}

static int lacks_disk(struct err *err)
{
    return err_set(err, ERR_FULL, 0,
                   "the journal's disk has no room for the commit, and its file not "
                   "enough free pages yet");
}

/* Single pages that the file has to grow by, since too few free ones are usable. */
static int missing_pages(const struct change *change, uint64_t needed,
                         uint64_t *out_missing, struct err *err)
{
    *out_missing = needed;
    if (change->growth_bytes + needed * change->space.page_size <= change->growth_max) {
        return ERR_OK;
    }
    uint64_t usable = 0;
    int rc = store_usable_pages(&change->journal->store, needed, &usable, err);
    if (!rc) {
        *out_missing = needed > usable ? needed - usable : 0;
    }
    return rc;
}

/* What the file grows by, at most, if this is committed. ERR_FULL: the disk has it not.
 */
static int measure_growth(const struct change *change, uint64_t *out_bytes,
                          struct err *err)
{
    uint64_t page = change->space.page_size;
    struct store_tree trees[STORE_TREES];
    int rc = store_trees(&change->journal->store, change->txn, trees, err);
    if (rc) {
        return rc;
    }
    uint64_t singles =
        single_pages(change->trees, trees, change->touches, free_pages(change));
    uint64_t list = space_pages_of_list(page, freed_pages(change, trees, singles));
    uint64_t missing = 0;
    rc = missing_pages(change, change->reused_pages + singles, &missing, err);
    if (rc) {
        return rc;
    }
    uint64_t growth = change->growth_bytes + missing * page;
    if (growth > change->growth_max) {
        return lacks_disk(err);
    }
    /* It may be written twice, when saving it frees pages. */
    growth += list > 1 ? 2 * list * page : 0;
    *out_bytes = growth;
    return growth <= space_growth(&change->space) ? ERR_OK : lacks_disk(err);
}

/* A disk that surely has room isn't asked. */
static int secure_disk(struct change *change, struct err *err)
{
    uint64_t most = growth_at_most(change);
    if (space_growth_for_intake(&change->space) >= most) {
        return preallocate_reach(change->journal, most, err);
    }
    uint64_t bytes = 0;
    int rc = measure_growth(change, &bytes, err);
    return rc ? rc : preallocate_secure(change->journal, bytes, err);
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
    rc = rc ? rc : secure_disk(change, err);
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
