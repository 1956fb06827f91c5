/* replay/apply_checked.c: the checked path. Portable SQL, any MariaDB or MySQL.
 *
 * 1. Lock the entities' rows in key order: SELECT ... FOR UPDATE. Whoever else applies
 *    events of the same entities waits here, so that what follows sees a settled state.
 * 2. INSERT the missing entities, with count 0, and lock again: now every key has exactly
 *    one row, whose id and watermark are known. 1062 means that another writer was
 *    quicker: the transaction is tried again.
 * 3. Look the events up by their key: each record is new, a duplicate or a conflict. READ
 *    COMMITTED reads what the predecessor under the entity's lock has committed.
 * 4. Merge into the entities by primary key. Every SET is relative to the row.
 * 5. INSERT the new events.
 * 6. Validate: no entity of this run is without an event.
 *
 * The merge is INSERT ... ON DUPLICATE KEY UPDATE with the id listed, since VALUES(c) has
 * the type of column c: LEAST and GREATEST then compare as the columns do. Literals
 * through a derived table (UPDATE ... JOIN (SELECT ... UNION ALL ...)) would be compared
 * as text, differently in MariaDB and MySQL.
 *
 * What can go wrong: any statement fails (its class says what then), or a gate misses: a
 * statement touched other rows than expected, or warned. Both end in ROLLBACK, which is
 * the caller's.
 */
#include "replay/apply.h"
#include "replay/sql.h"
#include "schema/ddl.h"

#include <stdlib.h>

enum {
    STATEMENT_ROWS_DEFAULT = 500,
    /* MariaDB turns IN lists from 1000 values on into a join with a temporary table */
    LOOKUP_ROWS_MAX = 500,
    STATEMENT_BYTES_MAX = 4 << 20,
    NO_RECORD = UINT32_MAX,
};

/* An entity's row, once locked. */
struct entity_row {
    uint64_t id; /* 0: no row yet */
    bool made;   /* by this transaction */
    bool has_watermark;
    int64_t watermark_us;
    uint64_t events_new;
};

struct checked {
    const struct apply_context *context;
    const struct stream *stream;
    const struct sink_tables *tables;
    const struct fold *fold;
    const struct apply_record *records;
    uint8_t *fates;
    struct entity_row *rows; /* one a fold entity */
    bool *found;             /* one a fold event: it is in the table */
    uint32_t *next_same;     /* one a record: the next of the same event, or NO_RECORD */
    uint32_t *items;         /* room for the indexes that a step is about */
    struct buf sql;
    size_t bytes_max; /* of a statement */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to apply the records");
}

/* ---- Statements over many items ------------------------------------------------------
 */

/* One kind of statement: head, items separated by commas, tail; and what is to be done
 * with it. head and tail are given the first item. */
struct statement {
    void (*head)(struct checked *at, uint32_t first);
    void (*item)(struct checked *at, uint32_t item);
    void (*tail)(struct checked *at, uint32_t first);
    int (*run)(struct checked *at, const uint32_t *items, size_t count, struct err *err);
    size_t rows_max; /* 0: as the request says */
};

static size_t statement_rows(const struct checked *at, const struct statement *kind)
{
    size_t rows = at->context->request->statement_rows_max;
    rows = rows ? rows : STATEMENT_ROWS_DEFAULT;
    return kind->rows_max && kind->rows_max < rows ? kind->rows_max : rows;
}

/* Builds one statement of the first items; the number that it took, at least one. */
static size_t build_statement(struct checked *at, const struct statement *kind,
                              const uint32_t *items, size_t count)
{
    enum { TAIL_ROOM = 64 };
    size_t rows_max = statement_rows(at, kind);
    size_t taken = 0;
    buf_clear(&at->sql);
    kind->tail(at, items[0]);
    size_t tail_len = at->sql.len + TAIL_ROOM;
    buf_clear(&at->sql);
    kind->head(at, items[0]);
    while (taken < count && taken < rows_max) {
        size_t before = at->sql.len;
        sql_append_separator(&at->sql, taken, ",");
        kind->item(at, items[taken]);
        if (taken && at->sql.len + tail_len > at->bytes_max) {
            at->sql.len = before;
            break;
        }
        taken++;
    }
    kind->tail(at, items[0]);
    return taken;
}

