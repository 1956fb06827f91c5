/* engine/metrics.c: GET /metrics, Prometheus' text format. The counters of the law come
 * from the journal and the ledger, so they survive restarts.
 */
#include "engine/alerts.h"
#include "engine/engine.h"
#include "engine/report.h"

#include <stdio.h>

/* Samples of one lane each; false: it has none. */

static bool accepted(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = (double)lane->journal.running;
    return true;
}

static bool given_up(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = (double)lane->journal.given_up +
           (lane->replay ? (double)lane->replay->ledger.given_up : 0);
    return true;
}

static bool pending(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = (double)report_pending(lane);
    return true;
}

static bool pending_age(const struct report_lane *lane, int64_t wall_us, double *out)
{
    *out = report_pending_age_s(lane, wall_us);
    return true;
}

static bool applied(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->ledger.records : 0;
    return lane->replay != NULL;
}

static bool events(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->ledger.events : 0;
    return lane->replay != NULL;
}

static bool duplicates(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->ledger.duplicates : 0;
    return lane->replay != NULL;
}

static bool conflicts(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->ledger.conflicts : 0;
    return lane->replay != NULL;
}

static bool stopped(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay && lane->replay->state == LANE_STOPPED;
    return lane->replay != NULL;
}

static bool transactions(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->counts.transactions : 0;
    return lane->replay != NULL;
}

static bool rewinds(const struct report_lane *lane, int64_t wall_us, double *out)
{
    (void)wall_us;
    *out = lane->replay ? (double)lane->replay->counts.rewinds : 0;
    return lane->replay != NULL;
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    bool (*sample)(const struct report_lane *lane, int64_t wall_us, double *out);
} lane_metrics[] = {
    {"holdfast_records_accepted_total", "counter",
     "Records taken, dead letters among them.", accepted},
    {"holdfast_records_applied_total", "counter",
     "Records up to the ledger's position, whatever became of them.", applied},
    {"holdfast_records_event_total", "counter", "New events in the database.", events},
    {"holdfast_records_duplicate_total", "counter",
     "Records whose event was there with the same content.", duplicates},
    {"holdfast_records_conflict_total", "counter",
     "Records whose event was there with other content.", conflicts},
    {"holdfast_records_given_up_total", "counter",
     "Records given up: dead letters purged, and gaps accepted.", given_up},
    {"holdfast_records_pending", "gauge", "Records not applied yet.", pending},
    {"holdfast_lane_oldest_pending_age_seconds", "gauge",
     "Age of the lane's oldest unapplied entry.", pending_age},
    {"holdfast_lane_stopped", "gauge", "1 while a person must look at the lane.",
     stopped},
    {"holdfast_transactions_total", "counter", "Transactions committed since start.",
     transactions},
    {"holdfast_rewinds_total", "counter",
     "How often the database had gone back to an earlier state, since start.", rewinds},
};

static void put_head(struct buf *out, const char *name, const char *type,
                     const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_lanes(struct buf *out, const struct report *report, size_t metric,
                      int64_t wall_us)
{
    const char *name = lane_metrics[metric].name;
    put_head(out, name, lane_metrics[metric].type, lane_metrics[metric].help);
    for (size_t i = 0; i < report->lane_count; i++) {
        const struct report_lane *lane = &report->lanes[i];
        double value;
        if (lane_metrics[metric].sample(lane, wall_us, &value)) {
            buf_printf(out, "%s{stream=\"%s\",lane=\"%u\"} %.15g\n", name,
                       lane->journal.stream, lane->journal.lane, value);
        }
    }
}

static void put_one(struct buf *out, const char *name, const char *type, const char *help,
                    double value)
{
    put_head(out, name, type, help);
    buf_printf(out, "%s %.15g\n", name, value);
}

/* `labels`: none, or such as 'stream="mozi",'. */
static void put_histogram(struct buf *out, const char *name, const char *labels,
                          const struct histogram *histogram)
{
    unsigned long long all =
        (unsigned long long)histogram_up_to(histogram, HISTOGRAM_BOUNDS);
    int len = (int)strlen(labels); /* without the comma, alone */
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        buf_printf(out, "%s_bucket{%sle=\"%.15g\"} %llu\n", name, labels,
                   (double)histogram_bounds_us[i] / 1e6,
                   (unsigned long long)histogram_up_to(histogram, i));
    }
    buf_printf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, all);
    const char *open = len ? "{" : "";
    const char *close = len ? "}" : "";
    len -= len > 0;
    buf_printf(out, "%s_sum%s%.*s%s %.15g\n", name, open, len, labels, close,
               (double)histogram->sum_us / 1e6);
    buf_printf(out, "%s_count%s%.*s%s %llu\n", name, open, len, labels, close, all);
}

static const struct histogram *apply_times(const struct lane_counts *counts)
{
    return &counts->apply_times;
}

static const struct histogram *lags(const struct lane_counts *counts)
{
    return &counts->lags;
}

static void put_lane_histogram(struct buf *out, const struct report *report,
                               const char *name, const char *help,
                               const struct histogram *(*of)(const struct lane_counts *))
{
    put_head(out, name, "histogram", help);
    for (size_t i = 0; i < report->replay.lane_count; i++) {
        const struct lane_status *lane = &report->replay.lanes[i];
        char labels[JOURNAL_STREAM_MAX + 48];
        snprintf(labels, sizeof labels, "stream=\"%s\",lane=\"%u\",", lane->stream,
                 lane->lane);
        put_histogram(out, name, labels, of(&lane->counts));
    }
}

/* Those of intake are counted in the journal for ever, those of replay since start: two
 * series, or a restart would look like a counter that goes back a little. */
