/* tests/faults/proxy.c: see proxy.h. A thread accepts, one thread a connection relays. */
#include "tests/faults/proxy.h"

#include "base/slice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 64,
    PACKET_HEAD = 4,
    COM_QUERY = 3,
    PIECE = 16384,
    POLL_MS = 50,
    FAULTED_S_MAX = 20 /* what a fault left open is closed then */
};

enum phase { IDLE, BEGUN, MOVED };

struct proxy {
    char server[sizeof((struct sockaddr_un *)NULL)->sun_path];
    int listener;
    uint16_t port;
    pthread_t acceptor;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    struct proxy_plan plan;
    struct proxy_seen seen;
    uint64_t generation; /* of the plan */
    uint32_t running;    /* connections */
    bool stopping;
};

struct connection {
    struct proxy *proxy;
    int client;
    int server;
    enum phase phase;
    uint64_t generation; /* when it was faulted */
    bool deaf;           /* a fault left it */
    bool drop_answer;    /* close once there is one */
    struct timespec deaf_since;
    struct buf in; /* of the client, not whole packets yet */
};

const char *proxy_fault_name(enum proxy_fault fault)
{
    static const char *const names[PROXY_FAULTS] = {"dropped",
                                                    "half sent",
                                                    "sent and cut",
                                                    "cut before the answer",
                                                    "swallowed for good",
                                                    "answered into a black hole"};
    return names[fault];
}

/* ---- Bytes ------------------------------------------------------------------------- */

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static uint32_t rate_of(struct proxy *proxy)
{
    (void)pthread_mutex_lock(&proxy->lock);
    uint32_t rate = proxy->plan.bytes_s;
    (void)pthread_mutex_unlock(&proxy->lock);
    return rate;
}

/* A slow link takes its time for each tenth of a second's bytes. */
static bool pass(const struct connection *at, int fd, const char *bytes, size_t len)
{
    uint32_t rate = rate_of(at->proxy);
    size_t piece = rate ? rate / 10 + 1 : len;
    while (len > 0) {
        size_t now = len < piece ? len : piece;
        if (!send_all(fd, bytes, now))
            return false;
        bytes += now;
        len -= now;
        uint64_t rest_us = rate ? (uint64_t)now * 1000000 / rate : 0;
        if (rest_us > 0)
            (void)usleep((useconds_t)rest_us);
    }
    return true;
}

/* ---- What the engine says ---------------------------------------------------------- */

static bool holds(const char *text, size_t len, const char *what)
{
    size_t head = len < 160 ? len : 160;
    return memmem(text, head, what, strlen(what)) != NULL;
}

/* Whether this packet is one that counts; *out_commit: a COMMIT. */
static bool counts(struct connection *at, const char *packet, size_t len,
                   bool *out_commit)
{
    bool command = packet[3] == 0 && len > PACKET_HEAD;
    const char *text = packet + PACKET_HEAD + 1;
    size_t text_len = len > PACKET_HEAD + 1 ? len - PACKET_HEAD - 1 : 0;
    *out_commit = false;
    if (!command)
        return at->phase == MOVED; /* data of LOAD DATA */
    if (packet[PACKET_HEAD] != COM_QUERY)
        return false;
    if (holds(text, text_len, "START TRANSACTION")) {
        at->phase = BEGUN;
        return false;
    }
    if (at->phase == BEGUN && (holds(text, text_len, "UPDATE `holdfast_ledger`") ||
                               holds(text, text_len, "INTO `holdfast_ledger`")))
        at->phase = MOVED;
    bool counted = at->phase == MOVED;
    *out_commit = counted && text_len == 6 && holds(text, text_len, "COMMIT");
    if (*out_commit || holds(text, text_len, "ROLLBACK"))
        at->phase = IDLE;
    return counted;
}

/* Is this the statement's turn? */
static bool is_met(struct connection *at, bool commit, enum proxy_fault *out_fault)
{
    struct proxy *proxy = at->proxy;
    (void)pthread_mutex_lock(&proxy->lock);
    proxy->seen.statements++;
    proxy->seen.commits += commit;
    const struct proxy_plan *plan = &proxy->plan;
    uint64_t number = plan->commits ? proxy->seen.commits : proxy->seen.statements;
    uint32_t times = plan->times ? plan->times : 1;
    bool met = plan->at != 0 && (commit || !plan->commits) && number >= plan->at &&
               number < (uint64_t)plan->at + times;
    proxy->seen.faults += met;
    *out_fault = plan->fault;
    at->generation = proxy->generation;
    (void)pthread_mutex_unlock(&proxy->lock);
    return met;
}

