/* The sink against a real server: what the tables and the ledger hold afterwards. */
#include "tests/process.h"
#include "tests/sink_kit.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <mysql.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

static struct world w;
static struct sink_kit kit;

static void open_botnet(void)
{
    struct stream_spec spec = botnet_spec("mozi");
    world_attach(&w);
    sink_kit_open(&kit, &w, &spec);
}

static void open_readings(void)
{
    struct stream_spec spec = readings_spec();
    kit.config.zone_offset_s = 8 * 3600;
    world_attach(&w);
    sink_kit_open(&kit, &w, &spec);
}

static void close_kit(void)
{
    sink_kit_close(&kit);
    world_detach(&w);
}

#define NODE(columns, ip)                                                                \
    "SELECT CONCAT_WS('|', " columns ") FROM botnet_nodes_mozi WHERE ip = '" ip "'"
#define NODE_SUM "status, first_seen, last_seen, updated_at, communication_count"

static void seen(const char *ip, const char *time, const char *type)
{
    sink_kit_add(&kit, "ip", ip, "timestamp", time, "event_type", type, NULL);
}

static void expect_counts(uint64_t events, uint64_t duplicates, uint64_t conflicts)
{
    cr_assert_eq(kit.result.totals[FATE_NEW], events);
    cr_assert_eq(kit.result.totals[FATE_DUPLICATE], duplicates);
    cr_assert_eq(kit.result.totals[FATE_CONFLICT], conflicts);
}

static void expect_nothing_applied(void)
{
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", 0);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_communications_mozi", 0);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM holdfast_ledger", 0);
}

/* ---- What is stored -------------------------------------------------------------- */

Test(sink, botnet_records_in_full, .init = open_botnet, .fini = close_kit)
{
    sink_kit_add(&kit, "ip", "203.0.113.9", "timestamp", "2026-01-08 01:04:26",
                 "event_type", "beacon", "country", "中国", "province", "广东省", "city",
                 "深'圳\\市", "longitude", "114.05", "latitude", "22.54", "continent",
                 "亚洲", "isp", "中国电信", "asn", "AS4134", "is_china", "true", NULL);
    seen("10.0.0.1", "2026-01-01 00:00:00", "scan");
    seen("10.0.0.1", "2026-01-02 00:00:00", "scan");
    sink_kit_expect(&kit, 0);
    expect_counts(3, 0, 0);
    cr_assert_eq(kit.result.entities_new, 2);
    sink_kit_text(&kit,
                  NODE("ip, ROUND(longitude, 2), latitude, country, province, city, "
                       "continent, isp, asn, is_china, " NODE_SUM,
                       "203.0.113.9"),
                  "203.0.113.9|114.05|22.54|中国|广东省|深'圳\\市|亚洲|中国电信|AS4134|1|"
                  "active|2026-01-08 01:04:26|2026-01-08 01:04:26|2026-01-08 01:04:26|1");
    sink_kit_text(&kit, NODE(NODE_SUM ", is_china", "10.0.0.1"),
                  "active|2026-01-01 00:00:00|2026-01-02 00:00:00|2026-01-02 00:00:00|2|"
                  "0");
    sink_kit_number(&kit,
                    "SELECT COUNT(*) FROM botnet_nodes_mozi WHERE created_time IS NOT "
                    "NULL AND cleaned_time IS NULL",
                    2);
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', n.ip, c.ip, communication_time, c.received_at, "
                  "event_type, c.status, c.city, ROUND(c.longitude, 2), c.is_china) FROM "
                  "botnet_communications_mozi c JOIN botnet_nodes_mozi n ON n.id = "
                  "node_id WHERE event_type = 'beacon'",
                  "203.0.113.9|203.0.113.9|2026-01-08 01:04:26|2026-01-08 19:20:00|"
                  "beacon|active|深'圳\\市|114.05|1");
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', journal_id, stream, lane, applied_seq, "
                  "HEX(applied_sum), records, events, duplicates, conflicts) FROM "
                  "holdfast_ledger",
                  "0123456789abcdef0123456789abcdef|mozi|0|1|"
                  "1F30415263748596A7B8C9DAEBFC0D1E|3|3|0|0");
}

