/* tests/faults/database_faults.h: what can happen to a database, one function each, for
 * layer_database_faults.c.
 *
 * A function is called while producers send and the engine applies, or (whole) before
 * anything is sent; it does its fault and takes it back, and says in `met` whether it met
 * what it was meant to. Threads: one.
 */
#ifndef HOLDFAST_TESTS_FAULTS_DATABASE_FAULTS_H
#define HOLDFAST_TESTS_FAULTS_DATABASE_FAULTS_H

#include "tests/faults/stage.h"

struct database_fault {
    struct stage *stage;
    struct st_mysql *other; /* root's session for locks; NULL: none */
    uint64_t random;
    bool patient; /* a stopped lane is left to try again by itself */
    bool met;
    bool missed; /* all was sent and applied before the fault could meet anything */
};

typedef int database_fault_do(struct database_fault *at, struct err *err);

/* Sessions: tests/faults/database_sessions.c */
database_fault_do fault_deadlock, fault_lock_wait, fault_lock_wait_ledger,
    fault_lock_wait_event, fault_kill, fault_kill_query, fault_kill_at_commit,
    fault_connections, fault_rights, fault_password;

/* The server: tests/faults/database_server.c */
database_fault_do fault_read_only, fault_server_killed, fault_server_killed_in_hand,
    fault_server_stopped, fault_server_frozen, fault_packet, fault_relaxed,
    fault_disk_full;

/* Tables: tests/faults/database_tables.c */
database_fault_do fault_renamed, fault_column_renamed, fault_altered, fault_trigger,
    fault_constraint, fault_ids_moved, fault_nodes_deleted, fault_poison;

/* Two engines: tests/faults/database_writers.c */
database_fault_do fault_two_writers, fault_journal_copied, fault_journal_twins;

/* Journal and ledger: tests/faults/database_journal.c */
database_fault_do fault_rewound, fault_rewound_too_far, fault_journal_restored,
    fault_rewound_expiring, fault_journal_flipped;

/* ---- What they share: tests/faults/database_faults.c --------------------------------
 */

/* A statement in the other session, which is opened where there is none. */
int fault_exec(struct database_fault *at, const char *sql, struct err *err);
void fault_leave(struct database_fault *at);

/* Locks every entity of mozi in the other session, after a statement of its own (NULL:
 * none), while the lanes are paused, and waits until a transaction of the engine, with
 * the ledger moved, waits for them. fault_block: then the fault has met it. And lets go.
 */
int fault_lock_nodes(struct database_fault *at, const char *first, struct err *err);
int fault_block(struct database_fault *at, struct err *err);
int fault_release(struct database_fault *at, struct err *err);

/* Waits until the query gives a number that isn't 0, or until the engine's log holds the
 * text once more than `before` times; or, where the producers are at work, until nothing
 * is left to meet: `missed` is set then. */
int fault_await(struct database_fault *at, const char *sql, struct err *err);
int fault_await_log(struct database_fault *at, const char *text, uint64_t before,
                    struct err *err);

/* KILL with these words for the engine's session that waits for a lock, or for each of
 * its sessions. */
int fault_kill_waiting(struct database_fault *at, const char *kill, struct err *err);
int fault_kill_all(struct database_fault *at, struct err *err);

/* The cause of a stop is gone: a patient point waits, else the engine is killed and
 * started again. */
int fault_help(struct database_fault *at, struct err *err);

/* `holdfast <args>`, which must exit with 0. */
int fault_command(struct database_fault *at, const char *const *args, struct err *err);

/* Stops the engine in order and copies its journal's files to `to`, or back `from`. */
int fault_swap_journal(struct database_fault *at, const char *from, const char *to,
                       struct err *err);
void fault_remove_journal(const char *path);

/* A number about all that the streams' tables hold, without the ledger; and I1 is broken
 * where it is another one than before. */
int fault_digest(struct database_fault *at, int64_t *out_digest, struct err *err);
int fault_expect_digest(struct database_fault *at, int64_t before, const char *when,
                        struct err *err);

/* One record of mozi, which must be acknowledged. */
int fault_post(const struct engine_process *engine, const char *body, struct err *err);

/* Producers at work until all is acknowledged, and all applied. */
int fault_feed_all(struct database_fault *at, struct err *err);

#endif
