/* What an engine finds when it starts: another number of lanes, a receipt from before, an
 * owner of its journal, another engine on its tables, another order. */
#include "tests/drive.h"
#include "tests/process.h"

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void lanes(struct drive *d, const char *streams)
{
    d->options.streams = streams;
    drive_configure(d);
}

static int command(struct drive *d, const char *name)
{
    const char *args[] = {name, NULL};
    struct buf text = {0};
    int code = engine_command(&d->engine, args, &text);
    cr_assert_eq(code, 0, "holdfast %s: %d %s", name, code, buf_text(&text));
    buf_free(&text);
    return code;
}

/* A lane with unapplied entries is served whatever the configuration now says. */
Test(recovery, lanes_changed_over_a_backlog)
{
    static const char *const numbers[] = {
        "[{name: mozi, preset: botnet, lanes: 4}, {name: test, preset: botnet, lanes: "
        "4}]",
        "[{name: mozi, preset: botnet}, {name: test, preset: botnet}]",
        "[{name: mozi, preset: botnet, lanes: 3}, {name: test, preset: botnet, lanes: "
        "3}]",
    };
    struct drive d;
    drive_begin(&d, 41, NULL);
    drive_sample(&d, 15000, 300);
    lanes(&d, numbers[0]);
    drive_engine(&d);
    command(&d, "pause");
    drive_feed(&d, 4, 0);
    drive_wait_batches(&d, d.sample.batch_count / 4);
    for (int i = 1; i < 3; i++) {
        /* Paused survives the restart, so each number of lanes leaves a backlog. */
        engine_kill(&d.engine);
        lanes(&d, numbers[i]);
        drive_engine(&d);
        drive_wait_batches(&d, d.sample.batch_count * (uint32_t)(i + 1) / 4);
    }
    drive_acknowledged(&d);
    cr_assert_gt(engine_pending(&d.engine), 14000, "all is still pending");
    command(&d, "resume");
    drive_applied(&d);
    struct oracle_report report;
    drive_compare(&d, &report);
    drive_end(&d);
}

struct caller {
    struct drive *d;
    pthread_t thread;
    int status;
    struct buf answer;
};

static const char keyed_body[] = "{\"ip\":\"10.1.2.3\",\"timestamp\":\"2026-01-08 "
                                 "02:00:00\",\"event_type\":\"scan\"}\n"
                                 "{\"ip\":\"10.1.2.4\",\"timestamp\":\"2026-01-08 "
                                 "02:00:01\",\"event_type\":\"scan\"}\n";
static const char keyed_path[] = "/v1/streams/mozi/records?wait=applied&timeout=30";

static void *call(void *context)
{
    struct caller *caller = context;
    caller->status =
        drive_post(caller->d, keyed_path, keyed_body, "one-key", &caller->answer);
    return NULL;
}

static bool replayed(const struct buf *answer)
{
    return memmem(answer->data, answer->len, "\"replayed\":true", 15) != NULL;
}

static void check_two_events(struct drive *d)
{
    cr_assert_eq(world_scalar(&d->w, "SELECT COUNT(*) FROM botnet_communications_mozi"),
                 2);
    cr_assert_eq(
        world_scalar(&d->w, "SELECT SUM(communication_count) FROM botnet_nodes_mozi"), 2);
    cr_assert_eq(world_scalar(&d->w, "SELECT SUM(records) FROM holdfast_ledger"), 2);
    cr_assert_eq(world_scalar(&d->w, "SELECT SUM(duplicates) FROM holdfast_ledger"), 0);
}

