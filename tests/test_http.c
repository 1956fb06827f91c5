/* The HTTP door of a real engine, by sockets that send exactly what is written here. The
 * database is down all the time: intake must not care. */
#include "engine/http.h"
#include "engine/http_listen.h"
#include "engine/json.h"
#include "tests/http_raw.h"
#include "tests/world.h"

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define RECORDS "/v1/streams/mozi/records"
#define RECORD "{\"ip\":\"1.2.3.4\",\"timestamp\":\"2026-01-01 00:00:00\"}"

enum { MAX_BODY = 256 << 10, SECOND_US = 1000000 };

struct fixture {
    char dir[WORLD_PATH_MAX];
    char control[WORLD_PATH_MAX + 32];
    struct config *config;
    struct engine *engine;
    struct http *http;
    uint16_t port;
};

static void configure(struct fixture *f, const char *intake, const char *more)
{
    struct buf text = {0};
    struct err err = {0};
    log_setup(LOG_ERROR, LOG_LOGFMT,
              STDERR_FILENO); /* the database is known to be down */
    world_make_dir(f->dir);
    buf_printf(&text,
               "journal: {path: %s/j, max_size: 8MiB, preallocate: 0}\n"
               "database: {socket: %s/none.sock, name: x, user: x}\n"
               "intake: {listen: '127.0.0.1:0', max_body: 256KiB%s}\n"
               "streams: [{name: mozi, preset: botnet}, {name: test, preset: botnet, "
               "lanes: 2}]\n%s",
               f->dir, f->dir, intake, more);
    cr_assert_eq(config_parse("test.yaml", buf_slice(&text), &f->config, &err), ERR_OK,
                 "%s", err.message);
    snprintf(f->control, sizeof f->control, "%s/j/control.sock", f->dir);
    buf_free(&text);
}

