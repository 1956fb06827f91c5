/* /metrics by Debian's own tools: promtool over what a real engine with a real database
 * says, and a real Prometheus that scrapes it and evaluates the shipped rules. */
#include "engine/client.h"
#include "tests/http_probe.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000, PATH = WORLD_PATH_MAX + 64 };

#define RECORD                                                                           \
    "{\"ip\":\"203.0.113.9\",\"timestamp\":\"2026-01-08 "                                \
    "01:04:26\",\"event_type\":\"b\"}"

struct fixture {
    struct world w;
    char config[WORLD_PATH_MAX];
    char log[WORLD_PATH_MAX];
    uint16_t port;
    pid_t engine;
};

/* From PATH, or from where test.sh unpacks Debian's package. */
static const char *tool(const char *name, char out_path[PATH])
{
    snprintf(out_path, PATH, "%s/var/tools/usr/bin/%s", getenv("HOLDFAST_SOURCE"), name);
    if (access(out_path, X_OK) == 0) {
        return out_path;
    }
    char *found = NULL;
    const char *argv[] = {"sh", "-c", "command -v \"$0\"", name, NULL};
    cr_assert_eq(world_run(argv, NULL, &found, TIMEOUT_MS), 0,
                 "%s is needed: '. packaging/dependencies.sh; dependencies_unpack "
                 "var/tools $dependencies_unpacked'",
                 name);
    free(found);
    snprintf(out_path, PATH, "%s", name);
    return out_path;
}

static void start(struct fixture *f)
{
    char text[2048];
    *f = (struct fixture){.port = world_free_port()};
    world_start(&f->w);
    world_path(&f->w, "holdfast.yaml", f->config);
    world_path(&f->w, "holdfast.log", f->log);
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "intake: {listen: \"127.0.0.1:%u\"}\n"
             "database: {socket: %s, name: %s, user: root}\n"
             "check: {every: 1s}\n"
             "alerts: {every: 100ms, disk_free: 0}\n"
             "streams: [{name: mozi, preset: botnet}]\n",
             f->w.dir, f->port, f->w.socket, f->w.database);
    world_write_file(f->config, text);
    const char *argv[] = {world_holdfast(), "serve", "--config", f->config, NULL};
    f->engine = world_spawn(argv, NULL, f->log);
    world_wait_log(f->log, "event=listening", f->engine, TIMEOUT_MS);
}

static void end(struct fixture *f)
{
    (void)kill(f->engine, SIGTERM);
    cr_expect_eq(world_wait(f->engine, TIMEOUT_MS), 0);
    world_stop(&f->w);
}

static void post(const struct fixture *f, const char *body)
{
    struct http_probe probe = {.port = f->port};
    struct http_probe_request request = {
        "POST", "/v1/streams/mozi/records?wait=applied&timeout=60", slice_text(body),
        NULL};
    struct http_probe_answer answer = {0};
    cr_assert_eq(http_probe_send(&probe, &request, &answer), HTTP_ANSWERED);
    cr_expect_eq(answer.status, 200);
    cr_expect(http_probe_number(answer.body, "seq", 0) > 0);
    http_probe_close(&probe);
}

/* /metrics, once it holds `text`. free() it. */
static char *metrics_with(const struct fixture *f, const char *text)
{
    for (int tries = 0; tries < TIMEOUT_MS / 50; tries++) {
        struct buf body = {0};
        cr_assert_eq(http_probe_get(f->port, "/metrics", &body), 200);
        cr_assert_not_null(buf_text(&body));
        if (strstr(body.data, text)) {
            return body.data;
        }
        buf_free(&body);
        usleep(50000);
    }
    cr_assert_fail("/metrics never holds '%s'", text);
    return NULL;
}

Test(prometheus, promtool_is_content_with_the_metrics)
{
    static const char dead[] = "\nholdfast_records_dead_lettered_total{stream=\"mozi\","
                               "lane=\"0\",at=\"intake\"} 1\n";
    static const char *const wanted[] = {
        "\nholdfast_records_accepted_total{stream=\"mozi\",lane=\"0\"} 3\n",
        "\nholdfast_records_applied_total{stream=\"mozi\",lane=\"0\"} 3\n",
        "\nholdfast_records_duplicate_total{stream=\"mozi\",lane=\"0\"} 1\n",
        dead,
        "\nholdfast_apply_seconds_count{stream=\"mozi\",lane=\"0\"} 1\n",
        "\nholdfast_lag_seconds_bucket{stream=\"mozi\",lane=\"0\",le=\"+Inf\"} 1\n",
        "\nholdfast_commit_ambiguous_total{resolved=\"committed\"} 0\n",
        "\nholdfast_apply_retries_total{class=\"transient\"} ",
        "\nholdfast_coverage_ratio{stream=\"mozi\"} 1\n",
        "\nholdfast_ids_used_ratio{stream=\"mozi\"} ",
        "\nholdfast_journal_oldest_pending_age_seconds 0\n",
    };
    struct fixture f;
    char path[PATH];
    start(&f);
    post(&f, RECORD "\n" RECORD "\n{\"ip\":\"x\"}");
    free(metrics_with(&f, "holdfast_ids_used_ratio{"));
    char *text = metrics_with(&f, "holdfast_coverage_ratio{");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        cr_expect(strstr(text, wanted[i]), "no %s in %s", wanted[i], text);
    }
    const char *argv[] = {tool("promtool", path), "check", "metrics", NULL};
    char *said = NULL;
    cr_expect_eq(world_run(argv, text, &said, TIMEOUT_MS), 0, "%s", said);
    free(said);
    free(text);
    end(&f);
}

