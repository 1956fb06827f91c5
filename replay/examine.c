#include "replay/examine.h"
#include "schema/ddl.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* One of the stream's tables, and what is known of it. */
struct examined {
    struct db *db;
    const struct stream *stream;
    const struct stream_table *table;
    bool entity;
    unsigned flags;
    bool absent;
    bool *missing; /* the stream_table's columns */
    bool *not_null;
    char *index;
    struct buf *notes;
    struct buf differences;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to examine the tables");
}

static void add_difference(struct examined *at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_difference(struct examined *at, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (at->differences.len) {
        buf_append_text(&at->differences, "; ");
    }
    buf_append_text(&at->differences, text);
}

/* `what` FROM information_schema.`view` of the table, `rest` at the end. */
static int query_schema(struct db *db, const char *what_from, const char *table,
                        const char *rest, struct db_rows *out_rows, struct err *err)
{
    struct buf sql = {0};
    buf_append_text(&sql, what_from);
    buf_append_text(&sql, " WHERE table_schema = DATABASE() AND table_name = ");
    db_append_quoted(&sql, slice_text(table));
    buf_append_text(&sql, rest);
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), out_rows, err);
    buf_free(&sql);
    return code;
}

static bool is_name(struct slice found, const char *name)
{
    return found.data && strcasecmp(found.data, name) == 0;
}

/* ---- Is the table there? ----------------------------------------------------------- */

/* ERR_NOT_FOUND where it is missing. */
static int check_engine(struct db *db, const char *table, struct err *err)
{
    struct db_rows rows = {0};
    int code = query_schema(db, "SELECT engine FROM information_schema.tables", table, "",
                            &rows, err);
    if (code) {
        return code;
    }
    if (rows.row_count == 0) {
        code = err_set(err, ERR_NOT_FOUND, 0, "table %s is missing", table);
    } else if (!is_name(db_cell(&rows, 0, 0), "InnoDB")) {
        const char *engine = db_cell(&rows, 0, 0).data;
        code =
            err_set(err, ERR_SCHEMA, 0,
                    "table %s is %s%s, but only InnoDB has the transactions that are "
                    "needed; ALTER TABLE %s ENGINE=InnoDB",
                    table, engine ? "of engine " : "a view", engine ? engine : "", table);
    }
    db_rows_free(&rows);
    return code;
}

static int create_table(struct db *db, const char *table,
                        void (*append)(struct buf *out, const struct stream *stream),
                        const struct stream *stream, struct err *err)
{
    struct buf sql = {0};
    append(&sql, stream);
    int code = sql.failed ? no_memory(err) : db_exec(db, buf_slice(&sql), NULL, err);
    buf_free(&sql);
    if (code && err) {
        err_wrap(err, "table %s is missing and can't be made", table);
    }
    return code ? code : check_engine(db, table, err);
}

static void append_ledger(struct buf *out, const struct stream *stream)
{
    (void)stream;
    ledger_append_ddl(out);
}

/* Once, though each stream needs the ledger. */
static void note_absent(struct buf *notes, const char *table)
{
    struct buf note = {0};
    buf_printf(&note, "table %s is not there; it will be made\n", table);
    const char *said = buf_text(notes);
    const char *text = buf_text(&note);
    if (text && !(said && strstr(said, text))) {
        buf_append_text(notes, text);
    }
    buf_free(&note);
}

/* Whether the ledger says that records of the stream were applied. */
static int ask_applied(const struct examined *at, bool *out_applied, struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    buf_append_text(&sql, "SELECT 1 FROM " LEDGER_TABLE " WHERE stream = ");
    db_append_quoted(&sql, slice_text(at->stream->name));
    buf_append_text(&sql, " AND applied_seq > 0 LIMIT 1");
    struct err why = {0};
    int code =
        sql.failed ? no_memory(&why) : db_query(at->db, buf_slice(&sql), &rows, &why);
    buf_free(&sql);
    if (code && why.sys == DB_NO_TABLE) {
        code = 0; /* no ledger, which EXAMINE_LOOK doesn't make: nothing was applied */
    } else if (code && err) {
        *err = why;
    }
    *out_applied = rows.row_count > 0;
    db_rows_free(&rows);
    return code;
}

/* What was applied lies in a table that isn't there now. An empty one in its place would
 * part the events of before from those to come, and nobody would notice. Another lane may
 * have made the table and applied to it since it was missed: it is looked for once more.
 * ERR_NOT_FOUND: it may be made. */
static int refuse_anew(const struct examined *at, const char *table, struct err *err)
{
    bool applied;
    int code = ask_applied(at, &applied, err);
    if (code || !applied) {
        return code ? code : ERR_NOT_FOUND;
    }
    code = check_engine(at->db, table, err);
    return code == ERR_NOT_FOUND
               ? err_set(err, ERR_SCHEMA, 0,
                         "table %s is missing, though records of stream %s were applied "
                         "to it, so it isn't made anew: bring it back, and it goes on; "
                         "or, to begin with an empty one, make it by what `holdfast "
                         "schema` prints",
                         table, at->stream->name)
               : code;
}

