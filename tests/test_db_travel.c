/* `replay`: what the journal retains, applied on purpose: into other databases, and into
 * the configured one after it went back. */
#include "tests/journal_kit.h"
#include "tests/process.h"
#include "tests/travel_kit.h"

#include "base/clock.h"
#include "schema/value.h"

#include <criterion/criterion.h>
#include <criterion/logging.h>

#include <mysql.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void say(struct drive *d, const char *words)
{
    free(travel_command(d, words, 0));
}

static int64_t number(const struct json_value *document, const char *key)
{
    return json_as_integer(json_get(document, key), -1);
}

static int64_t travel(struct drive *d, const char *words, const char *key)
{
    struct json_value *said = travel_json(d, words, 0);
    int64_t value = number(said, key);
    json_value_free(said);
    return value;
}

/* The database must hold what was sent in batches up to the entry, and nothing else. */
static void compare_prefix(struct drive *d, const char *database, uint64_t to_seq)
{
    struct err err = {0};
    struct oracle_context context = {.replay_dead = d->context.replay_dead};
    struct oracle_report report;
    struct feeder_line *lines = calloc(d->sample.batch_count, sizeof *lines);
    struct st_mysql *session = world_connect(&d->w);
    cr_assert(lines && session);
    cr_assert_eq(mysql_select_db(session, database), 0, "%s", mysql_error(session));
    for (uint32_t i = 0; i < d->sample.batch_count; i++) {
        if (d->lines[i].state == FEEDER_ACKED && d->lines[i].seq <= to_seq) {
            lines[i] = d->lines[i];
            context.accepted += lines[i].accepted;
        }
    }
    struct oracle_log log = {.sample = &d->sample, .lines = lines};
    cr_assert_eq(oracle_compare(session, &log, 1, &context, &report, &err), 0, "%s",
                 err.message);
    struct buf text = {0};
    oracle_describe(&report, &text);
    cr_assert(oracle_clean(&report), "up to entry %llu: %s", (unsigned long long)to_seq,
              buf_text(&text));
    cr_assert_gt(report.events, 0);
    buf_free(&text);
    mysql_close(session);
    free(lines);
}

/* Engine and a sample, fed; *out_middle is a time at which half of it was there. */
static void prepare(struct drive *d, uint64_t seed, uint32_t records, int64_t *out_middle)
{
    drive_begin(d, seed, NULL);
    d->options.streams = "[{name: mozi, preset: botnet, lanes: 2}, {name: test, preset: "
                         "botnet}]";
    drive_configure(d);
    drive_sample(d, records, 200);
    drive_engine(d);
    drive_feed(d, 3, 5000);
    drive_wait_batches(d, d->sample.batch_count / 2);
    *out_middle = clock_wall_us(&clock_system);
    drive_acknowledged(d);
    drive_applied(d);
}

static void expect_cut(struct drive *d, int64_t seq, int64_t time_us)
{
    char words[64];
    char text[VALUE_TIME_TEXT];
    (void)snprintf(words, sizeof words, "journal ls --from %lld --limit 2",
                   (long long)seq);
    value_format_time(time_us, 0, 3, text);
    struct json_value *said = travel_json(d, words, 0);
    const struct json_value *entries = json_get(said, "entries");
    cr_assert_eq(json_count(entries), 2, "the cut is not in the middle");
    const char *at[2];
    for (size_t i = 0; i < 2; i++)
        at[i] = json_as_text(json_get(json_item(entries, i), "received_at"));
    text[10] = 'T';
    cr_assert_leq(strncmp(at[0], text, 23), 0, "%s is after %s", at[0], text);
    cr_assert_geq(strncmp(at[1], text, 23), 0, "%s is before %s", at[1], text);
    json_value_free(said);
}

static size_t missing_tables(const struct json_value *notes)
{
    size_t count = 0;
    for (size_t i = 0; i < json_count(notes); i++)
        count += strstr(json_as_text(json_item(notes, i)), "is not there") != NULL;
    return count;
}

