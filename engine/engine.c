/* engine/engine.c: journal, replay and the thread that looks after time: waiters whose
 * deadline has come, entries without a stream, the journal's health.
 */
#include "engine/engine.h"
#include "base/steady.h"
#include "engine/alerts.h"
#include "engine/checker.h"
#include "engine/letters_watch.h"
#include "engine/units.h"
#include "engine/waiters.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_US = 100000, RECHECK_US = 1000000 };

struct engine {
    const struct config *config;
    struct journal *journal;
    struct replay *replay;
    struct db_hosts *hosts;
    struct intake_rules rules;
    struct waiters *waiters;
    struct checker *checker; /* NULL: check.every is 0 */
    struct alerts *alerts;
    struct letters_watch *letters_watch;
    pthread_t keeper;
    bool keeper_started;
    int64_t started_us;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    bool committed;         /* since the keeper looked last */
    struct replay *to_wake; /* replay, while it may be woken */
};

/* ---- Replay's events, told to the log -------------------------------------------- */

static enum log_level level_of(const char *event)
{
    static const struct {
        const char *event;
        enum log_level level;
    } levels[] = {
        {"transaction_begun", LOG_DEBUG}, {"transaction_done", LOG_DEBUG},
        {"lane_stopped", LOG_ERROR},      {"retry", LOG_WARN},
        {"commit_unknown", LOG_WARN},     {"rewound", LOG_WARN},
        {"dead_letter", LOG_WARN},        {"sink_note", LOG_WARN},
        {"connect_failed", LOG_WARN},     {"connection_lost", LOG_WARN},
    };
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(levels[i].event, event) == 0) {
            return levels[i].level;
        }
    }
    return LOG_INFO;
}

static void on_event(void *context, const char *event, const struct lane_status *lane,
                     const struct err *err)
{
    (void)context;
    struct log_field fields[8];
    size_t count = 0;
    if (lane) {
        fields[count++] = L_STR("stream", lane->stream);
        fields[count++] = L_INT("lane", lane->lane);
        fields[count++] = L_INT("applied_seq", lane->ledger.position.seq);
        fields[count++] = L_INT("first_seq", lane->first_seq);
        fields[count++] = L_INT("last_seq", lane->last_seq);
        fields[count++] = L_INT("records", lane->records);
    }
    if (err->code != ERR_OK) {
        fields[count++] = L_CODE(err);
    }
    if (err->message[0]) {
        fields[count++] = L_STR(err->code == ERR_OK ? "note" : "error", err->message);
    }
    log_event(level_of(event), event, fields, count);
}

static void on_applied(void *context, const char *stream, uint32_t lane, uint64_t seq)
{
    struct engine *engine = context;
    waiters_applied(engine->waiters, stream, lane, seq);
}

