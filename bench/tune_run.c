#include "bench/tune_run.h"

#include "base/clock.h"
#include "replay/replay.h"
#include "schema/record.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum {
    ENTRY_RECORDS = 500,
    ENTRY_BYTES_MAX = 1 << 20,
    BURST_PART = 256 << 10,
    RUN_TIMEOUT_S = 120,
    STOP_TIMEOUT_US = 10000000,
    PREALLOCATE_TIMEOUT_US = 20000000,
    POLL_NS = 20000000,
    FILES_OPEN_MAX = 16,
    LANES_MAX = 64,
};

/* ---- Interruption ----------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;
static struct sigaction earlier[2];
static const int signals[2] = {SIGINT, SIGTERM};

static void mark_interrupted(int signal)
{
    (void)signal;
    interrupted = 1;
}

void tune_signals_catch(void)
{
    struct sigaction action = {.sa_handler = mark_interrupted, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < 2; i++) {
        (void)sigaction(signals[i], &action, &earlier[i]);
    }
}

void tune_signals_restore(void)
{
    for (size_t i = 0; i < 2; i++) {
        (void)sigaction(signals[i], &earlier[i], NULL);
    }
}

bool tune_interrupted(void)
{
    return interrupted != 0;
}

/* ---- A journal of its own --------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_journal(const struct tune *tune)
{
    char path[TUNE_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/journal", tune->directory);
    (void)nftw(path, remove_one, FILES_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
}

static int open_journal(const struct tune *tune, uint64_t preallocate,
                        struct journal **out_journal, struct err *err)
{
    char path[TUNE_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/journal", tune->directory);
    remove_journal(tune);
    struct journal_config config;
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = UINT64_C(4) << 30;
    config.preallocate = preallocate;
    return journal_open(&config, true, out_journal, err);
}

/* ---- Records into the journal ----------------------------------------------------- */

static const char *text_of_field(const struct workload_record *record, const char *name)
{
    const struct {
        const char *name;
        const char *text;
    } texts[] = {
        {"event_type", record->event_type},
        {"country", record->place->country},
        {"province", record->place->province},
        {"city", record->place->city},
        {"continent", record->place->continent},
        {"isp", record->place->isp},
        {"asn", record->place->asn},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].name, name) == 0) {
            return texts[i].text;
        }
    }
    return NULL;
}

static struct value value_of_field(const struct workload_record *record,
                                   const struct stream_field *field)
{
    const char *text = text_of_field(record, field->name);
    if (text) {
        return (struct value){.type = VALUE_TEXT, .text = slice_text(text)};
    }
    switch (field->type) {
    case VALUE_IP:
        return (struct value){.type = VALUE_IP, .ip = record->ip};
    case VALUE_TIME:
        return (struct value){.type = VALUE_TIME, .time_us = record->time_s * 1000000};
    case VALUE_FLOAT:
        return (struct value){.type = VALUE_FLOAT,
                              .real = strcmp(field->name, "longitude") == 0
                                          ? record->place->longitude
                                          : record->place->latitude};
    case VALUE_BOOL:
        return (struct value){.type = VALUE_BOOL, .boolean = record->place->is_china};
    case VALUE_TEXT: /* status: producers leave it out */
    case VALUE_INTEGER:
    case VALUE_ABSENT:
        break;
    }
    return (struct value){.type = VALUE_ABSENT};
}

static int append_entry(struct journal *journal, const struct stream *stream,
                        uint32_t lane, struct record_encoder *encoder, struct err *err)
{
    struct journal_part part = {.stream = stream->name,
                                .lane = lane,
                                .records = encoder->rows,
                                .payload = record_encoder_finish(encoder)};
    struct journal_append append = {
        .parts = &part, .part_count = 1, .received_at_us = clock_wall_us(&clock_system)};
    if (journal_append_wait(journal, &append) != ERR_OK) {
        *err = append.err;
        return err->code;
    }
    return ERR_OK;
}

static int add_record(struct journal *journal, const struct stream *stream,
                      const struct workload_record *record,
                      struct record_encoder *encoders, struct err *err)
{
    struct value values[STREAM_FIELDS_MAX];
    for (size_t i = 0; i < stream->field_count; i++) {
        values[i] = value_of_field(record, &stream->fields[i]);
    }
    assert(stream->lanes > 0);
    uint32_t lane = (record->ip * 0x9e3779b1u >> 16) % stream->lanes;
    struct record_encoder *encoder = &encoders[lane];
    if (!record_encoder_add(encoder, values)) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a record");
    }
    if (encoder->rows < ENTRY_RECORDS) {
        return ERR_OK;
    }
    int code = append_entry(journal, stream, lane, encoder, err);
    record_encoder_free(encoder);
    record_encoder_init(encoder, stream, ENTRY_BYTES_MAX);
    return code;
}

