/* replay/lane.c
 *
 * Happy path. The lane is compared with its ledger row once a connection, and confirmed
 * (only then may its applied entries expire). Then, as long as the journal has entries
 * after the ledger's position: read a run of them, decode, leave out what has a dead
 * letter, apply them in one transaction that first moves the ledger row from the known
 * position to the run's last entry, and mark the run done. While the database works on
 * it, the next run of a backlog is read, decoded and folded (replay/ahead.h).
 *
 * What can go wrong, and what is done (replay/plan.c has it as a table):
 *   a passing fault          wait, later and later; a transaction that fails again halves
 *   no answer to COMMIT      reconnect; the ledger shows whether it happened
 *   the ledger is elsewhere  compare again; what does not belong together stops the lane
 *   a value is refused       find the records by trial transactions, write their dead
 *                            letters durably, and apply the rest
 *   a gate is missed         once more; then the lane stops
 *   all else                 the lane stops with the reason, and tries again slowly
 */
#include "replay/lane.h"

#include "replay/backoff.h"

#include <assert.h>
#include <stdio.h>

enum { MISSES_MAX = 2, RECONNECT_AFTER = 3 };

/* ---- State and events -------------------------------------------------------------- */

#define TO(state) (1u << (state))

/* To which states a worker takes a lane. PAUSED is only shown, ORPHANED is for good. */
static const unsigned legal[] = {
    [LANE_STARTING] = TO(LANE_IDLE) | TO(LANE_APPLYING) | TO(LANE_WAITING) |
                      TO(LANE_STOPPED) | TO(LANE_ORPHANED),
    [LANE_IDLE] = TO(LANE_STARTING) | TO(LANE_APPLYING) | TO(LANE_WAITING) |
                  TO(LANE_STOPPED) | TO(LANE_ORPHANED),
    [LANE_APPLYING] = TO(LANE_APPLYING) | TO(LANE_STARTING) | TO(LANE_IDLE) |
                      TO(LANE_WAITING) | TO(LANE_STOPPED),
    [LANE_WAITING] = TO(LANE_WAITING) | TO(LANE_IDLE) | TO(LANE_APPLYING) |
                     TO(LANE_STOPPED) | TO(LANE_ORPHANED),
    [LANE_STOPPED] = TO(LANE_STOPPED) | TO(LANE_IDLE) | TO(LANE_APPLYING) |
                     TO(LANE_WAITING) | TO(LANE_ORPHANED),
    [LANE_PAUSED] = 0,
    [LANE_ORPHANED] = 0,
};

/* Where the journal can't say, the step will meet its error. */
static bool has_entries(const struct lane *lane)
{
    struct journal_lane known;
    struct err err = {0};
    int code = journal_lane_get(lane_config(lane)->journal, lane->stream_name,
                                lane->id.lane, &known, &err);
    if (code != ERR_OK) {
        return code != ERR_NOT_FOUND;
    }
    return known.last_seq > (lane->stream ? lane->ledger.position.seq : known.done.seq);
}

void lane_init(struct lane *lane, struct lane_shared *shared, const char *name,
               const struct stream *stream, uint32_t number)
{
    *lane = (struct lane){.shared = shared, .stream = stream};
    snprintf(lane->stream_name, sizeof lane->stream_name, "%s", name);
    lane->id = (struct ledger_lane){shared->journal_id, lane->stream_name, number};
    plan_init(&lane->plan, shared->config.transaction_records_max,
              shared->config.statement_rows_max);
    lane->random = (uint64_t)lane_now_us(lane) ^ ((uint64_t)number << 32);
    snprintf(lane->status.stream, sizeof lane->status.stream, "%s", name);
    lane->status.lane = number;
    lane->status.state = stream || !has_entries(lane) ? LANE_STARTING : LANE_ORPHANED;
    lane->status.transaction_records_max = lane->plan.records;
}

bool lane_is_orphaned(const struct lane *lane)
{
    return lane->status.state == LANE_ORPHANED;
}

void lane_tell(struct lane *lane, const char *event, const struct err *err)
{
    static const struct err none;
    const struct replay_observer *observer = &lane_config(lane)->observer;
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_status status = lane->status;
    pthread_mutex_unlock(&lane->shared->lock);
    observer->event(observer->context, event, &status, err ? err : &none);
}

