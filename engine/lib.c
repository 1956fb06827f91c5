/* holdfast.h over the engine: the same intake, journal and replay as `serve`, without
 * HTTP. */
#include "engine/engine.h"
#include "engine/holdfast.h"
#include "engine/ingest_key.h"
#include "holdfast_version.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLOSE_TIMEOUT_US = 5000000 };

struct holdfast {
    struct config *config;
    struct engine *engine;
};

static enum holdfast_code code_of(enum err_code code)
{
    static const enum holdfast_code codes[] = {
        [ERR_OK] = HOLDFAST_OK,
        [ERR_INVALID] = HOLDFAST_INVALID,
        [ERR_TOO_LARGE] = HOLDFAST_INVALID,
        [ERR_NOT_FOUND] = HOLDFAST_CONFIG, /* the configuration's file */
        [ERR_KEY_REUSED] = HOLDFAST_KEY_REUSED,
        [ERR_NOMEM] = HOLDFAST_AGAIN,
        [ERR_FULL] = HOLDFAST_AGAIN,
        [ERR_BUSY] = HOLDFAST_AGAIN,
        [ERR_TIMEOUT] = HOLDFAST_AGAIN,
        [ERR_UNKNOWN] = HOLDFAST_UNKNOWN,
        [ERR_CLOSED] = HOLDFAST_AGAIN,
        [ERR_LOCKED] = HOLDFAST_AGAIN,
        [ERR_CONFIG] = HOLDFAST_CONFIG,
        [ERR_INTERNAL] = HOLDFAST_FAILED,
    };
    size_t at = (size_t)code;
    bool listed = at < sizeof codes / sizeof codes[0] &&
                  (codes[at] != HOLDFAST_OK || code == ERR_OK);
    return listed ? codes[at] : HOLDFAST_FAILED;
}

static enum holdfast_code fail(enum holdfast_code code, const char *message, char *error,
                               size_t error_size)
{
    if (error && error_size) {
        snprintf(error, error_size, "%s", message);
    }
    return code;
}

static enum holdfast_code fail_err(const struct err *err, char *error, size_t error_size)
{
    return fail(code_of(err->code), err->message, error, error_size);
}

/* ---- Opening and closing --------------------------------------------------------- */

enum holdfast_code holdfast_open(const char *config_path, struct holdfast **out,
                                 char *error, size_t error_size)
{
    struct err err = {0};
    struct holdfast *holdfast = calloc(1, sizeof *holdfast);
    if (!holdfast || !config_path || !out) {
        free(holdfast);
        return holdfast ? fail(HOLDFAST_INVALID,
                               "a path and a place for the handle are "
                               "needed",
                               error, error_size)
                        : fail(HOLDFAST_AGAIN, "out of memory", error, error_size);
    }
    int code = config_load(config_path, &holdfast->config, &err);
    if (!code) {
        log_setup(holdfast->config->log_level, holdfast->config->log_format,
                  STDERR_FILENO);
        code = engine_open(holdfast->config, &holdfast->engine, &err);
    }
    if (code) {
        config_free(holdfast->config);
        free(holdfast);
        return fail_err(&err, error, error_size);
    }
    *out = holdfast;
    return HOLDFAST_OK;
}

void holdfast_close(struct holdfast *holdfast)
{
    if (holdfast) {
        engine_close(holdfast->engine, CLOSE_TIMEOUT_US);
        config_free(holdfast->config);
        free(holdfast);
    }
}

const char *holdfast_version(void)
{
    return HOLDFAST_VERSION;
}

/* ---- Taking records -------------------------------------------------------------- */

/* What both ways of submitting begin with. */
static enum holdfast_code prepare(struct holdfast *holdfast, const char *stream,
                                  struct slice body, const char *idempotency_key,
                                  struct intake_batch **out_batch, struct err *err)
{
    const struct stream *found =
        stream ? config_stream(holdfast->config, slice_text(stream)) : NULL;
    if (!found) {
        err_set(err, ERR_NOT_FOUND, 0, "no stream '%s' is configured",
                stream ? stream : "");
        return HOLDFAST_NO_STREAM;
    }
    if (body.len > holdfast->config->intake.body_max) {
        return code_of(
            err_set(err, ERR_TOO_LARGE, 0, "the body is larger than intake.max_body"));
    }
    char path[96];
    uint8_t scope[INGEST_SCOPE_LEN];
    snprintf(path, sizeof path, "/v1/streams/%s/records", found->name);
    ingest_scope(path, scope);
    struct intake_source source = {
        .stream = found,
        .body = body,
        .idempotency_key = slice_text(idempotency_key ? idempotency_key : ""),
        .scope = slice_of(scope, sizeof scope),
    };
    int code =
        intake_prepare(engine_intake_rules(holdfast->engine), &source, out_batch, err);
    return code_of(code);
}

static struct holdfast_receipt receipt_of(const struct intake_result *result)
{
    return (struct holdfast_receipt){
        .seq = result->seq,
        .accepted = result->accepted,
        .dead_lettered = result->dead_lettered,
        .replayed = result->replayed,
    };
}

