/* bench/expected.h: what the tables must hold, computed from the records that were sent.
 * Pure. Threads: one at a time. */
#ifndef HOLDFAST_BENCH_EXPECTED_H
#define HOLDFAST_BENCH_EXPECTED_H

#include "bench/database.h"
#include "bench/workload.h"

struct expected;

/* Nothing sent yet: no event, and the seeded entities. ERR_NOMEM. */
int expected_new(const struct workload_config *config, struct expected **out_expected,
                 struct err *err);
void expected_free(struct expected *expected);

/* One record more was sent, perhaps once again. ERR_NOMEM. */
int expected_add(struct expected *expected, const struct workload_record *record,
                 struct err *err);

struct database_expected expected_now(const struct expected *expected);

#endif
