#include "bench/tune_choose.h"

#include <criterion/criterion.h>

static void add(struct tune_candidates *candidates, uint64_t value, double rate)
{
    candidates->values[candidates->count] = value;
    stats_add(&candidates->rates[candidates->count++], rate);
}

Test(tune_choose, takes_the_best_where_it_is_ahead)
{
    struct tune_candidates candidates = {.count = 0};
    add(&candidates, 500, 20000);
    add(&candidates, 10000, 40000);
    add(&candidates, 50000, 46000);
    cr_assert_eq(tune_choose(&candidates, 0.05), 2);
}

Test(tune_choose, takes_the_cheapest_of_those_that_are_as_good)
{
    struct tune_candidates candidates = {.count = 0};
    add(&candidates, 1, 94.9);
    add(&candidates, 2, 95.1);
    add(&candidates, 4, 100);
    add(&candidates, 8, 99);
    cr_assert_eq(tune_choose(&candidates, 0.05), 1);
}

Test(tune_choose, goes_by_medians_not_by_lucky_runs)
{
    struct tune_candidates candidates = {.count = 0};
    add(&candidates, 1, 50);
    add(&candidates, 2, 60);
    for (int i = 0; i < 2; i++) {
        stats_add(&candidates.rates[0], i ? 200 : 50);
        stats_add(&candidates.rates[1], 60);
    }
    cr_assert_eq(tune_choose(&candidates, 0.05), 1);
}

Test(tune_choose, never_takes_what_was_not_measured)
{
    struct tune_candidates candidates = {.values = {1, 2}, .count = 2};
    stats_add(&candidates.rates[1], 10);
    cr_assert_eq(tune_choose(&candidates, 0.05), 1);
}

Test(tune_choose, without_any_measurement_the_first)
{
    struct tune_candidates candidates = {.values = {1, 2}, .count = 2};
    cr_assert_eq(tune_choose(&candidates, 0.05), 0);
}
