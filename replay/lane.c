/* replay/lane.c
 *
 * Happy path. The lane is compared with its ledger row once a connection, and confirmed
 * (only then may its applied entries expire). Then, as long as the journal has entries
 * after the ledger's position: read a run of them, decode, leave out what has a dead
 * letter, apply them in one transaction that first moves the ledger row from the known
 * position to the run's last entry, and mark the run done.
 *
 * What can go wrong, and what is done:
 *   a passing fault          wait (backoff), try the same again, from the second failure
 * on in halves no answer to COMMIT      reconnect; the ledger shows whether it happened
 *   the ledger is elsewhere  compare again; what does not belong together stops the lane
 *   a value is refused       find the records by trial transactions, write their dead
 *                            letters durably, and apply the rest
 *   a gate is missed         once more; then the lane stops
 *   all else                 the lane stops with the reason, and tries again slowly
 */
#include "replay/lane.h"

#include "replay/backoff.h"
#include "replay/bisect.h"
#include "replay/decode.h"
#include "replay/recover.h"

#include <stdio.h>
#include <stdlib.h>

enum { MISSES_MAX = 2, ENTRIES_MAX = 4096 };

static const struct replay_config *config_of(const struct lane *lane)
{
    return &lane->shared->config;
}

static int64_t now_us(const struct lane *lane)
{
    return clock_steady_us(config_of(lane)->clock);
}

/* ---- Status and events ------------------------------------------------------------- */

void lane_init(struct lane *lane, struct lane_shared *shared, const char *name,
               const struct stream *stream, uint32_t number)
{
    *lane = (struct lane){.shared = shared, .stream = stream};
    snprintf(lane->stream_name, sizeof lane->stream_name, "%s", name);
    lane->id = (struct ledger_lane){shared->journal_id, lane->stream_name, number};
    plan_init(&lane->plan, shared->config.transaction_records_max,
              shared->config.statement_rows_max);
    snprintf(lane->status.stream, sizeof lane->status.stream, "%s", name);
    lane->status.lane = number;
    lane->status.state = stream ? LANE_STARTING : LANE_ORPHANED;
}

static void tell(struct lane *lane, const char *event, const struct err *err)
{
    static const struct err none;
    const struct replay_observer *observer = &config_of(lane)->observer;
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_status status = lane->status;
    pthread_mutex_unlock(&lane->shared->lock);
    observer->event(observer->context, event, &status, err ? err : &none);
}

/* Publishes the state; a stop that begins, changes its reason or ends is an event. */
static void set_state(struct lane *lane, enum lane_state state, const struct err *why)
{
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_status *status = &lane->status;
    enum lane_state before = status->state;
    bool same_reason = why && strcmp(status->reason.message, why->message) == 0;
    status->state = state;
    status->reason = why ? *why : (struct err){0};
    status->failures = lane->plan.failures;
    status->next_try_us = lane->next_try_us;
    status->ledger = lane->ledger;
    status->transaction_records_max = lane->plan.records;
    status->dead_in_a_row = lane->dead_in_a_row;
    pthread_mutex_unlock(&lane->shared->lock);
    if (state == LANE_STOPPED && !(before == LANE_STOPPED && same_reason)) {
        tell(lane, "lane_stopped", why);
    } else if (before == LANE_STOPPED && state == LANE_IDLE) {
        tell(lane, "lane_resumed", NULL);
    }
}

static void count_retry(struct lane *lane, enum retry_class class)
{
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.retries[class]++;
    pthread_mutex_unlock(&lane->shared->lock);
}

void lane_set_paused(struct lane *lane, bool paused)
{
    pthread_mutex_lock(&lane->shared->lock);
    enum lane_state state = lane->status.state;
    if (state != LANE_ORPHANED && paused) {
        lane->status.state = LANE_PAUSED;
    } else if (state == LANE_PAUSED) {
        lane->status.state = lane->compared ? LANE_IDLE : LANE_STARTING;
    }
    pthread_mutex_unlock(&lane->shared->lock);
}

