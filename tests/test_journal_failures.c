/* A journal's whole life, again and again; in each a call fails that has not failed yet:
 * of memory, of the disk, of LMDB. A call is told from another by its callers, so that
 * each place fails once; with HOLDFAST_FAILURES=all it is the first call, the second, and
 * so on. Whatever failed, what was promised is kept, and nothing is left open.
 */
#include "tests/failing_calls.h"
#include "tests/journal_life.h"
#include "tests/journal_mending.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>

/* Nobody is to be told of it. */
static bool harmless(const struct fault *fault)
{
    return fault->error == EINTR;
}

static bool live(const struct fault *fault, uint64_t round, uint64_t number)
{
    static struct life life;
    life_start(&life);
    life.unreadable = fault->error != ENOMEM;
    size_t before = fault_descriptors();
    fault_arm(fault, number);
    life_run(&life);
    bool failed = fault_disarm();
    if ((!failed || harmless(fault)) && life.failures && !life.broken[0]) {
        (void)snprintf(life.broken, sizeof life.broken, "%u calls fail by themselves",
                       life.failures);
    }
    life_check(&life);
    fault_expect_kept(life.broken, round, fault_descriptors() - before);
    life_end(&life);
    return failed;
}

static struct mending mending;

static bool mend(const struct fault *fault, uint64_t round, uint64_t number)
{
    mending.unreadable = fault->error != ENOMEM;
    size_t before = fault_descriptors();
    fault_arm(fault, number);
    mending_run(&mending);
    bool failed = fault_disarm();
    cr_assert((failed && !harmless(fault)) || !mending.rc, "it fails by itself");
    mending_check(&mending);
    fault_expect_kept(mending.broken, round, fault_descriptors() - before);
    return failed;
}

static void sweep_lives(struct fault fault)
{
    fault_start();
    fault_sweep(live, fault);
}

static void sweep_mending(struct fault fault)
{
    fault_start();
    mending_start(&mending);
    fault_sweep(mend, fault);
    mending_end(&mending);
}

Test(journal_failures, no_memory)
{
    sweep_lives((struct fault){.kind = CONTROL_MEMORY, .error = ENOMEM});
}

Test(journal_failures, a_write_fails)
{
    sweep_lives((struct fault){.kind = CONTROL_WRITE, .error = EIO});
}

Test(journal_failures, a_write_is_short)
{
    sweep_lives(
        (struct fault){.kind = CONTROL_WRITE, .error = ENOSPC, .way = CONTROL_SHORT});
}

Test(journal_failures, a_write_is_interrupted)
{
    sweep_lives((struct fault){.kind = CONTROL_WRITE, .error = EINTR});
}

Test(journal_failures, a_sync_fails)
{
    sweep_lives((struct fault){.kind = CONTROL_SYNC, .error = EIO, .each = true});
}

Test(journal_failures, a_file_keeps_its_size)
{
    sweep_lives((struct fault){.kind = CONTROL_SIZE, .error = ENOSPC});
}

Test(journal_failures, no_file_grows)
{
    sweep_lives((struct fault){.kind = CONTROL_SIZE, .error = ENOSPC, .forever = true});
}

Test(journal_failures, a_name_is_not_given)
{
    sweep_lives((struct fault){.kind = CONTROL_NAME, .error = EACCES});
}

Test(journal_failures, a_look_fails)
{
    sweep_lives((struct fault){.kind = CONTROL_LOOK, .error = EIO});
}

Test(journal_failures, nothing_starts)
{
    sweep_lives((struct fault){.kind = CONTROL_START, .error = EAGAIN});
}

Test(journal_failures, lmdb_fails)
{
    sweep_lives((struct fault){.kind = CONTROL_LMDB, .error = EIO});
}

Test(journal_failures, the_map_is_full_once)
{
    sweep_lives((struct fault){.kind = CONTROL_PUT, .error = MDB_MAP_FULL});
}

Test(journal_failures, the_map_stays_full)
{
    sweep_lives(
        (struct fault){.kind = CONTROL_PUT, .error = MDB_MAP_FULL, .forever = true});
}

/* ---- Repairing what is damaged ----------------------------------------------------- */

Test(journal_mending, no_memory)
{
    sweep_mending((struct fault){.kind = CONTROL_MEMORY, .error = ENOMEM});
}

Test(journal_mending, a_write_fails)
{
    sweep_mending((struct fault){.kind = CONTROL_WRITE, .error = EIO});
}

Test(journal_mending, a_look_fails)
{
    sweep_mending((struct fault){.kind = CONTROL_LOOK, .error = EIO});
}

Test(journal_mending, nothing_starts)
{
    sweep_mending((struct fault){.kind = CONTROL_START, .error = EAGAIN});
}

Test(journal_mending, lmdb_fails)
{
    sweep_mending((struct fault){.kind = CONTROL_LMDB, .error = EIO});
}

Test(journal_mending, lmdb_has_no_memory)
{
    sweep_mending((struct fault){.kind = CONTROL_LMDB, .error = ENOMEM});
}
