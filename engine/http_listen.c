#include "engine/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512, HOST_MAX = 256 };

/* "host:port" or "[host]:port" in its two parts. */
static bool split(const char *address, char host[HOST_MAX], const char **out_port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || colon[1] == '\0') {
        return false;
    }
    const char *begin = address;
    const char *end = colon;
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    }
    size_t len = (size_t)(end - begin);
    if (len >= HOST_MAX) {
        return false;
    }
    memcpy(host, begin, len);
    host[len] = '\0';
    *out_port = colon + 1;
    return true;
}

static int bind_and_listen(int fd, const struct sockaddr *address, socklen_t len)
{
    return bind(fd, address, len) || listen(fd, BACKLOG) ? errno : 0;
}

/* What the socket is bound to. */
static void examine(int fd, uint16_t *out_port, bool *out_loopback)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t len = sizeof address;
    *out_port = 0;
    *out_loopback = false;
    if (getsockname(fd, &address.any, &len)) {
        return;
    }
    if (address.any.sa_family == AF_INET6) {
        *out_port = ntohs(address.six.sin6_port);
        *out_loopback = IN6_IS_ADDR_LOOPBACK(&address.six.sin6_addr);
    } else if (address.any.sa_family == AF_INET) {
        *out_port = ntohs(address.four.sin_port);
        *out_loopback = ntohl(address.four.sin_addr.s_addr) >> 24 == 127;
    }
}

static int open_first(const struct addrinfo *found, int *out_fd)
{
    int sys = EADDRNOTAVAIL;
    for (; found; found = found->ai_next) {
        int on = 1;
        int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            sys = errno;
            continue;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        sys = bind_and_listen(fd, found->ai_addr, found->ai_addrlen);
        if (sys == 0) {
            *out_fd = fd;
            return 0;
        }
        (void)close(fd);
    }
    return sys;
}

int http_listen_tcp(const char *address, int *out_fd, uint16_t *out_port,
                    bool *out_loopback, struct err *err)
{
    char host[HOST_MAX];
    const char *port;
    if (!split(address, host, &port)) {
        return err_set(err, ERR_CONFIG, 0,
                       "intake.listen '%s' is no HOST:PORT, such as 127.0.0.1:8640",
                       address);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc) {
        /* these pass: nobody has to change the configuration */
        enum err_code code = rc == EAI_MEMORY  ? ERR_NOMEM
                             : rc == EAI_AGAIN ? ERR_BUSY
                                               : ERR_CONFIG;
        return err_set(err, code, 0, "intake.listen '%s': %s", address, gai_strerror(rc));
    }
    int sys = open_first(found, out_fd);
    freeaddrinfo(found);
    if (sys) {
        return err_set_errno(err, err_code_of_errno(sys, ERR_CONFIG), sys,
                             "intake.listen '%s'", address);
    }
    examine(*out_fd, out_port, out_loopback);
    return ERR_OK;
}

int http_listen_unix(const char *path, int *out_fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        return err_set(err, ERR_CONFIG, 0,
                       "the control socket's path %s is longer than %zu bytes; put the "
                       "journal at a shorter path",
                       path, sizeof address.sun_path - 1);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_set_errno(err, ERR_IO, errno, "the control socket");
    }
    if (unlink(path) && errno != ENOENT) {
        int sys = errno;
        (void)close(fd);
        return err_set_errno(err, ERR_IO, sys, "an old control socket at %s", path);
    }
    /* the journal's directory is 0700, so nobody comes in between bind and chmod */
    int sys = bind(fd, (struct sockaddr *)&address, sizeof address) ||
                      chmod(path, 0600) || listen(fd, BACKLOG)
                  ? errno
                  : 0;
    if (sys) {
        (void)close(fd);
        return err_set_errno(err, ERR_IO, sys, "the control socket %s", path);
    }
    *out_fd = fd;
    return ERR_OK;
}
