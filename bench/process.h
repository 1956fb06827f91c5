/* bench/process.h: the engine under measurement, as its users run it: a process of its
 * own with a configuration file, a journal and a loopback port.
 *
 * Errors: ERR_IO with the log's last lines in the message; ERR_TIMEOUT; ERR_NOMEM.
 * Threads: one at a time.
 */
#ifndef HOLDFAST_BENCH_PROCESS_H
#define HOLDFAST_BENCH_PROCESS_H

#include "bench/bench.h"

#include <sys/types.h>

enum { PROCESS_PATH_MAX = 256 };

struct process {
    const struct bench *bench;
    char directory[PROCESS_PATH_MAX]; /* of this engine: configuration, journal, log */
    char config[PROCESS_PATH_MAX];
    uint16_t port;
    pid_t pid; /* 0: not running */
};

struct process_options {
    const char *name;     /* of the directory */
    const char *database; /* on the private server */
    const char *stream;   /* preset botnet */
    uint32_t lanes;
    uint32_t transaction_records;
    const char
        *journal;     /* further keys of `journal`, each with a comma before it; NULL */
    const char *more; /* further YAML at top level; NULL */
};

/* Makes directory and configuration; an earlier one of that name is removed. */
int process_prepare(struct process *process, const struct bench *bench,
                    const struct process_options *options, struct err *err);

/* Writes the configuration anew: with other settings of an engine that doesn't run. */
int process_configure(struct process *process, const struct process_options *options,
                      struct err *err);

/* Starts it and returns when /readyz says 200; *out_ready_us: from exec to then. */
int process_start(struct process *process, int64_t *out_ready_us, struct err *err);
void process_kill(struct process *process); /* SIGKILL; returns once it is gone */
int process_stop(struct process *process, struct err *err); /* SIGTERM */

/* `holdfast pause` and `resume`: lanes stand still while intake goes on. */
int process_pause(struct process *process, struct err *err);
int process_resume(struct process *process, struct err *err);

struct process_status {
    uint64_t accepted;
    uint64_t pending; /* records */
    uint64_t journal_bytes;
};
int process_status(struct process *process, struct process_status *out_status,
                   struct err *err);

/* Waits until nothing is pending. */
int process_wait_applied(struct process *process, int timeout_s, struct err *err);

/* `holdfast journal verify` and `holdfast audit`, of an engine that doesn't run: ERR_IO
 * where they find something, with what they say. */
int process_verify(const struct process *process, struct err *err);
int process_audit(const struct process *process, struct err *err);

/* User and system time so far, of any process: the engine's, the database's. 0: gone. */
double process_cpu_s(pid_t pid);
/* Private memory (Pss of anonymous mappings and private dirty pages), bytes. */
uint64_t process_private_bytes(pid_t pid);

#endif
