/* tests/oracle.h: what the database must hold, from the clients' log alone, and where it
 * doesn't.
 *
 * The model is small and shares no code with the engine: the distinct (ip, time) of good
 * records in acknowledged batches are the events, their ips the entities, an entity's
 * communication_count the number of its events, first_seen and last_seen the least and
 * the largest of their times; city and status come from the newest record that carries
 * them, in the order of the answers' seq. A batch without an answer is there as a whole
 * or not at all. Nothing else may be there.
 *
 * The tables are botnet tables of SCHEMA.md that were empty before.
 */
#ifndef HOLDFAST_TESTS_ORACLE_H
#define HOLDFAST_TESTS_ORACLE_H

#include "tests/feeder.h"
#include "tests/sample.h"

struct st_mysql;

/* One client's log, and the sample that it sent. */
struct oracle_log {
    const struct sample *sample;
    const struct feeder_line *lines;
};

enum { ORACLE_DIFFERENCES_MAX = 8, ORACLE_TEXT_MAX = 200 };

struct oracle_report {
    /* found in the database */
    uint64_t events;
    uint64_t entities;
    uint64_t duplicates; /* as the ledger counts them */
    uint64_t conflicts;
    uint64_t accepted; /* as the engine counts */
    uint64_t dead;     /* those of them that are none of the above; compared with what
                        * the clients were told */

    /* by the log */
    uint64_t sent;      /* records of all batches that were sent, each batch once */
    uint64_t told;      /* accepted, by the answers */
    uint64_t told_dead; /* dead letters, by the answers */
    uint64_t unsettled; /* records of sends without key and without answer: each may
                         * have been taken besides */

    /* what is wrong: all of these must be 0 */
    uint64_t lost;     /* events of acknowledged records that are not there */
    uint64_t repeated; /* events that are there more than once */
    uint64_t foreign;  /* events or entities that nobody sent */
    uint64_t torn;     /* batches without answer of which a part is there */
    uint64_t altered;  /* events, entities with other content than was sent */
    uint64_t entities_lost;
    uint64_t entities_without_events;
    uint64_t count_mismatches;
    uint64_t answers_wrong; /* answers with other counts than the batch has */
    uint64_t law_broken;    /* accepted is not events, duplicates, conflicts, dead
                             * letters together, or not what the clients were told */

    uint32_t difference_count; /* of the texts below */
    char differences[ORACLE_DIFFERENCES_MAX][ORACLE_TEXT_MAX];
};

/* What the logs can't know. */
struct oracle_context {
    uint64_t accepted;    /* by the journals, ever: the ledger lacks records that could
                           * not be told a stream */
    uint64_t replay_dead; /* dead letters that replay is expected to have made */
};

/* Compares. `session` is a session on the database; all must be applied. ERR_TRANSIENT:
 * the database doesn't answer, with its reason; ERR_NOMEM. */
int oracle_compare(struct st_mysql *session, const struct oracle_log *logs,
                   size_t log_count, const struct oracle_context *context,
                   struct oracle_report *out_report, struct err *err);

/* True when nothing is wrong. */
bool oracle_clean(const struct oracle_report *report);

/* Appends counts and differences, for a person. */
void oracle_describe(const struct oracle_report *report, struct buf *out);

#endif
