#include "tests/lane_kit.h"

#include "schema/record.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- What the observer is told --------------------------------------------------- */

static void on_applied(void *context, const char *stream, uint32_t lane, uint64_t seq)
{
    struct lane_kit *kit = context;
    (void)stream;
    (void)lane;
    (void)seq;
    pthread_mutex_lock(&kit->lock);
    pthread_cond_broadcast(&kit->changed);
    pthread_mutex_unlock(&kit->lock);
}

static void on_event(void *context, const char *event, const struct lane_status *lane,
                     const struct err *err)
{
    struct lane_kit *kit = context;
    pthread_mutex_lock(&kit->lock);
    if (kit->event_count < LANE_KIT_EVENTS) {
        struct lane_kit_event *kept = &kit->events[kit->event_count++];
        (void)snprintf(kept->name, sizeof kept->name, "%s", event);
        kept->of_lane = lane != NULL;
        kept->status = lane ? *lane : (struct lane_status){0};
        kept->err = *err;
    }
    pthread_cond_broadcast(&kit->changed);
    pthread_mutex_unlock(&kit->lock);
}

/* Under the lock. */
static size_t count_told(const struct lane_kit *kit, const char *name, size_t *out_last)
{
    size_t times = 0;
    for (size_t i = 0; i < kit->event_count; i++) {
        if (strcmp(kit->events[i].name, name) == 0) {
            times++;
            *out_last = i;
        }
    }
    return times;
}

size_t lane_kit_told(struct lane_kit *kit, const char *name)
{
    size_t last;
    pthread_mutex_lock(&kit->lock);
    size_t times = count_told(kit, name, &last);
    pthread_mutex_unlock(&kit->lock);
    return times;
}

struct lane_kit_event lane_kit_await(struct lane_kit *kit, const char *name, size_t times)
{
    size_t last = 0;
    pthread_mutex_lock(&kit->lock);
    while (count_told(kit, name, &last) < times) {
        pthread_cond_wait(&kit->changed, &kit->lock);
    }
    struct lane_kit_event event = kit->events[last];
    pthread_mutex_unlock(&kit->lock);
    return event;
}

/* ---- Life ------------------------------------------------------------------------ */

void lane_kit_start(struct lane_kit *kit)
{
    memset(kit, 0, sizeof *kit);
    kit_start(&kit->journal);
    kit_open(&kit->journal);
    kit->database = fake_new();
    kit->events = calloc(LANE_KIT_EVENTS, sizeof *kit->events);
    cr_assert(kit->events);
    pthread_mutex_init(&kit->lock, NULL);
    pthread_cond_init(&kit->changed, NULL);
    replay_config_defaults(&kit->config);
    kit->config.observer = (struct replay_observer){kit, on_applied, on_event};
    kit->config.sink_new = fake_sink_new;
    kit->config.sink_context = kit->database;
    kit->config.backoff_min_us = 1000;
    kit->config.backoff_max_us = 4000;
    kit->config.stopped_retry_us = 3600LL * 1000000;
}

void lane_kit_no_streams(struct lane_kit *kit)
{
    cr_assert(!kit->replay);
    for (size_t i = 0; i < kit->stream_count; i++) {
        stream_free((struct stream *)kit->streams[i]);
    }
    kit->stream_count = 0;
}

void lane_kit_end(struct lane_kit *kit)
{
    lane_kit_stop(kit);
    lane_kit_no_streams(kit);
    kit_end(&kit->journal);
    fake_free(kit->database);
    free(kit->events);
    pthread_cond_destroy(&kit->changed);
    pthread_mutex_destroy(&kit->lock);
}

size_t lane_kit_stream(struct lane_kit *kit, const char *name, uint32_t lanes,
                       enum on_conflict on_conflict)
{
    cr_assert(kit->stream_count < LANE_KIT_STREAMS);
    struct stream_spec spec = botnet_spec(name);
    spec.lanes = lanes;
    spec.on_conflict = on_conflict;
    kit->streams[kit->stream_count] = stream_of(&spec);
    return kit->stream_count++;
}

void lane_kit_run(struct lane_kit *kit)
{
    struct err err = {0};
    kit->config.streams = kit->streams;
    kit->config.stream_count = kit->stream_count;
    kit->config.journal = kit->journal.journal;
    int code = replay_start(&kit->config, &kit->replay, &err);
    cr_assert(code == ERR_OK, "%s", err.message);
}

void lane_kit_stop(struct lane_kit *kit)
{
    if (kit->replay) {
        replay_stop(kit->replay, clock_steady_us(&clock_system) + 3600LL * 1000000);
        kit->replay = NULL;
    }
}

/* ---- Records --------------------------------------------------------------------- */

