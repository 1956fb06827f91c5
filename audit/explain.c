#include "audit/explain.h"

#include "audit/deep_judge.h"
#include "audit/judge.h"
#include "audit/retained.h"
#include "audit/scan.h"
#include "replay/ledger.h"
#include "schema/ddl.h"
#include "schema/recovery.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct explaining {
    struct journal *journal;
    struct db *db;
    const struct stream *stream;
    const struct value *key;
    const struct explain_rules *rules;
    struct explain_report *report;
    struct audit_columns columns;
    struct lookup *lookup;
    struct retained retained; /* and applied */
    const struct journal_entry *entry;
    uint64_t last_seq; /* of the journal */
    struct buf key_text;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to explain");
}

/* ---- Records ----------------------------------------------------------------------- */

static bool is_wanted(const struct value *key, void *context)
{
    const struct explaining *at = context;
    return value_equal(key, at->key);
}

/* Among what is listed. */
static bool has_earlier(const struct explain_report *report, uint64_t event_id)
{
    for (size_t i = 0; i < report->record_count; i++) {
        if (report->records[i].event_id == event_id) {
            return true;
        }
    }
    return false;
}

static void judge_record(const struct explaining *at, const struct lookup_fact *fact,
                         struct explain_record *record)
{
    struct deep_ground ground = {.stream = at->stream,
                                 .cutoff_us =
                                     judge_cutoff(at->rules->now_us, at->rules->since_us),
                                 .met = at->retained.met[record->lane],
                                 .differed = at->retained.differed[record->lane]};
    enum deep_verdict verdict = deep_judge(fact, &ground, &record->kind);
    bool earlier = fact->event_id && has_earlier(at->report, fact->event_id);
    record->gap = verdict == DEEP_GAP || (verdict == DEEP_SUSPECT && !earlier);
    record->made_by_other = earlier || !fact->first || verdict == DEEP_OTHERS;
    record->entity_id = fact->entity_id;
    record->event_id = fact->event_id;
    for (size_t i = 0; i < at->stream->event.column_count && fact->columns; i++) {
        record->columns[i] = fact->first && fact->columns[i];
    }
}

static int take_record(const struct lookup_fact *fact, void *context, struct err *err)
{
    struct explaining *at = context;
    struct explain_report *report = at->report;
    const struct apply_record *from = fact->record;
    struct explain_record record = {
        .seq = from->seq,
        .index = from->index,
        .lane = at->entry->lane,
        .batch_seq = at->entry->batch_seq,
        .received_at_us = from->received_at_us,
        .time_us = from->values[at->stream->time_field].time_us,
        .applied = from->seq <= at->retained.applied[at->entry->lane]};
    (void)err;
    if (record.applied) {
        judge_record(at, fact, &record);
    }
    report->records_found++;
    report->gaps += record.gap;
    if (report->record_count < at->rules->limit) {
        report->records[report->record_count++] = record;
    }
    return 0;
}

static int note_lane(struct explaining *at, uint32_t number, struct err *err)
{
    struct explain_report *report = at->report;
    struct ledger_lane key = {journal_id(at->journal), at->stream->name, number};
    struct ledger_row row = {0};
    for (size_t i = 0; i < report->lane_count; i++) {
        if (report->lanes[i].lane == number) {
            return 0;
        }
    }
    int code = ledger_read(at->db, &key, false, &row, err);
    if (code == 0) {
        report->lanes[report->lane_count++] =
            (struct explain_lane){.lane = number,
                                  .applied_seq = at->retained.applied[number],
                                  .moved_us = row.moved_us};
    }
    return code;
}

static int read_entry(struct journal_entries *entry, void *context, struct err *err)
{
    struct explaining *at = context;
    struct explain_report *report = at->report;
    struct lookup_visit visit = {
        .wants = is_wanted, .record = take_record, .context = at};
    uint64_t found = report->records_found;
    at->entry = &entry->items[0];
    if (!report->first_seq) {
        report->first_seq = at->entry->seq;
        report->first_at_us = at->entry->received_at_us;
    }
    int code = at->entry->seq <= at->retained.applied[at->entry->lane]
                   ? lookup_entries(at->lookup, entry, &visit, err)
                   : lookup_records(at->lookup, entry, &visit, err);
    if (code == 0 && report->records_found > found) {
        code = note_lane(at, at->entry->lane, err);
    }
    if (at->rules->progress) {
        at->rules->progress(at->entry->seq, at->last_seq, at->rules->context);
    }
    return code;
}

