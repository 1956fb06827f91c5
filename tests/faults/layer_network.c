/* tests/faults/layer_network.c: what a network does between engine and server, each in a
 * network namespace of its own: packets dropped both ways or one, resets, loss, a cable
 * pulled, a slow link, a peer that dies unheard, and a black hole (in --full for two
 * minutes), each with a transaction open.
 *
 * A point is a row of the table below. In flight: a transaction had moved the ledger and
 * was waiting for a lock when the fault came.
 */
#include "tests/faults/database_faults.h"
#include "tests/faults/network.h"
#include "tests/faults/proxy.h"

#include "tests/process.h"

#include <signal.h>
#include <stdio.h>

enum {
    RECORDS = 600,
    PAUSE_US = 30000,
    WAIT_BATCHES_MS = 30000,
    SHORT_MS = 3000,
    LONG_MS = 120000,
    FLAP_MS = 300,
    FLAPS = 5,
    SLOW_BYTES_S = 40000,
};

#define TIMEOUTS ", timeouts: {connect: 1s, call: 2s, lock_wait: 2s, idle: 2s}"

enum kind { RULES, BLACK_HOLE, FLAPPING, CABLE, PEER_DIES, SLOW };

static const struct fault {
    const char *name;
    enum kind kind;
    const char *out; /* rules */
    const char *in;
} faults[] = {
    {"partition", RULES, "drop", "drop"},
    {"requests_lost", RULES, "drop", NULL},
    {"answers_lost", RULES, NULL, "drop"},
    {"reset", RULES, "tcp dport 3306 reject with tcp reset",
     "tcp sport 3306 reject with tcp reset"},
    {"loss", RULES, "numgen random mod 100 < 25 drop", "numgen random mod 100 < 25 drop"},
    {"black_hole", BLACK_HOLE, "drop", "drop"},
    {"flapping", FLAPPING, "drop", "drop"},
    {"cable", CABLE, NULL, NULL},
    {"peer_dies", PEER_DIES, "drop", "drop"},
    {"slow", SLOW, NULL, NULL},
};
enum { FAULTS = sizeof faults / sizeof faults[0] };

static struct {
    struct stage stage;
    struct network network;
    struct proxy *proxy;
    char proxy_host[32];
    bool full;
} at;

/* ---- Faults ------------------------------------------------------------------------ */

/* With the locks given back: what waited for them goes on, unheard. */
static int hold(struct database_fault *fault, long ms, struct err *err)
{
    int code = fault_release(fault, err);
    process_sleep_ms(ms); /* how long the fault lasts is the test, not a wait for it */
    return code;
}

static int flap(const struct fault *rules, struct err *err)
{
    int code = 0;
    for (int i = 0; code == 0 && i < FLAPS; i++) {
        code = network_rule(&at.network, rules->out, rules->in, err);
        process_sleep_ms(FLAP_MS);
        code = code ? code : network_rule(&at.network, NULL, NULL, err);
        process_sleep_ms(FLAP_MS);
    }
    return code;
}

/* The server dies and is back before anything is heard of it. */
static int peer_dies(struct database_fault *fault, struct err *err)
{
    fault_leave(fault);
    private_server_kill(&at.stage.server);
    int code = network_enter(&at.network, err);
    code = code ? code : stage_start_server(&at.stage, err);
    struct err later = {0};
    int back = network_leave(&at.network, &later);
    return code ? code : back ? err_set(err, back, 0, "%s", later.message) : 0;
}

static int cable(struct database_fault *fault, struct err *err)
{
    int code = network_cable(&at.network, "down", err);
    code = code ? code : hold(fault, SHORT_MS, err);
    return code ? code : network_cable(&at.network, "up", err);
}

static int act(const struct fault *fault, struct database_fault *now, struct err *err)
{
    if (fault->kind == SLOW) {
        now->met = engine_pending(&at.stage.engine) > 0;
        return 0;
    }
    int code = fault_block(now, err);
    if (code != 0 || fault->kind == CABLE)
        return code ? code : cable(now, err);
    code = network_rule(&at.network, fault->out, fault->in, err);
    if (code == 0 && fault->kind == PEER_DIES)
        code = peer_dies(now, err);
    else if (code == 0 && fault->kind == BLACK_HOLE && at.full)
        code = hold(now, LONG_MS, err);
    else if (code == 0)
        code = hold(now, SHORT_MS, err);
    if (code == 0 && fault->kind == FLAPPING)
        code = flap(fault, err);
    struct err later = {0};
    int back = network_rule(&at.network, NULL, NULL, &later);
    return code ? code : back ? err_set(err, back, 0, "%s", later.message) : 0;
}