/* On the journal's writer. */
static void on_commit(void *context)
{
    struct engine *engine = context;
    pthread_mutex_lock(&engine->lock);
    engine->committed = true;
    struct replay *replay = engine->to_wake;
    if (replay) {
        replay_wake(replay);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* ---- The keeper ------------------------------------------------------------------ */

/* Entries of INTAKE_UNROUTED hold dead letters alone: there is nothing to apply. */
static int settle_unrouted(struct engine *engine, struct err *err)
{
    struct journal_lane lane;
    struct journal_entries entries;
    int code = journal_lane_get(engine->journal, INTAKE_UNROUTED, 0, &lane, err);
    if (code != ERR_OK) {
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    }
    journal_confirm(engine->journal, INTAKE_UNROUTED, 0, true);
    if (lane.done.seq == lane.last_seq) {
        return ERR_OK;
    }
    code = journal_read_entry(engine->journal, lane.last_seq, &entries, err);
    if (code != ERR_OK) {
        return code;
    }
    struct journal_position done = {.seq = lane.last_seq};
    memcpy(done.sum, entries.items[0].sum, sizeof done.sum);
    journal_entries_free(&entries);
    code = journal_mark_done(engine->journal, INTAKE_UNROUTED, 0, &done, err);
    if (code == ERR_OK) {
        waiters_applied(engine->waiters, INTAKE_UNROUTED, 0, done.seq);
    }
    return code;
}

/* A lane also moves when it finds in the ledger what it did not know, and tells nobody.
 */
static void recheck_waiters(struct engine *engine)
{
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    struct err err = {0};
    if (!waiters_any(engine->waiters) ||
        journal_lanes(engine->journal, &lanes, &count, &err) != ERR_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        waiters_applied(engine->waiters, lanes[i].stream, lanes[i].lane,
                        lanes[i].done.seq);
    }
    free(lanes);
}

static void keep_once(struct engine *engine, bool committed, int64_t *recheck_us)
{
    struct err err = {0};
    int64_t now_us = clock_steady_us(&clock_system);
    waiters_expire(engine->waiters, now_us);
    if (committed && settle_unrouted(engine, &err) != ERR_OK &&
        journal_health(engine->journal, NULL) == ERR_OK) {
        log_error("unrouted_not_settled", L_CODE(&err), L_ERR(&err));
    }
    if (now_us >= *recheck_us) {
        *recheck_us = now_us + RECHECK_US;
        recheck_waiters(engine);
    }
}

static void *keep(void *context)
{
    struct engine *engine = context;
    int64_t recheck_us = 0;
    pthread_mutex_lock(&engine->lock);
    while (!engine->stopping) {
        int64_t until_us = clock_steady_us(&clock_system) + TICK_US;
        steady_cond_wait(&engine->changed, &engine->lock, until_us);
        bool committed = engine->committed;
        engine->committed = false;
        pthread_mutex_unlock(&engine->lock);
        keep_once(engine, committed, &recheck_us);
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

/* ---- Opening and closing --------------------------------------------------------- */

static int new_sink(void *context, struct sink **out_sink, struct err *err)
{
    struct engine *engine = context;
    const struct config *wanted = engine->config;
    struct sink_mariadb_config config = {
        .db = &wanted->database,
        .hosts = engine->hosts,
        .durability = wanted->durability,
        .zone_offset_s = wanted->zone_offset_s,
        .create_tables = wanted->create_tables,
        .cache_bytes = wanted->fast ? wanted->cache_bytes / wanted->connections : 0,
    };
    return sink_mariadb_new(&config, out_sink, err);
}

static const struct stream *const *streams_of(const struct config *config)
{
    return (const struct stream *const *)config->streams;
}

static int start_replay(struct engine *engine, struct err *err)
{
    const struct config *config = engine->config;
    struct replay_config replay;
    replay_config_defaults(&replay);
    replay.streams = streams_of(config);
    replay.stream_count = config->stream_count;
    replay.journal = engine->journal;
    replay.clock = &clock_system;
    replay.observer = (struct replay_observer){engine, on_applied, on_event};
    replay.sink_new = new_sink;
    replay.sink_context = engine;
    replay.connections = config->connections;
    replay.validate = config->validate;
    replay.rows_per_second_max = config->rows_per_second_max;
    replay.transaction_records_max = config->transaction_records_max;
    int code = db_hosts_new(&config->database, &engine->hosts, err);
    code = code ? code : replay_start(&replay, &engine->replay, err);
    if (code == ERR_OK) {
        pthread_mutex_lock(&engine->lock);
        engine->to_wake = engine->replay;
        pthread_mutex_unlock(&engine->lock);
        journal_set_listener(engine->journal, on_commit, engine);
    }
    return code;
}

static int start_keeper(struct engine *engine, struct err *err)
{
    int rc = pthread_create(&engine->keeper, NULL, keep, engine);
    if (rc) {
        return err_set_errno(err, ERR_NOMEM, rc, "starting the keeper thread");
    }
    engine->keeper_started = true;
    return ERR_OK;
}

struct intake_rules engine_rules_of(const struct config *config)
{
    return (struct intake_rules){
        .streams = streams_of(config),
        .stream_count = config->stream_count,
        .route_field = config->intake.route_field,
        .entry_records_max = config->intake.entry_records_max,
        .zone_offset_s = config->zone_offset_s,
        .max_future_us = config->max_future_us,
        .clock = &clock_system,
    };
}

int engine_open(const struct config *config, struct engine **out_engine, struct err *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the engine");
    }
    engine->config = config;
    engine->started_us = clock_steady_us(&clock_system);
    engine->rules = engine_rules_of(config);
    pthread_mutex_init(&engine->lock, NULL);
    steady_cond_init(&engine->changed);
    int code = waiters_new(&engine->waiters, err);
    code = code ? code : journal_open(&config->journal, true, &engine->journal, err);
    code =
        code ? code : settle_unrouted(engine, err); /* or replay takes it for backlog */
    code = code ? code : start_replay(engine, err);
    code = code ? code : start_keeper(engine, err);
    if (code == ERR_OK && config->check.every_us > 0) {
        code = checker_start(config, engine->hosts, &engine->checker, err);
    }
    code = code ? code : alerts_start(engine, engine->hosts, &engine->alerts, err);
    code =
        code ? code : letters_watch_start(engine->journal, &engine->letters_watch, err);
    if (code != ERR_OK) {
        engine_close(engine, 0);
        return code;
    }
    *out_engine = engine;
    return ERR_OK;
}

void engine_release_waiters(struct engine *engine)
{
    waiters_expire(engine->waiters, INT64_MAX);
}

void engine_close(struct engine *engine, int64_t timeout_us)
{
    if (!engine) {
        return;
    }
    int64_t deadline_us = clock_steady_us(&clock_system) + timeout_us;
    alerts_stop(engine->alerts);
    letters_watch_stop(engine->letters_watch);
    pthread_mutex_lock(&engine->lock);
    engine->stopping = true;
    engine->to_wake = NULL;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    if (engine->keeper_started) {
        pthread_join(engine->keeper, NULL);
    }
    checker_stop(engine->checker);
    replay_stop(engine->replay, deadline_us);
    journal_close(engine->journal);
    waiters_free(engine->waiters);
    db_hosts_free(engine->hosts);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* ---- Parts and questions --------------------------------------------------------- */

const struct config *engine_config(const struct engine *engine)
{
    return engine->config;
}

struct journal *engine_journal(struct engine *engine)
{
    return engine->journal;
}

struct replay *engine_replay(struct engine *engine)
{
    return engine->replay;
}

struct checker *engine_checker(struct engine *engine)
{
    return engine->checker;
}

struct alerts *engine_alerts(struct engine *engine)
{
    return engine->alerts;
}

struct letters_watch *engine_letters_watch(struct engine *engine)
{
    return engine->letters_watch;
}

const struct intake_rules *engine_intake_rules(const struct engine *engine)
{
    return &engine->rules;
}

int64_t engine_uptime_us(const struct engine *engine)
{
    return clock_steady_us(&clock_system) - engine->started_us;
}

/* After waiters_add, so that what was applied in between is not missed. */
static void catch_up(struct engine *engine, const struct intake_entry *entries,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct journal_lane lane;
        struct err err = {0};
        if (journal_lane_get(engine->journal, entries[i].stream, entries[i].lane, &lane,
                             &err) == ERR_OK &&
            lane.done.seq >= entries[i].seq) {
            waiters_applied(engine->waiters, entries[i].stream, entries[i].lane,
                            lane.done.seq);
        }
    }
}

int engine_when_applied(struct engine *engine, const struct engine_wait *wait,
                        struct err *err)
{
    /* `done` may free what the entries belong to */
    struct intake_entry *copy = malloc((wait->count + 1) * sizeof *copy);
    if (!copy) {
        return err_set(err, ERR_NOMEM, 0, "no memory to wait for a batch");
    }
    memcpy(copy, wait->entries, wait->count * sizeof *copy);
    int code = waiters_add(engine->waiters, wait, err);
    if (code == ERR_OK) {
        catch_up(engine, copy, wait->count);
    }
    free(copy);
    return code;
}

bool engine_ready(struct engine *engine, struct err *err)
{
    struct journal_stat stat;
    if (journal_health(engine->journal, err) != ERR_OK ||
        journal_stat(engine->journal, &stat, err) != ERR_OK) {
        return false;
    }
    if (stat.refusing || stat.free_bytes == 0) {
        char used[UNITS_TEXT];
        char most[UNITS_TEXT];
        char disk[UNITS_TEXT];
        units_format_size(stat.used_bytes, used);
        units_format_size(stat.size_max, most);
        units_format_size(stat.disk_free_bytes, disk);
        err_set(err, ERR_FULL, 0,
                "the journal has no room (%s of %s used, %s free on disk); it drains as "
                "the database takes the backlog",
                used, most, disk);
        return false;
    }
    return true;
}

bool engine_failed(struct engine *engine, struct err *err)
{
    return journal_health(engine->journal, err) != ERR_OK;
}
