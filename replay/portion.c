#include "replay/portion.h"

enum { ENTRIES_MAX = 65536 };

static void cut_at_end(const struct portion_wish *wish, struct journal_entries *entries)
{
    uint64_t end = layout_change_after(wish->layout, entries->items[0].seq);
    if (wish->to_seq && wish->to_seq < end) {
        end = wish->to_seq + 1;
    }
    while (entries->count && entries->items[entries->count - 1].seq >= end) {
        entries->count--;
    }
}

int portion_make(const struct portion_wish *wish, struct portion *out_portion,
                 struct err *err)
{
    struct journal_read_limits limits = {
        .bytes_max = wish->bytes_max,
        .records_max = wish->records_max,
        .entries_max = wish->records_max < ENTRIES_MAX ? wish->records_max : ENTRIES_MAX,
    };
    struct portion made = {0};
    int code = journal_read_lane(wish->journal, wish->stream->name, wish->lane,
                                 wish->after.seq, &limits, &made.entries, err);
    if (code == ERR_OK && made.entries.count) {
        cut_at_end(wish, &made.entries);
    }
    if (code == ERR_OK && made.entries.count) {
        code = decode_entries(wish->journal, wish->stream, &made.entries, &made.decoded,
                              err);
        code = code ? code
                    : fold_new(wish->stream, made.decoded.records, made.decoded.count,
                               &made.fold, err);
    }
    if (code != ERR_OK) {
        portion_free(&made);
        return code == ERR_CORRUPT
                   ? err_wrap(err, "the journal is damaged, stop the engine and see "
                                   "`holdfast journal verify` and `journal repair`")
                   : code;
    }
    *out_portion = made;
    return ERR_OK;
}

void portion_free(struct portion *portion)
{
    fold_free(&portion->fold);
    decode_free(&portion->decoded);
    journal_entries_free(&portion->entries);
}

bool portion_wish_equal(const struct portion_wish *a, const struct portion_wish *b)
{
    return a->journal == b->journal && a->stream == b->stream && a->lane == b->lane &&
           a->after.seq == b->after.seq && a->to_seq == b->to_seq &&
           memcmp(a->after.sum, b->after.sum, sizeof a->after.sum) == 0 &&
           a->bytes_max == b->bytes_max && a->records_max == b->records_max;
}
