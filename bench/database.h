/* bench/database.h: the tables that are measured, the limit that the engine is held
 * against, and whether the tables came out right.
 *
 * Errors: as the calls of replay/db.h; ERR_NOMEM. Threads: one connection, one thread.
 */
#ifndef HOLDFAST_BENCH_DATABASE_H
#define HOLDFAST_BENCH_DATABASE_H

#include "bench/bench.h"
#include "bench/workload.h"

#include "replay/db.h"
#include "schema/stream.h"

/* A session of root on the private server, in the database `name`, made if missing. */
int database_connect(const struct bench *bench, const char *name, struct db **out_db,
                     struct err *err);

/* Drops and makes the stream's two tables and `limit_communications`, a second event
 * table with the same columns, indexes and foreign key, and fills the entity table with
 * the workload's seeded nodes: their places, first_seen and last_seen before the
 * workload's start, communication_count 0. Empties the ledger. */
int database_seed(struct db *db, const struct stream *stream,
                  const struct workload *workload, const struct workload_config *config,
                  struct err *err);

/* Inserts `rows` ready communications of the workload into limit_communications by LOAD
 * DATA LOCAL, `rows_per_transaction` a transaction, foreign key on, and says how long the
 * server took; making the text is not counted. */
int database_load_limit(struct db *db, struct workload *workload, uint32_t rows,
                        uint32_t rows_per_transaction, int64_t *out_took_us,
                        struct err *err);

/* Inserts one communication of each seeded ip, in one transaction: where the engine has
 * met every ip, the limit's table is to have grown as the stream's did. */
int database_load_each(struct db *db, struct workload *workload, struct err *err);

/* What the tables must hold once the records are applied: computed from the records that
 * were sent, by other code than the engine's. */
struct database_expected {
    uint64_t events;   /* distinct (ip, time) */
    uint64_t entities; /* distinct ips, seeded ones included */
};

/* Compares, all in SQL: events and distinct keys with the expected, each entity's
 * communication_count, first_seen and last_seen with its events, events without entity,
 * and entities that were sent but have no event. `expected` NULL: of a backlog that is
 * applied in part only, where the tables must agree with each other. *out_exact false:
 * what is off is named on standard error. */
int database_check(struct db *db, const struct stream *stream,
                   const struct database_expected *expected, bool *out_exact,
                   struct err *err);

#endif
