/* replay/plan.h: how much goes into the next transaction. Pure.
 *
 * What is ready is taken at once, however little; a backlog is taken in transactions of
 * up to `records`. After two failures in a row of the same transaction, of whatever
 * class, that halves, down to one entry, and so do the rows of a statement, down to one;
 * each success doubles both again, up to their bounds.
 */
#ifndef HOLDFAST_REPLAY_PLAN_H
#define HOLDFAST_REPLAY_PLAN_H

#include <stddef.h>
#include <stdint.h>

struct plan {
    size_t records; /* of a transaction; whole entries, at least one */
    size_t statement_rows;
    size_t records_max;
    size_t statement_rows_max;
    uint32_t failures; /* in a row */
};

void plan_init(struct plan *plan, size_t records_max, size_t statement_rows_max);
void plan_succeeded(struct plan *plan);
void plan_failed(struct plan *plan);

/* At most so many rows a second, by a bucket that holds one second's worth. */
struct pace {
    uint64_t rows_per_second_max; /* 0: no bound */
    int64_t free_at_us;           /* when the rows taken so far are paid for */
};

/* How long to wait at `now_us` before the next transaction; 0: go. */
int64_t pace_wait_us(const struct pace *pace, int64_t now_us);
void pace_take(struct pace *pace, int64_t now_us, uint64_t rows);

#endif
