#include "engine/http_request.h"
#include "engine/json.h"

static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

static void add_headers(struct MHD_Response *response, unsigned status,
                        const char *content_type)
{
    (void)MHD_add_response_header(response, "Content-Type", content_type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (strncmp(content_type, "text/html", 9) == 0) {
        (void)MHD_add_response_header(response, "Content-Security-Policy", page_policy);
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE || status == MHD_HTTP_TOO_MANY_REQUESTS) {
        (void)MHD_add_response_header(response, "Retry-After", "1");
    }
    if (status == MHD_HTTP_UNAUTHORIZED) {
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    }
}

/* Where a client is not sure to be in step with us, or should let go of us. */
static bool is_last(const struct request *request, unsigned status)
{
    return status == MHD_HTTP_BAD_REQUEST || status == MHD_HTTP_CONTENT_TOO_LARGE ||
           atomic_load(&request->http->stopping);
}

enum MHD_Result request_answer(struct request *request, unsigned status,
                               const char *content_type, struct slice body)
{
    union {
        const char *in;
        void *out;
    } pointer = {.in = body.len ? body.data : ""}; /* copied, not written to */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, pointer.out, MHD_RESPMEM_MUST_COPY);
    if (!response) {
        return MHD_NO;
    }
    add_headers(response, status, content_type);
    if (request->allow) {
        (void)MHD_add_response_header(response, "Allow", request->allow);
    }
    if (is_last(request, status)) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
    request->state = REQUEST_ANSWERED;
    connection_enter(request->watched, CONNECTION_ANSWER);
    atomic_fetch_add(&request->http->answered[status], 1);
    enum MHD_Result queued = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

enum MHD_Result request_answer_ok(struct request *request)
{
    return request_answer(request, MHD_HTTP_OK, "application/json",
                          SLICE_LITERAL("{\"ok\":true}"));
}

enum MHD_Result request_answer_json(struct request *request, struct json_writer *json)
{
    enum MHD_Result queued =
        request_answer(request, MHD_HTTP_OK, "application/json", json_result(json));
    json_free(json);
    return queued;
}

bool request_append_error(struct buf *out, const struct err *err)
{
    struct json_writer *json = json_new();
    if (!json) {
        return false;
    }
    json_object(json);
    json_key(json, "error");
    json_object(json);
    json_put_text(json, "code", err_name(err->code));
    json_put_text(json, "message", err->message);
    json_object_end(json);
    json_object_end(json);
    bool done = buf_append_slice(out, json_result(json));
    json_free(json);
    return done;
}

enum MHD_Result request_refuse(struct request *request, unsigned status,
                               const struct err *err)
{
    struct buf body = {0};
    enum MHD_Result queued = MHD_NO;
    if (request_append_error(&body, err)) {
        queued = request_answer(request, status, "application/json", buf_slice(&body));
    }
    buf_free(&body);
    return queued;
}
