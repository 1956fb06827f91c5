/* tests/faults/layer_database_faults.c: what databases do and what is done to them, one
 * by one, against a real server, while producers send and the engine applies.
 *
 * A point is a name of the table below; --full runs each three times, the last time with
 * patience: a lane that was stopped is left to try again by itself. In flight: the fault
 * met what it was meant to, as an open transaction that waits, an error in the engine's
 * log, records that were pending.
 */
#include "tests/faults/database_faults.h"

#include "tests/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FULL_TIMES = 3,
    PATIENT_TURN = 2,
    PAUSE_US = 30000,
    RECORDS = 600,
    WAIT_BATCHES_MS = 30000
};

enum { STOPS = 1, REWINDS = 2, WHOLE = 4, OWN_RESULT = 8, ONE_LANE = 16 };

#define USUAL ", timeouts: {connect: 1s, call: 10s, lock_wait: 5s, idle: 10s}"
#define HASTY ", timeouts: {connect: 1s, call: 1s, lock_wait: 1s, idle: 5s}"
#define LOCK_WAIT ", timeouts: {connect: 1s, call: 10s, lock_wait: 1s, idle: 10s}"

/* New ones at the end: kept cases name them by number. */
/* clang-format off */
static const struct fault {
    const char *name;
    database_fault_do *act;
    unsigned flags; /* WHOLE: it feeds by itself; OWN_RESULT: it compares by itself */
    const char *database; /* keys */
    const char *journal;
} faults[] = {
    {"deadlock",              fault_deadlock,              0, USUAL, NULL},
    {"lock_wait",             fault_lock_wait,             0, LOCK_WAIT, NULL},
    {"kill",                  fault_kill,                  0, USUAL, NULL},
    {"kill_query",            fault_kill_query,            0, USUAL, NULL},
    {"kill_at_commit",        fault_kill_at_commit,        0, USUAL, NULL},
    {"connections",           fault_connections,           0, USUAL, NULL},
    {"rights",                fault_rights,                STOPS, USUAL, NULL},
    {"password",              fault_password,              STOPS, USUAL, NULL},
    {"read_only",             fault_read_only,             0, USUAL, NULL},
    {"server_killed",         fault_server_killed,         0, USUAL, NULL},
    {"server_killed_in_hand", fault_server_killed_in_hand, 0, USUAL, NULL},
    {"server_stopped",        fault_server_stopped,        0, USUAL, NULL},
    {"server_frozen",         fault_server_frozen,         0, HASTY, NULL},
    {"packet",                fault_packet,                0, USUAL, NULL},
    {"relaxed",               fault_relaxed,               REWINDS, USUAL, NULL},
    {"disk_full",             fault_disk_full,             WHOLE | OWN_RESULT, USUAL, NULL},
    {"renamed",               fault_renamed,               STOPS, USUAL, NULL},
    {"column_renamed",        fault_column_renamed,        STOPS, USUAL, NULL},
    {"altered",               fault_altered,               0, USUAL, NULL},
    {"trigger",               fault_trigger,               STOPS, USUAL, NULL},
    {"constraint",            fault_constraint,            STOPS, USUAL, NULL},
    {"ids_moved",             fault_ids_moved,             0, USUAL, NULL},
    {"rewound",               fault_rewound,               REWINDS, USUAL, NULL},
    {"rewound_too_far",       fault_rewound_too_far,       WHOLE | OWN_RESULT, USUAL, ", retain: 1s"},
    {"journal_restored",      fault_journal_restored,      OWN_RESULT, USUAL, NULL},
    {"journal_copied",        fault_journal_copied,        0, USUAL, NULL},
    {"journal_twins",         fault_journal_twins,         WHOLE | OWN_RESULT | ONE_LANE, USUAL, NULL},
    {"two_writers",           fault_two_writers,           WHOLE | OWN_RESULT, USUAL, NULL},
    {"nodes_deleted",         fault_nodes_deleted,         OWN_RESULT, USUAL, NULL},
    {"lock_wait_ledger",      fault_lock_wait_ledger,      0, LOCK_WAIT, NULL},
    {"lock_wait_event",       fault_lock_wait_event,       0, LOCK_WAIT, NULL},
    {"journal_flipped",       fault_journal_flipped,       WHOLE | OWN_RESULT, USUAL, NULL},
    {"rewound_expiring",      fault_rewound_expiring,      WHOLE | OWN_RESULT, USUAL, ", retain: 8s"},
    {"poison",                fault_poison,                WHOLE | OWN_RESULT, USUAL, NULL},
};
/* clang-format on */
enum { FAULTS = sizeof faults / sizeof faults[0] };

