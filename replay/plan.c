#include "replay/plan.h"

enum { FAILURES_BEFORE_HALVING = 2, SECOND_US = 1000000 };

void plan_init(struct plan *plan, size_t records_max, size_t statement_rows_max)
{
    *plan = (struct plan){
        .records = records_max,
        .statement_rows = statement_rows_max,
        .records_max = records_max,
        .statement_rows_max = statement_rows_max,
    };
}

static size_t doubled(size_t value, size_t max)
{
    return value > max / 2 ? max : value * 2;
}

static size_t halved(size_t value)
{
    return value > 1 ? value / 2 : 1;
}

void plan_succeeded(struct plan *plan)
{
    plan->failures = 0;
    plan->records = doubled(plan->records, plan->records_max);
    plan->statement_rows = doubled(plan->statement_rows, plan->statement_rows_max);
}

void plan_failed(struct plan *plan)
{
    if (++plan->failures >= FAILURES_BEFORE_HALVING) {
        plan->records = halved(plan->records);
        plan->statement_rows = halved(plan->statement_rows);
    }
}

int64_t pace_wait_us(const struct pace *pace, int64_t now_us)
{
    return pace->free_at_us > now_us ? pace->free_at_us - now_us : 0;
}

void pace_take(struct pace *pace, int64_t now_us, uint64_t rows)
{
    if (pace->rows_per_second_max == 0) {
        return;
    }
    if (pace->free_at_us < now_us) {
        pace->free_at_us = now_us;
    }
    pace->free_at_us += (int64_t)(rows * SECOND_US / pace->rows_per_second_max);
}
