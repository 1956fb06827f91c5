/* tests/faults/database_sessions.c: locks, killed sessions, too many of them, rights. */
#include "tests/faults/database_faults.h"
#include "tests/faults/rights.h"

#include "tests/process.h"

#include <mysql.h>
#include <signal.h>
#include <stdio.h>

enum { CROWD_MAX = 24 };

/* The larger transaction survives a deadlock: that is made the other one. */
int fault_deadlock(struct database_fault *at, struct err *err)
{
    int code = fault_exec(at, "CREATE OR REPLACE TABLE mysql.ballast (a INT)", err);
    code = code ? code
                : fault_lock_nodes(
                      at, "INSERT INTO mysql.ballast SELECT seq FROM seq_1_to_5000", err);
    code = code ? code : fault_exec(at, "SELECT * FROM holdfast_ledger FOR UPDATE", err);
    code = code ? code : fault_await_log(at, "(1213)", 0, err);
    at->met = code == 0;
    return code ? code : fault_release(at, err);
}

/* Whatever the engine makes of it, the comparison shows. */
int fault_lock_wait(struct database_fault *at, struct err *err)
{
    struct err later = {0};
    int code = fault_block(at, err);
    at->met = code == 0 && fault_await_log(at, "(1205)", 0, &later) == 0;
    return code ? code : fault_release(at, err);
}

/* The lock wait is at the first statement, the compare-and-set. */
int fault_lock_wait_ledger(struct database_fault *at, struct err *err)
{
    struct err later = {0};
    int code = fault_exec(at, "START TRANSACTION", err);
    code = code ? code : fault_exec(at, "SELECT * FROM holdfast_ledger FOR UPDATE", err);
    at->met = code == 0 && fault_await_log(at, "(1205)", 0, &later) == 0;
    return code ? code : fault_release(at, err);
}

/* An event of mozi that was not sent yet; false: there is none. */
static bool find_late_event(const struct sample *sample, uint32_t *out_ip,
                            int64_t *out_time_s)
{
    for (uint32_t i = sample->batch_count; i-- > sample->batch_count / 2;) {
        const struct sample_batch *batch = &sample->batches[i];
        for (uint32_t k = 0; k < batch->record_count; k++) {
            const struct sample_record *record = &batch->records[k];
            if (record->fault == SAMPLE_GOOD && record->stream == 0) {
                *out_ip = record->ip;
                *out_time_s = record->time_s;
                return true;
            }
        }
    }
    return false;
}

/* The lock wait is at the last one: somebody is about to insert the same event. */
int fault_lock_wait_event(struct database_fault *at, struct err *err)
{
    struct err later = {0};
    uint32_t ip = 0;
    int64_t time_s = 0;
    char sql[256];
    if (!find_late_event(&at->stage->sample, &ip, &time_s))
        return err_set(err, ERR_INTERNAL, 0, "the sample has no event to lock");
    (void)snprintf(sql, sizeof sql,
                   "INSERT IGNORE INTO botnet_communications_mozi (node_id, ip, "
                   "communication_time) VALUES (1, INET_NTOA(%u), FROM_UNIXTIME(%lld))",
                   ip, (long long)time_s);
    int code = fault_exec(at, "SET foreign_key_checks = 0", err);
    code = code ? code : fault_exec(at, "START TRANSACTION", err);
    code = code ? code : fault_exec(at, sql, err);
    at->met = code == 0 && fault_await_log(at, "(1205)", 0, &later) == 0;
    return code ? code : fault_release(at, err);
}

int fault_kill(struct database_fault *at, struct err *err)
{
    int code = fault_block(at, err);
    code = code ? code : fault_kill_waiting(at, "KILL CONNECTION", err);
    code = code ? code : fault_await_log(at, "event=connection_lost", 0, err);
    return code ? code : fault_release(at, err);
}

int fault_kill_query(struct database_fault *at, struct err *err)
{
    int code = fault_block(at, err);
    code = code ? code : fault_kill_waiting(at, "KILL QUERY", err);
    code = code ? code : fault_await_log(at, "(1317)", 0, err);
    return code ? code : fault_release(at, err);
}

/* COMMIT has been sent, and the session is killed before it is done. */
int fault_kill_at_commit(struct database_fault *at, struct err *err)
{
    static const char committing[] =
        "SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist WHERE info = "
        "'COMMIT' AND state LIKE 'Waiting for backup lock%'";
    int code = fault_exec(at, "BACKUP STAGE START", err);
    code = code ? code : fault_exec(at, "BACKUP STAGE BLOCK_COMMIT", err);
    code = code ? code : fault_await(at, committing, err);
    at->met = code == 0;
    code = code ? code : fault_kill_all(at, err);
    code = code ? code : fault_await_log(at, "event=commit_unknown", 0, err);
    return code ? code : fault_exec(at, "BACKUP STAGE END", err);
}

/* Sessions until the server takes no more. */
static size_t crowd(struct database_fault *at, MYSQL *sessions[CROWD_MAX])
{
    size_t count = 0;
    while (count < CROWD_MAX &&
           (sessions[count] = private_server_connect(&at->stage->server)) != NULL)
        count++;
    return count;
}

int fault_connections(struct database_fault *at, struct err *err)
{
    MYSQL *sessions[CROWD_MAX];
    int code = stage_exec(at->stage, "SET GLOBAL max_connections = 10", err);
    if (code != 0)
        return code;
    (void)kill(at->stage->engine.pid, SIGSTOP); /* or it would be quicker */
    code = fault_kill_all(at, err);
    size_t count = crowd(at, sessions);
    (void)kill(at->stage->engine.pid, SIGCONT);
    code = code ? code : fault_await_log(at, "(1040)", 0, err);
    at->met = code == 0;
    while (count > 0)
        mysql_close(sessions[--count]);
    struct err later = {0};
    int back = stage_exec(at->stage, "SET GLOBAL max_connections = 151", &later);
    return code ? code : back ? err_set(err, back, 0, "%s", later.message) : 0;
}

int fault_rights(struct database_fault *at, struct err *err)
{
    int code = stage_exec(
        at->stage, "REVOKE INSERT ON botnet_communications_mozi FROM " RIGHTS_USER "@'%'",
        err);
    code = code ? code : fault_kill_all(at, err);
    code = code ? code : fault_await_log(at, "event=lane_stopped", 0, err);
    at->met = code == 0;
    code = code ? code
                : stage_exec(at->stage,
                             "GRANT INSERT ON botnet_communications_mozi TO " RIGHTS_USER
                             "@'%'",
                             err);
    return code ? code : fault_help(at, err);
}

int fault_password(struct database_fault *at, struct err *err)
{
    int code = stage_exec(at->stage,
                          "ALTER USER " RIGHTS_USER "@'%' IDENTIFIED BY 'changed'", err);
    code = code ? code : fault_kill_all(at, err);
    code = code ? code : fault_await_log(at, "(1045)", 0, err);
    at->met = code == 0;
    code = code ? code
                : stage_exec(at->stage, "ALTER USER " RIGHTS_USER "@'%' IDENTIFIED BY ''",
                             err);
    return code ? code : fault_help(at, err);
}