/* `append` is the table's DDL; used only where it is missing, since CREATE TABLE IF NOT
 * EXISTS asks for the right to create even where it has nothing to do. Sets at->absent.
 */
static int have_table(struct examined *at, const char *table,
                      void (*append)(struct buf *out, const struct stream *stream),
                      struct err *err)
{
    struct err why = {0};
    int code = check_engine(at->db, table, &why);
    if (code == ERR_NOT_FOUND && (at->flags & EXAMINE_CREATE) &&
        strcmp(table, LEDGER_TABLE) != 0) {
        code = refuse_anew(at, table, &why);
    }
    bool create = code == ERR_NOT_FOUND && (at->flags & EXAMINE_CREATE);
    at->absent = create && (at->flags & EXAMINE_LOOK);
    if (at->absent) {
        note_absent(at->notes, table);
        return 0;
    }
    if (create) {
        return create_table(at->db, table, append, at->stream, err);
    }
    if (code == ERR_NOT_FOUND) {
        return err_set(err, ERR_SCHEMA, 0,
                       "table %s is missing; `holdfast schema` prints the statement that "
                       "makes it",
                       table);
    }
    if (code && err) {
        *err = why;
    }
    return code;
}

/* ---- Columns ----------------------------------------------------------------------- */

static uint64_t number_of(struct slice cell)
{
    return cell.data ? strtoull(cell.data, NULL, 10) : 0;
}

static struct ddl_found_column found_column(const struct db_rows *rows, size_t row)
{
    struct slice generation = db_cell(rows, row, 9);
    const char *extra = db_cell(rows, row, 8).data;
    return (struct ddl_found_column){
        .name = db_cell(rows, row, 0).data,
        .data_type = db_cell(rows, row, 1).data,
        .column_type = db_cell(rows, row, 2).data,
        .collation = db_cell(rows, row, 3).data,
        .characters_max = number_of(db_cell(rows, row, 4)),
        .precision = (uint32_t)number_of(db_cell(rows, row, 5)),
        .nullable = is_name(db_cell(rows, row, 6), "YES"),
        .has_default = db_cell(rows, row, 7).data != NULL ||
                       (extra && strcasestr(extra, "DEFAULT_GENERATED") != NULL),
        .auto_increment = extra && strcasestr(extra, "auto_increment") != NULL,
        .generated = generation.data && generation.len > 0,
        .on_update = extra && strcasestr(extra, "on update") != NULL,
    };
}

static uint64_t type_max(const struct ddl_found_column *column)
{
    static const struct {
        const char *type;
        unsigned bits;
    } types[] = {
        {"tinyint", 8}, {"smallint", 16}, {"mediumint", 24}, {"int", 32}, {"bigint", 64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcasecmp(column->data_type, types[i].type) == 0) {
            bool is_unsigned = strcasestr(column->column_type, "unsigned") != NULL;
            return UINT64_MAX >> (64 - types[i].bits + !is_unsigned);
        }
    }
    return UINT64_MAX;
}

/* The next AUTO_INCREMENT value against what the id column can hold. */
static int check_head_room(struct examined *at, const struct ddl_found_column *id,
                           struct err *err)
{
    struct db_rows rows = {0};
    int code =
        query_schema(at->db, "SELECT auto_increment FROM information_schema.tables",
                     at->table->name, "", &rows, err);
    if (code) {
        return code;
    }
    uint64_t next = rows.row_count ? number_of(db_cell(&rows, 0, 0)) : 0;
    db_rows_free(&rows);
    uint64_t max = type_max(id);
    if (next > max / 5 * 4) {
        buf_printf(
            at->notes,
            "table %s: the next id is %llu of at most %llu; widen %s (%s) before it "
            "runs out\n",
            at->table->name, (unsigned long long)next, (unsigned long long)max,
            at->table->id, id->column_type);
    }
    return 0;
}

static const struct ddl_found_column *find_column(const struct ddl_found_column *found,
                                                  size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(found[i].name, name) == 0) {
            return &found[i];
        }
    }
    return NULL;
}

static void note_nullability(struct examined *at, const struct ddl_found_column *found,
                             size_t found_count)
{
    for (size_t i = 0; at->not_null && i < at->table->column_count; i++) {
        const struct ddl_found_column *column =
            find_column(found, found_count, at->table->columns[i].name);
        at->not_null[i] = column && !column->nullable;
    }
}