enum { LANE_KIT_BASE_S = 1767830400 }; /* 2026-01-08 00:00:00 UTC */

static const char *type_name(char letter)
{
    switch (letter) {
    case 'g':
        return "good";
    case 'b':
        return "bad";
    case 'p':
        return "pair";
    default:
        return "other";
    }
}

static void format_record(unsigned number, char ip[32], char time[32])
{
    (void)snprintf(ip, 32, "10.0.%u.%u", number / 250, number % 250 + 1);
    (void)snprintf(time, 32, "%u", LANE_KIT_BASE_S - 100000 + number);
}

void lane_kit_key(unsigned number, char out_key[64])
{
    char ip[32];
    char seconds[32];
    char text[32];
    format_record(number, ip, seconds);
    time_t at = LANE_KIT_BASE_S - 100000 + (time_t)number;
    struct tm parts;
    gmtime_r(&at, &parts);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    (void)snprintf(out_key, 64, "%s %s", ip, text);
}

uint64_t lane_kit_append(struct lane_kit *kit, size_t stream, uint32_t lane,
                         unsigned first, unsigned count, const char *types)
{
    const struct stream *to = kit->streams[stream];
    struct record_encoder encoder;
    record_encoder_init(&encoder, to, 1 << 20);
    for (unsigned i = 0; i < count; i++) {
        struct value values[STREAM_FIELDS_MAX] = {0};
        char ip[32];
        char time[32];
        format_record(first + i, ip, time);
        set_field(to, values, "ip", ip);
        set_field(to, values, "timestamp", time);
        set_field(to, values, "event_type", type_name(types ? types[i] : 'g'));
        cr_assert(record_encoder_add(&encoder, values));
    }
    struct journal_part part = {.stream = to->name,
                                .lane = lane,
                                .records = count,
                                .payload = record_encoder_finish(&encoder)};
    struct journal_append append = {
        .parts = &part, .part_count = 1, .received_at_us = kit->journal.clock.wall_us};
    int code = journal_append_wait(kit->journal.journal, &append);
    cr_assert(code == ERR_OK, "%s", append.err.message);
    record_encoder_free(&encoder);
    if (kit->replay) {
        replay_wake(kit->replay);
    }
    return append.first_seq;
}

static bool has_type(const struct stream *stream, const struct value *values,
                     const char *type)
{
    int field = stream_field_find(stream, SLICE_LITERAL("event_type"));
    return values[field].type == VALUE_TEXT && slice_is(values[field].text, type);
}

bool lane_kit_is_bad(const struct stream *stream, const struct value *values)
{
    return has_type(stream, values, "bad");
}

bool lane_kit_is_pair(const struct stream *stream, const struct value *values)
{
    return has_type(stream, values, "pair");
}

/* ---- Waiting and looking --------------------------------------------------------- */

void lane_kit_await_done(struct lane_kit *kit, size_t stream, uint32_t lane, uint64_t seq)
{
    const char *name = kit->streams[stream]->name;
    pthread_mutex_lock(&kit->lock);
    while (kit_lane(&kit->journal, name, lane).done.seq < seq) {
        pthread_cond_wait(&kit->changed, &kit->lock);
    }
    pthread_mutex_unlock(&kit->lock);
}

struct lane_status lane_kit_status(struct lane_kit *kit, const char *stream,
                                   uint32_t lane)
{
    struct replay_status status;
    struct err err = {0};
    cr_assert_eq(replay_status(kit->replay, &status, &err), ERR_OK);
    struct lane_status found = {.state = LANE_ORPHANED + 1};
    for (size_t i = 0; i < status.lane_count; i++) {
        if (strcmp(status.lanes[i].stream, stream) == 0 && status.lanes[i].lane == lane) {
            found = status.lanes[i];
        }
    }
    free(status.lanes);
    return found;
}

struct lane_status lane_kit_await_state(struct lane_kit *kit, const char *stream,
                                        uint32_t lane, enum lane_state state)
{
    struct lane_status status = lane_kit_status(kit, stream, lane);
    while (status.state != state) {
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* not every state is told */
        status = lane_kit_status(kit, stream, lane);
    }
    return status;
}

struct dead_count {
    enum journal_dead_state state;
    size_t count;
};

static bool count_dead(const struct journal_dead_entry *entry, void *context)
{
    struct dead_count *count = context;
    count->count += entry->state == count->state;
    return true;
}

size_t lane_kit_dead(struct lane_kit *kit, enum journal_dead_state state)
{
    struct dead_count count = {.state = state};
    struct err err = {0};
    int code = journal_dead_letters_visit(kit->journal.journal, 0, UINT64_MAX, count_dead,
                                          &count, &err);
    cr_assert(code == ERR_OK, "%s", err.message);
    return count.count;
}
