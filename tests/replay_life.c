#include "tests/replay_life.h"

#include "base/steady.h"
#include "schema/record.h"
#include "tests/faults/preload_control.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_S = 60, LOOK_US = 5000, TRIES = 4 };

const char replay_life_sql[] =
    "SELECT CONCAT_WS('\n', "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', ip, communication_count, first_seen, last_seen, "
    "IFNULL(city, '-')) ORDER BY ip) FROM botnet_nodes_mozi), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', n.ip, c.ip, communication_time, event_type) "
    "ORDER BY c.ip, communication_time) FROM botnet_communications_mozi c LEFT JOIN "
    "botnet_nodes_mozi n ON n.id = c.node_id), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', serial, reading_count, first_seen, last_seen, "
    "IFNULL(site, '-')) ORDER BY serial) FROM devices), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', d.serial, r.serial, at, probe) ORDER BY "
    "r.serial, at, probe) FROM readings_plant r LEFT JOIN devices d ON d.id = "
    "device_id), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', stream, lane, applied_seq, records, events, "
    "duplicates, conflicts, retried, given_up) ORDER BY stream, lane) FROM "
    "holdfast_ledger))";

__attribute__((format(printf, 2, 3))) static void broken(struct replay_life *life,
                                                         const char *format, ...)
{
    va_list arguments;
    if (!life->broken[0]) {
        va_start(arguments, format);
        (void)vsnprintf(life->broken, sizeof life->broken, format, arguments);
        va_end(arguments);
    }
}

/* Every trouble is explained. True: it went well. */
static bool well(struct replay_life *life, int code, const struct err *err,
                 const char *what)
{
    if (code == ERR_OK) {
        return true;
    }
    life->troubles++;
    if ((int)err->code != code || !err->message[0]) {
        broken(life, "%s: code %d comes with %d, \"%s\"", what, code, (int)err->code,
               err->message);
    }
    return false;
}

/* ---- What the observer is told --------------------------------------------------- */

static void on_applied(void *context, const char *stream, uint32_t lane, uint64_t seq)
{
    struct replay_life *life = context;
    (void)stream;
    (void)lane;
    (void)seq;
    pthread_mutex_lock(&life->lock);
    pthread_cond_broadcast(&life->changed);
    pthread_mutex_unlock(&life->lock);
}

static void on_event(void *context, const char *event, const struct lane_status *lane,
                     const struct err *err)
{
    struct replay_life *life = context;
    bool trouble = strcmp(event, "retry") == 0 || strcmp(event, "lane_stopped") == 0 ||
                   strcmp(event, "connect_failed") == 0;
    (void)lane;
    pthread_mutex_lock(&life->lock);
    if (trouble) {
        (void)well(life, err->code ? (int)err->code : ERR_INTERNAL, err, event);
    }
    pthread_mutex_unlock(&life->lock);
}

/* ---- Entries ----------------------------------------------------------------------- */

static void append(struct replay_life *life, const struct stream *stream, uint32_t lane,
                   struct record_encoder *encoder, uint32_t count)
{
    struct journal_part part = {.stream = stream ? stream->name : "gone",
                                .lane = lane,
                                .records = count,
                                .payload = record_encoder_finish(encoder)};
    struct journal_append request = {
        .parts = &part, .part_count = 1, .received_at_us = life->kit.clock.wall_us};
    int code = journal_append_wait(life->kit.journal, &request);
    cr_assert(code == ERR_OK, "%s", request.err.message);
    record_encoder_free(encoder);
}

static void add(struct record_encoder *encoder, ...)
{
    struct value values[STREAM_FIELDS_MAX] = {0};
    va_list args;
    va_start(args, encoder);
    for (const char *field; (field = va_arg(args, const char *));) {
        set_field(encoder->stream, values, field, va_arg(args, const char *));
    }
    va_end(args);
    cr_assert(record_encoder_add(encoder, values));
}

/* Records numbered from `first`: so many entities, an event each. */
static void add_seen(struct record_encoder *encoder, unsigned first, unsigned count,
                     unsigned entities, const char *type)
{
    for (unsigned i = first; i < first + count; i++) {
        char ip[32];
        char time[32];
        (void)snprintf(ip, sizeof ip, "10.0.0.%u", i % entities + 1);
        (void)snprintf(time, sizeof time, "2026-01-07 00:%02u:%02u", i / 60, i % 60);
        add(encoder, "ip", ip, "timestamp", time, "event_type", type, "city",
            i % 3 ? "here" : "there", NULL);
    }
}

