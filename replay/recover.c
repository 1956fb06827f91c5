#include "replay/recover.h"

static bool is_same(const struct journal_position *a, const struct journal_position *b)
{
    return a->seq == b->seq && memcmp(a->sum, b->sum, sizeof a->sum) == 0;
}

enum recover_action recover_decide(const struct journal_position *ledger,
                                   const struct journal_position *done, int known)
{
    if (ledger->seq == done->seq) {
        bool same = ledger->seq == 0 || is_same(ledger, done);
        return same ? RECOVER_GO_ON : RECOVER_OTHER;
    }
    if (known != ERR_OK) {
        return known == ERR_IDENTITY ? RECOVER_OTHER : RECOVER_LOST;
    }
    return ledger->seq > done->seq ? RECOVER_TAKE_LEDGER : RECOVER_REWIND;
}

enum recover_fate recover_commit(const struct journal_position *ledger,
                                 const struct journal_position *previous,
                                 const struct journal_position *attempted)
{
    if (is_same(ledger, attempted)) {
        return RECOVER_COMMITTED;
    }
    return is_same(ledger, previous) ? RECOVER_NOT_COMMITTED : RECOVER_ELSEWHERE;
}
