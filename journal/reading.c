/* Reading beside a living writer.
 *
 * A snapshot may already show a commit whose sync hasn't returned, so every walk ends at
 * the next_seq that the writer published after its commit returned. Entries leave only
 * as a prefix of seq, hence the only hole that a walk may meet is the one before the
 * first entry retained; any other is damage. What an entry says of its lane's entry
 * before it tells whether something that a lane needs is gone.
 */
#include "journal/reading.h"

#include "journal/lanes.h"

#include <stdlib.h>

enum {
    SCAN_HEADERS = 2048,
    SCAN_BYTES = 16 << 20,
    VISIT_HEADERS = 128,
};

/* ---- The walk -------------------------------------------------------------------- */

struct scan scan_from(struct journal *journal, uint64_t seq)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t end = journal->state.next_seq;
    pthread_mutex_unlock(&journal->lock);
    return (struct scan){.journal = journal, .next = seq, .end = end};
}

void scan_end(struct scan *scan)
{
    if (scan->cursor) {
        mdb_cursor_close(scan->cursor);
    }
    if (scan->txn) {
        mdb_txn_abort(scan->txn);
    }
    scan->cursor = NULL;
    scan->txn = NULL;
    scan->placed = false;
}

static int begin(struct scan *scan, struct err *err)
{
    const struct store *store = &scan->journal->store;
    int rc = store_read_begin(store, &scan->txn, err);
    if (rc) {
        scan->txn = NULL;
        return rc;
    }
    rc = mdb_cursor_open(scan->txn, store->entries, &scan->cursor);
    if (rc) {
        scan->cursor = NULL;
        return store_error(err, rc, "cannot read entries");
    }
    scan->headers = 0;
    scan->bytes = 0;
    return ERR_OK;
}

static int missing(uint64_t expected, uint64_t found, struct err *err)
{
    return err_set(err, ERR_CORRUPT, 0,
                   "entry %llu is missing though entry %llu is there: the journal is "
                   "damaged",
                   (unsigned long long)expected, (unsigned long long)found);
}

static uint64_t seq_of(MDB_val key)
{
    uint64_t seq = 0;
    memcpy(&seq, key.mv_data, key.mv_size < sizeof seq ? key.mv_size : sizeof seq);
    return seq;
}

/* The cursor goes to `next`, or to the first entry retained where that is later. */
static int place(struct scan *scan, MDB_val *key, MDB_val *value, struct err *err)
{
    int rc = mdb_cursor_get(scan->cursor, key, value, MDB_FIRST);
    if (rc) {
        return rc;
    }
    uint64_t first = seq_of(*key);
    if (first >= scan->next) {
        scan->next = first;
        return 0;
    }
    uint64_t wanted = scan->next;
    *key = (MDB_val){sizeof wanted, &wanted};
    rc = mdb_cursor_get(scan->cursor, key, value, MDB_SET_KEY);
    if (rc == MDB_NOTFOUND) {
        missing(wanted, first, err);
    }
    return rc;
}

static int step(struct scan *scan, MDB_val *key, MDB_val *value, struct err *err)
{
    if (!scan->placed) {
        return place(scan, key, value, err);
    }
    int rc = mdb_cursor_get(scan->cursor, key, value, MDB_NEXT);
    if (rc == MDB_NOTFOUND || (!rc && seq_of(*key) != scan->next)) {
        missing(scan->next, rc ? scan->next - 1 : seq_of(*key), err);
        return MDB_NOTFOUND;
    }
    return rc;
}

int scan_next(struct scan *scan, struct scanned *out_entry, struct err *err)
{
    struct err damage = {0};
    MDB_val key;
    MDB_val value;
    out_entry->found = false;
    if (scan->next >= scan->end) {
        return ERR_OK;
    }
    if (scan->headers >= SCAN_HEADERS || scan->bytes >= SCAN_BYTES) {
        scan_end(scan);
    }
    int rc = scan->txn ? ERR_OK : begin(scan, err);
    if (rc) {
        return rc;
    }
    int found = step(scan, &key, &value, &damage);
    if (damage.code) {
        return err_set(err, damage.code, 0, "%s", damage.message);
    }
    if (found == MDB_NOTFOUND || (!found && scan->next >= scan->end)) {
        return ERR_OK;
    }
    if (found) {
        return store_error(err, found, "cannot read entries");
    }
    scan->placed = true;
    scan->headers++;
    rc = format_entry_decode(store_slice(value), &out_entry->header, err);
    if (!rc && out_entry->header.seq != scan->next) {
        rc = err_set(err, ERR_CORRUPT, 0, "it says that it is entry %llu",
                     (unsigned long long)out_entry->header.seq);
    }
    if (rc) {
        err_wrap(err, "entry %llu", (unsigned long long)scan->next);
        return rc;
    }
    scan->next++;
    out_entry->value = store_slice(value);
    out_entry->found = true;
    return ERR_OK;
}

