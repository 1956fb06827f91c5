#include "replay/db.h"
#include "replay/classify.h"
#include "replay/db_hosts.h"
#include "replay/login_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STATEMENT_HEAD_MAX = 120,
    PASSWORD_MAX = 1024,
    CONNECT_TIMEOUT_S = 4, /* db_abort can't cut a login: it ends before a stop's time */
    SERVER_PACKET_TOO_LARGE = 1153,
    CLIENT_SERVER_GONE = 2006,
    CLIENT_OUT_OF_MEMORY = 2008,
    CLIENT_PVIO_PLUGIN = 101,           /* <mysql/client_plugin.h> can't be included */
    CLIENT_LOCAL_INFILE_REFUSED = 4166, /* ER_LOAD_INFILE_CAPABILITY_DISABLED */
};

#define SERVER_VALUES_DEPRECATED "1287"

struct db {
    MYSQL *handle; /* NULL once the connection is lost */
    struct db_hosts *hosts;
    uint64_t generation; /* of the list's present host at connect */
    struct db_server server;
    char statement[STATEMENT_HEAD_MAX + 4];
    pthread_mutex_t socket_lock; /* against db_abort from another thread */
    int socket;                  /* our own copy of the descriptor; -1: none */
    bool aborted;                /* as soon as there is a socket, it is shut */
    struct infile *infile; /* what a LOAD DATA LOCAL under way is to send, or NULL */
};

/* ---- Errors ------------------------------------------------------------------------ */

/* Up to the first literal, or cut: record content stays out of messages. */
static void note_statement(struct db *db, struct slice sql)
{
    size_t len = sql.len < STATEMENT_HEAD_MAX ? sql.len : STATEMENT_HEAD_MAX;
    const char *literal = len ? memchr(sql.data, '\'', len) : NULL;
    if (literal) {
        len = (size_t)(literal - sql.data);
    }
    if (len) {
        memcpy(db->statement, sql.data, len);
    }
    memcpy(db->statement + len, len < sql.len ? "..." : "", len < sql.len ? 4 : 1);
}

/* Closes in order: the server is told, but nothing waits for an answer. */
static void leave(struct db *db)
{
    pthread_mutex_lock(&db->socket_lock);
    int own = db->socket;
    db->socket = -1;
    pthread_mutex_unlock(&db->socket_lock);
    mysql_close(db->handle);
    db->handle = NULL;
    if (own >= 0) {
        (void)close(own);
    }
}

/* Leaves a connection whose peer may be gone, without another word; a server that is
 * there rolls back what was open. */
static void drop(struct db *db)
{
    db_abort(db);
    leave(db);
}

static bool ends_connection(unsigned number)
{
    return (number >= 2000 && number < 3000) || number == 1053 || number == 1152 ||
           number == 1184 || number == 1927 || number == 4031;
}

/* A host that is there and takes no writes: demoted, or cut off from its cluster. */
static bool takes_no_writes(unsigned number)
{
    return number == 1290 || number == 1836 || number == 1047;
}

/* The failure of the last call, with its class. */
static int describe(struct db *db, struct err *err)
{
    unsigned number = mysql_errno(db->handle);
    if (takes_no_writes(number)) {
        db_hosts_move_on(db->hosts, db->generation); /* db_check_host says so */
    }
    int code = number ? (int)classify_server_error(number) : ERR_INTERNAL;
    return err_set(err, code, (int)number, "%s: %s (%u)", db->statement,
                   mysql_error(db->handle), number);
}

/* As describe; a lost connection is dropped. */
static int fail(struct db *db, struct err *err)
{
    unsigned number = mysql_errno(db->handle);
    int code = describe(db, err);
    if (number == 0 || ends_connection(number)) {
        drop(db);
    }
    return code;
}

