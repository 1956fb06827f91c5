/* Which keys there are: libcyaml's tables, and its complaints made into one message.
 *
 * Every scalar is a string here, since libcyaml takes `flase` for true and 1.5 for 1. */
#include "engine/config_env.h"
#include "engine/config_raw.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define TEXT(key, type, member)                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member,  \
                           0, CYAML_UNLIMITED)
#define NEEDED(key, type, member)                                                        \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 0, CYAML_UNLIMITED)
#define GROUP(key, type, member, fields)                                                 \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, type, member, fields)
#define LIST(key, type, member, entry)                                                   \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member,    \
                         entry, 0, CYAML_UNLIMITED)

static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t journal_fields[] = {
    TEXT("path", struct raw_journal, path),
    TEXT("max_size", struct raw_journal, max_size),
    TEXT("preallocate", struct raw_journal, preallocate),
    TEXT("retain", struct raw_journal, retain),
    TEXT("reserve", struct raw_journal, reserve),
    TEXT("max_queue", struct raw_journal, max_queue),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t intake_tls_fields[] = {
    TEXT("cert", struct raw_tls, cert),
    TEXT("key", struct raw_tls, key),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t intake_fields[] = {
    TEXT("listen", struct raw_intake, listen),
    TEXT("token_file", struct raw_intake, token_file),
    GROUP("tls", struct raw_intake, tls, intake_tls_fields),
    TEXT("route_field", struct raw_intake, route_field),
    TEXT("max_body", struct raw_intake, max_body),
    TEXT("max_bodies", struct raw_intake, max_bodies),
    TEXT("max_entry_records", struct raw_intake, max_entry_records),
    TEXT("max_connections", struct raw_intake, max_connections),
    TEXT("max_connections_per_address", struct raw_intake, max_connections_per_address),
    TEXT("idle_timeout", struct raw_intake, idle_timeout),
    TEXT("request_timeout", struct raw_intake, request_timeout),
    TEXT("threads", struct raw_intake, threads),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t database_tls_fields[] = {
    TEXT("ca", struct raw_tls, ca),
    TEXT("cert", struct raw_tls, cert),
    TEXT("key", struct raw_tls, key),
    TEXT("verify", struct raw_tls, verify),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t timeouts_fields[] = {
    TEXT("connect", struct raw_timeouts, connect),
    TEXT("call", struct raw_timeouts, call),
    TEXT("lock_wait", struct raw_timeouts, lock_wait),
    TEXT("idle", struct raw_timeouts, idle),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t database_fields[] = {
    LIST("hosts", struct raw_database, hosts, &text_entry),
    TEXT("socket", struct raw_database, socket),
    TEXT("name", struct raw_database, name),
    TEXT("user", struct raw_database, user),
    TEXT("password_file", struct raw_database, password_file),
    GROUP("tls", struct raw_database, tls, database_tls_fields),
    TEXT("durability", struct raw_database, durability),
    TEXT("create_tables", struct raw_database, create_tables),
    GROUP("timeouts", struct raw_database, timeouts, timeouts_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t replay_fields[] = {
    TEXT("validate", struct raw_replay, validate),
    TEXT("max_rows_per_second", struct raw_replay, max_rows_per_second),
    TEXT("connections", struct raw_replay, connections),
    TEXT("transaction_records", struct raw_replay, transaction_records),
    TEXT("fast", struct raw_replay, fast),
    TEXT("cache", struct raw_replay, cache),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t dead_letters_fields[] = {
    TEXT("max_size", struct raw_limits, max_size),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t receipts_fields[] = {
    TEXT("retain", struct raw_limits, retain),
    TEXT("max", struct raw_limits, max),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t webhook_fields[] = {
    TEXT("url", struct raw_channel, url),
    TEXT("token_file", struct raw_channel, token_file),
    TEXT("ca", struct raw_channel, ca),
    TEXT("tls", struct raw_channel, tls),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t smtp_fields[] = {
    TEXT("url", struct raw_channel, url),
    TEXT("from", struct raw_channel, from),
    LIST("to", struct raw_channel, to, &text_entry),
    TEXT("user", struct raw_channel, user),
    TEXT("password_file", struct raw_channel, password_file),
    TEXT("ca", struct raw_channel, ca),
    TEXT("tls", struct raw_channel, tls),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t alerts_fields[] = {
    GROUP("webhook", struct raw_alerts, webhook, webhook_fields),
    GROUP("smtp", struct raw_alerts, smtp, smtp_fields),
    TEXT("every", struct raw_alerts, every),
    TEXT("timeout", struct raw_alerts, timeout),
    TEXT("hold", struct raw_alerts, hold),
    TEXT("repeat", struct raw_alerts, repeat),
    TEXT("lag", struct raw_alerts, lag),
    TEXT("dead_letters", struct raw_alerts, dead_letters),
    TEXT("conflicts", struct raw_alerts, conflicts),
    TEXT("dead_letters_full", struct raw_alerts, dead_letters_full),
    TEXT("journal_full", struct raw_alerts, journal_full),
    TEXT("disk_free", struct raw_alerts, disk_free),
    TEXT("retention", struct raw_alerts, retention),
    TEXT("ids", struct raw_alerts, ids),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t check_fields[] = {
    TEXT("since", struct raw_check, since),
    TEXT("every", struct raw_check, every),
    TEXT("threshold", struct raw_check, threshold),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
    TEXT("level", struct raw_log, level),
    TEXT("format", struct raw_log, format),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t column_fields[] = {
    NEEDED("name", struct raw_column, name),
    NEEDED("type", struct raw_column, type),
    TEXT("max", struct raw_column, max),
    TEXT("bits", struct raw_column, bits),
    TEXT("unsigned", struct raw_column, is_unsigned),
    TEXT("precision", struct raw_column, precision),
    LIST("members", struct raw_column, members, &text_entry),
    TEXT("from", struct raw_column, from),
    TEXT("merge", struct raw_column, merge),
    TEXT("value", struct raw_column, value),
    TEXT("default", struct raw_column, default_value),
    TEXT("not_null", struct raw_column, not_null),
    TEXT("optional", struct raw_column, optional),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t column_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_column, column_fields),
};

static const cyaml_schema_field_t index_fields[] = {
    TEXT("name", struct raw_index, name),
    LIST("columns", struct raw_index, columns, &text_entry),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t index_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_index, index_fields),
};

#define TABLE_FIELDS                                                                     \
    NEEDED("table", struct raw_table, table),                                            \
    NEEDED("id", struct raw_table, id),                                                  \
    TEXT("id_bits", struct raw_table, id_bits),                                          \
    LIST("columns", struct raw_table, columns, &column_entry),                           \
    LIST("indexes", struct raw_table, indexes, &index_entry)

static const cyaml_schema_field_t entity_fields[] = {
    TABLE_FIELDS,
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t event_fields[] = {
    TABLE_FIELDS,
    NEEDED("entity", struct raw_table, entity),
    LIST("key", struct raw_table, key, &text_entry),
    LIST("compare", struct raw_table, compare, &text_entry),
    CYAML_FIELD_END,
};

/* `name` apart: a preset's text has none. */
#define STREAM_FIELDS                                                                    \
    TEXT("preset", struct raw_stream, preset),                                           \
    TEXT("lanes", struct raw_stream, lanes),                                             \
    TEXT("on_conflict", struct raw_stream, on_conflict),                                 \
    TEXT("time", struct raw_stream, time),                                               \
    CYAML_FIELD_MAPPING_PTR("entity", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,          \
                            struct raw_stream, entity, entity_fields),                   \
    CYAML_FIELD_MAPPING_PTR("event", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,           \
                            struct raw_stream, event, event_fields),                     \
    LIST("csv", struct raw_stream, csv, &text_entry)

static const cyaml_schema_field_t stream_fields[] = {
    NEEDED("name", struct raw_stream, name),
    STREAM_FIELDS,
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t stream_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_stream, stream_fields),
};

static const cyaml_schema_field_t preset_fields[] = {
    STREAM_FIELDS,
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t preset_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_stream, preset_fields),
};

static const cyaml_schema_field_t config_fields[] = {
    GROUP("journal", struct raw_config, journal, journal_fields),
    GROUP("intake", struct raw_config, intake, intake_fields),
    GROUP("database", struct raw_config, database, database_fields),
    GROUP("replay", struct raw_config, replay, replay_fields),
    TEXT("time_zone", struct raw_config, time_zone),
    TEXT("max_future", struct raw_config, max_future),
    GROUP("dead_letters", struct raw_config, dead_letters, dead_letters_fields),
    GROUP("receipts", struct raw_config, receipts, receipts_fields),
    GROUP("check", struct raw_config, check, check_fields),
    GROUP("alerts", struct raw_config, alerts, alerts_fields),
    GROUP("log", struct raw_config, log, log_fields),
    LIST("streams", struct raw_config, streams, &stream_entry),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields),
};
/* clang-format on */

/* ---- libcyaml's complaint -> one message ----------------------------------------- */

enum { COMPLAINT_MAX = 256, KEYS_MAX = 16 };

/* What libcyaml logs on a failure: one line with the fault, then the way to it from the
 * inside out. */
struct complaint {
    char fault[COMPLAINT_MAX];
    char keys[KEYS_MAX][COMPLAINT_MAX]; /* ".key", "[index]", "" for a mapping itself */
    size_t key_count;
    size_t line; /* of the innermost; 0: not said */
};

static void note_way(struct complaint *complaint, const char *text)
{
    char key[COMPLAINT_MAX];
    unsigned entry;
    const char *line = strstr(text, "(line: ");
    if (complaint->key_count == KEYS_MAX) {
        return;
    }
    char *place = complaint->keys[complaint->key_count];
    if (sscanf(text, " in mapping field '%200[^']'", key) == 1) {
        snprintf(place, COMPLAINT_MAX, ".%.200s", key);
    } else if (sscanf(text, " in sequence entry '%u'", &entry) == 1) {
        snprintf(place, COMPLAINT_MAX, "[%u]", entry ? entry - 1 : 0);
    } else {
        place[0] = '\0';
    }
    if (complaint->key_count++ == 0 && line) {
        complaint->line = strtoul(line + 7, NULL, 10);
    }
}

static void note_line(cyaml_log_t level, void *context, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void note_line(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct complaint *complaint = context;
    char text[COMPLAINT_MAX];
    vsnprintf(text, sizeof text, format, args);
    if (level < CYAML_LOG_ERROR || strncmp(text, "Load: Backtrace", 15) == 0) {
        return;
    }
    if (strncmp(text, "  in ", 5) == 0) {
        note_way(complaint, text);
    } else if (!complaint->fault[0] && strncmp(text, "Load: ", 6) == 0) {
        snprintf(complaint->fault, sizeof complaint->fault, "%.200s", text + 6);
        complaint->fault[strcspn(complaint->fault, "\n")] = '\0';
    }
}

/* The way from the outside in as a path, then `last` as a further key. */
static void complaint_path(const struct complaint *complaint, size_t skip,
                           const char *last, char out_path[COMPLAINT_MAX])
{
    size_t len = 0;
    out_path[0] = '\0';
    for (size_t i = complaint->key_count; i > skip; i--) {
        const char *key = complaint->keys[i - 1];
        snprintf(out_path + len, COMPLAINT_MAX - len, "%s", key + (len == 0 && *key));
        len = strlen(out_path);
    }
    if (last) {
        snprintf(out_path + len, COMPLAINT_MAX - len, "%s%s", len ? "." : "", last);
    }
}

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* "Expecting SEQUENCE, got event: SCALAR" in words. */
static const char *shape_advice(const char *fault)
{
    if (after(fault, "Expecting MAPPING")) {
        return "keys with values are expected here; write them indented below, or leave "
               "the key out";
    }
    if (after(fault, "Expecting SEQUENCE")) {
        return "a list is expected here; write [a, b] or lines that begin with \"- \"";
    }
    return "one value is expected here, not a list or keys";
}

static int explain(const struct locate *locate, const struct complaint *complaint,
                   cyaml_err_t failure, struct err *err)
{
    char path[COMPLAINT_MAX];
    const char *key = after(complaint->fault, "Unexpected key: ");
    /* libyaml has read this text before, so that it can only lack memory now */
    if (failure == CYAML_ERR_OOM || failure == CYAML_ERR_LIBYAML_PARSER ||
        failure == CYAML_ERR_LIBYAML_PARSER_INIT) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the configuration");
    }
    if (key) {
        /* the innermost way is the mapping that holds it */
        complaint_path(complaint, 1, key, path);
        return locate_refuse(locate, err, path,
                             "no such key; check its spelling and indentation "
                             "(docs/examples/holdfast.yaml has them all)");
    }
    key = after(complaint->fault, "Missing required mapping field: ");
    if (key) {
        complaint_path(complaint, 1, key, path);
        return locate_refuse(locate, err, path, "is missing; add it");
    }
    complaint_path(complaint, 0, NULL, path);
    if (after(complaint->fault, "Expecting ")) {
        return locate_refuse(locate, err, path, "%s", shape_advice(complaint->fault));
    }
    return locate_refuse(locate, err, path, "%s",
                         complaint->fault[0] ? complaint->fault
                                             : cyaml_strerror(failure));
}

static cyaml_config_t settings(struct complaint *complaint)
{
    return (cyaml_config_t){
        .log_fn = note_line,
        .log_ctx = complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

static int load(const struct locate *locate, struct slice text,
                const cyaml_schema_value_t *schema, void **out_raw, struct err *err)
{
    struct complaint complaint = {0};
    cyaml_config_t config = settings(&complaint);
    void *raw = NULL;
    cyaml_err_t failure = cyaml_load_data((const uint8_t *)text.data, text.len, &config,
                                          schema, &raw, NULL);
    if (failure != CYAML_OK) {
        return explain(locate, &complaint, failure, err);
    }
    if (!raw) {
        return locate_refuse(locate, err, "", "nothing is configured in this file");
    }
    *out_raw = raw;
    return ERR_OK;
}

static void free_raw(const cyaml_schema_value_t *schema, void *raw)
{
    struct complaint complaint = {0};
    cyaml_config_t config = settings(&complaint);
    if (raw) {
        cyaml_free(&config, schema, raw, 0);
    }
}

/* ---- ${NAME}: every string, found by the same tables ----------------------------- */

struct expansion {
    const struct locate *locate;
    char path[COMPLAINT_MAX];
    struct err *err;
};

static const char *environment(const char *name)
{
    return getenv(name);
}

static int expand_text(struct expansion *expansion, char **text)
{
    if (!*text || !strstr(*text, "${")) {
        return ERR_OK;
    }
    struct buf out = {0};
    struct err why = {0};
    int code = config_env_expand(slice_text(*text), environment, &out, &why);
    if (code == ERR_CONFIG) {
        locate_refuse(expansion->locate, expansion->err, expansion->path, "%s",
                      why.message);
    } else if (code || !buf_text(&out)) {
        code = err_set(expansion->err, ERR_NOMEM, 0, "no memory for the configuration");
    } else {
        /* cyaml_mem is realloc and free, as buf's memory is */
        cyaml_mem(NULL, *text, 0);
        *text = out.data;
        return ERR_OK;
    }
    buf_free(&out);
    return code;
}

static int expand_fields(struct expansion *expansion, const cyaml_schema_field_t *fields,
                         void *data);

static int expand_list(struct expansion *expansion, const cyaml_schema_field_t *field,
                       char *data)
{
    const cyaml_schema_value_t *entry = field->value.sequence.entry;
    size_t count = *(unsigned *)(void *)(data + field->count_offset);
    char *items = *(char **)(void *)(data + field->data_offset);
    size_t len = strlen(expansion->path);
    int code = ERR_OK;
    for (size_t i = 0; !code && items && i < count; i++) {
        snprintf(expansion->path + len, sizeof expansion->path - len, "[%zu]", i);
        void *item =
            items + i * (entry->type == CYAML_STRING ? sizeof(char *) : entry->data_size);
        code = entry->type == CYAML_STRING
                   ? expand_text(expansion, item)
                   : expand_fields(expansion, entry->mapping.fields, item);
        expansion->path[len] = '\0';
    }
    return code;
}

static int expand_field(struct expansion *expansion, const cyaml_schema_field_t *field,
                        char *data)
{
    void *member = data + field->data_offset;
    switch ((int)field->value.type) {
    case CYAML_STRING:
        return expand_text(expansion, member);
    case CYAML_SEQUENCE:
        return expand_list(expansion, field, data);
    default: /* a mapping */
        if (field->value.flags & CYAML_FLAG_POINTER) {
            member = *(void **)member;
        }
        return member ? expand_fields(expansion, field->value.mapping.fields, member)
                      : ERR_OK;
    }
}

static int expand_fields(struct expansion *expansion, const cyaml_schema_field_t *fields,
                         void *data)
{
    size_t len = strlen(expansion->path);
    int code = ERR_OK;
    for (; !code && fields->key; fields++) {
        snprintf(expansion->path + len, sizeof expansion->path - len, "%s%s",
                 len ? "." : "", fields->key);
        code = expand_field(expansion, fields, data);
        expansion->path[len] = '\0';
    }
    return code;
}

/* ------------------------------------------------------------------------------------ */

int raw_config_load(const struct locate *locate, struct slice text,
                    struct raw_config **out_raw, struct err *err)
{
    void *raw = NULL;
    int code = load(locate, text, &config_schema, &raw, err);
    if (code) {
        return code;
    }
    assert(raw);
    struct expansion expansion = {.locate = locate, .err = err};
    code = expand_fields(&expansion, config_fields, raw);
    if (code) {
        free_raw(&config_schema, raw);
        return code;
    }
    *out_raw = raw;
    return ERR_OK;
}

void raw_config_free(struct raw_config *raw)
{
    free_raw(&config_schema, raw);
}

int raw_preset_load(const struct locate *locate, struct slice text,
                    struct raw_stream **out_raw, struct err *err)
{
    void *raw = NULL;
    int code = load(locate, text, &preset_schema, &raw, err);
    if (!code) {
        *out_raw = raw;
    }
    return code;
}

void raw_preset_free(struct raw_stream *raw)
{
    free_raw(&preset_schema, raw);
}
