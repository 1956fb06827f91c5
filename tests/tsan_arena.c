/* tests/tsan_arena.c: lets Criterion run under ThreadSanitizer.
 *
 * Criterion's runner shares an arena with its test processes and maps it at an address
 * drawn by rand_r: 0x2000'0000'0000 + (rand_r & 0x3fffff) * 2^24, three tries. Nearly all
 * of those addresses belong to ThreadSanitizer's shadow on x86-64, so that the runner
 * gives up with "could not initialize inheritable arena". This rand_r, which takes the
 * place of libc's in the test executables of a thread-sanitized build only, draws from
 * what the sanitizer leaves to programs below their own image: 0x5510... to 0x5511....
 */
#include <stdlib.h>

enum { ARENA_FIRST = 0x351000, ARENA_COUNT = 0x1000 };

/* visible: libcriterion must find it in the executable */
__attribute__((visibility("default"))) int rand_r(unsigned *seed)
{
    *seed = *seed * 1103515245U + 12345U;
    return ARENA_FIRST + (int)((*seed >> 16) % ARENA_COUNT);
}

/* Tests fork children that start threads. The sanitizer takes the test process for
 * threaded (Criterion forked it) and would end such a child. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
