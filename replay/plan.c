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

static size_t grown(size_t value, size_t max)
{
    size_t step = value / 4 + 1;
    return value >= max || step > max - value ? max : value + step;
}

/* Half of what the failed transaction really had, where that is less than it might. */
static size_t halved(size_t value, size_t had)
{
    size_t from = had < value ? had : value;
    return from > 1 ? from / 2 : 1;
}

void plan_succeeded(struct plan *plan)
{
    plan->failures = 0;
    plan->records = grown(plan->records, plan->records_max);
    plan->statement_rows = grown(plan->statement_rows, plan->statement_rows_max);
}

void plan_failed(struct plan *plan, size_t records)
{
    if (++plan->failures >= FAILURES_BEFORE_HALVING) {
        plan->records = halved(plan->records, records);
        plan->statement_rows = halved(plan->statement_rows, records);
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

/* Whatever is not named here stops the lane. */
static const enum plan_action actions[][PLAN_STAGES] = {
    /* code             comparing       applying */
    [ERR_DATA] = {PLAN_STOP, PLAN_BISECT},
    [ERR_NOMEM] = {PLAN_BACK_OFF, PLAN_BACK_OFF},
    [ERR_BUSY] = {PLAN_BACK_OFF, PLAN_BACK_OFF},
    [ERR_TIMEOUT] = {PLAN_BACK_OFF, PLAN_BACK_OFF},
    [ERR_TRANSIENT] = {PLAN_BACK_OFF, PLAN_BACK_OFF},
    [ERR_RESOURCE] = {PLAN_BACK_OFF, PLAN_BACK_OFF},
    [ERR_UNKNOWN] = {PLAN_BACK_OFF, PLAN_ASK_LEDGER},
    [ERR_IDENTITY] = {PLAN_STOP, PLAN_ASK_LEDGER},
    [ERR_MISS] = {PLAN_ONCE_MORE, PLAN_ONCE_MORE},
    [ERR_CLOSED] = {PLAN_END, PLAN_END},
    [ERR_INTERNAL] = {PLAN_STOP, PLAN_STOP},
};

enum plan_action plan_after(enum err_code code, enum plan_stage stage)
{
    return actions[code][stage];
}
