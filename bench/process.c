#include "bench/process.h"

#include "bench/child.h"

#include "base/clock.h"
#include "base/slice.h"
#include "engine/client.h"
#include "engine/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    READY_TIMEOUT_S = 120,
    STOP_TIMEOUT_S = 60,
    CALL_TIMEOUT_S = 30,
    READY_POLL_US = 500,
    APPLIED_POLL_LEAST_US = 500,
    APPLIED_POLL_MOST_US = 50000,
    APPLIED_POLL_SHARE = 256, /* of the time waited so far: finer would cost the engine */
    LOG_TAIL = 500,
    FILES_OPEN_MAX = 16,
};

/* ---- Files ----------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int make_directory(const char *path, struct err *err)
{
    if (nftw(path, remove_one, FILES_OPEN_MAX, FTW_DEPTH | FTW_PHYS) && errno != ENOENT) {
        return err_set_errno(err, ERR_IO, errno, "removing %s", path);
    }
    return mkdir(path, 0700) ? err_set_errno(err, ERR_IO, errno, "%s", path) : ERR_OK;
}

static int write_file(const char *path, const struct buf *text, struct err *err)
{
    if (text->failed) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a configuration");
    }
    FILE *file = fopen(path, "we");
    if (!file) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    bool fine = fwrite(text->data, 1, text->len, file) == text->len;
    if (fclose(file) || !fine) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    return ERR_OK;
}

/* The end of the engine's log, for a message. */
static const char *log_tail(const struct process *process, char out_text[LOG_TAIL + 1])
{
    char path[PROCESS_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/log", process->directory);
    out_text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        off_t from = st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
        ssize_t got = pread(fd, out_text, LOG_TAIL, from);
        out_text[got > 0 ? got : 0] = '\0';
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return out_text;
}

/* ---- Configuration --------------------------------------------------------------- */

static void append_quoted(struct buf *out, const char *text)
{
    static const char *const escapes[256] = {['"'] = "\\\"", ['\\'] = "\\\\"};
    buf_append_char(out, '"');
    buf_append_escaped(out, slice_text(text), escapes);
    buf_append_char(out, '"');
}

/* Bodies may hold the largest transaction that is measured; all else is the default. */
static void append_config(struct buf *out, const struct process *process,
                          const struct process_options *options)
{
    char journal[PROCESS_PATH_MAX + 8];
    (void)snprintf(journal, sizeof journal, "%s/journal", process->directory);
    buf_append_text(out, "journal: {max_size: 16GiB, path: ");
    append_quoted(out, journal);
    buf_append_text(out, options->journal ? options->journal : "");
    buf_printf(out,
               "}\nintake: {listen: \"127.0.0.1:%u\", max_body: 64MiB, "
               "max_bodies: 512MiB}\n",
               process->port);
    buf_append_text(out, "database: {user: root, durability: require, socket: ");
    append_quoted(out, process->bench->socket);
    buf_append_text(out, ", name: ");
    append_quoted(out, options->database);
    buf_printf(out,
               "}\nreplay: {transaction_records: %u, connections: %u}\n"
               "time_zone: \"+00:00\"\nlog: {level: info}\n"
               "streams: [{name: %s, preset: botnet, lanes: %u}]\n%s\n",
               options->transaction_records, options->lanes, options->stream,
               options->lanes, options->more ? options->more : "");
}

/* A port that is free now. */
static int find_port(uint16_t *out_port, struct err *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    int sys = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (!found) {
        return err_set_errno(err, ERR_IO, sys, "no free port on 127.0.0.1");
    }
    *out_port = ntohs(address.sin_port);
    return ERR_OK;
}

static int control_path(const struct process *process, char *out, size_t size,
                        struct err *err)
{
    int len = snprintf(out, size, "%s/journal/control.sock", process->directory);
    if (len < 0 || (size_t)len >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        return err_set(err, ERR_INVALID, 0,
                       "%s is too long a path for a Unix socket; choose a shorter "
                       "directory for the benchmark",
                       out);
    }
    return ERR_OK;
}

int process_configure(struct process *process, const struct process_options *options,
                      struct err *err)
{
    struct buf text = {0};
    append_config(&text, process, options);
    int code = write_file(process->config, &text, err);
    buf_free(&text);
    return code;
}

int process_prepare(struct process *process, const struct bench *bench,
                    const struct process_options *options, struct err *err)
{
    if (!bench->socket) {
        return err_set(err, ERR_INVALID, 0, "needs a database server: give its --socket");
    }
    struct process made = {.bench = bench};
    char control[2 * PROCESS_PATH_MAX];
    (void)snprintf(made.directory, sizeof made.directory, "%s/%s", bench->directory,
                   options->name);
    int code = control_path(&made, control, sizeof control, err);
    code = code ? code : find_port(&made.port, err);
    code = code ? code : make_directory(made.directory, err);
    if (code == ERR_OK) {
        (void)snprintf(made.config, sizeof made.config, "%.200s/holdfast.yaml",
                       made.directory);
        code = process_configure(&made, options, err);
    }
    if (code == ERR_OK) {
        *process = made;
    }
    return code;
}

/* ---- Start and end --------------------------------------------------------------- */

static int ended(struct process *process, const struct child *child, struct err *err)
{
    char tail[LOG_TAIL + 1];
    process->pid = 0;
    return err_set(err, ERR_IO, 0, "the engine ended with %d; its log ends: %s",
                   child->exit_code, log_tail(process, tail));
}

static int new_client(const struct process *process, struct client **out_client,
                      struct err *err)
{
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", process->port);
    return client_new_url(url, NULL, NULL, out_client, err);
}

static bool is_ready(struct client *client)
{
    struct client_call call = {
        .method = "GET", .path = "/readyz", .timeout_s = CALL_TIMEOUT_S};
    struct client_answer answer = {0};
    struct err none = {0};
    int code = client_request(client, &call, &answer, &none);
    buf_free(&answer.body);
    return code == ERR_OK && answer.status == 200;
}

static int wait_ready(struct process *process, struct client *client, int64_t begun_us,
                      struct err *err)
{
    struct child child = {.pid = process->pid};
    int64_t end_us = begun_us + READY_TIMEOUT_S * 1000000LL;
    while (!is_ready(client)) {
        if (child_ended(&child)) {
            return ended(process, &child, err);
        }
        if (clock_steady_us(&clock_system) > end_us) {
            char tail[LOG_TAIL + 1];
            return err_set(err, ERR_TIMEOUT, 0,
                           "the engine is not ready after %d s; its log ends: %s",
                           READY_TIMEOUT_S, log_tail(process, tail));
        }
        bench_rest(READY_POLL_US);
    }
    return ERR_OK;
}

int process_start(struct process *process, int64_t *out_ready_us, struct err *err)
{
    char log[PROCESS_PATH_MAX + 8];
    (void)snprintf(log, sizeof log, "%s/log", process->directory);
    const char *argv[] = {process->bench->engine, "serve", "--config", process->config,
                          NULL};
    struct client *client = NULL;
    struct child child = {0};
    int code = new_client(process, &client, err);
    int64_t begun_us = clock_steady_us(&clock_system);
    code = code ? code : child_start(argv, log, &child, err);
    process->pid = child.pid;
    code = code ? code : wait_ready(process, client, begun_us, err);
    int64_t ready_us = clock_steady_us(&clock_system) - begun_us;
    client_free(client);
    if (code != ERR_OK) {
        process_kill(process);
        return code;
    }
    *out_ready_us = ready_us;
    return ERR_OK;
}

void process_kill(struct process *process)
{
    struct child child = {.pid = process->pid};
    child_end(&child, SIGKILL);
    process->pid = 0;
}

int process_stop(struct process *process, struct err *err)
{
    struct child child = {.pid = process->pid};
    if (process->pid == 0) {
        return ERR_OK;
    }
    (void)kill(process->pid, SIGTERM);
    process->pid = 0;
    if (child_wait(&child, STOP_TIMEOUT_S, err) != ERR_OK) {
        return err_wrap(err, "the engine, told to stop");
    }
    return child.exit_code ? ended(process, &child, err) : ERR_OK;
}

/* ---- A stopped engine ------------------------------------------------------------ */

enum { COMMAND_TIMEOUT_S = 600 };

int process_verify(const struct process *process, struct err *err)
{
    char log[PROCESS_PATH_MAX + 8];
    (void)snprintf(log, sizeof log, "%s/verify", process->directory);
    const char *argv[] = {
        process->bench->engine, "journal", "verify", "--quiet", "--config",
        process->config,        NULL};
    return child_run(argv, log, COMMAND_TIMEOUT_S, err);
}

int process_audit(const struct process *process, struct err *err)
{
    char log[PROCESS_PATH_MAX + 8];
    (void)snprintf(log, sizeof log, "%s/audit", process->directory);
    const char *argv[] = {process->bench->engine, "audit", "--config", process->config,
                          NULL};
    return child_run(argv, log, COMMAND_TIMEOUT_S, err);
}

/* ---- A running engine ------------------------------------------------------------ */

static int control(struct process *process, const char *path, struct err *err)
{
    char place[2 * PROCESS_PATH_MAX];
    struct client *client = NULL;
    struct client_call call = {
        .method = "POST", .path = path, .timeout_s = CALL_TIMEOUT_S};
    struct client_answer answer = {0};
    int code = control_path(process, place, sizeof place, err);
    code = code ? code : client_new_socket(place, &client, err);
    code = code ? code : client_request(client, &call, &answer, err);
    if (code == ERR_OK && answer.status != 200) {
        code = err_set(err, ERR_IO, 0, "%s: the engine answers %d", path, answer.status);
    }
    buf_free(&answer.body);
    client_free(client);
    return code;
}

int process_pause(struct process *process, struct err *err)
{
    return control(process, "/control/pause", err);
}

int process_resume(struct process *process, struct err *err)
{
    return control(process, "/control/resume", err);
}

static bool read_number(const struct json_value *object, const char *key, uint64_t *out)
{
    int64_t number = json_as_integer(json_get(object, key), -1);
    *out = (uint64_t)number;
    return number >= 0;
}

static int ask_status(struct client *client, struct process_status *out, struct err *err)
{
    struct client_call call = {
        .method = "GET", .path = "/v1/status", .timeout_s = CALL_TIMEOUT_S};
    struct client_answer answer = {0};
    int code = client_request(client, &call, &answer, err);
    if (code != ERR_OK) {
        return code;
    }
    struct json_value *status = json_parse(buf_slice(&answer.body));
    bool fine =
        answer.status == 200 && status &&
        read_number(status, "accepted", &out->accepted) &&
        read_number(status, "pending", &out->pending) &&
        read_number(json_get(status, "journal"), "file_bytes", &out->journal_bytes);
    json_value_free(status);
    buf_free(&answer.body);
    return fine ? ERR_OK
                : err_set(err, ERR_IO, 0,
                          "/v1/status: the engine answers %d without "
                          "the numbers that are expected",
                          answer.status);
}

int process_status(struct process *process, struct process_status *out_status,
                   struct err *err)
{
    struct client *client = NULL;
    struct process_status status;
    int code = new_client(process, &client, err);
    code = code ? code : ask_status(client, &status, err);
    client_free(client);
    if (code == ERR_OK) {
        *out_status = status;
    }
    return code;
}

static int64_t applied_poll_us(int64_t waited_us)
{
    int64_t us = waited_us / APPLIED_POLL_SHARE;
    us = us > APPLIED_POLL_LEAST_US ? us : APPLIED_POLL_LEAST_US;
    return us < APPLIED_POLL_MOST_US ? us : APPLIED_POLL_MOST_US;
}

static int wait_applied(struct process *process, struct client *client, int timeout_s,
                        struct err *err)
{
    struct child child = {.pid = process->pid};
    int64_t begun_us = clock_steady_us(&clock_system);
    int64_t waited_us = 0;
    struct process_status status = {0};
    do {
        int code = ask_status(client, &status, err);
        if (code == ERR_OK && status.pending == 0) {
            return ERR_OK;
        }
        if (child_ended(&child)) {
            return ended(process, &child, err);
        }
        if (code != ERR_OK) {
            return code;
        }
        waited_us = clock_steady_us(&clock_system) - begun_us;
        bench_rest(applied_poll_us(waited_us));
    } while (waited_us < timeout_s * 1000000LL);
    char tail[LOG_TAIL + 1];
    return err_set(
        err, ERR_TIMEOUT, 0, "%llu records are pending after %d s; the log ends: %s",
        (unsigned long long)status.pending, timeout_s, log_tail(process, tail));
}

int process_wait_applied(struct process *process, int timeout_s, struct err *err)
{
    struct client *client = NULL;
    int code = new_client(process, &client, err);
    code = code ? code : wait_applied(process, client, timeout_s, err);
    client_free(client);
    return code;
}

/* ---- What a process uses --------------------------------------------------------- */

/* One of /proc's small files, as text; false where it can't be read. */
static bool read_proc(pid_t pid, const char *name, char *out_text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    out_text[fread(out_text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
    return true;
}

double process_cpu_s(pid_t pid)
{
    enum { FIELDS_BEFORE_UTIME = 12 }; /* after the name, which may hold blanks */
    char text[1024];
    char *at = read_proc(pid, "stat", text, sizeof text) ? strrchr(text, ')') : NULL;
    for (int i = 0; at && i < FIELDS_BEFORE_UTIME; i++) {
        at = strchr(at + 1, ' ');
    }
    if (!at) {
        return 0;
    }
    uint64_t ticks = strtoull(at, &at, 10);
    ticks += strtoull(at, NULL, 10);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static uint64_t rollup_bytes(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* Anonymous pages are private and mostly dirty: the larger of both counts each page once,
 * and none of the journal's map, which is only read. */
uint64_t process_private_bytes(pid_t pid)
{
    char text[4096];
    if (!read_proc(pid, "smaps_rollup", text, sizeof text)) {
        return 0;
    }
    uint64_t anonymous = rollup_bytes(text, "\nPss_Anon:");
    uint64_t dirty = rollup_bytes(text, "\nPrivate_Dirty:");
    return (anonymous > dirty ? anonymous : dirty) + rollup_bytes(text, "\nSwapPss:");
}
