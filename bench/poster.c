#include "bench/poster.h"

#include "bench/bench.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 16384,
    HEAD_MAX = 512,
    REFUSED_PAUSE_US = 2000,
    REFUSED_MAX_US = 60 * 1000000,
    CALL_TIMEOUT_S = 120,
};

/* All producers of one run. */
struct crowd {
    const struct poster_config *config;
    int64_t begun_us;
    atomic_size_t next;  /* the body that the next free producer takes */
    atomic_size_t acked; /* and where its latency goes */
    atomic_uint_fast64_t refused;
    atomic_bool failed;
    struct poster_result *result;
};

struct producer {
    struct crowd *crowd;
    pthread_t thread;
    int fd;
    double cpu_s;
    struct err err;
    char answer[ANSWER_MAX];
};

/* ---- One connection -------------------------------------------------------------- */

static int connect_to(struct producer *producer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(producer->crowd->config->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {.tv_sec = CALL_TIMEOUT_S};
    int on = 1;
    producer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (producer->fd < 0 ||
        setsockopt(producer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        setsockopt(producer->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) ||
        setsockopt(producer->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) ||
        connect(producer->fd, (struct sockaddr *)&address, sizeof address)) {
        return err_set_errno(&producer->err, ERR_IO, errno, "connecting to port %u",
                             producer->crowd->config->port);
    }
    return ERR_OK;
}

static int send_request(struct producer *producer, struct slice body)
{
    char head[HEAD_MAX];
    int len = snprintf(head, sizeof head,
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
                       "application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
                       producer->crowd->config->path, body.len);
    union {
        const char *in;
        char *out;
    } data = {.in = body.data};
    struct iovec parts[] = {{head, (size_t)len}, {data.out, body.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    while (parts[1].iov_len) {
        ssize_t sent = sendmsg(producer->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) {
            return err_set_errno(&producer->err, ERR_IO, errno, "sending a body");
        }
        for (size_t i = 0, left = (size_t)sent; i < 2; i++) {
            size_t taken = left < parts[i].iov_len ? left : parts[i].iov_len;
            parts[i].iov_base = (char *)parts[i].iov_base + taken;
            parts[i].iov_len -= taken;
            left -= taken;
        }
    }
    return ERR_OK;
}

/* How long the answer is, once its head is whole; 0: it isn't. */
static size_t answer_len(const char *answer)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, name);
    if (!end || !length) {
        return 0;
    }
    return (size_t)(end + 4 - answer) + strtoul(length + sizeof name - 1, NULL, 10);
}

/* Reads one answer whole; its status, or -1. */
static int read_status(struct producer *producer)
{
    size_t len = 0;
    size_t whole = 0;
    while (!whole || len < whole) {
        ssize_t got = recv(producer->fd, producer->answer + len, ANSWER_MAX - 1 - len, 0);
        if (got <= 0) {
            err_set_errno(&producer->err, ERR_IO, got ? errno : ECONNRESET,
                          "waiting for an answer");
            return -1;
        }
        len += (size_t)got;
        producer->answer[len] = '\0';
        whole = answer_len(producer->answer);
    }
    return atoi(producer->answer + strlen("HTTP/1.1 "));
}

/* ---- Producers ------------------------------------------------------------------- */

/* A record that can't be applied, or wasn't in time, is no acknowledgement to count. */
static int check_taken(struct producer *producer)
{
    const char *text = strstr(producer->answer, "\r\n\r\n");
    if (!text || !strstr(text, "\"dead_lettered\":0,") ||
        strstr(text, "\"applied\":false")) {
        return err_set(&producer->err, ERR_IO, 0, "not all of a body was taken: %.300s",
                       text ? text + 4 : "");
    }
    return ERR_OK;
}

/* Until it is acknowledged. */
static int post(struct producer *producer, struct slice body)
{
    int64_t end_us = clock_steady_us(&clock_system) + REFUSED_MAX_US;
    for (;;) {
        int code = send_request(producer, body);
        int status = code == ERR_OK ? read_status(producer) : -1;
        if (status == 200 || status < 0) {
            return status == 200 ? check_taken(producer) : (int)producer->err.code;
        }
        if (status != 429 && status != 503) {
            const char *text = strstr(producer->answer, "\r\n\r\n");
            return err_set(&producer->err, ERR_IO, status,
                           "the engine answers %d: %.200s", status, text ? text + 4 : "");
        }
        atomic_fetch_add(&producer->crowd->refused, 1);
        if (clock_steady_us(&clock_system) > end_us) {
            return err_set(&producer->err, ERR_TIMEOUT, 0,
                           "a body was refused for %d s: %.200s",
                           REFUSED_MAX_US / 1000000, producer->answer);
        }
        bench_rest(REFUSED_PAUSE_US);
    }
}

static bool is_over(const struct crowd *crowd)
{
    int64_t stop_us = crowd->config->stop_after_us;
    return atomic_load(&crowd->failed) ||
           (stop_us && clock_steady_us(&clock_system) - crowd->begun_us >= stop_us);
}

static void post_each(struct producer *producer)
{
    struct crowd *crowd = producer->crowd;
    while (!is_over(crowd)) {
        size_t body = atomic_fetch_add(&crowd->next, 1);
        if (body >= crowd->config->body_count) {
            return;
        }
        int64_t begun_us = clock_steady_us(&clock_system);
        if (post(producer, crowd->config->bodies[body]) != ERR_OK) {
            atomic_store(&crowd->failed, true);
            return;
        }
        int64_t now_us = clock_steady_us(&clock_system);
        size_t at = atomic_fetch_add(&crowd->acked, 1);
        crowd->result->acks_us[at] = (double)(now_us - begun_us);
        crowd->result->acked_us[at] = now_us - crowd->begun_us;
        int64_t due_us = begun_us + crowd->config->interval_us;
        if (due_us > now_us) {
            bench_rest(due_us - now_us);
        }
    }
}

static void *produce(void *context)
{
    struct producer *producer = context;
    struct rusage usage;
    post_each(producer);
    if (getrusage(RUSAGE_THREAD, &usage) == 0) {
        producer->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    }
    return NULL;
}

/* ---- The run --------------------------------------------------------------------- */

static int connect_all(struct producer *producers, struct crowd *crowd, struct err *err)
{
    for (uint32_t i = 0; i < crowd->config->producers; i++) {
        producers[i].crowd = crowd;
        if (connect_to(&producers[i]) != ERR_OK) {
            return err_set(err, ERR_IO, producers[i].err.sys, "%s",
                           producers[i].err.message);
        }
    }
    return ERR_OK;
}

static int run_all(struct producer *producers, struct crowd *crowd, struct err *err)
{
    uint32_t started = 0;
    int code = ERR_OK;
    crowd->begun_us = clock_steady_us(&clock_system);
    while (started < crowd->config->producers && code == ERR_OK) {
        int sys = pthread_create(&producers[started].thread, NULL, produce,
                                 &producers[started]);
        code = sys ? err_set_errno(err, ERR_NOMEM, sys, "starting a producer") : ERR_OK;
        started += code == ERR_OK;
    }
    if (code != ERR_OK) {
        atomic_store(&crowd->failed, true);
    }
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(producers[i].thread, NULL);
        crowd->result->cpu_s += producers[i].cpu_s;
        if (producers[i].err.code != ERR_OK && code == ERR_OK) {
            code = err_set(err, producers[i].err.code, producers[i].err.sys,
                           "producer %u: %s", i, producers[i].err.message);
        }
    }
    return code;
}

static void take_result(struct crowd *crowd)
{
    struct poster_result *result = crowd->result;
    result->sent = atomic_load(&crowd->acked);
    result->refused = atomic_load(&crowd->refused);
    for (size_t i = 0; i < result->sent; i++) {
        if (result->acked_us[i] > result->took_us) {
            result->took_us = result->acked_us[i];
        }
    }
}

static int run(struct producer *producers, struct crowd *crowd, struct err *err)
{
    uint32_t count = crowd->config->producers;
    for (uint32_t i = 0; i < count; i++) {
        producers[i].fd = -1;
    }
    int code = connect_all(producers, crowd, err);
    code = code ? code : run_all(producers, crowd, err);
    for (uint32_t i = 0; i < count; i++) {
        if (producers[i].fd >= 0) {
            (void)close(producers[i].fd);
        }
    }
    return code;
}

int poster_run(const struct poster_config *config, struct poster_result *out,
               struct err *err)
{
    struct poster_result result = {0};
    struct crowd crowd = {.config = config, .result = &result};
    struct producer *producers = calloc(config->producers, sizeof *producers);
    result.acks_us = calloc(config->body_count + 1, sizeof *result.acks_us);
    result.acked_us = calloc(config->body_count + 1, sizeof *result.acked_us);
    int code = producers && result.acks_us && result.acked_us
                   ? run(producers, &crowd, err)
                   : err_set(err, ERR_NOMEM, 0, "no memory for producers");
    free(producers);
    if (code != ERR_OK) {
        poster_result_free(&result);
        return code;
    }
    take_result(&crowd);
    *out = result;
    return ERR_OK;
}

void poster_result_free(struct poster_result *result)
{
    free(result->acks_us);
    free(result->acked_us);
    *result = (struct poster_result){0};
}
