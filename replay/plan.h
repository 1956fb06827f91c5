/* replay/plan.h: how much goes into the next transaction, when, and what to do after an
 * error. Pure.
 */
#ifndef HOLDFAST_REPLAY_PLAN_H
#define HOLDFAST_REPLAY_PLAN_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* ---- How much ------------------------------------------------------------------------
 *
 * What is ready is taken at once, however little; a backlog is taken in transactions of
 * up to `records`. From the second failure in a row of the same transaction on, of
 * whatever class, its size halves, down to one entry, and so do the rows of a statement,
 * down to one; each success lets both grow by a quarter, up to their bounds.
 */
struct plan {
    size_t records; /* of a transaction; whole entries, at least one */
    size_t statement_rows;
    size_t records_max;
    size_t statement_rows_max;
    uint32_t failures; /* of transactions, in a row */
};

void plan_init(struct plan *plan, size_t records_max, size_t statement_rows_max);
void plan_succeeded(struct plan *plan);
/* A transaction of so many records failed. */
void plan_failed(struct plan *plan, size_t records);

/* At most so many rows a second: each transaction is paid for before the next begins. */
struct pace {
    uint64_t rows_per_second_max; /* 0: no bound */
    int64_t free_at_us;           /* when the rows taken so far are paid for */
};

/* How long to wait at `now_us` before the next transaction; 0: go. */
int64_t pace_wait_us(const struct pace *pace, int64_t now_us);
void pace_take(struct pace *pace, int64_t now_us, uint64_t rows);

/* ---- After an error -------------------------------------------------------------- */
enum plan_stage {
    PLAN_COMPARING, /* connecting, preparing, asking the ledger */
    PLAN_APPLYING,
    PLAN_STAGES
};

enum plan_action {
    PLAN_STOP,       /* a person must look; tried again slowly */
    PLAN_BACK_OFF,   /* the same again, later and later */
    PLAN_ASK_LEDGER, /* later, and compare with the ledger first */
    PLAN_BISECT,     /* find the records at fault, then the rest */
    PLAN_ONCE_MORE,  /* once more; a second time in a row stops */
    PLAN_END         /* shutting down: nothing */
};

enum plan_action plan_after(enum err_code code, enum plan_stage stage);

#endif
