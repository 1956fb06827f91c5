/* What the benchmark expects of the tables, computed from the records that were sent. */
#include "bench/expected.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct workload_config small_config(void)
{
    struct workload_config config;
    workload_config_defaults(&config);
    config.ips = 300;
    config.seeded = 290;
    return config;
}

static struct expected *make_expected(const struct workload_config *config)
{
    struct err err = {0};
    struct expected *expected = NULL;
    cr_assert_eq(expected_new(config, &expected, &err), ERR_OK, "%s", err.message);
    return expected;
}

static struct database_expected add(struct expected *expected, uint32_t ip_index,
                                    int64_t time_s)
{
    struct err err = {0};
    struct workload_record record = {
        .ip_index = ip_index, .ip = workload_ip(ip_index), .time_s = time_s};
    cr_assert_eq(expected_add(expected, &record, &err), ERR_OK, "%s", err.message);
    return expected_now(expected);
}

Test(bench_expected, counts_each_key_once)
{
    struct workload_config config = small_config();
    struct expected *expected = make_expected(&config);
    cr_assert_eq(expected_now(expected).events, 0);
    cr_assert_eq(expected_now(expected).entities, 290);
    cr_assert_eq(add(expected, 3, 1000).events, 1);
    cr_assert_eq(add(expected, 3, 1000).events, 1, "the same key again");
    cr_assert_eq(add(expected, 3, 1001).events, 2, "another time");
    cr_assert_eq(add(expected, 4, 1001).events, 3, "another ip");
    cr_assert_eq(expected_now(expected).entities, 290, "these are seeded");
    cr_assert_eq(add(expected, 290, 1000).entities, 291, "this one is not");
    cr_assert_eq(add(expected, 290, 1001).entities, 291);
    expected_free(expected);
}

/* Beyond the first size of its table, against a way of counting that shares nothing. */
Test(bench_expected, agrees_with_a_bitmap_while_it_grows)
{
    enum { TIMES = 2000, RECORDS = 200000 };
    struct workload_config config = small_config();
    config.records_per_second = 150;
    config.late_share = 0;
    struct err err = {0};
    struct workload *workload = NULL;
    struct expected *expected = make_expected(&config);
    bool *seen = calloc((size_t)config.ips * TIMES, sizeof *seen);
    cr_assert_not_null(seen);
    cr_assert_eq(workload_new(&config, &workload, &err), ERR_OK, "%s", err.message);
    uint64_t events = 0;
    for (int i = 0; i < RECORDS; i++) {
        struct workload_record record;
        workload_next(workload, &record);
        int64_t offset = record.time_s - config.start_s;
        cr_assert(offset >= 0 && offset < TIMES);
        bool *cell = &seen[(size_t)record.ip_index * TIMES + (size_t)offset];
        events += !*cell;
        *cell = true;
        (void)add(expected, record.ip_index, record.time_s);
    }
    cr_assert_eq(expected_now(expected).events, events);
    cr_assert(events < RECORDS && events > RECORDS / 2);
    cr_assert_eq(expected_now(expected).entities, config.ips);
    workload_free(workload);
    expected_free(expected);
    free(seen);
}

/* A hot ip is drawn far oftener than a rare one, and the same seed gives the same. */
Test(bench_expected, same_seed_same_records)
{
    struct workload_config config = small_config();
    struct err err = {0};
    struct workload *one = NULL;
    struct workload *other = NULL;
    cr_assert_eq(workload_new(&config, &one, &err), ERR_OK, "%s", err.message);
    cr_assert_eq(workload_new(&config, &other, &err), ERR_OK, "%s", err.message);
    uint32_t *drawn = calloc(config.ips, sizeof *drawn);
    cr_assert_not_null(drawn);
    for (int i = 0; i < 100000; i++) {
        struct workload_record left;
        struct workload_record right;
        workload_next(one, &left);
        workload_next(other, &right);
        cr_assert(left.ip == right.ip && left.time_s == right.time_s &&
                  left.place == right.place);
        drawn[left.ip_index]++;
    }
    uint32_t most = 0;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < config.ips; i++) {
        most = drawn[i] > most ? drawn[i] : most;
        least = drawn[i] < least ? drawn[i] : least;
    }
    cr_assert(most > 10 * least, "%u and %u", most, least);
    workload_free(one);
    workload_free(other);
    free(drawn);
}
