#include "engine/alert_send.h"

#include "base/steady.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)

enum { SECRET_MAX = 4096 };

const char *alert_channel_name(enum alert_channel channel)
{
    return channel == ALERT_WEBHOOK ? "webhook" : "smtp";
}

const struct alert_channel_config *alert_channel(const struct alert_config *config,
                                                 enum alert_channel channel)
{
    return channel == ALERT_WEBHOOK ? &config->webhook : &config->smtp;
}

int64_t alert_retry_us(uint32_t tries)
{
    enum { SHIFT_MAX = 9 };
    int64_t wait_us = SECOND_US << (tries > SHIFT_MAX ? SHIFT_MAX : tries - 1);
    return wait_us > 300 * SECOND_US ? 300 * SECOND_US : wait_us;
}

/* ---- One delivery ---------------------------------------------------------------- */

struct delivery {
    const struct alert_config *config;
    const struct alert_channel_config *channel;
    enum alert_channel kind;
    CURL *curl;
    struct curl_slist *list; /* headers or receivers */
    struct slice body;
    size_t sent;
    const atomic_bool *stop;
    char secret[SECRET_MAX];
    char error[CURL_ERROR_SIZE];
};

/* The first line, blanks around it left out. */
static int read_secret(const char *path, char out_secret[SECRET_MAX], struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return err_set_errno(err, err_code_of_errno(errno, ERR_CONFIG), errno,
                             "the alerts' secret in %s", path);
    }
    bool got = fgets(out_secret, SECRET_MAX, file) != NULL;
    (void)fclose(file); /* it was only read */
    struct slice line = slice_trim(slice_text(got ? out_secret : ""));
    if (line.len == 0 || line.len + 2 >= SECRET_MAX) {
        return err_set(err, ERR_CONFIG, 0,
                       "the alerts' secret in %s: the first line is empty or too long",
                       path);
    }
    memmove(out_secret, line.data, line.len);
    out_secret[line.len] = '\0';
    return ERR_OK;
}

static size_t drop_body(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static size_t give_body(char *out, size_t size, size_t count, void *context)
{
    struct delivery *delivery = context;
    size_t left = delivery->body.len - delivery->sent;
    size_t len = size * count < left ? size * count : left;
    memcpy(out, delivery->body.data + delivery->sent, len);
    delivery->sent += len;
    return len;
}

static int ask_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct delivery *delivery = context;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return delivery->stop && atomic_load(delivery->stop);
}

static bool add_line(struct delivery *delivery, const char *line)
{
    struct curl_slist *longer = curl_slist_append(delivery->list, line);
    if (longer) {
        delivery->list = longer;
    }
    return longer != NULL;
}

static bool set_common(struct delivery *delivery)
{
    CURL *curl = delivery->curl;
    bool fine = curl_easy_setopt(curl, CURLOPT_URL, delivery->channel->url) == CURLE_OK;
    if (delivery->channel->ca) {
        fine = fine &&
               curl_easy_setopt(curl, CURLOPT_CAINFO, delivery->channel->ca) == CURLE_OK;
    }
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, delivery->error);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)delivery->config->timeout_s);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)delivery->config->timeout_s);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, delivery);
    return fine;
}

static bool set_webhook(struct delivery *delivery)
{
    CURL *curl = delivery->curl;
    bool fine = add_line(delivery, "Content-Type: application/json") &&
                add_line(delivery, "Expect:");
    if (fine && delivery->secret[0]) {
        char line[SECRET_MAX + 32];
        snprintf(line, sizeof line, "Authorization: Bearer %s", delivery->secret);
        fine = add_line(delivery, line);
        explicit_bzero(line, sizeof line);
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)delivery->body.len);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, delivery->body.data);
    return fine && !curl_easy_setopt(curl, CURLOPT_HTTPHEADER, delivery->list);
}

static bool set_smtp(struct delivery *delivery)
{
    const struct alert_channel_config *smtp = delivery->channel;
    CURL *curl = delivery->curl;
    bool fine = true;
    for (size_t i = 0; i < smtp->to_count && fine; i++) {
        fine = add_line(delivery, smtp->to[i]);
    }
    if (smtp->user) {
        fine = fine && !curl_easy_setopt(curl, CURLOPT_USERNAME, smtp->user) &&
               !curl_easy_setopt(curl, CURLOPT_PASSWORD, delivery->secret);
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl, CURLOPT_USE_SSL,
                     (long)(smtp->tls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, delivery);
    return fine && !curl_easy_setopt(curl, CURLOPT_MAIL_FROM, smtp->from) &&
           !curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, delivery->list);
}

