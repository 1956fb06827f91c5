#include "replay/fast_tables.h"
#include "replay/tsv.h"
#include "schema/ddl.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    /* of each session table, in the server's memory; as much as MariaDB gives by default
     * to the table that the UPDATE itself makes of what it is to write */
    SESSION_TABLE_BYTES_MAX = 16 << 20,
    CHUNK_ENTITIES_MAX = 50000,
    CHUNK_ENTITIES_MIN = 16,
    COLUMN_BYTES = 16, /* more than a number, a time or a length takes */
};

#define DELTA_PREFIX "holdfast_delta_"
#define TUPLE_PREFIX "holdfast_tuple_"
#define TRIGGER_MARK "\ntrigger "

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory for the fast path's statements");
}

/* ---- Text -------------------------------------------------------------------------- */

/* $e the entity table, $v the event table, $d and $t the session tables, $i the entity's
 * id, $k its key, $x the column `index`, $w the watermark column, # the index in digits,
 * @ that of the watermark; everything else as it is. */
static void append_form(struct buf *out, const struct stream *stream, const char *form,
                        size_t index)
{
    const struct stream_table *entity = &stream->entity;
    size_t watermark = (size_t)stream->watermark_column;
    char name[STREAM_NAME_MAX + sizeof DELTA_PREFIX + 1];
    for (; *form; form++) {
        if (*form == '#' || *form == '@') {
            buf_printf(out, "%zu", *form == '#' ? index : watermark);
            continue;
        }
        if (*form != '$') {
            buf_append_char(out, *form);
            continue;
        }
        switch (*++form) {
        case 'e':
            ddl_append_identifier(out, entity->name);
            break;
        case 'v':
            ddl_append_identifier(out, stream->event.name);
            break;
        case 'i':
            ddl_append_identifier(out, entity->id);
            break;
        case 'k':
            ddl_append_identifier(out, entity->columns[stream->entity_key_column].name);
            break;
        case 'x':
            ddl_append_identifier(out, entity->columns[index].name);
            break;
        case 'w':
            ddl_append_identifier(out, entity->columns[watermark].name);
            break;
        default: /* d or t */
            snprintf(name, sizeof name, "%s%s",
                     *form == 'd' ? DELTA_PREFIX : TUPLE_PREFIX, stream->name);
            ddl_append_identifier(out, name);
        }
    }
}

static bool is_there(const struct sink_tables *tables, size_t column)
{
    return !tables->entity_missing[column];
}

bool fast_in_delta(const struct sink_tables *tables, size_t column)
{
    enum merge_rule merge = tables->stream->entity.columns[column].merge;
    return is_there(tables, column) && (merge == MERGE_MIN || merge == MERGE_MAX);
}

bool fast_in_tuple(const struct sink_tables *tables, size_t column)
{
    enum merge_rule merge = tables->stream->entity.columns[column].merge;
    return is_there(tables, column) && (merge == MERGE_LATEST || merge == MERGE_FIRST);
}

const struct stream_column *fast_event_key(const struct stream *stream, int field)
{
    for (size_t i = 0; i < stream->event_key_count; i++) {
        const struct stream_column *column = &stream->event.columns[stream->event_key[i]];
        if (column->field == field) {
            return column;
        }
    }
    return NULL;
}

/* `form` for each column that `belongs`; the number of columns. */
static size_t append_columns(struct buf *out, const struct sink_tables *tables,
                             bool (*belongs)(const struct sink_tables *, size_t),
                             const char *form)
{
    size_t listed = 0;
    for (size_t i = 0; i < tables->stream->entity.column_count; i++) {
        if (belongs(tables, i)) {
            append_form(out, tables->stream, form, i);
            listed++;
        }
    }
    return listed;
}

/* ---- Statements --------------------------------------------------------------------
 *
 * The session tables take their columns from the entity table, so that values have its
 * types and collations; through an outer join, so that all may be NULL. They have rows
 * of fixed width in memory, hence the chunks. They are emptied by DELETE: TRUNCATE
 * commits. */

