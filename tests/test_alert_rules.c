#include "engine/alert_rules.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define S(seconds) (INT64_C(1000000) * (seconds))

static const struct alert_limits limits = {
    .hold_us = S(30),
    .repeat_us = S(14400),
    .coverage = 9990,
    .lag_us = S(600),
    .dead_letters = 100,
    .conflicts = 0,
    .dead_letters_full = 8000,
    .journal_full = 8000,
    .disk_free = 1000,
    .retention = 5000,
    .ids = 8000,
};

static struct alert_rules *new_rules(void)
{
    struct alert_rules *rules = NULL;
    struct err err = {0};
    cr_assert_eq(alert_rules_new(&rules, &err), ERR_OK);
    return rules;
}

/* "raised", "repeated", "cleared" or "" */
static const char *feed(struct alert_rules *rules, enum alert_rule rule, int64_t at_s,
                        double value)
{
    struct alert_sample sample = {rule, "mozi", value, 0, "because"};
    struct alert_event event = {0};
    size_t count = alert_rules_feed(
        rules, &limits, &(struct alert_round){S(at_s), &sample, 1}, &event, 1);
    return count ? alert_change_name(event.change) : "";
}

/* Rule, a bad value, one between the limits, a good one. */
static const struct {
    enum alert_rule rule;
    double bad;
    double between;
    double good;
} rules_about_levels[] = {
    {ALERT_COVERAGE, 0.9989, 0.99905, 0.9992},
    {ALERT_STOPPED, 1, 1, 0},
    {ALERT_LAG, 601, 400, 299},
    {ALERT_DEAD_LETTERS_FULL, 0.8, 0.75, 0.71},
    {ALERT_JOURNAL_FULL, 0.8, 0.75, 0.71},
    {ALERT_DISK_FULL, 999, 1100, 1250},
    {ALERT_RETENTION, 0.49, 0.55, 0.6},
    {ALERT_IDS, 0.81, 0.77, 0.75},
};

Test(alert_rules, raise_and_clear_with_hold_and_hysteresis)
{
    for (size_t i = 0; i < sizeof rules_about_levels / sizeof *rules_about_levels; i++) {
        struct alert_rules *rules = new_rules();
        enum alert_rule rule = rules_about_levels[i].rule;
        double bad = rules_about_levels[i].bad;
        double between = rules_about_levels[i].between;
        double good = rules_about_levels[i].good;
        const char *name = alert_rule_name(rule);
        cr_expect_str_eq(feed(rules, rule, 100, bad), "", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 120, good), "", "%s: passes", name);
        cr_expect_str_eq(feed(rules, rule, 130, bad), "", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 159, bad), "", "%s: not held yet", name);
        cr_expect_str_eq(feed(rules, rule, 160, bad), "raised", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 170, bad), "", "%s: told once", name);
        cr_expect_str_eq(feed(rules, rule, 300, between), "", "%s: between", name);
        cr_expect_str_eq(feed(rules, rule, 400, between), "", "%s: between", name);
        cr_expect_str_eq(feed(rules, rule, 410, good), "", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 420, bad), "", "%s: bad again", name);
        cr_expect_str_eq(feed(rules, rule, 430, good), "", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 460, good), "cleared", "%s", name);
        cr_expect_str_eq(feed(rules, rule, 900, good), "", "%s", name);
        alert_rules_free(rules);
    }
}

Test(alert_rules, is_repeated_while_raised)
{
    struct alert_rules *rules = new_rules();
    feed(rules, ALERT_STOPPED, 1, 1);
    cr_expect_str_eq(feed(rules, ALERT_STOPPED, 31, 1), "raised");
    cr_expect_str_eq(feed(rules, ALERT_STOPPED, 31 + 14399, 1), "");
    cr_expect_str_eq(feed(rules, ALERT_STOPPED, 31 + 14400, 1), "repeated");
    cr_expect_str_eq(feed(rules, ALERT_STOPPED, 31 + 14401, 1), "");
    cr_expect_str_eq(feed(rules, ALERT_STOPPED, 31 + 28800, 1), "repeated");
    alert_rules_free(rules);
}

Test(alert_rules, a_lag_that_shrinks_is_no_alert)
{
    struct alert_rules *rules = new_rules();
    int64_t at_s = 10;
    for (int age_s = 7200; age_s > 0; age_s -= 10, at_s += 5) {
        cr_expect_str_eq(feed(rules, ALERT_LAG, at_s, age_s), "", "%d", age_s);
    }
    bool raised = false;
    for (int age_s = 600; age_s < 700; age_s += 5, at_s += 5) {
        raised = raised || *feed(rules, ALERT_LAG, at_s, age_s);
    }
    cr_expect(raised);
    alert_rules_free(rules);
}