static struct stage stage;

static struct stage_plan plan_of(const struct fault *fault, uint64_t seed)
{
    uint64_t random = seed;
    return (struct stage_plan){
        .seed = layer_random(&random),
        .records = RECORDS,
        .lanes = fault->flags & ONE_LANE ? 1 : 1 + (uint32_t)(layer_random(&random) % 2),
        .transaction_records = 100,
        .checked_only = layer_random(&random) % 3 == 0,
        .may_rewind = (fault->flags & REWINDS) != 0,
        .may_stop = (fault->flags & STOPS) != 0,
        .server = fault->database,
        .journal = fault->journal,
    };
}

/* A third is sent when the fault comes. */
static int begin_feeding(struct err *err)
{
    int code = stage_feed_begin(&stage, PAUSE_US, err);
    if (code == 0 &&
        !feeder_wait(stage.feeder, stage.sample.batch_count / 3, WAIT_BATCHES_MS))
        code = err_set(err, ERR_TIMEOUT, 0, "too few batches are acknowledged");
    return code ? code
                : stage_await(&stage, "SELECT COUNT(*) FROM botnet_communications_mozi",
                              err);
}

static int act(const struct fault *fault, struct database_fault *at, struct err *err)
{
    bool whole = fault->flags & WHOLE;
    int code = stage_start(&stage, err);
    code = code || whole ? code : begin_feeding(err);
    code = code ? code : fault->act(at, err);
    fault_leave(at);
    if (code != 0 || fault->flags & OWN_RESULT)
        return code;
    if (stage.feeder)
        code = stage_feed_end(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    return code ? code : stage_compare(&stage, err);
}

/* Once without a fault, which makes the tables too. */
static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    static const struct fault none = {"none", NULL, 0, USUAL, NULL};
    struct stage_plan plan = plan_of(&none, run->seed);
    int code = stage_open(&stage, run, NULL, err);
    code = code ? code : stage_begin(&stage, &plan, err);
    code = code ? code : stage_start(&stage, err);
    code = code ? code : stage_feed(&stage, err);
    code = code ? code : stage_settle(&stage, err);
    code = code ? code : stage_compare(&stage, err);
    if (code == 0 && stage.broken)
        code = err_set(err, ERR_INTERNAL, 0, "without a fault it is broken already");
    *out_points = run->mode == LAYER_FULL ? (uint64_t)FAULTS * FULL_TIMES : FAULTS;
    return code;
}

/* What a fault that failed halfway may have left. */
static int clear(struct err *err)
{
    int code = stage_exec(&stage,
                          "SET GLOBAL read_only = 0; SET GLOBAL max_connections = 151;"
                          "SET GLOBAL max_allowed_packet = 16777216;"
                          "SET GLOBAL innodb_flush_log_at_trx_commit = 1;"
                          "DROP TABLE IF EXISTS botnet_communications_away;"
                          "DROP TRIGGER IF EXISTS no_more",
                          err);
    return code ? code : stage_grant(&stage, err);
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    (void)run;
    const struct fault *fault = &faults[point % FAULTS];
    struct database_fault at = {
        .stage = &stage, .random = seed, .patient = point / FAULTS == PATIENT_TURN};
    if (point >= (uint64_t)FAULTS * FULL_TIMES) {
        *out_verdict = LAYER_END;
        return 0;
    }
    int64_t begun_ms = process_now_ms();
    struct stage_plan plan = plan_of(fault, seed);
    int code = stage_begin(&stage, &plan, err);
    code = code ? code : act(fault, &at, err);
    code = stage_end(&stage, code, at.met && !at.missed, out_verdict, err);
    bool broken = code != 0 || *out_verdict == LAYER_BROKEN;
    (void)printf("  %-22s %6.1f s%s\n", fault->name,
                 (double)(process_now_ms() - begun_ms) / 1e3,
                 broken                 ? "   BROKEN"
                 : !at.met || at.missed ? "   met nothing"
                                        : "");
    if (broken) {
        struct err later = {0};
        int cleared = clear(&later);
        return code ? code : cleared ? err_set(err, cleared, 0, "%s", later.message) : 0;
    }
    return 0;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    stage_close(&stage);
}

static const char *point_name(uint64_t point)
{
    return point < FAULTS ? faults[point].name : NULL;
}

int main(int argc, char **argv)
{
    static const struct layer layer = {
        .name = "database_faults",
        .invariants = "I1 I2 I3 I4 I8 I9",
        .budget_s = 75,
        .in_flight = true,
        .point_name = point_name,
        .open = open_layer,
        .point = run_point,
        .close = close_layer,
    };
    return layer_main(&layer, argc, argv);
}
