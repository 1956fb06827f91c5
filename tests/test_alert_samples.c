#include "engine/alert_samples.h"
#include "engine/intake.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define S(seconds) (INT64_C(1000000) * (seconds))
#define MIB(n) (UINT64_C(1048576) * (n))

static const struct journal_config config = {
    .retain_us = S(1000), .dead_letters_max = 999, .size_max = 1 << 20};

/* The sample of a rule about a subject; NULL: none. */
static const struct alert_sample *sample_of(const struct alert_samples *samples,
                                            enum alert_rule rule, const char *subject)
{
    for (size_t i = 0; i < samples->count; i++) {
        if (samples->items[i].rule == rule &&
            strcmp(samples->items[i].subject, subject) == 0) {
            return &samples->items[i];
        }
    }
    return NULL;
}

static double value_of(const struct alert_samples *samples, enum alert_rule rule,
                       const char *subject)
{
    const struct alert_sample *sample = sample_of(samples, rule, subject);
    cr_assert_not_null(sample, "%s %s", alert_rule_name(rule), subject);
    return sample->value;
}

static struct alert_samples make(const struct report *report,
                                 const struct alert_stream *streams, size_t count)
{
    struct alert_samples samples = {0};
    struct err err = {0};
    struct alert_view view = {report, &config, streams, count, S(10000)};
    cr_assert_eq(alert_samples_make(&view, &samples, &err), ERR_OK);
    return samples;
}

Test(alert_samples, lanes_of_a_stream_are_gathered)
{
    struct lane_status replay[2] = {{.state = LANE_IDLE}, {.state = LANE_STOPPED}};
    struct report_lane lanes[3] = {{.replay = &replay[0]}, {.replay = &replay[1]}};
    struct report report = {.lanes = lanes, .lane_count = 3};
    for (size_t i = 0; i < 3; i++) {
        snprintf(lanes[i].journal.stream, sizeof lanes[i].journal.stream, "%s",
                 i == 2 ? INTAKE_UNROUTED : "mozi");
        lanes[i].journal.rejected = 5;
        lanes[i].journal.running = 10;
    }
    replay[1].lane = 1;
    replay[1].counts.dead_letters = 2;
    replay[1].counts.conflicts = 3;
    replay[1].counts.rewinds = 1;
    snprintf(replay[1].reason.message, sizeof replay[1].reason.message, "no such table");
    lanes[0].journal.oldest_pending_at_us = S(9950);
    lanes[1].journal.oldest_pending_at_us = S(9900);
    struct alert_samples samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_STOPPED, "mozi"), 1);
    cr_expect_str_eq(sample_of(&samples, ALERT_STOPPED, "mozi")->text,
                     "1 lane is stopped; lane 1: no such table");
    cr_expect_eq(value_of(&samples, ALERT_LAG, "mozi"), 100);
    cr_expect_eq(value_of(&samples, ALERT_DEAD_LETTERS, "mozi"), 12);
    cr_expect_eq(sample_of(&samples, ALERT_DEAD_LETTERS, "mozi")->base, 10);
    cr_expect_eq(value_of(&samples, ALERT_CONFLICTS, "mozi"), 3);
    cr_expect_str_eq(sample_of(&samples, ALERT_CONFLICTS, "mozi")->text,
                     "3 conflicts since start");
    cr_expect_str_eq(sample_of(&samples, ALERT_REWOUND, "mozi")->text,
                     "the database went back 1 time since start");
    cr_expect_eq(value_of(&samples, ALERT_REWOUND, "mozi"), 1);
    cr_expect_eq(sample_of(&samples, ALERT_REWOUND, "mozi")->base, 0);
    cr_expect_eq(value_of(&samples, ALERT_DEAD_LETTERS, INTAKE_UNROUTED), 5);
    cr_expect_null(sample_of(&samples, ALERT_LAG, INTAKE_UNROUTED));
    alert_samples_free(&samples);
}

Test(alert_samples, only_what_is_known_of_a_stream)
{
    struct report report = {0};
    struct alert_stream streams[] = {{"a", true, 0.5, false, 0},
                                     {"b", false, 0, true, 0.9}};
    struct alert_samples samples = make(&report, streams, 2);
    cr_expect_eq(value_of(&samples, ALERT_COVERAGE, "a"), 0.5);
    cr_expect_null(sample_of(&samples, ALERT_IDS, "a"));
    cr_expect_null(sample_of(&samples, ALERT_COVERAGE, "b"));
    cr_expect_eq(value_of(&samples, ALERT_IDS, "b"), 0.9);
    alert_samples_free(&samples);
}