void lane_publish(struct lane *lane, enum lane_state state, const struct err *why)
{
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_status *status = &lane->status;
    assert(legal[status->state] & TO(state));
    status->state = state;
    status->reason = why ? *why : (struct err){0};
    status->failures = lane->failures;
    status->next_try_us = lane->next_try_us;
    status->ledger = lane->ledger;
    status->transaction_records_max = lane->plan.records;
    status->dead_in_a_row = lane->dead_in_a_row;
    pthread_mutex_unlock(&lane->shared->lock);
}

/* Something passed: the lane is well, in `state`. */
static void get_well(struct lane *lane, enum lane_state state)
{
    bool was_stopped = lane->stopped;
    lane->stopped = false;
    lane->failures = 0;
    lane->misses = 0;
    lane->next_try_us = 0;
    lane_publish(lane, state, NULL);
    if (was_stopped) {
        lane_tell(lane, "lane_resumed", NULL);
    }
}

void lane_count(struct lane *lane, const uint64_t totals[FATE_COUNT])
{
    uint64_t records = totals[FATE_NEW] + totals[FATE_DUPLICATE] + totals[FATE_CONFLICT];
    if (lane->ends_well) {
        lane->dead_in_a_row = 0;
    }
    plan_succeeded(&lane->plan);
    lane->in_hand = 0;
    pthread_mutex_lock(&lane->shared->lock);
    struct lane_counts *counts = &lane->status.counts;
    counts->applied_records += records;
    counts->events += totals[FATE_NEW];
    counts->duplicates += totals[FATE_DUPLICATE];
    counts->conflicts += totals[FATE_CONFLICT];
    counts->transactions++;
    pace_take(&lane->shared->pace, lane_now_us(lane), records);
    lane->dead_accepted = lane->dead_accepted && !lane->ends_well;
    pthread_mutex_unlock(&lane->shared->lock);
    get_well(lane, LANE_APPLYING);
}

int lane_mark_done(struct lane *lane, const struct ledger_row *row, struct err *err)
{
    const struct replay_config *config = lane_config(lane);
    int code = journal_mark_done(config->journal, lane->stream_name, lane->id.lane,
                                 &row->position, err);
    if (code == ERR_OK) {
        config->observer.applied(config->observer.context, lane->stream_name,
                                 lane->id.lane, row->position.seq);
    }
    return code;
}

void lane_forget_ledger(struct lane *lane)
{
    lane->compared = false;
    journal_confirm(lane_config(lane)->journal, lane->stream_name, lane->id.lane, false);
}

void lane_confirm(struct lane *lane)
{
    pthread_mutex_lock(&lane->shared->lock);
    bool asked = lane->doubts == lane->shared->doubts;
    if (asked) {
        journal_confirm(lane_config(lane)->journal, lane->stream_name, lane->id.lane,
                        true);
    }
    pthread_mutex_unlock(&lane->shared->lock);
    if (!asked) {
        lane_forget_ledger(lane);
    }
}

void lane_disconnected(struct lane *lane)
{
    lane_forget_ledger(lane);
    enum lane_state state = lane->status.state;
    if (state == LANE_IDLE || state == LANE_APPLYING) {
        lane_publish(lane, LANE_STARTING, NULL);
    }
}

void lane_recheck(struct lane *lane)
{
    lane_forget_ledger(lane);
}

/* ---- Failures ---------------------------------------------------------------------- */

static enum retry_class retry_class_of(enum err_code code)
{
    if (code == ERR_UNKNOWN) {
        return RETRY_UNKNOWN;
    }
    if (code == ERR_RESOURCE) {
        return RETRY_RESOURCE;
    }
    return code == ERR_MISS || code == ERR_IDENTITY ? RETRY_MISS : RETRY_TRANSIENT;
}

static uint64_t next_random(struct lane *lane)
{
    lane->random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (lane->random ^ (lane->random >> 30)) * 0xbf58476d1ce4e5b9u;
    return mixed ^ (mixed >> 31);
}

static void back_off(struct lane *lane, const struct err *err)
{
    const struct replay_config *config = lane_config(lane);
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.retries[retry_class_of(err->code)]++;
    pthread_mutex_unlock(&lane->shared->lock);
    lane->next_try_us =
        lane_now_us(lane) + backoff_us(lane->failures, config->backoff_min_us,
                                       config->backoff_max_us, next_random(lane));
    lane_publish(lane, LANE_WAITING, err);
    lane_tell(lane, "retry", err);
}

/* A stop is told when it begins and when its reason changes, not at every slow try. */
static void show_stop(struct lane *lane, const struct err *err)
{
    bool told = lane->stopped && strcmp(lane->stop_reason.message, err->message) == 0;
    lane->stopped = true;
    lane->stop_reason = *err;
    lane_publish(lane, LANE_STOPPED, err);
    if (!told) {
        lane_tell(lane, "lane_stopped", err);
    }
}

