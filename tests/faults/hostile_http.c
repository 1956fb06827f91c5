/* tests/faults/hostile_http.c: requests that two readers could understand differently,
 * paths, bodies without an end, clients that don't read. The real binary, its database
 * down or up: intake must not care. */
#include "tests/faults/hostile.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORDS "/v1/streams/mozi/records"
#define HEAD "POST " RECORDS " HTTP/1.1\r\nHost: x\r\n"
#define RECORD "{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600}"
/* What a smuggler wants to be read as a request of its own. */
#define SMUGGLED                                                                         \
    "POST " RECORDS " HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\n" RECORD
#define CHUNKS "27\r\n" RECORD "\r\n0\r\n\r\n"

enum { IDLE_S = 2, CONNECTIONS = 64, FLOODS = 200, FLAT_KB = 65536 };

/* ---- Smuggling --------------------------------------------------------------------- */

/* A message whose end is not beyond doubt. It may be refused or taken; but it is one
 * message: what comes behind the doubt is never answered. */
static const char *const doubtful[] = {
    HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED,
    HEAD
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" CHUNKS SMUGGLED,
    HEAD "Transfer-Encoding: identity\r\nContent-Length: 39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Transfer-Encoding: chunked, identity\r\n\r\n" CHUNKS SMUGGLED,
    HEAD "Transfer-Encoding: xchunked\r\n\r\n" CHUNKS SMUGGLED,
    HEAD "Transfer-Encoding:\x0b"
         "chunked\r\n\r\n" CHUNKS SMUGGLED,
    HEAD "Transfer-Encoding : chunked\r\nContent-Length: 39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Transfer-Encoding: \"chunked\"\r\n\r\n" CHUNKS SMUGGLED,
    HEAD
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 39\r\nContent-Length: 0\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 0\r\nContent-Length: 39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 39, 39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: +39\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 0x27\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 39 0\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: 18446744073709551655\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length: -1\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content-Length:\r\n\r\n" RECORD SMUGGLED,
    HEAD "Content_Length: 39\r\n Content-Length: 0\r\n\r\n" RECORD SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\n\r\n10000000000000027\r\n" RECORD
         "\r\n0\r\n\r\n" SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\n\r\n-27\r\n" RECORD "\r\n0\r\n\r\n" SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\n\r\n0x27\r\n" RECORD "\r\n0\r\n\r\n" SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n" CHUNKS SMUGGLED,
    HEAD "Transfer-Encoding: chunked\r\n\r\n27\r\n" RECORD "XX0\r\n\r\n" SMUGGLED,
    HEAD "\x01: y\r\nContent-Length: 39\r\n\r\n" RECORD SMUGGLED,
};

/* Whole answers, as who reads them by Content-Length sees them. */
static size_t answers_in(struct slice text)
{
    size_t count = 0;
    const char *end_of_head;
    while (text.len > 7 && memcmp(text.data, "HTTP/1.", 7) == 0 &&
           (end_of_head = memmem(text.data, text.len, "\r\n\r\n", 4)) != NULL) {
        struct slice head = slice_of(text.data, (size_t)(end_of_head + 4 - text.data));
        static const char name[] = "Content-Length: ";
        const char *at = memmem(head.data, head.len, name, sizeof name - 1);
        size_t body = at ? strtoul(at + sizeof name - 1, NULL, 10) : 0;
        size_t whole = head.len + body < text.len ? head.len + body : text.len;
        text = slice_of(text.data + whole, text.len - whole);
        count++;
    }
    return count;
}

/* At most one answer, no more taken than acknowledged, and the connection ends. */
static void send_doubtful(struct stage *stage, size_t number)
{
    struct buf out = {0};
    struct slice bytes = slice_text(doubtful[number]);
    int64_t before = engine_accepted(&stage->engine);
    bool closed = hostile_converse(stage->port, bytes, 20000, &out);
    size_t taken = hostile_count(buf_slice(&out), "\"accepted\":1,");
    int64_t after = engine_accepted(&stage->engine);
    if (!closed)
        hostile_breaks(stage, "I6", "doubtful message %zu: the connection stays", number);
    if (answers_in(buf_slice(&out)) > 1)
        hostile_breaks(stage, "I2", "doubtful message %zu has %zu answers: %.300s",
                       number, answers_in(buf_slice(&out)), buf_text(&out));
    if (after - before != (int64_t)taken)
        hostile_breaks(stage, "I2", "doubtful message %zu: %lld taken, %zu acknowledged",
                       number, (long long)(after - before), taken);
    buf_free(&out);
}

