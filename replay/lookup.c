#include "replay/lookup.h"

#include "replay/apply_work.h"
#include "replay/decode.h"
#include "replay/sql.h"
#include "schema/recovery.h"

#include <stdlib.h>

struct lookup {
    struct db *db;
    struct journal *journal;
    const struct stream *stream;
    int32_t zone_offset_s;
    struct sink_tables tables;
};

/* One lookup under way; `work` is first, so that its callbacks find the rest. */
struct looking {
    struct work work;
    const struct lookup *lookup;
    struct lookup_fact *events; /* one for each event: what its row says */
    bool *columns;              /* for each event, one for each event column */
};

int lookup_new(struct db *db, struct journal *journal, const struct stream *stream,
               int32_t zone_offset_s, struct lookup **out_lookup, struct err *err)
{
    struct buf notes = {0};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup) {
        return work_no_memory(err);
    }
    *lookup = (struct lookup){
        .db = db, .journal = journal, .stream = stream, .zone_offset_s = zone_offset_s};
    int code = examine_tables(db, stream, EXAMINE_LOOK, &lookup->tables, &notes, err);
    buf_free(&notes);
    if (code) {
        free(lookup);
        return code;
    }
    *out_lookup = lookup;
    return 0;
}

void lookup_free(struct lookup *lookup)
{
    free(lookup);
}

/* ---- Times ------------------------------------------------------------------------- */

static int64_t unit_us(const struct stream_column *column)
{
    int64_t unit = 1000000;
    for (uint32_t i = 0; i < column->spec.precision && unit > 1; i++) {
        unit /= 10;
    }
    return unit;
}

/* As the column keeps it. */
static int64_t cut(int64_t time_us, int64_t unit)
{
    int64_t rest = time_us % unit;
    return time_us - (rest < 0 ? rest + unit : rest);
}

int64_t lookup_received_unit_us(const struct lookup *lookup)
{
    const struct stream_table *table = &lookup->stream->event;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].field == STREAM_RECEIVED &&
            !lookup->tables.event_missing[i]) {
            return unit_us(&table->columns[i]);
        }
    }
    return 0;
}

/* ---- Events ------------------------------------------------------------------------ */

static void event_head(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, "SELECT ");
    work_event_keys(at);
    buf_append_text(&at->sql, ", ");
    work_name(at, at->stream->event.id);
    buf_append_text(&at->sql, ", ");
    work_name(at, at->stream->entity_ref);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        if (!at->tables->event_missing[i]) {
            buf_append_text(&at->sql, ", ");
            sql_append_exact(&at->sql, &at->stream->event.columns[i]);
        }
    }
    work_event_from(at);
}

static uint64_t number_of(struct slice cell)
{
    return cell.data ? strtoull(cell.data, NULL, 10) : 0;
}

/* Does the cell hold what the record would have left there? */
static bool holds(const struct work *at, const struct stream_column *column,
                  const struct apply_record *record, struct slice cell)
{
    struct value said = fold_event_value(column, record);
    struct value stored;
    if (said.type == VALUE_TIME) {
        said.time_us = cut(said.time_us, unit_us(column));
    }
    return sql_read_value(column, cell, at->context->zone_offset_s, &stored) &&
           value_equal(&said, &stored);
}

static bool is_stand_in(const struct work *at, int column,
                        const struct apply_record *record, struct slice cell)
{
    struct value said = fold_event_value(&at->stream->event.columns[column], record);
    return slice_is(cell, RECOVERY_EVENT_TYPE) &&
           (said.type != VALUE_TEXT || !slice_is(said.text, RECOVERY_EVENT_TYPE));
}

static void take_columns(const struct work *at, const struct apply_record *record,
                         const struct slice *cells, bool *columns,
                         struct lookup_fact *fact)
{
    int marker = recovery_column(at->stream);
    size_t cell = 0;
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        const struct stream_column *column = &at->stream->event.columns[i];
        if (at->tables->event_missing[i]) {
            continue;
        }
        bool same = holds(at, column, record, cells[cell]);
        if (column->field == STREAM_RECEIVED) {
            fact->received_here = same;
        } else {
            columns[i] = !same;
            fact->differs = fact->differs || !same;
        }
        if ((int)i == marker) {
            fact->stands_in = is_stand_in(at, marker, record, cells[cell]);
        }
        cell++;
    }
    fact->columns = columns;
}

static int take_event(struct work *at, const uint32_t *items, size_t count,
                      const struct slice *cells, struct err *err)
{
    struct looking *looking = (struct looking *)at;
    const uint32_t *item = work_find_event(at, items, count, cells);
    if (!item) {
        return work_folded_key(at, at->stream->event.name, err);
    }
    struct lookup_fact *fact = &looking->events[*item];
    cells += at->stream->event_key_count;
    fact->event_id = number_of(cells[0]);
    fact->event_entity = number_of(cells[1]);
    take_columns(at, &at->records[at->fold->events[*item].record], cells + 2,
                 looking->columns + *item * at->stream->event.column_count, fact);
    return 0;
}

