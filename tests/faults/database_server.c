/* tests/faults/database_server.c: the server refuses, dies, stands still, forgets. */
#include "tests/faults/database_faults.h"

#include "tests/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_SIZE = 300,
    PIECE = 1 << 20,
    SMALL_RECORDS = 5000,
    FREEZE_TIMEOUT_MS = 20000,
    BACKLOG_LEAST = 200
};

int fault_read_only(struct database_fault *at, struct err *err)
{
    int code = stage_exec(at->stage, "SET GLOBAL read_only = 1", err);
    code = code ? code : fault_await_log(at, "(1290)", 0, err);
    at->met = code == 0;
    return code ? code : stage_exec(at->stage, "SET GLOBAL read_only = 0", err);
}

/* At a moment of chance under load, with a transaction open. */
int fault_server_killed(struct database_fault *at, struct err *err)
{
    struct engine_process *engine = &at->stage->engine;
    struct engine_transaction open = {0};
    struct err later = {0};
    at->met = engine_freeze_in_transaction(engine, at->stage->session, &at->random,
                                           FREEZE_TIMEOUT_MS, &open, &later) == 0;
    private_server_kill(&at->stage->server);
    (void)kill(engine->pid, SIGCONT);
    return stage_start_server(at->stage, err);
}

/* While a transaction waits for a lock. */
int fault_server_killed_in_hand(struct database_fault *at, struct err *err)
{
    int code = fault_block(at, err);
    fault_leave(at);
    return code ? code : stage_kill_server(at->stage, err);
}

int fault_server_stopped(struct database_fault *at, struct err *err)
{
    at->met = engine_pending(&at->stage->engine) > 0;
    private_server_stop(&at->stage->server);
    int code = fault_await_log(at, "event=connect_failed", 0, err);
    return code ? code : stage_start_server(at->stage, err);
}

int fault_server_frozen(struct database_fault *at, struct err *err)
{
    int code = fault_block(at, err);
    if (code != 0)
        return code;
    pid_t server = at->stage->server.pid;
    if (kill(server, SIGSTOP) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't stop the server");
    code = fault_await_log(at, "event=connect_failed", 0, err);
    (void)kill(server, SIGCONT);
    return code ? code : fault_release(at, err);
}

/* What waits meanwhile makes statements that the server no longer takes; it says so when
 * the engine connects, which is to be obeyed. */
int fault_packet(struct database_fault *at, struct err *err)
{
    static const char *const pause[] = {"pause", NULL};
    static const char *const resume[] = {"resume", NULL};
    int code = fault_command(at, pause, err);
    code = code ? code : stage_feed_end(at->stage, err);
    code =
        code ? code : stage_exec(at->stage, "SET GLOBAL max_allowed_packet = 4096", err);
    at->met = code == 0 && engine_pending(&at->stage->engine) > BACKLOG_LEAST;
    code = code ? code : fault_command(at, resume, err);
    code = code ? code : stage_settle(at->stage, err);
    int back = stage_exec(at->stage, "SET GLOBAL max_allowed_packet = 16777216", err);
    return code ? code : back;
}

/* Commits that the database forgets again. */
int fault_relaxed(struct database_fault *at, struct err *err)
{
    int code =
        stage_exec(at->stage, "SET GLOBAL innodb_flush_log_at_trx_commit = 0", err);
    code = code ? code : stage_feed_end(at->stage, err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code : stage_kill_server(at->stage, err);
    if (code != 0)
        return code;
    /* an idle engine looks again within half a minute, a new one at once */
    struct err later = {0};
    if (at->patient)
        (void)fault_await_log(at, "event=rewound", 0, &later);
    code = fault_help(at, err);
    code = code ? code : stage_settle(at->stage, err);
    uint64_t rewound = 0;
    code = code ? code : stage_log_count(at->stage, "event=rewound", &rewound, err);
    at->met = rewound > 0;
    return code;
}

/* ---- A full disk ------------------------------------------------------------------- */

/* All that is left of the file system at `dir`. */
static int fill(const char *path, struct err *err)
{
    static const char zeros[PIECE];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "can't write %s", path);
    size_t piece = sizeof zeros;
    while (piece > 0) {
        ssize_t put = write(fd, zeros, piece);
        if (put < 0 && errno != ENOSPC)
            break;
        if (put < (ssize_t)piece)
            piece /= 2;
    }
    (void)close(fd);
    return 0;
}

static int feed_full_disk(struct stage *small, const char *ballast, bool *out_met,
                          struct err *err)
{
    struct database_fault inner = {.stage = small};
    struct stage_plan plan = small->plan;
    int code = stage_begin(small, &plan, err);
    code = code ? code : stage_start(small, err);
    code = code ? code
                : stage_await(small,
                              "SELECT COUNT(*) FROM "
                              "information_schema.tables WHERE "
                              "table_schema = 'holdfast' HAVING COUNT(*) "
                              "= 5",
                              err);
    code = code ? code : fill(ballast, err);
    code = code ? code : stage_feed(small, err);
    code = code ? code : fault_await_log(&inner, "event=retry", 0, err);
    *out_met = code == 0 && engine_pending(&small->engine) > 0;
    (void)unlink(ballast);
    if (code == 0 && !process_alive(small->server.pid)) {
        private_server_kill(&small->server);
        code = stage_start_server(small, err);
    }
    code = code ? code : stage_settle(small, err);
    return code ? code : stage_compare(small, err);
}

/* A server of its own whose data lie in a small tmpfs. */
int fault_disk_full(struct database_fault *at, struct err *err)
{
    static const char *const args[] = {"--innodb-log-file-size=8M",
                                       "--innodb-buffer-pool-size=16M",
                                       "--innodb-ft-cache-size=1600000", NULL};
    char dir[PATH_SIZE];
    char data[PATH_SIZE + 16];
    char ballast[PATH_SIZE + 32];
    (void)snprintf(dir, sizeof dir, "%.150s/small%u", at->stage->run->dir,
                   at->stage->points);
    (void)snprintf(data, sizeof data, "%s/server", dir);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", data);
    if (mkdir(dir, 0700) != 0 || mkdir(data, 0700) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", data);
    if (!stage_mount_small(at->stage, data, "size=160M,mode=0700"))
        return 0;
    struct layer_run run = *at->stage->run;
    run.dir = dir;
    struct stage small;
    enum layer_verdict verdict = LAYER_HELD;
    int code = stage_open(&small, &run, args, err);
    small.plan = (struct stage_plan){.seed = at->random, .records = SMALL_RECORDS};
    code = code ? code : feed_full_disk(&small, ballast, &at->met, err);
    code = stage_end(&small, code, at->met, &verdict, err);
    at->stage->broken |= verdict == LAYER_BROKEN;
    stage_close(&small);
    if (umount2(data, MNT_DETACH) != 0 && code == 0)
        code = err_set_errno(err, ERR_IO, errno, "can't unmount %s", data);
    return code;
}