Test(sink, readings_with_every_rule, .init = open_readings, .fini = close_kit)
{
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 01:00:00.123", "probe", "1",
                 "value", "0.1", "quality", "65535", "model", "M1", "level", "-5", NULL);
    sink_kit_add(&kit, "serial", "A'1", "at", "2026-01-08 01:00:00.123", "probe", "1",
                 "value", "1e300", NULL); /* another device: case tells them apart */
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 00:00:00.5", "probe", "-2",
                 "value", "-7.25", "model", "M0", "firmware", "F0", "site", "north",
                 "level", "9", NULL);
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 02:00:00", "probe", "1", "site",
                 "south", "enabled", "true", "state", "failing", NULL);
    sink_kit_expect(&kit, 0);
    expect_counts(4, 0, 0);
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', serial, model, IFNULL(firmware, '-'), "
                  "first_seen, last_seen, highest, lowest, state, enabled, site, source, "
                  "reading_count) FROM devices WHERE serial = 'a''1'",
                  "a'1|M1|-|2026-01-08 08:00:00.500|2026-01-08 10:00:00.000|9|-7.25|"
                  "failing|1|north|holdfast|3");
    sink_kit_text(&kit,
                  "SELECT GROUP_CONCAT(CONCAT_WS('/', BINARY serial, at, probe, "
                  "received_at, IFNULL(value, '-'), IFNULL(quality, '-')) ORDER BY id) "
                  "FROM readings_plant",
                  "A'1/2026-01-08 09:00:00.123/1/2026-01-08 19:20:00.123456/1e300/-,"
                  "a'1/2026-01-08 08:00:00.500/-2/2026-01-08 19:20:00.123456/-7.25/-,"
                  "a'1/2026-01-08 09:00:00.123/1/2026-01-08 19:20:00.123456/0.1/65535,"
                  "a'1/2026-01-08 10:00:00.000/1/2026-01-08 19:20:00.123456/-/-");
    /* again, out of the database this time: floats, NULL and times compare exactly */
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 01:00:00.123", "probe", "1",
                 "value", "0.1", "quality", "65535", NULL);
    sink_kit_add(&kit, "serial", "A'1", "at", "2026-01-08 01:00:00.123", "probe", "1",
                 "value", "1e300", NULL);
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 00:00:00.5", "probe", "-2",
                 "value", "-7.2500000000000009", NULL);
    sink_kit_add(&kit, "serial", "a'1", "at", "2026-01-08 02:00:00", "probe", "1", "note",
                 "", NULL);
    sink_kit_expect(&kit, 0);
    expect_counts(0, 2, 2);
    cr_assert_eq(kit.fates[2], FATE_CONFLICT);
    cr_assert_eq(kit.fates[3], FATE_CONFLICT); /* '' is not NULL */
}

/* A FLOAT column, read back as text, would come with six digits. */
Test(sink, floats_of_32_bits_compare_as_stored, .fini = close_kit)
{
    static const char *const compare[] = {"longitude", "is_china", "communication_time"};
    struct stream_spec spec = botnet_spec("mozi");
    spec.compare = compare;
    spec.compare_count = 3;
    world_attach(&w);
    sink_kit_open(&kit, &w, &spec);
    for (int round = 0; round < 2; round++) {
        sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:00",
                     "longitude", "114.0512345", NULL);
        sink_kit_add(&kit, "ip", "1.1.1.2", "timestamp", "2026-01-01 00:00:00",
                     "longitude", "-0.1", NULL);
        sink_kit_add(&kit, "ip", "1.1.1.3", "timestamp", "2026-01-01 00:00:00", NULL);
        sink_kit_expect(&kit, 0);
        expect_counts(round ? 0 : 3, round ? 3 : 0, 0);
    }
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:00", "longitude",
                 "114.0512", NULL);
    sink_kit_expect(&kit, 0);
    expect_counts(0, 0, 1);
}