/* All that is retained, applied or not. */
static int read_journal(struct explaining *at, struct err *err)
{
    struct retained all = {.any = true};
    struct retained_visit visit = {read_entry, at, at->db};
    struct journal_stat stat;
    int code = journal_stat(at->journal, &stat, err);
    if (code) {
        return code;
    }
    at->last_seq = stat.next_seq - 1;
    for (size_t i = 0; i < STREAM_LANES_MAX; i++) {
        all.applied[i] = at->last_seq;
    }
    return retained_walk(&all, at->journal, at->stream, &visit, err);
}

/* ---- Dead letters ------------------------------------------------------------------ */

static bool is_part(const char *at, const char *edge)
{
    return at != edge && (isalnum((unsigned char)*at) || *at == '.');
}

/* The key stands in it, and isn't a part of something longer. */
static bool mentions(struct slice bytes, struct slice key)
{
    const char *end = bytes.data + bytes.len;
    const char *at = bytes.data;
    while (key.len && at && (at = memmem(at, (size_t)(end - at), key.data, key.len))) {
        bool longer =
            (at != bytes.data && is_part(at - 1, NULL)) || is_part(at + key.len, end);
        if (!longer) {
            return true;
        }
        at++;
    }
    return false;
}

static bool take_letter(const struct journal_dead_entry *dead, void *context)
{
    struct explaining *at = context;
    struct explain_report *report = at->report;
    if (strcmp(dead->stream, at->stream->name) != 0 ||
        !mentions(dead->letter.bytes, buf_slice(&at->key_text))) {
        return true;
    }
    report->letters_found++;
    if (report->letter_count < at->rules->limit) {
        struct explain_letter *letter = &report->letters[report->letter_count++];
        *letter = (struct explain_letter){.seq = dead->seq,
                                          .index = dead->letter.index,
                                          .state = dead->state,
                                          .at_us = dead->letter.at_us};
        snprintf(letter->reason, sizeof letter->reason, "%s", dead->letter.reason);
        snprintf(letter->field, sizeof letter->field, "%s", dead->letter.field);
    }
    return true;
}

/* ---- The database ------------------------------------------------------------------ */

static struct explain_time time_of(const struct stream_column *column,
                                   const struct scan_time *stored,
                                   const struct scan_time *found, bool off)
{
    return (struct explain_time){.there = column != NULL,
                                 .known = stored->known,
                                 .us = stored->us,
                                 .by_events = found->known,
                                 .by_events_us = found->us,
                                 .off = off};
}

static int take_entity(const struct scan_entity *entity, void *context, struct err *err)
{
    (void)err;
    struct explaining *at = context;
    const struct audit_columns *columns = &at->columns;
    struct judgement off =
        judge(columns, entity, judge_cutoff(at->rules->now_us, at->rules->since_us));
    at->report->entity_found = true;
    at->report->entity = (struct explain_entity){
        .id = entity->id,
        .first =
            time_of(columns->first, &entity->first, &entity->earliest, off.first_off),
        .last = time_of(columns->last, &entity->last, &entity->latest, off.last_off),
        .has_count = columns->count != NULL,
        .count = entity->count,
        .events = entity->events,
        .count_off = off.count_off,
        .missing = off.missing,
    };
    return 0;
}

static const struct stream_column *received_column(const struct audit_columns *columns)
{
    const struct stream_table *table = &columns->stream->event;
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].field == STREAM_RECEIVED && columns->event_has[i]) {
            return &table->columns[i];
        }
    }
    return NULL;
}

static void append_column(struct buf *sql, const struct stream_column *column)
{
    buf_append_text(sql, ", ");
    if (column) {
        columns_append(sql, "e", column->name);
    } else {
        buf_append_text(sql, "NULL");
    }
}

/* By key and time where there is such an index: so events of a lost entity show too. */
static bool append_events(struct buf *sql, const struct explaining *at)
{
    const struct audit_columns *columns = &at->columns;
    const struct stream *stream = at->stream;
    bool by_key = columns->key_index[0] && columns->event_key;
    if (!by_key && !at->report->entity_found) {
        return false;
    }
    buf_append_text(sql, "SELECT ");
    columns_append(sql, "e", stream->event.id);
    buf_append_text(sql, ", ");
    columns_append(sql, "e", stream->entity_ref);
    append_column(sql, columns->time);
    append_column(sql, received_column(columns));
    append_column(sql, columns->marker);
    buf_append_text(sql, " FROM ");
    ddl_append_identifier(sql, stream->event.name);
    buf_append_text(sql, " e FORCE INDEX (");
    ddl_append_identifier(sql, by_key ? columns->key_index : columns->ref_index);
    buf_append_text(sql, ") WHERE ");
    columns_append(sql, "e", by_key ? columns->event_key->name : stream->entity_ref);
    buf_append_text(sql, " = ");
    if (by_key) {
        db_append_quoted(sql, buf_slice(&at->key_text));
    } else {
        buf_printf(sql, "%llu", (unsigned long long)at->report->entity.id);
    }
    if (columns->time) {
        buf_append_text(sql, " ORDER BY ");
        columns_append(sql, "e", columns->time->name);
    }
    buf_printf(sql, " LIMIT %zu", at->rules->limit);
    return true;
}

