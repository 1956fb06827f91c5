/* Alerts, from the real engine to real servers: tests/receiver.py. The database is one
 * that nobody serves, so that whatever is taken waits. */
#include "engine/alert_message.h"
#include "engine/alert_send.h"
#include "engine/json.h"
#include "tests/certificate.h"
#include "tests/http_probe.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000, PATH = WORLD_PATH_MAX + 32, ARGS = 24 };

#define RECORD                                                                           \
    "{\"ip\":\"203.0.113.9\",\"timestamp\":\"2026-01-08 "                                \
    "01:04:26\",\"event_type\":\"b\"}"

struct fixture {
    char dir[WORLD_PATH_MAX];
    char config[PATH];
    char log[PATH];
    char messages[PATH];
    char cert[PATH];
    char key[PATH];
    unsigned port; /* the receiver's */
    pid_t receiver;
    pid_t engine;
    uint16_t http; /* the engine's */
};

static void in_dir(const struct fixture *f, const char *name, char out_path[PATH])
{
    snprintf(out_path, PATH, "%s/%s", f->dir, name);
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    world_make_dir(f->dir);
    in_dir(f, "holdfast.yaml", f->config);
    in_dir(f, "holdfast.log", f->log);
    in_dir(f, "messages", f->messages);
    in_dir(f, "cert.pem", f->cert);
    in_dir(f, "key.pem", f->key);
}

static void end(struct fixture *f)
{
    if (f->engine) {
        (void)kill(f->engine, SIGTERM);
        cr_expect_eq(world_wait(f->engine, TIMEOUT_MS), 0);
    }
    if (f->receiver) {
        world_kill(f->receiver);
    }
    world_remove_dir(f->dir);
}

/* `words`: further arguments, parted by blanks; CERT stands for certificate and key. */
static void receive(struct fixture *f, const char *kind, const char *words)
{
    char script[PATH];
    char copy[256];
    char log[PATH];
    char port_path[PATH];
    char port[16];
    const char *argv[ARGS] = {"/usr/bin/python3", script, kind, f->dir};
    size_t count = 4;
    snprintf(script, sizeof script, "%s/tests/receiver.py", getenv("HOLDFAST_SOURCE"));
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "CERT") == 0) {
            argv[count++] = "--cert";
            argv[count++] = f->cert;
            argv[count++] = "--key";
            word = f->key;
        }
        argv[count++] = word;
    }
    if (f->port) { /* the same again */
        snprintf(port, sizeof port, "%u", f->port);
        argv[count++] = "--port";
        argv[count++] = port;
    }
    in_dir(f, "receiver.log", log);
    in_dir(f, "port", port_path);
    (void)remove(port_path);
    f->receiver = world_spawn(argv, NULL, log);
    world_wait_log(port_path, "\n", f->receiver, TIMEOUT_MS);
    char *text = world_read_file(port_path);
    f->port = (unsigned)strtoul(text, NULL, 10);
    free(text);
}

/* `alerts`: the group's inner text. */
static void configure(const struct fixture *f, const char *alerts)
{
    char text[2048];
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "intake: {listen: \"127.0.0.1:%u\"}\n"
             "database: {socket: %s/nobody.sock, name: b, user: u}\n"
             "streams: [{name: mozi, preset: botnet}]\n"
             "alerts: {%s}\n",
             f->dir, f->http, f->dir, alerts);
    world_write_file(f->config, text);
}

static void serve(struct fixture *f)
{
    const char *argv[] = {world_holdfast(), "serve", "--config", f->config, NULL};
    f->engine = world_spawn(argv, NULL, f->log);
    world_wait_log(f->log, "event=listening", f->engine, TIMEOUT_MS);
}

static void post(const struct fixture *f)
{
    struct http_probe probe = {.port = f->http};
    struct http_probe_request request = {"POST", "/v1/streams/mozi/records",
                                         SLICE_LITERAL(RECORD), NULL};
    struct http_probe_answer answer = {0};
    cr_assert_eq(http_probe_send(&probe, &request, &answer), HTTP_ANSWERED);
    cr_expect_eq(answer.status, 200);
    http_probe_close(&probe);
}

static void expect_file(const char *path, const char *text)
{
    char *all = world_read_file(path);
    cr_expect(all && strstr(all, text), "%s lacks '%s': %s", path, text, all ? all : "");
    free(all);
}

static void lack(const char *path, const char *text)
{
    char *all = world_read_file(path);
    cr_expect(!all || !strstr(all, text), "%s holds '%s': %s", path, text, all);
    free(all);
}