Test(sink, duplicates_and_conflicts_within_and_across, .init = open_botnet,
     .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    seen("1.1.1.1", "2026-01-01 00:00:00", "b");
    seen("1.1.1.2", "2026-01-01 00:00:00", "b");
    sink_kit_expect(&kit, 0);
    expect_counts(2, 1, 1);
    cr_assert(kit.fates[0] == FATE_NEW && kit.fates[1] == FATE_DUPLICATE &&
              kit.fates[2] == FATE_CONFLICT && kit.fates[3] == FATE_NEW);
    seen("1.1.1.1", "2026-01-01 00:00:00", "b");
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    seen("1.1.1.1", "2026-01-01 00:00:01", "a");
    sink_kit_expect(&kit, 0);
    expect_counts(1, 1, 1);
    cr_assert(kit.fates[0] == FATE_CONFLICT && kit.fates[1] == FATE_DUPLICATE &&
              kit.fates[2] == FATE_NEW);
    sink_kit_text(&kit, NODE(NODE_SUM, "1.1.1.1"),
                  "active|2026-01-01 00:00:00|2026-01-01 00:00:01|2026-01-01 00:00:01|2");
    sink_kit_text(&kit,
                  "SELECT GROUP_CONCAT(event_type ORDER BY id) FROM "
                  "botnet_communications_mozi WHERE ip = '1.1.1.1'",
                  "a,a");
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', applied_seq, records, events, duplicates, "
                  "conflicts) FROM holdfast_ledger",
                  "2|7|3|2|2");
}

Test(sink, latest_follows_the_newest_record, .init = open_botnet, .fini = close_kit)
{
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-02 00:00:00", "city", "A",
                 "status", "cleaned", NULL);
    sink_kit_expect(&kit, 0);
    /* newer, without a status: a cleaned node stays cleaned */
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-03 00:00:00", "city", "B",
                 NULL);
    /* older than what is stored: nothing but min and count */
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:00", "city", "C",
                 "isp", "old", "status", "inactive", NULL);
    sink_kit_expect(&kit, 0);
    sink_kit_text(&kit, NODE("city, IFNULL(isp, '-'), " NODE_SUM, "1.1.1.1"),
                  "B|-|cleaned|2026-01-01 00:00:00|2026-01-03 00:00:00|"
                  "2026-01-03 00:00:00|3");
    /* not older: equal times, the later seq wins, and absent fields stay */
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-03 00:00:00", "isp", "new",
                 NULL);
    sink_kit_expect(&kit, 0);
    expect_counts(0, 1, 0);
    sink_kit_text(&kit, NODE("city, isp, communication_count", "1.1.1.1"), "B|new|3");
}

/* ---- Existing tables ------------------------------------------------------------- */

/* As an earlier writer left them: nodes without events, NULL times, counts too low. */
Test(sink, tables_filled_with_the_defect, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "INSERT INTO botnet_nodes_mozi (id, ip, city, status, first_seen, "
                   "last_seen, communication_count, created_time) VALUES "
                   "(7, '1.1.1.1', 'old', 'cleaned', NULL, NULL, NULL, '2025-01-01'), "
                   "(8, '1.1.1.2', 'old', 'inactive', '2026-01-05', '2026-01-06', 1, "
                   "'2025-01-01')");
    world_exec(&w,
               "INSERT INTO botnet_communications_mozi (node_id, ip, "
               "communication_time, event_type) VALUES "
               "(8, '1.1.1.2', '2026-01-05', 'x'), (8, '1.1.1.2', '2026-01-06', 'x')");
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:00", "city", "new",
                 NULL); /* last_seen is NULL: any record wins */
    seen("1.1.1.2", "2026-01-05 00:00:00", "x");
    seen("1.1.1.2", "2026-01-04 00:00:00", "y");
    seen("1.1.1.3", "2026-01-01 00:00:00", "y");
    sink_kit_expect(&kit, 0);
    expect_counts(3, 1, 0);
    cr_assert_eq(kit.result.entities_new, 1);
    sink_kit_text(&kit, NODE("id, city, created_time, " NODE_SUM, "1.1.1.1"),
                  "7|new|2025-01-01 00:00:00|cleaned|2026-01-01 00:00:00|"
                  "2026-01-01 00:00:00|2026-01-01 00:00:00|1");
    sink_kit_text(&kit, NODE("id, city, " NODE_SUM, "1.1.1.2"),
                  "8|old|inactive|2026-01-04 00:00:00|2026-01-06 00:00:00|"
                  "2026-01-05 00:00:00|2");
    /* merging by primary key burns no ids: the next one is still the next */
    sink_kit_number(&kit, "SELECT MAX(id) FROM botnet_nodes_mozi", 9);
    seen("1.1.1.4", "2026-01-01 00:00:00", "y");
    sink_kit_expect(&kit, 0);
    sink_kit_number(&kit, "SELECT MAX(id) FROM botnet_nodes_mozi", 10);
}

