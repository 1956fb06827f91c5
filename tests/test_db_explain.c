/* `explain` by the real executable, beside a real engine on a real server. */
#include "tests/cli_kit.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Entry 1: 10.0.0.1 and another; entry 2: 10.0.0.1 twice, once as a duplicate. */
static void begin(struct cli_kit *cli)
{
    cli_kit_begin(cli, "intake: {listen: \"127.0.0.1:0\"}\n");
    cli_kit_serve(cli);
    cli_kit_ingest(cli, "2026-01-08 01:00:01,10.0.0.2,beacon\n"
                        "2026-01-08 01:00:02,10.0.0.1,beacon\n");
    cli_kit_ingest(cli, "2026-01-08 01:00:03,10.0.0.1,scan\n"
                        "2026-01-08 01:00:02,10.0.0.1,beacon\n");
}

static struct json_value *explain(struct cli_kit *cli, const char *key, int exit_code)
{
    char words[64];
    snprintf(words, sizeof words, "explain %s", key);
    return cli_kit_run(cli, words, exit_code);
}

static bool is_true(const struct json_value *found, const char *path)
{
    cr_assert_not_null(cli_kit_at(found, path), "%s", path);
    return json_as_bool(cli_kit_at(found, path), false);
}

static void expect_record(const struct json_value *found, unsigned place, int64_t seq,
                          int64_t index, const char *state)
{
    char path[64];
    snprintf(path, sizeof path, "streams.0.records.%u.seq", place);
    cli_kit_expect(found, path, seq);
    snprintf(path, sizeof path, "streams.0.records.%u.index", place);
    cli_kit_expect(found, path, index);
    snprintf(path, sizeof path, "streams.0.records.%u.state", place);
    cli_kit_expect_text(found, path, state);
}

Test(explain, a_story_without_a_fault)
{
    struct cli_kit cli;
    begin(&cli);
    struct json_value *found = explain(&cli, "10.0.0.1", 0);
    cr_assert(is_true(found, "known"));
    cr_assert(is_true(found, "agrees"));
    cli_kit_expect(found, "streams.0.records_found", 3);
    expect_record(found, 0, 1, 1, "made_its_event");
    expect_record(found, 1, 2, 0, "made_its_event");
    expect_record(found, 2, 2, 1, "met_its_event");
    cli_kit_expect_text(found, "streams.0.records.1.time", "2026-01-07T17:00:03.000Z");
    cr_assert_not_null(json_as_text(cli_kit_at(found, "streams.0.records.1."
                                                      "journaled_at")));
    cli_kit_expect(found, "streams.0.lanes.0.applied_to", 2);
    cr_assert_not_null(
        json_as_text(cli_kit_at(found, "streams.0.lanes.0.last_applied_at")));
    cli_kit_expect(found, "streams.0.entity.count.row", 2);
    cli_kit_expect(found, "streams.0.entity.count.events", 2);
    cli_kit_expect_text(found, "streams.0.entity.first.row", "2026-01-07T17:00:02.000Z");
    cli_kit_expect_text(found, "streams.0.entity.last.events",
                        "2026-01-07T17:00:03.000Z");
    cr_assert_eq(json_count(cli_kit_at(found, "streams.0.events")), 2);
    cli_kit_expect(found, "streams.0.events.0.seq", 1);
    cli_kit_expect(found, "streams.0.events.0.index", 1);
    cli_kit_expect(found, "streams.0.events.1.seq", 2);
    cli_kit_expect(found, "streams.0.dead_letters_found", 0);
    json_value_free(found);
    char *text = cli_kit_text(&cli, "explain 10.0.0.1 --stream mozi", 0);
    cr_assert_not_null(strstr(text, "state: met_its_event"), "%s", text);
    free(text);
    cli_kit_end(&cli);
}

/* Also one that came while lanes stood still, and dead letters that hold the key. */
Test(explain, what_is_pending_or_dead)
{
    struct cli_kit cli;
    begin(&cli);
    free(cli_kit_text(&cli, "pause", 0));
    cli_kit_send(&cli, "2026-01-08 01:00:04,10.0.0.1,beacon\n"
                       "2026-99-08 01:00:04,10.0.0.1,bad\n"
                       "2026-99-08 01:00:04,10.0.0.11,bad\n");
    struct json_value *found = explain(&cli, "10.0.0.1", 0);
    cli_kit_expect(found, "streams.0.records_found", 4);
    expect_record(found, 3, 3, 0, "pending");
    cr_assert_not(is_true(found, "streams.0.records.3.applied"));
    cr_assert_eq(json_count(cli_kit_at(found, "streams.0.events")), 2);
    cli_kit_expect(found, "streams.0.dead_letters_found", 1);
    cli_kit_expect(found, "streams.0.dead_letters.0.seq", 3);
    cli_kit_expect(found, "streams.0.dead_letters.0.index", 1);
    cli_kit_expect_text(found, "streams.0.dead_letters.0.state", "kept");
    cli_kit_expect_text(found, "streams.0.dead_letters.0.reason", "time");
    json_value_free(found);
    found = explain(&cli, "10.0.0.11", 0); /* nothing but a dead letter */
    cr_assert(is_true(found, "known"));
    cli_kit_expect(found, "streams.0.records_found", 0);
    cli_kit_expect(found, "streams.0.dead_letters.0.index", 2);
    json_value_free(found);
    cli_kit_end(&cli);
}

