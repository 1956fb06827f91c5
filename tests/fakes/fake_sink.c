#include "tests/fakes/fake_sink.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAULTS_MAX = 16, LANES_MAX = 64, KEY_MAX = 96, TYPE_MAX = 56 };

struct event {
    char stream[STREAM_NAME_MAX + 1];
    char key[KEY_MAX]; /* "<ip> <time>" */
    char type[TYPE_MAX];
};

struct row {
    char journal_id[JOURNAL_ID_TEXT];
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane;
    struct ledger_row row;
};

/* What a transaction changes and a snapshot holds. */
struct content {
    struct event *events;
    size_t event_count;
    uint64_t entity_events;
    struct row rows[LANES_MAX];
    size_t row_count;
};

struct fake_database {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct content content;
    struct content snapshot;
    struct fake_fault faults[FAULTS_MAX];
    size_t fault_count;
    fake_predicate *refuse;
    fake_predicate *together;
    char note[64];
    bool hang;
    size_t hanging;
    uint64_t calls[FAKE_TRIAL + 1];
    size_t largest;
    size_t statement_rows;
};

struct fake_sink {
    struct sink sink; /* first */
    struct fake_database *database;
    bool connected; /* the worker's own */
    const struct stream *prepared[LANES_MAX];
    size_t prepared_count;
    bool aborted; /* under the database's lock */
};

static void lock(struct fake_database *database)
{
    pthread_mutex_lock(&database->lock);
}

static void unlock(struct fake_database *database)
{
    pthread_mutex_unlock(&database->lock);
}

/* ---- Content --------------------------------------------------------------------- */

static void copy_content(struct content *to, const struct content *from)
{
    free(to->events);
    *to = *from;
    to->events = malloc((from->event_count + 1) * sizeof *to->events);
    assert(to->events);
    if (from->event_count) {
        memcpy(to->events, from->events, from->event_count * sizeof *to->events);
    }
}

static struct row *find_row(struct content *content, const char *journal_id,
                            const char *stream, uint32_t lane)
{
    for (size_t i = 0; i < content->row_count; i++) {
        struct row *row = &content->rows[i];
        if ((!journal_id || strcmp(row->journal_id, journal_id) == 0) &&
            strcmp(row->stream, stream) == 0 && row->lane == lane) {
            return row;
        }
    }
    return NULL;
}

static void put_row(struct content *content, const struct ledger_lane *lane,
                    const struct ledger_row *row)
{
    struct row *found = find_row(content, lane->journal_id, lane->stream, lane->lane);
    if (!found) {
        assert(content->row_count < LANES_MAX);
        found = &content->rows[content->row_count++];
        snprintf(found->journal_id, sizeof found->journal_id, "%s", lane->journal_id);
        snprintf(found->stream, sizeof found->stream, "%s", lane->stream);
        found->lane = lane->lane;
    }
    found->row = *row;
}

static struct event describe(const struct stream *stream, const struct value *values)
{
    struct event event = {0};
    struct buf key = {0};
    value_append_text(&key, &values[stream->key_field]);
    buf_append_char(&key, ' ');
    value_append_text(&key, &values[stream->time_field]);
    snprintf(event.key, sizeof event.key, "%s", buf_text(&key));
    buf_free(&key);
    int type = stream_field_find(stream, SLICE_LITERAL("event_type"));
    if (type >= 0 && values[type].type == VALUE_TEXT) {
        snprintf(event.type, sizeof event.type, "%.*s", (int)values[type].text.len,
                 values[type].text.data);
    }
    snprintf(event.stream, sizeof event.stream, "%s", stream->name);
    return event;
}

static enum record_fate insert(struct content *content, const struct event *event)
{
    for (size_t i = 0; i < content->event_count; i++) {
        const struct event *found = &content->events[i];
        if (strcmp(found->key, event->key) == 0 &&
            strcmp(found->stream, event->stream) == 0) {
            return strcmp(found->type, event->type) == 0 ? FATE_DUPLICATE : FATE_CONFLICT;
        }
    }
    struct event *events =
        realloc(content->events, (content->event_count + 1) * sizeof *events);
    assert(events);
    content->events = events;
    content->events[content->event_count++] = *event;
    content->entity_events++;
    return FATE_NEW;
}

/* ---- Faults ---------------------------------------------------------------------- */

