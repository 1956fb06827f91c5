/* engine/http.c: the two daemons, and the life of a request's body. */
#include "engine/http.h"
#include "engine/http_listen.h"
#include "engine/http_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADERS_MAX = 32 << 10,
    CONTROL_CONNECTIONS_MAX = 32,
    STOP_STEP_US = 5000,
    TLS_FILE_MAX = 1 << 20,
};

void http_control_path(const char *journal_path, struct buf *out)
{
    buf_printf(out, "%s/control.sock", journal_path);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

int http_reload(struct http *http, struct err *err)
{
    return http->tokens ? tokens_reload(http->tokens, err) : ERR_OK;
}

/* ---- Bodies
 * -------------------------------------------------------------------------------- */

static const struct intake_config *intake_of(const struct request *request)
{
    return &engine_config(request->http->engine)->intake;
}

/* Why the rest of the body is read without being kept. MHD answers at its end. */
static void refuse_later(struct request *request, int status, const char *message,
                         enum err_code code)
{
    err_set(&request->refused, code, 0, "%s", message);
    request->refused_status = status;
    buf_free(&request->body);
}

static void take_piece(struct request *request, const char *data, size_t len)
{
    const struct intake_config *intake = intake_of(request);
    if (request->refused.code != ERR_OK) {
        return;
    }
    if (request->body.len + len > intake->body_max) {
        refuse_later(request, MHD_HTTP_CONTENT_TOO_LARGE,
                     "the body is larger than intake.max_body; send it in parts",
                     ERR_TOO_LARGE);
        return;
    }
    uint64_t all = atomic_fetch_add(&request->http->body_bytes, len) + len;
    request->body_counted += len;
    if (all > intake->bodies_max || !buf_append(&request->body, data, len)) {
        refuse_later(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                     "too many bodies are being received; send it again later", ERR_BUSY);
    }
}

static bool is_late(const struct request *request)
{
    int64_t limit_us = (int64_t)intake_of(request)->request_timeout_s * 1000000;
    return clock_steady_us(&clock_system) - request->begun_us > limit_us;
}

/* ---- Requests
 * ------------------------------------------------------------------------------ */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind,
                                    const char *key, const char *value)
{
    (void)kind;
    (void)value;
    unsigned *count = context;
    *count += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    return MHD_YES;
}

/* Headers that two readers could understand differently. */
static unsigned check_framing(struct request *request, struct err *err)
{
    unsigned lengths = 0;
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, count_length,
                              &lengths);
    bool chunked = header(request->connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
    if (lengths > 1 || (lengths && chunked)) {
        err_set(err, ERR_INVALID, 0,
                "send one Content-Length or Transfer-Encoding, not several");
        return MHD_HTTP_BAD_REQUEST;
    }
    return 0;
}

static unsigned check_body_headers(struct request *request, struct err *err)
{
    const char *length = header(request->connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *encoding = header(request->connection, MHD_HTTP_HEADER_CONTENT_ENCODING);
    const struct intake_config *intake = intake_of(request);
    if (length && strtoull(length, NULL, 10) > intake->body_max) {
        err_set(err, ERR_TOO_LARGE, 0,
                "the body is larger than intake.max_body (%llu bytes); send it in parts",
                (unsigned long long)intake->body_max);
        return MHD_HTTP_CONTENT_TOO_LARGE;
    }
    bool known = !encoding || strcasecmp(encoding, "identity") == 0 ||
                 strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "x-gzip") == 0;
    if (!known) {
        err_set(err, ERR_INVALID, 0, "Content-Encoding must be gzip or absent");
        return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    if (atomic_load(&request->http->stopping)) {
        err_set(err, ERR_CLOSED, 0, "shutting down; send it again later");
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    return 0;
}

static enum MHD_Result refuse_method(struct request *request, const char *allow,
                                     const struct err *err)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(err->message), (void *)(uintptr_t)err->message, MHD_RESPMEM_MUST_COPY);
    if (!response) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Allow", allow);
    request->state = REQUEST_ANSWERED;
    enum MHD_Result queued =
        MHD_queue_response(request->connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result begin_request(struct request *request, const char *method,
                                     const char *url)
{
    struct err err = {0};
    const char *allow = NULL;
    unsigned status = check_framing(request, &err);
    status = status ? status : request_route(request, method, url, &allow, &err);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        return refuse_method(request, allow, &err);
    }
    if (!status && request_takes_body(request)) {
        status = check_body_headers(request, &err);
    }
    if (status) {
        return request_refuse(request, status, &err);
    }
    request->state = REQUEST_BODY;
    return MHD_YES;
}

static struct request *new_request(struct http *http, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof *request);
    if (request) {
        request->http = http;
        request->connection = connection;
        request->applied = -1;
        request->begun_us = clock_steady_us(&clock_system);
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_DAEMON);
        request->control = info && info->daemon == http->control;
    }
    return request;
}

/* The body is whole, or the connection was resumed. */
static enum MHD_Result go_on(struct request *request)
{
    if (request->state == REQUEST_WAITING) {
        return request_finish(request);
    }
    if (request->refused.code != ERR_OK) {
        return request_refuse(request, (unsigned)request->refused_status,
                              &request->refused);
    }
    return request->state == REQUEST_BODY ? request_run(request) : MHD_YES;
}

