/* kill -9 with a backlog: how long until the engine takes records again, its private
 * memory then and while it drains, and how fast the backlog goes.
 *
 * The backlog's first part is of distinct records and is what drains while it is timed;
 * the rest is the same bodies again, to fill the journal. Draining all of it would
 * measure the database for a quarter of an hour, so it ends after a stated time; then the
 * law of conservation must hold (`holdfast audit`) at whatever entry the lane is.
 */
#include "bench/stage.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    TRANSACTION_RECORDS = 10000,
    BODY_RECORDS = 5000,
    PRODUCERS = 8,
    RECORDS_QUICK = 300000,
    RECORDS = 1500000,
    DRAIN_S_QUICK = 4,
    DRAIN_S = 20,
    SAMPLE_US = 200000,
};

static int fill(struct stage *stage, uint64_t bytes, uint64_t *out_records,
                struct err *err)
{
    struct process_status status = {0};
    struct bodies bodies = {0};
    uint32_t records = stage->bench->quick ? RECORDS_QUICK : RECORDS;
    int code = bodies_make(stage, records, BODY_RECORDS, &bodies, err);
    while (code == ERR_OK && status.journal_bytes < bytes) {
        struct poster_result posted = {0};
        code = stage_post(stage, &bodies, PRODUCERS, &posted, err);
        poster_result_free(&posted);
        *out_records += records;
        code = code ? code : process_status(&stage->process, &status, err);
    }
    bodies_free(&bodies);
    if (code == ERR_OK) {
        report_add(stage->bench->report, (double)status.journal_bytes / (1 << 20),
                   "recover.backlog_mib");
        fprintf(stderr, "backlog: %llu records in %.2f GB\n",
                (unsigned long long)status.pending,
                (double)status.journal_bytes / (1 << 30));
    }
    return code;
}

/* The most that it uses in `seconds`. */
static double private_mib(const struct stage *stage, double seconds)
{
    int64_t end_us = clock_steady_us(&clock_system) + (int64_t)(seconds * 1e6);
    uint64_t most = 0;
    do {
        uint64_t bytes = process_private_bytes(stage->process.pid);
        most = bytes > most ? bytes : most;
        bench_rest(SAMPLE_US);
    } while (clock_steady_us(&clock_system) < end_us);
    return (double)most / (1 << 20);
}

/* Every record that was acknowledged is still there. */
static int check_accepted(struct stage *stage, uint64_t records, struct err *err)
{
    struct process_status status;
    int code = process_status(&stage->process, &status, err);
    if (code == ERR_OK && status.accepted != records) {
        fprintf(stderr, "%llu records were acknowledged, after the kill there are %llu\n",
                (unsigned long long)records, (unsigned long long)status.accepted);
        stage->bench->report->exact = false;
    }
    return code;
}

static int run_kills(struct stage *stage, uint64_t records, struct err *err)
{
    struct report *report = stage->bench->report;
    int code = ERR_OK;
    for (uint32_t i = 0; i < stage->bench->repetitions && code == ERR_OK; i++) {
        int64_t ready_us;
        process_kill(&stage->process);
        code = process_start(&stage->process, &ready_us, err);
        if (code == ERR_OK) {
            report_add(report, (double)ready_us / 1e3, "recover.ready_ms");
            report_add(report, private_mib(stage, 0), "recover.ready_private_mib");
            fprintf(stderr, "killed: ready again after %.1f ms\n",
                    (double)ready_us / 1e3);
            code = check_accepted(stage, records, err);
        }
    }
    return code;
}

/* Lets the lanes go for a while. */
static int run_drain(struct stage *stage, struct err *err)
{
    struct report *report = stage->bench->report;
    double seconds = stage->bench->quick ? DRAIN_S_QUICK : DRAIN_S;
    struct process_status before;
    struct process_status after;
    stage_continue_server(stage);
    int code = process_status(&stage->process, &before, err);
    code = code ? code : process_resume(&stage->process, err);
    int64_t begun_us = clock_steady_us(&clock_system);
    double mib = code ? 0 : private_mib(stage, seconds);
    code = code ? code : process_status(&stage->process, &after, err);
    double took_s = (double)(clock_steady_us(&clock_system) - begun_us) / 1e6;
    if (code == ERR_OK) {
        double per_s = (double)(before.pending - after.pending) / took_s;
        report_add(report, mib, "recover.private_mib");
        report_add(report, per_s, "recover.drain_records_per_s");
        report_add(report, (double)before.pending / per_s, "recover.drain_all_s");
        fprintf(stderr, "draining: %.0f records/s, %.0f MiB private\n", per_s, mib);
    }
    return code;
}

static int run(struct stage *stage, struct err *err)
{
    /* the file is kept longer than what it holds by journal.preallocate */
    uint64_t bytes = ((stage->bench->quick ? 1ULL : 10ULL) << 30) + (256ULL << 20);
    uint64_t records = 0;
    int64_t ready_us;
    int code = process_start(&stage->process, &ready_us, err);
    code = code ? code : process_pause(&stage->process, err);
    if (code == ERR_OK) {
        stage_stop_server(stage);
        code = fill(stage, bytes, &records, err);
        code = code ? code : run_kills(stage, records, err);
        stage_continue_server(stage);
    }
    code = code ? code : run_drain(stage, err);
    code = code ? code : process_stop(&stage->process, err);
    code = code ? code : stage_check(stage, false, err);
    return code ? code : process_audit(&stage->process, err);
}

int bench_recover(struct bench *bench, struct err *err)
{
    struct stage stage;
    const struct stage_options options = {
        .name = "recover", .lanes = 1, .transaction_records = TRANSACTION_RECORDS};
    int code = stage_open(&stage, bench, &options, err);
    code = code ? code : run(&stage, err);
    stage_close(&stage);
    return code;
}
