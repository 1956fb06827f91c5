/* journal/store.h: the journal's directory and its LMDB environment: power-safe creation,
 * the checks before a page is touched, the handles of the four databases.
 *
 *   data.mdb, lock.mdb  LMDB's
 *   journal.id          the sentinel: written before the directory gets its name, so that
 *                       a missing or emptied data.mdb is not taken for a fresh journal
 *   writer.lock         flock for the writer's lifetime; holds its pid for the message
 */
#ifndef HOLDFAST_JOURNAL_STORE_H
#define HOLDFAST_JOURNAL_STORE_H

#include "base/err.h"
#include "journal/format.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct store {
    char *path;
    MDB_env *env;
    MDB_dbi meta;
    MDB_dbi entries;
    MDB_dbi receipts;
    MDB_dbi dead;
    size_t page_size;
    uint64_t map_bytes;
    int lock_fd; /* writer.lock; -1 for a reader */
    int data_fd; /* data.mdb, for preallocation (readers: only to look at it) */
    char id[JOURNAL_ID_TEXT];
    bool sentinel_late;  /* it names the id before the last `journal adopt` */
    uint64_t registered; /* 0: not in the table of open journals */
};

/* What is where a journal may be, or come to be. */
enum store_place { STORE_MISSING, STORE_EMPTY, STORE_USED };
int store_look(const char *path, enum store_place *out_place, struct err *err);

/* Errors as journal_open. `map_bytes` 0: as the file says (readers). `out_store` is
 * zeroed on failure. */
int store_open_writer(const char *path, uint64_t map_bytes, bool create,
                      struct store *out_store, struct err *err);
int store_open_reader(const char *path, struct store *out_store, struct err *err);
void store_close(struct store *store);

/* The writer's lock alone, of a journal that may be damaged: close the descriptor. And
 * the id that its sentinel names. */
int store_lock(const char *path, int *out_fd, struct err *err);
int store_sentinel_id(const char *path, char out_id[JOURNAL_ID_TEXT], struct err *err);

/* One code for each LMDB result: MDB_MAP_FULL is ERR_FULL, damage ERR_CORRUPT ... */
int store_error(struct err *err, int rc, const char *what);

/* pwrite(), again where a signal interrupted it. */
ssize_t store_pwrite(int fd, const void *bytes, size_t len, off_t at);

/* A read transaction; end it with mdb_txn_abort. */
int store_read_begin(const struct store *store, MDB_txn **out_txn, struct err *err);

/* The trees of the file: LMDB's list of free pages, its table of databases, and ours. */
enum {
    STORE_FREE,
    STORE_MAIN,
    STORE_META,
    STORE_ENTRIES,
    STORE_RECEIPTS,
    STORE_DEAD,
    STORE_TREES
};
struct store_tree {
    uint64_t depth;
    uint64_t pages;    /* branches and leaves */
    uint64_t overflow; /* pages of values that have pages of their own */
};
int store_trees(const struct store *store, MDB_txn *txn,
                struct store_tree out_trees[STORE_TREES], struct err *err);
size_t store_tree_of(const struct store *store, MDB_dbi dbi);

/* Pages that hold something, LMDB's own among them. */
uint64_t store_used_pages(const struct store_tree trees[STORE_TREES]);

/* Free pages that the write transaction in hand could take when it began: freed by one
 * that no reader can still look behind. Counts until it has `enough`. */
int store_usable_pages(const struct store *store, uint64_t enough, uint64_t *out_pages,
                       struct err *err);

/* The first page of a value of several `pages` of its own, which was just put and not yet
 * committed; 0 where it can't be told. */
uint64_t store_value_page(const void *value, uint64_t pages);

/* The highest page number that is in use, plus one, in bytes. */
uint64_t store_end_bytes(const struct store *store);

static inline MDB_val store_val(struct slice bytes)
{
    /* LMDB takes void * and doesn't write to it. */
    union {
        const char *in;
        void *out;
    } pointer = {.in = bytes.data};
    return (MDB_val){bytes.len, pointer.out};
}

static inline struct slice store_slice(MDB_val value)
{
    return slice_of(value.mv_data, value.mv_size);
}

#endif
