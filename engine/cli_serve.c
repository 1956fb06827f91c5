/* `serve`: engine, HTTP, signals.
 *
 * All signals are blocked before any thread starts, and taken by this one, which also
 * looks after the journal's health and the service manager's watchdog. While stopping, a
 * second TERM or INT has its default effect and ends the process at once; an alarm bounds
 * the stop. Neither loses anything: what was acknowledged is synced. */
#include "engine/alerts.h"
#include "engine/cli.h"
#include "engine/http.h"
#include "engine/notify.h"
#include "holdfast_version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_US = 200000,
    STATUS_EVERY_US = 5000000,
    STOP_HTTP_US = 4000000,
    STOP_REPLAY_US = 4000000,
    STOP_ALARM_S = 9,
};

struct server {
    struct engine *engine;
    struct http *http;
    int64_t watchdog_us;
    int64_t next_watchdog_us;
    int64_t next_status_us;
};

static int64_t now_us(void)
{
    return clock_steady_us(&clock_system);
}

static sigset_t our_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

/* Of the configuration only the alerts' limits are taken anew. */
static void reload_limits(struct server *server)
{
    struct config *config = NULL;
    struct err err = {0};
    if (config_load(engine_config(server->engine)->path, &config, &err)) {
        log_error("reload_failed", L_STR("what", "alert limits"), L_CODE(&err),
                  L_ERR(&err));
        return;
    }
    alerts_set_limits(engine_alerts(server->engine), &config->alerts.limits);
    config_free(config);
    log_info("reloaded", L_STR("what", "alert limits"));
}

static void reload(struct server *server)
{
    struct err err = {0};
    if (http_reload(server->http, &err)) {
        log_error("reload_failed", L_STR("what", "tokens"), L_CODE(&err), L_ERR(&err));
    } else {
        log_info("reloaded", L_STR("what", "tokens"));
    }
    reload_limits(server);
}

static void tell_progress(struct server *server)
{
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    uint64_t pending = 0;
    struct err err = {0};
    char text[128];
    if (journal_lanes(engine_journal(server->engine), &lanes, &count, &err)) {
        return; /* the health check says it */
    }
    for (size_t i = 0; i < count; i++) {
        pending += journal_lane_pending(&lanes[i]);
    }
    free(lanes);
    snprintf(text, sizeof text, "STATUS=%llu records to apply in %zu lanes",
             (unsigned long long)pending, count);
    notify_send(text);
}

static void tick(struct server *server)
{
    int64_t now = now_us();
    if (server->watchdog_us && now >= server->next_watchdog_us) {
        server->next_watchdog_us = now + server->watchdog_us;
        notify_send("WATCHDOG=1");
    }
    if (now >= server->next_status_us) {
        server->next_status_us = now + STATUS_EVERY_US;
        tell_progress(server);
    }
}

/* Until TERM or INT (0), or until the journal failed (its exit code). */
static int attend(struct server *server)
{
    sigset_t set = our_signals();
    struct timespec wait = {.tv_nsec = TICK_US * 1000L};
    struct err err = {0};
    for (;;) {
        int signal_number = sigtimedwait(&set, NULL, &wait);
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            log_info("stopping", L_STR("signal", sigabbrev_np(signal_number)));
            return 0;
        }
        if (signal_number == SIGHUP) {
            reload(server);
        }
        if (engine_failed(server->engine, &err)) {
            log_error("failed", L_CODE(&err), L_ERR(&err));
            return EXIT_JOURNAL;
        }
        tick(server);
    }
}

/* A call that can't be cut, such as a connect to a host that says nothing, has outlasted
 * the stop. All that matters is on disk: what was acknowledged is synced, and what the
 * database has taken is in its ledger. */
static void give_up(int signal_number)
{
    static const char line[] =
        "level=warn event=stopped note=\"the database did not answer "
        "in time; nothing is lost\"\n";
    (void)signal_number;
    ssize_t written = write(STDERR_FILENO, line, sizeof line - 1);
    (void)written;
    _exit(EXIT_SUCCESS);
}

static void stop(struct server *server)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    notify_send("STOPPING=1");
    signal(SIGALRM, give_up);
    alarm(STOP_ALARM_S);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    http_stop(server->http, now_us() + STOP_HTTP_US);
    engine_close(server->engine, STOP_REPLAY_US);
    alarm(0);
    log_info("stopped", L_INT("pid", getpid()));
}

static void log_listening(const struct config *config, const struct http *http)
{
    log_info("listening", L_STR("address", config->intake.listen),
             L_INT("port", http_port(http)), L_STR("version", HOLDFAST_VERSION),
             L_STR("journal", config->journal.path), L_INT("pid", getpid()));
}

static int refuse_start(const char *what, const struct err *err)
{
    int exit_code = cli_exit_code(err->code);
    log_error("start_failed", L_STR("part", what), L_CODE(err), L_ERR(err));
    return exit_code == EXIT_PROBLEM ? EXIT_CONFIGURATION : exit_code;
}

static int serve(const struct config *config)
{
    struct server server = {.watchdog_us = notify_watchdog_us()};
    struct err err = {0};
    if (engine_open(config, &server.engine, &err)) {
        return refuse_start("journal", &err);
    }
    if (http_start(server.engine, &server.http, &err)) {
        engine_close(server.engine, 0);
        return refuse_start("http", &err);
    }
    log_listening(config, server.http);
    notify_send("READY=1");
    int exit_code = attend(&server);
    stop(&server);
    return exit_code;
}

int cli_serve(const struct cli *cli)
{
    struct config *config = NULL;
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    log_setup(config->log_level, config->log_format, STDERR_FILENO);
    sigset_t set = our_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    exit_code = serve(config);
    config_free(config);
    return exit_code;
}