Test(sink, optional_columns_may_be_missing, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "ALTER TABLE botnet_nodes_mozi DROP COLUMN updated_at, "
                   "DROP COLUMN cleaned_time");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    seen("1.1.1.1", "2026-01-02 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    sink_kit_text(&kit, NODE("first_seen, last_seen, communication_count", "1.1.1.1"),
                  "2026-01-01 00:00:00|2026-01-02 00:00:00|2");
}

Test(sink, not_null_columns_stay_where_nothing_is_said, .init = open_readings,
     .fini = close_kit)
{
    /* tightened after prepare looked: the merge must not send NULL for "unchanged" */
    sink_kit_add(&kit, "serial", "a", "at", "2026-01-08 01:00:00", "probe", "1", "model",
                 "M", "site", "north", "level", "3", "value", "1.5", NULL);
    sink_kit_expect(&kit, 0);
    world_exec(&w, "ALTER TABLE devices MODIFY first_seen DATETIME(3) NOT NULL, MODIFY "
                   "last_seen DATETIME(3) NOT NULL, MODIFY state "
                   "ENUM('ok','failing','lost') NOT NULL DEFAULT 'ok'");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    world_exec(&w, "UPDATE devices SET state = 'lost'");
    sink_kit_add(&kit, "serial", "a", "at", "2026-01-08 00:00:00", "probe", "1", "state",
                 "failing", NULL);
    sink_kit_add(&kit, "serial", "b", "at", "2026-01-08 00:00:00", "probe", "1", NULL);
    sink_kit_expect(&kit, 0);
    sink_kit_text(&kit,
                  "SELECT GROUP_CONCAT(CONCAT_WS('|', serial, state, reading_count) "
                  "ORDER BY serial) FROM devices",
                  "a|lost|2,b|ok|1");
}

Test(sink, a_deleted_node_is_made_again, .init = open_botnet, .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "DELETE FROM botnet_communications_mozi; "
                   "DELETE FROM botnet_nodes_mozi");
    seen("1.1.1.1", "2026-01-02 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    cr_assert_eq(kit.result.entities_new, 1);
    sink_kit_text(&kit, NODE("id, " NODE_SUM, "1.1.1.1"),
                  "2|active|2026-01-02 00:00:00|2026-01-02 00:00:00|"
                  "2026-01-02 00:00:00|1");
}

/* ---- The ledger ------------------------------------------------------------------ */

Test(sink, the_ledger_must_be_where_it_is_believed, .init = open_botnet,
     .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    struct ledger_row good = kit.ledger;
    const struct ledger_row wrong[] = {
        {0}, /* no row */
        {.found = true, .position = {.seq = 2}},
        {.found = true, .position = {.seq = 1}}, /* the right seq with another sum */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kit.ledger = wrong[i];
        kit.count = 0;
        seen("1.1.1.2", "2026-01-01 00:00:00", "a");
        sink_kit_expect(&kit, ERR_IDENTITY);
        cr_assert(kit.result.row.found);
        cr_assert_eq(kit.result.row.position.seq, 1);
        cr_assert_eq(kit.result.row.records, 1);
        cr_assert_eq(kit.result.row.events, 1);
        cr_assert_arr_eq(kit.result.row.position.sum, good.position.sum, JOURNAL_SUM_LEN);
        sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", 1);
        sink_kit_number(&kit, "SELECT applied_seq FROM holdfast_ledger", 1);
    }
    struct ledger_row read;
    struct ledger_lane lane = {.journal_id = kit.journal_id, .stream = "mozi"};
    cr_assert_eq(kit.sink->ops->position(kit.sink, &lane, &read, &kit.err), 0);
    cr_assert(read.found && read.position.seq == 1 && read.events == 1);
    lane.lane = 1;
    cr_assert_eq(kit.sink->ops->position(kit.sink, &lane, &read, &kit.err), 0);
    cr_assert(!read.found && read.position.seq == 0);
    kit.ledger = good;
    sink_kit_expect(&kit, 0);
    sink_kit_number(&kit, "SELECT applied_seq FROM holdfast_ledger", 2);
}