static uint64_t number_of(struct slice cell)
{
    return cell.data ? strtoull(cell.data, NULL, 10) : 0;
}

static int list_events(struct explaining *at, struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    const struct stream_column *received = received_column(&at->columns);
    if (!append_events(&sql, at)) {
        buf_free(&sql);
        return 0;
    }
    int code =
        sql.failed ? no_memory(err) : db_query(at->db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code) {
        return code;
    }
    for (size_t i = 0; i < rows.row_count && i < at->rules->limit && !code; i++) {
        struct explain_event event = {.id = number_of(db_cell(&rows, i, 0)),
                                      .entity_id = number_of(db_cell(&rows, i, 1))};
        event.timed = columns_read_time(&at->columns, at->columns.time,
                                        db_cell(&rows, i, 2), &event.time_us);
        event.received = columns_read_time(&at->columns, received, db_cell(&rows, i, 3),
                                           &event.received_at_us);
        struct slice type = db_cell(&rows, i, 4);
        event.type = type.data ? strndup(type.data, type.len) : NULL;
        event.stands_in = type.data && slice_is(type, RECOVERY_EVENT_TYPE);
        code = type.data && !event.type ? no_memory(err) : 0;
        at->report->events[at->report->event_count++] = event;
    }
    db_rows_free(&rows);
    return code;
}

static int ask_database(struct explaining *at, struct err *err)
{
    struct scan scan = {
        .db = at->db, .columns = &at->columns, .entity = take_entity, .context = at};
    int code = scan_key(&scan, buf_slice(&at->key_text), err);
    return code ? code : list_events(at, err);
}

/* ------------------------------------------------------------------------------------ */

static int start(struct explaining *at, struct err *err)
{
    struct explain_report *report = at->report;
    size_t limit = at->rules->limit + 1;
    report->records = calloc(limit, sizeof *report->records);
    report->events = calloc(limit, sizeof *report->events);
    report->letters = calloc(limit, sizeof *report->letters);
    report->lanes = calloc(STREAM_LANES_MAX, sizeof *report->lanes);
    value_append_text(&at->key_text, at->key);
    if (!report->records || !report->events || !report->letters || !report->lanes ||
        at->key_text.failed) {
        return no_memory(err);
    }
    /* the lookup's first, since it says what there should be */
    int code = lookup_new(at->db, at->journal, at->stream, at->rules->zone_offset_s,
                          &at->lookup, err);
    code = code ? code
                : columns_find(at->db, at->stream, at->rules->zone_offset_s, &at->columns,
                               err);
    return code ? code
                : retained_find(at->journal, at->db, at->stream, &at->retained, err);
}

static void conclude(struct explain_report *report)
{
    const struct explain_entity *entity = &report->entity;
    report->known = report->records_found || report->letters_found ||
                    report->event_count || report->entity_found;
    bool row_agrees =
        !entity->count_off && !entity->first.off && !entity->last.off && !entity->missing;
    bool stray = report->event_count && !report->entity_found;
    report->agrees = row_agrees && !stray && report->gaps == 0;
}

int explain_entity(struct db *db, const struct stream *stream, const struct value *key,
                   const struct explain_rules *rules, struct explain_report *out_report,
                   struct err *err)
{
    struct explain_report report = {0};
    struct explaining at = {.journal = rules->journal,
                            .db = db,
                            .stream = stream,
                            .key = key,
                            .rules = rules,
                            .report = &report};
    int code = start(&at, err);
    code = code ? code : read_journal(&at, err);
    code = code ? code : ask_database(&at, err);
    code = code ? code
                : journal_dead_letters_visit(at.journal, 0, UINT64_MAX, take_letter, &at,
                                             err);
    lookup_free(at.lookup);
    buf_free(&at.key_text);
    if (code) {
        explain_report_free(&report);
        return code;
    }
    conclude(&report);
    *out_report = report;
    return 0;
}

void explain_report_free(struct explain_report *report)
{
    for (size_t i = 0; i < report->event_count; i++) {
        free(report->events[i].type);
    }
    free(report->records);
    free(report->events);
    free(report->letters);
    free(report->lanes);
    *report = (struct explain_report){0};
}
