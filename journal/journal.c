#include "journal/journal.h"

#include "base/steady.h"
#include "journal/change.h"
#include "journal/lanes.h"
#include "journal/reading.h"
#include "journal/writer.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

const char handle_full_advice[] =
    "the journal is full, or its disk is; it takes new work again when the database has "
    "caught up, or the disk has room";

void journal_config_defaults(struct journal_config *config)
{
    static const int64_t hour_us = 3600LL * 1000 * 1000;
    *config = (struct journal_config){
        .size_max = 64ULL << 30,
        .preallocate = 256ULL << 20,
        .retain_us = 72 * hour_us,
        .dead_letters_max = 1ULL << 30,
        .receipts_retain_us = 7LL * 24 * hour_us,
        .receipts_max = 1000000,
        .queue_bytes_max = 256ULL << 20,
        .clock = &clock_system,
    };
}

/* ---- Opening and closing --------------------------------------------------------- */

static void init_sync(struct journal *journal)
{
    steady_cond_init(&journal->work);
    pthread_mutex_init(&journal->lock, NULL);
    pthread_mutex_init(&journal->refreshing, NULL);
    journal->appends_end = &journal->appends;
    journal->operations_end = &journal->operations;
}

static void release(struct journal *journal)
{
    if (journal->store.env) {
        store_close(&journal->store);
    }
    lanes_free(journal);
    buf_free(&journal->scratch);
    pthread_cond_destroy(&journal->work);
    pthread_mutex_destroy(&journal->lock);
    pthread_mutex_destroy(&journal->refreshing);
    free(journal);
}

static int load(struct journal *journal, struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_read_begin(&journal->store, &txn, err);
    if (rc) {
        return rc;
    }
    rc = lanes_load(journal, txn, err);
    /* before anything is appended behind it */
    rc = rc || journal->reader ? rc : lanes_check_end(journal, txn, err);
    mdb_txn_abort(txn);
    if (rc) {
        err_wrap(err, "%s", journal->store.path);
    }
    return rc;
}

static int check_config(const struct journal_config *config, struct err *err)
{
    enum { SMALLEST_MAP = 256 << 10 };
    if (!config->path || !*config->path || !config->clock) {
        return err_set(err, ERR_INVALID, 0, "the journal's path is not set");
    }
    if (config->size_max < SMALLEST_MAP) {
        return err_set(err, ERR_INVALID, 0, "the journal's max_size is below %d bytes",
                       SMALLEST_MAP);
    }
    return ERR_OK;
}

int journal_open(const struct journal_config *config, bool create,
                 struct journal **out_journal, struct err *err)
{
    int rc = check_config(config, err);
    if (rc) {
        return rc;
    }
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    init_sync(journal);
    journal->config = *config;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t map = (config->size_max + page - 1) / page * page;
    rc = store_open_writer(config->path, map, create, &journal->store, err);
    if (!rc) {
        journal->config.path = journal->store.path;
        journal->reserve_bytes = space_reserve(config->reserve, journal->store.map_bytes);
        rc = load(journal, err);
    }
    if (!rc) {
        rc = writer_start(journal, err);
    }
    if (rc) {
        release(journal);
        return rc;
    }
    *out_journal = journal;
    return ERR_OK;
}

int journal_open_reader(const char *path, struct journal **out_journal, struct err *err)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    init_sync(journal);
    journal_config_defaults(&journal->config);
    journal->reader = true;
    int rc = store_open_reader(path, &journal->store, err);
    if (!rc) {
        journal->config.path = journal->store.path;
        journal->reserve_bytes = space_reserve(0, journal->store.map_bytes);
        rc = load(journal, err);
    }
    if (rc) {
        release(journal);
        return rc;
    }
    *out_journal = journal;
    return ERR_OK;
}

void journal_close(struct journal *journal)
{
    if (!journal) {
        return;
    }
    if (!journal->reader) {
        writer_stop(journal);
    }
    release(journal);
}

const char *journal_id(const struct journal *journal)
{
    return journal->store.id;
}

/* ---- Health ---------------------------------------------------------------------- */

int handle_check_alive(const struct journal *journal, struct err *err)
{
    if (!journal->fatal.code) {
        return ERR_OK;
    }
    if (err) {
        *err = journal->fatal;
    }
    return journal->fatal.code;
}

int handle_check_writable(const struct journal *journal, struct err *err)
{
    if (journal->reader) {
        return err_set(err, ERR_INVALID, 0, "%s is open for reading only",
                       journal->store.path);
    }
    return ERR_OK;
}

int journal_health(struct journal *journal, struct err *err)
{
    pthread_mutex_lock(&journal->lock);
    int rc = handle_check_alive(journal, err);
    pthread_mutex_unlock(&journal->lock);
    return rc;
}

