/* tests/world.h: a real database server and real processes for one test.
 *
 *     struct world w = {0};
 *     world_start(&w);                       // own mariadbd, own directory
 *     world_exec(&w, "CREATE TABLE t (a INT)");
 *     world_kill_db(&w);                     // SIGKILL, as a crash would
 *     world_start_db(&w);                    // again on what the disk holds
 *     cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM t"), 0);
 *     world_stop(&w);
 *
 * What goes wrong in here fails the test with a message. Every process started here dies
 * with the thread that started it, so that a test which crashes leaves none behind;
 * only directories of a crashed test stay, under $TMPDIR or /tmp, as holdfast-*.
 *
 * Criterion starts each test in a process of its own that shares no memory with the
 * others. One server for all tests of a file is therefore started by the runner and
 * found through the environment:
 *
 *     static struct world suite;
 *     ReportHook(PRE_ALL)(struct criterion_test_set *t)   { world_start(&suite);
 *                                                           world_share(&suite); }
 *     ReportHook(POST_ALL)(struct criterion_global_stats *s) { world_stop(&suite); }
 *     Test(...) { struct world w = {0}; world_attach(&w); ... world_detach(&w); }
 *
 * Threads: one thread at a time for each struct world.
 */
#ifndef HOLDFAST_TESTS_WORLD_H
#define HOLDFAST_TESTS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { WORLD_PATH_MAX = 256, WORLD_ARGS_MAX = 32 };

struct st_mysql;

struct world {
    /* Set before world_start: more arguments for mariadbd, closed by NULL; NULL: none. */
    const char *const *server_args;

    char dir[WORLD_PATH_MAX];    /* the test's own directory, removed by world_stop */
    char socket[WORLD_PATH_MAX]; /* the server's Unix socket */
    char server_log[WORLD_PATH_MAX];
    uint16_t port;        /* the server's port on 127.0.0.1, the same after a restart */
    const char *database; /* an empty database, "holdfast"; user root, no password */
    pid_t server_pid;     /* 0: not running, or not ours */
    struct st_mysql *session; /* what world_exec and its kin use */
};

/* Ends the test as failed with this message; in the runner's hooks, all of them. */
_Noreturn void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A directory, a server with innodb_flush_log_at_trx_commit=1 in it, a database. */
void world_start(struct world *w);

/* Ends the server, removes the directory. Fine after a partial start, and twice. */
void world_stop(struct world *w);

/* SIGKILL to the server; returns once it is gone. */
void world_kill_db(struct world *w);

/* SIGTERM to the server; returns once it has shut down in order. */
void world_stop_db(struct world *w);

/* SIGSTOP and SIGCONT: a server that is there and never answers. */
void world_freeze_db(struct world *w);
void world_thaw_db(struct world *w);

/* The server again, on the same data, socket and port. */
void world_start_db(struct world *w);

/* The runner's server, made known to the test processes; and taken up by one. The
 * directory that world_attach gives is shared by all tests. */
void world_share(const struct world *w);
void world_attach(struct world *w);
void world_detach(struct world *w);

/* One or more statements, separated by semicolons, in the world's session. */
void world_exec(struct world *w, const char *sql);

/* As world_exec, but gives back the server's error number, 0 for none. */
unsigned world_try(struct world *w, const char *sql);

/* The first column of the only row, which must not be NULL. world_text: free() it. */
int64_t world_scalar(struct world *w, const char *sql);
char *world_text(struct world *w, const char *sql);

/* A further session, on the world's database, for locks and the like: mysql_close it.
 * NULL where the server doesn't answer. */
struct st_mysql *world_connect(const struct world *w);

/* <directory>/<name> into out_path; fails the test where it doesn't fit. */
void world_path(const struct world *w, const char *name, char out_path[WORLD_PATH_MAX]);

/* A directory of its own, for tests without a server; and its removal with all in it. */
void world_make_dir(char out_path[WORLD_PATH_MAX]);
void world_remove_dir(const char *path);

/* The whole file, closed by a NUL; free() it. NULL where there is none. */
char *world_read_file(const char *path);
void world_write_file(const char *path, const char *text);

/* A port on 127.0.0.1 that nobody listens on at present. */
uint16_t world_free_port(void);

/* The holdfast executable of this build. */
const char *world_holdfast(void);

/* Starts argv[0] (found on PATH) with argv, closed by NULL, and the further environment
 * `env` ("NAME=value", closed by NULL; NULL: none). Standard output and error are
 * appended to the file `log`, standard input is empty. */
pid_t world_spawn(const char *const *argv, const char *const *env, const char *log);

/* The exit code, or 128 + the signal's number. Fails the test after timeout_ms. */
int world_wait(pid_t pid, int timeout_ms);

/* SIGKILL, and waits for the end. */
void world_kill(pid_t pid);

/* Runs argv to its end with `input` (NULL: empty) on standard input and gives its exit
 * code as world_wait does. *out_text (unless out_text is NULL) is what it wrote to
 * standard output: free() it. Standard error goes to the test's own. */
int world_run(const char *const *argv, const char *input, char **out_text,
              int timeout_ms);

/* Waits until the file holds `text`; fails the test after timeout_ms, with the file's
 * contents. `pid`, unless 0, must be alive meanwhile. */
void world_wait_log(const char *path, const char *text, pid_t pid, int timeout_ms);

#endif
