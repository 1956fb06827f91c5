/* engine/http_records.c
 *
 * The connection is suspended before the batch goes to the journal, since `done` may come
 * at once, and resumed when the batch is durable or refused. With ?wait=applied it is
 * suspended a second time, by its own thread and not by the journal's writer, until all
 * entries are applied or time is up. A client that has gone meanwhile is noticed only
 * then: the batch lands all the same.
 */
#include "engine/http_records.h"
#include "engine/batches.h"
#include "engine/gzip.h"

#include "base/log.h"

#include <stdlib.h>
#include <strings.h>

enum { KEY_MAX = 200, WAIT_S_DEFAULT = 10, WAIT_S_MAX = 300 };

/* Codes that are the request's own fault; every other is a 503: send it again later. */
static unsigned status_of(const struct err *err)
{
    static const struct {
        enum err_code code;
        unsigned status;
    } table[] = {
        {ERR_INVALID, MHD_HTTP_BAD_REQUEST},
        {ERR_TOO_LARGE, MHD_HTTP_CONTENT_TOO_LARGE},
        {ERR_KEY_REUSED, MHD_HTTP_UNPROCESSABLE_CONTENT},
        {ERR_BUSY, MHD_HTTP_TOO_MANY_REQUESTS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].code == err->code) {
            return table[i].status;
        }
    }
    return MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* Replaces a packed body by its inflated text. */
static int inflate_body(struct request *request, struct err *err)
{
    /* told by its first bytes, as JSON and CSV are, whatever the headers say */
    const char *encoding = request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    bool named = encoding && strcasecmp(encoding, "identity") != 0;
    if (!named && !gzip_is(buf_slice(&request->body))) {
        return ERR_OK;
    }
    struct buf text = {.max = engine_config(request->http->engine)->intake.body_max};
    int code = gzip_inflate(buf_slice(&request->body), &text, err);
    buf_free(&request->body);
    request->body = text;
    if (code == ERR_TOO_LARGE) {
        return err_set(err, code, 0,
                       "the body is larger than intake.max_body (%zu bytes) when it is "
                       "inflated; send it in parts",
                       text.max);
    }
    if (code == ERR_OK && !request_hold(request, text.capacity)) {
        return err_set(err, ERR_RESOURCE, 0,
                       "all bodies in hand take intake.max_bodies already; send it again "
                       "later");
    }
    return code;
}

static int check_key(struct slice key, struct err *err)
{
    bool valid = key.len > 0 && key.len <= KEY_MAX;
    for (size_t i = 0; i < key.len && valid; i++) {
        valid = key.data[i] > ' ' && key.data[i] < 0x7f;
    }
    if (!valid) {
        return err_set(err, ERR_INVALID, 0,
                       "Idempotency-Key must be 1 to %d visible ASCII characters",
                       KEY_MAX);
    }
    return ERR_OK;
}

/* wait=applied and timeout=S. */
static int read_wait(struct request *request, struct err *err)
{
    const char *wait = request_argument(request, "wait");
    const char *timeout = request_argument(request, "timeout");
    long seconds = WAIT_S_DEFAULT;
    request->applied = -1;
    if (!wait) {
        return ERR_OK;
    }
    if (strcmp(wait, "applied") != 0) {
        return err_set(err, ERR_INVALID, 0, "wait must be 'applied'");
    }
    if (timeout) {
        char *end;
        seconds = strtol(timeout, &end, 10);
        if (*end || end == timeout || seconds < 0 || seconds > WAIT_S_MAX) {
            return err_set(err, ERR_INVALID, 0, "timeout must be 0 to %d seconds",
                           WAIT_S_MAX);
        }
    }
    request->applied = 0;
    request->applied_deadline_us = clock_steady_us(&clock_system) + seconds * 1000000;
    return ERR_OK;
}

/* A batch that is known by its key needs no second look. ERR_OK: request->batch is its
 * first answer, if it holds one, or is ready to be submitted. */
static int prepare(struct request *request, bool *out_known, struct err *err)
{
    struct engine *engine = request->http->engine;
    const struct intake_rules *rules = engine_intake_rules(engine);
    const char *key = request_header(request, "Idempotency-Key");
    uint8_t scope[2 * DIGEST_BODY_LEN];
    memcpy(scope, request->scope, DIGEST_BODY_LEN);
    digest_body(slice_text(request->path), scope + DIGEST_BODY_LEN);
    struct intake_source source = {
        .stream = request->tail.len ? config_stream(engine_config(engine), request->tail)
                                    : NULL,
        .idempotency_key = slice_text(key ? key : ""),
        .scope = slice_of(scope, sizeof scope),
    };
    int code = key ? check_key(source.idempotency_key, err) : ERR_OK;
    code = code ? code : read_wait(request, err);
    code = code ? code : inflate_body(request, err);
    if (code != ERR_OK) {
        return code;
    }
    source.body = buf_slice(&request->body);
    code = intake_recall(rules, &source, engine_journal(engine), &request->batch, err);
    *out_known = code == ERR_OK;
    if (code != ERR_NOT_FOUND) {
        return code;
    }
    code = intake_prepare(rules, &source, &request->batch, err);
    if (code == ERR_OK &&
        !request_hold(request, intake_batch_letter_bytes(request->batch))) {
        return err_set(err, ERR_RESOURCE, 0,
                       "all bodies in hand take intake.max_bodies already; send it again "
                       "later");
    }
    return code;
}