static void append_session_tables(struct buf *deltas, struct buf *tuples,
                                  const struct sink_tables *tables)
{
    static const char from[] = " FROM (SELECT 1) AS one LEFT JOIN $e n ON FALSE LIMIT 0";
    const struct stream *stream = tables->stream;
    append_form(deltas, stream,
                "CREATE TEMPORARY TABLE $d (t INT UNSIGNED NOT NULL DEFAULT 0, n BIGINT "
                "NOT NULL DEFAULT 0) "
                "ENGINE=MEMORY SELECT n.$i AS i, n.$k AS k",
                0);
    append_columns(deltas, tables, fast_in_delta, ", n.$x AS c#");
    append_form(deltas, stream, from, 0);
    append_form(
        tuples, stream,
        "CREATE TEMPORARY TABLE $t (t INT UNSIGNED NOT NULL DEFAULT 0 PRIMARY KEY) "
        "ENGINE=MEMORY SELECT n.$i AS i",
        0);
    append_columns(tuples, tables, fast_in_tuple, ", n.$x AS c#");
    append_form(tuples, stream, from, 0);
}

static const char *delta_form(enum merge_rule rule)
{
    return rule == MERGE_MIN
               ? ", n.$x = LEAST(COALESCE(n.$x, d.c#), COALESCE(d.c#, n.$x))"
               : ", n.$x = GREATEST(COALESCE(n.$x, d.c#), COALESCE(d.c#, n.$x))";
}

/* The record whose values these are is not older than what was stored where its time,
 * d.c@, is not below last_seen, before this UPDATE as after it. */
static const char *tuple_form(enum merge_rule rule)
{
    return rule == MERGE_FIRST
               ? ", n.$x = COALESCE(n.$x, t.c#)"
               : ", n.$x = IF(d.c@ >= COALESCE(n.$w, d.c@), COALESCE(t.c#, n.$x), n.$x)";
}

/* An UPDATE of several tables promises no order for its SETs: none depends on what
 * another does. The key is compared, so that an id that is now another's doesn't match.
 * Deltas without a tuple have the number 0, whose tuple is all NULL. */
static void append_apply(struct buf *out, const struct sink_tables *tables)
{
    const struct stream *stream = tables->stream;
    append_form(out, stream,
                "UPDATE $d d STRAIGHT_JOIN $t t ON t.t = d.t STRAIGHT_JOIN $e n FORCE "
                "INDEX (PRIMARY) ON n.$i = d.i AND n.$k = d.k SET ",
                0);
    size_t start = out->len;
    int count = stream->count_column;
    if (count >= 0 && is_there(tables, (size_t)count)) {
        append_form(out, stream, ", n.$x = COALESCE(n.$x, 0) + d.n", (size_t)count);
    }
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        enum merge_rule merge = stream->entity.columns[i].merge;
        if (fast_in_delta(tables, i)) {
            append_form(out, stream, delta_form(merge), i);
        } else if (fast_in_tuple(tables, i)) {
            append_form(out, stream, tuple_form(merge), i);
        }
    }
    if (out->len > start) {
        memcpy(out->data + start, "  ", 2); /* the first comma */
    }
}

/* The file's name is quoted twice, so that a message says the table: see note_statement
 * in replay/db.c. */
