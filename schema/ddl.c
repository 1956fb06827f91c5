/* Text of CREATE TABLE and GRANT. Names and values were checked by stream_new: what is
 * quoted here holds no backslash and no control character, so that the quotes mean the
 * same under any sql_mode. */
#include "schema/ddl.h"
#include "schema/internal.h"

#include <stdio.h>
#include <strings.h>

void ddl_append_identifier(struct buf *out, const char *name)
{
    buf_append_char(out, '`');
    for (; *name; name++) {
        if (*name == '`') {
            buf_append_char(out, '`');
        }
        buf_append_char(out, *name);
    }
    buf_append_char(out, '`');
}

static void append_quoted(struct buf *out, struct slice text)
{
    buf_append_char(out, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'' || text.data[i] == '\\') {
            buf_append_char(out, text.data[i]);
        }
        buf_append_char(out, text.data[i]);
    }
    buf_append_char(out, '\'');
}

/* ---- Columns ---------------------------------------------------------------------- */

static void append_enum(struct buf *out, const struct column_spec *spec)
{
    buf_append_text(out, "ENUM(");
    for (size_t i = 0; i < spec->member_count; i++) {
        buf_append_text(out, i ? "," : "");
        append_quoted(out, slice_text(spec->members[i]));
    }
    buf_append_char(out, ')');
}

static void append_integer(struct buf *out, uint32_t bits, bool is_unsigned)
{
    const char *name = bits == 8    ? "TINYINT"
                       : bits == 16 ? "SMALLINT"
                       : bits == 64 ? "BIGINT"
                                    : "INT";
    buf_append_text(out, name);
    buf_append_text(out, is_unsigned ? " UNSIGNED" : "");
}

/* "(3)", or nothing for whole seconds. */
static void append_precision(struct buf *out, uint32_t precision)
{
    if (precision) {
        buf_printf(out, "(%u)", precision);
    }
}

void ddl_append_type(struct buf *out, const struct stream_column *column)
{
    const struct column_spec *spec = &column->spec;
    switch (column->type) {
    case COLUMN_STRING:
        buf_printf(out, "VARCHAR(%u)", spec->max);
        break;
    case COLUMN_IP:
        buf_append_text(out, "VARCHAR(15)");
        break;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
        buf_append_text(out, column->type == COLUMN_DATETIME ? "DATETIME" : "TIMESTAMP");
        append_precision(out, spec->precision);
        break;
    case COLUMN_INTEGER:
        append_integer(out, spec->bits, spec->is_unsigned);
        break;
    case COLUMN_FLOAT:
        buf_append_text(out, spec->bits == 64 ? "DOUBLE" : "FLOAT");
        break;
    case COLUMN_BOOL:
        buf_append_text(out, "TINYINT(1)");
        break;
    case COLUMN_ENUM:
        append_enum(out, spec);
        break;
    }
}

static void append_now(struct buf *out, const struct stream_column *column)
{
    buf_append_text(out, " DEFAULT CURRENT_TIMESTAMP");
    append_precision(out, column->spec.precision);
}

static void append_literal(struct buf *out, const struct stream_column *column)
{
    const struct value *value = &column->fallback;
    buf_append_text(out, " DEFAULT ");
    if (value->type == VALUE_BOOL) {
        buf_append_char(out, value->boolean ? '1' : '0');
    } else if (value->type == VALUE_INTEGER && column->spec.is_unsigned) {
        buf_printf(out, "%llu", (unsigned long long)value->integer);
    } else if (value->type == VALUE_TEXT) {
        append_quoted(out, value->text);
    } else if (value->type == VALUE_IP) {
        char text[VALUE_IP_TEXT];
        append_quoted(out, slice_of(text, value_format_ip(value->ip, text)));
    } else {
        value_append_text(out, value);
    }
}

/* Where explicit_defaults_for_timestamp is off, a TIMESTAMP that says nothing becomes NOT
 * NULL with DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP (the first) or DEFAULT
 * '0000-00-00 00:00:00' (the others). A column whose time jumps to now when its row is
 * touched would be a trap, so each one says NULL or NOT NULL and a default; a NOT NULL
 * one has the only default that every time zone and sql_mode takes. */
