/* tests/faults/database_writers.c: two engines on the same tables, with journals of their
 * own and with one journal between them, which must not be.
 */
#include "tests/faults/database_faults.h"

#include "tests/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_TIMEOUT_MS = 60000, APPLIED_TIMEOUT_MS = 60000, PRODUCERS = 3, LOOK_MS = 20 };

/* A second engine's configuration. */
static int configure_second(struct database_fault *at, struct engine_process *out_second,
                            struct err *err)
{
    struct engine_options options = at->stage->options;
    char name[STAGE_NAME_MAX + 8];
    (void)snprintf(name, sizeof name, "%s-second", at->stage->name);
    options.name = name;
    options.port = process_free_port((uint16_t)(at->stage->port + 1));
    *out_second = (struct engine_process){0};
    return engine_configure(out_second, &options, err);
}

static void end_second(struct engine_process *second)
{
    engine_kill(second);
    fault_remove_journal(second->journal);
}

/* ---- Each its own journal, both the same records ------------------------------------
 */

static int feed_both(struct database_fault *at, const struct engine_process *second,
                     struct feeder_line **out_lines, struct err *err)
{
    struct feeder_config config = {.sample = &at->stage->sample,
                                   .producers = PRODUCERS,
                                   .port = second->port,
                                   .pause_us = 5000};
    struct feeder *feeder = NULL;
    int code = feeder_start(&config, &feeder, err);
    if (code != 0)
        return code;
    code = stage_feed_begin(at->stage, 5000, err);
    code = code ? code : stage_feed_end(at->stage, err);
    bool all = feeder_wait(feeder, at->stage->sample.batch_count, FEED_TIMEOUT_MS);
    *out_lines = feeder_finish(feeder);
    if (code == 0 && !all)
        code = err_set(err, ERR_TIMEOUT, 0, "the second engine has not taken all; see %s",
                       second->log);
    code = code ? code : stage_settle(at->stage, err);
    return code;
}

static int compare_both(struct database_fault *at, struct engine_process *second,
                        const struct feeder_line *lines, struct err *err)
{
    int code = engine_wait_applied(second, APPLIED_TIMEOUT_MS, err);
    at->stage->blame = code != 0;
    at->stage->second = (struct oracle_log){.sample = &at->stage->sample, .lines = lines};
    at->stage->second_accepted = (uint64_t)engine_accepted(second);
    return code ? code : stage_compare(at->stage, err);
}

/* Events are looked up once their entity is locked, so that who comes second sees what
 * the first has stored. The unique key would tell him, too, but later. */
static int expect_no_collision(struct database_fault *at,
                               const struct engine_process *second, struct err *err)
{
    static const char at_events[] = "for key 'uk_ip_communication_time' (1062)";
    uint64_t first = 0;
    uint64_t other = 0;
    int code = layer_count_lines(at->stage->engine.log, at_events, &first, err);
    code = code ? code : layer_count_lines(second->log, at_events, &other, err);
    first += other;
    if (code == 0 && first > 0) {
        (void)layer_broken("I3", "%llu events were stored between look-up and insert",
                           (unsigned long long)first);
        at->stage->broken = true;
    }
    return code;
}

/* Every event comes from both, at about the same time: one is new, one a duplicate. */
int fault_two_writers(struct database_fault *at, struct err *err)
{
    struct engine_process second;
    struct feeder_line *lines = NULL;
    int code = configure_second(at, &second, err);
    code = code ? code : engine_start(&second, err);
    code = code ? code : feed_both(at, &second, &lines, err);
    code = code ? code : compare_both(at, &second, lines, err);
    code = code ? code : expect_no_collision(at, &second, err);
    at->met = code == 0;
    at->stage->second = (struct oracle_log){0};
    free(lines);
    end_second(&second);
    return code;
}

/* ---- One journal for two -------------------------------------------------------------
 */

static int start_copy(struct database_fault *at, struct engine_process *out_second,
                      struct err *err)
{
    int code = configure_second(at, out_second, err);
    code = code ? code
                : fault_swap_journal(at, at->stage->engine.journal, out_second->journal,
                                     err);
    return code ? code : stage_start(at->stage, err);
}

/* In the second engine's log. */
static int await_stop(struct database_fault *at, const struct engine_process *second,
                      struct err *err)
{
    struct engine_process first = at->stage->engine;
    at->stage->engine = *second;
    int code = fault_await_log(at, "event=lane_stopped", 0, err);
    at->stage->engine = first;
    at->met = code == 0;
    return code;
}

/* The original has gone on when the copy comes: its lanes must not move. */
int fault_journal_copied(struct database_fault *at, struct err *err)
{
    struct engine_process second = {0};
    int64_t digest = 0;
    /* at once: a busy engine would settle only when all was sent */
    int code = start_copy(at, &second, err);
    code = code ? code : stage_feed_end(at->stage, err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code : engine_start(&second, err);
    code = code ? code : fault_digest(at, &digest, err);
    code = code ? code : await_stop(at, &second, err);
    end_second(&second);
    return code ? code : fault_expect_digest(at, digest, "by a copy of the journal", err);
}

static int await_idle(const struct engine_process *engine, struct err *err)
{
    int64_t end = process_now_ms() + APPLIED_TIMEOUT_MS;
    bool idle = engine_idle(engine);
    while (!idle && process_now_ms() < end) {
        process_sleep_ms(LOOK_MS);
        idle = engine_idle(engine);
    }
    return idle ? 0
                : err_set(err, ERR_TIMEOUT, 0, "the lanes are not idle; see %s",
                          engine->log);
}

/* The second has not stopped: what has it done with its record? True: that was broken. */
static bool judge_second(struct database_fault *at, const struct engine_process *second)
{
    int64_t stored = 0;
    struct err err = {0};
    if (stage_number(at->stage,
                     "SELECT COUNT(*) FROM botnet_communications_mozi WHERE ip = "
                     "'198.51.100.2'",
                     &stored, &err) != 0)
        return false;
    bool lost = stored == 0 && engine_pending(second) == 0;
    if (stored != 0)
        (void)layer_broken("I2", "two journals of one id have both moved the ledger");
    if (lost)
        (void)layer_broken("I1", "what the second has taken is done and not stored");
    at->stage->broken = at->stage->broken || lost || stored != 0;
    return lost || stored != 0;
}

/* Both have compared with the ledger and are idle; then each takes a record, which gets
 * the same seq. Only the compare-and-set tells them apart. */
int fault_journal_twins(struct database_fault *at, struct err *err)
{
    struct engine_process second = {0};
    int code = fault_feed_all(at, err);
    code = code ? code : start_copy(at, &second, err);
    code = code ? code : engine_start(&second, err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code : await_idle(&second, err);
    code = code ? code
                : fault_post(
                      &at->stage->engine,
                      "{\"ip\":\"198.51.100.1\",\"timestamp\":\"2026-01-09 01:00:00\"}",
                      err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code
                : stage_await(at->stage,
                              "SELECT COUNT(*) FROM botnet_communications_mozi WHERE ip "
                              "= '198.51.100.1'",
                              err);
    code = code ? code
                : fault_post(
                      &second,
                      "{\"ip\":\"198.51.100.2\",\"timestamp\":\"2026-01-09 01:00:00\"}",
                      err);
    code = code ? code : await_stop(at, &second, err);
    if (code != 0 && judge_second(at, &second))
        code = 0;
    end_second(&second);
    return code;
}
