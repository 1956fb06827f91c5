/* One body, one batch, one answer: what is in the journal afterwards. */
#include "engine/intake.h"
#include "engine/json.h"
#include "schema/record.h"
#include "tests/journal_kit.h"
#include "tests/specs.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#define RECORD(ip, second)                                                               \
    "{\"ip\":\"" ip "\",\"timestamp\":\"2026-01-01 00:00:" second "\"}\n"
#define ROUTED(stream, ip)                                                               \
    "{\"botnet_type\":\"" stream "\",\"ip\":\"" ip                                       \
    "\",\"timestamp\":\"2026-01-01 00:00:00\"}\n"

struct fixture {
    struct kit kit;
    struct stream *streams[3]; /* mozi; test with 4 lanes; third */
    struct intake_rules rules;
};

static void start(struct fixture *f)
{
    struct stream_spec mozi = botnet_spec("mozi");
    struct stream_spec test = botnet_spec("test");
    struct stream_spec third = botnet_spec("third");
    *f = (struct fixture){0};
    kit_start(&f->kit);
    kit_open(&f->kit);
    test.lanes = 4;
    f->streams[0] = stream_of(&mozi);
    f->streams[1] = stream_of(&test);
    f->streams[2] = stream_of(&third);
    f->rules = (struct intake_rules){
        .streams = (const struct stream *const *)f->streams,
        .stream_count = 3,
        .route_field = "botnet_type",
        .entry_records_max = 50000,
        .max_future_us = 86400000000,
        .clock = &f->kit.clock.clock,
    };
}

static void end(struct fixture *f)
{
    kit_end(&f->kit);
    for (size_t i = 0; i < 3; i++) {
        stream_free(f->streams[i]);
    }
}

static struct intake_source source_of(const struct stream *stream, const char *body)
{
    return (struct intake_source){
        .stream = stream, .body = slice_text(body), .scope = SLICE_LITERAL("scope")};
}

static struct intake_batch *send_source(struct fixture *f,
                                        const struct intake_source *source)
{
    struct intake_batch *batch = NULL;
    struct err err = {0};
    cr_assert_eq(intake_prepare(&f->rules, source, &batch, &err), ERR_OK, "%s",
                 err.message);
    (void)intake_submit_wait(batch, f->kit.journal);
    return batch;
}

static struct intake_batch *send(struct fixture *f, const struct stream *stream,
                                 const char *body)
{
    struct intake_source source = source_of(stream, body);
    struct intake_batch *batch = send_source(f, &source);
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->err.code, ERR_OK, "%s", result->err.message);
    return batch;
}

/* The dead letters of one entry: "index reason field bytes;" each. */
static bool note_letter(const struct journal_dead_entry *dead, void *context)
{
    struct buf *text = context;
    cr_assert(dead->at_intake);
    cr_assert_eq(dead->state, JOURNAL_DEAD_KEPT);
    buf_printf(text, "%u %s %s %.*s;", dead->letter.index, dead->letter.reason,
               dead->letter.field, (int)dead->letter.bytes.len, dead->letter.bytes.data);
    return true;
}

static void expect_letters(struct fixture *f, uint64_t seq, const char *wanted)
{
    struct buf text = {0};
    struct err err = {0};
    cr_assert_eq(
        journal_dead_letters_visit(f->kit.journal, seq, seq, note_letter, &text, &err),
        ERR_OK);
    cr_assert_str_eq(buf_text(&text), wanted);
    buf_free(&text);
}