static void append_seen(struct replay_life *life, uint32_t lane, unsigned first,
                        unsigned count, const char *type)
{
    struct record_encoder encoder;
    record_encoder_init(&encoder, life->streams[0], 1 << 20);
    add_seen(&encoder, first, count, lane ? 250 : 8, type);
    append(life, life->streams[0], lane, &encoder, count);
}

/* One that today's column has no room for, and one whose entity can count no further. */
static void append_bad(struct replay_life *life)
{
    struct record_encoder encoder;
    record_encoder_init(&encoder, life->wide, 1 << 20);
    add_seen(&encoder, 60, 2, 8, "scan");
    add(&encoder, "ip", "10.0.0.1", "timestamp", "2026-01-07 02:00:00", "city",
        "0123456789012345678901234567890123456789012345678901234567890", NULL);
    add(&encoder, "ip", "10.9.9.9", "timestamp", "2026-01-07 02:00:01", NULL);
    append(life, life->wide, 0, &encoder, 4);
}

static void append_readings(struct replay_life *life, unsigned first, unsigned count)
{
    struct record_encoder encoder;
    record_encoder_init(&encoder, life->streams[1], 1 << 20);
    for (unsigned i = first; i < first + count; i++) {
        char serial[32];
        char time[32];
        (void)snprintf(serial, sizeof serial, "device '%u'", i % 5);
        (void)snprintf(time, sizeof time, "2026-01-07 01:00:%02u.5", i);
        add(&encoder, "serial", serial, "at", time, "probe", "7", "value", "0.25", "site",
            i % 2 ? "north" : "south", "level", "9", NULL);
    }
    append(life, life->streams[1], 0, &encoder, count);
}

/* With the eighth entry the first stream's lanes became two. */
static void append_all(struct replay_life *life)
{
    append_seen(life, 0, 0, 40, "scan");
    append_seen(life, 0, 30, 16, "scan"); /* ten of them again */
    append_seen(life, 0, 20, 2, "beacon");
    append_bad(life);
    append_readings(life, 0, 12);
    append_readings(life, 10, 3);
    append_seen(life, 0, 70, 3, "scan");
    append_seen(life, 1, 80, 12, "scan");
    append_readings(life, 20, 2);
}

/* ---- The world --------------------------------------------------------------------- */

static int new_sink(void *context, struct sink **out_sink, struct err *err)
{
    const struct replay_life *life = context;
    return sink_mariadb_new(&life->sink, out_sink, err);
}

static char *dump(struct replay_life *life)
{
    return world_text(&life->w, replay_life_sql);
}

static void empty_tables(struct replay_life *life)
{
    world_exec(&life->w, "DELETE FROM botnet_communications_mozi; DELETE FROM "
                         "botnet_nodes_mozi; DELETE FROM readings_plant; DELETE FROM "
                         "devices; DELETE FROM holdfast_ledger; INSERT INTO "
                         "botnet_nodes_mozi (ip, communication_count) VALUES "
                         "('10.9.9.9', 2147483647)");
}

static struct stream *wide_stream(void)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct column_spec columns[STREAM_FIELDS_MAX];
    struct column_spec events[STREAM_FIELDS_MAX];
    memcpy(columns, spec.entity.columns, spec.entity.column_count * sizeof *columns);
    memcpy(events, spec.event.columns, spec.event.column_count * sizeof *events);
    for (size_t i = 0; i < spec.entity.column_count; i++) {
        columns[i].max = strcmp(columns[i].name, "city") ? columns[i].max : 99;
    }
    for (size_t i = 0; i < spec.event.column_count; i++) {
        events[i].max = strcmp(events[i].name, "city") ? events[i].max : 99;
    }
    spec.entity.columns = columns;
    spec.event.columns = events;
    return stream_of(&spec);
}

static void make_streams(struct replay_life *life)
{
    struct stream_spec botnet = botnet_spec("mozi");
    struct stream_spec readings = readings_spec();
    botnet.lanes = 2;
    botnet.on_conflict = CONFLICT_KEEP;
    life->streams[0] = stream_of(&botnet);
    life->streams[1] = stream_of(&readings);
    life->wide = wide_stream();
}