static void open_engine(struct fixture *f)
{
    struct err err = {0};
    cr_assert_eq(engine_open(f->config, &f->engine, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(http_start(f->engine, &f->http, &err), ERR_OK, "%s", err.message);
    f->port = http_port(f->http);
}

static void start_with(struct fixture *f, const char *intake)
{
    *f = (struct fixture){0};
    configure(f, intake, "");
    open_engine(f);
}

static void start(struct fixture *f)
{
    start_with(f, "");
}

static int64_t in_seconds(int seconds)
{
    return clock_steady_us(&clock_system) + (int64_t)seconds * SECOND_US;
}

static void close_engine(struct fixture *f)
{
    http_stop(f->http, in_seconds(10));
    engine_close(f->engine, SECOND_US);
}

static void end(struct fixture *f)
{
    close_engine(f);
    config_free(f->config);
    world_remove_dir(f->dir);
}

static uint64_t accepted(struct fixture *f)
{
    struct journal_stat stat;
    struct err err = {0};
    cr_assert_eq(journal_stat(engine_journal(f->engine), &stat, &err), ERR_OK);
    return stat.records;
}

/* ---- Asking --------------------------------------------------------------------------
 */

/* Every answer that is no 200 explains itself. */
static void check_error(const struct raw_answer *answer)
{
    struct json_value *value = json_parse(buf_slice(&answer->body));
    const struct json_value *error = json_get(value, "error");
    const char *message = json_as_text(json_get(error, "message"));
    cr_assert(json_as_text(json_get(error, "code")) && message && *message,
              "no error in %d %s", answer->status, answer->body.data);
    json_value_free(value);
}

static struct raw_answer ask(struct fixture *f, const char *method, const char *path,
                             const char *headers, const char *body)
{
    struct raw_request request = {method, path, headers, slice_text(body)};
    return raw_ask(f->port, &request);
}

static void expect_status(struct raw_answer *answer, int status, const char *part)
{
    cr_expect_eq(answer->status, status, "%d %s, not %d", answer->status,
                 answer->body.data ? answer->body.data : "(no answer)", status);
    if (part && answer->body.data) {
        cr_expect_not_null(strstr(answer->body.data, part), "no %s in %s", part,
                           answer->body.data);
    }
    raw_answer_free(answer);
}

static void expect(struct fixture *f, const struct raw_request *request, int status,
                   const char *part)
{
    struct raw_answer answer = raw_ask(f->port, request);
    if (answer.status >= 400) {
        check_error(&answer);
    }
    expect_status(&answer, status, part);
}

static void post_with(struct fixture *f, const char *path, const char *headers,
                      const char *body, int status, const char *part)
{
    struct raw_request request = {"POST", path, headers, slice_text(body)};
    expect(f, &request, status, part);
}

static void post(struct fixture *f, const char *path, const char *body, int status,
                 const char *part)
{
    post_with(f, path, "", body, status, part);
}

static void get(struct fixture *f, const char *path, int status, const char *part)
{
    struct raw_request request = {"GET", path, "", {0}};
    expect(f, &request, status, part);
}

/* ---- Records -------------------------------------------------------------------------
 */

Test(http, records_are_answered_after_their_commit)
{
    struct fixture f;
    start(&f);
    struct buf wanted = {0};
    buf_printf(&wanted,
               "{\"batch\":\"%s/1\",\"seq\":1,\"accepted\":1,\"dead_lettered\":0,"
               "\"errors\":[],\"replayed\":false}",
               journal_id(engine_journal(f.engine)));
    struct raw_answer answer = ask(&f, "POST", RECORDS, "", RECORD);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(answer.body.data, buf_text(&wanted));
    raw_answer_free(&answer);
    buf_free(&wanted);
    cr_expect_eq(accepted(&f), 1);
    post(&f, RECORDS, RECORD "\n{\"ip\":\"x\"}", 200,
         "\"dead_lettered\":1,\"errors\":[{");
    post(&f, "/v1/records",
         "{\"botnet_type\":\"test\",\"ip\":\"1.1.1.1\",\"timestamp\":1767225600}", 200,
         "\"seq\":3");
    post(&f, "/v1/records", RECORD, 200, "\"dead_lettered\":1");
    post(&f, RECORDS, "2026-01-01 00:00:00,1.2.3.4,beacon", 200, "\"accepted\":1");
    cr_expect_eq(accepted(&f), 6);
    end(&f);
}

Test(http, answers_survive_the_engine)
{
    struct fixture f;
    start(&f);
    post(&f, RECORDS, RECORD, 200, NULL);
    close_engine(&f);
    open_engine(&f);
    cr_expect_eq(accepted(&f), 1);
    post(&f, RECORDS, RECORD, 200, "\"seq\":2");
    end(&f);
}

static void expect_raw(struct fixture *f, const char *text, int status)
{
    struct raw raw = raw_connect(f->port);
    (void)raw_send_text(&raw, text);
    struct raw_answer answer = raw_receive(&raw);
    cr_expect_eq(answer.status, status, "%d for %s", answer.status, text);
    raw_answer_free(&answer);
    raw_close(&raw);
}

#define POST "POST " RECORDS " HTTP/1.1\r\nHost: x\r\n"

Test(http, requests_that_are_wrong)
{
    struct fixture f;
    start(&f);
    /* what libmicrohttpd refuses by itself */
    expect_raw(&f, "nonsense\r\n\r\n", 0);                /* closed without a word */
    expect_raw(&f, "GET /healthz HTTP/1.1\r\n\r\n", 400); /* no Host */
    expect_raw(&f, POST "Content-Length: x\r\n\r\n", 400);
    expect_raw(&f, POST "Content-Length: -1\r\n\r\n", 400);
    expect_raw(&f, POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
    /* what two readers would cut differently */
    expect_raw(&f, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400);
    expect_raw(
        &f, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    expect_raw(&f, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400);
    expect_raw(&f,
               POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
               400);
    expect_raw(&f, POST "Transfer-Encoding: x\r\n\r\n", 400);
    expect_raw(&f, POST "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc",
               400);
    expect_raw(&f, POST "Content-Length\t: 0\r\nContent-Length: 3\r\n\r\nabc", 400);
    post(&f, RECORDS, "", 400, "empty");
    post(&f, RECORDS, "[1]", 400, "no record");
    post(&f, RECORDS, "{", 400, NULL);
    post(&f, "/v1/records", "a,b\n", 400, "botnet_type");
    post(&f, RECORDS "?wait=forever", RECORD, 400, "wait");
    post(&f, RECORDS "?wait=applied&timeout=x", RECORD, 400, "timeout");
    post(&f, RECORDS "?wait=applied&timeout=100000", RECORD, 400, "timeout");
    post(&f, "/v1/streams/none/records", RECORD, 404, "none");
    post(&f, "/v1/streams//records", RECORD, 404, NULL);
    post(&f, "/v1/streams/mozi/records/", RECORD, 404, NULL);
    post(&f, "/v1/streams/mozi/../test/records", RECORD, 404, NULL);
    post(&f, "/", RECORD, 405, NULL);
    post(&f, "/control/pause", "", 404, NULL); /* not over TCP */
    post_with(&f, RECORDS, "Content-Encoding: br\r\n", RECORD, 415, "gzip");
    post_with(&f, RECORDS, "Content-Encoding: gzip\r\n", RECORD, 400, "gzip");
    post_with(&f, RECORDS, "Idempotency-Key: a b\r\n", RECORD, 400, "visible");
    post_with(&f, RECORDS, "Idempotency-Key: \xc3\xa4\r\n", RECORD, 400, "visible");
    post_with(&f, RECORDS, "Idempotency-Key:\r\n", RECORD, 400, "visible");
    cr_expect_eq(accepted(&f), 0, "nothing was taken");
    post(&f, RECORDS, RECORD, 200, "\"seq\":1"); /* and it still works */
    end(&f);
}

Test(http, long_paths_and_headers)
{
    struct fixture f;
    struct buf text = {0};
    start(&f);
    buf_append_text(&text, "/v1/streams/");
    for (int i = 0; i < 2000; i++) {
        buf_append_char(&text, 'm');
    }
    buf_append_text(&text, "/records");
    post(&f, buf_text(&text), RECORD, 404, NULL);
    buf_clear(&text);
    buf_append_text(&text, POST "X: ");
    for (int i = 0; i < 200000; i++) {
        buf_append_char(&text, 'x');
    }
    buf_append_text(&text, "\r\n\r\n");
    struct raw raw = raw_connect(f.port);
    (void)raw_send_text(&raw, buf_text(&text));
    struct raw_answer answer = raw_receive(&raw);
    cr_expect(answer.status == 431 || answer.status == 413 || answer.status == 0, "%d",
              answer.status);
    raw_answer_free(&answer);
    raw_close(&raw);
    buf_free(&text);
    post(&f, RECORDS, RECORD, 200, NULL);
    end(&f);
}

Test(http, methods)
{
    struct fixture f;
    start(&f);
    struct raw_answer answer = ask(&f, "PUT", RECORDS, "", RECORD);
    char *allow = raw_header(&answer, "Allow");
    cr_expect_str_eq(allow, "POST");
    free(allow);
    check_error(&answer);
    expect_status(&answer, 405, "POST");
    answer = ask(&f, "DELETE", "/v1/status", "", "");
    allow = raw_header(&answer, "Allow");
    cr_expect_str_eq(allow, "GET, HEAD");
    free(allow);
    expect_status(&answer, 405, NULL);
    struct raw raw = raw_connect(f.port);
    /* HEAD has the length and not the body: the next answer follows at once */
    raw_send_text(&raw, "HEAD /version HTTP/1.1\r\nHost: x\r\n\r\n"
                        "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    while (raw.in.len < 12 || !strstr(raw.in.data, "HTTP/1.1 404")) {
        char piece[4096];
        ssize_t got = read(raw.fd, piece, sizeof piece);
        cr_assert_gt(got, 0);
        buf_append(&raw.in, piece, (size_t)got);
        cr_assert_not_null(buf_text(&raw.in));
    }
    cr_expect_eq(strncmp(raw.in.data, "HTTP/1.1 200", 12), 0);
    cr_expect_null(strstr(raw.in.data, "{\"version\""));
    raw_close(&raw);
    end(&f);
}

/* ---- How a body may come -------------------------------------------------------------
 */

Test(http, chunked)
{
    struct fixture f;
    start(&f);
    struct raw raw = raw_connect(f.port);
    for (int i = 0; i < 2; i++) { /* on one connection */
        raw_send_text(&raw, POST "Transfer-Encoding: chunked\r\n\r\n"
                                 "8\r\n{\"ip\":\"1\r\n6\r\n.2.3.4\r\n");
        raw_send_text(
            &raw,
            "23;x=y\r\n\",\"timestamp\":\"2026-01-01 00:00:00\"\r\n1\r\n}\r\n0\r\n\r\n");
        struct raw_answer answer = raw_receive(&raw);
        expect_status(&answer, 200, "\"accepted\":1,\"dead_lettered\":0");
    }
    raw_close(&raw);
    end(&f);
}

Test(http, expect_100_continue)
{
    struct fixture f;
    struct buf head = {0};
    start(&f);
    struct raw raw = raw_connect(f.port);
    buf_printf(&head, POST "Expect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
               strlen(RECORD));
    raw_send_text(&raw, buf_text(&head));
    struct raw_answer answer = raw_receive(&raw);
    expect_status(&answer, 100, NULL);
    raw_send_text(&raw, RECORD);
    answer = raw_receive(&raw);
    expect_status(&answer, 200, "\"accepted\":1");
    raw_close(&raw);
    /* who would be refused is told instead of being asked for the body */
    raw = raw_connect(f.port);
    buf_clear(&head);
    buf_printf(&head, POST "Expect: 100-continue\r\nContent-Length: %d\r\n\r\n",
               MAX_BODY + 1);
    raw_send_text(&raw, buf_text(&head));
    answer = raw_receive(&raw);
    check_error(&answer);
    expect_status(&answer, 413, "max_body");
    cr_expect(raw_is_closed(&raw));
    raw_close(&raw);
    buf_free(&head);
    end(&f);
}

Test(http, several_requests_at_once_on_one_connection)
{
    struct fixture f;
    struct buf text = {0};
    start(&f);
    struct raw raw = raw_connect(f.port);
    struct raw_request request = {"POST", RECORDS, "", SLICE_LITERAL(RECORD)};
    for (int i = 0; i < 10; i++) {
        raw_append_request(&text, &request);
    }
    raw_send(&raw, buf_slice(&text));
    for (int i = 1; i <= 10; i++) {
        char seq[32];
        snprintf(seq, sizeof seq, "\"seq\":%d,", i);
        struct raw_answer answer = raw_receive(&raw);
        expect_status(&answer, 200, seq);
    }
    raw_close(&raw);
    buf_free(&text);
    end(&f);
}

static struct buf packed(struct slice text)
{
    struct buf out = {0};
    z_stream stream = {0};
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
                 Z_OK);
    uLong most = deflateBound(&stream, text.len);
    Bytef *in = malloc(text.len + 1);
    memcpy(in, text.data, text.len);
    cr_assert(buf_reserve(&out, most));
    stream.next_in = in;
    stream.avail_in = (uInt)text.len;
    stream.next_out = (Bytef *)out.data;
    stream.avail_out = (uInt)most;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.len = stream.total_out;
    cr_assert_eq(deflateEnd(&stream), Z_OK);
    free(in);
    return out;
}

Test(http, gzip)
{
    struct fixture f;
    start(&f);
    struct buf body = packed(SLICE_LITERAL(RECORD "\n" RECORD));
    struct raw_request request = {"POST", RECORDS, "Content-Encoding: gzip\r\n",
                                  buf_slice(&body)};
    struct raw_answer answer = raw_ask(f.port, &request);
    expect_status(&answer, 200, "\"accepted\":2");
    request.headers = "Content-Encoding: X-GZIP\r\n";
    answer = raw_ask(f.port, &request);
    expect_status(&answer, 200, "\"accepted\":2");
    request.headers = ""; /* forgotten, but it can't be anything else */
    answer = raw_ask(f.port, &request);
    expect_status(&answer, 200, "\"accepted\":2");
    request.body.len -= 4; /* cut off */
    answer = raw_ask(f.port, &request);
    expect_status(&answer, 400, NULL);
    buf_free(&body);
    struct buf zeros = {0};
    cr_assert(buf_reserve(&zeros, 8 << 20));
    zeros.len = 8 << 20;
    memset(zeros.data, ' ', zeros.len);
    body = packed(buf_slice(&zeros)); /* a bomb: far below the limit until inflated */
    request = (struct raw_request){"POST", RECORDS, "Content-Encoding: gzip\r\n",
                                   buf_slice(&body)};
    answer = raw_ask(f.port, &request);
    check_error(&answer);
    expect_status(&answer, 413, "inflated");
    cr_expect_eq(accepted(&f), 6);
    buf_free(&zeros);
    buf_free(&body);
    end(&f);
}

Test(http, too_large_by_its_own_words)
{
    struct fixture f;
    struct buf head = {0};
    start(&f);
    struct raw raw = raw_connect(f.port);
    buf_printf(&head, POST "Content-Length: %d\r\n\r\n{", MAX_BODY + 1);
    raw_send_text(&raw, buf_text(&head));
    struct raw_answer answer = raw_receive(&raw); /* with all but a byte still to come */
    check_error(&answer);
    expect_status(&answer, 413, "max_body");
    raw_close(&raw);
    buf_free(&head);
    end(&f);
}

/* A chunked body has no words of its own: it is told at the cap, or soon after it. */
Test(http, too_large_in_chunks)
{
    struct fixture f;
    struct buf chunk = {0};
    start(&f);
    buf_append_text(&chunk, "10000\r\n");
    for (int i = 0; i < 0x10000; i++) {
        buf_append_char(&chunk, ' ');
    }
    buf_append_text(&chunk, "\r\n");
    struct raw raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 6; i++) {
        cr_assert(raw_send(&raw, buf_slice(&chunk)));
    }
    raw_send_text(&raw, "0\r\n\r\n"); /* it ends within what is still read */
    struct raw_answer answer = raw_receive(&raw);
    check_error(&answer);
    expect_status(&answer, 413, "max_body");
    raw_close(&raw);

    raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Transfer-Encoding: chunked\r\n\r\n");
    bool taken = true;
    for (int i = 0; i < 10000 && taken; i++) {
        taken = raw_send(&raw, buf_slice(&chunk));
    }
    cr_expect_not(taken, "it never ends, but is not read for ever");
    answer = raw_receive(&raw);
    check_error(&answer);
    expect_status(&answer, 413, "max_body");
    raw_close(&raw);
    buf_free(&chunk);
    cr_expect_eq(accepted(&f), 0);
    end(&f);
}

Test(http, bodies_in_hand_are_bounded)
{
    struct fixture f;
    struct buf body = {0};
    start_with(&f, ", max_bodies: 256KiB");
    for (int i = 0; i < 200 << 10; i++) {
        buf_append_char(&body, ' ');
    }
    struct raw slow = raw_connect(f.port);
    raw_send_text(&slow, POST "Content-Length: 204810\r\n\r\n");
    raw_send(&slow, buf_slice(&body));
    /* until the first one's bytes are counted, the second may pass */
    int status = 0;
    for (int i = 0; i < 10000 && status != 503; i++) {
        struct raw_request request = {"POST", RECORDS, "", buf_slice(&body)};
        struct raw_answer answer = raw_ask(f.port, &request);
        status = answer.status;
        cr_assert(status == 503 || status == 400, "%d", status);
        if (status == 503) {
            char *after = raw_header(&answer, "Retry-After");
            cr_expect_not_null(after);
            free(after);
        }
        raw_answer_free(&answer);
    }
    cr_expect_eq(status, 503);
    raw_close(&slow);
    /* and its bytes are given back when it has gone */
    struct raw_answer answer = {0};
    for (int i = 0; i < 10000 && status != 400; i++) {
        struct raw_request request = {"POST", RECORDS, "", buf_slice(&body)};
        answer = raw_ask(f.port, &request);
        status = answer.status;
        raw_answer_free(&answer);
    }
    cr_expect_eq(status, 400);
    buf_free(&body);
    end(&f);
}

/* Also when the server's own thread has not heard yet that it is to stop listening. */
Test(http, stops_at_any_moment)
{
    struct fixture f;
    struct err err = {0};
    start(&f);
    for (int i = 0; i < 300; i++) {
        http_stop(f.http, in_seconds(10));
        cr_assert_eq(http_start(f.engine, &f.http, &err), ERR_OK, "%s", err.message);
    }
    end(&f);
}

/* Comes and asks, whatever becomes of it. */
static void knock(uint16_t port)
{
    static const char hello[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char answer[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL) > 0) {
        (void)recv(fd, answer, sizeof answer, 0);
    }
    (void)close(fd);
}

struct visitor {
    atomic_uint port; /* 0: enough */
};

static void *visit(void *context)
{
    struct visitor *visitor = context;
    unsigned port;
    while ((port = atomic_load(&visitor->port)) != 0) {
        knock((uint16_t)port);
    }
    return NULL;
}

/* Whoever comes keeps the server's threads awake while they are told to end. */
Test(http, stops_while_visitors_come)
{
    enum { VISITORS = 3, STOPS = 100 };
    struct fixture f;
    struct err err = {0};
    pthread_t threads[VISITORS];
    start_with(&f, ", threads: 16");
    struct visitor visitor = {.port = f.port};
    for (int i = 0; i < VISITORS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, visit, &visitor), 0);
    }
    for (int i = 0; i < STOPS; i++) {
        http_stop(f.http, in_seconds(10));
        cr_assert_eq(http_start(f.engine, &f.http, &err), ERR_OK, "%s", err.message);
        atomic_store(&visitor.port, http_port(f.http));
    }
    atomic_store(&visitor.port, 0);
    for (int i = 0; i < VISITORS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    end(&f);
}

/* A sender that waits for the database has given its body's room back: it is durable. */
Test(http, waiting_for_the_database_takes_no_room)
{
    struct fixture f;
    struct buf body = {0};
    char head[200];
    int status = 0;
    start_with(&f, ", max_bodies: 256KiB");
    while (body.len < 200 << 10) {
        buf_append_text(&body, RECORD "\n");
    }
    struct raw waiting = raw_connect(f.port);
    snprintf(head, sizeof head,
             "POST " RECORDS "?wait=applied&timeout=300 HTTP/1.1\r\nHost: x\r\n"
             "Content-Length: %zu\r\n\r\n",
             body.len);
    raw_send_text(&waiting, head);
    raw_send(&waiting, buf_slice(&body));
    for (int i = 0; i < 10000 && status != 200; i++) {
        struct raw_request request = {"POST", RECORDS, "", buf_slice(&body)};
        struct raw_answer answer = raw_ask(f.port, &request);
        status = answer.status;
        raw_answer_free(&answer);
    }
    cr_expect_eq(status, 200);
    raw_close(&waiting);
    buf_free(&body);
    end(&f);
}

/* ---- Clients that go, or never come to an end ----------------------------------------
 */

Test(http, cut_off_in_transfer)
{
    struct fixture f;
    start(&f);
    struct raw raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Content-Length: 500\r\n\r\n" RECORD "\n");
    raw_close(&raw);
    raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n");
    raw_close(&raw);
    post(&f, RECORDS, RECORD, 200, "\"seq\":1"); /* nothing was taken before */
    http_stop(f.http, in_seconds(10));           /* both are surely noticed then */
    f.http = NULL;
    cr_expect_eq(accepted(&f), 1);
    end(&f);
}

Test(http, who_goes_while_waiting_is_still_taken)
{
    struct fixture f;
    struct buf text = {0};
    start(&f);
    struct raw_request request = {"POST", RECORDS "?wait=applied&timeout=300", "",
                                  SLICE_LITERAL(RECORD)};
    raw_append_request(&text, &request);
    for (int i = 0; i < 20; i++) {
        struct raw raw = raw_connect(f.port);
        raw_send(&raw, buf_slice(&text));
        raw_close(&raw);
    }
    for (int i = 0; i < 10000 && accepted(&f) < 20; i++) {
        get(&f, "/healthz", 200, NULL);
    }
    cr_expect_eq(accepted(&f), 20);
    buf_free(&text);
    end(&f);
}

Test(http, a_slow_sender_is_cut)
{
    struct fixture f;
    start_with(&f, ", request_timeout: 1s, idle_timeout: 1s");
    struct raw raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Content-Length: 100000\r\n\r\n");
    bool taken = true;
    for (int i = 0; i < 300 && taken; i++) { /* never idle, never done */
        taken = raw_send_text(&raw, " ");
        usleep(100000);
    }
    cr_expect_not(taken);
    struct raw_answer answer = raw_receive(&raw);
    check_error(&answer);
    expect_status(&answer, 408, "request_timeout");
    raw_close(&raw);
    cr_expect_eq(accepted(&f), 0);
    end(&f);
}

Test(http, dripping_headers_are_cut)
{
    struct fixture f;
    start_with(&f, ", request_timeout: 1s, idle_timeout: 1s");
    struct raw raw = raw_connect(f.port);
    raw_send_text(&raw, "GET /healthz HTTP/1.1\r\nX: ");
    bool taken = true;
    for (int i = 0; i < 300 && taken; i++) {
        taken = raw_send_text(&raw, "x");
        usleep(100000);
    }
    cr_expect_not(taken);
    raw_close(&raw);
    end(&f);
}

Test(http, an_idle_connection_is_closed)
{
    struct fixture f;
    start_with(&f, ", idle_timeout: 1s");
    struct raw raw = raw_connect(f.port);
    cr_expect(raw_is_closed(&raw));
    raw_close(&raw);
    end(&f);
}

Test(http, connections_of_one_address)
{
    struct fixture f;
    start_with(&f, ", max_connections_per_address: 3");
    struct raw held[3];
    for (int i = 0; i < 3; i++) {
        held[i] = raw_connect(f.port);
        raw_send_text(&held[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        struct raw_answer answer = raw_receive(&held[i]);
        expect_status(&answer, 200, NULL);
    }
    struct raw more = raw_connect(f.port);
    cr_expect(raw_is_closed(&more));
    raw_close(&more);
    for (int i = 0; i < 3; i++) {
        raw_close(&held[i]);
    }
    end(&f);
}

/* ---- Many at once --------------------------------------------------------------------
 */

enum { POSTERS = 50, POSTS = 20, POSTED = POSTERS * POSTS };

struct poster {
    pthread_t thread;
    uint16_t port;
    unsigned fine;
};

static void *post_often(void *context)
{
    struct poster *poster = context;
    struct raw raw = raw_connect(poster->port);
    struct buf text = {0};
    struct raw_request request = {"POST", RECORDS, "", SLICE_LITERAL(RECORD "\n" RECORD)};
    raw_append_request(&text, &request);
    for (int i = 0; i < POSTS; i++) {
        raw_send(&raw, buf_slice(&text));
        struct raw_answer answer = raw_receive(&raw);
        poster->fine += answer.status == 200;
        raw_answer_free(&answer);
    }
    raw_close(&raw);
    buf_free(&text);
    return NULL;
}

Test(http, fifty_posters)
{
    struct fixture f;
    struct poster posters[POSTERS];
    unsigned fine = 0;
    start(&f);
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.port = f.port};
        cr_assert_eq(pthread_create(&posters[i].thread, NULL, post_often, &posters[i]),
                     0);
    }
    for (int i = 0; i < POSTERS; i++) {
        cr_assert_eq(pthread_join(posters[i].thread, NULL), 0);
        fine += posters[i].fine;
    }
    cr_expect_eq(fine, POSTED);
    cr_expect_eq(accepted(&f), (uint64_t)2 * POSTED);
    struct journal_stat stat;
    struct err err = {0};
    cr_assert_eq(journal_stat(engine_journal(f.engine), &stat, &err), ERR_OK);
    cr_expect_eq(stat.next_seq, POSTED + 1);
    cr_expect_lt(stat.commits, POSTED, "commits are shared");
    end(&f);
}

/* ---- Keys ----------------------------------------------------------------------------
 */

Test(http, idempotency_keys)
{
    struct fixture f;
    static const char key[] = "Idempotency-Key: k-1\r\n";
    start(&f);
    struct raw_answer first = ask(&f, "POST", RECORDS, key, RECORD "\n{\"ip\":\"x\"}");
    struct raw_answer again = ask(&f, "POST", RECORDS, key, RECORD "\n{\"ip\":\"x\"}");
    cr_expect_eq(first.status, 200);
    cr_expect_eq(again.status, 200);
    char *flag = strstr(first.body.data, "\"replayed\":false}");
    cr_assert_not_null(flag);
    first.body.len = (size_t)(flag - first.body.data);
    buf_append_text(&first.body, "\"replayed\":true}");
    cr_assert_not_null(buf_text(&first.body));
    cr_expect_str_eq(first.body.data, again.body.data);
    raw_answer_free(&first);
    raw_answer_free(&again);
    post_with(&f, RECORDS, key, RECORD, 422, "key_reused");
    /* the key belongs to the path */
    post_with(&f, "/v1/streams/test/records", key, RECORD, 200, "\"replayed\":false");
    /* the decoded body counts */
    struct buf body = packed(SLICE_LITERAL(RECORD "\n{\"ip\":\"x\"}"));
    struct raw_request request = {"POST", RECORDS,
                                  "Idempotency-Key: k-1\r\nContent-Encoding: gzip\r\n",
                                  buf_slice(&body)};
    again = raw_ask(f.port, &request);
    expect_status(&again, 200, "\"replayed\":true");
    buf_free(&body);
    post_with(&f, RECORDS "?wait=applied&timeout=0", key, RECORD "\n{\"ip\":\"x\"}", 200,
              "\"replayed\":true,\"applied\":false");
    cr_expect_eq(accepted(&f), 3);
    end(&f);
}

/* ---- Waiting for the database --------------------------------------------------------
 */

Test(http, wait_for_a_database_that_is_down)
{
    struct fixture f;
    start(&f);
    post(&f, RECORDS "?wait=applied&timeout=1", RECORD, 200, "\"applied\":false");
    post(&f, RECORDS "?wait=applied&timeout=0", RECORD, 200, "\"applied\":false");
    /* nothing but dead letters without a stream: there is nothing to apply */
    post(&f, "/v1/records?wait=applied&timeout=300", RECORD, 200, "\"applied\":true");
    get(&f, "/v1/batches/1", 200, "\"state\":\"journaled\"");
    get(&f, "/v1/batches/3", 200, "\"state\":\"applied\"");
    get(&f, "/v1/batches/4", 404, "unknown");
    get(&f, "/v1/batches/0", 404, "unknown");
    get(&f, "/v1/batches/99999999999999999999999", 400, NULL);
    get(&f, "/v1/batches/x", 400, NULL);
    get(&f, "/v1/batches/-1", 400, NULL);
    end(&f);
}

Test(http, a_batch_of_several_entries)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    for (int i = 0; i < 100; i++) {
        buf_printf(&body, "{\"ip\":\"1.2.3.%d\",\"timestamp\":1767225600}\n", i);
    }
    buf_append_text(&body, "{\"ip\":\"x\"}\n");
    post(&f, "/v1/streams/test/records", buf_text(&body), 200, "\"accepted\":101");
    get(&f, "/v1/batches/2", 200,
        "{\"seq\":1,\"state\":\"journaled\",\"records\":101,\"dead_letters\":1,"
        "\"entries\":2,\"applied_entries\":0}");
    buf_free(&body);
    end(&f);
}

