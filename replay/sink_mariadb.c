/* replay/sink_mariadb.c: the sink that writes to MariaDB or MySQL.
 *
 * One transaction: fold in memory (no lock is held yet), BEGIN, the ledger's
 * compare-and-set, the entities and events by one of the ways in replay/apply.h, the
 * ledger's counts, COMMIT; a trial rolls back instead. Any error before COMMIT rolls
 * back; a COMMIT that fails without the server having said why is ERR_UNKNOWN, and the
 * connection is closed, so that the server lets go of the locks and the next connection
 * reads the truth in the ledger.
 *
 * The fast way is tried first where it may be. Whatever it meets but a passing trouble (a
 * deadlock, a lost connection), it is rolled back whole and the same transaction is done
 * the checked way at once: that one's answer counts.
 */
#include "replay/apply_fast.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    FAST_RECORDS_MIN = 32,
    /* a lane that was told to send smaller statements is in trouble */
    FAST_STATEMENT_ROWS_MIN = 500,
};

/* What prepare found out about one stream on the present connection. */
struct prepared {
    struct prepared *next;
    struct sink_tables tables;
    struct fast *fast; /* NULL: the checked path only */
};

struct sink_mariadb {
    struct sink sink; /* first, so that a sink's address is ours */
    struct sink_mariadb_config config;
    struct entity_cache *cache; /* NULL: none is wanted */
    struct prepared *prepared;
    bool examined;        /* the server, on the present connection */
    pthread_mutex_t lock; /* db and aborted, against abort from another thread */
    struct db *db;        /* NULL: not connected */
    bool aborted;
};

static struct sink_mariadb *self(struct sink *sink)
{
    return (struct sink_mariadb *)sink;
}

static void set_db(struct sink_mariadb *at, struct db *db)
{
    pthread_mutex_lock(&at->lock);
    at->db = db;
    if (db && at->aborted) {
        db_abort(db);
    }
    pthread_mutex_unlock(&at->lock);
}

static bool is_aborted(struct sink_mariadb *at)
{
    pthread_mutex_lock(&at->lock);
    bool aborted = at->aborted;
    pthread_mutex_unlock(&at->lock);
    return aborted;
}

static void forget_prepared(struct sink_mariadb *at)
{
    while (at->prepared) {
        struct prepared *next = at->prepared->next;
        fast_free(at->prepared->fast);
        free(at->prepared);
        at->prepared = next;
    }
    at->examined = false;
}

static void sink_disconnect(struct sink *sink)
{
    struct sink_mariadb *at = self(sink);
    struct db *db = at->db;
    set_db(at, NULL);
    db_close(db);
    forget_prepared(at);
}

static int sink_connect(struct sink *sink, struct err *err)
{
    struct sink_mariadb *at = self(sink);
    sink_disconnect(sink);
    if (is_aborted(at)) {
        return err_set(err, ERR_CLOSED, 0, "the sink is shutting down");
    }
    struct db *db = NULL;
    int code = db_new(at->config.hosts, &db, err);
    if (!db) {
        return code;
    }
    set_db(at, db); /* before it is opened: abort must reach it */
    code = db_open(db, at->config.db, err);
    if (code) {
        sink_disconnect(sink);
    }
    return code && is_aborted(at)
               ? err_set(err, ERR_CLOSED, 0, "the sink is shutting down")
               : code;
}

static bool sink_connected(const struct sink *sink)
{
    const struct sink_mariadb *at = (const struct sink_mariadb *)sink;
    return at->db && db_alive(at->db);
}

/* Before every use of the connection. */
static int check_usable(struct sink_mariadb *at, struct err *err)
{
    if (is_aborted(at)) {
        return err_set(err, ERR_CLOSED, 0, "the sink is shutting down");
    }
    if (!at->db || !db_alive(at->db)) {
        return err_set(err, ERR_TRANSIENT, 0, "not connected to the database");
    }
    return db_check_host(at->db, err);
}

/* ---- Preparing ------------------------------------------------------------------- */

static struct prepared *find_prepared(struct sink_mariadb *at, const char *stream)
{
    struct prepared *item = at->prepared;
    while (item && strcmp(item->tables.stream->name, stream) != 0) {
        item = item->next;
    }
    return item;
}

/* What the fast path needs, or a note why it can't be had. */
static int prepare_fast(struct sink_mariadb *at, struct prepared *item, struct buf *notes,
                        struct err *err)
{
    char reason[ERR_MESSAGE_MAX];
    fast_free(item->fast);
    item->fast = NULL;
    if (!at->cache) {
        return 0;
    }
    struct fast *fast = calloc(1, sizeof *fast);
    if (!fast) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the fast path");
    }
    int code = fast_tables_make(at->db, &item->tables, &fast->tables, reason, err);
    if (code || reason[0]) {
        fast_free(fast);
        if (code == 0) {
            buf_printf(notes, "stream %s goes without the fast path: %s\n",
                       item->tables.stream->name, reason);
        }
        return code;
    }
    fast->cache = at->cache;
    item->fast = fast;
    return 0;
}

