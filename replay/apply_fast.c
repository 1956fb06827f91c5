/* replay/apply_fast.c: the fast path, for servers that take LOAD DATA LOCAL.
 *
 * 1. Take the tables' metadata locks and see that nobody has altered them.
 * 2. Look the entities up in the cache. One is trusted where its id is known, all its
 *    events of this run are newer than any that was stored, and its LATEST columns all
 *    come from its newest record. The others are locked, or made, as on the checked path,
 *    the newest of their stored events is read where it isn't known, and their older
 *    events are looked up.
 * 3. Send what the entities' columns are to change by into session tables, in the order
 *    of their ids, and UPDATE the entities from there by id and key. This locks the
 *    trusted ones, too. Every SET is relative to the row; nothing is written that was
 *    remembered.
 * 4. LOAD the new events. Their entities' rows were met and locked in this transaction,
 *    so the server need not look each of them up again (foreign_key_checks=0), unless the
 *    table has other foreign keys.
 * 5. Validate the entities that got no event here.
 *
 * What the cache says may be wrong: others write, too. The gates find it. An entity that
 * is gone, or whose id is another's by now, doesn't match in step 3. An event that is
 * there after all is skipped in step 4 with a warning, and so is every row with which
 * anything is wrong, since LOCAL means IGNORE. A gate that misses ends in ROLLBACK and
 * the checked path, which are the caller's. A cache that knows too little, or too old a
 * time, costs time only.
 */
#include "replay/apply_fast.h"
#include "replay/apply_work.h"
#include "replay/sql.h"
#include "replay/tsv.h"
#include "schema/ddl.h"

#include <stdlib.h>

/* Of the text of rows that is made at once. */
enum { PIECE_BYTES = 32 << 10 };

struct fast_learned {
    struct entity_hash hash;
    struct entity_known known;
};

void fast_free(struct fast *fast)
{
    if (fast) {
        fast_tables_free(&fast->tables);
        tuples_free(&fast->tuples);
        buf_free(&fast->data);
        buf_free(&fast->row);
        free(fast->learned);
        free(fast);
    }
}

/* ---- The cache --------------------------------------------------------------------- */

static struct entity_hash hash_of(const struct fast *fast, const struct fold *fold,
                                  size_t entity)
{
    return entity_cache_hash(fast->cache, fold->stream->entity.name,
                             &fold->entities[entity].key);
}

/* The latest time of the entity's records in this run. */
static int64_t run_newest_us(const struct fold *fold, size_t entity)
{
    int watermark = fold->stream->watermark_column;
    return fold->entities[entity].cells[watermark].value.time_us;
}

void fast_forget(struct fast *fast, const struct fold *fold)
{
    for (size_t i = 0; i < fold->entity_count; i++) {
        entity_cache_drop(fast->cache, hash_of(fast, fold, i));
    }
}

void fast_follow(struct fast *fast, const struct fold *fold)
{
    for (size_t i = 0; i < fold->entity_count; i++) {
        struct entity_hash hash = hash_of(fast, fold, i);
        struct entity_known known;
        int64_t newest_us = run_newest_us(fold, i);
        if (entity_cache_find(fast->cache, hash, &known) && known.newest_us < newest_us) {
            known.newest_us = newest_us;
            entity_cache_put(fast->cache, hash, known);
        }
    }
}

void fast_keep(struct fast *fast)
{
    for (size_t i = 0; i < fast->learned_count; i++) {
        entity_cache_put(fast->cache, fast->learned[i].hash, fast->learned[i].known);
    }
    fast->learned_count = 0;
}

/* Where newest_us is unknown, there is nothing to remember. */
static int learn(struct fast *fast, const struct work *at, struct err *err)
{
    size_t count = at->fold->entity_count;
    free(fast->learned);
    fast->learned_count = 0;
    fast->learned = malloc((count + 1) * sizeof *fast->learned);
    if (!fast->learned) {
        return work_no_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        int64_t newest_us = run_newest_us(at->fold, i);
        if (at->rows[i].newest_us != INT64_MAX) {
            struct entity_known known = {at->rows[i].id, at->rows[i].newest_us};
            known.newest_us = known.newest_us > newest_us ? known.newest_us : newest_us;
            fast->learned[fast->learned_count++] =
                (struct fast_learned){hash_of(fast, at->fold, i), known};
        }
    }
    return 0;
}

/* ---- Whom to trust --------------------------------------------------------------- */

static int64_t event_time_us(const struct work *at, uint32_t event)
{
    return at->records[at->fold->events[event].record]
        .values[at->stream->time_field]
        .time_us;
}

