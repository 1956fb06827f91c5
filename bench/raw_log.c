#include "bench/raw_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP = 1 << 20 };

/* One appender's request; lives on its stack while it waits. */
struct request {
    const void *data;
    size_t len;
    bool done;
    int sys;
    pthread_cond_t finished;
    struct request *next;
};

struct raw_log {
    int fd;
    uint64_t size;
    uint64_t at; /* the writer thread's own */
    pthread_t writer;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct request *first;
    struct request **last;
    bool closing;
};

static int write_whole(int fd, const char *data, size_t len, uint64_t at)
{
    while (len) {
        ssize_t written = pwrite(fd, data, len, (off_t)at);
        if (written < 0) {
            return errno;
        }
        data += written;
        len -= (size_t)written;
        at += (uint64_t)written;
    }
    return 0;
}

/* Writes a group one request after the other, as an append-only log would, and syncs. */
static int write_group(struct raw_log *log, const struct request *group)
{
    for (; group; group = group->next) {
        if (log->at + group->len > log->size) {
            log->at = 0;
        }
        int sys = write_whole(log->fd, group->data, group->len, log->at);
        if (sys) {
            return sys;
        }
        log->at += group->len;
    }
    return fdatasync(log->fd) ? errno : 0;
}

static void finish_group(struct raw_log *log, struct request *group, int sys)
{
    pthread_mutex_lock(&log->lock);
    while (group) {
        struct request *next = group->next;
        group->sys = sys;
        group->done = true;
        pthread_cond_signal(&group->finished);
        group = next;
    }
    pthread_mutex_unlock(&log->lock);
}

static void *write_loop(void *context)
{
    struct raw_log *log = context;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (!log->first && !log->closing) {
            pthread_cond_wait(&log->work, &log->lock);
        }
        struct request *group = log->first;
        if (!group) {
            break;
        }
        log->first = NULL;
        log->last = &log->first;
        pthread_mutex_unlock(&log->lock);
        finish_group(log, group, write_group(log, group));
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

static int write_zeros(int fd, uint64_t size)
{
    char *zeros = calloc(1, STEP);
    if (!zeros) {
        return ENOMEM;
    }
    int sys = 0;
    for (uint64_t at = 0; at < size && !sys; at += STEP) {
        sys = write_whole(fd, zeros, STEP, at);
    }
    free(zeros);
    return sys ? sys : fdatasync(fd) ? errno : 0;
}

int raw_log_open(const char *path, uint64_t size, struct raw_log **out_log,
                 struct err *err)
{
    struct raw_log *log = calloc(1, sizeof *log);
    if (!log) {
        return err_set(err, ERR_NOMEM, 0, "raw log: out of memory");
    }
    log->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int sys = log->fd < 0 ? errno : write_zeros(log->fd, size);
    if (sys) {
        if (log->fd >= 0) {
            (void)close(log->fd);
        }
        free(log);
        return err_set_errno(err, ERR_IO, sys, "raw log %s", path);
    }
    log->size = size;
    log->last = &log->first;
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->work, NULL);
    if (pthread_create(&log->writer, NULL, write_loop, log)) {
        (void)close(log->fd);
        free(log);
        return err_set(err, ERR_NOMEM, 0, "raw log: no thread");
    }
    *out_log = log;
    return ERR_OK;
}

int raw_log_append(struct raw_log *log, const void *data, size_t len, struct err *err)
{
    struct request request = {.data = data, .len = len};
    pthread_cond_init(&request.finished, NULL);
    pthread_mutex_lock(&log->lock);
    *log->last = &request;
    log->last = &request.next;
    pthread_cond_signal(&log->work);
    while (!request.done) {
        pthread_cond_wait(&request.finished, &log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    pthread_cond_destroy(&request.finished);
    if (request.sys) {
        return err_set_errno(err, ERR_IO, request.sys, "raw log: append");
    }
    return ERR_OK;
}

void raw_log_close(struct raw_log *log)
{
    if (!log) {
        return;
    }
    pthread_mutex_lock(&log->lock);
    log->closing = true;
    pthread_cond_signal(&log->work);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->writer, NULL);
    pthread_cond_destroy(&log->work);
    pthread_mutex_destroy(&log->lock);
    (void)close(log->fd);
    free(log);
}