static void *stop_http(void *context)
{
    struct fixture *f = context;
    http_stop(f->http, in_seconds(30));
    return NULL;
}

Test(http, stopping_answers_who_waits)
{
    struct fixture f;
    struct buf text = {0};
    pthread_t thread;
    start(&f);
    struct raw waiting = raw_connect(f.port);
    struct raw_request request = {"POST", RECORDS "?wait=applied&timeout=300", "",
                                  SLICE_LITERAL(RECORD)};
    raw_append_request(&text, &request);
    raw_send(&waiting, buf_slice(&text));
    while (accepted(&f) == 0) {
        get(&f, "/healthz", 200, NULL);
    }
    cr_assert_eq(pthread_create(&thread, NULL, stop_http, &f), 0);
    struct raw_answer answer = raw_receive(&waiting);
    expect_status(&answer, 200, "\"applied\":false");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect(raw_is_closed(&waiting));
    raw_close(&waiting);
    f.http = NULL;
    buf_free(&text);
    end(&f);
}

/* Not left to wait for an answer that never comes. */
Test(http, who_comes_while_it_stops_is_sent_away)
{
    struct fixture f;
    pthread_t thread;
    start(&f);
    struct raw slow = raw_connect(f.port);
    raw_send_text(&slow, POST "Content-Length: 100\r\n\r\n" RECORD);
    get(&f, "/readyz", 200, NULL);
    cr_assert_eq(pthread_create(&thread, NULL, stop_http, &f), 0);
    struct raw_answer answer = ask(&f, "GET", "/readyz", "", "");
    while (answer.status == 200) {
        raw_answer_free(&answer);
        answer = ask(&f, "GET", "/readyz", "", "");
    }
    expect_status(&answer, 503, "shutting down");
    answer = ask(&f, "POST", RECORDS, "", RECORD);
    char *connection = raw_header(&answer, "Connection");
    cr_expect_str_eq(connection, "close");
    free(connection);
    expect_status(&answer, 503, "shutting down");
    char rest[100 - (sizeof RECORD - 1)];
    memset(rest, '\n', sizeof rest);
    raw_send(&slow, (struct slice){.data = rest, .len = sizeof rest});
    answer = raw_receive(&slow);
    expect_status(&answer, 200, "\"accepted\":1");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    f.http = NULL;
    raw_close(&slow);
    cr_expect_eq(accepted(&f), 1);
    end(&f);
}

