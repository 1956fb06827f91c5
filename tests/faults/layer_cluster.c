/* tests/faults/layer_cluster.c: two engines, each with a journal of its own, write at
 * once into a cluster of three Galera nodes, most of it about the same few entities,
 * while nodes die, freeze, lose their majority, and come back.
 *
 * A point is a fault; by chance come its moment, the nodes, and whether an engine is
 * killed besides. In flight: the fault took place as it was meant (a COMMIT was refused
 * by certification, a node was without a majority, a state was transferred), with records
 * not applied yet.
 */
#include "tests/faults/cluster.h"
#include "tests/faults/layer.h"
#include "tests/faults/rights.h"

#include "tests/engine_process.h"
#include "tests/feeder.h"
#include "tests/oracle.h"
#include "tests/process.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ENGINES = 2,
    RECORDS = 6000,
    BATCH_MAX = 60,
    HOT_IPS = 60,
    PRODUCERS = 3,
    PAUSE_US = 20000,
    FEED_TIMEOUT_MS = 120000,
    SETTLE_TIMEOUT_MS = 180000,
    MINORITY_TIMEOUT_MS = 30000,
    STOP_TIMEOUT_MS = 30000,
    PENDING_TIMEOUT_MS = 5000,
    LOOK_MS = 50,
    PROGRESS = 3, /* transactions */
    HOSTS_MAX = 128,
    PORT_FIRST = 30000,
    PORT_RANGE = 2000,
    PORTS_OF_NODES = 12,
};

enum fault {
    HOT_ROWS,
    KILL_ONE,
    KILL_ALL,
    LOSE_MAJORITY,
    EMPTY_ONE,
    KILL_ENGINE_AND_NODE,
    FAULTS
};

/* One engine, what is sent to it, and what it said. */
struct side {
    struct engine_process engine;
    struct engine_options options;
    char name[32];
    char hosts[HOSTS_MAX];
    struct sample sample;
    struct feeder *feeder;
    struct feeder_line *lines;
};

static struct {
    const struct layer_run *run;
    struct cluster cluster;
    struct side sides[ENGINES];
    uint32_t points;
    uint16_t port;
    bool in_flight;
} at;

/* ---- Begin and end ----------------------------------------------------------------- */

static void end_sides(void)
{
    for (unsigned i = 0; i < ENGINES; i++) {
        struct side *side = &at.sides[i];
        if (side->feeder)
            free(feeder_finish(side->feeder));
        engine_kill(&side->engine);
        sample_free(&side->sample);
        free(side->lines);
        *side = (struct side){0};
    }
}

static int exec(unsigned node, const char *sql, struct err *err)
{
    MYSQL *session = cluster_connect(&at.cluster, node, NULL);
    int code = 0;
    if (!session)
        return err_set(err, ERR_TRANSIENT, 0, "node %u takes no session", node);
    bool failed =
        mysql_set_server_option(session, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0 ||
        mysql_query(session, sql) != 0;
    int more = -1;
    while (!failed && (more = mysql_next_result(session)) == 0)
        ;
    if (failed || more > 0)
        code = err_set(err, ERR_TRANSIENT, (int)mysql_errno(session), "%s: %s", sql,
                       mysql_error(session));
    mysql_close(session);
    return code;
}

/* For both engines, who have the same streams; each node knows of it then. */
static int grant(const struct side *side, struct err *err)
{
    static const char catch_up[] =
        "SET SESSION wsrep_sync_wait = 1; START TRANSACTION; COMMIT";
    struct buf sql = {0};
    int code = rights_append(&side->engine, &sql, err);
    code = code ? code : exec(0, buf_text(&sql), err);
    buf_free(&sql);
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0; i++)
        code = exec(i, catch_up, err);
    return code;
}

static int make_sample(struct side *side, unsigned number, uint64_t seed, struct err *err)
{
    struct sample_config config;
    sample_config_defaults(&config);
    config.seed = seed + number;
    config.records = RECORDS;
    config.batch_max = BATCH_MAX;
    config.ips = HOT_IPS;
    config.stream_count = 1;
    config.start_s += 60 * (int64_t)number;
    return sample_new(&config, &side->sample, err);
}

