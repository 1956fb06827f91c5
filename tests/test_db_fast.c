/* The fast path against the checked one: the same records, the same rows. */
#include "replay/db.h"
#include "tests/sample.h"
#include "tests/sink_kit.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_BYTES = 1 << 20, TINY_CACHE_BYTES = 1200 };

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    static const char *const args[] = {"--local-infile=ON", NULL};
    suite.server_args = args;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

static struct world w;
static struct sink_kit fast;
static struct sink_kit checked;
static uint64_t chance;

static void open_both(const struct stream_spec *spec)
{
    world_attach(&w);
    fast.config.fast_records_min = 1;
    fast.config.cache_bytes =
        fast.config.cache_bytes ? fast.config.cache_bytes : CACHE_BYTES;
    fast.config.zone_offset_s = checked.config.zone_offset_s = 8 * 3600;
    sink_kit_open(&fast, &w, spec);
    sink_kit_open(&checked, &w, spec);
    const char *notes = buf_text(&fast.notes);
    cr_assert_null(strstr(notes ? notes : "", "fast path"), "%s", notes);
    chance = 1;
}

static void open_botnet(void)
{
    struct stream_spec spec = botnet_spec("mozi");
    open_both(&spec);
}

static void open_botnet_tiny(void)
{
    fast.config.cache_bytes = TINY_CACHE_BYTES;
    open_botnet();
}

static void open_readings(void)
{
    struct stream_spec spec = readings_spec();
    open_both(&spec);
}

static void close_both(void)
{
    sink_kit_close(&fast);
    sink_kit_close(&checked);
    world_detach(&w);
}

/* ---- What both hold -------------------------------------------------------------- */

/* On both databases: what somebody else does. */
static void both(const char *sql)
{
    char text[4096];
    const struct sink_kit *kits[] = {&fast, &checked};
    for (size_t i = 0; i < 2; i++) {
        int len = snprintf(text, sizeof text, "USE `%s`; %s", kits[i]->database, sql);
        cr_assert(len > 0 && (size_t)len < sizeof text);
        world_exec(&w, text);
    }
}

/* The table's columns to the byte, without those that the database fills in. */
static char *columns_of(const char *table)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "SELECT GROUP_CONCAT(CONCAT('IFNULL(HEX(CONCAT(`', column_name, '`', "
             "IF(data_type IN ('float', 'double'), '+0e0', ''), ')), ''-'')') SEPARATOR "
             "', ') FROM information_schema.columns WHERE table_schema = '%s' AND "
             "table_name = '%s' AND column_name NOT IN ('id', 'created_time', "
             "'node_id', 'device_id') AND NOT (table_name = 'holdfast_ledger' AND "
             "column_name = 'updated_at')",
             fast.database, table);
    world_exec(&w, "SET SESSION group_concat_max_len = 1000000");
    return world_text(&w, sql);
}

static int64_t count_extra(const char *table, const char *columns, const char *here,
                           const char *there)
{
    char *sql = malloc(strlen(columns) * 2 + 1000);
    sprintf(sql,
            "SELECT COUNT(*) FROM (SELECT %s FROM `%s`.`%s` EXCEPT SELECT %s FROM "
            "`%s`.`%s`) AS x",
            columns, here, table, columns, there, table);
    int64_t count = world_scalar(&w, sql);
    free(sql);
    return count;
}

static void expect_same_table(const char *table, const char *more)
{
    char *columns = columns_of(table);
    char *all = malloc(strlen(columns) + strlen(more) + 1);
    sprintf(all, "%s%s", columns, more);
    int64_t extra = count_extra(table, all, fast.database, checked.database);
    int64_t missing = count_extra(table, all, checked.database, fast.database);
    cr_assert(extra == 0 && missing == 0, "%s: %lld rows differ here, %lld there", table,
              (long long)extra, (long long)missing);
    free(all);
    free(columns);
}