Test(http, stopping_does_not_wait_for_who_never_ends)
{
    struct fixture f;
    start(&f);
    struct raw raw = raw_connect(f.port);
    raw_send_text(&raw, POST "Content-Length: 100\r\n\r\n{");
    get(&f, "/healthz", 200, NULL);
    int64_t begun_us = clock_steady_us(&clock_system);
    http_stop(f.http, begun_us + SECOND_US / 2);
    cr_expect_lt(clock_steady_us(&clock_system) - begun_us, 30 * (int64_t)SECOND_US);
    f.http = NULL;
    cr_expect(raw_is_closed(&raw));
    raw_close(&raw);
    cr_expect_eq(accepted(&f), 0);
    end(&f);
}

/* ---- Full ----------------------------------------------------------------------------
 */

Test(http, a_full_journal)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    while (body.len < 200 << 10) {
        buf_printf(&body, "{\"ip\":\"1.2.3.4\",\"timestamp\":%zu,\"isp\":\"%0200d\"}\n",
                   1767225600 + body.len, 0);
    }
    uint64_t before = 0;
    int status = 200;
    for (int i = 0; i < 200 && status == 200; i++) {
        before = accepted(&f);
        struct raw_answer answer = ask(&f, "POST", RECORDS, "", buf_text(&body));
        status = answer.status;
        if (status == 503) {
            char *after = raw_header(&answer, "Retry-After");
            cr_expect_not_null(after);
            free(after);
            check_error(&answer);
        }
        raw_answer_free(&answer);
    }
    cr_expect_eq(status, 503);
    cr_expect_gt(before, 0);
    cr_expect_eq(accepted(&f), before, "what was refused was not taken");
    get(&f, "/healthz", 200, NULL);
    get(&f, "/v1/status", 200, NULL);
    buf_free(&body);
    end(&f);
}

