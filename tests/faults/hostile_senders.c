/* tests/faults/hostile_senders.c: who may send, and who is harmed by whom. */
#include "tests/faults/hostile.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS "/v1/streams/mozi/records"

enum { ANSWER_MS = 20000, LOOK_MS = 20, FORBIDDEN = 401, TAKEN = 200, REUSED = 422 };

/* ---- Tokens --------------------------------------------------------------------------
 */

/* So many that a comparison of fewer bits than all is met. */
enum { TOKENS = 64 };

static int write_tokens(const char *path, const char *year, struct err *err)
{
    struct buf text = {0};
    for (int i = 0; i < TOKENS; i++)
        buf_printf(&text, "%s-token-%02d\n", year, i);
    int code = hostile_write(path, buf_text(&text), err);
    buf_free(&text);
    return code;
}

/* The status of one record sent with these header lines. */
static int send_with(struct stage *stage, const char *headers)
{
    static const char record[] = "{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600}";
    struct buf request = {0};
    struct buf out = {0};
    int status = 0;
    buf_printf(&request,
               "POST " RECORDS " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
               "Content-Length: %zu\r\n\r\n%s",
               headers, sizeof record - 1, record);
    (void)hostile_converse(stage->port, buf_slice(&request), ANSWER_MS, &out);
    if (out.len)
        (void)sscanf(buf_text(&out), "HTTP/1.1 %d", &status);
    buf_free(&request);
    buf_free(&out);
    return status;
}

static int send_token(struct stage *stage, const char *token)
{
    char header[128];
    (void)snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", token);
    return send_with(stage, header);
}

static void expect_refused(struct stage *stage, const char *headers)
{
    int status = send_with(stage, headers);
    if (status != FORBIDDEN)
        hostile_breaks(stage, "I2", "%d instead of 401 for: %s", status, headers);
}

static void send_wrong_ones(struct stage *stage)
{
    static const char *const wrong[] = {
        "",
        "Authorization:\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic now-token-00\r\n",
        "Authorization: now-token-00\r\n",
        "Authorization: Bearer now-token-0\r\n",
        "Authorization: Bearer now-token-000\r\n",
        "Authorization: Bearer NOW-TOKEN-00\r\n",
        "Authorization: Bearer now-token-00 now-token-01\r\n",
        "X-Authorization: Bearer now-token-00\r\n",
        "Cookie: Authorization=Bearer now-token-00\r\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_refused(stage, wrong[i]);
    for (int c = '!'; c <= '~'; c++) {
        char header[64];
        (void)snprintf(header, sizeof header, "Authorization: Bearer %c\r\n", (char)c);
        expect_refused(stage, header);
    }
}

/* HUP has the file read again, in its own time. */
static void change_tokens(struct stage *stage)
{
    int64_t end = process_now_ms() + ANSWER_MS;
    int status = 0;
    (void)kill(stage->engine.pid, SIGHUP);
    while ((status = send_token(stage, "new-token-07")) != TAKEN &&
           process_now_ms() < end)
        process_sleep_ms(LOOK_MS);
    if (status != TAKEN)
        hostile_breaks(stage, "I8", "a new token is answered %d", status);
    expect_refused(stage, "Authorization: Bearer now-token-07\r\n");
}

int hostile_tokens(struct stage *stage, struct err *err)
{
    static char intake[HOSTILE_PATH_MAX + 32];
    char path[HOSTILE_PATH_MAX];
    hostile_path(stage, "tokens", path);
    (void)snprintf(intake, sizeof intake, ", token_file: '%s'", path);
    int code = write_tokens(path, "now", err);
    code = code ? code : hostile_start(stage, intake, err);
    if (code != 0)
        return code;
    send_wrong_ones(stage);
    if (engine_accepted(&stage->engine) > 0)
        hostile_breaks(stage, "I2", "records of strangers were taken");
    if (send_token(stage, "now-token-07") != TAKEN)
        hostile_breaks(stage, "I8", "a token of the file is refused");
    code = write_tokens(path, "new", err);
    if (code == 0)
        change_tokens(stage);
    return code;
}

/* ---- Refused requests beside others --------------------------------------------------
 */

/* Some send records of their own; others, all at once, ever new ones under one new key,
 * of whom one is taken. */
enum { GOOD = 6, BAD = 3, EACH = 150, SENDERS = GOOD + BAD };

struct sender {
    struct stage *stage;
    pthread_barrier_t *together;
    unsigned number;
    unsigned taken;
    unsigned refused;
};

static int post(struct http_probe *probe, const char *key, const char *body)
{
    struct http_probe_answer answer = {0};
    struct http_probe_request request = {.method = "POST",
                                         .path = RECORDS,
                                         .body = slice_text(body),
                                         .idempotency_key = key};
    return http_probe_send(probe, &request, &answer) == HTTP_ANSWERED ? answer.status : 0;
}

static void *send_each(void *context)
{
    struct sender *sender = context;
    struct http_probe probe = {.port = sender->stage->port};
    bool good = sender->number < GOOD;
    for (unsigned i = 0; i < EACH; i++) {
        char key[16];
        char body[96];
        (void)snprintf(key, sizeof key, "key-%u", i);
        (void)snprintf(body, sizeof body, "{\"ip\":\"10.1.%u.%u\",\"timestamp\":%u}",
                       sender->number, i, 1767225600U + i);
        if (!good)
            (void)pthread_barrier_wait(sender->together);
        int status = post(&probe, good ? NULL : key, body);
        sender->taken += status == TAKEN;
        sender->refused += status == REUSED;
    }
    http_probe_close(&probe);
    return NULL;
}

static int send_beside(struct stage *stage, struct sender senders[SENDERS],
                       struct err *err)
{
    pthread_t threads[SENDERS];
    pthread_barrier_t together;
    int failed = pthread_barrier_init(&together, NULL, BAD);
    unsigned started = 0;
    while (!failed && started < SENDERS) {
        senders[started] =
            (struct sender){.stage = stage, .together = &together, .number = started};
        failed = pthread_create(&threads[started], NULL, send_each, &senders[started]);
        started += !failed;
    }
    if (failed) /* some may wait for ever: they end with the program */
        return err_set_errno(err, ERR_NOMEM, failed, "can't start senders");
    for (unsigned i = 0; i < SENDERS; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}

int hostile_refused_beside(struct stage *stage, struct err *err)
{
    struct sender senders[SENDERS] = {0};
    unsigned taken = 0;
    unsigned refused = 0;
    int64_t stored = 0;
    int code = hostile_start(stage, NULL, err);
    code = code ? code : send_beside(stage, senders, err);
    if (code != 0)
        return code;
    for (unsigned i = 0; i < SENDERS; i++) {
        taken += senders[i].taken;
        refused += senders[i].refused;
    }
    if (taken != (GOOD + 1) * EACH || refused != (BAD - 1) * EACH)
        hostile_breaks(stage, "I1", "%u taken of %d, %u refused of %d", taken,
                       (GOOD + 1) * EACH, refused, (BAD - 1) * EACH);
    code = engine_wait_applied(&stage->engine, ANSWER_MS, err);
    code = code ? code
                : stage_number(stage, "SELECT COUNT(*) FROM botnet_communications_mozi",
                               &stored, err);
    if (code == 0 && stored != taken)
        hostile_breaks(stage, "I1", "%u acknowledged beside refused ones, %lld stored",
                       taken, (long long)stored);
    return code;
}
