/* tests/faults/cluster.c: see cluster.h. */
#include "tests/faults/cluster.h"

#include "tests/process.h"

#include <errno.h>
#include <ftw.h>
#include <mysql.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PORTS_EACH = 4,
    ARGUMENTS_MAX = 48,
    ARGUMENT_SIZE = 640,
    INSTALL_TIMEOUT_MS = 120000,
    RECOVER_TIMEOUT_MS = 60000,
    READY_TIMEOUT_MS = 90000,
    STOP_TIMEOUT_MS = 30000,
    LOOK_MS = 50,
};

static const char provider[] = "/usr/lib/galera/libgalera_smm.so";
static const char user[] = "mysql";

/* ---- What there is ----------------------------------------------------------------- */

int cluster_can_run(struct err *err)
{
    static const struct {
        const char *path;
        const char *package;
    } needed[] = {
        {provider, "galera-4"},
        {"/usr/sbin/mariadbd", "mariadb-server-core"},
        {"/usr/bin/wsrep_sst_rsync", "mariadb-server"},
        {"/usr/bin/rsync", "rsync"},
        {"/usr/bin/setpriv", "util-linux"},
    };
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (access(needed[i].path, R_OK) != 0)
            return err_set(err, ERR_NOT_FOUND, 0, "no %s: install the Debian package %s",
                           needed[i].path, needed[i].package);
    }
    if (geteuid() == 0 && !getpwnam(user))
        return err_set(err, ERR_NOT_FOUND, 0,
                       "no user mysql, as whom rsync could run: install mariadb-server");
    return 0;
}

/* ---- Arguments --------------------------------------------------------------------- */

struct arguments {
    char text[ARGUMENTS_MAX][ARGUMENT_SIZE];
    size_t count;
    bool failed; /* one too many, or too long */
};

static void add(struct arguments *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct arguments *to, const char *format, ...)
{
    if (to->count + 1 >= ARGUMENTS_MAX) {
        to->failed = true;
        return;
    }
    va_list values;
    va_start(values, format);
    int len = vsnprintf(to->text[to->count], ARGUMENT_SIZE, format, values);
    va_end(values);
    to->failed = to->failed || len < 0 || len >= ARGUMENT_SIZE;
    to->count++;
}

static void add_user(struct arguments *to)
{
    if (geteuid() != 0)
        return;
    add(to, "setpriv");
    add(to, "--reuid=%s", user);
    add(to, "--regid=%s", user);
    add(to, "--clear-groups");
    add(to, "--pdeathsig=KILL"); /* it is lost with the change of user */
}

static int start(const struct arguments *arguments, const char *log, pid_t *out_pid,
                 struct err *err)
{
    const char *list[ARGUMENTS_MAX];
    if (arguments->failed)
        return err_set(err, ERR_INVALID, 0, "a server's arguments are too long");
    for (size_t i = 0; i < arguments->count; i++)
        list[i] = arguments->text[i];
    list[arguments->count] = NULL;
    return process_start(list, log, SIGKILL, out_pid, err);
}

static void add_group(struct arguments *to, const struct cluster *cluster,
                      const struct cluster_node *node)
{
    add(to, "--wsrep-on=ON");
    add(to, "--wsrep-provider=%s", provider);
    add(to, "--wsrep-cluster-name=holdfast");
    add(to, "--wsrep-cluster-address=gcomm://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
        cluster->nodes[0].port + 1, cluster->nodes[1].port + 1,
        cluster->nodes[2].port + 1);
    add(to, "--wsrep-node-name=node%d", (int)(node - cluster->nodes));
    add(to, "--wsrep-node-address=127.0.0.1:%d", node->port + 1);
    add(to, "--wsrep-sst-method=rsync");
    add(to, "--wsrep-sst-receive-address=127.0.0.1:%d", node->port + 3);
    /* who is silent is out after two seconds, as the points have no time for more */
    add(to,
        "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:%d;"
        "ist.recv_addr=127.0.0.1:%d;gcache.size=32M;evs.keepalive_period=PT0.5S;"
        "evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S",
        node->port + 1, node->port + 2);
}

