/* engine/http_routes.c: the table of requests, and the small ones. */
#include "engine/http_records.h"
#include "engine/json.h"
#include "engine/page.h"
#include "holdfast_version.h"

#include <stdlib.h>
#include <strings.h>

enum access {
    ACCESS_OPEN,    /* no token */
    ACCESS_TOKEN,   /* where tokens are set, one of them */
    ACCESS_CONTROL, /* over the control socket alone */
};

struct route {
    const char *method;
    const char *path;   /* one that ends in '/' has a tail */
    const char *suffix; /* behind the tail; NULL: none */
    enum access access;
    enum MHD_Result (*run)(struct request *request);
    enum MHD_Result (*finish)(struct request *request); /* NULL: run answers at once */
};

/* ---- Small requests
 * -------------------------------------------------------------------- */

static enum MHD_Result answer_json(struct request *request, struct json_writer *json)
{
    enum MHD_Result queued =
        request_answer(request, MHD_HTTP_OK, "application/json", json_result(json));
    json_free(json);
    return queued;
}

static enum MHD_Result answer_ok(struct request *request)
{
    return request_answer(request, MHD_HTTP_OK, "application/json",
                          SLICE_LITERAL("{\"ok\":true}"));
}

static enum MHD_Result get_ready(struct request *request)
{
    struct err err = {0};
    if (!engine_ready(request->http->engine, &err)) {
        return request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    return answer_ok(request);
}

static enum MHD_Result get_version(struct request *request)
{
    struct json_writer *json = json_new();
    if (!json) {
        return MHD_NO;
    }
    json_object(json);
    json_put_text(json, "version", HOLDFAST_VERSION);
    json_put_text(json, "commit", HOLDFAST_COMMIT);
    json_object_end(json);
    return answer_json(request, json);
}

static enum MHD_Result answer_text(struct request *request, const char *content_type,
                                   int (*make)(struct engine *, struct buf *,
                                               struct err *))
{
    struct buf text = {0};
    struct err err = {0};
    enum MHD_Result queued =
        make(request->http->engine, &text, &err) == ERR_OK
            ? request_answer(request, MHD_HTTP_OK, content_type, buf_slice(&text))
            : request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    buf_free(&text);
    return queued;
}

static enum MHD_Result get_status(struct request *request)
{
    return answer_text(request, "application/json", engine_status_json);
}

static enum MHD_Result get_metrics(struct request *request)
{
    return answer_text(request, "text/plain; version=0.0.4; charset=utf-8",
                       engine_metrics);
}

static enum MHD_Result get_page(struct request *request)
{
    return answer_text(request, "text/html; charset=utf-8", page_make);
}

/* ---- Batches
 * ----------------------------------------------------------------------------- */

struct batch_state {
    uint64_t seq; /* its first */
    uint32_t entries;
    uint64_t records;
    uint32_t applied_entries;
};

static bool is_applied(struct journal *journal, const struct journal_entry *entry)
{
    struct journal_lane lane;
    return journal_lane_get(journal, entry->stream, entry->lane, &lane, NULL) == ERR_OK &&
           lane.done.seq >= entry->seq;
}

static int read_batch(struct journal *journal, uint64_t seq, struct batch_state *out,
                      struct err *err)
{
    struct journal_entries entries;
    int code = journal_read_entry(journal, seq, &entries, err);
    if (code != ERR_OK) {
        return code;
    }
    *out = (struct batch_state){.seq = entries.items[0].batch_seq,
                                .entries = entries.items[0].batch_entries};
    journal_entries_free(&entries);
    for (uint32_t i = 0; i < out->entries; i++) {
        code = journal_read_entry(journal, out->seq + i, &entries, err);
        if (code == ERR_NOT_FOUND) {
            out->applied_entries++; /* expired: it was applied before */
            continue;
        }
        if (code != ERR_OK) {
            return code;
        }
        out->records += entries.items[0].records;
        out->applied_entries += is_applied(journal, &entries.items[0]);
        journal_entries_free(&entries);
    }
    return ERR_OK;
}

/* An entry that is not there: applied and expired, or never made. */
static enum MHD_Result answer_absent(struct request *request, uint64_t seq)
{
    struct journal_stat stat = {0};
    struct err err = {0};
    bool gone =
        journal_stat(engine_journal(request->http->engine), &stat, &err) == ERR_OK &&
        seq > 0 && seq < stat.next_seq;
    if (!gone) {
        err_set(&err, ERR_NOT_FOUND, 0, "no batch has this seq: its state is unknown");
        return request_refuse(request, MHD_HTTP_NOT_FOUND, &err);
    }
    struct json_writer *json = json_new();
    if (!json) {
        return MHD_NO;
    }
    json_object(json);
    json_put_unsigned(json, "seq", seq);
    json_put_text(json, "state", "applied");
    json_put_bool(json, "retained", false);
    json_object_end(json);
    return answer_json(request, json);
}

static enum MHD_Result get_batch(struct request *request)
{
    struct err err = {0};
    char digits[24] = "";
    char *end;
    if (request->tail.len < sizeof digits) {
        memcpy(digits, request->tail.data, request->tail.len);
    }
    uint64_t seq = strtoull(digits, &end, 10);
    if (*end || end == digits || digits[0] == '-' || digits[0] == '+') {
        err_set(&err, ERR_INVALID, 0, "a batch is named by its seq, a number");
        return request_refuse(request, MHD_HTTP_BAD_REQUEST, &err);
    }
    struct batch_state state;
    int code = read_batch(engine_journal(request->http->engine), seq, &state, &err);
    if (code == ERR_NOT_FOUND) {
        return answer_absent(request, seq);
    }
    struct json_writer *json = code == ERR_OK ? json_new() : NULL;
    if (!json) {
        return request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    json_object(json);
    json_put_unsigned(json, "seq", state.seq);
    json_put_text(json, "state",
                  state.applied_entries == state.entries ? "applied" : "journaled");
    json_put_bool(json, "retained", true);
    json_put_unsigned(json, "records", state.records);
    json_put_unsigned(json, "entries", state.entries);
    json_put_unsigned(json, "applied_entries", state.applied_entries);
    json_object_end(json);
    return answer_json(request, json);
}

/* ---- Control
 * ----------------------------------------------------------------------------- */

static enum MHD_Result set_paused(struct request *request, bool paused)
{
    struct err err = {0};
    if (replay_pause(engine_replay(request->http->engine), paused, &err) != ERR_OK) {
        return request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    return answer_ok(request);
}

static enum MHD_Result post_pause(struct request *request)
{
    return set_paused(request, true);
}

static enum MHD_Result post_resume(struct request *request)
{
    return set_paused(request, false);
}

static enum MHD_Result post_accept(struct request *request)
{
    struct err err = {0};
    const char *stream =
        MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "stream");
    const char *lane =
        MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "lane");
    if (!stream) {
        err_set(&err, ERR_INVALID, 0, "stream is missing");
        return request_refuse(request, MHD_HTTP_BAD_REQUEST, &err);
    }
    uint32_t number = lane ? (uint32_t)strtoul(lane, NULL, 10) : 0;
    if (replay_accept_dead(engine_replay(request->http->engine), stream, number, &err) !=
        ERR_OK) {
        return request_refuse(request, MHD_HTTP_NOT_FOUND, &err);
    }
    return answer_ok(request);
}

/* ---- The table
 * --------------------------------------------------------------------------- */

static const struct route routes[] = {
    {"POST", "/v1/streams/", "/records", ACCESS_TOKEN, http_records_run,
     http_records_finish},
    {"POST", "/v1/records", NULL, ACCESS_TOKEN, http_records_run, http_records_finish},
    {"GET", "/v1/batches/", NULL, ACCESS_TOKEN, get_batch, NULL},
    {"GET", "/v1/status", NULL, ACCESS_TOKEN, get_status, NULL},
    {"GET", "/metrics", NULL, ACCESS_TOKEN, get_metrics, NULL},
    {"GET", "/healthz", NULL, ACCESS_OPEN, answer_ok, NULL},
    {"GET", "/readyz", NULL, ACCESS_OPEN, get_ready, NULL},
    {"GET", "/version", NULL, ACCESS_OPEN, get_version, NULL},
    {"GET", "/", "", ACCESS_TOKEN, get_page, NULL},
    {"POST", "/control/pause", NULL, ACCESS_CONTROL, post_pause, NULL},
    {"POST", "/control/resume", NULL, ACCESS_CONTROL, post_resume, NULL},
    {"POST", "/control/deadletter/accept", NULL, ACCESS_CONTROL, post_accept, NULL},
};

static bool matches(const struct route *route, struct slice path, struct slice *out_tail)
{
    size_t head = strlen(route->path);
    size_t foot = route->suffix ? strlen(route->suffix) : 0;
    bool has_tail = route->path[head - 1] == '/' && head > 1;
    *out_tail = (struct slice){0};
    if (!has_tail) {
        return slice_is(path, route->path);
    }
    if (path.len <= head + foot || memcmp(path.data, route->path, head) != 0 ||
        (foot && memcmp(path.data + path.len - foot, route->suffix, foot) != 0)) {
        return false;
    }
    *out_tail = slice_of(path.data + head, path.len - head - foot);
    return memchr(out_tail->data, '/', out_tail->len) == NULL;
}

static bool method_fits(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static unsigned check_token(struct request *request, struct err *err)
{
    static const char scheme[] = "Bearer ";
    struct tokens *tokens = request->http->tokens;
    if (request->control || !tokens || request->route->access == ACCESS_OPEN) {
        return 0;
    }
    const char *value = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
                                                    MHD_HTTP_HEADER_AUTHORIZATION);
    bool bearer = value && strncasecmp(value, scheme, sizeof scheme - 1) == 0;
    struct slice token = slice_trim(slice_text(bearer ? value + sizeof scheme - 1 : ""));
    if (!tokens_check(tokens, token, request->scope) || !bearer) {
        err_set(err, ERR_INVALID, 0,
                bearer ? "this token is not known here"
                       : "a token is needed: send 'Authorization: Bearer TOKEN'");
        return MHD_HTTP_UNAUTHORIZED;
    }
    return 0;
}

static unsigned check_stream(const struct request *request, struct err *err)
{
    if (request->route->run == http_records_run && request->tail.len &&
        !config_stream(engine_config(request->http->engine), request->tail)) {
        err_set(err, ERR_NOT_FOUND, 0,
                "no stream named '%.*s' is configured; /v1/status lists them",
                (int)request->tail.len, request->tail.data);
        return MHD_HTTP_NOT_FOUND;
    }
    return 0;
}

unsigned request_route(struct request *request, const char *method, const char *url,
                       const char **out_allow, struct err *err)
{
    *out_allow = NULL;
    size_t len = strlen(url);
    if (len < sizeof request->path) {
        memcpy(request->path, url, len + 1);
    }
    request->head = strcmp(method, "HEAD") == 0;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        struct slice tail;
        if (!matches(route, slice_text(request->path), &tail) ||
            (route->access == ACCESS_CONTROL && !request->control)) {
            continue;
        }
        if (!method_fits(route, method)) {
            *out_allow = route->method;
            continue;
        }
        request->route = route;
        request->tail = tail;
        unsigned status = check_token(request, err);
        return status ? status : check_stream(request, err);
    }
    if (*out_allow) {
        err_set(err, ERR_INVALID, 0, "%.200s takes %s", request->path, *out_allow);
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    err_set(err, ERR_NOT_FOUND, 0,
            "there is nothing at this path; see the README's table");
    return MHD_HTTP_NOT_FOUND;
}

bool request_takes_body(const struct request *request)
{
    return request->route->finish != NULL;
}

enum MHD_Result request_run(struct request *request)
{
    return request->route->run(request);
}

enum MHD_Result request_finish(struct request *request)
{
    return request->route->finish(request);
}
