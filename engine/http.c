/* engine/http.c: the two doors, opened and closed. */
#include "engine/http.h"
#include "engine/file.h"
#include "engine/http_listen.h"
#include "engine/http_request.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 64 << 10, /* headers, and a piece of the body at a time */
    CONTROL_CONNECTIONS_MAX = 32,
    /* Journal, log, sockets, the control door's connections, alerts, what operators ask
     * of the database; of each thread that serves connections; and of each session of
     * replay's, the library's and our own (replay/db.c). */
    DESCRIPTORS_OWN = 64 + CONTROL_CONNECTIONS_MAX,
    DESCRIPTORS_THREAD = 2,
    DESCRIPTORS_SESSION = 2,
    STOP_STEP_US = 5000,
    TLS_FILE_MAX = 1 << 20,
};

void http_control_path(const char *journal_path, struct buf *out)
{
    buf_printf(out, "%s/control.sock", journal_path);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

int http_reload(struct http *http, struct err *err)
{
    return http->tokens ? tokens_reload(http->tokens, err) : ERR_OK;
}

/* ---- Daemons ----------------------------------------------------------------------- */

static void on_connection(void *context, struct MHD_Connection *connection,
                          void **socket_context, enum MHD_ConnectionNotificationCode code)
{
    const struct door *door = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        connections_remove(*socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *socket_context =
        info ? connections_add(door->http->connections, info->connect_fd, door->plain)
             : NULL;
}

static void log_library(void *context, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void log_library(void *context, const char *format, va_list args)
{
    (void)context;
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    log_debug("http_library", L_SLICE("text", slice_trim(slice_text(text))));
}

/* Takes over `fd`. Everything that it is given has been checked, but for certificate and
 * key: without those, only memory, threads or descriptors can be short. */
static int start_daemon(struct door *door, int fd, unsigned flags,
                        struct MHD_OptionItem *more, struct err *err)
{
    const struct intake_config *intake = &engine_config(door->http->engine)->intake;
    errno = 0;
    door->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
            flags,
        0, NULL, NULL, request_handle, door, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED,
        request_completed, door, MHD_OPTION_NOTIFY_CONNECTION, on_connection, door,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)intake->idle_timeout_s,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (door->daemon) {
        return ERR_OK;
    }
    enum err_code code =
        err_code_of_errno(errno, flags & MHD_USE_TLS ? ERR_CONFIG : ERR_BUSY);
    (void)close(fd);
    return err_set(err, code, 0, "the %s can't start%s",
                   door->control ? "control socket's server" : "HTTP server",
                   code == ERR_CONFIG ? "; do the files of intake.tls hold a "
                                        "PEM certificate and its key?"
                                      : ": no memory, threads or descriptors are left");
}

static const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

static int start_tls(struct http *http, int fd, struct MHD_OptionItem *more,
                     struct err *err)
{
    const struct intake_config *intake = &engine_config(http->engine)->intake;
    struct buf cert = {.max = TLS_FILE_MAX};
    struct buf key = {.max = TLS_FILE_MAX};
    int code = file_read(intake->tls_cert, &cert, err);
    code = code ? code : file_read(intake->tls_key, &key, err);
    if (code == ERR_OK) {
        struct MHD_OptionItem tls[] = {
            {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)buf_text(&cert)},
            {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)buf_text(&key)},
            {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities},
            {MHD_OPTION_ARRAY, 0, more},
            {MHD_OPTION_END, 0, NULL},
        };
        code = start_daemon(&http->tcp, fd, MHD_USE_TLS, tls, err);
    } else {
        (void)close(fd);
    }
    if (key.data) {
        explicit_bzero(key.data, key.len);
    }
    buf_free(&cert);
    buf_free(&key);
    return code;
}

/* How many files may be open: `wanted`, or fewer where the hard limit says so. */
static rlim_t raise_descriptors(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return wanted;
    }
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : before;
}

/* As many connections as are configured, or as there are descriptors for: with one that
 * can't be accepted, a thread of libmicrohttpd that has no other turns round. */
static int connections_fitting(const struct config *config, uint32_t *out_connections,
                               struct err *err)
{
    const struct intake_config *intake = &config->intake;
    rlim_t own = DESCRIPTORS_OWN + (rlim_t)DESCRIPTORS_THREAD * intake->threads +
                 (rlim_t)DESCRIPTORS_SESSION * config->connections;
    rlim_t wanted = own + intake->connections_max;
    rlim_t allowed = raise_descriptors(wanted);
    if (allowed < own + intake->threads) {
        return err_set(err, err_code_of_errno(EMFILE, ERR_CONFIG), EMFILE,
                       "%ju files may be open, too few for senders to connect: raise the "
                       "limit (LimitNOFILE, ulimit -n) to %ju",
                       (uintmax_t)allowed, (uintmax_t)wanted);
    }
    *out_connections = (uint32_t)(allowed - own);
    if (allowed < wanted) {
        log_warn("few_descriptors", L_INT("limit", allowed), L_INT("wanted", wanted),
                 L_INT("max_connections", *out_connections));
    }
    return ERR_OK;
}

