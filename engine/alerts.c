#include "engine/alerts.h"

#include "base/steady.h"
#include "engine/alert_samples.h"
#include "engine/alert_send.h"
#include "engine/checker.h"
#include "engine/ids.h"
#include "engine/json.h"
#include "engine/report.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND_US INT64_C(1000000)

enum { EVENTS_MAX = 32, RECENT_MAX = 20, HOST_MAX = 64 };

struct recent {
    int64_t wall_us;
    struct alert_event event;
};

struct alerts {
    struct engine *engine;
    const struct config *config;
    struct ids *ids;
    struct alert_sender *senders[ALERT_CHANNELS]; /* NULL: not used */
    struct alert_stream *streams;                 /* as config's; the thread's own */
    char host[HOST_MAX];
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    bool stopping;
    struct alert_limits limits;
    struct alert_rules *rules;
    struct recent recent[RECENT_MAX]; /* a ring, the next goes to recent_count % MAX */
    uint64_t recent_count;
};

/* ---- One look -------------------------------------------------------------------- */

static void log_alert(const struct alert_event *event)
{
    const struct alert *alert = &event->alert;
    log_event(event->change == ALERT_CLEARED ? LOG_INFO : LOG_WARN, "alert",
              (const struct log_field[]){
                  L_STR("change", alert_change_name(event->change)),
                  L_STR("rule", alert_rule_name(alert->rule)),
                  L_STR("subject", alert->subject), L_REAL("value", alert->value),
                  L_REAL("limit", alert->limit), L_STR("summary", alert->text)},
              6);
}

static void send(struct alerts *alerts, const struct alert_message *message)
{
    for (int channel = 0; channel < ALERT_CHANNELS; channel++) {
        struct buf body = {0};
        if (!alerts->senders[channel]) {
            continue;
        }
        if (channel == ALERT_WEBHOOK) {
            alert_message_json(&body, message);
        } else {
            alert_message_mail(&body, message, &alerts->config->alerts.smtp);
        }
        if (body.failed) {
            buf_free(&body);
            log_error("alert_dropped", L_STR("error", "no memory for a message"));
        } else if (!alert_sender_offer(alerts->senders[channel], &body)) {
            log_error("alert_dropped", L_STR("channel", alert_channel_name(channel)),
                      L_STR("error", "too many messages wait for it"));
        }
    }
}

static void remember(struct alerts *alerts, const struct alert_event *events,
                     size_t count, int64_t wall_us)
{
    for (size_t i = 0; i < count; i++) {
        alerts->recent[alerts->recent_count++ % RECENT_MAX] =
            (struct recent){wall_us, events[i]};
    }
}

static void judge(struct alerts *alerts, const struct alert_samples *samples)
{
    struct alert_event events[EVENTS_MAX];
    struct alert_message message = {
        .host = alerts->host,
        .journal_id = journal_id(engine_journal(alerts->engine)),
        .wall_us = clock_wall_us(&clock_system),
        .steady_us = clock_steady_us(&clock_system),
        .events = events,
    };
    struct alert_round round = {message.steady_us, samples->items, samples->count};
    pthread_mutex_lock(&alerts->lock);
    message.count =
        alert_rules_feed(alerts->rules, &alerts->limits, &round, events, EVENTS_MAX);
    remember(alerts, events, message.count, message.wall_us);
    pthread_mutex_unlock(&alerts->lock);
    for (size_t i = 0; i < message.count; i++) {
        log_alert(&events[i]);
    }
    if (message.count) {
        send(alerts, &message);
    }
}

static void look_at_streams(struct alerts *alerts)
{
    for (size_t i = 0; i < alerts->config->stream_count; i++) {
        struct alert_stream *stream = &alerts->streams[i];
        stream->name = alerts->config->streams[i]->name;
        stream->has_coverage =
            checker_coverage(engine_checker(alerts->engine), i, &stream->coverage);
        stream->has_ids = ids_used(alerts->ids, i, &stream->ids);
    }
}

static void look(struct alerts *alerts)
{
    struct report report;
    struct alert_samples samples;
    struct err err = {0};
    if (report_make(alerts->engine, &report, &err)) {
        log_error("alerts_look_failed", L_CODE(&err), L_ERR(&err));
        return;
    }
    look_at_streams(alerts);
    struct alert_view view = {&report, &alerts->config->journal, alerts->streams,
                              alerts->config->stream_count, clock_wall_us(&clock_system)};
    int code = alert_samples_make(&view, &samples, &err);
    if (code) {
        log_error("alerts_look_failed", L_CODE(&err), L_ERR(&err));
    } else {
        judge(alerts, &samples);
        alert_samples_free(&samples);
    }
    report_free(&report);
}

