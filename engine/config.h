/* engine/config.h: the YAML file, read with libcyaml, checked, with defaults filled in.
 */
#ifndef HOLDFAST_ENGINE_CONFIG_H
#define HOLDFAST_ENGINE_CONFIG_H

#include "engine/alert_rules.h"
#include "journal/journal.h"
#include "replay/sink.h"
#include "schema/stream.h"

#include "base/log.h"

struct intake_config {
    const char *listen;     /* "127.0.0.1:8640", "[::1]:0"; beyond loopback a token is
                             * required */
    const char *token_file; /* one token a line, "#" comments; NULL: none */
    const char *tls_cert;
    const char *tls_key;
    uint64_t body_max;          /* bytes, inflated */
    uint64_t bodies_max;        /* bytes of all bodies in hand together; beyond: 503 */
    uint32_t entry_records_max; /* a larger batch is parted into several entries */
    const char *route_field;
    uint32_t connections_max;
    uint32_t connections_per_address_max;
    uint32_t idle_timeout_s;
    uint32_t request_timeout_s; /* from first byte to last */
    uint32_t threads;
};

/* `holdfast check`, and what the engine does of it by itself. */
struct check_config {
    int64_t since_us;   /* the age that events are kept; 0: for ever */
    int64_t every_us;   /* the engine's own check; 0: never */
    uint32_t threshold; /* hundredths of a percent */
};

enum { ALERT_TO_MAX = 16 };

/* Where alerts go. */
struct alert_channel_config {
    const char *url;         /* NULL: not used */
    const char *secret_file; /* bearer token or password, read at each send; NULL: none */
    const char *ca;          /* certificates to trust instead of the system's; NULL */
    bool tls;                /* false: unencrypted is fine */
    /* smtp alone */
    const char *from;
    const char *const *to;
    size_t to_count;
    const char *user;
};

struct alert_config {
    struct alert_channel_config webhook;
    struct alert_channel_config smtp;
    int64_t every_us;   /* between two looks */
    uint32_t timeout_s; /* of one delivery */
    struct alert_limits limits;
};

/* Immutable after config_load. */
struct config {
    const char *path; /* the file's name, for messages */
    struct journal_config journal;
    struct intake_config intake;
    struct db_config database;
    enum durability durability;
    bool create_tables;
    bool validate;
    uint64_t rows_per_second_max;
    uint32_t connections;
    uint32_t transaction_records_max;
    bool fast;            /* LOAD DATA where server and stream allow it */
    uint64_t cache_bytes; /* for entities, of all connections together */
    int32_t zone_offset_s;
    int64_t max_future_us;
    struct check_config check;
    struct alert_config alerts;
    enum log_level log_level;
    enum log_format log_format;
    struct stream **streams;
    size_t stream_count;
    void *memory;
};

/* Reads, substitutes ${ENV} in strings, expands presets, checks everything that can be
 * checked without a database or a journal, and fills in defaults. ERR_CONFIG: one
 * message "file:line: key: what is wrong; what to do". ERR_NOT_FOUND: no such file. */
int config_load(const char *path, struct config **out_config, struct err *err);

/* As config_load, from text; `name` stands for the file in messages. */
int config_parse(const char *name, struct slice text, struct config **out_config,
                 struct err *err);
void config_free(struct config *config);

const struct stream *config_stream(const struct config *config, struct slice name);

#endif
