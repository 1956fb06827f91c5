#include "engine/http_request.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

enum {
    DISCARD_MAX = 1 << 20,            /* of a refused body: then the connection is cut */
    ANNOUNCED_DISCARD_MAX = 64 << 10, /* above, it is not even begun */
};

static const struct intake_config *intake_of(const struct request *request)
{
    return &engine_config(request->http->engine)->intake;
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_argument(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

bool request_suspend(struct request *request, enum request_state state)
{
    struct http *http = request->http;
    /* first counted, then asked: either this sees `cutting`, or who set it sees the count
     */
    atomic_fetch_add(&http->suspended, 1);
    if (atomic_load(&http->cutting)) {
        atomic_fetch_sub(&http->suspended, 1);
        return false;
    }
    request->state = state;
    connection_enter(request->watched, CONNECTION_WAITING);
    MHD_suspend_connection(request->connection);
    return true;
}

void request_resume(struct request *request)
{
    struct http *http = request->http;
    MHD_resume_connection(request->connection);
    atomic_fetch_sub(&http->suspended, 1);
}

bool request_comes_late(const struct request *request, struct err *err)
{
    bool late = atomic_load(&request->http->stopping);
    if (late) {
        err_set(err, ERR_CLOSED, 0, "shutting down; send it again later");
    }
    return late;
}

/* ---- Bodies ------------------------------------------------------------------------ */

bool request_hold(struct request *request, uint64_t bytes)
{
    uint64_t all = atomic_fetch_add(&request->http->body_bytes, bytes) + bytes;
    request->body_counted += bytes;
    return all <= intake_of(request)->bodies_max;
}

void request_drop_body(struct request *request)
{
    atomic_fetch_sub(&request->http->body_bytes, request->body_counted);
    request->body_counted = 0;
    buf_free(&request->body);
}

/* The rest of the body is read without being kept, and then this is the answer. */
static void refuse_later(struct request *request, unsigned status, const struct err *err)
{
    request->refused = *err;
    request->refused_status = status;
    request_drop_body(request);
}

static bool keep_piece(struct request *request, const char *data, size_t len)
{
    size_t before = request->body.capacity;
    return buf_append(&request->body, data, len) &&
           request_hold(request, request->body.capacity - before);
}

/* A refused body that goes on and on. False: the client was told why, and the connection
 * must go. Where it can't be told before the end, the request's time-out bounds it. */
static bool discard_piece(struct request *request, size_t len)
{
    request->discarded += len;
    if (request->discarded <= DISCARD_MAX ||
        !connection_refuse(request->watched, request->refused_status,
                           &request->refused)) {
        return true;
    }
    atomic_fetch_add(&request->http->answered[request->refused_status], 1);
    return false;
}

static bool take_piece(struct request *request, const char *data, size_t len)
{
    const struct intake_config *intake = intake_of(request);
    struct err err = {0};
    if (request->refused_status) {
        return discard_piece(request, len);
    }
    if (request->body.len + len > intake->body_max) {
        err_set(&err, ERR_TOO_LARGE, 0,
                "the body is larger than intake.max_body (%llu bytes); send it in parts",
                (unsigned long long)intake->body_max);
        refuse_later(request, MHD_HTTP_CONTENT_TOO_LARGE, &err);
    } else if (!keep_piece(request, data, len)) {
        err_set(&err, ERR_BUSY, 0,
                "all bodies in hand take intake.max_bodies already; send it again later");
        refuse_later(request, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    return true;
}

/* ---- Headers ----------------------------------------------------------------------- */

struct framing {
    unsigned lengths;
    unsigned encodings;
    bool chunked;
    bool misnamed; /* a header whose name is no name */
};

/* RFC 9110's token. libmicrohttpd takes "Content-Length " for a header of that name, with
 * the blank, which others read as Content-Length. */
static bool is_token(const char *name)
{
    static const char signs[] = "!#$%&'*+-.^_`|~";
    const char *at = name;
    while ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
           (*at >= '0' && *at <= '9') || (*at && strchr(signs, *at))) {
        at++;
    }
    return at > name && *at == '\0';
}

static enum MHD_Result note_framing(void *context, enum MHD_ValueKind kind,
                                    const char *key, const char *value)
{
    (void)kind;
    struct framing *framing = context;
    framing->misnamed = framing->misnamed || !is_token(key);
    if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        framing->lengths++;
    } else if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        framing->encodings++;
        framing->chunked = value && strcasecmp(value, "chunked") == 0;
    }
    return MHD_YES;
}

/* Headers that two readers could understand differently. */
static unsigned check_framing(const struct request *request, struct err *err)
{
    struct framing framing = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, note_framing,
                              &framing);
    if (framing.misnamed) {
        err_set(err, ERR_INVALID, 0,
                "a header's name holds something else than letters, digits and signs "
                "such as '-'; is there a blank before its colon?");
        return MHD_HTTP_BAD_REQUEST;
    }
    bool clear = framing.lengths + framing.encodings <= 1 &&
                 (framing.encodings == 0 || framing.chunked);
    if (!clear) {
        err_set(err, ERR_INVALID, 0,
                "it is not clear where the body ends; send one Content-Length, or "
                "Transfer-Encoding: chunked, not both");
    }
    return clear ? 0 : MHD_HTTP_BAD_REQUEST;
}

