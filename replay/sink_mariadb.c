/* replay/sink_mariadb.c: the sink that writes to MariaDB or MySQL.
 *
 * One transaction: fold in memory (no lock is held yet), BEGIN, the ledger's
 * compare-and-set, the entities and events by one of the ways in replay/apply.h, the
 * ledger's counts, COMMIT; a trial rolls back instead. Any error before COMMIT rolls
 * back; a COMMIT that fails without the server having said why is ERR_UNKNOWN, and the
 * connection is closed, so that the server lets go of the locks and the next connection
 * reads the truth in the ledger.
 */
#include "replay/apply.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* What prepare found out about one stream on the present connection. */
struct prepared {
    struct prepared *next;
    struct sink_tables tables;
};

struct sink_mariadb {
    struct sink sink; /* first, so that a sink's address is ours */
    struct sink_mariadb_config config;
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
    int code = db_connect(at->config.db, at->config.hosts, &db, err);
    if (code == 0) {
        set_db(at, db);
    }
    return code;
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

/* ---- Preparing -----------------------------------------------------------------------
 */

static struct prepared *find_prepared(struct sink_mariadb *at, const char *stream)
{
    struct prepared *item = at->prepared;
    while (item && strcmp(item->tables.stream->name, stream) != 0) {
        item = item->next;
    }
    return item;
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
    code = code ? code
                : examine_tables(at->db, stream, at->config.create_tables, &tables, notes,
                                 err);
    if (code) {
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
    return 0;
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

/* ---- Applying
 * -------------------------------------------------------------------------- */

static struct ledger_row next_row(const struct apply_request *request)
{
    struct ledger_row next = *request->previous;
    next.found = true;
    next.position = request->last;
    next.records = request->last_records;
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

/* All of the transaction but its begin and its end. On ERR_IDENTITY result->row is what
 * the ledger says. */
static int work(const struct apply_context *context, struct apply_outcome *outcome,
                struct apply_result *result, struct err *err)
{
    const struct apply_request *request = context->request;
    struct ledger_row next = next_row(request);
    struct ledger_row found = {0};
    int code = ledger_advance(context->db, &request->lane, request->previous, &next,
                              &found, err);
    if (code == ERR_IDENTITY) {
        result->row = found;
    }
    code = code ? code : apply_checked(context, outcome, err);
    if (code) {
        return code;
    }
    result->row = next;
    result->entities_new = outcome->entities_new;
    count_fates(request, outcome->fates, result);
    return ledger_count(context->db, &request->lane, &result->row, err);
}

static int transact(const struct apply_context *context, struct apply_outcome *outcome,
                    struct apply_result *result, struct err *err)
{
    int code = db_begin(context->db, err);
    if (code) {
        return code;
    }
    const struct apply_request *request = context->request;
    code = work(context, outcome, result, err);
    if (code == 0 && !request->trial && request->before_commit) {
        code =
            request->before_commit(request->before_commit_context, outcome->fates, err);
    }
    if (code || request->trial) {
        db_rollback(context->db);
        return code;
    }
    code = db_commit(context->db, err);
    if (code) {
        db_rollback(context->db);
    }
    return code;
}

static int sink_apply(struct sink *sink, const struct apply_request *request,
                      struct apply_result *out_result, uint8_t *fates, struct err *err)
{
    struct sink_mariadb *at = self(sink);
    int code = check_usable(at, err);
    if (code) {
        return code;
    }
    const struct prepared *prepared = find_prepared(at, request->stream->name);
    if (!prepared || prepared->tables.stream != request->stream) {
        return err_set(err, ERR_INVALID, 0,
                       "stream %s was not prepared on this connection",
                       request->stream->name);
    }
    struct fold fold = {0};
    code = fold_new(request->stream, request->records, request->record_count, &fold, err);
    if (code) {
        return code;
    }
    struct apply_context context = {.db = at->db,
                                    .tables = &prepared->tables,
                                    .request = request,
                                    .fold = &fold,
                                    .zone_offset_s = at->config.zone_offset_s};
    struct apply_outcome outcome = {.fates = malloc(request->record_count + 1)};
    if (!outcome.fates) {
        fold_free(&fold);
        return err_set(err, ERR_NOMEM, 0, "no memory to apply the records");
    }
    struct apply_result result = {0};
    code = transact(&context, &outcome, &result, err);
    if (code == 0 || code == ERR_IDENTITY) {
        *out_result = result;
    }
    if (code == 0 && fates) {
        memcpy(fates, outcome.fates, request->record_count);
    }
    free(outcome.fates);
    fold_free(&fold);
    return code;
}

/* ---- Life
 * -------------------------------------------------------------------------------- */

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
        pthread_mutex_destroy(&self(sink)->lock);
        free(sink);
    }
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
    *out_sink = &at->sink;
    return 0;
}
