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
    sweep((struct fault){.kind = CONTROL_QUERY, .depth = 14, .error = 1142});
}

Test(db_failures, the_connection_is_gone)
{
    sweep((struct fault){
        .kind = CONTROL_QUERY, .depth = 10, .error = CR_SERVER_GONE_ERROR});
}

Test(db_failures, no_answer)
{
    sweep((struct fault){.kind = CONTROL_QUERY, .depth = 14, .error = CR_SERVER_LOST});
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
