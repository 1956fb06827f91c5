/* tests/faults/database_tables.c: somebody changes the tables, or what is in them. */
#include "tests/faults/database_faults.h"

#include "tests/process.h"

/* `change` stops a lane; `back` takes it back. */
static int stop_and_help(struct database_fault *at, const char *change, const char *back,
                         struct err *err)
{
    int code = fault_exec(at, change, err);
    code = code ? code : fault_await_log(at, "event=lane_stopped", 0, err);
    at->met = code == 0;
    code = code ? code : fault_exec(at, back, err);
    return code ? code : fault_help(at, err);
}

/* The plan has create_tables: false; else a new one would be made in its place. */
int fault_renamed(struct database_fault *at, struct err *err)
{
    return stop_and_help(
        at, "RENAME TABLE botnet_communications_mozi TO botnet_communications_away",
        "RENAME TABLE botnet_communications_away TO botnet_communications_mozi", err);
}

int fault_column_renamed(struct database_fault *at, struct err *err)
{
    return stop_and_help(
        at, "ALTER TABLE botnet_communications_mozi RENAME COLUMN event_type TO etype",
        "ALTER TABLE botnet_communications_mozi RENAME COLUMN etype TO event_type", err);
}

/* What does not concern the engine holds it up only for a moment. */
int fault_altered(struct database_fault *at, struct err *err)
{
    at->met = engine_pending(&at->stage->engine) > 0;
    int code = fault_exec(
        at, "ALTER TABLE botnet_nodes_mozi ADD COLUMN note VARCHAR(20) NULL", err);
    code = code ? code
                : fault_exec(at, "ALTER TABLE botnet_communications_mozi ADD INDEX (isp)",
                             err);
    code = code ? code
                : fault_exec(at, "ALTER TABLE botnet_nodes_mozi DROP COLUMN note", err);
    return code ? code
                : fault_exec(at, "ALTER TABLE botnet_communications_mozi DROP INDEX isp",
                             err);
}

int fault_trigger(struct database_fault *at, struct err *err)
{
    return stop_and_help(at,
                         "CREATE TRIGGER no_more BEFORE INSERT ON "
                         "botnet_communications_mozi FOR EACH ROW SIGNAL SQLSTATE "
                         "'45000' SET MESSAGE_TEXT = 'no more'",
                         "DROP TRIGGER no_more", err);
}

/* Made without a look at what is there: no new event passes it. */
int fault_constraint(struct database_fault *at, struct err *err)
{
    int code = fault_exec(at, "SET check_constraint_checks = 0", err);
    return code ? code
                : stop_and_help(at,
                                "ALTER TABLE botnet_communications_mozi ADD CONSTRAINT "
                                "no_more CHECK (node_id < 0)",
                                "ALTER TABLE botnet_communications_mozi DROP CONSTRAINT "
                                "no_more",
                                err);
}

/* As if they had been deleted and made again: whatever was remembered of them is stale.
 */
int fault_ids_moved(struct database_fault *at, struct err *err)
{
    int code = fault_exec(at, "SET foreign_key_checks = 0", err);
    code = code ? code : fault_exec(at, "START TRANSACTION", err);
    code = code ? code
                : fault_exec(at, "UPDATE botnet_nodes_mozi SET id = id + 1000000", err);
    code = code ? code
                : fault_exec(at,
                             "UPDATE botnet_communications_mozi SET node_id = node_id + "
                             "1000000",
                             err);
    at->met = code == 0 && engine_pending(&at->stage->engine) > 0;
    return code ? code : fault_exec(at, "COMMIT", err);
}

/* Somebody purges all that is there: what comes later must be whole by itself. */
int fault_nodes_deleted(struct database_fault *at, struct err *err)
{
    static const char wrong[] =
        "SELECT COUNT(*) FROM botnet_nodes_mozi n WHERE communication_count = 0 OR "
        "communication_count <> (SELECT COUNT(*) FROM botnet_communications_mozi c WHERE "
        "c.node_id = n.id AND c.ip = n.ip)";
    int64_t found = 0;
    int64_t left = 0;
    int code = fault_exec(at, "SET autocommit = 0", err);
    code = code ? code
                : fault_exec(at,
                             "LOCK TABLES botnet_nodes_mozi WRITE, "
                             "botnet_communications_mozi WRITE",
                             err);
    code = code ? code : fault_exec(at, "DELETE FROM botnet_communications_mozi", err);
    code = code ? code : fault_exec(at, "DELETE FROM botnet_nodes_mozi", err);
    at->met = code == 0 && engine_pending(&at->stage->engine) > 0;
    code = code ? code : fault_exec(at, "COMMIT", err);
    code = code ? code : fault_exec(at, "UNLOCK TABLES", err);
    code = code ? code : stage_feed_end(at->stage, err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code : stage_number(at->stage, wrong, &found, err);
    code = code ? code
                : stage_number(at->stage, "SELECT COUNT(*) FROM botnet_nodes_mozi", &left,
                               err);
    if (code == 0 && (found != 0 || left == 0)) {
        (void)layer_broken("I3", "after a purge %lld of %lld entities are not whole",
                           (long long)found, (long long)left);
        at->stage->broken = true;
    }
    return code;
}

/* A column becomes too narrow for one record, between others of its ip. It ends as a dead
 * letter, and who comes after it is applied. */
int fault_poison(struct database_fault *at, struct err *err)
{
    enum { PATIENCE_MS = 20000, LOOK_MS = 20 };
    static const char poison[] = "{\"ip\":\"198.51.100.9\",\"timestamp\":1767225601,"
                                 "\"event_type\":\"wider than the column is by now\"}";
    static const char *const bodies[] = {
        "{\"ip\":\"198.51.100.9\",\"timestamp\":1767225600}", poison,
        "{\"ip\":\"198.51.100.9\",\"timestamp\":1767225602}"};
    const struct engine_process *engine = &at->stage->engine;
    int64_t stored = 0;
    int code = fault_feed_all(at, err);
    code = code ? code
                : fault_exec(at,
                             "ALTER TABLE botnet_communications_mozi MODIFY event_type "
                             "VARCHAR(20)",
                             err);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        code = code ? code : fault_post(engine, bodies[i], err);
    int64_t end = process_now_ms() + PATIENCE_MS;
    while (code == 0 && engine_pending(engine) != 0 && process_now_ms() < end)
        process_sleep_ms(LOOK_MS);
    code = code ? code
                : stage_number(at->stage,
                               "SELECT COUNT(*) FROM botnet_communications_mozi WHERE "
                               "ip = '198.51.100.9'",
                               &stored, err);
    at->met = code == 0;
    if (code == 0 && (stored != 2 || engine_pending(engine) != 0)) {
        (void)layer_broken("I9", "a record that the database refuses: %lld of 2 stored",
                           (long long)stored);
        at->stage->broken = true;
    }
    return code ? code
                : fault_exec(at,
                             "ALTER TABLE botnet_communications_mozi MODIFY event_type "
                             "VARCHAR(50)",
                             err);
}
