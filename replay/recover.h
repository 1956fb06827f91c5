/* replay/recover.h: what the ledger's position L and the journal's done mark D say
 * together. Pure; DESIGN's paragraph "On every connect" as a table.
 */
#ifndef HOLDFAST_REPLAY_RECOVER_H
#define HOLDFAST_REPLAY_RECOVER_H

#include "journal/journal.h"

enum recover_action {
    RECOVER_GO_ON,       /* L = D */
    RECOVER_TAKE_LEDGER, /* L > D: a commit whose mark was lost */
    RECOVER_REWIND,      /* L < D: the database went back; D is set to L first */
    RECOVER_OTHER,       /* the journal holds something else at L: it was restored or
                          * copied, or is older than the database */
    RECOVER_LOST,        /* L is not D and not retained, so nothing can be compared */
};

/* `ledger` seq 0: no row, or nothing applied. `known`: what journal_check_position said
 * of L (ERR_OK, ERR_IDENTITY, ERR_GAP). */
enum recover_action recover_decide(const struct journal_position *ledger,
                                   const struct journal_position *done, int known);

/* What became of a COMMIT that was never answered. */
enum recover_fate {
    RECOVER_COMMITTED,
    RECOVER_NOT_COMMITTED,
    RECOVER_ELSEWHERE, /* the ledger shows neither: recover_decide tells */
};

enum recover_fate recover_commit(const struct journal_position *ledger,
                                 const struct journal_position *previous,
                                 const struct journal_position *attempted);

#endif