/* The tables are made by the life's own sink. */
static void make_tables(struct replay_life *life)
{
    struct sink *sink = NULL;
    struct buf notes = {0};
    struct err err = {0};
    int code = new_sink(life, &sink, &err);
    code = code ? code : sink->ops->connect(sink, &err);
    for (size_t i = 0; i < REPLAY_LIFE_STREAMS && !code; i++) {
        code = sink->ops->prepare(sink, life->streams[i], &notes, &err);
    }
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    sink->ops->free(sink);
    buf_free(&notes);
}

void replay_life_open(struct replay_life *life)
{
    struct err err = {0};
    memset(life, 0, sizeof *life);
    world_attach(&life->w);
    world_exec(
        &life->w,
        "SET foreign_key_checks = 0; DROP DATABASE IF EXISTS life; SET "
        "foreign_key_checks = 1; CREATE DATABASE life; USE life; CREATE OR REPLACE USER "
        "'life'@'localhost' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO "
        "'life'@'localhost'; SET SESSION group_concat_max_len = 1000000");
    world_path(&life->w, "life-password", life->password_file);
    world_write_file(life->password_file, "secret\n");
    life->db = (struct db_config){.socket = life->w.socket,
                                  .name = "life",
                                  .user = "life",
                                  .password_file = life->password_file};
    cr_assert_eq(db_hosts_new(&life->db, &life->hosts, &err), 0);
    life->sink = (struct sink_mariadb_config){.db = &life->db,
                                              .hosts = life->hosts,
                                              .zone_offset_s = 8 * 3600,
                                              .create_tables = true,
                                              .cache_bytes = 1 << 16,
                                              .fast_records_min = 5};
    pthread_mutex_init(&life->lock, NULL);
    steady_cond_init(&life->changed);
    make_streams(life);
    make_tables(life);
    replay_life_start(life);
    replay_life_run(life);
    cr_assert(!life->broken[0], "%s", life->broken);
    cr_assert_eq(life->troubles, 0, "%u troubles without a fault", life->troubles);
    life->expected = dump(life);
    replay_life_check(life);
}

void replay_life_close(struct replay_life *life)
{
    for (size_t i = 0; i < REPLAY_LIFE_STREAMS; i++) {
        stream_free(life->streams[i]);
    }
    stream_free(life->wide);
    db_hosts_free(life->hosts);
    free(life->expected);
    pthread_cond_destroy(&life->changed);
    pthread_mutex_destroy(&life->lock);
    world_detach(&life->w);
}

void replay_life_start(struct replay_life *life)
{
    struct err err = {0};
    life->troubles = 0;
    life->broken[0] = '\0';
    kit_start_in(&life->kit, "/dev/shm"); /* it is not killed: no disk is needed */
    kit_open(&life->kit);
    empty_tables(life);
    cr_assert_eq(journal_setting_put(life->kit.journal, "lanes:mozi", "2 8", &err), 0);
    append_all(life);
}

/* ---- Living ------------------------------------------------------------------------ */

static void start(struct replay_life *life)
{
    struct replay_config config;
    struct err err = {0};
    replay_config_defaults(&config);
    config.streams = (const struct stream *const *)life->streams;
    config.stream_count = REPLAY_LIFE_STREAMS;
    config.journal = life->kit.journal;
    config.observer = (struct replay_observer){life, on_applied, on_event};
    config.sink_new = new_sink;
    config.sink_context = life;
    config.connections = 1;
    config.transaction_records_max = 40;
    config.backoff_min_us = 100;
    config.backoff_max_us = 1000;
    config.stopped_retry_us = 1000;
    for (unsigned i = 0; i < TRIES && !life->replay; i++) {
        (void)well(life, replay_start(&config, &life->replay, &err), &err, "start");
    }
}

static void stop(struct replay_life *life)
{
    replay_stop(life->replay,
                clock_steady_us(&clock_system) + (int64_t)PATIENCE_S * 1000000);
    life->replay = NULL;
}

/* The journal's handle, where a fault has ended it, anew. */
static void revive(struct replay_life *life)
{
    struct err err = {0};
    if (life->kit.journal && journal_health(life->kit.journal, &err) == ERR_OK) {
        return;
    }
    stop(life);
    kit_close(&life->kit);
    for (unsigned i = 0; i < TRIES && !life->kit.journal; i++) {
        (void)well(life, journal_open(&life->kit.config, true, &life->kit.journal, &err),
                   &err, "open");
    }
}

