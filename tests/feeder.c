/* tests/feeder.c: see feeder.h. */
#include "tests/feeder.h"

#include "tests/http_probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RETRY_MS = 20 };

struct feeder {
    struct feeder_config config;
    struct feeder_line *lines;
    pthread_t threads[FEEDER_PRODUCERS_MAX];
    uint32_t started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct feeder_progress progress;
    uint32_t next;
    bool stopping;
};

static struct timespec deadline_in(uint32_t ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Waits, unless the feeder is stopped meanwhile. */
static void pause_ms(struct feeder *feeder, uint32_t ms)
{
    struct timespec until = deadline_in(ms);
    pthread_mutex_lock(&feeder->lock);
    int rc = 0;
    while (!feeder->stopping && rc == 0)
        rc = pthread_cond_timedwait(&feeder->changed, &feeder->lock, &until);
    pthread_mutex_unlock(&feeder->lock);
}

static bool stopping(struct feeder *feeder)
{
    pthread_mutex_lock(&feeder->lock);
    bool stop = feeder->stopping;
    pthread_mutex_unlock(&feeder->lock);
    return stop;
}

/* The next batch for a producer; false when there is none. */
static bool take(struct feeder *feeder, uint32_t *out_index)
{
    pthread_mutex_lock(&feeder->lock);
    bool got = !feeder->stopping && feeder->next < feeder->config.sample->batch_count;
    if (got) {
        uint32_t at = feeder->next++;
        *out_index = feeder->config.order ? feeder->config.order[at] : at;
    }
    pthread_mutex_unlock(&feeder->lock);
    return got;
}

/* What one answer, or its absence, says about the batch. */
static void note(struct feeder_line *line, enum http_fate fate,
                 const struct http_probe_answer *answer)
{
    if (fate == HTTP_UNKNOWN) {
        line->unknown++;
        line->state = FEEDER_UNKNOWN;
    }
    if (fate != HTTP_ANSWERED)
        return;
    line->status = answer->status;
    if (answer->status == 503 || answer->status == 429) {
        line->busy++;
        return;
    }
    line->state = answer->status == 200 ? FEEDER_ACKED : FEEDER_REFUSED;
    if (answer->status != 200)
        return;
    line->seq = (uint64_t)http_probe_number(answer->body, "seq", 0);
    line->accepted = (uint32_t)http_probe_number(answer->body, "accepted", 0);
    line->dead_lettered = (uint32_t)http_probe_number(answer->body, "dead_lettered", 0);
    line->replayed = memmem(answer->body.data, answer->body.len, "\"replayed\":true",
                            strlen("\"replayed\":true")) != NULL;
}

static void count(struct feeder *feeder, const struct feeder_line *before,
                  const struct feeder_line *line, uint32_t records)
{
    pthread_mutex_lock(&feeder->lock);
    struct feeder_progress *progress = &feeder->progress;
    progress->in_flight--;
    progress->unknown += line->unknown - before->unknown;
    progress->busy += line->busy - before->busy;
    if (line->state == FEEDER_ACKED || line->state == FEEDER_REFUSED) {
        progress->batches++;
        progress->refused += line->state == FEEDER_REFUSED;
        progress->records += line->state == FEEDER_ACKED ? records : 0;
    }
    progress->done = progress->batches == feeder->config.sample->batch_count;
    pthread_cond_broadcast(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
}

static void begin(struct feeder *feeder)
{
    pthread_mutex_lock(&feeder->lock);
    feeder->progress.in_flight++;
    pthread_mutex_unlock(&feeder->lock);
}

static void send_once(struct feeder *feeder, struct http_probe *probe, uint32_t index)
{
    const struct sample_batch *batch = &feeder->config.sample->batches[index];
    const char *query = feeder->config.query ? feeder->config.query : "";
    char path[128];
    (void)snprintf(path, sizeof path, "/v1/%s%s%srecords%s",
                   batch->stream ? "streams/" : "", batch->stream ? batch->stream : "",
                   batch->stream ? "/" : "", query);
    struct http_probe_request request = {
        .method = "POST",
        .path = path,
        .body = buf_slice(&batch->body),
        .idempotency_key = batch->key[0] ? batch->key : NULL,
    };
    struct http_probe_answer answer = {0};
    struct feeder_line *line = &feeder->lines[index];
    struct feeder_line before = *line;
    begin(feeder);
    note(line, http_probe_send(probe, &request, &answer), &answer);
    count(feeder, &before, line, batch->record_count);
}

static void *produce(void *context)
{
    struct feeder *feeder = context;
    struct http_probe probe = {.port = feeder->config.port};
    uint32_t index;
    while (take(feeder, &index)) {
        struct feeder_line *line = &feeder->lines[index];
        while (!stopping(feeder)) {
            send_once(feeder, &probe, index);
            if (line->state == FEEDER_ACKED || line->state == FEEDER_REFUSED)
                break;
            pause_ms(feeder, RETRY_MS);
        }
        if (feeder->config.pause_us)
            pause_ms(feeder, (feeder->config.pause_us + 999) / 1000);
    }
    http_probe_close(&probe);
    return NULL;
}

static int feeder_init(struct feeder *feeder)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return ERR_NOMEM;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&feeder->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return rc == 0 && pthread_mutex_init(&feeder->lock, NULL) == 0 ? 0 : ERR_NOMEM;
}

int feeder_start(const struct feeder_config *config, struct feeder **out_feeder,
                 struct err *err)
{
    if (config->producers == 0 || config->producers > FEEDER_PRODUCERS_MAX)
        return err_set(err, ERR_INVALID, 0, "1 to %d producers", FEEDER_PRODUCERS_MAX);
    struct feeder *feeder = calloc(1, sizeof *feeder);
    struct feeder_line *lines =
        calloc(config->sample->batch_count, sizeof *feeder->lines);
    if (!feeder || !lines || feeder_init(feeder) != 0) {
        free(feeder);
        free(lines);
        return err_set(err, ERR_NOMEM, 0, "no memory for %u producers",
                       config->producers);
    }
    feeder->config = *config;
    feeder->lines = lines;
    while (feeder->started < config->producers) {
        int rc = pthread_create(&feeder->threads[feeder->started], NULL, produce, feeder);
        if (rc != 0) {
            free(feeder_finish(feeder));
            return err_set_errno(err, ERR_NOMEM, rc, "can't start a producer");
        }
        feeder->started++;
    }
    *out_feeder = feeder;
    return 0;
}

void feeder_progress(struct feeder *feeder, struct feeder_progress *out_progress)
{
    pthread_mutex_lock(&feeder->lock);
    *out_progress = feeder->progress;
    pthread_mutex_unlock(&feeder->lock);
}

bool feeder_wait(struct feeder *feeder, uint32_t batches, uint32_t timeout_ms)
{
    struct timespec until = deadline_in(timeout_ms);
    pthread_mutex_lock(&feeder->lock);
    int rc = 0;
    while (feeder->progress.batches < batches && !feeder->progress.done && rc == 0)
        rc = pthread_cond_timedwait(&feeder->changed, &feeder->lock, &until);
    bool reached = feeder->progress.batches >= batches || feeder->progress.done;
    pthread_mutex_unlock(&feeder->lock);
    return reached;
}

void feeder_stop(struct feeder *feeder)
{
    pthread_mutex_lock(&feeder->lock);
    feeder->stopping = true;
    pthread_cond_broadcast(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
}

struct feeder_line *feeder_finish(struct feeder *feeder)
{
    feeder_stop(feeder);
    for (uint32_t i = 0; i < feeder->started; i++)
        (void)pthread_join(feeder->threads[i], NULL);
    struct feeder_line *lines = feeder->lines;
    (void)pthread_cond_destroy(&feeder->changed);
    (void)pthread_mutex_destroy(&feeder->lock);
    free(feeder);
    return lines;
}