static uint64_t announced(const struct request *request)
{
    const char *length = request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

static unsigned check_body_headers(const struct request *request, struct err *err)
{
    const char *encoding = request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
    const struct intake_config *intake = intake_of(request);
    if (announced(request) > intake->body_max) {
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
    return request_comes_late(request, err) ? MHD_HTTP_SERVICE_UNAVAILABLE : 0;
}

/* A client that is about to send a large body, or asks first whether it may, is answered
 * at once, and libmicrohttpd then closes; any other when its body is read. */
static bool refuse_at_once(const struct request *request, unsigned status)
{
    return status == MHD_HTTP_BAD_REQUEST || announced(request) > ANNOUNCED_DISCARD_MAX ||
           request_header(request, MHD_HTTP_HEADER_EXPECT) != NULL;
}

static enum MHD_Result begin_request(struct request *request, const char *method,
                                     const char *url)
{
    struct err err = {0};
    unsigned status = check_framing(request, &err);
    status = status ? status : request_route(request, method, url, &err);
    if (!status && request_takes_body(request)) {
        status = check_body_headers(request, &err);
    }
    if (status && refuse_at_once(request, status)) {
        return request_refuse(request, status, &err);
    }
    if (status) {
        refuse_later(request, status, &err);
    }
    connection_enter(request->watched, CONNECTION_TRANSFER);
    return MHD_YES;
}

/* ---- The life of a request --------------------------------------------------------- */

static struct request *new_request(const struct door *door,
                                   struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof *request);
    if (request) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        request->http = door->http;
        request->connection = connection;
        request->watched = info ? info->socket_context : NULL;
        request->control = door->control;
        request->applied = -1;
        request->in_hand = !atomic_load(&door->http->stopping);
        atomic_fetch_add(&door->http->active, request->in_hand);
    }
    return request;
}

/* libmicrohttpd's signature, so its parameters are not ours to lessen. */
/* NOLINTNEXTLINE(readability-function-size) */
enum MHD_Result request_handle(void *context, struct MHD_Connection *connection,
                               const char *url, const char *method, const char *version,
                               const char *upload, size_t *upload_len,
                               void **request_context)
{
    (void)version;
    struct request *request = *request_context;
    if (!request) {
        request = new_request(context, connection);
        *request_context = request;
        return request ? begin_request(request, method, url) : MHD_NO;
    }
    if (*upload_len) {
        size_t len = *upload_len;
        *upload_len = 0;
        return take_piece(request, upload, len) ? MHD_YES : MHD_NO;
    }
    if (request->refused_status) {
        return request_refuse(request, request->refused_status, &request->refused);
    }
    return request_run(request);
}

void request_completed(void *context, struct MHD_Connection *connection,
                       void **request_context, enum MHD_RequestTerminationCode why)
{
    (void)context;
    (void)connection;
    (void)why;
    struct request *request = *request_context;
    if (!request) {
        return;
    }
    struct http *http = request->http;
    connection_enter(request->watched, CONNECTION_IDLE);
    bool in_hand = request->in_hand;
    request_drop_body(request);
    intake_batch_free(request->batch);
    free(request);
    *request_context = NULL;
    atomic_fetch_sub(&http->active, in_hand);
}
