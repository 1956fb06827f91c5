#include "audit/bursts.h"

#include <stdlib.h>

enum { MINUTES_MAX = 1 << 16, MINUTE_US = 60 * 1000000 };

static const int64_t day_us = INT64_C(86400) * 1000000;
static const int64_t gap_us = (int64_t)CHECK_BURST_GAP_S * 1000000;

/* What fell into one slot of time; sorted by slot. */
struct tally {
    int64_t slot;
    struct check_burst found;
};

struct tallies {
    struct tally *items;
    size_t count;
    size_t capacity;
    size_t max;
};

struct bursts {
    int64_t zone_us;
    struct tallies days;
    struct tallies minutes;
    struct check_run run; /* the one that goes on; count 0: none */
    struct check_run runs[CHECK_RUNS_MAX];
    size_t run_count;
    uint64_t runs_total;
    uint64_t untimed;
    uint64_t unplaced;
    bool failed;
};

struct bursts *bursts_new(int32_t zone_offset_s)
{
    struct bursts *bursts = calloc(1, sizeof *bursts);
    if (bursts) {
        bursts->zone_us = (int64_t)zone_offset_s * 1000000;
        bursts->days.max = CHECK_DAYS_MAX;
        bursts->minutes.max = MINUTES_MAX;
    }
    return bursts;
}

void bursts_free(struct bursts *bursts)
{
    if (bursts) {
        free(bursts->days.items);
        free(bursts->minutes.items);
        free(bursts);
    }
}

static int64_t floor_div(int64_t value, int64_t by)
{
    return value / by - (value % by < 0);
}

/* ---- Tallies --------------------------------------------------------------------- */

static bool grow(struct tallies *tallies)
{
    if (tallies->count < tallies->capacity) {
        return true;
    }
    size_t capacity = tallies->capacity ? tallies->capacity * 2 : 64;
    struct tally *items = realloc(tallies->items, capacity * sizeof *items);
    if (items) {
        tallies->items = items;
        tallies->capacity = capacity;
    }
    return items != NULL;
}