static bool has_newer_events_only(const struct work *at, size_t entity, int64_t newest_us)
{
    const struct fold_entity *folded = &at->fold->entities[entity];
    for (size_t i = 0; i < folded->event_count; i++) {
        if (event_time_us(at, folded->events[i]) <= newest_us) {
            return false;
        }
    }
    return true;
}

/* Then the server can tell by the newest time alone whether they are to be written. */
static bool is_latest_of_newest(const struct work *at, size_t entity)
{
    const struct fold_cell *cells = at->fold->entities[entity].cells;
    int64_t newest_us = run_newest_us(at->fold, entity);
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (at->stream->entity.columns[i].merge == MERGE_LATEST &&
            cells[i].value.type != VALUE_ABSENT && cells[i].time_us != newest_us) {
            return false;
        }
    }
    return true;
}

/* An entity that is known and not trusted, such as one with a record that came twice, is
 * locked like an unknown one, and only its events that are not newer are looked up. */
static void recall(struct fast *fast, struct work *at)
{
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        struct entity_known known;
        if (!entity_cache_find(fast->cache, hash_of(fast, at->fold, i), &known)) {
            continue;
        }
        at->rows[i].newest_us = known.newest_us;
        if (is_latest_of_newest(at, i) && has_newer_events_only(at, i, known.newest_us)) {
            at->rows[i].trusted = true;
            at->rows[i].id = known.id;
        }
    }
}

/* ---- The newest stored events ---------------------------------------------------- */

static void newest_head(struct work *at, uint32_t first)
{
    (void)first;
    const struct stream_column *key = fast_event_key(at->stream, at->stream->key_field);
    buf_append_text(&at->sql, "SELECT ");
    work_name(at, key->name);
    buf_append_text(&at->sql, ", MAX(");
    work_name(at, fast_event_key(at->stream, at->stream->time_field)->name);
    buf_append_text(&at->sql, ") FROM ");
    work_name(at, at->stream->event.name);
    buf_append_text(&at->sql, " FORCE INDEX (");
    work_name(at, at->tables->event_index);
    buf_append_text(&at->sql, ") WHERE ");
    work_name(at, key->name);
    buf_append_text(&at->sql, " IN (");
}

static void newest_item(struct work *at, uint32_t item)
{
    work_value(at, fast_event_key(at->stream, at->stream->key_field),
               &at->fold->entities[item].key);
}

static void newest_tail(struct work *at, uint32_t first)
{
    (void)first;
    buf_append_text(&at->sql, ") GROUP BY ");
    work_name(at, fast_event_key(at->stream, at->stream->key_field)->name);
}

static int take_newest(struct work *at, const uint32_t *items, size_t count,
                       const struct slice *cells, struct err *err)
{
    const struct stream_column *column =
        fast_event_key(at->stream, at->stream->time_field);
    const uint32_t *item = work_find_entity(at, items, count, cells[0]);
    struct value newest;
    if (!item) {
        return work_folded_key(at, at->stream->event.name, err);
    }
    bool read = sql_read_value(column, cells[1], at->context->zone_offset_s, &newest) &&
                newest.type == VALUE_TIME;
    at->rows[*item].newest_us = read ? newest.time_us : INT64_MAX;
    return 0;
}

static int newest_run(struct work *at, const uint32_t *items, size_t count,
                      struct err *err)
{
    struct db_rows rows = {0};
    int code = db_query(at->context->db, buf_slice(&at->sql), &rows, err);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        at->rows[items[i]].newest_us = INT64_MIN; /* not in the answer: none */
    }
    for (size_t i = 0; i < rows.row_count && code == 0; i++) {
        code = take_newest(at, items, count, rows.cells + i * rows.column_count, err);
    }
    db_rows_free(&rows);
    return code;
}

static const struct work_statement read_newest = {newest_head, newest_item, newest_tail,
                                                  newest_run, WORK_LOOKUP_ROWS_MAX};

static int settle_others(struct work *at, struct err *err)
{
    int code = work_settle(at, err);
    size_t count = 0;
    for (size_t i = 0; i < at->fold->entity_count; i++) {
        if (at->rows[i].newest_us == INT64_MAX) {
            at->items[count++] = (uint32_t)i;
        }
    }
    return code ? code : work_run(at, &read_newest, at->items, count, err);
}

/* ---- Loading -----------------------------------------------------------------------
 *
 * Rows are made while the server works on those before them: the text of a transaction is
 * never there as a whole. */

struct rows {
    struct fast *fast;
    const struct work *at;
    /* appends item `next` to fast->data, or passes over it; false: no memory */
    bool (*append)(struct rows *rows, size_t item);
    size_t next;
    size_t end;
    uint64_t sent;
};