void lane_wait(struct lane *lane, const struct err *why, int64_t next_try_us)
{
    lane->next_try_us = next_try_us;
    if (lane->status.state != LANE_STOPPED) {
        set_state(lane, LANE_WAITING, why);
    }
}

/* ---- Failures ---------------------------------------------------------------------- */

static uint64_t jitter(const struct lane *lane)
{
    return (uint64_t)now_us(lane) * 0x9e3779b97f4a7c15u >> 16;
}

static void back_off(struct lane *lane, enum retry_class class, const struct err *err)
{
    const struct replay_config *config = config_of(lane);
    plan_failed(&lane->plan);
    count_retry(lane, class);
    lane->next_try_us =
        now_us(lane) + backoff_us(lane->plan.failures, config->backoff_min_us,
                                  config->backoff_max_us, jitter(lane));
    set_state(lane, LANE_WAITING, err);
    tell(lane, "retry", err);
}

static void stop(struct lane *lane, const struct err *err)
{
    plan_failed(&lane->plan);
    lane->next_try_us = now_us(lane) + config_of(lane)->stopped_retry_us;
    lane->compared = false;
    set_state(lane, LANE_STOPPED, err);
}

/* Every error but ERR_DATA and ERR_IDENTITY of apply ends here; base/err.h's classes
 * decide but where this path knows better. */
static void fail(struct lane *lane, const struct err *err)
{
    lane->misses = err->code == ERR_MISS ? lane->misses + 1 : 0;
    if (err->code == ERR_MISS && lane->misses >= MISSES_MAX) {
        lane->misses = 0;
        stop(lane, err);
    } else if (err->code == ERR_UNKNOWN) {
        back_off(lane, RETRY_UNKNOWN, err);
    } else if (err->code == ERR_MISS) {
        back_off(lane, RETRY_MISS, err);
    } else if (err->code == ERR_RESOURCE) {
        back_off(lane, RETRY_RESOURCE, err);
    } else if (err->code != ERR_FULL && err_class(err->code) == ERR_CLASS_RETRY) {
        back_off(lane, RETRY_TRANSIENT, err);
    } else {
        stop(lane, err);
    }
}

/* ---- Comparing with the ledger -------------------------------------------------------
 */

void lane_disconnected(struct lane *lane)
{
    lane->compared = false;
    journal_confirm(config_of(lane)->journal, lane->stream_name, lane->id.lane, false);
}

static bool is_at(const struct ledger_row *row, const struct journal_position *position)
{
    return row->position.seq == position->seq &&
           memcmp(row->position.sum, position->sum, JOURNAL_SUM_LEN) == 0;
}

/* A COMMIT whose answer never came: the ledger has the answer. */
static void resolve_unknown(struct lane *lane, const struct ledger_row *row)
{
    if (!lane->unknown) {
        return;
    }
    bool committed = is_at(row, &lane->attempted);
    lane->unknown = false;
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.ambiguous_committed += committed;
    lane->status.counts.ambiguous_lost += !committed;
    pthread_mutex_unlock(&lane->shared->lock);
    struct err outcome = {0};
    snprintf(outcome.message, sizeof outcome.message, "%s",
             committed ? "committed" : "not committed");
    tell(lane, "commit_resolved", &outcome);
}

static int refuse_other(const struct lane *lane, const struct ledger_row *row,
                        const struct journal_position *done, struct err *err)
{
    return err_set(
        err, ERR_IDENTITY, 0,
        "the ledger of stream %s lane %u is at entry %llu and the journal's done "
        "mark at %llu, but their checksums don't belong together: this journal "
        "was restored or copied, or the database is newer. Nothing is applied; "
        "bring back the right journal, or give this one a new identity with "
        "'holdfast journal adopt'",
        lane->stream_name, lane->id.lane, (unsigned long long)row->position.seq,
        (unsigned long long)done->seq);
}