/* Each begins with another node. Calls end soon, since a frozen node never answers. */
static int begin_side(unsigned number, uint64_t seed, struct err *err)
{
    struct side *side = &at.sides[number];
    const struct cluster_node *nodes = at.cluster.nodes;
    (void)snprintf(side->name, sizeof side->name, "point%u-%u", at.points, number);
    (void)snprintf(side->hosts, sizeof side->hosts,
                   "127.0.0.1:%u\", \"127.0.0.1:%u\", \"127.0.0.1:%u", nodes[number].port,
                   nodes[(number + 1) % CLUSTER_NODES].port,
                   nodes[(number + 2) % CLUSTER_NODES].port);
    side->options = (struct engine_options){
        .dir = at.run->dir,
        .name = side->name,
        .binary = at.run->binary,
        .host = side->hosts,
        .server = ", timeouts: {call: 5s, lock_wait: 2s, idle: 5s}",
        .database = "holdfast",
        .user = RIGHTS_USER,
        .port = (uint16_t)(at.port + PORTS_OF_NODES + number),
        .streams = "[{name: mozi, preset: botnet, lanes: 2}]",
    };
    int code = make_sample(side, number, seed, err);
    code = code ? code : engine_configure(&side->engine, &side->options, err);
    code = code || number ? code : grant(side, err);
    code = code ? code : engine_start(&side->engine, err);
    struct feeder_config feeding = {.sample = &side->sample,
                                    .producers = PRODUCERS,
                                    .port = side->options.port,
                                    .pause_us = PAUSE_US};
    return code ? code : feeder_start(&feeding, &side->feeder, err);
}

static int begin_point(uint64_t seed, struct err *err)
{
    at.points++;
    at.in_flight = false;
    int code = exec(0, "DROP DATABASE IF EXISTS holdfast", err);
    code = code ? code : exec(0, "CREATE DATABASE holdfast", err);
    for (unsigned i = 0; i < ENGINES && code == 0; i++)
        code = begin_side(i, seed, err);
    return code;
}

/* ---- Faults ------------------------------------------------------------------------ */

/* Waits until something is sent and not applied, which is soon as long as more comes. */
static bool await_pending(void)
{
    int64_t end = process_now_ms() + PENDING_TIMEOUT_MS;
    while (process_now_ms() < end) {
        for (unsigned i = 0; i < ENGINES; i++) {
            if (engine_pending(&at.sides[i].engine) > 0)
                return true;
        }
    }
    (void)printf("  nothing was pending\n");
    return false;
}

/* Waits until both have sent this share of their batches. */
static int wait_sent(unsigned percent, struct err *err)
{
    for (unsigned i = 0; i < ENGINES; i++) {
        const struct side *side = &at.sides[i];
        uint32_t batches = side->sample.batch_count * percent / 100;
        if (!feeder_wait(side->feeder, batches, FEED_TIMEOUT_MS))
            return err_set(err, ERR_TIMEOUT, 0, "%s: %u batches are not acknowledged",
                           side->name, batches);
    }
    return 0;
}

/* COMMITs that a node refused, and transactions that gave way to another node's. */
static int count_conflicts(int64_t *out_count, struct err *err)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        static const char *const names[] = {"wsrep_local_cert_failures",
                                            "wsrep_local_bf_aborts"};
        for (size_t k = 0; k < 2; k++) {
            int64_t count = 0;
            int code = cluster_status(&at.cluster, i, names[k], &count, err);
            if (code != 0)
                return code;
            sum += count;
        }
    }
    *out_count = sum;
    return 0;
}

static int hot_rows(struct err *err)
{
    int64_t before = 0;
    int64_t after = 0;
    int code = count_conflicts(&before, err);
    code = code ? code : wait_sent(100, err);
    code = code ? code : count_conflicts(&after, err);
    at.in_flight = after > before;
    return code;
}

/* Its log must tell of the transfer by which it came back. */
static int come_back(unsigned node, bool emptied, struct err *err)
{
    const char *text =
        emptied ? "rsync SST completed on joiner" : "rsync IST completed on joiner";
    uint64_t before = 0;
    uint64_t after = 0;
    const char *log = at.cluster.nodes[node].log;
    int code = layer_count_lines(log, text, &before, err);
    code = code ? code : cluster_rejoin(&at.cluster, node, emptied, err);
    code = code ? code : layer_count_lines(log, text, &after, err);
    if (code == 0 && after == before) {
        (void)printf("  node %u came back without '%s' in %s\n", node, text, log);
        at.in_flight = false;
    }
    return code;
}

