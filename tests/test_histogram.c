#include "base/histogram.h"

#include <criterion/criterion.h>

Test(histogram, bounds_ascend)
{
    for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++) {
        cr_expect_gt(histogram_bounds_us[i], histogram_bounds_us[i - 1], "%zu", i);
    }
    cr_expect_eq(histogram_bounds_us[HISTOGRAM_BOUNDS - 1], INT64_C(86400000000));
}

Test(histogram, a_bound_belongs_to_its_own_bucket)
{
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        struct histogram at = {0};
        struct histogram above = {0};
        histogram_add(&at, histogram_bounds_us[i]);
        histogram_add(&above, histogram_bounds_us[i] + 1);
        cr_expect_eq(histogram_up_to(&at, i), 1, "%zu", i);
        cr_expect_eq(histogram_up_to(&above, i), 0, "%zu", i);
        cr_expect_eq(histogram_up_to(&above, i + 1), 1, "%zu", i);
        cr_expect(i == 0 || histogram_up_to(&at, i - 1) == 0, "%zu", i);
    }
}

Test(histogram, counts_are_cumulative_and_the_sum_is_exact)
{
    struct histogram h = {0};
    histogram_add(&h, 400);
    histogram_add(&h, 700);
    histogram_add(&h, INT64_C(90000000000)); /* over a day */
    histogram_add(&h, -5);
    cr_expect_eq(histogram_up_to(&h, 0), 2);
    cr_expect_eq(histogram_up_to(&h, 1), 3);
    cr_expect_eq(histogram_up_to(&h, HISTOGRAM_BOUNDS - 1), 3);
    cr_expect_eq(histogram_up_to(&h, HISTOGRAM_BOUNDS), 4);
    cr_expect_eq(h.sum_us, UINT64_C(90000001100));
}
