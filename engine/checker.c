#include "engine/checker.h"

#include "base/steady.h"
#include "engine/check_json.h"
#include "engine/json.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

static const int64_t first_us = INT64_C(60) * 1000000;

struct checked {
    bool done; /* `report` holds a result */
    struct check_report report;
    struct err failure; /* of the last try; ERR_OK: none */
};

struct checker {
    const struct config *config;
    struct db_hosts *hosts;
    struct checked *streams; /* as config's */
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* all below, and `streams` */
    pthread_cond_t changed;
    bool stopping;
    struct db *db; /* while a check is under way */
};

static bool is_stopping(struct checker *checker)
{
    pthread_mutex_lock(&checker->lock);
    bool stopping = checker->stopping;
    pthread_mutex_unlock(&checker->lock);
    return stopping;
}

/* ---- One round ------------------------------------------------------------------- */

static bool goes_on(void *context, uint64_t at, uint64_t end)
{
    (void)at;
    (void)end;
    return !is_stopping(context);
}

static void tell(const struct checker *checker, const struct check_report *report)
{
    if (!report->found) {
        return;
    }
    struct log_field fields[] = {
        L_STR("stream", report->stream->name),
        L_INT("entities", report->entities),
        L_INT("without_events", report->missing),
        L_INT("events_without_entity", report->stray),
        L_INT("coverage_hundredths", check_coverage(report)),
    };
    bool below = check_is_below(report, checker->config->check.threshold);
    log_event(below ? LOG_WARN : LOG_INFO, below ? "check_below_threshold" : "checked",
              fields, sizeof fields / sizeof fields[0]);
}

/* Takes the report over, unless there is a failure. */
static void keep(struct checker *checker, size_t index, const struct check_report *report,
                 const struct err *failure)
{
    struct checked *checked = &checker->streams[index];
    pthread_mutex_lock(&checker->lock);
    checked->failure = *failure;
    if (failure->code == ERR_OK) {
        check_report_free(&checked->report);
        checked->done = true;
        checked->report = *report;
    }
    pthread_mutex_unlock(&checker->lock);
    if (failure->code == ERR_OK) {
        tell(checker, report);
    } else if (!is_stopping(checker)) {
        log_warn("check_failed", L_STR("stream", checker->config->streams[index]->name),
                 L_CODE(failure), L_ERR(failure));
    }
}

static void set_db(struct checker *checker, struct db *db)
{
    pthread_mutex_lock(&checker->lock);
    checker->db = db;
    if (db && checker->stopping) {
        db_abort(db);
    }
    pthread_mutex_unlock(&checker->lock);
}

static void check_streams(struct checker *checker, struct db *db, const struct err *why)
{
    const struct config *config = checker->config;
    for (size_t i = 0; i < config->stream_count && !is_stopping(checker); i++) {
        struct err err = *why;
        struct check_report report = {0};
        struct check_rules rules = {
            .now_us = clock_wall_us(&clock_system),
            .since_us = config->check.since_us,
            .explain = true,
            .zone_offset_s = config->zone_offset_s,
            .progress = goes_on,
            .progress_context = checker,
        };
        if (err.code == ERR_OK) {
            check_stream(db, config->streams[i], &rules, &report, &err);
        }
        keep(checker, i, &report, &err);
    }
}

static void check_round(struct checker *checker)
{
    struct err err = {0};
    struct db *db = NULL;
    if (db_new(checker->hosts, &db, &err) == ERR_OK) {
        set_db(checker, db); /* before it is opened: stop must reach it */
        db_open(db, &checker->config->database, &err);
    }
    check_streams(checker, db, &err);
    set_db(checker, NULL);
    db_close(db);
}

/* ---- Life ------------------------------------------------------------------------ */

/* False: stopping. */
static bool wait_for_round(struct checker *checker, int64_t wait_us)
{
    int64_t until_us = clock_steady_us(&clock_system) + wait_us;
    pthread_mutex_lock(&checker->lock);
    while (!checker->stopping && clock_steady_us(&clock_system) < until_us) {
        steady_cond_wait(&checker->changed, &checker->lock, until_us);
    }
    bool stopping = checker->stopping;
    pthread_mutex_unlock(&checker->lock);
    return !stopping;
}