static int refuse_lost(const struct lane *lane, const struct ledger_row *row,
                       const struct journal_position *done, struct err *err)
{
    return err_set(
        err, ERR_GAP, 0,
        "the database of stream %s lane %u went back to entry %llu, and entries "
        "%llu to %llu are not all retained any more; restore a newer database, "
        "or accept the gap",
        lane->stream_name, lane->id.lane, (unsigned long long)row->position.seq,
        (unsigned long long)row->position.seq + 1, (unsigned long long)done->seq);
}

static int rewind_to(struct lane *lane, const struct ledger_row *row, struct err *err)
{
    int code = journal_rewind(config_of(lane)->journal, lane->stream_name, lane->id.lane,
                              &row->position, err);
    if (code == ERR_OK) {
        pthread_mutex_lock(&lane->shared->lock);
        lane->status.counts.rewinds++;
        pthread_mutex_unlock(&lane->shared->lock);
        tell(lane, "rewound", NULL);
    }
    return code;
}

static int take_ledger(struct lane *lane, const struct ledger_row *row, struct err *err)
{
    return journal_mark_done(config_of(lane)->journal, lane->stream_name, lane->id.lane,
                             &row->position, err);
}

/* The done mark and the ledger's position, made to agree or refused. */
static int reconcile(struct lane *lane, const struct ledger_row *row, struct err *err)
{
    struct journal *journal = config_of(lane)->journal;
    struct journal_lane known = {0};
    int code = journal_lane_get(journal, lane->stream_name, lane->id.lane, &known, err);
    if (code != ERR_OK && code != ERR_NOT_FOUND) {
        return code;
    }
    int checked = journal_check_position(journal, lane->stream_name, lane->id.lane,
                                         &row->position, err);
    if (checked != ERR_OK && checked != ERR_IDENTITY && checked != ERR_GAP) {
        return checked;
    }
    switch (recover_decide(&row->position, &known.done, checked)) {
    case RECOVER_GO_ON:
        return ERR_OK;
    case RECOVER_TAKE_LEDGER:
        return take_ledger(lane, row, err);
    case RECOVER_REWIND:
        return rewind_to(lane, row, err);
    case RECOVER_LOST:
        return refuse_lost(lane, row, &known.done, err);
    case RECOVER_OTHER:
        break;
    }
    return refuse_other(lane, row, &known.done, err);
}

static void note_sink(struct lane *lane, struct buf *notes)
{
    struct err note = {0};
    const char *text = buf_text(notes);
    snprintf(note.message, sizeof note.message, "%s", text ? text : "");
    pthread_mutex_lock(&lane->shared->lock);
    snprintf(lane->status.notes, sizeof lane->status.notes, "%.*s",
             (int)sizeof lane->status.notes - 1, note.message);
    pthread_mutex_unlock(&lane->shared->lock);
    if (notes->len) {
        tell(lane, "sink_note", &note);
    }
}

static int compare(struct lane *lane, struct sink *sink, struct err *err)
{
    struct buf notes = {0};
    int code = sink->ops->prepare(sink, lane->stream, &notes, err);
    if (code == ERR_OK) {
        note_sink(lane, &notes);
    }
    buf_free(&notes);
    struct ledger_row row = {0};
    if (code == ERR_OK) {
        code = sink->ops->position(sink, &lane->id, &row, err);
    }
    if (code != ERR_OK) {
        return code;
    }
    resolve_unknown(lane, &row);
    code = reconcile(lane, &row, err);
    if (code == ERR_OK) {
        lane->ledger = row;
        lane->compared = true;
        journal_confirm(config_of(lane)->journal, lane->stream_name, lane->id.lane, true);
    }
    return code;
}

/* ---- Dead letters --------------------------------------------------------------------
 */

static const struct journal_entry *entry_of(const struct journal_entries *entries,
                                            uint64_t seq)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i].seq == seq) {
            return &entries->items[i];
        }
    }
    return NULL;
}