void journal_set_listener(struct journal *journal, void (*on_commit)(void *context),
                          void *context)
{
    pthread_mutex_lock(&journal->lock);
    journal->on_commit = on_commit;
    journal->on_commit_context = context;
    pthread_mutex_unlock(&journal->lock);
}

/* ---- Handing work to the writer -------------------------------------------------- */

int handle_run(struct journal *journal, struct operation *operation, struct err *err)
{
    operation->err.code = ERR_OK;
    operation->next = NULL;
    sem_init(&operation->finished, 0, 0);
    pthread_mutex_lock(&journal->lock);
    int rc = handle_check_alive(journal, err);
    if (!rc && journal->stopping) {
        rc = err_set(err, ERR_CLOSED, 0, "the journal is closing");
    }
    if (!rc) {
        *journal->operations_end = operation;
        journal->operations_end = &operation->next;
        if (journal->waiting) {
            pthread_cond_signal(&journal->work);
        }
    }
    pthread_mutex_unlock(&journal->lock);
    while (!rc && sem_wait(&operation->finished)) {
        /* interrupted by a signal */
    }
    sem_destroy(&operation->finished);
    if (!rc && operation->err.code) {
        rc = operation->err.code;
        if (err) {
            *err = operation->err;
        }
    }
    return rc;
}

static bool are_retries(const struct journal_part *part)
{
    for (size_t i = 1; i < part->records; i++) {
        const struct journal_dead_place *before = &part->retried[i - 1];
        const struct journal_dead_place *place = &part->retried[i];
        if (place->seq < before->seq ||
            (place->seq == before->seq && place->index <= before->index)) {
            return false;
        }
    }
    return part->dead_count == 0;
}

static int check_part(const struct journal_part *part, struct err *err)
{
    size_t stream_len = part->stream ? strlen(part->stream) : 0;
    if (stream_len == 0 || stream_len > JOURNAL_STREAM_MAX) {
        return err_set(err, ERR_INVALID, 0, "a stream's name has 1 to %d bytes",
                       JOURNAL_STREAM_MAX);
    }
    if (part->dead_count > part->records) {
        return err_set(err, ERR_INVALID, 0,
                       "a part counts fewer records than dead letters");
    }
    if (part->retried && !are_retries(part)) {
        return err_set(err, ERR_INVALID, 0,
                       "a retry names its dead letters in ascending order and has no "
                       "dead letters of its own");
    }
    for (size_t i = 0; i < part->dead_count; i++) {
        const struct journal_dead_letter *letter = &part->dead[i];
        if (!letter->reason || !letter->field || !letter->detail) {
            return err_set(err, ERR_INVALID, 0, "a dead letter lacks its reason");
        }
    }
    return ERR_OK;
}

static int check_append(const struct journal *journal,
                        const struct journal_append *append, struct err *err)
{
    const struct journal_receipt *receipt = &append->receipt;
    if (!append->parts || !append->part_count || append->part_count > PARTS_MAX ||
        receipt->scope_key.len > JOURNAL_RECEIPT_KEY_MAX ||
        receipt->answer.len > JOURNAL_ANSWER_MAX) {
        return err_set(err, ERR_INVALID, 0,
                       "a batch has parts or a receipt out of "
                       "bounds");
    }
    for (size_t i = 0; i < append->part_count; i++) {
        int rc = check_part(&append->parts[i], err);
        if (rc) {
            return rc;
        }
    }
    uint64_t most = journal->store.map_bytes - 2 * journal->reserve_bytes;
    uint64_t bytes = append_bytes(journal, append);
    if (bytes > most || bytes > UINT32_MAX) {
        return err_set(err, ERR_TOO_LARGE, 0,
                       "a batch of %llu bytes can't fit into this journal: send smaller "
                       "batches or raise max_size",
                       (unsigned long long)bytes);
    }
    return ERR_OK;
}

/* Under the lock. */
static int enqueue(struct journal *journal, struct journal_append *append, uint64_t bytes)
{
    if (journal->fatal.code) {
        return err_set(&append->err, ERR_IO, journal->fatal.sys, "%s",
                       journal->fatal.message);
    }
    if (journal->stopping) {
        return err_set(&append->err, ERR_CLOSED, 0, "the journal is closing");
    }
    if (journal->queue_bytes &&
        journal->queue_bytes + bytes > journal->config.queue_bytes_max) {
        return err_set(&append->err, ERR_BUSY, 0,
                       "%llu bytes wait to be written already: try again soon",
                       (unsigned long long)journal->queue_bytes);
    }
    journal->queue_bytes += bytes;
    *journal->appends_end = append;
    journal->appends_end = &append->next;
    if (journal->waiting) {
        pthread_cond_signal(&journal->work);
    }
    return ERR_OK;
}

