/* replay/lane_gap.c: the transaction that passes over an accepted gap. */
#include "replay/gap.h"
#include "replay/lane.h"

#include <stdio.h>

static void tell_passed(struct lane *lane, const struct journal_gap *gap,
                        uint64_t given_up)
{
    struct err note = {0};
    snprintf(
        note.message, sizeof note.message,
        "entries %llu to %llu are passed over, as an operator accepted: %llu records "
        "are given up",
        (unsigned long long)gap->first_seq, (unsigned long long)gap->to.seq,
        (unsigned long long)given_up);
    lane_tell(lane, "gap_passed", &note);
}

int lane_pass_gap(struct lane *lane, struct sink *sink, const struct ledger_row *row,
                  struct err *err)
{
    struct journal_gap gap;
    int code = gap_is_accepted(lane_config(lane)->journal, &lane->id, row, &gap, err);
    if (code != ERR_OK) {
        return code;
    }
    struct apply_request request = {
        .stream = lane->stream,
        .lane = lane->id,
        .previous = row,
        .last = gap.to,
        .last_records = gap.to_counts.running,
        .last_retried = gap.to_counts.retried,
        .given_up = gap.records - gap.dead_letters,
        .statement_rows_max = lane->plan.statement_rows,
    };
    struct apply_result result = {0};
    code = sink->ops->apply(sink, &request, &result, NULL, err);
    if (code == ERR_UNKNOWN) {
        lane->unknown = true;
        lane->attempted = request.last;
    }
    if (code == ERR_OK) {
        tell_passed(lane, &gap, request.given_up);
        lane_forget_ledger(lane);
    }
    return code;
}