struct burial {
    uint64_t seq;
    uint32_t index;
    const char *reason;
    const char *field;
    const char *detail;
};

/* Writes one dead letter, durably; a conflict's copy where `conflict`. */
static int bury(struct lane *lane, const struct journal_entries *entries,
                const struct burial *burial, bool conflict, struct err *err)
{
    struct buf bytes = {0};
    int code = decode_show(lane->stream, entry_of(entries, burial->seq), burial->index,
                           &bytes, err);
    struct journal_dead_letter letter = {
        .index = burial->index,
        .at_us = clock_wall_us(config_of(lane)->clock),
        .reason = burial->reason,
        .field = burial->field,
        .detail = burial->detail,
        .bytes = buf_slice(&bytes),
    };
    struct journal *journal = config_of(lane)->journal;
    if (code == ERR_OK && conflict) {
        code = journal_conflicts_add(journal, burial->seq, &letter, 1, err);
    } else if (code == ERR_OK) {
        code = journal_dead_letters_add(journal, burial->seq, &letter, 1, err);
    }
    buf_free(&bytes);
    return code;
}

static void count_dead(struct lane *lane, const struct burial *burial)
{
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.dead_letters++;
    pthread_mutex_unlock(&lane->shared->lock);
    struct err what = {.code = ERR_DATA};
    snprintf(what.message, sizeof what.message, "entry %llu record %u: %s: %s",
             (unsigned long long)burial->seq, burial->index, burial->reason,
             burial->detail);
    tell(lane, "dead_letter", &what);
}

static int bury_dead(struct lane *lane, const struct journal_entries *entries,
                     const struct burial *burial, struct err *err)
{
    int code = bury(lane, entries, burial, false, err);
    if (code == ERR_OK) {
        lane->dead_in_a_row++;
        count_dead(lane, burial);
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
        config_of(lane)->dead_in_a_row_max, lane->stream_name, lane->id.lane, last);
}

/* Rows that can't be read under today's configuration. */
static int bury_rejects(struct lane *lane, const struct journal_entries *entries,
                        const struct decoded *decoded, struct err *err)
{
    uint32_t max = config_of(lane)->dead_in_a_row_max;
    bool all = takes_all_dead(lane);
    for (size_t i = 0; i < decoded->reject_count; i++) {
        const struct decoded_reject *found = &decoded->rejects[i];
        if (!all && decoded->count == 0 && lane->dead_in_a_row + 1 >= max) {
            return refuse_dead(lane, found->reject.detail, err);
        }
        struct burial burial = {found->seq, found->index, found->reject.reason,
                                found->reject.field, found->reject.detail};
        if (bury_dead(lane, entries, &burial, err) != ERR_OK) {
            return err->code;
        }
    }
    return ERR_OK;
}

/* The database refused a value somewhere in the run. */
static int bury_refused(struct lane *lane, struct sink *sink,
                        const struct journal_entries *entries,
                        const struct apply_request *request, struct err *err)
{
    struct bisect bisect = {
        .sink = sink,
        .request = *request,
        .in_a_row = lane->dead_in_a_row,
        .in_a_row_max = takes_all_dead(lane) ? 0 : config_of(lane)->dead_in_a_row_max,
    };
    int code = bisect_find(&bisect, err);
    if (code == ERR_SCHEMA && bisect.in_a_row >= config_of(lane)->dead_in_a_row_max) {
        char last[ERR_MESSAGE_MAX];
        memcpy(last, err->message, sizeof last);
        code = refuse_dead(lane, last, err);
    }
    for (size_t i = 0; i < bisect.bad_count && code == ERR_OK; i++) {
        const struct bisect_bad *bad = &bisect.bad[i];
        struct burial burial = {bad->record->seq, bad->record->index, "database", "",
                                bad->message};
        code = bury_dead(lane, entries, &burial, err);
    }
    if (code == ERR_OK) {
        lane->dead_in_a_row = bisect.in_a_row;
    }
    free(bisect.bad);
    return code;
}

