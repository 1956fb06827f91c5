/* tests/http_raw.c: see http_raw.h. */
#include "tests/http_raw.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static struct raw connected(int fd, const void *address, socklen_t len)
{
    struct timeval patience = {.tv_sec = RAW_PATIENCE_S};
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    cr_assert_eq(connect(fd, address, len), 0, "connect: %s", strerror(errno));
    return (struct raw){.fd = fd};
}

struct raw raw_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof to);
}

struct raw raw_connect_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    cr_assert_lt(strlen(path), sizeof to.sun_path);
    memcpy(to.sun_path, path, strlen(path) + 1);
    return connected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &to, sizeof to);
}

void raw_close(struct raw *raw)
{
    if (raw->fd >= 0) {
        cr_assert_eq(close(raw->fd), 0);
    }
    raw->fd = -1;
    buf_free(&raw->in);
}

bool raw_send(struct raw *raw, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(raw->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent < 0) {
            cr_assert(errno == EPIPE || errno == ECONNRESET, "send: %s", strerror(errno));
            return false;
        }
        bytes = slice_of(bytes.data + sent, bytes.len - (size_t)sent);
    }
    return true;
}

bool raw_send_text(struct raw *raw, const char *text)
{
    return raw_send(raw, slice_text(text));
}

/* False at the end of the connection. */
static bool receive_some(struct raw *raw)
{
    cr_assert(buf_reserve(&raw->in, 65536));
    ssize_t got = recv(raw->fd, raw->in.data + raw->in.len, 65536, 0);
    cr_assert(got >= 0 || errno == ECONNRESET, "recv: %s", strerror(errno));
    raw->in.len += got > 0 ? (size_t)got : 0;
    return got > 0;
}

char *raw_header(const struct raw_answer *answer, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = answer->head.data; line; line = strstr(line, "\r\n")) {
        line += *line == '\r' ? 2 : 0;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1;
            value += strspn(value, " ");
            return strndup(value, strcspn(value, "\r"));
        }
    }
    return NULL;
}

static void take(struct raw *raw, size_t len, struct buf *out)
{
    buf_append(out, raw->in.data, len);
    cr_assert_not_null(buf_text(out));
    raw->in.len -= len;
    memmove(raw->in.data, raw->in.data + len, raw->in.len);
}

struct raw_answer raw_receive(struct raw *raw)
{
    struct raw_answer answer = {0};
    const char *end = NULL;
    while (!end) {
        const char *text = buf_text(&raw->in);
        end = text ? strstr(text, "\r\n\r\n") : NULL;
        if (!end && !receive_some(raw)) {
            cr_assert_eq(raw->in.len, 0, "half an answer: %.*s", (int)raw->in.len,
                         raw->in.data);
            return answer;
        }
    }
    take(raw, (size_t)(end - raw->in.data) + 4, &answer.head);
    cr_assert_eq(strncmp(answer.head.data, "HTTP/1.1 ", 9), 0, "%s", answer.head.data);
    answer.status = atoi(answer.head.data + 9);
    char *length = raw_header(&answer, "Content-Length");
    size_t len = length ? strtoul(length, NULL, 10) : 0;
    free(length);
    while (raw->in.len < len) {
        cr_assert(receive_some(raw), "half a body: %.*s", (int)raw->in.len, raw->in.data);
    }
    take(raw, len, &answer.body);
    return answer;
}

bool raw_is_closed(struct raw *raw)
{
    return raw->in.len == 0 && !receive_some(raw);
}

void raw_answer_free(struct raw_answer *answer)
{
    buf_free(&answer->head);
    buf_free(&answer->body);
    answer->status = 0;
}

void raw_append_request(struct buf *out, const struct raw_request *request)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n",
               request->method, request->path, request->body.len);
    buf_append_text(out, request->headers ? request->headers : "");
    buf_append_text(out, "\r\n");
    buf_append_slice(out, request->body);
    cr_assert_not(out->failed);
}

struct raw_answer raw_ask(uint16_t port, const struct raw_request *request)
{
    struct raw raw = raw_connect(port);
    struct buf text = {0};
    raw_append_request(&text, request);
    (void)raw_send(&raw,
                   buf_slice(&text)); /* refused before its end: there is an answer */
    struct raw_answer answer = raw_receive(&raw);
    buf_free(&text);
    raw_close(&raw);
    return answer;
}