static int execute(struct db *db, struct slice sql, struct err *err)
{
    note_statement(db, sql);
    if (!db->handle) {
        return err_set(err, ERR_UNKNOWN, CLIENT_SERVER_GONE,
                       "%s: the connection to the database is lost", db->statement);
    }
    /* the command's own byte counts, and the server takes less than the limit */
    if (db->server.max_allowed_packet && sql.len + 1 >= db->server.max_allowed_packet) {
        return err_set(err, ERR_RESOURCE, SERVER_PACKET_TOO_LARGE,
                       "%s: a statement of %zu bytes, but the server's "
                       "max_allowed_packet is %llu; raise it there",
                       db->statement, sql.len,
                       (unsigned long long)db->server.max_allowed_packet);
    }
    if (mysql_real_query(db->handle, sql.data, sql.len)) {
        return fail(db, err);
    }
    return 0;
}

/* ---- Statements -------------------------------------------------------------------- */

void db_rows_free(struct db_rows *rows)
{
    if (rows->memory) {
        mysql_free_result(rows->memory);
        free(rows->cells);
    }
    *rows = (struct db_rows){0};
}

static void read_row(MYSQL_RES *result, MYSQL_ROW row, struct slice *out_cells)
{
    const unsigned long *lengths = mysql_fetch_lengths(result);
    for (unsigned i = 0; i < mysql_num_fields(result); i++) {
        out_cells[i] = slice_of(row[i], row[i] ? lengths[i] : 0);
    }
}

int db_query(struct db *db, struct slice sql, struct db_rows *out_rows, struct err *err)
{
    int code = execute(db, sql, err);
    if (code) {
        return code;
    }
    /* with a result set an error can still come here */
    MYSQL_RES *result = mysql_store_result(db->handle);
    if (!result) {
        return fail(db, err);
    }
    struct db_rows rows = {.row_count = (size_t)mysql_num_rows(result),
                           .column_count = mysql_num_fields(result),
                           .memory = result};
    rows.cells = calloc(rows.row_count * rows.column_count + 1, sizeof *rows.cells);
    if (!rows.cells) {
        db_rows_free(&rows);
        return err_set(err, ERR_NOMEM, 0, "%s: no memory for %zu rows", db->statement,
                       rows.row_count);
    }
    MYSQL_ROW row;
    for (size_t i = 0; (row = mysql_fetch_row(result)); i++) {
        read_row(result, row, rows.cells + i * rows.column_count);
    }
    *out_rows = rows;
    return 0;
}

int db_query_each(struct db *db, struct slice sql,
                  bool (*visit)(const struct slice *cells, size_t count, void *context),
                  void *context, struct err *err)
{
    int code = execute(db, sql, err);
    if (code) {
        return code;
    }
    MYSQL_RES *result = mysql_use_result(db->handle);
    if (!result) {
        return fail(db, err);
    }
    size_t count = mysql_num_fields(result);
    struct slice *cells = calloc(count + 1, sizeof *cells);
    if (!cells) {
        mysql_free_result(result);
        return err_set(err, ERR_NOMEM, 0, "%s: no memory for a row", db->statement);
    }
    MYSQL_ROW row;
    bool wanted = true;
    while (wanted && (row = mysql_fetch_row(result))) {
        read_row(result, row, cells);
        wanted = visit(cells, count, context);
    }
    free(cells);
    unsigned number = wanted ? mysql_errno(db->handle) : 0;
    code = number ? describe(db, err) : 0;
    mysql_free_result(result); /* reads and drops the rest, so before the handle goes */
    if (number && ends_connection(number)) {
        drop(db);
    }
    return code;
}

/* MySQL remarks once for each VALUES() in ON DUPLICATE KEY UPDATE that it is deprecated;
 * MariaDB knows no other form. */
static int count_deprecations(struct db *db, uint64_t *out_count, struct err *err)
{
    struct db_rows rows = {0};
    uint64_t count = 0;
    int code = db_query(db, SLICE_LITERAL("SHOW WARNINGS"), &rows, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count; i++) {
        /* level, code, message */
        count += slice_is(db_cell(&rows, i, 1), SERVER_VALUES_DEPRECATED);
    }
    db_rows_free(&rows);
    *out_count = count;
    return 0;
}

