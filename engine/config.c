#include "engine/config.h"
#include "engine/config_alerts.h"
#include "engine/config_raw.h"
#include "engine/config_read.h"
#include "engine/config_stream.h"
#include "engine/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define MIB(n) (UINT64_C(n) << 20)

enum { STREAMS_MAX = 64, HOUR_S = 3600 };

/* What the strings of a config live in. */
struct config_memory {
    struct raw_config *raw;
    char *path;
};

static const char *const default_hosts[] = {"127.0.0.1:3306"};

static void set_defaults(struct config *config)
{
    journal_config_defaults(&config->journal);
    config->journal.path = "/var/lib/holdfast/journal";
    config->intake = (struct intake_config){
        .listen = "127.0.0.1:8640",
        .body_max = MIB(16),
        .bodies_max = MIB(256),
        .entry_records_max = 50000,
        .route_field = "botnet_type",
        .connections_max = 1024,
        .connections_per_address_max = 512,
        .idle_timeout_s = 60,
        .request_timeout_s = 60,
        .threads = 4,
    };
    config->database = (struct db_config){
        .hosts = default_hosts,
        .host_count = 1,
        .tls_verify = true,
        .connect_timeout_s = 4,
        .call_timeout_s = 60,
        .lock_wait_timeout_s = 20,
        .wait_timeout_s = 60,
    };
    config->durability = DURABILITY_WARN;
    config->create_tables = true;
    config->validate = true;
    config->connections = 4;
    config->transaction_records_max = 10000;
    config->fast = true;
    config->cache_bytes = MIB(64);
    config->max_future_us = INT64_C(24) * HOUR_S * 1000000;
    config->check = (struct check_config){
        .every_us = INT64_C(1) * HOUR_S * 1000000,
        .threshold = 9900,
    };
    config_alerts_defaults(&config->alerts);
    config->log_level = LOG_INFO;
    config->log_format = LOG_LOGFMT;
}

/* ---- journal, dead_letters, receipts --------------------------------------------- */

static void read_journal(struct config_reader *reader, const struct raw_config *raw,
                         struct journal_config *journal)
{
    read_text(reader, "journal.path", raw->journal.path, &journal->path);
    read_size(reader, "journal.max_size", raw->journal.max_size, MIB(1),
              &journal->size_max);
    read_size(reader, "journal.preallocate", raw->journal.preallocate, 0,
              &journal->preallocate);
    read_duration(reader, "journal.retain", raw->journal.retain, &journal->retain_us);
    read_size(reader, "journal.reserve", raw->journal.reserve, 0, &journal->reserve);
    read_size(reader, "journal.max_queue", raw->journal.max_queue, MIB(1),
              &journal->queue_bytes_max);
    read_size(reader, "dead_letters.max_size", raw->dead_letters.max_size, 0,
              &journal->dead_letters_max);
    read_duration(reader, "receipts.retain", raw->receipts.retain,
                  &journal->receipts_retain_us);
    read_count(reader, "receipts.max", raw->receipts.max,
               (struct read_range){0, 1000000000}, &journal->receipts_max);
}

/* ---- intake ---------------------------------------------------------------------- */

static bool parse_port(const char *text)
{
    size_t len = strspn(text, "0123456789");
    return len > 0 && len <= 5 && text[len] == '\0' && strtoul(text, NULL, 10) <= 65535;
}

/* "host:port" with a numeric host; *out_loopback is whether only this machine can reach
 * it. */
static bool parse_listen(const char *listen, bool *out_loopback)
{
    char host[64];
    const char *colon = strrchr(listen, ':');
    size_t len = colon ? (size_t)(colon - listen) : 0;
    if (len == 0 || len >= sizeof host || !parse_port(colon + 1)) {
        return false;
    }
    memcpy(host, listen, len);
    host[len] = '\0';
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1) {
        *out_loopback = ntohl(four.s_addr) >> 24 == 127;
        return true;
    }
    if (host[0] != '[' || host[len - 1] != ']') {
        return false;
    }
    host[len - 1] = '\0';
    *out_loopback =
        inet_pton(AF_INET6, host + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    return inet_pton(AF_INET6, host + 1, &six) == 1;
}

