/* replay/replay.c: the worker pool. Lanes are dealt out to workers for good, lane i to
 * worker i modulo n; each worker has one sink and serves its lanes in turn, so a lane
 * that waits or is stopped holds up no other. A worker with nothing to do waits for
 * replay_wake or for the nearest lane's next try.
 *
 * While paused a worker holds no connection: whatever is done to the database meanwhile,
 * such as restoring a backup, is seen when the lanes compare with the ledger afterwards;
 * also where the pause was over before the worker came to see it.
 * For the same reason, and so that the server doesn't drop a connection for idleness, a
 * worker that has had nothing to do for a while compares again; and where one worker's
 * connection is lost, since the server may have ended and forgotten commits, all lanes
 * do.
 */
#include "replay/replay.h"

#include "base/steady.h"
#include "replay/backoff.h"
#include "replay/gap.h"
#include "replay/lane.h"

#include <stdlib.h>

#define PAUSED_SETTING "paused"

enum { IDLE_RECHECK_US = 20000000, PAUSE_WAIT_US = 3000000, PAUSE_LOOK_US = 50000 };

struct worker {
    struct replay *replay;
    struct lane_link link;
    pthread_t thread;
    bool started;
    size_t first_lane; /* and every worker_count-th after it */
    size_t turn;       /* which of them is next */
    uint32_t connect_failures;
    int64_t used_us; /* when a lane last made a step */
    uint64_t pauses; /* that the connection has seen */

    /* under the lock */
    bool connected;
    bool busy; /* within a lane's step */
    bool ended;
};

struct replay {
    struct lane_shared shared;
    struct lane *lanes;
    size_t lane_count;
    struct worker *workers;
    size_t worker_count;
    pthread_cond_t changed; /* wake, pause, stop */
    pthread_cond_t settled; /* a worker has ended its step, or itself */

    /* under shared.lock */
    uint64_t wakes;
    uint64_t pauses; /* that were begun */
    bool paused;
    bool stopping;
};

static const char *const state_names[] = {
    [LANE_STARTING] = "starting", [LANE_IDLE] = "idle",
    [LANE_APPLYING] = "applying", [LANE_WAITING] = "waiting",
    [LANE_STOPPED] = "stopped",   [LANE_PAUSED] = "paused",
    [LANE_ORPHANED] = "orphaned",
};

const char *lane_state_name(enum lane_state state)
{
    return state_names[state];
}

void replay_config_defaults(struct replay_config *config)
{
    *config = (struct replay_config){
        .clock = &clock_system,
        .connections = 8,
        .validate = true,
        .transaction_records_max = 10000,
        .transaction_bytes_max = 32u << 20,
        .statement_rows_max = 500,
        .backoff_min_us = 50000,
        .backoff_max_us = 30000000,
        .stopped_retry_us = 60000000,
        .dead_in_a_row_max = 100,
    };
}

/* ---- Workers --------------------------------------------------------------------- */

static void lock(struct replay *replay)
{
    pthread_mutex_lock(&replay->shared.lock);
}

static void unlock(struct replay *replay)
{
    pthread_mutex_unlock(&replay->shared.lock);
}

static int64_t now_us(const struct replay *replay)
{
    return clock_steady_us(replay->shared.config.clock);
}

static void tell_connection(struct worker *worker, const char *event,
                            const struct err *err)
{
    static const struct err none;
    const struct replay_observer *observer = &worker->replay->shared.config.observer;
    observer->event(observer->context, event, NULL, err ? err : &none);
}

/* Before anything else once the connection is gone. */
static void disconnect_lanes(struct worker *worker)
{
    struct replay *replay = worker->replay;
    for (size_t i = worker->first_lane; i < replay->lane_count;
         i += replay->worker_count) {
        lane_disconnected(&replay->lanes[i]);
    }
    worker->link.prepared_count = 0;
    ahead_drop(worker->link.ahead);
    lock(replay);
    worker->connected = false;
    unlock(replay);
}

