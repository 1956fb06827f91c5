/* Reading everything, in a child process: on damaged pages LMDB may fault, abort or
 * assert, and its locks must not be shared over fork, so the child opens the journal
 * itself and tells the parent over a pipe how far it came.
 *
 * A problem doesn't end the walk: what can be read behind it is read. The walk is
 * bounded by the next_seq at its start, so a living writer may go on.
 */
#include "journal/journal.h"

#include "journal/lanes.h"
#include "journal/reading.h"
#include "journal/reading_child.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBLEMS_MAX = 1000, REPORT_ENTRIES = 1000, REPORT_BYTES = 16 << 20 };

/* What goes over the pipe; smaller than PIPE_BUF, so a write is whole. Parent and child
 * are the same program: no format is needed. */
struct message {
    bool final;
    struct journal_verify_result result;
    struct err err;
};

_Static_assert(sizeof(struct message) <= 4096, "one write to a pipe is atomic");

struct walk {
    struct journal *journal;
    int fd;
    struct message message;
    struct journal_verify_result reported;
    /* the newest entry seen of each lane, in the order of journal->lanes */
    struct entry_header *newest;
};

/* ---- The child ------------------------------------------------------------------- */

static void send_message(const struct walk *walk)
{
    /* A parent that is gone needs no report. */
    ssize_t put = write(walk->fd, &walk->message, sizeof walk->message);
    if (put != (ssize_t)sizeof walk->message) {
        _exit(1);
    }
}

static void note(struct walk *walk, uint64_t seq, const struct err *problem)
{
    struct journal_verify_result *result = &walk->message.result;
    if (problem->code == ERR_NOMEM) {
        reading_child_lacks_memory(); /* no problem of the journal's */
    }
    if (result->problems++ == 0) {
        walk->message.err = *problem;
    }
    if (seq && (!result->first_bad_seq || seq < result->first_bad_seq)) {
        result->first_bad_seq = seq;
    }
}

static bool is_enough(const struct walk *walk)
{
    return walk->message.result.problems >= PROBLEMS_MAX;
}

static int check_chain(struct walk *walk, const struct entry_header *header,
                       struct err *err)
{
    struct journal *journal = walk->journal;
    size_t i = 0;
    if (format_is_unknown(header)) {
        return ERR_OK;
    }
    while (i < journal->lane_count &&
           (journal->lanes[i]->number != header->lane ||
            strcmp(journal->lanes[i]->stream, header->stream) != 0)) {
        i++;
    }
    if (i == journal->lane_count) {
        return err_set(err, ERR_CORRUPT, 0, "entry %llu is of a lane without a record",
                       (unsigned long long)header->seq);
    }
    const struct entry_header *before = &walk->newest[i];
    bool first = before->seq == 0;
    if (!first && (header->previous.seq != before->seq ||
                   memcmp(header->previous.sum, before->sum, JOURNAL_SUM_LEN) != 0 ||
                   !format_entry_follows(header, before))) {
        return err_set(err, ERR_CORRUPT, 0,
                       "entry %llu does not follow entry %llu of its lane",
                       (unsigned long long)header->seq, (unsigned long long)before->seq);
    }
    const struct format_lane *record = &journal->lanes[i]->record;
    walk->newest[i] = *header;
    if (record->done.seq == header->seq &&
        (memcmp(record->done.sum, header->sum, JOURNAL_SUM_LEN) != 0 ||
         record->done_running != header->running ||
         record->done_retried != header->retried)) {
        return err_set(err, ERR_CORRUPT, 0, "the done mark at entry %llu does not fit it",
                       (unsigned long long)header->seq);
    }
    return ERR_OK;
}

/* The chain goes on behind an entry whose payload is damaged. */
static int check_entry(struct walk *walk, const struct entry_header *header,
                       struct slice value, struct err *err)
{
    int rc = check_chain(walk, header, err);
    if (!rc && header->state == JOURNAL_ENTRY_FULL) {
        rc = format_entry_check(header, (const uint8_t *)value.data,
                                format_entry_payload(header, value), err);
    }
    return rc;
}

