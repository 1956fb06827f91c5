/* journal/lanes.h: the table of lanes in memory. */
#ifndef HOLDFAST_JOURNAL_LANES_H
#define HOLDFAST_JOURNAL_LANES_H

#include "journal/handle.h"

/* NULL where there is none. Under the lock, or on the writer's thread. */
struct lane *lanes_find(const struct journal *journal, const char *stream,
                        uint32_t number);

/* On the writer's thread (takes the lock), or before it runs. ERR_NOMEM, ERR_FULL. */
int lanes_find_or_add(struct journal *journal, const char *stream, uint32_t number,
                      struct lane **out_lane, struct err *err);

/* Reads state and lanes of the snapshot into memory: at open, and for a reader before
 * each answer. */
int lanes_load(struct journal *journal, MDB_txn *txn, struct err *err);

/* ERR_CORRUPT: the newest entry of the snapshot that was loaded is not the one before the
 * next seq. A write of the state's page, or of the entry's, was lost. */
int lanes_check_end(const struct journal *journal, MDB_txn *txn, struct err *err);

/* For a reader: brings state and lanes up to date with the disk. */
int lanes_refresh(struct journal *journal, struct err *err);

void lanes_free(struct journal *journal);

#endif
