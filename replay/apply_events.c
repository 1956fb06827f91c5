#include "replay/apply_work.h"
#include "replay/sql.h"
#include "schema/ddl.h"
#include "schema/recovery.h"

#include <stdlib.h>

/* ---- Looking events up ----------------------------------------------------------- */

const struct stream_column *work_event_key(const struct work *at, size_t i)
{
    return &at->stream->event.columns[at->stream->event_key[i]];
}

/* Compared with what is stored? Not what the records don't say. */
static bool is_compared(const struct work *at, size_t i)
{
    int column = at->stream->compare[i];
    return !at->tables->event_missing[column] &&
           at->stream->event.columns[column].field != STREAM_RECEIVED;
}

/* The column that marks events which stand in for lost ones; NULL: there are none. */
static const struct stream_column *marker(const struct work *at)
{
    int column = recovery_column(at->stream);
    return column >= 0 && !at->tables->event_missing[column]
               ? &at->stream->event.columns[column]
               : NULL;
}

void work_event_keys(struct work *at)
{
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ", ");
        sql_append_exact(&at->sql, work_event_key(at, i));
    }
}

void work_event_from(struct work *at)
{
    const struct stream *stream = at->stream;
    bool several = stream->event_key_count > 1;
    buf_append_text(&at->sql, " FROM ");
    work_name(at, stream->event.name);
    buf_append_text(&at->sql, " FORCE INDEX (");
    work_name(at, at->tables->event_index);
    buf_append_text(&at->sql, several ? ") WHERE (" : ") WHERE ");
    for (size_t i = 0; i < stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ", ");
        work_name(at, work_event_key(at, i)->name);
    }
    buf_append_text(&at->sql, several ? ") IN (" : " IN (");
}

static void look_head(struct work *at, uint32_t first)
{
    (void)first;
    const struct stream *stream = at->stream;
    buf_append_text(&at->sql, "SELECT ");
    work_event_keys(at);
    for (size_t i = 0; i < stream->compare_count; i++) {
        if (is_compared(at, i)) {
            buf_append_text(&at->sql, ", ");
            sql_append_exact(&at->sql, &stream->event.columns[stream->compare[i]]);
        }
    }
    if (marker(at)) {
        buf_append_text(&at->sql, ", ");
        work_name(at, stream->event.id);
        buf_append_text(&at->sql, ", ");
        work_name(at, marker(at)->name);
    }
    work_event_from(at);
}

void work_event_item(struct work *at, uint32_t item)
{
    const struct apply_record *record = &at->records[at->fold->events[item].record];
    bool several = at->stream->event_key_count > 1;
    buf_append_text(&at->sql, several ? "(" : "");
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        sql_append_separator(&at->sql, i, ",");
        struct value value = fold_event_value(work_event_key(at, i), record);
        work_value(at, work_event_key(at, i), &value);
    }
    buf_append_text(&at->sql, several ? ")" : "");
}

void work_list_tail(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_char(&at->sql, ')');
}

const uint32_t *work_find_event(const struct work *at, const uint32_t *items,
                                size_t count, const struct slice *cells)
{
    struct value values[STREAM_FIELDS_MAX] = {0};
    struct apply_record probe = {.values = values};
    for (size_t i = 0; i < at->stream->event_key_count; i++) {
        const struct stream_column *column = work_event_key(at, i);
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
static enum record_fate compare_stored(const struct work *at,
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

/* The stored event's id where it only stands in for the record's. Its cells are the last
 * two. */
static uint64_t stand_in(const struct work *at, const struct apply_record *record,
                         const struct slice *cells, size_t cell_count)
{
    if (!marker(at) || !slice_is(cells[cell_count - 1], RECOVERY_EVENT_TYPE)) {
        return 0;
    }
    struct value said = fold_event_value(marker(at), record);
    bool real = said.type != VALUE_TEXT || !slice_is(said.text, RECOVERY_EVENT_TYPE);
    return real ? strtoull(cells[cell_count - 2].data, NULL, 10) : 0;
}

static int take_event(struct work *at, const uint32_t *items, size_t count,
                      const struct slice *cells, size_t cell_count, struct err *err)
{
    const uint32_t *item = work_find_event(at, items, count, cells);
    if (!item) {
        return work_folded_key(at, at->stream->event.name, err);
    }
    at->found[*item] = true;
    uint32_t first = at->fold->events[*item].record;
    at->stand_ins[*item] = stand_in(at, &at->records[first], cells, cell_count);
    for (uint32_t record = at->fold->events[*item].record; record != WORK_NO_RECORD;
         record = at->next_same[record]) {
        at->fates[record] = (uint8_t)compare_stored(at, &at->records[record],
                                                    cells + at->stream->event_key_count);
    }
    return 0;
}

static int look_run(struct work *at, const uint32_t *items, size_t count, struct err *err)
{
    struct db_rows rows = {0};
    int code = db_query(at->context->db, buf_slice(&at->sql), &rows, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count && code == 0; i++) {
        code = take_event(at, items, count, rows.cells + i * rows.column_count,
                          rows.column_count, err);
    }
    db_rows_free(&rows);
    return code;
}

static const struct work_statement look_events_up = {
    look_head, work_event_item, work_list_tail, look_run, WORK_LOOKUP_ROWS_MAX};

/* ---- Stand-ins ---------------------------------------------------------------------
 *
 * The real record has come: it takes the row of the event that stood in for it, which the
 * entity's count holds already. In place, since the right to delete events is not asked
 * for. */

static void replace_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "UPDATE ");
    work_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " SET ");
}