static void count(struct walk *walk, const struct entry_header *header, size_t len)
{
    struct journal_verify_result *result = &walk->message.result;
    if (!result->first_seq) {
        result->first_seq = header->seq;
    }
    result->entries++;
    result->records += header->accepted;
    result->bytes += len;
    result->last_seq = header->seq;
    if (result->entries - walk->reported.entries >= REPORT_ENTRIES ||
        result->bytes - walk->reported.bytes >= REPORT_BYTES) {
        walk->reported = *result;
        send_message(walk);
    }
}

static void walk_entries(struct walk *walk)
{
    struct scan scan = scan_from(walk->journal, 1);
    struct scanned entry = {.found = true};
    while (entry.found && !is_enough(walk)) {
        struct err err = {0};
        uint64_t seq = scan.next;
        int rc = scan_next(&scan, &entry, &err);
        if (!rc && entry.found) {
            seq = entry.header.seq;
            scan.bytes += entry.value.len;
            rc = check_entry(walk, &entry.header, entry.value, &err);
            count(walk, &entry.header, entry.value.len);
        } else if (rc) {
            /* Behind the one that can't be read. */
            seq = scan.next;
            scan_end(&scan);
            scan.next++;
            entry.found = true;
        }
        if (rc) {
            note(walk, seq, &err);
        }
    }
    scan_end(&scan);
}

/* Of the snapshot that the walk is bounded by. */
static void check_end(struct walk *walk)
{
    struct journal *journal = walk->journal;
    MDB_txn *txn = NULL;
    struct err err = {0};
    int rc = store_read_begin(&journal->store, &txn, &err);
    if (!rc) {
        rc = lanes_load(journal, txn, &err);
        rc = rc ? rc : lanes_check_end(journal, txn, &err);
        mdb_txn_abort(txn);
    }
    if (rc) {
        note(walk, journal->state.next_seq, &err);
    }
}

/* A lane's record against the entries that were seen. */
static void check_lanes(struct walk *walk)
{
    const struct journal *journal = walk->journal;
    for (size_t i = 0; i < journal->lane_count; i++) {
        const struct lane *lane = journal->lanes[i];
        const struct entry_header *newest = &walk->newest[i];
        const struct format_lane *record = &lane->record;
        bool pending_gone = !newest->seq && record->done.seq < record->last.seq;
        bool last_differs =
            newest->seq &&
            (newest->seq != record->last.seq || newest->running != record->running ||
             newest->retried != record->retried ||
             memcmp(newest->sum, record->last.sum, JOURNAL_SUM_LEN) != 0);
        if (pending_gone || last_differs || record->done.seq > record->last.seq) {
            struct err err = {0};
            err_set(&err, ERR_CORRUPT, 0,
                    "stream %s lane %u: its record says that entry %llu is the last, the "
                    "entries say %llu",
                    lane->stream, lane->number, (unsigned long long)record->last.seq,
                    (unsigned long long)newest->seq);
            note(walk, record->last.seq, &err);
        }
    }
}

static int check_receipt(MDB_val key, MDB_val value, struct err *err)
{
    struct format_receipt receipt;
    int64_t at_us = 0;
    if (key.mv_size && *(const char *)key.mv_data == FORMAT_RECEIPT_TIME_TAG) {
        return format_receipt_time_decode(store_slice(key), &at_us, err);
    }
    return format_receipt_decode(store_slice(value), &receipt, err);
}

static int check_dead(MDB_val key, MDB_val value, struct err *err)
{
    struct format_dead dead;
    uint64_t seq = 0;
    uint32_t index = 0;
    int rc = format_dead_key_decode(store_slice(key), &seq, &index, err);
    return rc ? rc : format_dead_decode(store_slice(value), &dead, err);
}