static void go_deaf(struct connection *at)
{
    at->deaf = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &at->deaf_since);
}

/* False: the connection is over. */
static bool do_fault(struct connection *at, enum proxy_fault fault, const char *packet,
                     size_t len)
{
    switch (fault) {
    case PROXY_HALF:
        (void)send_all(at->server, packet, len / 2);
        return false;
    case PROXY_RACE:
        (void)send_all(at->server, packet, len);
        return false;
    case PROXY_NO_ANSWER:
        at->drop_answer = true;
        return send_all(at->server, packet, len);
    case PROXY_SWALLOW:
        go_deaf(at);
        return true;
    case PROXY_SILENT:
        go_deaf(at);
        return send_all(at->server, packet, len);
    case PROXY_DROP:
    case PROXY_FAULTS:
        break;
    }
    return false;
}

static bool take_packet(struct connection *at, const char *packet, size_t len)
{
    bool commit = false;
    enum proxy_fault fault = PROXY_DROP;
    if (counts(at, packet, len, &commit) && is_met(at, commit, &fault))
        return do_fault(at, fault, packet, len);
    return pass(at, at->server, packet, len);
}

static size_t packet_len(const char *head)
{
    const unsigned char *byte = (const unsigned char *)head;
    return PACKET_HEAD + ((size_t)byte[0] | (size_t)byte[1] << 8 | (size_t)byte[2] << 16);
}

static bool from_client(struct connection *at)
{
    char piece[PIECE];
    ssize_t got = recv(at->client, piece, sizeof piece, 0);
    if (got <= 0)
        return false;
    buf_append(&at->in, piece, (size_t)got);
    size_t done = 0;
    bool alive = !at->in.failed;
    while (alive && !at->deaf && at->in.len - done >= PACKET_HEAD) {
        size_t len = packet_len(at->in.data + done);
        if (at->in.len - done < len)
            break;
        alive = take_packet(at, at->in.data + done, len);
        done += len;
    }
    memmove(at->in.data, at->in.data + done, at->in.len - done);
    at->in.len -= done;
    return alive;
}

static bool from_server(struct connection *at)
{
    char piece[PIECE];
    ssize_t got = recv(at->server, piece, sizeof piece, 0);
    if (got <= 0 || at->drop_answer)
        return false;
    return at->deaf || pass(at, at->client, piece, (size_t)got);
}

/* ---- A connection ------------------------------------------------------------------ */

/* Where nothing more is heard, both sides stay open, the one whose peer left too. */
static bool rests(const struct connection *at)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return at->deaf && now.tv_sec - at->deaf_since.tv_sec < FAULTED_S_MAX;
}

static bool may_go_on(const struct connection *at)
{
    struct proxy *proxy = at->proxy;
    (void)pthread_mutex_lock(&proxy->lock);
    bool current = !at->deaf || at->generation == proxy->generation;
    bool may = !proxy->stopping && current;
    (void)pthread_mutex_unlock(&proxy->lock);
    return may && (!at->deaf || rests(at));
}

static void relay(struct connection *at)
{
    struct pollfd sides[2] = {{.fd = at->client, .events = POLLIN},
                              {.fd = at->server, .events = POLLIN}};
    bool alive = true;
    while (alive && may_go_on(at)) {
        if (poll(sides, 2, POLL_MS) <= 0)
            continue;
        bool client = !sides[0].revents || from_client(at);
        bool server = client && (!sides[1].revents || from_server(at));
        alive = (client && server) || at->deaf;
        /* a deaf one is left by the engine or the server, which the other doesn't hear */
        if (!client)
            sides[0].fd = -1;
        if (client && !server)
            sides[1].fd = -1;
    }
}

static int connect_server(const struct proxy *proxy)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, proxy->server, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void leave(struct proxy *proxy)
{
    (void)pthread_mutex_lock(&proxy->lock);
    proxy->running--;
    (void)pthread_cond_broadcast(&proxy->ended);
    (void)pthread_mutex_unlock(&proxy->lock);
}