static size_t lower_bound(const struct tallies *tallies, int64_t slot)
{
    size_t low = 0;
    size_t high = tallies->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tallies->items[middle].slot < slot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* NULL: there are too many, or no memory. */
static struct check_burst *tally_of(struct bursts *bursts, struct tallies *tallies,
                                    int64_t slot)
{
    size_t at = lower_bound(tallies, slot);
    if (at < tallies->count && tallies->items[at].slot == slot) {
        return &tallies->items[at].found;
    }
    if (tallies->count == tallies->max) {
        return NULL;
    }
    if (!grow(tallies)) {
        bursts->failed = true;
        return NULL;
    }
    struct tally *item = &tallies->items[at];
    memmove(item + 1, item, (tallies->count - at) * sizeof *item);
    tallies->count++;
    *item = (struct tally){.slot = slot};
    return &item->found;
}

static void merge(struct check_burst *into, const struct check_burst *from)
{
    if (into->count == 0) {
        *into = *from;
        return;
    }
    into->first_us = from->first_us < into->first_us ? from->first_us : into->first_us;
    into->last_us = from->last_us > into->last_us ? from->last_us : into->last_us;
    into->first_id = from->first_id < into->first_id ? from->first_id : into->first_id;
    into->last_id = from->last_id > into->last_id ? from->last_id : into->last_id;
    into->longest_run =
        from->longest_run > into->longest_run ? from->longest_run : into->longest_run;
    into->count += from->count;
    into->runs += from->runs;
}

/* ---- Runs ------------------------------------------------------------------------ */

/* Keeps the longest, longest first. */
static void keep_run(struct bursts *bursts, const struct check_run *run)
{
    size_t at = bursts->run_count;
    while (at && bursts->runs[at - 1].count < run->count) {
        at--;
    }
    if (at == CHECK_RUNS_MAX) {
        return;
    }
    if (bursts->run_count < CHECK_RUNS_MAX) {
        bursts->run_count++;
    }
    memmove(&bursts->runs[at + 1], &bursts->runs[at],
            (bursts->run_count - at - 1) * sizeof *run);
    bursts->runs[at] = *run;
}

void bursts_break(struct bursts *bursts)
{
    struct check_run run = bursts->run;
    bursts->run.count = 0;
    if (run.count == 0) {
        return;
    }
    bursts->runs_total++;
    keep_run(bursts, &run);
    struct check_burst *minute =
        tally_of(bursts, &bursts->minutes, floor_div(run.first_us, MINUTE_US));
    if (minute) {
        minute->runs++;
        minute->longest_run =
            run.count > minute->longest_run ? run.count : minute->longest_run;
    }
}

static void extend_run(struct bursts *bursts, uint64_t id, int64_t time_us)
{
    struct check_run *run = &bursts->run;
    bool near = time_us <= run->last_us + gap_us && time_us >= run->first_us - gap_us;
    if (run->count && !near) {
        bursts_break(bursts);
    }
    if (run->count == 0) {
        *run = (struct check_run){id, id, 1, time_us, time_us};
        return;
    }
    run->last_id = id;
    run->count++;
    run->first_us = time_us < run->first_us ? time_us : run->first_us;
    run->last_us = time_us > run->last_us ? time_us : run->last_us;
}

void bursts_add(struct bursts *bursts, uint64_t id, bool timed, int64_t time_us)
{
    if (!timed) {
        bursts->untimed++;
        bursts_break(bursts);
        return;
    }
    struct check_burst one = {.first_us = time_us,
                              .last_us = time_us,
                              .first_id = id,
                              .last_id = id,
                              .count = 1};
    struct check_burst *day =
        tally_of(bursts, &bursts->days, floor_div(time_us + bursts->zone_us, day_us));
    struct check_burst *minute =
        tally_of(bursts, &bursts->minutes, floor_div(time_us, MINUTE_US));
    if (day) {
        merge(day, &one);
    }
    if (minute) {
        merge(minute, &one);
    }
    bursts->unplaced += !day || !minute;
    extend_run(bursts, id, time_us);
}

/* ---- The end --------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    const struct check_burst *left = a;
    const struct check_burst *right = b;
    return (left->first_us > right->first_us) - (left->first_us < right->first_us);
}

static size_t smallest(const struct check_burst *bursts, size_t count)
{
    size_t found = 0;
    for (size_t i = 1; i < count; i++) {
        found = bursts[i].count < bursts[found].count ? i : found;
    }
    return found;
}

/* Room for one more, or in place of the smallest. */
static void keep_burst(struct check_explained *out, struct check_burst *burst)
{
    burst->likely = burst->longest_run >= CHECK_LIKELY_RUN;
    if (out->burst_count < CHECK_BURSTS_MAX) {
        out->bursts[out->burst_count++] = *burst;
        return;
    }
    struct check_burst *least = &out->bursts[smallest(out->bursts, out->burst_count)];
    if (least->count < burst->count) {
        *least = *burst;
    }
}

static void find_bursts(const struct tallies *minutes, struct check_explained *out)
{
    struct check_burst burst = {0};
    for (size_t i = 0; i < minutes->count; i++) {
        const struct check_burst *minute = &minutes->items[i].found;
        if (burst.count && minute->first_us > burst.last_us + gap_us) {
            keep_burst(out, &burst);
            burst.count = 0;
        }
        merge(&burst, minute);
    }
    if (burst.count) {
        keep_burst(out, &burst);
    }
    if (out->burst_count) {
        qsort(out->bursts, out->burst_count, sizeof *out->bursts, by_time);
    }
}

bool bursts_finish(struct bursts *bursts, struct check_explained *out)
{
    bursts_break(bursts);
    struct check_explained found = {
        .days = calloc(bursts->days.count + 1, sizeof *found.days),
        .runs = calloc(CHECK_RUNS_MAX, sizeof *found.runs),
        .bursts = calloc(CHECK_BURSTS_MAX, sizeof *found.bursts),
        .runs_total = bursts->runs_total,
        .untimed = bursts->untimed,
        .unplaced = bursts->unplaced,
    };
    if (!found.days || !found.runs || !found.bursts || bursts->failed) {
        free(found.days);
        free(found.runs);
        free(found.bursts);
        return false;
    }
    for (size_t i = 0; i < bursts->days.count; i++) {
        const struct tally *day = &bursts->days.items[i];
        found.days[found.day_count++] = (struct check_day){day->slot, day->found.count};
    }
    memcpy(found.runs, bursts->runs, sizeof bursts->runs);
    found.run_count = bursts->run_count;
    find_bursts(&bursts->minutes, &found);
    *out = found;
    return true;
}