static int explain(const struct delivery *delivery, CURLcode failure, struct err *err)
{
    const char *name = alert_channel_name(delivery->kind);
    const char *why = delivery->error[0] ? delivery->error : curl_easy_strerror(failure);
    switch ((int)failure) {
    case CURLE_ABORTED_BY_CALLBACK:
        return err_set(err, ERR_CLOSED, 0, "alerts by %s: stopping", name);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT, 0, "alerts by %s: no answer in time: %s", name,
                       why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_INVALID, 0, "alerts by %s: %s", name,
                       curl_easy_strerror(failure));
    default:
        return err_set(err, ERR_TRANSIENT, 0, "alerts by %s: %s", name, why);
    }
}

/* Refused for what it is, not for who asks or how often. */
static bool is_final(long status)
{
    return status == 400 || status == 405 || status == 410 || status == 413 ||
           status == 415 || status == 422;
}

static int perform(struct delivery *delivery, struct err *err)
{
    long status = 0;
    CURLcode failure = curl_easy_perform(delivery->curl);
    if (failure) {
        return explain(delivery, failure, err);
    }
    curl_easy_getinfo(delivery->curl, CURLINFO_RESPONSE_CODE, &status);
    if (delivery->kind == ALERT_SMTP || (status >= 200 && status < 300)) {
        return ERR_OK;
    }
    return err_set(err, is_final(status) ? ERR_INVALID : ERR_TRANSIENT, (int)status,
                   "alerts by webhook: it answers %ld%s", status,
                   status >= 300 && status < 400
                       ? "; redirects are not followed, give the address it names"
                       : "");
}

static int prepare(struct delivery *delivery, struct err *err)
{
    const char *path = delivery->channel->secret_file;
    int code = path ? read_secret(path, delivery->secret, err) : ERR_OK;
    if (code) {
        return code;
    }
    delivery->curl = curl_easy_init();
    bool fine =
        delivery->curl && set_common(delivery) &&
        (delivery->kind == ALERT_WEBHOOK ? set_webhook(delivery) : set_smtp(delivery));
    return fine ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory to send an alert");
}

static void init_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int alert_deliver(const struct alert_config *config, enum alert_channel channel,
                  struct slice body, const atomic_bool *stop, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct delivery delivery = {
        .config = config,
        .channel = alert_channel(config, channel),
        .kind = channel,
        .body = body,
        .stop = stop,
    };
    pthread_once(&once, init_library);
    int code = prepare(&delivery, err);
    code = code ? code : perform(&delivery, err);
    curl_easy_cleanup(delivery.curl);
    for (struct curl_slist *line = delivery.list; line; line = line->next) {
        explicit_bzero(line->data, strlen(line->data));
    }
    curl_slist_free_all(delivery.list);
    explicit_bzero(delivery.secret, sizeof delivery.secret);
    return code;
}

/* ---- The sender ------------------------------------------------------------------ */

struct alert_sender {
    const struct alert_config *config;
    enum alert_channel channel;
    pthread_t thread;
    bool started;
    atomic_bool stop; /* also read while a delivery is under way */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buf queue[ALERT_QUEUE_MAX]; /* a ring */
    size_t first;
    size_t queued;
    struct alert_sender_counts counts;
};

/* Under the lock; returns early when stopping. */
static void wait_us(struct alert_sender *sender, int64_t us)
{
    int64_t until_us = clock_steady_us(&clock_system) + us;
    while (!atomic_load(&sender->stop) && clock_steady_us(&clock_system) < until_us) {
        steady_cond_wait(&sender->changed, &sender->lock, until_us);
    }
}

/* Under the lock: the one in front is done with. */
static void pop(struct alert_sender *sender, bool delivered)
{
    buf_free(&sender->queue[sender->first]);
    sender->first = (sender->first + 1) % ALERT_QUEUE_MAX;
    sender->queued--;
    sender->counts.delivered += delivered;
    sender->counts.dropped += !delivered;
}