static bool is_of_lane(const struct entry_header *header, const char *stream,
                       uint32_t lane)
{
    return header->lane == lane && strcmp(header->stream, stream) == 0;
}

int scan_next_of_lane(struct scan *scan, const char *stream, uint32_t lane,
                      struct scanned *out_entry, struct err *err)
{
    int rc;
    do {
        rc = scan_next(scan, out_entry, err);
    } while (!rc && out_entry->found && !is_of_lane(&out_entry->header, stream, lane));
    return rc;
}

/* ---- Hints ----------------------------------------------------------------------- */

/* Where a walk for the lane's first entry after `after` may begin. */
static uint64_t hinted_start(const struct lane *lane, uint64_t after)
{
    bool useful = lane->hint_next && lane->hint_after <= after && after < lane->hint_next;
    return useful ? lane->hint_next : after + 1;
}

static void keep_hint(struct journal *journal, struct lane *lane, uint64_t after,
                      uint64_t next)
{
    pthread_mutex_lock(&journal->lock);
    lane->hint_after = after;
    lane->hint_next = next;
    pthread_mutex_unlock(&journal->lock);
}

static int find_pending(struct journal *journal, struct lane *lane,
                        struct journal_lane *about, struct err *err)
{
    if (about->last_seq <= about->done.seq) {
        return ERR_OK;
    }
    pthread_mutex_lock(&journal->lock);
    uint64_t start = hinted_start(lane, about->done.seq);
    pthread_mutex_unlock(&journal->lock);
    struct scan scan = scan_from(journal, start);
    struct scanned entry = {0};
    int rc = scan_next_of_lane(&scan, about->stream, about->lane, &entry, err);
    scan_end(&scan);
    if (!rc && entry.found) {
        about->oldest_pending_at_us = entry.header.received_at_us;
        keep_hint(journal, lane, about->done.seq, entry.header.seq);
    }
    return rc;
}

static int find_oldest(struct journal *journal, struct lane *lane,
                       struct journal_lane *about, struct err *err)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t start = lane->oldest_from;
    pthread_mutex_unlock(&journal->lock);
    struct scan scan = scan_from(journal, start);
    if (scan.end > about->last_seq + 1) {
        scan.end = about->last_seq + 1;
    }
    struct scanned entry = {0};
    int rc;
    do {
        rc = scan_next_of_lane(&scan, about->stream, about->lane, &entry, err);
    } while (!rc && entry.found && entry.header.state != JOURNAL_ENTRY_FULL);
    scan_end(&scan);
    if (rc) {
        return rc;
    }
    about->oldest_seq = entry.found ? entry.header.seq : 0;
    pthread_mutex_lock(&journal->lock);
    lane->oldest_from = entry.found ? entry.header.seq : about->last_seq + 1;
    pthread_mutex_unlock(&journal->lock);
    return ERR_OK;
}

int reading_fill_oldest(struct journal *journal, struct journal_lane *about,
                        struct err *err)
{
    pthread_mutex_lock(&journal->lock);
    struct lane *lane = lanes_find(journal, about->stream, about->lane);
    pthread_mutex_unlock(&journal->lock);
    if (!lane) {
        return ERR_OK;
    }
    int rc = find_pending(journal, lane, about, err);
    return rc ? rc : find_oldest(journal, lane, about, err);
}

/* ---- Owned entries --------------------------------------------------------------- */

/* One entry's stream name and payload. */
struct chunk {
    struct chunk *next;
    char bytes[];
};

void journal_entries_free(struct journal_entries *entries)
{
    struct chunk *chunk = entries->memory;
    while (chunk) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(entries->items);
    memset(entries, 0, sizeof *entries);
}

static void describe(const struct entry_header *header, struct journal_entry *out)
{
    out->seq = header->seq;
    out->stream = header->stream;
    out->lane = header->lane;
    out->batch_seq = header->batch_seq;
    out->batch_entries = header->batch_entries;
    out->records = header->records;
    out->accepted = header->accepted;
    out->running = header->running;
    out->retried = header->retried;
    out->received_at_us = header->received_at_us;
    memcpy(out->sum, header->sum, sizeof out->sum);
    out->state = header->state == JOURNAL_ENTRY_FULL      ? JOURNAL_ENTRY_FULL
                 : header->state == JOURNAL_ENTRY_EXPIRED ? JOURNAL_ENTRY_EXPIRED
                                                          : JOURNAL_ENTRY_GAP;
    out->payload = (struct slice){0};
}