void journal_submit(struct journal *journal, struct journal_append *append)
{
    append->err.code = ERR_OK;
    append->err.sys = 0;
    append->err.message[0] = '\0';
    append->outcome = JOURNAL_APPENDED;
    append->first_seq = 0;
    append->answer = (struct slice){0};
    append->next = NULL;
    int rc = handle_check_writable(journal, &append->err);
    if (!rc) {
        rc = check_append(journal, append, &append->err);
    }
    if (!rc) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < append->part_count; i++) {
            bytes += append->parts[i].payload.len;
        }
        pthread_mutex_lock(&journal->lock);
        rc = enqueue(journal, append, bytes);
        pthread_mutex_unlock(&journal->lock);
    }
    if (rc) {
        append->done(append);
    }
}

static void wake_waiter(struct journal_append *append)
{
    append->answer = (struct slice){0};
    sem_post(append->context);
}

int journal_append_wait(struct journal *journal, struct journal_append *append)
{
    sem_t finished;
    sem_init(&finished, 0, 0);
    append->done = wake_waiter;
    append->context = &finished;
    journal_submit(journal, append);
    while (sem_wait(&finished)) {
        /* interrupted by a signal */
    }
    sem_destroy(&finished);
    append->context = NULL;
    return (int)append->err.code;
}

/* ---- Status ---------------------------------------------------------------------- */

static int measure(struct journal *journal, struct journal_stat *stat, struct err *err)
{
    MDB_txn *txn = NULL;
    int rc = store_read_begin(&journal->store, &txn, err);
    if (rc) {
        return rc;
    }
    struct space space = {0};
    struct extent extent;
    struct store_tree trees[STORE_TREES];
    rc = handle_look_at_file(journal, &extent, err);
    rc = rc ? rc : store_trees(&journal->store, txn, trees, err);
    rc = rc ? rc : handle_measure(journal, &extent, trees, &space, err);
    mdb_txn_abort(txn);
    if (!rc) {
        stat->size_max = space.map_bytes;
        stat->used_bytes = space.used_bytes;
        stat->disk_free_bytes = space.disk_free_bytes;
        stat->reserve_bytes = space.reserve_bytes;
        stat->free_bytes = space_intake(&space);
        stat->file_bytes = space.file_bytes;
    }
    return rc;
}

/* The oldest entry retained, which may be a stub. */
static int find_first(struct journal *journal, struct journal_stat *stat, struct err *err)
{
    struct scan scan = scan_from(journal, 1);
    struct scanned entry = {0};
    int rc = scan_next(&scan, &entry, err);
    scan_end(&scan);
    stat->first_seq = entry.found ? entry.header.seq : 0;
    return rc;
}

/* The oldest entry in full. A stopped lane may have many stubs before it, so a call
 * begins where the one before it got to: anyone may ask for the status, as often as they
 * like. */
static int find_full(struct journal *journal, struct journal_stat *stat, struct err *err)
{
    enum { LOOK_AT = 100000 };
    pthread_mutex_lock(&journal->lock);
    uint64_t from = journal->full_from;
    pthread_mutex_unlock(&journal->lock);
    struct scan scan = scan_from(journal, from);
    struct scanned entry = {0};
    unsigned looked_at = 0;
    bool full = false;
    int rc;
    do {
        rc = scan_next(&scan, &entry, err);
        full = !rc && entry.found && entry.header.state == JOURNAL_ENTRY_FULL;
    } while (!rc && entry.found && !full && ++looked_at < LOOK_AT);
    scan_end(&scan);
    if (rc) {
        return rc;
    }
    uint64_t reached = full ? entry.header.seq : scan.next;
    stat->oldest_at_us = full ? entry.header.received_at_us : 0;
    pthread_mutex_lock(&journal->lock);
    if (journal->full_from < reached) {
        journal->full_from = reached;
    }
    pthread_mutex_unlock(&journal->lock);
    return ERR_OK;
}

int journal_stat(struct journal *journal, struct journal_stat *out_stat, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    struct journal_stat stat = {0};
    rc = measure(journal, &stat, err);
    if (!rc) {
        rc = find_first(journal, &stat, err);
    }
    if (!rc) {
        rc = find_full(journal, &stat, err);
    }
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&journal->lock);
    stat.next_seq = journal->state.next_seq;
    stat.records = journal->state.records;
    stat.dead_letter_bytes = journal->state.dead_bytes;
    stat.dead_letters = journal->state.dead_kept;
    stat.receipts = journal->state.receipts;
    stat.commits = journal->commits;
    stat.commit_times = journal->commit_times;
    stat.queue_bytes = journal->queue_bytes;
    stat.refusing = journal->refusing || stat.free_bytes == 0;
    pthread_mutex_unlock(&journal->lock);
    *out_stat = stat;
    return ERR_OK;
}
