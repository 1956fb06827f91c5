#include "replay/login_guard.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

enum { CODE = 75, BEHIND_NULL = 300 };

/* What a client library does that writes to what it was not given. NOLINTBEGIN */
__attribute__((no_sanitize("undefined", "address", "thread"))) static void
write_to(uintptr_t address)
{
    volatile uintptr_t unforeseen = address; /* by the compiler */
    *(volatile char *)unforeseen = 1;
}
/* NOLINTEND */

/* Memory that is there, and can't be written. */
static uintptr_t guarded_page(void)
{
    void *page = mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(page != MAP_FAILED);
    return (uintptr_t)page;
}

Test(login_guard, a_login_without_memory_ends_with_the_code, .exit_code = CODE)
{
    login_guard_install(CODE);
    login_guard_enter();
    write_to(BEHIND_NULL);
}

Test(login_guard, the_next_login_is_guarded_too, .exit_code = CODE)
{
    login_guard_install(CODE);
    login_guard_enter();
    login_guard_leave();
    login_guard_enter();
    write_to(0);
}

Test(login_guard, a_fault_outside_of_a_login_is_one, .signal = SIGSEGV)
{
    (void)signal(SIGSEGV, SIG_DFL);
    login_guard_install(CODE);
    login_guard_enter();
    login_guard_leave();
    write_to(0);
}

Test(login_guard, a_fault_elsewhere_is_one, .signal = SIGSEGV)
{
    (void)signal(SIGSEGV, SIG_DFL);
    login_guard_install(CODE);
    login_guard_enter();
    write_to(guarded_page());
}

Test(login_guard, a_signal_that_was_sent_is_one, .signal = SIGSEGV)
{
    (void)signal(SIGSEGV, SIG_DFL);
    login_guard_install(CODE);
    login_guard_enter();
    (void)raise(SIGSEGV);
    (void)raise(SIGSEGV); /* which found the handler gone */
}