static void append_loads(struct fast_tables *fast)
{
    static const char load[] = "LOAD DATA LOCAL INFILE \"holdfast\" INTO TABLE ";
    const struct sink_tables *tables = fast->tables;
    const struct stream *stream = tables->stream;
    buf_append_text(&fast->load_deltas, load);
    append_form(&fast->load_deltas, stream, "$d" TSV_FORM " (t, n, i, k", 0);
    append_columns(&fast->load_deltas, tables, fast_in_delta, ", c#");
    buf_append_char(&fast->load_deltas, ')');
    buf_append_text(&fast->load_tuples, load);
    append_form(&fast->load_tuples, stream, "$t" TSV_FORM " (t", 0);
    append_columns(&fast->load_tuples, tables, fast_in_tuple, ", c#");
    buf_append_char(&fast->load_tuples, ')');
    buf_append_text(&fast->load_events, load);
    append_form(&fast->load_events, stream, "$v" TSV_FORM " (", 0);
    ddl_append_identifier(&fast->load_events, stream->entity_ref);
    for (size_t i = 0; i < stream->event.column_count; i++) {
        if (!tables->event_missing[i]) {
            buf_append_text(&fast->load_events, ", ");
            ddl_append_identifier(&fast->load_events, stream->event.columns[i].name);
        }
    }
    buf_append_char(&fast->load_events, ')');
}

static int write_statements(struct fast_tables *fast, struct err *err)
{
    const struct stream *stream = fast->tables->stream;
    append_form(&fast->touch, stream, "SELECT 1 FROM $e n, $v v LIMIT 0 FOR UPDATE", 0);
    append_form(&fast->clear_deltas, stream, "DELETE FROM $d", 0);
    append_form(&fast->clear_tuples, stream, "DELETE FROM $t", 0);
    append_apply(&fast->apply, fast->tables);
    append_loads(fast);
    bool failed = fast->touch.failed || fast->clear_deltas.failed ||
                  fast->clear_tuples.failed || fast->apply.failed ||
                  fast->load_deltas.failed || fast->load_tuples.failed ||
                  fast->load_events.failed;
    return failed ? no_memory(err) : 0;
}

/* ---- The tables' definition ------------------------------------------------------ */

/* Copies without AUTO_INCREMENT=n, which moves. */
static void append_definition(struct buf *out, struct slice text)
{
    static const char mark[] = " AUTO_INCREMENT=";
    const char *end = text.data + text.len;
    const char *at = text.data;
    const char *found;
    while ((found = memmem(at, (size_t)(end - at), mark, sizeof mark - 1))) {
        buf_append(out, at, (size_t)(found - at));
        at = found + sizeof mark - 1;
        at += strspn(at, "0123456789");
    }
    buf_append(out, at, (size_t)(end - at));
    buf_append_char(out, '\n');
}

static int read_definition(struct db *db, const char *table, struct buf *out,
                           struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    buf_append_text(&sql, "SHOW CREATE TABLE ");
    ddl_append_identifier(&sql, table);
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    if (rows.row_count == 1 && rows.column_count >= 2 && db_cell(&rows, 0, 1).data) {
        append_definition(out, db_cell(&rows, 0, 1));
    }
    db_rows_free(&rows);
    return out->failed ? no_memory(err) : 0;
}

static void append_trigger_query(struct buf *out, const char *table)
{
    /* one table, by =: the server then looks at no other's files */
    buf_append_text(out, "SELECT trigger_name FROM information_schema.triggers WHERE "
                         "trigger_schema = DATABASE() AND event_object_schema = "
                         "DATABASE() AND event_object_table = ");
    db_append_quoted(out, slice_text(table));
}

/* Those that the user may see, one a line after TRIGGER_MARK. */
static int read_triggers(struct db *db, const struct stream *stream, struct buf *out,
                         struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    append_trigger_query(&sql, stream->entity.name);
    buf_append_text(&sql, " UNION ALL ");
    append_trigger_query(&sql, stream->event.name);
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count; i++) {
        buf_append_text(out, TRIGGER_MARK);
        buf_append_slice(out, db_cell(&rows, i, 0));
    }
    db_rows_free(&rows);
    return out->failed ? no_memory(err) : 0;
}

static int read_definitions(struct db *db, const struct stream *stream, struct buf *out,
                            struct err *err)
{
    int code = read_definition(db, stream->entity.name, out, err);
    code = code ? code : read_definition(db, stream->event.name, out, err);
    return code ? code : read_triggers(db, stream, out, err);
}

