#include "engine/alert_samples.h"

#include "engine/intake.h"
#include "engine/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { RULES_A_STREAM = 7, RULES_BESIDES = 4 };

static void add(struct alert_samples *samples, const struct alert_sample *sample,
                const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(struct alert_samples *samples, const struct alert_sample *sample,
                const char *format, ...)
{
    va_list args;
    if (samples->count == samples->capacity) {
        return; /* room was made for all */
    }
    char *text = samples->texts[samples->count];
    va_start(args, format);
    vsnprintf(text, sizeof samples->texts[0], format, args);
    va_end(args);
    samples->items[samples->count] = *sample;
    samples->items[samples->count++].text = text;
}

/* ---- Streams --------------------------------------------------------------------- */

/* A stream's lanes together. */
struct gathered {
    const char *name;
    unsigned stopped;
    uint32_t stopped_lane; /* the first one, */
    const char *reason;    /* and why */
    double age_s;
    uint64_t pending;
    double dead;
    double dead_before; /* of these, before this start */
    double conflicts;
    double rewinds;
};

static const char *stop_reason(const struct lane_status *lane)
{
    return lane->state == LANE_ORPHANED
               ? "it has entries to apply, and its stream is not configured any more"
               : lane->reason.message;
}

static void gather(struct gathered *into, const struct report_lane *lane, int64_t wall_us)
{
    const struct lane_status *replay = lane->replay;
    double age_s = report_pending_age_s(lane, wall_us);
    into->name = lane->journal.stream;
    into->age_s = age_s > into->age_s ? age_s : into->age_s;
    into->pending += report_pending(lane);
    into->dead += (double)lane->journal.rejected;
    into->dead_before = into->dead;
    if (!replay) {
        return;
    }
    if (replay->state == LANE_STOPPED || replay->state == LANE_ORPHANED) {
        into->stopped_lane = into->stopped ? into->stopped_lane : replay->lane;
        into->reason = into->stopped ? into->reason : stop_reason(replay);
        into->stopped++;
    }
    into->dead += (double)replay->counts.dead_letters;
    into->conflicts += (double)replay->counts.conflicts;
    into->rewinds += (double)replay->counts.rewinds;
}

static const char *plural(double count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

static void add_stream(struct alert_samples *samples, const struct gathered *stream)
{
    bool is_real = strcmp(stream->name, INTAKE_UNROUTED) != 0;
    struct alert_sample sample = {.subject = stream->name};
    sample.rule = ALERT_DEAD_LETTERS;
    sample.value = stream->dead;
    sample.base = stream->dead_before;
    add(samples, &sample, "%.0f %s so far", stream->dead,
        plural(stream->dead, "record became a dead letter",
               "records became dead letters"));
    if (!is_real) {
        return;
    }
    sample.base = 0;
    sample.rule = ALERT_STOPPED;
    sample.value = stream->stopped;
    if (stream->stopped) {
        add(samples, &sample, "%u %s stopped; lane %u: %.300s", stream->stopped,
            plural(stream->stopped, "lane is", "lanes are"), stream->stopped_lane,
            stream->reason);
    } else {
        add(samples, &sample, "no lane is stopped");
    }
    sample.rule = ALERT_LAG;
    sample.value = stream->age_s;
    add(samples, &sample, "%llu %s, the oldest for %.0f s",
        (unsigned long long)stream->pending,
        plural((double)stream->pending, "record waits", "records wait"), stream->age_s);
    sample.rule = ALERT_CONFLICTS;
    sample.value = stream->conflicts;
    add(samples, &sample, "%.0f %s since start", stream->conflicts,
        plural(stream->conflicts, "conflict", "conflicts"));
    sample.rule = ALERT_REWOUND;
    sample.value = stream->rewinds;
    add(samples, &sample, "the database went back %.0f %s since start", stream->rewinds,
        plural(stream->rewinds, "time", "times"));
}

static struct gathered *find(struct gathered *all, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return &all[i];
        }
    }
    return &all[(*count)++];
}

static int add_streams(struct alert_samples *samples, const struct report *report,
                       int64_t wall_us, struct err *err)
{
    size_t count = 0;
    struct gathered *all = calloc(report->lane_count + 1, sizeof *all);
    if (!all) {
        return err_set(err, ERR_NOMEM, 0, "no memory for alerts");
    }
    for (size_t i = 0; i < report->lane_count; i++) {
        const struct report_lane *lane = &report->lanes[i];
        gather(find(all, &count, lane->journal.stream), lane, wall_us);
    }
    for (size_t i = 0; i < count; i++) {
        add_stream(samples, &all[i]);
    }
    free(all);
    return ERR_OK;
}