/* The fault that hits this call, if any. Under the lock. */
static bool take_fault(struct fake_database *database, enum fake_call call,
                       const char *stream, size_t records, struct fake_fault *out_fault)
{
    database->calls[call]++;
    for (size_t i = 0; i < database->fault_count; i++) {
        struct fake_fault *fault = &database->faults[i];
        bool large = fault->over_records == 0 || records > fault->over_records;
        bool named = !fault->stream || (stream && strcmp(fault->stream, stream) == 0);
        bool meant = fault->call == call && large && named;
        if (!meant) {
            continue;
        }
        if (fault->after) {
            fault->after--;
            continue;
        }
        *out_fault = *fault;
        if (fault->times && --fault->times == 0) {
            database->faults[i] = database->faults[--database->fault_count];
        }
        return true;
    }
    return false;
}

static int fail(struct fake_sink *at, const struct fake_fault *fault, struct err *err)
{
    if (fault->disconnect) {
        at->connected = false;
        at->prepared_count = 0;
    }
    return err_set(err, fault->code, 0, "scripted: %s", err_name(fault->code));
}

/* ---- The sink -------------------------------------------------------------------- */

static struct fake_sink *self(struct sink *sink)
{
    return (struct fake_sink *)sink;
}

static int begin_call(struct fake_sink *at, struct err *err)
{
    lock(at->database);
    bool aborted = at->aborted;
    unlock(at->database);
    if (aborted) {
        return err_set(err, ERR_CLOSED, 0, "aborted");
    }
    if (!at->connected) {
        return err_set(err, ERR_TRANSIENT, 0, "not connected");
    }
    return ERR_OK;
}

static void sink_disconnect(struct sink *sink)
{
    self(sink)->connected = false;
    self(sink)->prepared_count = 0;
}

static int sink_connect(struct sink *sink, struct err *err)
{
    struct fake_sink *at = self(sink);
    struct fake_fault fault;
    sink_disconnect(sink);
    lock(at->database);
    bool aborted = at->aborted;
    bool hit = take_fault(at->database, FAKE_CONNECT, NULL, 0, &fault);
    unlock(at->database);
    if (aborted) {
        return err_set(err, ERR_CLOSED, 0, "aborted");
    }
    if (hit) {
        return fail(at, &fault, err);
    }
    at->connected = true;
    return ERR_OK;
}

static bool sink_connected(const struct sink *sink)
{
    return ((const struct fake_sink *)sink)->connected;
}

static int sink_prepare(struct sink *sink, const struct stream *stream, struct buf *notes,
                        struct err *err)
{
    struct fake_sink *at = self(sink);
    struct fake_fault fault;
    int code = begin_call(at, err);
    if (code) {
        return code;
    }
    lock(at->database);
    bool hit = take_fault(at->database, FAKE_PREPARE, stream->name, 0, &fault);
    buf_append_text(notes, at->database->note);
    unlock(at->database);
    if (hit) {
        return fail(at, &fault, err);
    }
    assert(at->prepared_count < LANES_MAX);
    at->prepared[at->prepared_count++] = stream;
    return ERR_OK;
}

static int sink_position(struct sink *sink, const struct ledger_lane *lane,
                         struct ledger_row *out_row, struct err *err)
{
    struct fake_sink *at = self(sink);
    struct fake_fault fault;
    int code = begin_call(at, err);
    if (code) {
        return code;
    }
    lock(at->database);
    bool hit = take_fault(at->database, FAKE_POSITION, lane->stream, 0, &fault);
    struct row *row =
        find_row(&at->database->content, lane->journal_id, lane->stream, lane->lane);
    *out_row = row ? row->row : (struct ledger_row){0};
    unlock(at->database);
    return hit ? fail(at, &fault, err) : ERR_OK;
}

/* Under the lock: waits where the test says so. False: aborted. */
static bool pass_hang(struct fake_sink *at)
{
    struct fake_database *database = at->database;
    database->hanging += database->hang;
    pthread_cond_broadcast(&database->changed);
    while (database->hang && !at->aborted) {
        pthread_cond_wait(&database->changed, &database->lock);
    }
    return !at->aborted;
}

static bool is_at(const struct ledger_row *a, const struct ledger_row *b)
{
    return a->found == b->found && a->position.seq == b->position.seq &&
           memcmp(a->position.sum, b->position.sum, JOURNAL_SUM_LEN) == 0;
}

