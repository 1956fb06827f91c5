/* replay/login_guard.h: the end for a login that finds no memory.
 *
 * libmariadb's mysql_real_connect uses some of its memory (the first packet's buffer, the
 * server's version) without asking whether it got any, and offers no allocator to ask in
 * its place. So the fault that it runs into is caught, in a thread that is logging in and
 * at the addresses next to NULL only; any other ends the process as ever.
 *
 * Threads: enter and leave are each thread's own.
 */
#ifndef HOLDFAST_REPLAY_LOGIN_GUARD_H
#define HOLDFAST_REPLAY_LOGIN_GUARD_H

/* From now on such a fault says so on standard error and ends the process with exit_code,
 * which a supervisor answers with a new start: what was acknowledged is in the journal.
 * For a program, once, before its threads; a library leaves signals to its program. */
void login_guard_install(int exit_code);

/* Around the library's calls; they don't nest. */
void login_guard_enter(void);
void login_guard_leave(void);

#endif