Test(alert_rules, growth_is_of_the_last_hour)
{
    struct alert_rules *rules = new_rules();
    struct alert_event event;
    int64_t at_s = 10;
    int64_t raised_s = 0;
    int64_t cleared_s = 0;
    /* 5000 were there before; one a minute; then 200 at once, at 8000 s */
    for (; at_s < 20000; at_s += 10) {
        int64_t dead = 5000 + at_s / 60 + (at_s >= 8000 ? 200 : 0);
        struct alert_sample sample = {ALERT_DEAD_LETTERS, "mozi", (double)dead, 5000, ""};
        if (alert_rules_feed(rules, &limits, &(struct alert_round){S(at_s), &sample, 1},
                             &event, 1)) {
            raised_s = event.change == ALERT_RAISED ? at_s : raised_s;
            cleared_s = event.change == ALERT_CLEARED ? at_s : cleared_s;
        }
    }
    cr_expect_eq(raised_s, 8030, "%lld", (long long)raised_s);
    /* an hour of one a minute is 60, above the clearing 50: it stays */
    cr_expect_eq(cleared_s, 0);
    for (; at_s < 40000; at_s += 10) {
        struct alert_sample sample = {ALERT_DEAD_LETTERS, "mozi", 6000, 5000, ""};
        if (alert_rules_feed(rules, &limits, &(struct alert_round){S(at_s), &sample, 1},
                             &event, 1)) {
            cleared_s = event.change == ALERT_CLEARED ? at_s : cleared_s;
        }
    }
    cr_expect(cleared_s > 20000 + 3600 && cleared_s < 20000 + 4100, "%lld",
              (long long)cleared_s);
    alert_rules_free(rules);
}

Test(alert_rules, what_happened_before_the_first_look_counts_from_the_base)
{
    struct alert_rules *rules = new_rules();
    cr_expect_str_eq(feed(rules, ALERT_REWOUND, 10, 1), "");
    cr_expect_str_eq(feed(rules, ALERT_REWOUND, 40, 1), "raised");
    alert_rules_free(rules);
}

Test(alert_rules, a_limit_of_0_is_off_and_clears)
{
    struct alert_rules *rules = new_rules();
    struct alert_limits off = limits;
    struct alert_event event;
    struct alert_sample sample = {ALERT_LAG, "mozi", 9999, 0, ""};
    cr_expect_str_eq(feed(rules, ALERT_CONFLICTS, 10, 1e9), "");
    cr_expect_str_eq(feed(rules, ALERT_CONFLICTS, 99, 2e9), "");
    feed(rules, ALERT_LAG, 10, 9999);
    cr_expect_str_eq(feed(rules, ALERT_LAG, 40, 9999), "raised");
    off.lag_us = 0;
    alert_rules_feed(rules, &off, &(struct alert_round){S(50), &sample, 1}, &event, 1);
    cr_assert_eq(alert_rules_feed(rules, &off, &(struct alert_round){S(80), &sample, 1},
                                  &event, 1),
                 1);
    cr_expect_eq(event.change, ALERT_CLEARED);
    alert_rules_free(rules);
}

Test(alert_rules, what_finds_no_room_comes_in_the_next_round)
{
    enum { MANY = 20, ROOM = 7 };
    struct alert_rules *rules = new_rules();
    struct alert_sample samples[MANY];
    char names[MANY][16];
    struct alert_event events[ROOM];
    struct alert_limits at_once = limits;
    size_t told = 0;
    at_once.hold_us = 0;
    for (size_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "s%zu", i);
        samples[i] = (struct alert_sample){ALERT_STOPPED, names[i], 1, 0, ""};
    }
    for (int64_t round = 1; round <= 3; round++) {
        told += alert_rules_feed(rules, &at_once,
                                 &(struct alert_round){S(round), samples, MANY}, events,
                                 ROOM);
    }
    cr_expect_eq(told, MANY);
    cr_expect_eq(alert_rules_feed(rules, &at_once,
                                  &(struct alert_round){S(4), samples, MANY}, events,
                                  ROOM),
                 0);
    size_t count = 0;
    alert_rules_all(rules, &count);
    cr_expect_eq(count, MANY);
    alert_rules_free(rules);
}

Test(alert_rules, subjects_are_bounded)
{
    struct alert_rules *rules = new_rules();
    struct alert_event event;
    for (int i = 0; i < ALERTS_MAX + 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        struct alert_sample sample = {ALERT_STOPPED, name, 1, 0, ""};
        alert_rules_feed(rules, &limits, &(struct alert_round){S(1), &sample, 1}, &event,
                         1);
    }
    size_t count = 0;
    alert_rules_all(rules, &count);
    cr_expect_eq(count, ALERTS_MAX);
    alert_rules_free(rules);
}