static struct db_outcome outcome_of(MYSQL *handle)
{
    struct db_outcome outcome = {
        .matched = mysql_affected_rows(handle),
        .warnings = mysql_warning_count(handle),
        .insert_id = mysql_insert_id(handle),
    };
    static const char label[] = "Duplicates: ";
    const char *info = mysql_info(handle);
    const char *at = info ? strstr(info, label) : NULL;
    if (at) {
        outcome.has_duplicates = true;
        outcome.duplicates = strtoull(at + sizeof label - 1, NULL, 10);
    }
    return outcome;
}

int db_exec(struct db *db, struct slice sql, struct db_outcome *out, struct err *err)
{
    int code = execute(db, sql, err);
    if (code) {
        return code;
    }
    if (mysql_field_count(db->handle)) {
        mysql_free_result(mysql_store_result(db->handle));
        return err_set(err, ERR_INTERNAL, 0, "%s: a result set where none was expected",
                       db->statement);
    }
    struct db_outcome outcome = outcome_of(db->handle);
    uint64_t deprecations = 0;
    if (out && outcome.warnings && !db->server.is_mariadb) {
        code = count_deprecations(db, &deprecations, err);
        note_statement(db, sql);
    }
    if (code) {
        return code;
    }
    outcome.warnings -= deprecations;
    if (out) {
        *out = outcome;
    }
    return 0;
}

int db_execf(struct db *db, struct db_outcome *out, struct err *err, const char *format,
             ...)
{
    char *sql = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&sql, format, args);
    va_end(args);
    if (len < 0) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a statement");
    }
    int code = db_exec(db, slice_of(sql, (size_t)len), out, err);
    free(sql);
    return code;
}

int db_begin(struct db *db, struct err *err)
{
    return db_exec(db, SLICE_LITERAL("START TRANSACTION"), NULL, err);
}

/* Answers to COMMIT that say that nothing was committed. */
static bool refuses_commit(int number)
{
    return number == 1213 || number == 1205 || number == 1047 || number == 1290 ||
           number == 1836;
}

int db_commit(struct db *db, struct err *err)
{
    struct err why = {0};
    int code = db_exec(db, SLICE_LITERAL("COMMIT"), NULL, &why);
    if (code == 0) {
        return 0;
    }
    if (!refuses_commit(why.sys)) {
        code = ERR_UNKNOWN;
        if (db->handle) {
            drop(db);
        }
    }
    return err_set(err, code, why.sys, "%s", why.message);
}

void db_rollback(struct db *db)
{
    if (db->handle && db_exec(db, SLICE_LITERAL("ROLLBACK"), NULL, NULL) && db->handle) {
        drop(db);
    }
}

bool db_alive(const struct db *db)
{
    return db->handle != NULL;
}

const char *db_last_statement(const struct db *db)
{
    return db->statement;
}

const struct db_server *db_server(const struct db *db)
{
    return &db->server;
}

/* ---- LOAD DATA LOCAL ----------------------------------------------------------------
 *
 * A server may answer any statement by asking for a file. It gets what db_load_from was
 * given and nothing else; the client library's own handler, which opens files, is
 * replaced. */

struct infile {
    const struct db_source *source;
    struct slice rest; /* of the piece in hand */
    int failure;       /* the source's */
    struct err why;
};

static int infile_init(void **out_infile, const char *file, void *context)
{
    (void)file;
    struct db *db = context;
    *out_infile = db->infile;
    db->infile = NULL; /* once a statement */
    return *out_infile == NULL;
}

static int infile_read(void *context, char *out_bytes, unsigned room)
{
    struct infile *infile = context;
    if (infile->rest.len == 0) {
        const struct db_source *source = infile->source;
        infile->failure = source->next(source->context, &infile->rest, &infile->why);
    }
    if (infile->failure) {
        return -1;
    }
    size_t len = infile->rest.len < room ? infile->rest.len : room;
    len = len < INT32_MAX ? len : INT32_MAX;
    if (len) {
        memcpy(out_bytes, infile->rest.data, len);
        infile->rest = slice_of(infile->rest.data + len, infile->rest.len - len);
    }
    return (int)len;
}

static void infile_end(void *infile)
{
    (void)infile; /* db_load_from's own */
}