int fast_tables_check(struct db *db, const struct fast_tables *fast, struct err *err)
{
    struct db_rows rows = {0};
    struct buf now = {0};
    int code = db_query(db, buf_slice(&fast->touch), &rows, err);
    db_rows_free(&rows);
    code = code ? code : read_definitions(db, fast->tables->stream, &now, err);
    if (code == 0 && !slice_equal(buf_slice(&now), buf_slice(&fast->definition))) {
        code = err_set(err, ERR_MISS, 0, "the tables of stream %s were altered",
                       fast->tables->stream->name);
    }
    buf_free(&now);
    return code;
}

/* With another foreign key the server must go on checking. */
static bool has_own_key_only(struct fast_tables *fast)
{
    static const char mark[] = "FOREIGN KEY (";
    const struct stream *stream = fast->tables->stream;
    struct buf own = {0};
    buf_append_text(&own, mark);
    ddl_append_identifier(&own, stream->entity_ref);
    append_form(&own, stream, ") REFERENCES $e ($i)", 0);
    const char *key = buf_text(&own);
    const char *at = buf_text(&fast->definition);
    bool found = at && key && strstr(at, key);
    size_t count = 0;
    while (at && (at = strstr(at, mark))) {
        at += sizeof mark - 1;
        count++;
    }
    buf_free(&own);
    return found && count == 1;
}

/* ---- May it? --------------------------------------------------------------------- */

static const char *refused_by_server(const struct db_server *server)
{
    return !server->is_mariadb ? "the server is not MariaDB"
           : server->is_galera ? "the server is a Galera node"
           : !server->local_infile
               ? "local_infile is off at the server; SET GLOBAL local_infile = 1 there"
               : NULL;
}

static const char *refused_by_stream(const struct sink_tables *tables)
{
    const struct stream *stream = tables->stream;
    int watermark = stream->watermark_column;
    if (watermark < 0 || !is_there(tables, (size_t)watermark)) {
        return "its entities have no column for their newest time";
    }
    return fast_event_key(stream, stream->time_field) &&
                   fast_event_key(stream, stream->key_field)
               ? NULL
               : "its event key does not hold the entity's key and the time";
}

/* The newest event of an entity is found by an index over (key, time, ...). */
static int check_index_order(struct db *db, const struct sink_tables *tables,
                             const char **out_refused, struct err *err)
{
    const struct stream *stream = tables->stream;
    struct buf sql = {0};
    struct db_rows rows = {0};
    buf_append_text(&sql, "SELECT column_name FROM information_schema.statistics WHERE "
                          "table_schema = DATABASE() AND table_name = ");
    db_append_quoted(&sql, slice_text(stream->event.name));
    buf_append_text(&sql, " AND index_name = ");
    db_append_quoted(&sql, slice_text(tables->event_index));
    buf_append_text(&sql, " ORDER BY seq_in_index");
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    bool fits = rows.row_count >= 2 &&
                strcasecmp(db_cell(&rows, 0, 0).data,
                           fast_event_key(stream, stream->key_field)->name) == 0 &&
                strcasecmp(db_cell(&rows, 1, 0).data,
                           fast_event_key(stream, stream->time_field)->name) == 0;
    db_rows_free(&rows);
    *out_refused =
        fits ? NULL : "the unique key of its events does not begin with (key, time)";
    return 0;
}

/* ---- Making ------------------------------------------------------------------------ */