Test(sink, an_expected_row_that_is_gone, .init = open_botnet, .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "DELETE FROM holdfast_ledger");
    seen("1.1.1.1", "2026-01-02 00:00:00", "a");
    sink_kit_expect(&kit, ERR_IDENTITY);
    cr_assert(!kit.result.row.found);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_communications_mozi", 1);
}

Test(sink, entries_without_records_move_the_ledger, .init = open_botnet,
     .fini = close_kit)
{
    sink_kit_expect(&kit, 0);
    sink_kit_expect(&kit, 0);
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', applied_seq, records, events) FROM "
                  "holdfast_ledger",
                  "2|0|0");
}

/* The first version's table had neither of these counts. */
Test(sink, a_ledger_of_an_earlier_version_is_taken, .init = open_botnet,
     .fini = close_kit)
{
    seen("203.0.113.9", "2026-01-07 17:00:00", "beacon");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "ALTER TABLE holdfast_ledger DROP COLUMN retried, DROP COLUMN "
                   "given_up");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    sink_kit_text(
        &kit,
        "SELECT CONCAT_WS(' ', applied_seq, records, events, retried, given_up) "
        "FROM holdfast_ledger",
        "1 1 1 0 0");
    seen("203.0.113.9", "2026-01-07 18:00:00", "beacon");
    sink_kit_expect(&kit, 0);
    sink_kit_number(&kit, "SELECT applied_seq FROM holdfast_ledger", 2);
}

Test(sink, a_trial_leaves_no_trace, .init = open_botnet, .fini = close_kit)
{
    kit.trial = true;
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    expect_counts(1, 0, 0);
    expect_nothing_applied();
    kit.trial = false;
    sink_kit_expect(&kit, 0);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_communications_mozi", 1);
}

/* Statements of one row and of many end in the same tables. */
Test(sink, statement_size_changes_nothing, .init = open_botnet, .fini = close_kit)
{
    kit.statement_rows_max = 1;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            char ip[32];
            char time[32];
            snprintf(ip, sizeof ip, "10.0.0.%d", i % 7);
            snprintf(time, sizeof time, "2026-01-01 00:00:%02d", i % 20 + round);
            seen(ip, time, "a");
        }
        sink_kit_expect(&kit, 0);
        kit.statement_rows_max = round ? 3 : 1000;
    }
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", 7);
    sink_kit_number(&kit,
                    "SELECT COUNT(*) FROM botnet_nodes_mozi n WHERE "
                    "communication_count <> (SELECT COUNT(*) FROM "
                    "botnet_communications_mozi WHERE node_id = n.id)",
                    0);
    sink_kit_number(&kit,
                    "SELECT COUNT(*) - (SELECT events FROM holdfast_ledger) FROM "
                    "botnet_communications_mozi",
                    0);
}

/* ---- Gates ----------------------------------------------------------------------- */

Test(sink, validation_finds_an_entity_without_events, .init = open_botnet,
     .fini = close_kit)
{
    world_exec(&w,
               "INSERT INTO botnet_nodes_mozi (ip) VALUES ('9.9.9.9'); CREATE TRIGGER "
               "astray BEFORE INSERT ON botnet_communications_mozi FOR EACH ROW SET "
               "NEW.node_id = 1");
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, ERR_MISS);
    cr_assert(strstr(kit.err.message, "entities with an event: expected 1, found 0"),
              "%s", kit.err.message);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", 1);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM holdfast_ledger", 0);
    kit.validate = false;
    sink_kit_expect(&kit, 0);
}