static int infile_error(void *infile, char *out_text, unsigned room)
{
    snprintf(out_text, room, "%s",
             infile ? "the data could not be made"
                    : "the server asked for a file, and gets none");
    return CLIENT_LOCAL_INFILE_REFUSED;
}

int db_load_from(struct db *db, struct slice sql, const struct db_source *source,
                 struct db_outcome *out, struct err *err)
{
    struct infile infile = {.source = source};
    db->infile = &infile;
    int code = db_exec(db, sql, out, err);
    db->infile = NULL;
    return infile.failure
               ? err_set(err, infile.failure, infile.why.sys, "%s", infile.why.message)
               : code;
}

static int give_all(void *context, struct slice *out_piece, struct err *err)
{
    (void)err;
    struct slice *data = context;
    *out_piece = *data;
    *data = (struct slice){0};
    return 0;
}

int db_load(struct db *db, struct slice sql, struct slice data, struct db_outcome *out,
            struct err *err)
{
    struct db_source source = {give_all, &data};
    return db_load_from(db, sql, &source, out, err);
}

/* ---- Connecting -------------------------------------------------------------------- */

static uint32_t or_default(uint32_t seconds, uint32_t otherwise)
{
    return seconds ? seconds : otherwise;
}

/* The file's content without the newline at its end. */
static int read_password(const char *path, char out_password[PASSWORD_MAX + 1],
                         struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, ERR_CONFIG, errno, "database.password_file %s", path);
    }
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < PASSWORD_MAX) {
        got = read(fd, out_password + len, PASSWORD_MAX - len);
        if (got < 0 && errno == EINTR) {
            got = 1;
        } else if (got > 0) {
            len += (size_t)got;
        }
    }
    int read_errno = errno;
    if (close(fd) || got != 0) {
        explicit_bzero(out_password, PASSWORD_MAX);
        return got < 0 ? err_set_errno(err, ERR_CONFIG, read_errno,
                                       "database.password_file %s", path)
                       : err_set(err, ERR_CONFIG, 0,
                                 "database.password_file %s: longer than %d bytes", path,
                                 PASSWORD_MAX - 1);
    }
    while (len && (out_password[len - 1] == '\n' || out_password[len - 1] == '\r')) {
        len--;
    }
    out_password[len] = '\0';
    return 0;
}

static bool set_options(MYSQL *handle, const struct db_config *config, bool over_tcp)
{
    unsigned connect_s = or_default(config->connect_timeout_s, CONNECT_TIMEOUT_S);
    unsigned call_s = or_default(config->call_timeout_s, 60);
    unsigned protocol = over_tcp ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
    unsigned on = 1;
    my_bool reconnect = 0;
    bool failed = mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s) ||
                  mysql_options(handle, MYSQL_OPT_READ_TIMEOUT, &call_s) ||
                  mysql_options(handle, MYSQL_OPT_WRITE_TIMEOUT, &call_s) ||
                  mysql_options(handle, MYSQL_OPT_PROTOCOL, &protocol) ||
                  mysql_options(handle, MYSQL_OPT_LOCAL_INFILE, &on) ||
                  mysql_options(handle, MYSQL_OPT_RECONNECT, &reconnect) ||
                  mysql_options(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    my_bool tls = config->tls_ca != NULL;
    my_bool verify = tls && config->tls_verify;
    failed = failed || mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &tls) ||
             mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (!failed && tls) {
        failed = mysql_options(handle, MYSQL_OPT_SSL_CA, config->tls_ca) ||
                 (config->tls_cert &&
                  mysql_options(handle, MYSQL_OPT_SSL_CERT, config->tls_cert)) ||
                 (config->tls_key &&
                  mysql_options(handle, MYSQL_OPT_SSL_KEY, config->tls_key));
    }
    return !failed;
}

/* The server's init_connect came first, and may have said anything: above all in which
 * character set the session reads, since text is escaped for UTF-8. */
