/* Durable acknowledgements over HTTP with the database stopped (SIGSTOP, and the lanes
 * paused, so that nothing waits for it), the client on the same cores; against LOAD DATA
 * in the same run. Afterwards all of it is applied and compared. Then how fast intake is
 * while the journal grows through such a stall, and how a backlog comes and goes.
 */
#include "bench/stage.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    TRANSACTION_RECORDS = 50000,
    BODY_RECORDS = 500,
    PRODUCERS = 64, /* of the ratio */
    RECORDS_QUICK = 100000,
    RECORDS = 200000,
    BODIES_EACH = 8, /* of every producer, at least */
    LIMIT_RECORDS = 50000,
};

/* So many that the loop is a closed one. */
static uint32_t records_for(const struct stage *stage, uint32_t producers)
{
    uint32_t least = stage->bench->quick ? RECORDS_QUICK : RECORDS;
    uint32_t wanted = producers * BODIES_EACH * BODY_RECORDS;
    return wanted > least && !stage->bench->quick ? wanted : least;
}

/* ---- Acknowledgements ------------------------------------------------------------ */

static void put_acks(struct stage *stage, uint32_t producers, uint32_t records,
                     const struct poster_result *posted, double engine_cpu_s)
{
    struct report *report = stage->bench->report;
    double seconds = (double)posted->took_us / 1e6;
    const struct {
        const char *name;
        double sample;
    } said[] = {
        {"records_per_s", records / seconds},
        {"acks_per_s", (double)posted->sent / seconds},
        {"p50_us", stats_quantile(posted->acks_us, posted->sent, 0.5)},
        {"p99_us", stats_quantile(posted->acks_us, posted->sent, 0.99)},
        {"client_cpu_per_million_s", posted->cpu_s / (records / 1e6)},
        {"engine_cpu_per_million_s", engine_cpu_s / (records / 1e6)},
    };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        report_add(report, said[i].sample, "intake.500.%u.%s", producers, said[i].name);
    }
}

static int take_in(struct stage *stage, uint32_t producers, double *out_per_s,
                   struct err *err)
{
    uint32_t records = records_for(stage, producers);
    struct bodies bodies = {0};
    struct poster_result posted = {0};
    int code = bodies_make(stage, records, BODY_RECORDS, &bodies, err);
    if (code == ERR_OK) {
        stage_stop_server(stage);
        double cpu_s = process_cpu_s(stage->process.pid);
        code = stage_post(stage, &bodies, producers, &posted, err);
        cpu_s = process_cpu_s(stage->process.pid) - cpu_s;
        stage_continue_server(stage);
        if (code == ERR_OK) {
            put_acks(stage, producers, records, &posted, cpu_s);
            *out_per_s = records / ((double)posted.took_us / 1e6);
        }
    }
    poster_result_free(&posted);
    bodies_free(&bodies);
    return code;
}

static int run_pairs(struct stage *stage, struct err *err)
{
    struct report *report = stage->bench->report;
    int code = ERR_OK;
    for (uint32_t i = 0; i < stage->bench->repetitions && code == ERR_OK; i++) {
        double limit = 0;
        double intake = 0;
        code = stage_limit(stage, LIMIT_RECORDS, &limit, err);
        code = code ? code : take_in(stage, PRODUCERS, &intake, err);
        if (code == ERR_OK) {
            report_add(report, limit, "intake.limit_rows_per_s");
            report_add(report, intake / limit, "intake.ratio");
            fprintf(stderr, "intake: %.0f records/s, LOAD DATA %.0f rows/s, ratio %.2f\n",
                    intake, limit, intake / limit);
        }
    }
    return code;
}