static int run_statements(struct checked *at, const struct statement *kind,
                          const uint32_t *items, size_t count, struct err *err)
{
    int code = 0;
    for (size_t done = 0; done < count && code == 0;) {
        size_t taken = build_statement(at, kind, items + done, count - done);
        code = at->sql.failed ? no_memory(err) : kind->run(at, items + done, taken, err);
        done += taken;
    }
    return code;
}

/* A gate that didn't hold. */
static int miss(const struct checked *at, const char *what, uint64_t expected,
                uint64_t found, struct err *err)
{
    return err_set(err, ERR_MISS, 0, "%s: %s: expected %llu, found %llu",
                   db_last_statement(at->context->db), what, (unsigned long long)expected,
                   (unsigned long long)found);
}

/* Runs an INSERT whose every row must be new, without a warning. */
static int run_insert(struct checked *at, const uint32_t *items, size_t count,
                      struct err *err)
{
    (void)items;
    struct db_outcome outcome = {0};
    int code = db_exec(at->context->db, buf_slice(&at->sql), &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched != count) {
        return miss(at, "rows inserted", count, outcome.matched, err);
    }
    return outcome.warnings ? miss(at, "warnings", 0, outcome.warnings, err) : 0;
}

static void append_name(struct checked *at, const char *name)
{
    ddl_append_identifier(&at->sql, name);
}

static void append_value(struct checked *at, const struct stream_column *column,
                         const struct value *value)
{
    sql_append_value(&at->sql, column, value, at->context->zone_offset_s);
}

static const struct stream_column *key_column(const struct checked *at)
{
    return &at->stream->entity.columns[at->stream->entity_key_column];
}

/* ---- Locking entities
 * ------------------------------------------------------------------ */

static bool has_watermark(const struct checked *at)
{
    int column = at->stream->watermark_column;
    return column >= 0 && !at->tables->entity_missing[column];
}

static void lock_head(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "SELECT ");
    append_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, ", ");
    sql_append_exact(&at->sql, key_column(at));
    if (has_watermark(at)) {
        buf_append_text(&at->sql, ", ");
        sql_append_exact(&at->sql,
                         &at->stream->entity.columns[at->stream->watermark_column]);
    }
    buf_append_text(&at->sql, " FROM ");
    append_name(at, at->stream->entity.name);
    /* a scan of the table would wait for rows that are none of ours */
    buf_append_text(&at->sql, " FORCE INDEX (");
    append_name(at, at->tables->entity_index);
    buf_append_text(&at->sql, ") WHERE ");
    append_name(at, key_column(at)->name);
    buf_append_text(&at->sql, " IN (");
}

static void lock_item(struct checked *at, uint32_t item)
{
    append_value(at, key_column(at), &at->fold->entities[item].key);
}

static void lock_tail(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, ") ORDER BY ");
    append_name(at, key_column(at)->name);
    buf_append_text(&at->sql, " FOR UPDATE");
}

