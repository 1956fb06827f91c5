/* Closed loop: each producer appends again as soon as its append is durable. The journal
 * does all that it does in service: checksums, done marks, deletes of applied entries
 * (an accountant thread marks everything done at once, and nothing is retained). */
#include "bench/bench.h"
#include "bench/raw_log.h"

#include "base/clock.h"
#include "journal/journal.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LATENCIES_MAX = 1 << 16, MARK_EVERY_US = 20000 };

struct load {
    size_t len;
    const char *name;
    uint32_t producers;
    int64_t duration_us;
};

/* Appends one payload, durably. */
struct target {
    int (*append)(void *context, struct slice payload, struct err *err);
    void *context;
};

struct producer {
    const struct target *target;
    struct slice payload;
    int64_t until_us;
    uint64_t acks;
    double *latencies;
    size_t latency_count;
    struct err err;
    pthread_t thread;
};

static void *produce(void *context)
{
    struct producer *producer = context;
    int64_t now_us = clock_steady_us(&clock_system);
    while (now_us < producer->until_us && producer->err.code == ERR_OK) {
        int64_t begun_us = now_us;
        producer->target->append(producer->target->context, producer->payload,
                                 &producer->err);
        now_us = clock_steady_us(&clock_system);
        producer->latencies[producer->acks % LATENCIES_MAX] = (double)(now_us - begun_us);
        producer->acks++;
    }
    producer->latency_count =
        producer->acks < LATENCIES_MAX ? producer->acks : LATENCIES_MAX;
    return NULL;
}

struct outcome {
    double acks_per_s;
    double p50_us;
    double p99_us;
};

static int gather(struct producer *producers, const struct load *load, int64_t took_us,
                  struct outcome *out, struct err *err)
{
    uint64_t acks = 0;
    size_t count = 0;
    for (uint32_t i = 0; i < load->producers; i++) {
        if (producers[i].err.code != ERR_OK) {
            *err = producers[i].err;
            return err_wrap(err, "producer %u of %u", i, load->producers);
        }
        acks += producers[i].acks;
        count += producers[i].latency_count;
    }
    double *all = malloc((count + 1) * sizeof *all);
    if (!all) {
        return err_set(err, ERR_NOMEM, 0, "bench journal: out of memory");
    }
    count = 0;
    for (uint32_t i = 0; i < load->producers; i++) {
        memcpy(all + count, producers[i].latencies,
               producers[i].latency_count * sizeof *all);
        count += producers[i].latency_count;
    }
    out->acks_per_s = (double)acks * 1e6 / (double)took_us;
    out->p50_us = stats_quantile(all, count, 0.5);
    out->p99_us = stats_quantile(all, count, 0.99);
    free(all);
    return ERR_OK;
}

static int run_producers(struct producer *producers, const struct load *load,
                         struct outcome *out, struct err *err)
{
    int64_t begun_us = clock_steady_us(&clock_system);
    uint32_t started = 0;
    for (; started < load->producers; started++) {
        struct producer *producer = &producers[started];
        producer->until_us = begun_us + load->duration_us;
        producer->latencies = malloc(LATENCIES_MAX * sizeof *producer->latencies);
        if (!producer->latencies ||
            pthread_create(&producer->thread, NULL, produce, producer)) {
            free(producer->latencies);
            break;
        }
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(producers[i].thread, NULL);
    }
    int64_t took_us = clock_steady_us(&clock_system) - begun_us;
    int code = started < load->producers
                   ? err_set(err, ERR_NOMEM, 0, "bench journal: no thread")
                   : gather(producers, load, took_us, out, err);
    for (uint32_t i = 0; i < started; i++) {
        free(producers[i].latencies);
    }
    return code;
}

static int measure(const struct target *target, const struct load *load,
                   struct outcome *out, struct err *err)
{
    char *payload = malloc(load->len);
    struct producer *producers = calloc(load->producers, sizeof *producers);
    if (!payload || !producers) {
        free(payload);
        free(producers);
        return err_set(err, ERR_NOMEM, 0, "bench journal: out of memory");
    }
    memset(payload, 'x', load->len);
    for (uint32_t i = 0; i < load->producers; i++) {
        producers[i].target = target;
        producers[i].payload = slice_of(payload, load->len);
    }
    int code = run_producers(producers, load, out, err);
    free(producers);
    free(payload);
    return code;
}

static int append_raw(void *context, struct slice payload, struct err *err)
{
    return raw_log_append(context, payload.data, payload.len, err);
}

static int append_journal(void *context, struct slice payload, struct err *err)
{
    struct journal_part part = {.stream = "bench", .records = 1, .payload = payload};
    struct journal_append append = {
        .parts = &part,
        .part_count = 1,
        .received_at_us = clock_wall_us(&clock_system),
    };
    int code = journal_append_wait(context, &append);
    if (code != ERR_OK) {
        *err = append.err;
    }
    return code;
}

struct accountant {
    struct journal *journal;
    atomic_bool ending;
    pthread_t thread;
};

static void mark_all_done(struct journal *journal)
{
    struct journal_lane lane;
    struct journal_entries entries;
    if (journal_lane_get(journal, "bench", 0, &lane, NULL) != ERR_OK ||
        journal_read_entry(journal, lane.last_seq, &entries, NULL) != ERR_OK) {
        return;
    }
    struct journal_position done = {.seq = lane.last_seq};
    memcpy(done.sum, entries.items[0].sum, sizeof done.sum);
    journal_entries_free(&entries);
    journal_confirm(journal, "bench", 0, true);
    int code = journal_mark_done(journal, "bench", 0, &done, NULL);
    assert(code == ERR_OK);
}