static bool is_connected(const struct worker *worker)
{
    return worker->link.sink->ops->connected(worker->link.sink);
}

/* A lane with nothing to do would not ask by itself; see lane_is_ready and
 * lane_confirm. */
static void doubt_all(struct replay *replay)
{
    lock(replay);
    replay->shared.doubts++;
    for (size_t i = 0; i < replay->lane_count; i++) {
        const struct lane *lane = &replay->lanes[i];
        journal_confirm(replay->shared.config.journal, lane->stream_name, lane->id.lane,
                        false);
    }
    replay->wakes++;
    pthread_cond_broadcast(&replay->changed);
    unlock(replay);
}

/* The sink tells of a lost connection when it is next used. */
static void notice_loss(struct worker *worker)
{
    if (!is_connected(worker)) {
        disconnect_lanes(worker);
        doubt_all(worker->replay);
        tell_connection(worker, "connection_lost", NULL);
    }
}

static void disconnect(struct worker *worker)
{
    if (is_connected(worker)) {
        disconnect_lanes(worker);
        worker->link.sink->ops->disconnect(worker->link.sink);
    }
}

static void connect_failed(struct worker *worker, const struct err *err)
{
    struct replay *replay = worker->replay;
    const struct replay_config *config = &replay->shared.config;
    worker->connect_failures++;
    uint64_t jitter = (uint64_t)now_us(replay) * 0x9e3779b97f4a7c15u >> 16;
    int64_t delay_us = err_class(err->code) == ERR_CLASS_HALT
                           ? config->stopped_retry_us
                           : backoff_us(worker->connect_failures, config->backoff_min_us,
                                        config->backoff_max_us, jitter);
    int64_t next_try_us = now_us(replay) + delay_us;
    for (size_t i = worker->first_lane; i < replay->lane_count;
         i += replay->worker_count) {
        if (!lane_is_orphaned(&replay->lanes[i])) {
            lane_cannot_connect(&replay->lanes[i], err, next_try_us);
        }
    }
    tell_connection(worker, "connect_failed", err);
}

static bool connect_worker(struct worker *worker)
{
    if (is_connected(worker)) {
        return true;
    }
    struct err err = {0};
    int code = worker->link.sink->ops->connect(worker->link.sink, &err);
    if (code == ERR_CLOSED) {
        return false;
    }
    if (code != ERR_OK) {
        connect_failed(worker, &err);
        return false;
    }
    worker->connect_failures = 0;
    lock(worker->replay);
    worker->connected = true;
    unlock(worker->replay);
    tell_connection(worker, "connected", NULL);
    return true;
}

static bool may_work(const struct replay *replay)
{
    return !replay->paused && !replay->stopping;
}

static bool may_connect(struct replay *replay)
{
    lock(replay);
    bool may = may_work(replay);
    unlock(replay);
    return may;
}

/* Once this is true, replay_pause and replay_stop wait for the step's end. */
static bool begin_step(struct worker *worker)
{
    lock(worker->replay);
    worker->busy = may_work(worker->replay);
    bool begun = worker->busy;
    unlock(worker->replay);
    return begun;
}

static void end_step(struct worker *worker)
{
    worker->used_us = now_us(worker->replay);
    lock(worker->replay);
    worker->busy = false;
    pthread_cond_broadcast(&worker->replay->settled);
    unlock(worker->replay);
}

static size_t lanes_of(const struct worker *worker)
{
    const struct replay *replay = worker->replay;
    size_t behind = replay->lane_count - worker->first_lane;
    return (behind + replay->worker_count - 1) / replay->worker_count;
}

/* One step of each lane that is ready, from behind the one that was served last: where
 * the pace lets only one go, that isn't always the same. False: none was ready;
 * *out_wake_us says when to look again. */
