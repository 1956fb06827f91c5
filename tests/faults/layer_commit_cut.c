/* tests/faults/layer_commit_cut.c: the connection to the database fails at one statement
 * of a transaction, and most of all at COMMIT: it never arrives, arrives by half, arrives
 * and the answer is lost, or nothing is heard any more and a time-out decides; once, or
 * for several COMMITs in a row.
 *
 * A point is a fault and the number of the statement, or of the COMMIT, that it meets; by
 * chance come the path, the lanes, and how many in a row. In flight: it was met, so a
 * transaction had moved the ledger.
 */
#include "tests/faults/layer.h"
#include "tests/faults/proxy.h"
#include "tests/faults/stage.h"
#include "tests/http_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KINDS = 2, /* COMMIT, or any statement */
    COMMITS = 5,
    STATEMENTS = 40,
    POINTS = PROXY_FAULTS * KINDS * STATEMENTS,
    RECORDS = 240,
    TRANSACTION_RECORDS = 40,
    IN_A_ROW_MAX = 4,
    PATH_SIZE = 512,
    FULL = 500,
    RESTART_ONE_IN = 8,
};

static struct {
    struct stage stage;
    struct proxy *proxy;
    char socket[PATH_SIZE];
} at;

/* Short, since they decide where nothing is heard; the server lets go of a half-open
 * session after a second. */
static const char timeouts[] = ", timeouts: {call: 2s, lock_wait: 1s, idle: 1s}";

static struct stage_plan plan_of(uint64_t seed)
{
    uint64_t random = seed;
    return (struct stage_plan){
        .seed = layer_random(&random),
        .records = RECORDS,
        .lanes = 1 + (uint32_t)(layer_random(&random) % 2),
        .streams = 1,
        .transaction_records = TRANSACTION_RECORDS,
        .checked_only = layer_random(&random) % 3 == 0,
        .socket = at.socket,
        .server = timeouts,
    };
}

static struct proxy_plan cut_of(uint64_t point, uint64_t seed)
{
    uint64_t random = ~seed;
    struct proxy_plan cut = {.fault = (enum proxy_fault)(point % PROXY_FAULTS),
                             .commits = point / PROXY_FAULTS % KINDS == 0,
                             .times = 1};
    uint32_t number = (uint32_t)(point / PROXY_FAULTS / KINDS);
    cut.at = 1 + number % (cut.commits ? COMMITS : STATEMENTS);
    bool heard = cut.fault != PROXY_SWALLOW && cut.fault != PROXY_SILENT;
    if (cut.commits && heard)
        cut.times = 1 + (uint32_t)(layer_random(&random) % IN_A_ROW_MAX);
    return cut;
}

static int run(const struct stage_plan *plan, const struct proxy_plan *cut,
               struct proxy_seen *out_seen, struct err *err)
{
    int code = stage_begin(&at.stage, plan, err);
    proxy_set(at.proxy, cut);
    code = code ? code : stage_start(&at.stage, err);
    code = code ? code : stage_feed(&at.stage, err);
    code = code ? code : stage_settle(&at.stage, err);
    proxy_seen(at.proxy, out_seen);
    return code ? code : stage_compare(&at.stage, err);
}

/* A COMMIT without an answer is neither done nor failed: the ledger is asked. */
static void expect_doubt(const struct proxy_plan *cut, const struct proxy_seen *seen)
{
    static const char name[] = "\nholdfast_commit_ambiguous_total{";
    struct buf out = {0};
    double asked = 0;
    if (!cut->commits || seen->faults == 0)
        return;
    bool answered = http_probe_get(at.stage.port, "/metrics", &out) == 200;
    const char *line = answered ? buf_text(&out) : NULL;
    while (line && (line = strstr(line, name)) != NULL) {
        line = strchr(line, ' ');
        asked += line ? strtod(line, NULL) : 0;
    }
    if (asked == 0) {
        (void)layer_broken("I1", "%llu COMMITs without an answer, and none was in doubt",
                           (unsigned long long)seen->faults);
        at.stage.broken = true;
    }
    buf_free(&out);
}

static int open_layer(const struct layer_run *layer_run, uint64_t *out_points,
                      struct err *err)
{
    int code = stage_open(&at.stage, layer_run, NULL, err);
    (void)snprintf(at.socket, sizeof at.socket, "%.80s/proxy", layer_run->dir);
    code = code ? code : proxy_start(at.socket, at.stage.server.socket, &at.proxy, err);
    if (code != 0)
        return code;
    struct stage_plan plan = plan_of(layer_run->seed);
    struct proxy_plan none = {0};
    struct proxy_seen seen = {0};
    code = run(&plan, &none, &seen, err);
    if (code == 0 && (at.stage.broken || seen.commits == 0))
        code = err_set(
            err, ERR_INTERNAL, 0,
            "without a fault it is broken already, or no COMMIT was seen (%llu "
            "of %llu statements)",
            (unsigned long long)seen.commits, (unsigned long long)seen.statements);
    *out_points = POINTS;
    return code;
}

static int run_point(const struct layer_run *layer_run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    (void)layer_run;
    if (point >= POINTS) {
        *out_verdict = LAYER_END;
        return 0;
    }
    struct stage_plan plan = plan_of(seed);
    struct proxy_plan cut = cut_of(point, seed);
    struct proxy_seen seen = {0};
    int code = run(&plan, &cut, &seen, err);
    if (code == 0)
        expect_doubt(&cut, &seen);
    if (code == 0 && seed % RESTART_ONE_IN == 0)
        code = stage_restart_alike(&at.stage, 2, err);
    code = stage_end(&at.stage, code, seen.faults > 0, out_verdict, err);
    if (code != 0 || *out_verdict == LAYER_BROKEN)
        (void)printf("  lanes %u%s, %s %u %s, %u in a row\n", plan.lanes,
                     plan.checked_only ? ", checked path" : "",
                     cut.commits ? "COMMIT" : "statement", cut.at,
                     proxy_fault_name(cut.fault), cut.times);
    return code;
}

static void close_layer(const struct layer_run *layer_run)
{
    (void)layer_run;
    proxy_stop(at.proxy);
    stage_close(&at.stage);
}

int main(int argc, char **argv)
{
    static const struct layer layer = {
        .name = "commit_cut",
        .invariants = "I1 I2 I3 I4 I8 I10",
        .full_count = FULL,
        .budget_s = 60,
        .in_flight = true,
        .open = open_layer,
        .point = run_point,
        .close = close_layer,
    };
    return layer_main(&layer, argc, argv);
}
