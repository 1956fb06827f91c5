/* tests/engine_process.c: see engine_process.h. */
#include "tests/engine_process.h"

#include "tests/http_probe.h"
#include "tests/process.h"
#include "tests/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_TAIL = 700,
    /* innodb_trx is a copy that is made anew only when nobody has read it for 0.1 s */
    TRX_COPY_MS = 120,
    COMMAND_ARGS_MAX = 16,
    COMMAND_TIMEOUT_MS = 60000,
};

static const char default_streams[] =
    "[{name: mozi, preset: botnet}, {name: test, preset: botnet}]";

static bool join(char out[ENGINE_PATH_MAX], const char *dir, const char *name,
                 const char *suffix)
{
    int len = snprintf(out, ENGINE_PATH_MAX, "%s/%s%s", dir, name, suffix);
    return len > 0 && len < ENGINE_PATH_MAX;
}

static int write_file(const char *path, const struct buf *text, struct err *err)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "can't write %s", path);
    size_t put = fwrite(text->data, 1, text->len, file);
    if (fclose(file) != 0 || put != text->len)
        return err_set_errno(err, ERR_IO, errno, "can't write %s", path);
    return 0;
}

static void append_config(struct buf *out, const struct engine_process *engine,
                          const struct engine_options *options)
{
    const char *journal = options->journal ? options->journal : ", max_size: 4GiB";
    buf_printf(out, "journal: {path: \"%s\"%s}\n", engine->journal, journal);
    buf_printf(out, "intake: {listen: \"127.0.0.1:%u\"%s}\n", (unsigned)options->port,
               options->intake ? options->intake : "");
    buf_append_text(out, "database: {");
    if (options->socket)
        buf_printf(out, "socket: \"%s\"", options->socket);
    else
        buf_printf(out, "hosts: [\"%s\"]", options->host);
    buf_printf(out, ", name: %s, user: %s%s}\n", options->database,
               options->user ? options->user : "root",
               options->server ? options->server : "");
    buf_append_text(out, "time_zone: \"+08:00\"\nlog: {level: debug}\n");
    buf_printf(out, "streams: %s\n",
               options->streams ? options->streams : default_streams);
    if (options->more)
        buf_printf(out, "%s\n", options->more);
}

int engine_configure(struct engine_process *engine, const struct engine_options *options,
                     struct err *err)
{
    int len = snprintf(engine->binary, sizeof engine->binary, "%s", options->binary);
    if (len >= ENGINE_PATH_MAX ||
        !join(engine->config, options->dir, options->name, ".yaml") ||
        !join(engine->log, options->dir, options->name, ".log") ||
        !join(engine->journal, options->disk ? options->disk : options->dir,
              options->name, "-journal"))
        return err_set(err, ERR_INVALID, 0, "too long a path: %s", options->dir);
    engine->port = options->port;
    struct buf text = {0};
    append_config(&text, engine, options);
    int code = text.failed ? err_set(err, ERR_NOMEM, 0, "no memory for a configuration")
                           : write_file(engine->config, &text, err);
    buf_free(&text);
    return code;
}

/* The end of the log, for a message. */
static void log_tail(const char *path, char out[LOG_TAIL])
{
    out[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        off_t from = st.st_size > LOG_TAIL - 1 ? st.st_size - (LOG_TAIL - 1) : 0;
        ssize_t n = pread(fd, out, LOG_TAIL - 1, from);
        out[n > 0 ? n : 0] = '\0';
    }
    if (fd >= 0)
        (void)close(fd);
}

static int ended(struct engine_process *engine, int code, struct err *err)
{
    char tail[LOG_TAIL];
    log_tail(engine->log, tail);
    engine->pid = 0;
    return err_set(err, ERR_IO, 0, "the engine ended with %d; its log ends:\n%s", code,
                   tail);
}

int engine_launch(struct engine_process *engine, struct err *err)
{
    const char *argv[] = {engine->binary, "serve", "--config", engine->config, NULL};
    engine->starts++;
    return process_start(argv, engine->log, SIGKILL, &engine->pid, err);
}

int engine_start(struct engine_process *engine, struct err *err)
{
    int code = engine_launch(engine, err);
    if (code != 0)
        return code;
    int64_t end = process_now_ms() + ENGINE_READY_TIMEOUT_MS;
    while (process_now_ms() < end) {
        struct buf answer = {0};
        int status = http_probe_get(engine->port, "/readyz", &answer);
        buf_free(&answer);
        int exit_code;
        if (process_wait(engine->pid, 0, &exit_code))
            return ended(engine, exit_code, err);
        if (status == 200)
            return 0;
        process_sleep_ms(5);
    }
    engine_kill(engine);
    char tail[LOG_TAIL];
    log_tail(engine->log, tail);
    return err_set(err, ERR_IO, 0,
                   "the engine is not ready after %d s; its log ends:\n%s",
                   ENGINE_READY_TIMEOUT_MS / 1000, tail);
}

void engine_kill(struct engine_process *engine)
{
    if (engine->pid)
        process_kill(engine->pid);
    engine->pid = 0;
}

int engine_stop(struct engine_process *engine, int timeout_ms, int *out_code,
                struct err *err)
{
    int code;
    (void)kill(engine->pid, SIGTERM);
    if (!process_wait(engine->pid, timeout_ms, &code)) {
        engine_kill(engine);
        return err_set(err, ERR_TIMEOUT, 0, "the engine has not stopped within %d ms",
                       timeout_ms);
    }
    engine->pid = 0;
    *out_code = code;
    return 0;
}

