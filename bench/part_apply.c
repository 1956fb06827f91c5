/* A backlog is taken in while the lanes stand still; the time is from their release until
 * the engine says that nothing is pending, with both tables, the ledger and the done
 * marks written. Beside it the server loads as many ready events. Each setting has an
 * engine, a journal and tables of its own, so that all are measured in tables of one
 * size, which grow alike for both sides.
 */
#include "bench/stage.h"

#include "base/clock.h"
#include "engine/client.h"

#include <stdlib.h>

enum {
    POST_TIMEOUT_S = 60,
    APPLY_TIMEOUT_S = 300,
    BODY_RECORDS_MAX = 100000,
};

struct setting {
    uint32_t lanes;
    uint32_t rows; /* of a transaction */
};

/* The first are what --quick measures. */
static const struct setting settings[] = {
    {1, 10000}, {1, 50000}, {2, 10000}, {1, 500},   {1, 2000},
    {2, 2000},  {2, 50000}, {4, 10000}, {4, 50000},
};
enum { SETTINGS_QUICK = 3, RECORDS_QUICK = 60000, RECORDS = 100000 };

struct apply {
    struct stage stage;
    const char *variant; /* "" or "binlog." */
    uint32_t records;    /* of a round */
    bool warming;        /* this round meets every ip once instead */
};

struct outcome {
    double took_s;
    double server_cpu_s;
    double engine_cpu_s; /* 0 for the limit */
};

/* ---- One round ------------------------------------------------------------------- */

static int post(struct client *client, const struct buf *body, uint32_t records,
                struct err *err)
{
    struct client_answer answer = {0};
    struct client_call call = {.method = "POST",
                               .path = "/v1/streams/mozi/records",
                               .body = buf_slice(body),
                               .timeout_s = POST_TIMEOUT_S};
    char all[48];
    (void)snprintf(all, sizeof all, "\"accepted\":%u,\"dead_lettered\":0,", records);
    int code = client_request(client, &call, &answer, err);
    if (code == ERR_OK && (answer.status != 200 || !strstr(answer.body.data, all))) {
        code = err_set(err, ERR_IO, answer.status,
                       "%u records: the engine answers %d %.300s", records, answer.status,
                       answer.body.data);
    }
    buf_free(&answer.body);
    return code;
}

/* Of a round: whole transactions on every lane. */
static uint32_t round_records(const struct bench *bench, const struct setting *setting)
{
    uint32_t wanted = bench->quick ? RECORDS_QUICK : RECORDS;
    uint32_t at_once = setting->rows * setting->lanes;
    return (wanted + at_once - 1) / at_once * at_once;
}

/* A body is parted by lanes, so that each lane's entry is about one transaction. */
static uint32_t body_records(const struct apply *apply, const struct setting *setting)
{
    uint64_t wanted = (uint64_t)setting->rows * setting->lanes;
    uint32_t most = apply->records < BODY_RECORDS_MAX ? apply->records : BODY_RECORDS_MAX;
    return wanted < most ? (uint32_t)wanted : most;
}

/* The next record of the round, or of the one that meets every ip once. */
static void next_record(struct apply *apply, uint32_t number,
                        struct workload_record *out_record)
{
    if (apply->warming) {
        workload_next_of(apply->stage.sent, number, out_record);
    } else {
        workload_next(apply->stage.sent, out_record);
    }
}

static int post_all(struct apply *apply, const struct setting *setting,
                    struct client *client, struct buf *body, struct err *err)
{
    uint32_t of_body = body_records(apply, setting);
    uint32_t records = apply->warming ? apply->stage.workload.ips : apply->records;
    int code = ERR_OK;
    for (uint32_t done = 0; done < records && code == ERR_OK;) {
        uint32_t left = records - done;
        uint32_t now = left < of_body ? left : of_body;
        buf_clear(body);
        for (uint32_t i = 0; i < now && code == ERR_OK; i++) {
            struct workload_record record;
            next_record(apply, done + i, &record);
            workload_append_json(body, &record);
            code = expected_add(apply->stage.expected, &record, err);
        }
        if (body->failed) {
            code = err_set(err, ERR_NOMEM, 0, "no memory for a body");
        }
        code = code ? code : post(client, body, now, err);
        done += now;
    }
    return code;
}

static int take_in(struct apply *apply, const struct setting *setting, struct err *err)
{
    char url[64];
    struct client *client = NULL;
    struct buf body = {0};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", apply->stage.process.port);
    int code = client_new_url(url, NULL, NULL, &client, err);
    code = code ? code : post_all(apply, setting, client, &body, err);
    client_free(client);
    buf_free(&body);
    return code;
}

static int run_engine(struct apply *apply, const struct setting *setting,
                      struct outcome *out, struct err *err)
{
    struct process *process = &apply->stage.process;
    int code = process_pause(process, err);
    code = code ? code : take_in(apply, setting, err);
    double server_cpu_s = process_cpu_s(apply->stage.bench->server);
    double engine_cpu_s = process_cpu_s(process->pid);
    int64_t begun_us = clock_steady_us(&clock_system);
    code = code ? code : process_resume(process, err);
    code = code ? code : process_wait_applied(process, APPLY_TIMEOUT_S, err);
    if (code == ERR_OK) {
        *out = (struct outcome){
            .took_s = (double)(clock_steady_us(&clock_system) - begun_us) / 1e6,
            .server_cpu_s = process_cpu_s(apply->stage.bench->server) - server_cpu_s,
            .engine_cpu_s = process_cpu_s(process->pid) - engine_cpu_s};
    }
    return code;
}

