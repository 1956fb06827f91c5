/* Replay's whole life on a real server, again and again; in each a call fails that has
 * not failed yet: of memory, of the database, of the journal. Whatever failed, in the end
 * every record is applied exactly once, every trouble was explained, and nothing is left
 * open.
 */
#include "tests/failing_calls.h"
#include "tests/replay_life.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <errmsg.h>
#include <errno.h>
#include <stdio.h>

/* Nothing is killed here, so nothing need be on a disk. */
static const char *const server_args[] = {"--innodb-flush-log-at-trx-commit=0",
                                          "--innodb-doublewrite=OFF", NULL};
static struct world suite = {.server_args = server_args};

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

static struct replay_life life;

static bool live(const struct fault *fault, uint64_t round, uint64_t number)
{
    replay_life_start(&life);
    size_t before = fault_descriptors();
    fault_arm(fault, number);
    replay_life_run(&life);
    bool failed = fault_disarm();
    if (!failed && life.troubles && !life.broken[0]) {
        (void)snprintf(life.broken, sizeof life.broken, "%u calls fail by themselves",
                       life.troubles);
    }
    size_t left_open = fault_descriptors() - before;
    replay_life_check(&life);
    fault_expect_kept(life.broken, round, left_open);
    return failed;
}

static void sweep(struct fault fault)
{
    fault_start();
    replay_life_open(&life);
    fault_sweep(live, fault);
    replay_life_close(&life);
}

Test(db_failures, no_memory)
{
    sweep((struct fault){.kind = CONTROL_MEMORY, .depth = 10, .error = ENOMEM});
}

Test(db_failures, a_deadlock)
{
    sweep((struct fault){.kind = CONTROL_QUERY, .depth = 10, .error = 1213});
}

Test(db_failures, a_statement_is_refused)
{
    sweep((struct fault){.kind = CONTROL_QUERY, .depth = 12, .error = 1142});
}

Test(db_failures, the_connection_is_gone)
{
    sweep((struct fault){
        .kind = CONTROL_QUERY, .depth = 10, .error = CR_SERVER_GONE_ERROR});
}

Test(db_failures, no_answer)
{
    sweep((struct fault){.kind = CONTROL_QUERY, .depth = 12, .error = CR_SERVER_LOST});
}

Test(db_failures, no_rows)
{
    sweep((struct fault){.kind = CONTROL_RESULT, .depth = 12, .error = CR_OUT_OF_MEMORY});
}

Test(db_failures, the_connection_ends_within_rows)
{
    sweep((struct fault){.kind = CONTROL_RESULT, .depth = 12, .error = CR_SERVER_LOST});
}

Test(db_failures, the_client)
{
    sweep((struct fault){.kind = CONTROL_CLIENT, .error = CR_CONNECTION_ERROR});
}

Test(db_failures, the_journal)
{
    sweep((struct fault){.kind = CONTROL_LMDB, .error = EIO});
}

Test(db_failures, a_look_fails)
{
    sweep((struct fault){.kind = CONTROL_LOOK, .error = EIO});
}

Test(db_failures, nothing_starts)
{
    sweep((struct fault){.kind = CONTROL_START, .error = EAGAIN});
}

/* ---- What must not be taken for good ----------------------------------------------- */

static int examine(struct err *err)
{
    struct sink *sink = NULL;
    struct buf notes = {0};
    int code = sink_mariadb_new(&life.sink, &sink, err);
    if (code) {
        return code;
    }
    code = sink->ops->connect(sink, err);
    code = code ? code : sink->ops->prepare(sink, life.streams[1], &notes, err);
    sink->ops->free(sink);
    buf_free(&notes);
    return code;
}

static bool examine_different(const struct fault *fault, uint64_t round, uint64_t number)
{
    struct err err = {0};
    fault_arm(fault, number);
    int code = examine(&err);
    bool failed = fault_disarm();
    fault_expect_kept(code ? "" : "tables that differ are taken", round, 0);
    return failed;
}

Test(db_failures, no_memory_for_what_differs)
{
    fault_start();
    replay_life_open(&life);
    world_exec(&life.w, "ALTER TABLE devices DROP COLUMN source, ADD COLUMN source INT");
    fault_sweep(examine_different,
                (struct fault){.kind = CONTROL_MEMORY, .error = ENOMEM, .each = true});
    replay_life_close(&life);
}

static void start_library(uint64_t number)
{
    static const struct fault fault = {.kind = CONTROL_CLIENT, .error = ENOMEM};
    struct db_hosts *hosts = NULL;
    struct db *db = NULL;
    struct err err = {0};
    struct db_config config = {.socket = "/nowhere"};
    fault_start();
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), ERR_OK);
    fault_arm(&fault, number);
    cr_assert_eq(db_start(&err), ERR_NOMEM);
    cr_assert(fault_disarm());
    cr_assert(err.message[0]);
    cr_assert_eq(db_start(&err), ERR_NOMEM, "it starts after all");
    cr_assert_eq(db_new(hosts, &db, &err), ERR_NOMEM);
    db_hosts_free(hosts);
}

Test(db_failures, the_client_does_not_start)
{
    start_library(1);
}

Test(db_failures, the_client_starts_without_a_handle)
{
    start_library(2);
}
