/* What else reads a journal and writes or asks a database, again and again; in each round
 * a call fails that has not failed yet. Done again it is done, both databases hold what
 * they are to hold, every trouble was explained, and nothing is left open.
 */
#include "tests/failing_calls.h"
#include "tests/replay_errands.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <errmsg.h>
#include <errno.h>

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

static struct replay_errands errands;

static bool run_errands(const struct fault *fault, uint64_t round, uint64_t number)
{
    replay_errands_start(&errands);
    size_t before = fault_descriptors();
    fault_arm(fault, number);
    replay_errands_run(&errands);
    bool failed = fault_disarm();
    cr_assert(failed || !errands.life.troubles, "it fails by itself");
    size_t left_open = fault_descriptors() - before;
    replay_errands_check(&errands);
    fault_expect_kept(errands.life.broken, round, left_open);
    return failed;
}

static void sweep_errands(struct fault fault)
{
    fault_start();
    replay_errands_open(&errands);
    fault_sweep(run_errands, fault);
    replay_errands_close(&errands);
}

Test(db_errands, no_memory)
{
    sweep_errands((struct fault){.kind = CONTROL_MEMORY, .depth = 9, .error = ENOMEM});
}

Test(db_errands, a_statement_is_refused)
{
    sweep_errands((struct fault){.kind = CONTROL_QUERY, .depth = 12, .error = 1142});
}

Test(db_errands, no_answer)
{
    sweep_errands(
        (struct fault){.kind = CONTROL_QUERY, .depth = 10, .error = CR_SERVER_LOST});
}

Test(db_errands, no_rows)
{
    sweep_errands(
        (struct fault){.kind = CONTROL_RESULT, .depth = 12, .error = CR_OUT_OF_MEMORY});
}

Test(db_errands, the_client)
{
    sweep_errands((struct fault){.kind = CONTROL_CLIENT, .error = CR_CONNECTION_ERROR});
}

Test(db_errands, the_journal)
{
    sweep_errands((struct fault){.kind = CONTROL_LMDB, .error = EIO});
}