/* `alert --test` with its exit code and what it must say on either output. */
static void try(const struct fixture *f, int exit_code, const char *says)
{
    char log[PATH];
    const char *argv[] = {world_holdfast(), "alert",   "--test",
                          "--config",       f->config, NULL};
    in_dir(f, "alert.log", log);
    (void)remove(log);
    int code = world_wait(world_spawn(argv, NULL, log), TIMEOUT_MS);
    char *text = world_read_file(log);
    cr_expect_eq(code, exit_code, "%d: %s", code, text);
    cr_expect(text && strstr(text, says), "no '%s' in: %s", says, text);
    free(text);
}

#define FAST "every: 100ms, hold: 0, lag: 1s, disk_free: 0, timeout: 2s, "

static void serve_with_webhook(struct fixture *f, const char *more)
{
    char alerts[512];
    f->http = world_free_port();
    snprintf(alerts, sizeof alerts,
             FAST "webhook: {url: \"http://127.0.0.1:%u/hook\", tls: false}%s", f->port,
             more);
    configure(f, alerts);
    serve(f);
}

/* ---- Webhook --------------------------------------------------------------------- */

Test(alerts, are_raised_repeated_and_cleared_by_webhook)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "");
    serve_with_webhook(&f, ", repeat: 1s");
    post(&f);
    world_wait_log(f.messages, "\"event\": \"raised\"", f.engine, TIMEOUT_MS);
    world_wait_log(f.messages, "\"event\": \"repeated\"", f.engine, TIMEOUT_MS);
    expect_file(f.messages, "\"rule\": \"lag_growing\"");
    expect_file(f.messages, "\"subject\": \"mozi\"");
    expect_file(f.messages, "\"path\": \"/hook\"");
    expect_file(f.messages, "\"type\": \"application/json\"");
    lack(f.messages, "203.0.113.9");
    struct buf text = {0};
    cr_expect_eq(http_probe_get(f.http, "/v1/status", &text), 200);
    cr_expect(buf_text(&text) &&
                  strstr(text.data, "\"raised\":[{\"rule\":\"lag_growing\""),
              "%s", text.data);
    buf_clear(&text);
    cr_expect_eq(http_probe_get(f.http, "/metrics", &text), 200);
    cr_expect(buf_text(&text) &&
                  strstr(text.data, "holdfast_alerts_raised{rule=\"lag_growing\"} 1\n"),
              "%s", text.data);
    buf_free(&text);
    /* Higher limits, read again on HUP: it is over. */
    char alerts[512];
    snprintf(alerts, sizeof alerts,
             "every: 100ms, hold: 0, lag: 10d, disk_free: 0, webhook: {url: "
             "\"http://127.0.0.1:%u/hook\", tls: false}",
             f.port);
    configure(&f, alerts);
    (void)kill(f.engine, SIGHUP);
    world_wait_log(f.messages, "\"event\": \"cleared\"", f.engine, TIMEOUT_MS);
    end(&f);
}

Test(alerts, a_receiver_that_refuses_is_tried_again)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "--refuse 2");
    serve_with_webhook(&f, "");
    post(&f);
    world_wait_log(f.messages, "\"refused\": false", f.engine, TIMEOUT_MS);
    expect_file(f.log, "event=alert_not_delivered channel=webhook tries=2");
    expect_file(f.log, "it answers 503");
    end(&f);
}

Test(alerts, a_redirect_is_named_and_not_followed)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "--refuse 1 --status 302");
    serve_with_webhook(&f, "");
    post(&f);
    world_wait_log(f.messages, "\"refused\": false", f.engine, TIMEOUT_MS);
    expect_file(f.log, "it answers 302; redirects are not followed");
    end(&f);
}

Test(alerts, a_message_that_is_refused_for_good_is_given_up)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "--refuse 1 --status 400");
    serve_with_webhook(&f, ", repeat: 1s");
    post(&f);
    world_wait_log(f.messages, "\"refused\": false", f.engine, TIMEOUT_MS);
    expect_file(f.log, "event=alert_given_up channel=webhook tries=1");
    end(&f);
}

Test(alerts, a_receiver_that_hangs_holds_up_nothing)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "--hang");
    serve_with_webhook(&f, ", repeat: 1s");
    post(&f);
    world_wait_log(f.messages, "\"event\": \"raised\"", f.engine, TIMEOUT_MS);
    for (int i = 0; i < 20; i++) {
        post(&f); /* while the delivery hangs */
    }
    world_wait_log(f.log, "no answer in time", f.engine, TIMEOUT_MS);
    end(&f); /* and it stops in order */
}

