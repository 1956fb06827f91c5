/* tests/world.c: the private database server of a test; see world.h.
 *
 * mariadb-install-db takes two seconds, so its result is kept: each server starts on a
 * copy of a template that lies in the build directory. Who finds no template builds one
 * beside it and renames it into place; of several at once the first wins. Its name holds
 * the server binary's time, so that an upgrade makes a new one.
 */
#include "tests/world.h"

#include <errno.h>
#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char server_path[] = "/usr/sbin/mariadbd";
static const char shared_name[] = "HOLDFAST_TEST_WORLD";

enum { READY_TIMEOUT_S = 60, STEP_TIMEOUT_MS = 60000, START_TRIES = 3 };
enum { NOT_READY = 1047 }; /* the server's number */

static void run(const char *const *argv)
{
    char *text = NULL;
    int code = world_run(argv, NULL, &text, STEP_TIMEOUT_MS);
    if (code != 0)
        world_fail("%s failed with %d: %s", argv[0], code, text);
    free(text);
}

void world_path(const struct world *w, const char *name, char out_path[WORLD_PATH_MAX])
{
    int len = snprintf(out_path, WORLD_PATH_MAX, "%s/%s", w->dir, name);
    if (len >= WORLD_PATH_MAX)
        world_fail("too long a path: %s/%s", w->dir, name);
}

static void template_path(char out_path[WORLD_PATH_MAX])
{
    struct stat st;
    int rc = stat(server_path, &st);
    if (rc != 0)
        world_fail("%s: %s; install mariadb-server-core", server_path, strerror(errno));
    const char *build = getenv("HOLDFAST_BUILD");
    int len = snprintf(out_path, WORLD_PATH_MAX, "%s/mariadb-template-%u-%lld",
                       build ? build : "/tmp", (unsigned)geteuid(),
                       (long long)st.st_mtim.tv_sec);
    if (len >= WORLD_PATH_MAX - 8)
        world_fail("the build directory's path is too long");
}

static void make_template(const char *path)
{
    char fresh[WORLD_PATH_MAX];
    char data[WORLD_PATH_MAX + 16];
    (void)snprintf(fresh, sizeof fresh, "%.240s.XXXXXX", path);
    if (!mkdtemp(fresh))
        world_fail("mkdtemp %s: %s", fresh, strerror(errno));
    (void)snprintf(data, sizeof data, "--datadir=%s", fresh);
    const char *argv[] = {
        "mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
        "--skip-name-resolve", "--force", /* a machine need not know its own name */
        "--skip-test-db", "--innodb-log-file-size=16M", data,
        /* --user=root would split a path with a blank */
        geteuid() == 0 ? "-uroot" : NULL, NULL};
    run(argv);
    if (rename(fresh, path) == 0)
        return;
    if (errno != EEXIST && errno != ENOTEMPTY)
        world_fail("rename %s: %s", fresh, strerror(errno));
    world_remove_dir(fresh);
}

static void copy_template(const struct world *w)
{
    char from[WORLD_PATH_MAX];
    char to[WORLD_PATH_MAX];
    template_path(from);
    if (access(from, F_OK) != 0)
        make_template(from);
    world_path(w, "data", to);
    const char *argv[] = {"cp", "-a", "--reflink=auto", from, to, NULL};
    run(argv);
}

struct arguments {
    char text[8][WORLD_PATH_MAX + 32];
    const char *argv[WORLD_ARGS_MAX + 32];
    size_t count;
};

static void add(struct arguments *args, const char *arg)
{
    if (args->count + 1 >= sizeof args->argv / sizeof *args->argv)
        world_fail("too many arguments for the server");
    args->argv[args->count++] = arg;
    args->argv[args->count] = NULL;
}

