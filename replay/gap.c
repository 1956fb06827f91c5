#include "replay/gap.h"

#include <stdio.h>

enum { NAME_LEN = JOURNAL_STREAM_MAX + 24, VALUE_LEN = 64 + 2 * JOURNAL_SUM_LEN };

static void name_setting(const struct ledger_lane *lane, char out[NAME_LEN])
{
    snprintf(out, NAME_LEN, "gap/%s/%u", lane->stream, lane->lane);
}

static void write_value(const struct ledger_row *row, const struct journal_position *to,
                        char out[VALUE_LEN])
{
    int len =
        snprintf(out, VALUE_LEN, "%llu-%llu ", (unsigned long long)row->position.seq,
                 (unsigned long long)to->seq);
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        len += snprintf(out + len, VALUE_LEN - (size_t)len, "%02x", to->sum[i]);
    }
}

int gap_find(struct journal *journal, const struct ledger_lane *lane,
             const struct ledger_row *row, struct journal_gap *out_gap, struct err *err)
{
    struct journal_gap gap = {.after_seq = row->position.seq,
                              .after_counts = {row->records, row->retried}};
    int code = journal_gap_find(journal, lane->stream, lane->lane, &gap, err);
    if (code == ERR_OK) {
        *out_gap = gap;
    }
    return code;
}

int gap_accept(struct journal *journal, const struct ledger_lane *lane,
               const struct ledger_row *row, const struct journal_position *to,
               struct err *err)
{
    struct journal_gap gap;
    char name[NAME_LEN];
    char value[VALUE_LEN];
    int code = gap_find(journal, lane, row, &gap, err);
    if (code != ERR_OK) {
        return code;
    }
    if (to->seq != gap.to.seq || memcmp(to->sum, gap.to.sum, sizeof to->sum) != 0) {
        return err_set(err, ERR_INVALID, 0,
                       "the gap of stream %s lane %u ends at entry %llu, not %llu: look "
                       "at it again",
                       lane->stream, lane->lane, (unsigned long long)gap.to.seq,
                       (unsigned long long)to->seq);
    }
    name_setting(lane, name);
    write_value(row, to, value);
    return journal_setting_put(journal, name, value, err);
}

int gap_is_accepted(struct journal *journal, const struct ledger_lane *lane,
                    const struct ledger_row *row, struct journal_gap *out_gap,
                    struct err *err)
{
    char name[NAME_LEN];
    char value[VALUE_LEN];
    struct buf said = {0};
    name_setting(lane, name);
    int code = journal_setting_get(journal, name, &said, err);
    struct journal_gap gap;
    code = code ? code : gap_find(journal, lane, row, &gap, err);
    if (code == ERR_OK) {
        write_value(row, &gap.to, value);
        bool same = slice_is(buf_slice(&said), value);
        code = same ? ERR_OK
                    : err_set(err, ERR_NOT_FOUND, 0, "another gap was accepted before");
    }
    buf_free(&said);
    if (code == ERR_OK) {
        *out_gap = gap;
    }
    return code;
}