/* The entry's rows as JSON, one after the other. */
static void expect_entry(struct fixture *f, uint64_t seq, const struct stream *stream,
                         const char *wanted)
{
    struct journal_entries entries;
    struct record_decoder *decoder = NULL;
    struct value values[STREAM_FIELDS_MAX];
    struct reject reject;
    struct buf text = {0};
    struct err err = {0};
    cr_assert_eq(journal_read_entry(f->kit.journal, seq, &entries, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_str_eq(entries.items[0].stream, stream->name);
    cr_assert_eq(record_decoder_new(stream, entries.items[0].payload, &decoder, &err),
                 ERR_OK, "%s", err.message);
    while (record_decoder_next(decoder, values, &reject, &err) == ERR_OK) {
        record_decoder_append_json(decoder, &text);
    }
    cr_assert_str_eq(buf_text(&text), wanted);
    buf_free(&text);
    record_decoder_free(decoder);
    journal_entries_free(&entries);
}

/* ---- Records and dead letters ---------------------------------------------------- */

Test(intake, one_record)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch = send(&f, f.streams[0], RECORD("1.2.3.4", "01"));
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->seq, 1);
    cr_assert_eq(result->accepted, 1);
    cr_assert_eq(result->dead_lettered, 0);
    cr_assert_eq(result->error_count, 0);
    cr_assert_eq(result->entry_count, 1);
    cr_assert_eq(result->entries[0].seq, 1);
    cr_assert_eq(result->entries[0].lane, 0);
    cr_assert_str_eq(result->entries[0].stream, "mozi");
    expect_entry(&f, 1, f.streams[0],
                 "{\"ip\":\"1.2.3.4\",\"timestamp\":\"2026-01-01T00:00:01Z\"}");
    intake_batch_free(batch);
    end(&f);
}

Test(intake, bad_records_become_dead_letters)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch =
        send(&f, f.streams[0],
             RECORD("1.2.3.4", "01") "{\"ip\":\"x\",\"timestamp\":1}\n"
                                     "{\"ip\":\"1.2.3.4\"}\n" RECORD(
                                         "1.2.3.5",
                                         "02") "{\"ip\":\"1.1.1.1\",\"ip\":\"1.1.1.1\"}\n"
                                               "{\"ip\":[1]}\n"
                                               "{oops\n"
                                               "{\"cut");
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->accepted, 8);
    cr_assert_eq(result->dead_lettered, 6);
    cr_assert_eq(result->error_count, 6);
    cr_assert_eq(result->errors[0].index, 1);
    cr_assert_str_eq(result->errors[0].field, "ip");
    cr_assert_str_eq(result->errors[0].reason, "ip");
    cr_assert_eq(result->errors[1].index, 2);
    cr_assert_str_eq(result->errors[1].field, "timestamp");
    cr_assert_str_eq(result->errors[1].reason, "missing");
    cr_assert_eq(result->errors[5].index, 7);
    cr_assert_str_eq(result->errors[5].reason, "json");
    /* rows come first, so dead letters follow behind their indexes */
    expect_letters(&f, 1,
                   "2 ip ip {\"ip\":\"x\",\"timestamp\":1};"
                   "3 missing timestamp {\"ip\":\"1.2.3.4\"};"
                   "4 duplicate_field ip {\"ip\":\"1.1.1.1\",\"ip\":\"1.1.1.1\"};"
                   "5 type ip {\"ip\":[1]};"
                   "6 json  {oops;"
                   "7 json  {\"cut;");
    struct journal_lane lane = kit_lane(&f.kit, "mozi", 0);
    cr_assert_eq(lane.running, 8);
    cr_assert_eq(lane.rejected, 6);
    intake_batch_free(batch);
    end(&f);
}

Test(intake, nothing_but_dead_letters_is_a_batch)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch = send(&f, f.streams[0], "{\"ip\":\"x\"}");
    cr_assert_eq(intake_batch_result(batch)->accepted, 1);
    cr_assert_eq(intake_batch_result(batch)->dead_lettered, 1);
    struct journal_entries entries = kit_read(&f.kit, "mozi", 0, 0);
    cr_assert_eq(entries.count, 1);
    cr_assert_eq(entries.items[0].records, 1);
    cr_assert_eq(entries.items[0].payload.len, 0);
    journal_entries_free(&entries);
    intake_batch_free(batch);
    end(&f);
}

Test(intake, refused_whole)
{
    struct fixture f;
    static const char *const bodies[] = {"", "  \n", "[]", "{", "[1,2]"};
    start(&f);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct intake_source source = source_of(f.streams[0], bodies[i]);
        struct intake_batch *batch = NULL;
        struct err err = {0};
        cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_INVALID);
        cr_assert(err.message[0]);
        cr_assert_null(batch);
    }
    cr_assert_eq(kit_stat(&f.kit).records, 0);
    end(&f);
}

