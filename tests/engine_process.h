/* tests/engine_process.h: the real engine as a process with a configuration, a log and a
 * port, to be started, killed and asked.
 *
 * Errors are returned, so that it serves tests and programs alike. Threads: one at a
 * time.
 */
#ifndef HOLDFAST_TESTS_ENGINE_PROCESS_H
#define HOLDFAST_TESTS_ENGINE_PROCESS_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct st_mysql;

enum { ENGINE_PATH_MAX = 256 };

struct engine_options {
    const char *dir;      /* exists; holds configuration, log and journal */
    const char *name;     /* of this engine within dir */
    const char *disk;     /* where the journal lies; NULL: in `dir` */
    const char *binary;   /* the holdfast executable */
    const char *socket;   /* the database's; NULL: `host` */
    const char *host;     /* the database's, as "127.0.0.1:3306" */
    const char *database; /* no password but by `server` */
    const char *user;     /* NULL: root */
    uint16_t port;
    const char *streams; /* YAML flow list; NULL: mozi and test, preset botnet */
    const char *journal; /* more keys of `journal`, such as ", max_size: 64MiB"; NULL */
    const char *server;  /* more keys of `database`, likewise; NULL */
    const char *intake;  /* more keys of `intake`, likewise; NULL */
    const char *more;    /* further top-level YAML; NULL */
};

struct engine_process {
    char binary[ENGINE_PATH_MAX];
    char config[ENGINE_PATH_MAX];
    char journal[ENGINE_PATH_MAX];
    char log[ENGINE_PATH_MAX]; /* of all starts, one after the other */
    uint16_t port;
    pid_t pid; /* 0: not running */
    uint32_t starts;
};

enum { ENGINE_READY_TIMEOUT_MS = 60000 };

/* Writes the configuration (again: with other streams, say). ERR_IO, ERR_INVALID. */
int engine_configure(struct engine_process *engine, const struct engine_options *options,
                     struct err *err);

/* Starts it and doesn't wait. ERR_IO. */
int engine_launch(struct engine_process *engine, struct err *err);

/* Starts it and waits until /readyz says 200. ERR_IO: it ended instead, or was not ready
 * in time; the log's end is in the message, and it is not running. */
int engine_start(struct engine_process *engine, struct err *err);

/* SIGKILL; returns once it is gone. */
void engine_kill(struct engine_process *engine);

/* SIGTERM; *out_code is its exit code. ERR_TIMEOUT: not ended in time, killed then. */
int engine_stop(struct engine_process *engine, int timeout_ms, int *out_code,
                struct err *err);

/* Records that are in the journal and not applied, by /v1/status; -1: no answer. */
int64_t engine_pending(const struct engine_process *engine);

/* Records accepted ever, by the journal; -1: no answer. */
int64_t engine_accepted(const struct engine_process *engine);

/* Every lane has been compared with its ledger and has nothing to do, or needs no
 * database. */
bool engine_idle(const struct engine_process *engine);

/* Waits until nothing is pending. ERR_TIMEOUT; ERR_IO: it ended meanwhile. */
int engine_wait_applied(struct engine_process *engine, int timeout_ms, struct err *err);

/* A transaction of the engine, proven to be open. */
struct engine_transaction {
    uint64_t id;
    uint64_t rows; /* modified by it so far */
};

/* Stops the engine (SIGSTOP) at moments of chance until the server says that one of its
 * transactions has modified rows and is not ended, twice; leaves it stopped then, so that
 * a kill that follows meets it in that transaction. `session` is a session of a user who
 * sees all. ERR_TIMEOUT: not met in time; the engine runs on. */
int engine_freeze_in_transaction(struct engine_process *engine, struct st_mysql *session,
                                 uint64_t *random, int timeout_ms,
                                 struct engine_transaction *out_transaction,
                                 struct err *err);

/* Runs `holdfast <args...> --config ...` to its end; its standard output and error are
 * appended to out (may be NULL). The exit code, or -1. */
int engine_command(const struct engine_process *engine, const char *const *args,
                   struct buf *out);

#endif
