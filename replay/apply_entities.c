#include "replay/apply_work.h"
#include "replay/sql.h"
#include "schema/ddl.h"

#include <stdlib.h>

/* ---- Locking entities ------------------------------------------------------------ */

static bool has_watermark(const struct work *at)
{
    int column = at->stream->watermark_column;
    return column >= 0 && !at->tables->entity_missing[column];
}

static void lock_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "SELECT ");
    work_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, ", ");
    sql_append_exact(&at->sql, work_key_column(at));
    if (has_watermark(at)) {
        buf_append_text(&at->sql, ", ");
        sql_append_exact(&at->sql,
                         &at->stream->entity.columns[at->stream->watermark_column]);
    }
    buf_append_text(&at->sql, " FROM ");
    work_name(at, at->stream->entity.name);
    /* a scan of the table would wait for rows that are none of ours */
    buf_append_text(&at->sql, " FORCE INDEX (");
    work_name(at, at->tables->entity_index);
    buf_append_text(&at->sql, ") WHERE ");
    work_name(at, work_key_column(at)->name);
    buf_append_text(&at->sql, " IN (");
}

static void lock_item(struct work *at, uint32_t item)
{
    work_value(at, work_key_column(at), &at->fold->entities[item].key);
}

static void lock_tail(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, ") ORDER BY ");
    work_name(at, work_key_column(at)->name);
    buf_append_text(&at->sql, " FOR UPDATE");
}

const uint32_t *work_find_entity(const struct work *at, const uint32_t *items,
                                 size_t count, struct slice cell)
{
    struct value key;
    size_t low = 0;
    size_t high = count;
    if (!sql_read_value(work_key_column(at), cell, at->context->zone_offset_s, &key) ||
        key.type == VALUE_ABSENT) {
        return NULL;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order =
            fold_order_keys(at->stream, &at->fold->entities[items[middle]].key, &key);
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

int work_folded_key(const struct work *at, const char *table, struct err *err)
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

static int take_entity(struct work *at, const uint32_t *items, size_t count,
                       const struct slice *cells, struct err *err)
{
    int32_t zone_offset_s = at->context->zone_offset_s;
    const uint32_t *item = work_find_entity(at, items, count, cells[1]);
    if (!item) {
        return work_folded_key(at, at->stream->entity.name, err);
    }
    struct work_entity *row = &at->rows[*item];
    if (row->id) {
        return work_miss(at, "rows of one key", 1, 2, err);
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

static int lock_run(struct work *at, const uint32_t *items, size_t count, struct err *err)
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

static const struct work_statement lock_entities = {lock_head, lock_item, lock_tail,
                                                    lock_run, WORK_LOOKUP_ROWS_MAX};

static const struct work_statement look_entities_up = {
    lock_head, lock_item, work_list_tail, lock_run, WORK_LOOKUP_ROWS_MAX};

int work_look_up(struct work *at, struct err *err)
{
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        at->items[i] = (uint32_t)i;
    }
    return work_run(at, &look_entities_up, at->items, at->fold->entity_count, err);
}

/* ---- Making entities ------------------------------------------------------------- */

bool work_is_written(const struct work *at, size_t column)
{
    return at->stream->entity.columns[column].merge != MERGE_NONE &&
           !at->tables->entity_missing[column];
}

/* The names of the entity's written columns, each after a comma. */
static void append_entity_columns(struct work *at)
{
    size_t listed = 0;
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (work_is_written(at, i)) {
            sql_append_separator(&at->sql, listed++, ", ");
            work_name(at, at->stream->entity.columns[i].name);
        }
    }
}

static void make_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    work_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " (");
    append_entity_columns(at);
    buf_append_text(&at->sql, ") VALUES ");
}

static void make_item(struct work *at, uint32_t item)
{
    const struct fold_entity *entity = &at->fold->entities[item];
    size_t listed = 0;
    buf_append_char(&at->sql, '(');
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (!work_is_written(at, i)) {
            continue;
        }
        sql_append_separator(&at->sql, listed++, ",");
        struct value value = fold_entity_initial(at->fold, at->records, entity, i);
        if (value.type == VALUE_ABSENT && at->tables->entity_not_null[i]) {
            buf_append_text(&at->sql, "DEFAULT");
        } else {
            work_value(at, &at->stream->entity.columns[i], &value);
        }
    }
    buf_append_char(&at->sql, ')');
}

