/* The tables that the DDL makes on a real server, read back and compared. */
#include "schema/ddl.h"
#include "tests/specs.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <mysql.h>
#include <stdlib.h>

enum { FOUND_MAX = 64 };

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
    (void)set;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

static void make_tables(struct world *w, const struct stream *stream)
{
    struct buf sql = {0};
    ddl_append_entity_table(&sql, stream);
    world_exec(w, buf_text(&sql));
    buf_clear(&sql);
    ddl_append_event_table(&sql, stream);
    world_exec(w, buf_text(&sql));
    buf_free(&sql);
}

static bool is_yes(const char *text)
{
    return text && strcmp(text, "1") == 0;
}

/* Compares the table that the server has; what differs goes to `out`. */
static size_t compare(struct world *w, const struct stream *stream, bool entity,
                      struct buf *out)
{
    struct buf sql = {0};
    buf_printf(&sql,
               "SELECT column_name, data_type, column_type, collation_name, "
               "COALESCE(character_maximum_length, 0), COALESCE(datetime_precision, 0), "
               "is_nullable = 'YES', column_default IS NOT NULL, "
               "extra LIKE '%%auto_increment%%', "
               "COALESCE(generation_expression, '') <> '', extra LIKE '%%on update%%' "
               "FROM information_schema.columns WHERE table_schema = DATABASE() "
               "AND table_name = '%s' ORDER BY ordinal_position",
               entity ? stream->entity.name : stream->event.name);
    cr_assert_eq(mysql_query(w->session, buf_text(&sql)), 0, "%s",
                 mysql_error(w->session));
    MYSQL_RES *result = mysql_store_result(w->session);
    struct ddl_found_column found[FOUND_MAX];
    size_t count = 0;
    for (MYSQL_ROW row = mysql_fetch_row(result); row; row = mysql_fetch_row(result)) {
        cr_assert_lt(count, FOUND_MAX);
        found[count++] = (struct ddl_found_column){
            .name = row[0],
            .data_type = row[1],
            .column_type = row[2],
            .collation = row[3],
            .characters_max = strtoull(row[4], NULL, 10),
            .precision = (uint32_t)strtoul(row[5], NULL, 10),
            .nullable = is_yes(row[6]),
            .has_default = is_yes(row[7]),
            .auto_increment = is_yes(row[8]),
            .generated = is_yes(row[9]),
            .on_update = is_yes(row[10]),
        };
    }
    cr_assert_gt(count, 0);
    size_t differences = ddl_compare(stream, entity, found, count, NULL, out);
    mysql_free_result(result);
    buf_free(&sql);
    return differences;
}

static void assert_differences(struct world *w, const struct stream *stream, bool entity,
                               size_t expected)
{
    struct buf out = {0};
    size_t differences = compare(w, stream, entity, &out);
    cr_assert_eq(differences, expected, "%s", buf_text(&out));
    buf_free(&out);
}

Test(db_ddl, tables_are_as_configured_whatever_the_server_assumes)
{
    struct world w = {0};
    world_attach(&w);
    for (int explicit = 0; explicit < 2; explicit ++) {
        struct stream_spec specs[] = {botnet_spec("mozi"), readings_spec()};
        world_exec(&w, explicit ? "SET explicit_defaults_for_timestamp = 1"
                                : "SET explicit_defaults_for_timestamp = 0");
        world_exec(&w,
                   explicit ? "SET sql_mode = 'ANSI,TRADITIONAL'" : "SET sql_mode = ''");
        for (int i = 0; i < 2; i++) {
            struct stream *stream = stream_of(&specs[i]);
            make_tables(&w, stream);
            make_tables(&w, stream); /* IF NOT EXISTS */
            assert_differences(&w, stream, true, 0);
            assert_differences(&w, stream, false, 0);
            stream_free(stream);
        }
        cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM information_schema.columns "
                                      "WHERE table_schema = DATABASE() "
                                      "AND table_name LIKE '%mozi' "
                                      "AND extra LIKE '%on update%'"),
                     0);
        world_exec(&w, "DROP TABLE botnet_communications_mozi, botnet_nodes_mozi, "
                       "readings_plant, devices");
    }
    world_detach(&w);
}

Test(db_ddl, what_botnet_tables_promise)
{
    struct world w = {0};
    world_attach(&w);
    struct stream_spec spec = botnet_spec("promise");
    struct stream *stream = stream_of(&spec);
    make_tables(&w, stream);
    world_exec(&w, "SET sql_mode = 'STRICT_ALL_TABLES'");
    world_exec(&w, "INSERT INTO botnet_nodes_promise (ip) VALUES ('1.2.3.4')");
    world_exec(&w, "INSERT INTO botnet_communications_promise "
                   "(node_id, ip, communication_time) VALUES (1, '1.2.3.4', "
                   "'2026-01-08 01:04:26')");
    cr_assert_eq(world_scalar(&w,
                              "SELECT COUNT(*) FROM botnet_nodes_promise WHERE status "
                              "= 'active' AND communication_count = 0 AND is_china = "
                              "0 AND created_time IS NOT NULL AND last_seen IS NULL "
                              "AND updated_at IS NULL AND cleaned_time IS NULL"),
                 1);
    cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM botnet_communications_promise "
                                  "WHERE status = 'active' AND received_at IS NOT NULL"),
                 1);
    cr_assert_eq(world_try(&w, "DELETE FROM botnet_nodes_promise"), 1451,
                 "a node with communications stays");
    cr_assert_eq(world_try(&w, "INSERT INTO botnet_nodes_promise (ip) VALUES "
                               "('1.2.3.4')"),
                 1062);
    cr_assert_eq(world_try(&w, "INSERT INTO botnet_communications_promise (node_id, ip, "
                               "communication_time) VALUES (1, '1.2.3.4', '2026-01-08 "
                               "01:04:26')"),
                 1062);
    cr_assert_eq(world_try(&w, "INSERT INTO botnet_communications_promise (node_id, ip, "
                               "communication_time) VALUES (9, '1.2.3.4', '2026-01-08 "
                               "01:04:27')"),
                 1452);
    world_exec(&w, "UPDATE botnet_communications_promise SET country = 'x'");
    cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM botnet_communications_promise "
                                  "WHERE communication_time = '2026-01-08 01:04:26'"),
                 1, "the time stays when its row is touched");
    stream_free(stream);
    world_detach(&w);
}