/* libmicrohttpd's signature, so its parameters are not ours to lessen. */
/* NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_len, void **request_context)
{
    (void)version;
    struct request *request = *request_context;
    if (!request) {
        request = new_request(context, connection);
        *request_context = request;
        return request ? begin_request(request, method, url) : MHD_NO;
    }
    if (*upload_len) {
        take_piece(request, upload, *upload_len);
        *upload_len = 0;
        return is_late(request) ? MHD_NO : MHD_YES;
    }
    return go_on(request);
}

static void on_completed(void *context, struct MHD_Connection *connection,
                         void **request_context, enum MHD_RequestTerminationCode why)
{
    (void)connection;
    (void)why;
    struct http *http = context;
    struct request *request = *request_context;
    if (!request) {
        return;
    }
    atomic_fetch_sub(&http->body_bytes, request->body_counted);
    buf_free(&request->body);
    intake_batch_free(request->batch);
    free(request);
    *request_context = NULL;
}

/* ---- Daemons
 * ------------------------------------------------------------------------------- */

static int read_file(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    char piece[4096];
    size_t got;
    if (!file) {
        return err_set_errno(err, ERR_CONFIG, errno, "%s", path);
    }
    out->max = TLS_FILE_MAX;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0) {
        buf_append(out, piece, got);
    }
    bool failed = ferror(file) || out->failed;
    (void)fclose(file); /* it was only read */
    return failed ? err_set(err, ERR_CONFIG, 0, "%s: can't be read whole", path) : ERR_OK;
}

static struct MHD_Daemon *start_daemon(struct http *http, int fd, unsigned flags,
                                       struct MHD_OptionItem *more)
{
    const struct intake_config *intake = &engine_config(http->engine)->intake;
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | flags, 0, NULL, NULL,
        on_request, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)intake->idle_timeout_s,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static int start_tls(struct http *http, int fd, struct MHD_OptionItem *more,
                     struct err *err)
{
    const struct intake_config *intake = &engine_config(http->engine)->intake;
    struct buf cert = {0};
    struct buf key = {0};
    int code = read_file(intake->tls_cert, &cert, err);
    code = code ? code : read_file(intake->tls_key, &key, err);
    if (code == ERR_OK) {
        struct MHD_OptionItem tls[] = {
            {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)buf_text(&cert)},
            {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)buf_text(&key)},
            {MHD_OPTION_ARRAY, 0, more},
            {MHD_OPTION_END, 0, NULL},
        };
        http->tcp = start_daemon(http, fd, MHD_USE_TLS, tls);
    }
    if (key.data) {
        explicit_bzero(key.data, key.len);
    }
    buf_free(&cert);
    buf_free(&key);
    return code;
}

static int start_tcp(struct http *http, struct err *err)
{
    const struct intake_config *intake = &engine_config(http->engine)->intake;
    int fd;
    if (http_listen_tcp(intake->listen, &fd, &http->port, err) != ERR_OK) {
        return err->code;
    }
    unsigned threads = intake->threads > 1 ? intake->threads : 0;
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_CONNECTION_LIMIT, intake->connections_max, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, intake->connections_per_address_max, NULL},
        {threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    int code = ERR_OK;
    if (intake->tls_cert) {
        code = start_tls(http, fd, more, err);
    } else {
        http->tcp = start_daemon(http, fd, 0, more);
    }
    if (!http->tcp) {
        (void)close(fd);
        return code ? code
                    : err_set(err, ERR_CONFIG, 0,
                              "the HTTP server can't start on %s; are intake.tls and the "
                              "connection limits right?",
                              intake->listen);
    }
    return ERR_OK;
}

static int start_control(struct http *http, struct err *err)
{
    struct buf path = {0};
    http_control_path(engine_config(http->engine)->journal.path, &path);
    const char *text = buf_text(&path);
    http->control_path = text ? strdup(text) : NULL;
    buf_free(&path);
    if (!http->control_path) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the control socket");
    }
    int fd;
    if (http_listen_unix(http->control_path, &fd, err) != ERR_OK) {
        return err->code;
    }
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_CONNECTION_LIMIT, CONTROL_CONNECTIONS_MAX, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    http->control = start_daemon(http, fd, 0, more);
    if (!http->control) {
        (void)close(fd);
        return err_set(err, ERR_INTERNAL, 0, "the control socket's server can't start");
    }
    return ERR_OK;
}

int http_start(struct engine *engine, struct http **out_http, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the HTTP server");
    }
    http->engine = engine;
    const char *token_file = engine_config(engine)->intake.token_file;
    int code = token_file ? tokens_new(token_file, &http->tokens, err) : ERR_OK;
    code = code ? code : start_control(http, err);
    code = code ? code : start_tcp(http, err);
    if (code != ERR_OK) {
        http_stop(http, 0);
        return code;
    }
    *out_http = http;
    return ERR_OK;
}

static void quiesce(struct MHD_Daemon *daemon)
{
    MHD_socket fd = daemon ? MHD_quiesce_daemon(daemon) : MHD_INVALID_SOCKET;
    if (fd != MHD_INVALID_SOCKET) {
        (void)close(fd);
    }
}

/* Every suspended request waits for a commit, which ends by itself, or for its batch to
 * be applied, which engine_release_waiters ends. */
static void await_requests(struct http *http, int64_t deadline_us)
{
    struct timespec step = {.tv_nsec = STOP_STEP_US * 1000L};
    bool released = false;
    while (atomic_load(&http->waiting) > 0) {
        if (!released || clock_steady_us(&clock_system) > deadline_us) {
            engine_release_waiters(http->engine);
            released = true;
        }
        nanosleep(&step, NULL);
    }
}

void http_stop(struct http *http, int64_t deadline_us)
{
    if (!http) {
        return;
    }
    atomic_store(&http->stopping, true);
    quiesce(http->tcp);
    quiesce(http->control);
    await_requests(http, deadline_us);
    if (http->tcp) {
        MHD_stop_daemon(http->tcp);
    }
    if (http->control) {
        MHD_stop_daemon(http->control);
    }
    if (http->control_path) {
        (void)unlink(http->control_path);
    }
    free(http->control_path);
    tokens_free(http->tokens);
    free(http);
}