Test(intake, first_ten_errors)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    for (int i = 0; i < 25; i++) {
        buf_append_text(&body, "{\"ip\":\"x\"}\n" RECORD("1.2.3.4", "01"));
    }
    struct intake_batch *batch = send(&f, f.streams[0], buf_text(&body));
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->accepted, 50);
    cr_assert_eq(result->dead_lettered, 25);
    cr_assert_eq(result->error_count, INTAKE_ERRORS_MAX);
    cr_assert_eq(result->errors[9].index, 18);
    intake_batch_free(batch);
    buf_free(&body);
    end(&f);
}

static bool measure_letter(const struct journal_dead_entry *dead, void *context)
{
    size_t *len = context;
    *len = dead->letter.bytes.len;
    return true;
}

/* Nothing that was acknowledged is thrown away: a broken tail may hold good records. */
Test(intake, dead_letter_keeps_all_its_bytes)
{
    struct fixture f;
    struct buf body = {0};
    size_t len = 0;
    struct err err = {0};
    start(&f);
    buf_append_text(&body, "{\"ip\":\"x\",\"timestamp\":1,\"z\":\"");
    while (body.len < 70030) {
        buf_append_char(&body, 'y');
    }
    buf_append_text(&body, "\"}");
    struct intake_batch *batch = send(&f, f.streams[0], buf_text(&body));
    cr_assert_eq(
        journal_dead_letters_visit(f.kit.journal, 1, 1, measure_letter, &len, &err),
        ERR_OK);
    cr_assert_eq(len, body.len);
    intake_batch_free(batch);
    buf_free(&body);
    end(&f);
}

Test(intake, more_fields_than_any_record_has)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    buf_append_text(&body, "{\"ip\":\"1.2.3.4\",\"timestamp\":1");
    for (int i = 0; i < 300; i++) {
        buf_printf(&body, ",\"f%d\":%d", i, i);
    }
    buf_append_text(&body, "}\n" RECORD("1.2.3.4", "01"));
    struct intake_batch *batch = send(&f, f.streams[0], buf_text(&body));
    cr_assert_eq(intake_batch_result(batch)->accepted, 2);
    cr_assert_eq(intake_batch_result(batch)->dead_lettered, 1);
    intake_batch_free(batch);
    buf_free(&body);
    end(&f);
}

Test(intake, text_that_does_not_stand_in_the_body)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch = send(
        &f, f.streams[0],
        "{\"country\":\"\\u4e2d\\u56fd\",\"city\":\"a\\\"b\",\"i\\u0070\":\"1.2.3.4\","
        "\"timestamp\":\"2026-01-01 00:00:01\"}");
    expect_entry(&f, 1, f.streams[0],
                 "{\"ip\":\"1.2.3.4\",\"country\":\"\xe4\xb8\xad\xe5\x9b\xbd\","
                 "\"city\":\"a\\\"b\",\"timestamp\":\"2026-01-01T00:00:01Z\"}");
    intake_batch_free(batch);
    end(&f);
}

/* A field is looked up by what stood at its place in the record before. */
Test(intake, fields_in_another_order)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch = send(
        &f, f.streams[0],
        "{\"city\":\"a\",\"ip\":\"1.2.3.4\",\"timestamp\":1}\n"
        "{\"ip\":\"1.2.3.5\",\"city\":\"b\",\"timestamp\":2}\n"
        "{\"c\\u0069ty\":\"c\",\"x\":\"1.2.3.9\",\"timestamp\":3,\"ip\":\"1.2.3.6\"}\n"
        "{\"isp\\u0000\":\"no\",\"ip\":\"1.2.3.7\",\"ip\":\"1.2.3.7\",\"timestamp\":4}\n"
        "{\"isp\":\"d\",\"x\":\"1.2.3.9\",\"timestamp\":5,\"ip\":\"1.2.3.8\"}\n");
    expect_entry(
        &f, 1, f.streams[0],
        "{\"ip\":\"1.2.3.4\",\"city\":\"a\",\"timestamp\":\"1970-01-01T00:00:01Z\"}"
        "{\"ip\":\"1.2.3.5\",\"city\":\"b\",\"timestamp\":\"1970-01-01T00:00:02Z\"}"
        "{\"ip\":\"1.2.3.6\",\"city\":\"c\",\"timestamp\":\"1970-01-01T00:00:03Z\"}"
        "{\"ip\":\"1.2.3.8\",\"isp\":\"d\",\"timestamp\":\"1970-01-01T00:00:05Z\"}");
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->dead_lettered, 1);
    cr_assert_str_eq(result->errors[0].reason, "duplicate_field");
    intake_batch_free(batch);
    end(&f);
}

