/* tests/process.h: child processes for programs outside of Criterion (tests use
 * tests/world.h): errors are returned, not asserted.
 *
 * A child is in a process group of its own, so that Ctrl-C reaches the program alone,
 * and gets `death_signal` when the thread that started it ends.
 */
#ifndef HOLDFAST_TESTS_PROCESS_H
#define HOLDFAST_TESTS_PROCESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* argv[0] is found on PATH; standard output and error are appended to `log`. ERR_IO. */
int process_start(const char *const *argv, const char *log, int death_signal,
                  pid_t *out_pid, struct err *err);

/* Waits for the end, at most timeout_ms. True: *out_code is the exit code, or 128 + the
 * signal's number. */
bool process_wait(pid_t pid, int timeout_ms, int *out_code);

/* True while it has not ended; what has ended stays to be waited for. */
bool process_alive(pid_t pid);

/* SIGKILL, and waits for the end. */
void process_kill(pid_t pid);

void process_sleep_ms(long ms);
int64_t process_now_ms(void);

/* A port on 127.0.0.1 that can be listened on: `wanted`, or the next free one. 0: none
 * among the next hundred. */
uint16_t process_free_port(uint16_t wanted);

#endif
