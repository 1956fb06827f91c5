/* tests/sample.c: which records there are; how they are written is in sample_text.c. */
#include "tests/sample.h"

#include "tests/sample_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POISON_IPS 0xf0000000u

enum { RECENT = 2048, RECORDS_PER_SECOND = 20, LATE_S_MAX = 900 };

uint64_t sample_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t sample_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(sample_random(state) % bound);
}

static double unit(uint64_t *state)
{
    return (double)(sample_random(state) >> 11) * 0x1p-53;
}

bool sample_chance(uint64_t *state, double share)
{
    return unit(state) < share;
}

void sample_config_defaults(struct sample_config *config)
{
    *config = (struct sample_config){
        .seed = 1,
        .streams = {"mozi", "test"},
        .stream_count = 2,
        .records = 50000,
        .batch_max = 1000,
        .ips = 6000,
        .duplicate_share = 0.03,
        .conflict_share = 0.01,
        .bad_share = 0.02,
        .moved_share = 0.02,
        .keyed_share = 0.7,
        .csv_share = 0.2,
        .routed_share = 0.1,
        .field_report = true,
        .zone_offset_s = 8 * 3600,
        .start_s = 1767805200, /* 2026-01-08 01:00:00 at +08:00 */
    };
}

/* What the generator remembers from record to record. */
struct maker {
    const struct sample_config *config;
    uint64_t random;
    uint32_t made;
    struct sample_text recent[SAMPLE_STREAMS_MAX][RECENT];
    uint32_t recent_count[SAMPLE_STREAMS_MAX];
};

/* Few ips often, many seldom; the first octet 1 to 223. */
static uint32_t pick_ip(struct maker *maker)
{
    double u = unit(&maker->random);
    uint64_t index = (uint64_t)((double)maker->config->ips * u * u * u);
    uint64_t state = index + 77;
    uint32_t mixed = (uint32_t)sample_random(&state);
    return ((1 + (mixed >> 24) % 223) << 24) | (mixed & 0xffffff);
}

static int64_t pick_time(struct maker *maker)
{
    int64_t now_s = maker->config->start_s + maker->made / RECORDS_PER_SECOND;
    if (sample_chance(&maker->random, 0.02))
        now_s -= sample_below(&maker->random, LATE_S_MAX);
    return now_s;
}

static void pick_place(struct maker *maker, struct sample_text *text)
{
    uint64_t home = text->truth.ip;
    uint32_t places = sample_city_count();
    uint32_t place = (uint32_t)(sample_random(&home) % places);
    if (sample_chance(&maker->random, maker->config->moved_share))
        place = sample_below(&maker->random, places);
    text->place = (int)place;
    text->absent =
        sample_chance(&maker->random, 0.15) ? (unsigned)sample_random(&maker->random) : 0;
    if (sample_chance(&maker->random, 0.05))
        text->place = SAMPLE_NONE;
}

static struct sample_text fresh_record(struct maker *maker, uint8_t stream)
{
    struct sample_text text = {.zone_offset_s = maker->config->zone_offset_s};
    text.truth = (struct sample_record){.ip = pick_ip(maker),
                                        .time_s = pick_time(maker),
                                        .stream = stream,
                                        .city = SAMPLE_NONE,
                                        .status = SAMPLE_NONE};
    text.truth.event = sample_chance(&maker->random, 0.02)
                           ? SAMPLE_NONE
                           : (int8_t)sample_below(&maker->random, sample_event_count());
    if (sample_chance(&maker->random, 0.03))
        text.truth.status = (int8_t)sample_below(&maker->random, sample_status_count());
    text.time_form = sample_chance(&maker->random, 0.6)
                         ? 0
                         : sample_below(&maker->random, SAMPLE_TIME_FORMS);
    pick_place(maker, &text);
    return text;
}

static void spoil(struct maker *maker, struct sample_text *text, bool csv)
{
    static const uint8_t csv_faults[] = {SAMPLE_BAD_IP, SAMPLE_FULL_WIDTH, SAMPLE_FUTURE,
                                         SAMPLE_OUT_OF_RANGE, SAMPLE_BROKEN};
    if (csv)
        text->truth.fault = csv_faults[sample_below(&maker->random, sizeof csv_faults)];
    else
        text->truth.fault =
            (uint8_t)(1 + sample_below(&maker->random, SAMPLE_FAULTS - 1));
    text->variant = sample_below(&maker->random, 1u << 16);
}

/* A copy of one of the last good records, exact or with another event type. */
static bool repeat(struct maker *maker, uint8_t stream, bool conflict,
                   struct sample_text *out)
{
    uint32_t known = maker->recent_count[stream];
    if (known == 0)
        return false;
    uint32_t reach = known < RECENT ? known : RECENT;
    *out = maker->recent[stream][sample_below(&maker->random, reach)];
    if (conflict)
        out->truth.event = (int8_t)((out->truth.event + 1) % (int)sample_event_count());
    return true;
}

static void remember(struct maker *maker, const struct sample_text *text)
{
    uint32_t at = maker->recent_count[text->truth.stream]++ % RECENT;
    maker->recent[text->truth.stream][at] = *text;
}

static struct sample_text next_record(struct maker *maker, uint8_t stream, bool csv,
                                      bool may_be_bad)
{
    const struct sample_config *config = maker->config;
    struct sample_text text;
    double u = unit(&maker->random);
    maker->made++;
    bool conflict = u >= config->duplicate_share;
    if (u < config->duplicate_share + config->conflict_share &&
        repeat(maker, stream, conflict, &text))
        return text;
    text = fresh_record(maker, stream);
    if (may_be_bad && sample_chance(&maker->random, config->bad_share)) {
        spoil(maker, &text, csv);
        return text;
    }
    if (!csv && sample_chance(&maker->random, config->poison_share)) {
        /* An ip of its own: where its event exists already it is a conflict, not poison.
         */
        text.truth.fault = SAMPLE_POISON;
        text.truth.ip = POISON_IPS + maker->made;
        return text;
    }
    remember(maker, &text);
    return text;
}