static bool serve_lanes(struct worker *worker, int64_t *out_wake_us)
{
    struct replay *replay = worker->replay;
    size_t count = replay->lane_count ? lanes_of(worker) : 0;
    size_t first = worker->turn;
    bool worked = false;
    *out_wake_us = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t own = (first + i) % count;
        struct lane *lane =
            &replay->lanes[worker->first_lane + own * replay->worker_count];
        int64_t wake_us;
        if (!lane_is_ready(lane, now_us(replay), &wake_us)) {
            *out_wake_us = wake_us < *out_wake_us ? wake_us : *out_wake_us;
            continue;
        }
        if (!may_connect(replay) || !connect_worker(worker) || !begin_step(worker)) {
            return true; /* the lanes wait for their next try, or for the pause's end */
        }
        worker->turn = (own + 1) % count;
        lane_step(lane, &worker->link);
        end_step(worker);
        notice_loss(worker);
        worked = true;
    }
    return worked;
}

static void recheck_when_idle(struct worker *worker)
{
    struct replay *replay = worker->replay;
    if (!is_connected(worker) || now_us(replay) - worker->used_us < IDLE_RECHECK_US) {
        return;
    }
    for (size_t i = worker->first_lane; i < replay->lane_count;
         i += replay->worker_count) {
        lane_recheck(&replay->lanes[i]);
    }
}

/* Under the lock. Waits until something changes, at most for `wait_us`. The time is the
 * system's, whatever clock the lanes go by. */
static void wait_for_change(struct replay *replay, uint64_t seen_wakes, int64_t wait_us)
{
    int64_t until_us = clock_steady_us(&clock_system) +
                       (wait_us < IDLE_RECHECK_US ? wait_us : IDLE_RECHECK_US);
    int rc = 0;
    while (rc == 0 && !replay->stopping && replay->wakes == seen_wakes) {
        rc = steady_cond_wait(&replay->changed, &replay->shared.lock, until_us);
    }
}

/* Not under the lock. False: nothing to do for *out_wait_us. */
static bool work_once(struct worker *worker, bool may, uint64_t pauses,
                      int64_t *out_wait_us)
{
    *out_wait_us = INT64_MAX;
    if (!may || worker->pauses != pauses) {
        disconnect(worker);
        worker->pauses = pauses;
    }
    if (!may) {
        return false;
    }
    int64_t wake_us;
    recheck_when_idle(worker);
    bool worked = serve_lanes(worker, &wake_us);
    if (wake_us != INT64_MAX) {
        *out_wait_us = wake_us - now_us(worker->replay);
    }
    return worked;
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct replay *replay = worker->replay;
    lock(replay);
    while (!replay->stopping) {
        uint64_t seen_wakes = replay->wakes;
        uint64_t pauses = replay->pauses;
        bool may = may_work(replay);
        int64_t wait_us;
        unlock(replay);
        bool worked = work_once(worker, may, pauses, &wait_us);
        lock(replay);
        if (!worked) {
            wait_for_change(replay, seen_wakes, wait_us);
        }
    }
    unlock(replay);
    disconnect(worker);
    lock(replay);
    worker->ended = true;
    pthread_cond_broadcast(&replay->settled);
    unlock(replay);
    return NULL;
}

/* ---- Lanes ----------------------------------------------------------------------- */

static const struct stream *stream_named(const struct replay_config *config,
                                         const char *name)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        if (strcmp(config->streams[i]->name, name) == 0) {
            return config->streams[i];
        }
    }
    return NULL;
}

/* A lane of the journal that configuration alone does not give: its number is beyond the
 * stream's lanes now, or its stream is gone. It is served all the same while the journal
 * holds entries of it, also with nothing to apply: only a lane that is compared with its
 * ledger lets its entries expire. */
static bool is_left_over(const struct replay_config *config,
                         const struct journal_lane *known, uint64_t first_seq)
{
    const struct stream *stream = stream_named(config, known->stream);
    bool given = stream && known->lane < stream->lanes;
    bool foreign = known->stream[0] == '('; /* the engine's own, as (unrouted) */
    return !given && !foreign && first_seq && known->last_seq >= first_seq;
}