/* What is no field of one stream is one of another's. */
Test(intake, one_name_in_streams_of_different_fields)
{
    struct fixture f;
    start(&f);
    struct stream_spec spec = readings_spec();
    struct stream *plant = stream_of(&spec);
    const struct stream *streams[] = {f.streams[0], plant};
    f.rules.streams = streams;
    f.rules.stream_count = 2;
    struct intake_batch *batch =
        send(&f, NULL,
             "{\"serial\":\"s1\",\"botnet_type\":\"mozi\",\"ip\":\"1.2.3.4\","
             "\"timestamp\":1}\n"
             "{\"serial\":\"s1\",\"botnet_type\":\"plant\",\"probe\":1,\"at\":1}\n"
             "{\"serial\":\"s2\",\"botnet_type\":\"mozi\",\"ip\":\"1.2.3.4\","
             "\"timestamp\":2}\n");
    cr_assert_eq(intake_batch_result(batch)->dead_lettered, 0);
    expect_entry(&f, 1, f.streams[0],
                 "{\"ip\":\"1.2.3.4\",\"timestamp\":\"1970-01-01T00:00:01Z\"}"
                 "{\"ip\":\"1.2.3.4\",\"timestamp\":\"1970-01-01T00:00:02Z\"}");
    expect_entry(&f, 2, plant,
                 "{\"serial\":\"s1\",\"at\":\"1970-01-01T00:00:01Z\",\"probe\":1}");
    intake_batch_free(batch);
    stream_free(plant);
    end(&f);
}

Test(intake, csv)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch =
        send(&f, f.streams[0], "2026-01-01 00:00:01,1.2.3.4,beacon\nt,x,y\n");
    cr_assert_eq(intake_batch_result(batch)->accepted, 2);
    cr_assert_eq(intake_batch_result(batch)->dead_lettered, 1);
    expect_letters(&f, 1, "1 time timestamp t,x,y;");
    intake_batch_free(batch);
    batch = send(&f, f.streams[0],
                 "event_type,ip,timestamp\nscan,1.2.3.4,2026-01-01 00:00:01\n");
    expect_entry(&f, 2, f.streams[0],
                 "{\"ip\":\"1.2.3.4\",\"timestamp\":\"2026-01-01T00:00:01Z\","
                 "\"event_type\":\"scan\"}");
    intake_batch_free(batch);
    end(&f);
}

Test(intake, a_wrong_line_of_csv_keeps_the_names_of_its_columns)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch =
        send(&f, f.streams[0],
             "event_type,ip,timestamp\nscan,1.2.3.4,t\nscan,\"1.2.3.4,t\n"
             "scan,1.2.3.4,2026-01-01 00:00:01\n");
    expect_letters(&f, 1,
                   "1 time timestamp event_type,ip,timestamp\nscan,1.2.3.4,t;"
                   "2 csv  event_type,ip,timestamp\nscan,\"1.2.3.4,t;");
    intake_batch_free(batch);
    end(&f);
}

Test(intake, a_long_header_over_many_wrong_lines_is_refused)
{
    struct fixture f;
    struct buf body = {0};
    struct err err = {0};
    struct intake_batch *batch = NULL;
    start(&f);
    buf_printf(&body, "ip,timestamp,%0200000d\n", 0);
    buf_append_text(&body, "x\nx\n");
    batch = send(&f, f.streams[0], buf_text(&body));
    cr_expect_geq(intake_batch_letter_bytes(batch), 400000, "with its copies");
    intake_batch_free(batch);
    for (int i = 0; i < 200; i++) {
        buf_append_text(&body, "x\n");
    }
    struct intake_source source = {.stream = f.streams[0], .body = buf_slice(&body)};
    cr_expect_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_TOO_LARGE, "%s",
                 err.message);
    buf_free(&body);
    end(&f);
}

/* ---- Lanes, routes, parts -------------------------------------------------------- */

