#include "tests/replay_errands.h"

#include "replay/lookup.h"
#include "replay/restore.h"
#include "replay/travel.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 4 };

static const char past_sql[] =
    "SELECT CONCAT_WS('\n', (SELECT GROUP_CONCAT(CONCAT_WS('/', ip, communication_count, "
    "first_seen, last_seen) ORDER BY ip) FROM past.botnet_nodes_mozi), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', n.ip, c.ip, communication_time, event_type) "
    "ORDER BY c.ip, communication_time) FROM past.botnet_communications_mozi c LEFT JOIN "
    "past.botnet_nodes_mozi n ON n.id = c.node_id), "
    "(SELECT COUNT(*) FROM past.readings_plant), "
    "(SELECT GROUP_CONCAT(CONCAT_WS('/', stream, lane, applied_seq, records, events, "
    "duplicates, conflicts) ORDER BY stream, lane) FROM past.holdfast_ledger))";

/* ---- Each of them ------------------------------------------------------------------ */

static bool wants_all(const struct value *key, void *context)
{
    (void)key;
    (void)context;
    return true;
}

static int put_back(struct replay_errands *errands, struct db *db, struct err *err)
{
    const struct replay_life *life = &errands->life;
    static const struct restore_filter all = {.wants = wants_all};
    struct restore *restore = NULL;
    uint64_t events = 0;
    int code = restore_new(db, life->kit.journal, life->streams[0],
                           life->sink.zone_offset_s, &restore, err);
    if (code == ERR_OK) {
        code = restore_look(restore, &errands->entries, &all, err);
        code =
            code ? code : restore_apply(restore, &errands->entries, &all, &events, err);
        restore_free(restore);
    }
    return code;
}

static int count_there(const struct lookup_fact *fact, void *context, struct err *err)
{
    (void)err;
    *(size_t *)context += fact->event_id != 0 && fact->entity_id != 0;
    return ERR_OK;
}

static int look_up(struct replay_errands *errands, struct db *db, struct err *err)
{
    struct replay_life *life = &errands->life;
    struct lookup *lookup = NULL;
    size_t there = 0;
    size_t named = 0;
    struct lookup_visit visit = {.record = count_there, .context = &there};
    int code = lookup_new(db, life->kit.journal, life->streams[0],
                          life->sink.zone_offset_s, &lookup, err);
    if (code == ERR_OK) {
        code = lookup_entries(lookup, &errands->entries, &visit, err);
        visit.context = &named;
        code = code ? code : lookup_records(lookup, &errands->entries, &visit, err);
        lookup_free(lookup);
    }
    if (code == ERR_OK && there == 0 && !life->broken[0]) {
        (void)snprintf(life->broken, sizeof life->broken, "no event is found");
    }
    return code;
}

static int travel(struct replay_errands *errands, struct db *db, struct err *err)
{
    const struct replay_life *life = &errands->life;
    struct travel_config config = {.journal = life->kit.journal,
                                   .streams = (const struct stream *const *)life->streams,
                                   .stream_count = REPLAY_LIFE_STREAMS};
    struct sink_mariadb_config past = life->sink;
    struct travel_run run = {
        .clock = &clock_system, .validate = true, .transaction_records_max = 40};
    struct travel_report report;
    struct travel_plan plan;
    past.db = &errands->past;
    past.hosts = errands->hosts;
    int code = travel_plan_make(&config, db, &plan, err);
    if (code != ERR_OK) {
        return code;
    }
    code = sink_mariadb_new(&past, &run.sink, err);
    if (code == ERR_OK) {
        code = travel_run(&plan, &run, &report, err);
        run.sink->ops->free(run.sink);
    }
    travel_plan_free(&plan);
    return code;
}

/* ---- All ------------------------------------------------------------------------- */

/* On a connection of its own, until it is done. */
static void do_errand(struct replay_errands *errands,
                      int (*run)(struct replay_errands *, struct db *, struct err *),
                      const struct db_config *config, struct db_hosts *hosts)
{
    struct replay_life *life = &errands->life;
    int code = ERR_INTERNAL;
    for (unsigned i = 0; i < TRIES && code != ERR_OK; i++) {
        struct db *db = NULL;
        struct err err = {0};
        code = db_connect(config, hosts, &db, &err);
        code = code ? code : run(errands, db, &err);
        db_close(db);
        life->troubles += code != ERR_OK;
        if (code != ERR_OK && (code != (int)err.code || !err.message[0])) {
            (void)snprintf(life->broken, sizeof life->broken,
                           "code %d comes with %d, \"%.400s\"", code, (int)err.code,
                           err.message);
        }
    }
    if (code != ERR_OK && !life->broken[0]) {
        (void)snprintf(life->broken, sizeof life->broken, "it is never done: %d", code);
    }
}

void replay_errands_run(struct replay_errands *errands)
{
    struct replay_life *life = &errands->life;
    do_errand(errands, put_back, &life->db, life->hosts);
    do_errand(errands, look_up, &life->db, life->hosts);
    do_errand(errands, travel, &errands->past, errands->hosts);
}

void replay_errands_start(struct replay_errands *errands)
{
    errands->life.troubles = 0;
    errands->life.broken[0] = '\0';
    world_exec(&errands->life.w,
               "DELETE FROM botnet_communications_mozi WHERE ip = '10.0.0.3'");
    if (errands->expected) {
        world_exec(&errands->life.w,
                   "DELETE FROM past.botnet_communications_mozi; DELETE FROM "
                   "past.botnet_nodes_mozi; DELETE FROM past.readings_plant; DELETE FROM "
                   "past.devices; DELETE FROM past.holdfast_ledger");
    }
}

static void expect_text(struct replay_life *life, const char *sql, const char *expected)
{
    char *found = world_text(&life->w, sql);
    if (!life->broken[0] && strcmp(found, expected) != 0) {
        (void)snprintf(life->broken, sizeof life->broken,
                       "the tables hold\n%.400s\ninstead of\n%.400s", found, expected);
    }
    free(found);
}

void replay_errands_check(struct replay_errands *errands)
{
    expect_text(&errands->life, replay_life_sql, errands->life.expected);
    expect_text(&errands->life, past_sql, errands->expected);
}

void replay_errands_open(struct replay_errands *errands)
{
    struct err err = {0};
    struct replay_life *life = &errands->life;
    memset(errands, 0, sizeof *errands);
    replay_life_open(life);
    replay_life_start(life);
    replay_life_run(life);
    world_exec(&life->w, "SET foreign_key_checks = 0; DROP DATABASE IF EXISTS past; SET "
                         "foreign_key_checks = 1; CREATE DATABASE past");
    errands->past = life->db;
    errands->past.name = "past";
    cr_assert_eq(db_hosts_new(&errands->past, &errands->hosts, &err), ERR_OK);
    errands->entries = kit_read(&life->kit, "mozi", 0, 0);
    replay_errands_start(errands);
    replay_errands_run(errands);
    cr_assert(!life->broken[0], "%s", life->broken);
    cr_assert_eq(life->troubles, 0);
    errands->expected = world_text(&life->w, past_sql);
}

void replay_errands_close(struct replay_errands *errands)
{
    journal_entries_free(&errands->entries);
    db_hosts_free(errands->hosts);
    free(errands->expected);
    kit_end(&errands->life.kit);
    replay_life_close(&errands->life);
}
