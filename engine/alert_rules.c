#include "engine/alert_rules.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_US INT64_C(3600000000)
static const int64_t mark_every_us = WINDOW_US / (ALERT_GROWTH_MARKS - 1);

struct alert_rules {
    struct alert *alerts;
    size_t count;
    size_t capacity;
};

const char *alert_rule_name(enum alert_rule rule)
{
    static const char *const names[] = {
#define X(rule, name, severity) name,
        ALERT_TABLE(X)
#undef X
    };
    return names[rule];
}

const char *alert_rule_severity(enum alert_rule rule)
{
    static const char *const severities[] = {
#define X(rule, name, severity) severity,
        ALERT_TABLE(X)
#undef X
    };
    return severities[rule];
}

const char *alert_rule_advice(enum alert_rule rule)
{
    static const char *const advice[ALERT_RULE_COUNT] = {
        [ALERT_COVERAGE] = "See which entities lack events with 'holdfast check "
                           "--explain', then 'holdfast repair'.",
        [ALERT_STOPPED] = "Mend what the reason names; the lane tries again by itself "
                          "every minute.",
        [ALERT_LAG] = "Is the database reachable and well? 'holdfast status' shows what "
                      "each lane does.",
        [ALERT_DEAD_LETTERS] = "See why with 'holdfast deadletter ls'.",
        [ALERT_CONFLICTS] = "Producers send other content under known event keys; the "
                            "first stays. 'holdfast audit' counts them.",
        [ALERT_DEAD_LETTERS_FULL] =
            "Mend and retry, or give up, dead letters ('holdfast deadletter'), or raise "
            "dead_letters.max_size: when they are full, intake refuses.",
        [ALERT_JOURNAL_FULL] = "Intake refuses when it is full. Let the database take "
                               "the backlog, or raise journal.max_size.",
        [ALERT_DISK_FULL] = "Free the disk of the journal, or lower journal.retain: "
                            "intake refuses when it is full.",
        [ALERT_RETENTION] =
            "Applied entries give way early: a database restored from longer ago can't "
            "be caught up. Raise journal.max_size, or lower journal.retain.",
        [ALERT_IDS] = "Widen the id column before INSERTs fail.",
        [ALERT_REWOUND] = "The database went back to an earlier state and is caught up "
                          "from the journal. Find out why: a restore, a failover, lost "
                          "commits.",
        [ALERT_TEST] = "Nothing: this only shows that alerts arrive.",
    };
    return advice[rule];
}

const char *alert_change_name(enum alert_change change)
{
    static const char *const names[] = {
        [ALERT_RAISED] = "raised",
        [ALERT_REPEATED] = "repeated",
        [ALERT_CLEARED] = "cleared",
    };
    return names[change];
}

/* ---- Limits ---------------------------------------------------------------------- */

/* Beyond `raise` is bad, within `clear` is good. */
struct bounds {
    bool off;
    bool low; /* below is bad, else at and above */
    double raise;
    double clear;
};

static struct bounds at_most(double raise, double clear)
{
    return (struct bounds){.off = raise <= 0, .raise = raise, .clear = clear};
}

static struct bounds at_least(double raise, double clear)
{
    return (struct bounds){
        .off = raise <= 0, .low = true, .raise = raise, .clear = clear};
}

static struct bounds bounds_of(const struct alert_limits *limits, enum alert_rule rule)
{
    static const double all = 10000;
    double share;
    switch (rule) {
    case ALERT_COVERAGE: /* cleared a tenth of the way to 100 % above */
        share = limits->coverage / all;
        return at_least(share, share + (1 - share) / 10);
    case ALERT_LAG:
        return at_most((double)limits->lag_us / 1e6, (double)limits->lag_us / 2e6);
    case ALERT_DEAD_LETTERS:
        share = (double)limits->dead_letters;
        return at_most(share, share > 1 ? share / 2 : share);
    case ALERT_CONFLICTS:
        share = (double)limits->conflicts;
        return at_most(share, share > 1 ? share / 2 : share);
    case ALERT_DEAD_LETTERS_FULL:
        return at_most(limits->dead_letters_full / all,
                       limits->dead_letters_full / all * 0.9);
    case ALERT_JOURNAL_FULL:
        return at_most(limits->journal_full / all, limits->journal_full / all * 0.9);
    case ALERT_DISK_FULL:
        return at_least((double)limits->disk_free, (double)limits->disk_free * 1.25);
    case ALERT_RETENTION:
        share = limits->retention / all;
        return at_least(share, share + (1 - share) / 5);
    case ALERT_IDS:
        return at_most(limits->ids / all, limits->ids / all * 0.95);
    case ALERT_STOPPED:
    case ALERT_REWOUND:
    case ALERT_TEST:
    case ALERT_RULE_COUNT:
        break;
    }
    return at_most(1, 1);
}

static bool is_bad(const struct bounds *bounds, double value)
{
    return !bounds->off && (bounds->low ? value < bounds->raise : value >= bounds->raise);
}

static bool is_good(const struct bounds *bounds, double value)
{
    return bounds->off || (bounds->low ? value >= bounds->clear : value < bounds->clear);
}

/* ---- Growth ---------------------------------------------------------------------- */

static bool is_about_growth(enum alert_rule rule)
{
    return rule == ALERT_DEAD_LETTERS || rule == ALERT_CONFLICTS || rule == ALERT_REWOUND;
}

