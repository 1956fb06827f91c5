/* tests/faults/stage.c: the server, and a point from its begin to its end; see stage.h.
 */
#include "tests/faults/stage.h"

#include "tests/faults/rights.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mysql.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    RECORDS = 300,
    BATCH_MAX = 25,
    PRODUCERS = 4,
    FEED_TIMEOUT_MS = 60000,
    SETTLE_TIMEOUT_MS = 90000, /* the longest wait that a fault may leave behind */
    STOP_TIMEOUT_MS = 20000,
    PORT_FIRST = 20000,
    PORT_RANGE = 9000,
    PATH_SIZE = 512,
    LOOK_MS = 10,
};

/* ---- The server ------------------------------------------------------------------ */

int stage_connect(struct stage *stage, struct err *err)
{
    if (stage->session)
        mysql_close(stage->session);
    stage->session = private_server_connect(&stage->server);
    if (!stage->session ||
        mysql_set_server_option(stage->session, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0)
        return err_set(err, ERR_IO, 0, "the private server takes no session; see %s",
                       stage->server.log);
    return 0;
}

int stage_start_server(struct stage *stage, struct err *err)
{
    char dir[SERVER_PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%.100s/server", stage->run->dir);
    int code = private_server_start(&stage->server, dir, err);
    return code ? code : stage_connect(stage, err);
}

int stage_kill_server(struct stage *stage, struct err *err)
{
    private_server_kill(&stage->server);
    return stage_start_server(stage, err);
}

int stage_open(struct stage *stage, const struct layer_run *run,
               const char *const *server_args, struct err *err)
{
    uint64_t random = run->seed ^ (uint64_t)getpid();
    *stage = (struct stage){.run = run, .server.args = server_args};
    if (access("/usr/sbin/mariadbd", X_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no mariadbd: install mariadb-server-core");
    stage->port =
        process_free_port((uint16_t)(PORT_FIRST + layer_random(&random) % PORT_RANGE));
    return stage_start_server(stage, err);
}

static void end_point(struct stage *stage)
{
    if (stage->feeder)
        free(feeder_finish(stage->feeder));
    engine_kill(&stage->engine);
    stage->feeder = NULL;
    sample_free(&stage->sample);
    free(stage->lines);
    stage->sample = (struct sample){0};
    stage->lines = NULL;
}

void stage_close(struct stage *stage)
{
    end_point(stage);
    if (stage->session)
        mysql_close(stage->session);
    stage->session = NULL;
    if (stage->server.pid)
        (void)kill(stage->server.pid, SIGCONT);
    private_server_stop(&stage->server);
}

/* ---- A point's begin --------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* The last point's files, unless they say why it failed. */
static void remove_files(const struct stage *stage)
{
    if (stage->engine.config[0] == '\0' || stage->keep_files)
        return;
    (void)unlink(stage->engine.config);
    (void)unlink(stage->engine.log);
    (void)nftw(stage->engine.journal, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_sample(struct stage *stage, struct err *err)
{
    struct sample_config config;
    sample_config_defaults(&config);
    config.seed = stage->plan.seed;
    config.records = stage->plan.records ? stage->plan.records : RECORDS;
    config.batch_max = BATCH_MAX;
    config.ips = config.records / 5 + 1;
    config.stream_count = stage->plan.streams == 1 ? 1 : 2;
    config.duplicate_share = 0.05;
    return sample_new(&config, &stage->sample, err);
}

static void write_options(struct stage *stage)
{
    const struct stage_plan *plan = &stage->plan;
    uint32_t lanes = plan->lanes ? plan->lanes : 1;
    int len = snprintf(stage->streams, sizeof stage->streams,
                       "[{name: mozi, preset: botnet, lanes: %u}", lanes);
    if (plan->streams != 1)
        len += snprintf(stage->streams + len, sizeof stage->streams - (size_t)len,
                        ", {name: test, preset: botnet, lanes: %u}", lanes);
    (void)snprintf(stage->streams + len, sizeof stage->streams - (size_t)len, "]");
    (void)snprintf(stage->more, sizeof stage->more,
                   "replay: {fast: %s, transaction_records: %u}",
                   plan->checked_only ? "false" : "true",
                   plan->transaction_records ? plan->transaction_records : 10000);
    (void)snprintf(stage->journal, sizeof stage->journal,
                   ", max_size: 1GiB, preallocate: 1MiB%s",
                   plan->journal ? plan->journal : "");
    stage->options = (struct engine_options){
        .dir = stage->run->dir,
        .name = stage->name,
        .binary = stage->run->binary,
        .socket = plan->host     ? NULL
                  : plan->socket ? plan->socket
                                 : stage->server.socket,
        .host = plan->host,
        .database = "holdfast",
        .port = stage->port,
        .streams = stage->streams,
        .user = RIGHTS_USER,
        .journal = stage->journal,
        .server = plan->server,
        .more = stage->more,
    };
}

int stage_configure(struct stage *stage, struct err *err)
{
    return engine_configure(&stage->engine, &stage->options, err);
}

int stage_grant(struct stage *stage, struct err *err)
{
    struct buf sql = {0};
    int code = rights_append(&stage->engine, &sql, err);
    code = code ? code : stage_exec(stage, buf_text(&sql), err);
    buf_free(&sql);
    if (code == 0)
        stage->granted = stage->options.streams == stage->streams
                             ? stage->sample.config.stream_count
                             : 0;
    return code;
}

static int empty_tables(struct stage *stage, struct err *err)
{
    static const char drop[] =
        "DROP TABLE IF EXISTS botnet_communications_mozi, botnet_communications_test, "
        "botnet_nodes_mozi, botnet_nodes_test, holdfast_ledger";
    static const char empty_mozi[] =
        "DELETE FROM botnet_communications_mozi; DELETE FROM botnet_nodes_mozi;"
        "DELETE FROM holdfast_ledger";
    static const char empty_test[] =
        "DELETE FROM botnet_communications_test; DELETE FROM botnet_nodes_test";
    enum { TABLES_OF_ONE = 3, TABLES_OF_TWO = 5 };
    int64_t tables = 0;
    int code = stage_number(stage,
                            "SELECT COUNT(*) FROM information_schema.tables "
                            "WHERE table_schema = 'holdfast'",
                            &tables, err);
    bool known = tables == TABLES_OF_ONE || tables == TABLES_OF_TWO;
    if (code == 0 && (stage->plan.fresh_tables || !known))
        return stage_exec(stage, drop, err);
    code = code ? code : stage_exec(stage, empty_mozi, err);
    if (code == 0 && tables == TABLES_OF_TWO)
        code = stage_exec(stage, empty_test, err);
    return code;
}

int stage_begin(struct stage *stage, const struct stage_plan *plan, struct err *err)
{
    end_point(stage);
    remove_files(stage);
    stage->plan = *plan;
    stage->blame = false;
    stage->broken = false;
    stage->second = (struct oracle_log){0};
    stage->keep_files = true;
    stage->engine = (struct engine_process){0};
    (void)snprintf(stage->name, sizeof stage->name, "p%u", ++stage->points);
    write_options(stage);
    int code = empty_tables(stage, err);
    code = code ? code : make_sample(stage, err);
    code = code ? code : stage_configure(stage, err);
    bool can = stage->granted >= stage->sample.config.stream_count;
    return code || can ? code : stage_grant(stage, err);
}

/* ---- The engine -------------------------------------------------------------------- */

int stage_launch(struct stage *stage, const char *preload, struct err *err)
{
    if (preload && setenv("LD_PRELOAD", preload, 1) != 0)
        return err_set_errno(err, ERR_NOMEM, errno, "can't set LD_PRELOAD");
    int code = engine_launch(&stage->engine, err);
    if (preload)
        (void)unsetenv("LD_PRELOAD");
    return code;
}

int stage_start(struct stage *stage, struct err *err)
{
    int code = engine_start(&stage->engine, err);
    stage->blame = code != 0;
    return code;
}

int stage_stop(struct stage *stage, struct err *err)
{
    int exit_code = -1;
    int code = engine_stop(&stage->engine, STOP_TIMEOUT_MS, &exit_code, err);
    if (code == 0 && exit_code != 0)
        code = err_set(err, ERR_IO, 0, "the engine's exit code is %d; see %s", exit_code,
                       stage->engine.log);
    stage->blame = code != 0;
    return code;
}

int stage_feed_begin(struct stage *stage, uint32_t pause_us, struct err *err)
{
    struct feeder_config config = {.sample = &stage->sample,
                                   .producers = PRODUCERS,
                                   .port = stage->port,
                                   .pause_us = pause_us};
    return feeder_start(&config, &stage->feeder, err);
}

int stage_feed_end(struct stage *stage, struct err *err)
{
    bool all = feeder_wait(stage->feeder, stage->sample.batch_count, FEED_TIMEOUT_MS);
    free(stage->lines);
    stage->lines = feeder_finish(stage->feeder);
    stage->feeder = NULL;
    if (all)
        return 0;
    stage->blame = true;
    return err_set(err, ERR_TIMEOUT, 0, "not all is acknowledged after %d s; see %s",
                   FEED_TIMEOUT_MS / 1000, stage->engine.log);
}

int stage_feed(struct stage *stage, struct err *err)
{
    int code = stage_feed_begin(stage, 0, err);
    return code ? code : stage_feed_end(stage, err);
}

int stage_settle(struct stage *stage, struct err *err)
{
    int64_t end = process_now_ms() + SETTLE_TIMEOUT_MS;
    int code = engine_wait_applied(&stage->engine, SETTLE_TIMEOUT_MS, err);
    /* an engine that has just started believes its done marks until it has compared */
    while (code == 0 &&
           !(engine_idle(&stage->engine) && engine_pending(&stage->engine) == 0)) {
        if (process_now_ms() > end)
            code =
                err_set(err, ERR_TIMEOUT, 0, "the lanes are not idle after %d s; see %s",
                        SETTLE_TIMEOUT_MS / 1000, stage->engine.log);
        process_sleep_ms(LOOK_MS);
    }
    stage->blame = code != 0;
    return code;
}

/* ---- A point's end ----------------------------------------------------------------- */

int stage_end(struct stage *stage, int code, bool in_flight,
              enum layer_verdict *out_verdict, struct err *err)
{
    if (code != 0 && stage->blame) {
        (void)layer_broken("I8", "%s", err->message);
        stage->broken = true;
        code = 0;
    }
    stage->keep_files = code != 0 || stage->broken;
    if (code == 0)
        *out_verdict = stage->not_run  ? LAYER_NOT_RUN
                       : stage->broken ? LAYER_BROKEN
                       : in_flight     ? LAYER_HELD
                                       : LAYER_IDLE;
    else
        (void)printf("  see %s\n", stage->engine.log);
    end_point(stage);
    stage->not_run = false;
    return code;
}

/* ---- Files ------------------------------------------------------------------------- */

bool stage_mount_small(struct stage *stage, const char *dir, const char *options)
{
    bool mounted = unshare(CLONE_NEWNS) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("holdfast-small", dir, "tmpfs", 0, options) == 0;
    if (!mounted) {
        (void)printf("  a small disk NOT RUN here: mount of a tmpfs: %s\n",
                     strerror(errno));
        stage->not_run = true;
    }
    return mounted;
}

static int copy_file(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat st;
    bool fine = in >= 0 && out >= 0 && fstat(in, &st) == 0;
    off_t left = fine ? st.st_size : 0;
    while (fine && left > 0) {
        ssize_t sent = sendfile(out, in, NULL, (size_t)left);
        fine = sent > 0;
        left -= sent;
    }
    int saved = errno;
    if (in >= 0)
        (void)close(in);
    if (out >= 0)
        fine = close(out) == 0 && fine;
    return fine ? 0 : err_set_errno(err, ERR_IO, saved, "can't copy %s to %s", from, to);
}

int stage_copy_files(const char *from, const char *to, struct err *err)
{
    DIR *dir = opendir(from);
    if (!dir || (mkdir(to, 0700) != 0 && errno != EEXIST)) {
        int saved = errno;
        if (dir)
            (void)closedir(dir);
        return err_set_errno(err, ERR_IO, saved, "can't copy %s to %s", from, to);
    }
    int code = 0;
    struct dirent *entry;
    while (code == 0 && (entry = readdir(dir)) != NULL) {
        char source[PATH_SIZE];
        char target[PATH_SIZE];
        struct stat st;
        (void)snprintf(source, sizeof source, "%.250s/%.250s", from, entry->d_name);
        (void)snprintf(target, sizeof target, "%.250s/%.250s", to, entry->d_name);
        if (lstat(source, &st) == 0 && S_ISREG(st.st_mode))
            code = copy_file(source, target, err);
    }
    (void)closedir(dir);
    return code;
}
