/* The sample: the same from the same seed, and with everything in it that it promises. */
#include "tests/sample.h"

#include <criterion/criterion.h>

#include <stdlib.h>

static struct sample make(uint64_t seed, uint32_t records)
{
    struct sample_config config;
    sample_config_defaults(&config);
    config.seed = seed;
    config.records = records;
    struct sample sample;
    struct err err = {0};
    int code = sample_new(&config, &sample, &err);
    cr_assert_eq(code, 0, "%s", err.message);
    return sample;
}

static bool same_batch(const struct sample_batch *a, const struct sample_batch *b)
{
    return slice_equal(buf_slice(&a->body), buf_slice(&b->body)) &&
           strcmp(a->key, b->key) == 0 && a->record_count == b->record_count;
}

Test(sample, same_seed_same_bytes)
{
    struct sample a = make(5, 3000);
    struct sample b = make(5, 3000);
    cr_assert_eq(a.batch_count, b.batch_count);
    for (uint32_t i = 0; i < a.batch_count; i++)
        cr_assert(same_batch(&a.batches[i], &b.batches[i]), "batch %u differs", i);
    sample_free(&a);
    sample_free(&b);
}

Test(sample, another_seed_other_bytes)
{
    struct sample a = make(5, 3000);
    struct sample b = make(6, 3000);
    uint32_t differing = 0;
    for (uint32_t i = 1; i < a.batch_count && i < b.batch_count; i++)
        differing += !same_batch(&a.batches[i], &b.batches[i]);
    cr_assert_gt(differing, 10);
    sample_free(&a);
    sample_free(&b);
}

struct composition {
    uint64_t records;
    uint64_t faults[SAMPLE_FAULTS + 1];
    uint64_t streams[SAMPLE_STREAMS_MAX];
    uint64_t events, places, statuses;
    uint32_t smallest, largest, keyed, routed, csv;
};

static void count_batch(const struct sample_batch *batch, struct composition *found)
{
    uint32_t size = batch->record_count;
    uint64_t bad = 0;
    for (uint32_t i = 0; i < size; i++) {
        const struct sample_record *record = &batch->records[i];
        found->faults[record->fault]++;
        found->streams[record->stream]++;
        found->events += record->event != SAMPLE_NONE;
        found->places += record->city != SAMPLE_NONE;
        found->statuses += record->status != SAMPLE_NONE;
        bad += record->fault != SAMPLE_GOOD;
    }
    cr_assert_eq(bad, batch->bad_count);
    found->records += size;
    found->smallest = size < found->smallest ? size : found->smallest;
    found->largest = size > found->largest ? size : found->largest;
    found->keyed += batch->key[0] != '\0';
    found->routed += batch->stream == NULL;
    found->csv += batch->body.data[0] != '{';
}

Test(sample, holds_every_kind)
{
    struct sample sample = make(1, 50000);
    struct composition found = {.smallest = UINT32_MAX};
    for (uint32_t i = 0; i < sample.batch_count; i++)
        count_batch(&sample.batches[i], &found);

    cr_assert_eq(found.records, 50000 + SAMPLE_REPORT_COUNT);
    for (int fault = 0; fault < SAMPLE_FAULTS; fault++)
        cr_assert_gt(found.faults[fault], 5, "fault %d is seldom", fault);
    cr_assert_eq(found.faults[SAMPLE_POISON], 0);
    cr_assert_gt(found.streams[0], 10000);
    cr_assert_gt(found.streams[1], 10000);
    cr_assert(found.smallest == 1 && found.largest > 900, "%u to %u records a batch",
              found.smallest, found.largest);
    cr_assert(found.keyed > 20 && found.keyed < sample.batch_count);
    cr_assert(found.routed > 5 && found.csv > 5);
    cr_assert(found.events > 40000 && found.places > 20000 && found.statuses > 500);
    sample_free(&sample);
}

static int compare_records(const void *left, const void *right)
{
    const struct sample_record *a = left;
    const struct sample_record *b = right;
    if (a->stream != b->stream)
        return a->stream < b->stream ? -1 : 1;
    if (a->ip != b->ip)
        return a->ip < b->ip ? -1 : 1;
    if (a->time_s != b->time_s)
        return a->time_s < b->time_s ? -1 : 1;
    return (a->event > b->event) - (a->event < b->event);
}

Test(sample, holds_duplicates_and_conflicts)
{
    struct sample sample = make(1, 20000);
    struct sample_record *all = malloc(21000 * sizeof *all);
    size_t count = 0;
    for (uint32_t b = 0; b < sample.batch_count; b++) {
        for (uint32_t i = 0; i < sample.batches[b].record_count; i++) {
            if (sample.batches[b].records[i].fault == SAMPLE_GOOD)
                all[count++] = sample.batches[b].records[i];
        }
    }
    qsort(all, count, sizeof *all, compare_records);
    size_t same = 0;
    size_t conflicts = 0;
    size_t repeated_ips = 0;
    for (size_t i = 1; i < count; i++) {
        bool ip = all[i].stream == all[i - 1].stream && all[i].ip == all[i - 1].ip;
        bool key = ip && all[i].time_s == all[i - 1].time_s;
        same += key && all[i].event == all[i - 1].event;
        conflicts += key && all[i].event != all[i - 1].event;
        repeated_ips += ip;
    }
    cr_assert(same > 500 && conflicts > 150 && repeated_ips > count / 2,
              "%zu duplicates, %zu conflicts, %zu repeats of %zu", same, conflicts,
              repeated_ips, count);
    free(all);
    sample_free(&sample);
}

Test(sample, starts_with_the_field_report)
{
    struct sample sample = make(1, 100);
    const struct sample_batch *batch = &sample.batches[0];
    cr_assert_eq(batch->record_count, SAMPLE_REPORT_COUNT);
    cr_assert_str_eq(sample_report[9].ip, "35.125.51.121");
    /* 2026-01-08 01:04:26 at +08:00, and eight seconds later */
    cr_assert_eq(batch->records[0].time_s, 1767805466);
    cr_assert_eq(batch->records[9].time_s, 1767805474);
    cr_assert_eq(batch->records[0].ip, (65u << 24) | (14u << 16) | (49u << 8) | 254u);
    cr_assert_not_null(memmem(batch->body.data, batch->body.len, "\"65.14.49.254\"", 14));
    sample_free(&sample);
}

Test(sample, refuses_nonsense)
{
    struct sample_config config;
    sample_config_defaults(&config);
    config.stream_count = 0;
    struct sample sample;
    struct err err = {0};
    cr_assert_eq(sample_new(&config, &sample, &err), ERR_INVALID);
}
