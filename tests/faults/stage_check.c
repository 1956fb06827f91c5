/* tests/faults/stage_check.c: what the database and the log say; see stage.h. */
#include "tests/faults/stage.h"

#include "tests/process.h"

#include <errno.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AWAIT_TIMEOUT_MS = 30000, AWAIT_PAUSE_MS = 20 };

/* ---- Statements -------------------------------------------------------------------- */

static int refused(struct stage *stage, const char *sql, struct err *err)
{
    return err_set(err, ERR_TRANSIENT, (int)mysql_errno(stage->session), "%.120s: %s",
                   sql, mysql_error(stage->session));
}

int stage_exec(struct stage *stage, const char *sql, struct err *err)
{
    int rc = mysql_query(stage->session, sql);
    while (rc == 0) {
        MYSQL_RES *result = mysql_store_result(stage->session);
        if (result)
            mysql_free_result(result);
        rc = mysql_next_result(stage->session);
    }
    return rc > 0 ? refused(stage, sql, err) : 0;
}

int stage_number(struct stage *stage, const char *sql, int64_t *out_number,
                 struct err *err)
{
    MYSQL_RES *result = NULL;
    if (mysql_query(stage->session, sql) == 0)
        result = mysql_store_result(stage->session);
    if (!result)
        return refused(stage, sql, err);
    MYSQL_ROW row = mysql_fetch_row(result);
    *out_number = row && row[0] ? strtoll(row[0], NULL, 10) : 0;
    mysql_free_result(result);
    return 0;
}

int stage_await(struct stage *stage, const char *sql, struct err *err)
{
    int64_t end = process_now_ms() + AWAIT_TIMEOUT_MS;
    int64_t found = 0;
    while (found == 0 && process_now_ms() < end) {
        int code = stage_number(stage, sql, &found, err);
        if (code != 0)
            return code;
        if (found == 0)
            process_sleep_ms(AWAIT_PAUSE_MS);
    }
    return found ? 0 : err_set(err, ERR_TIMEOUT, 0, "waited in vain for %.200s", sql);
}

/* ---- The log ----------------------------------------------------------------------- */

int stage_log_count(const struct stage *stage, const char *text, uint64_t *out_count,
                    struct err *err)
{
    return layer_count_lines(stage->engine.log, text, out_count, err);
}

/* What a fault of this kind must not lead to. */
static int check_log(struct stage *stage, const char *text, const char *invariant,
                     const char *meaning, struct err *err)
{
    uint64_t count = 0;
    int code = stage_log_count(stage, text, &count, err);
    if (code == 0 && count > 0) {
        (void)layer_broken(invariant, "%s; see %s", meaning, stage->engine.log);
        stage->broken = true;
    }
    return code;
}

/* ---- The comparison ---------------------------------------------------------------- */

static void find(struct stage *stage, const char *invariant, const char *what,
                 uint64_t count)
{
    if (count == 0)
        return;
    (void)layer_broken(invariant, "%s: %llu", what, (unsigned long long)count);
    stage->broken = true;
}

static void judge(struct stage *stage, const struct oracle_report *r)
{
    find(stage, "I1", "acknowledged events that are not there", r->lost);
    find(stage, "I1", "events that are there more than once", r->repeated);
    find(stage, "I1", "entities that are not there", r->entities_lost);
    find(stage, "I2", "events or entities that nobody sent", r->foreign);
    find(stage, "I2", "rows with other content than was sent", r->altered);
    find(stage, "I3", "entities whose count or times don't match", r->count_mismatches);
    find(stage, "I3", "entities without events", r->entities_without_events);
    find(stage, "I3", "the law of conservation does not hold", r->law_broken);
    find(stage, "I4", "batches without answer of which a part is there", r->torn);
    find(stage, "I1", "answers with other counts than the batch has", r->answers_wrong);
    for (uint32_t i = 0; i < r->difference_count; i++)
        (void)printf("    %s\n", r->differences[i]);
    if (!oracle_clean(r) && !stage->broken)
        find(stage, "I1", "what the oracle is not content with", 1);
}

static void ask_audit(struct stage *stage)
{
    const char *args[] = {"audit", NULL};
    struct buf text = {0};
    int exit_code = engine_command(&stage->engine, args, &text);
    if (exit_code != 0) {
        (void)layer_broken("I3", "holdfast audit exits with %d", exit_code);
        (void)printf("%s\n", buf_text(&text));
        stage->broken = true;
    }
    buf_free(&text);
}

int stage_compare(struct stage *stage, struct err *err)
{
    struct oracle_log logs[2] = {{.sample = &stage->sample, .lines = stage->lines},
                                 stage->second};
    size_t count = stage->second.sample ? 2 : 1;
    struct oracle_context context = {.accepted =
                                         (uint64_t)engine_accepted(&stage->engine)};
    context.accepted += count > 1 ? stage->second_accepted : 0;
    struct oracle_report report;
    int code = oracle_compare(stage->session, logs, count, &context, &report, err);
    if (code != 0)
        return code;
    judge(stage, &report);
    if (count == 1)
        ask_audit(stage);
    if (!stage->plan.may_rewind)
        code = check_log(stage, "event=rewound", "I1",
                         "a done mark was ahead of the database's commit", err);
    if (code == 0 && !stage->plan.may_stop)
        code = check_log(stage, "event=lane_stopped", "I8",
                         "a lane stopped that a person would have had to help", err);
    return code;
}

int stage_digest(struct stage *stage, char out_digest[STAGE_TEXT_MAX], struct err *err)
{
    static const char sql[] =
        "CHECKSUM TABLE botnet_nodes_mozi, botnet_communications_mozi, "
        "botnet_nodes_test, botnet_communications_test, holdfast_ledger";
    MYSQL_RES *result = NULL;
    if (mysql_query(stage->session, sql) == 0)
        result = mysql_store_result(stage->session);
    if (!result)
        return refused(stage, sql, err);
    size_t len = 0;
    MYSQL_ROW row;
    out_digest[0] = '\0';
    while ((row = mysql_fetch_row(result)) != NULL && len < STAGE_TEXT_MAX - 64)
        len += (size_t)snprintf(out_digest + len, STAGE_TEXT_MAX - len, "%.20s ",
                                row[1] ? row[1] : "none");
    mysql_free_result(result);
    return 0;
}

int stage_restart_alike(struct stage *stage, uint32_t times, struct err *err)
{
    char before[STAGE_TEXT_MAX];
    char after[STAGE_TEXT_MAX];
    int code = stage_digest(stage, before, err);
    for (uint32_t i = 0; code == 0 && i < times; i++) {
        engine_kill(&stage->engine);
        code = stage_start(stage, err);
        code = code ? code : stage_settle(stage, err);
    }
    code = code ? code : stage_digest(stage, after, err);
    if (code == 0 && strcmp(before, after) != 0) {
        (void)layer_broken("I10", "after %u restarts the tables differ: %s / %s", times,
                           before, after);
        stage->broken = true;
    }
    return code;
}