static int check_found(struct examined *at, const struct db_rows *rows, struct err *err)
{
    struct ddl_found_column *found = calloc(rows->row_count + 1, sizeof *found);
    if (!found) {
        return no_memory(err);
    }
    for (size_t i = 0; i < rows->row_count; i++) {
        found[i] = found_column(rows, i);
    }
    const struct ddl_found_column *id =
        find_column(found, rows->row_count, at->table->id);
    struct buf differences = {0};
    if (ddl_compare(at->stream, at->entity, found, rows->row_count, at->missing,
                    &differences)) {
        const char *text = buf_text(&differences);
        add_difference(at, "table %s: %s", at->table->name, text ? text : "differs");
    }
    buf_free(&differences);
    note_nullability(at, found, rows->row_count);
    int code = id ? check_head_room(at, id, err) : 0;
    free(found);
    return code;
}

static int check_columns(struct examined *at, struct err *err)
{
    struct db_rows rows = {0};
    int code = query_schema(
        at->db,
        "SELECT column_name, data_type, column_type, collation_name, "
        "character_maximum_length, datetime_precision, is_nullable, column_default, "
        "extra, generation_expression FROM information_schema.columns",
        at->table->name, " ORDER BY ordinal_position", &rows, err);
    if (code) {
        return code;
    }
    code = check_found(at, &rows, err);
    db_rows_free(&rows);
    return code;
}

/* ---- Indexes, triggers, foreign key ---------------------------------------------- */

enum { INDEX_NAME, INDEX_COLUMN, INDEX_NON_UNIQUE, INDEX_PREFIX, INDEX_PLACE };

static bool wanted_in_key(const struct examined *at, struct slice column)
{
    const struct stream *stream = at->stream;
    if (at->entity) {
        return is_name(column, at->table->columns[stream->entity_key_column].name);
    }
    for (size_t i = 0; i < stream->event_key_count; i++) {
        if (is_name(column, at->table->columns[stream->event_key[i]].name)) {
            return true;
        }
    }
    return false;
}

/* Is the index at rows [start, end) unique over exactly the key's columns? */
static bool is_key_index(const struct examined *at, const struct db_rows *rows,
                         size_t start, size_t end)
{
    size_t wanted = at->entity ? 1 : at->stream->event_key_count;
    bool matches = end - start == wanted;
    for (size_t i = start; matches && i < end; i++) {
        matches = is_name(db_cell(rows, i, INDEX_NON_UNIQUE), "0") &&
                  !db_cell(rows, i, INDEX_PREFIX).data &&
                  wanted_in_key(at, db_cell(rows, i, INDEX_COLUMN));
    }
    return matches;
}

static void append_key(const struct examined *at, struct buf *out)
{
    if (at->entity) {
        buf_append_text(out, at->table->columns[at->stream->entity_key_column].name);
        return;
    }
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        buf_printf(out, "%s%s", i ? ", " : "",
                   at->table->columns[at->stream->event_key[i]].name);
    }
}

static void find_key_index(struct examined *at, const struct db_rows *rows)
{
    bool ref_indexed = at->entity;
    at->index[0] = '\0';
    for (size_t start = 0, end = 0; start < rows->row_count; start = end) {
        struct slice name = db_cell(rows, start, INDEX_NAME);
        while (end < rows->row_count &&
               slice_equal(db_cell(rows, end, INDEX_NAME), name)) {
            end++;
        }
        if (!at->index[0] && is_key_index(at, rows, start, end)) {
            snprintf(at->index, EXAMINE_INDEX_MAX + 1, "%s", name.data);
        }
        ref_indexed = ref_indexed ||
                      is_name(db_cell(rows, start, INDEX_COLUMN), at->stream->entity_ref);
    }
    if (!at->index[0]) {
        struct buf key = {0};
        append_key(at, &key);
        const char *text = buf_text(&key);
        add_difference(at, "table %s lacks a unique key over (%s)", at->table->name,
                       text ? text : "");
        buf_free(&key);
    }
    if (!ref_indexed) {
        buf_printf(
            at->notes,
            "table %s: no index begins with %s, so that validation reads the whole "
            "table\n",
            at->table->name, at->stream->entity_ref);
    }
}

static int check_indexes(struct examined *at, struct err *err)
{
    struct db_rows rows = {0};
    int code =
        query_schema(at->db,
                     "SELECT index_name, column_name, non_unique, sub_part, seq_in_index "
                     "FROM information_schema.statistics",
                     at->table->name, " ORDER BY index_name, seq_in_index", &rows, err);
    if (code) {
        return code;
    }
    find_key_index(at, &rows);
    db_rows_free(&rows);
    return 0;
}