/* The others are silent until they have agreed that it is gone; it would miss nothing. */
static int await_progress(unsigned node, struct err *err)
{
    unsigned other = (node + 1) % CLUSTER_NODES;
    int64_t end = process_now_ms() + MINORITY_TIMEOUT_MS;
    int64_t at_first = 0;
    int64_t now = 0;
    int code = cluster_status(&at.cluster, other, "wsrep_last_committed", &at_first, err);
    while (code == 0 && now < at_first + PROGRESS && process_now_ms() < end) {
        process_sleep_ms(LOOK_MS);
        code = cluster_status(&at.cluster, other, "wsrep_last_committed", &now, err);
    }
    return code;
}

static int kill_one(unsigned node, bool emptied, struct err *err)
{
    int code = wait_sent(30, err);
    if (code != 0)
        return code;
    at.in_flight = await_pending();
    cluster_kill(&at.cluster, node);
    code = await_progress(node, err);
    code = code ? code : wait_sent(60, err);
    return code ? code : come_back(node, emptied, err);
}

static int kill_all(struct err *err)
{
    int code = wait_sent(40, err);
    if (code != 0)
        return code;
    at.in_flight = await_pending();
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        cluster_kill(&at.cluster, i);
    code = wait_sent(70, err); /* intake goes on */
    return code ? code : cluster_revive(&at.cluster, err);
}

/* Until the node that is left has noticed. */
static int await_minority(unsigned node, struct err *err)
{
    int64_t end = process_now_ms() + MINORITY_TIMEOUT_MS;
    while (process_now_ms() < end) {
        int64_t primary = 1;
        MYSQL *session = cluster_connect(&at.cluster, node, NULL);
        bool asked = session != NULL;
        if (session)
            mysql_close(session);
        if (asked &&
            cluster_status(&at.cluster, node, "wsrep_cluster_status", &primary, err) ==
                0 &&
            primary == 0)
            return 0;
        process_sleep_ms(LOOK_MS);
    }
    return err_set(err, ERR_TIMEOUT, 0, "node %u still believes in a majority", node);
}

static int lose_majority(unsigned node, struct err *err)
{
    int code = wait_sent(30, err);
    if (code != 0)
        return code;
    at.in_flight = await_pending();
    for (unsigned i = 0; i < CLUSTER_NODES; i++) {
        if (i != node)
            cluster_freeze(&at.cluster, i);
    }
    code = await_minority(node, err);
    code = code ? code : wait_sent(70, err);
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        cluster_thaw(&at.cluster, i);
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0; i++)
        code = cluster_await(&at.cluster, i, err);
    return code;
}

static int kill_engine_and_node(unsigned node, struct err *err)
{
    int code = wait_sent(40, err);
    if (code != 0)
        return code;
    at.in_flight = await_pending();
    cluster_kill(&at.cluster, node);
    engine_kill(&at.sides[node % ENGINES].engine);
    code = engine_start(&at.sides[node % ENGINES].engine, err);
    code = code ? code : await_progress(node, err);
    code = code ? code : wait_sent(70, err);
    return code ? code : come_back(node, false, err);
}

static int make_fault(enum fault fault, uint64_t *random, struct err *err)
{
    unsigned node = (unsigned)(layer_random(random) % CLUSTER_NODES);
    switch (fault) {
    case KILL_ONE:
        return kill_one(node, false, err);
    case KILL_ALL:
        return kill_all(err);
    case LOSE_MAJORITY:
        return lose_majority(node, err);
    case EMPTY_ONE:
        return kill_one(node, true, err);
    case KILL_ENGINE_AND_NODE:
        return kill_engine_and_node(node, err);
    case HOT_ROWS:
    case FAULTS:
        break;
    }
    return hot_rows(err);
}

/* ---- What must hold ---------------------------------------------------------------- */

static int settle(enum layer_verdict *verdict, struct err *err)
{
    int code = wait_sent(100, err);
    for (unsigned i = 0; i < ENGINES && code == 0; i++) {
        struct side *side = &at.sides[i];
        side->lines = feeder_finish(side->feeder);
        side->feeder = NULL;
        code = engine_wait_applied(&side->engine, SETTLE_TIMEOUT_MS, err);
        if (code != 0) {
            *verdict = layer_broken("I8", "%s: %s; see %s", side->name, err->message,
                                    side->engine.log);
            return 0;
        }
    }
    return code;
}

