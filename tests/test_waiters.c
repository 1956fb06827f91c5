/* Who waits for a batch is told once, when its last entry is applied or time is up; and
 * what has no stream waits for nobody. */
#include "engine/engine.h"
#include "engine/waiters.h"
#include "tests/world.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct outcome {
    int told;
    bool applied;
};

static void note(void *context, bool applied)
{
    struct outcome *outcome = context;
    outcome->told++;
    outcome->applied = applied;
}

static const struct intake_entry entries[] = {
    {"mozi", 0, 5}, {"test", 0, 6}, {"test", 1, 7}};

static struct engine_wait wait_of(struct outcome *outcome, size_t count,
                                  int64_t deadline_us)
{
    return (struct engine_wait){entries, count, deadline_us, note, outcome};
}

static struct waiters *started(void)
{
    struct waiters *waiters = NULL;
    struct err err = {0};
    cr_assert_eq(waiters_new(&waiters, &err), ERR_OK);
    return waiters;
}

static void add(struct waiters *waiters, const struct engine_wait *wait)
{
    struct err err = {0};
    cr_assert_eq(waiters_add(waiters, wait, &err), ERR_OK);
}

Test(waiters, told_when_the_last_entry_is_applied)
{
    struct waiters *waiters = started();
    struct outcome outcome = {0};
    struct engine_wait wait = wait_of(&outcome, 3, 1000);
    add(waiters, &wait);
    waiters_applied(waiters, "mozi", 0, 4); /* not so far yet */
    waiters_applied(waiters, "mozi", 1, 9); /* another lane */
    waiters_applied(waiters, "test", 1, 7);
    waiters_applied(waiters, "mozi", 0, 5);
    waiters_expire(waiters, 999);
    cr_assert_eq(outcome.told, 0);
    cr_assert(waiters_any(waiters));
    waiters_applied(waiters, "test", 0, 100);
    cr_assert_eq(outcome.told, 1);
    cr_assert(outcome.applied);
    cr_assert_not(waiters_any(waiters));
    waiters_expire(waiters, INT64_MAX);
    cr_assert_eq(outcome.told, 1);
    waiters_free(waiters);
}

Test(waiters, told_when_time_is_up)
{
    struct waiters *waiters = started();
    struct outcome early = {0};
    struct outcome late = {0};
    struct engine_wait first = wait_of(&early, 1, 1000);
    struct engine_wait second = wait_of(&late, 1, 2000);
    add(waiters, &first);
    add(waiters, &second);
    waiters_expire(waiters, 1000);
    cr_assert_eq(early.told, 1);
    cr_assert_not(early.applied);
    cr_assert_eq(late.told, 0);
    waiters_free(waiters); /* tells those who are left */
    cr_assert_eq(late.told, 1);
    cr_assert_not(late.applied);
}

Test(waiters, the_table_is_bounded)
{
    struct waiters *waiters = started();
    struct outcome outcome = {0};
    struct err err = {0};
    struct engine_wait wait = wait_of(&outcome, 1, 1000);
    for (int i = 0; i < WAITERS_MAX; i++) {
        add(waiters, &wait);
    }
    cr_assert_eq(waiters_add(waiters, &wait, &err), ERR_BUSY);
    waiters_applied(waiters, "mozi", 0, 5);
    cr_assert_eq(outcome.told, WAITERS_MAX);
    add(waiters, &wait);
    waiters_free(waiters);
}

/* ---- The engine ------------------------------------------------------------------ */

struct fixture {
    char dir[WORLD_PATH_MAX];
    struct config *config;
};

static void start(struct fixture *f)
{
    struct buf text = {0};
    struct err err = {0};
    log_setup(LOG_ERROR, LOG_LOGFMT,
              STDERR_FILENO); /* the database is known to be down */
    world_make_dir(f->dir);
    buf_printf(&text,
               "journal: {path: %s/j, max_size: 8MiB, preallocate: 0}\n"
               "database: {socket: %s/none.sock, name: x, user: x}\n"
               "streams: [{name: mozi, preset: botnet}]\n",
               f->dir, f->dir);
    cr_assert_eq(config_parse("test.yaml", buf_slice(&text), &f->config, &err), ERR_OK,
                 "%s", err.message);
    buf_free(&text);
}

static void end(struct fixture *f)
{
    config_free(f->config);
    world_remove_dir(f->dir);
}

static void append_unrouted(struct journal *journal)
{
    struct journal_dead_letter dead = {
        .reason = "missing", .field = "x", .detail = "y", .bytes = SLICE_LITERAL("{}")};
    struct journal_part part = {
        .stream = INTAKE_UNROUTED, .records = 1, .dead = &dead, .dead_count = 1};
    struct journal_append append = {.parts = &part, .part_count = 1};
    cr_assert_eq(journal_append_wait(journal, &append), ERR_OK, "%s", append.err.message);
}

/* A crash between the commit and the engine's mark: no backlog for a lane that nobody
 * serves, and it may expire. */
Test(engine, records_without_a_stream_are_settled_at_open)
{
    struct fixture f;
    struct err err = {0};
    struct journal *journal = NULL;
    struct engine *engine = NULL;
    struct replay_status status;
    struct journal_lane lane;
    start(&f);
    cr_assert_eq(journal_open(&f.config->journal, true, &journal, &err), ERR_OK);
    append_unrouted(journal);
    append_unrouted(journal);
    journal_close(journal);
    for (int i = 0; i < 2; i++) { /* the second time there is nothing to mark */
        cr_assert_eq(engine_open(f.config, &engine, &err), ERR_OK, "%s", err.message);
        cr_assert_eq(replay_status(engine_replay(engine), &status, &err), ERR_OK);
        cr_assert_eq(status.lane_count, 1);
        cr_assert_str_eq(status.lanes[0].stream, "mozi");
        free(status.lanes);
        cr_assert_eq(
            journal_lane_get(engine_journal(engine), INTAKE_UNROUTED, 0, &lane, &err),
            ERR_OK);
        cr_assert_eq(lane.done.seq, 2);
        cr_assert(lane.confirmed);
        engine_close(engine, 0);
    }
    end(&f);
}

Test(engine, waits_end_with_the_engine)
{
    struct fixture f;
    struct err err = {0};
    struct engine *engine = NULL;
    struct outcome outcome = {0};
    start(&f);
    cr_assert_eq(engine_open(f.config, &engine, &err), ERR_OK, "%s", err.message);
    struct engine_wait wait = wait_of(&outcome, 1, INT64_MAX);
    cr_assert_eq(engine_when_applied(engine, &wait, &err), ERR_OK);
    engine_release_waiters(engine);
    cr_assert_eq(outcome.told, 1);
    cr_assert_eq(engine_when_applied(engine, &wait, &err), ERR_OK);
    cr_assert_not(engine_failed(engine, &err));
    cr_assert(engine_ready(engine, &err), "%s", err.message);
    engine_close(engine, 0);
    cr_assert_eq(outcome.told, 2);
    cr_assert_not(outcome.applied);
    end(&f);
}