static const uint32_t *find_entity(const struct checked *at, const uint32_t *items,
                                   size_t count, const struct value *key)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order =
            fold_order_keys(at->stream, &at->fold->entities[items[middle]].key, key);
        if (order == 0) {
            return &items[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static int folded_key(const struct checked *at, const char *table, struct err *err)
{
    return err_set(
        err, ERR_MISS, 0,
        "%s: table %s answers with a key that was not asked for: its collation "
        "takes different keys for one; give the key columns utf8mb4_bin",
        db_last_statement(at->context->db), table);
}

static uint64_t number_of(struct slice cell)
{
    return cell.data ? strtoull(cell.data, NULL, 10) : 0;
}

static int take_entity(struct checked *at, const uint32_t *items, size_t count,
                       const struct slice *cells, struct err *err)
{
    struct value key;
    int32_t zone_offset_s = at->context->zone_offset_s;
    const uint32_t *item = NULL;
    if (sql_read_value(key_column(at), cells[1], zone_offset_s, &key) &&
        key.type != VALUE_ABSENT) {
        item = find_entity(at, items, count, &key);
    }
    if (!item) {
        return folded_key(at, at->stream->entity.name, err);
    }
    struct entity_row *row = &at->rows[*item];
    if (row->id) {
        return miss(at, "rows of one key", 1, 2, err);
    }
    row->id = number_of(cells[0]);
    struct value watermark = {.type = VALUE_ABSENT};
    if (has_watermark(at)) {
        /* what is no time, such as 0000-00-00, is as good as NULL */
        sql_read_value(&at->stream->entity.columns[at->stream->watermark_column],
                       cells[2], zone_offset_s, &watermark);
    }
    row->has_watermark = watermark.type == VALUE_TIME;
    row->watermark_us = row->has_watermark ? watermark.time_us : 0;
    return 0;
}

static int lock_run(struct checked *at, const uint32_t *items, size_t count,
                    struct err *err)
{
    struct db_rows rows = {0};
    int code = db_query(at->context->db, buf_slice(&at->sql), &rows, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count && code == 0; i++) {
        code = take_entity(at, items, count, rows.cells + i * rows.column_count, err);
    }
    db_rows_free(&rows);
    return code;
}

static const struct statement lock_entities = {lock_head, lock_item, lock_tail, lock_run,
                                               LOOKUP_ROWS_MAX};

/* ---- Making entities
 * --------------------------------------------------------------------- */

static bool is_written(const struct checked *at, size_t column)
{
    return at->stream->entity.columns[column].merge != MERGE_NONE &&
           !at->tables->entity_missing[column];
}

/* The names of the entity's written columns, each after a comma. */
static void append_entity_columns(struct checked *at)
{
    size_t listed = 0;
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (is_written(at, i)) {
            sql_append_separator(&at->sql, listed++, ", ");
            append_name(at, at->stream->entity.columns[i].name);
        }
    }
}

static void make_head(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    append_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " (");
    append_entity_columns(at);
    buf_append_text(&at->sql, ") VALUES ");
}

static void make_item(struct checked *at, uint32_t item)
{
    const struct fold_entity *entity = &at->fold->entities[item];
    size_t listed = 0;
    buf_append_char(&at->sql, '(');
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (!is_written(at, i)) {
            continue;
        }
        sql_append_separator(&at->sql, listed++, ",");
        struct value value = fold_entity_initial(at->fold, at->records, entity, i);
        if (value.type == VALUE_ABSENT && at->tables->entity_not_null[i]) {
            buf_append_text(&at->sql, "DEFAULT");
        } else {
            append_value(at, &at->stream->entity.columns[i], &value);
        }
    }
    buf_append_char(&at->sql, ')');
}

static void no_tail(struct checked *at, uint32_t first)
{
    (void)at;
    (void)first;
}

static const struct statement make_entities = {make_head, make_item, no_tail, run_insert,
                                               0};

/* Every entity has its row, locked. */
static int settle_entities(struct checked *at, uint64_t *out_made, struct err *err)
{
    size_t count = at->fold->entity_count;
    for (size_t i = 0; i < count; i++) {
        at->items[i] = (uint32_t)i;
    }
    int code = run_statements(at, &lock_entities, at->items, count, err);
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        if (at->rows[i].id == 0) {
            at->rows[i].made = true;
            at->items[missing++] = (uint32_t)i;
        }
    }
    code = code ? code : run_statements(at, &make_entities, at->items, missing, err);
    code = code ? code : run_statements(at, &lock_entities, at->items, missing, err);
    for (size_t i = 0; i < missing && code == 0; i++) {
        if (at->rows[at->items[i]].id == 0) {
            code = miss(at, "locked rows of a key just inserted", 1, 0, err);
        }
    }
    *out_made = missing;
    return code;
}

/* ---- Looking events up
 * -------------------------------------------------------------------- */