static int check_values(const struct fake_database *database,
                        const struct apply_request *request, struct err *err)
{
    size_t together = 0;
    for (size_t i = 0; i < request->record_count; i++) {
        const struct value *values = request->records[i].values;
        struct event event = describe(request->stream, values);
        together += database->together && database->together(request->stream, values);
        bool bad = database->refuse && database->refuse(request->stream, values);
        if (bad || together > 1) {
            return err_set(err, ERR_DATA, 1406, "bad value at %s", event.key);
        }
    }
    return ERR_OK;
}

/* Everything but COMMIT, in `work`, a copy of the content. Under the lock. */
static int transact(struct fake_sink *at, const struct apply_request *request,
                    struct content *work, struct apply_result *result, uint8_t *fates,
                    struct err *err)
{
    struct row *row = find_row(work, request->lane.journal_id, request->lane.stream,
                               request->lane.lane);
    struct ledger_row now = row ? row->row : (struct ledger_row){0};
    if (!is_at(&now, request->previous)) {
        result->row = now;
        return err_set(err, ERR_IDENTITY, 0, "the ledger is at entry %llu",
                       (unsigned long long)now.position.seq);
    }
    int code = check_values(at->database, request, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < request->record_count; i++) {
        struct event event = describe(request->stream, request->records[i].values);
        fates[i] = (uint8_t)insert(work, &event);
        result->totals[fates[i]]++;
    }
    now.found = true;
    now.position = request->last;
    now.records = request->last_records;
    now.retried = request->last_retried;
    now.given_up += request->given_up;
    now.events += result->totals[FATE_NEW];
    now.duplicates += result->totals[FATE_DUPLICATE];
    now.conflicts += result->totals[FATE_CONFLICT];
    put_row(work, &request->lane, &now);
    result->row = now;
    return ERR_OK;
}

static void commit(struct fake_database *database, const struct apply_request *request,
                   struct content *work)
{
    struct content before = database->content;
    database->content = *work;
    *work = before;
    if (request->record_count > database->largest) {
        database->largest = request->record_count;
    }
    database->statement_rows = request->statement_rows_max;
}

/* Under the lock, but for the request's own callback. */
static int run(struct fake_sink *at, const struct apply_request *request,
               struct apply_result *result, uint8_t *fates, struct err *err)
{
    struct fake_database *database = at->database;
    struct content work = {0};
    struct fake_fault fault = {0};
    enum fake_call call = request->trial ? FAKE_TRIAL : FAKE_APPLY;
    bool hit =
        take_fault(database, call, request->stream->name, request->record_count, &fault);
    copy_content(&work, &database->content);
    int code = transact(at, request, &work, result, fates, err);
    if (!code && !request->trial && request->before_commit) {
        unlock(database);
        code = request->before_commit(request->before_commit_context, fates, err);
        lock(database);
    }
    if (!code && !request->trial && (!hit || fault.committed)) {
        commit(database, request, &work);
    }
    if (!code && hit) {
        code = fail(at, &fault, err);
    }
    free(work.events);
    return code;
}

static int sink_apply(struct sink *sink, const struct apply_request *request,
                      struct apply_result *out_result, uint8_t *fates, struct err *err)
{
    struct fake_sink *at = self(sink);
    struct apply_result result = {0};
    int code = begin_call(at, err);
    if (code) {
        return code;
    }
    bool prepared = false;
    for (size_t i = 0; i < at->prepared_count; i++) {
        prepared = prepared || at->prepared[i] == request->stream;
    }
    assert(prepared);
    uint8_t *found = malloc(request->record_count + 1);
    assert(found);
    lock(at->database);
    if (request->trial || pass_hang(at)) {
        code = run(at, request, &result, found, err);
    } else {
        struct fake_fault cut = {.code = ERR_UNKNOWN, .disconnect = true};
        code = fail(at, &cut, err);
    }
    unlock(at->database);
    if (code == ERR_OK && fates) {
        memcpy(fates, found, request->record_count);
    }
    free(found);
    *out_result = result;
    return code;
}

static void sink_abort(struct sink *sink)
{
    struct fake_sink *at = self(sink);
    lock(at->database);
    at->aborted = true;
    pthread_cond_broadcast(&at->database->changed);
    unlock(at->database);
}