/* ---- The layer --------------------------------------------------------------------- */

static struct stage_plan plan_of(const struct fault *fault, uint64_t seed)
{
    uint64_t random = seed;
    return (struct stage_plan){
        .seed = layer_random(&random),
        .records = RECORDS,
        .lanes = 1 + (uint32_t)(layer_random(&random) % 2),
        .transaction_records = 100,
        .checked_only = layer_random(&random) % 3 == 0,
        .host = fault->kind == SLOW ? at.proxy_host : NETWORK_SERVER ":3306",
        .server = TIMEOUTS,
    };
}

static int open_server(const struct layer_run *run, struct err *err)
{
    static const char *const args[] = {"--skip-networking=0", "--bind-address=0.0.0.0",
                                       "--port=3306", NULL};
    int code = network_enter(&at.network, err);
    code = code ? code : stage_open(&at.stage, run, args, err);
    struct err later = {0};
    int back = network_leave(&at.network, &later);
    if (code == 0 && back != 0)
        code = err_set(err, back, 0, "%s", later.message);
    return code ? code : network_connect(&at.network, at.stage.server.pid, err);
}

static int feed_and_compare(struct err *err)
{
    int code = stage_feed_end(&at.stage, err);
    code = code ? code : stage_settle(&at.stage, err);
    return code ? code : stage_compare(&at.stage, err);
}

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    struct proxy_plan slow = {.bytes_s = SLOW_BYTES_S};
    at.full = run->mode == LAYER_FULL || run->mode == LAYER_SOAK;
    int code = network_open(&at.network, run->dir, err);
    code = code ? code : open_server(run, err);
    code = code ? code : proxy_start(NULL, at.stage.server.socket, &at.proxy, err);
    if (code != 0)
        return code;
    proxy_set(at.proxy, &slow);
    (void)snprintf(at.proxy_host, sizeof at.proxy_host, "127.0.0.1:%u",
                   proxy_port(at.proxy));
    struct stage_plan plan = plan_of(&faults[0], run->seed);
    code = stage_begin(&at.stage, &plan, err);
    code = code ? code : stage_start(&at.stage, err);
    code = code ? code : stage_feed_begin(&at.stage, 0, err);
    code = code ? code : feed_and_compare(err);
    if (code == 0 && at.stage.broken)
        code = err_set(err, ERR_INTERNAL, 0, "without a fault it is broken already");
    *out_points = FAULTS;
    return code;
}

static int begin(const struct fault *fault, uint64_t seed, struct err *err)
{
    struct stage_plan plan = plan_of(fault, seed);
    int code = stage_begin(&at.stage, &plan, err);
    code = code ? code : stage_start(&at.stage, err);
    code = code ? code : stage_feed_begin(&at.stage, PAUSE_US, err);
    if (code == 0 &&
        !feeder_wait(at.stage.feeder, at.stage.sample.batch_count / 3, WAIT_BATCHES_MS))
        code = err_set(err, ERR_TIMEOUT, 0, "too few batches are acknowledged");
    return code;
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    (void)run;
    if (point >= FAULTS) {
        *out_verdict = LAYER_END;
        return 0;
    }
    const struct fault *fault = &faults[point];
    struct database_fault now = {.stage = &at.stage, .random = seed};
    int64_t begun_ms = process_now_ms();
    int code = begin(fault, seed, err);
    code = code ? code : act(fault, &now, err);
    fault_leave(&now);
    code = code ? code : feed_and_compare(err);
    code = stage_end(&at.stage, code, now.met && !now.missed, out_verdict, err);
    (void)printf("  %-16s %6.1f s%s\n", fault->name,
                 (double)(process_now_ms() - begun_ms) / 1e3,
                 now.met && !now.missed ? "" : "   met nothing");
    return code;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    proxy_stop(at.proxy);
    stage_close(&at.stage);
    network_close(&at.network);
}

int main(int argc, char **argv)
{
    static const struct layer layer = {
        .name = "network",
        .invariants = "I1 I2 I3 I4 I8",
        .budget_s = 60,
        .in_flight = true,
        .open = open_layer,
        .point = run_point,
        .close = close_layer,
    };
    return layer_main(&layer, argc, argv);
}