static void add_server(struct arguments *to, const struct cluster *cluster,
                       const struct cluster_node *node)
{
    add_user(to);
    add(to, "/usr/sbin/mariadbd");
    add(to, "--no-defaults");
    add(to, "--datadir=%s/data", node->dir);
    add(to, "--socket=%s/sock", node->dir);
    add(to, "--pid-file=%s/pid", node->dir);
    add(to, "--tmpdir=%s", node->dir);
    add(to, "--port=%d", node->port);
    add(to, "--bind-address=127.0.0.1");
    add(to, "--skip-name-resolve");
    add(to, "--character-set-server=utf8mb4");
    add(to, "--binlog-format=ROW");
    add(to, "--innodb-autoinc-lock-mode=2");
    add(to, "--innodb-flush-log-at-trx-commit=1");
    add(to, "--innodb-buffer-pool-size=48M");
    add(to, "--innodb-log-file-size=16M");
    add(to, "--performance-schema=OFF");
    add_group(to, cluster, node);
}

/* ---- Starting ---------------------------------------------------------------------- */

static int run_to_end(const struct arguments *arguments, const char *log, int timeout_ms,
                      struct err *err)
{
    pid_t pid = 0;
    int exit_code = -1;
    int code = start(arguments, log, &pid, err);
    if (code != 0)
        return code;
    if (!process_wait(pid, timeout_ms, &exit_code)) {
        process_kill(pid);
        exit_code = -1;
    }
    return exit_code ? err_set(err, ERR_IO, 0, "a server's tool ended with %d; see %s",
                               exit_code, log)
                     : 0;
}

static int install(const struct cluster_node *node, struct err *err)
{
    struct arguments arguments = {0};
    add_user(&arguments);
    add(&arguments, "mariadb-install-db");
    add(&arguments, "--no-defaults");
    add(&arguments, "--auth-root-authentication-method=normal");
    add(&arguments, "--skip-name-resolve");
    add(&arguments, "--skip-test-db");
    add(&arguments, "--datadir=%s/data", node->dir);
    return run_to_end(&arguments, node->log, INSTALL_TIMEOUT_MS, err);
}

/* `position`: where its data are, by cluster_revive; "": it finds out. */
static int launch(struct cluster *cluster, unsigned number, bool first,
                  const char *position, struct err *err)
{
    struct cluster_node *node = &cluster->nodes[number];
    struct arguments arguments = {0};
    add_server(&arguments, cluster, node);
    if (first)
        add(&arguments, "--wsrep-new-cluster");
    if (position[0])
        add(&arguments, "--wsrep-start-position=%s", position);
    node->frozen = false;
    return start(&arguments, node->log, &node->pid, err);
}

