/* engine/http_records.c
 *
 * The connection is suspended before the batch goes to the journal, since `done` may come
 * at once. It is resumed when the batch is durable or refused, or, with ?wait=applied,
 * when all its entries are applied or time is up. A client that has gone meanwhile is
 * noticed only then: the batch lands all the same.
 */
#include "engine/http_records.h"
#include "engine/gzip.h"

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

static const char *header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static const char *argument(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Replaces a packed body by its inflated text. */
static int inflate_body(struct request *request, struct err *err)
{
    const char *encoding = header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    if (!encoding || strcasecmp(encoding, "identity") == 0) {
        return ERR_OK;
    }
    struct buf text = {.max = engine_config(request->http->engine)->intake.body_max};
    int code = gzip_inflate(buf_slice(&request->body), &text, err);
    if (code != ERR_OK) {
        buf_free(&text);
        return code;
    }
    buf_free(&request->body);
    request->body = text;
    return ERR_OK;
}

static int check_key(struct slice key, struct err *err)
{
    bool valid = key.len <= KEY_MAX;
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
    const char *wait = argument(request, "wait");
    const char *timeout = argument(request, "timeout");
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

static int prepare(struct request *request, struct err *err)
{
    struct engine *engine = request->http->engine;
    const char *key = header(request, "Idempotency-Key");
    uint8_t scope[2 * DIGEST_BODY_LEN];
    memcpy(scope, request->scope, DIGEST_BODY_LEN);
    digest_body(slice_text(request->path), scope + DIGEST_BODY_LEN);
    struct intake_source source = {
        .stream = request->tail.len ? config_stream(engine_config(engine), request->tail)
                                    : NULL,
        .idempotency_key = slice_text(key ? key : ""),
        .scope = slice_of(scope, sizeof scope),
    };
    if (key && key[0] == '\0') {
        return err_set(err, ERR_INVALID, 0, "Idempotency-Key is empty");
    }
    int code = check_key(source.idempotency_key, err);
    code = code ? code : read_wait(request, err);
    code = code ? code : inflate_body(request, err);
    source.body = buf_slice(&request->body);
    return code ? code
                : intake_prepare(engine_intake_rules(engine), &source, &request->batch,
                                 err);
}

static void resume(struct request *request)
{
    /* after this the request may be gone */
    struct http *http = request->http;
    MHD_resume_connection(request->connection);
    atomic_fetch_sub(&http->waiting, 1);
}

static void on_applied(void *context, bool applied)
{
    struct request *request = context;
    request->applied = applied;
    resume(request);
}

static void on_durable(struct intake_batch *batch, void *context)
{
    struct request *request = context;
    const struct intake_result *result = intake_batch_result(batch);
    struct engine_wait wait = {.entries = result->entries,
                               .count = result->entry_count,
                               .deadline_us = request->applied_deadline_us,
                               .done = on_applied,
                               .context = request};
    bool asked =
        request->applied_deadline_us && result->err.code == ERR_OK && !result->replayed;
    if (!asked || engine_when_applied(request->http->engine, &wait, NULL) != ERR_OK) {
        resume(request);
    }
}

enum MHD_Result http_records_run(struct request *request)
{
    struct err err = {0};
    int code = prepare(request, &err);
    if (code != ERR_OK) {
        return request_refuse(request, status_of(&err), &err);
    }
    request->state = REQUEST_WAITING;
    atomic_fetch_add(&request->http->waiting, 1);
    MHD_suspend_connection(request->connection);
    intake_submit(request->batch, engine_journal(request->http->engine), on_durable,
                  request);
    return MHD_YES;
}

enum MHD_Result http_records_finish(struct request *request)
{
    const struct intake_result *result = intake_batch_result(request->batch);
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
