/* How much goes into a transaction, how long to wait, what to do after an error. */
#include "replay/backoff.h"
#include "replay/plan.h"

#include <criterion/criterion.h>

Test(plan, one_failure_changes_nothing_and_the_second_halves)
{
    struct plan plan;
    plan_init(&plan, 1000, 100);
    plan_failed(&plan, 5000);
    cr_assert_eq(plan.records, 1000);
    cr_assert_eq(plan.statement_rows, 100);
    plan_failed(&plan, 5000);
    cr_assert_eq(plan.records, 500);
    cr_assert_eq(plan.statement_rows, 50);
}

Test(plan, halving_starts_from_what_the_transaction_had)
{
    struct plan plan;
    plan_init(&plan, 10000, 500);
    plan_failed(&plan, 8);
    plan_failed(&plan, 8);
    cr_assert_eq(plan.records, 4);
    cr_assert_eq(plan.statement_rows, 4);
}

Test(plan, halving_ends_at_one)
{
    struct plan plan;
    plan_init(&plan, 10000, 500);
    for (int i = 0; i < 30; i++) {
        plan_failed(&plan, 10000);
    }
    cr_assert_eq(plan.records, 1);
    cr_assert_eq(plan.statement_rows, 1);
}

Test(plan, success_forgives_and_grows_slowly_to_the_bounds)
{
    struct plan plan;
    plan_init(&plan, 100, 10);
    for (int i = 0; i < 30; i++) {
        plan_failed(&plan, 100);
    }
    plan_succeeded(&plan);
    cr_assert_eq(plan.failures, 0);
    cr_assert_eq(plan.records, 2);
    cr_assert_eq(plan.statement_rows, 2);
    for (int i = 0; i < 50; i++) {
        size_t before = plan.records;
        plan_succeeded(&plan);
        cr_assert(plan.records <= before + before / 4 + 1);
    }
    cr_assert_eq(plan.records, 100);
    cr_assert_eq(plan.statement_rows, 10);
}

Test(plan, without_a_rate_there_is_no_pace)
{
    struct pace pace = {0};
    pace_take(&pace, 1000, 1000000);
    cr_assert_eq(pace_wait_us(&pace, 1000), 0);
}

Test(plan, rows_are_paid_for_before_the_next_transaction)
{
    struct pace pace = {.rows_per_second_max = 100};
    cr_assert_eq(pace_wait_us(&pace, 5000000), 0);
    pace_take(&pace, 5000000, 50);
    cr_assert_eq(pace_wait_us(&pace, 5000000), 500000);
    cr_assert_eq(pace_wait_us(&pace, 5400000), 100000);
    cr_assert_eq(pace_wait_us(&pace, 5500000), 0);
    /* two lanes that began together both pay */
    pace_take(&pace, 6000000, 50);
    pace_take(&pace, 6000000, 50);
    cr_assert_eq(pace_wait_us(&pace, 6000000), 1000000);
    /* an idle hour earns nothing */
    pace_take(&pace, 3600000000, 100);
    cr_assert_eq(pace_wait_us(&pace, 3600000000), 1000000);
}

Test(plan, what_is_done_after_an_error)
{
    static const struct {
        enum err_code code;
        enum plan_action comparing;
        enum plan_action applying;
    } cases[] = {
        {ERR_TRANSIENT, PLAN_BACK_OFF, PLAN_BACK_OFF},
        {ERR_RESOURCE, PLAN_BACK_OFF, PLAN_BACK_OFF},
        {ERR_NOMEM, PLAN_BACK_OFF, PLAN_BACK_OFF},
        {ERR_UNKNOWN, PLAN_BACK_OFF, PLAN_ASK_LEDGER},
        {ERR_IDENTITY, PLAN_STOP, PLAN_ASK_LEDGER},
        {ERR_DATA, PLAN_STOP, PLAN_BISECT},
        {ERR_MISS, PLAN_ONCE_MORE, PLAN_ONCE_MORE},
        {ERR_CLOSED, PLAN_END, PLAN_END},
        {ERR_SCHEMA, PLAN_STOP, PLAN_STOP},
        {ERR_DURABILITY, PLAN_STOP, PLAN_STOP},
        {ERR_GAP, PLAN_STOP, PLAN_STOP},
        {ERR_FULL, PLAN_STOP, PLAN_STOP},
        {ERR_IO, PLAN_STOP, PLAN_STOP},
        {ERR_CORRUPT, PLAN_STOP, PLAN_STOP},
        {ERR_VERSION, PLAN_STOP, PLAN_STOP},
        {ERR_CONFIG, PLAN_STOP, PLAN_STOP},
        {ERR_INTERNAL, PLAN_STOP, PLAN_STOP},
        {ERR_INVALID, PLAN_STOP, PLAN_STOP},
        {ERR_NOT_FOUND, PLAN_STOP, PLAN_STOP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_assert_eq(plan_after(cases[i].code, PLAN_COMPARING), cases[i].comparing, "%s",
                     err_name(cases[i].code));
        cr_assert_eq(plan_after(cases[i].code, PLAN_APPLYING), cases[i].applying, "%s",
                     err_name(cases[i].code));
    }
}

Test(plan, no_error_of_class_halt_is_tried_again_fast_while_comparing)
{
    for (int code = ERR_INVALID; code <= ERR_INTERNAL; code++) {
        if (err_class((enum err_code)code) == ERR_CLASS_HALT) {
            cr_assert_eq(plan_after((enum err_code)code, PLAN_COMPARING), PLAN_STOP, "%s",
                         err_name((enum err_code)code));
        }
    }
}

Test(backoff, doubles_up_to_its_ceiling)
{
    cr_assert_eq(backoff_us(1, 50000, 30000000, 0), 50000);
    cr_assert_eq(backoff_us(2, 50000, 30000000, 0), 100000);
    cr_assert_eq(backoff_us(5, 50000, 30000000, 0), 800000);
    cr_assert_eq(backoff_us(11, 50000, 30000000, 0), 30000000);
    cr_assert_eq(backoff_us(UINT32_MAX, 50000, 30000000, 0), 30000000);
}

Test(backoff, takes_at_most_a_half_off)
{
    int64_t least = INT64_MAX;
    for (uint64_t random = 0; random < 100000; random += 7) {
        int64_t delay_us = backoff_us(2, 50000, 30000000, random);
        cr_assert(delay_us >= 50000 && delay_us <= 100000);
        least = delay_us < least ? delay_us : least;
    }
    cr_assert(least < 51000);
    cr_assert(backoff_us(1, 1, 1, UINT64_MAX) >= 1);
}