static int run_limit(struct apply *apply, struct outcome *out, struct err *err)
{
    int64_t took_us;
    double server_cpu_s = process_cpu_s(apply->stage.bench->server);
    int code = database_load_limit(apply->stage.db, apply->stage.limit, apply->records,
                                   STAGE_LIMIT_ROWS, &took_us, err);
    if (code == ERR_OK) {
        *out = (struct outcome){
            .took_s = (double)took_us / 1e6,
            .server_cpu_s = process_cpu_s(apply->stage.bench->server) - server_cpu_s};
    }
    return code;
}

/* Engine and limit take turns in who is first: what one leaves the server to write away
 * falls to the other. */
static int run_pair(struct apply *apply, const struct setting *setting, bool limit_first,
                    struct outcome out[2], struct err *err)
{
    int code = ERR_OK;
    for (int turn = 0; turn < 2 && code == ERR_OK; turn++) {
        code = (turn == 0) == limit_first ? run_limit(apply, &out[1], err)
                                          : run_engine(apply, setting, &out[0], err);
    }
    return code ? code : stage_check(&apply->stage, true, err);
}

static void put(const struct apply *apply, const struct setting *setting,
                const struct outcome pair[2])
{
    const double millions = apply->records / 1e6;
    const struct {
        const char *name;
        double sample;
    } said[] = {
        {"records_per_s", apply->records / pair[0].took_s},
        {"limit_rows_per_s", apply->records / pair[1].took_s},
        {"ratio", pair[1].took_s / pair[0].took_s},
        {"server_cpu_per_million_s", pair[0].server_cpu_s / millions},
        {"engine_cpu_per_million_s", pair[0].engine_cpu_s / millions},
        {"limit_server_cpu_per_million_s", pair[1].server_cpu_s / millions},
    };
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        report_add(apply->stage.bench->report, said[i].sample, "apply.lanes%u.%u.%s%s",
                   setting->lanes, setting->rows, apply->variant, said[i].name);
    }
    fprintf(stderr, "apply %s%u lanes, %u rows: %.0f/s, limit %.0f/s, ratio %.3f\n",
            apply->variant, setting->lanes, setting->rows, said[0].sample, said[1].sample,
            said[2].sample);
}

/* ---- A setting ------------------------------------------------------------------- */

/* The first round brings the engine to where one that runs for days is: it has met every
 * entity. */
static int run_rounds(struct apply *apply, const struct setting *setting, struct err *err)
{
    struct outcome pair[2] = {0};
    int64_t ready_us;
    int code = process_start(&apply->stage.process, &ready_us, err);
    apply->warming = true;
    code = code ? code : run_engine(apply, setting, &pair[0], err);
    apply->warming = false;
    code = code ? code : database_load_each(apply->stage.db, apply->stage.limit, err);
    for (uint32_t i = 0; i < apply->stage.bench->repetitions && code == ERR_OK; i++) {
        code = run_pair(apply, setting, i % 2 == 1, pair, err);
        if (code == ERR_OK) {
            put(apply, setting, pair);
        }
    }
    return code ? code : process_stop(&apply->stage.process, err);
}

static void note_server(const struct apply *apply)
{
    const struct db_server *server = db_server(apply->stage.db);
    report_fact(
        apply->stage.bench->report, *apply->variant ? "database with binlog" : "database",
        "%s, flush at each commit %s, doublewrite %s, binary log %s", server->version,
        server->flush_each_commit ? "on" : "OFF", server->doublewrite ? "on" : "OFF",
        !server->binlog_on      ? "off"
        : server->binlog_synced ? "on and synced"
                                : "on and NOT synced");
}

static int run_setting(const struct bench *bench, const char *variant,
                       const struct setting *setting, struct err *err)
{
    struct apply apply = {.variant = variant, .records = round_records(bench, setting)};
    const struct stage_options options = {
        .name = "apply", .lanes = setting->lanes, .transaction_records = setting->rows};
    int code = stage_open(&apply.stage, bench, &options, err);
    if (code == ERR_OK && setting == settings) {
        note_server(&apply);
    }
    code = code ? code : run_rounds(&apply, setting, err);
    stage_close(&apply.stage);
    return code ? err_wrap(err, "%u lanes, %u rows", setting->lanes, setting->rows)
                : ERR_OK;
}

/* ---- The part -------------------------------------------------------------------- */

static int run_settings(const struct bench *bench, const char *variant, size_t count,
                        struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        code = run_setting(bench, variant, &settings[i], err);
    }
    return code;
}

int bench_apply(struct bench *bench, struct err *err)
{
    size_t count = sizeof settings / sizeof settings[0];
    int code = run_settings(bench, "", bench->quick ? SETTINGS_QUICK : count, err);
    if (code != ERR_OK) {
        return code;
    }
    if (!bench->binlog_socket) {
        report_skip(bench->report, "apply with the binary log",
                    bench->quick ? "left to the full run" : "no --binlog-socket");
        return ERR_OK;
    }
    struct bench with_binlog = *bench;
    with_binlog.socket = bench->binlog_socket;
    with_binlog.server = bench->binlog_server;
    return run_settings(&with_binlog, "binlog.", SETTINGS_QUICK, err);
}
