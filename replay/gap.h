/* replay/gap.h: passing over entries that are no longer there, once an operator has said
 * so. Not a door; see replay_gap_* in replay/replay.h.
 *
 * An acceptance is a setting of the journal that names the lane's ledger position and the
 * last entry of the gap with its sum. It is good for just that gap: the lane moves its
 * ledger row over it in a transaction of its own, which counts the records as given up.
 * Where the database goes back over it again, the same acceptance is good again.
 */
#ifndef HOLDFAST_REPLAY_GAP_H
#define HOLDFAST_REPLAY_GAP_H

#include "replay/ledger.h"
#include "replay/sink.h"

/* The gap behind the lane's ledger row, which `row` is. As journal_gap_find. */
int gap_find(struct journal *journal, const struct ledger_lane *lane,
             const struct ledger_row *row, struct journal_gap *out_gap, struct err *err);

/* Remembers, durably, that the gap behind `row` may be passed, if it ends at `to`.
 * ERR_INVALID: it doesn't. Else as gap_find and journal_setting_put. */
int gap_accept(struct journal *journal, const struct ledger_lane *lane,
               const struct ledger_row *row, const struct journal_position *to,
               struct err *err);

/* ERR_OK: the gap behind `row` was accepted. ERR_NOT_FOUND: it was not. Else as gap_find
 * and journal_setting_get. */
int gap_is_accepted(struct journal *journal, const struct ledger_lane *lane,
                    const struct ledger_row *row, struct journal_gap *out_gap,
                    struct err *err);

#endif
