/* run.sh's server: a clone may lie in any directory. */
#include "tests/private_server.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

Test(private_server, lives_in_a_directory_with_a_blank)
{
    char parent[] = "/tmp/holdfast test XXXXXX";
    char dir[SERVER_PATH_MAX];
    struct private_server server = {0};
    struct err err = {0};
    cr_assert_not_null(mkdtemp(parent));
    snprintf(dir, sizeof dir, "%s/db", parent);

    int code = private_server_start(&server, dir, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    MYSQL *session = private_server_connect(&server);
    cr_assert_not_null(session);
    cr_assert_eq(mysql_query(session, "CREATE TABLE t (a INT)"), 0);

    mysql_close(session);
    private_server_stop(&server);
    world_remove_dir(parent);
}