static int fill_journal(struct tune *tune, const struct stream *stream,
                        struct journal *journal, uint32_t records, struct err *err)
{
    struct record_encoder encoders[LANES_MAX];
    for (uint32_t i = 0; i < stream->lanes; i++) {
        record_encoder_init(&encoders[i], stream, ENTRY_BYTES_MAX);
    }
    int code = ERR_OK;
    for (uint32_t i = 0; i < records && code == ERR_OK; i++) {
        struct workload_record record;
        workload_next(tune->workload, &record);
        code = add_record(journal, stream, &record, encoders, err);
    }
    for (uint32_t i = 0; i < stream->lanes; i++) {
        if (code == ERR_OK && encoders[i].rows) {
            code = append_entry(journal, stream, i, &encoders[i], err);
        }
        record_encoder_free(&encoders[i]);
    }
    return code;
}

/* ---- From there into the database -------------------------------------------------- */

struct run {
    const struct tune *tune;
    const struct tune_setting *setting;
    struct journal *journal;
    pthread_mutex_t lock;
    int64_t begun_us; /* the first transaction's begin; 0: none yet */
    int64_t last_us;  /* the last one's end */
    struct err stopped;
};

static void on_applied(void *context, const char *stream, uint32_t lane, uint64_t seq)
{
    (void)stream;
    (void)lane;
    (void)seq;
    struct run *run = context;
    pthread_mutex_lock(&run->lock);
    run->last_us = clock_steady_us(&clock_system);
    pthread_mutex_unlock(&run->lock);
}

static void on_event(void *context, const char *event, const struct lane_status *lane,
                     const struct err *err)
{
    (void)lane;
    struct run *run = context;
    pthread_mutex_lock(&run->lock);
    if (run->begun_us == 0 && strcmp(event, "transaction_begun") == 0) {
        run->begun_us = clock_steady_us(&clock_system);
    }
    if (run->stopped.code == ERR_OK &&
        (strcmp(event, "lane_stopped") == 0 || strcmp(event, "connect_failed") == 0)) {
        run->stopped = *err;
    }
    pthread_mutex_unlock(&run->lock);
}

static int make_sink(void *context, struct sink **out_sink, struct err *err)
{
    const struct run *run = context;
    const struct tune_setting *setting = run->setting;
    struct sink_mariadb_config config = {
        .db = &run->tune->database,
        .hosts = run->tune->hosts,
        .durability = run->tune->config->durability,
        .create_tables = true,
        .cache_bytes = setting->fast ? setting->cache_bytes / setting->lanes : 0,
    };
    return sink_mariadb_new(&config, out_sink, err);
}

static int is_drained(struct run *run, bool *out_drained, struct err *err)
{
    struct journal_lane *lanes;
    size_t count;
    if (journal_lanes(run->journal, &lanes, &count, err) != ERR_OK) {
        return err->code;
    }
    *out_drained = true;
    for (size_t i = 0; i < count; i++) {
        *out_drained &= lanes[i].done.seq == lanes[i].last_seq;
    }
    free(lanes);
    pthread_mutex_lock(&run->lock);
    struct err stopped = run->stopped;
    pthread_mutex_unlock(&run->lock);
    if (stopped.code != ERR_OK) {
        *err = stopped;
    }
    return stopped.code;
}

static int wait_drained(struct run *run, struct err *err)
{
    struct timespec pause = {.tv_nsec = POLL_NS};
    int64_t end_us = clock_steady_us(&clock_system) + (int64_t)RUN_TIMEOUT_S * 1000000;
    bool drained = false;
    int code = is_drained(run, &drained, err);
    while (code == ERR_OK && !drained) {
        if (tune_interrupted()) {
            return err_set(err, ERR_CLOSED, 0, "interrupted");
        }
        if (clock_steady_us(&clock_system) > end_us) {
            return err_set(err, ERR_TIMEOUT, 0, "not applied after %d s", RUN_TIMEOUT_S);
        }
        (void)nanosleep(&pause, NULL);
        code = is_drained(run, &drained, err);
    }
    return code;
}