static void *account(void *context)
{
    struct accountant *accountant = context;
    struct timespec pause = {.tv_nsec = MARK_EVERY_US * 1000L};
    while (!atomic_load(&accountant->ending)) {
        mark_all_done(accountant->journal);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int measure_journal(struct journal *journal, const struct load *load,
                           struct outcome *out, struct err *err)
{
    struct accountant accountant = {.journal = journal};
    if (pthread_create(&accountant.thread, NULL, account, &accountant)) {
        return err_set(err, ERR_NOMEM, 0, "bench journal: no thread");
    }
    struct target target = {append_journal, journal};
    int code = measure(&target, load, out, err);
    atomic_store(&accountant.ending, true);
    pthread_join(accountant.thread, NULL);
    return code;
}

static void add_outcome(struct report *report, const struct load *load, const char *what,
                        const struct outcome *outcome)
{
    report_add(report, outcome->acks_per_s, "journal.%s.%u.%sacks_per_s", load->name,
               load->producers, what);
    report_add(report, outcome->p50_us, "journal.%s.%u.%sp50_us", load->name,
               load->producers, what);
    report_add(report, outcome->p99_us, "journal.%s.%u.%sp99_us", load->name,
               load->producers, what);
}

/* Ours first in every other pair, so that neither always follows what the other left to
 * the disk. */
static int measure_pair(struct raw_log *raw, struct journal *journal,
                        const struct load *load, bool ours_first,
                        struct outcome out_both[2], struct err *err)
{
    struct target target = {append_raw, raw};
    int code = ours_first ? measure_journal(journal, load, &out_both[1], err) : ERR_OK;
    if (code == ERR_OK) {
        code = measure(&target, load, &out_both[0], err);
    }
    if (code == ERR_OK && !ours_first) {
        code = measure_journal(journal, load, &out_both[1], err);
    }
    return code;
}

static int measure_pairs(struct bench *bench, struct raw_log *raw,
                         struct journal *journal, const struct load *load,
                         struct err *err)
{
    for (uint32_t i = 0; i < bench->repetitions; i++) {
        struct outcome both[2] = {0};
        if (measure_pair(raw, journal, load, i % 2 == 1, both, err) != ERR_OK) {
            return err->code;
        }
        struct outcome limit = both[0];
        struct outcome ours = both[1];
        add_outcome(bench->report, load, "raw_", &limit);
        add_outcome(bench->report, load, "", &ours);
        report_add(bench->report, ours.acks_per_s / limit.acks_per_s,
                   "journal.%s.%u.ratio", load->name, load->producers);
    }
    return ERR_OK;
}

static const struct {
    const char *name;
    size_t len;
} sizes[] = {{"200b", 200}, {"20k", 20000}, {"1mib", 1 << 20}};
static const uint32_t producer_counts[] = {1, 4, 16, 64, 256};
enum { PRODUCER_COUNTS = sizeof producer_counts / sizeof producer_counts[0] };

/* The quick run keeps to the figures of the last line. */
static bool is_wanted(const struct bench *bench, size_t size, uint32_t producers)
{
    if (sizes[size].len == 1 << 20) {
        return producers == 1 || (!bench->quick && producers <= 4);
    }
    return !bench->quick || producers == 64 || producers == 1;
}

static int measure_size(struct bench *bench, struct raw_log *raw, struct journal *journal,
                        size_t size, struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < PRODUCER_COUNTS && code == ERR_OK; i++) {
        struct load load = {.len = sizes[size].len,
                            .name = sizes[size].name,
                            .producers = producer_counts[i],
                            .duration_us = bench->quick ? 700000 : 2000000};
        if (is_wanted(bench, size, load.producers)) {
            code = measure_pairs(bench, raw, journal, &load, err);
        }
    }
    return code;
}

static int measure_all(struct bench *bench, struct raw_log *raw, struct journal *journal,
                       struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && code == ERR_OK; i++) {
        code = measure_size(bench, raw, journal, i, err);
    }
    return code;
}

/* The raw log's file was written beforehand; the journal's is too, once its zeros have
 * been written ahead, which it does while nobody appends. */
static int settle(struct journal *journal, struct err *err)
{
    enum { ROUNDS_MAX = 300 };
    struct load load = {
        .len = 1 << 20, .name = "warm", .producers = 1, .duration_us = 1000000};
    struct outcome ignored;
    int code = measure_journal(journal, &load, &ignored, err);
    struct timespec pause = {.tv_nsec = 100000000};
    uint64_t before = 0;
    for (int i = 0; i < ROUNDS_MAX && code == ERR_OK; i++) {
        struct journal_stat stat;
        nanosleep(&pause, NULL);
        code = journal_stat(journal, &stat, err);
        if (code == ERR_OK && stat.file_bytes == before) {
            break;
        }
        before = stat.file_bytes;
    }
    return code;
}

int bench_journal(struct bench *bench, struct err *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/raw.log", bench->directory);
    struct raw_log *raw;
    if (raw_log_open(path, 1u << 30, &raw, err) != ERR_OK) {
        return err->code;
    }
    snprintf(path, sizeof path, "%s/journal", bench->directory);
    struct journal_config config;
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = (uint64_t)8 << 30;
    config.retain_us = 0;
    struct journal *journal;
    int code = journal_open(&config, true, &journal, err);
    if (code == ERR_OK) {
        code = settle(journal, err);
        if (code == ERR_OK) {
            code = measure_all(bench, raw, journal, err);
        }
        journal_close(journal);
    }
    raw_log_close(raw);
    return code;
}