static void expect_same_count(const char *table)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT (SELECT COUNT(*) FROM `%s`.`%s`) - (SELECT COUNT(*) FROM `%s`.`%s`)",
             fast.database, table, checked.database, table);
    cr_assert_eq(world_scalar(&w, sql), 0, "%s", table);
}

static void expect_same(void)
{
    const struct stream *stream = fast.stream;
    char orphans[600];
    expect_same_count(stream->entity.name);
    expect_same_count(stream->event.name);
    expect_same_table(stream->entity.name, "");
    expect_same_table(stream->event.name, "");
    expect_same_table("holdfast_ledger", "");
    const char *key = stream->entity.columns[stream->entity_key_column].name;
    snprintf(orphans, sizeof orphans,
             "SELECT COUNT(*) FROM `%s`.`%s` e LEFT JOIN `%s`.`%s` n ON n.id = e.%s AND "
             "n.%s = e.%s WHERE n.id IS NULL",
             fast.database, stream->event.name, fast.database, stream->entity.name,
             stream->entity_ref, key, key);
    cr_assert_eq(world_scalar(&w, orphans), 0);
}

/* Applies what was added to `fast` by both, and expects the same of both. */
static void apply_both(void)
{
    memcpy(checked.values, fast.values, sizeof fast.values);
    checked.count = fast.count;
    for (size_t i = 0; i < fast.count; i++) {
        checked.records[i] = fast.records[i];
        checked.records[i].values = checked.values[i];
    }
    size_t count = fast.count;
    sink_kit_expect(&checked, 0);
    sink_kit_expect(&fast, 0);
    cr_assert_arr_eq(fast.fates, checked.fates, count);
    cr_assert_arr_eq(fast.result.totals, checked.result.totals,
                     sizeof fast.result.totals);
    cr_assert_eq(fast.result.entities_new, checked.result.entities_new);
}

static int64_t status(const char *name)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "SELECT variable_value FROM information_schema.global_status WHERE "
             "variable_name = '%s'",
             name);
    return world_scalar(&w, sql);
}

/* ---- Workloads ------------------------------------------------------------------- */

static const char *const cities[] = {"深圳市", "Paris", "paris", "a\tb\\c\nd'e\"\r",
                                     "\\N",    "NULL",  "ends ", ""};
static const char *const types[] = {"beacon", "scan", "Scan"};
static const char *const statuses[] = {"active", "inactive", "cleaned"};
static const char *const numbers[] = {"114.05", "-0.1", "0", "-0", "1e-7"};
static const char *const serials[] = {"a", "A", "b\\", "c\td", "é", "x'y"};
static const char *const levels[] = {"-5", "0", "9223372036854775807", "12"};
static const char *const reals[] = {"0.1", "-7.25", "1e300", "0", "-0"};

#define PICK(items) (items)[sample_below(&chance, sizeof(items) / sizeof((items)[0]))]

static struct value *next_record(void)
{
    struct value *values = fast.values[fast.count];
    memset(values, 0, sizeof fast.values[0]);
    fast.records[fast.count] =
        (struct apply_record){.values = values,
                              .seq = fast.ledger.position.seq + 1,
                              .index = (uint32_t)fast.count,
                              .received_at_us = INT64_C(1767900000123456)};
    fast.count++;
    return values;
}

static void maybe(struct value *values, const char *field, const char *text, double share)
{
    if (sample_chance(&chance, share)) {
        set_field(fast.stream, values, field, text);
    }
}

/* Mostly rising, sometimes late, often at a time that was there. */
static uint32_t some_second(uint32_t clock_s)
{
    uint32_t back = sample_chance(&chance, 0.2) ? 400 : 6;
    return clock_s + 600 - sample_below(&chance, back);
}

