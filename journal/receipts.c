#include "journal/change.h"

#include "journal/lanes.h"

#include <stdlib.h>

/* With an expired one the key is as good as new, though its record may still be there. */
static bool is_over(const struct journal *journal, int64_t now_us, int64_t at_us)
{
    return now_us - at_us > journal->config.receipts_retain_us;
}

static int key_reused(struct err *err)
{
    return err_set(
        err, ERR_KEY_REUSED, 0,
        "this idempotency key was used with another body: take a new key for a "
        "new batch");
}

/* Takes a receipt away, whose time record is `time_key`. */
static int drop(struct change *change, struct slice key, struct slice time_key,
                struct err *err)
{
    MDB_dbi receipts = change->journal->store.receipts;
    int rc = change_delete(change, receipts, key, err);
    if (!rc) {
        rc = change_delete(change, receipts, time_key, err);
    }
    change->next.receipts -= !rc && change->next.receipts;
    return rc;
}

static int drop_over(struct change *change, struct slice key,
                     const struct format_receipt *receipt, struct err *err)
{
    uint8_t time_key[FORMAT_RECEIPT_TIME_KEY_LEN];
    format_receipt_time_key(time_key, receipt->at_us, receipt->first_seq);
    return drop(change, key, slice_of(time_key, sizeof time_key), err);
}

int receipts_look_up(struct change *change, struct journal_append *append,
                     bool *out_decided, struct err *err)
{
    *out_decided = false;
    if (!append->receipt.scope_key.len) {
        return ERR_OK;
    }
    uint8_t key[FORMAT_RECEIPT_KEY_MAX];
    size_t key_len = format_receipt_key(key, append->receipt.scope_key);
    struct slice value;
    struct err absent;
    int rc = change_get(change, change->journal->store.receipts, slice_of(key, key_len),
                        &value, &absent);
    if (rc == ERR_NOT_FOUND) {
        return ERR_OK;
    }
    if (rc) {
        *err = absent;
        return rc;
    }
    struct format_receipt receipt;
    rc = format_receipt_decode(value, &receipt, err);
    if (rc) {
        return rc;
    }
    if (is_over(change->journal, change->now_us, receipt.at_us)) {
        return drop_over(change, slice_of(key, key_len), &receipt, err);
    }
    *out_decided = true;
    if (memcmp(receipt.body_sum, append->receipt.body_sum, sizeof receipt.body_sum) !=
        0) {
        key_reused(&append->err);
        return ERR_OK;
    }
    /* The page is gone when `done` is called. */
    char *copy = malloc(receipt.answer.len + 1);
    if (!copy) {
        err_set(&append->err, ERR_NOMEM, 0, "out of memory");
        return ERR_OK;
    }
    memcpy(copy, receipt.answer.data, receipt.answer.len);
    append->outcome = JOURNAL_REPLAYED;
    append->first_seq = receipt.first_seq;
    append->answer = slice_of(copy, receipt.answer.len);
    return ERR_OK;
}

int receipts_put(struct change *change, const struct journal_append *append,
                 struct err *err)
{
    struct slice scope_key = append->receipt.scope_key;
    if (!scope_key.len) {
        return ERR_OK;
    }
    struct buf *scratch = &change->journal->scratch;
    MDB_dbi receipts = change->journal->store.receipts;
    uint8_t key[FORMAT_RECEIPT_KEY_MAX];
    uint8_t time_key[FORMAT_RECEIPT_TIME_KEY_LEN];
    struct format_receipt receipt = {.first_seq = append->first_seq,
                                     .at_us = change->now_us,
                                     .answer = append->receipt.answer};
    memcpy(receipt.body_sum, append->receipt.body_sum, sizeof receipt.body_sum);
    buf_clear(scratch);
    format_receipt_encode(scratch, &receipt);
    if (scratch->failed) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    size_t key_len = format_receipt_key(key, scope_key);
    format_receipt_time_key(time_key, change->now_us, append->first_seq);
    int rc =
        change_put(change, receipts, slice_of(key, key_len), buf_slice(scratch), 0, err);
    if (!rc) {
        rc = change_put(change, receipts, slice_of(time_key, sizeof time_key), scope_key,
                        0, err);
    }
    change->next.receipts += !rc;
    return rc;
}

/* ---- Expiry ---------------------------------------------------------------------- */