Test(db_ddl, string_keys_tell_case_apart)
{
    struct world w = {0};
    world_attach(&w);
    struct stream_spec spec = readings_spec();
    spec.name = "casing";
    spec.entity.table = "devices_casing";
    struct stream *stream = stream_of(&spec);
    make_tables(&w, stream);
    world_exec(&w,
               "INSERT INTO devices_casing (serial) VALUES ('a'), ('A'), ('\xc3\xa4')");
    cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM devices_casing"), 3);
    stream_free(stream);
    world_detach(&w);
}

Test(db_ddl, alterations_are_found)
{
    static const struct {
        const char *sql;
        size_t entity;
        size_t event;
    } steps[] = {
        {"ALTER TABLE botnet_nodes_altered MODIFY country VARCHAR(20)", 1, 0},
        {"ALTER TABLE botnet_nodes_altered DROP COLUMN cleaned_time", 1, 0},
        {"ALTER TABLE botnet_nodes_altered DROP COLUMN city", 2, 0},
        {"ALTER TABLE botnet_nodes_altered MODIFY status ENUM('active','inactive')", 3,
         0},
        {"ALTER TABLE botnet_nodes_altered ADD owner INT NOT NULL", 4, 0},
        {"ALTER TABLE botnet_nodes_altered MODIFY first_seen TIMESTAMP NULL DEFAULT NULL "
         "ON UPDATE CURRENT_TIMESTAMP",
         5, 0},
        {"ALTER TABLE botnet_communications_altered MODIFY event_type VARCHAR(50) "
         "CHARACTER SET latin1",
         5, 1},
        {"ALTER TABLE botnet_communications_altered MODIFY received_at DATETIME", 5, 2},
        {"ALTER TABLE botnet_communications_altered DROP COLUMN isp, "
         "ADD COLUMN isp VARCHAR(255) AS (concat(ip, 'x'))",
         5, 3},
        {"ALTER TABLE botnet_communications_altered MODIFY asn TEXT", 5, 3},
    };
    struct world w = {0};
    world_attach(&w);
    struct stream_spec spec = botnet_spec("altered");
    struct stream *stream = stream_of(&spec);
    make_tables(&w, stream);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        world_exec(&w, steps[i].sql);
        assert_differences(&w, stream, true, steps[i].entity);
        assert_differences(&w, stream, false, steps[i].event);
    }
    stream_free(stream);
    world_detach(&w);
}

/* A user with the granted rights and no other makes the tables and works on them. */
Test(db_ddl, grants_are_enough)
{
    struct world w = {0};
    world_attach(&w);
    struct stream_spec spec = botnet_spec("granted");
    struct stream *stream = stream_of(&spec);
    struct buf sql = {0};
    struct ddl_rights rights = {w.database, "o'hold\\fast", "holdfast_ledger", true};
    ddl_append_grants(&sql, (const struct stream *const *)&stream, 1, &rights);
    world_exec(&w, "SET sql_mode = ''");
    world_exec(&w, "CREATE USER 'o''hold\\\\fast'@'%'");
    world_exec(&w, buf_text(&sql));
    MYSQL *user = mysql_init(NULL);
    cr_assert_not_null(
        mysql_real_connect(user, NULL, "o'hold\\fast", "", w.database, 0, w.socket, 0),
        "%s", mysql_error(user));
    static const char *const statements[] = {
        "CREATE TABLE IF NOT EXISTS holdfast_ledger (a INT PRIMARY KEY) ENGINE=InnoDB",
        "INSERT INTO botnet_nodes_granted (ip) VALUES ('1.2.3.4')",
        "SELECT @id := id FROM botnet_nodes_granted FOR UPDATE",
        "UPDATE botnet_nodes_granted SET communication_count = 1",
        "INSERT INTO botnet_communications_granted SET node_id = @id, ip = '1.2.3.4'",
    };
    buf_clear(&sql);
    ddl_append_entity_table(&sql, stream);
    cr_assert_eq(mysql_query(user, buf_text(&sql)), 0, "%s", mysql_error(user));
    buf_clear(&sql);
    ddl_append_event_table(&sql, stream);
    cr_assert_eq(mysql_query(user, buf_text(&sql)), 0, "%s", mysql_error(user));
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        cr_assert_eq(mysql_query(user, statements[i]), 0, "%s: %s", statements[i],
                     mysql_error(user));
        mysql_free_result(mysql_store_result(user));
    }
    cr_assert_neq(mysql_query(user, "DELETE FROM botnet_communications_granted"), 0,
                  "more rights than are needed");
    mysql_close(user);
    buf_free(&sql);
    stream_free(stream);
    world_detach(&w);
}
