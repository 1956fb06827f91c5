#include "engine/check_json.h"

#include "engine/cli.h"
#include "engine/json.h"

static void put_run(struct json_writer *json, const struct check_run *run)
{
    json_object(json);
    json_put_unsigned(json, "first_id", run->first_id);
    json_put_unsigned(json, "last_id", run->last_id);
    json_put_unsigned(json, "entities", run->count);
    cli_put_time(json, "from", run->first_us);
    cli_put_time(json, "to", run->last_us);
    json_object_end(json);
}

static void put_burst(struct json_writer *json, const struct check_burst *burst)
{
    json_object(json);
    cli_put_time(json, "from", burst->first_us);
    cli_put_time(json, "to", burst->last_us);
    json_put_unsigned(json, "entities", burst->count);
    json_put_unsigned(json, "first_id", burst->first_id);
    json_put_unsigned(json, "last_id", burst->last_id);
    json_put_unsigned(json, "runs", burst->runs);
    json_put_unsigned(json, "longest_run", burst->longest_run);
    json_put_bool(json, "likely_interruption", burst->likely);
    json_object_end(json);
}

double check_share(uint64_t part, uint64_t whole)
{
    enum { ALL = 10000 };
    uint64_t hundredths = whole ? part * ALL / whole : 0;
    return (double)hundredths / 100;
}

const char *check_day_text(int64_t day, char out_text[VALUE_TIME_TEXT])
{
    enum { DATE_LEN = 10 };
    value_format_time(day * INT64_C(86400) * 1000000, 0, 0, out_text);
    out_text[DATE_LEN] = '\0';
    return out_text;
}

static void put_days(struct json_writer *json, const struct check_report *report)
{
    char text[VALUE_TIME_TEXT];
    const struct check_explained *why = &report->why;
    json_key(json, "days");
    json_array(json);
    for (size_t i = 0; i < why->day_count; i++) {
        json_object(json);
        json_put_text(json, "day", check_day_text(why->days[i].day, text));
        json_put_unsigned(json, "missing", why->days[i].count);
        json_key(json, "share_percent");
        json_real(json, check_share(why->days[i].count, report->missing));
        json_object_end(json);
    }
    json_array_end(json);
}

static void put_explained(struct json_writer *json, const struct check_report *report)
{
    const struct check_explained *why = &report->why;
    json_key(json, "explained");
    json_object(json);
    put_days(json, report);
    json_key(json, "bursts");
    json_array(json);
    for (size_t i = 0; i < why->burst_count; i++) {
        put_burst(json, &why->bursts[i]);
    }
    json_array_end(json);
    json_put_unsigned(json, "runs_total", why->runs_total);
    json_key(json, "longest_runs");
    json_array(json);
    for (size_t i = 0; i < why->run_count; i++) {
        put_run(json, &why->runs[i]);
    }
    json_array_end(json);
    json_put_unsigned(json, "without_a_time", why->untimed);
    json_put_unsigned(json, "beyond_what_is_kept", why->unplaced);
    json_object_end(json);
}

/* null: the stream has no such column, so that it can't be told. */
static void put_known(struct json_writer *json, const char *key, bool known,
                      uint64_t value)
{
    json_key(json, key);
    if (known) {
        json_unsigned(json, value);
    } else {
        json_null(json);
    }
}

/* The last ones that are likely; the newest first. */
static void put_interruptions(struct json_writer *json, const struct check_explained *why)
{
    unsigned shown = 0;
    json_key(json, "interruptions");
    json_array(json);
    for (size_t i = why->burst_count; i-- > 0 && shown < CHECK_SHOWN_BURSTS;) {
        if (why->bursts[i].likely) {
            put_burst(json, &why->bursts[i]);
            shown++;
        }
    }
    json_array_end(json);
}

void check_put_orphans(struct json_writer *json, const struct check_report *report)
{
    const struct check_explained *why = &report->why;
    size_t from =
        why->day_count > CHECK_SHOWN_DAYS ? why->day_count - CHECK_SHOWN_DAYS : 0;
    uint64_t earlier = 0;
    char text[VALUE_TIME_TEXT];
    for (size_t i = 0; i < from; i++) {
        earlier += why->days[i].count;
    }
    json_object(json);
    json_put_text(json, "stream", report->stream->name);
    cli_put_time(json, "at", report->at_us);
    json_put_unsigned(json, "without_events", report->missing);
    json_key(json, "days");
    json_array(json);
    for (size_t i = from; i < why->day_count; i++) {
        json_object(json);
        json_put_text(json, "day", check_day_text(why->days[i].day, text));
        json_put_unsigned(json, "missing", why->days[i].count);
        json_object_end(json);
    }
    json_array_end(json);
    json_put_unsigned(json, "earlier", earlier);
    json_put_unsigned(json, "without_a_time", why->untimed);
    json_put_unsigned(json, "beyond_what_is_kept", why->unplaced);
    put_interruptions(json, why);
    json_object_end(json);
}

void check_put_report(struct json_writer *json, const struct check_report *report,
                      uint32_t threshold)
{
    json_object(json);
    json_put_text(json, "stream", report->stream->name);
    json_put_bool(json, "tables_found", report->found);
    cli_put_time(json, "at", report->at_us);
    if (report->found) {
        json_put_bool(json, "ok", !check_is_below(report, threshold));
        json_put_unsigned(json, "entities", report->entities);
        json_put_unsigned(json, "without_events", report->missing);
        json_key(json, "coverage_percent");
        json_real(json, (double)check_coverage(report) / 100);
        json_put_unsigned(json, "aged", report->aged);
        json_put_unsigned(json, "events", report->events + report->stray);
        json_put_unsigned(json, "events_without_entity", report->stray);
        put_known(json, "count_off", report->counts, report->count_off);
        put_known(json, "first_seen_off", report->firsts, report->first_off);
        put_known(json, "last_seen_off", report->lasts, report->last_off);
        json_put_unsigned(json, "took_ms", report->took_us / 1000);
    }
    if (report->explained) {
        put_explained(json, report);
    }
    json_object_end(json);
}