static void on_durable(struct intake_batch *batch, void *context)
{
    (void)batch;
    request_resume(context);
}

static void on_applied(void *context, bool applied)
{
    struct request *request = context;
    request->applied = applied;
    request_resume(request);
}

enum MHD_Result http_records_run(struct request *request)
{
    struct err err = {0};
    bool known = false;
    int code = prepare(request, &known, &err);
    if (code != ERR_OK) {
        return request_refuse(request, status_of(&err), &err);
    }
    if (known) {
        return http_records_committed(request);
    }
    if (!request_suspend(request, REQUEST_COMMITTING)) {
        err_set(&err, ERR_CLOSED, 0, "shutting down; send it again later");
        return request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    intake_submit(request->batch, engine_journal(request->http->engine), on_durable,
                  request);
    return MHD_YES;
}

/* False: nobody will call on_applied; request->applied says how it is. */
static bool wait_for_entries(struct request *request, const struct batch *batch)
{
    struct intake_entry *entries = calloc(batch->pending_count, sizeof *entries);
    if (!entries) {
        return false;
    }
    for (size_t i = 0; i < batch->pending_count; i++) {
        const struct batch_entry *pending = &batch->pending[i];
        const struct stream *stream = config_stream(engine_config(request->http->engine),
                                                    slice_text(pending->stream));
        if (!stream) { /* not configured any more: it won't be applied soon */
            free(entries);
            return false;
        }
        entries[i] = pending->entry;
        entries[i].stream = stream->name; /* outlives the wait */
    }
    struct engine_wait wait = {.entries = entries,
                               .count = batch->pending_count,
                               .deadline_us = request->applied_deadline_us,
                               .done = on_applied,
                               .context = request};
    bool suspended = request_suspend(request, REQUEST_APPLYING);
    if (suspended && engine_when_applied(request->http->engine, &wait, NULL) != ERR_OK) {
        request_resume(request); /* too many wait: it is durable, and that is said */
    }
    free(entries);
    return suspended;
}

static bool wait_until_applied(struct request *request)
{
    struct batch batch;
    struct err err = {0};
    uint64_t seq = intake_batch_result(request->batch)->seq;
    if (batch_read(engine_journal(request->http->engine), seq, &batch, &err) != ERR_OK) {
        return false;
    }
    request->applied = batch.pending_count == 0;
    /* it is durable: whoever waits long for the database takes no room from others */
    request_drop_body(request);
    intake_batch_shrink(request->batch);
    bool waits = batch.pending_count > 0 && !atomic_load(&request->http->stopping) &&
                 wait_for_entries(request, &batch);
    batch_free(&batch);
    return waits;
}

enum MHD_Result http_records_committed(struct request *request)
{
    bool asked = request->applied_deadline_us != 0 &&
                 intake_batch_result(request->batch)->err.code == ERR_OK;
    if (asked && wait_until_applied(request)) {
        return MHD_YES;
    }
    return http_records_answer(request);
}

/* An operator looks for when it began and ended, not for each refusal. At the border
 * batches are refused and taken in turns: it has ended once none was refused for a while.
 */
static void note_refusal(struct http *http, const struct err *err)
{
    enum { QUIET_US = 1000000 };
    int64_t now_us = clock_steady_us(&clock_system);
    if (err->code != ERR_OK && status_of(err) == MHD_HTTP_SERVICE_UNAVAILABLE) {
        atomic_store(&http->refused_us, now_us);
        if (!atomic_exchange(&http->refusing, true)) {
            log_warn("intake_refuses", L_CODE(err), L_ERR(err));
        }
    } else if (err->code == ERR_OK && atomic_load(&http->refusing) &&
               now_us - atomic_load(&http->refused_us) >= QUIET_US &&
               atomic_exchange(&http->refusing, false)) {
        log_info("intake_takes_again",
                 L_STR("journal", engine_config(http->engine)->journal.path));
    }
}

enum MHD_Result http_records_answer(struct request *request)
{
    const struct intake_result *result = intake_batch_result(request->batch);
    note_refusal(request->http, &result->err);
    if (result->err.code != ERR_OK) {
        return request_refuse(request, status_of(&result->err), &result->err);
    }
    struct buf answer = {0};
    intake_answer(request->batch, journal_id(engine_journal(request->http->engine)),
                  request->applied, &answer);
    enum MHD_Result queued = answer.failed
                                 ? MHD_NO
                                 : request_answer(request, MHD_HTTP_OK,
                                                  "application/json", buf_slice(&answer));
    buf_free(&answer);
    return queued;
}