static void add_sighting(uint32_t clock_s, uint32_t ips)
{
    char ip[32];
    char time[40];
    struct value *values = next_record();
    uint32_t second = some_second(clock_s);
    snprintf(ip, sizeof ip, "10.0.0.%u", sample_below(&chance, ips));
    snprintf(time, sizeof time, "2026-01-07 %02u:%02u:%02u", second / 3600,
             second / 60 % 60, second % 60);
    set_field(fast.stream, values, "ip", ip);
    set_field(fast.stream, values, "timestamp", time);
    maybe(values, "event_type", PICK(types), 0.9);
    maybe(values, "city", PICK(cities), 0.7);
    maybe(values, "isp", PICK(types), 0.3);
    maybe(values, "status", PICK(statuses), 0.1);
    maybe(values, "longitude", PICK(numbers), 0.5);
    maybe(values, "is_china", sample_chance(&chance, 0.5) ? "true" : "false", 0.5);
}

static void add_reading(uint32_t clock_s, uint32_t devices)
{
    char time[48];
    struct value *values = next_record();
    uint32_t second = some_second(clock_s);
    (void)devices;
    snprintf(time, sizeof time, "2026-01-07 %02u:%02u:%02u.%03u", second / 3600,
             second / 60 % 60, second % 60, sample_below(&chance, 2) * 123);
    set_field(fast.stream, values, "serial", PICK(serials));
    set_field(fast.stream, values, "at", time);
    set_field(fast.stream, values, "probe", sample_chance(&chance, 0.5) ? "1" : "-2");
    maybe(values, "value", PICK(reals), 0.7);
    maybe(values, "quality", "65535", 0.5);
    maybe(values, "model", PICK(types), 0.5);
    maybe(values, "firmware", PICK(types), 0.2);
    maybe(values, "level", PICK(levels), 0.5);
    maybe(values, "state", sample_chance(&chance, 0.5) ? "ok" : "failing", 0.2);
    maybe(values, "site", PICK(types), 0.1);
    maybe(values, "enabled", "true", 0.2);
    maybe(values, "note", PICK(cities), 0.3);
}

typedef void adding(uint32_t clock_s, uint32_t entities);

static void run_round(adding *add, uint32_t round, uint32_t entities)
{
    uint32_t count = 1 + sample_below(&chance, sample_chance(&chance, 0.3) ? 200 : 12);
    for (uint32_t i = 0; i < count; i++) {
        add(round * 30, entities);
    }
    apply_both();
}

static void run_workload(uint64_t seed, adding *add, uint32_t rounds, uint32_t entities)
{
    chance = seed;
    int64_t loads = status("COM_LOAD");
    int64_t rollbacks = status("COM_ROLLBACK");
    for (uint32_t round = 0; round < rounds; round++) {
        run_round(add, round, entities);
    }
    expect_same();
    cr_assert_eq(status("COM_ROLLBACK"), rollbacks, "it fell back without need");
    /* the fast path did it: two or three loads a transaction */
    cr_assert_geq(status("COM_LOAD") - loads, rounds);
}

Test(fast, sightings, .init = open_botnet, .fini = close_both)
{
    run_workload(11, add_sighting, 60, 30);
    run_workload(12, add_sighting, 60, 250);
}

Test(fast, sightings_with_a_cache_too_small, .init = open_botnet_tiny, .fini = close_both)
{
    run_workload(21, add_sighting, 60, 250);
}

Test(fast, readings_of_devices, .init = open_readings, .fini = close_both)
{
    run_workload(31, add_reading, 60, 0);
    run_workload(32, add_reading, 60, 0);
}

/* As the field left them: nodes without events, NULL times, last_seen below a stored
 * event, counts too low, events of nobody's merge. */
