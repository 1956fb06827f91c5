/* bench/raw_log.h: the limit that the journal is held against: a raw file, written
 * beforehand, to which one thread appends what waits and calls fdatasync once a group. No
 * checksums, no index, no deletes: what durable acknowledgements cost at the least.
 * Threads: any number may append.
 */
#ifndef HOLDFAST_BENCH_RAW_LOG_H
#define HOLDFAST_BENCH_RAW_LOG_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct raw_log;

/* A file of `size` written zeros at `path`, synced; appends go around it in a ring. */
int raw_log_open(const char *path, uint64_t size, struct raw_log **out_log,
                 struct err *err);

/* Returns when the bytes are synced. */
int raw_log_append(struct raw_log *log, const void *data, size_t len, struct err *err);

void raw_log_close(struct raw_log *log);

#endif
