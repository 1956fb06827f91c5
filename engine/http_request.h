/* engine/http_request.h: one request, from its headers to its answer. Private to http*.c.
 *
 *   BODY -> COMMITTING [-> APPLYING] -> ANSWERED    records
 *   BODY -----------------------------> ANSWERED    everything else, and every refusal
 *
 * While COMMITTING or APPLYING the connection is suspended and holds no thread; whoever
 * finishes the wait (the journal's writer, a lane, the keeper) resumes it. A refusal
 * waits in `refused` until a small body is read, so that the client, which is still
 * writing, gets to read it; a large one is cut off.
 */
#ifndef HOLDFAST_ENGINE_HTTP_REQUEST_H
#define HOLDFAST_ENGINE_HTTP_REQUEST_H

#include "engine/http.h"
#include "engine/http_connections.h"
#include "engine/tokens.h"

#include <microhttpd.h>
#include <stdatomic.h>

enum { HTTP_STATUS_MAX = 600 };

/* One of the two ways in. */
struct door {
    struct http *http;
    struct MHD_Daemon *daemon;
    bool control;
    bool plain; /* no TLS */
};

struct http {
    struct engine *engine;
    struct door tcp;
    struct door control;
    struct tokens *tokens; /* NULL: none are needed */
    struct connections *connections;
    uint16_t port;
    char *control_path;
    atomic_uint_fast64_t body_bytes; /* of all bodies in hand */
    atomic_uint_fast64_t active;     /* requests in hand: begun before `stopping` */
    atomic_uint_fast64_t suspended;
    atomic_uint_fast64_t answered[HTTP_STATUS_MAX]; /* by status */
    atomic_bool refusing;           /* said so, and not yet that it is over */
    atomic_int_fast64_t refused_us; /* when a batch was refused last */
    atomic_bool stopping;           /* no new requests */
    atomic_bool cutting;            /* nobody may be suspended any more */
};

enum request_state {
    REQUEST_BODY,
    REQUEST_COMMITTING,
    REQUEST_APPLYING,
    REQUEST_ANSWERED
};

struct json_writer;
struct route;

struct request {
    struct http *http;
    struct MHD_Connection *connection;
    struct connection *watched; /* its entry in http->connections */
    bool control;               /* came over the control socket */
    bool in_hand;               /* counted in http->active */
    enum request_state state;
    const struct route *route;
    const char *allow; /* for 405 */
    struct slice tail; /* of the path: the stream, the seq; points into `path` */
    char path[256];
    uint8_t scope[DIGEST_BODY_LEN]; /* of the token */

    struct buf body;
    uint64_t body_counted;   /* of http->body_bytes */
    uint64_t discarded;      /* bytes read and not kept */
    unsigned refused_status; /* 0: not refused */
    struct err refused;

    struct intake_batch *batch;
    int64_t applied_deadline_us; /* 0: not asked to wait */
    int applied;                 /* -1: not asked for */
};

/* The request's life, as libmicrohttpd tells it; `context` is a struct door. */
enum MHD_Result request_handle(void *context, struct MHD_Connection *connection,
                               const char *url, const char *method, const char *version,
                               const char *upload, size_t *upload_len,
                               void **request_context);
void request_completed(void *context, struct MHD_Connection *connection,
                       void **request_context, enum MHD_RequestTerminationCode why);

/* An answer of DESIGN's table. The second closes over an error: its name and its
 * sentence. */
enum MHD_Result request_answer(struct request *request, unsigned status,
                               const char *content_type, struct slice body);
enum MHD_Result request_refuse(struct request *request, unsigned status,
                               const struct err *err);

/* 200: {"ok":true}; and what was written, which is freed. */
enum MHD_Result request_answer_ok(struct request *request);
enum MHD_Result request_answer_json(struct request *request, struct json_writer *json);

/* {"error":{"code":...,"message":...}}; false when memory is out. */
bool request_append_error(struct buf *out, const struct err *err);

/* Counts bytes that the request holds beside those counted before; false where all
 * requests together hold too many then. */
bool request_hold(struct request *request, uint64_t bytes);

/* Suspends the connection (false: the server is being cut off, and it may not be); and
 * resumes it, after which the request may be gone. */
bool request_suspend(struct request *request, enum request_state state);

/* Gives the body back, and its share of intake.max_bodies. */
void request_drop_body(struct request *request);
void request_resume(struct request *request);

/* True, and why: the server is shutting down. */
bool request_comes_late(const struct request *request, struct err *err);

const char *request_header(const struct request *request, const char *name);
const char *request_argument(const struct request *request, const char *name);

/* Finds the route and checks method, token and stream. 0, or the status that the request
 * is refused with. */
unsigned request_route(struct request *request, const char *method, const char *url,
                       struct err *err);

/* True where the request is one that carries records. */
bool request_takes_body(const struct request *request);

/* What to do when headers and body are there, and again when it was resumed. */
enum MHD_Result request_run(struct request *request);

#endif
