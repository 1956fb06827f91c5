#include "replay/login_guard.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

enum { NEAR_NULL = 64 * 1024 }; /* what Linux maps for nobody (vm.mmap_min_addr) */

static _Thread_local volatile sig_atomic_t logging_in;
static struct sigaction before;
static int code_at_the_end;

/* Nothing here may need memory itself. A fault that isn't ours comes again after the
 * return, and finds who was here before. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    static const char text[] = "holdfast: out of memory in the database client's login; "
                               "start again\n";
    (void)context;
    if (!logging_in || info->si_code <= 0 || (uintptr_t)info->si_addr >= NEAR_NULL) {
        (void)sigaction(number, &before, NULL);
        return;
    }
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        /* then it is not said */
    }
    _exit(code_at_the_end);
}

void login_guard_install(int exit_code)
{
    code_at_the_end = exit_code;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    (void)sigaction(SIGSEGV, &action, &before);
}

void login_guard_enter(void)
{
    logging_in = 1;
}

void login_guard_leave(void)
{
    logging_in = 0;
}