static void *run(void *context)
{
    struct alerts *alerts = context;
    pthread_mutex_lock(&alerts->lock);
    while (!alerts->stopping) {
        int64_t until_us =
            clock_steady_us(&clock_system) + alerts->config->alerts.every_us;
        while (!alerts->stopping && clock_steady_us(&clock_system) < until_us) {
            steady_cond_wait(&alerts->changed, &alerts->lock, until_us);
        }
        if (!alerts->stopping) {
            pthread_mutex_unlock(&alerts->lock);
            look(alerts);
            pthread_mutex_lock(&alerts->lock);
        }
    }
    pthread_mutex_unlock(&alerts->lock);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------ */

static int start_parts(struct alerts *alerts, struct db_hosts *hosts, struct err *err)
{
    const struct alert_config *config = &alerts->config->alerts;
    int code = alert_rules_new(&alerts->rules, err);
    code = code ? code : ids_start(alerts->config, hosts, &alerts->ids, err);
    for (int channel = 0; channel < ALERT_CHANNELS && !code; channel++) {
        if (alert_channel(config, channel)->url) {
            code = alert_sender_start(config, channel, &alerts->senders[channel], err);
        }
    }
    if (code) {
        return code;
    }
    int rc = pthread_create(&alerts->thread, NULL, run, alerts);
    alerts->started = rc == 0;
    return rc ? err_set_errno(err, ERR_NOMEM, rc, "starting the thread of the alerts")
              : ERR_OK;
}

int alerts_start(struct engine *engine, struct db_hosts *hosts,
                 struct alerts **out_alerts, struct err *err)
{
    const struct config *config = engine_config(engine);
    struct alerts *alerts = calloc(1, sizeof *alerts);
    struct alert_stream *streams = calloc(config->stream_count + 1, sizeof *streams);
    if (!alerts || !streams) {
        free(alerts);
        free(streams);
        return err_set(err, ERR_NOMEM, 0, "no memory for alerts");
    }
    alerts->engine = engine;
    alerts->config = config;
    alerts->streams = streams;
    alerts->limits = config->alerts.limits;
    if (gethostname(alerts->host, sizeof alerts->host - 1) || !alerts->host[0]) {
        memcpy(alerts->host, "localhost", sizeof "localhost");
    }
    pthread_mutex_init(&alerts->lock, NULL);
    steady_cond_init(&alerts->changed);
    int code = start_parts(alerts, hosts, err);
    if (code) {
        alerts_stop(alerts);
        return code;
    }
    *out_alerts = alerts;
    return ERR_OK;
}

void alerts_stop(struct alerts *alerts)
{
    if (!alerts) {
        return;
    }
    pthread_mutex_lock(&alerts->lock);
    alerts->stopping = true;
    pthread_cond_broadcast(&alerts->changed);
    pthread_mutex_unlock(&alerts->lock);
    if (alerts->started) {
        pthread_join(alerts->thread, NULL);
    }
    for (int channel = 0; channel < ALERT_CHANNELS; channel++) {
        alert_sender_stop(alerts->senders[channel]);
    }
    ids_stop(alerts->ids);
    alert_rules_free(alerts->rules);
    pthread_cond_destroy(&alerts->changed);
    pthread_mutex_destroy(&alerts->lock);
    free(alerts->streams);
    free(alerts);
}

void alerts_set_limits(struct alerts *alerts, const struct alert_limits *limits)
{
    pthread_mutex_lock(&alerts->lock);
    alerts->limits = *limits;
    pthread_mutex_unlock(&alerts->lock);
}

/* ---- Showing --------------------------------------------------------------------- */

static void put_alert(struct json_writer *json, const struct alert *alert)
{
    json_put_text(json, "rule", alert_rule_name(alert->rule));
    json_put_text(json, "subject", alert->subject);
    json_put_text(json, "severity", alert_rule_severity(alert->rule));
    json_key(json, "value");
    json_real(json, alert->value);
    json_key(json, "limit");
    json_real(json, alert->limit);
    json_put_text(json, "summary", alert->text);
}

/* Under the lock. */
static void put_raised(const struct alerts *alerts, struct json_writer *json)
{
    size_t count = 0;
    const struct alert *all = alert_rules_all(alerts->rules, &count);
    int64_t now_us = clock_steady_us(&clock_system);
    json_key(json, "raised");
    json_array(json);
    for (size_t i = 0; i < count; i++) {
        if (all[i].raised) {
            json_object(json);
            put_alert(json, &all[i]);
            json_put_integer(json, "for_s", (now_us - all[i].raised_us) / SECOND_US);
            json_object_end(json);
        }
    }
    json_array_end(json);
}

/* Under the lock; the newest first. */
static void put_recent(const struct alerts *alerts, struct json_writer *json)
{
    uint64_t kept = alerts->recent_count < RECENT_MAX ? alerts->recent_count : RECENT_MAX;
    json_key(json, "recent");
    json_array(json);
    for (uint64_t back = 1; back <= kept; back++) {
        const struct recent *recent =
            &alerts->recent[(alerts->recent_count - back) % RECENT_MAX];
        char time[ALERT_TIME_TEXT];
        alert_time(recent->wall_us, time);
        json_object(json);
        json_put_text(json, "at", time);
        json_put_text(json, "event", alert_change_name(recent->event.change));
        put_alert(json, &recent->event.alert);
        json_object_end(json);
    }
    json_array_end(json);
}

void alerts_put(struct alerts *alerts, struct json_writer *json)
{
    json_key(json, "alerts");
    json_object(json);
    pthread_mutex_lock(&alerts->lock);
    put_raised(alerts, json);
    put_recent(alerts, json);
    pthread_mutex_unlock(&alerts->lock);
    json_key(json, "channels");
    json_array(json);
    for (int channel = 0; channel < ALERT_CHANNELS; channel++) {
        if (!alerts->senders[channel]) {
            continue;
        }
        struct alert_sender_counts counts = alert_sender_counts(alerts->senders[channel]);
        json_object(json);
        json_put_text(json, "channel", alert_channel_name(channel));
        json_put_unsigned(json, "delivered", counts.delivered);
        json_put_unsigned(json, "failed_tries", counts.failed_tries);
        json_put_unsigned(json, "dropped", counts.dropped);
        json_put_unsigned(json, "waiting", counts.queued);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void put_channels(struct alerts *alerts, struct buf *out)
{
    static const char name[] = "holdfast_alert_messages_total";
    buf_printf(out,
               "# HELP %s Messages of alerts since start: delivered, dropped, and tries "
               "that failed.\n# TYPE %s counter\n",
               name, name);
    for (int channel = 0; channel < ALERT_CHANNELS; channel++) {
        if (!alerts->senders[channel]) {
            continue;
        }
        struct alert_sender_counts counts = alert_sender_counts(alerts->senders[channel]);
        const char *label = alert_channel_name(channel);
        buf_printf(out, "%s{channel=\"%s\",result=\"delivered\"} %llu\n", name, label,
                   (unsigned long long)counts.delivered);
        buf_printf(out, "%s{channel=\"%s\",result=\"dropped\"} %llu\n", name, label,
                   (unsigned long long)counts.dropped);
        buf_printf(out, "%s{channel=\"%s\",result=\"failed_try\"} %llu\n", name, label,
                   (unsigned long long)counts.failed_tries);
    }
}

static void put_streams(struct alerts *alerts, struct buf *out)
{
    static const char ids[] = "holdfast_ids_used_ratio";
    static const char coverage[] = "holdfast_coverage_ratio";
    struct stream **streams = alerts->config->streams;
    double share;
    buf_printf(out,
               "# HELP %s Share of the values of an id column that are used, of a "
               "stream's two tables the larger.\n# TYPE %s gauge\n",
               ids, ids);
    for (size_t i = 0; i < alerts->config->stream_count; i++) {
        if (ids_used(alerts->ids, i, &share)) {
            buf_printf(out, "%s{stream=\"%s\"} %.9g\n", ids, streams[i]->name, share);
        }
    }
    buf_printf(out,
               "# HELP %s Share of the entities that have their events, by the last "
               "check.\n# TYPE %s gauge\n",
               coverage, coverage);
    for (size_t i = 0; i < alerts->config->stream_count; i++) {
        if (checker_coverage(engine_checker(alerts->engine), i, &share)) {
            buf_printf(out, "%s{stream=\"%s\"} %.9g\n", coverage, streams[i]->name,
                       share);
        }
    }
}

void alerts_metrics(struct alerts *alerts, struct buf *out)
{
    uint64_t raised[ALERT_RULE_COUNT] = {0};
    size_t count = 0;
    pthread_mutex_lock(&alerts->lock);
    const struct alert *all = alert_rules_all(alerts->rules, &count);
    for (size_t i = 0; i < count; i++) {
        raised[all[i].rule] += all[i].raised;
    }
    pthread_mutex_unlock(&alerts->lock);
    buf_append_text(out, "# HELP holdfast_alerts_raised Alerts that are raised now.\n"
                         "# TYPE holdfast_alerts_raised gauge\n");
    for (int rule = 0; rule < ALERT_TEST; rule++) {
        buf_printf(out, "holdfast_alerts_raised{rule=\"%s\"} %llu\n",
                   alert_rule_name(rule), (unsigned long long)raised[rule]);
    }
    put_channels(alerts, out);
    put_streams(alerts, out);
}
