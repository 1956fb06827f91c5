#include "engine/alert_message.h"

#include "engine/json.h"
#include "holdfast_version.h"

#include <stdio.h>
#include <time.h>

void alert_time(int64_t wall_us, char out_text[ALERT_TIME_TEXT])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    strftime(out_text, ALERT_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* Reasons come from servers: no line end of theirs makes a line of ours. */
static void put_plain(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        buf_append(out, c < 32 || c == 127 ? " " : text, 1);
    }
}

void alert_line(struct buf *out, const struct alert_event *event)
{
    const struct alert *alert = &event->alert;
    buf_printf(out, "%s %s ", alert_change_name(event->change),
               alert_rule_name(alert->rule));
    put_plain(out, alert->subject);
    if (alert->text[0]) {
        buf_append_text(out, ": ");
        put_plain(out, alert->text);
    }
}

static int64_t since_us(const struct alert_message *message, const struct alert *alert)
{
    return message->wall_us - (message->steady_us - alert->raised_us);
}

static void put_event(struct json_writer *json, const struct alert_message *message,
                      const struct alert_event *event)
{
    const struct alert *alert = &event->alert;
    char time[ALERT_TIME_TEXT];
    alert_time(since_us(message, alert), time);
    json_object(json);
    json_put_text(json, "event", alert_change_name(event->change));
    json_put_text(json, "rule", alert_rule_name(alert->rule));
    json_put_text(json, "subject", alert->subject);
    json_put_text(json, "severity", alert_rule_severity(alert->rule));
    json_put_text(json, "since", time);
    json_key(json, "value");
    json_real(json, alert->value);
    json_key(json, "limit");
    json_real(json, alert->limit);
    json_put_text(json, "summary", alert->text);
    json_put_text(json, "advice", alert_rule_advice(alert->rule));
    json_object_end(json);
}

static void put_text(struct json_writer *json, const struct alert_message *message)
{
    struct buf text = {0};
    buf_printf(&text, "Holdfast on %s:", message->host);
    for (size_t i = 0; i < message->count; i++) {
        buf_append_text(&text, message->count > 1 ? "\n" : " ");
        alert_line(&text, &message->events[i]);
    }
    const char *whole = buf_text(&text);
    json_put_text(json, "text", whole ? whole : "");
    buf_free(&text);
}

void alert_message_json(struct buf *out, const struct alert_message *message)
{
    char time[ALERT_TIME_TEXT];
    struct json_writer *json = json_new();
    if (!json) {
        out->failed = true;
        return;
    }
    alert_time(message->wall_us, time);
    json_object(json);
    json_put_unsigned(json, "version", 1);
    put_text(json, message);
    json_put_text(json, "at", time);
    json_put_text(json, "host", message->host);
    json_put_text(json, "journal_id", message->journal_id);
    json_put_text(json, "holdfast", HOLDFAST_VERSION);
    json_key(json, "alerts");
    json_array(json);
    for (size_t i = 0; i < message->count; i++) {
        put_event(json, message, &message->events[i]);
    }
    json_array_end(json);
    json_object_end(json);
    struct slice text = json_result(json);
    if (text.len == 0 || !buf_append_slice(out, text)) {
        out->failed = true;
    }
    json_free(json);
}

/* ---- Mail ------------------------------------------------------------------------ */

static void put_heads(struct buf *out, const struct alert_message *message,
                      const struct alert_channel_config *smtp)
{
    time_t seconds = (time_t)(message->wall_us / 1000000);
    struct tm parts = {0};
    char date[64];
    const struct alert_event *first = &message->events[0];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    buf_printf(out, "Date: %s\r\nFrom: Holdfast <%s>\r\nTo: ", date, smtp->from);
    for (size_t i = 0; i < smtp->to_count; i++) {
        buf_printf(out, "%s<%s>", i ? ",\r\n " : "", smtp->to[i]);
    }
    buf_printf(out, "\r\nMessage-ID: <%lld.%lld@%s>\r\n", (long long)message->wall_us,
               (long long)message->steady_us, message->host);
    buf_printf(out, "Subject: [holdfast %s] %s %s ", message->host,
               alert_change_name(first->change), alert_rule_name(first->alert.rule));
    put_plain(out, first->alert.subject);
    if (message->count > 1) {
        buf_printf(out, " and %zu more", message->count - 1);
    }
    buf_append_text(out, "\r\nMIME-Version: 1.0\r\n"
                         "Content-Type: text/plain; charset=utf-8\r\n"
                         "Content-Transfer-Encoding: 8bit\r\n"
                         "Auto-Submitted: auto-generated\r\n\r\n");
}

void alert_message_mail(struct buf *out, const struct alert_message *message,
                        const struct alert_channel_config *smtp)
{
    char time[ALERT_TIME_TEXT];
    put_heads(out, message, smtp);
    for (size_t i = 0; i < message->count; i++) {
        const struct alert_event *event = &message->events[i];
        alert_time(since_us(message, &event->alert), time);
        alert_line(out, event);
        buf_printf(out, "\r\n  %s, since %s; value %.6g, limit %.6g\r\n  %s\r\n\r\n",
                   alert_rule_severity(event->alert.rule), time, event->alert.value,
                   event->alert.limit, alert_rule_advice(event->alert.rule));
    }
    alert_time(message->wall_us, time);
    buf_printf(out, "Holdfast %s on %s, journal %s, %s\r\n", HOLDFAST_VERSION,
               message->host, message->journal_id, time);
}

struct alert_event alert_test_event(void)
{
    struct alert_event event = {ALERT_RAISED,
                                {.rule = ALERT_TEST,
                                 .subject = "test",
                                 .text = "This is a test: nothing is wrong."}};
    return event;
}