static const struct stream_column *event_key_column(const struct checked *at, size_t i)
{
    return &at->stream->event.columns[at->stream->event_key[i]];
}

/* Compared with what is stored? Not what the records don't say. */
static bool is_compared(const struct checked *at, size_t i)
{
    int column = at->stream->compare[i];
    return !at->tables->event_missing[column] &&
           at->stream->event.columns[column].field != STREAM_RECEIVED;
}

static void look_head(struct checked *at, uint32_t first)
{
    (void)first;
    const struct stream *stream = at->stream;
    bool several = stream->event_key_count > 1;
    buf_append_text(&at->sql, "SELECT ");
    for (size_t i = 0; i < stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ", ");
        sql_append_exact(&at->sql, event_key_column(at, i));
    }
    for (size_t i = 0; i < stream->compare_count; i++) {
        if (is_compared(at, i)) {
            buf_append_text(&at->sql, ", ");
            sql_append_exact(&at->sql, &stream->event.columns[stream->compare[i]]);
        }
    }
    buf_append_text(&at->sql, " FROM ");
    append_name(at, stream->event.name);
    buf_append_text(&at->sql, " FORCE INDEX (");
    append_name(at, at->tables->event_index);
    buf_append_text(&at->sql, several ? ") WHERE (" : ") WHERE ");
    for (size_t i = 0; i < stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ", ");
        append_name(at, event_key_column(at, i)->name);
    }
    buf_append_text(&at->sql, several ? ") IN (" : " IN (");
}

static void look_item(struct checked *at, uint32_t item)
{
    const struct apply_record *record = &at->records[at->fold->events[item].record];
    bool several = at->stream->event_key_count > 1;
    buf_append_text(&at->sql, several ? "(" : "");
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ",");
        struct value value = fold_event_value(event_key_column(at, i), record);
        append_value(at, event_key_column(at, i), &value);
    }
    buf_append_text(&at->sql, several ? ")" : "");
}

static void look_tail(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_char(&at->sql, ')');
}

