#include "tests/faults/intake.h"

#include "tests/http_probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *path;
    uint32_t batches; /* of each client */
    uint32_t records;
    uint32_t pad;     /* bytes of a field, to make bodies large */
    uint32_t bad;     /* one record in so many; 0: none */
    uint32_t unkeyed; /* one batch in so many has no key */
} works[INTAKE_WORKS] = {
    {"single records", "/v1/streams/mozi/records", 150, 1, 10, 0, 2},
    {"500 lines", "/v1/streams/test/records", 30, 500, 10, 0, 2},
    {"large bodies", "/v1/streams/mozi/records", 16, 400, 180, 9, 3},
};

/* ---- What is sent ------------------------------------------------------------------ */

static void append_record(struct intake_batch *batch, uint32_t which, uint32_t number,
                          uint32_t record)
{
    bool bad = works[which].bad > 0 && record % works[which].bad == 3;
    uint32_t pad = works[which].pad;
    char text[256] = "";
    for (uint32_t i = 0; i < pad; i++) {
        text[i] = (char)('a' + (number + record + i) % 26);
    }
    buf_printf(&batch->body, "{\"ip\":\"%s%u.%u.%u.%u\",", bad ? "x" : "", 10 + which,
               number >> 8 & 255, number & 255, record % 256);
    buf_printf(&batch->body,
               "\"timestamp\":\"2026-01-%02u %02u:%02u:%02u\",\"event_type\":\"beacon\","
               "\"isp\":\"%s\"}\n",
               1 + record / 256, number % 24, record % 60, number % 60, text);
    batch->records++;
    batch->bad += bad;
}

int intake_work_new(uint32_t which, struct intake_work *out_work, struct err *err)
{
    struct intake_work work = {.name = works[which].name,
                               .count = works[which].batches * INTAKE_CLIENTS};
    work.batches = calloc(work.count, sizeof *work.batches);
    bool good = work.batches != NULL;
    for (uint32_t i = 0; good && i < work.count; i++) {
        struct intake_batch *batch = &work.batches[i];
        batch->path = works[which].path;
        if (i / INTAKE_CLIENTS % works[which].unkeyed != 0) {
            (void)snprintf(batch->key, sizeof batch->key, "key-%u-%u", which, i);
        }
        for (uint32_t r = 0; r < works[which].records; r++) {
            append_record(batch, which, i, r);
        }
        good = !batch->body.failed;
    }
    if (!good) {
        intake_work_free(&work);
        return err_set(err, ERR_NOMEM, 0, "no memory for a workload");
    }
    *out_work = work;
    return ERR_OK;
}

void intake_work_free(struct intake_work *work)
{
    for (uint32_t i = 0; work->batches && i < work->count; i++) {
        struct intake_batch *batch = &work->batches[i];
        buf_free(&batch->body);
        for (size_t p = 0; p < INTAKE_PARTS_MAX; p++) {
            buf_free(&batch->parts[p].payload);
            buf_free(&batch->parts[p].letters);
        }
    }
    free(work->batches);
    *work = (struct intake_work){0};
}

/* ---- Sending ----------------------------------------------------------------------- */

static struct intake_line send_batch(struct http_probe *probe,
                                     const struct intake_batch *batch)
{
    struct http_probe_request request = {
        .method = "POST", .path = batch->path, .body = buf_slice(&batch->body)};
    struct http_probe_answer answer = {0};
    struct intake_line line = {.fate = INTAKE_UNSENT};
    request.idempotency_key = batch->key[0] != '\0' ? batch->key : NULL;
    enum http_fate fate = http_probe_send(probe, &request, &answer);
    if (fate == HTTP_UNKNOWN) {
        line.fate = INTAKE_UNKNOWN;
    } else if (fate == HTTP_ANSWERED) {
        line.status = answer.status;
        line.fate = answer.status == 200                           ? INTAKE_ACKED
                    : answer.status == 503 || answer.status == 429 ? INTAKE_UNSENT
                                                                   : INTAKE_STRANGE;
        line.seq = (uint64_t)http_probe_number(answer.body, "seq", 0);
        line.accepted = (uint32_t)http_probe_number(answer.body, "accepted", 0);
        line.dead_lettered = (uint32_t)http_probe_number(answer.body, "dead_lettered", 0);
        line.replayed = memmem(answer.body.data, answer.body.len, "\"replayed\":true",
                               sizeof "\"replayed\":true" - 1) != NULL;
    }
    return line;
}

struct client {
    pthread_t thread;
    uint32_t number;
    const struct intake_work *work;
    uint16_t port;
    bool stop;
    struct intake_line *lines;
};

static void *run_client(void *argument)
{
    const struct client *client = argument;
    struct http_probe probe = {.port = client->port};
    for (uint32_t i = client->number; i < client->work->count; i += INTAKE_CLIENTS) {
        struct intake_line *line = &client->lines[i];
        if (line->fate == INTAKE_ACKED) {
            continue;
        }
        *line = send_batch(&probe, &client->work->batches[i]);
        if (client->stop && line->fate != INTAKE_ACKED) {
            break;
        }
    }
    http_probe_close(&probe);
    return NULL;
}

int intake_send(const struct intake_work *work, uint16_t port, bool stop,
                struct intake_line *lines, struct err *err)
{
    struct client clients[INTAKE_CLIENTS];
    uint32_t started = 0;
    while (started < INTAKE_CLIENTS) {
        clients[started] = (struct client){
            .number = started, .work = work, .port = port, .stop = stop, .lines = lines};
        if (pthread_create(&clients[started].thread, NULL, run_client,
                           &clients[started]) != 0) {
            break;
        }
        started++;
    }
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(clients[i].thread, NULL);
    }
    return started == INTAKE_CLIENTS
               ? ERR_OK
               : err_set(err, ERR_NOMEM, 0, "no thread for a client");
}

struct intake_line intake_send_one(const struct intake_batch *batch, uint16_t port)
{
    struct http_probe probe = {.port = port};
    struct intake_line line = send_batch(&probe, batch);
    http_probe_close(&probe);
    return line;
}