int hostile_smuggling(struct stage *stage, struct err *err)
{
    struct buf out = {0};
    int code = hostile_start(stage, ", idle_timeout: 2s, request_timeout: 4s", err);
    for (size_t i = 0; code == 0 && i < sizeof doubtful / sizeof doubtful[0]; i++)
        send_doubtful(stage, i);
    /* and the proof that the same two messages, without doubt, are two */
    if (code == 0) {
        (void)hostile_converse(stage->port, slice_text(SMUGGLED SMUGGLED), 20000, &out);
        if (answers_in(buf_slice(&out)) != 2 ||
            hostile_count(buf_slice(&out), "\"accepted\":1,") != 2)
            hostile_breaks(stage, "I1", "two plain messages: %.300s", buf_text(&out));
    }
    buf_free(&out);
    return code;
}

/* ---- Paths ------------------------------------------------------------------------- */

static const char *const paths[] = {
    "/../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/v1/streams/../../etc/passwd/records",
    "/v1/streams/%2e%2e%2f%2e%2e%2fetc/records",
    "/v1/streams/mozi%00/records",
    "/v1/streams/mozi%2frecords",
    "/v1/streams/(unrouted)/records",
    "/v1/streams/mozi'--/records",
    "/v1/batches/../../control/pause",
    "/v1/batches/1%20OR%201=1",
    "/v1/batches/99999999999999999999999",
    "/v1/batches/-1",
    "//v1/status",
    "/V1/STATUS",
    "/control/pause",
    "/control/gap?stream=mozi",
    "http://other.example/control/pause",
    "*",
};

int hostile_paths(struct stage *stage, struct err *err)
{
    static const char *const methods[] = {"GET",     "POST",  "PUT",
                                          "CONNECT", "TRACE", "\x7f"};
    int code = hostile_start(stage, ", idle_timeout: 1s", err);
    size_t count = sizeof paths / sizeof paths[0] * (sizeof methods / sizeof methods[0]);
    for (size_t i = 0; code == 0 && i < count; i++) {
        struct buf request = {0};
        struct buf out = {0};
        buf_printf(&request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
                   methods[i % 6], paths[i / 6],
                   i % 6 == 1 ? "Content-Length: 0\r\n" : "");
        (void)hostile_converse(stage->port, buf_slice(&request), 20000, &out);
        if (hostile_count(buf_slice(&out), " 200 ") ||
            hostile_count(buf_slice(&out), "root:") ||
            hostile_count(buf_slice(&out), " 50"))
            hostile_breaks(stage, "I2", "%s %s: %.200s", methods[i % 6], paths[i / 6],
                           buf_text(&out));
        buf_free(&request);
        buf_free(&out);
    }
    return code;
}

/* ---- No end -------------------------------------------------------------------------
 */

static int64_t memory_kb(pid_t pid)
{
    char path[64];
    struct buf text = {0};
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    (void)hostile_read(path, &text);
    const char *at = buf_text(&text) ? strstr(buf_text(&text), "VmRSS:") : NULL;
    int64_t kb = at ? strtoll(at + 6, NULL, 10) : 0;
    buf_free(&text);
    return kb;
}