Test(alert_samples, what_gives_way_does_not_fill_the_journal)
{
    struct report_lane lane = {.journal = {.stream = "mozi"}};
    struct report report = {.lanes = &lane, .lane_count = 1};
    report.stat = (struct journal_stat){.size_max = MIB(100),
                                        .used_bytes = MIB(90),
                                        .free_bytes = MIB(10),
                                        .first_seq = 7,
                                        .oldest_at_us = S(9000)};
    struct alert_samples samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_JOURNAL_FULL, "journal"), 0);
    alert_samples_free(&samples);
    lane.journal.oldest_pending_at_us = S(9500); /* half of the time that is retained */
    samples = make(&report, NULL, 0);
    double half = value_of(&samples, ALERT_JOURNAL_FULL, "journal");
    cr_expect(half > 0.449 && half < 0.451, "%g", half);
    alert_samples_free(&samples);
    report.stat.refusing = true;
    samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_JOURNAL_FULL, "journal"), 1);
    alert_samples_free(&samples);
}

/* Its max_size says nothing there. */
Test(alert_samples, a_small_disk_is_what_a_journal_fills)
{
    struct report_lane lane = {
        .journal = {.stream = "mozi", .oldest_pending_at_us = S(9000)}};
    struct report report = {.lanes = &lane, .lane_count = 1};
    report.stat = (struct journal_stat){.size_max = MIB(65536),
                                        .used_bytes = MIB(90),
                                        .free_bytes = MIB(10),
                                        .reserve_bytes = MIB(256),
                                        .disk_free_bytes = MIB(200),
                                        .oldest_at_us = S(9000)};
    struct alert_samples samples = make(&report, NULL, 0);
    double held = value_of(&samples, ALERT_JOURNAL_FULL, "journal");
    cr_expect(held > 0.899 && held < 0.901, "%g", held);
    cr_expect_str_eq(sample_of(&samples, ALERT_DISK_FULL, "disk")->text,
                     "200.0 MiB are free on the journal's disk; intake may take 10.0 MiB "
                     "more");
    cr_expect_eq(value_of(&samples, ALERT_DISK_FULL, "disk"), (double)MIB(200));
    alert_samples_free(&samples);
}

/* Its file doesn't shrink: what is free in it is room too, as long as it can be used. */
Test(alert_samples, a_disk_that_a_drained_journal_fills_is_not_full)
{
    struct report report = {0};
    report.stat = (struct journal_stat){.size_max = MIB(65536),
                                        .used_bytes = MIB(10),
                                        .free_bytes = MIB(9000),
                                        .reserve_bytes = MIB(256),
                                        .disk_free_bytes = MIB(200)};
    struct alert_samples samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_DISK_FULL, "disk"), (double)MIB(9000));
    cr_expect(value_of(&samples, ALERT_JOURNAL_FULL, "journal") < 0.01);
    alert_samples_free(&samples);
    report.stat.free_bytes = 0; /* others have taken its last block */
    report.stat.disk_free_bytes = 0;
    samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_DISK_FULL, "disk"), 0);
    alert_samples_free(&samples);
}

Test(alert_samples, a_short_reach_counts_only_where_entries_gave_way)
{
    struct report report = {0};
    report.stat = (struct journal_stat){.size_max = MIB(100),
                                        .free_bytes = MIB(50),
                                        .reserve_bytes = MIB(2),
                                        .first_seq = 7,
                                        .oldest_at_us = S(9900)};
    struct alert_samples samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_RETENTION, "journal"), 1, "there is room");
    alert_samples_free(&samples);
    report.stat.free_bytes = MIB(2);
    samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_RETENTION, "journal"), 0.1);
    alert_samples_free(&samples);
    report.stat.first_seq = 1;
    samples = make(&report, NULL, 0);
    cr_expect_eq(value_of(&samples, ALERT_RETENTION, "journal"), 1, "nothing left yet");
    alert_samples_free(&samples);
}