Test(recovery, one_key_ten_times_at_once_and_after_a_restart)
{
    struct drive d;
    drive_begin(&d, 42, NULL);
    drive_engine(&d);
    struct caller callers[10] = {0};
    for (int i = 0; i < 10; i++) {
        callers[i].d = &d;
        cr_assert_eq(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    int first = 0;
    int64_t seq = -1;
    for (int i = 0; i < 10; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        cr_assert_eq(callers[i].status, 200, "%s", buf_text(&callers[i].answer));
        first += !replayed(&callers[i].answer);
        int64_t own = http_probe_number(buf_slice(&callers[i].answer), "seq", 0);
        cr_assert(seq == -1 || seq == own, "one key, two batches");
        seq = own;
        buf_free(&callers[i].answer);
    }
    cr_assert_eq(first, 1, "%d answers are not a replay", first);
    drive_applied(&d);
    check_two_events(&d);

    engine_kill(&d.engine);
    drive_engine(&d);
    struct buf answer = {0};
    cr_assert_eq(drive_post(&d, keyed_path, keyed_body, "one-key", &answer), 200);
    cr_assert(replayed(&answer), "%s", buf_text(&answer));
    cr_assert_eq(http_probe_number(buf_slice(&answer), "seq", 0), seq);
    cr_assert_eq(drive_post(&d, keyed_path, "{\"ip\":\"10.1.2.3\",\"timestamp\":1}",
                            "one-key", &answer),
                 422);
    drive_applied(&d);
    check_two_events(&d);
    buf_free(&answer);
    drive_end(&d);
}

Test(recovery, a_journal_has_one_owner)
{
    struct drive d;
    drive_begin(&d, 43, NULL);
    drive_engine(&d);
    const char *args[] = {"serve", NULL};
    struct buf text = {0};
    int code = engine_command(&d.engine, args, &text);
    cr_assert(code > 0 && code < 128, "a second engine started: %d", code);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%d", (int)d.engine.pid);
    cr_assert_not_null(strstr(buf_text(&text), pid), "the owner isn't named: %s",
                       buf_text(&text));
    buf_clear(&text);
    cr_assert_eq(drive_post(&d, keyed_path, keyed_body, NULL, &text), 200, "%s",
                 buf_text(&text));
    buf_free(&text);
    drive_end(&d);
}

/* Two journals, the same entities: neither sees the other but through the rows' locks. */
Test(recovery, two_engines_on_the_same_entities)
{
    struct drive d;
    drive_begin(&d, 44, NULL);
    d.sample_config.ips = 300;
    drive_sample(&d, 15000, 300);
    drive_engine(&d);
    struct engine_process second;
    drive_second(&d, "second", &second);
    struct sample_config other_config = d.sample_config;
    other_config.seed = 45;
    other_config.start_s += 60;
    struct sample other;
    struct feeder *feeder;
    struct err err = {0};
    cr_assert_eq(sample_new(&other_config, &other, &err), 0, "%s", err.message);
    struct feeder_config config = {
        .sample = &other, .producers = 4, .port = second.port, .pause_us = 5000};
    drive_feed(&d, 4, 5000);
    cr_assert_eq(feeder_start(&config, &feeder, &err), 0, "%s", err.message);
    cr_assert(feeder_wait(feeder, other.batch_count, DRIVE_PATIENCE_MS));
    struct feeder_line *lines = feeder_finish(feeder);
    drive_acknowledged(&d);
    drive_applied(&d);
    cr_assert_eq(engine_wait_applied(&second, DRIVE_PATIENCE_MS, &err), 0, "%s",
                 err.message);

    struct oracle_log logs[] = {{&d.sample, d.lines}, {&other, lines}};
    struct oracle_report report;
    struct oracle_context context = {
        .accepted = (uint64_t)(engine_accepted(&d.engine) + engine_accepted(&second))};
    cr_assert_eq(oracle_compare(d.w.session, logs, 2, &context, &report, &err), 0, "%s",
                 err.message);
    struct buf text = {0};
    oracle_describe(&report, &text);
    cr_assert(oracle_clean(&report), "%s", buf_text(&text));
    buf_free(&text);
    int exit_code;
    cr_assert_eq(engine_stop(&second, 20000, &exit_code, &err), 0, "%s", err.message);
    cr_assert_eq(exit_code, 0);
    free(lines);
    sample_free(&other);
    drive_end(&d);
}

/* What does not depend on the order of batches, as one text. */
static char *state(struct drive *d)
{
    world_exec(&d->w, "SET SESSION group_concat_max_len = 100000000");
    return world_text(
        &d->w, "SELECT CONCAT("
               "(SELECT MD5(GROUP_CONCAT(ip, first_seen, last_seen, communication_count"
               " ORDER BY ip)) FROM botnet_nodes_mozi), ' ',"
               "(SELECT MD5(GROUP_CONCAT(ip, communication_time ORDER BY ip,"
               " communication_time)) FROM botnet_communications_mozi), ' ',"
               "(SELECT CONCAT(SUM(records), ' ', SUM(events), ' ', SUM(duplicates +"
               " conflicts)) FROM holdfast_ledger WHERE stream = 'mozi'))");
}

static char *state_of_order(uint64_t seed, const uint32_t *order)
{
    struct drive d;
    drive_begin(&d, seed, NULL);
    drive_sample(&d, 8000, 200);
    drive_engine(&d);
    struct err err = {0};
    struct feeder_config config = {.sample = &d.sample,
                                   .order = order,
                                   .producers = order ? 3 : 1,
                                   .port = d.engine.port};
    cr_assert_eq(feeder_start(&config, &d.feeder, &err), 0, "%s", err.message);
    drive_finish(&d);
    char *text = state(&d);
    drive_end(&d);
    return text;
}

Test(recovery, shuffled_batches_come_to_the_same)
{
    struct sample_config config;
    struct sample sample;
    struct err err = {0};
    uint64_t random = 46;
    sample_config_defaults(&config);
    config.seed = 46;
    config.records = 8000;
    config.batch_max = 200;
    cr_assert_eq(sample_new(&config, &sample, &err), 0, "%s", err.message);
    uint32_t count = sample.batch_count;
    sample_free(&sample);
    uint32_t *order = calloc(count, sizeof *order);
    cr_assert_not_null(order);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = sample_below(&random, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    char *straight = state_of_order(46, NULL);
    char *shuffled = state_of_order(46, order);
    cr_assert_str_eq(straight, shuffled);
    free(straight);
    free(shuffled);
    free(order);
}
