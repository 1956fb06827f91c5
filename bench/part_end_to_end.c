/* HTTP NDJSON in, both tables out, on the same cores: from the first post to the moment
 * when nothing is pending. Then single records on an idle engine, from post to applied.
 */
#include "bench/stage.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    LANES = 2,
    TRANSACTION_RECORDS = 50000, /* as the limit has */
    BODY_RECORDS = 500,
    PRODUCERS = 4,
    RECORDS_QUICK = 100000,
    RECORDS = 200000,
    SINGLES_QUICK = 300,
    SINGLES = 500,
};

static int run_engine(struct stage *stage, const struct bodies *bodies, double *out_per_s,
                      struct err *err)
{
    struct poster_result posted;
    int64_t begun_us = clock_steady_us(&clock_system);
    int code = stage_post(stage, bodies, PRODUCERS, &posted, err);
    if (code != ERR_OK) {
        return code;
    }
    poster_result_free(&posted);
    code = process_wait_applied(&stage->process, STAGE_APPLY_TIMEOUT_S, err);
    double took_s = (double)(clock_steady_us(&clock_system) - begun_us) / 1e6;
    if (code == ERR_OK) {
        *out_per_s = bodies->records / took_s;
    }
    return code;
}

/* Brings the engine to where one that runs for days is: it has met every entity. */
static int warm_up(struct stage *stage, struct err *err)
{
    struct bodies bodies = {0};
    double per_s;
    int code = bodies_of_all(stage, BODY_RECORDS, &bodies, err);
    code = code ? code : run_engine(stage, &bodies, &per_s, err);
    bodies_free(&bodies);
    return code ? code : database_load_each(stage->db, stage->limit, err);
}

/* Engine and limit take turns in who is first. */
static int run_pair(struct stage *stage, bool limit_first, struct err *err)
{
    uint32_t records = stage->bench->quick ? RECORDS_QUICK : RECORDS;
    struct bodies bodies = {0};
    double engine = 0;
    double limit = 0;
    int code = bodies_make(stage, records, BODY_RECORDS, &bodies, err);
    for (int turn = 0; turn < 2 && code == ERR_OK; turn++) {
        code = (turn == 0) == limit_first ? stage_limit(stage, records, &limit, err)
                                          : run_engine(stage, &bodies, &engine, err);
    }
    bodies_free(&bodies);
    code = code ? code : stage_check(stage, true, err);
    if (code == ERR_OK) {
        struct report *report = stage->bench->report;
        report_add(report, engine, "end_to_end.lanes%d.records_per_s", LANES);
        report_add(report, limit, "end_to_end.lanes%d.limit_rows_per_s", LANES);
        report_add(report, engine / limit, "end_to_end.lanes%d.ratio", LANES);
        fprintf(stderr, "end-to-end: %.0f/s, limit %.0f/s, ratio %.3f\n", engine, limit,
                engine / limit);
    }
    return code;
}

/* One after the other, each answered when it is in the database. */
static int run_singles(struct stage *stage, struct err *err)
{
    uint32_t count = stage->bench->quick ? SINGLES_QUICK : SINGLES;
    struct bodies bodies = {0};
    struct poster_result posted = {0};
    int code = bodies_make(stage, count, 1, &bodies, err);
    if (code == ERR_OK) {
        struct poster_config config = {
            .port = stage->process.port,
            .path = "/v1/streams/mozi/records?wait=applied&timeout=60",
            .producers = 1,
            .bodies = bodies.items,
            .body_count = bodies.count};
        code = poster_run(&config, &posted, err);
    }
    if (code == ERR_OK) {
        struct report *report = stage->bench->report;
        double p50 = stats_quantile(posted.acks_us, posted.sent, 0.5) / 1e3;
        report_add(report, p50, "single.p50_ms");
        report_add(report, stats_quantile(posted.acks_us, posted.sent, 0.99) / 1e3,
                   "single.p99_ms");
        fprintf(stderr, "single record, submit to applied: p50 %.2f ms\n", p50);
    }
    poster_result_free(&posted);
    bodies_free(&bodies);
    return code;
}

static int run(struct stage *stage, struct err *err)
{
    int64_t ready_us;
    int code = process_start(&stage->process, &ready_us, err);
    code = code ? code : warm_up(stage, err);
    for (uint32_t i = 0; i < stage->bench->repetitions && code == ERR_OK; i++) {
        code = run_pair(stage, i % 2 == 1, err);
    }
    for (uint32_t i = 0; i < stage->bench->repetitions && code == ERR_OK; i++) {
        code = run_singles(stage, err);
    }
    code = code ? code : stage_check(stage, true, err);
    return code ? code : process_stop(&stage->process, err);
}

int bench_end_to_end(struct bench *bench, struct err *err)
{
    struct stage stage;
    const struct stage_options options = {
        .name = "end_to_end", .lanes = LANES, .transaction_records = TRANSACTION_RECORDS};
    int code = stage_open(&stage, bench, &options, err);
    code = code ? code : run(&stage, err);
    stage_close(&stage);
    return code;
}