Test(explain, what_is_off)
{
    struct cli_kit cli;
    begin(&cli);
    world_exec(&cli.w, "UPDATE botnet_nodes_mozi SET communication_count = 9 WHERE "
                       "ip = '10.0.0.1'");
    struct json_value *found = explain(&cli, "10.0.0.1", 1);
    cr_assert_not(is_true(found, "agrees"));
    cr_assert_not(is_true(found, "streams.0.entity.count.agrees"));
    cr_assert(is_true(found, "streams.0.entity.last.agrees"));
    json_value_free(found);

    world_exec(&cli.w, "UPDATE botnet_nodes_mozi SET communication_count = 1 WHERE "
                       "ip = '10.0.0.1'; DELETE FROM botnet_communications_mozi WHERE "
                       "ip = '10.0.0.1' AND event_type = 'scan'");
    found = explain(&cli, "10.0.0.1", 1);
    expect_record(found, 0, 1, 1, "made_its_event");
    expect_record(found, 1, 2, 0, "event_missing");
    cr_assert(is_true(found, "streams.0.entity.count.agrees"));
    cr_assert_not(is_true(found, "streams.0.entity.last.agrees"));
    json_value_free(found);

    world_exec(&cli.w, "UPDATE botnet_communications_mozi SET city = 'x' WHERE "
                       "ip = '10.0.0.2'");
    found = explain(&cli, "10.0.0.2", 1);
    expect_record(found, 0, 1, 0, "altered");
    cli_kit_expect_text(found, "streams.0.records.0.differs_in.0", "city");
    json_value_free(found);

    world_exec(&cli.w, "SET foreign_key_checks = 0;"
                       "DELETE FROM botnet_nodes_mozi WHERE ip = '10.0.0.2';"
                       "SET foreign_key_checks = 1");
    found = explain(&cli, "10.0.0.2", 1);
    expect_record(found, 0, 1, 0, "entity_missing");
    cr_assert_eq(json_count(cli_kit_at(found, "streams.0.events")), 1);
    json_value_free(found);
    cli_kit_end(&cli);
}

Test(explain, who_is_not_known)
{
    struct cli_kit cli;
    begin(&cli);
    struct json_value *found = explain(&cli, "10.0.0.99", 1);
    cr_assert_not(is_true(found, "known"));
    cli_kit_expect(found, "streams.0.journal.retained_from", 1);
    json_value_free(found);
    free(cli_kit_text(&cli, "explain 10.0.0.999", 64));
    free(cli_kit_text(&cli, "explain 10.0.0.1 --stream none", 64));
    cli_kit_end(&cli);
}

/* An entity whose records have left the journal is told from the database alone. */
Test(explain, what_the_journal_never_had)
{
    struct cli_kit cli;
    begin(&cli);
    world_exec(&cli.w, "INSERT INTO botnet_nodes_mozi (id, ip, first_seen, last_seen, "
                       "communication_count) VALUES (77, '10.0.0.7', '2026-01-01 "
                       "00:00:00', '2026-01-01 00:00:00', 1);"
                       "INSERT INTO botnet_communications_mozi (node_id, ip, "
                       "communication_time, event_type) VALUES (77, '10.0.0.7', "
                       "'2026-01-01 00:00:00', 'data_recovery')");
    struct json_value *found = explain(&cli, "10.0.0.7", 0);
    cli_kit_expect(found, "streams.0.records_found", 0);
    cli_kit_expect(found, "streams.0.entity.id", 77);
    cli_kit_expect_text(found, "streams.0.events.0.time", "2026-01-01T00:00:00.000Z");
    cr_assert_null(cli_kit_at(found, "streams.0.events.0.seq"));
    cli_kit_expect_text(found, "streams.0.events.0.event_type", "data_recovery");
    cr_assert(is_true(cli_kit_at(found, "streams.0.events.0"), "stands_in"));
    json_value_free(found);
    cli_kit_end(&cli);
}

Test(explain, no_more_is_listed_than_asked_for)
{
    struct cli_kit cli;
    begin(&cli);
    struct json_value *found = cli_kit_run(&cli, "explain 10.0.0.1 --limit 1", 0);
    cli_kit_expect(found, "streams.0.records_found", 3);
    cr_assert_eq(json_count(cli_kit_at(found, "streams.0.records")), 1);
    cr_assert_eq(json_count(cli_kit_at(found, "streams.0.events")), 1);
    cli_kit_expect(found, "streams.0.entity.events", 2);
    json_value_free(found);
    cli_kit_end(&cli);
}