/* The oldest receipt's time key and scope key; found is false where there is none. */
static int find_oldest(struct change *change, uint8_t out_key[static 32], size_t *out_len,
                       struct slice *out_scope, struct err *err)
{
    static const char tag[] = {FORMAT_RECEIPT_TIME_TAG};
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(change->txn, change->journal->store.receipts, &cursor);
    if (rc) {
        return store_error(err, rc, "cannot read receipts");
    }
    MDB_val key = store_val(slice_of(tag, sizeof tag));
    MDB_val value;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    mdb_cursor_close(cursor);
    *out_len = 0;
    if (rc == MDB_NOTFOUND) {
        return ERR_OK;
    }
    if (rc) {
        return store_error(err, rc, "cannot read receipts");
    }
    if (key.mv_size != FORMAT_RECEIPT_TIME_KEY_LEN ||
        value.mv_size > JOURNAL_RECEIPT_KEY_MAX || !value.mv_size) {
        return err_set(err, ERR_CORRUPT, 0, "a receipt's time record is damaged");
    }
    memcpy(out_key, key.mv_data, key.mv_size);
    *out_len = key.mv_size;
    *out_scope = store_slice(value);
    return ERR_OK;
}

static int expire_one(struct change *change, bool *out_done, struct err *err)
{
    struct journal *journal = change->journal;
    uint8_t time_key[32];
    size_t time_key_len = 0;
    struct slice scope_key;
    int rc = find_oldest(change, time_key, &time_key_len, &scope_key, err);
    *out_done = true;
    if (rc || !time_key_len) {
        return rc;
    }
    struct slice time_slice = slice_of(time_key, time_key_len);
    int64_t at_us = 0;
    rc = format_receipt_time_decode(time_slice, &at_us, err);
    bool due = change->next.receipts > journal->config.receipts_max ||
               is_over(journal, change->now_us, at_us);
    if (rc || !due) {
        return rc;
    }
    *out_done = false;
    uint8_t key[FORMAT_RECEIPT_KEY_MAX];
    size_t key_len = format_receipt_key(key, scope_key);
    return drop(change, slice_of(key, key_len), time_slice, err);
}

int receipts_expire(struct change *change, struct err *err)
{
    enum { AT_LEAST = 64 };
    uint64_t budget = AT_LEAST + 2 * change->appended;
    bool done = change->next.receipts == 0;
    int rc = ERR_OK;
    while (!rc && !done && budget--) {
        rc = expire_one(change, &done, err);
    }
    return rc;
}

/* ---- The door -------------------------------------------------------------------- */

static int find_in(struct journal *journal, MDB_txn *txn, struct slice scope_key,
                   struct format_receipt *out_receipt, struct err *err)
{
    uint8_t key[FORMAT_RECEIPT_KEY_MAX];
    MDB_val name = store_val(slice_of(key, format_receipt_key(key, scope_key)));
    MDB_val value;
    int rc = mdb_get(txn, journal->store.receipts, &name, &value);
    if (rc == MDB_NOTFOUND) {
        return err_set(err, ERR_NOT_FOUND, 0, "no receipt with this key");
    }
    return rc ? store_error(err, rc, "cannot read receipts")
              : format_receipt_decode(store_slice(value), out_receipt, err);
}

int journal_receipt_find(struct journal *journal, struct slice scope_key,
                         const uint8_t body_sum[16], uint64_t *out_first_seq,
                         struct buf *answer, struct err *err)
{
    if (!scope_key.len || scope_key.len > JOURNAL_RECEIPT_KEY_MAX) {
        return err_set(err, ERR_NOT_FOUND, 0, "no receipt with this key");
    }
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    uint64_t end = journal->state.next_seq;
    pthread_mutex_unlock(&journal->lock);
    MDB_txn *txn = NULL;
    rc = store_read_begin(&journal->store, &txn, err);
    if (rc) {
        return rc;
    }
    struct format_receipt receipt = {0};
    rc = find_in(journal, txn, scope_key, &receipt, err);
    /* A reader doesn't know how long the writer retains them. */
    int64_t now_us = clock_wall_us(journal->config.clock);
    bool over = !rc && !journal->reader && is_over(journal, now_us, receipt.at_us);
    if (!rc && (over || receipt.first_seq >= end)) {
        /* seen after its time, or before its commit is known to be durable */
        rc = err_set(err, ERR_NOT_FOUND, 0, "no receipt with this key");
    }
    if (!rc && memcmp(receipt.body_sum, body_sum, sizeof receipt.body_sum) != 0) {
        rc = key_reused(err);
    }
    if (!rc && !buf_append_slice(answer, receipt.answer)) {
        rc = err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    mdb_txn_abort(txn);
    if (!rc) {
        *out_first_seq = receipt.first_seq;
    }
    return rc;
}