static void add_lanes(struct replay *replay, const struct journal_lane *known,
                      size_t known_count, uint64_t first_seq)
{
    const struct replay_config *config = &replay->shared.config;
    for (size_t i = 0; i < config->stream_count; i++) {
        for (uint32_t k = 0; k < config->streams[i]->lanes; k++) {
            lane_init(&replay->lanes[replay->lane_count++], &replay->shared,
                      config->streams[i]->name, config->streams[i], k);
        }
    }
    for (size_t i = 0; i < known_count; i++) {
        if (is_left_over(config, &known[i], first_seq)) {
            lane_init(&replay->lanes[replay->lane_count++], &replay->shared,
                      known[i].stream, stream_named(config, known[i].stream),
                      known[i].lane);
        }
    }
}

/* Every lane of a stream goes by the same layout. */
static void give_layout(struct replay *replay, const struct stream *stream,
                        const struct layout *layout)
{
    for (size_t i = 0; i < replay->lane_count; i++) {
        if (replay->lanes[i].stream == stream) {
            replay->lanes[i].layout = *layout;
        }
    }
}

static int read_layouts(struct replay *replay, struct err *err)
{
    const struct replay_config *config = &replay->shared.config;
    for (size_t i = 0; i < config->stream_count; i++) {
        struct layout layout;
        int code = layout_update(config->journal, config->streams[i]->name,
                                 config->streams[i]->lanes, &layout, err);
        if (code != ERR_OK) {
            return code;
        }
        give_layout(replay, config->streams[i], &layout);
    }
    return ERR_OK;
}

static int make_lanes(struct replay *replay, struct err *err)
{
    const struct replay_config *config = &replay->shared.config;
    struct journal_lane *known = NULL;
    struct journal_stat stat;
    size_t known_count = 0;
    if (journal_stat(config->journal, &stat, err) != ERR_OK ||
        journal_lanes(config->journal, &known, &known_count, err) != ERR_OK) {
        return err->code;
    }
    size_t most = known_count;
    for (size_t i = 0; i < config->stream_count; i++) {
        most += config->streams[i]->lanes;
    }
    replay->lanes = calloc(most + 1, sizeof *replay->lanes);
    if (replay->lanes) {
        add_lanes(replay, known, known_count, stat.first_seq);
    }
    free(known);
    return replay->lanes ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for lanes");
}

/* ---- Start and stop -------------------------------------------------------------- */

static int read_paused(struct replay *replay, struct err *err)
{
    struct buf value = {0};
    int code =
        journal_setting_get(replay->shared.config.journal, PAUSED_SETTING, &value, err);
    if (code == ERR_OK) {
        replay->paused = slice_is(buf_slice(&value), "yes");
    }
    buf_free(&value);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static int make_worker(struct replay *replay, size_t number, struct err *err)
{
    const struct replay_config *config = &replay->shared.config;
    struct worker *worker = &replay->workers[number];
    worker->replay = replay;
    worker->first_lane = number;
    worker->used_us = now_us(replay);
    worker->link.prepared =
        calloc(config->stream_count + 1, sizeof *worker->link.prepared);
    if (!worker->link.prepared) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a worker");
    }
    int code = ahead_new(&worker->link.ahead, err);
    return code ? code : config->sink_new(config->sink_context, &worker->link.sink, err);
}