static int compare(unsigned node, enum layer_verdict *verdict, struct err *err)
{
    struct oracle_log logs[ENGINES];
    struct oracle_context context = {0};
    struct oracle_report report;
    for (unsigned i = 0; i < ENGINES; i++) {
        logs[i] = (struct oracle_log){&at.sides[i].sample, at.sides[i].lines};
        context.accepted += (uint64_t)engine_accepted(&at.sides[i].engine);
    }
    MYSQL *session = cluster_connect(&at.cluster, node, "holdfast");
    if (!session)
        return err_set(err, ERR_TRANSIENT, 0, "node %u takes no session", node);
    int code = oracle_compare(session, logs, ENGINES, &context, &report, err);
    mysql_close(session);
    if (code != 0 || oracle_clean(&report))
        return code;
    struct buf text = {0};
    oracle_describe(&report, &text);
    *verdict = layer_broken(report.lost || report.repeated ? "I1" : "I3",
                            "on node %u: %s", node, buf_text(&text));
    buf_free(&text);
    return 0;
}

/* No node that was believed lost a COMMIT that it had answered, and none of this is for a
 * person to mend. */
static int check_logs(enum layer_verdict *verdict, struct err *err)
{
    int code = 0;
    for (unsigned i = 0; i < ENGINES && code == 0; i++) {
        const char *log = at.sides[i].engine.log;
        uint64_t rewound = 0;
        uint64_t stopped = 0;
        code = layer_count_lines(log, "event=rewound", &rewound, err);
        code = code ? code : layer_count_lines(log, "event=lane_stopped", &stopped, err);
        if (code == 0 && rewound > 0)
            *verdict = layer_broken("I1", "a done mark was ahead; see %s", log);
        if (code == 0 && stopped > 0)
            *verdict = layer_broken("I8", "a lane stopped for a person; see %s", log);
    }
    return code;
}

/* TERM must end each engine in order, with nothing left to ask the database. */
static int stop_engines(enum layer_verdict *verdict, struct err *err)
{
    int code = 0;
    for (unsigned i = 0; i < ENGINES && code == 0; i++) {
        int exit_code = -1;
        code = engine_stop(&at.sides[i].engine, STOP_TIMEOUT_MS, &exit_code, err);
        if (code == 0 && exit_code != 0)
            *verdict =
                layer_broken("I8", "%s exits with %d", at.sides[i].name, exit_code);
    }
    return code;
}

static int run_point(enum fault fault, uint64_t seed, enum layer_verdict *verdict,
                     struct err *err)
{
    uint64_t random = seed;
    int code = begin_point(seed, err);
    code = code ? code : make_fault(fault, &random, err);
    code = code ? code : settle(verdict, err);
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0 && *verdict != LAYER_BROKEN; i++)
        code = compare(i, verdict, err);
    code = code ? code : check_logs(verdict, err);
    return code ? code : stop_engines(verdict, err);
}

/* ---- The layer --------------------------------------------------------------------- */

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    uint64_t random = run->seed ^ (uint64_t)getpid();
    int code = cluster_can_run(err);
    if (code != 0)
        return code;
    at.run = run;
    at.port =
        process_free_port((uint16_t)(PORT_FIRST + layer_random(&random) % PORT_RANGE));
    *out_points = FAULTS;
    return cluster_open(&at.cluster, run->dir, at.port, err);
}

static int point(const struct layer_run *run, uint64_t number, uint64_t seed,
                 enum layer_verdict *out_verdict, struct err *err)
{
    (void)run;
    if (number >= FAULTS) {
        *out_verdict = LAYER_END;
        return 0;
    }
    enum layer_verdict verdict = LAYER_HELD;
    int code = run_point((enum fault)number, seed, &verdict, err);
    end_sides();
    if (code != 0)
        return code;
    *out_verdict = verdict == LAYER_HELD && !at.in_flight ? LAYER_IDLE : verdict;
    return 0;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    end_sides();
    cluster_close(&at.cluster);
}

int main(int argc, char **argv)
{
    static const struct layer layer = {
        .name = "cluster",
        .invariants = "I1 I2 I3 I4 I8",
        .budget_s = 60,
        .in_flight = true,
        .open = open_layer,
        .point = point,
        .close = close_layer,
    };
    return layer_main(&layer, argc, argv);
}