/* A collation that takes two keys for one: refused at examination, a miss behind it. */
Test(sink, folded_keys_are_a_miss, .init = open_readings, .fini = close_kit)
{
    sink_kit_add(&kit, "serial", "ab", "at", "2026-01-08 01:00:00", "probe", "1", NULL);
    sink_kit_expect(&kit, 0);
    world_exec(&w, "ALTER TABLE devices MODIFY serial VARCHAR(64) CHARACTER SET utf8mb4 "
                   "COLLATE utf8mb4_unicode_ci NOT NULL");
    sink_kit_add(&kit, "serial", "AB", "at", "2026-01-08 01:00:00", "probe", "1", NULL);
    sink_kit_expect(&kit, ERR_MISS);
    cr_assert(strstr(kit.err.message, "collation"), "%s", kit.err.message);
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM devices", 1);
}

Test(sink, a_warning_is_a_miss, .init = open_botnet, .fini = close_kit)
{
    /* blanks at the end are cut with a note, even in strict mode */
    world_exec(&w, "ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(3)");
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc   ");
    sink_kit_expect(&kit, ERR_MISS);
    expect_nothing_applied();
}

/* ---- Errors of the server -------------------------------------------------------- */

Test(sink, a_value_that_the_column_refuses, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(3)");
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    seen("1.1.1.2", "2026-01-01 00:00:00", "secret");
    sink_kit_expect(&kit, ERR_DATA);
    cr_assert_eq(kit.err.sys, 1406);
    cr_assert(strstr(kit.err.message, "event_type"), "%s", kit.err.message);
    cr_assert_null(strstr(kit.err.message, "secret"), "%s", kit.err.message);
    expect_nothing_applied();
    cr_assert(kit.sink->ops->connected(kit.sink));
    kit.count = 1;
    sink_kit_expect(&kit, 0);
}

Test(sink, tables_that_changed_stop_the_lane, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "ALTER TABLE botnet_communications_mozi DROP COLUMN city");
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    sink_kit_expect(&kit, ERR_SCHEMA);
    cr_assert_eq(kit.err.sys, 1054);
    expect_nothing_applied();
    world_exec(&w, "DROP TABLE botnet_communications_mozi");
    sink_kit_expect(&kit, ERR_SCHEMA);
    cr_assert_eq(kit.err.sys, 1146);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", 0);
}

Test(sink, examination_names_every_difference, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "ALTER TABLE botnet_communications_mozi DROP COLUMN city");
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "city"), "%s", kit.err.message);
    world_exec(&w, "DROP TABLE botnet_communications_mozi; CREATE TABLE "
                   "botnet_communications_mozi (id BIGINT AUTO_INCREMENT PRIMARY KEY) "
                   "ENGINE=MyISAM");
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "InnoDB"), "%s", kit.err.message);
    world_exec(&w, "DROP TABLE botnet_communications_mozi");
    kit.config.create_tables = false;
    kit.sink->ops->free(kit.sink);
    cr_assert_eq(sink_mariadb_new(&kit.config, &kit.sink, &kit.err), 0);
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "botnet_communications_mozi is missing"), "%s",
              kit.err.message);
}

/* Its events would be parted over two tables. One that never held any is made. */
Test(sink, a_table_that_went_away_is_not_made_anew, .init = open_botnet,
     .fini = close_kit)
{
    world_exec(&w, "DROP TABLE botnet_communications_mozi");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "RENAME TABLE botnet_communications_mozi TO away");
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "bring it back"), "%s", kit.err.message);
    sink_kit_number(&kit,
                    "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                    "DATABASE() AND table_name = 'botnet_communications_mozi'",
                    0);
    world_exec(&w, "RENAME TABLE away TO botnet_communications_mozi");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
}

static void *connect_kit(void *context)
{
    int *code = context;
    *code = sink_kit_connect(&kit);
    return NULL;
}

/* One lane finds it missing; until it has asked the ledger, another has made it and
 * applied records to it. */
