/* replay/lane_apply.c: one transaction: read, decode, leave out, apply, mark done. Dead
 * letters are written durably before the commit that leaves them out, copies of conflicts
 * before the commit that counts them.
 */
#include "replay/bisect.h"
#include "replay/bury.h"
#include "replay/lane.h"

#include <stdio.h>
#include <stdlib.h>

enum { HOLD_US = 20000 };

/* What is being applied. */
struct run {
    struct lane *lane;
    struct portion portion;
    uint32_t in_a_row; /* dead letters in a row before it */
};

/* ---- Dead letters ---------------------------------------------------------------- */

static struct bury bury_for(const struct run *run)
{
    return (struct bury){
        .journal = lane_config(run->lane)->journal,
        .stream = run->lane->stream,
        .entries = &run->portion.entries,
        .at_us = clock_wall_us(lane_config(run->lane)->clock),
        .add = journal_dead_letters_add,
    };
}

static void tell_dead(struct lane *lane, const struct burial *burial)
{
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.dead_letters++;
    pthread_mutex_unlock(&lane->shared->lock);
    struct err what = {.code = ERR_DATA};
    snprintf(what.message, sizeof what.message, "entry %llu record %u: %s: %s",
             (unsigned long long)burial->seq, burial->index, burial->reason,
             burial->detail);
    lane_tell(lane, "dead_letter", &what);
}

static int bury_dead(const struct run *run, const struct burial *burials, size_t count,
                     struct err *err)
{
    struct bury how = bury_for(run);
    int code = bury(&how, burials, count, err);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        tell_dead(run->lane, &burials[i]);
    }
    return code;
}

static bool takes_all_dead(struct lane *lane)
{
    pthread_mutex_lock(&lane->shared->lock);
    bool accepted = lane->dead_accepted;
    pthread_mutex_unlock(&lane->shared->lock);
    return accepted;
}

static int refuse_dead(const struct lane *lane, const char *last, struct err *err)
{
    return err_set(
        err, ERR_SCHEMA, 0,
        "%u records in a row can't be applied, which looks like a changed table "
        "rather than bad records: mend the table, or make them dead letters with "
        "'holdfast deadletter accept --stream %s --lane %u'; the last: %.300s",
        lane_config(lane)->dead_in_a_row_max, lane->stream_name, lane->id.lane, last);
}

static bool is_before(const struct apply_record *record, const struct decoded_reject *at)
{
    return record->seq < at->seq || (record->seq == at->seq && record->index < at->index);
}

/* How many records can't be applied in a row at the end of the run, where those before it
 * were `in_a_row`; *out_most: the most that there were anywhere. `bad`: in order. */
static uint32_t count_in_a_row(const struct run *run, const struct bisect_bad *bad,
                               size_t bad_count, uint32_t *out_most)
{
    const struct decoded *decoded = &run->portion.decoded;
    uint32_t in_a_row = run->in_a_row;
    size_t record = 0;
    size_t reject = 0;
    size_t found = 0;
    *out_most = 0;
    while (record < decoded->count || reject < decoded->reject_count) {
        const struct apply_record *next = &decoded->records[record];
        bool readable =
            reject == decoded->reject_count ||
            (record < decoded->count && is_before(next, &decoded->rejects[reject]));
        bool passes = readable && !(found < bad_count && bad[found].record == next);
        record += readable;
        reject += !readable;
        found += readable && !passes;
        in_a_row = passes ? 0 : in_a_row + 1;
        *out_most = in_a_row > *out_most ? in_a_row : *out_most;
    }
    return in_a_row;
}

static bool is_behind_dead(const struct lane *lane, uint64_t seq, uint32_t index)
{
    return seq > lane->dead_seq || (seq == lane->dead_seq && index > lane->dead_index);
}

/* The last ones of a run. */
static void note_dead(struct lane *lane, uint32_t in_a_row, uint64_t seq, uint32_t index)
{
    lane->dead_in_a_row = in_a_row;
    if (is_behind_dead(lane, seq, index)) {
        lane->dead_seq = seq;
        lane->dead_index = index;
    }
}