Test(travel, the_state_at_a_time_and_then_further)
{
    struct drive d;
    int64_t middle;
    char time[VALUE_TIME_TEXT];
    char words[160];
    prepare(&d, 71, 12000, &middle);
    value_format_time(middle, 0, 6, time);
    time[10] = 'T';
    travel_database(&d, "past");
    (void)snprintf(words, sizeof words, "replay --to %sZ --into past", time);
    struct json_value *plan = travel_json(&d, words, 0);
    int64_t to = number(plan, "to_seq");
    expect_cut(&d, to, middle);
    cr_assert_eq(missing_tables(json_get(plan, "notes")), 5);
    json_value_free(plan);
    cr_assert_eq(world_scalar(&d.w,
                              "SELECT COUNT(*) FROM information_schema.tables WHERE "
                              "table_schema = 'past'"),
                 0, "the plan changed something");

    (void)snprintf(words, sizeof words, "replay --to %sZ --into past --execute", time);
    say(&d, words);
    compare_prefix(&d, "past", (uint64_t)to);
    cr_assert_eq(travel(&d, words, "entries"), 0, "done twice");
    compare_prefix(&d, "past", (uint64_t)to);

    (void)snprintf(words, sizeof words, "replay --to %lld --into past",
                   (long long)to / 2);
    char *refusal = travel_command(&d, words, 1);
    cr_assert_not_null(strstr(refusal, "nothing is taken away"), "%s", refusal);
    free(refusal);

    say(&d, "replay --into past --execute");
    compare_prefix(&d, "past", UINT64_MAX);
    compare_prefix(&d, d.w.database, UINT64_MAX);
    drive_end(&d);
}

/* An engine that is pointed at such a copy goes on behind it. */
Test(travel, an_engine_goes_on_from_a_copy)
{
    struct drive d;
    int64_t middle;
    char words[96];
    prepare(&d, 72, 8000, &middle);
    travel_database(&d, "past");
    int64_t last = travel(&d, "replay --into past", "to_seq");
    (void)snprintf(words, sizeof words, "replay --to %lld --into past --execute",
                   (long long)last / 2);
    say(&d, words);
    drive_stop_engine(&d);
    d.options.database = "past";
    drive_configure(&d);
    drive_engine(&d);
    drive_wait_idle(&d);
    drive_applied(&d);
    compare_prefix(&d, "past", UINT64_MAX);
    drive_audit(&d);
    cr_assert_gt(drive_log_count(&d.engine, "event=rewound"), 0);
    drive_end(&d);
}

Test(travel, a_restored_dump_is_taken_further)
{
    struct drive d;
    char words[96];
    drive_begin(&d, 73, NULL);
    drive_sample(&d, 8000, 200);
    drive_engine(&d);
    drive_feed(&d, 3, 5000);
    drive_wait_batches(&d, d.sample.batch_count / 4);
    char *dump = travel_dump(&d, NULL);
    drive_acknowledged(&d);
    travel_database(&d, "copy");
    travel_restore(&d, "copy", dump);
    int64_t last = travel(&d, "replay --into copy", "to_seq");
    (void)snprintf(words, sizeof words, "replay --to %lld --into copy --execute",
                   (long long)last * 3 / 4);
    int64_t to = travel(&d, words, "to_seq");
    compare_prefix(&d, "copy", (uint64_t)to);
    drive_applied(&d);
    compare_prefix(&d, d.w.database, UINT64_MAX);
    free(dump);
    drive_end(&d);
}

/* What the copy's ledger has counted; 0: it isn't there yet. */
static int64_t copied(struct drive *d)
{
    if (!world_scalar(&d->w, "SELECT COUNT(*) FROM information_schema.tables WHERE "
                             "table_schema = 'past' AND table_name = 'holdfast_ledger'"))
        return 0;
    return world_scalar(&d->w, "SELECT COALESCE(SUM(events), 0) FROM "
                               "past.holdfast_ledger");
}

