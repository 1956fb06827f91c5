/* tests/faults/hostile_rights.c: the database user has what `holdfast schema` prints and
 * no more; a server that changes the session behind the engine's back; and the rights of
 * the files that the engine makes. */
#include "tests/faults/hostile.h"
#include "tests/process.h"

#include <ftw.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char make_user[] =
    "DROP USER IF EXISTS least@'%'; CREATE USER least@'%' IDENTIFIED BY 'it''s \\\\ one'";
static const char password[] = "it's \\ one\n";

/* An engine that logs in as `least`, with what `schema` printed. */
static int begin(struct stage *stage, const struct stage_plan *plan, bool create,
                 struct err *err)
{
    static char server[HOSTILE_PATH_MAX + 64];
    static const char *const schema[] = {"schema", NULL};
    char path[HOSTILE_PATH_MAX];
    struct buf sql = {0};
    hostile_path(stage, "password", path);
    (void)snprintf(server, sizeof server, ", password_file: '%s', create_tables: %s",
                   path, create ? "true" : "false");
    int code = stage_begin(stage, plan, err);
    code = code ? code : hostile_write(path, password, err);
    stage->options.user = "least";
    stage->options.server = server;
    code = code ? code : stage_configure(stage, err);
    code = code ? code : stage_exec(stage, make_user, err);
    if (code == 0 && engine_command(&stage->engine, schema, &sql) != 0)
        hostile_breaks(stage, "I8", "schema: %.300s", buf_text(&sql));
    code = code ? code : stage_exec(stage, buf_text(&sql), err);
    buf_free(&sql);
    return code;
}

/* What a user runs day by day, as the same database user. */
static void run_commands(struct stage *stage)
{
    static const char *const commands[][4] = {
        {"validate", "--database", NULL},
        {"check", NULL},
        {"audit", NULL},
        {"audit", "--deep", NULL},
        {"repair", "--execute", NULL},
        {"repair", "--counts", "--execute", NULL},
        {"status", NULL},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct buf out = {0};
        int exit_code = engine_command(&stage->engine, commands[i], &out);
        if (exit_code != 0)
            hostile_breaks(stage, "I8", "as least: %s %s exits %d: %.400s",
                           commands[i][0], commands[i][1] ? commands[i][1] : "",
                           exit_code, out.len ? buf_text(&out) : "");
        buf_free(&out);
    }
}

