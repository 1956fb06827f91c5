/* `journal backup`: entries first, in short read transactions while the writer goes on;
 * then, from one last snapshot, the few entries that came meanwhile with state, lanes,
 * settings, receipts and dead letters, so that all of it belongs to one moment. How long
 * that snapshot is held is bounded by the sizes of receipts and dead letters, and by the
 * copy's not being synced before its end.
 *
 * Entries never change but that a full one may become a stub or leave from the front: a
 * copy that was taken before that holds more, not less. Where the front has moved beyond
 * what was copied, the copy begins anew from there, so that it stays dense.
 */
#include "journal/tools.h"

#include "journal/copy.h"
#include "journal/lanes.h"
#include "journal/pieces.h"
#include "journal/reading.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { BITE_BYTES = 4 << 20, ROUNDS_MAX = 32, NEAR_ENTRIES = 1024 };

/* ---- The child: reading ------------------------------------------------------------ */

struct reading {
    struct journal *journal;
    FILE *out;
    struct buf bite;
    uint64_t next; /* the seq that comes next */
    uint64_t taken;
};

static int gone(struct err *err)
{
    return err_set(err, ERR_IO, 0, "the writing process has ended");
}

static int send_bite(struct reading *reading, struct err *err)
{
    return pieces_send(reading->out, &reading->bite) ? ERR_OK : gone(err);
}

/* Where the front has moved beyond what was copied. */
static void forget_unless(struct reading *reading, bool dense)
{
    struct piece forget = {.kind = PIECE_FORGET};
    if (!dense && reading->taken) {
        piece_add(&reading->bite, &forget);
    }
}

static int take_entry(struct reading *reading, const struct scanned *entry,
                      struct err *err)
{
    const struct entry_header *header = &entry->header;
    int rc = ERR_OK;
    if (header->state == JOURNAL_ENTRY_FULL) {
        rc = format_entry_check(header, (const uint8_t *)entry->value.data,
                                format_entry_payload(header, entry->value), err);
    }
    if (rc) {
        return rc;
    }
    forget_unless(reading, header->seq == reading->next);
    struct piece piece = {.kind = PIECE_VALUE,
                          .database = BUILDING_ENTRIES,
                          .number = header->seq,
                          .value = entry->value};
    piece_add(&reading->bite, &piece);
    reading->taken++;
    reading->next = header->seq + 1;
    return ERR_OK;
}

/* Those that are durable now. A transaction never waits for the parent. */
static int read_entries(struct reading *reading, struct err *err)
{
    struct scan scan = scan_from(reading->journal, reading->next);
    struct scanned entry = {.found = true};
    int rc = ERR_OK;
    while (!rc && entry.found) {
        rc = scan_next(&scan, &entry, err);
        if (!rc && entry.found) {
            rc = take_entry(reading, &entry, err);
        }
        if (!rc && (reading->bite.len >= BITE_BYTES || !entry.found)) {
            scan_end(&scan);
            rc = send_bite(reading, err);
        }
    }
    scan_end(&scan);
    return rc;
}

/* Until the writer is nearly caught up with. */
static int read_along(struct reading *reading, struct err *err)
{
    uint64_t before = 0;
    unsigned rounds = 0;
    int rc;
    do {
        before = reading->taken;
        rc = read_entries(reading, err);
        rc = rc ? rc : lanes_refresh(reading->journal, err);
    } while (!rc && reading->taken - before > NEAR_ENTRIES && ++rounds < ROUNDS_MAX);
    return rc;
}

static int read_database(struct reading *reading, MDB_txn *txn, MDB_dbi dbi,
                         enum building_database database, struct err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    int found = mdb_cursor_open(txn, dbi, &cursor);
    int rc = found ? store_error(err, found, "cannot read the journal") : ERR_OK;
    while (!rc && !(found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT))) {
        struct piece piece = {.kind = PIECE_VALUE,
                              .database = database,
                              .key = store_slice(key),
                              .value = store_slice(value)};
        piece_add(&reading->bite, &piece);
        if (reading->bite.len >= BITE_BYTES) {
            rc = send_bite(reading, err);
        }
    }
    if (cursor) {
        mdb_cursor_close(cursor);
    }
    return !rc && found != MDB_NOTFOUND
               ? store_error(err, found, "cannot read the journal")
               : rc;
}

