/* bench/sent.h: the records of one run as a file that any writer can read, what the
 * tables must hold of them, and, in SQL, what a writer lost of them. Threads: one at a
 * time. */
#ifndef HOLDFAST_BENCH_SENT_H
#define HOLDFAST_BENCH_SENT_H

#include "bench/database.h"
#include "bench/workload.h"

enum { SENT_PATH_MAX = 512 };

struct sent {
    char path[SENT_PATH_MAX]; /* one record a line, as producers send it */
    char keys[SENT_PATH_MAX]; /* number, ip, time of each, with tabs between */
    uint32_t records;
    struct database_expected expected;
};

/* Makes `records` of the workload into files named after `path`. ERR_IO, ERR_NOMEM. */
int sent_make(const char *path, const struct workload_config *config, uint32_t records,
              struct sent *out_sent, struct err *err);

/* Loads the keys into the table bench_sent, made anew; none is marked flushed. */
int sent_load(const struct sent *sent, struct db *db, struct err *err);

/* Marks the records [first, end) as said to be in the database. */
int sent_mark_flushed(struct db *db, uint32_t first, uint32_t end, struct err *err);

struct losses {
    uint64_t orphans;         /* entities without an event */
    uint64_t missing;         /* taken records that no event stands for */
    uint64_t missing_flushed; /* of these, those said to be in the database */
    uint64_t phantoms;        /* records that an entity counts and no event stands for */
    uint64_t miscounted;      /* entities whose count is not that of their events */
};

/* What is wrong in the stream's tables, of the records before `taken`. The tables held
 * nothing before. */
int sent_count_losses(struct db *db, const struct stream *stream, uint32_t taken,
                      struct losses *out_losses, struct err *err);

#endif
