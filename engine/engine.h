/* engine/engine.h: the engine put together: journal, streams, replay. `serve` puts HTTP
 * in front of it, the library a few functions.
 */
#ifndef HOLDFAST_ENGINE_ENGINE_H
#define HOLDFAST_ENGINE_ENGINE_H

#include "engine/config.h"
#include "engine/intake.h"
#include "replay/replay.h"

struct engine;

/* Opens (or creates) the journal and starts replay; intake works as soon as it returns,
 * whether or not the database answers. `config` is borrowed until engine_close. */
int engine_open(const struct config *config, struct engine **out_engine, struct err *err);

/* Lets the transactions in hand end, at most `timeout_us`, and closes the journal. */
void engine_close(struct engine *engine, int64_t timeout_us);

const struct config *engine_config(const struct engine *engine);
struct journal *engine_journal(struct engine *engine);
struct replay *engine_replay(struct engine *engine);
struct checker *engine_checker(struct engine *engine); /* NULL: nothing is checked */
/* What a configuration says of intake; borrows it. */
struct intake_rules engine_rules_of(const struct config *config);

struct alerts *engine_alerts(struct engine *engine);
struct letters_watch *engine_letters_watch(struct engine *engine);
const struct intake_rules *engine_intake_rules(const struct engine *engine);

/* Who waits for a batch, and how long. */
struct engine_wait {
    const struct intake_entry *entries; /* their streams' names must live until `done` */
    size_t count;
    int64_t deadline_us; /* steady clock */
    void (*done)(void *context, bool applied);
    void *context;
};

/* Calls `done` once all entries are applied (true), or at the deadline, or at
 * engine_close (false). On any thread, possibly before this returns; it must not block.
 * ERR_BUSY: too many are waiting; ERR_NOMEM; then `done` is not called. */
int engine_when_applied(struct engine *engine, const struct engine_wait *wait,
                        struct err *err);

/* True when the journal takes records; else err says why (full, failed). */
bool engine_ready(struct engine *engine, struct err *err);

/* State as JSON (GET /v1/status), what the dashboard shows besides (GET /v1/dashboard),
 * and state as Prometheus text (GET /metrics). None of them asks the database. */
int engine_status_json(struct engine *engine, struct buf *out, struct err *err);
int engine_dashboard_json(struct engine *engine, struct buf *out, struct err *err);
int engine_metrics(struct engine *engine, struct buf *out, struct err *err);

/* True once the journal can't go on (a failed sync): the process should exit with this
 * error and be restarted into recovery. Poll it. */
bool engine_failed(struct engine *engine, struct err *err);

/* Everybody in engine_when_applied is told `false` now: before the server stops. */
void engine_release_waiters(struct engine *engine);

int64_t engine_uptime_us(const struct engine *engine);

#endif
