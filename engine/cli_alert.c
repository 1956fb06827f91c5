/* `alert --test`: one message to each channel, at once and by this process. */
#include "engine/alert_send.h"
#include "engine/cli.h"

#include <stdio.h>
#include <unistd.h>

static int make_body(const struct alert_config *config, enum alert_channel channel,
                     struct buf *out, struct err *err)
{
    struct alert_event event = alert_test_event();
    char host[64] = "localhost";
    (void)gethostname(host, sizeof host - 1); /* where it fails, that stays */
    struct alert_message message = {
        .host = host,
        .journal_id = "",
        .wall_us = clock_wall_us(&clock_system),
        .steady_us = clock_steady_us(&clock_system),
        .events = &event,
        .count = 1,
    };
    event.alert.raised_us = message.steady_us;
    if (channel == ALERT_WEBHOOK) {
        alert_message_json(out, &message);
    } else {
        alert_message_mail(out, &message, &config->smtp);
    }
    return out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for a message") : ERR_OK;
}

/* True: delivered. */
static bool test_channel(const struct alert_config *config, enum alert_channel channel)
{
    struct buf body = {0};
    struct err err = {0};
    int code = make_body(config, channel, &body, &err);
    code = code ? code : alert_deliver(config, channel, buf_slice(&body), NULL, &err);
    buf_free(&body);
    if (code) {
        cli_fail(EXIT_PROBLEM, "%s", err.message);
    } else {
        printf("%s: delivered\n", alert_channel_name(channel));
    }
    return code == ERR_OK;
}

int cli_alert(const struct cli *cli)
{
    struct config *config = NULL;
    if (!cli_has(cli, OPTION_TEST)) {
        return cli_fail(EXIT_USAGE, "say --test: alerts are raised by the running "
                                    "engine, and this command can only send a test");
    }
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    unsigned channels = 0;
    unsigned delivered = 0;
    for (int channel = 0; channel < ALERT_CHANNELS; channel++) {
        if (alert_channel(&config->alerts, channel)->url) {
            channels++;
            delivered += test_channel(&config->alerts, channel);
        }
    }
    config_free(config);
    if (channels == 0) {
        return cli_fail(EXIT_CONFIGURATION,
                        "no channel is configured; set alerts.webhook or alerts.smtp");
    }
    return delivered == channels ? EXIT_FINE : EXIT_PROBLEM;
}