static void replace_item(struct work *at, uint32_t item)
{
    const struct fold_event *event = &at->fold->events[item];
    work_name(at, at->stream->entity_ref);
    buf_printf(&at->sql, " = %llu", (unsigned long long)at->rows[event->entity].id);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        const struct stream_column *column = &at->stream->event.columns[i];
        if (!at->tables->event_missing[i]) {
            struct value value = fold_event_value(column, &at->records[event->record]);
            buf_append_text(&at->sql, ", ");
            work_name(at, column->name);
            buf_append_text(&at->sql, " = ");
            work_value(at, column, &value);
        }
    }
}

static void replace_tail(struct work *at, uint32_t first)
{
    buf_append_text(&at->sql, " WHERE ");
    work_name(at, at->stream->event.id);
    buf_printf(&at->sql, " = %llu", (unsigned long long)at->stand_ins[first]);
}

static const struct work_statement replace_stand_ins = {replace_head, replace_item,
                                                        replace_tail, work_insert, 1};

/* An event that is not there: its first record makes it, the later ones meet that. */
static void decide_new(struct work *at, const struct fold_event *event)
{
    const struct value *first = at->records[event->record].values;
    at->fates[event->record] = FATE_NEW;
    for (uint32_t record = at->next_same[event->record]; record != WORK_NO_RECORD;
         record = at->next_same[record]) {
        at->fates[record] =
            (uint8_t)fold_compare(at->stream, first, at->records[record].values);
    }
}

int work_decide(struct work *at, struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < at->fold->event_count; i++) {
        const struct fold_event *event = &at->fold->events[i];
        const struct value *values = at->records[event->record].values;
        if (values[at->stream->time_field].time_us <= at->rows[event->entity].newest_us) {
            at->items[count++] = (uint32_t)i;
        }
    }
    int code = work_run(at, &look_events_up, at->items, count, err);
    count = 0;
    for (size_t i = 0; i < at->fold->event_count && code == 0; i++) {
        const struct fold_event *event = &at->fold->events[i];
        if (!at->found[i] || at->stand_ins[i]) {
            decide_new(at, event);
        }
        if (!at->found[i]) {
            at->rows[event->entity].events_new++;
        }
        if (at->stand_ins[i]) {
            at->items[count++] = (uint32_t)i;
        }
    }
    return code ? code : work_run(at, &replace_stand_ins, at->items, count, err);
}

/* ---- Events ---------------------------------------------------------------------- */

static void event_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "INSERT INTO ");
    work_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " (");
    work_name(at, at->stream->entity_ref);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        if (!at->tables->event_missing[i]) {
            buf_append_text(&at->sql, ", ");
            work_name(at, at->stream->event.columns[i].name);
        }
    }
    buf_append_text(&at->sql, ") VALUES ");
}

static void event_item(struct work *at, uint32_t item)
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
        work_value(at, column, &value);
    }
    buf_append_char(&at->sql, ')');
}

static const struct work_statement make_events = {event_head, event_item, work_no_tail,
                                                  work_insert, 0};

int work_insert_events(struct work *at, struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < at->fold->event_count; i++) {
        if (!at->found[i]) {
            at->items[count++] = (uint32_t)i;
        }
    }
    return work_run(at, &make_events, at->items, count, err);
}

/* ---- Validation ------------------------------------------------------------------ */

static void validate_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "SELECT n.");
    work_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, " FROM ");
    work_name(at, at->stream->entity.name);
    buf_append_text(&at->sql, " n WHERE n.");
    work_name(at, at->stream->entity.id);
    buf_append_text(&at->sql, " IN (");
}

static void validate_item(struct work *at, uint32_t item)
{
    buf_printf(&at->sql, "%llu", (unsigned long long)at->rows[item].id);
}

static void validate_tail(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, ") AND (SELECT 1 FROM ");
    work_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " e WHERE e.");
    work_name(at, at->stream->entity_ref);
    buf_append_text(&at->sql, " = n.");
    work_name(at, at->stream->entity.id);
    /* LIMIT keeps it a look-up for each id: as EXISTS, MariaDB reads the whole index of
     * the event table into a temporary one as soon as there are some 200 ids */
    buf_append_text(&at->sql, " LIMIT 1) = 1");
}

/* Counts those that have an event, so that an entity which is gone is missed too. */
static int validate_run(struct work *at, const uint32_t *items, size_t count,
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
    return found == count ? 0
                          : work_miss(at, "entities with an event", count, found, err);
}

static const struct work_statement validate_entities = {
    validate_head, validate_item, validate_tail, validate_run, WORK_LOOKUP_ROWS_MAX};

int work_validate(struct work *at, bool all, struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        if (all || at->rows[i].events_new == 0) {
            at->items[count++] = (uint32_t)i;
        }
    }
    return at->context->request->validate
               ? work_run(at, &validate_entities, at->items, count, err)
               : 0;
}
