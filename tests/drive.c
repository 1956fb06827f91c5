/* tests/drive.c: see drive.h. */
#include "tests/drive.h"

#include "tests/process.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

#include <stdio.h>
#include <stdlib.h>

enum { STOP_TIMEOUT_MS = 20000 };

static void must(int code, const struct err *err)
{
    cr_assert_eq(code, 0, "%s", err->message);
}

void drive_configure(struct drive *d)
{
    struct err err = {0};
    must(engine_configure(&d->engine, &d->options, &err), &err);
}

void drive_begin(struct drive *d, uint64_t seed,
                 void (*change)(struct engine_options *options))
{
    *d = (struct drive){.random = seed};
    cr_log_info("seed %llu\n", (unsigned long long)seed);
    world_start(&d->w);
    d->options = (struct engine_options){.dir = d->w.dir,
                                         .name = "engine",
                                         .binary = world_holdfast(),
                                         .socket = d->w.socket,
                                         .database = d->w.database,
                                         .port = world_free_port()};
    if (change)
        change(&d->options);
    drive_configure(d);
    sample_config_defaults(&d->sample_config);
    d->sample_config.seed = seed;
}

static void check_reports(const struct engine_process *engine)
{
    static const char *const reports[] = {"ERROR: AddressSanitizer",
                                          "ERROR: LeakSanitizer",
                                          "WARNING: ThreadSanitizer", "runtime error:"};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        if (drive_log_count(engine, reports[i]) == 0)
            continue;
        char *log = world_read_file(engine->log);
        cr_assert_fail("a sanitizer's report of the engine:\n%s",
                       strstr(log, reports[i]));
    }
}

void drive_stop_engine(struct drive *d)
{
    struct err err = {0};
    int exit_code = -1;
    must(engine_stop(&d->engine, STOP_TIMEOUT_MS, &exit_code, &err), &err);
    check_reports(&d->engine);
    cr_assert_eq(exit_code, 0, "the engine's exit code is %d; see %s", exit_code,
                 d->engine.log);
}

void drive_end(struct drive *d)
{
    if (d->feeder)
        d->lines = feeder_finish(d->feeder);
    if (d->engine.pid)
        drive_stop_engine(d);
    check_reports(&d->engine);
    sample_free(&d->sample);
    free(d->lines);
    world_stop(&d->w);
}

void drive_sample(struct drive *d, uint32_t records, uint32_t batch_max)
{
    struct err err = {0};
    d->sample_config.records = records;
    d->sample_config.batch_max = batch_max;
    must(sample_new(&d->sample_config, &d->sample, &err), &err);
}

void drive_engine(struct drive *d)
{
    struct err err = {0};
    must(engine_start(&d->engine, &err), &err);
}

void drive_wait_idle(struct drive *d)
{
    int64_t end = process_now_ms() + DRIVE_PATIENCE_MS;
    bool idle = false;
    while (!idle && process_now_ms() < end) {
        idle = engine_idle(&d->engine);
        process_sleep_ms(10);
    }
    cr_assert(idle, "the lanes are not idle; see %s", d->engine.log);
}

void drive_feed(struct drive *d, uint32_t producers, uint32_t pause_us)
{
    struct err err = {0};
    struct feeder_config config = {.sample = &d->sample,
                                   .producers = producers,
                                   .port = d->engine.port,
                                   .pause_us = pause_us};
    must(feeder_start(&config, &d->feeder, &err), &err);
}

void drive_wait_batches(struct drive *d, uint32_t batches)
{
    bool reached = feeder_wait(d->feeder, batches, DRIVE_PATIENCE_MS);
    struct feeder_progress progress;
    feeder_progress(d->feeder, &progress);
    cr_assert(reached, "%u of %u batches are acknowledged after %d ms", progress.batches,
              batches, DRIVE_PATIENCE_MS);
}

void drive_acknowledged(struct drive *d)
{
    drive_wait_batches(d, d->sample.batch_count);
    d->lines = feeder_finish(d->feeder);
    d->feeder = NULL;
}

void drive_applied(struct drive *d)
{
    struct err err = {0};
    must(engine_wait_applied(&d->engine, DRIVE_PATIENCE_MS, &err), &err);
}

void drive_compare(struct drive *d, struct oracle_report *out_report)
{
    struct err err = {0};
    struct oracle_log log = {.sample = &d->sample, .lines = d->lines};
    d->context.accepted = (uint64_t)engine_accepted(&d->engine);
    must(oracle_compare(d->w.session, &log, 1, &d->context, out_report, &err), &err);
    struct buf text = {0};
    oracle_describe(out_report, &text);
    cr_assert(oracle_clean(out_report), "%s", buf_text(&text));
    buf_free(&text);
    drive_audit(d);
}

void drive_audit(struct drive *d)
{
    const char *args[] = {"audit", NULL};
    struct buf text = {0};
    int code = engine_command(&d->engine, args, &text);
    cr_assert_eq(code, 0, "holdfast audit: %d\n%s", code, buf_text(&text));
    buf_free(&text);
}

void drive_finish(struct drive *d)
{
    struct oracle_report report;
    drive_acknowledged(d);
    drive_applied(d);
    drive_compare(d, &report);
}

int drive_post(struct drive *d, const char *path, const char *body, const char *key,
               struct buf *out_body)
{
    struct http_probe probe = {.port = d->engine.port};
    struct http_probe_request request = {
        .method = "POST", .path = path, .body = slice_text(body), .idempotency_key = key};
    struct http_probe_answer answer = {0};
    bool answered = http_probe_send(&probe, &request, &answer) == HTTP_ANSWERED;
    if (answered && out_body) {
        buf_clear(out_body);
        buf_append_slice(out_body, answer.body);
    }
    http_probe_close(&probe);
    return answered ? answer.status : 0;
}

void drive_second(struct drive *d, const char *name, struct engine_process *out_engine)
{
    struct err err = {0};
    struct engine_options options = d->options;
    options.name = name;
    options.port = world_free_port();
    *out_engine = (struct engine_process){0};
    must(engine_configure(out_engine, &options, &err), &err);
    must(engine_start(out_engine, &err), &err);
}

size_t drive_log_count(const struct engine_process *engine, const char *text)
{
    char *log = world_read_file(engine->log);
    size_t count = 0;
    for (const char *at = log; at && (at = strstr(at, text)) != NULL; at++)
        count++;
    free(log);
    return count;
}