/* The tables may have to be examined again: with the next try. */
static void forget_prepared(struct lane_link *link, const struct stream *stream)
{
    for (size_t i = 0; i < link->prepared_count; i++) {
        if (link->prepared[i].stream == stream) {
            link->prepared[i] = link->prepared[--link->prepared_count];
            return;
        }
    }
}

static void stop(struct lane *lane, struct lane_link *link, const struct err *err)
{
    lane_forget_ledger(lane);
    forget_prepared(link, lane->stream);
    lane->misses = 0;
    lane->next_try_us = lane_now_us(lane) + lane_config(lane)->stopped_retry_us;
    show_stop(lane, err);
}

/* A fault of the host that lasts is left behind with the connection: the next one is made
 * to the host that all use by then. */
static void leave_lasting_fault(const struct lane *lane, struct lane_link *link,
                                const struct err *err)
{
    if (err->code == ERR_TRANSIENT && lane->failures >= RECONNECT_AFTER) {
        link->sink->ops->disconnect(link->sink);
    }
}

static void fail(struct lane *lane, struct lane_link *link, enum plan_stage stage,
                 const struct err *err)
{
    enum plan_action action = plan_after(err->code, stage);
    if (action == PLAN_END) {
        return;
    }
    lane->failures++;
    if (lane->in_hand) {
        plan_failed(&lane->plan, lane->in_hand);
        lane->in_hand = 0;
    }
    lane->misses = action == PLAN_ONCE_MORE ? lane->misses + 1 : 0;
    if (action == PLAN_STOP || lane->misses >= MISSES_MAX) {
        stop(lane, link, err);
        return;
    }
    if (action == PLAN_ASK_LEDGER) {
        lane_forget_ledger(lane);
    }
    back_off(lane, err);
    leave_lasting_fault(lane, link, err);
}

void lane_cannot_connect(struct lane *lane, const struct err *why, int64_t next_try_us)
{
    lane->failures++;
    lane->next_try_us = next_try_us;
    if (plan_after(why->code, PLAN_COMPARING) == PLAN_STOP) {
        show_stop(lane, why);
    } else {
        lane_publish(lane, LANE_WAITING, why);
    }
}

/* What its ledger said is not relied on any more, since another lane saw that the
 * database went back (replay/lane_compare.c). One that applies asks by doing so. */
static bool is_doubted(const struct lane *lane)
{
    struct journal_lane known;
    struct err err = {0};
    int code = journal_lane_get(lane_config(lane)->journal, lane->stream_name,
                                lane->id.lane, &known, &err);
    return code == ERR_OK && known.last_seq && !known.confirmed;
}

/* ---- Steps ----------------------------------------------------------------------- */

bool lane_is_ready(struct lane *lane, int64_t now_us, int64_t *out_wake_us)
{
    *out_wake_us = INT64_MAX;
    if (!lane->stream && !lane_is_orphaned(lane) && has_entries(lane)) {
        lane_publish(lane, LANE_ORPHANED, NULL); /* a dead letter was retried there */
    }
    if (lane_is_orphaned(lane)) {
        return false;
    }
    pthread_mutex_lock(&lane->shared->lock);
    int64_t wait_us = lane->compared ? pace_wait_us(&lane->shared->pace, now_us) : 0;
    if (lane->try_now) {
        lane->next_try_us = 0;
        lane->try_now = false;
    }
    pthread_mutex_unlock(&lane->shared->lock);
    int64_t from_us = now_us + wait_us;
    if (lane->next_try_us > from_us) {
        from_us = lane->next_try_us;
    }
    if (from_us > now_us) {
        *out_wake_us = from_us;
        return false;
    }
    if (!lane->compared || has_entries(lane)) {
        return true;
    }
    if (is_doubted(lane)) {
        lane_recheck(lane);
        return true;
    }
    if (lane->status.state != LANE_IDLE) {
        get_well(lane, LANE_IDLE);
    }
    return false;
}

void lane_step(struct lane *lane, struct lane_link *link)
{
    struct err err = {0};
    bool comparing = !lane->compared;
    int code = comparing ? lane_compare(lane, link, &err) : lane_apply(lane, link, &err);
    if (code != ERR_OK) {
        ahead_drop(link->ahead);
        fail(lane, link, comparing ? PLAN_COMPARING : PLAN_APPLYING, &err);
        return;
    }
    lane->in_hand = 0;
    if (comparing) {
        lane->next_try_us = 0;
    }
}