/* ---- Tokens --------------------------------------------------------------------------
 */

static void start_with_tokens(struct fixture *f, const char *tokens)
{
    struct err err = {0};
    char path[WORLD_PATH_MAX + 16];
    *f = (struct fixture){0};
    configure(f, "", "");
    snprintf(path, sizeof path, "%s/token", f->dir);
    world_write_file(path, tokens);
    f->config->intake.token_file = path;
    cr_assert_eq(engine_open(f->config, &f->engine, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(http_start(f->engine, &f->http, &err), ERR_OK, "%s", err.message);
    f->config->intake.token_file = NULL;
    f->port = http_port(f->http);
}

static void post_as(struct fixture *f, const char *authorization, int status)
{
    char headers[256];
    snprintf(headers, sizeof headers, "Authorization: %s\r\n", authorization);
    post_with(f, RECORDS, headers, RECORD, status, NULL);
}

Test(http, tokens)
{
    struct fixture f;
    start_with_tokens(&f, "# ours\nsecret-1\nsecret-2\n");
    post(&f, RECORDS, RECORD, 401, "token");
    post_as(&f, "Bearer secret-3", 401);
    post_as(&f, "Bearer secret-", 401);
    post_as(&f, "Bearer secret-11", 401);
    post_as(&f, "Bearer ", 401);
    post_as(&f, "Bearer # ours", 401);
    post_as(&f, "secret-1", 401);
    post_as(&f, "Basic secret-1", 401);
    cr_expect_eq(accepted(&f), 0);
    post_as(&f, "Bearer secret-1", 200);
    post_as(&f, "bearer  secret-2", 200);
    get(&f, "/v1/status", 401, NULL);
    get(&f, "/metrics", 401, NULL);
    get(&f, "/v1/dashboard", 401, NULL);
    get(&f, "/v1/batches/1", 401, NULL);
    get(&f, "/", 200, NULL); /* or no browser could ask for a token */
    get(&f, "/dashboard/app.js", 200, NULL);
    get(&f, "/healthz", 200, NULL);
    get(&f, "/readyz", 200, NULL);
    get(&f, "/version", 200, NULL);
    struct raw_answer answer = ask(&f, "GET", "/v1/status", "", "");
    char *scheme = raw_header(&answer, "WWW-Authenticate");
    cr_expect_str_eq(scheme, "Bearer");
    free(scheme);
    raw_answer_free(&answer);
    /* a path that is unknown is not told to strangers apart from one that needs a token
     */
    end(&f);
}

static void get_under(struct fixture *f, const char *host, int status)
{
    char text[256];
    struct raw raw = raw_connect(f->port);
    snprintf(text, sizeof text, "GET /v1/dashboard HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    raw_send_text(&raw, text);
    struct raw_answer answer = raw_receive(&raw);
    raw_close(&raw);
    cr_expect_eq(answer.status, status, "%s: %d", host, answer.status);
    raw_answer_free(&answer);
}

/* A page in a browser, whose name leads here now, must not read records. */
Test(http, without_a_token_records_are_shown_under_an_address_alone)
{
    struct fixture f;
    start(&f);
    get_under(&f, "127.0.0.1", 200);
    get_under(&f, "127.0.0.1:8640", 200);
    get_under(&f, "[::1]:8640", 200);
    get_under(&f, "LocalHost:8640", 200);
    get_under(&f, "localhost", 200);
    get_under(&f, "example.org", 403);
    get_under(&f, "example.org:8640", 403);
    get_under(&f, "localhost.example.org", 403);
    get_under(&f, "127.0.0.1.example.org", 403);
    get(&f, "/v1/status", 200, NULL);
    end(&f);
}

static void post_from(struct fixture *f, const char *host, const char *origin, int status)
{
    char text[512];
    struct raw raw = raw_connect(f->port);
    snprintf(text, sizeof text,
             "POST " RECORDS " HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\n"
             "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
             host, origin, strlen(RECORD), RECORD);
    raw_send_text(&raw, text);
    struct raw_answer answer = raw_receive(&raw);
    raw_close(&raw);
    cr_expect_eq(answer.status, status, "%s from %s: %d", host, origin, answer.status);
    raw_answer_free(&answer);
}

/* Nor send any: a form of elsewhere is posted without asking whether it may. */
Test(http, without_a_token_nothing_is_taken_from_a_page_of_elsewhere)
{
    struct fixture f;
    start(&f);
    post_from(&f, "127.0.0.1:8640", "http://127.0.0.1:8640", 200);
    post_from(&f, "LOCALHOST:8640", "http://localhost:8640", 200);
    post_from(&f, "127.0.0.1:8640", "https://example.org", 403);
    post_from(&f, "127.0.0.1:8640", "http://127.0.0.1:8641", 403);
    post_from(&f, "127.0.0.1:8640", "http://127.0.0.1:8640.example.org", 403);
    post_from(&f, "127.0.0.1:8640", "null", 403);
    post_from(&f, "127.0.0.1:8640", "", 403);
    post_from(&f, "example.org:8640", "http://example.org:8640", 403);
    post(&f, RECORDS, RECORD, 200, "\"accepted\":1");
    end(&f);
}

Test(http, with_a_token_a_page_may_be_from_anywhere)
{
    struct fixture f;
    start_with_tokens(&f, "secret-1\n");
    post_with(&f, RECORDS,
              "Origin: https://example.org\r\nAuthorization: Bearer secret-1\r\n", RECORD,
              200, "\"accepted\":1");
    end(&f);
}

Test(http, a_key_belongs_to_its_token)
{
    struct fixture f;
    start_with_tokens(&f, "secret-1\nsecret-2\n");
    post_with(&f, RECORDS, "Idempotency-Key: k\r\nAuthorization: Bearer secret-1\r\n",
              RECORD, 200, "\"replayed\":false");
    post_with(&f, RECORDS, "Idempotency-Key: k\r\nAuthorization: Bearer secret-2\r\n",
              RECORD, 200, "\"replayed\":false");
    post_with(&f, RECORDS, "Idempotency-Key: k\r\nAuthorization: Bearer secret-1\r\n",
              RECORD, 200, "\"replayed\":true");
    end(&f);
}

Test(http, tokens_are_read_again)
{
    struct fixture f;
    struct err err = {0};
    char path[WORLD_PATH_MAX + 16];
    start_with_tokens(&f, "old\n");
    snprintf(path, sizeof path, "%s/token", f.dir);
    /* the path that http_start was given is its own copy */
    world_write_file(path, "new\n");
    cr_assert_eq(http_reload(f.http, &err), ERR_OK, "%s", err.message);
    post_as(&f, "Bearer old", 401);
    post_as(&f, "Bearer new", 200);
    cr_assert_eq(unlink(path), 0);
    cr_assert_neq(http_reload(f.http, &err), ERR_OK);
    post_as(&f, "Bearer new", 200);
    end(&f);
}

Test(http, beyond_loopback_a_token_is_required)
{
    struct fixture f = {0};
    struct err err = {0};
    configure(&f, "", "");
    f.config->intake.listen = "0.0.0.0:0";
    cr_assert_eq(engine_open(f.config, &f.engine, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(http_start(f.engine, &f.http, &err), ERR_CONFIG);
    cr_assert_not_null(strstr(err.message, "token"), "%s", err.message);
    f.config->intake.listen = "127.0.0.1";
    cr_assert_eq(http_start(f.engine, &f.http, &err), ERR_CONFIG);
    end(&f);
}

/* ---- The control socket --------------------------------------------------------------
 */

static struct raw_answer ask_control(struct fixture *f, const char *method,
                                     const char *path, const char *body)
{
    struct raw raw = raw_connect_unix(f->control);
    struct buf text = {0};
    struct raw_request request = {method, path, "", slice_text(body)};
    raw_append_request(&text, &request);
    raw_send(&raw, buf_slice(&text));
    struct raw_answer answer = raw_receive(&raw);
    raw_close(&raw);
    buf_free(&text);
    return answer;
}

static void control(struct fixture *f, const char *method, const char *path,
                    const char *body, int status, const char *part)
{
    struct raw_answer answer = ask_control(f, method, path, body);
    if (answer.status >= 400) {
        check_error(&answer);
    }
    expect_status(&answer, status, part);
}

Test(http, control_socket)
{
    struct fixture f;
    struct stat stat;
    start_with_tokens(&f, "secret\n");
    cr_assert_eq(lstat(f.control, &stat), 0);
    cr_expect(S_ISSOCK(stat.st_mode));
    cr_expect_eq(stat.st_mode & 0777, 0600);
    control(&f, "POST", "/control/pause", "", 200, "true");
    control(&f, "GET", "/v1/status", "", 200, "\"paused\":true"); /* without a token */
    control(&f, "POST", RECORDS, RECORD, 200, "\"seq\":1");
    control(&f, "POST", "/control/resume", "", 200, NULL);
    control(&f, "GET", "/v1/status", "", 200, "\"paused\":false");
    control(&f, "GET", "/control/resume", "", 405, NULL);
    control(&f, "POST", "/control/deadletter/accept?stream=test&lane=1", "", 200, NULL);
    control(&f, "POST", "/control/deadletter/accept?stream=test&lane=2", "", 404, NULL);
    control(&f, "POST", "/control/deadletter/accept?stream=test&lane=x", "", 400, NULL);
    control(&f, "POST", "/control/deadletter/accept", "", 400, NULL);
    close_engine(&f);
    cr_expect_neq(lstat(f.control, &stat), 0, "it goes with its engine");
    /* one that a dead engine left is replaced; and a pause outlives its engine */
    world_write_file(f.control, "");
    open_engine(&f);
    control(&f, "GET", "/healthz", "", 200, NULL);
    end(&f);
}

Test(http, a_pause_survives)
{
    struct fixture f;
    start(&f);
    control(&f, "POST", "/control/pause", "", 200, NULL);
    close_engine(&f);
    open_engine(&f);
    control(&f, "GET", "/v1/status", "", 200, "\"paused\":true");
    post(&f, RECORDS, RECORD, 200, NULL); /* intake goes on */
    end(&f);
}

Test(http, a_control_path_that_is_too_long)
{
    struct fixture f = {0};
    struct err err = {0};
    char path[WORLD_PATH_MAX + 128];
    configure(&f, "", "");
    snprintf(path, sizeof path, "%s/%0100d", f.dir, 0);
    f.config->journal.path = path;
    cr_assert_eq(engine_open(f.config, &f.engine, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(http_start(f.engine, &f.http, &err), ERR_CONFIG);
    cr_assert_not_null(strstr(err.message, "shorter path"), "%s", err.message);
    end(&f);
}

/* ---- What it tells -------------------------------------------------------------------
 */

Test(http, status_is_json)
{
    struct fixture f;
    start(&f);
    post(&f, RECORDS, RECORD "\n{\"ip\":\"x\"}", 200, NULL);
    struct raw_answer answer = ask(&f, "GET", "/v1/status", "", "");
    struct json_value *value = json_parse(buf_slice(&answer.body));
    cr_assert_not_null(value, "%s", answer.body.data);
    cr_expect_eq(json_as_integer(json_get(value, "accepted"), -1), 2);
    cr_expect_eq(json_as_integer(json_get(value, "pending"), -1), 2);
    cr_expect(json_as_bool(json_get(value, "ready"), false));
    cr_expect_not(json_as_bool(json_get(value, "connected"), true));
    const struct json_value *lanes = json_get(value, "lanes");
    cr_expect_eq(json_count(lanes), 3); /* of both streams, also those without entries */
    const struct json_value *lane = json_item(lanes, 0);
    cr_expect_str_eq(json_as_text(json_get(lane, "stream")), "mozi");
    cr_expect_eq(json_as_integer(json_get(lane, "rejected"), -1), 1);
    json_value_free(value);
    raw_answer_free(&answer);
    end(&f);
}

/* Of the name of a sample's metric: without what a histogram's parts add. */
static size_t series_len(const char *line)
{
    static const char *const parts[] = {"_bucket", "_sum", "_count"};
    size_t len = strcspn(line, "{ ");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t part = strlen(parts[i]);
        if (len > part + 8 && strncmp(line + len - part, parts[i], part) == 0 &&
            strncmp(line + len - part - 8, "_seconds", 8) == 0) {
            return len - part;
        }
    }
    return len;
}

/* Every sample line follows its HELP and TYPE, once a name. */
static void check_metrics(char *text)
{
    char name[128] = "";
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            cr_expect_eq(strncmp(line + 7, name, strlen(name)), 0, "%s", line);
            continue;
        }
        size_t len = series_len(line);
        cr_expect(len == strlen(name) && strncmp(line, name, len) == 0, "%s after %s",
                  line, name);
        const char *value = strrchr(line, ' ');
        char *end = NULL;
        cr_assert_not_null(value, "%s", line);
        (void)strtod(value, &end);
        cr_expect(end > value + 1 && *end == '\0', "%s", line);
    }
}

Test(http, metrics_are_prometheus)
{
    struct fixture f;
    start(&f);
    post(&f, RECORDS, RECORD "\n{\"ip\":\"x\"}", 200, NULL);
    post(&f, "/v1/records", RECORD, 200, NULL);
    get(&f, "/nothing", 404, NULL);
    struct raw_answer answer = ask(&f, "GET", "/metrics", "", "");
    cr_expect_eq(answer.status, 200);
    static const char dead[] = "\nholdfast_records_dead_lettered_total{stream=\"mozi\","
                               "lane=\"0\",at=\"intake\"} 1\n";
    static const char *const wanted[] = {
        dead,
        "\nholdfast_records_accepted_total{stream=\"mozi\",lane=\"0\"} 2\n",
        "\nholdfast_records_accepted_total{stream=\"(unrouted)\",lane=\"0\"} 1\n",
        "\nholdfast_records_pending{stream=\"mozi\",lane=\"0\"} 2\n",
        "\nholdfast_journal_commit_seconds_bucket{le=\"+Inf\"} ",
        "\n# TYPE holdfast_lag_seconds histogram\n",
        "\nholdfast_http_requests_total{code=\"200\"} 2\n",
        "\nholdfast_http_requests_total{code=\"404\"} 1\n",
        "\nholdfast_journal_capacity_bytes 8388608\n",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_expect_not_null(strstr(answer.body.data, wanted[i]), "no %s in %s", wanted[i],
                           answer.body.data);
    }
    check_metrics(answer.body.data);
    raw_answer_free(&answer);
    end(&f);
}

/* What a browser makes of it is in tests/test_dashboard.py. */
Test(http, the_page)
{
    struct fixture f;
    start(&f);
    struct raw_answer answer = ask(&f, "GET", "/", "", "");
    char *policy = raw_header(&answer, "Content-Security-Policy");
    char *type = raw_header(&answer, "Content-Type");
    cr_expect(policy && strncmp(policy, "default-src 'none'", 18) == 0);
    cr_expect(policy && !strstr(policy, "unsafe"));
    cr_expect_eq(strncmp(type ? type : "", "text/html", 9), 0);
    free(policy);
    free(type);
    expect_status(&answer, 200, "dashboard/app.js");
    get(&f, "/dashboard/app.js", 200, "v1/status");
    get(&f, "/dashboard/none.js", 404, "no such file");
    get(&f, "/version", 200, "\"version\"");
    end(&f);
}

/* 78 would keep a supervisor from starting again once the disk has room. */
Test(http, a_control_socket_that_can_not_be_made_is_no_fault_of_the_configuration)
{
    char dir[WORLD_PATH_MAX];
    struct err err = {0};
    int fd = -1;
    world_make_dir(dir);
    cr_expect_eq(http_listen_unix(dir, &fd, &err), ERR_IO, "%s", err.message);
    world_remove_dir(dir);
}
