#include "audit/chunk.h"
#include "audit/judge.h"
#include "audit/repair.h"
#include "schema/ddl.h"

#include <stdio.h>
#include <stdlib.h>

/* An entity's row is locked before its events are counted, by a statement of its own:
 * under READ COMMITTED a statement sees what was committed when it began, and one that
 * waits for the lock began before. Whoever applies events of the entity holds that lock,
 * so that from there on neither moves. */

enum { SCAN_ROWS = 2000, CHUNK_ROWS = 200 };

struct recount {
    uint64_t id;
    struct judgement off;
    uint64_t events;
    int64_t earliest_us;
    int64_t latest_us;
};

struct recounting {
    struct db *db;
    const struct repair_rules *rules;
    struct audit_columns columns;
    struct repair_report *report;
    int64_t cutoff_us;
    uint64_t ids[SCAN_ROWS]; /* of the scanned chunk that are off */
    size_t id_count;
    struct recount found[SCAN_ROWS]; /* of the transaction, as they are under the lock */
    size_t found_count;
};

static bool is_off(const struct judgement *off)
{
    return off->count_off || off->first_off || off->last_off;
}

/* ---- A transaction --------------------------------------------------------------- */

static int take_locked(const struct scan_entity *entity, void *context, struct err *err)
{
    (void)err;
    struct recounting *at = context;
    struct judgement off = judge(&at->columns, entity, at->cutoff_us);
    if (is_off(&off)) {
        at->found[at->found_count++] =
            (struct recount){.id = entity->id,
                             .off = off,
                             .events = entity->events,
                             .earliest_us = entity->earliest.us,
                             .latest_us = entity->latest.us};
    }
    return 0;
}

enum which { COUNT, FIRST, LAST };

static bool wants(const struct recount *item, enum which which)
{
    return which == COUNT   ? item->off.count_off
           : which == FIRST ? item->off.first_off
                            : item->off.last_off;
}

/* , column = CASE id WHEN 7 THEN 3 ... ELSE column END */
static void append_column(struct buf *sql, const struct recounting *at, enum which which,
                          const struct stream_column *column)
{
    bool any = false;
    for (size_t i = 0; i < at->found_count; i++) {
        const struct recount *item = &at->found[i];
        if (!wants(item, which)) {
            continue;
        }
        if (!any) {
            ddl_append_identifier(sql, column->name);
            buf_append_text(sql, " = CASE ");
            ddl_append_identifier(sql, at->columns.stream->entity.id);
            any = true;
        }
        buf_printf(sql, " WHEN %llu THEN ", (unsigned long long)item->id);
        if (which == COUNT) {
            buf_printf(sql, "%llu", (unsigned long long)item->events);
        } else {
            columns_append_time(sql, &at->columns, column,
                                which == FIRST ? item->earliest_us : item->latest_us);
        }
    }
    if (any) {
        buf_append_text(sql, " ELSE ");
        ddl_append_identifier(sql, column->name);
        buf_append_text(sql, " END, ");
    }
}

static void append_update(struct buf *sql, const struct recounting *at)
{
    const struct audit_columns *columns = &at->columns;
    const char *id = columns->stream->entity.id;
    buf_append_text(sql, "UPDATE ");
    ddl_append_identifier(sql, columns->stream->entity.name);
    buf_append_text(sql, " SET ");
    append_column(sql, at, COUNT, columns->count);
    append_column(sql, at, FIRST, columns->first);
    append_column(sql, at, LAST, columns->last);
    ddl_append_identifier(sql, id);
    buf_append_text(sql, " = ");
    ddl_append_identifier(sql, id);
    buf_append_text(sql, " WHERE ");
    ddl_append_identifier(sql, id);
    buf_append_text(sql, " IN (");
    for (size_t i = 0; i < at->found_count; i++) {
        buf_printf(sql, i ? ",%llu" : "%llu", (unsigned long long)at->found[i].id);
    }
    buf_append_char(sql, ')');
}

