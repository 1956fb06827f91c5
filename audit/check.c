#include "audit/check.h"

#include "audit/bursts.h"
#include "audit/judge.h"
#include "base/clock.h"
#include "schema/ddl.h"

#include <stdlib.h>

enum { CHUNK_ROWS = 2000 };

struct checking {
    struct db *db;
    const struct check_rules *rules;
    struct audit_columns columns;
    struct check_report *report;
    struct bursts *bursts; /* NULL: nothing is to be explained */
    int64_t cutoff_us;
    uint64_t end_id;
    uint64_t last_id;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory for the check");
}

/* ---- Entities -------------------------------------------------------------------- */

static void explain(struct checking *at, const struct scan_entity *entity, bool missing)
{
    if (!at->bursts) {
        return;
    }
    if (missing) {
        struct scan_time time = judge_time(entity);
        bursts_add(at->bursts, entity->id, time.known, time.us);
    } else {
        bursts_break(at->bursts);
    }
}

static int check_entity(const struct scan_entity *entity, void *context, struct err *err)
{
    (void)err;
    struct checking *at = context;
    struct check_report *report = at->report;
    struct judgement found = judge(&at->columns, entity, at->cutoff_us);
    report->entities++;
    report->events += entity->events;
    report->missing += found.missing;
    report->aged += found.aged;
    report->count_off += found.count_off;
    report->first_off += found.first_off;
    report->last_off += found.last_off;
    explain(at, entity, found.missing);
    return 0;
}

/* ---- Events without an entity ----------------------------------------------------- */

/* The events of the entities in (after, last], or of those above it where last is 0. */
static void append_range(struct buf *sql, const struct audit_columns *columns,
                         uint64_t after_id, uint64_t last_id)
{
    buf_append_text(sql, " WHERE ");
    columns_append(sql, "e", columns->stream->entity_ref);
    buf_printf(sql, " > %llu", (unsigned long long)after_id);
    if (last_id) {
        buf_append_text(sql, " AND ");
        columns_append(sql, "e", columns->stream->entity_ref);
        buf_printf(sql, " <= %llu", (unsigned long long)last_id);
    }
}

static void append_count(struct buf *sql, const struct audit_columns *columns)
{
    buf_append_text(sql, "SELECT COUNT(*) FROM ");
    ddl_append_identifier(sql, columns->stream->event.name);
    buf_append_text(sql, " e FORCE INDEX (");
    ddl_append_identifier(sql, columns->ref_index);
    buf_append_char(sql, ')');
}

/* One by one, in one statement: exact whoever writes meanwhile. */
static int count_stray(struct checking *at, uint64_t after_id, uint64_t last_id,
                       struct err *err)
{
    struct buf sql = {0};
    uint64_t stray = 0;
    const struct audit_columns *columns = &at->columns;
    append_count(&sql, columns);
    buf_append_text(&sql, " LEFT JOIN ");
    ddl_append_identifier(&sql, columns->stream->entity.name);
    buf_append_text(&sql, " n ON ");
    columns_append(&sql, "n", columns->stream->entity.id);
    buf_append_text(&sql, " = ");
    columns_append(&sql, "e", columns->stream->entity_ref);
    append_range(&sql, columns, after_id, last_id);
    buf_append_text(&sql, " AND ");
    columns_append(&sql, "n", columns->stream->entity.id);
    buf_append_text(&sql, " IS NULL");
    int code = scan_number(at->db, &sql, &stray, err);
    at->report->stray += code ? 0 : stray;
    return code;
}

/* Mostly as many as the entities have together; where not, they are looked at. */
static int check_range(struct checking *at, const struct scan_chunk *chunk,
                       uint64_t last_id, struct err *err)
{
    struct buf sql = {0};
    uint64_t events = 0;
    append_count(&sql, &at->columns);
    append_range(&sql, &at->columns, chunk->after_id, last_id);
    int code = scan_number(at->db, &sql, &events, err);
    return code || events == chunk->events
               ? code
               : count_stray(at, chunk->after_id, last_id, err);
}

