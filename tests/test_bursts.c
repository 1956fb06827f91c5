/* The pure parts of check: bursts, runs, days, and what is wrong with an entity. */
#include "audit/bursts.h"
#include "audit/judge.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const int64_t second_us = 1000000;

static struct check_explained finish(struct bursts *bursts)
{
    struct check_explained out = {0};
    cr_assert(bursts_finish(bursts, &out));
    bursts_free(bursts);
    return out;
}

static void free_explained(struct check_explained *out)
{
    free(out->days);
    free(out->runs);
    free(out->bursts);
}

Test(bursts, nothing_is_missing)
{
    struct bursts *bursts = bursts_new(0);
    bursts_break(bursts);
    struct check_explained out = finish(bursts);
    cr_assert_eq(out.day_count + out.burst_count + out.run_count, 0);
    cr_assert_eq(out.runs_total, 0);
    free_explained(&out);
}

/* Two runs a minute apart with a whole entity between are one burst; a third, hours
 * later, is another, and too short for an interruption. */
Test(bursts, runs_and_bursts)
{
    struct bursts *bursts = bursts_new(0);
    int64_t start_us = INT64_C(1767830400) * second_us; /* 2026-01-08 00:00 UTC */
    for (uint64_t id = 100; id < 112; id++) {
        bursts_add(bursts, id, true, start_us + (int64_t)id * second_us);
    }
    bursts_break(bursts);
    for (uint64_t id = 113; id < 116; id++) {
        bursts_add(bursts, id, true, start_us + (int64_t)id * second_us);
    }
    bursts_add(bursts, 116, true, start_us + 7200 * second_us); /* no break between */
    bursts_add(bursts, 117, false, 0);
    struct check_explained out = finish(bursts);
    cr_assert_eq(out.runs_total, 3);
    cr_assert_eq(out.runs[0].count, 12);
    cr_assert_eq(out.runs[0].first_id, 100);
    cr_assert_eq(out.runs[0].last_id, 111);
    cr_assert_eq(out.runs[0].last_us - out.runs[0].first_us, 11 * second_us);
    cr_assert_eq(out.runs[1].count, 3);
    cr_assert_eq(out.burst_count, 2);
    cr_assert_eq(out.bursts[0].count, 15);
    cr_assert_eq(out.bursts[0].runs, 2);
    cr_assert_eq(out.bursts[0].longest_run, 12);
    cr_assert(out.bursts[0].likely);
    cr_assert_eq(out.bursts[1].count, 1);
    cr_assert_not(out.bursts[1].likely);
    cr_assert_eq(out.untimed, 1);
    free_explained(&out);
}

/* 2026-01-08 17:00 UTC is the 9th at +08:00. */
Test(bursts, days_are_local)
{
    struct bursts *bursts = bursts_new(8 * 3600);
    const int64_t hour_us = INT64_C(3600) * second_us;
    int64_t time_us = INT64_C(1767830400) * second_us + 17 * hour_us;
    bursts_add(bursts, 1, true, time_us);
    bursts_add(bursts, 2, true, time_us - 3 * hour_us);
    struct check_explained out = finish(bursts);
    cr_assert_eq(out.day_count, 2);
    cr_assert_eq(out.days[0].day, 20461);
    cr_assert_eq(out.days[1].day, 20462);
    free_explained(&out);
}

Test(bursts, what_is_kept_is_bounded)
{
    struct bursts *bursts = bursts_new(0);
    for (uint64_t id = 1; id <= 80000; id++) {
        bursts_add(bursts, id, true, (int64_t)id * 7200 * second_us);
    }
    struct check_explained out = finish(bursts);
    cr_assert_eq(out.run_count, CHECK_RUNS_MAX);
    cr_assert_eq(out.burst_count, CHECK_BURSTS_MAX);
    cr_assert_eq(out.day_count, CHECK_DAYS_MAX);
    cr_assert_eq(out.runs_total, 80000);
    cr_assert_gt(out.unplaced, 0);
    free_explained(&out);
}

/* ---- Judging --------------------------------------------------------------------- */

static struct audit_columns all_columns(struct stream **out_stream)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct audit_columns columns = {.stream = stream, .found = true};
    columns.first = columns.last = columns.count = &stream->entity.columns[0];
    *out_stream = stream;
    return columns;
}

static struct scan_entity sound(void)
{
    return (struct scan_entity){.first = {true, 1000},
                                .last = {true, 3000},
                                .has_count = true,
                                .count = 3,
                                .events = 3,
                                .earliest = {true, 1000},
                                .latest = {true, 3000}};
}

Test(judge, agreement_and_its_lack)
{
    struct stream *stream;
    struct audit_columns columns = all_columns(&stream);
    struct scan_entity entity = sound();
    struct judgement found = judge(&columns, &entity, INT64_MIN);
    cr_assert_not(found.missing || found.count_off || found.first_off || found.last_off);
    entity.count = 4;
    entity.first.known = false;
    entity.latest.us = 2000;
    found = judge(&columns, &entity, INT64_MIN);
    cr_assert(found.count_off && found.first_off && found.last_off);
    columns.count = columns.first = columns.last = NULL;
    found = judge(&columns, &entity, INT64_MIN);
    cr_assert_not(found.count_off || found.first_off || found.last_off);
    stream_free(stream);
}

/* Purged events: older entities miss nothing, and may have counted more. */
Test(judge, purged_events_are_not_missed)
{
    struct stream *stream;
    struct audit_columns columns = all_columns(&stream);
    struct scan_entity entity = sound();
    entity.events = 2;
    entity.earliest.us = 2000;
    struct judgement found = judge(&columns, &entity, 1500);
    cr_assert_not(found.count_off || found.first_off || found.last_off);
    entity.count = 1;
    found = judge(&columns, &entity, 1500);
    cr_assert(found.count_off);
    entity.events = 0;
    cr_assert(judge(&columns, &entity, 1500).missing);
    cr_assert(judge(&columns, &entity, 3001).aged);
    cr_assert(judge(&columns, &entity, INT64_MIN).missing);
    stream_free(stream);
}

Test(judge, coverage_is_cut_and_the_threshold_is_exact)
{
    struct check_report report = {.entities = 293037, .missing = 3868};
    cr_assert_eq(check_coverage(&report), 9868);
    cr_assert(check_is_below(&report, 9900));
    cr_assert_not(check_is_below(&report, 9868));
    report.missing = 1;
    cr_assert_eq(check_coverage(&report), 9999);
    cr_assert(check_is_below(&report, 10000));
    report = (struct check_report){0};
    cr_assert_eq(check_coverage(&report), 10000);
    cr_assert_not(check_is_below(&report, 10000));
}