static void check_listen(struct config_reader *reader, const struct intake_config *intake)
{
    bool loopback = false;
    if (!parse_listen(intake->listen, &loopback)) {
        read_refuse(reader, "intake.listen",
                    "'%.64s' is no address to listen on; write 127.0.0.1:8640 or "
                    "[::1]:8640, with port 0 for any free one",
                    intake->listen);
    } else if (!loopback && !intake->token_file) {
        read_refuse(reader, "intake.listen",
                    "'%.64s' can be reached from other machines, so a token is required; "
                    "set intake.token_file, or listen on 127.0.0.1",
                    intake->listen);
    }
}

static void check_pair(struct config_reader *reader, const char *group, const char *cert,
                       const char *key)
{
    char path[64];
    if (!cert == !key) {
        return;
    }
    snprintf(path, sizeof path, "%s.%s", group, cert ? "cert" : "key");
    read_refuse(reader, path, "cert and key go together; set %s.%s too", group,
                cert ? "key" : "cert");
}

static void read_intake(struct config_reader *reader, const struct raw_intake *raw,
                        struct intake_config *intake)
{
    struct read_range many = {1, 1000000};
    read_text(reader, "intake.listen", raw->listen, &intake->listen);
    read_text(reader, "intake.token_file", raw->token_file, &intake->token_file);
    read_text(reader, "intake.tls.cert", raw->tls.cert, &intake->tls_cert);
    read_text(reader, "intake.tls.key", raw->tls.key, &intake->tls_key);
    read_text(reader, "intake.route_field", raw->route_field, &intake->route_field);
    read_size(reader, "intake.max_body", raw->max_body, 1024, &intake->body_max);
    read_size(reader, "intake.max_bodies", raw->max_bodies, 1024, &intake->bodies_max);
    read_count32(reader, "intake.max_entry_records", raw->max_entry_records, many,
                 &intake->entry_records_max);
    read_count32(reader, "intake.max_connections", raw->max_connections,
                 (struct read_range){1, 60000}, &intake->connections_max);
    read_count32(reader, "intake.max_connections_per_address",
                 raw->max_connections_per_address, (struct read_range){1, 60000},
                 &intake->connections_per_address_max);
    read_seconds(reader, "intake.idle_timeout", raw->idle_timeout,
                 &intake->idle_timeout_s);
    read_seconds(reader, "intake.request_timeout", raw->request_timeout,
                 &intake->request_timeout_s);
    read_count32(reader, "intake.threads", raw->threads, (struct read_range){1, 64},
                 &intake->threads);
    check_pair(reader, "intake.tls", intake->tls_cert, intake->tls_key);
    check_listen(reader, intake);
    if (intake->bodies_max < intake->body_max) {
        read_refuse(reader, "intake.max_bodies",
                    "is less than one body of intake.max_body; raise it, or lower "
                    "max_body");
    }
}

/* ---- database -------------------------------------------------------------------- */

static void read_hosts(struct config_reader *reader, const struct raw_database *raw,
                       struct db_config *database)
{
    if (raw->hosts && raw->socket) {
        read_refuse(reader, "database.socket",
                    "hosts and socket don't go together; keep one of them");
    }
    if (raw->hosts && (raw->hosts_count == 0 || raw->hosts_count > DB_HOSTS_MAX)) {
        read_refuse(reader, "database.hosts", "1 to %d hosts can be listed",
                    DB_HOSTS_MAX);
    }
    if (raw->socket) {
        database->host_count = 0;
    }
    if (reader->code || !raw->hosts) {
        return;
    }
    database->hosts = (const char *const *)raw->hosts;
    database->host_count = raw->hosts_count;
    struct db_hosts *hosts = NULL;
    struct err why = {0};
    if (db_hosts_new(database, &hosts, &why)) {
        read_refuse(reader, "database.hosts", "%s", why.message);
    }
    db_hosts_free(hosts);
}