static int check_chunk(const struct scan_chunk *chunk, void *context, struct err *err)
{
    struct checking *at = context;
    const struct check_rules *rules = at->rules;
    int code = 0;
    if (chunk->entities) {
        code = check_range(at, chunk, chunk->last_id, err);
        at->last_id = chunk->last_id;
    }
    if (code == 0 && rules->progress &&
        !rules->progress(rules->progress_context, at->last_id, at->end_id)) {
        code = err_set(err, ERR_CLOSED, 0, "the check was ended");
    }
    return code;
}

/* Events that name an entity behind the last one. */
static int check_behind(struct checking *at, struct err *err)
{
    struct scan_chunk behind = {.after_id = at->last_id};
    return check_range(at, &behind, 0, err);
}

/* --------------------------------------------------------------------------------------
 */

static int find_end(struct checking *at, struct err *err)
{
    struct buf sql = {0};
    buf_append_text(&sql, "SELECT MAX(");
    ddl_append_identifier(&sql, at->columns.stream->entity.id);
    buf_append_text(&sql, ") FROM ");
    ddl_append_identifier(&sql, at->columns.stream->entity.name);
    return scan_number(at->db, &sql, &at->end_id, err);
}

static int run(struct checking *at, struct err *err)
{
    struct check_report *report = at->report;
    struct scan scan = {.db = at->db,
                        .columns = &at->columns,
                        .chunk_rows =
                            at->rules->chunk_rows ? at->rules->chunk_rows : CHUNK_ROWS,
                        .entity = check_entity,
                        .chunk = check_chunk,
                        .context = at};
    report->counts = at->columns.count != NULL;
    report->firsts = at->columns.first && at->columns.time;
    report->lasts = at->columns.last && at->columns.time;
    at->bursts = at->rules->explain ? bursts_new(at->rules->zone_offset_s) : NULL;
    if (at->rules->explain && !at->bursts) {
        return no_memory(err);
    }
    int code = find_end(at, err);
    code = code ? code : scan_run(&scan, 0, err);
    code = code ? code : check_behind(at, err);
    if (code == 0 && at->bursts) {
        report->explained = bursts_finish(at->bursts, &report->why);
        code = report->explained ? 0 : no_memory(err);
    }
    bursts_free(at->bursts);
    return code;
}

int check_stream(struct db *db, const struct stream *stream,
                 const struct check_rules *rules, struct check_report *out_report,
                 struct err *err)
{
    struct check_report report = {.stream = stream, .at_us = rules->now_us};
    struct checking at = {.db = db, .rules = rules, .report = &report};
    int64_t begun_us = clock_steady_us(&clock_system);
    at.cutoff_us = judge_cutoff(rules->now_us, rules->since_us);
    int code = columns_find(db, stream, rules->zone_offset_s, &at.columns, err);
    report.found = at.columns.found;
    if (code == 0 && report.found) {
        code = run(&at, err);
    }
    report.took_us = (uint64_t)(clock_steady_us(&clock_system) - begun_us);
    if (code) {
        check_report_free(&report);
        return code;
    }
    *out_report = report;
    return 0;
}

void check_report_free(struct check_report *report)
{
    free(report->why.days);
    free(report->why.runs);
    free(report->why.bursts);
    *report = (struct check_report){0};
}

uint32_t check_coverage(const struct check_report *report)
{
    enum { ALL = 10000 };
    if (report->entities == 0) {
        return ALL;
    }
    return (uint32_t)((report->entities - report->missing) * ALL / report->entities);
}

bool check_disagrees(const struct check_report *report)
{
    return report->count_off || report->first_off || report->last_off;
}

bool check_is_below(const struct check_report *report, uint32_t threshold)
{
    enum { ALL = 10000 };
    return (report->entities - report->missing) * ALL < report->entities * threshold;
}