/* The rest of the entries, up to what the snapshot's state record says. */
static int read_last_entries(struct reading *reading, MDB_txn *txn, struct err *err)
{
    MDB_cursor *cursor = NULL;
    int failed = mdb_cursor_open(txn, reading->journal->store.entries, &cursor);
    if (failed) {
        return store_error(err, failed, "cannot read entries");
    }
    struct scan scan = scan_from(reading->journal, reading->next);
    struct scanned entry = {.found = true};
    int rc = ERR_OK;
    scan.txn = txn;
    scan.cursor = cursor;
    while (!rc && entry.found) {
        scan.headers = 0; /* in this transaction, however many */
        rc = scan_next(&scan, &entry, err);
        if (!rc && entry.found) {
            rc = take_entry(reading, &entry, err);
        }
        if (!rc && reading->bite.len >= BITE_BYTES) {
            rc = send_bite(reading, err);
        }
    }
    mdb_cursor_close(cursor);
    if (!rc) {
        forget_unless(reading, reading->next == reading->journal->state.next_seq);
    }
    return rc;
}

static int read_snapshot(struct reading *reading, struct err *err)
{
    struct journal *journal = reading->journal;
    const struct store *store = &journal->store;
    MDB_txn *txn = NULL;
    int rc = store_read_begin(store, &txn, err);
    if (rc) {
        return rc;
    }
    rc = lanes_load(journal, txn, err);
    rc = rc ? rc : read_last_entries(reading, txn, err);
    rc = rc ? rc : read_database(reading, txn, store->meta, BUILDING_META, err);
    rc = rc ? rc : read_database(reading, txn, store->receipts, BUILDING_RECEIPTS, err);
    rc = rc ? rc : read_database(reading, txn, store->dead, BUILDING_DEAD, err);
    mdb_txn_abort(txn);
    return rc;
}

static int read_all(struct reading *reading, struct err *err)
{
    const struct store *store = &reading->journal->store;
    uint64_t end = store_end_bytes(store);
    struct piece begin = {.kind = PIECE_BEGIN,
                          .number = end > store->map_bytes ? end : store->map_bytes};
    piece_add(&reading->bite, &begin);
    int rc = read_along(reading, err);
    return rc ? rc : read_snapshot(reading, err);
}

static void read_journal(FILE *out, const void *context)
{
    struct reading reading = {.out = out, .next = 1};
    struct err err = {0};
    int rc = journal_open_reader(context, &reading.journal, &err);
    if (!rc) {
        rc = read_all(&reading, &err);
        journal_close(reading.journal);
    }
    err.code = (enum err_code)rc;
    struct piece end = {.kind = PIECE_END, .value = slice_of(&err, sizeof err)};
    piece_add(&reading.bite, &end);
    (void)pieces_send(out, &reading.bite); /* a parent that is gone needs no news */
    buf_free(&reading.bite);
}

/* ---- The parent: writing ----------------------------------------------------------- */

struct backup {
    const char *target;
    const struct journal_progress *progress;
    const char *step;
    struct copy copy;
    bool begun;
    bool ended;
    char id[JOURNAL_ID_TEXT];
    uint64_t entries;
    uint64_t bytes;
};

static void tell(const struct backup *backup)
{
    if (backup->progress) {
        backup->progress->report(backup->step, backup->bytes, backup->entries,
                                 backup->progress->context);
    }
}

static int keep_entry(struct backup *backup, const struct piece *piece, struct err *err)
{
    enum { EACH = 256 };
    backup->entries++;
    backup->bytes += piece->value.len;
    if (backup->entries % EACH == 0) {
        tell(backup);
    }
    return copy_put_entry(&backup->copy, piece->number, piece->value, err);
}