static int update(struct recounting *at, struct err *err)
{
    struct buf sql = {0};
    struct db_outcome outcome = {0};
    append_update(&sql, at);
    int code = sql.failed ? err_set(err, ERR_NOMEM, 0, "no memory for the counts")
                          : db_exec(at->db, buf_slice(&sql), &outcome, err);
    buf_free(&sql);
    if (code == 0 && outcome.matched != at->found_count) {
        code = err_set(err, ERR_MISS, 0,
                       "%zu entities were locked, but %llu were met by the UPDATE",
                       at->found_count, (unsigned long long)outcome.matched);
    }
    return code;
}

struct recount_chunk {
    struct recounting *at;
    const uint64_t *ids;
    size_t count;
};

static int recount_work(void *context, struct err *err)
{
    struct recount_chunk *chunk = context;
    struct recounting *at = chunk->at;
    struct scan scan = {
        .db = at->db, .columns = &at->columns, .entity = take_locked, .context = at};
    at->found_count = 0;
    int code = chunk_lock(at->db, &at->columns, chunk->ids, chunk->count, err);
    code = code ? code : scan_ids(&scan, chunk->ids, chunk->count, err);
    return code || at->found_count == 0 ? code : update(at, err);
}

/* ---- The scan -------------------------------------------------------------------- */

static void show_sample(struct recounting *at, const struct scan_entity *entity)
{
    struct repair_report *report = at->report;
    if (report->sample_count == REPAIR_SAMPLE) {
        return;
    }
    struct repair_sample *sample = &report->sample[report->sample_count++];
    *sample = (struct repair_sample){.id = entity->id,
                                     .timed = entity->first.known,
                                     .time_us = entity->first.us,
                                     .events = entity->events,
                                     .count = entity->count};
    snprintf(sample->key, sizeof sample->key, "%.*s", (int)entity->key.len,
             entity->key.data ? entity->key.data : "");
}

static int take_entity(const struct scan_entity *entity, void *context, struct err *err)
{
    (void)err;
    struct recounting *at = context;
    struct judgement off = judge(&at->columns, entity, at->cutoff_us);
    if (is_off(&off)) {
        at->ids[at->id_count++] = entity->id;
        at->report->counts_off++;
        show_sample(at, entity);
    }
    return 0;
}

static int after_scan_chunk(const struct scan_chunk *scanned, void *context,
                            struct err *err)
{
    (void)scanned;
    struct recounting *at = context;
    const struct check_rules *rules = &at->rules->check;
    size_t rows = at->rules->chunk_rows ? at->rules->chunk_rows : CHUNK_ROWS;
    int code = 0;
    for (size_t done = 0; at->rules->execute && done < at->id_count && code == 0;
         done += rows) {
        size_t left = at->id_count - done;
        struct recount_chunk some = {at, at->ids + done, left < rows ? left : rows};
        struct chunk chunk = {recount_work, &some};
        code = chunk_run(at->db, &chunk, err);
        at->report->counts_fixed += code ? 0 : at->found_count;
    }
    at->id_count = 0;
    if (code == 0 && rules->progress &&
        !rules->progress(rules->progress_context, at->report->counts_fixed, 0)) {
        code = err_set(err, ERR_CLOSED, 0, "the repair was ended");
    }
    return code;
}

int repair_counts(struct db *db, const struct stream *stream,
                  const struct repair_rules *rules, struct repair_report *out_report,
                  struct err *err)
{
    struct repair_report report = {0};
    struct recounting *at = calloc(1, sizeof *at);
    if (!at) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the counts");
    }
    at->db = db;
    at->rules = rules;
    at->report = &report;
    at->cutoff_us = judge_cutoff(rules->check.now_us, rules->check.since_us);
    struct scan scan = {.db = db,
                        .columns = &at->columns,
                        .chunk_rows = SCAN_ROWS,
                        .entity = take_entity,
                        .chunk = after_scan_chunk,
                        .context = at};
    int code = columns_find(db, stream, rules->check.zone_offset_s, &at->columns, err);
    if (code == 0 && !at->columns.found) {
        code = err_set(err, ERR_SCHEMA, 0, "stream %s: its tables are not there",
                       stream->name);
    }
    code = code ? code : scan_run(&scan, 0, err);
    free(at);
    if (code == 0) {
        *out_report = report;
    }
    return code;
}
