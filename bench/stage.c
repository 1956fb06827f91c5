#include "bench/stage.h"

#include <signal.h>
#include <stdlib.h>

static const char stream_name[] = "mozi";
static const char stream_path[] = "/v1/streams/mozi/records";

static struct process_options process_of(const struct stage *stage,
                                         const struct stage_options *options)
{
    return (struct process_options){.name = options->name,
                                    .database = stage->database,
                                    .stream = stream_name,
                                    .lanes = options->lanes,
                                    .transaction_records = options->transaction_records,
                                    .journal = options->journal};
}

static int prepare(struct stage *stage, const struct stage_options *options,
                   struct err *err)
{
    struct process_options process = process_of(stage, options);
    int code = process_prepare(&stage->process, stage->bench, &process, err);
    code = code ? code : config_load(stage->process.config, &stage->config, err);
    if (code == ERR_OK) {
        stage->stream = config_stream(stage->config, slice_text(stream_name));
    }
    return code;
}

int stage_open(struct stage *stage, const struct bench *bench,
               const struct stage_options *options, struct err *err)
{
    *stage = (struct stage){.bench = bench};
    (void)snprintf(stage->database, sizeof stage->database, "bench_%s", options->name);
    if (!bench->server) {
        return err_set(err, ERR_INVALID, 0,
                       "needs to know the database server's process: give its --server");
    }
    workload_config_defaults(&stage->workload);
    stage->workload.seed = bench->seed;
    int code = workload_new(&stage->workload, &stage->sent, err);
    code = code ? code : workload_new(&stage->workload, &stage->limit, err);
    code = code ? code : expected_new(&stage->workload, &stage->expected, err);
    code = code ? code : database_connect(bench, stage->database, &stage->db, err);
    code = code ? code : prepare(stage, options, err);
    return code ? code
                : database_seed(stage->db, stage->stream, stage->sent, &stage->workload,
                                err);
}

void stage_close(struct stage *stage)
{
    process_kill(&stage->process);
    config_free(stage->config);
    db_close(stage->db);
    expected_free(stage->expected);
    workload_free(stage->limit);
    workload_free(stage->sent);
}

int stage_configure(struct stage *stage, const struct stage_options *options,
                    struct err *err)
{
    struct process_options process = process_of(stage, options);
    return process_configure(&stage->process, &process, err);
}

int stage_renew(struct stage *stage, const struct stage_options *options, struct err *err)
{
    process_kill(&stage->process);
    config_free(stage->config);
    stage->config = NULL;
    return prepare(stage, options, err);
}

int stage_limit(struct stage *stage, uint32_t rows, double *out_per_s, struct err *err)
{
    int64_t took_us;
    int code = database_load_limit(stage->db, stage->limit, rows, STAGE_LIMIT_ROWS,
                                   &took_us, err);
    if (code == ERR_OK) {
        *out_per_s = rows / ((double)took_us / 1e6);
    }
    return code;
}

int stage_check(struct stage *stage, bool whole, struct err *err)
{
    struct database_expected expected = expected_now(stage->expected);
    bool exact = false;
    int code =
        database_check(stage->db, stage->stream, whole ? &expected : NULL, &exact, err);
    if (code == ERR_OK && !exact) {
        stage->bench->report->exact = false;
    }
    return code;
}

/* ---- Bodies ---------------------------------------------------------------------- */

/* The text moves while it grows: where each body ends is kept until it is whole. */
static int write_bodies(struct stage *stage, struct bodies *bodies, size_t *ends,
                        uint32_t records_of_body, struct err *err)
{
    for (uint32_t i = 0; i < bodies->records; i++) {
        struct workload_record record;
        if (bodies->of_all) {
            workload_next_of(stage->sent, i, &record);
        } else {
            workload_next(stage->sent, &record);
        }
        workload_append_json(&bodies->text, &record);
        ends[i / records_of_body] = bodies->text.len;
        if (expected_add(stage->expected, &record, err) != ERR_OK) {
            return err->code;
        }
    }
    return bodies->text.failed ? err_set(err, ERR_NOMEM, 0, "no memory for bodies")
                               : ERR_OK;
}

static int fill(struct stage *stage, struct bodies *bodies, size_t *ends,
                uint32_t records_of_body, struct err *err)
{
    int code = write_bodies(stage, bodies, ends, records_of_body, err);
    for (size_t i = 0; i < bodies->count && code == ERR_OK; i++) {
        size_t start = i ? ends[i - 1] : 0;
        bodies->items[i] = slice_of(bodies->text.data + start, ends[i] - start);
    }
    return code;
}

static int make(struct stage *stage, struct bodies bodies, uint32_t records_of_body,
                struct bodies *out_bodies, struct err *err)
{
    bodies.count = (bodies.records + records_of_body - 1) / records_of_body;
    size_t *ends = calloc(bodies.count, sizeof *ends);
    bodies.items = calloc(bodies.count, sizeof *bodies.items);
    int code = ends && bodies.items ? fill(stage, &bodies, ends, records_of_body, err)
                                    : err_set(err, ERR_NOMEM, 0, "no memory for bodies");
    free(ends);
    if (code != ERR_OK) {
        bodies_free(&bodies);
        return code;
    }
    *out_bodies = bodies;
    return ERR_OK;
}

int bodies_make(struct stage *stage, uint32_t records, uint32_t records_of_body,
                struct bodies *out_bodies, struct err *err)
{
    return make(stage, (struct bodies){.records = records}, records_of_body, out_bodies,
                err);
}

int bodies_of_all(struct stage *stage, uint32_t records_of_body,
                  struct bodies *out_bodies, struct err *err)
{
    return make(stage, (struct bodies){.records = stage->workload.ips, .of_all = true},
                records_of_body, out_bodies, err);
}

void bodies_free(struct bodies *bodies)
{
    free(bodies->items);
    buf_free(&bodies->text);
    *bodies = (struct bodies){0};
}

int stage_post(struct stage *stage, const struct bodies *bodies, uint32_t producers,
               struct poster_result *out_result, struct err *err)
{
    struct poster_config config = {.port = stage->process.port,
                                   .path = stream_path,
                                   .producers = producers,
                                   .bodies = bodies->items,
                                   .body_count = bodies->count};
    return poster_run(&config, out_result, err);
}

/* ---- The server ------------------------------------------------------------------ */

void stage_stop_server(const struct stage *stage)
{
    (void)kill(stage->bench->server, SIGSTOP);
}

void stage_continue_server(const struct stage *stage)
{
    (void)kill(stage->bench->server, SIGCONT);
}
