/* A journal's whole life, again and again; in each a call fails that has not failed yet:
 * of memory, of the disk, of LMDB. A call is told from another by its callers, so that
 * each place fails once; with HOLDFAST_FAILURES=all it is the first call, the second, and
 * so on. Whatever failed, what was promised is kept, and nothing is left open.
 */
#include "tests/faults/preload_control.h"
#include "tests/journal_life.h"

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

static void arm(enum control_kind kind)
{
    __atomic_store_n(&control->fail_kind, kind, __ATOMIC_SEQ_CST);
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

static void expect_kept(const struct life *life, uint64_t number, size_t left_open)
{
    if (life->broken[0] || left_open) {
        backtrace_symbols_fd(control->frames, (int)control->frame_count, STDERR_FILENO);
    }
    cr_assert(!life->broken[0], "life %llu: %s", (unsigned long long)number,
              life->broken);
    cr_assert_eq(left_open, 0, "life %llu: %zu descriptors are left open",
                 (unsigned long long)number, left_open);
}

/* True: something failed. */
static bool live(enum control_kind kind, uint64_t number, bool all)
{
    static struct life life;
    life_start(&life);
    life.unreadable = kind != CONTROL_MEMORY;
    size_t before = count_descriptors();
    control->failed = 0;
    memset(control->calls, 0, sizeof control->calls);
    control->fail_at = all ? number : 0;
    control->place_depth = all ? 0 : DEPTH;
    arm(kind);
    life_run(&life);
    arm(CONTROL_NONE);
    bool failed = control->failed != 0;
    if (!failed && life.failures) {
        snprintf(life.broken, sizeof life.broken, "%u calls fail by themselves",
                 life.failures);
    }
    life_check(&life);
    expect_kept(&life, number, count_descriptors() - before);
    life_end(&life);
    return failed;
}

static void sweep(enum control_kind kind, int error, enum control_way way, bool forever)
{
    const char *how = getenv("HOLDFAST_FAILURES");
    bool all = how && strcmp(how, "all") == 0;
    uint64_t number = 1;
    start();
    control->fail_error = error;
    control->fail_way = way;
    control->fail_forever = forever;
    while (number < LIVES_MAX && live(kind, number, all)) {
        number++;
    }
    cr_assert_gt(number, 1, "nothing failed");
    cr_assert_lt(number, LIVES_MAX);
    (void)fprintf(stderr, "%llu lives\n", (unsigned long long)number);
}

Test(journal_failures, no_memory)
{
    sweep(CONTROL_MEMORY, ENOMEM, CONTROL_ERROR, false);
}

Test(journal_failures, a_write_fails)
{
    sweep(CONTROL_WRITE, EIO, CONTROL_ERROR, false);
}

Test(journal_failures, a_write_is_short)
{
    sweep(CONTROL_WRITE, ENOSPC, CONTROL_SHORT, false);
}

Test(journal_failures, a_sync_fails)
{
    sweep(CONTROL_SYNC, EIO, CONTROL_ERROR, false);
}

Test(journal_failures, a_file_keeps_its_size)
{
    sweep(CONTROL_SIZE, ENOSPC, CONTROL_ERROR, false);
}

Test(journal_failures, a_name_is_not_given)
{
    sweep(CONTROL_NAME, EACCES, CONTROL_ERROR, false);
}

Test(journal_failures, a_look_fails)
{
    sweep(CONTROL_LOOK, EIO, CONTROL_ERROR, false);
}

Test(journal_failures, nothing_starts)
{
    sweep(CONTROL_START, EAGAIN, CONTROL_ERROR, false);
}

Test(journal_failures, lmdb_fails)
{
    sweep(CONTROL_LMDB, EIO, CONTROL_ERROR, false);
}

Test(journal_failures, the_map_is_full_once)
{
    sweep(CONTROL_PUT, MDB_MAP_FULL, CONTROL_ERROR, false);
}

Test(journal_failures, the_map_stays_full)
{
    sweep(CONTROL_PUT, MDB_MAP_FULL, CONTROL_ERROR, true);
}
