/* The fixture itself: a server that is killed keeps what it has committed. */
#include "tests/world.h"

#include <criterion/criterion.h>

#include <mysql.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(world, commits_survive_a_kill)
{
    struct world w = {0};
    world_start(&w);
    world_exec(&w, "CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB;"
                   "INSERT INTO t VALUES (1), (2)");
    world_exec(&w, "BEGIN; INSERT INTO t VALUES (3)");
    uint16_t port = w.port;

    world_kill_db(&w);
    cr_assert_null(world_connect(&w), "a killed server must not answer");
    world_start_db(&w);

    cr_assert_eq(w.port, port);
    cr_assert_eq(world_scalar(&w, "SELECT COUNT(*) FROM t"), 2);
    cr_assert_eq(world_scalar(&w, "SELECT @@innodb_flush_log_at_trx_commit"), 1);
    world_stop(&w);
}

Test(world, stop_leaves_nothing)
{
    struct world w = {0};
    world_start(&w);
    char dir[WORLD_PATH_MAX];
    memcpy(dir, w.dir, sizeof dir);
    pid_t server = w.server_pid;

    world_stop(&w);

    cr_assert_neq(access(dir, F_OK), 0);
    cr_assert_neq(kill(server, 0), 0);
    world_stop(&w);
}

Test(world, server_takes_arguments_and_ends_in_order)
{
    static const char *const args[] = {"--max-allowed-packet=1M", NULL};
    struct world w = {.server_args = args};
    world_start(&w);
    cr_assert_eq(world_scalar(&w, "SELECT @@max_allowed_packet"), 1048576);

    world_stop_db(&w);
    world_start_db(&w);

    char *name = world_text(&w, "SELECT DATABASE()");
    cr_assert_str_eq(name, w.database);
    free(name);
    world_stop(&w);
}

Test(world, errors_have_their_number)
{
    struct world w = {0};
    world_start(&w);
    cr_assert_eq(world_try(&w, "SELECT * FROM nowhere"), 1146);
    cr_assert_eq(world_try(&w, "SELECT 1; SELECT * FROM nowhere"), 1146);
    cr_assert_eq(world_try(&w, "SELECT 1; SELECT 2"), 0);
    world_stop(&w);
}
