/* replay/db.h: one connection to MariaDB or MySQL. The only file besides db.c that knows
 * there is a client library; a door for audit too.
 *
 * Sessions: READ COMMITTED, strict sql_mode without NO_BACKSLASH_ESCAPES and without
 * ANSI_QUOTES, time zone '+00:00', utf8mb4, CLIENT_FOUND_ROWS (affected counts are
 * matched rows), a time-out on every call, a short wait_timeout so that a half-open
 * predecessor lets go of its locks, and on Galera wsrep_sync_wait=7 and a node that is
 * Synced in the primary component (else ERR_TRANSIENT).
 *
 * Errors: every failing call returns what replay/classify.h says of the server's error
 * number (err->sys). After any error the caller rolls back or closes; after
 * ERR_UNKNOWN or a lost connection the connection is closed by the next call.
 * Threads: one connection, one thread at a time.
 */
#ifndef HOLDFAST_REPLAY_DB_H
#define HOLDFAST_REPLAY_DB_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DB_HOSTS_MAX = 16 };

enum { DB_NO_TABLE = 1146 }; /* the server's number, in err->sys */

struct db_config {
    const char *const *hosts; /* "host:port", "[::1]:3306"; tried in order */
    size_t host_count;
    const char *socket; /* Unix socket instead of hosts; NULL: none */
    const char *name;
    const char *user;
    const char *password_file; /* read again at each connect; NULL: no password */
    const char *tls_ca;        /* NULL: no TLS */
    const char *tls_cert;
    const char *tls_key;
    bool tls_verify;
    uint32_t connect_timeout_s; /* of every step of the login; time-outs: 0 is 4, 60, 20
                                 * and 60 seconds */
    uint32_t call_timeout_s;    /* read and write time-out of every call */
    uint32_t lock_wait_timeout_s;
    uint32_t wait_timeout_s;
};

/* The present host of the list, shared by all connections so that all lanes use one host
 * at a time. */
struct db_hosts;
int db_hosts_new(const struct db_config *config, struct db_hosts **out_hosts,
                 struct err *err); /* ERR_CONFIG: a host can't be read; ERR_NOMEM */
void db_hosts_free(struct db_hosts *hosts);

struct db;

/* Connects to the present host and sets the session up. When that fails in a way that
 * another host could mend, the present host moves on by one (once for all connections
 * that saw the same host fail). Also fails with ERR_TRANSIENT later, from db_check_host,
 * when the others have moved on. */
int db_connect(const struct db_config *config, struct db_hosts *hosts, struct db **out_db,
               struct err *err);
void db_close(struct db *db);

/* Starts the client library, once a process; the others do so where nobody has.
 * ERR_NOMEM: it lacked memory, and can't be started again in this process. Early, so that
 * a process which can never connect ends instead of going on. */
int db_start(struct err *err);

/* db_connect in two steps, so that db_abort can reach a connection that is being made.
 * Where db_open fails, only db_abort and db_close are useful. */
int db_new(struct db_hosts *hosts, struct db **out_db, struct err *err); /* ERR_NOMEM */
int db_open(struct db *db, const struct db_config *config, struct err *err);

/* Shuts the connection's socket, so that a call that hangs on it ends with ERR_UNKNOWN
 * and every later one fails; a login under way ends by its time-out. The one function
 * that may be called from another thread while the connection is in use; not once
 * db_close has been called. */
void db_abort(struct db *db);

/* ERR_TRANSIENT when the list's present host is no longer this connection's. */
int db_check_host(const struct db *db, struct err *err);

/* What was found out at connect. */
struct db_server {
    char version[64];
    char host[256]; /* "host:port" or the socket's path */
    bool is_mariadb;
    bool is_galera;
    uint64_t max_allowed_packet;
    bool flush_each_commit; /* innodb_flush_log_at_trx_commit=1 */
    bool binlog_on;
    bool binlog_synced; /* sync_binlog=1, or no binary log */
    char binlog_format[16];
    bool doublewrite;
    bool local_infile; /* takes LOAD DATA LOCAL */
};
const struct db_server *db_server(const struct db *db);

struct db_outcome {
    uint64_t matched;  /* rows matched, by CLIENT_FOUND_ROWS */
    uint64_t warnings; /* without MySQL's remark that VALUES() is deprecated (1287) */
    uint64_t insert_id;
    bool has_duplicates; /* the server says them for INSERTs of several rows */
    uint64_t duplicates; /* rows that met an existing one */
};

/* One statement without a result set. out may be NULL. ERR_RESOURCE, nothing sent: longer
 * than the server's max_allowed_packet, which would have cut the connection. */
int db_exec(struct db *db, struct slice sql, struct db_outcome *out, struct err *err);
int db_execf(struct db *db, struct db_outcome *out, struct err *err, const char *format,
             ...) __attribute__((format(printf, 4, 5)));

/* Data in pieces. `next` gives the next one, valid until it is called again, and an empty
 * one at the end; its failure is the load's. */
struct db_source {
    int (*next)(void *context, struct slice *out_piece, struct err *err);
    void *context;
};

/* LOAD DATA LOCAL INFILE of what the source gives; any file name in the statement stands
 * for it. The server works on the first pieces while the next are made. Outside of this
 * call the client refuses whatever file a server asks for. LOCAL means IGNORE: rows that
 * fail become warnings, so out->warnings and out->matched (rows inserted) must be looked
 * at. After an error, the source's too, some rows may be there: roll back. */
int db_load_from(struct db *db, struct slice sql, const struct db_source *source,
                 struct db_outcome *out, struct err *err);

/* As db_load_from, of `data` in memory. */
int db_load(struct db *db, struct slice sql, struct slice data, struct db_outcome *out,
            struct err *err);

/* One cell; data NULL for SQL NULL, else closed by a NUL that len doesn't count. */
struct db_rows {
    struct slice *cells; /* row_count * column_count, row by row */
    size_t row_count;
    size_t column_count;
    void *memory;
};
static inline struct slice db_cell(const struct db_rows *rows, size_t row, size_t column)
{
    return rows->cells[row * rows->column_count + column];
}
void db_rows_free(struct db_rows *rows);

/* One statement with a result set, whole in memory. */
int db_query(struct db *db, struct slice sql, struct db_rows *out_rows, struct err *err);

/* One statement with a result set, row by row; `visit` returning false ends it early (the
 * rest is read and dropped). */
int db_query_each(struct db *db, struct slice sql,
                  bool (*visit)(const struct slice *cells, size_t count, void *context),
                  void *context, struct err *err);

int db_begin(struct db *db, struct err *err);
/* A failure, or no answer in time, is ERR_UNKNOWN unless the server itself said that it
 * did not commit (such as 1213 from Galera, then ERR_TRANSIENT). */
int db_commit(struct db *db, struct err *err);
/* Never fails from the caller's view: a connection that can't roll back is closed, which
 * does the same. */
void db_rollback(struct db *db);

/* True while no call has lost the connection. */
bool db_alive(const struct db *db);

/* 'text' as a string literal for these sessions. Pure. */
void db_append_quoted(struct buf *out, struct slice text);

/* The last statement, cut before its first literal: no record's content. For reasons of
 * stopped lanes. */
const char *db_last_statement(const struct db *db);

#endif
