/* What comes in, and what becomes of it: repeats, poison, a full journal, other tables.
 */
#include "tests/drive.h"
#include "tests/process.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void post(struct drive *d, const char *path, const char *body, int accepted,
                 int dead)
{
    struct buf answer = {0};
    int status = drive_post(d, path, body, NULL, &answer);
    cr_assert_eq(status, 200, "%d %s", status, buf_text(&answer));
    struct slice text = buf_slice(&answer);
    cr_assert(http_probe_number(text, "accepted", -1) == accepted &&
                  http_probe_number(text, "dead_lettered", -1) == dead,
              "%s", buf_text(&answer));
    buf_free(&answer);
}

static int64_t ledger(struct drive *d, const char *column)
{
    char sql[96];
    (void)snprintf(sql, sizeof sql, "SELECT SUM(%s) FROM holdfast_ledger", column);
    return world_scalar(&d->w, sql);
}

#define MOZI "/v1/streams/mozi/records?wait=applied&timeout=30"
#define RECORD(ip, second, event)                                                        \
    "{\"ip\":\"" ip "\",\"timestamp\":\"2026-01-08 03:00:" second                        \
    "\",\"event_type\":\"" event "\"}\n"

Test(intake, repeats_within_and_across_batches)
{
    struct drive d;
    drive_begin(&d, 51, NULL);
    drive_engine(&d);
    /* Within one batch: one event, one duplicate, one conflict. */
    post(&d, MOZI,
         RECORD("10.0.0.1", "01", "scan") RECORD("10.0.0.1", "01", "scan")
             RECORD("10.0.0.1", "01", "login"),
         3, 0);
    /* Across batches: a duplicate, a conflict, an event of the same entity. */
    post(&d, MOZI,
         RECORD("10.0.0.1", "01", "scan") RECORD("10.0.0.1", "01", "beacon")
             RECORD("10.0.0.1", "02", "scan"),
         3, 0);
    drive_applied(&d);
    cr_assert_eq(ledger(&d, "records"), 6);
    cr_assert_eq(ledger(&d, "events"), 2);
    cr_assert_eq(ledger(&d, "duplicates"), 2);
    cr_assert_eq(ledger(&d, "conflicts"), 2);
    cr_assert_eq(world_scalar(&d.w, "SELECT communication_count FROM botnet_nodes_mozi"),
                 2);
    /* The first stays. */
    char *type = world_text(&d.w, "SELECT event_type FROM botnet_communications_mozi"
                                  " ORDER BY communication_time LIMIT 1");
    cr_assert_str_eq(type, "scan");
    free(type);
    drive_end(&d);
}

/* A record that can't be told a stream is a dead letter of no table and no ledger row:
 * accepted, settled, and no difference to the audit. */
Test(intake, records_of_no_stream)
{
    struct drive d;
    drive_begin(&d, 56, NULL);
    drive_engine(&d);
    post(&d, "/v1/records?wait=applied&timeout=30",
         "{\"botnet_type\":\"nobody\",\"ip\":\"10.0.0.1\",\"timestamp\":1767812400}\n"
         "{\"botnet_type\":\"mozi\",\"ip\":\"10.0.0.1\",\"timestamp\":1767812400}\n"
         "{\"ip\":\"10.0.0.1\",\"timestamp\":1767812400}\n",
         3, 2);
    drive_applied(&d);
    cr_assert_eq(engine_accepted(&d.engine), 3);
    cr_assert_eq(ledger(&d, "records"), 1);
    /* The settled mark is durable within a second or at the stop; asked after both. */
    drive_stop_engine(&d);
    drive_audit(&d);
    drive_engine(&d);
    drive_audit(&d);
    drive_end(&d);
}

Test(intake, ten_records_of_the_field_report)
{
    struct drive d;
    drive_begin(&d, 52, NULL);
    drive_engine(&d);
    const char *source = getenv("HOLDFAST_SOURCE");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/data/field_report.ndjson",
                   source ? source : ".");
    char *body = world_read_file(path);
    cr_assert_not_null(body, "no %s", path);
    post(&d, MOZI, body, SAMPLE_REPORT_COUNT, 0);
    free(body);
    drive_applied(&d);
    world_exec(&d.w, "SET time_zone = '+08:00'");
    for (size_t i = 0; i < SAMPLE_REPORT_COUNT; i++) {
        char sql[512];
        (void)snprintf(sql, sizeof sql,
                       "SELECT COUNT(*) FROM botnet_nodes_mozi n"
                       " JOIN botnet_communications_mozi c ON c.node_id = n.id"
                       " WHERE n.ip = '%s' AND c.ip = n.ip AND n.first_seen = '%s'"
                       " AND c.communication_time = n.first_seen"
                       " AND n.communication_count = 1",
                       sample_report[i].ip, sample_report[i].first_seen);
        cr_assert_eq(world_scalar(&d.w, sql), 1, "%s", sample_report[i].ip);
    }
    drive_end(&d);
}