Test(sink, a_table_that_comes_while_it_is_looked_for, .init = open_botnet,
     .fini = close_kit)
{
    static const char asking[] =
        "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Waiting for "
        "table metadata lock' AND info LIKE 'SELECT 1 FROM holdfast_ledger%'";
    MYSQL *other = world_connect(&w);
    pthread_t thread;
    int code = -1;
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "RENAME TABLE botnet_communications_mozi TO away");
    cr_assert_eq(mysql_select_db(other, kit.database), 0);
    cr_assert_eq(mysql_query(other, "LOCK TABLES holdfast_ledger WRITE"), 0);
    cr_assert_eq(pthread_create(&thread, NULL, connect_kit, &code), 0);
    while (world_scalar(&w, asking) == 0) {
        process_sleep_ms(1);
    }
    world_exec(&w, "RENAME TABLE away TO botnet_communications_mozi");
    cr_assert_eq(mysql_query(other, "UNLOCK TABLES"), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(code, 0, "%s", kit.err.message);
    mysql_close(other);
}

Test(sink, examination_wants_the_unique_keys, .init = open_botnet, .fini = close_kit)
{
    world_exec(&w, "CREATE TABLE c LIKE botnet_communications_mozi; DROP TABLE "
                   "botnet_communications_mozi; RENAME TABLE c TO "
                   "botnet_communications_mozi");
    /* without its foreign key, and with the key's columns the other way round */
    char *name =
        world_text(&w, "SELECT DISTINCT index_name FROM "
                       "information_schema.statistics WHERE table_schema = "
                       "DATABASE() AND table_name = 'botnet_communications_mozi' "
                       "AND non_unique = 0 AND index_name <> 'PRIMARY'");
    char sql[400];
    snprintf(sql, sizeof sql,
             "ALTER TABLE botnet_communications_mozi DROP INDEX `%s`, ADD UNIQUE KEY "
             "odd (communication_time, ip), AUTO_INCREMENT = 9000000000000000000",
             name);
    world_exec(&w, sql);
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    const char *notes = buf_text(&kit.notes);
    cr_assert(strstr(notes, "foreign key"), "%s", notes);
    cr_assert(strstr(notes, "the next id is 9000000000000000000 of at most "
                            "9223372036854775807"),
              "%s", notes);
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    sink_kit_expect(&kit, 0);
    seen("1.1.1.1", "2026-01-01 00:00:00", "abc");
    sink_kit_expect(&kit, 0);
    expect_counts(0, 1, 0);
    world_exec(&w,
               "ALTER TABLE botnet_communications_mozi DROP INDEX odd, ADD UNIQUE KEY "
               "part (ip), ADD KEY plain (ip, communication_time)");
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "unique key over (ip, communication_time)"), "%s",
              kit.err.message);
    free(name);
}

/* ---- A server of its own --------------------------------------------------------- */

Test(sink, durability_is_noted_or_required)
{
    static const char *const args[] = {"--innodb-flush-log-at-trx-commit=2", NULL};
    struct stream_spec spec = botnet_spec("mozi");
    w.server_args = args;
    world_start(&w);
    sink_kit_open(&kit, &w, &spec);
    cr_assert(strstr(buf_text(&kit.notes), "innodb_flush_log_at_trx_commit"));
    kit.sink->ops->free(kit.sink);
    kit.config.durability = DURABILITY_REQUIRE;
    cr_assert_eq(sink_mariadb_new(&kit.config, &kit.sink, &kit.err), 0);
    cr_assert_eq(sink_kit_connect(&kit), ERR_DURABILITY);
    cr_assert(strstr(kit.err.message, "innodb_flush_log_at_trx_commit"), "%s",
              kit.err.message);
    world_exec(&w, "SET GLOBAL innodb_flush_log_at_trx_commit = 1");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    sink_kit_close(&kit);
    world_stop(&w);
}

