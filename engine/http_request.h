/* engine/http_request.h: one request, from its headers to its answer. Private to http*.c.
 *
 *   HEADERS -> BODY -> WAITING -> ANSWERED      records
 *   HEADERS ---------------------> ANSWERED     everything else, and every refusal
 *
 * While WAITING the connection is suspended and holds no thread; whoever finishes the
 * wait (the journal's writer, a lane, the keeper) resumes it.
 */
#ifndef HOLDFAST_ENGINE_HTTP_REQUEST_H
#define HOLDFAST_ENGINE_HTTP_REQUEST_H

#include "engine/http.h"
#include "engine/tokens.h"

#include <microhttpd.h>
#include <stdatomic.h>

struct http {
    struct engine *engine;
    struct MHD_Daemon *tcp;
    struct MHD_Daemon *control;
    struct tokens *tokens; /* NULL: none are needed */
    uint16_t port;
    char *control_path;
    atomic_uint_fast64_t body_bytes; /* of all bodies in hand */
    atomic_uint_fast64_t waiting;    /* requests suspended */
    atomic_bool stopping;
};

enum request_state { REQUEST_HEADERS, REQUEST_BODY, REQUEST_WAITING, REQUEST_ANSWERED };

struct route;

struct request {
    struct http *http;
    struct MHD_Connection *connection;
    bool control; /* came over the control socket */
    bool head;    /* HEAD: the answer without its body */
    enum request_state state;
    int64_t begun_us;
    const struct route *route;
    struct slice tail; /* of the path: the stream, the seq; points into `path` */
    char path[256];
    uint8_t scope[DIGEST_BODY_LEN]; /* of the token */

    struct buf body;
    uint64_t body_counted; /* of http->body_bytes */
    struct err refused;    /* why the body isn't taken; answered at its end */
    int refused_status;

    struct intake_batch *batch;
    int64_t applied_deadline_us; /* 0: not asked to wait */
    int applied;                 /* -1: not asked for */
};

/* An answer of DESIGN's table. `body` may be NULL. The second closes over an error: its
 * name and its sentence. */
enum MHD_Result request_answer(struct request *request, unsigned status,
                               const char *content_type, struct slice body);
enum MHD_Result request_refuse(struct request *request, unsigned status,
                               const struct err *err);

/* Finds the route and checks method, token and announced size. 0, or the status that the
 * request is refused with. `allow` gets the methods for 405. */
unsigned request_route(struct request *request, const char *method, const char *url,
                       const char **out_allow, struct err *err);

/* True where the request is one that carries records. */
bool request_takes_body(const struct request *request);

/* What to do when headers and body are there. */
enum MHD_Result request_run(struct request *request);

/* The second time: after the connection was resumed. */
enum MHD_Result request_finish(struct request *request);

#endif
