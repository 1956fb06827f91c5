#include "engine/letters_watch.h"

#include "base/steady.h"
#include "engine/cli.h"
#include "engine/cli_letters.h"
#include "engine/letters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US INT64_C(1000000)

enum { SAMPLES = 3, SAMPLE_BYTES = 400, REST_SHARE = 20 };

static const int64_t rest_us = 2 * SECOND_US;
static const int64_t wanted_us = 30 * SECOND_US; /* after somebody asked */

static const char ellipsis[] = "\xe2\x80\xa6";

/* A letter with texts of its own; the pointers in `entry` are set when it is shown. */
struct sample {
    struct journal_dead_entry entry;
    char reason[64];
    char field[64];
    char detail[JOURNAL_REASON_MAX + 1];
    char bytes[SAMPLE_BYTES + sizeof ellipsis];
    size_t bytes_len;
};

/* Of one reason: a ring, the next goes to count % SAMPLES. */
struct samples {
    struct sample items[SAMPLES];
    uint64_t count;
};

struct count {
    int64_t at_us; /* wall; 0: not made yet */
    uint64_t kept;
    uint64_t conflicts;
    struct letters_reasons reasons;
    struct samples samples[LETTERS_REASONS_MAX]; /* as reasons.items */
};

struct letters_watch {
    struct journal *journal;
    struct count *next; /* the thread's own: the one that is made */
    pthread_t thread;
    bool started;
    atomic_bool stopping; /* read in the midst of a count, too */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t changed;
    int64_t wanted_until_us; /* steady */
    struct count *last;
};

/* ---- Counting -------------------------------------------------------------------- */

/* Cut between characters, with an ellipsis, where it is too long. */
static void keep_bytes(struct sample *sample, struct slice bytes)
{
    enum { CONTINUED_MASK = 0xc0, CONTINUED = 0x80, CONTINUED_MAX = 3 };
    size_t len = bytes.len < SAMPLE_BYTES ? bytes.len : SAMPLE_BYTES;
    sample->bytes_len = len;
    if (len) {
        memcpy(sample->bytes, bytes.data, len);
    }
    if (len == bytes.len) {
        return;
    }
    while (len > SAMPLE_BYTES - CONTINUED_MAX &&
           ((unsigned char)bytes.data[len] & CONTINUED_MASK) == CONTINUED) {
        len--;
    }
    memcpy(sample->bytes + len, ellipsis, sizeof ellipsis);
    sample->bytes_len = len + sizeof ellipsis - 1;
}

static void keep_sample(struct samples *samples, const struct journal_dead_entry *entry)
{
    struct sample *sample = &samples->items[samples->count++ % SAMPLES];
    sample->entry = *entry;
    snprintf(sample->reason, sizeof sample->reason, "%s", entry->letter.reason);
    snprintf(sample->field, sizeof sample->field, "%s", entry->letter.field);
    snprintf(sample->detail, sizeof sample->detail, "%s", entry->letter.detail);
    keep_bytes(sample, entry->letter.bytes);
}

static bool count_letter(const struct journal_dead_entry *entry, void *context)
{
    struct letters_watch *watch = context;
    struct count *count = watch->next;
    bool kept = entry->state == JOURNAL_DEAD_KEPT;
    bool conflict = entry->state == JOURNAL_DEAD_CONFLICT;
    if (kept || conflict) {
        count->kept += kept;
        count->conflicts += conflict;
        size_t reason = letters_reasons_add(&count->reasons, entry->letter.reason);
        keep_sample(&count->samples[reason], entry);
    }
    return !atomic_load(&watch->stopping);
}

static void count_all(struct letters_watch *watch)
{
    struct err err = {0};
    memset(watch->next, 0, sizeof *watch->next);
    int code = journal_dead_letters_visit(watch->journal, 0, UINT64_MAX, count_letter,
                                          watch, &err);
    if (code) {
        log_warn("dead_letters_not_counted", L_CODE(&err), L_ERR(&err));
        return;
    }
    watch->next->at_us = clock_wall_us(&clock_system);
    pthread_mutex_lock(&watch->lock);
    struct count *before = watch->last;
    watch->last = watch->next;
    watch->next = before;
    pthread_mutex_unlock(&watch->lock);
}