Test(fast, tables_filled_with_the_defect, .init = open_botnet, .fini = close_both)
{
    both("INSERT INTO botnet_nodes_mozi (id, ip, city, status, first_seen, last_seen, "
         "communication_count) VALUES "
         "(7, '10.0.0.1', 'old', 'cleaned', NULL, NULL, NULL), "
         "(8, '10.0.0.2', 'old', 'inactive', '2026-01-07 00:05:00', "
         "'2026-01-07 00:05:00', 1), "
         "(9, '10.0.0.3', NULL, 'active', '2026-01-07 00:20:00', "
         "'2026-01-07 00:59:00', 0)");
    both("INSERT INTO botnet_communications_mozi (node_id, ip, communication_time, "
         "event_type) VALUES (8, '10.0.0.2', '2026-01-07 00:10:00', 'scan'), "
         "(8, '10.0.0.2', '2026-01-07 00:12:00', 'scan'), "
         "(7, '10.0.0.1', '2026-01-07 00:11:00', 'beacon')");
    for (uint64_t seed = 41; seed < 44; seed++) {
        run_workload(seed, add_sighting, 20, 6);
    }
}

/* ---- Others write, too ----------------------------------------------------------- */

static const char *const meddling[] = {
    /* another writer with newer events, which are in neither cache */
    "INSERT IGNORE INTO botnet_communications_mozi (node_id, ip, communication_time, "
    "event_type) SELECT id, ip, last_seen + INTERVAL 7 SECOND, 'scan' FROM "
    "botnet_nodes_mozi",
    "INSERT IGNORE INTO botnet_nodes_mozi (ip) VALUES ('10.0.0.1'), ('10.0.0.29')",
    /* an operator */
    "UPDATE botnet_nodes_mozi SET city = 'moved', isp = NULL, status = 'cleaned'",
    "UPDATE botnet_nodes_mozi SET last_seen = NULL WHERE ip LIKE '%1'",
    "UPDATE botnet_nodes_mozi SET last_seen = last_seen - INTERVAL 100 SECOND, "
    "first_seen = NULL",
    "UPDATE botnet_nodes_mozi SET last_seen = last_seen + INTERVAL 50 SECOND, "
    "communication_count = NULL WHERE ip LIKE '%5'",
    "DELETE FROM botnet_communications_mozi WHERE ip LIKE '%3'",
    "DELETE FROM botnet_communications_mozi; DELETE FROM botnet_nodes_mozi",
    /* an id that is now another's */
    "SET foreign_key_checks = 0; UPDATE botnet_nodes_mozi SET ip = CONCAT('x', ip) WHERE "
    "ip IN ('10.0.0.1', '10.0.0.2'); UPDATE botnet_nodes_mozi SET ip = IF(ip = "
    "'x10.0.0.1', '10.0.0.2', '10.0.0.1') WHERE ip LIKE 'x%'; UPDATE "
    "botnet_communications_mozi c JOIN botnet_nodes_mozi n ON n.ip = c.ip SET c.node_id "
    "= n.id; SET foreign_key_checks = 1",
    "SET foreign_key_checks = 0; UPDATE botnet_communications_mozi SET node_id = node_id "
    "+ 1000; UPDATE botnet_nodes_mozi SET id = id + 1000 ORDER BY id DESC; SET "
    "foreign_key_checks = 1",
    "ALTER TABLE botnet_nodes_mozi DROP COLUMN cleaned_time, ADD COLUMN cleaned_time "
    "TIMESTAMP NULL, ADD COLUMN remark VARCHAR(20) DEFAULT 'none'",
    "ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(80), ADD COLUMN "
    "note INT NULL",
    "ALTER TABLE botnet_nodes_mozi MODIFY city VARCHAR(200) COLLATE utf8mb4_bin",
};

Test(fast, others_write_between, .init = open_botnet, .fini = close_both)
{
    enum { MEDDLING = sizeof meddling / sizeof meddling[0] };
    chance = 51;
    for (uint32_t round = 0; round < 4 * MEDDLING; round++) {
        run_round(add_sighting, round, 30);
        if (round % 2) {
            size_t which = round / 2 % MEDDLING;
            bool alters = strncmp(meddling[which], "ALTER", 5) == 0;
            if (!alters || round < 2 * MEDDLING) {
                both(meddling[which]);
            }
        }
        if (round % 10 == 9) {
            expect_same();
        }
    }
    expect_same();
}