/* NOLINTNEXTLINE(readability-function-size): plain arguments, as a C library has them */
enum holdfast_code holdfast_submit(struct holdfast *holdfast, const char *stream,
                                   const void *body, size_t len,
                                   const char *idempotency_key,
                                   struct holdfast_receipt *out, char *error,
                                   size_t error_size)
{
    struct intake_batch *batch = NULL;
    struct err err = {0};
    enum holdfast_code code =
        prepare(holdfast, stream, slice_of(body, len), idempotency_key, &batch, &err);
    if (code) {
        return fail(code, err.message, error, error_size);
    }
    const struct intake_result *result = intake_batch_result(batch);
    if (intake_submit_wait(batch, engine_journal(holdfast->engine))) {
        code = fail_err(&result->err, error, error_size);
    } else if (out) {
        *out = receipt_of(result);
    }
    intake_batch_free(batch);
    return code;
}

/* One asynchronous submission; it owns its copy of the body, which the batch borrows. */
struct submission {
    holdfast_done done;
    void *context;
    char body[];
};

static void submission_done(struct intake_batch *batch, void *context)
{
    struct submission *submission = context;
    const struct intake_result *result = intake_batch_result(batch);
    struct holdfast_receipt receipt = receipt_of(result);
    enum holdfast_code code = code_of(result->err.code);
    submission->done(submission->context, code, &receipt,
                     code ? result->err.message : "");
    intake_batch_free(batch);
    free(submission);
}

/* NOLINTNEXTLINE(readability-function-size): as above */
enum holdfast_code holdfast_submit_async(struct holdfast *holdfast, const char *stream,
                                         const void *body, size_t len,
                                         const char *idempotency_key, holdfast_done done,
                                         void *context, char *error, size_t error_size)
{
    struct intake_batch *batch = NULL;
    struct err err = {0};
    if (!done) {
        return fail(HOLDFAST_INVALID, "a callback is needed", error, error_size);
    }
    struct submission *submission =
        len < SIZE_MAX / 2 ? malloc(sizeof *submission + len + 1) : NULL;
    if (!submission) {
        return fail(HOLDFAST_AGAIN, "out of memory", error, error_size);
    }
    submission->done = done;
    submission->context = context;
    memcpy(submission->body, len ? body : "", len);
    enum holdfast_code code = prepare(holdfast, stream, slice_of(submission->body, len),
                                      idempotency_key, &batch, &err);
    if (code) {
        free(submission);
        return fail(code, err.message, error, error_size);
    }
    intake_submit(batch, engine_journal(holdfast->engine), submission_done, submission);
    return HOLDFAST_OK;
}

/* ---- Waiting for the database ---------------------------------------------------- */

/* The entries of one batch, read back from the journal. */
struct batch_entries {
    uint64_t seq;
    struct intake_entry *items;
    char (*streams)[JOURNAL_STREAM_MAX + 1]; /* what items point at */
    size_t count;
    size_t capacity;
    bool no_memory;
};

static bool reserve(struct batch_entries *entries, size_t capacity)
{
    if (entries->items) {
        return true;
    }
    entries->items = calloc(capacity, sizeof *entries->items);
    entries->streams = calloc(capacity, sizeof *entries->streams);
    entries->capacity = capacity;
    entries->no_memory = !entries->items || !entries->streams;
    return !entries->no_memory;
}

static bool collect(const struct journal_entry *entry, void *context)
{
    struct batch_entries *entries = context;
    if (entry->batch_seq != entries->seq || !reserve(entries, entry->batch_entries) ||
        entries->count == entries->capacity) {
        return false;
    }
    size_t at = entries->count++;
    snprintf(entries->streams[at], sizeof entries->streams[at], "%s", entry->stream);
    entries->items[at] =
        (struct intake_entry){entries->streams[at], entry->lane, entry->seq};
    return entries->count < entries->capacity;
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool over;
    bool applied;
};

static void wake_waiter(void *context, bool applied)
{
    struct waiter *waiter = context;
    pthread_mutex_lock(&waiter->lock);
    waiter->over = true;
    waiter->applied = applied;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static enum holdfast_code wait_for(struct holdfast *holdfast,
                                   const struct batch_entries *entries,
                                   unsigned timeout_ms)
{
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER};
    struct err err = {0};
    struct engine_wait wait = {
        .entries = entries->items,
        .count = entries->count,
        .deadline_us = clock_steady_us(&clock_system) + (int64_t)timeout_ms * 1000,
        .done = wake_waiter,
        .context = &waiter,
    };
    int code = engine_when_applied(holdfast->engine, &wait, &err);
    if (code) {
        return code_of(code);
    }
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.over) {
        pthread_cond_wait(&waiter.changed, &waiter.lock);
    }
    pthread_mutex_unlock(&waiter.lock);
    return waiter.applied ? HOLDFAST_OK : HOLDFAST_TIMEOUT;
}

enum holdfast_code holdfast_wait_applied(struct holdfast *holdfast,
                                         const struct holdfast_receipt *receipt,
                                         unsigned timeout_ms)
{
    struct journal *journal = engine_journal(holdfast->engine);
    struct batch_entries entries = {.seq = receipt->seq};
    struct journal_stat stat;
    struct err err = {0};
    int code = journal_stat(journal, &stat, &err);
    if (!code && (receipt->seq == 0 || receipt->seq >= stat.next_seq)) {
        return HOLDFAST_INVALID;
    }
    code = code ? code : journal_visit(journal, receipt->seq, collect, &entries, &err);
    enum holdfast_code outcome = code_of(code);
    if (!code && entries.no_memory) {
        outcome = HOLDFAST_AGAIN;
    } else if (!code && entries.count) {
        /* none: no longer retained, which only what is applied is */
        outcome = wait_for(holdfast, &entries, timeout_ms);
    }
    free(entries.items);
    free(entries.streams);
    return outcome;
}
