/* A journal's whole life, again and again; in each a call fails that has not failed yet:
 * of memory, of the disk, of LMDB. A call is told from another by its callers, so that
 * each place fails once; with HOLDFAST_FAILURES=all it is the first call, the second, and
 * so on. Whatever failed, what was promised is kept, and nothing is left open.
 */
#include "tests/faults/preload_control.h"
#include "tests/journal_life.h"
#include "tests/journal_mending.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* How many callers tell one place from another, the four on this side of the call among
 * them; under ThreadSanitizer, where a life takes long, nearly all of these are used up.
 */
#ifdef __SANITIZE_THREAD__
enum { DEPTH = 5 };
#else
enum { DEPTH = 8 };
#endif

enum { LIVES_MAX = 20000 };

static struct control *control;

static void start(void)
{
    void *frames[2];
    (void)backtrace(frames, 2); /* it loads a library at its first call */
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(control != MAP_FAILED);
    control_use(control);
}

static size_t count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;
    cr_assert(dir);
    while (readdir(dir)) {
        count++;
    }
    cr_assert_eq(closedir(dir), 0);
    return count;
}

struct fault {
    enum control_kind kind;
    int error;
    enum control_way way;
    bool forever; /* from then on */
    bool each;    /* each call in turn, however it was come to: there are few */
};

static void expect_kept(const char *broken, uint64_t number, size_t left_open)
{
    if (broken[0] || left_open) {
        backtrace_symbols_fd(control->frames, (int)control->frame_count, STDERR_FILENO);
    }
    cr_assert(!broken[0], "life %llu: %s", (unsigned long long)number, broken);
    cr_assert_eq(left_open, 0, "life %llu: %zu descriptors are left open",
                 (unsigned long long)number, left_open);
}

/* With `number` 0 the first call from a new place fails. */
static void arm(const struct fault *fault, uint64_t number)
{
    control->failed = 0;
    memset(control->calls, 0, sizeof control->calls);
    control->fail_error = fault->error;
    control->fail_way = fault->way;
    control->fail_forever = fault->forever;
    control->fail_at = number;
    control->place_depth = number ? 0 : DEPTH;
    __atomic_store_n(&control->fail_kind, fault->kind, __ATOMIC_SEQ_CST);
}

/* True: something failed. */
static bool disarm(void)
{
    __atomic_store_n(&control->fail_kind, CONTROL_NONE, __ATOMIC_SEQ_CST);
    return control->failed != 0;
}

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
    size_t before = count_descriptors();
    arm(fault, number);
    life_run(&life);
    bool failed = disarm();
    if ((!failed || harmless(fault)) && life.failures && !life.broken[0]) {
        (void)snprintf(life.broken, sizeof life.broken, "%u calls fail by themselves",
                       life.failures);
    }
    life_check(&life);
    expect_kept(life.broken, round, count_descriptors() - before);
    life_end(&life);
    return failed;
}

static struct mending mending;

static bool mend(const struct fault *fault, uint64_t round, uint64_t number)
{
    mending.unreadable = fault->error != ENOMEM;
    size_t before = count_descriptors();
    arm(fault, number);
    mending_run(&mending);
    bool failed = disarm();
    cr_assert((failed && !harmless(fault)) || !mending.rc, "it fails by itself");
    mending_check(&mending);
    expect_kept(mending.broken, round, count_descriptors() - before);
    return failed;
}

static void sweep(bool (*once)(const struct fault *fault, uint64_t round,
                               uint64_t number),
                  struct fault fault)
{
    const char *how = getenv("HOLDFAST_FAILURES");
    bool all = fault.each || (how && strcmp(how, "all") == 0);
    uint64_t round = 1;
    while (round < LIVES_MAX && once(&fault, round, all ? round : 0)) {
        round++;
    }
    cr_assert_gt(round, 1, "nothing failed");
    cr_assert_lt(round, LIVES_MAX);
    (void)fprintf(stderr, "%llu lives\n", (unsigned long long)round);
}

static void sweep_lives(struct fault fault)
{
    start();
    sweep(live, fault);
}

static void sweep_mending(struct fault fault)
{
    start();
    mending_start(&mending);
    sweep(mend, fault);
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