static int next_rows(void *context, struct slice *out_piece, struct err *err)
{
    struct rows *rows = context;
    struct buf *data = &rows->fast->data;
    buf_clear(data);
    while (rows->next < rows->end && data->len < PIECE_BYTES) {
        if (!rows->append(rows, rows->next++)) {
            return work_no_memory(err);
        }
    }
    *out_piece = buf_slice(data);
    return data->failed ? work_no_memory(err) : 0;
}

/* Every row must go in, without a warning. */
static int load(struct rows *rows, const struct buf *statement, struct err *err)
{
    struct db_source source = {next_rows, rows};
    struct db_outcome outcome = {0};
    int code =
        db_load_from(rows->at->context->db, buf_slice(statement), &source, &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched != rows->sent) {
        return work_miss(rows->at, "rows loaded", rows->sent, outcome.matched, err);
    }
    return outcome.warnings ? work_miss(rows->at, "warnings", 0, outcome.warnings, err)
                            : 0;
}

/* ---- Entities -------------------------------------------------------------------- */

static struct value tuple_value(const struct work *at, uint32_t item, size_t column)
{
    return at->rows[item].trusted ? at->fold->entities[item].cells[column].value
                                  : work_merged_value(at, item, column);
}

/* The number of the entity's LATEST and FIRST values, 0 for none; false: no memory. */
static bool number_tuple(struct fast *fast, const struct work *at, uint32_t item,
                         uint32_t *out_number)
{
    bool any = false;
    *out_number = 0;
    buf_clear(&fast->row);
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (!fast_in_tuple(at->tables, i)) {
            continue;
        }
        struct value value = tuple_value(at, item, i);
        any = any || value.type != VALUE_ABSENT;
        tsv_next(&fast->row);
        tsv_append_value(&fast->row, &at->stream->entity.columns[i], &value,
                         at->context->zone_offset_s);
    }
    if (any && !fast->row.failed && !at->rows[item].made) {
        *out_number = tuples_number(&fast->tuples, buf_slice(&fast->row));
        return *out_number != 0;
    }
    return !fast->row.failed;
}

static bool append_delta(struct rows *rows, size_t entity)
{
    const struct work *at = rows->at;
    struct fast *fast = rows->fast;
    struct buf *out = &fast->data;
    uint32_t item = at->items[entity];
    uint32_t tuple;
    if (!number_tuple(fast, at, item, &tuple)) {
        return false;
    }
    tsv_append_number(out, tuple);
    tsv_next(out);
    tsv_append_number(out, at->rows[item].events_new);
    tsv_next(out);
    tsv_append_number(out, at->rows[item].id);
    tsv_next(out);
    tsv_append_value(out, work_key_column(at), &at->fold->entities[item].key,
                     at->context->zone_offset_s);
    for (size_t i = 0; i < at->stream->entity.column_count; i++) {
        if (fast_in_delta(at->tables, i)) {
            tsv_next(out);
            tsv_append_value(out, &at->stream->entity.columns[i],
                             &at->fold->entities[item].cells[i].value,
                             at->context->zone_offset_s);
        }
    }
    tsv_end(out);
    rows->sent++;
    return true;
}

static int send_deltas(struct fast *fast, const struct work *at, uint32_t first,
                       uint32_t count, struct err *err)
{
    struct rows rows = {fast, at, append_delta, .next = first,
                        .end = (size_t)first + count};
    if (!tuples_clear(&fast->tuples, count)) {
        return work_no_memory(err);
    }
    int code = db_exec(at->context->db, buf_slice(&fast->tables.clear_deltas), NULL, err);
    return code ? code : load(&rows, &fast->tables.load_deltas, err);
}

/* Number 0 is of those that have none. */
static bool append_tuple(struct rows *rows, size_t number)
{
    struct buf *out = &rows->fast->data;
    tsv_append_number(out, number);
    for (size_t i = 0; i < rows->at->stream->entity.column_count && number == 0; i++) {
        if (fast_in_tuple(rows->at->tables, i)) {
            buf_append_text(out, "\t\\N");
        }
    }
    if (number) {
        buf_append_slice(out, tuples_row(&rows->fast->tuples, (uint32_t)number));
    }
    tsv_end(out);
    rows->sent++;
    return true;
}

static int send_tuples(struct fast *fast, const struct work *at, struct err *err)
{
    struct rows rows = {fast, at, append_tuple, .next = 0,
                        .end = (size_t)fast->tuples.count + 1};
    int code = db_exec(at->context->db, buf_slice(&fast->tables.clear_tuples), NULL, err);
    return code ? code : load(&rows, &fast->tables.load_tuples, err);
}