/* The event that a row's key names, or NULL. */
static const uint32_t *find_event(const struct checked *at, const uint32_t *items,
                                  size_t count, const struct slice *cells)
{
    struct value values[STREAM_FIELDS_MAX] = {0};
    struct apply_record probe = {.values = values};
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        const struct stream_column *column = event_key_column(at, i);
        struct value value;
        if (!sql_read_value(column, cells[i], at->context->zone_offset_s, &value) ||
            value.type == VALUE_ABSENT) {
            return NULL;
        }
        if (column->field >= 0) {
            values[column->field] = value;
        }
    }
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t record = at->fold->events[items[middle]].record;
        int order = fold_order_records(at->stream, &at->records[record], &probe);
        if (order == 0) {
            return &items[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* Does the record say what the stored event says? Cells after those of the key. */
static enum record_fate compare_stored(const struct checked *at,
                                       const struct apply_record *record,
                                       const struct slice *cells)
{
    size_t cell = 0;
    for (size_t i = 0; i < at->stream->compare_count; i++) {
        if (!is_compared(at, i)) {
            continue;
        }
        const struct stream_column *column =
            &at->stream->event.columns[at->stream->compare[i]];
        struct value said = fold_event_value(column, record);
        struct value stored;
        if (!sql_read_value(column, cells[cell++], at->context->zone_offset_s, &stored) ||
            !value_equal(&said, &stored)) {
            return FATE_CONFLICT;
        }
    }
    return FATE_DUPLICATE;
}

static int take_event(struct checked *at, const uint32_t *items, size_t count,
                      const struct slice *cells, struct err *err)
{
    const uint32_t *item = find_event(at, items, count, cells);
    if (!item) {
        return folded_key(at, at->stream->event.name, err);
    }
    at->found[*item] = true;
    for (uint32_t record = at->fold->events[*item].record; record != NO_RECORD;
         record = at->next_same[record]) {
        at->fates[record] = (uint8_t)compare_stored(at, &at->records[record],
                                                    cells + at->stream->event_key_count);
    }
    return 0;
}

static int look_run(struct checked *at, const uint32_t *items, size_t count,
                    struct err *err)
{
    struct db_rows rows = {0};
    int code = db_query(at->context->db, buf_slice(&at->sql), &rows, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count && code == 0; i++) {
        code = take_event(at, items, count, rows.cells + i * rows.column_count, err);
    }
    db_rows_free(&rows);
    return code;
}

static const struct statement look_events_up = {look_head, look_item, look_tail, look_run,
                                                LOOKUP_ROWS_MAX};

/* An event that is not there: its first record makes it, the later ones meet that. */
static void decide_new(struct checked *at, const struct fold_event *event)
{
    const struct value *first = at->records[event->record].values;
    at->fates[event->record] = FATE_NEW;
    at->rows[event->entity].events_new++;
    for (uint32_t record = at->next_same[event->record]; record != NO_RECORD;
         record = at->next_same[record]) {
        at->fates[record] =
            (uint8_t)fold_compare(at->stream, first, at->records[record].values);
    }
}

static int decide_fates(struct checked *at, struct err *err)
{
    for (size_t i = 0; i < at->fold->event_count; i++) {
        at->items[i] = (uint32_t)i;
    }
    int code = run_statements(at, &look_events_up, at->items, at->fold->event_count, err);
    for (size_t i = 0; i < at->fold->event_count && code == 0; i++) {
        if (!at->found[i]) {
            decide_new(at, &at->fold->events[i]);
        }
    }
    return code;
}

/* ---- Merging into entities
 * ------------------------------------------------------------------ */

/* What the merge says about a column; ABSENT: nothing. */
static struct value merged_value(const struct checked *at, uint32_t item, size_t column)
{
    const struct fold_entity *entity = &at->fold->entities[item];
    const struct entity_row *row = &at->rows[item];
    switch (at->stream->entity.columns[column].merge) {
    case MERGE_KEY:
        return entity->key;
    case MERGE_COUNT:
        return (struct value){.type = VALUE_INTEGER, .integer = (int64_t)row->events_new};
    case MERGE_CONSTANT:
        return at->stream->entity.columns[column].constant;
    case MERGE_LATEST:
        return fold_entity_latest(entity, column, row->has_watermark, row->watermark_us);
    case MERGE_FIRST:
    case MERGE_MIN:
    case MERGE_MAX:
    case MERGE_NONE:
        break;
    }
    return entity->cells[column].value;
}

/* A NOT NULL column can't be told "nothing" by NULL: it gets a filler and no SET. */
static bool is_silent(const struct checked *at, uint32_t item, size_t column)
{
    return at->tables->entity_not_null[column] &&
           merged_value(at, item, column).type == VALUE_ABSENT;
}

static bool is_any_silent(const struct checked *at, uint32_t item)
{
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (is_written(at, i) && is_silent(at, item, i)) {
            return true;
        }
    }
    return false;
}

static void merge_head(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    append_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " (");
    append_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, ", ");
    append_entity_columns(at);
    buf_append_text(&at->sql, ") VALUES ");
}

static void merge_item(struct checked *at, uint32_t item)
{
    buf_printf(&at->sql, "(%llu", (unsigned long long)at->rows[item].id);
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (!is_written(at, i)) {
            continue;
        }
        const struct stream_column *column = &at->stream->entity.columns[i];
        buf_append_char(&at->sql, ',');
        struct value value = merged_value(at, item, i);
        if (value.type == VALUE_ABSENT && at->tables->entity_not_null[i]) {
            sql_append_filler(&at->sql, column, at->context->zone_offset_s);
        } else {
            append_value(at, column, &value);
        }
    }
    buf_append_char(&at->sql, ')');
}

/* The SET for one column, where $ is the column; NULL: it stays as it is. */
static const char *merge_form(enum merge_rule rule)
{
    switch (rule) {
    case MERGE_FIRST:
        return "$ = COALESCE($, VALUES($))";
    case MERGE_LATEST:
        return "$ = COALESCE(VALUES($), $)";
    case MERGE_MIN:
        return "$ = LEAST(COALESCE($, VALUES($)), COALESCE(VALUES($), $))";
    case MERGE_MAX:
        return "$ = GREATEST(COALESCE($, VALUES($)), COALESCE(VALUES($), $))";
    case MERGE_COUNT:
        return "$ = COALESCE($, 0) + VALUES($)";
    case MERGE_NONE:
    case MERGE_KEY:
    case MERGE_CONSTANT:
        break;
    }
    return NULL;
}