static uint32_t pick_size(struct maker *maker)
{
    static const uint32_t bounds[] = {1, 20, 200, 1000};
    uint32_t bound = bounds[sample_below(&maker->random, 4)];
    if (bound > maker->config->batch_max)
        bound = maker->config->batch_max;
    uint32_t size = 1 + sample_below(&maker->random, bound);
    return size;
}

static void put_record(struct sample_batch *batch, struct sample_text *text, bool csv,
                       const struct sample_config *config)
{
    const char *stream = config->streams[text->truth.stream];
    sample_append(&batch->body, text, csv, stream);
    batch->records[batch->record_count++] = text->truth;
    if (text->truth.fault != SAMPLE_GOOD && text->truth.fault != SAMPLE_POISON)
        batch->bad_count++;
}

static int make_batch(struct maker *maker, uint32_t number, uint32_t size,
                      struct sample_batch *batch, struct err *err)
{
    const struct sample_config *config = maker->config;
    bool routed = sample_chance(&maker->random, config->routed_share);
    bool csv = !routed && sample_chance(&maker->random, config->csv_share);
    uint8_t stream = (uint8_t)sample_below(&maker->random, config->stream_count);
    batch->stream = routed ? NULL : config->streams[stream];
    batch->records = calloc(size, sizeof *batch->records);
    if (!batch->records)
        return err_set(err, ERR_NOMEM, 0, "no memory for a batch of %u records", size);
    if (sample_chance(&maker->random, config->keyed_share))
        (void)snprintf(batch->key, sizeof batch->key, "sample-%llu-%u",
                       (unsigned long long)config->seed, number);
    for (uint32_t i = 0; i < size; i++) {
        if (routed)
            stream = (uint8_t)sample_below(&maker->random, config->stream_count);
        /* The first is good, so that no body is without a record. */
        struct sample_text text = next_record(maker, stream, csv, i > 0);
        put_record(batch, &text, csv, config);
    }
    /* Some senders leave the last newline out. */
    if (sample_chance(&maker->random, 0.3) && batch->body.len > 0)
        batch->body.len--;
    if (batch->body.failed)
        return err_set(err, ERR_NOMEM, 0, "no memory for a body of %u records", size);
    return 0;
}

static int make_report_batch(struct maker *maker, struct sample_batch *batch,
                             struct err *err)
{
    batch->stream = maker->config->streams[0];
    batch->records = calloc(SAMPLE_REPORT_COUNT, sizeof *batch->records);
    if (!batch->records)
        return err_set(err, ERR_NOMEM, 0, "no memory for the field report");
    (void)snprintf(batch->key, sizeof batch->key, "field-report-%llu",
                   (unsigned long long)maker->config->seed);
    for (size_t i = 0; i < SAMPLE_REPORT_COUNT; i++) {
        struct sample_text text = {.zone_offset_s = 8 * 3600, .place = SAMPLE_NONE};
        text.truth = sample_report_truth(i);
        /* Written with its offset, so that it is the same instant in every zone. */
        text.time_form = SAMPLE_TIME_OFFSET;
        put_record(batch, &text, false, maker->config);
    }
    return batch->body.failed ? err_set(err, ERR_NOMEM, 0, "no memory for a body") : 0;
}

static bool grow(struct sample *sample)
{
    size_t count = sample->batch_count;
    /* Room is doubled at 0, 1, 3, 7 ... */
    if (count & (count + 1))
        return true;
    struct sample_batch *more =
        realloc(sample->batches, (2 * count + 2) * sizeof *sample->batches);
    if (more)
        sample->batches = more;
    return more != NULL;
}

static int make_all(struct maker *maker, struct sample *sample, struct err *err)
{
    const struct sample_config *config = maker->config;
    bool report = config->field_report;
    int code = 0;
    while (code == 0 && (report || maker->made < config->records)) {
        if (!grow(sample))
            return err_set(err, ERR_NOMEM, 0, "no memory for the sample's batches");
        uint32_t number = sample->batch_count++;
        struct sample_batch *batch = &sample->batches[number];
        *batch = (struct sample_batch){0};
        uint32_t left = config->records - maker->made;
        uint32_t size = report ? 0 : pick_size(maker);
        code = report ? make_report_batch(maker, batch, err)
                      : make_batch(maker, number, size < left ? size : left, batch, err);
        report = false;
    }
    return code;
}

int sample_new(const struct sample_config *config, struct sample *out_sample,
               struct err *err)
{
    if (config->stream_count == 0 || config->stream_count > SAMPLE_STREAMS_MAX ||
        config->batch_max == 0 || config->ips == 0 || config->records == 0)
        return err_set(err, ERR_INVALID, 0, "a sample without streams, ips or records");
    struct maker *maker = calloc(1, sizeof *maker);
    if (!maker)
        return err_set(err, ERR_NOMEM, 0, "no memory for the sample's generator");
    struct sample sample = {.config = *config};
    maker->config = config;
    maker->random = config->seed;
    int code = make_all(maker, &sample, err);
    free(maker);
    if (code == 0)
        *out_sample = sample;
    else
        sample_free(&sample);
    return code;
}

void sample_free(struct sample *sample)
{
    for (uint32_t i = 0; i < sample->batch_count; i++) {
        buf_free(&sample->batches[i].body);
        free(sample->batches[i].records);
    }
    free(sample->batches);
    sample->batches = NULL;
    sample->batch_count = 0;
}