struct st_mysql *cluster_connect(const struct cluster *cluster, unsigned number,
                                 const char *database)
{
    char path[CLUSTER_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/sock", cluster->nodes[number].dir);
    MYSQL *session = mysql_init(NULL);
    unsigned timeout_s = 10;
    if (!session)
        return NULL;
    (void)mysql_options(session, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    (void)mysql_options(session, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (mysql_real_connect(session, NULL, "root", "", database, 0, path, 0) &&
        mysql_query(session, "SET SESSION wsrep_sync_wait = 1") == 0)
        return session;
    mysql_close(session);
    return NULL;
}

static int column(const struct cluster *cluster, unsigned number, const char *sql,
                  unsigned index, int64_t *out_number, struct err *err)
{
    MYSQL *session = cluster_connect(cluster, number, NULL);
    if (!session)
        return err_set(err, ERR_TRANSIENT, 0, "node %u takes no session", number);
    MYSQL_RES *result = NULL;
    if (mysql_query(session, sql) == 0)
        result = mysql_store_result(session);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    int code = 0;
    if (row && row[index])
        *out_number =
            strcmp(row[index], "Primary") == 0 ? 1 : strtoll(row[index], NULL, 10);
    else
        code = err_set(err, ERR_TRANSIENT, (int)mysql_errno(session),
                       "node %u: %.100s: %s", number, sql, mysql_error(session));
    mysql_free_result(result);
    mysql_close(session);
    return code;
}

int cluster_number(const struct cluster *cluster, unsigned number, const char *sql,
                   int64_t *out_number, struct err *err)
{
    return column(cluster, number, sql, 0, out_number, err);
}

int cluster_status(const struct cluster *cluster, unsigned number, const char *name,
                   int64_t *out_number, struct err *err)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, "SHOW GLOBAL STATUS LIKE '%s'", name);
    return column(cluster, number, sql, 1, out_number, err);
}

int cluster_await(struct cluster *cluster, unsigned number, struct err *err)
{
    struct cluster_node *node = &cluster->nodes[number];
    int64_t end = process_now_ms() + READY_TIMEOUT_MS;
    struct err why = {0};
    while (process_now_ms() < end) {
        int64_t state = 0;
        int64_t primary = 0;
        int exit_code;
        if (cluster_status(cluster, number, "wsrep_local_state", &state, &why) == 0 &&
            cluster_status(cluster, number, "wsrep_cluster_status", &primary, &why) ==
                0 &&
            state == 4 && primary == 1)
            return 0;
        if (process_wait(node->pid, LOOK_MS, &exit_code)) {
            node->pid = 0;
            return err_set(err, ERR_IO, 0, "node %u ended with %d; see %s", number,
                           exit_code, node->log);
        }
    }
    return err_set(err, ERR_TIMEOUT, 0, "node %u is not synced; see %s", number,
                   node->log);
}

/* ---- Directories ------------------------------------------------------------------- */

static int own(const char *path, struct err *err)
{
    const struct passwd *who = geteuid() == 0 ? getpwnam(user) : NULL;
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_set_errno(err, ERR_IO, errno, "can't make %s", path);
    if (who && chown(path, who->pw_uid, who->pw_gid) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't give %s away", path);
    return 0;
}

static int make_directory(struct cluster_node *node, struct err *err)
{
    char data[CLUSTER_PATH_MAX + 8];
    (void)snprintf(data, sizeof data, "%s/data", node->dir);
    int code = own(node->dir, err);
    return code ? code : own(data, err);
}

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int empty(struct cluster_node *node, struct err *err)
{
    char data[CLUSTER_PATH_MAX + 8];
    (void)snprintf(data, sizeof data, "%s/data", node->dir);
    (void)nftw(data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return make_directory(node, err);
}

/* ---- Life -------------------------------------------------------------------------- */

/* One after the other, since only one can be given its state at a time. */
static int join_all(struct cluster *cluster, unsigned first,
                    const char positions[CLUSTER_NODES][CLUSTER_POSITION_MAX],
                    struct err *err)
{
    int code = launch(cluster, first, true, positions[first], err);
    code = code ? code : cluster_await(cluster, first, err);
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0; i++) {
        if (i == first)
            continue;
        code = launch(cluster, i, false, positions[i], err);
        code = code ? code : cluster_await(cluster, i, err);
    }
    return code;
}

int cluster_open(struct cluster *cluster, const char *dir, uint16_t first_port,
                 struct err *err)
{
    static const char nowhere[CLUSTER_NODES][CLUSTER_POSITION_MAX];
    *cluster = (struct cluster){0};
    if (chmod(dir, 0711) != 0)
        return err_set_errno(err, ERR_IO, errno, "can't open %s", dir);
    int code = 0;
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        (void)snprintf(node->dir, sizeof node->dir, "%.150s/node%u", dir, i);
        (void)snprintf(node->log, sizeof node->log, "%.150s/node%u.log", dir, i);
        node->port = (uint16_t)(first_port + i * PORTS_EACH);
        code = make_directory(node, err);
    }
    code = code ? code : install(&cluster->nodes[0], err);
    return code ? code : join_all(cluster, 0, nowhere, err);
}

void cluster_thaw(struct cluster *cluster, unsigned number)
{
    struct cluster_node *node = &cluster->nodes[number];
    if (node->pid && node->frozen)
        (void)kill(node->pid, SIGCONT);
    node->frozen = false;
}

void cluster_freeze(struct cluster *cluster, unsigned number)
{
    struct cluster_node *node = &cluster->nodes[number];
    if (node->pid)
        node->frozen = kill(node->pid, SIGSTOP) == 0;
}

void cluster_kill(struct cluster *cluster, unsigned number)
{
    struct cluster_node *node = &cluster->nodes[number];
    if (node->pid)
        process_kill(node->pid);
    node->pid = 0;
    node->frozen = false;
}

void cluster_close(struct cluster *cluster)
{
    for (unsigned i = 0; i < CLUSTER_NODES; i++)
        cluster_kill(cluster, i);
}

/* The last line of the log that tells it. */
static int find_position(const struct cluster_node *node,
                         char out_position[CLUSTER_POSITION_MAX], struct err *err)
{
    static const char mark[] = "Recovered position: ";
    char line[ARGUMENT_SIZE];
    FILE *file = fopen(node->log, "re");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "can't read %s", node->log);
    out_position[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        const char *at = strstr(line, mark);
        if (at) {
            (void)snprintf(out_position, CLUSTER_POSITION_MAX, "%.*s",
                           CLUSTER_POSITION_MAX - 1, at + sizeof mark - 1);
            out_position[strcspn(out_position, "\n")] = '\0';
        }
    }
    (void)fclose(file);
    return out_position[0] ? 0
                           : err_set(err, ERR_IO, 0, "%s tells no position", node->log);
}