static int merge_chunk(struct fast *fast, const struct work *at, uint32_t first,
                       uint32_t count, struct err *err)
{
    struct db_outcome outcome = {0};
    int code = send_deltas(fast, at, first, count, err);
    code = code ? code : send_tuples(fast, at, err);
    code = code ? code
                : db_exec(at->context->db, buf_slice(&fast->tables.apply), &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched != count) {
        return work_miss(at, "entities met", count, outcome.matched, err);
    }
    return outcome.warnings ? work_miss(at, "warnings", 0, outcome.warnings, err) : 0;
}

static int compare_ids(const void *left, const void *right, void *context)
{
    const struct work_entity *rows = context;
    uint64_t a = rows[*(const uint32_t *)left].id;
    uint64_t b = rows[*(const uint32_t *)right].id;
    return (a > b) - (a < b);
}

/* Into at->items: neighbours by id share pages, in the index of the ids and, where they
 * have a value in common such as a count, in the index of that. Lanes of one stream have
 * no entity in common; two engines that do may deadlock, which the server ends, and the
 * loser tries again. */
static void order_by_id(struct work *at)
{
    size_t total = at->fold->entity_count;
    for (size_t i = 0; i < total; i++) {
        at->items[i] = (uint32_t)i;
    }
    qsort_r(at->items, total, sizeof *at->items, compare_ids, at->rows);
}

static int merge(struct fast *fast, struct work *at, struct err *err)
{
    size_t total = at->fold->entity_count;
    int code = 0;
    order_by_id(at);
    for (size_t done = 0; done < total && code == 0;) {
        size_t count = total - done < fast->tables.chunk_entities
                           ? total - done
                           : fast->tables.chunk_entities;
        code = merge_chunk(fast, at, (uint32_t)done, (uint32_t)count, err);
        done += count;
    }
    return code;
}

/* ---- Events ---------------------------------------------------------------------- */

static bool append_event(struct rows *rows, size_t index)
{
    const struct work *at = rows->at;
    struct buf *out = &rows->fast->data;
    const struct fold_event *event = &at->fold->events[index];
    if (at->found[index]) {
        return true;
    }
    tsv_append_number(out, at->rows[event->entity].id);
    for (size_t i = 0; i < at->stream->event.column_count; i++) {
        if (!at->tables->event_missing[i]) {
            const struct stream_column *column = &at->stream->event.columns[i];
            struct value value = fold_event_value(column, &at->records[event->record]);
            tsv_next(out);
            tsv_append_value(out, column, &value, at->context->zone_offset_s);
        }
    }
    tsv_end(out);
    rows->sent++;
    return true;
}

static bool has_new(const struct work *at)
{
    size_t count = at->fold->event_count;
    return count && memchr(at->found, false, count);
}

static int load_new(struct fast *fast, const struct work *at, struct err *err)
{
    struct rows rows = {fast, at, append_event, .next = 0, .end = at->fold->event_count};
    return has_new(at) ? load(&rows, &fast->tables.load_events, err) : 0;
}

/* A session must not go on without checks: it is cut off where they don't come back. */
static int load_unchecked(struct fast *fast, const struct work *at, struct err *err)
{
    struct db *db = at->context->db;
    int code = db_exec(db, SLICE_LITERAL("SET foreign_key_checks = 0"), NULL, err);
    code = code ? code : load_new(fast, at, err);
    struct err why = {0};
    int back = db_exec(db, SLICE_LITERAL("SET foreign_key_checks = 1"), NULL, &why);
    if (back && db_alive(db)) {
        db_abort(db);
    }
    if (back && code == 0 && err) {
        *err = why;
    }
    return code ? code : back;
}

/* ---- The door -------------------------------------------------------------------- */

static int run(struct fast *fast, struct work *at, struct err *err)
{
    int code = fast_tables_check(at->context->db, &fast->tables, err);
    fast->altered = code == ERR_MISS;
    if (code) {
        return code;
    }
    recall(fast, at);
    code = settle_others(at, err);
    code = code ? code : work_decide(at, err);
    code = code ? code : merge(fast, at, err);
    if (code == 0) {
        code = fast->tables.keys_off ? load_unchecked(fast, at, err)
                                     : load_new(fast, at, err);
    }
    code = code ? code : work_validate(at, false, err);
    return code ? code : learn(fast, at, err);
}

int apply_fast(struct fast *fast, const struct apply_context *context,
               struct apply_outcome *out, struct err *err)
{
    struct work at;
    fast->learned_count = 0;
    int code = work_start(&at, context, out->fates, err);
    code = code ? code : run(fast, &at, err);
    if (code == 0) {
        out->entities_new = at.made;
    }
    work_free(&at);
    return code;
}