/* Not a call of the life: spared. */
static bool is_all_applied(struct replay_life *life)
{
    struct journal_lane *lanes = NULL;
    struct err err = {0};
    size_t count = 0;
    size_t applied = 0;
    if (journal_lanes(life->kit.journal, &lanes, &count, &err) != ERR_OK) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        char sql[256];
        (void)snprintf(sql, sizeof sql,
                       "SELECT COUNT(*) FROM holdfast_ledger WHERE stream = '%s' AND "
                       "lane = %u AND applied_seq = %llu",
                       lanes[i].stream, lanes[i].lane,
                       (unsigned long long)lanes[i].last_seq);
        applied += lanes[i].done.seq == lanes[i].last_seq && world_scalar(&life->w, sql);
    }
    free(lanes);
    return applied == count;
}

/* Until all is applied. */
static void await_all(struct replay_life *life)
{
    int64_t end_us = clock_steady_us(&clock_system) + (int64_t)PATIENCE_S * 1000000;
    bool all = false;
    while (!all && !life->broken[0]) {
        int64_t now_us = clock_steady_us(&clock_system);
        revive(life);
        if (!life->replay) {
            start(life);
        }
        if (!life->replay || now_us > end_us) {
            broken(life, "it doesn't come to its end");
            return;
        }
        pthread_mutex_lock(&life->lock);
        (void)steady_cond_wait(&life->changed, &life->lock, now_us + LOOK_US);
        pthread_mutex_unlock(&life->lock);
        control_spare(true);
        all = is_all_applied(life);
        control_spare(false);
    }
}

/* What an operator asks. */
static void ask(struct replay_life *life)
{
    struct replay_status status;
    struct journal_gap gap;
    struct err err = {0};
    if (well(life, replay_status(life->replay, &status, &err), &err, "status")) {
        free(status.lanes);
    }
    int code = replay_gap_find(life->replay, "plant", 0, &gap, &err);
    if (code != ERR_NOT_FOUND) {
        (void)well(life, code, &err, "find a gap");
    }
    code =
        replay_gap_accept(life->replay, "plant", 0, &(struct journal_position){0}, &err);
    if (code != ERR_NOT_FOUND) {
        (void)well(life, code, &err, "accept a gap");
    }
    (void)replay_accept_dead(life->replay, "plant", 0, &err);
}

static void pause_replay(struct replay_life *life, bool paused)
{
    struct err err = {0};
    int code = ERR_INTERNAL;
    for (unsigned i = 0; i < TRIES && code; i++) {
        revive(life);
        code = life->kit.journal && !life->replay ? ERR_OK : code;
        if (life->replay) {
            code = replay_pause(life->replay, paused, &err);
            (void)well(life, code, &err, paused ? "pause" : "resume");
        }
    }
}

void replay_life_run(struct replay_life *life)
{
    start(life);
    await_all(life);
    if (life->replay && !life->broken[0]) {
        ask(life);
    }
    pause_replay(life, true);
    control_spare(true);
    world_exec(&life->w, "DELETE FROM holdfast_ledger WHERE stream = 'plant'");
    control_spare(false);
    pause_replay(life, false);
    await_all(life);
    stop(life);
}

/* ---- Afterwards -------------------------------------------------------------------- */

static bool count_letter(const struct journal_dead_entry *entry, void *context)
{
    size_t *counts = context;
    counts[entry->state == JOURNAL_DEAD_KEPT]++;
    return true;
}

void replay_life_check(struct replay_life *life)
{
    size_t counts[2] = {0};
    struct err err = {0};
    char *found = dump(life);
    if (strcmp(found, life->expected) != 0) {
        broken(life, "the tables hold\n%.400s\ninstead of\n%.400s", found,
               life->expected);
    }
    free(found);
    if (!life->kit.journal) {
        broken(life, "the journal can't be opened");
    } else {
        (void)well(life,
                   journal_dead_letters_visit(life->kit.journal, 0, UINT64_MAX,
                                              count_letter, counts, &err),
                   &err, "look for dead letters");
        if (counts[true] != 2 || counts[false] != 2) {
            broken(life, "%zu dead letters and %zu conflicts are kept", counts[true],
                   counts[false]);
        }
    }
    kit_end(&life->kit);
}