/* A column made narrower under a running engine: the server refuses what was good. */
Test(intake, poison_between_good_records)
{
    struct drive d;
    drive_begin(&d, 53, NULL);
    d.sample_config.poison_share = 0.01;
    drive_sample(&d, 6000, 200);
    drive_engine(&d);
    /* Not before it has examined the tables: it would not start on such ones. */
    drive_wait_idle(&d);
    world_exec(&d.w, "ALTER TABLE botnet_communications_mozi MODIFY event_type"
                     " VARCHAR(20); ALTER TABLE botnet_communications_test MODIFY"
                     " event_type VARCHAR(20)");
    drive_feed(&d, 4, 0);
    drive_acknowledged(&d);
    drive_applied(&d);
    for (uint32_t b = 0; b < d.sample.batch_count; b++) {
        for (uint32_t i = 0; i < d.sample.batches[b].record_count; i++)
            d.context.replay_dead +=
                d.sample.batches[b].records[i].fault == SAMPLE_POISON;
    }
    cr_assert_gt(d.context.replay_dead, 20);
    struct oracle_report report;
    drive_compare(&d, &report);
    drive_end(&d);
}

static void small_journal(struct engine_options *options)
{
    options->journal = ", max_size: 4MiB, preallocate: 0";
}

/* Some time after the last refusal, with the next batch that is taken. */
static void expect_told_that_it_is_over(struct drive *d)
{
    size_t told = 0;
    for (int i = 0; i < 600 && told == 0; i++) {
        struct buf body = {0};
        cr_assert_eq(drive_post(d, MOZI, "{\"ip\":\"9.9.9.9\",\"timestamp\":1767225600}",
                                NULL, &body),
                     200);
        buf_free(&body);
        process_sleep_ms(100);
        told = drive_log_count(&d->engine, "event=intake_takes_again");
    }
    cr_expect_geq(told, 1);
    cr_expect_eq(drive_log_count(&d->engine, "event=intake_refuses"), told);
}

Test(intake, full_journal_refuses_and_drains)
{
    struct drive d;
    drive_begin(&d, 54, small_journal);
    drive_sample(&d, 80000, 1000);
    drive_engine(&d);
    world_freeze_db(&d.w);
    drive_feed(&d, 4, 0);
    struct feeder_progress progress = {0};
    for (int i = 0; i < 60000 && progress.busy == 0 && !progress.done; i++) {
        process_sleep_ms(1);
        feeder_progress(d.feeder, &progress);
    }
    cr_assert_gt(progress.busy, 0, "the journal was never full: %u batches",
                 progress.batches);
    world_thaw_db(&d.w);
    drive_finish(&d);
    expect_told_that_it_is_over(&d);
    drive_end(&d);
}

/* ---- Another stream, spelled out: docs/examples/readings.yaml ---------------------- */

/* The part of the example from "streams:" on, under our own journal and database. */
static char *readings_streams(void)
{
    const char *source = getenv("HOLDFAST_SOURCE");
    char path[512];
    (void)snprintf(path, sizeof path, "%s/docs/examples/readings.yaml",
                   source ? source : ".");
    char *text = world_read_file(path);
    cr_assert_not_null(text, "no %s", path);
    char *streams = strstr(text, "\nstreams:");
    cr_assert_not_null(streams);
    char *copy = strdup(streams + strlen("\nstreams:"));
    free(text);
    return copy;
}

Test(intake, readings_of_the_example)
{
    struct drive d;
    drive_begin(&d, 55, NULL);
    char *streams = readings_streams();
    d.options.streams = streams;
    drive_configure(&d);
    drive_engine(&d);
    post(&d, "/v1/streams/readings/records?wait=applied&timeout=30",
         "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:04:26.125\",\"value\":21.5,"
         "\"model\":\"T2\",\"site\":\"roof\",\"state\":\"on\"}\n"
         "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:04:27\",\"value\":19.25,"
         "\"model\":\"T3\",\"site\":\"cellar\"}\n"
         "{\"serial\":\"a-17\",\"at\":\"2026-01-08 01:04:26.125\",\"value\":1}\n"
         "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:04:27\",\"value\":99}\n"
         "{\"serial\":\"A-17\",\"at\":\"2026-01-08 01:04:28\",\"value\":\"warm\"}\n",
         5, 1);
    post(&d, "/v1/streams/readings/records?wait=applied&timeout=30",
         "2026-01-08 01:04:20,A-17,23.75\n2026-01-08 01:04:20,A-17,23.75\n", 2, 0);
    drive_applied(&d);
    char *device =
        world_text(&d.w, "SELECT CONCAT_WS('|', model, site, state, first_at, last_at,"
                         " lowest, highest, readings, source) FROM devices"
                         " WHERE serial = 'A-17'");
    cr_assert_str_eq(device,
                     "T2|cellar|on|2026-01-08 01:04:20.000|2026-01-08 01:04:27.000|"
                     "19.25|99|3|holdfast");
    free(device);
    cr_assert_eq(world_scalar(&d.w, "SELECT COUNT(*) FROM device_readings"), 4);
    cr_assert_eq(world_scalar(&d.w, "SELECT COUNT(*) FROM devices"), 2);
    cr_assert_eq(ledger(&d, "conflicts"), 1);
    cr_assert_eq(ledger(&d, "duplicates"), 1);
    cr_assert_eq(ledger(&d, "events"), 4);
    free(streams);
    drive_end(&d);
}