/* ---- Applying ------------------------------------------------------------------------
 */

struct run {
    struct lane *lane;
    struct journal_entries entries;
    struct decoded decoded;
};

/* Conflicts are kept before the commit that counts them, so that a crash can't lose them.
 */
static int keep_conflicts(void *context, const uint8_t *fates, struct err *err)
{
    struct run *run = context;
    for (size_t i = 0; i < run->decoded.count; i++) {
        const struct apply_record *record = &run->decoded.records[i];
        struct burial burial = {record->seq, record->index, "conflict", "",
                                "an event with this key and other content is there"};
        if (fates[i] == FATE_CONFLICT &&
            bury(run->lane, &run->entries, &burial, true, err) != ERR_OK) {
            return err->code;
        }
    }
    return ERR_OK;
}

static struct apply_request request_of(struct run *run)
{
    struct lane *lane = run->lane;
    const struct journal_entry *last = &run->entries.items[run->entries.count - 1];
    struct apply_request request = {
        .stream = lane->stream,
        .lane = lane->id,
        .previous = &lane->ledger,
        .last = {.seq = last->seq},
        .last_records = last->running,
        .records = run->decoded.records,
        .record_count = run->decoded.count,
        .statement_rows_max = lane->plan.statement_rows,
        .validate = config_of(lane)->validate,
    };
    memcpy(request.last.sum, last->sum, sizeof request.last.sum);
    if (lane->stream->on_conflict == CONFLICT_KEEP) {
        request.before_commit = keep_conflicts;
        request.before_commit_context = run;
    }
    return request;
}

static void begin_transaction(struct run *run)
{
    struct lane *lane = run->lane;
    const struct journal_entries *entries = &run->entries;
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.state = LANE_APPLYING;
    lane->status.first_seq = entries->items[0].seq;
    lane->status.last_seq = entries->items[entries->count - 1].seq;
    lane->status.records = run->decoded.count;
    pthread_mutex_unlock(&lane->shared->lock);
    tell(lane, "transaction_begun", NULL);
}

static void count_success(struct run *run, const struct apply_result *result,
                          int64_t took_us)
{
    struct lane *lane = run->lane;
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_counts *counts = &lane->status.counts;
    counts->applied_records += run->decoded.count;
    counts->events += result->totals[FATE_NEW];
    counts->duplicates += result->totals[FATE_DUPLICATE];
    counts->conflicts += result->totals[FATE_CONFLICT];
    counts->transactions++;
    counts->apply_us_total += (uint64_t)took_us;
    pace_take(&lane->shared->pace, now_us(lane), run->decoded.count);
    lane->dead_accepted = false;
    pthread_mutex_unlock(&lane->shared->lock);
}

static int succeed(struct run *run, const struct apply_result *result, int64_t took_us,
                   struct err *err)
{
    struct lane *lane = run->lane;
    const struct replay_config *config = config_of(lane);
    lane->ledger = result->row;
    lane->misses = 0;
    if (run->decoded.count) {
        lane->dead_in_a_row = 0;
    }
    plan_succeeded(&lane->plan);
    count_success(run, result, took_us);
    set_state(lane, LANE_IDLE, NULL);
    tell(lane, "transaction_done", NULL);
    int code = journal_mark_done(config->journal, lane->stream_name, lane->id.lane,
                                 &result->row.position, err);
    if (code == ERR_OK) {
        config->observer.applied(config->observer.context, lane->stream_name,
                                 lane->id.lane, result->row.position.seq);
    }
    return code;
}