static void add_at(const char *ip, const char *time)
{
    struct value *values = next_record();
    set_field(fast.stream, values, "ip", ip);
    set_field(fast.stream, values, "timestamp", time);
}

/* Ids that are remembered, and are another's by now: the rows are there, and wrong. */
Test(fast, a_remembered_id_is_another_s, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    add_at("10.0.0.2", "2026-01-07 00:00:01");
    apply_both();
    both("UPDATE botnet_nodes_mozi SET ip = 'x' WHERE ip = '10.0.0.1'; UPDATE "
         "botnet_nodes_mozi SET ip = '10.0.0.1' WHERE ip = '10.0.0.2'; UPDATE "
         "botnet_nodes_mozi SET ip = '10.0.0.2' WHERE ip = 'x'; UPDATE "
         "botnet_communications_mozi c JOIN botnet_nodes_mozi n ON n.ip = c.ip SET "
         "c.node_id = n.id");
    int64_t rollbacks = status("COM_ROLLBACK");
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    apply_both();
    cr_assert_eq(status("COM_ROLLBACK"), rollbacks + 1);
    add_at("10.0.0.1", "2026-01-07 00:00:03");
    add_at("10.0.0.2", "2026-01-07 00:00:03");
    apply_both();
    expect_same();
}

/* The altered table is found out before anything is done, and served fast afterwards. */
Test(fast, an_altered_table_is_examined_again, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    apply_both();
    both("CREATE TABLE kinds (name VARCHAR(50) COLLATE utf8mb4_unicode_ci PRIMARY KEY) "
         "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4; INSERT INTO kinds VALUES ('beacon'); "
         "ALTER TABLE botnet_communications_mozi ADD CONSTRAINT kind FOREIGN KEY "
         "(event_type) REFERENCES kinds (name)");
    int64_t loads = status("COM_LOAD");
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    apply_both();
    cr_assert_eq(status("COM_LOAD"), loads);
    add_at("10.0.0.1", "2026-01-07 00:00:03");
    apply_both();
    cr_assert_gt(status("COM_LOAD"), loads);
    /* the other foreign key is not switched off */
    add_at("10.0.0.1", "2026-01-07 00:00:04");
    set_field(fast.stream, fast.values[0], "event_type", "unheard of");
    sink_kit_expect(&fast, ERR_SCHEMA);
    cr_assert_eq(fast.err.sys, 1452, "%s", fast.err.message);
    fast.count = 0;
    add_at("10.0.0.1", "2026-01-07 00:00:04");
    apply_both();
    expect_same();
}

Test(fast, a_dropped_key_stops_it, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    apply_both();
    char *name = world_text(
        &w, "SELECT DISTINCT index_name FROM information_schema.statistics WHERE "
            "table_schema = DATABASE() AND table_name = 'botnet_communications_mozi' AND "
            "non_unique = 0 AND index_name <> 'PRIMARY'");
    char sql[300];
    snprintf(sql, sizeof sql, "ALTER TABLE botnet_communications_mozi DROP INDEX `%s`",
             name);
    both(sql);
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    sink_kit_expect(&fast, ERR_SCHEMA);
    sink_kit_expect(&fast, ERR_SCHEMA);
    fast.count = 0;
    free(name);
}

Test(fast, a_trigger_stops_it_from_being_fast, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    apply_both();
    both("CREATE TRIGGER late BEFORE INSERT ON botnet_communications_mozi FOR EACH ROW "
         "SET NEW.event_type = 'triggered'");
    int64_t loads = status("COM_LOAD");
    for (int i = 2; i < 5; i++) {
        char time[40];
        snprintf(time, sizeof time, "2026-01-07 00:00:%02d", i);
        add_at("10.0.0.1", time);
        apply_both();
    }
    cr_assert_eq(status("COM_LOAD"), loads);
    expect_same();
}

/* ---- Errors ---------------------------------------------------------------------- */

