/* tests/faults/database_faults.c: what the faults of a database share. */
#include "tests/faults/database_faults.h"
#include "tests/faults/rights.h"

#include "tests/http_probe.h"
#include "tests/process.h"

#include <mysql.h>
#include <stdio.h>

enum { AWAIT_MS = 30000, LOOK_MS = 30, QUIET_LOOKS = 50 };

int fault_exec(struct database_fault *at, const char *sql, struct err *err)
{
    if (!at->other)
        at->other = private_server_connect(&at->stage->server);
    if (!at->other)
        return err_set(err, ERR_IO, 0, "no second session for %s", sql);
    if (mysql_query(at->other, sql) != 0)
        return err_set(err, ERR_TRANSIENT, (int)mysql_errno(at->other), "%.120s: %s", sql,
                       mysql_error(at->other));
    MYSQL_RES *result = mysql_store_result(at->other);
    if (result)
        mysql_free_result(result);
    return 0;
}

void fault_leave(struct database_fault *at)
{
    if (at->other)
        mysql_close(at->other);
    at->other = NULL;
}

/* InnoDB renews innodb_trx only where nobody has read it for 0.1 s. */
static const char waiting[] =
    "SELECT SLEEP(0.12) + (SELECT COALESCE(MAX(trx_mysql_thread_id), 0) FROM "
    "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND "
    "trx_rows_modified > 0)";

int fault_lock_nodes(struct database_fault *at, const char *first, struct err *err)
{
    static const char *const pause[] = {"pause", NULL};
    static const char *const resume[] = {"resume", NULL};
    int code = stage_await(at->stage, "SELECT COUNT(*) FROM botnet_nodes_mozi", err);
    code = code ? code : fault_command(at, pause, err);
    code = code ? code : fault_exec(at, "START TRANSACTION", err);
    code = code || !first ? code : fault_exec(at, first, err);
    code = code
               ? code
               : fault_exec(at, "SELECT COUNT(*) FROM botnet_nodes_mozi FOR UPDATE", err);
    code = code ? code : fault_command(at, resume, err);
    return code ? code : fault_await(at, waiting, err);
}

int fault_block(struct database_fault *at, struct err *err)
{
    int code = fault_lock_nodes(at, NULL, err);
    at->met = code == 0;
    return code;
}

int fault_release(struct database_fault *at, struct err *err)
{
    return fault_exec(at, "ROLLBACK", err);
}

/* Has there been nothing left for so many looks in a row? */
static bool is_over(struct database_fault *at, int *quiet)
{
    struct feeder_progress progress = {0};
    if (at->stage->feeder)
        feeder_progress(at->stage->feeder, &progress);
    bool over = progress.done && engine_pending(&at->stage->engine) == 0;
    *quiet = over ? *quiet + 1 : 0;
    at->missed = at->missed || *quiet >= QUIET_LOOKS;
    return at->missed;
}

int fault_await(struct database_fault *at, const char *sql, struct err *err)
{
    int64_t end = process_now_ms() + AWAIT_MS;
    int quiet = 0;
    while (!is_over(at, &quiet) && process_now_ms() < end) {
        int64_t found = 0;
        int code = stage_number(at->stage, sql, &found, err);
        if (code != 0 || found != 0)
            return code;
        process_sleep_ms(LOOK_MS);
    }
    return at->missed ? 0
                      : err_set(err, ERR_TIMEOUT, 0, "waited in vain for %.200s", sql);
}

int fault_await_log(struct database_fault *at, const char *text, uint64_t before,
                    struct err *err)
{
    int64_t end = process_now_ms() + AWAIT_MS;
    int quiet = 0;
    while (!is_over(at, &quiet) && process_now_ms() < end) {
        uint64_t count = 0;
        int code = stage_log_count(at->stage, text, &count, err);
        if (code != 0 || count > before)
            return code;
        process_sleep_ms(LOOK_MS);
    }
    return at->missed ? 0
                      : err_set(err, ERR_TIMEOUT, 0, "waited in vain for \"%s\" in %s",
                                text, at->stage->engine.log);
}

int fault_kill_waiting(struct database_fault *at, const char *kill, struct err *err)
{
    int64_t id = 0;
    char sql[64];
    if (at->missed)
        return 0;
    int code = stage_number(at->stage, waiting, &id, err);
    (void)snprintf(sql, sizeof sql, "%s %lld", kill, (long long)id);
    return code ? code : stage_exec(at->stage, sql, err);
}

int fault_kill_all(struct database_fault *at, struct err *err)
{
    return stage_exec(at->stage, "KILL USER " RIGHTS_USER, err);
}

int fault_help(struct database_fault *at, struct err *err)
{
    if (at->patient)
        return 0;
    engine_kill(&at->stage->engine);
    return stage_start(at->stage, err);
}

int fault_command(struct database_fault *at, const char *const *args, struct err *err)
{
    struct buf text = {0};
    int exit_code = engine_command(&at->stage->engine, args, &text);
    int code = exit_code == 0
                   ? 0
                   : err_set(err, ERR_INTERNAL, 0, "holdfast %s exits with %d: %s",
                             args[0], exit_code, buf_text(&text));
    buf_free(&text);
    return code;
}

int fault_feed_all(struct database_fault *at, struct err *err)
{
    int code = stage_feed(at->stage, err);
    return code ? code : stage_settle(at->stage, err);
}

int fault_post(const struct engine_process *engine, const char *body, struct err *err)
{
    struct http_probe probe = {.port = engine->port};
    struct http_probe_request request = {
        .method = "POST", .path = "/v1/streams/mozi/records", .body = slice_text(body)};
    struct http_probe_answer answer = {0};
    bool taken = http_probe_send(&probe, &request, &answer) == HTTP_ANSWERED &&
                 answer.status == 200;
    http_probe_close(&probe);
    return taken ? 0 : err_set(err, ERR_IO, 0, "a record was not taken");
}