/* SIGKILL once something new is there; false: it was through before that. */
static bool kill_replay(struct drive *d)
{
    const char *argv[] = {world_holdfast(), "replay",   "--into",         "past",
                          "--execute",      "--config", d->engine.config, NULL};
    char log[WORLD_PATH_MAX];
    world_path(&d->w, "replay.log", log);
    int64_t before = copied(d);
    pid_t pid = world_spawn(argv, NULL, log);
    int64_t end = process_now_ms() + TRAVEL_TIMEOUT_MS;
    siginfo_t gone = {0};
    while (copied(d) == before && process_now_ms() < end &&
           waitid(P_PID, (id_t)pid, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           gone.si_pid == 0)
        process_sleep_ms(1);
    bool through = gone.si_pid != 0;
    world_kill(pid);
    return !through;
}

Test(travel, killed_again_and_again_is_done_once)
{
    struct drive d;
    int64_t middle;
    prepare(&d, 74, 20000, &middle);
    d.options.more = "replay: {transaction_records: 500}";
    drive_configure(&d);
    travel_database(&d, "past");
    int kills = 0;
    while (kills < 6 && kill_replay(&d))
        kills++;
    cr_assert_gt(kills, 1, "it was never met at work");
    say(&d, "replay --into past --execute");
    compare_prefix(&d, "past", UINT64_MAX);
    drive_end(&d);
}

static void expect_same(struct drive *d, const char *database)
{
    char *here = travel_state(d, d->w.database);
    char *there = travel_state(d, database);
    cr_assert_str_eq(here, there);
    free(here);
    free(there);
}

/* Ranges with holes between, overlaps, then all of it, and an engine on top of that. */
Test(travel, ranges_in_any_order_add_nothing_twice)
{
    static const char *const streams[] = {"", " --stream mozi", ""};
    struct drive d;
    int64_t middle;
    char words[128];
    prepare(&d, 75, 8000, &middle);
    travel_database(&d, "past");
    int64_t last = travel(&d, "replay --into past", "to_seq");
    int64_t bounds[3][2] = {
        {last / 2, last * 3 / 4}, {last / 4, last * 5 / 8}, {last / 2, last}};
    for (int i = 0; i < 3; i++) {
        (void)snprintf(words, sizeof words,
                       "replay%s --from %lld --to %lld --into past --execute", streams[i],
                       (long long)bounds[i][0], (long long)bounds[i][1]);
        cr_assert_gt(travel(&d, words, "entries"), 0);
        cr_assert_eq(travel(&d, words, "entries"), 0, "done twice");
    }
    cr_assert_eq(world_scalar(&d.w, "SELECT COUNT(*) FROM past.holdfast_ledger WHERE "
                                    "journal_id NOT LIKE '%@%'"),
                 0, "the journal's own place moved");
    char *partial = travel_state(&d, "past");
    char *whole = travel_state(&d, d.w.database);
    cr_assert_str_neq(partial, whole);
    free(partial);
    free(whole);
    drive_stop_engine(&d);
    d.options.database = "past";
    drive_configure(&d);
    drive_engine(&d);
    drive_wait_idle(&d);
    drive_applied(&d);
    drive_audit(&d);
    expect_same(&d, "past");
    drive_end(&d);
}

/* Lets the applied entries that were received before `time_us` expire. */
static void expire_before(struct drive *d, int64_t time_us)
{
    static const int64_t pass_us = 61000000; /* a sweep is due */
    struct kit kit;
    struct journal_lane *lanes;
    struct err err = {0};
    size_t count;
    kit_start(&kit);
    kit.config.path = d->engine.journal;
    kit.config.size_max = UINT64_C(1) << 30;
    kit.config.retain_us = 3600000000;
    kit.clock.wall_us = time_us + kit.config.retain_us - pass_us;
    kit_open(&kit);
    cr_assert_eq(journal_lanes(kit.journal, &lanes, &count, &err), 0, "%s", err.message);
    for (size_t i = 0; i < count; i++)
        journal_confirm(kit.journal, lanes[i].stream, lanes[i].lane, true);
    kit_pass(&kit, pass_us);
    kit_commit(&kit);
    kit_commit(&kit);
    cr_assert_gt(kit_stat(&kit).first_seq, 1, "nothing expired");
    free(lanes);
    kit_end(&kit);
}

Test(travel, limits_that_are_gone_are_named)
{
    struct drive d;
    int64_t middle;
    char words[128];
    char place[64];
    prepare(&d, 76, 6000, &middle);
    travel_database(&d, "past");
    char *dump = travel_dump(&d, NULL);
    drive_stop_engine(&d);
    expire_before(&d, middle);
    struct json_value *listed = travel_json(&d, "journal ls --limit 1", 0);
    int64_t first = number(json_item(json_get(listed, "entries"), 0), "seq");
    json_value_free(listed);
    cr_assert_gt(first, 1);
    char *said = travel_command(&d, "replay --into past --execute", 1);
    cr_assert_not_null(strstr(said, "are not retained any more"), "%s", said);
    (void)snprintf(place, sizeof place, "begin with --from %lld", (long long)first);
    cr_assert_not_null(strstr(said, place), "%s: %s", place, said);
    free(said);
    free(travel_command(&d, "replay --from 2026-01-01T00:00:00Z --into past", 1));
    free(travel_command(&d, "replay --from 5 --to 2 --into past", 64));
    (void)snprintf(words, sizeof words, "replay --from %lld --into past",
                   (long long)first - 1);
    free(travel_command(&d, words, 1));
    cr_assert_eq(world_scalar(&d.w,
                              "SELECT COUNT(*) FROM information_schema.tables WHERE "
                              "table_schema = 'past'"),
                 0, "something was done");
    (void)snprintf(words, sizeof words, "replay --from %lld --into past --execute",
                   (long long)first);
    cr_assert_gt(travel(&d, words, "entries"), 0);

    /* with what the dump holds nothing is lacking */
    travel_database(&d, "copy");
    travel_restore(&d, "copy", dump);
    cr_assert_eq(travel(&d, "replay --into copy --execute", "entries"), 0);
    compare_prefix(&d, "copy", UINT64_MAX);
    free(dump);
    drive_end(&d);
}

Test(travel, the_configured_database_after_it_went_back)
{
    struct drive d;
    drive_begin(&d, 77, NULL);
    drive_sample(&d, 8000, 200);
    drive_engine(&d);
    drive_feed(&d, 3, 5000);
    drive_wait_batches(&d, d.sample.batch_count / 3);
    char *dump = travel_dump(&d, NULL);
    drive_acknowledged(&d);
    drive_applied(&d);
    char *said = travel_command(&d, "replay --into holdfast --execute", 1);
    cr_assert_not_null(strstr(said, "was not rewound"), "%s", said);
    free(said);
    for (int i = 0; i < 2; i++) { /* beside a paused engine, and without one */
        say(&d, "pause");
        if (i == 1)
            drive_stop_engine(&d);
        travel_restore(&d, d.w.database, dump);
        cr_assert_gt(travel(&d, "replay", "entries"), 0);
        cr_assert_gt(travel(&d, "replay --execute", "entries"), 0);
        compare_prefix(&d, d.w.database, UINT64_MAX);
        if (i == 1)
            drive_engine(&d);
        say(&d, "resume");
        drive_wait_idle(&d);
    }
    cr_assert_eq(drive_log_count(&d.engine, "event=rewound"), 0);
    struct oracle_report report;
    drive_compare(&d, &report);
    free(travel_command(&d, "replay", 1));
    free(dump);
    drive_end(&d);
}

/* Newer entries of an entity lie in another lane than the older ones. */
Test(travel, a_copy_over_changes_of_the_number_of_lanes)
{
    static const char *const numbers[] = {"1", "3", "2"};
    struct drive d;
    char streams[128];
    drive_begin(&d, 79, NULL);
    drive_sample(&d, 9000, 200);
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(streams, sizeof streams,
                       "[{name: mozi, preset: botnet, lanes: %s}, {name: test, preset: "
                       "botnet}]",
                       numbers[i]);
        d.options.streams = streams;
        if (d.engine.pid)
            drive_stop_engine(&d);
        drive_configure(&d);
        drive_engine(&d);
        if (i == 0)
            drive_feed(&d, 3, 5000);
        drive_wait_batches(&d, d.sample.batch_count * (i + 1) / 3);
    }
    drive_acknowledged(&d);
    travel_database(&d, "past");
    say(&d, "replay --into past --execute");
    compare_prefix(&d, "past", UINT64_MAX);
    cr_assert_gt(world_scalar(&d.w, "SELECT COUNT(*) FROM past.holdfast_ledger WHERE "
                                    "stream = 'mozi'"),
                 2, "not every lane was copied");
    drive_end(&d);
}