static void *run_connection(void *context)
{
    struct connection *at = context;
    struct proxy *proxy = at->proxy;
    at->server = connect_server(proxy);
    if (at->server >= 0) {
        relay(at);
        (void)close(at->server);
    }
    (void)close(at->client);
    buf_free(&at->in);
    free(at);
    leave(proxy);
    return NULL;
}

/* ---- Accepting --------------------------------------------------------------------- */

static bool enter(struct proxy *proxy)
{
    (void)pthread_mutex_lock(&proxy->lock);
    bool room = !proxy->stopping && proxy->running < CONNECTIONS_MAX;
    proxy->running += room;
    proxy->seen.connections += room;
    (void)pthread_mutex_unlock(&proxy->lock);
    return room;
}

static void take_client(struct proxy *proxy, int client)
{
    pthread_t thread;
    if (!enter(proxy)) {
        (void)close(client);
        return;
    }
    struct connection *at = calloc(1, sizeof *at);
    if (at) {
        at->proxy = proxy;
        at->client = client;
        if (pthread_create(&thread, NULL, run_connection, at) == 0) {
            (void)pthread_detach(thread);
            return;
        }
    }
    free(at);
    (void)close(client);
    leave(proxy);
}

static void *accept_all(void *context)
{
    struct proxy *proxy = context;
    int client;
    while ((client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        take_client(proxy, client);
    return NULL;
}

/* ---- The door ---------------------------------------------------------------------- */

static int listen_on(struct proxy *proxy, const char *path, struct err *err)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t tcp_len = sizeof tcp;
    if (path)
        (void)snprintf(local.sun_path, sizeof local.sun_path, "%s", path);
    const struct sockaddr *on =
        path ? (struct sockaddr *)&local : (struct sockaddr *)&tcp;
    proxy->listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->listener < 0 ||
        bind(proxy->listener, on, path ? (socklen_t)sizeof local : tcp_len) != 0 ||
        listen(proxy->listener, CONNECTIONS_MAX) != 0 ||
        (!path && getsockname(proxy->listener, (struct sockaddr *)&tcp, &tcp_len) != 0))
        return err_set_errno(err, ERR_IO, errno, "the proxy can't listen");
    proxy->port = ntohs(tcp.sin_port);
    return 0;
}

int proxy_start(const char *listen, const char *server, struct proxy **out_proxy,
                struct err *err)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy || pthread_mutex_init(&proxy->lock, NULL) != 0 ||
        pthread_cond_init(&proxy->ended, NULL) != 0) {
        free(proxy);
        return err_set(err, ERR_NOMEM, 0, "no memory for a proxy");
    }
    (void)snprintf(proxy->server, sizeof proxy->server, "%s", server);
    int code = listen_on(proxy, listen, err);
    int rc = code ? 0 : pthread_create(&proxy->acceptor, NULL, accept_all, proxy);
    if (rc != 0)
        code = err_set_errno(err, ERR_NOMEM, rc, "can't start the proxy");
    if (code != 0) {
        if (proxy->listener >= 0)
            (void)close(proxy->listener);
        free(proxy);
        return code;
    }
    *out_proxy = proxy;
    return 0;
}

uint16_t proxy_port(const struct proxy *proxy)
{
    return proxy->port;
}

void proxy_set(struct proxy *proxy, const struct proxy_plan *plan)
{
    (void)pthread_mutex_lock(&proxy->lock);
    proxy->plan = *plan;
    proxy->seen = (struct proxy_seen){0};
    proxy->generation++;
    (void)pthread_mutex_unlock(&proxy->lock);
}

void proxy_seen(struct proxy *proxy, struct proxy_seen *out_seen)
{
    (void)pthread_mutex_lock(&proxy->lock);
    *out_seen = proxy->seen;
    (void)pthread_mutex_unlock(&proxy->lock);
}

void proxy_stop(struct proxy *proxy)
{
    if (!proxy)
        return;
    (void)pthread_mutex_lock(&proxy->lock);
    proxy->stopping = true;
    (void)pthread_mutex_unlock(&proxy->lock);
    (void)shutdown(proxy->listener, SHUT_RDWR);
    (void)pthread_join(proxy->acceptor, NULL);
    (void)pthread_mutex_lock(&proxy->lock);
    while (proxy->running > 0)
        (void)pthread_cond_wait(&proxy->ended, &proxy->lock);
    (void)pthread_mutex_unlock(&proxy->lock);
    (void)close(proxy->listener);
    (void)pthread_cond_destroy(&proxy->ended);
    (void)pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}