Test(sink, a_small_packet_is_obeyed)
{
    static const char *const args[] = {"--max-allowed-packet=2048", NULL};
    struct stream_spec spec = readings_spec();
    w.server_args = args;
    world_start(&w);
    sink_kit_open(&kit, &w, &spec);
    static char serials[100][16]; /* borrowed until they are applied */
    char note[201];
    memset(note, 'n', 200);
    note[200] = '\0';
    for (int i = 0; i < 100; i++) {
        snprintf(serials[i], sizeof serials[i], "s%d", i);
        sink_kit_add(&kit, "serial", serials[i], "at", "2026-01-08 01:00:00", "probe",
                     "1", "note", note, NULL);
    }
    sink_kit_expect(&kit, 0);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM readings_plant", 100);
    world_exec(&w, "SET GLOBAL max_allowed_packet = 1024");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    /* as many characters, of four bytes */
    char wide[801];
    for (size_t i = 0; i < 200; i++) {
        memcpy(wide + 4 * i, "😀", 5);
    }
    sink_kit_add(&kit, "serial", "x", "at", "2026-01-08 01:00:00", "probe", "1", "note",
                 wide, NULL);
    sink_kit_expect(&kit, ERR_RESOURCE);
    cr_assert(strstr(kit.err.message, "max_allowed_packet"), "%s", kit.err.message);
    cr_assert(kit.sink->ops->connected(kit.sink));
    sink_kit_number(&kit, "SELECT COUNT(*) FROM devices", 100);
    sink_kit_close(&kit);
    world_stop(&w);
}

/* ---- A ledger, a stream, a sink that can't be used --------------------------------- */

static int read_position(void)
{
    struct ledger_lane lane = {.journal_id = kit.journal_id, .stream = "mozi"};
    struct ledger_row row;
    kit.err = (struct err){0};
    return kit.sink->ops->position(kit.sink, &lane, &row, &kit.err);
}

Test(sink, a_ledger_whose_sums_are_none, .init = open_botnet, .fini = close_kit)
{
    static const char *const sums[] = {"'short'", "REPEAT('x', 17)", "NULL"};
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
    world_exec(&w, "ALTER TABLE holdfast_ledger MODIFY applied_sum VARBINARY(40)");
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        char sql[96];
        (void)snprintf(sql, sizeof sql, "UPDATE holdfast_ledger SET applied_sum = %s",
                       sums[i]);
        world_exec(&w, sql);
        cr_assert_eq(read_position(), ERR_SCHEMA, "%s", sums[i]);
        cr_assert(strstr(kit.err.message, "BINARY(16)"), "%s", kit.err.message);
    }
}

Test(sink, an_earlier_ledger_and_no_right_to_alter_it, .init = open_botnet,
     .fini = close_kit)
{
    char sql[512];
    (void)snprintf(sql, sizeof sql,
                   "ALTER TABLE holdfast_ledger DROP COLUMN retried, DROP COLUMN "
                   "given_up; CREATE OR REPLACE USER modest@localhost; GRANT SELECT, "
                   "INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON `%s`.* TO "
                   "modest@localhost",
                   kit.database);
    world_exec(&w, sql);
    kit.db.user = "modest";
    cr_assert_eq(sink_kit_connect(&kit), ERR_SCHEMA);
    cr_assert(strstr(kit.err.message, "of an earlier version"), "%s", kit.err.message);
    kit.db.user = "root";
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, 0);
}

Test(sink, a_stream_that_was_not_prepared, .init = open_botnet, .fini = close_kit)
{
    cr_assert_eq(kit.sink->ops->connect(kit.sink, &kit.err), 0);
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, ERR_INVALID);
    cr_assert(strstr(kit.err.message, "not prepared"), "%s", kit.err.message);
    expect_nothing_applied();
}

Test(sink, nothing_begins_once_it_was_aborted, .init = open_botnet, .fini = close_kit)
{
    kit.sink->ops->abort(kit.sink);
    seen("1.1.1.1", "2026-01-01 00:00:00", "a");
    sink_kit_expect(&kit, ERR_CLOSED);
    cr_assert_eq(read_position(), ERR_CLOSED);
    cr_assert_eq(sink_kit_connect(&kit), ERR_CLOSED);
    expect_nothing_applied();
}