/* Other numbers of producers, for the chart. */
static int run_producers(struct stage *stage, struct err *err)
{
    static const uint32_t quick[] = {1, 8};
    static const uint32_t full[] = {1, 2, 4, 8, 16, 32, 128, 256};
    const uint32_t *numbers = stage->bench->quick ? quick : full;
    size_t count = stage->bench->quick ? sizeof quick / sizeof quick[0]
                                       : sizeof full / sizeof full[0];
    int code = ERR_OK;
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        double per_s;
        code = take_in(stage, numbers[i], &per_s, err);
    }
    return code;
}

static int run_acks(struct stage *stage, struct err *err)
{
    int64_t ready_us;
    double warm_up;
    int code = process_start(&stage->process, &ready_us, err);
    code = code ? code : process_pause(&stage->process, err);
    code = code ? code : stage_limit(stage, LIMIT_RECORDS, &warm_up, err);
    code = code ? code : run_pairs(stage, err);
    code = code ? code : run_producers(stage, err);
    code = code ? code : process_resume(&stage->process, err);
    code =
        code ? code : process_wait_applied(&stage->process, STAGE_APPLY_TIMEOUT_S, err);
    return code ? code : stage_check(stage, true, err);
}

/* ---- A stall under load ---------------------------------------------------------- */

enum {
    LOAD_PRODUCERS = 4,
    LOAD_RECORDS_PER_S = 20000,
    LOAD_INTERVAL_US = 1000000 / (LOAD_RECORDS_PER_S / BODY_RECORDS / LOAD_PRODUCERS),
    SAMPLE_US = 100000,
    DRAINED_SAMPLES = 5,
    SAMPLES_MAX = 6000,
};

struct load {
    struct stage *stage;
    const struct bodies *bodies;
    struct poster_result posted;
    struct err err;
    atomic_bool ended;
};

static void *run_load(void *context)
{
    struct load *load = context;
    struct poster_config config = {.port = load->stage->process.port,
                                   .path = "/v1/streams/mozi/records",
                                   .producers = LOAD_PRODUCERS,
                                   .bodies = load->bodies->items,
                                   .body_count = load->bodies->count,
                                   .interval_us = LOAD_INTERVAL_US};
    (void)poster_run(&config, &load->posted, &load->err);
    atomic_store(&load->ended, true);
    return NULL;
}

struct stall {
    int64_t from_us; /* since the load began */
    int64_t to_us;
};

/* Writes the backlog's size until the load has ended and nothing is pending. */
static int sample(struct load *load, const struct stall *stall, uint64_t accepted_before,
                  FILE *out, struct err *err)
{
    struct stage *stage = load->stage;
    int64_t begun_us = clock_steady_us(&clock_system);
    bool stopped = false;
    int drained = 0;
    for (int i = 0; drained < DRAINED_SAMPLES; i++) {
        if (i == SAMPLES_MAX) {
            return err_set(err, ERR_TIMEOUT, 0, "the backlog doesn't drain");
        }
        struct process_status status;
        int64_t at_us = clock_steady_us(&clock_system) - begun_us;
        bool stop = at_us >= stall->from_us && at_us < stall->to_us;
        if (stop != stopped) {
            (stop ? stage_stop_server : stage_continue_server)(stage);
            stopped = stop;
        }
        if (process_status(&stage->process, &status, err) != ERR_OK) {
            return err->code;
        }
        uint64_t accepted = status.accepted - accepted_before;
        fprintf(out, "%.2f %llu %llu %llu\n", (double)at_us / 1e6,
                (unsigned long long)status.pending, (unsigned long long)accepted,
                (unsigned long long)(accepted - status.pending));
        bool idle = atomic_load(&load->ended) && status.pending == 0;
        drained = idle ? drained + 1 : 0;
        bench_rest(SAMPLE_US);
    }
    return ERR_OK;
}