static void *run(void *context)
{
    struct checker *checker = context;
    int64_t every_us = checker->config->check.every_us;
    int64_t wait_us = every_us < first_us ? every_us : first_us;
    while (wait_for_round(checker, wait_us)) {
        check_round(checker);
        wait_us = every_us;
    }
    return NULL;
}

int checker_start(const struct config *config, struct db_hosts *hosts,
                  struct checker **out_checker, struct err *err)
{
    struct checker *checker = calloc(1, sizeof *checker);
    struct checked *streams = calloc(config->stream_count + 1, sizeof *streams);
    if (!checker || !streams) {
        free(checker);
        free(streams);
        return err_set(err, ERR_NOMEM, 0, "no memory for the checks");
    }
    checker->config = config;
    checker->hosts = hosts;
    checker->streams = streams;
    pthread_mutex_init(&checker->lock, NULL);
    steady_cond_init(&checker->changed);
    int rc = pthread_create(&checker->thread, NULL, run, checker);
    checker->started = rc == 0;
    if (rc) {
        checker_stop(checker);
        return err_set_errno(err, ERR_NOMEM, rc, "starting the thread of the checks");
    }
    *out_checker = checker;
    return ERR_OK;
}

void checker_stop(struct checker *checker)
{
    if (!checker) {
        return;
    }
    pthread_mutex_lock(&checker->lock);
    checker->stopping = true;
    if (checker->db) {
        db_abort(checker->db);
    }
    pthread_cond_broadcast(&checker->changed);
    pthread_mutex_unlock(&checker->lock);
    if (checker->started) {
        pthread_join(checker->thread, NULL);
    }
    pthread_cond_destroy(&checker->changed);
    pthread_mutex_destroy(&checker->lock);
    for (size_t i = 0; i < checker->config->stream_count; i++) {
        check_report_free(&checker->streams[i].report);
    }
    free(checker->streams);
    free(checker);
}

void checker_put(struct checker *checker, struct json_writer *json)
{
    json_key(json, "checks");
    json_array(json);
    for (size_t i = 0; checker && i < checker->config->stream_count; i++) {
        pthread_mutex_lock(&checker->lock);
        struct checked checked = checker->streams[i];
        pthread_mutex_unlock(&checker->lock);
        checked.report.explained = false; /* what it owns may go at any time */
        if (checked.done) {
            check_put_report(json, &checked.report, checker->config->check.threshold);
        }
        if (checked.failure.code != ERR_OK) {
            json_object(json);
            json_put_text(json, "stream", checker->config->streams[i]->name);
            json_put_text(json, "failed", checked.failure.message);
            json_object_end(json);
        }
    }
    json_array_end(json);
}

void checker_put_orphans(struct checker *checker, struct json_writer *json)
{
    json_key(json, "orphans");
    json_array(json);
    for (size_t i = 0; checker && i < checker->config->stream_count; i++) {
        pthread_mutex_lock(&checker->lock);
        const struct checked *checked = &checker->streams[i];
        if (checked->done && checked->report.explained) {
            check_put_orphans(json, &checked->report);
        }
        pthread_mutex_unlock(&checker->lock);
    }
    json_array_end(json);
}

bool checker_coverage(struct checker *checker, size_t stream, double *out_ratio)
{
    if (!checker) {
        return false;
    }
    pthread_mutex_lock(&checker->lock);
    const struct checked *checked = &checker->streams[stream];
    const struct check_report *report = &checked->report;
    bool known = checked->done && report->found;
    double ratio = 1;
    if (known && report->entities) {
        ratio = 1 - (double)report->missing / (double)report->entities;
    }
    pthread_mutex_unlock(&checker->lock);
    if (known) {
        *out_ratio = ratio;
    }
    return known;
}