Test(prometheus, promtool_refuses_what_is_wrong)
{
    char path[PATH];
    const char *argv[] = {tool("promtool", path), "check", "metrics", NULL};
    cr_expect_neq(world_run(argv, "# TYPE a_milliseconds counter\na_milliseconds 1\n",
                            NULL, TIMEOUT_MS),
                  0);
}

/* One answer of Prometheus' own interface (chunked, and so not by http_probe); false: not
 * (yet) `text` in it. */
static bool answers(uint16_t port, const char *path, const char *text)
{
    char url[64];
    struct client *client = NULL;
    struct client_answer answer = {0};
    struct client_call call = {.method = "GET", .path = path, .timeout_s = 10};
    struct err err = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    cr_assert_eq(client_new_url(url, NULL, NULL, &client, &err), ERR_OK, "%s",
                 err.message);
    bool holds = client_request(client, &call, &answer, &err) == ERR_OK &&
                 answer.status == 200 && strstr(answer.body.data, text);
    buf_free(&answer.body);
    client_free(client);
    return holds;
}

static void await(const struct fixture *f, uint16_t port, const char *path,
                  const char *text)
{
    for (int tries = 0; tries < TIMEOUT_MS / 50; tries++) {
        if (answers(port, path, text)) {
            return;
        }
        usleep(50000);
    }
    char log[WORLD_PATH_MAX];
    world_path(&f->w, "prometheus.log", log);
    cr_expect_fail("no '%s' in %s: %s", text, path, world_read_file(log));
}

static pid_t start_prometheus(struct fixture *f, uint16_t port)
{
    char config[WORLD_PATH_MAX];
    char log[WORLD_PATH_MAX];
    char path[PATH];
    char text[1024];
    char options[3][PATH];
    world_path(&f->w, "prometheus.yml", config);
    world_path(&f->w, "prometheus.log", log);
    snprintf(text, sizeof text,
             "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
             "rule_files: [\"%s/docs/prometheus/holdfast.rules.yml\"]\n"
             "scrape_configs:\n  - job_name: holdfast\n    static_configs:\n"
             "      - targets: [\"127.0.0.1:%u\"]\n",
             getenv("HOLDFAST_SOURCE"), f->port);
    world_write_file(config, text);
    snprintf(options[0], PATH, "--config.file=%s", config);
    snprintf(options[1], PATH, "--storage.tsdb.path=%s/tsdb", f->w.dir);
    snprintf(options[2], PATH, "--web.listen-address=127.0.0.1:%u", port);
    const char *argv[] = {tool("prometheus", path), options[0], options[1], options[2],
                          NULL};
    return world_spawn(argv, NULL, log);
}

Test(prometheus, a_real_one_scrapes_and_knows_the_rules)
{
    struct fixture f;
    start(&f);
    post(&f, RECORD);
    uint16_t port = world_free_port();
    pid_t prometheus = start_prometheus(&f, port);
    await(&f, port, "/api/v1/query?query=holdfast_records_accepted_total",
          "\"stream\":\"mozi\"},\"value\":[");
    await(&f, port,
          "/api/v1/query?query=histogram_quantile(0.5,holdfast_lag_seconds_bucket)",
          "\"stream\":\"mozi\"");
    await(&f, port, "/api/v1/targets", "\"health\":\"up\"");
    await(&f, port, "/api/v1/rules", "HoldfastDatabaseRewound");
    world_kill(prometheus);
    end(&f);
}

Test(prometheus, the_rules_are_sound)
{
    char path[PATH];
    char rules[PATH];
    snprintf(rules, sizeof rules, "%s/docs/prometheus/holdfast.rules.yml",
             getenv("HOLDFAST_SOURCE"));
    const char *argv[] = {tool("promtool", path), "check", "rules", rules, NULL};
    cr_expect_eq(world_run(argv, NULL, NULL, TIMEOUT_MS), 0);
}

/* Every metric that a rule names is one that the engine has. */
Test(prometheus, the_rules_name_metrics_that_exist)
{
    struct fixture f;
    char path[PATH];
    start(&f);
    char *metrics = metrics_with(&f, "holdfast_coverage_ratio{");
    snprintf(path, sizeof path, "%s/docs/prometheus/holdfast.rules.yml",
             getenv("HOLDFAST_SOURCE"));
    char *rules = world_read_file(path);
    unsigned found = 0;
    for (const char *at = strstr(rules, "holdfast_"); at;
         at = strstr(at + 1, "holdfast_")) {
        char type[128];
        size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        if (len > 7 && strncmp(at + len - 7, "_bucket", 7) == 0) {
            len -= 7;
        }
        snprintf(type, sizeof type, "# TYPE %.*s ", (int)len, at);
        cr_expect(strstr(metrics, type), "no %s", type);
        found++;
    }
    cr_expect_gt(found, 10);
    free(rules);
    free(metrics);
    end(&f);
}