static int run_stalled(struct load *load, const struct stall *stall, FILE *out,
                       struct err *err)
{
    struct process_status before;
    pthread_t thread;
    int code = process_status(&load->stage->process, &before, err);
    if (code != ERR_OK) {
        return code;
    }
    int sys = pthread_create(&thread, NULL, run_load, load);
    if (sys) {
        return err_set_errno(err, ERR_NOMEM, sys, "starting the load");
    }
    code = sample(load, stall, before.accepted, out, err);
    stage_continue_server(load->stage);
    (void)pthread_join(thread, NULL);
    if (code == ERR_OK && load->err.code != ERR_OK) {
        code = err_set(err, load->err.code, load->err.sys, "%s", load->err.message);
    }
    return code;
}

static int run_backlog(struct stage *stage, struct err *err)
{
    uint32_t seconds = stage->bench->quick ? 8 : 30;
    const struct stall stall = {seconds * 1000000LL / 4, seconds * 1000000LL * 5 / 8};
    char path[PROCESS_PATH_MAX];
    struct bodies bodies = {0};
    struct load load = {.stage = stage, .bodies = &bodies};
    (void)snprintf(path, sizeof path, "%.200s/backlog.dat", stage->bench->directory);
    FILE *out = fopen(path, "we");
    if (!out) {
        return err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    fprintf(out,
            "# t_s pending_records accepted applied; the database stands still from "
            "%.1f to %.1f s\n",
            (double)stall.from_us / 1e6, (double)stall.to_us / 1e6);
    int code =
        bodies_make(stage, seconds * LOAD_RECORDS_PER_S, BODY_RECORDS, &bodies, err);
    code = code ? code : run_stalled(&load, &stall, out, err);
    poster_result_free(&load.posted);
    bodies_free(&bodies);
    if (fclose(out) && code == ERR_OK) {
        code = err_set_errno(err, ERR_IO, errno, "%s", path);
    }
    return code ? code : stage_check(stage, true, err);
}

/* ---- While the journal grows ----------------------------------------------------- */

enum { STEADY_US = 2000000, GROWTH_TIMEOUT_S = 900, WRITTEN_AHEAD = 2 };
static const uint64_t gib = 1ULL << 30;

/* What was posted of bodies that are sent over and over. */
struct flow {
    uint64_t records;
    double per_s;
};

/* For so long, and until the file has so many bytes. */
static int post_until(struct stage *stage, const struct bodies *bodies, int64_t us,
                      uint64_t bytes, struct flow *out, struct err *err)
{
    struct process_status status = {0};
    int64_t begun_us = clock_steady_us(&clock_system);
    int64_t took_us = 0;
    uint64_t records = 0;
    while (took_us < us || status.journal_bytes < bytes) {
        struct poster_result posted = {0};
        int code = stage_post(stage, bodies, PRODUCERS, &posted, err);
        poster_result_free(&posted);
        records += bodies->records;
        took_us = clock_steady_us(&clock_system) - begun_us;
        code = code ? code : process_status(&stage->process, &status, err);
        if (code == ERR_OK && took_us > GROWTH_TIMEOUT_S * 1000000LL) {
            code = err_set(err, ERR_TIMEOUT, 0, "the journal grows too slowly");
        }
        if (code != ERR_OK) {
            return code;
        }
    }
    *out = (struct flow){records, (double)records / ((double)took_us / 1e6)};
    return ERR_OK;
}

/* What was acknowledged is all there, byte for byte, though it isn't applied. */
static int verify(struct stage *stage, uint64_t records, struct err *err)
{
    struct process_status status;
    int code = process_status(&stage->process, &status, err);
    if (code == ERR_OK && status.accepted != records) {
        fprintf(stderr, "%llu records were acknowledged, the journal holds %llu\n",
                (unsigned long long)records, (unsigned long long)status.accepted);
        stage->bench->report->exact = false;
    }
    code = code ? code : process_stop(&stage->process, err);
    return code ? code : process_verify(&stage->process, err);
}

/* Posts with lanes paused and the database stopped. */
static int post_stalled(struct stage *stage, const struct bodies *bodies, int64_t us,
                        uint64_t bytes, struct flow *out, struct err *err)
{
    int64_t ready_us;
    int code = process_start(&stage->process, &ready_us, err);
    code = code ? code : process_pause(&stage->process, err);
    stage_stop_server(stage);
    code = code ? code : post_until(stage, bodies, us, bytes, out, err);
    stage_continue_server(stage);
    return code ? code : verify(stage, out->records, err);
}

/* Until the file was written ahead, while nothing is posted. */
static int write_ahead(struct stage *stage, struct err *err)
{
    struct process_status status = {0};
    int64_t ready_us;
    int code = process_start(&stage->process, &ready_us, err);
    for (int i = 0; code == ERR_OK && status.journal_bytes < WRITTEN_AHEAD * gib; i++) {
        code = process_status(&stage->process, &status, err);
        if (code == ERR_OK && i == SAMPLES_MAX) {
            code = err_set(err, ERR_TIMEOUT, 0, "the journal is not written ahead");
        }
        bench_rest(SAMPLE_US);
    }
    return code ? code : process_stop(&stage->process, err);
}

/* In a journal whose pages are all written already, as one has that gives room back. */
static int run_steady(struct stage *stage, const struct bodies *bodies,
                      struct stage_options options, struct flow *out, struct err *err)
{
    char ahead[64];
    (void)snprintf(ahead, sizeof ahead, ", preallocate: %dGiB", WRITTEN_AHEAD);
    options.journal = ahead;
    int code = stage_configure(stage, &options, err);
    code = code ? code : write_ahead(stage, err);
    options.journal = ", preallocate: 0";
    code = code ? code : stage_configure(stage, &options, err);
    return code ? code : post_stalled(stage, bodies, STEADY_US, 0, out, err);
}

static void put_growth(struct stage *stage, uint64_t bytes, const struct flow *steady,
                       const struct flow *growing)
{
    struct report *report = stage->bench->report;
    report_add(report, steady->per_s, "growth.steady_records_per_s");
    report_add(report, growing->per_s, "growth.records_per_s");
    report_add(report, growing->per_s / steady->per_s, "growth.ratio");
    fprintf(stderr, "growing by %llu GiB: %.0f records/s, steady %.0f, ratio %.2f\n",
            (unsigned long long)(bytes / gib), growing->per_s, steady->per_s,
            growing->per_s / steady->per_s);
}

static int grow_once(struct stage *stage, const struct stage_options *options,
                     struct err *err)
{
    const uint64_t bytes = (stage->bench->quick ? 1 : 6) * gib;
    struct bodies bodies = {0};
    struct flow steady = {0};
    struct flow growing = {0};
    int code = bodies_make(stage, RECORDS, BODY_RECORDS, &bodies, err);
    code = code ? code : run_steady(stage, &bodies, *options, &steady, err);
    code = code ? code : stage_renew(stage, options, err);
    code = code ? code : post_stalled(stage, &bodies, 0, bytes, &growing, err);
    if (code == ERR_OK) {
        put_growth(stage, bytes, &steady, &growing);
    }
    bodies_free(&bodies);
    return code;
}

/* In journals of their own, which are not applied: that would take the server a quarter
 * of an hour. */
static int grow_journal(struct bench *bench, struct err *err)
{
    struct stage stage;
    const struct stage_options options = {
        .name = "growth", .lanes = 1, .transaction_records = TRANSACTION_RECORDS};
    int code = stage_open(&stage, bench, &options, err);
    code = code ? code : grow_once(&stage, &options, err);
    stage_close(&stage);
    return code;
}

int bench_intake(struct bench *bench, struct err *err)
{
    struct stage stage;
    const struct stage_options options = {
        .name = "intake", .lanes = 1, .transaction_records = TRANSACTION_RECORDS};
    int code = stage_open(&stage, bench, &options, err);
    code = code ? code : run_acks(&stage, err);
    code = code ? code : run_backlog(&stage, err);
    code = code ? code : process_stop(&stage.process, err);
    stage_close(&stage);
    return code ? code : grow_journal(bench, err);
}