/* After somebody altered the tables: what was found out about them is found out again.
 * Where they don't fit the stream any more, the checked path says so. */
static int prepare_again(struct sink_mariadb *at, struct prepared *item, struct err *err)
{
    struct buf notes = {0};
    struct err why = {0};
    struct sink_tables tables = {0};
    int code = examine_tables(at->db, item->tables.stream, 0, &tables, &notes, &why);
    if (code == 0) {
        item->tables = tables;
        code = prepare_fast(at, item, &notes, &why);
    } else {
        fast_free(item->fast);
        item->fast = NULL;
    }
    buf_free(&notes);
    if (code && (code == ERR_NOMEM || !db_alive(at->db))) {
        return err_set(err, code, why.sys, "%s", why.message);
    }
    return 0;
}

static int sink_prepare(struct sink *sink, const struct stream *stream, struct buf *notes,
                        struct err *err)
{
    struct sink_mariadb *at = self(sink);
    int code = check_usable(at, err);
    if (code == 0 && !at->examined) {
        code = examine_server(at->db, at->config.durability, notes, err);
        at->examined = code == 0;
    }
    struct sink_tables tables = {0};
    unsigned flags = (at->config.create_tables ? EXAMINE_CREATE : 0U) |
                     (at->config.look_only ? EXAMINE_LOOK : 0U);
    code = code ? code : examine_tables(at->db, stream, flags, &tables, notes, err);
    if (code || tables.absent) {
        return code;
    }
    struct prepared *item = find_prepared(at, stream->name);
    if (!item) {
        item = calloc(1, sizeof *item);
        if (!item) {
            return err_set(err, ERR_NOMEM, 0, "no memory for a stream's tables");
        }
        item->next = at->prepared;
        at->prepared = item;
    }
    item->tables = tables;
    return prepare_fast(at, item, notes, err);
}

static int sink_position(struct sink *sink, const struct ledger_lane *lane,
                         struct ledger_row *out_row, struct err *err)
{
    struct sink_mariadb *at = self(sink);
    int code = check_usable(at, err);
    code = code ? code : db_begin(at->db, err);
    if (code) {
        return code;
    }
    code = ledger_read(at->db, lane, true, out_row, err);
    db_rollback(at->db); /* nothing was changed: it only lets go of the lock */
    return code;
}

/* ---- Applying -------------------------------------------------------------------- */

static struct ledger_row next_row(const struct apply_request *request)
{
    struct ledger_row next = *request->previous;
    next.found = true;
    next.position = request->last;
    next.records = request->last_records;
    next.retried = request->last_retried;
    next.given_up += request->given_up;
    return next;
}

static void count_fates(const struct apply_request *request, const uint8_t *fates,
                        struct apply_result *result)
{
    for (size_t i = 0; i < request->record_count; i++) {
        assert(fates[i] < FATE_COUNT);
        result->totals[fates[i]]++;
    }
    result->row.events += result->totals[FATE_NEW];
    result->row.duplicates += result->totals[FATE_DUPLICATE];
    result->row.conflicts += result->totals[FATE_CONFLICT];
}

/* One transaction in the making. */
struct transaction {
    struct apply_context context;
    struct apply_outcome outcome;
    struct apply_result result;
};

/* All of it but its begin and its end, the checked way where `fast` is NULL. On
 * ERR_IDENTITY the result's row is what the ledger says. */
static int work(struct transaction *now, struct fast *fast, struct err *err)
{
    const struct apply_context *context = &now->context;
    const struct apply_request *request = context->request;
    struct ledger_row next = next_row(request);
    struct ledger_row found = {0};
    int code = ledger_advance(context->db, &request->lane, request->previous, &next,
                              &found, err);
    if (code == ERR_IDENTITY) {
        now->result.row = found;
    }
    if (code == 0) {
        code = fast ? apply_fast(fast, context, &now->outcome, err)
                    : apply_checked(context, &now->outcome, err);
    }
    if (code) {
        return code;
    }
    now->result.row = next;
    now->result.entities_new = now->outcome.entities_new;
    count_fates(request, now->outcome.fates, &now->result);
    return ledger_count(context->db, &request->lane, &now->result.row, err);
}

static int begin(struct transaction *now, struct fast *fast, struct err *err)
{
    now->result = (struct apply_result){0};
    int code = db_begin(now->context.db, err);
    code = code ? code : work(now, fast, err);
    if (code) {
        db_rollback(now->context.db);
    }
    return code;
}

/* Could the checked way do it, or say better why not? */
static bool falls_back(const struct transaction *now, int code)
{
    return code && code != ERR_TRANSIENT && code != ERR_IDENTITY && code != ERR_NOMEM &&
           db_alive(now->context.db);
}

static int finish(struct transaction *now, struct err *err)
{
    const struct apply_request *request = now->context.request;
    int code = 0;
    if (!request->trial && request->before_commit) {
        code = request->before_commit(request->before_commit_context, now->outcome.fates,
                                      err);
    }
    if (code || request->trial) {
        db_rollback(now->context.db);
        return code;
    }
    code = db_commit(now->context.db, err);
    if (code) {
        db_rollback(now->context.db);
    }
    return code;
}