static int apply(struct run *run, struct sink *sink, struct err *err)
{
    struct lane *lane = run->lane;
    int code = bury_rejects(lane, &run->entries, &run->decoded, err);
    if (code != ERR_OK) {
        return code;
    }
    struct apply_request request = request_of(run);
    struct apply_result result = {0};
    begin_transaction(run);
    int64_t begun_us = now_us(lane);
    code = sink->ops->apply(sink, &request, &result, NULL, err);
    if (code == ERR_OK) {
        return succeed(run, &result, now_us(lane) - begun_us, err);
    }
    if (code == ERR_UNKNOWN) {
        lane->unknown = true;
        lane->attempted = request.last;
        tell(lane, "commit_unknown", err);
    } else if (code == ERR_IDENTITY) {
        lane->compared = false;
    } else if (code == ERR_DATA) {
        code = bury_refused(lane, sink, &run->entries, &request, err);
    }
    return code;
}

/* Reads and decodes the next run of entries; none: run->entries.count is 0. */
static int read_run(struct lane *lane, struct run *run, struct err *err)
{
    struct journal_read_limits limits = {
        .bytes_max = config_of(lane)->transaction_bytes_max,
        .records_max = lane->plan.records,
        .entries_max =
            lane->plan.records < ENTRIES_MAX ? lane->plan.records : ENTRIES_MAX,
    };
    *run = (struct run){.lane = lane};
    int code =
        journal_read_lane(config_of(lane)->journal, lane->stream_name, lane->id.lane,
                          lane->ledger.position.seq, &limits, &run->entries, err);
    if (code != ERR_OK || run->entries.count == 0) {
        return code;
    }
    code = decode_entries(config_of(lane)->journal, lane->stream, &run->entries,
                          &run->decoded, err);
    if (code != ERR_OK) {
        journal_entries_free(&run->entries);
    }
    return code;
}

static int apply_next(struct lane *lane, struct sink *sink, struct err *err)
{
    struct run run;
    int code = read_run(lane, &run, err);
    if (code != ERR_OK || run.entries.count == 0) {
        return code;
    }
    code = apply(&run, sink, err);
    decode_free(&run.decoded);
    journal_entries_free(&run.entries);
    return code;
}

/* ---- The door ------------------------------------------------------------------------
 */

static bool has_entries(const struct lane *lane)
{
    struct journal_lane known;
    int code = journal_lane_get(config_of(lane)->journal, lane->stream_name,
                                lane->id.lane, &known, NULL);
    return code == ERR_OK && known.last_seq > lane->ledger.position.seq;
}

bool lane_is_ready(struct lane *lane, int64_t now, int64_t *out_wake_us)
{
    *out_wake_us = INT64_MAX;
    if (!lane->stream || (lane->compared && !has_entries(lane))) {
        return false;
    }
    pthread_mutex_lock(&lane->shared->lock);
    int64_t wait_us = pace_wait_us(&lane->shared->pace, now);
    if (lane->dead_accepted && lane->status.state == LANE_STOPPED) {
        lane->next_try_us = now;
    }
    pthread_mutex_unlock(&lane->shared->lock);
    int64_t wake_us =
        lane->next_try_us > now + wait_us ? lane->next_try_us : now + wait_us;
    if (wake_us <= now) {
        return true;
    }
    *out_wake_us = wake_us;
    return false;
}

void lane_step(struct lane *lane, struct sink *sink)
{
    struct err err = {0};
    int code;
    if (lane->compared) {
        code = apply_next(lane, sink, &err);
    } else {
        code = compare(lane, sink, &err);
    }
    if (code == ERR_OK) {
        lane->next_try_us = 0;
        bool still_stopped = lane->status.state == LANE_STOPPED && has_entries(lane);
        if (lane->status.state != LANE_IDLE && !still_stopped) {
            set_state(lane, LANE_IDLE, NULL);
        }
    } else if (code == ERR_IDENTITY && !lane->compared && err.code == ERR_IDENTITY &&
               lane->status.state == LANE_APPLYING) {
        set_state(lane, LANE_STARTING, &err); /* to be compared at once */
    } else if (code != ERR_CLOSED) {
        fail(lane, &err);
    }
}