static void tell_failure(const struct alert_sender *sender, const struct err *why,
                         uint32_t tries, bool given_up)
{
    log_event(
        given_up ? LOG_ERROR : LOG_WARN,
        given_up ? "alert_given_up" : "alert_not_delivered",
        (const struct log_field[]){L_STR("channel", alert_channel_name(sender->channel)),
                                   L_INT("tries", tries), L_CODE(why), L_ERR(why)},
        4);
}

/* Under the lock, which is let go meanwhile: the one in front, until it is delivered or
 * given up. Nobody else takes from the queue. */
static void send_first(struct alert_sender *sender)
{
    for (uint32_t tries = 1; !atomic_load(&sender->stop); tries++) {
        struct err err = {0};
        struct slice body = buf_slice(&sender->queue[sender->first]);
        pthread_mutex_unlock(&sender->lock);
        int code =
            alert_deliver(sender->config, sender->channel, body, &sender->stop, &err);
        bool given_up = code == ERR_INVALID || tries == ALERT_TRIES;
        if (code != ERR_OK && code != ERR_CLOSED) {
            tell_failure(sender, &err, tries, given_up);
        }
        pthread_mutex_lock(&sender->lock);
        sender->counts.failed_tries += code != ERR_OK;
        if (code == ERR_OK || given_up) {
            pop(sender, code == ERR_OK);
            return;
        }
        wait_us(sender, alert_retry_us(tries));
    }
}

static void *run(void *context)
{
    struct alert_sender *sender = context;
    pthread_mutex_lock(&sender->lock);
    while (!atomic_load(&sender->stop)) {
        if (sender->queued) {
            send_first(sender);
        } else {
            pthread_cond_wait(&sender->changed, &sender->lock);
        }
    }
    pthread_mutex_unlock(&sender->lock);
    return NULL;
}

int alert_sender_start(const struct alert_config *config, enum alert_channel channel,
                       struct alert_sender **out_sender, struct err *err)
{
    struct alert_sender *sender = calloc(1, sizeof *sender);
    if (!sender) {
        return err_set(err, ERR_NOMEM, 0, "no memory for alerts");
    }
    sender->config = config;
    sender->channel = channel;
    atomic_init(&sender->stop, false);
    pthread_mutex_init(&sender->lock, NULL);
    steady_cond_init(&sender->changed);
    int rc = pthread_create(&sender->thread, NULL, run, sender);
    sender->started = rc == 0;
    if (rc) {
        alert_sender_stop(sender);
        return err_set_errno(err, ERR_NOMEM, rc, "starting the thread that sends alerts");
    }
    *out_sender = sender;
    return ERR_OK;
}

void alert_sender_stop(struct alert_sender *sender)
{
    if (!sender) {
        return;
    }
    pthread_mutex_lock(&sender->lock);
    atomic_store(&sender->stop, true);
    pthread_cond_broadcast(&sender->changed);
    pthread_mutex_unlock(&sender->lock);
    if (sender->started) {
        pthread_join(sender->thread, NULL);
    }
    if (sender->queued) {
        log_warn("alerts_unsent", L_STR("channel", alert_channel_name(sender->channel)),
                 L_INT("messages", sender->queued));
    }
    while (sender->queued) {
        pop(sender, false);
    }
    pthread_cond_destroy(&sender->changed);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
}

bool alert_sender_offer(struct alert_sender *sender, struct buf *body)
{
    pthread_mutex_lock(&sender->lock);
    bool room = sender->queued < ALERT_QUEUE_MAX;
    if (room) {
        sender->queue[(sender->first + sender->queued) % ALERT_QUEUE_MAX] = *body;
        sender->queued++;
        pthread_cond_broadcast(&sender->changed);
    } else {
        sender->counts.dropped++;
        buf_free(body);
    }
    pthread_mutex_unlock(&sender->lock);
    *body = (struct buf){0};
    return room;
}

struct alert_sender_counts alert_sender_counts(struct alert_sender *sender)
{
    pthread_mutex_lock(&sender->lock);
    struct alert_sender_counts counts = sender->counts;
    counts.queued = sender->queued;
    pthread_mutex_unlock(&sender->lock);
    return counts;
}
