#include "engine/config_alerts.h"

#include <strings.h>

#define SECOND_US INT64_C(1000000)

void config_alerts_defaults(struct alert_config *alerts)
{
    *alerts = (struct alert_config){
        .webhook = {.tls = true},
        .smtp = {.tls = true},
        .every_us = 5 * SECOND_US,
        .timeout_s = 15,
        .limits =
            {
                .hold_us = 30 * SECOND_US,
                .repeat_us = 14400 * SECOND_US,
                .lag_us = 600 * SECOND_US,
                .dead_letters = 100,
                .conflicts = 1000,
                .dead_letters_full = 8000,
                .journal_full = 8000,
                .disk_free = UINT64_C(1) << 30,
                .retention = 5000,
                .ids = 8000,
            },
    };
}

static bool begins(const char *text, const char *with)
{
    return strncasecmp(text, with, strlen(with)) == 0;
}

static void check_url(struct config_reader *reader, const char *path, const char *url,
                      const char *plain, const char *secure)
{
    if (url && !begins(url, plain) && !begins(url, secure)) {
        read_refuse(reader, path, "is no address; write %shost/..., or %shost/...",
                    secure, plain);
    }
}

/* No line end, or it would end a header's line too. */
static void check_address(struct config_reader *reader, const char *path,
                          const char *address)
{
    if (!address || !strchr(address, '@') || strpbrk(address, "\r\n<> ,")) {
        read_refuse(reader, path, "%s; write one address such as ops@example.org",
                    address ? "is no mail address" : "is missing");
    }
}

static void read_webhook(struct config_reader *reader, const struct raw_channel *raw,
                         struct alert_channel_config *webhook)
{
    read_text(reader, "alerts.webhook.url", raw->url, &webhook->url);
    read_text(reader, "alerts.webhook.token_file", raw->token_file,
              &webhook->secret_file);
    read_text(reader, "alerts.webhook.ca", raw->ca, &webhook->ca);
    read_bool(reader, "alerts.webhook.tls", raw->tls, &webhook->tls);
    check_url(reader, "alerts.webhook.url", webhook->url, "http://", "https://");
    if (webhook->url && webhook->tls && begins(webhook->url, "http://")) {
        read_refuse(reader, "alerts.webhook.url",
                    "is not encrypted; write https://, or set alerts.webhook.tls to "
                    "false");
    }
    if (!webhook->url && (raw->token_file || raw->ca || raw->tls)) {
        read_refuse(reader, "alerts.webhook.url", "is missing; add it");
    }
}

static void read_smtp(struct config_reader *reader, const struct raw_channel *raw,
                      struct alert_channel_config *smtp)
{
    read_text(reader, "alerts.smtp.url", raw->url, &smtp->url);
    read_text(reader, "alerts.smtp.from", raw->from, &smtp->from);
    read_text(reader, "alerts.smtp.user", raw->user, &smtp->user);
    read_text(reader, "alerts.smtp.password_file", raw->password_file,
              &smtp->secret_file);
    read_text(reader, "alerts.smtp.ca", raw->ca, &smtp->ca);
    read_bool(reader, "alerts.smtp.tls", raw->tls, &smtp->tls);
    check_url(reader, "alerts.smtp.url", smtp->url, "smtp://", "smtps://");
    if (!smtp->url) {
        if (raw->from || raw->to || raw->user || raw->password_file || raw->ca) {
            read_refuse(reader, "alerts.smtp.url", "is missing; add it");
        }
        return;
    }
    check_address(reader, "alerts.smtp.from", smtp->from);
    if (raw->to_count == 0 || raw->to_count > ALERT_TO_MAX) {
        read_refuse(reader, "alerts.smtp.to",
                    "1 to %d addresses can be listed, such as [ops@example.org]",
                    ALERT_TO_MAX);
    }
    for (size_t i = 0; i < raw->to_count && !reader->code; i++) {
        check_address(reader, "alerts.smtp.to", raw->to[i]);
    }
    smtp->to = (const char *const *)raw->to;
    smtp->to_count = raw->to_count;
    if (!smtp->user != !smtp->secret_file) {
        read_refuse(reader, "alerts.smtp.user",
                    "user and password_file go together; set both, or neither");
    }
}

static void read_limits(struct config_reader *reader, const struct raw_alerts *raw,
                        struct alert_limits *limits)
{
    struct read_range any = {0, 1000000000000};
    read_duration(reader, "alerts.hold", raw->hold, &limits->hold_us);
    read_duration(reader, "alerts.repeat", raw->repeat, &limits->repeat_us);
    read_duration(reader, "alerts.lag", raw->lag, &limits->lag_us);
    read_count(reader, "alerts.dead_letters", raw->dead_letters, any,
               &limits->dead_letters);
    read_count(reader, "alerts.conflicts", raw->conflicts, any, &limits->conflicts);
    read_percent(reader, "alerts.dead_letters_full", raw->dead_letters_full,
                 &limits->dead_letters_full);
    read_percent(reader, "alerts.journal_full", raw->journal_full, &limits->journal_full);
    read_size(reader, "alerts.disk_free", raw->disk_free, 0, &limits->disk_free);
    read_percent(reader, "alerts.retention", raw->retention, &limits->retention);
    read_percent(reader, "alerts.ids", raw->ids, &limits->ids);
}

void config_alerts_read(struct config_reader *reader, const struct raw_alerts *raw,
                        struct alert_config *alerts)
{
    read_webhook(reader, &raw->webhook, &alerts->webhook);
    read_smtp(reader, &raw->smtp, &alerts->smtp);
    read_duration(reader, "alerts.every", raw->every, &alerts->every_us);
    read_seconds(reader, "alerts.timeout", raw->timeout, &alerts->timeout_s);
    read_limits(reader, raw, &alerts->limits);
    if (alerts->every_us < SECOND_US / 10) {
        read_refuse(reader, "alerts.every", "is less than 100ms; write such as 5s");
    }
}
