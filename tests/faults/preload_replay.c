/* tests/faults/preload_replay.c: counts the calls of replay in the real binary and kills
 * it at the one that the layer chose; see preload_replay.h. */
#include "tests/faults/preload_replay.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { FDS_MAX = 1024, PACKET_HEAD = 5, COM_QUERY = 3 };

/* A connection to the database. */
enum session { NO_SESSION, IDLE, BEGUN, MOVED, COMMITTING };

static struct replay_watch *watch;
static const char *socket_path;
static uint8_t sessions[FDS_MAX]; /* each used by one thread at a time */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct {
    int (*connect)(int, const struct sockaddr *, socklen_t);
    int (*close)(int);
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*recv)(int, void *, size_t, int);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*writev)(int, const struct iovec *, int);
    int (*fdatasync)(int);
} real;

static void find(const char *name, void *out)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(out, &found, sizeof found);
}

static void start(void)
{
    find("connect", &real.connect);
    find("close", &real.close);
    find("send", &real.send);
    find("recv", &real.recv);
    find("pwrite", &real.pwrite);
    find("writev", &real.writev);
    find("fdatasync", &real.fdatasync);
    const char *path = getenv("HOLDFAST_REPLAY_WATCH");
    socket_path = getenv("HOLDFAST_REPLAY_SOCKET");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map =
        fd < 0 ? MAP_FAILED
               : mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    watch = map == MAP_FAILED ? NULL : map;
    if (fd >= 0)
        (void)real.close(fd);
}

static bool watching(void)
{
    (void)pthread_once(&once, start);
    return watch != NULL;
}

/* ---- Counting and killing ---------------------------------------------------------- */

static void die(const char *call, const void *bytes, size_t len)
{
    size_t head = len > PACKET_HEAD ? PACKET_HEAD : len;
    size_t text = len - head < 40 ? len - head : 40;
    (void)snprintf(watch->what, sizeof watch->what, "%s %.*s", call, (int)text,
                   text ? (const char *)bytes + head : "");
    watch->open_at_kill = __atomic_load_n(&watch->open, __ATOMIC_SEQ_CST);
    __atomic_store_n(&watch->killed, 1, __ATOMIC_SEQ_CST);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* This call's turn to be met? */
static bool is_met(void)
{
    uint64_t number = __atomic_add_fetch(&watch->calls, 1, __ATOMIC_SEQ_CST);
    return watch->kill_at != 0 && number == watch->kill_at;
}

static bool is_session(int fd)
{
    return fd >= 0 && fd < FDS_MAX && sessions[fd] != NO_SESSION;
}

static bool holds(const void *bytes, size_t len, const char *text)
{
    return memmem(bytes, len, text, strlen(text)) != NULL;
}

/* What the engine says to the database, as far as it matters here. */
static void note_sent(int fd, const char *bytes, size_t len)
{
    if (len <= PACKET_HEAD || bytes[PACKET_HEAD - 1] != COM_QUERY)
        return;
    size_t head = len < 128 ? len : 128;
    uint8_t session = sessions[fd];
    if (holds(bytes, head, "START TRANSACTION")) {
        session = BEGUN;
    } else if (session == BEGUN && (holds(bytes, head, "UPDATE `holdfast_ledger`") ||
                                    holds(bytes, head, "INTO `holdfast_ledger`"))) {
        session = MOVED;
        if (__atomic_fetch_add(&watch->begun, 1, __ATOMIC_SEQ_CST) == 0)
            watch->before = __atomic_load_n(&watch->calls, __ATOMIC_SEQ_CST) - 1;
        (void)__atomic_add_fetch(&watch->open, 1, __ATOMIC_SEQ_CST);
    } else if (session == MOVED && holds(bytes, head, "COMMIT")) {
        session = COMMITTING;
    } else if (holds(bytes, head, "ROLLBACK")) {
        if (session == MOVED)
            (void)__atomic_sub_fetch(&watch->open, 1, __ATOMIC_SEQ_CST);
        session = IDLE;
    }
    sessions[fd] = session;
}

static void note_answer(int fd)
{
    if (sessions[fd] != COMMITTING)
        return;
    sessions[fd] = IDLE;
    (void)__atomic_sub_fetch(&watch->open, 1, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&watch->committed, 1, __ATOMIC_SEQ_CST);
}

/* ---- The calls --------------------------------------------------------------------- */

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    bool ours =
        watching() && socket_path && to->sa_family == AF_UNIX && fd >= 0 && fd < FDS_MAX;
    if (ours) {
        struct sockaddr_un at = {0};
        memcpy(&at, to, len < sizeof at ? len : sizeof at);
        if (strncmp(at.sun_path, socket_path, sizeof at.sun_path) == 0)
            sessions[fd] = IDLE;
    }
    return real.connect(fd, to, len);
}

int close(int fd)
{
    if (watching() && is_session(fd)) {
        if (sessions[fd] >= MOVED)
            (void)__atomic_sub_fetch(&watch->open, 1, __ATOMIC_SEQ_CST);
        sessions[fd] = NO_SESSION;
    }
    return real.close(fd);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    if (!watching() || !is_session(fd))
        return real.send(fd, bytes, len, flags);
    bool met = is_met();
    if (met && watch->how != KILL_AFTER) {
        if (watch->how == KILL_HALFWAY)
            (void)real.send(fd, bytes, len / 2, flags);
        die("send", bytes, len);
    }
    note_sent(fd, bytes, len);
    ssize_t sent = real.send(fd, bytes, len, flags);
    if (met)
        die("send", bytes, len);
    return sent;
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    char first;
    /* one that would have to wait is not counted, but the next one */
    if (!watching() || !is_session(fd) ||
        real.recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        return real.recv(fd, bytes, len, flags);
    bool met = is_met();
    if (met && watch->how == KILL_BEFORE)
        die("recv", NULL, 0);
    ssize_t got = real.recv(fd, bytes, len, flags);
    if (met)
        die("recv", NULL, 0);
    if (got > 0)
        note_answer(fd);
    return got;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (!watching())
        return real.pwrite(fd, bytes, len, at);
    bool met = is_met();
    if (met && watch->how != KILL_AFTER) {
        if (watch->how == KILL_HALFWAY)
            (void)real.pwrite(fd, bytes, len / 2, at);
        die("pwrite", NULL, 0);
    }
    ssize_t put = real.pwrite(fd, bytes, len, at);
    if (met)
        die("pwrite", NULL, 0);
    return put;
}

/* Sockets are written by it too: those of producers are none of replay's. */
static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!watching() || !is_file(fd))
        return real.writev(fd, parts, count);
    bool met = is_met();
    if (met && watch->how != KILL_AFTER) {
        if (watch->how == KILL_HALFWAY)
            (void)real.writev(fd, parts, count / 2);
        die("writev", NULL, 0);
    }
    ssize_t put = real.writev(fd, parts, count);
    if (met)
        die("writev", NULL, 0);
    return put;
}

int fdatasync(int fd)
{
    if (!watching())
        return real.fdatasync(fd);
    bool met = is_met();
    if (met && watch->how != KILL_AFTER)
        die("fdatasync", NULL, 0);
    int rc = real.fdatasync(fd);
    if (met)
        die("fdatasync", NULL, 0);
    return rc;
}
