#include "engine/ingest_send.h"
#include "engine/cli_control.h"
#include "engine/client.h"
#include "engine/engine.h"
#include "engine/http.h"
#include "engine/ingest_key.h"
#include "engine/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    BACKOFF_MIN_US = 50000,
    BACKOFF_MAX_US = 2000000,
    REQUEST_TIMEOUT_S = 120,
};

struct sender {
    struct sender_target target;
    char path[96]; /* of the request */
    uint8_t scope[INGEST_SCOPE_LEN];
    char *place;
    struct client *client;   /* an engine, */
    struct journal *journal; /* or the journal */
    const struct stream *stream;
    struct intake_rules rules;
};

/* ---- Through an engine ----------------------------------------------------------- */

static int read_answer(struct slice body, struct sender_answer *out_answer,
                       struct err *err)
{
    struct json_value *value = json_parse(body);
    int64_t accepted = value ? json_as_integer(json_get(value, "accepted"), -1) : -1;
    int code = ERR_OK;
    if (accepted < 0) {
        code = err_set(err, ERR_INTERNAL, 0, "the engine's answer can't be read: %.*s",
                       (int)(body.len < 200 ? body.len : 200), body.len ? body.data : "");
    } else {
        *out_answer = (struct sender_answer){
            .accepted = (uint64_t)accepted,
            .dead_lettered =
                (uint64_t)json_as_integer(json_get(value, "dead_lettered"), 0),
            .replayed = json_as_bool(json_get(value, "replayed"), false),
        };
    }
    json_value_free(value);
    return code;
}

static int send_to_engine(struct sender *sender, struct slice body, const char *key,
                          struct sender_answer *out_answer, struct err *err)
{
    struct client_answer answer = {0};
    struct client_call call = {.method = "POST",
                               .path = sender->path,
                               .body = body,
                               .idempotency_key = key,
                               .timeout_s = REQUEST_TIMEOUT_S};
    int code = client_request(sender->client, &call, &answer, err);
    if (!code && answer.status != 200) {
        code = cli_control_refused(answer.status, buf_slice(&answer.body), err);
    } else if (!code) {
        code = read_answer(buf_slice(&answer.body), out_answer, err);
    }
    buf_free(&answer.body);
    return code;
}

/* ---- Into the journal ------------------------------------------------------------ */

static int send_to_journal(struct sender *sender, struct slice body, const char *key,
                           struct sender_answer *out_answer, struct err *err)
{
    struct intake_batch *batch = NULL;
    struct intake_source source = {
        .stream = sender->stream,
        .body = body,
        .idempotency_key = slice_text(key),
        .scope = slice_of(sender->scope, sizeof sender->scope),
    };
    int code = intake_prepare(&sender->rules, &source, &batch, err);
    if (code) {
        return code;
    }
    const struct intake_result *result = intake_batch_result(batch);
    code = intake_submit_wait(batch, sender->journal);
    if (code) {
        *err = result->err;
    } else {
        *out_answer = (struct sender_answer){result->accepted, result->dead_lettered,
                                             result->replayed};
    }
    intake_batch_free(batch);
    return code;
}

/* ---- Trying again ---------------------------------------------------------------- */

/* With an engine nearly everything passes; a full journal without one stays full. */
static bool may_pass(const struct sender *sender, int code)
{
    switch (code) {
    case ERR_BUSY:
    case ERR_NOMEM:
        return true;
    case ERR_TIMEOUT:
    case ERR_TRANSIENT:
    case ERR_NOT_FOUND:
    case ERR_FULL:
        return sender->client != NULL;
    default:
        return false;
    }
}

static void sleep_us(int64_t us)
{
    struct timespec wait = {us / 1000000, (us % 1000000) * 1000};
    while (nanosleep(&wait, &wait) != 0) {
    }
}

int sender_send(struct sender *sender, struct slice body, const char *key,
                struct sender_answer *out_answer, struct err *err)
{
    int64_t backoff_us = BACKOFF_MIN_US;
    int64_t deadline_us = clock_steady_us(&clock_system) + sender->target.timeout_us;
    for (;;) {
        int code = sender->client ? send_to_engine(sender, body, key, out_answer, err)
                                  : send_to_journal(sender, body, key, out_answer, err);
        if (!may_pass(sender, code)) {
            return code;
        }
        if (clock_steady_us(&clock_system) + backoff_us > deadline_us) {
            return err_wrap(err, "given up after --timeout; the same command goes on "
                                 "where it stopped");
        }
        sleep_us(backoff_us);
        backoff_us = backoff_us * 2 < BACKOFF_MAX_US ? backoff_us * 2 : BACKOFF_MAX_US;
    }
}

/* ---- Choosing -------------------------------------------------------------------- */

/* ERR_NOT_FOUND: nobody listens at the control socket. */
static int probe(struct client *client, struct err *err)
{
    struct client_answer answer = {0};
    struct client_call call = {
        .method = "GET", .path = "/healthz", .timeout_s = REQUEST_TIMEOUT_S};
    int code = client_request(client, &call, &answer, err);
    buf_free(&answer.body);
    return code;
}

static int use_journal(struct sender *sender, struct err *err)
{
    const struct config *config = sender->target.config;
    sender->rules = engine_rules_of(config);
    return journal_open(&config->journal, true, &sender->journal, err);
}

static int choose(struct sender *sender, struct err *err)
{
    const struct sender_target *target = &sender->target;
    struct buf place = {0};
    int code = ERR_OK;
    if (target->url) {
        buf_append_text(&place, target->url);
        code =
            client_new_url(target->url, target->token, target->ca, &sender->client, err);
    } else {
        http_control_path(target->config->journal.path, &place);
        const char *path = buf_text(&place);
        code = path ? client_new_socket(path, &sender->client, err)
                    : err_set(err, ERR_NOMEM, 0, "no memory for the socket's path");
        if (!code && probe(sender->client, err) == ERR_NOT_FOUND) {
            client_free(sender->client);
            sender->client = NULL;
            buf_clear(&place);
            buf_printf(&place, "%s (no engine is running)", target->config->journal.path);
            code = use_journal(sender, err);
        }
    }
    if (!code && !buf_text(&place)) {
        code = err_set(err, ERR_NOMEM, 0, "no memory for a path");
    }
    sender->place = place.data;
    return code;
}

int sender_new(const struct sender_target *target, struct sender **out_sender,
               struct err *err)
{
    struct sender *sender = calloc(1, sizeof *sender);
    if (!sender) {
        return err_set(err, ERR_NOMEM, 0, "no memory to send");
    }
    sender->target = *target;
    if (target->stream) {
        sender->stream = config_stream(target->config, slice_text(target->stream));
        snprintf(sender->path, sizeof sender->path, "/v1/streams/%.32s/records",
                 target->stream);
    } else {
        snprintf(sender->path, sizeof sender->path, "/v1/records");
    }
    ingest_scope(sender->path, sender->scope);
    int code = choose(sender, err);
    if (code) {
        sender_free(sender);
        return code;
    }
    *out_sender = sender;
    return ERR_OK;
}

void sender_free(struct sender *sender)
{
    if (sender) {
        client_free(sender->client);
        journal_close(sender->journal);
        free(sender->place);
        free(sender);
    }
}

const char *sender_place(const struct sender *sender)
{
    return sender->place;
}