static void read_database(struct config_reader *reader, const struct raw_database *raw,
                          struct config *config)
{
    static const char *const durabilities[] = {"warn", "require", NULL};
    struct db_config *database = &config->database;
    unsigned durability = DURABILITY_WARN;
    read_hosts(reader, raw, database);
    read_text(reader, "database.socket", raw->socket, &database->socket);
    read_text(reader, "database.name", raw->name, &database->name);
    read_text(reader, "database.user", raw->user, &database->user);
    read_text(reader, "database.password_file", raw->password_file,
              &database->password_file);
    read_text(reader, "database.tls.ca", raw->tls.ca, &database->tls_ca);
    read_text(reader, "database.tls.cert", raw->tls.cert, &database->tls_cert);
    read_text(reader, "database.tls.key", raw->tls.key, &database->tls_key);
    read_bool(reader, "database.tls.verify", raw->tls.verify, &database->tls_verify);
    read_word(reader, "database.durability", raw->durability, durabilities, &durability);
    read_bool(reader, "database.create_tables", raw->create_tables,
              &config->create_tables);
    read_seconds(reader, "database.timeouts.connect", raw->timeouts.connect,
                 &database->connect_timeout_s);
    read_seconds(reader, "database.timeouts.call", raw->timeouts.call,
                 &database->call_timeout_s);
    read_seconds(reader, "database.timeouts.lock_wait", raw->timeouts.lock_wait,
                 &database->lock_wait_timeout_s);
    read_seconds(reader, "database.timeouts.idle", raw->timeouts.idle,
                 &database->wait_timeout_s);
    config->durability = (enum durability)durability;
    check_pair(reader, "database.tls", database->tls_cert, database->tls_key);
    if (database->tls_cert && !database->tls_ca) {
        read_refuse(reader, "database.tls.cert",
                    "has no effect without database.tls.ca; set it too");
    }
    if (!database->name) {
        read_refuse(reader, "database.name", "is missing; name the database");
    }
    if (!database->user) {
        read_refuse(reader, "database.user", "is missing; name the database's user");
    }
}

/* ---- replay, log, times ---------------------------------------------------------- */

static void read_rest(struct config_reader *reader, const struct raw_config *raw,
                      struct config *config)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static const char *const formats[] = {"logfmt", "json", NULL};
    unsigned level = config->log_level;
    unsigned format = config->log_format;
    read_bool(reader, "replay.validate", raw->replay.validate, &config->validate);
    read_count(reader, "replay.max_rows_per_second", raw->replay.max_rows_per_second,
               (struct read_range){0, 1000000000}, &config->rows_per_second_max);
    read_count32(reader, "replay.connections", raw->replay.connections,
                 (struct read_range){1, 256}, &config->connections);
    read_count32(reader, "replay.transaction_records", raw->replay.transaction_records,
                 (struct read_range){1, 1000000}, &config->transaction_records_max);
    read_bool(reader, "replay.fast", raw->replay.fast, &config->fast);
    read_size(reader, "replay.cache", raw->replay.cache, MIB(1), &config->cache_bytes);
    read_duration(reader, "max_future", raw->max_future, &config->max_future_us);
    read_duration(reader, "check.since", raw->check.since, &config->check.since_us);
    read_duration(reader, "check.every", raw->check.every, &config->check.every_us);
    if (config->check.every_us && config->check.every_us < 1000000) {
        read_refuse(reader, "check.every",
                    "'%.64s' is less than a second; write 0 for never, or a time such "
                    "as 1h",
                    raw->check.every);
    }
    read_percent(reader, "check.threshold", raw->check.threshold,
                 &config->check.threshold);
    read_word(reader, "log.level", raw->log.level, levels, &level);
    read_word(reader, "log.format", raw->log.format, formats, &format);
    config->log_level = (enum log_level)level;
    config->log_format = (enum log_format)format;
    const char *zone = "+00:00";
    read_text(reader, "time_zone", raw->time_zone, &zone);
    if (!value_parse_offset(slice_text(zone), &config->zone_offset_s)) {
        read_refuse(reader, "time_zone",
                    "'%.64s' is not a fixed offset; write one such as \"+08:00\" or "
                    "\"UTC\"",
                    zone);
    }
}

/* ---- streams --------------------------------------------------------------------- */

