#include "replay/recover.h"

enum recover_action recover_decide(const struct journal_position *ledger,
                                   const struct journal_position *done, int known)
{
    if (ledger->seq == done->seq) {
        bool same =
            ledger->seq == 0 || memcmp(ledger->sum, done->sum, sizeof done->sum) == 0;
        return same ? RECOVER_GO_ON : RECOVER_OTHER;
    }
    if (known == ERR_IDENTITY) {
        return RECOVER_OTHER;
    }
    if (ledger->seq > done->seq) {
        return known == ERR_OK ? RECOVER_TAKE_LEDGER : RECOVER_OTHER;
    }
    return known == ERR_OK ? RECOVER_REWIND : RECOVER_LOST;
}