static int run_least(struct stage *stage, const struct stage_plan *plan, bool create,
                     struct err *err)
{
    int64_t sessions = 0;
    int code = begin(stage, plan, create, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : stage_feed(stage, err);
    code = code ? code : stage_settle(stage, err);
    code = code ? code : stage_compare(stage, err);
    code = code ? code
                : stage_number(stage,
                               "SELECT COUNT(*) FROM information_schema.processlist "
                               "WHERE user = 'least'",
                               &sessions, err);
    if (code == 0 && sessions == 0)
        code = err_set(err, ERR_INTERNAL, 0, "the engine is not logged in as least");
    if (code == 0)
        run_commands(stage);
    return code;
}

int hostile_least_rights(struct stage *stage, struct err *err)
{
    struct stage_plan plan = {.seed = 1, .fresh_tables = true, .lanes = 2};
    int code = run_least(stage, &plan, true, err);
    plan = (struct stage_plan){.seed = 2, .checked_only = true};
    return code ? code : run_least(stage, &plan, true, err);
}

int hostile_least_rights_without_create(struct stage *stage, struct err *err)
{
    struct stage_plan plan = {.seed = 3, .fresh_tables = true};
    int64_t rights = 0;
    int code = run_least(stage, &plan, false, err);
    code = code ? code
                : stage_number(stage,
                               "SELECT COUNT(*) FROM information_schema.table_privileges "
                               "WHERE grantee LIKE '%least%' AND privilege_type NOT IN "
                               "('SELECT', 'INSERT', 'UPDATE')",
                               &rights, err);
    if (code == 0 && rights != 0)
        hostile_breaks(stage, "I2", "%lld rights more than reading and writing",
                       (long long)rights);
    return code;
}

/* init_connect runs for whoever is no administrator, before the engine's first word: a
 * session in GBK would read escaped text in another way. */
static int run_init_connect(struct stage *stage, bool checked, struct err *err)
{
    static const char body[] =
        "{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600,\"country\":\"\xc2\xbf'\\\\\","
        "\"isp\":\"\xe4\xb8\xad\xe5\x9b\xbd\"}";
    static const char init_connect[] =
        "SET GLOBAL init_connect = 'SET NAMES gbk, sql_mode = "
        "\\'NO_BACKSLASH_ESCAPES\\', autocommit = 0'";
    static const char right_rows[] = "SELECT COUNT(*) FROM botnet_nodes_mozi WHERE "
                                     "HEX(country) = 'C2BF275C' AND HEX(isp) = "
                                     "'E4B8ADE59BBD'";
    struct stage_plan plan = {
        .seed = 4, .streams = 1, .records = 20, .checked_only = checked};
    int64_t rows = 0;
    struct buf out = {0};
    int code = begin(stage, &plan, true, err);
    code = code ? code : stage_exec(stage, init_connect, err);
    code = code ? code : stage_start(stage, err);
    if (code == 0 && hostile_post(stage, "mozi", slice_text(body), &out) != 200)
        hostile_breaks(stage, "I8", "refused: %.300s", out.len ? buf_text(&out) : "");
    code = code ? code : stage_number(stage, right_rows, &rows, err);
    if (code == 0 && rows != 1)
        hostile_breaks(stage, "I2", "text is not stored as it was sent (%s path)",
                       checked ? "checked" : "fast");
    engine_kill(&stage->engine);
    buf_free(&out);
    return code;
}

int hostile_init_connect(struct stage *stage, struct err *err)
{
    struct err ignored;
    int code = run_init_connect(stage, false, err);
    code = code ? code : run_init_connect(stage, true, err);
    (void)stage_exec(stage, "SET GLOBAL init_connect = ''", &ignored);
    return code;
}

/* In a grant on a whole database "_" stands for any character. */
int hostile_grant_wildcards(struct stage *stage, struct err *err)
{
    static const char *const schema[] = {"schema", NULL};
    struct stage_plan plan = {.streams = 1, .records = 20};
    struct buf sql = {0};
    int code = stage_begin(stage, &plan, err);
    stage->options.database = "hold_fast";
    stage->options.user = "least";
    code = code ? code : stage_configure(stage, err);
    code = code ? code
                : stage_exec(stage,
                             "DROP DATABASE IF EXISTS hold_fast; DROP DATABASE IF EXISTS "
                             "holdXfast; CREATE DATABASE hold_fast; CREATE DATABASE "
                             "holdXfast",
                             err);
    code = code ? code : stage_exec(stage, make_user, err);
    if (code == 0 && engine_command(&stage->engine, schema, &sql) != 0)
        hostile_breaks(stage, "I8", "schema: %.300s", buf_text(&sql));
    code = code ? code : stage_exec(stage, "USE hold_fast", err);
    code = code ? code : stage_exec(stage, buf_text(&sql), err);
    code = code ? code : stage_exec(stage, "USE holdfast", err);
    MYSQL *session = code == 0 ? mysql_init(NULL) : NULL;
    if (session &&
        mysql_real_connect(session, NULL, "least", "it's \\ one", "hold_fast", 0,
                           stage->server.socket, 0) &&
        mysql_query(session, "CREATE TEMPORARY TABLE t (a INT)") == 0) {
        if (mysql_query(session, "CREATE TEMPORARY TABLE holdXfast.t (a INT)") == 0)
            hostile_breaks(stage, "I2", "the grants on hold_fast reach holdXfast");
    } else if (code == 0) {
        hostile_breaks(stage, "I8", "the grants don't reach their own database: %s",
                       session ? mysql_error(session) : "no session");
    }
    mysql_close(session);
    buf_free(&sql);
    return code;
}

/* ---- Files --------------------------------------------------------------------------
 */

static struct stage *looking; /* nftw has no context */

static int look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    if (st->st_mode & 077)
        hostile_breaks(looking, "I2", "%s has the mode %o", path,
                       (unsigned)(st->st_mode & 07777));
    return 0;
}

int hostile_permissions(struct stage *stage, struct err *err)
{
    struct stage_plan plan = {.seed = 5, .records = 60, .streams = 1};
    char backup[HOSTILE_PATH_MAX];
    char export[HOSTILE_PATH_MAX];
    char socket[HOSTILE_PATH_MAX];
    struct stat st;
    hostile_path(stage, "backup", backup);
    hostile_path(stage, "export.ndjson", export);
    const char *const commands[][5] = {{"journal", "backup", backup, NULL},
                                       {"journal", "export", "--output", export, NULL}};
    mode_t before = umask(0);
    int code = stage_begin(stage, &plan, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : stage_feed(stage, err);
    for (size_t i = 0; code == 0 && i < 2; i++) {
        struct buf out = {0};
        if (engine_command(&stage->engine, commands[i], &out) != 0)
            hostile_breaks(stage, "I8", "journal %s: %.300s", commands[i][1],
                           buf_text(&out));
        buf_free(&out);
    }
    (void)umask(before);
    (void)snprintf(socket, sizeof socket, "%s/control.sock", stage->engine.journal);
    if (code == 0 && (stat(socket, &st) != 0 || !S_ISSOCK(st.st_mode)))
        code = err_set(err, ERR_INTERNAL, 0, "there is no %s", socket);
    looking = stage;
    if (code == 0) {
        (void)nftw(stage->engine.journal, look, 16, FTW_PHYS);
        (void)nftw(backup, look, 16, FTW_PHYS);
        (void)nftw(export, look, 16, FTW_PHYS);
    }
    return code;
}