static void sink_free(struct sink *sink)
{
    free(sink);
}

int fake_sink_new(void *context, struct sink **out_sink, struct err *err)
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
    (void)err;
    struct fake_sink *at = calloc(1, sizeof *at);
    assert(at);
    at->sink.ops = &ops;
    at->database = context;
    *out_sink = &at->sink;
    return ERR_OK;
}

/* ---- The database ---------------------------------------------------------------- */

struct fake_database *fake_new(void)
{
    struct fake_database *database = calloc(1, sizeof *database);
    assert(database);
    pthread_mutex_init(&database->lock, NULL);
    pthread_cond_init(&database->changed, NULL);
    return database;
}

void fake_free(struct fake_database *database)
{
    free(database->content.events);
    free(database->snapshot.events);
    pthread_cond_destroy(&database->changed);
    pthread_mutex_destroy(&database->lock);
    free(database);
}

void fake_fault(struct fake_database *database, const struct fake_fault *fault)
{
    lock(database);
    assert(database->fault_count < FAULTS_MAX);
    database->faults[database->fault_count++] = *fault;
    unlock(database);
}

void fake_heal(struct fake_database *database)
{
    lock(database);
    database->fault_count = 0;
    unlock(database);
}

void fake_refuse(struct fake_database *database, fake_predicate *predicate)
{
    lock(database);
    database->refuse = predicate;
    unlock(database);
}

void fake_refuse_together(struct fake_database *database, fake_predicate *predicate)
{
    lock(database);
    database->together = predicate;
    unlock(database);
}

void fake_note(struct fake_database *database, const char *note)
{
    lock(database);
    snprintf(database->note, sizeof database->note, "%s", note);
    unlock(database);
}

void fake_hang(struct fake_database *database)
{
    lock(database);
    database->hang = true;
    database->hanging = 0;
    unlock(database);
}

void fake_await_hanging(struct fake_database *database)
{
    lock(database);
    while (!database->hanging) {
        pthread_cond_wait(&database->changed, &database->lock);
    }
    unlock(database);
}

void fake_release(struct fake_database *database)
{
    lock(database);
    database->hang = false;
    pthread_cond_broadcast(&database->changed);
    unlock(database);
}

void fake_snapshot(struct fake_database *database)
{
    lock(database);
    copy_content(&database->snapshot, &database->content);
    unlock(database);
}

void fake_rewind(struct fake_database *database)
{
    lock(database);
    copy_content(&database->content, &database->snapshot);
    unlock(database);
}

void fake_drop_ledger(struct fake_database *database)
{
    lock(database);
    database->content.row_count = 0;
    unlock(database);
}

size_t fake_events(struct fake_database *database)
{
    lock(database);
    size_t count = database->content.event_count;
    unlock(database);
    return count;
}

uint64_t fake_entity_events(struct fake_database *database)
{
    lock(database);
    uint64_t count = database->content.entity_events;
    unlock(database);
    return count;
}

bool fake_has_event(struct fake_database *database, const char *key)
{
    lock(database);
    bool found = false;
    for (size_t i = 0; i < database->content.event_count; i++) {
        found = found || strcmp(database->content.events[i].key, key) == 0;
    }
    unlock(database);
    return found;
}

struct ledger_row fake_ledger(struct fake_database *database, const char *stream,
                              uint32_t lane)
{
    lock(database);
    struct row *row = find_row(&database->content, NULL, stream, lane);
    struct ledger_row found = row ? row->row : (struct ledger_row){0};
    unlock(database);
    return found;
}

void fake_set_ledger(struct fake_database *database, const char *journal_id,
                     const char *stream, uint32_t lane, const struct ledger_row *row)
{
    struct ledger_lane at = {journal_id, stream, lane};
    lock(database);
    put_row(&database->content, &at, row);
    unlock(database);
}

uint64_t fake_calls(struct fake_database *database, enum fake_call call)
{
    lock(database);
    uint64_t calls = database->calls[call];
    unlock(database);
    return calls;
}

size_t fake_largest_apply(struct fake_database *database)
{
    lock(database);
    size_t largest = database->largest;
    unlock(database);
    return largest;
}

size_t fake_last_statement_rows(struct fake_database *database)
{
    lock(database);
    size_t rows = database->statement_rows;
    unlock(database);
    return rows;
}