static void append_form(struct checked *at, const char *form, const char *name)
{
    for (; *form; form++) {
        if (*form == '$') {
            append_name(at, name);
        } else {
            buf_append_char(&at->sql, *form);
        }
    }
}

static void merge_tail(struct checked *at, uint32_t first)
{
    size_t listed = 0;
    buf_append_text(&at->sql, " ON DUPLICATE KEY UPDATE ");
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        const struct stream_column *column = &at->stream->entity.columns[i];
        const char *form = merge_form(column->merge);
        if (form && is_written(at, i) && !is_silent(at, first, i)) {
            sql_append_separator(&at->sql, listed++, ", ");
            append_form(at, form, column->name);
        }
    }
    if (listed == 0) {
        append_form(at, "$ = $", at->stream->entity.id);
    }
}

/* Every row must meet the one that is locked: 2 for a row that changed, 1 for one that
 * did not, and of several rows the server says how many it met. */
static int merge_run(struct checked *at, const uint32_t *items, size_t count,
                     struct err *err)
{
    (void)items;
    struct db_outcome outcome = {0};
    int code = db_exec(at->context->db, buf_slice(&at->sql), &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched < count || outcome.matched > 2 * count) {
        return miss(at, "rows updated", count, outcome.matched, err);
    }
    if (outcome.has_duplicates && outcome.duplicates != count) {
        return miss(at, "rows met", count, outcome.duplicates, err);
    }
    return outcome.warnings ? miss(at, "warnings", 0, outcome.warnings, err) : 0;
}

static const struct statement merge_entities = {merge_head, merge_item, merge_tail,
                                                merge_run, 0};
static const struct statement merge_entity = {merge_head, merge_item, merge_tail,
                                              merge_run, 1};

/* Entities made just now hold all but the count of their events. */
static bool needs_merge(const struct checked *at, uint32_t item)
{
    const struct entity_row *row = &at->rows[item];
    return !row->made || (row->events_new && at->stream->count_column >= 0);
}

static int merge_all(struct checked *at, struct err *err)
{
    size_t plain = 0;
    size_t silent = at->fold->entity_count; /* from the end of the list down */
    for (uint32_t i = 0; i < at->fold->entity_count; i++) {
        if (!needs_merge(at, i)) {
            continue;
        }
        if (is_any_silent(at, i)) {
            at->items[--silent] = i;
        } else {
            at->items[plain++] = i;
        }
    }
    int code = run_statements(at, &merge_entities, at->items, plain, err);
    return code ? code
                : run_statements(at, &merge_entity, at->items + silent,
                                 at->fold->entity_count - silent, err);
}

/* ---- Events
 * ------------------------------------------------------------------------------------ */

static void event_head(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    append_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " (");
    append_name(at, at->stream->entity_ref);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        if (!at->tables->event_missing[i]) {
            buf_append_text(&at->sql, ", ");
            append_name(at, at->stream->event.columns[i].name);
        }
    }
    buf_append_text(&at->sql, ") VALUES ");
}

static void event_item(struct checked *at, uint32_t item)
{
    const struct fold_event *event = &at->fold->events[item];
    buf_printf(&at->sql, "(%llu", (unsigned long long)at->rows[event->entity].id);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        if (at->tables->event_missing[i]) {
            continue;
        }
        const struct stream_column *column = &at->stream->event.columns[i];
        struct value value = fold_event_value(column, &at->records[event->record]);
        buf_append_char(&at->sql, ',');
        append_value(at, column, &value);
    }
    buf_append_char(&at->sql, ')');
}

static const struct statement make_events = {event_head, event_item, no_tail, run_insert,
                                             0};

