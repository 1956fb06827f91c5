#include "tests/failing_calls.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Four callers are on this side of the call; under ThreadSanitizer, where a life takes
 * long, nearly all of these are used up.
 */
#ifdef __SANITIZE_THREAD__
enum { DEPTH = 5 };
#else
enum { DEPTH = 8 };
#endif

enum { LIVES_MAX = 20000 };

static struct control *control;

void fault_start(void)
{
    void *frames[2];
    (void)backtrace(frames, 2); /* it loads a library at its first call */
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(control != MAP_FAILED);
    control_use(control);
}

size_t fault_descriptors(void)
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

void fault_expect_kept(const char *broken, uint64_t round, size_t left_open)
{
    if (broken[0] || left_open) {
        backtrace_symbols_fd(control->frames, (int)control->frame_count, STDERR_FILENO);
    }
    cr_assert(!broken[0], "life %llu: %s", (unsigned long long)round, broken);
    cr_assert_eq(left_open, 0, "life %llu: %zu descriptors are left open",
                 (unsigned long long)round, left_open);
}

void fault_arm(const struct fault *fault, uint64_t number)
{
    uint32_t depth = fault->depth && DEPTH > 5 ? fault->depth : DEPTH;
    control->failed = 0;
    memset(control->calls, 0, sizeof control->calls);
    control->fail_error = fault->error;
    control->fail_way = fault->way;
    control->fail_forever = fault->forever;
    control->fail_at = number;
    control->place_depth = number ? 0 : depth;
    __atomic_store_n(&control->fail_kind, fault->kind, __ATOMIC_SEQ_CST);
}

bool fault_disarm(void)
{
    __atomic_store_n(&control->fail_kind, CONTROL_NONE, __ATOMIC_SEQ_CST);
    return control->failed != 0;
}

void fault_sweep(bool (*once)(const struct fault *fault, uint64_t round, uint64_t number),
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