Test(alerts, a_receiver_that_died_gets_them_when_it_is_back)
{
    struct fixture f;
    setup(&f);
    receive(&f, "http", "");
    world_kill(f.receiver);
    serve_with_webhook(&f, "");
    post(&f);
    world_wait_log(f.log, "event=alert_not_delivered", f.engine, TIMEOUT_MS);
    receive(&f, "http", "");
    world_wait_log(f.messages, "\"rule\": \"lag_growing\"", f.engine, TIMEOUT_MS);
    end(&f);
}

Test(alerts, a_webhook_by_tls_with_a_token)
{
    struct fixture f;
    char alerts[1024];
    setup(&f);
    certificate_make(f.dir, f.cert, f.key);
    receive(&f, "http", "CERT");
    char token[PATH];
    in_dir(&f, "token", token);
    world_write_file(token, "s3cret-word\n");
    snprintf(alerts, sizeof alerts,
             "webhook: {url: \"https://localhost:%u/\", token_file: %s, ca: %s}", f.port,
             token, f.cert);
    configure(&f, alerts);
    try(&f, 0, "webhook: delivered");
    expect_file(f.messages, "\"authorization\": \"Bearer s3cret-word\"");
    expect_file(f.messages, "\"rule\": \"test\"");
    /* read again at each send */
    world_write_file(token, "another\n");
    try(&f, 0, "webhook: delivered");
    expect_file(f.messages, "\"authorization\": \"Bearer another\"");
    (void)remove(token);
    try(&f, 1, "the alerts' secret in");
    /* a certificate that nobody signed whom we trust */
    snprintf(alerts, sizeof alerts, "webhook: {url: \"https://localhost:%u/\"}", f.port);
    configure(&f, alerts);
    try(&f, 1, "certificate");
    end(&f);
}

/* ---- Mail ------------------------------------------------------------------------ */

static void configure_mail(const struct fixture *f, const char *url, const char *more)
{
    char alerts[1024];
    snprintf(alerts, sizeof alerts,
             FAST "smtp: {url: \"%s:%u\", from: hf@example.org, to: [a@example.org, "
                  "b@example.org], ca: %s%s}",
             url, f->port, f->cert, more);
    configure(f, alerts);
}

static void expect_test_mail(const struct fixture *f)
{
    expect_file(f->messages, "\"from\": \"hf@example.org\"");
    expect_file(f->messages, "\"to\": [\"a@example.org\", \"b@example.org\"]");
    expect_file(f->messages, "raised test test");
    expect_file(f->messages, "\"tls\": true");
}

Test(alerts, mail_by_tls)
{
    struct fixture f;
    setup(&f);
    certificate_make(f.dir, f.cert, f.key);
    receive(&f, "smtp", "CERT");
    configure_mail(&f, "smtps://localhost", "");
    try(&f, 0, "smtp: delivered");
    expect_test_mail(&f);
    end(&f);
}

Test(alerts, mail_by_starttls_with_a_password)
{
    struct fixture f;
    char more[PATH + 64];
    char password[PATH];
    setup(&f);
    certificate_make(f.dir, f.cert, f.key);
    in_dir(&f, "password", password);
    world_write_file(password, "right\n");
    receive(&f, "smtp", "CERT --starttls --user hf --password right");
    snprintf(more, sizeof more, ", user: hf, password_file: %s", password);
    configure_mail(&f, "smtp://localhost", more);
    try(&f, 0, "smtp: delivered");
    expect_test_mail(&f);
    expect_file(f.messages, "\"user\": \"hf\"");
    world_write_file(password, "wrong\n");
    try(&f, 1, "alerts by smtp");
    end(&f);
}

Test(alerts, mail_is_not_sent_unencrypted_unless_allowed)
{
    struct fixture f;
    setup(&f);
    certificate_make(f.dir, f.cert, f.key);
    receive(&f, "smtp", "");
    configure_mail(&f, "smtp://127.0.0.1", "");
    try(&f, 1, "alerts by smtp");
    cr_expect_null(world_read_file(f.messages));
    configure_mail(&f, "smtp://127.0.0.1", ", tls: false");
    try(&f, 0, "smtp: delivered");
    expect_file(f.messages, "\"tls\": false");
    end(&f);
}