static void server_arguments(const struct world *w, struct arguments *args)
{
    static const char *const fixed[] = {server_path,
                                        "--no-defaults",
                                        "--bind-address=127.0.0.1",
                                        "--skip-name-resolve",
                                        "--innodb-flush-log-at-trx-commit=1",
                                        "--innodb-buffer-pool-size=256M",
                                        "--innodb-log-file-size=64M",
                                        "--innodb-buffer-pool-load-at-startup=0",
                                        "--innodb-buffer-pool-dump-at-shutdown=0",
                                        "--performance-schema=OFF",
                                        "--character-set-server=utf8mb4"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        add(args, fixed[i]);
    (void)snprintf(args->text[0], sizeof args->text[0], "--datadir=%s/data", w->dir);
    (void)snprintf(args->text[1], sizeof args->text[1], "--socket=%s", w->socket);
    (void)snprintf(args->text[2], sizeof args->text[2], "--port=%u", (unsigned)w->port);
    (void)snprintf(args->text[3], sizeof args->text[3], "--pid-file=%s/db.pid", w->dir);
    /* not /tmp: two servers there take each other's temporary tables */
    (void)snprintf(args->text[4], sizeof args->text[4], "--tmpdir=%s", w->dir);
    for (size_t i = 0; i < 5; i++)
        add(args, args->text[i]);
    if (geteuid() == 0)
        add(args, "--user=root");
    for (const char *const *more = w->server_args; more && *more; more++)
        add(args, *more);
}

static struct st_mysql *connect_to(const struct world *w, const char *database)
{
    MYSQL *session = mysql_init(NULL);
    if (!session)
        world_fail("out of memory");
    unsigned timeout_s = 30;
    int rc = mysql_options(session, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    rc |= mysql_options(session, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (rc != 0)
        world_fail("mysql_options: %s", mysql_error(session));
    if (mysql_real_connect(session, NULL, "root", "", database, 0, w->socket,
                           CLIENT_MULTI_STATEMENTS))
        return session;
    mysql_close(session);
    return NULL;
}

struct st_mysql *world_connect(const struct world *w)
{
    return connect_to(w, w->database);
}

/* True once it answers, false when it has ended instead. */
static bool wait_ready(struct world *w)
{
    time_t end = time(NULL) + READY_TIMEOUT_S;
    while (time(NULL) < end) {
        w->session = connect_to(w, NULL);
        if (w->session)
            return true;
        if (waitpid(w->server_pid, NULL, WNOHANG) == w->server_pid) {
            w->server_pid = 0;
            return false;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

/* A Galera node that answers may not be ready for it yet. */
static void make_database(struct world *w)
{
    static const char sql[] = "CREATE DATABASE IF NOT EXISTS holdfast; USE holdfast";
    time_t end = time(NULL) + READY_TIMEOUT_S;
    unsigned number = world_try(w, sql);
    while (number == NOT_READY && time(NULL) < end) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        number = world_try(w, sql);
    }
    if (number != 0)
        world_fail("%s: %u %s", sql, number, mysql_error(w->session));
}

static bool try_start_db(struct world *w)
{
    struct arguments args = {0};
    server_arguments(w, &args);
    w->server_pid = world_spawn(args.argv, NULL, w->server_log);
    if (!wait_ready(w))
        return false;
    make_database(w);
    return true;
}

static void server_failed(const struct world *w)
{
    char *log = world_read_file(w->server_log);
    size_t len = log ? strlen(log) : 0;
    const char *end = len > 2000 ? log + len - 2000 : log;
    world_fail("the database server doesn't start:\n%s", end ? end : "(no log)");
}

void world_start_db(struct world *w)
{
    if (w->server_pid != 0)
        world_fail("the server runs already");
    if (!try_start_db(w))
        server_failed(w);
}

void world_start(struct world *w)
{
    world_make_dir(w->dir);
    world_path(w, "db.sock", w->socket);
    world_path(w, "db.log", w->server_log);
    w->database = "holdfast";
    copy_template(w);
    /* Another process can take the port between our asking and the server's. */
    for (int tries = 0; tries < START_TRIES; tries++) {
        w->port = world_free_port();
        if (try_start_db(w))
            return;
        if (w->server_pid)
            break;
    }
    server_failed(w);
}

static void close_session(struct world *w)
{
    if (w->session)
        mysql_close(w->session);
    w->session = NULL;
}

void world_kill_db(struct world *w)
{
    if (w->server_pid <= 0)
        world_fail("the server is not running, or not ours");
    world_kill(w->server_pid);
    w->server_pid = 0;
    close_session(w);
}

static void signal_db(const struct world *w, int number)
{
    if (w->server_pid <= 0)
        world_fail("the server is not running, or not ours");
    int rc = kill(w->server_pid, number);
    if (rc != 0)
        world_fail("kill(%d): %s", (int)w->server_pid, strerror(errno));
}

void world_stop_db(struct world *w)
{
    close_session(w);
    signal_db(w, SIGTERM);
    int code = world_wait(w->server_pid, STEP_TIMEOUT_MS);
    w->server_pid = 0;
    if (code != 0)
        world_fail("the database server ended with %d", code);
}

void world_freeze_db(struct world *w)
{
    signal_db(w, SIGSTOP);
}

void world_thaw_db(struct world *w)
{
    signal_db(w, SIGCONT);
}

void world_stop(struct world *w)
{
    if (w->server_pid)
        world_kill_db(w);
    if (w->dir[0] != '\0')
        world_remove_dir(w->dir);
    w->dir[0] = '\0';
}

void world_share(const struct world *w)
{
    char text[WORLD_PATH_MAX + 32];
    (void)snprintf(text, sizeof text, "%u %s", (unsigned)w->port, w->dir);
    int rc = setenv(shared_name, text, 1);
    if (rc != 0)
        world_fail("setenv: %s", strerror(errno));
}

void world_attach(struct world *w)
{
    const char *text = getenv(shared_name);
    if (!text)
        world_fail("no server is shared: world_share comes first");
    char *rest = NULL;
    w->port = (uint16_t)strtoul(text, &rest, 10);
    (void)snprintf(w->dir, sizeof w->dir, "%s", rest + 1);
    world_path(w, "db.sock", w->socket);
    world_path(w, "db.log", w->server_log);
    w->database = "holdfast";
    w->session = world_connect(w);
    if (!w->session)
        world_fail("the shared server in %s doesn't answer", w->dir);
}

void world_detach(struct world *w)
{
    close_session(w);
}

/* Reads all results of a multi-statement; gives the first error's number. */
static unsigned drain(MYSQL *session)
{
    int more;
    do {
        MYSQL_RES *result = mysql_store_result(session);
        mysql_free_result(result);
        more = mysql_next_result(session);
    } while (more == 0);
    return more > 0 ? mysql_errno(session) : 0;
}

unsigned world_try(struct world *w, const char *sql)
{
    if (!w->session)
        world_fail("the server is not running");
    if (mysql_query(w->session, sql) != 0)
        return mysql_errno(w->session);
    return drain(w->session);
}

void world_exec(struct world *w, const char *sql)
{
    unsigned number = world_try(w, sql);
    if (number != 0)
        world_fail("%s: %u %s", sql, number, mysql_error(w->session));
}

char *world_text(struct world *w, const char *sql)
{
    if (!w->session)
        world_fail("the server is not running");
    int rc = mysql_query(w->session, sql);
    MYSQL_RES *result = rc == 0 ? mysql_store_result(w->session) : NULL;
    if (!result)
        world_fail("%s: %s", sql, mysql_error(w->session));
    MYSQL_ROW row = mysql_fetch_row(result);
    if (mysql_num_rows(result) != 1 || !row || !row[0])
        world_fail("not one value: %s", sql);
    char *text = strdup(row[0]);
    if (!text)
        world_fail("out of memory");
    mysql_free_result(result);
    return text;
}

int64_t world_scalar(struct world *w, const char *sql)
{
    char *text = world_text(w, sql);
    char *end = NULL;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        world_fail("%s gives '%s'", sql, text);
    free(text);
    return value;
}
