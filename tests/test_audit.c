#include "audit/audit.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A lane for which the law holds: 100 accepted up to entry 9, 20 more above it. */
static struct audit_lane sound(void)
{
    return (struct audit_lane){
        .stream = "mozi",
        .in_journal = true,
        .accepted = 120,
        .position_known = true,
        .position_counts = {100, 2},
        .retried = 3,
        .ledger = {.found = true,
                   .position = {.seq = 9},
                   .records = 100,
                   .events = 82,
                   .duplicates = 10,
                   .conflicts = 3,
                   .retried = 2,
                   .given_up = 1},
        .dead_kept = 4,
        .dead_retried = 1,
        .dead_purged = 1,
    };
}

Test(audit, the_law_holds)
{
    struct audit_lane lane = sound();
    audit_judge(&lane);
    cr_assert_str_eq(lane.problem, "");
    cr_assert_eq(lane.pending, 21);
    cr_assert_eq(lane.unaccounted, 0);
}

Test(audit, nothing_applied_yet)
{
    struct audit_lane lane = {.in_journal = true, .accepted = 7, .position_known = true};
    audit_judge(&lane);
    cr_assert_str_eq(lane.problem, "");
    cr_assert_eq(lane.pending, 7);
}

Test(audit, a_lost_event_is_named)
{
    struct audit_lane lane = sound();
    lane.ledger.events -= 2;
    audit_judge(&lane);
    cr_assert_eq(lane.unaccounted, 2);
    cr_assert_not_null(strstr(lane.problem, "at entry 9 100 records were accepted and 2 "
                                            "retried"));
    cr_assert_not_null(strstr(lane.problem, "= 100: 2 too few"), "%s", lane.problem);
}

Test(audit, an_event_too_many_is_named)
{
    struct audit_lane lane = sound();
    lane.ledger.duplicates++;
    audit_judge(&lane);
    cr_assert_eq(lane.unaccounted, -1);
    cr_assert_not_null(strstr(lane.problem, "= 103: 1 too many"), "%s", lane.problem);
}

Test(audit, journal_and_ledger_count_differently_at_one_entry)
{
    struct audit_lane lane = sound();
    lane.position_counts.running = 99;
    audit_judge(&lane);
    cr_assert_not_null(strstr(lane.problem,
                              "the ledger counts 100 records, 2 retried ones, the "
                              "journal 99 and 2"));
}

Test(audit, what_expired_can_still_be_judged)
{
    struct audit_lane lane = sound();
    lane.position_known = false;
    lane.position_counts = (struct journal_counts){0};
    audit_judge(&lane);
    cr_assert_str_eq(lane.problem, "");
}

Test(audit, a_journal_older_than_the_database)
{
    struct audit_lane lane = sound();
    lane.accepted = 60;
    audit_judge(&lane);
    cr_assert_eq(lane.pending, 0);
    cr_assert_not_null(strstr(lane.problem, "the journal accepted only 60"));
    lane = sound();
    lane.in_journal = false;
    audit_judge(&lane);
    cr_assert_not_null(strstr(lane.problem, "this journal never had it"));
}

Test(audit, a_rewound_database)
{
    struct audit_lane lane = sound();
    lane.done_seq = 9;
    audit_judge(&lane);
    cr_assert_str_eq(lane.problem, "");
    lane.done_seq = 10;
    audit_judge(&lane);
    cr_assert_not_null(strstr(lane.problem, "knows entry 10 as applied, the ledger "
                                            "stands at 9"),
                       "%s", lane.problem);
}

Test(audit, an_earlier_finding_stays)
{
    struct audit_lane lane = sound();
    snprintf(lane.problem, sizeof lane.problem, "another entry");
    lane.ledger.events--;
    audit_judge(&lane);
    cr_assert_eq(strncmp(lane.problem, "another entry; at entry 9", 25), 0, "%s",
                 lane.problem);
}