/* A number of /v1/status, whose totals come before its parts; -1: no answer. */
static int64_t status_number(const struct engine_process *engine, const char *key)
{
    struct buf status = {0};
    int64_t value = -1;
    if (http_probe_get(engine->port, "/v1/status", &status) == 200)
        value = http_probe_number(buf_slice(&status), key, -1);
    buf_free(&status);
    return value;
}

int64_t engine_pending(const struct engine_process *engine)
{
    return status_number(engine, "pending");
}

int64_t engine_accepted(const struct engine_process *engine)
{
    return status_number(engine, "accepted");
}

static bool all_idle(const struct buf *status)
{
    struct slice left = buf_slice(status);
    size_t lanes = 0;
    for (;;) {
        const char *state =
            left.len ? memmem(left.data, left.len, "\"state\":\"", 9) : NULL;
        if (!state)
            return lanes > 0;
        left.len -= (size_t)(state + 9 - left.data);
        left.data = state + 9;
        /* settled: a lane that needs no database */
        if (left.len < 7 ||
            (memcmp(left.data, "idle", 4) != 0 && memcmp(left.data, "settled", 7) != 0))
            return false;
        lanes++;
    }
}

bool engine_idle(const struct engine_process *engine)
{
    struct buf status = {0};
    bool idle =
        http_probe_get(engine->port, "/v1/status", &status) == 200 && all_idle(&status);
    buf_free(&status);
    return idle;
}

int engine_wait_applied(struct engine_process *engine, int timeout_ms, struct err *err)
{
    int64_t end = process_now_ms() + timeout_ms;
    int64_t pending = -1;
    while (process_now_ms() < end) {
        int code;
        if (process_wait(engine->pid, 0, &code))
            return ended(engine, code, err);
        pending = engine_pending(engine);
        if (pending == 0)
            return 0;
        process_sleep_ms(20);
    }
    char tail[LOG_TAIL];
    log_tail(engine->log, tail);
    return err_set(err, ERR_TIMEOUT, 0,
                   "%lld records are pending after %d ms; the log ends:\n%s",
                   (long long)pending, timeout_ms, tail);
}

/* An open transaction with rows modified, of anybody but the asking session. */
static int open_transaction(MYSQL *session, struct engine_transaction *out,
                            struct err *err)
{
    static const char sql[] =
        "SELECT trx_id, trx_rows_modified FROM information_schema.innodb_trx"
        " WHERE trx_rows_modified > 0 AND trx_mysql_thread_id NOT IN (0, CONNECTION_ID())"
        " ORDER BY trx_id LIMIT 1";
    MYSQL_RES *result = NULL;
    if (mysql_query(session, sql) == 0)
        result = mysql_store_result(session);
    if (!result)
        return err_set(err, ERR_TRANSIENT, (int)mysql_errno(session),
                       "can't read innodb_trx: %s", mysql_error(session));
    MYSQL_ROW row = mysql_fetch_row(result);
    *out = (struct engine_transaction){0};
    if (row) {
        out->id = strtoull(row[0], NULL, 10);
        out->rows = strtoull(row[1], NULL, 10);
    }
    mysql_free_result(result);
    return 0;
}

/* With the engine stopped: is the same transaction there now, and a copy later still? */
static int prove(MYSQL *session, struct engine_transaction *out, struct err *err)
{
    struct engine_transaction first = {0};
    process_sleep_ms(TRX_COPY_MS);
    int code = open_transaction(session, &first, err);
    *out = (struct engine_transaction){0};
    if (code != 0 || first.id == 0)
        return code;
    process_sleep_ms(TRX_COPY_MS);
    struct engine_transaction second = {0};
    code = open_transaction(session, &second, err);
    if (code == 0 && second.id == first.id)
        *out = second;
    return code;
}

int engine_freeze_in_transaction(struct engine_process *engine, struct st_mysql *session,
                                 uint64_t *random, int timeout_ms,
                                 struct engine_transaction *out_transaction,
                                 struct err *err)
{
    int64_t end = process_now_ms() + timeout_ms;
    while (process_now_ms() < end) {
        struct engine_transaction found;
        process_sleep_ms((long)sample_below(random, 30));
        (void)kill(engine->pid, SIGSTOP);
        int code = prove(session, &found, err);
        if (code == 0 && found.id != 0) {
            *out_transaction = found;
            return 0;
        }
        (void)kill(engine->pid, SIGCONT);
        if (code != 0)
            return code;
    }
    return err_set(err, ERR_TIMEOUT, 0,
                   "no database transaction of the engine was met in %d ms", timeout_ms);
}

static void append_file(struct buf *out, const char *path)
{
    FILE *file = fopen(path, "re");
    char piece[4096];
    size_t n;
    while (file && (n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(out, piece, n);
    if (file)
        (void)fclose(file);
}

int engine_command(const struct engine_process *engine, const char *const *args,
                   struct buf *out)
{
    const char *argv[COMMAND_ARGS_MAX] = {engine->binary};
    size_t count = 1;
    for (; *args && count < COMMAND_ARGS_MAX - 3; args++)
        argv[count++] = *args;
    argv[count++] = "--config";
    argv[count++] = engine->config;
    char log[ENGINE_PATH_MAX + 8];
    (void)snprintf(log, sizeof log, "%s.command", engine->log);
    (void)unlink(log);
    pid_t pid;
    int code = -1;
    if (process_start(argv, log, SIGKILL, &pid, NULL) != 0)
        return -1;
    if (!process_wait(pid, COMMAND_TIMEOUT_MS, &code))
        process_kill(pid);
    if (out)
        append_file(out, log);
    (void)unlink(log);
    return code;
}
