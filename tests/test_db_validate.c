/* `holdfast validate --database` against a real server: it tells all and changes nothing.
 */
#include "tests/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000 };

struct bench {
    struct world w;
    char config[WORLD_PATH_MAX];
};

static void setup(struct bench *bench, const char *database)
{
    char text[1024];
    *bench = (struct bench){0};
    world_start(&bench->w);
    world_path(&bench->w, "holdfast.yaml", bench->config);
    (void)snprintf(
        text, sizeof text,
        "journal: {path: %s/journal}\n"
        "database: {socket: %s, name: holdfast, user: root%s}\n"
        "streams: [{name: mozi, preset: botnet}, {name: test, preset: botnet}]\n",
        bench->w.dir, bench->w.socket, database);
    world_write_file(bench->config, text);
}

static void expect(const struct bench *bench, int exit_code, const char *holds)
{
    const char *argv[] = {world_holdfast(), "validate",    "--database",
                          "--config",       bench->config, NULL};
    char log[WORLD_PATH_MAX];
    world_path(&bench->w, "validate.log", log);
    (void)remove(log);
    int code = world_wait(world_spawn(argv, NULL, log), TIMEOUT_MS);
    char *said = world_read_file(log);
    cr_assert_eq(code, exit_code, "%d: %s", code, said);
    cr_assert(strstr(said, holds), "%s lacks: %s", said, holds);
    free(said);
}

static void expect_tables(struct bench *bench, int64_t count)
{
    cr_assert_eq(world_scalar(&bench->w, "SELECT COUNT(*) FROM information_schema.tables "
                                         "WHERE table_schema = 'holdfast'"),
                 count);
}

Test(validate, what_serve_would_make_is_no_difference)
{
    struct bench bench;
    setup(&bench, "");
    expect(&bench, 0,
           "notes: table holdfast_ledger is not there; it will be made\n"
           "table botnet_nodes_mozi is not there; it will be made\n"
           "table botnet_communications_mozi is not there; it will be made\n"
           "table botnet_nodes_test is not there; it will be made\n");
    expect_tables(&bench, 0);
    world_stop(&bench.w);
}

Test(validate, what_is_there_is_compared_though_the_rest_is_missing)
{
    struct bench bench;
    setup(&bench, "");
    world_exec(&bench.w, "CREATE TABLE botnet_nodes_test (id INT AUTO_INCREMENT PRIMARY "
                         "KEY, ip VARCHAR(15) NOT NULL)");
    expect(&bench, 1, "stream test: table botnet_nodes_test");
    expect_tables(&bench, 1);
    world_stop(&bench.w);
}

Test(validate, what_nobody_would_make_is_missing)
{
    struct bench bench;
    setup(&bench, ", create_tables: false");
    expect(&bench, 1, "table holdfast_ledger is missing");
    expect_tables(&bench, 0);
    world_stop(&bench.w);
}
