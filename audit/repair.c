#include "audit/repair.h"

#include "audit/chunk.h"
#include "audit/judge.h"
#include "audit/missing.h"
#include "audit/retained.h"
#include "audit/stand_in.h"
#include "replay/restore.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCAN_ROWS = 2000, CHUNK_ROWS = 500 };

struct repairing {
    struct db *db;
    const struct stream *stream;
    const struct repair_rules *rules;
    struct audit_columns columns;
    struct repair_report *report;
    int64_t cutoff_us;
    struct missing missing;  /* of the present batch */
    uint64_t after_id;       /* read up to here */
    bool full;               /* the batch is; there may be more */
    struct restore *restore; /* NULL: nothing is to be had from the journal */
    struct retained retained;
    uint64_t ids[MISSING_MAX]; /* to give stand-ins to */
    size_t id_count;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory for the repair");
}

static int show(const struct repairing *at, struct err *err)
{
    const struct check_rules *rules = &at->rules->check;
    uint64_t mended = at->report->inserted;
    if (at->rules->execute) {
        mended += at->report->in_journal;
    }
    bool goes_on =
        !rules->progress || rules->progress(rules->progress_context, mended, 0);
    return goes_on ? 0 : err_set(err, ERR_CLOSED, 0, "the repair was ended");
}

/* ---- Which entities -------------------------------------------------------------- */

static int take_entity(const struct scan_entity *entity, void *context, struct err *err)
{
    struct repairing *at = context;
    if (at->full || !judge(&at->columns, entity, at->cutoff_us).missing) {
        at->after_id = at->full ? at->after_id : entity->id;
        return 0;
    }
    at->full = at->missing.count == MISSING_MAX;
    if (at->full) {
        return 0;
    }
    at->after_id = entity->id;
    return missing_add(&at->missing, entity) ? 0 : no_memory(err);
}

static int after_scan_chunk(const struct scan_chunk *chunk, void *context,
                            struct err *err)
{
    (void)chunk;
    struct repairing *at = context;
    int code = show(at, err);
    return code || !at->full ? code : ERR_NOT_FOUND; /* enough: not an error */
}

static int read_batch(struct repairing *at, struct err *err)
{
    struct scan scan = {.db = at->db,
                        .columns = &at->columns,
                        .chunk_rows = SCAN_ROWS,
                        .entity = take_entity,
                        .chunk = after_scan_chunk,
                        .context = at};
    missing_clear(&at->missing);
    at->full = false;
    int code = scan_run(&scan, at->after_id, err);
    missing_sort(&at->missing);
    return code == ERR_NOT_FOUND && at->full ? 0 : code;
}

/* ---- From the journal ------------------------------------------------------------ */

static bool wants(const struct value *key, void *context)
{
    struct repairing *at = context;
    struct missing_entity *found = missing_find(&at->missing, key);
    if (found) {
        found->in_journal = true;
    }
    return found != NULL;
}

static int visit_retained(struct journal_entries *entry, void *context, struct err *err)
{
    struct repairing *at = context;
    struct restore_filter filter = {wants, at};
    uint64_t events = 0;
    int code = at->rules->execute
                   ? restore_apply(at->restore, entry, &filter, &events, err)
                   : restore_look(at->restore, entry, &filter, err);
    at->report->restored += code ? 0 : events;
    return code;
}

static int open_journal(struct repairing *at, struct err *err)
{
    struct journal *journal = at->rules->journal;
    int code = 0;
    if (journal) {
        code = retained_find(journal, at->db, at->stream, &at->retained, err);
    }
    return code || !at->retained.any
               ? code
               : restore_new(at->db, journal, at->stream, at->columns.zone_offset_s,
                             &at->restore, err);
}

static int restore_batch(struct repairing *at, struct err *err)
{
    struct retained_visit visit = {visit_retained, at, at->db};
    return at->restore && at->missing.count
               ? retained_walk(&at->retained, at->rules->journal, at->stream, &visit, err)
               : 0;
}

/* ---- Stand-ins ------------------------------------------------------------------- */

struct insertion {
    struct repairing *at;
    const uint64_t *ids;
    size_t count;
    uint64_t inserted;
};

