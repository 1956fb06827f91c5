/* engine/alert_rules.h: what is an alert, when it is raised and when it is over. Pure:
 * samples and a time in, events out.
 *
 * A sample beyond its limit for `hold` raises the alert of its rule and subject; one that
 * is well inside of it (hysteresis: a second limit) for `hold` clears it; in between
 * nothing changes. A raised alert is told again every `repeat`. A subject without a
 * sample stays as it is: what can't be told is neither good nor bad.
 * Threads: one at a time.
 */
#ifndef HOLDFAST_ENGINE_ALERT_RULES_H
#define HOLDFAST_ENGINE_ALERT_RULES_H

#include "journal/journal.h"

/* rule, name, severity */
/* clang-format off */
#define ALERT_TABLE(X)                                                                   \
    X(COVERAGE,          "coverage_low",       "critical")                               \
    X(STOPPED,           "lane_stopped",       "critical")                               \
    X(LAG,               "lag_growing",        "warning")                                \
    X(DEAD_LETTERS,      "dead_letters",       "warning")                                \
    X(CONFLICTS,         "conflicts",          "warning")                                \
    X(DEAD_LETTERS_FULL, "dead_letters_full",  "critical")                               \
    X(JOURNAL_FULL,      "journal_full",       "critical")                               \
    X(DISK_FULL,         "disk_full",          "critical")                               \
    X(RETENTION,         "retention_short",    "warning")                                \
    X(IDS,               "ids_running_out",    "critical")                               \
    X(REWOUND,           "database_rewound",   "critical")                               \
    X(TEST,              "test",               "info")
/* clang-format on */

enum alert_rule {
#define X(rule, name, severity) ALERT_##rule,
    ALERT_TABLE(X)
#undef X
        ALERT_RULE_COUNT
};

const char *alert_rule_name(enum alert_rule rule);
const char *alert_rule_severity(enum alert_rule rule);
/* What to do about it, one sentence. */
const char *alert_rule_advice(enum alert_rule rule);

/* Shares are hundredths of a percent. 0 switches a rule off. */
struct alert_limits {
    int64_t hold_us;
    int64_t repeat_us;
    uint32_t coverage; /* of entities with their events */
    int64_t lag_us;    /* age of the oldest unapplied entry, while it doesn't shrink */
    uint64_t dead_letters;      /* new ones within the last hour, of a stream; */
    uint64_t conflicts;         /* so too */
    uint32_t dead_letters_full; /* share of dead_letters.max_size */
    uint32_t journal_full; /* share of journal.max_size that unapplied entries hold */
    uint64_t disk_free;    /* bytes */
    uint32_t retention;    /* share of journal.retain that is really retained */
    uint32_t ids;          /* share of the values an id column can hold */
};

enum { ALERT_SUBJECT_MAX = JOURNAL_STREAM_MAX, ALERT_TEXT_MAX = 400, ALERTS_MAX = 1024 };

struct alert_sample {
    enum alert_rule rule;
    const char *subject; /* a stream's name, "journal", "disk" */
    double value;        /* of rules about growth (DEAD_LETTERS, CONFLICTS, REWOUND): a
                          * counter, */
    double base;         /* and what it was when counting began; else not looked at */
    const char *text;    /* a sentence about it */
};

enum { ALERT_GROWTH_MARKS = 13 };

/* One rule about one subject. */
struct alert {
    enum alert_rule rule;
    char subject[ALERT_SUBJECT_MAX + 1];
    bool raised;
    int64_t raised_us; /* steady: when it was, and when it was told last */
    int64_t told_us;
    int64_t turning_us; /* since when it goes the other way; 0: it doesn't */
    double turning_value;
    double value; /* as last seen, and the limit it is held against */
    double limit;
    char text[ALERT_TEXT_MAX + 1];
    struct {
        int64_t at_us;
        double value;
    } marks[ALERT_GROWTH_MARKS];
    size_t mark_count;
};

enum alert_change { ALERT_RAISED, ALERT_REPEATED, ALERT_CLEARED };
const char *alert_change_name(enum alert_change change); /* "raised" */

struct alert_event {
    enum alert_change change;
    struct alert alert; /* as it was then */
};

struct alert_rules;

int alert_rules_new(struct alert_rules **out_rules, struct err *err);
void alert_rules_free(struct alert_rules *rules);

/* What was seen in one look, at `now_us` (steady, above 0). */
struct alert_round {
    int64_t now_us;
    const struct alert_sample *samples;
    size_t count;
};

/* Fills in at most `max` events and returns how many; what finds no room comes in the
 * next round. Subjects beyond ALERTS_MAX are passed over. */
size_t alert_rules_feed(struct alert_rules *rules, const struct alert_limits *limits,
                        const struct alert_round *round, struct alert_event *out_events,
                        size_t max);

/* All that are known, raised or not; valid until the next feed. */
const struct alert *alert_rules_all(const struct alert_rules *rules, size_t *out_count);

#endif