static int start_workers(struct replay *replay, struct err *err)
{
    const struct replay_config *config = &replay->shared.config;
    size_t count = config->connections ? config->connections : 1;
    if (count > replay->lane_count) {
        count = replay->lane_count ? replay->lane_count : 1;
    }
    replay->workers = calloc(count, sizeof *replay->workers);
    if (!replay->workers) {
        return err_set(err, ERR_NOMEM, 0, "no memory for workers");
    }
    replay->worker_count = count;
    for (size_t i = 0; i < count; i++) {
        if (make_worker(replay, i, err) != ERR_OK) {
            return err->code;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct worker *worker = &replay->workers[i];
        int rc = pthread_create(&worker->thread, NULL, work, worker);
        if (rc) {
            return err_set_errno(err, ERR_NOMEM, rc, "starting a worker thread");
        }
        worker->started = true;
    }
    return ERR_OK;
}

static void init_locks(struct replay *replay)
{
    pthread_mutex_init(&replay->shared.lock, NULL);
    steady_cond_init(&replay->changed);
    steady_cond_init(&replay->settled);
}

int replay_start(const struct replay_config *config, struct replay **out_replay,
                 struct err *err)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay) {
        return err_set(err, ERR_NOMEM, 0, "no memory for replay");
    }
    replay->shared.config = *config;
    replay->shared.journal_id = journal_id(config->journal);
    replay->shared.pace.rows_per_second_max = config->rows_per_second_max;
    init_locks(replay);
    int code = make_lanes(replay, err);
    code = code ? code : read_layouts(replay, err);
    code = code ? code : read_paused(replay, err);
    code = code ? code : start_workers(replay, err);
    if (code != ERR_OK) {
        replay_stop(replay, 0);
        return code;
    }
    *out_replay = replay;
    return ERR_OK;
}

static bool all_ended(const struct replay *replay)
{
    for (size_t i = 0; i < replay->worker_count; i++) {
        if (replay->workers[i].started && !replay->workers[i].ended) {
            return false;
        }
    }
    return true;
}

/* Under the lock. Until every worker has ended, or the deadline. */
static void await_workers(struct replay *replay, int64_t deadline_us)
{
    int rc = 0;
    while (rc == 0 && !all_ended(replay)) {
        rc = steady_cond_wait(&replay->settled, &replay->shared.lock, deadline_us);
    }
}

static void end_worker(struct worker *worker)
{
    if (worker->started) {
        pthread_join(worker->thread, NULL);
    }
    if (worker->link.sink) {
        worker->link.sink->ops->free(worker->link.sink);
    }
    ahead_free(worker->link.ahead);
    free(worker->link.prepared);
}

void replay_stop(struct replay *replay, int64_t deadline_us)
{
    if (!replay) {
        return;
    }
    lock(replay);
    replay->stopping = true;
    pthread_cond_broadcast(&replay->changed);
    await_workers(replay, deadline_us);
    bool late = !all_ended(replay);
    unlock(replay);
    for (size_t i = 0; i < replay->worker_count && late; i++) {
        struct sink *sink = replay->workers[i].link.sink;
        sink->ops->abort(sink);
    }
    for (size_t i = 0; i < replay->worker_count; i++) {
        end_worker(&replay->workers[i]);
    }
    pthread_cond_destroy(&replay->settled);
    pthread_cond_destroy(&replay->changed);
    pthread_mutex_destroy(&replay->shared.lock);
    free(replay->workers);
    free(replay->lanes);
    free(replay);
}

/* ---- Operation ------------------------------------------------------------------- */

void replay_wake(struct replay *replay)
{
    lock(replay);
    replay->wakes++;
    pthread_cond_broadcast(&replay->changed);
    unlock(replay);
}

static bool any_busy(const struct replay *replay)
{
    for (size_t i = 0; i < replay->worker_count; i++) {
        if (replay->workers[i].busy) {
            return true;
        }
    }
    return false;
}

/* Under the lock. True once no lane is within a transaction; false: it takes long, or
 * somebody resumes or stops meanwhile. */
static bool await_standstill(struct replay *replay)
{
    int64_t deadline_us = now_us(replay) + PAUSE_WAIT_US;
    while (any_busy(replay) && replay->paused && !replay->stopping &&
           now_us(replay) < deadline_us) {
        /* the system's time, whatever clock the lanes go by */
        int64_t until_us = clock_steady_us(&clock_system) + PAUSE_LOOK_US;
        (void)steady_cond_wait(&replay->settled, &replay->shared.lock, until_us);
    }
    return !any_busy(replay);
}