static int event_run(struct work *at, const uint32_t *items, size_t count,
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

static const struct work_statement look_up_events = {
    event_head, work_event_item, work_list_tail, event_run, WORK_LOOKUP_ROWS_MAX};

/* ---- Facts ------------------------------------------------------------------------- */

static struct lookup_fact fact_of(const struct looking *looking, size_t i)
{
    const struct work *at = &looking->work;
    uint32_t event = at->fold->event_of[i];
    const struct work_entity *row = &at->rows[at->fold->events[event].entity];
    int last = at->stream->watermark_column;
    struct lookup_fact fact = looking->events[event];
    fact.record = &at->records[i];
    fact.first = at->fold->events[event].record == i;
    fact.entity_id = row->id;
    fact.has_last = last >= 0 && !at->tables->entity_missing[last];
    fact.last_known = row->has_watermark;
    fact.last_us = row->watermark_us;
    return fact;
}

static int ask(struct looking *looking, struct err *err)
{
    struct work *at = &looking->work;
    size_t columns = at->fold->event_count * at->stream->event.column_count;
    looking->events = calloc(at->fold->event_count + 1, sizeof *looking->events);
    looking->columns = calloc(columns + 1, sizeof *looking->columns);
    if (!looking->events || !looking->columns) {
        return work_no_memory(err);
    }
    int code = work_look_up(at, err);
    for (size_t i = 0; i < at->fold->event_count; i++) {
        at->items[i] = (uint32_t)i;
    }
    return code ? code
                : work_run(at, &look_up_events, at->items, at->fold->event_count, err);
}

static int look_up(const struct lookup *lookup, const struct decoded *decoded,
                   const struct fold *fold, const struct lookup_visit *visit,
                   struct err *err)
{
    struct looking looking = {.lookup = lookup};
    struct apply_request request = {.stream = lookup->stream,
                                    .records = decoded->records,
                                    .record_count = decoded->count};
    struct apply_context context = {.db = lookup->db,
                                    .tables = &lookup->tables,
                                    .request = &request,
                                    .fold = fold,
                                    .zone_offset_s = lookup->zone_offset_s};
    int code = work_start(&looking.work, &context, NULL, err);
    code = code ? code : ask(&looking, err);
    for (size_t i = 0; i < decoded->count && code == 0; i++) {
        struct lookup_fact fact = fact_of(&looking, i);
        code = visit->record(&fact, visit->context, err);
    }
    work_free(&looking.work);
    free(looking.events);
    free(looking.columns);
    return code;
}

/* ---- Records ----------------------------------------------------------------------- */

static int decode(const struct lookup *lookup, const struct journal_entries *entries,
                  const struct lookup_visit *visit, struct decoded *out_decoded,
                  struct err *err)
{
    struct decoded decoded;
    int code = decode_entries(lookup->journal, lookup->stream, entries, &decoded, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < decoded.reject_count && visit->unreadable && code == 0; i++) {
        const struct decoded_reject *reject = &decoded.rejects[i];
        code = visit->unreadable(reject->seq, reject->index, &reject->reject,
                                 visit->context, err);
    }
    if (code) {
        decode_free(&decoded);
        return code;
    }
    if (visit->wants) {
        decode_keep(&decoded, lookup->stream, visit->wants, visit->context);
    }
    *out_decoded = decoded;
    return 0;
}

int lookup_entries(struct lookup *lookup, const struct journal_entries *entries,
                   const struct lookup_visit *visit, struct err *err)
{
    struct decoded decoded;
    struct fold fold = {0};
    int code = decode(lookup, entries, visit, &decoded, err);
    if (code) {
        return code;
    }
    if (decoded.count) {
        code = fold_new(lookup->stream, decoded.records, decoded.count, &fold, err);
        code = code ? code : look_up(lookup, &decoded, &fold, visit, err);
        fold_free(&fold);
    }
    decode_free(&decoded);
    return code;
}

int lookup_records(struct lookup *lookup, const struct journal_entries *entries,
                   const struct lookup_visit *visit, struct err *err)
{
    struct decoded decoded;
    int code = decode(lookup, entries, visit, &decoded, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < decoded.count && code == 0; i++) {
        struct lookup_fact fact = {.record = &decoded.records[i]};
        code = visit->record(&fact, visit->context, err);
    }
    decode_free(&decoded);
    return code;
}

/* Each part with its length before it. */
void lookup_append_event_key(struct buf *out, const struct stream *stream,
                             const struct apply_record *record)
{
    struct buf part = {0};
    for (size_t i = 0; i < stream->event_key_count; i++) {
        struct value value =
            fold_event_value(&stream->event.columns[stream->event_key[i]], record);
        buf_clear(&part);
        value_append_text(&part, &value);
        out->failed = out->failed || part.failed;
        buf_printf(out, "%zu:", part.len);
        buf_append_slice(out, buf_slice(&part));
    }
    buf_free(&part);
}