/* Rows that can't be read under today's configuration. */
static int bury_rejects(struct run *run, struct err *err)
{
    struct lane *lane = run->lane;
    const struct decoded *decoded = &run->portion.decoded;
    size_t count = decoded->reject_count;
    if (count == 0) {
        return ERR_OK;
    }
    uint32_t most = 0;
    uint32_t in_a_row = count_in_a_row(run, NULL, 0, &most);
    if (most >= lane_config(lane)->dead_in_a_row_max && !takes_all_dead(lane)) {
        lane->dead_in_a_row = most;
        return refuse_dead(lane, decoded->rejects[count - 1].reject.detail, err);
    }
    struct burial *burials = calloc(count, sizeof *burials);
    if (!burials) {
        return err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    for (size_t i = 0; i < count; i++) {
        const struct decoded_reject *found = &decoded->rejects[i];
        burials[i] = (struct burial){found->seq, found->index, found->reject.reason,
                                     found->reject.field, found->reject.detail};
    }
    int code = bury_dead(run, burials, count, err);
    free(burials);
    if (code == ERR_OK) {
        const struct decoded_reject *last = &decoded->rejects[count - 1];
        note_dead(lane, in_a_row, last->seq, last->index);
    }
    return code;
}

static int bury_bad(struct run *run, const struct bisect *found, struct err *err)
{
    struct lane *lane = run->lane;
    const struct apply_record *first = found->bad[0].record;
    if (lane->buried_seq == first->seq && lane->buried_index == first->index) {
        /* else this would go on for ever */
        return err_set(err, ERR_INTERNAL, 0,
                       "entry %llu record %u has a dead letter, but was not left out",
                       (unsigned long long)first->seq, first->index);
    }
    struct burial *burials = calloc(found->bad_count, sizeof *burials);
    if (!burials) {
        return err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    for (size_t i = 0; i < found->bad_count; i++) {
        const struct bisect_bad *bad = &found->bad[i];
        burials[i] = (struct burial){bad->record->seq, bad->record->index, "database", "",
                                     bad->message};
    }
    int code = bury_dead(run, burials, found->bad_count, err);
    free(burials);
    if (code == ERR_OK) {
        const struct apply_record *last = found->bad[found->bad_count - 1].record;
        uint32_t most;
        uint32_t in_a_row = count_in_a_row(run, found->bad, found->bad_count, &most);
        note_dead(lane, in_a_row, last->seq, last->index);
        lane->buried_seq = first->seq;
        lane->buried_index = first->index;
    }
    return code;
}

/* No record is at fault alone: fewer may pass; a single entry is not tried for ever. */
static int refuse_together(const struct run *run, const struct err *refusal,
                           struct err *err)
{
    return err_set(err, run->portion.entries.count > 1 ? ERR_RESOURCE : ERR_MISS,
                   refusal->sys,
                   "the database refuses the records together, but none of them alone: "
                   "%s",
                   refusal->message);
}

/* The database refused a value somewhere in the run. ERR_OK: what it refuses has dead
 * letters now, and the rest can be applied. */
static int bury_refused(struct run *run, struct sink *sink,
                        const struct apply_request *request, struct err *err)
{
    struct lane *lane = run->lane;
    struct err refusal = *err;
    struct bisect bisect = {
        .sink = sink,
        .request = *request,
        .in_a_row = run->in_a_row,
        .in_a_row_max = takes_all_dead(lane) ? 0 : lane_config(lane)->dead_in_a_row_max,
    };
    int code = bisect_find(&bisect, err);
    if (bisect.gave_up) {
        lane->dead_in_a_row = bisect.in_a_row;
        char last[ERR_MESSAGE_MAX];
        memcpy(last, err->message, sizeof last);
        code = refuse_dead(lane, last, err);
    } else if (code == ERR_OK && bisect.bad_count == 0) {
        code = refuse_together(run, &refusal, err);
    } else if (code == ERR_OK) {
        code = bury_bad(run, &bisect, err);
    }
    free(bisect.bad);
    return code;
}

static int bury_conflicts(void *context, const uint8_t *fates, struct err *err)
{
    const struct run *run = context;
    const struct decoded *decoded = &run->portion.decoded;
    struct burial *burials = calloc(decoded->count + 1, sizeof *burials);
    if (!burials) {
        return err_set(err, ERR_NOMEM, 0, "no memory for copies of conflicts");
    }
    size_t count = 0;
    for (size_t i = 0; i < decoded->count; i++) {
        if (fates[i] == FATE_CONFLICT) {
            burials[count++] = (struct burial){
                decoded->records[i].seq, decoded->records[i].index, "conflict", "",
                "an event with this key and other content was there"};
        }
    }
    struct bury how = bury_for(run);
    how.add = journal_conflicts_add;
    int code = bury(&how, burials, count, err);
    free(burials);
    return code;
}

/* ---- What is next ------------------------------------------------------------------ */

static struct portion_wish wish_for(const struct lane *lane,
                                    const struct journal_position *after, size_t records)
{
    const struct replay_config *config = lane_config(lane);
    if (config->rows_per_second_max && records > config->rows_per_second_max) {
        records = (size_t)config->rows_per_second_max;
    }
    return (struct portion_wish){
        .journal = config->journal,
        .stream = lane->stream,
        .layout = &lane->layout,
        .lane = lane->id.lane,
        .after = *after,
        .bytes_max = config->transaction_bytes_max,
        .records_max = records,
    };
}

/* Only where a whole transaction waits behind this one: else what comes meanwhile would
 * have to go into one of its own. */
static bool has_backlog(const struct run *run, const struct portion_wish *next)
{
    const struct journal_entries *entries = &run->portion.entries;
    struct journal_lane known;
    struct err err = {0};
    int code =
        journal_lane_get(next->journal, next->stream->name, next->lane, &known, &err);
    return code == ERR_OK && known.running - entries->items[entries->count - 1].running >=
                                 next->records_max;
}

/* Begins what this lane will want next if the transaction in hand succeeds. */
static void work_ahead(const struct run *run, struct ahead *ahead)
{
    const struct lane *lane = run->lane;
    const struct journal_entries *entries = &run->portion.entries;
    const struct journal_entry *last = &entries->items[entries->count - 1];
    struct journal_position after = {.seq = last->seq};
    memcpy(after.sum, last->sum, sizeof after.sum);
    struct plan plan = lane->plan;
    plan_succeeded(&plan);
    struct portion_wish next = wish_for(lane, &after, plan.records);
    if (has_backlog(run, &next)) {
        ahead_ask(ahead, &next);
    }
}

/* ---- Applying -------------------------------------------------------------------- */

static struct apply_request request_of(struct run *run)
{
    struct lane *lane = run->lane;
    const struct journal_entry *last =
        &run->portion.entries.items[run->portion.entries.count - 1];
    struct apply_request request = {
        .stream = lane->stream,
        .lane = lane->id,
        .previous = &lane->ledger,
        .last = {.seq = last->seq},
        .last_records = last->running,
        .last_retried = last->retried,
        .records = run->portion.decoded.records,
        .record_count = run->portion.decoded.count,
        .fold = &run->portion.fold,
        .statement_rows_max = lane->plan.statement_rows,
        .validate = lane_config(lane)->validate,
    };
    memcpy(request.last.sum, last->sum, sizeof request.last.sum);
    if (lane->stream->on_conflict == CONFLICT_KEEP) {
        request.before_commit = bury_conflicts;
        request.before_commit_context = run;
    }
    return request;
}

static void begin_transaction(struct run *run)
{
    struct lane *lane = run->lane;
    const struct journal_entries *entries = &run->portion.entries;
    lane->in_hand = 0;
    for (size_t i = 0; i < entries->count; i++) {
        lane->in_hand += entries->items[i].records;
    }
    size_t count = run->portion.decoded.count;
    const struct apply_record *last =
        count ? &run->portion.decoded.records[count - 1] : NULL;
    lane->ends_well = last && is_behind_dead(lane, last->seq, last->index);
    if (!lane->stopped) {
        lane_publish(lane, LANE_APPLYING, NULL);
    }
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.first_seq = entries->items[0].seq;
    lane->status.last_seq = entries->items[entries->count - 1].seq;
    lane->status.records = run->portion.decoded.count;
    pthread_mutex_unlock(&lane->shared->lock);
    lane_tell(lane, "transaction_begun", NULL);
}

static void count_times(const struct run *run, int64_t took_us)
{
    struct lane *lane = run->lane;
    const struct journal_entries *entries = &run->portion.entries;
    int64_t now_us = clock_wall_us(lane_config(lane)->clock);
    int64_t oldest_us = now_us;
    for (size_t i = 0; i < entries->count; i++) {
        int64_t at_us = entries->items[i].received_at_us;
        oldest_us = at_us < oldest_us ? at_us : oldest_us;
    }
    pthread_mutex_lock(&lane->shared->lock);
    histogram_add(&lane->status.counts.apply_times, took_us);
    histogram_add(&lane->status.counts.lags, now_us - oldest_us);
    pthread_mutex_unlock(&lane->shared->lock);
}

static int succeed(struct run *run, const struct apply_result *result, int64_t took_us,
                   struct err *err)
{
    struct lane *lane = run->lane;
    lane->ledger = result->row;
    lane_count(lane, result->totals);
    count_times(run, took_us);
    lane_tell(lane, "transaction_done", NULL);
    /* Its first entry may have come after the comparison. */
    lane_confirm(lane);
    return lane_mark_done(lane, &result->row, err);
}

static int apply(struct run *run, struct lane_link *link, struct err *err)
{
    struct lane *lane = run->lane;
    struct sink *sink = link->sink;
    int code = bury_rejects(run, err);
    if (code != ERR_OK) {
        return code;
    }
    struct apply_request request = request_of(run);
    struct apply_result result = {0};
    begin_transaction(run);
    work_ahead(run, link->ahead);
    int64_t begun_us = lane_now_us(lane);
    code = sink->ops->apply(sink, &request, &result, NULL, err);
    if (code == ERR_OK) {
        return succeed(run, &result, lane_now_us(lane) - begun_us, err);
    }
    if (code == ERR_UNKNOWN) {
        lane->unknown = true;
        lane->attempted = request.last;
        lane_tell(lane, "commit_unknown", err);
    }
    return code == ERR_DATA ? bury_refused(run, sink, &request, err) : code;
}

/* Whether the run must wait for older entries in other lanes; see replay/layout.h. */
static int is_held(struct run *run, bool *out_held, struct err *err)
{
    struct lane *lane = run->lane;
    uint64_t change =
        layout_change_before(&lane->layout, run->portion.entries.items[0].seq);
    bool settled = true;
    int code = ERR_OK;
    if (change) {
        code = layout_is_settled(lane_config(lane)->journal, lane->stream_name, change,
                                 &settled, err);
    }
    *out_held = !settled;
    return code;
}

/* What was made ahead, unless a record of it has a dead letter since. */
static int take_ahead(struct ahead *ahead, const struct portion_wish *wish,
                      struct portion *out_portion, bool *out_taken, struct err *err)
{
    struct portion portion;
    bool current = false;
    *out_taken = false;
    if (!ahead_take(ahead, wish, &portion)) {
        return ERR_OK;
    }
    int code = decode_is_current(wish->journal, &portion.entries, &portion.decoded,
                                 &current, err);
    if (code != ERR_OK || !current) {
        portion_free(&portion);
        return code;
    }
    *out_portion = portion;
    *out_taken = true;
    return ERR_OK;
}

/* The next run of entries; none: its count is 0. */
static int read_run(struct lane *lane, struct ahead *ahead, struct run *run,
                    struct err *err)
{
    struct portion_wish wish = wish_for(lane, &lane->ledger.position, lane->plan.records);
    bool taken;
    *run = (struct run){.lane = lane, .in_a_row = lane->dead_in_a_row};
    int code = take_ahead(ahead, &wish, &run->portion, &taken, err);
    return code || taken ? code : portion_make(&wish, &run->portion, err);
}

/* What is gone is passed over if that was accepted; else `err` stays as it is. */
static int pass_gap(struct lane *lane, struct sink *sink, struct err *err)
{
    struct err gap = *err;
    int code = lane_pass_gap(lane, sink, &lane->ledger, err);
    if (code == ERR_NOT_FOUND) {
        *err = gap;
        return ERR_GAP;
    }
    return code;
}

int lane_apply(struct lane *lane, struct lane_link *link, struct err *err)
{
    struct run run;
    int code = read_run(lane, link->ahead, &run, err);
    if (code == ERR_GAP) {
        return pass_gap(lane, link->sink, err);
    }
    if (code != ERR_OK || run.portion.entries.count == 0) {
        return code;
    }
    bool held = false;
    code = is_held(&run, &held, err);
    if (held) {
        lane->next_try_us = lane_now_us(lane) + HOLD_US;
    } else if (code == ERR_OK) {
        code = apply(&run, link, err);
    }
    portion_free(&run.portion);
    return code;
}