/* Under the lock. Until `until_us` (steady), and then until somebody has asked lately. */
static void wait_until_wanted(struct letters_watch *watch, int64_t until_us)
{
    while (!atomic_load(&watch->stopping) && clock_steady_us(&clock_system) < until_us) {
        steady_cond_wait(&watch->changed, &watch->lock, until_us);
    }
    while (!atomic_load(&watch->stopping) &&
           clock_steady_us(&clock_system) >= watch->wanted_until_us) {
        pthread_cond_wait(&watch->changed, &watch->lock);
    }
}

static void *run(void *context)
{
    struct letters_watch *watch = context;
    int64_t until_us = 0;
    pthread_mutex_lock(&watch->lock);
    wait_until_wanted(watch, until_us);
    while (!atomic_load(&watch->stopping)) {
        pthread_mutex_unlock(&watch->lock);
        int64_t begun_us = clock_steady_us(&clock_system);
        count_all(watch);
        int64_t now_us = clock_steady_us(&clock_system);
        int64_t pause_us = (now_us - begun_us) * (REST_SHARE - 1);
        until_us = now_us + (pause_us < rest_us ? rest_us : pause_us);
        pthread_mutex_lock(&watch->lock);
        wait_until_wanted(watch, until_us);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------ */

int letters_watch_start(struct journal *journal, struct letters_watch **out_watch,
                        struct err *err)
{
    struct letters_watch *watch = calloc(1, sizeof *watch);
    struct count *counts[2] = {calloc(1, sizeof(struct count)),
                               calloc(1, sizeof(struct count))};
    if (!watch || !counts[0] || !counts[1]) {
        free(watch);
        free(counts[0]);
        free(counts[1]);
        return err_set(err, ERR_NOMEM, 0, "no memory to count dead letters");
    }
    watch->journal = journal;
    watch->next = counts[0];
    watch->last = counts[1];
    pthread_mutex_init(&watch->lock, NULL);
    steady_cond_init(&watch->changed);
    int rc = pthread_create(&watch->thread, NULL, run, watch);
    watch->started = rc == 0;
    if (rc) {
        letters_watch_stop(watch);
        return err_set_errno(err, ERR_NOMEM, rc,
                             "starting the thread that counts dead letters");
    }
    *out_watch = watch;
    return ERR_OK;
}

void letters_watch_stop(struct letters_watch *watch)
{
    if (!watch) {
        return;
    }
    pthread_mutex_lock(&watch->lock);
    atomic_store(&watch->stopping, true);
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    if (watch->started) {
        pthread_join(watch->thread, NULL);
    }
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch->next);
    free(watch->last);
    free(watch);
}

/* ---- Showing --------------------------------------------------------------------- */

static void put_sample(struct json_writer *json, const struct sample *sample)
{
    struct journal_dead_entry entry = sample->entry;
    entry.letter.reason = sample->reason;
    entry.letter.field = sample->field;
    entry.letter.detail = sample->detail;
    entry.letter.bytes = slice_of(sample->bytes, sample->bytes_len);
    cli_letter_put(json, &entry);
}

static void put_reason(struct json_writer *json, const struct letters_reason *reason,
                       const struct samples *samples)
{
    uint64_t kept = samples->count < SAMPLES ? samples->count : SAMPLES;
    json_object(json);
    json_put_text(json, "reason", reason->reason);
    json_put_unsigned(json, "count", reason->count);
    json_key(json, "newest");
    json_array(json);
    for (uint64_t back = 1; back <= kept; back++) {
        put_sample(json, &samples->items[(samples->count - back) % SAMPLES]);
    }
    json_array_end(json);
    json_object_end(json);
}

static void put_count(struct json_writer *json, const struct count *count)
{
    json_object(json);
    cli_put_time(json, "at", count->at_us);
    json_put_unsigned(json, "kept", count->kept);
    json_put_unsigned(json, "conflicts", count->conflicts);
    json_key(json, "reasons");
    json_array(json);
    for (size_t i = 0; i < count->reasons.count; i++) {
        put_reason(json, &count->reasons.items[i], &count->samples[i]);
    }
    json_array_end(json);
    json_object_end(json);
}

void letters_watch_put(struct letters_watch *watch, struct json_writer *json)
{
    json_key(json, "dead_letters");
    pthread_mutex_lock(&watch->lock);
    bool asleep = clock_steady_us(&clock_system) >= watch->wanted_until_us;
    watch->wanted_until_us = clock_steady_us(&clock_system) + wanted_us;
    if (asleep) {
        pthread_cond_broadcast(&watch->changed);
    }
    if (watch->last->at_us) {
        put_count(json, watch->last);
    } else {
        json_null(json);
    }
    pthread_mutex_unlock(&watch->lock);
}