static int recover_position(struct cluster *cluster, unsigned number,
                            char out_position[CLUSTER_POSITION_MAX], struct err *err)
{
    struct cluster_node *node = &cluster->nodes[number];
    struct arguments arguments = {0};
    add_server(&arguments, cluster, node);
    add(&arguments, "--wsrep-recover");
    int code = run_to_end(&arguments, node->log, RECOVER_TIMEOUT_MS, err);
    return code ? code : find_position(node, out_position, err);
}

/* Without its position, which a killed server hasn't written down, a node would ask for
 * all the data. */
int cluster_rejoin(struct cluster *cluster, unsigned number, bool emptied,
                   struct err *err)
{
    char position[CLUSTER_POSITION_MAX] = "";
    int code = emptied ? empty(&cluster->nodes[number], err)
                       : recover_position(cluster, number, position, err);
    code = code ? code : launch(cluster, number, false, position, err);
    return code ? code : cluster_await(cluster, number, err);
}

static long long seqno_of(const char *position)
{
    const char *colon = strrchr(position, ':');
    return colon ? strtoll(colon + 1, NULL, 10) : -1;
}

/* A person says so, who has seen that no other node got further. */
static int allow_bootstrap(const struct cluster_node *node, const char *position,
                           struct err *err)
{
    char path[CLUSTER_PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/data/grastate.dat", node->dir);
    FILE *file = fopen(path, "we");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "can't write %s", path);
    const char *colon = strrchr(position, ':');
    int put = fprintf(file,
                      "# GALERA saved state\nversion: 2.1\nuuid:    %.*s\nseqno:   -1\n"
                      "safe_to_bootstrap: 1\n",
                      (int)(colon ? colon - position : 0), position);
    return fclose(file) != 0 || put < 0
               ? err_set_errno(err, ERR_IO, errno, "can't write %s", path)
               : 0;
}

int cluster_revive(struct cluster *cluster, struct err *err)
{
    char positions[CLUSTER_NODES][CLUSTER_POSITION_MAX] = {{0}};
    unsigned furthest = 0;
    int code = 0;
    for (unsigned i = 0; i < CLUSTER_NODES && code == 0; i++) {
        code = recover_position(cluster, i, positions[i], err);
        if (code == 0 && seqno_of(positions[i]) > seqno_of(positions[furthest]))
            furthest = i;
    }
    code = code ? code
                : allow_bootstrap(&cluster->nodes[furthest], positions[furthest], err);
    return code ? code
                : join_all(cluster, furthest,
                           (const char(*)[CLUSTER_POSITION_MAX])positions, err);
}
