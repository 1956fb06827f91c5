/* engine/http_routes.c: the table of requests, and the small ones. */
#include "engine/batches.h"
#include "engine/http_control.h"
#include "engine/http_records.h"
#include "engine/json.h"
#include "engine/page.h"
#include "holdfast_version.h"

#include <stdlib.h>
#include <strings.h>

enum access {
    ACCESS_OPEN,    /* no token */
    ACCESS_TOKEN,   /* where tokens are set, one of them */
    ACCESS_RECORDS, /* so too; where none are, only under no name, see check_host */
    ACCESS_CONTROL, /* over the control socket alone */
};

struct route {
    const char *method;
    const char *path;   /* one that ends in '/' has a tail */
    const char *suffix; /* behind the tail; NULL: none */
    enum access access;
    enum MHD_Result (*run)(struct request *request);
};

/* ---- Small requests
 * -------------------------------------------------------------------- */

static enum MHD_Result get_ready(struct request *request)
{
    struct err err = {0};
    if (request_comes_late(request, &err) || !engine_ready(request->http->engine, &err)) {
        return request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    return request_answer_ok(request);
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
    return request_answer_json(request, json);
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

static enum MHD_Result get_dashboard(struct request *request)
{
    return answer_text(request, "application/json", engine_dashboard_json);
}

/* Answers by status, since start. */
static void put_answered(struct http *http, struct buf *out)
{
    buf_append_text(out,
                    "# HELP holdfast_http_requests_total HTTP requests answered since "
                    "start, by status.\n"
                    "# TYPE holdfast_http_requests_total counter\n");
    for (unsigned status = 0; status < HTTP_STATUS_MAX; status++) {
        uint64_t count = atomic_load(&http->answered[status]);
        if (count) {
            buf_printf(out, "holdfast_http_requests_total{code=\"%u\"} %llu\n", status,
                       (unsigned long long)count);
        }
    }
}

static enum MHD_Result get_metrics(struct request *request)
{
    struct buf text = {0};
    struct err err = {0};
    enum MHD_Result queued = MHD_NO;
    put_answered(request->http, &text);
    if (engine_metrics(request->http->engine, &text, &err) == ERR_OK) {
        queued =
            request_answer(request, MHD_HTTP_OK,
                           "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
    } else {
        queued = request_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    buf_free(&text);
    return queued;
}

/* `/` and the files that it names. */
static enum MHD_Result get_page(struct request *request)
{
    struct page_file file;
    struct err err = {0};
    struct slice name = request->tail.len ? request->tail : SLICE_LITERAL("index.html");
    if (!page_find(name, &file)) {
        err_set(&err, ERR_NOT_FOUND, 0, "the dashboard has no such file; it is at /");
        return request_refuse(request, MHD_HTTP_NOT_FOUND, &err);
    }
    return request_answer(request, MHD_HTTP_OK, file.content_type, file.bytes);
}

/* ---- Batches ----------------------------------------------------------------------- */

static bool parse_number(struct slice text, uint64_t max, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.data[i] - '0');
        if (digit > 9 || number > (max - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return text.len > 0;
}

static enum MHD_Result answer_batch(struct request *request, const struct batch *batch)
{
    struct json_writer *json = json_new();
    if (!json) {
        return MHD_NO;
    }
    json_object(json);
    json_put_unsigned(json, "seq", batch->seq);
    json_put_text(json, "state", batch->pending_count ? "journaled" : "applied");
    json_put_unsigned(json, "records", batch->records);
    json_put_unsigned(json, "dead_letters", batch->dead_letters);
    json_put_unsigned(json, "entries", batch->entry_count);
    json_put_unsigned(json, "applied_entries", batch->applied);
    json_object_end(json);
    return request_answer_json(request, json);
}

static enum MHD_Result get_batch(struct request *request)
{
    struct err err = {0};
    struct batch batch;
    uint64_t seq;
    if (!parse_number(request->tail, UINT64_MAX, &seq)) {
        err_set(&err, ERR_INVALID, 0, "a batch is named by its seq, a number");
        return request_refuse(request, MHD_HTTP_BAD_REQUEST, &err);
    }
    int code = batch_read(engine_journal(request->http->engine), seq, &batch, &err);
    if (code != ERR_OK) {
        return request_refuse(request,
                              code == ERR_NOT_FOUND ? MHD_HTTP_NOT_FOUND
                                                    : MHD_HTTP_SERVICE_UNAVAILABLE,
                              &err);
    }
    enum MHD_Result queued = answer_batch(request, &batch);
    batch_free(&batch);
    return queued;
}

/* ---- The table
 * --------------------------------------------------------------------------- */

static const struct route routes[] = {
    {"POST", "/v1/streams/", "/records", ACCESS_TOKEN, http_records_run},
    {"POST", "/v1/records", NULL, ACCESS_TOKEN, http_records_run},
    {"GET", "/v1/batches/", NULL, ACCESS_TOKEN, get_batch},
    {"GET", "/v1/status", NULL, ACCESS_TOKEN, get_status},
    {"GET", "/metrics", NULL, ACCESS_TOKEN, get_metrics},
    {"GET", "/healthz", NULL, ACCESS_OPEN, request_answer_ok},
    {"GET", "/readyz", NULL, ACCESS_OPEN, get_ready},
    {"GET", "/version", NULL, ACCESS_OPEN, get_version},
    {"GET", "/v1/dashboard", NULL, ACCESS_RECORDS, get_dashboard},
    {"GET", "/", "", ACCESS_OPEN, get_page}, /* holds no data, and asks for it */
    {"GET", "/dashboard/", NULL, ACCESS_OPEN, get_page},
    {"POST", "/control/pause", NULL, ACCESS_CONTROL, http_control_pause},
    {"POST", "/control/resume", NULL, ACCESS_CONTROL, http_control_resume},
    {"POST", "/control/deadletter/accept", NULL, ACCESS_CONTROL,
     http_control_accept_dead},
    {"POST", "/control/deadletter/retry", NULL, ACCESS_CONTROL, http_control_retry},
    {"POST", "/control/deadletter/purge", NULL, ACCESS_CONTROL, http_control_purge},
    {"GET", "/control/gap", NULL, ACCESS_CONTROL, http_control_gap},
    {"POST", "/control/gap/accept", NULL, ACCESS_CONTROL, http_control_accept_gap},
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
    const char *value = request_header(request, MHD_HTTP_HEADER_AUTHORIZATION);
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

/* An address, or localhost: "127.0.0.1:8640", "[::1]". */
static bool is_address(struct slice host)
{
    static const char local[] = "localhost";
    static const char port[] = ":0123456789";
    size_t name = sizeof local - 1;
    if (host.len >= name && strncasecmp(host.data, local, name) == 0) {
        return strspn(host.data + name, port) == host.len - name;
    }
    return host.len &&
           (host.data[0] == '[' || strspn(host.data, ".:0123456789") == host.len);
}

/* Without tokens nothing but the address tells a reader on this machine from a page of
 * elsewhere in his browser, whose name was made to lead here after it was loaded. Such a
 * page comes under its name. */
static unsigned check_host(const struct request *request, struct err *err)
{
    const char *host = request_header(request, MHD_HTTP_HEADER_HOST);
    if (request->control || request->http->tokens ||
        request->route->access != ACCESS_RECORDS || !host ||
        is_address(slice_text(host))) {
        return 0;
    }
    err_set(err, ERR_INVALID, 0,
            "without intake.token_file records are shown under an address alone: ask "
            "http://127.0.0.1:PORT/, not '%.100s'; or set it",
            host);
    return MHD_HTTP_FORBIDDEN;
}

/* "http://127.0.0.1:8640", of that host. */
static bool is_origin_of(const char *origin, const char *host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);
        if (strncasecmp(origin, schemes[i], len) == 0) {
            return strcasecmp(origin + len, host) == 0;
        }
    }
    return false;
}

/* And to send some, a page of elsewhere needs to read no answer. Browsers say where a
 * page comes from; nobody else does. */
static unsigned check_origin(const struct request *request, struct err *err)
{
    const char *origin = request_header(request, MHD_HTTP_HEADER_ORIGIN);
    const char *host = request_header(request, MHD_HTTP_HEADER_HOST);
    if (request->control || request->http->tokens || !origin ||
        strcmp(request->route->method, "POST") != 0 ||
        (host && is_address(slice_text(host)) && is_origin_of(origin, host))) {
        return 0;
    }
    err_set(err, ERR_INVALID, 0,
            "without intake.token_file nothing is taken from a page of '%.100s': set it, "
            "or send without a browser",
            origin);
    return MHD_HTTP_FORBIDDEN;
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
                       struct err *err)
{
    size_t len = strlen(url);
    if (len < sizeof request->path) {
        memcpy(request->path, url, len + 1);
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        struct slice tail;
        if (!matches(route, slice_text(request->path), &tail) ||
            (route->access == ACCESS_CONTROL && !request->control)) {
            continue;
        }
        if (!method_fits(route, method)) {
            request->allow = strcmp(route->method, "GET") == 0 ? "GET, HEAD" : "POST";
            continue;
        }
        request->allow = NULL;
        request->route = route;
        request->tail = tail;
        unsigned status = check_token(request, err);
        status = status ? status : check_host(request, err);
        status = status ? status : check_origin(request, err);
        return status ? status : check_stream(request, err);
    }
    if (request->allow) {
        err_set(err, ERR_INVALID, 0, "%.200s takes %s only", request->path,
                request->allow);
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    err_set(err, ERR_NOT_FOUND, 0,
            "there is nothing at this path; records go to /v1/streams/STREAM/records");
    return MHD_HTTP_NOT_FOUND;
}

bool request_takes_body(const struct request *request)
{
    return request->route->run == http_records_run;
}

enum MHD_Result request_run(struct request *request)
{
    switch (request->state) {
    case REQUEST_BODY:
        return request->route->run(request);
    case REQUEST_COMMITTING:
        return http_records_committed(request);
    case REQUEST_APPLYING:
        return http_records_answer(request);
    case REQUEST_ANSWERED:
        break;
    }
    return MHD_YES;
}
