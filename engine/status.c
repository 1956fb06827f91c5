/* engine/status.c: GET /v1/status and GET /v1/dashboard. */
#include "engine/alerts.h"
#include "engine/checker.h"
#include "engine/engine.h"
#include "engine/json.h"
#include "engine/letters_watch.h"
#include "engine/report.h"
#include "holdfast_version.h"

static void put_journal(struct json_writer *json, const struct report *report,
                        uint64_t dead_letters_max, int64_t wall_us)
{
    const struct journal_stat *stat = &report->stat;
    json_key(json, "journal");
    json_object(json);
    json_put_unsigned(json, "size_max", stat->size_max);
    json_put_unsigned(json, "capacity_bytes", report_capacity_bytes(report));
    json_put_unsigned(json, "file_bytes", stat->file_bytes);
    json_put_unsigned(json, "used_bytes", stat->used_bytes);
    json_put_unsigned(json, "held_bytes", report_held_bytes(report, wall_us));
    json_put_unsigned(json, "free_bytes", stat->free_bytes);
    json_put_unsigned(json, "disk_free_bytes", stat->disk_free_bytes);
    json_put_unsigned(json, "first_seq", stat->first_seq);
    json_put_unsigned(json, "next_seq", stat->next_seq);
    json_put_unsigned(json, "records", stat->records);
    json_put_unsigned(json, "dead_letters", stat->dead_letters);
    json_put_unsigned(json, "dead_letter_bytes", stat->dead_letter_bytes);
    json_put_unsigned(json, "dead_letter_bytes_max", dead_letters_max);
    json_put_unsigned(json, "receipts", stat->receipts);
    json_put_unsigned(json, "commits", stat->commits);
    json_put_integer(json, "retention_reach_s",
                     stat->oldest_at_us ? (wall_us - stat->oldest_at_us) / 1000000 : 0);
    json_put_bool(json, "refusing", stat->refusing);
    json_object_end(json);
}

static void put_ledger(struct json_writer *json, const struct ledger_row *ledger)
{
    json_key(json, "ledger");
    json_object(json);
    json_put_unsigned(json, "seq", ledger->position.seq);
    json_put_unsigned(json, "records", ledger->records);
    json_put_unsigned(json, "events", ledger->events);
    json_put_unsigned(json, "duplicates", ledger->duplicates);
    json_put_unsigned(json, "conflicts", ledger->conflicts);
    json_object_end(json);
}

static void put_counts(struct json_writer *json, const struct lane_counts *counts)
{
    json_key(json, "since_start");
    json_object(json);
    json_put_unsigned(json, "transactions", counts->transactions);
    json_put_unsigned(json, "records", counts->applied_records);
    json_put_unsigned(json, "events", counts->events);
    json_put_unsigned(json, "duplicates", counts->duplicates);
    json_put_unsigned(json, "conflicts", counts->conflicts);
    json_put_unsigned(json, "dead_letters", counts->dead_letters);
    json_put_unsigned(json, "rewinds", counts->rewinds);
    json_put_unsigned(json, "ambiguous_committed", counts->ambiguous_committed);
    json_put_unsigned(json, "ambiguous_lost", counts->ambiguous_lost);
    json_object_end(json);
}

/* Seconds until it tries again; 0: it doesn't wait. */
static double next_try_s(const struct lane_status *status)
{
    int64_t now_us = clock_steady_us(&clock_system);
    return status->next_try_us > now_us ? (double)(status->next_try_us - now_us) / 1e6
                                        : 0;
}

static void put_replay(struct json_writer *json, const struct lane_status *status)
{
    json_put_text(json, "state", status ? lane_state_name(status->state) : "settled");
    if (!status) {
        return;
    }
    json_put_text(json, "reason", status->reason.message);
    json_put_text(json, "notes", status->notes);
    json_put_unsigned(json, "failures", status->failures);
    json_key(json, "next_try_s");
    json_real(json, next_try_s(status));
    json_put_unsigned(json, "transaction_records_max", status->transaction_records_max);
    put_ledger(json, &status->ledger);
    put_counts(json, &status->counts);
}

static void put_lane(struct json_writer *json, const struct report_lane *lane,
                     int64_t wall_us)
{
    json_object(json);
    json_put_text(json, "stream", lane->journal.stream);
    json_put_unsigned(json, "lane", lane->journal.lane);
    json_put_unsigned(json, "accepted", lane->journal.running);
    json_put_unsigned(json, "pending", report_pending(lane));
    json_key(json, "pending_age_s");
    json_real(json, report_pending_age_s(lane, wall_us));
    json_put_unsigned(json, "rejected", lane->journal.rejected);
    json_put_unsigned(json, "retried", lane->journal.retried);
    json_put_unsigned(json, "given_up",
                      lane->journal.given_up +
                          (lane->replay ? lane->replay->ledger.given_up : 0));
    json_put_unsigned(json, "last_seq", lane->journal.last_seq);
    json_put_unsigned(json, "done_seq", lane->journal.done.seq);
    put_replay(json, lane->replay);
    json_object_end(json);
}

static void put_head(struct json_writer *json, struct engine *engine,
                     const struct report *report)
{
    struct err why = {0};
    bool ready = engine_ready(engine, &why);
    uint64_t pending = 0;
    for (size_t i = 0; i < report->lane_count; i++) {
        pending += report_pending(&report->lanes[i]);
    }
    json_put_text(json, "version", HOLDFAST_VERSION);
    json_put_text(json, "journal_id", journal_id(engine_journal(engine)));
    json_key(json, "uptime_s");
    json_real(json, (double)engine_uptime_us(engine) / 1e6);
    json_put_bool(json, "ready", ready);
    json_put_text(json, "not_ready_because", why.message);
    json_put_bool(json, "connected", report->replay.connected);
    json_put_bool(json, "paused", report->replay.paused);
    json_put_unsigned(json, "accepted", report->stat.records);
    json_put_unsigned(json, "pending", pending);
}

int engine_status_json(struct engine *engine, struct buf *out, struct err *err)
{
    struct report report;
    int64_t wall_us = clock_wall_us(&clock_system);
    if (report_make(engine, &report, err) != ERR_OK) {
        return err->code;
    }
    struct json_writer *json = json_new();
    if (!json) {
        report_free(&report);
        return err_set(err, ERR_NOMEM, 0, "no memory for the status");
    }
    json_object(json);
    put_head(json, engine, &report);
    put_journal(json, &report, engine_config(engine)->journal.dead_letters_max, wall_us);
    json_key(json, "lanes");
    json_array(json);
    for (size_t i = 0; i < report.lane_count; i++) {
        put_lane(json, &report.lanes[i], wall_us);
    }
    json_array_end(json);
    checker_put(engine_checker(engine), json);
    alerts_put(engine_alerts(engine), json);
    json_object_end(json);
    bool done = buf_append_slice(out, json_result(json));
    json_free(json);
    report_free(&report);
    return done ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for the status");
}

int engine_dashboard_json(struct engine *engine, struct buf *out, struct err *err)
{
    struct json_writer *json = json_new();
    if (!json) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the dashboard");
    }
    json_object(json);
    json_key(json, "check_every_s");
    json_integer(json, engine_config(engine)->check.every_us / 1000000);
    checker_put_orphans(engine_checker(engine), json);
    letters_watch_put(engine_letters_watch(engine), json);
    json_object_end(json);
    bool done = buf_append_slice(out, json_result(json));
    json_free(json);
    return done ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for the dashboard");
}