static void put_dead_lettered(struct buf *out, const struct report *report)
{
    static const char name[] = "holdfast_records_dead_lettered_total";
    put_head(
        out, name, "counter",
        "Records that became dead letters: at intake (ever), at apply (since start).");
    for (size_t i = 0; i < report->lane_count; i++) {
        const struct report_lane *lane = &report->lanes[i];
        buf_printf(out, "%s{stream=\"%s\",lane=\"%u\",at=\"intake\"} %llu\n", name,
                   lane->journal.stream, lane->journal.lane,
                   (unsigned long long)lane->journal.rejected);
        if (lane->replay) {
            buf_printf(out, "%s{stream=\"%s\",lane=\"%u\",at=\"apply\"} %llu\n", name,
                       lane->journal.stream, lane->journal.lane,
                       (unsigned long long)lane->replay->counts.dead_letters);
        }
    }
}

static void put_journal(struct buf *out, const struct report *report, int64_t wall_us)
{
    const struct journal_stat *stat = &report->stat;
    put_one(out, "holdfast_journal_bytes", "gauge", "Bytes in use in the journal.",
            (double)stat->used_bytes);
    put_one(out, "holdfast_journal_capacity_bytes", "gauge",
            "journal.max_size, or what the journal's disk has room for.",
            (double)report_capacity_bytes(report));
    put_one(out, "holdfast_journal_free_bytes", "gauge",
            "What intake may still take before it is refused.", (double)stat->free_bytes);
    put_one(out, "holdfast_journal_disk_free_bytes", "gauge",
            "Free bytes of the journal's file system.", (double)stat->disk_free_bytes);
    put_one(out, "holdfast_journal_refusing", "gauge",
            "1 while new records are refused for want of room.", stat->refusing);
    put_one(out, "holdfast_journal_commits_total", "counter",
            "Durable commits since start.", (double)stat->commits);
    put_head(out, "holdfast_journal_commit_seconds", "histogram",
             "How long the journal's durable commits took, since start.");
    put_histogram(out, "holdfast_journal_commit_seconds", "", &stat->commit_times);
    put_one(out, "holdfast_journal_retention_reach_seconds", "gauge",
            "Age of the oldest entry that is retained in full.",
            stat->oldest_at_us ? (double)(wall_us - stat->oldest_at_us) / 1e6 : 0);
    put_one(out, "holdfast_dead_letters", "gauge", "Dead letters kept.",
            (double)stat->dead_letters);
    put_one(out, "holdfast_dead_letter_bytes", "gauge", "Bytes of dead letters kept.",
            (double)stat->dead_letter_bytes);
}

static void put_oldest_pending(struct buf *out, const struct report *report,
                               int64_t wall_us)
{
    double oldest_s = 0;
    for (size_t i = 0; i < report->lane_count; i++) {
        double age_s = report_pending_age_s(&report->lanes[i], wall_us);
        oldest_s = age_s > oldest_s ? age_s : oldest_s;
    }
    put_one(out, "holdfast_journal_oldest_pending_age_seconds", "gauge",
            "Age of the oldest unapplied entry of all lanes.", oldest_s);
}

static void put_retries(struct buf *out, const struct report *report)
{
    static const char *const classes[] = {
        [RETRY_TRANSIENT] = "transient",
        [RETRY_UNKNOWN] = "unknown",
        [RETRY_RESOURCE] = "resource",
        [RETRY_MISS] = "miss",
    };
    uint64_t retries[4] = {0};
    uint64_t committed = 0;
    uint64_t lost = 0;
    for (size_t i = 0; i < report->replay.lane_count; i++) {
        const struct lane_counts *counts = &report->replay.lanes[i].counts;
        for (size_t k = 0; k < 4; k++) {
            retries[k] += counts->retries[k];
        }
        committed += counts->ambiguous_committed;
        lost += counts->ambiguous_lost;
    }
    put_head(out, "holdfast_apply_retries_total", "counter",
             "Transactions tried again since start, by class of error.");
    for (size_t k = 0; k < 4; k++) {
        buf_printf(out, "holdfast_apply_retries_total{class=\"%s\"} %llu\n", classes[k],
                   (unsigned long long)retries[k]);
    }
    put_head(out, "holdfast_commit_ambiguous_total", "counter",
             "Commits without an answer since start, by what the ledger said.");
    buf_printf(out, "holdfast_commit_ambiguous_total{resolved=\"committed\"} %llu\n",
               (unsigned long long)committed);
    buf_printf(out, "holdfast_commit_ambiguous_total{resolved=\"lost\"} %llu\n",
               (unsigned long long)lost);
}

int engine_metrics(struct engine *engine, struct buf *out, struct err *err)
{
    struct report report;
    int64_t wall_us = clock_wall_us(&clock_system);
    if (report_make(engine, &report, err) != ERR_OK) {
        return err->code;
    }
    for (size_t i = 0; i < sizeof lane_metrics / sizeof lane_metrics[0]; i++) {
        put_lanes(out, &report, i, wall_us);
    }
    put_journal(out, &report, wall_us);
    put_oldest_pending(out, &report, wall_us);
    put_dead_lettered(out, &report);
    put_retries(out, &report);
    put_lane_histogram(out, &report, "holdfast_apply_seconds",
                       "How long transactions took, since start.", apply_times);
    put_lane_histogram(
        out, &report, "holdfast_lag_seconds",
        "From a transaction's oldest entry being received to its commit in "
        "the database, since start.",
        lags);
    put_one(out, "holdfast_database_connected", "gauge",
            "1 while at least one worker is connected.", report.replay.connected);
    alerts_metrics(engine_alerts(engine), out);
    report_free(&report);
    return out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for the metrics") : ERR_OK;
}