static void append_column(struct buf *out, const struct stream_column *column,
                          bool binary)
{
    const struct column_spec *spec = &column->spec;
    bool timestamp = column->type == COLUMN_TIMESTAMP;
    bool time = timestamp || column->type == COLUMN_DATETIME;
    buf_append_text(out, "  ");
    ddl_append_identifier(out, column->name);
    buf_append_char(out, ' ');
    ddl_append_type(out, column);
    if (binary) {
        buf_append_text(out, " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    }
    if (spec->not_null) {
        buf_append_text(out, " NOT NULL");
    } else if (timestamp) {
        buf_append_text(out, " NULL");
    }
    if (time && (spec->default_value || (timestamp && spec->not_null))) {
        append_now(out, column);
    } else if (column->fallback.type != VALUE_ABSENT) {
        append_literal(out, column);
    } else if (!spec->not_null) {
        buf_append_text(out, " DEFAULT NULL");
    }
    buf_append_text(out, ",\n");
}

bool ddl_is_string_key(const struct stream *stream, bool entity, size_t column)
{
    const struct stream_table *table = entity ? &stream->entity : &stream->event;
    if (table->columns[column].type != COLUMN_STRING) {
        return false;
    }
    if (entity) {
        return (size_t)stream->entity_key_column == column;
    }
    for (size_t i = 0; i < stream->event_key_count; i++) {
        if ((size_t)stream->event_key[i] == column) {
            return true;
        }
    }
    return false;
}

/* ---- Tables ------------------------------------------------------------------------ */

static void append_key_columns(struct buf *out, const char *const *columns, size_t count)
{
    buf_append_text(out, " (");
    for (size_t i = 0; i < count; i++) {
        buf_append_text(out, i ? ", " : "");
        ddl_append_identifier(out, columns[i]);
    }
    buf_append_char(out, ')');
}

/* "uk_ip", with a number where an index has that name. */
static void unique_name(const struct stream_table *table, const char *const *columns,
                        size_t count, char out_name[IDENTIFIER_MAX + 1])
{
    char prefix[16] = "uk";
    unsigned attempt = 1;
    bool taken = true;
    while (taken) {
        taken = false;
        index_name(prefix, columns, count, out_name);
        for (size_t i = 0; i < table->index_count; i++) {
            taken = taken || strcasecmp(table->indexes[i].name, out_name) == 0;
        }
        snprintf(prefix, sizeof prefix, "uk%u", ++attempt);
    }
}

static void append_open(struct buf *out, const struct stream_table *table)
{
    buf_append_text(out, "CREATE TABLE IF NOT EXISTS ");
    ddl_append_identifier(out, table->name);
    buf_append_text(out, " (\n  ");
    ddl_append_identifier(out, table->id);
    buf_append_char(out, ' ');
    append_integer(out, table->id_bits, false);
    buf_append_text(out, " NOT NULL AUTO_INCREMENT,\n");
}

static void append_indexes(struct buf *out, const struct stream_table *table,
                           const char *const *key, size_t key_count)
{
    char name[IDENTIFIER_MAX + 1];
    unique_name(table, key, key_count, name);
    buf_append_text(out, "  PRIMARY KEY (");
    ddl_append_identifier(out, table->id);
    buf_append_text(out, "),\n  UNIQUE KEY ");
    ddl_append_identifier(out, name);
    append_key_columns(out, key, key_count);
    for (size_t i = 0; i < table->index_count; i++) {
        const struct index_spec *index = &table->indexes[i];
        buf_append_text(out, ",\n  KEY ");
        ddl_append_identifier(out, index->name);
        append_key_columns(out, index->columns, index->column_count);
    }
}

static void append_close(struct buf *out)
{
    buf_append_text(out, "\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 "
                         "COLLATE=utf8mb4_unicode_ci");
}

void ddl_append_entity_table(struct buf *out, const struct stream *stream)
{
    const struct stream_table *table = &stream->entity;
    append_open(out, table);
    for (size_t i = 0; i < table->column_count; i++) {
        append_column(out, &table->columns[i], ddl_is_string_key(stream, true, i));
    }
    append_indexes(out, table, &table->columns[stream->entity_key_column].name, 1);
    append_close(out);
}

/* A constraint's name is unique within its database, so it is made from the table's. */
static void append_foreign_key(struct buf *out, const struct stream *stream)
{
    char name[IDENTIFIER_MAX + 1];
    index_name("fk", &stream->event.name, 1, name);
    buf_append_text(out, ",\n  CONSTRAINT ");
    ddl_append_identifier(out, name);
    buf_append_text(out, " FOREIGN KEY");
    append_key_columns(out, &stream->entity_ref, 1);
    buf_append_text(out, " REFERENCES ");
    ddl_append_identifier(out, stream->entity.name);
    append_key_columns(out, &stream->entity.id, 1);
    buf_append_text(out, " ON DELETE RESTRICT");
}

void ddl_append_event_table(struct buf *out, const struct stream *stream)
{
    const struct stream_table *table = &stream->event;
    const char *key[STREAM_COLUMNS_MAX];
    append_open(out, table);
    buf_append_text(out, "  ");
    ddl_append_identifier(out, stream->entity_ref);
    buf_append_char(out, ' ');
    append_integer(out, stream->entity.id_bits, false);
    buf_append_text(out, " NOT NULL,\n");
    for (size_t i = 0; i < table->column_count; i++) {
        append_column(out, &table->columns[i], ddl_is_string_key(stream, false, i));
    }
    for (size_t i = 0; i < stream->event_key_count; i++) {
        key[i] = table->columns[stream->event_key[i]].name;
    }
    append_indexes(out, table, key, stream->event_key_count);
    append_foreign_key(out, stream);
    append_close(out);
}

/* ---- Rights ------------------------------------------------------------------------ */

static void append_grantee(struct buf *out, const struct ddl_rights *rights,
                           const char *before)
{
    buf_append_text(out, before);
    buf_append_text(out, " TO ");
    append_quoted(out, slice_text(rights->user));
    buf_append_text(out, "@'%';\n");
}

/* What replay does: it reads and locks (SELECT ... FOR UPDATE wants UPDATE), inserts and
 * updates; a foreign key is made by whoever may reference its parent. */
static void append_grant(struct buf *out, const struct ddl_rights *rights,
                         const char *table, bool parent)
{
    buf_append_text(out, "GRANT SELECT, INSERT, UPDATE");
    buf_append_text(out, rights->with_create ? ", CREATE" : "");
    buf_append_text(out, rights->with_create && parent ? ", REFERENCES" : "");
    buf_append_text(out, " ON ");
    ddl_append_identifier(out, rights->database);
    buf_append_char(out, '.');
    ddl_append_identifier(out, table);
    append_grantee(out, rights, "");
}

/* In a grant on all tables the database is a pattern: "_" would stand for any character,
 * and reach its neighbours. */
static void append_database(struct buf *out, const char *name)
{
    buf_append_char(out, '`');
    for (; *name; name++) {
        if (*name == '_' || *name == '%' || *name == '\\') {
            buf_append_char(out, '\\');
        }
        if (*name == '`') {
            buf_append_char(out, '`');
        }
        buf_append_char(out, *name);
    }
    buf_append_char(out, '`');
}

/* Streams may share a table: it is granted once. */
static bool is_granted(const struct stream *const *streams, size_t count,
                       const char *table)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(streams[i]->entity.name, table) == 0 ||
            strcmp(streams[i]->event.name, table) == 0) {
            return true;
        }
    }
    return false;
}

void ddl_append_grants(struct buf *out, const struct stream *const *streams, size_t count,
                       const struct ddl_rights *rights)
{
    /* a right on a database, not on a table; for the fast path's session tables */
    buf_append_text(out, "GRANT CREATE TEMPORARY TABLES ON ");
    append_database(out, rights->database);
    append_grantee(out, rights, ".*");
    append_grant(out, rights, rights->ledger_table, false);
    for (size_t i = 0; i < count; i++) {
        if (!is_granted(streams, i, streams[i]->entity.name)) {
            append_grant(out, rights, streams[i]->entity.name, true);
        }
        if (!is_granted(streams, i, streams[i]->event.name)) {
            append_grant(out, rights, streams[i]->event.name, false);
        }
    }
}