static void add_mark(struct alert *alert, int64_t now_us, double value)
{
    if (alert->mark_count == ALERT_GROWTH_MARKS) {
        alert->mark_count--;
        memmove(alert->marks, alert->marks + 1,
                alert->mark_count * sizeof alert->marks[0]);
    }
    alert->marks[alert->mark_count].at_us = now_us;
    alert->marks[alert->mark_count].value = value;
    alert->mark_count++;
}

/* By how much the counter grew in the last hour, to five minutes. */
static double growth(struct alert *alert, const struct alert_sample *sample,
                     int64_t now_us)
{
    size_t gone = 0;
    if (alert->mark_count && sample->value < alert->marks[0].value) {
        alert->mark_count = 0; /* it is counted anew */
    }
    if (alert->mark_count == 0) {
        add_mark(alert, now_us, sample->base);
    }
    if (now_us - alert->marks[alert->mark_count - 1].at_us >= mark_every_us) {
        add_mark(alert, now_us, sample->value);
    }
    while (gone + 1 < alert->mark_count &&
           alert->marks[gone + 1].at_us <= now_us - WINDOW_US) {
        gone++;
    }
    alert->mark_count -= gone;
    memmove(alert->marks, alert->marks + gone,
            alert->mark_count * sizeof alert->marks[0]);
    return sample->value - alert->marks[0].value;
}

/* ---- One alert ------------------------------------------------------------------- */

/* True once it has gone the other way for `hold`. */
static bool has_turned(struct alert *alert, bool turning, int64_t hold_us, int64_t now_us)
{
    if (!turning) {
        alert->turning_us = 0;
        return false;
    }
    if (!alert->turning_us) {
        alert->turning_us = now_us;
        alert->turning_value = alert->value;
    }
    if (now_us - alert->turning_us < hold_us) {
        return false;
    }
    if (alert->rule == ALERT_LAG && !alert->raised && hold_us &&
        alert->value < alert->turning_value) {
        alert->turning_us = now_us; /* it shrinks: look again */
        alert->turning_value = alert->value;
        return false;
    }
    return true;
}

static bool is_due_again(const struct alert *alert, const struct alert_limits *limits,
                         int64_t now_us)
{
    return alert->raised && limits->repeat_us &&
           now_us - alert->told_us >= limits->repeat_us;
}

static void tell(struct alert *alert, enum alert_change change, int64_t now_us,
                 struct alert_event *out_event)
{
    alert->told_us = now_us;
    *out_event = (struct alert_event){change, *alert};
}

/* True: there is an event. */
static bool judge(struct alert *alert, const struct alert_limits *limits, int64_t now_us,
                  struct alert_event *out_event)
{
    struct bounds bounds = bounds_of(limits, alert->rule);
    alert->limit = bounds.raise;
    bool turning =
        alert->raised ? is_good(&bounds, alert->value) : is_bad(&bounds, alert->value);
    if (has_turned(alert, turning, limits->hold_us, now_us)) {
        alert->turning_us = 0;
        alert->raised = !alert->raised;
        if (alert->raised) {
            alert->raised_us = now_us;
        }
        tell(alert, alert->raised ? ALERT_RAISED : ALERT_CLEARED, now_us, out_event);
        return true;
    }
    if (is_due_again(alert, limits, now_us)) {
        tell(alert, ALERT_REPEATED, now_us, out_event);
        return true;
    }
    return false;
}

/* ---- All of them ----------------------------------------------------------------- */

int alert_rules_new(struct alert_rules **out_rules, struct err *err)
{
    struct alert_rules *rules = calloc(1, sizeof *rules);
    if (!rules) {
        return err_set(err, ERR_NOMEM, 0, "no memory for alerts");
    }
    *out_rules = rules;
    return ERR_OK;
}

void alert_rules_free(struct alert_rules *rules)
{
    if (rules) {
        free(rules->alerts);
        free(rules);
    }
}

static struct alert *add(struct alert_rules *rules)
{
    if (rules->count == rules->capacity) {
        size_t capacity = rules->capacity ? rules->capacity * 2 : 16;
        struct alert *longer =
            capacity <= ALERTS_MAX
                ? realloc(rules->alerts, capacity * sizeof *rules->alerts)
                : NULL;
        if (!longer) {
            return NULL;
        }
        rules->alerts = longer;
        rules->capacity = capacity;
    }
    return &rules->alerts[rules->count++];
}

/* NULL: no room. */
static struct alert *find(struct alert_rules *rules, const struct alert_sample *sample)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct alert *alert = &rules->alerts[i];
        if (alert->rule == sample->rule && strcmp(alert->subject, sample->subject) == 0) {
            return alert;
        }
    }
    struct alert *alert = add(rules);
    if (alert) {
        *alert = (struct alert){.rule = sample->rule};
        snprintf(alert->subject, sizeof alert->subject, "%s", sample->subject);
    }
    return alert;
}

size_t alert_rules_feed(struct alert_rules *rules, const struct alert_limits *limits,
                        const struct alert_round *round, struct alert_event *out_events,
                        size_t max)
{
    size_t events = 0;
    for (size_t i = 0; i < round->count && events < max; i++) {
        struct alert *alert = find(rules, &round->samples[i]);
        if (!alert) {
            continue;
        }
        alert->value = is_about_growth(alert->rule)
                           ? growth(alert, &round->samples[i], round->now_us)
                           : round->samples[i].value;
        snprintf(alert->text, sizeof alert->text, "%s",
                 round->samples[i].text ? round->samples[i].text : "");
        events += judge(alert, limits, round->now_us, &out_events[events]);
    }
    return events;
}

const struct alert *alert_rules_all(const struct alert_rules *rules, size_t *out_count)
{
    *out_count = rules->count;
    return rules->alerts;
}