Test(alerts, mail_of_a_real_alert_after_a_refusal)
{
    struct fixture f;
    setup(&f);
    receive(&f, "smtp", "--refuse 1");
    f.http = world_free_port();
    char alerts[512];
    snprintf(alerts, sizeof alerts,
             FAST "smtp: {url: \"smtp://127.0.0.1:%u\", from: hf@example.org, "
                  "to: [a@example.org], tls: false}",
             f.port);
    configure(&f, alerts);
    serve(&f);
    post(&f);
    world_wait_log(f.messages, "raised lag_growing mozi", f.engine, TIMEOUT_MS);
    expect_file(f.messages, "Auto-Submitted: auto-generated");
    expect_file(f.log, "event=alert_not_delivered channel=smtp");
    end(&f);
}

/* ---- The command, the configuration ---------------------------------------------- */

Test(alerts, the_command_needs_a_channel)
{
    struct fixture f;
    setup(&f);
    configure(&f, "every: 5s");
    try(&f, 78, "no channel is configured");
    end(&f);
}

static const struct {
    const char *alerts;
    const char *says;
} refused[] = {
    {"webhook: {url: \"http://h/\"}", "alerts.webhook.url: is not encrypted"},
    {"webhook: {url: \"ftp://h/\"}", "alerts.webhook.url: is no address"},
    {"webhook: {token_file: /t}", "alerts.webhook.url: is missing"},
    {"smtp: {url: \"smtp://h\", to: [a@b]}", "alerts.smtp.from: is missing"},
    {"smtp: {url: \"smtp://h\", from: a@b}", "alerts.smtp.to: 1 to 16"},
    {"smtp: {url: \"smtp://h\", from: a@b, to: [\"a@b, c@d\"]}", "is no mail address"},
    {"smtp: {url: \"smtp://h\", from: a@b, to: [a@b], user: u}", "go together"},
    {"smtp: {from: a@b}", "alerts.smtp.url: is missing"},
    {"lag: 7", "alerts.lag: '7' is not a time"},
    {"every: 1ms", "alerts.every: is less than"},
    {"ids: 101", "alerts.ids: "},
};

Test(alerts, what_the_configuration_refuses)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[512];
        struct config *config = NULL;
        struct err err = {0};
        snprintf(text, sizeof text,
                 "database: {name: b, user: u}\n"
                 "streams: [{name: mozi, preset: botnet}]\nalerts: {%s}\n",
                 refused[i].alerts);
        cr_expect_eq(config_parse("x", slice_text(text), &config, &err), ERR_CONFIG, "%s",
                     refused[i].alerts);
        cr_expect(strstr(err.message, refused[i].says), "%s: %s", refused[i].alerts,
                  err.message);
    }
}

/* ---- Messages, pure -------------------------------------------------------------- */

Test(alerts, a_reason_can_not_forge_a_line)
{
    const char *const to[] = {"a@b"};
    struct alert_channel_config smtp = {.from = "c@d", .to = to, .to_count = 1};
    struct alert_event event = {
        ALERT_RAISED,
        {.rule = ALERT_STOPPED, .subject = "x\r\nBcc: e@f", .text = "a\r\n.\r\nb\"\x01"}};
    struct alert_message message = {"host", "id", 0, 0, &event, 1};
    struct buf mail = {0};
    struct buf json = {0};
    alert_message_mail(&mail, &message, &smtp);
    cr_expect(buf_text(&mail) && !strstr(mail.data, "\nBcc") &&
              !strstr(mail.data, "\n."));
    alert_message_json(&json, &message);
    cr_assert_not_null(buf_text(&json));
    struct json_value *value = json_parse(buf_slice(&json));
    const struct json_value *alert = json_item(json_get(value, "alerts"), 0);
    cr_expect_str_eq(json_as_text(json_get(alert, "summary")), "a\r\n.\r\nb\"\x01");
    cr_expect_str_eq(json_as_text(json_get(alert, "severity")), "critical");
    cr_expect_str_eq(json_as_text(json_get(alert, "since")), "1970-01-01T00:00:00Z");
    json_value_free(value);
    buf_free(&mail);
    buf_free(&json);
}

Test(alerts, the_wait_between_tries_grows_and_is_bounded)
{
    cr_expect_eq(alert_retry_us(1), 1000000);
    cr_expect_eq(alert_retry_us(2), 2000000);
    cr_expect_eq(alert_retry_us(ALERT_TRIES), 300000000);
    cr_expect_eq(alert_retry_us(1000000), 300000000);
}