Test(intake, lanes_part_a_batch_by_key)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    for (int i = 0; i < 200; i++) {
        buf_printf(&body, "{\"ip\":\"10.0.0.%d\",\"timestamp\":%d}\n", i % 50,
                   1767225600 + i);
    }
    buf_append_text(&body, "{\"ip\":\"x\",\"timestamp\":1}");
    struct intake_batch *batch = send(&f, f.streams[1], buf_text(&body));
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->accepted, 201);
    cr_assert_eq(result->entry_count, 4);
    uint64_t records = 0;
    for (size_t i = 0; i < 4; i++) {
        struct journal_lane lane = kit_lane(&f.kit, "test", (uint32_t)i);
        cr_assert_eq(lane.running % 4, i == 0, "each key's four records are in one lane");
        records += lane.running;
        struct journal_entries entries = kit_read(&f.kit, "test", (uint32_t)i, 0);
        cr_assert_eq(entries.count, 1);
        cr_assert_eq(entries.items[0].batch_seq, result->seq);
        cr_assert_eq(entries.items[0].batch_entries, 4);
        journal_entries_free(&entries);
    }
    cr_assert_eq(records, 201);
    cr_assert_eq(kit_lane(&f.kit, "test", 0).rejected, 1);
    intake_batch_free(batch);
    buf_free(&body);
    end(&f);
}

Test(intake, records_of_several_streams_are_one_append)
{
    struct fixture f;
    start(&f);
    uint64_t commits = kit_stat(&f.kit).commits;
    struct intake_batch *batch = send(
        &f, NULL,
        ROUTED("mozi", "1.2.3.4") ROUTED("third", "1.2.3.4") ROUTED("mozi", "1.2.3.5")
            ROUTED("nobody",
                   "1.2.3.4") "{\"ip\":\"1.2.3.4\"}\n"
                              "{\"botnet_type\":\"mozi\",\"botnet_type\":\"third\"}\n"
                              "{\"botnet_type\":\"mozi\",\"ip\":\"x\"}\n"
                              "{oops\n");
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->accepted, 8);
    cr_assert_eq(result->dead_lettered, 5);
    cr_assert_eq(result->entry_count, 3);
    cr_assert_eq(kit_stat(&f.kit).commits, commits + 1);
    cr_assert_eq(kit_lane(&f.kit, "mozi", 0).running, 3);
    cr_assert_eq(kit_lane(&f.kit, "third", 0).running, 1);
    cr_assert_eq(kit_lane(&f.kit, INTAKE_UNROUTED, 0).running, 4);
    expect_letters(&f, 1, "2 ip ip {\"botnet_type\":\"mozi\",\"ip\":\"x\"};");
    expect_letters(&f, 3,
                   "0 unknown_stream botnet_type {\"botnet_type\":\"nobody\",\"ip\":"
                   "\"1.2.3.4\",\"timestamp\":\"2026-01-01 00:00:00\"};"
                   "1 missing botnet_type {\"ip\":\"1.2.3.4\"};"
                   "2 duplicate_field botnet_type "
                   "{\"botnet_type\":\"mozi\",\"botnet_type\":\"third\"};"
                   "3 json  {oops;");
    intake_batch_free(batch);
    end(&f);
}

Test(intake, csv_of_several_streams)
{
    struct fixture f;
    start(&f);
    struct intake_batch *batch = send(&f, NULL,
                                      "timestamp,botnet_type,ip\n"
                                      "1767225600,mozi,1.2.3.4\n"
                                      "1767225600,third,1.2.3.4\n"
                                      "1767225600,,1.2.3.4\n");
    cr_assert_eq(intake_batch_result(batch)->accepted, 3);
    cr_assert_eq(kit_lane(&f.kit, "mozi", 0).running, 1);
    cr_assert_eq(kit_lane(&f.kit, "third", 0).running, 1);
    expect_letters(
        &f, 3, "0 missing botnet_type timestamp,botnet_type,ip\n1767225600,,1.2.3.4;");
    intake_batch_free(batch);
    struct intake_source source = source_of(NULL, "1767225600,1.2.3.4,beacon\n");
    struct err err = {0};
    cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_INVALID);
    cr_assert_not_null(strstr(err.message, "botnet_type"), "%s", err.message);
    end(&f);
}