int replay_pause(struct replay *replay, bool paused, struct err *err)
{
    int code = journal_setting_put(replay->shared.config.journal, PAUSED_SETTING,
                                   paused ? "yes" : "no", err);
    if (code != ERR_OK) {
        return code;
    }
    lock(replay);
    replay->paused = paused;
    replay->pauses += paused;
    replay->wakes++;
    pthread_cond_broadcast(&replay->changed);
    bool still = paused && await_standstill(replay);
    unlock(replay);
    if (paused && !still) {
        return err_set(
            err, ERR_TIMEOUT, 0,
            "pausing: no new transaction begins, but one is still in hand; ask "
            "again, or look at 'holdfast status'");
    }
    return ERR_OK;
}

/* NULL: no such lane. */
static struct lane *find_lane(struct replay *replay, const char *stream, uint32_t number,
                              struct err *err)
{
    for (size_t i = 0; i < replay->lane_count; i++) {
        struct lane *lane = &replay->lanes[i];
        if (lane->id.lane == number && strcmp(lane->stream_name, stream) == 0) {
            return lane;
        }
    }
    err_set(err, ERR_NOT_FOUND, 0,
            "there is no lane %u of stream %s; 'holdfast status' lists them", number,
            stream);
    return NULL;
}

int replay_accept_dead(struct replay *replay, const char *stream, uint32_t lane,
                       struct err *err)
{
    struct lane *found = find_lane(replay, stream, lane, err);
    if (!found) {
        return ERR_NOT_FOUND;
    }
    lock(replay);
    found->dead_accepted = true;
    found->try_now = true;
    unlock(replay);
    replay_wake(replay);
    return ERR_OK;
}

static struct ledger_row ledger_of(struct replay *replay, const struct lane *lane)
{
    lock(replay);
    struct ledger_row row = lane->status.ledger;
    unlock(replay);
    return row;
}

int replay_gap_find(struct replay *replay, const char *stream, uint32_t lane,
                    struct journal_gap *out_gap, struct err *err)
{
    struct lane *found = find_lane(replay, stream, lane, err);
    if (!found) {
        return ERR_NOT_FOUND;
    }
    struct ledger_row row = ledger_of(replay, found);
    return gap_find(replay->shared.config.journal, &found->id, &row, out_gap, err);
}

int replay_gap_accept(struct replay *replay, const char *stream, uint32_t lane,
                      const struct journal_position *to, struct err *err)
{
    struct lane *found = find_lane(replay, stream, lane, err);
    if (!found) {
        return ERR_NOT_FOUND;
    }
    struct ledger_row row = ledger_of(replay, found);
    int code = gap_accept(replay->shared.config.journal, &found->id, &row, to, err);
    if (code == ERR_OK) {
        lock(replay);
        found->try_now = true;
        unlock(replay);
        replay_wake(replay);
    }
    return code;
}

int replay_status(struct replay *replay, struct replay_status *out_status,
                  struct err *err)
{
    struct lane_status *lanes = calloc(replay->lane_count + 1, sizeof *lanes);
    if (!lanes) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the status");
    }
    struct replay_status status = {.lanes = lanes, .lane_count = replay->lane_count};
    lock(replay);
    for (size_t i = 0; i < replay->lane_count; i++) {
        lanes[i] = replay->lanes[i].status;
        bool stands = lanes[i].state == LANE_STOPPED || lanes[i].state == LANE_ORPHANED;
        if (replay->paused && !stands) {
            lanes[i].state = LANE_PAUSED;
        }
    }
    for (size_t i = 0; i < replay->worker_count; i++) {
        status.connected = status.connected || replay->workers[i].connected;
    }
    status.paused = replay->paused;
    unlock(replay);
    *out_status = status;
    return ERR_OK;
}