static bool same_name(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

/* Names fold case in some databases' file systems, and so they must differ by more. */
static void check_tables_unlike(struct config_reader *reader, const struct config *config,
                                size_t index, size_t other_index)
{
    const struct stream *stream = config->streams[index];
    const struct stream *other = config->streams[other_index];
    const char *mine[] = {stream->entity.name, stream->event.name};
    const char *theirs[] = {other->entity.name, other->event.name};
    for (size_t pair = 0; pair < 4; pair++) {
        if (same_name(mine[pair / 2], theirs[pair % 2])) {
            char path[64];
            snprintf(path, sizeof path, "streams[%zu].%s.table", index,
                     pair / 2 ? "event" : "entity");
            read_refuse(reader, path,
                        "table '%s' belongs to streams[%zu] already; two streams can't "
                        "share a table",
                        mine[pair / 2], other_index);
        }
    }
}

static void check_unlike(struct config_reader *reader, const struct config *config,
                         size_t index)
{
    const struct stream *stream = config->streams[index];
    char path[64];
    for (size_t i = 0; i < index; i++) {
        if (same_name(stream->name, config->streams[i]->name)) {
            snprintf(path, sizeof path, "streams[%zu].name", index);
            read_refuse(reader, path,
                        "streams[%zu] is named '%s' too; give each stream its own name",
                        i, config->streams[i]->name);
        }
        check_tables_unlike(reader, config, index, i);
    }
    if (same_name(stream->entity.name, LEDGER_TABLE) ||
        same_name(stream->event.name, LEDGER_TABLE)) {
        snprintf(path, sizeof path, "streams[%zu]", index);
        read_refuse(reader, path, "table '%s' is Holdfast's own; choose another name",
                    LEDGER_TABLE);
    }
}

static void read_streams(struct config_reader *reader, const struct raw_config *raw,
                         struct config *config)
{
    if (raw->streams_count == 0 || raw->streams_count > STREAMS_MAX) {
        read_refuse(reader, "streams",
                    "%s; list 1 to %d streams, such as {name: mozi, preset: botnet}",
                    raw->streams_count ? "too many" : "none is configured", STREAMS_MAX);
    }
    if (reader->code) {
        return;
    }
    config->streams = calloc(raw->streams_count + 1, sizeof(struct stream *));
    if (!config->streams) {
        reader->code =
            err_set(reader->err, ERR_NOMEM, 0, "no memory for the configuration");
        return;
    }
    for (size_t i = 0; i < raw->streams_count && !reader->code; i++) {
        config_stream_build(reader, &raw->streams[i], i, &config->streams[i]);
        if (!reader->code) {
            config->stream_count = i + 1;
            check_unlike(reader, config, i);
        }
    }
}

/* --------------------------------------------------------------------------------------
 */

static int read_all(const struct locate *locate, const struct raw_config *raw,
                    struct config *config, struct err *err)
{
    struct config_reader reader = {.locate = locate, .err = err};
    read_journal(&reader, raw, &config->journal);
    read_intake(&reader, &raw->intake, &config->intake);
    read_database(&reader, &raw->database, config);
    read_rest(&reader, raw, config);
    config_alerts_read(&reader, &raw->alerts, &config->alerts);
    config->alerts.limits.coverage = config->check.threshold;
    read_streams(&reader, raw, config);
    return reader.code;
}

static struct config *config_new(const char *name)
{
    struct config *config = calloc(1, sizeof *config);
    struct config_memory *memory = calloc(1, sizeof *memory);
    char *path = strdup(name);
    if (!config || !memory || !path) {
        free(config);
        free(memory);
        free(path);
        return NULL;
    }
    memory->path = path;
    config->memory = memory;
    config->path = path;
    set_defaults(config);
    return config;
}

int config_parse(const char *name, struct slice text, struct config **out_config,
                 struct err *err)
{
    struct locate *locate = NULL;
    struct config *config = config_new(name);
    if (!config) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the configuration");
    }
    struct config_memory *memory = config->memory;
    text = text.len ? text : SLICE_LITERAL("");
    int code = locate_new(config->path, text, &locate, err);
    code = code ? code : raw_config_load(locate, text, &memory->raw, err);
    code = code ? code : read_all(locate, memory->raw, config, err);
    locate_free(locate);
    if (code) {
        config_free(config);
        return code;
    }
    *out_config = config;
    return ERR_OK;
}

int config_load(const char *path, struct config **out_config, struct err *err)
{
    struct buf text = {.max = LOCATE_TEXT_MAX};
    int code = file_read(path, &text, err);
    if (code == ERR_NOT_FOUND) {
        err_wrap(err, "no configuration is there; name one with --config");
    }
    code = code ? code : config_parse(path, buf_slice(&text), out_config, err);
    buf_free(&text);
    return code;
}

void config_free(struct config *config)
{
    if (!config) {
        return;
    }
    for (size_t i = 0; i < config->stream_count; i++) {
        stream_free(config->streams[i]);
    }
    free(config->streams);
    struct config_memory *memory = config->memory;
    raw_config_free(memory->raw);
    free(memory->path);
    free(memory);
    free(config);
}

const struct stream *config_stream(const struct config *config, struct slice name)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        if (slice_is(name, config->streams[i]->name)) {
            return config->streams[i];
        }
    }
    return NULL;
}