Test(intake, a_large_batch_becomes_several_entries)
{
    struct fixture f;
    start(&f);
    f.rules.entry_records_max = 2;
    struct intake_batch *batch =
        send(&f, f.streams[0],
             RECORD("1.0.0.1", "01") RECORD("1.0.0.2", "02")
                 RECORD("1.0.0.3", "03") "{\"ip\":\"x\"}\n" RECORD("1.0.0.4", "04"));
    const struct intake_result *result = intake_batch_result(batch);
    cr_assert_eq(result->accepted, 5);
    cr_assert_eq(result->entry_count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(result->entries[i].seq, result->seq + i);
    }
    expect_entry(&f, 3, f.streams[0],
                 "{\"ip\":\"1.0.0.4\",\"timestamp\":\"2026-01-01T00:00:04Z\"}");
    expect_letters(&f, 2, "1 ip ip {\"ip\":\"x\"};");
    intake_batch_free(batch);
    end(&f);
}

Test(intake, more_entries_than_a_batch_may_have)
{
    struct fixture f;
    struct buf body = {0};
    struct err err = {0};
    struct intake_batch *batch = NULL;
    start(&f);
    f.rules.entry_records_max = 1;
    for (int i = 0; i < 5000; i++) {
        buf_append_text(&body, RECORD("1.0.0.1", "01"));
    }
    struct intake_source source = source_of(f.streams[0], buf_text(&body));
    cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_TOO_LARGE);
    buf_free(&body);
    end(&f);
}

Test(intake, more_wrong_records_than_a_batch_may_have)
{
    struct fixture f;
    struct buf body = {0};
    struct err err = {0};
    struct intake_batch *batch = NULL;
    start(&f);
    buf_append_text(&body, "[" RECORD("1.0.0.1", "01"));
    for (int i = 0; i < 65000; i++) {
        buf_append_text(&body, ",1");
    }
    buf_append_char(&body, ']');
    struct intake_source source = source_of(f.streams[0], buf_text(&body));
    cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_OK);
    cr_assert_eq(intake_batch_refused(batch), 65000);
    cr_assert_leq(intake_batch_letter_bytes(batch), 16 << 20);
    intake_batch_free(batch);
    body.len--;
    for (int i = 0; i < 5000; i++) {
        buf_append_text(&body, ",1");
    }
    buf_append_char(&body, ']');
    source = source_of(f.streams[0], buf_text(&body));
    cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_TOO_LARGE);
    cr_assert(strstr(err.message, "wrong records"), "%s", err.message);
    buf_free(&body);
    end(&f);
}

/* ---- Keys ------------------------------------------------------------------------ */

static struct intake_source keyed(struct fixture *f, const char *key, const char *body)
{
    struct intake_source source = source_of(f->streams[0], body);
    source.idempotency_key = slice_text(key);
    return source;
}

static void expect_answer(const struct intake_batch *batch, const char *wanted)
{
    struct buf text = {0};
    intake_answer(batch, "id", -1, &text);
    cr_assert_str_eq(buf_text(&text), wanted);
    buf_free(&text);
}

static const char two_records[] =
    RECORD("1.2.3.4", "01") "{\"ip\":\"x\",\"timestamp\":1}";

#define ANSWER(replayed)                                                                 \
    "{\"batch\":\"id/1\",\"seq\":1,\"accepted\":2,\"dead_lettered\":1,\"errors\":["      \
    "{\"index\":1,\"field\":\"ip\",\"reason\":\"ip\",\"detail\":\"not a canonical "      \
    "dotted IPv4 address such as 203.0.113.9\"}],\"replayed\":" replayed "}"

Test(intake, a_known_key_answers_as_the_first_time)
{
    struct fixture f;
    start(&f);
    struct intake_source source = keyed(&f, "k1", two_records);
    struct intake_batch *batch = send_source(&f, &source);
    expect_answer(batch, ANSWER("false"));
    intake_batch_free(batch);
    batch = send_source(&f, &source);
    expect_answer(batch, ANSWER("true"));
    cr_assert_eq(intake_batch_result(batch)->entry_count, 0);
    intake_batch_free(batch);
    cr_assert_eq(kit_stat(&f.kit).records, 2);

    struct err err = {0};
    batch = NULL;
    cr_assert_eq(intake_recall(&f.rules, &source, f.kit.journal, &batch, &err), ERR_OK);
    expect_answer(batch, ANSWER("true"));
    intake_batch_free(batch);
    end(&f);
}

