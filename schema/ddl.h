/* schema/ddl.h: SQL text for a stream's two tables. Pure; MariaDB and MySQL alike. */
#ifndef HOLDFAST_SCHEMA_DDL_H
#define HOLDFAST_SCHEMA_DDL_H

#include "base/slice.h"
#include "schema/stream.h"

/* `name` quoted in backticks (doubled inside). */
void ddl_append_identifier(struct buf *out, const char *name);

/* CREATE TABLE IF NOT EXISTS ..., without a final semicolon: InnoDB, utf8mb4; STRING and
 * ENUM columns utf8mb4_unicode_ci, but key columns (entity key, event key) of type STRING
 * utf8mb4_bin, so that 'a' and 'A' are two keys in the database as they are in memory. IP
 * keys stay utf8mb4_unicode_ci as in existing tables: canonical text can't collide. A
 * TIMESTAMP NOT NULL column gets DEFAULT CURRENT_TIMESTAMP, since without a default some
 * servers add ON UPDATE CURRENT_TIMESTAMP. */
void ddl_append_entity_table(struct buf *out, const struct stream *stream);
void ddl_append_event_table(struct buf *out, const struct stream *stream);

/* The least rights of `user` (from any host) on `database`: one GRANT a line, each ended
 * by ";\n". with_create adds what creating missing tables needs; without it the tables
 * must be there, or the server refuses the GRANT. `ledger_table` is granted too, and
 * temporary tables, which only the fast path needs: without them replay goes the checked
 * path. */
struct ddl_rights {
    const char *database;
    const char *user;
    const char *ledger_table;
    bool with_create;
};
void ddl_append_grants(struct buf *out, const struct stream *const *streams, size_t count,
                       const struct ddl_rights *rights);

/* The column's SQL type as DDL writes it, such as "VARCHAR(50)" or "INT UNSIGNED". */
void ddl_append_type(struct buf *out, const struct stream_column *column);

/* What information_schema says of a column of an existing table. */
struct ddl_found_column {
    const char *name;
    const char *data_type;   /* "varchar", lower case */
    const char *column_type; /* "varchar(50)", "enum('a','b')", "int(11) unsigned" */
    const char *collation;   /* NULL where it has none */
    uint64_t characters_max;
    uint32_t precision; /* datetime_precision */
    bool nullable;
    bool has_default;
    bool auto_increment;
    bool generated;
    bool on_update; /* EXTRA says "on update current_timestamp" */
};

/* Every difference that matters between the configured table (entity or event) and the
 * found columns, one sentence each into `out` (separated by "; "), saying what to do: a
 * column missing (unless optional), a type that can't hold the values, too narrow,
 * coarser precision, enum members missing, a NOT NULL column that Holdfast never writes
 * and that has no default, a NOT NULL column that a record may lack, a written column
 * that is generated or changes ON UPDATE, text that is not utf8mb4, a string key column
 * under a collation that folds.
 * `out_missing` (may be NULL, column_count items) is set true for optional columns that
 * are not there. Returns the number of differences. */
size_t ddl_compare(const struct stream *stream, bool entity,
                   const struct ddl_found_column *found, size_t found_count,
                   bool *out_missing, struct buf *out);

#endif
