/* engine/config_raw.h: the YAML file as written, one string a key; NULL: not there.
 * libcyaml fills it in and says which keys exist (config_schema.c); what the strings mean
 * is config.c's. */
#ifndef HOLDFAST_ENGINE_CONFIG_RAW_H
#define HOLDFAST_ENGINE_CONFIG_RAW_H

#include "engine/config_locate.h"

struct raw_tls {
    char *ca;
    char *cert;
    char *key;
    char *verify;
};

struct raw_journal {
    char *path;
    char *max_size;
    char *preallocate;
    char *retain;
    char *reserve;
    char *max_queue;
};

struct raw_intake {
    char *listen;
    char *token_file;
    struct raw_tls tls; /* cert, key */
    char *route_field;
    char *max_body;
    char *max_bodies;
    char *max_entry_records;
    char *max_connections;
    char *max_connections_per_address;
    char *idle_timeout;
    char *request_timeout;
    char *threads;
};

struct raw_timeouts {
    char *connect;
    char *call;
    char *lock_wait;
    char *idle;
};

struct raw_database {
    char **hosts;
    unsigned hosts_count;
    char *socket;
    char *name;
    char *user;
    char *password_file;
    struct raw_tls tls;
    char *durability;
    char *create_tables;
    struct raw_timeouts timeouts;
};

struct raw_replay {
    char *validate;
    char *max_rows_per_second;
    char *connections;
    char *transaction_records;
    char *fast;
    char *cache;
};

struct raw_limits {
    char *max_size;
    char *retain;
    char *max;
};

struct raw_channel {
    char *url;
    char *token_file;
    char *from;
    char **to;
    unsigned to_count;
    char *user;
    char *password_file;
    char *ca;
    char *tls;
};

struct raw_alerts {
    struct raw_channel webhook; /* url, token_file, ca, tls */
    struct raw_channel smtp;    /* all but token_file */
    char *every;
    char *timeout;
    char *hold;
    char *repeat;
    char *lag;
    char *dead_letters;
    char *conflicts;
    char *dead_letters_full;
    char *journal_full;
    char *disk_free;
    char *retention;
    char *ids;
};

struct raw_check {
    char *since;
    char *every;
    char *threshold;
};

struct raw_log {
    char *level;
    char *format;
};

struct raw_column {
    char *name;
    char *type;
    char *max;
    char *bits;
    char *is_unsigned;
    char *precision;
    char **members;
    unsigned members_count;
    char *from;
    char *merge;
    char *value;
    char *default_value;
    char *not_null;
    char *optional;
};

struct raw_index {
    char *name;
    char **columns;
    unsigned columns_count;
};

struct raw_table {
    char *table;
    char *id;
    char *id_bits;
    struct raw_column *columns;
    unsigned columns_count;
    struct raw_index *indexes;
    unsigned indexes_count;
    /* event tables only */
    char *entity;
    char **key;
    unsigned key_count;
    char **compare;
    unsigned compare_count;
};

struct raw_stream {
    char *name;
    char *preset;
    char *lanes;
    char *on_conflict;
    char *time;
    struct raw_table *entity;
    struct raw_table *event;
    char **csv;
    unsigned csv_count;
};

struct raw_config {
    struct raw_journal journal;
    struct raw_intake intake;
    struct raw_database database;
    struct raw_replay replay;
    char *time_zone;
    char *max_future;
    struct raw_limits dead_letters; /* max_size */
    struct raw_limits receipts;     /* retain, max */
    struct raw_check check;
    struct raw_alerts alerts;
    struct raw_log log;
    struct raw_stream *streams;
    unsigned streams_count;
};

/* Loads a configuration, ${NAME} replaced from the environment. ERR_CONFIG with place,
 * key and advice; ERR_NOMEM. */
int raw_config_load(const struct locate *locate, struct slice text,
                    struct raw_config **out_raw, struct err *err);
void raw_config_free(struct raw_config *raw);

/* Loads a stream's text by itself, as presets are. */
int raw_preset_load(const struct locate *locate, struct slice text,
                    struct raw_stream **out_raw, struct err *err);
void raw_preset_free(struct raw_stream *raw);

#endif
