/* tests/private_server.c: see private_server.h. */
#include "tests/private_server.h"

#include "tests/process.h"

#include <errno.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READY_TIMEOUT_MS = 60000, INSTALL_TIMEOUT_MS = 120000, STOP_TIMEOUT_MS = 60000 };

enum { ARGUMENT_MAX = SERVER_PATH_MAX + 32, FIXED_ARGS = 11, MORE_ARGS_MAX = 12 };

static const char *own_user(void)
{
    /* As root the server insists on being told so; otherwise it is who we are. In its
     * short form mariadb-install-db hands it on untouched; --user=root would make it
     * chown the directory, whose name it doesn't quote. */
    return geteuid() == 0 ? "-uroot" : NULL;
}

static int install(const struct private_server *server, struct err *err)
{
    char data[ARGUMENT_MAX];
    (void)snprintf(data, sizeof data, "--datadir=%s/data", server->dir);
    const char *argv[] = {"mariadb-install-db",
                          "--no-defaults",
                          "--auth-root-authentication-method=normal",
                          "--skip-name-resolve",
                          "--skip-test-db",
                          data,
                          own_user(),
                          NULL};
    pid_t pid;
    int exit_code;
    /* As for the server itself: installs side by side take each other's tables. As an
     * argument it would be split at a blank. */
    char before[SERVER_PATH_MAX] = "";
    if (getenv("TMPDIR"))
        (void)snprintf(before, sizeof before, "%s", getenv("TMPDIR"));
    if (setenv("TMPDIR", server->dir, 1) != 0)
        return err_set_errno(err, ERR_NOMEM, errno, "can't set TMPDIR");
    int code = process_start(argv, server->log, SIGKILL, &pid, err);
    if (before[0] == '\0' || setenv("TMPDIR", before, 1) != 0)
        (void)unsetenv("TMPDIR");
    if (code != 0)
        return code;
    if (!process_wait(pid, INSTALL_TIMEOUT_MS, &exit_code)) {
        process_kill(pid);
        exit_code = -1;
    }
    if (exit_code != 0)
        return err_set(err, ERR_IO, 0, "mariadb-install-db failed with %d; see %s",
                       exit_code, server->log);
    return 0;
}

static MYSQL *connect_to(const struct private_server *server, const char *database)
{
    MYSQL *session = mysql_init(NULL);
    if (!session)
        return NULL;
    unsigned timeout_s = 10;
    (void)mysql_options(session, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    (void)mysql_options(session, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (mysql_real_connect(session, NULL, "root", "", database, 0, server->socket, 0))
        return session;
    mysql_close(session);
    return NULL;
}

struct st_mysql *private_server_connect(const struct private_server *server)
{
    return connect_to(server, "holdfast");
}

static int wait_ready(struct private_server *server, struct err *err)
{
    int64_t end = process_now_ms() + READY_TIMEOUT_MS;
    while (process_now_ms() < end) {
        MYSQL *session = connect_to(server, NULL);
        if (session) {
            int rc = mysql_query(session, "CREATE DATABASE IF NOT EXISTS holdfast");
            mysql_close(session);
            return rc == 0 ? 0 : err_set(err, ERR_IO, 0, "can't create a database");
        }
        int code;
        if (process_wait(server->pid, 0, &code)) {
            server->pid = 0;
            return err_set(err, ERR_IO, 0, "the database server ended with %d; see %s",
                           code, server->log);
        }
        process_sleep_ms(20);
    }
    private_server_stop(server);
    return err_set(err, ERR_IO, 0,
                   "the database server doesn't answer after %d s; see %s",
                   READY_TIMEOUT_MS / 1000, server->log);
}

static int run_server(struct private_server *server, struct err *err)
{
    char data[ARGUMENT_MAX];
    char socket[ARGUMENT_MAX];
    char pid_file[ARGUMENT_MAX];
    char temporary[ARGUMENT_MAX];
    (void)snprintf(data, sizeof data, "--datadir=%s/data", server->dir);
    (void)snprintf(socket, sizeof socket, "--socket=%s", server->socket);
    (void)snprintf(pid_file, sizeof pid_file, "--pid-file=%s/pid", server->dir);
    /* not /tmp: two servers there take each other's temporary tables */
    (void)snprintf(temporary, sizeof temporary, "--tmpdir=%s", server->dir);
    const char *argv[FIXED_ARGS + MORE_ARGS_MAX + 2] = {
        "/usr/sbin/mariadbd",
        "--no-defaults",
        "--skip-networking",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=256M",
        "--character-set-server=utf8mb4",
        data,
        socket,
        pid_file,
        temporary,
    };
    size_t count = FIXED_ARGS;
    for (size_t i = 0; server->args && server->args[i] && i < MORE_ARGS_MAX; i++)
        argv[count++] = server->args[i];
    argv[count] = own_user();
    /* The server ends in order when its program is killed. */
    int code = process_start(argv, server->log, SIGTERM, &server->pid, err);
    return code == 0 ? wait_ready(server, err) : code;
}

int private_server_start(struct private_server *server, const char *dir, struct err *err)
{
    char data[ARGUMENT_MAX];
    int len = snprintf(server->dir, sizeof server->dir, "%s", dir);
    int socket_len = snprintf(server->socket, sizeof server->socket, "%s/sock", dir);
    if (len >= SERVER_PATH_MAX - 16 || socket_len > SERVER_SOCKET_MAX)
        return err_set(err, ERR_INVALID, 0,
                       "%s is too long a path for a Unix socket (%d bytes at most): "
                       "clone into a shorter one",
                       dir, SERVER_SOCKET_MAX);
    (void)snprintf(server->log, sizeof server->log, "%.200s/log", dir);
    (void)snprintf(data, sizeof data, "%s/data", dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", dir);
    if (access(data, F_OK) != 0) {
        int code = install(server, err);
        if (code != 0)
            return code;
    }
    return run_server(server, err);
}

void private_server_kill(struct private_server *server)
{
    if (server->pid != 0)
        process_kill(server->pid);
    server->pid = 0;
}

void private_server_stop(struct private_server *server)
{
    int code;
    if (server->pid == 0)
        return;
    (void)kill(server->pid, SIGTERM);
    if (!process_wait(server->pid, STOP_TIMEOUT_MS, &code))
        process_kill(server->pid);
    server->pid = 0;
}