static void add_configured(struct alert_samples *samples,
                           const struct alert_stream *stream)
{
    struct alert_sample sample = {.subject = stream->name};
    if (stream->has_coverage) {
        sample.rule = ALERT_COVERAGE;
        sample.value = stream->coverage;
        add(samples, &sample, "%.4f %% of the entities have their events",
            stream->coverage * 100);
    }
    if (stream->has_ids) {
        sample.rule = ALERT_IDS;
        sample.value = stream->ids;
        add(samples, &sample, "%.1f %% of an id column's values are used",
            stream->ids * 100);
    }
}

/* ---- The journal ----------------------------------------------------------------- */

/* Entries left before their time: the journal has as little room as it keeps. An engine
 * that is young, or had nothing to do for long, retains little too. */
static bool gave_way(const struct journal_stat *stat)
{
    enum { A_LITTLE = 50 };
    return stat->first_seq > 1 &&
           stat->free_bytes < 2 * stat->reserve_bytes + stat->size_max / A_LITTLE;
}

static void add_journal(struct alert_samples *samples, const struct report *report,
                        const struct journal_config *journal, int64_t wall_us)
{
    const struct journal_stat *stat = &report->stat;
    struct alert_sample sample = {.subject = "journal"};
    double held = (double)report_held_bytes(report, wall_us) /
                  ((double)report_capacity_bytes(report) + 1);
    char text[UNITS_TEXT];
    sample.rule = ALERT_JOURNAL_FULL;
    sample.value = stat->refusing ? 1 : held;
    units_format_size(stat->free_bytes, text);
    add(samples, &sample, "about %.0f %% of it can't give way%s; intake may take %s more",
        held * 100, stat->refusing ? ", and intake is refused" : "", text);
    sample.rule = ALERT_RETENTION;
    double reach_us = (double)(wall_us - stat->oldest_at_us);
    sample.value = gave_way(stat) && stat->oldest_at_us && journal->retain_us
                       ? reach_us / (double)journal->retain_us
                       : 1;
    add(samples, &sample, "applied entries are retained for %.0f s of the wanted %.0f s",
        stat->oldest_at_us ? reach_us / 1e6 : 0, (double)journal->retain_us / 1e6);
    sample.rule = ALERT_DEAD_LETTERS_FULL;
    sample.value =
        (double)stat->dead_letter_bytes / ((double)journal->dead_letters_max + 1);
    units_format_size(stat->dead_letter_bytes, text);
    add(samples, &sample, "%llu %s %s", (unsigned long long)stat->dead_letters,
        plural((double)stat->dead_letters, "dead letter takes", "dead letters take"),
        text);
    sample.rule = ALERT_DISK_FULL;
    sample.subject = "disk";
    sample.value = (double)report_disk_room_bytes(report);
    char room[UNITS_TEXT];
    units_format_size(stat->disk_free_bytes, text);
    units_format_size(stat->free_bytes, room);
    add(samples, &sample, "%s are free on the journal's disk; intake may take %s more",
        text, room);
}

int alert_samples_make(const struct alert_view *view, struct alert_samples *out_samples,
                       struct err *err)
{
    struct alert_samples samples = {
        .capacity = (view->report->lane_count + view->stream_count) * RULES_A_STREAM +
                    RULES_BESIDES};
    samples.items = calloc(samples.capacity, sizeof *samples.items);
    samples.texts = calloc(samples.capacity, sizeof *samples.texts);
    int code = samples.items && samples.texts
                   ? add_streams(&samples, view->report, view->wall_us, err)
                   : err_set(err, ERR_NOMEM, 0, "no memory for alerts");
    if (code) {
        alert_samples_free(&samples);
        return code;
    }
    for (size_t i = 0; i < view->stream_count; i++) {
        add_configured(&samples, &view->streams[i]);
    }
    add_journal(&samples, view->report, view->journal, view->wall_us);
    *out_samples = samples;
    return ERR_OK;
}

void alert_samples_free(struct alert_samples *samples)
{
    free(samples->items);
    free(samples->texts);
    *samples = (struct alert_samples){0};
}