Test(fast, errors_are_those_of_the_checked_path, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    set_field(fast.stream, fast.values[0], "event_type", "abc");
    apply_both();
    both("ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(3)");
    for (int i = 0; i < 3; i++) {
        add_at("10.0.0.1", "2026-01-07 00:00:02");
        set_field(fast.stream, fast.values[fast.count - 1], "event_type", "too long");
        sink_kit_expect(&fast, ERR_DATA);
        cr_assert_eq(fast.err.sys, 1406, "%s", fast.err.message);
        fast.count = 0;
    }
    both("ALTER TABLE botnet_communications_mozi MODIFY event_type VARCHAR(50); ALTER "
         "TABLE botnet_communications_mozi ADD CONSTRAINT rule CHECK (event_type <> "
         "'bad')");
    for (int i = 0; i < 3; i++) {
        add_at("10.0.0.1", "2026-01-07 00:00:02");
        set_field(fast.stream, fast.values[fast.count - 1], "event_type", "bad");
        sink_kit_expect(&fast, ERR_SCHEMA);
        cr_assert_eq(fast.err.sys, 4025, "%s", fast.err.message);
        fast.count = 0;
    }
    both("DROP TABLE botnet_communications_mozi");
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    sink_kit_expect(&fast, ERR_SCHEMA);
    cr_assert_eq(fast.err.sys, 1146, "%s", fast.err.message);
}

Test(fast, a_locked_entity_is_waited_for, .init = open_botnet, .fini = close_both)
{
    fast.db.lock_wait_timeout_s = 1;
    cr_assert_eq(sink_kit_connect(&fast), 0, "%s", fast.err.message);
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    apply_both();
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    char sql[200];
    snprintf(sql, sizeof sql, "BEGIN; SELECT * FROM `%s`.botnet_nodes_mozi FOR UPDATE",
             fast.database);
    world_exec(&w, sql);
    sink_kit_expect(&fast, ERR_TRANSIENT);
    cr_assert_eq(fast.err.sys, 1205, "%s", fast.err.message);
    world_exec(&w, "ROLLBACK");
    apply_both();
    expect_same();
}

/* What a trial finds out must not be remembered: it was rolled back. */
Test(fast, a_trial_leaves_nothing, .init = open_botnet, .fini = close_both)
{
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    fast.trial = true;
    sink_kit_expect(&fast, 0);
    fast.trial = false;
    apply_both();
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    fast.trial = true;
    sink_kit_expect(&fast, 0);
    fast.trial = false;
    apply_both();
    expect_same();
}

/* ---- Where it can't be ----------------------------------------------------------- */

static void expect_checked_only(const char *why)
{
    cr_assert_eq(sink_kit_connect(&fast), 0, "%s", fast.err.message);
    const char *notes = buf_text(&fast.notes);
    cr_assert(notes && strstr(notes, "goes without the fast path") && strstr(notes, why),
              "%s", notes);
    cr_assert_eq(sink_kit_connect(&checked), 0, "%s", checked.err.message);
    int64_t loads = status("COM_LOAD");
    add_at("10.0.0.1", "2026-01-07 00:00:01");
    apply_both();
    int64_t after = status("COM_LOAD");
    cr_assert_eq(after, loads, "%lld loads", (long long)(after - loads));
    expect_same();
}

Test(fast, not_without_local_infile)
{
    w.server_args = (const char *const[]){"--local-infile=OFF", NULL};
    world_start(&w);
    world_share(&w);
    struct stream_spec spec = botnet_spec("mozi");
    fast.config.fast_records_min = 1;
    fast.config.cache_bytes = CACHE_BYTES;
    sink_kit_open(&fast, &w, &spec);
    sink_kit_open(&checked, &w, &spec);
    expect_checked_only("local_infile is off");
    sink_kit_close(&fast);
    sink_kit_close(&checked);
    world_stop(&w);
}