/* A row of a session table is at most as wide as one of the entity table. */
static int measure_rows(struct db *db, struct fast_tables *fast, struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    buf_printf(&sql,
               "SELECT SUM(COALESCE(character_octet_length, 0) + %d) FROM "
               "information_schema.columns WHERE table_schema = DATABASE() AND "
               "table_name = ",
               COLUMN_BYTES);
    db_append_quoted(&sql, slice_text(fast->tables->stream->entity.name));
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    const char *sum = rows.row_count ? db_cell(&rows, 0, 0).data : NULL;
    size_t bytes = sum ? strtoull(sum, NULL, 10) : 0;
    db_rows_free(&rows);
    size_t room = (size_t)SESSION_TABLE_BYTES_MAX / 4 * 3;
    size_t width = bytes + (size_t)COLUMN_BYTES * 4;
    size_t fitting = room / width;
    fast->chunk_entities = fitting < CHUNK_ENTITIES_MIN   ? CHUNK_ENTITIES_MIN
                           : fitting > CHUNK_ENTITIES_MAX ? CHUNK_ENTITIES_MAX
                                                          : fitting;
    return 0;
}

static int create_session_tables(struct db *db, struct fast_tables *fast, struct err *err)
{
    const struct stream *stream = fast->tables->stream;
    struct buf drop = {0};
    struct buf deltas = {0};
    struct buf tuples = {0};
    append_form(&drop, stream, "DROP TEMPORARY TABLE IF EXISTS $d, $t", 0);
    append_session_tables(&deltas, &tuples, fast->tables);
    int code = drop.failed || deltas.failed || tuples.failed ? no_memory(err) : 0;
    code = code ? code
                : db_execf(db, NULL, err, "SET SESSION max_heap_table_size = %d",
                           SESSION_TABLE_BYTES_MAX);
    code = code ? code : db_exec(db, buf_slice(&drop), NULL, err);
    code = code ? code : db_exec(db, buf_slice(&deltas), NULL, err);
    code = code ? code : db_exec(db, buf_slice(&tuples), NULL, err);
    buf_free(&tuples);
    buf_free(&deltas);
    buf_free(&drop);
    return code;
}

static int make(struct db *db, struct fast_tables *fast, const char **out_refused,
                struct err *err)
{
    *out_refused = refused_by_server(db_server(db));
    *out_refused = *out_refused ? *out_refused : refused_by_stream(fast->tables);
    if (*out_refused) {
        return 0;
    }
    int code = check_index_order(db, fast->tables, out_refused, err);
    if (code || *out_refused) {
        return code;
    }
    code = read_definitions(db, fast->tables->stream, &fast->definition, err);
    const char *definition = code ? NULL : buf_text(&fast->definition);
    if (code == 0 && !definition) {
        return no_memory(err);
    }
    if (code == 0 && strstr(definition, TRIGGER_MARK)) {
        *out_refused = "its tables have triggers";
        return 0;
    }
    code = code ? code : measure_rows(db, fast, err);
    code = code ? code : create_session_tables(db, fast, err);
    fast->keys_off = has_own_key_only(fast);
    return code ? code : write_statements(fast, err);
}

int fast_tables_make(struct db *db, const struct sink_tables *tables,
                     struct fast_tables *out_fast, char out_reason[ERR_MESSAGE_MAX],
                     struct err *err)
{
    struct fast_tables fast = {.tables = tables};
    struct err why = {0};
    const char *refused = NULL;
    int code = make(db, &fast, &refused, &why);
    out_reason[0] = '\0';
    if (code == 0 && !refused) {
        *out_fast = fast;
        return 0;
    }
    fast_tables_free(&fast);
    if (code == ERR_NOMEM || !db_alive(db)) {
        if (err) {
            *err = why;
        }
        return code;
    }
    snprintf(out_reason, ERR_MESSAGE_MAX, "%s", refused ? refused : why.message);
    return 0;
}

void fast_tables_free(struct fast_tables *fast)
{
    buf_free(&fast->definition);
    buf_free(&fast->touch);
    buf_free(&fast->clear_deltas);
    buf_free(&fast->load_deltas);
    buf_free(&fast->apply);
    buf_free(&fast->clear_tuples);
    buf_free(&fast->load_tuples);
    buf_free(&fast->load_events);
    *fast = (struct fast_tables){0};
}
