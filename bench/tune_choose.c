#include "bench/tune_choose.h"

size_t tune_choose(const struct tune_candidates *candidates, double slack)
{
    double best = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        double median = stats_median(&candidates->rates[i]);
        best = median > best ? median : best;
    }
    for (size_t i = 0; i < candidates->count; i++) {
        if (candidates->rates[i].count &&
            stats_median(&candidates->rates[i]) >= best * (1 - slack)) {
            return i;
        }
    }
    return 0;
}