static size_t descriptors(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

/* Sends `piece` again and again until it is cut off; bytes sent, or `most`. */
static uint64_t flood(uint16_t port, const char *head, struct slice piece, uint64_t most)
{
    int fd = hostile_connect(port);
    struct timeval patience = {.tv_sec = 30};
    uint64_t sent = 0;
    bool open =
        fd >= 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        send(fd, head, strlen(head), MSG_NOSIGNAL) == (ssize_t)strlen(head);
    while (open && sent < most) {
        ssize_t n = send(fd, piece.data, piece.len, MSG_NOSIGNAL);
        open = n > 0;
        sent += n > 0 ? (uint64_t)n : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return sent;
}

static void expect_cut(struct stage *stage, const char *what, const char *head,
                       struct slice piece)
{
    enum { MOST = 256 << 20 };
    uint64_t sent = flood(stage->port, head, piece, MOST);
    if (sent >= MOST)
        hostile_breaks(stage, "I6", "%s goes on for ever", what);
}

int hostile_endless(struct stage *stage, struct err *err)
{
    static char chunk[4096 + 8];
    int code = hostile_start(
        stage, ", max_body: 1MiB, idle_timeout: 2s, request_timeout: 5s", err);
    int64_t before = code == 0 ? memory_kb(stage->engine.pid) : 0;
    int head = snprintf(chunk, sizeof chunk, "1000\r\n");
    memset(chunk + head, '[', 4096);
    struct slice chunks = slice_of(chunk, (size_t)head + 4096);
    chunk[sizeof chunk - 2] = '\r';
    chunk[sizeof chunk - 1] = '\n';
    chunks.len = sizeof chunk;
    if (code == 0) {
        expect_cut(stage, "a chunked body", HEAD "Transfer-Encoding: chunked\r\n\r\n",
                   chunks);
        expect_cut(stage, "a body of a length beyond any",
                   HEAD "Content-Length: 9000000000000000000\r\n\r\n", chunks);
        expect_cut(stage, "a header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ",
                   SLICE_LITERAL("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
        expect_cut(stage, "a row of headers", "GET /healthz HTTP/1.1\r\nHost: x\r\n",
                   SLICE_LITERAL("X-Y: z\r\n"));
        expect_cut(stage, "a path", "GET /", SLICE_LITERAL("aaaaaaaaaaaaaaaa/"));
        expect_cut(stage, "a chunk's extension",
                   HEAD "Transfer-Encoding: chunked\r\n\r\n1;",
                   SLICE_LITERAL("x=yyyyyy;"));
        int64_t grown = memory_kb(stage->engine.pid) - before;
        if (grown > FLAT_KB)
            hostile_breaks(stage, "I6", "memory grew by %lld KiB", (long long)grown);
        if (engine_accepted(&stage->engine) != 0)
            hostile_breaks(stage, "I4", "something of it was taken");
    }
    return code;
}

/* ---- Who doesn't read ----------------------------------------------------------------
 */

int hostile_slow_readers(struct stage *stage, struct err *err)
{
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    int fds[CONNECTIONS];
    int code = hostile_start(stage, ", idle_timeout: 2s, request_timeout: 4s", err);
    if (code != 0)
        return code;
    int64_t before = memory_kb(stage->engine.pid);
    size_t idle = descriptors(stage->engine.pid) + 1; /* the database's may come and go */
    for (size_t i = 0; i < CONNECTIONS; i++) {
        int small = 2048;
        fds[i] = hostile_connect(stage->port);
        (void)setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        for (unsigned n = 0; n < FLOODS; n++)
            (void)send(fds[i], ask, sizeof ask - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    /* others are served meanwhile, and the engine lets go of those in its own time */
    struct buf out = {0};
    if (http_probe_get(stage->port, "/healthz", &out) != 200)
        hostile_breaks(stage, "I9", "who reads is not answered beside who doesn't");
    int64_t end = process_now_ms() + 30000;
    while (descriptors(stage->engine.pid) > idle && process_now_ms() < end)
        process_sleep_ms(100);
    if (descriptors(stage->engine.pid) > idle)
        hostile_breaks(stage, "I6", "who doesn't read is connected for ever");
    if (memory_kb(stage->engine.pid) - before > FLAT_KB)
        hostile_breaks(stage, "I6", "memory grew by who doesn't read");
    for (size_t i = 0; i < CONNECTIONS; i++)
        (void)close(fds[i]);
    buf_free(&out);
    return 0;
}

int hostile_many_connections(struct stage *stage, struct err *err)
{
    int fds[CONNECTIONS];
    int code = hostile_start(stage,
                             ", max_connections: 16, max_connections_per_address: 16, "
                             "idle_timeout: 2s",
                             err);
    if (code != 0)
        return code;
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = hostile_connect(stage->port);
    /* silent ones are closed after a while, and then there is room again */
    int64_t end = process_now_ms() + 30000;
    int status = 0;
    while (status != 200 && process_now_ms() < end) {
        struct buf out = {0};
        status = http_probe_get(stage->port, "/healthz", &out);
        buf_free(&out);
        process_sleep_ms(50);
    }
    if (status != 200)
        hostile_breaks(stage, "I8", "silent connections keep everybody out");
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    return 0;
}