Test(fast, not_without_the_right_to_temporary_tables, .init = open_botnet,
     .fini = close_both)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "CREATE USER IF NOT EXISTS least@localhost; "
             "REVOKE ALL PRIVILEGES, GRANT OPTION FROM least@localhost; "
             "GRANT SELECT, INSERT, UPDATE ON `%s`.* TO least@localhost",
             fast.database);
    world_exec(&w, sql);
    fast.db.user = "least";
    expect_checked_only("1044");
    snprintf(sql, sizeof sql,
             "GRANT CREATE TEMPORARY TABLES ON `%s`.* TO least@localhost", fast.database);
    world_exec(&w, sql);
    cr_assert_eq(sink_kit_connect(&fast), 0, "%s", fast.err.message);
    cr_assert_null(strstr(buf_text(&fast.notes), "fast path"));
    int64_t loads = status("COM_LOAD");
    add_at("10.0.0.1", "2026-01-07 00:00:02");
    apply_both();
    cr_assert_gt(status("COM_LOAD"), loads);
    expect_same();
}

Test(fast, not_where_the_newest_event_is_hard_to_find, .init = open_botnet,
     .fini = close_both)
{
    both("ALTER TABLE botnet_communications_mozi ADD UNIQUE KEY a_odd "
         "(communication_time, ip), DROP INDEX uk_ip_communication_time");
    expect_checked_only("does not begin with");
}

/* ---- Data in pieces ---------------------------------------------------------------- */

struct pieces {
    size_t given;
    size_t fails_after;
};

/* Each but the first and last of many more bytes than the client sends at once. */
static int give_piece(void *context, struct slice *out_piece, struct err *err)
{
    enum { PIECES = 9, ROWS = 4000, ROW_LEN = 6 };
    static char text[ROWS * ROW_LEN + 1];
    struct pieces *pieces = context;
    if (pieces->given == pieces->fails_after) {
        return err_set(err, ERR_NOMEM, 0, "no memory for piece %zu", pieces->given);
    }
    size_t rows = pieces->given % (PIECES - 1) ? ROWS : 1;
    for (size_t i = 0; i < rows; i++) {
        (void)snprintf(text + i * ROW_LEN, ROW_LEN + 1, "%05zu\n",
                       pieces->given * ROWS + i);
    }
    *out_piece = slice_of(text, pieces->given == PIECES ? 0 : rows * ROW_LEN);
    pieces->given++;
    return 0;
}

static int load_pieces(struct db *db, size_t fails_after, struct db_outcome *out,
                       struct err *err)
{
    struct pieces pieces = {.fails_after = fails_after};
    struct db_source source = {give_piece, &pieces};
    return db_load_from(
        db, SLICE_LITERAL("LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded (number)"),
        &source, out, err);
}

Test(fast, data_in_pieces_is_all_there_or_rolled_back, .init = open_botnet,
     .fini = close_both)
{
    struct db *db = NULL;
    struct db_outcome outcome = {0};
    struct err err = {0};
    fast.db.name = fast.database;
    cr_assert_eq(db_connect(&fast.db, fast.hosts, &db, &err), 0, "%s", err.message);
    cr_assert_eq(db_exec(db,
                         SLICE_LITERAL("CREATE TABLE loaded (number INT) ENGINE=InnoDB"),
                         NULL, &err),
                 0, "%s", err.message);
    cr_assert_eq(db_begin(db, &err), 0);
    cr_assert_eq(load_pieces(db, 5, &outcome, &err), ERR_NOMEM);
    cr_assert_str_eq(err.message, "no memory for piece 5");
    cr_assert(db_alive(db));
    db_rollback(db);
    cr_assert(db_alive(db));
    cr_assert_eq(load_pieces(db, SIZE_MAX, &outcome, &err), 0, "%s", err.message);
    cr_assert_eq(outcome.matched, 1 + 7 * 4000 + 1);
    cr_assert_eq(outcome.warnings, 0);
    db_close(db);
    char sql[200];
    (void)snprintf(sql, sizeof sql, "SELECT COUNT(DISTINCT number) FROM `%s`.loaded",
                   fast.database);
    sink_kit_number(&fast, sql, 1 + 7 * 4000 + 1);
}