/* What the configured database refused is left out of a copy that would take it. */
Test(travel, dead_letters_stay_left_out)
{
    struct drive d;
    drive_begin(&d, 80, NULL);
    d.sample_config.poison_share = 0.01;
    drive_sample(&d, 4000, 200);
    drive_engine(&d);
    drive_wait_idle(&d); /* the tables have been examined */
    world_exec(&d.w, "ALTER TABLE botnet_communications_mozi MODIFY event_type"
                     " VARCHAR(20); ALTER TABLE botnet_communications_test MODIFY"
                     " event_type VARCHAR(20)");
    drive_feed(&d, 3, 0);
    drive_acknowledged(&d);
    drive_applied(&d);
    for (uint32_t b = 0; b < d.sample.batch_count; b++) {
        for (uint32_t i = 0; i < d.sample.batches[b].record_count; i++)
            d.context.replay_dead +=
                d.sample.batches[b].records[i].fault == SAMPLE_POISON;
    }
    cr_assert_gt(d.context.replay_dead, 10);
    travel_database(&d, "past");
    say(&d, "replay --into past --execute");
    compare_prefix(&d, "past", UINT64_MAX);
    drive_end(&d);
}

/* The record of "entry N record M" in the text must be one of the sample's poisoned. */
static void expect_poisoned(const struct drive *d, const char *said)
{
    unsigned long long seq = 0;
    unsigned index = 0;
    const char *at = strstr(said, "entry ");
    cr_assert(at && sscanf(at, "entry %llu record %u can't", &seq, &index) == 2, "%s",
              said);
    for (uint32_t b = 0; b < d->sample.batch_count; b++) {
        const struct sample_batch *batch = &d->sample.batches[b];
        if (d->lines[b].state == FEEDER_ACKED && d->lines[b].seq == seq) {
            cr_assert_lt(index, batch->record_count);
            cr_assert_eq(batch->records[index].fault, SAMPLE_POISON, "%s", said);
            return;
        }
    }
    cr_assert_fail("no such entry: %s", said);
}