static bool goes_fast(const struct sink_mariadb *at, const struct prepared *prepared,
                      const struct apply_request *request)
{
    size_t least = at->config.fast_records_min;
    least = least ? least : FAST_RECORDS_MIN;
    size_t rows = request->statement_rows_max;
    return prepared->fast && !request->trial && request->record_count >= least &&
           (rows == 0 || rows >= FAST_STATEMENT_ROWS_MIN);
}

static int transact(struct transaction *now, const struct sink_mariadb *at,
                    const struct prepared *prepared, struct err *err)
{
    struct fast *known = prepared->fast;
    struct fast *fast = goes_fast(at, prepared, now->context.request) ? known : NULL;
    int code = begin(now, fast, err);
    if (fast && falls_back(now, code)) {
        fast_forget(fast, now->context.fold);
        fast = NULL;
        code = begin(now, NULL, err);
    }
    code = code ? code : finish(now, err);
    if (!known || now->context.request->trial) {
        return code;
    }
    if (code) {
        fast_forget(known, now->context.fold);
    } else if (fast) {
        fast_keep(fast);
    } else {
        fast_follow(known, now->context.fold);
    }
    return code;
}

/* The stream as prepared on this connection, and again where its tables were altered. */
static int find_usable(struct sink_mariadb *at, const struct stream *stream,
                       struct prepared **out_prepared, struct err *err)
{
    struct prepared *prepared = find_prepared(at, stream->name);
    if (!prepared || prepared->tables.stream != stream) {
        return err_set(err, ERR_INVALID, 0,
                       "stream %s was not prepared on this connection", stream->name);
    }
    *out_prepared = prepared;
    return prepared->fast && prepared->fast->altered ? prepare_again(at, prepared, err)
                                                     : 0;
}

static int apply_folded(struct sink_mariadb *at, struct prepared *prepared,
                        const struct apply_request *request, const struct fold *fold,
                        struct transaction *now, struct err *err)
{
    now->context = (struct apply_context){.db = at->db,
                                          .tables = &prepared->tables,
                                          .request = request,
                                          .fold = fold,
                                          .zone_offset_s = at->config.zone_offset_s};
    now->outcome.fates = malloc(request->record_count + 1);
    if (!now->outcome.fates) {
        return err_set(err, ERR_NOMEM, 0, "no memory to apply the records");
    }
    return transact(now, at, prepared, err);
}

static int sink_apply(struct sink *sink, const struct apply_request *request,
                      struct apply_result *out_result, uint8_t *fates, struct err *err)
{
    struct sink_mariadb *at = self(sink);
    struct prepared *prepared = NULL;
    struct transaction now = {0};
    struct fold own = {0};
    int code = check_usable(at, err);
    code = code ? code : find_usable(at, request->stream, &prepared, err);
    if (code == 0 && !request->fold) {
        code =
            fold_new(request->stream, request->records, request->record_count, &own, err);
    }
    if (code || !prepared) {
        return code;
    }
    const struct fold *fold = request->fold ? request->fold : &own;
    code = apply_folded(at, prepared, request, fold, &now, err);
    if (code == 0 || code == ERR_IDENTITY) {
        *out_result = now.result;
    }
    if (code == 0 && fates) {
        memcpy(fates, now.outcome.fates, request->record_count);
    }
    free(now.outcome.fates);
    fold_free(&own);
    return code;
}

/* ---- Life ------------------------------------------------------------------------ */

static void sink_abort(struct sink *sink)
{
    struct sink_mariadb *at = self(sink);
    pthread_mutex_lock(&at->lock);
    at->aborted = true;
    if (at->db) {
        db_abort(at->db);
    }
    pthread_mutex_unlock(&at->lock);
}

static void sink_free(struct sink *sink)
{
    if (sink) {
        sink_disconnect(sink);
        entity_cache_free(self(sink)->cache);
        pthread_mutex_destroy(&self(sink)->lock);
        free(sink);
    }
}

static int new_cache(struct sink_mariadb *at, struct err *err)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        return err_set(err, ERR_INTERNAL, 0, "no random seed for the entity cache");
    }
    return entity_cache_new(at->config.cache_bytes, seed, &at->cache, err);
}

int sink_mariadb_new(const struct sink_mariadb_config *config, struct sink **out_sink,
                     struct err *err)
{
    static const struct sink_ops ops = {
        .connect = sink_connect,
        .disconnect = sink_disconnect,
        .connected = sink_connected,
        .prepare = sink_prepare,
        .position = sink_position,
        .apply = sink_apply,
        .abort = sink_abort,
        .free = sink_free,
    };
    struct sink_mariadb *at = calloc(1, sizeof *at);
    if (!at || pthread_mutex_init(&at->lock, NULL)) {
        free(at);
        return err_set(err, ERR_NOMEM, 0, "no memory for a sink");
    }
    at->sink.ops = &ops;
    at->config = *config;
    int code = db_start(err);
    code = !code && config->cache_bytes ? new_cache(at, err) : code;
    if (code) {
        sink_free(&at->sink);
        return code;
    }
    *out_sink = &at->sink;
    return 0;
}