static int keep_value(struct backup *backup, const struct piece *piece, struct err *err)
{
    struct format_identity identity;
    if (piece->database == BUILDING_META && slice_is(piece->key, "id")) {
        int rc = format_identity_decode(piece->value, &identity, err);
        if (rc) {
            return rc;
        }
        format_id_text(identity.id, backup->id);
    }
    return copy_put(&backup->copy, piece->database, piece->key, piece->value, err);
}

static int keep(struct backup *backup, const struct piece *piece, struct err *err)
{
    int rc = ERR_OK;
    switch (piece->kind) {
    case PIECE_BEGIN:
        rc = copy_begin(backup->target, piece->number, &backup->copy, err);
        backup->begun = !rc;
        return rc;
    case PIECE_VALUE:
        return piece->database == BUILDING_ENTRIES ? keep_entry(backup, piece, err)
                                                   : keep_value(backup, piece, err);
    case PIECE_FORGET:
        return copy_drop_entries(&backup->copy, err);
    case PIECE_END:
        backup->ended = true;
        struct err said;
        memcpy(&said, piece->value.data, sizeof said);
        return said.code ? err_set(err, said.code, said.sys, "%s", said.message) : ERR_OK;
    case PIECE_PROBLEM:
    case PIECE_DONE:
        break;
    }
    return err_set(err, ERR_INTERNAL, 0, "the reading process says something unknown");
}

static int judge_end(int status, struct err *err)
{
    return WIFSIGNALED(status)
               ? err_set(err, ERR_CORRUPT, 0,
                         "reading the journal was ended by signal %d (%s): a page is "
                         "damaged; see `holdfast journal verify` and `journal repair`",
                         WTERMSIG(status), strsignal(WTERMSIG(status)))
               : err_set(err, ERR_INTERNAL, 0,
                         "the process that reads the journal ended with status %d",
                         WEXITSTATUS(status));
}

static int copy_all(const char *path, struct backup *backup, struct err *err)
{
    struct pieces pieces;
    struct piece piece;
    int rc = pieces_start(read_journal, path, &pieces, err);
    if (rc) {
        return rc;
    }
    while (!rc && !backup->ended && pieces_next(&pieces, &piece)) {
        rc = keep(backup, &piece, err);
    }
    int status = 0;
    struct err lack = {0};
    int lacks = pieces_stop(&pieces, &status, &lack);
    if (rc || backup->ended) {
        return rc;
    }
    return lacks ? err_set(err, ERR_NOMEM, 0, "%s", lack.message)
                 : judge_end(status, err);
}

static void tell_verified(const struct journal_verify_result *sofar, void *context)
{
    struct backup *backup = context;
    backup->bytes = sofar->bytes;
    backup->entries = sofar->entries;
    tell(backup);
}

static int verify(struct backup *backup, struct journal_verify_result *out_result,
                  struct err *err)
{
    backup->step = "verify";
    int rc = journal_verify(backup->copy.building.temporary, tell_verified, backup,
                            out_result, err);
    if (rc) {
        err_wrap(err, "the copy is not sound");
    }
    return rc;
}

int journal_backup(const char *path, const char *target,
                   const struct journal_progress *progress,
                   struct journal_verify_result *out_result, struct err *err)
{
    struct backup backup = {.target = target, .progress = progress, .step = "copy"};
    struct journal_verify_result result = {0};
    struct err why = {0};
    int rc = copy_all(path, &backup, &why);
    rc = rc ? rc : copy_seal(&backup.copy, backup.id, &why);
    rc = rc ? rc : verify(&backup, &result, &why);
    rc = rc ? rc : copy_publish(&backup.copy, &why);
    if (backup.begun) {
        copy_end(&backup.copy);
    }
    if (rc) {
        return err_set(err, (enum err_code)rc, why.sys, "%s", why.message);
    }
    *out_result = result;
    return ERR_OK;
}