static int set_up_session(struct db *db, const struct db_config *config, struct err *err)
{
    int code = db_exec(db, SLICE_LITERAL("SET NAMES utf8mb4"), NULL, err);
    code = code ? code
                : db_exec(db,
                          SLICE_LITERAL("SET SESSION TRANSACTION ISOLATION LEVEL "
                                        "READ COMMITTED, READ WRITE"),
                          NULL, err);
    if (code) {
        return code;
    }
    return db_execf(
        db, NULL, err,
        "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,"
        "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', "
        "autocommit = 1, foreign_key_checks = 1, unique_checks = 1, "
        "sql_safe_updates = 0, sql_select_limit = 18446744073709551615, "
        "innodb_lock_wait_timeout = %u, wait_timeout = %u",
        or_default(config->lock_wait_timeout_s, 20),
        or_default(config->wait_timeout_s, 60));
}

/* What the session's variables say, as far as it matters here. */
struct facts {
    struct db_server *server;
    bool isolated;
    bool strict;
    bool utc;
    bool autocommit;
    bool wsrep_on;
    bool wsrep_provider;
    bool wsrep_synced;
    bool wsrep_primary;
};

static bool holds(struct slice list, const char *word)
{
    return list.len && memmem(list.data, list.len, word, strlen(word)) != NULL;
}

static bool visit_session(struct facts *facts, struct slice name, struct slice value)
{
    if (slice_is(name, "tx_isolation") || slice_is(name, "transaction_isolation")) {
        facts->isolated = slice_is(value, "READ-COMMITTED");
    } else if (slice_is(name, "sql_mode")) {
        facts->strict = holds(value, "STRICT_ALL_TABLES") &&
                        !holds(value, "NO_BACKSLASH_ESCAPES") &&
                        !holds(value, "ANSI_QUOTES");
    } else if (slice_is(name, "time_zone")) {
        facts->utc = slice_is(value, "+00:00");
    } else if (slice_is(name, "autocommit")) {
        facts->autocommit = slice_is(value, "ON");
    } else if (slice_is(name, "wsrep_on")) {
        facts->wsrep_on = slice_is(value, "ON");
    } else if (slice_is(name, "wsrep_provider")) {
        facts->wsrep_provider = value.len && !slice_is(value, "none");
    } else {
        return false;
    }
    return true;
}

static void visit_server(struct db_server *server, struct slice name, struct slice value)
{
    char text[32] = "";
    memcpy(text, value.data, value.len < sizeof text ? value.len : sizeof text - 1);
    if (slice_is(name, "max_allowed_packet")) {
        server->max_allowed_packet = strtoull(text, NULL, 10);
    } else if (slice_is(name, "innodb_flush_log_at_trx_commit")) {
        server->flush_each_commit = slice_is(value, "1");
    } else if (slice_is(name, "log_bin")) {
        server->binlog_on = slice_is(value, "ON");
    } else if (slice_is(name, "sync_binlog")) {
        server->binlog_synced = slice_is(value, "1");
    } else if (slice_is(name, "binlog_format")) {
        snprintf(server->binlog_format, sizeof server->binlog_format, "%.15s", text);
    } else if (slice_is(name, "innodb_doublewrite")) {
        server->doublewrite = !slice_is(value, "OFF");
    } else if (slice_is(name, "local_infile")) {
        server->local_infile = slice_is(value, "ON");
    }
}

static bool visit_variable(const struct slice *cells, size_t count, void *context)
{
    struct facts *facts = context;
    if (count == 2 && cells[0].data && cells[1].data &&
        !visit_session(facts, cells[0], cells[1])) {
        visit_server(facts->server, cells[0], cells[1]);
    }
    return true;
}

static bool visit_status(const struct slice *cells, size_t count, void *context)
{
    struct facts *facts = context;
    if (count == 2 && slice_is(cells[0], "wsrep_local_state")) {
        facts->wsrep_synced = slice_is(cells[1], "4");
    } else if (count == 2 && slice_is(cells[0], "wsrep_cluster_status")) {
        facts->wsrep_primary = slice_is(cells[1], "Primary");
    }
    return true;
}