static int replay_all(struct run *run, const struct stream *stream, struct err *err)
{
    struct replay_config config;
    replay_config_defaults(&config);
    config.streams = &stream;
    config.stream_count = 1;
    config.journal = run->journal;
    config.observer = (struct replay_observer){run, on_applied, on_event};
    config.sink_new = make_sink;
    config.sink_context = run;
    config.connections = run->setting->lanes;
    config.validate = run->tune->config->validate;
    config.transaction_records_max = run->setting->transaction_records;
    struct replay *replay;
    int code = replay_start(&config, &replay, err);
    if (code == ERR_OK) {
        code = wait_drained(run, err);
        replay_stop(replay, clock_steady_us(&clock_system) + STOP_TIMEOUT_US);
    }
    return code;
}

static int apply_stream(struct tune *tune, const struct tune_setting *setting,
                        const struct stream *stream, uint32_t records, double *out_per_s,
                        struct err *err)
{
    struct run run = {.tune = tune, .setting = setting};
    int code = open_journal(tune, 16 << 20, &run.journal, err);
    if (code != ERR_OK) {
        return code;
    }
    pthread_mutex_init(&run.lock, NULL);
    code = fill_journal(tune, stream, run.journal, records, err);
    code = code ? code : replay_all(&run, stream, err);
    journal_close(run.journal);
    remove_journal(tune);
    pthread_mutex_destroy(&run.lock);
    if (code == ERR_OK) {
        *out_per_s = records * 1e6 / (double)(run.last_us - run.begun_us);
    }
    return code;
}

int tune_apply(struct tune *tune, const struct tune_setting *setting, uint32_t records,
               double *out_per_s, struct err *err)
{
    struct buf text = {0};
    buf_printf(&text,
               "database: {name: " TUNE_DATABASE ", user: root}\n"
               "streams: [{name: " TUNE_STREAM ", preset: botnet, lanes: %u}]\n",
               setting->lanes);
    struct config *config;
    int code = config_parse("tune", buf_slice(&text), &config, err);
    if (code == ERR_OK) {
        code = apply_stream(tune, setting, config->streams[0], records, out_per_s, err);
        config_free(config);
    }
    buf_free(&text);
    return code;
}

/* ---- Bursts -------------------------------------------------------------------------
 */

/* The writer thread writes zeros ahead between commits: give it the time. */
static void wait_preallocated(struct journal *journal, uint64_t preallocate)
{
    struct timespec pause = {.tv_nsec = POLL_NS};
    int64_t end_us = clock_steady_us(&clock_system) + PREALLOCATE_TIMEOUT_US;
    struct journal_stat stat = {0};
    while (journal_stat(journal, &stat, NULL) == ERR_OK &&
           stat.file_bytes < preallocate && !tune_interrupted() &&
           clock_steady_us(&clock_system) < end_us) {
        (void)nanosleep(&pause, NULL);
    }
}

static int append_burst(struct journal *journal, uint64_t bytes, struct err *err)
{
    char *payload = malloc(BURST_PART);
    if (!payload) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a burst");
    }
    memset(payload, 'x', BURST_PART);
    struct journal_part part = {
        .stream = TUNE_STREAM, .records = 1, .payload = slice_of(payload, BURST_PART)};
    int code = ERR_OK;
    for (uint64_t at = 0; at < bytes && code == ERR_OK; at += BURST_PART) {
        struct journal_append append = {.parts = &part,
                                        .part_count = 1,
                                        .received_at_us = clock_wall_us(&clock_system)};
        if (journal_append_wait(journal, &append) != ERR_OK) {
            *err = append.err;
            code = err->code;
        } else if (tune_interrupted()) {
            code = err_set(err, ERR_CLOSED, 0, "interrupted");
        }
    }
    free(payload);
    return code;
}

int tune_burst(struct tune *tune, uint64_t preallocate, uint64_t bytes, double *out_per_s,
               struct err *err)
{
    struct journal *journal;
    int code = open_journal(tune, preallocate, &journal, err);
    if (code != ERR_OK) {
        return code;
    }
    wait_preallocated(journal, preallocate);
    int64_t begun_us = clock_steady_us(&clock_system);
    code = append_burst(journal, bytes, err);
    int64_t took_us = clock_steady_us(&clock_system) - begun_us;
    journal_close(journal);
    remove_journal(tune);
    if (code == ERR_OK) {
        *out_per_s = (double)bytes * 1e6 / (double)took_us;
    }
    return code;
}
