#include "engine/http_connections.h"
#include "base/clock.h"
#include "base/steady.h"
#include "engine/http_request.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LOOK_EVERY_US = 250000 };

struct connection {
    struct connections *owner;
    struct connection *next;
    struct connection **back; /* what points here */
    int fd;
    bool plain;
    bool cut;
    enum connection_phase phase;
    int64_t since_us;
};

struct connections {
    struct connections_limits limits;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    struct connection *first;
};

static int64_t now_us(void)
{
    return clock_steady_us(&clock_system);
}

static bool is_late(const struct connection *connection, int64_t now)
{
    const struct connections_limits *limits = &connection->owner->limits;
    int64_t age_us = now - connection->since_us;
    switch (connection->phase) {
    case CONNECTION_IDLE:
        return age_us > limits->idle_us + limits->request_us;
    case CONNECTION_TRANSFER:
    case CONNECTION_ANSWER:
        return age_us > limits->request_us;
    case CONNECTION_WAITING:
        break;
    }
    return false;
}

/* Never blocks, so it may be done under the lock, which keeps the fd from being closed
 * and its number from becoming another connection's. */
static void write_refusal(const struct connection *connection, unsigned status,
                          const struct err *err)
{
    struct buf body = {0};
    struct buf text = {0};
    if (!connection->plain || !request_append_error(&body, err)) {
        buf_free(&body);
        return;
    }
    buf_printf(&text,
               "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
               status, MHD_get_reason_phrase_for(status), body.len, (int)body.len,
               body.data);
    if (!text.failed) {
        ssize_t sent =
            send(connection->fd, text.data, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)sent; /* who doesn't read it is closed all the same */
        (void)shutdown(connection->fd, SHUT_WR);
    }
    buf_free(&text);
    buf_free(&body);
}

/* Under the lock. */
static void cut(struct connection *connection)
{
    struct err err = {0};
    if (connection->phase == CONNECTION_TRANSFER) {
        err_set(&err, ERR_TIMEOUT, 0,
                "the request took longer than intake.request_timeout; nothing was taken, "
                "send it faster or in parts");
        write_refusal(connection, MHD_HTTP_REQUEST_TIMEOUT, &err);
    }
    connection->cut = true;
    (void)shutdown(connection->fd, SHUT_RDWR); /* the library notices and closes */
}

/* Under the lock. */
static void cut_late(struct connections *connections)
{
    int64_t now = now_us();
    for (struct connection *it = connections->first; it; it = it->next) {
        if (!it->cut && is_late(it, now)) {
            cut(it);
        }
    }
}

static void *look(void *context)
{
    struct connections *connections = context;
    pthread_mutex_lock(&connections->lock);
    while (!connections->stopping) {
        int64_t until_us = now_us() + LOOK_EVERY_US;
        steady_cond_wait(&connections->changed, &connections->lock, until_us);
        cut_late(connections);
    }
    pthread_mutex_unlock(&connections->lock);
    return NULL;
}

static void destroy(struct connections *connections)
{
    pthread_cond_destroy(&connections->changed);
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}

int connections_new(const struct connections_limits *limits,
                    struct connections **out_connections, struct err *err)
{
    struct connections *connections = calloc(1, sizeof *connections);
    if (!connections) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the HTTP server");
    }
    connections->limits = *limits;
    pthread_mutex_init(&connections->lock, NULL);
    steady_cond_init(&connections->changed);
    int rc = pthread_create(&connections->thread, NULL, look, connections);
    if (rc) {
        destroy(connections);
        return err_set_errno(err, ERR_NOMEM, rc, "starting the HTTP server's thread");
    }
    *out_connections = connections;
    return ERR_OK;
}

void connections_free(struct connections *connections)
{
    if (!connections) {
        return;
    }
    pthread_mutex_lock(&connections->lock);
    connections->stopping = true;
    pthread_cond_signal(&connections->changed);
    pthread_mutex_unlock(&connections->lock);
    pthread_join(connections->thread, NULL);
    destroy(connections);
}

struct connection *connections_add(struct connections *connections, int fd, bool plain)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        return NULL;
    }
    *connection = (struct connection){
        .owner = connections, .fd = fd, .plain = plain, .since_us = now_us()};
    pthread_mutex_lock(&connections->lock);
    connection->next = connections->first;
    connection->back = &connections->first;
    if (connection->next) {
        connection->next->back = &connection->next;
    }
    connections->first = connection;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(struct connection *connection)
{
    if (!connection) {
        return;
    }
    pthread_mutex_lock(&connection->owner->lock);
    *connection->back = connection->next;
    if (connection->next) {
        connection->next->back = connection->back;
    }
    pthread_mutex_unlock(&connection->owner->lock);
    free(connection);
}

void connection_enter(struct connection *connection, enum connection_phase phase)
{
    if (!connection) {
        return;
    }
    int64_t now = now_us();
    pthread_mutex_lock(&connection->owner->lock);
    connection->phase = phase;
    connection->since_us = now;
    pthread_mutex_unlock(&connection->owner->lock);
}

bool connection_refuse(struct connection *connection, unsigned status,
                       const struct err *err)
{
    if (!connection || !connection->plain) {
        return false;
    }
    pthread_mutex_lock(&connection->owner->lock);
    bool may = !connection->cut;
    if (may) {
        connection->cut = true;
        write_refusal(connection, status, err);
    }
    pthread_mutex_unlock(&connection->owner->lock);
    return may;
}
