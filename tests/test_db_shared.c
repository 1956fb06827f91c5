/* The fixture itself: one server for all tests of a file. */
#include "tests/world.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

Test(world_shared, one)
{
    struct world w = {0};
    world_attach(&w);
    world_exec(&w,
               "CREATE TABLE IF NOT EXISTS seen (a INT); INSERT INTO seen VALUES (1)");
    cr_assert_geq(world_scalar(&w, "SELECT COUNT(*) FROM seen"), 1);
    world_detach(&w);
}

Test(world_shared, two)
{
    struct world w = {0};
    world_attach(&w);
    world_exec(&w,
               "CREATE TABLE IF NOT EXISTS seen (a INT); INSERT INTO seen VALUES (2)");
    cr_assert_geq(world_scalar(&w, "SELECT COUNT(*) FROM seen"), 1);
    world_detach(&w);
}
