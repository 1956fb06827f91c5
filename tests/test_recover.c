/* The ledger's position L against the journal's done mark D, all cases. */
#include "replay/recover.h"

#include <criterion/criterion.h>

static struct journal_position at(uint64_t seq, uint8_t sum)
{
    struct journal_position position = {.seq = seq};
    memset(position.sum, sum, sizeof position.sum);
    return position;
}

Test(recover, table)
{
    static const struct {
        const char *what;
        uint64_t ledger;
        uint8_t ledger_sum;
        uint64_t done;
        uint8_t done_sum;
        int known;
        enum recover_action action;
    } cases[] = {
        {"both new", 0, 0, 0, 0, ERR_OK, RECOVER_GO_ON},
        {"agree", 7, 1, 7, 1, ERR_OK, RECOVER_GO_ON},
        {"agree, not retained", 7, 1, 7, 1, ERR_GAP, RECOVER_GO_ON},
        {"same seq, other sum", 7, 1, 7, 2, ERR_OK, RECOVER_OTHER},
        {"same seq, other sum, known", 7, 1, 7, 2, ERR_IDENTITY, RECOVER_OTHER},
        {"mark lost", 9, 1, 7, 1, ERR_OK, RECOVER_TAKE_LEDGER},
        {"mark lost, first ever", 9, 1, 0, 0, ERR_OK, RECOVER_TAKE_LEDGER},
        {"other sum above the mark", 9, 1, 7, 1, ERR_IDENTITY, RECOVER_OTHER},
        {"beyond the end", 99, 1, 7, 1, ERR_IDENTITY, RECOVER_OTHER},
        {"above the mark, not retained", 9, 1, 7, 1, ERR_GAP, RECOVER_LOST},
        {"rewound", 3, 1, 7, 1, ERR_OK, RECOVER_REWIND},
        {"rewound, not retained", 3, 1, 7, 1, ERR_GAP, RECOVER_LOST},
        {"below the mark, other sum", 3, 1, 7, 1, ERR_IDENTITY, RECOVER_OTHER},
        {"no row, new database", 0, 0, 7, 1, ERR_OK, RECOVER_REWIND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct journal_position ledger = at(cases[i].ledger, cases[i].ledger_sum);
        struct journal_position done = at(cases[i].done, cases[i].done_sum);
        cr_assert_eq(recover_decide(&ledger, &done, cases[i].known), cases[i].action,
                     "%s", cases[i].what);
    }
}

Test(recover, nothing_is_taken_from_the_ledger_without_a_known_sum)
{
    static const int known[] = {ERR_IDENTITY, ERR_GAP};
    for (uint64_t l = 0; l < 6; l++) {
        for (uint64_t d = 0; d < 6; d++) {
            for (size_t k = 0; k < 2; k++) {
                struct journal_position ledger = at(l, 1);
                struct journal_position done = at(d, 1);
                enum recover_action action = recover_decide(&ledger, &done, known[k]);
                cr_assert_neq(action, RECOVER_TAKE_LEDGER);
                cr_assert_neq(action, RECOVER_REWIND);
                cr_assert(l == d || action != RECOVER_GO_ON);
            }
        }
    }
}

Test(recover, an_unanswered_commit)
{
    struct journal_position previous = at(3, 1);
    struct journal_position attempted = at(5, 2);
    struct journal_position other_sum = at(5, 9);
    struct journal_position elsewhere = at(8, 3);
    cr_assert_eq(recover_commit(&attempted, &previous, &attempted), RECOVER_COMMITTED);
    cr_assert_eq(recover_commit(&previous, &previous, &attempted), RECOVER_NOT_COMMITTED);
    cr_assert_eq(recover_commit(&other_sum, &previous, &attempted), RECOVER_ELSEWHERE);
    cr_assert_eq(recover_commit(&elsewhere, &previous, &attempted), RECOVER_ELSEWHERE);
}