static bool grow(struct journal_entries *entries)
{
    /* capacity: the power of two at or above count, from 16 on */
    size_t count = entries->count;
    if (entries->items && (count < 16 || (count & (count - 1)) != 0)) {
        return true;
    }
    size_t capacity = count < 16 ? 16 : 2 * count;
    struct journal_entry *items =
        realloc(entries->items, capacity * sizeof *entries->items);
    if (items) {
        entries->items = items;
    }
    return items != NULL;
}

/* Copies the entry and checks the copy. */
static int add_copy(struct journal_entries *entries, const struct entry_header *header,
                    struct slice value, struct err *err)
{
    size_t stream_size = strlen(header->stream) + 1;
    struct slice payload = format_entry_payload(header, value);
    if (!grow(entries)) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    struct chunk *chunk = malloc(sizeof *chunk + stream_size + payload.len);
    if (!chunk) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for an entry of %zu bytes",
                       payload.len);
    }
    memcpy(chunk->bytes, header->stream, stream_size);
    memcpy(chunk->bytes + stream_size, payload.data, payload.len);
    payload.data = chunk->bytes + stream_size;
    chunk->next = entries->memory;
    entries->memory = chunk;
    if (header->state == JOURNAL_ENTRY_FULL) {
        int rc = format_entry_check(header, (const uint8_t *)value.data, payload, err);
        if (rc) {
            return rc;
        }
    }
    struct journal_entry *entry = &entries->items[entries->count++];
    describe(header, entry);
    entry->stream = chunk->bytes;
    entry->payload = payload;
    return ERR_OK;
}

/* ---- One lane -------------------------------------------------------------------- */

static int gone(const char *stream, uint32_t lane, uint64_t seq, const char *why,
                struct err *err)
{
    return err_set(err, ERR_GAP, 0, "stream %s lane %u: entry %llu %s", stream, lane,
                   (unsigned long long)seq, why);
}

/* Does `header` follow what was read before it? `entries` may be empty. */
static int check_follows(const struct journal_entries *entries, uint64_t after,
                         const struct entry_header *header, struct err *err)
{
    if (entries->count == 0) {
        if (header->previous.seq > after) {
            return gone(header->stream, header->lane, header->previous.seq,
                        "and perhaps earlier ones that the database lacks are no longer "
                        "retained",
                        err);
        }
        return ERR_OK;
    }
    const struct journal_entry *last = &entries->items[entries->count - 1];
    if (header->previous.seq != last->seq ||
        memcmp(header->previous.sum, last->sum, JOURNAL_SUM_LEN) != 0 ||
        header->running != last->running + header->accepted ||
        header->retried != last->retried + header->records - header->accepted) {
        return err_set(
            err, ERR_CORRUPT, 0,
            "entry %llu does not follow entry %llu of its lane: the journal is "
            "damaged",
            (unsigned long long)header->seq, (unsigned long long)last->seq);
    }
    return ERR_OK;
}

static int check_there(const struct entry_header *header, struct err *err)
{
    if (header->state == JOURNAL_ENTRY_EXPIRED) {
        return gone(header->stream, header->lane, header->seq,
                    "is no longer retained: its payload gave way to intake", err);
    }
    if (header->state == JOURNAL_ENTRY_GAP) {
        return gone(header->stream, header->lane, header->seq,
                    "was lost to damage; `holdfast replay --accept-gap` passes over it",
                    err);
    }
    return ERR_OK;
}

struct taken {
    uint64_t bytes;
    uint64_t records;
};

static bool fits(const struct journal_entries *entries, const struct taken *taken,
                 const struct entry_header *header,
                 const struct journal_read_limits *limits)
{
    if (entries->count == 0) {
        return true;
    }
    return entries->count < limits->entries_max &&
           taken->bytes + header->payload_len <= limits->bytes_max &&
           taken->records + header->records <= limits->records_max;
}

struct lane_query {
    struct lane *lane; /* NULL: never had an entry */
    uint64_t after;
    uint64_t start;
    uint64_t last_seq;
};

static struct lane_query query_lane(struct journal *journal, const char *stream,
                                    uint32_t number, uint64_t after)
{
    struct lane_query query = {.after = after};
    pthread_mutex_lock(&journal->lock);
    struct lane *lane = lanes_find(journal, stream, number);
    if (lane && lane->exists) {
        query.lane = lane;
        query.last_seq = lane->record.last.seq;
        query.start = hinted_start(lane, after);
    }
    pthread_mutex_unlock(&journal->lock);
    return query;
}

