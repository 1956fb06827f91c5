#include "tests/faults/hostile.h"

#include "tests/http_probe.h"
#include "tests/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RUN_TIMEOUT_MS = 60000 };

void hostile_breaks(struct stage *stage, const char *invariant, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)layer_broken(invariant, "%s", text);
    stage->broken = true;
}

void hostile_path(const struct stage *stage, const char *name,
                  char out_path[HOSTILE_PATH_MAX])
{
    (void)snprintf(out_path, HOSTILE_PATH_MAX, "%.200s/%.200s", stage->run->dir, name);
}

int hostile_write(const char *path, const char *text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(text);
    bool fine = fd >= 0 && write(fd, text, len) == (ssize_t)len;
    int failed = errno;
    if (fd >= 0)
        fine = close(fd) == 0 && fine;
    return fine ? 0 : err_set_errno(err, ERR_IO, failed, "can't write %s", path);
}

bool hostile_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char piece[1 << 16];
    ssize_t got = -1;
    while (fd >= 0 && (got = read(fd, piece, sizeof piece)) > 0)
        buf_append(out, piece, (size_t)got);
    if (fd >= 0)
        (void)close(fd);
    return got == 0;
}

int hostile_run(struct stage *stage, const char *const *argv, struct buf *out)
{
    char log[HOSTILE_PATH_MAX];
    pid_t pid = 0;
    int code = -1;
    hostile_path(stage, "program.log", log);
    (void)unlink(log);
    if (process_start(argv, log, SIGKILL, &pid, NULL) != 0)
        return -1;
    if (!process_wait(pid, RUN_TIMEOUT_MS, &code)) {
        process_kill(pid);
        code = -1;
    }
    if (out)
        (void)hostile_read(log, out);
    return code;
}

int hostile_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool hostile_converse(uint16_t port, struct slice bytes, uint32_t patience_ms,
                      struct buf *out)
{
    struct timeval patience = {.tv_sec = patience_ms / 1000};
    char piece[4096];
    int fd = hostile_connect(port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) {
        return false;
    }
    while (bytes.len) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent <= 0)
            break; /* cut off: what it says is read */
        bytes = slice_of(bytes.data + sent, bytes.len - (size_t)sent);
    }
    ssize_t got;
    while ((got = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_append(out, piece, (size_t)got);
    bool closed = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    (void)close(fd);
    return closed;
}

size_t hostile_count(struct slice in, const char *text)
{
    size_t count = 0;
    size_t len = strlen(text);
    const char *at;
    while (in.len >= len && (at = memmem(in.data, in.len, text, len)) != NULL) {
        count++;
        in = slice_of(at + len, in.len - (size_t)(at - in.data) - len);
    }
    return count;
}

int hostile_post(struct stage *stage, const char *stream, struct slice body,
                 struct buf *out)
{
    struct http_probe probe = {.port = stage->port};
    struct http_probe_answer answer;
    char path[128];
    (void)snprintf(path, sizeof path, "/v1/streams/%s/records?wait=applied&timeout=60",
                   stream);
    struct http_probe_request request = {.method = "POST", .path = path, .body = body};
    int status = 0;
    if (http_probe_send(&probe, &request, &answer) == HTTP_ANSWERED) {
        status = answer.status;
        if (out)
            buf_append_slice(out, answer.body);
    }
    http_probe_close(&probe);
    return status;
}

int hostile_start(struct stage *stage, const char *intake, struct err *err)
{
    struct stage_plan plan = {.records = 20, .streams = 1};
    int code = stage_begin(stage, &plan, err);
    stage->options.intake = intake;
    code = code ? code : stage_configure(stage, err);
    return code ? code : stage_start(stage, err);
}
