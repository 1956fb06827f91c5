/* tests/http_probe.c: see http_probe.h. */
#include "tests/http_probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_MAX = 16 << 20 };

static bool probe_connect(struct http_probe *probe)
{
    if (probe->connected)
        return true;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    /* head and body are two sends: without this the second waits for the peer's delayed
     * acknowledgement of the first */
    int at_once = 1;
    struct timeval patience = {.tv_sec = HTTP_PROBE_TIMEOUT_S};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(probe->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return false;
    }
    probe->fd = fd;
    probe->connected = true;
    return true;
}

void http_probe_close(struct http_probe *probe)
{
    if (probe->connected)
        (void)close(probe->fd);
    probe->connected = false;
    buf_free(&probe->in);
}

static void drop(struct http_probe *probe)
{
    if (probe->connected)
        (void)close(probe->fd);
    probe->connected = false;
}

static bool send_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes.data += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

static bool receive_some(struct http_probe *probe)
{
    if (!buf_reserve(&probe->in, 65536))
        return false;
    ssize_t n;
    do {
        n = recv(probe->fd, probe->in.data + probe->in.len, 65536, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    probe->in.len += (size_t)n;
    return true;
}

/* A header's value in the head of `text`, or NULL. */
static const char *header(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(text, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 3 + len;
    }
    return NULL;
}

/* Length of the head of the answer in `in`, 0 while it is not whole. */
static size_t head_length(struct http_probe *probe)
{
    const char *text = buf_text(&probe->in);
    const char *end = text ? strstr(text, "\r\n\r\n") : NULL;
    return end ? (size_t)(end - text) + 4 : 0;
}

static bool read_answer(struct http_probe *probe, struct http_probe_answer *out)
{
    size_t head = 0;
    while (head == 0) {
        if (!receive_some(probe))
            return false;
        head = head_length(probe);
        if (head > 0 && strncmp(probe->in.data, "HTTP/1.1 1", 10) == 0) {
            probe->in.len -= head;
            memmove(probe->in.data, probe->in.data + head, probe->in.len);
            head = head_length(probe);
        }
    }
    probe->in.data[head - 1] = '\0';
    const char *length = header(probe->in.data, "Content-Length");
    if (strncmp(probe->in.data, "HTTP/1.", 7) != 0 || !length)
        return false;
    int status = (int)strtol(probe->in.data + 9, NULL, 10);
    size_t body = strtoul(length, NULL, 10);
    const char *closing = header(probe->in.data, "Connection");
    bool last = closing && strncasecmp(closing, " close", 6) == 0;
    while (probe->in.len < head + body) {
        if (!receive_some(probe))
            return false;
    }
    if (last)
        drop(probe);
    *out = (struct http_probe_answer){.status = status,
                                      .body = slice_of(probe->in.data + head, body)};
    return true;
}

enum http_fate http_probe_send(struct http_probe *probe,
                               const struct http_probe_request *request,
                               struct http_probe_answer *out_answer)
{
    if (!probe_connect(probe))
        return HTTP_NOT_SENT;
    struct buf head = {0};
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n",
               request->method, request->path, request->body.len);
    if (request->idempotency_key)
        buf_printf(&head, "Idempotency-Key: %s\r\n", request->idempotency_key);
    buf_append_text(&head, "\r\n");
    bool sent = !head.failed && send_all(probe->fd, buf_slice(&head)) &&
                send_all(probe->fd, request->body);
    buf_free(&head);
    buf_clear(&probe->in);
    probe->in.max = ANSWER_MAX;
    /* Refused before the body was read: the answer is there all the same. */
    if (read_answer(probe, out_answer)) {
        if (!sent)
            drop(probe);
        return HTTP_ANSWERED;
    }
    drop(probe);
    return HTTP_UNKNOWN;
}

int http_probe_get(uint16_t port, const char *path, struct buf *out)
{
    struct http_probe probe = {.port = port};
    struct http_probe_request request = {.method = "GET", .path = path};
    struct http_probe_answer answer = {0};
    int status = 0;
    if (http_probe_send(&probe, &request, &answer) == HTTP_ANSWERED &&
        buf_append_slice(out, answer.body))
        status = answer.status;
    http_probe_close(&probe);
    return status;
}

int64_t http_probe_number(struct slice json, const char *key, int64_t fallback)
{
    struct buf text = {0};
    struct buf quoted = {0};
    int64_t value = fallback;
    if (buf_append_slice(&text, json) && buf_printf(&quoted, "\"%s\":", key)) {
        const char *found = strstr(buf_text(&text), buf_text(&quoted));
        if (found)
            value = strtoll(found + quoted.len, NULL, 10);
    }
    buf_free(&text);
    buf_free(&quoted);
    return value;
}