static int start_tcp(struct http *http, struct err *err)
{
    const struct intake_config *intake = &engine_config(http->engine)->intake;
    bool loopback = false;
    int fd;
    if (http_listen_tcp(intake->listen, &fd, &http->port, &loopback, err) != ERR_OK) {
        return err->code;
    }
    if (!loopback && !http->tokens) {
        (void)close(fd);
        return err_set(
            err, ERR_CONFIG, 0,
            "intake.listen '%s' can be reached from other machines, so a token "
            "is required; set intake.token_file, or listen on 127.0.0.1",
            intake->listen);
    }
    uint32_t connections = 0;
    if (connections_fitting(engine_config(http->engine), &connections, err) != ERR_OK) {
        (void)close(fd);
        return err->code;
    }
    unsigned threads = intake->threads > 1 ? intake->threads : 0;
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_CONNECTION_LIMIT, connections, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, intake->connections_per_address_max, NULL},
        {threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return intake->tls_cert ? start_tls(http, fd, more, err)
                            : start_daemon(&http->tcp, fd, 0, more, err);
}

static int start_control(struct http *http, struct err *err)
{
    struct buf path = {0};
    http_control_path(engine_config(http->engine)->journal.path, &path);
    const char *text = buf_text(&path);
    http->control_path = text ? strdup(text) : NULL;
    buf_free(&path);
    if (!http->control_path) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the control socket");
    }
    int fd;
    if (http_listen_unix(http->control_path, &fd, err) != ERR_OK) {
        return err->code;
    }
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_CONNECTION_LIMIT, CONTROL_CONNECTIONS_MAX, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return start_daemon(&http->control, fd, 0, more, err);
}

int http_start(struct engine *engine, struct http **out_http, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the HTTP server");
    }
    const struct intake_config *intake = &engine_config(engine)->intake;
    struct connections_limits limits = {
        .idle_us = (int64_t)intake->idle_timeout_s * 1000000,
        .request_us = (int64_t)intake->request_timeout_s * 1000000,
    };
    http->engine = engine;
    http->tcp = (struct door){.http = http, .plain = !intake->tls_cert};
    http->control = (struct door){.http = http, .control = true, .plain = true};
    int code = connections_new(&limits, &http->connections, err);
    if (code == ERR_OK && intake->token_file) {
        code = tokens_new(intake->token_file, &http->tokens, err);
    }
    code = code ? code : start_control(http, err);
    code = code ? code : start_tcp(http, err);
    if (code != ERR_OK) {
        http_stop(http, 0);
        return code;
    }
    *out_http = http;
    return ERR_OK;
}

static void end_daemon(struct MHD_Daemon *daemon)
{
    if (daemon) {
        MHD_stop_daemon(daemon);
    }
}

/* Requests in hand are answered, until the deadline. After it only those stay that are
 * suspended, since the library can't be stopped with one: each waits for a commit, which
 * ends by itself, or for its batch to be applied, which is ended here. */
static void await_requests(struct http *http, int64_t deadline_us)
{
    struct timespec step = {.tv_nsec = STOP_STEP_US * 1000L};
    while (atomic_load(&http->suspended) > 0 ||
           (atomic_load(&http->active) > 0 &&
            clock_steady_us(&clock_system) < deadline_us)) {
        engine_release_waiters(http->engine);
        nanosleep(&step, NULL);
    }
}

/* Who comes meanwhile is still listened to, and sent away. MHD_quiesce_daemon would end
 * that, but races with the library's own threads over who takes the listening socket out
 * of their epoll sets, and ends the process where it comes second. */
void http_stop(struct http *http, int64_t deadline_us)
{
    if (!http) {
        return;
    }
    atomic_store(&http->stopping, true);
    await_requests(http, deadline_us);
    atomic_store(&http->cutting, true);
    await_requests(http, 0);
    end_daemon(http->tcp.daemon);
    end_daemon(http->control.daemon);
    if (http->control_path && http->control.daemon) {
        (void)unlink(http->control_path);
    }
    free(http->control_path);
    connections_free(http->connections);
    tokens_free(http->tokens);
    free(http);
}