Test(intake, a_key_belongs_to_its_body_and_scope)
{
    struct fixture f;
    struct err err = {0};
    struct intake_batch *known = NULL;
    start(&f);
    struct intake_source source = keyed(&f, "k1", two_records);
    intake_batch_free(send_source(&f, &source));

    source.body = SLICE_LITERAL(RECORD("9.9.9.9", "01"));
    cr_assert_eq(intake_recall(&f.rules, &source, f.kit.journal, &known, &err),
                 ERR_KEY_REUSED);
    struct intake_batch *batch = send_source(&f, &source);
    cr_assert_eq(intake_batch_result(batch)->err.code, ERR_KEY_REUSED);
    intake_batch_free(batch);

    source.scope = SLICE_LITERAL("other");
    cr_assert_eq(intake_recall(&f.rules, &source, f.kit.journal, &known, &err),
                 ERR_NOT_FOUND);
    batch = send_source(&f, &source);
    cr_assert_eq(intake_batch_result(batch)->err.code, ERR_OK);
    cr_assert_not(intake_batch_result(batch)->replayed);
    intake_batch_free(batch);
    source.idempotency_key = (struct slice){0};
    cr_assert_eq(intake_recall(&f.rules, &source, f.kit.journal, &known, &err),
                 ERR_NOT_FOUND);
    end(&f);
}

Test(intake, a_key_is_known_after_a_restart)
{
    struct fixture f;
    start(&f);
    struct intake_source source = keyed(&f, "k1", two_records);
    intake_batch_free(send_source(&f, &source));
    kit_reopen(&f.kit);
    struct intake_batch *batch = send_source(&f, &source);
    expect_answer(batch, ANSWER("true"));
    intake_batch_free(batch);
    end(&f);
}

Test(intake, a_key_that_is_too_long)
{
    struct fixture f;
    char key[300];
    struct err err = {0};
    struct intake_batch *batch = NULL;
    start(&f);
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    struct intake_source source = keyed(&f, key, two_records);
    cr_assert_eq(intake_prepare(&f.rules, &source, &batch, &err), ERR_INVALID);
    end(&f);
}

/* ---- Answers and refusals -------------------------------------------------------- */

Test(intake, answer_says_applied_where_it_was_asked_for)
{
    struct fixture f;
    struct buf text = {0};
    start(&f);
    struct intake_batch *batch = send(&f, f.streams[0], RECORD("1.2.3.4", "01"));
    intake_answer(batch, "id", 0, &text);
    cr_assert_not_null(strstr(buf_text(&text), "\"applied\":false"));
    buf_clear(&text);
    intake_answer(batch, "id", 1, &text);
    cr_assert_not_null(strstr(buf_text(&text), "\"applied\":true"));
    struct json_value *value = json_parse(buf_slice(&text));
    cr_assert_eq(json_as_integer(json_get(value, "accepted"), -1), 1);
    json_value_free(value);
    buf_free(&text);
    intake_batch_free(batch);
    end(&f);
}

Test(intake, a_full_journal_refuses_the_whole_batch)
{
    struct fixture f;
    struct buf body = {0};
    start(&f);
    for (int i = 0; i < 5000; i++) {
        buf_printf(&body,
                   "{\"ip\":\"10.0.%d.%d\",\"timestamp\":1767225600,\"isp\":\"%0*d\"}\n",
                   i / 250, i % 250, 200, i);
    }
    struct intake_source source = source_of(f.streams[0], buf_text(&body));
    uint64_t accepted = 0;
    int code = ERR_OK;
    for (int i = 0; i < 20 && code == ERR_OK; i++) {
        struct intake_batch *batch = send_source(&f, &source);
        code = (int)intake_batch_result(batch)->err.code;
        accepted += code == ERR_OK ? 5000 : 0;
        intake_batch_free(batch);
    }
    cr_assert_eq(code, ERR_FULL);
    cr_assert_gt(accepted, 0);
    cr_assert_eq(kit_stat(&f.kit).records, accepted);
    buf_free(&body);
    end(&f);
}