static const struct work_statement make_entities = {make_head, make_item, work_no_tail,
                                                    work_insert, 0};

int work_settle(struct work *at, struct err *err)
{
    size_t count = 0;
    size_t missing = 0;
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        if (!at->rows[i].trusted) {
            at->items[count++] = (uint32_t)i;
        }
    }
    int code = work_run(at, &lock_entities, at->items, count, err);
    for (size_t i = 0; i < count; i++) {
        struct work_entity *row = &at->rows[at->items[i]];
        if (row->id == 0) {
            row->made = true;
            at->items[missing++] = at->items[i];
        }
    }
    code = code ? code : work_run(at, &make_entities, at->items, missing, err);
    code = code ? code : work_run(at, &lock_entities, at->items, missing, err);
    for (size_t i = 0; i < missing && code == 0; i++) {
        if (at->rows[at->items[i]].id == 0) {
            code = work_miss(at, "locked rows of a key just inserted", 1, 0, err);
        }
    }
    at->made = missing;
    return code;
}

/* ---- Merging into entities ------------------------------------------------------- */

struct value work_merged_value(const struct work *at, uint32_t item, size_t column)
{
    const struct fold_entity *entity = &at->fold->entities[item];
    const struct work_entity *row = &at->rows[item];
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
static bool is_silent(const struct work *at, uint32_t item, size_t column)
{
    return at->tables->entity_not_null[column] &&
           work_merged_value(at, item, column).type == VALUE_ABSENT;
}

static bool is_any_silent(const struct work *at, uint32_t item)
{
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (work_is_written(at, i) && is_silent(at, item, i)) {
            return true;
        }
    }
    return false;
}

static void merge_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    work_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " (");
    work_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, ", ");
    append_entity_columns(at);
    buf_append_text(&at->sql, ") VALUES ");
}

static void merge_item(struct work *at, uint32_t item)
{
    buf_printf(&at->sql, "(%llu", (unsigned long long)at->rows[item].id);
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (!work_is_written(at, i)) {
            continue;
        }
        const struct stream_column *column = &at->stream->entity.columns[i];
        buf_append_char(&at->sql, ',');
        struct value value = work_merged_value(at, item, i);
        if (value.type == VALUE_ABSENT && at->tables->entity_not_null[i]) {
            sql_append_filler(&at->sql, column, at->context->zone_offset_s);
        } else {
            work_value(at, column, &value);
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

static void append_form(struct work *at, const char *form, const char *name)
{
    for (; *form; form++) {
        if (*form == '$') {
            work_name(at, name);
        } else {
            buf_append_char(&at->sql, *form);
        }
    }
}

static void merge_tail(struct work *at, uint32_t first)
{
    size_t listed = 0;
    buf_append_text(&at->sql, " ON DUPLICATE KEY UPDATE ");
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        const struct stream_column *column = &at->stream->entity.columns[i];
        const char *form = merge_form(column->merge);
        if (form && work_is_written(at, i) && !is_silent(at, first, i)) {
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
static int merge_run(struct work *at, const uint32_t *items, size_t count,
                     struct err *err)
{
    (void)items;
    struct db_outcome outcome = {0};
    int code = db_exec(at->context->db, buf_slice(&at->sql), &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched < count || outcome.matched > 2 * count) {
        return work_miss(at, "rows updated", count, outcome.matched, err);
    }
    if (outcome.has_duplicates && outcome.duplicates != count) {
        return work_miss(at, "rows met", count, outcome.duplicates, err);
    }
    return outcome.warnings ? work_miss(at, "warnings", 0, outcome.warnings, err) : 0;
}

static const struct work_statement merge_entities = {merge_head, merge_item, merge_tail,
                                                     merge_run, 0};
static const struct work_statement merge_entity = {merge_head, merge_item, merge_tail,
                                                   merge_run, 1};

/* Entities made just now hold all but the count of their events. */
static bool needs_merge(const struct work *at, uint32_t item)
{
    const struct work_entity *row = &at->rows[item];
    return !row->made || (row->events_new && at->stream->count_column >= 0);
}

int work_merge(struct work *at, struct err *err)
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
    int code = work_run(at, &merge_entities, at->items, plain, err);
    return code ? code
                : work_run(at, &merge_entity, at->items + silent,
                           at->fold->entity_count - silent, err);
}