static int walk_cursor(struct walk *walk, MDB_cursor *cursor,
                       int (*check)(MDB_val key, MDB_val value, struct err *err))
{
    MDB_val key;
    MDB_val value;
    struct err err = {0};
    int found = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (!found && !is_enough(walk)) {
        if (check(key, value, &err)) {
            note(walk, 0, &err);
        }
        found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return found;
}

static void walk_values(struct walk *walk, MDB_dbi dbi,
                        int (*check)(MDB_val key, MDB_val value, struct err *err))
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    struct err err = {0};
    int rc = store_read_begin(&walk->journal->store, &txn, &err);
    if (rc) {
        note(walk, 0, &err);
        return;
    }
    int found = mdb_cursor_open(txn, dbi, &cursor);
    if (!found) {
        found = walk_cursor(walk, cursor, check);
        mdb_cursor_close(cursor);
    }
    if (found && found != MDB_NOTFOUND) {
        store_error(&err, found, "cannot read receipts or dead letters");
        note(walk, 0, &err);
    }
    mdb_txn_abort(txn);
}

/* In the child; `context` is the path. */
static void read_all(FILE *out, const void *context)
{
    struct walk walk = {.fd = fileno(out)};
    int rc = journal_open_reader(context, &walk.journal, &walk.message.err);
    if (!rc) {
        check_end(&walk);
        walk.newest = calloc(walk.journal->lane_count + 1, sizeof *walk.newest);
    }
    if (!rc && !walk.newest) {
        rc = err_set(&walk.message.err, ERR_NOMEM, 0, "out of memory");
    }
    if (!rc) {
        walk_entries(&walk);
        check_lanes(&walk);
        walk_values(&walk, walk.journal->store.receipts, check_receipt);
        walk_values(&walk, walk.journal->store.dead, check_dead);
    }
    walk.message.final = true;
    send_message(&walk);
}

/* ---- The parent ------------------------------------------------------------------ */

static bool receive(int fd, struct message *out_message)
{
    char *at = (char *)out_message;
    size_t left = sizeof *out_message;
    while (left) {
        ssize_t got = read(fd, at, left);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        at += got;
        left -= (size_t)got;
    }
    return true;
}

/* What the child's end says where it could not say it itself. */
static int judge_end(const char *path, int status, const struct message *last,
                     struct err *err)
{
    if (last->final) {
        return ERR_OK;
    }
    if (WIFSIGNALED(status)) {
        return err_set(err, ERR_CORRUPT, 0,
                       "%s: reading it was ended by signal %d (%s) behind entry %llu: a "
                       "page is damaged; keep the directory and see `holdfast journal "
                       "repair`",
                       path, WTERMSIG(status), strsignal(WTERMSIG(status)),
                       (unsigned long long)last->result.last_seq);
    }
    return err_set(err, ERR_INTERNAL, 0, "%s: the reading process ended with status %d",
                   path, WEXITSTATUS(status));
}

static void
follow(int fd, void (*report)(const struct journal_verify_result *sofar, void *context),
       void *context, struct message *last)
{
    struct message message;
    while (!last->final && receive(fd, &message)) {
        *last = message;
        if (report) {
            report(&last->result, context);
        }
    }
}

int journal_verify(const char *path,
                   void (*report)(const struct journal_verify_result *sofar,
                                  void *context),
                   void *context, struct journal_verify_result *out_result,
                   struct err *err)
{
    struct reading_child child;
    int rc = reading_child_start(read_all, path, &child, err);
    if (rc) {
        return rc;
    }
    struct message last = {0};
    follow(fileno(child.in), report, context, &last);
    int status = 0;
    rc = reading_child_stop(&child, &status, err);
    rc = rc ? rc : judge_end(path, status, &last, err);
    if (rc == ERR_CORRUPT) {
        last.result.problems++;
        last.result.first_bad_seq = last.result.first_bad_seq ? last.result.first_bad_seq
                                                              : last.result.last_seq + 1;
    }
    *out_result = last.result;
    if (!rc && last.err.code) {
        rc = err_set(err, last.err.code, last.err.sys, "%s", last.err.message);
    }
    return rc;
}