/* Collects until the limits, the end, or something that is gone behind what is there. */
static int collect(struct journal *journal, struct scan *scan,
                   const struct lane_query *query,
                   const struct journal_read_limits *limits,
                   struct journal_entries *entries, struct err *err)
{
    struct taken taken = {0};
    while (scan->next <= query->last_seq) {
        struct scanned entry;
        int rc = scan_next_of_lane(scan, query->lane->stream, query->lane->number, &entry,
                                   err);
        if (rc || !entry.found) {
            return rc;
        }
        rc = check_follows(entries, query->after, &entry.header, err);
        if (rc) {
            return rc;
        }
        struct err lack;
        rc = check_there(&entry.header, &lack);
        if (rc && entries->count == 0) {
            return err_set(err, lack.code, 0, "%s", lack.message);
        }
        if (rc || !fits(entries, &taken, &entry.header, limits)) {
            keep_hint(journal, query->lane, entries->items[entries->count - 1].seq,
                      entry.header.seq);
            return ERR_OK;
        }
        rc = add_copy(entries, &entry.header, entry.value, err);
        if (rc) {
            return rc;
        }
        taken.bytes += entry.header.payload_len;
        taken.records += entry.header.records;
        scan->bytes += entry.header.payload_len;
    }
    return ERR_OK;
}

/* The door promises one call with seven plain parameters. */
/* NOLINTNEXTLINE(readability-function-size) */
int journal_read_lane(struct journal *journal, const char *stream, uint32_t lane,
                      uint64_t after_seq, const struct journal_read_limits *limits,
                      struct journal_entries *out_entries, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    struct journal_entries entries = {0};
    struct lane_query query = query_lane(journal, stream, lane, after_seq);
    if (query.lane && query.last_seq > after_seq) {
        struct scan scan = scan_from(journal, query.start);
        rc = collect(journal, &scan, &query, limits, &entries, err);
        scan_end(&scan);
        if (!rc && entries.count == 0) {
            rc = gone(stream, lane, query.last_seq,
                      "and those before it are no longer "
                      "retained",
                      err);
        }
    }
    if (rc) {
        journal_entries_free(&entries);
        return rc;
    }
    *out_entries = entries;
    return ERR_OK;
}

/* ---- By seq ---------------------------------------------------------------------- */

int journal_read_entry(struct journal *journal, uint64_t seq,
                       struct journal_entries *out_entries, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    struct journal_entries entries = {0};
    struct scan scan = scan_from(journal, seq);
    struct scanned entry = {0};
    rc = scan_next(&scan, &entry, err);
    if (!rc && (!entry.found || entry.header.seq != seq)) {
        rc = err_set(err, ERR_NOT_FOUND, 0, "entry %llu is not in the journal: %s",
                     (unsigned long long)seq,
                     seq >= scan.end ? "it was not written yet" : "no longer retained");
    }
    if (!rc) {
        rc = add_copy(&entries, &entry.header, entry.value, err);
    }
    scan_end(&scan);
    if (rc) {
        journal_entries_free(&entries);
        return rc;
    }
    *out_entries = entries;
    return ERR_OK;
}

/* Copies up to VISIT_HEADERS headers, so that the visitor runs outside a transaction. */
static int fetch_headers(struct journal *journal, uint64_t from,
                         struct entry_header *headers, size_t *out_count, struct err *err)
{
    struct scan scan = scan_from(journal, from);
    struct scanned entry = {.found = true};
    size_t count = 0;
    int rc = ERR_OK;
    while (!rc && entry.found && count < VISIT_HEADERS) {
        rc = scan_next(&scan, &entry, err);
        if (!rc && entry.found) {
            headers[count++] = entry.header;
        }
    }
    scan_end(&scan);
    *out_count = count;
    return rc;
}

int journal_visit(struct journal *journal, uint64_t from_seq,
                  bool (*visit)(const struct journal_entry *entry, void *context),
                  void *context, struct err *err)
{
    int rc = lanes_refresh(journal, err);
    if (rc) {
        return rc;
    }
    struct entry_header *headers = calloc(VISIT_HEADERS, sizeof *headers);
    if (!headers) {
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    bool go_on = true;
    size_t count = 1;
    while (!rc && go_on && count) {
        rc = fetch_headers(journal, from_seq, headers, &count, err);
        for (size_t i = 0; i < count && go_on; i++) {
            struct journal_entry entry;
            describe(&headers[i], &entry);
            go_on = visit(&entry, context);
            from_seq = headers[i].seq + 1;
        }
    }
    free(headers);
    return rc;
}