/* Only the engine makes dead letters: what a copy refuses is named, and nothing is left
 * out of it once it takes all. */
Test(travel, a_record_that_the_copy_refuses_is_named)
{
    struct drive d;
    drive_begin(&d, 82, NULL);
    d.sample_config.poison_share = 0.005;
    d.sample_config.bad_share = 0;
    drive_sample(&d, 4000, 200);
    drive_engine(&d);
    drive_feed(&d, 3, 0);
    drive_acknowledged(&d);
    drive_applied(&d);
    travel_database(&d, "past");
    say(&d, "replay --to 3 --into past --execute");
    world_exec(&d.w, "CREATE TRIGGER past.narrow BEFORE INSERT ON"
                     " past.botnet_communications_mozi FOR EACH ROW IF"
                     " CHAR_LENGTH(NEW.event_type) > 20 THEN SIGNAL SQLSTATE '22001' SET"
                     " MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'too long for the copy'; END"
                     " IF");
    char *said = travel_command(&d, "replay --stream mozi --into past --execute", 1);
    cr_assert_not_null(strstr(said, "too long for the copy"), "%s", said);
    cr_assert_not_null(strstr(said, "make the tables there like those here"), "%s", said);
    expect_poisoned(&d, said);
    free(said);
    world_exec(&d.w, "DROP TRIGGER past.narrow");
    say(&d, "replay --into past --execute");
    expect_same(&d, "past");
    drive_end(&d);
}

/* It waits for a server that comes back. */
Test(travel, the_server_dies_in_the_middle)
{
    struct drive d;
    int64_t middle;
    prepare(&d, 81, 12000, &middle);
    d.options.more = "replay: {transaction_records: 500}";
    drive_configure(&d);
    travel_database(&d, "past");
    const char *argv[] = {world_holdfast(), "replay",   "--into",        "past",
                          "--execute",      "--config", d.engine.config, NULL};
    char log[WORLD_PATH_MAX];
    world_path(&d.w, "replay.log", log);
    pid_t pid = world_spawn(argv, NULL, log);
    int64_t end = process_now_ms() + TRAVEL_TIMEOUT_MS;
    while (copied(&d) == 0 && process_now_ms() < end)
        process_sleep_ms(1);
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "it was through before that");
    world_kill_db(&d.w);
    world_start_db(&d.w);
    cr_assert_eq(world_wait(pid, TRAVEL_TIMEOUT_MS), 0);
    compare_prefix(&d, "past", UINT64_MAX);
    drive_end(&d);
}

Test(travel, a_target_that_cannot_be)
{
    struct drive d;
    drive_begin(&d, 78, NULL);
    drive_engine(&d);
    char *said = travel_command(&d, "replay --into nowhere", 69);
    cr_assert_not_null(strstr(said, "CREATE DATABASE `nowhere`"), "%s", said);
    free(said);
    free(travel_command(&d, "replay --into past --from tomorrow", 64));
    free(travel_command(&d, "replay --into past --stream none", 64));
    free(travel_command(&d, "replay --accept-gap --stream mozi --into past", 64));
    drive_end(&d);
}