static int insert_work(void *context, struct err *err)
{
    struct insertion *insertion = context;
    struct repairing *at = insertion->at;
    struct buf sql = {0};
    struct db_outcome outcome = {0};
    stand_in_append(&sql, &at->columns, insertion->ids, insertion->count);
    int code = sql.failed ? no_memory(err) : 0;
    code = code ? code
                : chunk_lock(at->db, &at->columns, insertion->ids, insertion->count, err);
    code = code ? code : db_exec(at->db, buf_slice(&sql), &outcome, err);
    buf_clear(&sql);
    stand_in_append_count(&sql, &at->columns, insertion->ids, insertion->count);
    code = code || !sql.failed ? code : no_memory(err);
    if (code == 0 && sql.len) {
        code = db_exec(at->db, buf_slice(&sql), NULL, err);
    }
    buf_free(&sql);
    insertion->inserted = outcome.matched;
    return code;
}

static int insert_batch(struct repairing *at, struct err *err)
{
    size_t rows = at->rules->chunk_rows ? at->rules->chunk_rows : CHUNK_ROWS;
    int code = 0;
    for (size_t done = 0; done < at->id_count && code == 0; done += rows) {
        size_t left = at->id_count - done;
        struct insertion insertion = {at, at->ids + done, left < rows ? left : rows, 0};
        struct chunk chunk = {insert_work, &insertion};
        code = chunk_run(at->db, &chunk, err);
        at->report->inserted += code ? 0 : insertion.inserted;
        code = code ? code : show(at, err);
    }
    return code;
}

/* ---- The batch ------------------------------------------------------------------- */

static void show_sample(const struct repairing *at, const struct missing_entity *item)
{
    struct repair_report *report = at->report;
    struct buf text = {0};
    if (report->sample_count == REPAIR_SAMPLE) {
        return;
    }
    struct repair_sample *sample = &report->sample[report->sample_count++];
    *sample = (struct repair_sample){.id = item->id,
                                     .timed = item->time.known,
                                     .time_us = item->time.us,
                                     .in_journal = item->in_journal};
    value_append_text(&text, &item->key);
    const char *key = buf_text(&text);
    snprintf(sample->key, sizeof sample->key, "%s", key ? key : "");
    buf_free(&text);
}

static int by_id(const void *a, const void *b)
{
    const struct missing_entity *left = a;
    const struct missing_entity *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static void count_batch(struct repairing *at)
{
    struct repair_report *report = at->report;
    struct missing *missing = &at->missing;
    at->id_count = 0;
    if (missing->count) {
        qsort(missing->items, missing->count, sizeof *missing->items, by_id);
    }
    for (size_t i = 0; i < missing->count; i++) {
        const struct missing_entity *item = &missing->items[i];
        show_sample(at, item);
        report->missing++;
        if (item->in_journal) {
            report->in_journal++;
        } else if (!item->time.known) {
            report->untimed++;
        } else if (!report->no_stand_in[0]) {
            report->stand_ins++;
            at->ids[at->id_count++] = item->id;
        }
    }
}

static int repair_batches(struct repairing *at, struct err *err)
{
    int code;
    do {
        code = read_batch(at, err);
        code = code ? code : restore_batch(at, err);
        if (code == 0) {
            count_batch(at);
        }
        if (code == 0 && at->rules->execute) {
            code = insert_batch(at, err);
        }
    } while (code == 0 && at->full);
    return code;
}

int repair_events(struct db *db, const struct stream *stream,
                  const struct repair_rules *rules, struct repair_report *out_report,
                  struct err *err)
{
    struct repair_report report = {0};
    struct repairing *at = calloc(1, sizeof *at);
    if (!at) {
        return no_memory(err);
    }
    at->db = db;
    at->stream = stream;
    at->rules = rules;
    at->report = &report;
    at->cutoff_us = judge_cutoff(rules->check.now_us, rules->check.since_us);
    int code = columns_find(db, stream, rules->check.zone_offset_s, &at->columns, err);
    if (code == 0 && !at->columns.found) {
        code = err_set(err, ERR_SCHEMA, 0, "stream %s: its tables are not there",
                       stream->name);
    }
    if (code == 0) {
        at->missing.key = at->columns.key;
        stand_in_refuse(&at->columns, report.no_stand_in, sizeof report.no_stand_in);
        code = open_journal(at, err);
    }
    code = code ? code : repair_batches(at, err);
    restore_free(at->restore);
    missing_free(&at->missing);
    free(at);
    if (code == 0) {
        *out_report = report;
    }
    return code;
}