/* The ledger is believed only from a node that has all that the cluster committed. */
static int check_galera(struct db *db, struct facts *facts, struct err *err)
{
    int code =
        db_query_each(db,
                      SLICE_LITERAL("SHOW GLOBAL STATUS WHERE Variable_name IN "
                                    "('wsrep_local_state', 'wsrep_cluster_status')"),
                      visit_status, facts, err);
    if (code) {
        return code;
    }
    if (!facts->wsrep_synced || !facts->wsrep_primary) {
        return err_set(err, ERR_TRANSIENT, 0, "the Galera node is not %s",
                       facts->wsrep_primary ? "Synced" : "in the primary component");
    }
    return db_exec(db, SLICE_LITERAL("SET SESSION wsrep_sync_wait = 7"), NULL, err);
}

static int examine_session(struct db *db, struct err *err)
{
    struct facts facts = {.server = &db->server};
    int code = db_query_each(
        db,
        SLICE_LITERAL(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', "
            "'transaction_isolation', 'sql_mode', 'time_zone', 'autocommit', "
            "'max_allowed_packet', 'innodb_flush_log_at_trx_commit', 'log_bin', "
            "'sync_binlog', 'binlog_format', 'innodb_doublewrite', 'local_infile', "
            "'wsrep_on', 'wsrep_provider')"),
        visit_variable, &facts, err);
    if (code) {
        return code;
    }
    db->server.binlog_synced |= !db->server.binlog_on;
    db->server.is_galera = facts.wsrep_on && facts.wsrep_provider;
    if (!facts.isolated || !facts.strict || !facts.utc || !facts.autocommit) {
        return err_set(err, ERR_SCHEMA, 0,
                       "the server did not take the session's settings (%s); is a proxy "
                       "between?",
                       !facts.isolated ? "READ COMMITTED"
                       : !facts.strict ? "strict sql_mode"
                       : !facts.utc    ? "time_zone +00:00"
                                       : "autocommit");
    }
    return db->server.is_galera ? check_galera(db, &facts, err) : 0;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static bool library_ready;

/* Without memory it starts without its own plugins, and says nothing; then no connection
 * is ever made. */
static void start_library(void)
{
    MYSQL *handle = mysql_library_init(0, NULL, NULL) ? NULL : mysql_init(NULL);
    library_ready =
        handle && mysql_client_find_plugin(handle, "pvio_socket", CLIENT_PVIO_PLUGIN);
    if (handle) {
        mysql_close(handle);
    }
}

int db_start(struct err *err)
{
    pthread_once(&library_once, start_library);
    return library_ready ? ERR_OK
                         : err_set(err, ERR_NOMEM, 0,
                                   "no memory for the database client; start again");
}

int db_new(struct db_hosts *hosts, struct db **out_db, struct err *err)
{
    pthread_once(&library_once, start_library);
    struct db *db = library_ready ? calloc(1, sizeof *db) : NULL;
    MYSQL *handle = db ? mysql_init(NULL) : NULL;
    if (!handle || pthread_mutex_init(&db->socket_lock, NULL)) {
        if (handle) {
            mysql_close(handle);
        }
        free(db);
        return err_set(err, ERR_NOMEM, 0, "no memory for a database connection");
    }
    db->handle = handle;
    db->hosts = hosts;
    db->socket = -1;
    *out_db = db;
    return 0;
}

/* From here on db_abort reaches whatever call hangs. By a descriptor of our own: the
 * library closes its one as soon as the connection is lost, and the number may be another
 * socket's at once. */
static int note_socket(struct db *db, struct err *err)
{
    int own = fcntl(mysql_get_socket(db->handle), F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        return err_set_errno(err, ERR_RESOURCE, errno,
                             "no descriptor for the connection");
    }
    pthread_mutex_lock(&db->socket_lock);
    db->socket = own;
    if (db->aborted) {
        shutdown(db->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&db->socket_lock);
    return 0;
}

/* Where the server offers no TLS, the library goes on in clear unless it is to verify. */
static int check_encrypted(struct db *db, const struct db_config *config, struct err *err)
{
    return !config->tls_ca || mysql_get_ssl_cipher(db->handle)
               ? 0
               : err_set(err, ERR_SCHEMA, 0,
                         "the server offers no TLS, which database.tls asks for: enable "
                         "it there, or take database.tls out of the configuration");
}

/* The library keeps a copy to reconnect with, which it never does here. */
static void forget_password(MYSQL *handle)
{
    if (handle->passwd) {
        explicit_bzero(handle->passwd, strlen(handle->passwd));
    }
}

static int log_in(struct db *db, const struct db_config *config,
                  const struct db_host *host, struct err *err)
{
    char password[PASSWORD_MAX + 1] = "";
    if (config->password_file) {
        int code = read_password(config->password_file, password, err);
        if (code) {
            return code;
        }
    }
    bool over_tcp = config->socket == NULL;
    if (!set_options(db->handle, config, over_tcp)) {
        explicit_bzero(password, sizeof password);
        return err_set(err, ERR_INTERNAL, 0, "the client library refuses an option");
    }
    mysql_set_local_infile_handler(db->handle, infile_init, infile_read, infile_end,
                                   infile_error, db);
    login_guard_enter();
    bool connected = mysql_real_connect(db->handle, over_tcp ? host->name : NULL,
                                        config->user, password, config->name, host->port,
                                        config->socket, CLIENT_FOUND_ROWS);
    login_guard_leave();
    explicit_bzero(password, sizeof password);
    forget_password(db->handle);
    if (!connected) {
        return fail(db, err);
    }
    int code = note_socket(db, err);
    if (code) {
        return code;
    }
    const char *version = mysql_get_server_info(db->handle);
    if (!version) { /* for want of memory; the library looks into it all the same */
        return err_set(err, ERR_RESOURCE, CLIENT_OUT_OF_MEMORY,
                       "no memory for what the server says of itself");
    }
    snprintf(db->server.version, sizeof db->server.version, "%s", version);
    db->server.is_mariadb = mariadb_connection(db->handle);
    return check_encrypted(db, config, err);
}

int db_open(struct db *db, const struct db_config *config, struct err *err)
{
    struct db_host host = db_hosts_present(db->hosts);
    db->generation = host.generation;
    if (config->socket) {
        snprintf(db->server.host, sizeof db->server.host, "%.200s", config->socket);
    } else {
        bool v6 = strchr(host.name, ':') != NULL;
        snprintf(db->server.host, sizeof db->server.host, "%s%.240s%s:%u", v6 ? "[" : "",
                 host.name, v6 ? "]" : "", (unsigned)host.port);
    }
    snprintf(db->statement, sizeof db->statement, "logging in as %.40s", config->user);
    int code = log_in(db, config, &host, err);
    code = code ? code : set_up_session(db, config, err);
    code = code ? code : examine_session(db, err);
    if (code) {
        if (err) {
            err_wrap(err, "database at %s", db->server.host);
        }
        if (code != ERR_CONFIG && code != ERR_NOMEM && code != ERR_INTERNAL) {
            db_hosts_move_on(db->hosts, host.generation);
        }
    }
    return code;
}

int db_connect(const struct db_config *config, struct db_hosts *hosts, struct db **out_db,
               struct err *err)
{
    struct db *db = NULL;
    int code = db_new(hosts, &db, err);
    if (!db) {
        return code;
    }
    code = db_open(db, config, err);
    if (code) {
        db_close(db);
        return code;
    }
    *out_db = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db) {
        return;
    }
    if (db->handle) {
        leave(db);
    }
    pthread_mutex_destroy(&db->socket_lock);
    free(db);
}

void db_abort(struct db *db)
{
    pthread_mutex_lock(&db->socket_lock);
    db->aborted = true;
    if (db->socket >= 0) {
        shutdown(db->socket, SHUT_RDWR);
    }
    pthread_mutex_unlock(&db->socket_lock);
}

int db_check_host(const struct db *db, struct err *err)
{
    if (!db_hosts_is_present(db->hosts, db->generation)) {
        return err_set(err, ERR_TRANSIENT, 0,
                       "the other connections have moved on from %s to the next host",
                       db->server.host);
    }
    return 0;
}