static int insert_events(struct checked *at, struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < at->fold->event_count; i++) {
        if (!at->found[i]) {
            at->items[count++] = (uint32_t)i;
        }
    }
    return run_statements(at, &make_events, at->items, count, err);
}

/* ---- Validation
 * --------------------------------------------------------------------------------- */

static void validate_head(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "SELECT n.");
    append_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, " FROM ");
    append_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " n WHERE n.");
    append_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, " IN (");
}

static void validate_item(struct checked *at, uint32_t item)
{
    buf_printf(&at->sql, "%llu", (unsigned long long)at->rows[item].id);
}

static void validate_tail(struct checked *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, ") AND (SELECT 1 FROM ");
    append_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " e WHERE e.");
    append_name(at, at->stream->entity_ref);
    buf_append_text(&at->sql, " = n.");
    append_name(at, at->stream->entity.id);
    /* LIMIT keeps it a look-up for each id: as EXISTS, MariaDB reads the whole index of
     * the event table into a temporary one as soon as there are some 200 ids */
    buf_append_text(&at->sql, " LIMIT 1) = 1");
}

/* Counts those that have an event, so that an entity which is gone is missed too. */
static int validate_run(struct checked *at, const uint32_t *items, size_t count,
                        struct err *err)
{
    (void)items;
    struct db_rows rows = {0};
    int code = db_query(at->context->db, buf_slice(&at->sql), &rows, err);
    if (code) {
        return code;
    }
    size_t found = rows.row_count;
    db_rows_free(&rows);
    return found == count ? 0 : miss(at, "entities with an event", count, found, err);
}

static const struct statement validate_entities = {
    validate_head, validate_item, validate_tail, validate_run, LOOKUP_ROWS_MAX};

static int validate(struct checked *at, struct err *err)
{
    if (!at->context->request->validate) {
        return 0;
    }
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        at->items[i] = (uint32_t)i;
    }
    return run_statements(at, &validate_entities, at->items, at->fold->entity_count, err);
}

/* ---- The door
 * ------------------------------------------------------------------------------------ */

static void link_same(struct checked *at, size_t count)
{
    /* from the end, with items as the head of each event's list */
    for (size_t i = 0; i < at->fold->event_count; i++) {
        at->items[i] = NO_RECORD;
    }
    for (size_t i = count; i-- > 0;) {
        uint32_t event = at->fold->event_of[i];
        at->next_same[i] = at->items[event];
        at->items[event] = (uint32_t)i;
    }
}

int apply_checked(const struct apply_context *context, struct apply_outcome *out,
                  struct err *err)
{
    const struct fold *fold = context->fold;
    size_t records = context->request->record_count;
    uint64_t packet = db_server(context->db)->max_allowed_packet;
    struct checked at = {.context = context,
                         .stream = context->request->stream,
                         .tables = context->tables,
                         .fold = fold,
                         .records = context->request->records,
                         .fates = out->fates,
                         .bytes_max = STATEMENT_BYTES_MAX};
    if (packet / 4 * 3 < at.bytes_max) {
        at.bytes_max = (size_t)(packet / 4 * 3);
    }
    at.rows = calloc(fold->entity_count + 1, sizeof *at.rows);
    at.found = calloc(fold->event_count + 1, sizeof *at.found);
    at.next_same = calloc(records + 1, sizeof *at.next_same);
    at.items = calloc(fold->event_count + 1, sizeof *at.items); /* entities are fewer */
    int code = 0;
    uint64_t made = 0;
    if (!at.rows || !at.found || !at.next_same || !at.items) {
        code = no_memory(err);
    } else {
        link_same(&at, records);
        code = settle_entities(&at, &made, err);
        code = code ? code : decide_fates(&at, err);
        code = code ? code : merge_all(&at, err);
        code = code ? code : insert_events(&at, err);
        code = code ? code : validate(&at, err);
    }
    buf_free(&at.sql);
    free(at.items);
    free(at.next_same);
    free(at.found);
    free(at.rows);
    if (code == 0) {
        out->entities_new = made;
    }
    return code;
}