static int check_triggers(struct examined *at, struct err *err)
{
    struct buf sql = {0};
    buf_append_text(&sql, "SELECT trigger_name FROM information_schema.triggers WHERE "
                          "event_object_schema = DATABASE() AND event_object_table = ");
    db_append_quoted(&sql, slice_text(at->table->name));
    struct db_rows rows = {0};
    int code =
        sql.failed ? no_memory(err) : db_query(at->db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count; i++) {
        buf_printf(at->notes,
                   "table %s has the trigger %s: what it changes is outside of what is "
                   "proven here\n",
                   at->table->name, db_cell(&rows, i, 0).data);
    }
    db_rows_free(&rows);
    return 0;
}

static int check_foreign_key(struct examined *at, struct err *err)
{
    struct buf rest = {0};
    buf_append_text(&rest, " AND column_name = ");
    db_append_quoted(&rest, slice_text(at->stream->entity_ref));
    buf_append_text(&rest, " AND referenced_table_name = ");
    db_append_quoted(&rest, slice_text(at->stream->entity.name));
    const char *text = buf_text(&rest);
    struct db_rows rows = {0};
    int code =
        rest.failed || !text
            ? no_memory(err)
            : query_schema(
                  at->db,
                  "SELECT constraint_name FROM information_schema.key_column_usage",
                  at->table->name, text, &rows, err);
    buf_free(&rest);
    if (code) {
        return code;
    }
    if (rows.row_count == 0) {
        buf_printf(at->notes,
                   "table %s: %s has no foreign key to %s, so that the database doesn't "
                   "keep others from deleting an entity that has events\n",
                   at->table->name, at->stream->entity_ref, at->stream->entity.name);
    }
    db_rows_free(&rows);
    return 0;
}

/* ---- The doors ------------------------------------------------------------------- */

static int examine_table(struct examined *at, struct err *err)
{
    int code =
        have_table(at, at->table->name,
                   at->entity ? ddl_append_entity_table : ddl_append_event_table, err);
    if (code || at->absent) {
        return code;
    }
    code = check_columns(at, err);
    code = code ? code : check_indexes(at, err);
    code = code ? code : check_triggers(at, err);
    if (code == 0 && !at->entity) {
        code = check_foreign_key(at, err);
    }
    return code;
}

int examine_tables(struct db *db, const struct stream *stream, unsigned flags,
                   struct sink_tables *out_tables, struct buf *notes, struct err *err)
{
    struct sink_tables tables = {.stream = stream};
    struct examined at = {.db = db,
                          .stream = stream,
                          .table = &stream->entity,
                          .entity = true,
                          .flags = flags,
                          .missing = tables.entity_missing,
                          .not_null = tables.entity_not_null,
                          .index = tables.entity_index,
                          .notes = notes};
    int code = have_table(&at, LEDGER_TABLE, append_ledger, err);
    if (code == 0 && !(flags & EXAMINE_LOOK)) {
        code = ledger_upgrade(db, err);
    }
    tables.absent = at.absent;
    code = code ? code : examine_table(&at, err);
    if (code == 0) {
        tables.absent |= at.absent;
        at.table = &stream->event;
        at.entity = false;
        at.missing = tables.event_missing;
        at.not_null = NULL;
        at.index = tables.event_index;
        code = examine_table(&at, err);
        tables.absent |= at.absent;
    }
    if (code == 0 && (at.differences.failed || at.differences.len)) {
        const char *text = buf_text(&at.differences);
        code = text ? err_set(err, ERR_SCHEMA, 0, "%s", text) : no_memory(err);
    }
    buf_free(&at.differences);
    if (code == 0) {
        *out_tables = tables;
    }
    return code;
}

static void add_note(struct buf *notes, const char *note)
{
    if (*note) {
        buf_append_text(notes, note);
        buf_append_char(notes, '\n');
    }
}

int examine_server(const struct db *db, enum durability durability, struct buf *notes,
                   struct err *err)
{
    const struct db_server *server = db_server(db);
    const char *flush = server->flush_each_commit
                            ? ""
                            : "innodb_flush_log_at_trx_commit is not 1: a crash of the "
                              "server or its machine can take back commits";
    const char *binlog = server->binlog_synced
                             ? ""
                             : "sync_binlog is not 1: after a crash the binary log and "
                               "the replicas can lack commits";
    int code = 0;
    if ((*flush || *binlog) && durability == DURABILITY_REQUIRE) {
        code = err_set(err, ERR_DURABILITY, 0,
                       "database.durability is 'require', but %s%s%s", flush,
                       *flush && *binlog ? "; " : "", binlog);
    }
    add_note(notes, flush);
    add_note(notes, binlog);
    if (!server->doublewrite) {
        buf_append_text(notes, "innodb_doublewrite is off: a torn page after a power cut "
                               "can't be mended\n");
    }
    if (server->binlog_on && strcasecmp(server->binlog_format, "STATEMENT") == 0) {
        buf_append_text(notes,
                        "binlog_format is STATEMENT: with READ COMMITTED the server "
                        "refuses every write (1665); set it to ROW or MIXED\n");
    }
    return code;
}
