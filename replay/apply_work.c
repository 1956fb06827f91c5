#include "replay/apply_work.h"
#include "replay/sql.h"
#include "schema/ddl.h"

#include <stdlib.h>

enum { STATEMENT_ROWS_DEFAULT = 500 };

int work_no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to apply the records");
}

static size_t statement_rows(const struct work *at, const struct work_statement *kind)
{
    size_t rows = at->context->request->statement_rows_max;
    rows = rows ? rows : STATEMENT_ROWS_DEFAULT;
    return kind->rows_max && kind->rows_max < rows ? kind->rows_max : rows;
}

/* Builds one statement of the first items; the number that it took, at least one. */
static size_t build_statement(struct work *at, const struct work_statement *kind,
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

int work_run(struct work *at, const struct work_statement *kind, const uint32_t *items,
             size_t count, struct err *err)
{
    int code = 0;
    for (size_t done = 0; done < count && code == 0;) {
        size_t taken = build_statement(at, kind, items + done, count - done);
        code = at->sql.failed ? work_no_memory(err)
                              : kind->run(at, items + done, taken, err);
        done += taken;
    }
    return code;
}

/* A gate that didn't hold. */
int work_miss(const struct work *at, const char *what, uint64_t expected, uint64_t found,
              struct err *err)
{
    return err_set(err, ERR_MISS, 0, "%s: %s: expected %llu, found %llu",
                   db_last_statement(at->context->db), what, (unsigned long long)expected,
                   (unsigned long long)found);
}

int work_insert(struct work *at, const uint32_t *items, size_t count, struct err *err)
{
    (void)items;
    struct db_outcome outcome = {0};
    int code = db_exec(at->context->db, buf_slice(&at->sql), &outcome, err);
    if (code) {
        return code;
    }
    if (outcome.matched != count) {
        return work_miss(at, "rows inserted", count, outcome.matched, err);
    }
    return outcome.warnings ? work_miss(at, "warnings", 0, outcome.warnings, err) : 0;
}

void work_name(struct work *at, const char *name)
{
    ddl_append_identifier(&at->sql, name);
}

void work_value(struct work *at, const struct stream_column *column,
                const struct value *value)
{
    sql_append_value(&at->sql, column, value, at->context->zone_offset_s);
}

const struct stream_column *work_key_column(const struct work *at)
{
    return &at->stream->entity.columns[at->stream->entity_key_column];
}

void work_no_tail(struct work *at, uint32_t first)
{
    (void)at;
    (void)first;
}

/* ---- Life ------------------------------------------------------------------------- */

static void link_same(struct work *at, size_t count)
{
    /* from the end, with items as the head of each event's list */
    for (size_t i = 0; i < at->fold->event_count; i++) {
        at->items[i] = WORK_NO_RECORD;
    }
    for (size_t i = count; i-- > 0;) {
        uint32_t event = at->fold->event_of[i];
        at->next_same[i] = at->items[event];
        at->items[event] = (uint32_t)i;
    }
}

int work_start(struct work *at, const struct apply_context *context, uint8_t *fates,
               struct err *err)
{
    const struct fold *fold = context->fold;
    size_t records = context->request->record_count;
    uint64_t packet = db_server(context->db)->max_allowed_packet;
    *at = (struct work){.context = context,
                        .stream = context->request->stream,
                        .tables = context->tables,
                        .fold = fold,
                        .records = context->request->records,
                        .fates = fates,
                        .bytes_max = WORK_STATEMENT_BYTES_MAX};
    if (packet / 4 * 3 < at->bytes_max) {
        at->bytes_max = (size_t)(packet / 4 * 3);
    }
    at->rows = calloc(fold->entity_count + 1, sizeof *at->rows);
    at->found = calloc(fold->event_count + 1, sizeof *at->found);
    at->stand_ins = calloc(fold->event_count + 1, sizeof *at->stand_ins);
    at->next_same = calloc(records + 1, sizeof *at->next_same);
    at->items = calloc(fold->event_count + 1, sizeof *at->items); /* entities are fewer */
    if (!at->rows || !at->found || !at->stand_ins || !at->next_same || !at->items) {
        return work_no_memory(err);
    }
    for (size_t i = 0; i < fold->entity_count; i++) {
        at->rows[i].newest_us = INT64_MAX;
    }
    link_same(at, records);
    return 0;
}

void work_free(struct work *at)
{
    buf_free(&at->sql);
    free(at->items);
    free(at->next_same);
    free(at->stand_ins);
    free(at->found);
    free(at->rows);
}
