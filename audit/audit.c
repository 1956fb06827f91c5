#include "audit/audit.h"

#include "schema/ddl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVER_NO_TABLE = 1146 };

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory for the audit");
}

/* ---- The law --------------------------------------------------------------------- */

static void add_problem(struct audit_lane *lane, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_problem(struct audit_lane *lane, const char *format, ...)
{
    size_t len = strlen(lane->problem);
    va_list args;
    va_start(args, format);
    if (len) {
        snprintf(lane->problem + len, sizeof lane->problem - len, "; ");
        len = strlen(lane->problem);
    }
    vsnprintf(lane->problem + len, sizeof lane->problem - len, format, args);
    va_end(args);
}

static void judge_sums(struct audit_lane *lane)
{
    const struct ledger_row *ledger = &lane->ledger;
    uint64_t dead = lane->dead_kept + lane->dead_retried + lane->dead_purged;
    uint64_t taken = ledger->records + ledger->retried;
    uint64_t accounted =
        ledger->events + ledger->duplicates + ledger->conflicts + dead + ledger->given_up;
    lane->unaccounted = (int64_t)(taken - accounted);
    if (lane->unaccounted) {
        add_problem(lane,
                    "at entry %" PRIu64 " %" PRIu64 " records were accepted and %" PRIu64
                    " retried, but events %" PRIu64 " + duplicates %" PRIu64
                    " + conflicts %" PRIu64 " + dead letters %" PRIu64
                    " + given up %" PRIu64 " = %" PRIu64 ": %" PRIu64 " too %s",
                    ledger->position.seq, ledger->records, ledger->retried,
                    ledger->events, ledger->duplicates, ledger->conflicts, dead,
                    ledger->given_up, accounted,
                    lane->unaccounted < 0 ? accounted - taken : taken - accounted,
                    lane->unaccounted < 0 ? "many" : "few");
    }
}

void audit_judge(struct audit_lane *lane)
{
    const struct ledger_row *ledger = &lane->ledger;
    bool within = ledger->records <= lane->accepted && ledger->retried <= lane->retried;
    lane->pending =
        within ? lane->accepted - ledger->records + lane->retried - ledger->retried : 0;
    if (!lane->in_journal) {
        add_problem(lane, "the ledger has applied it, but this journal never had it: the "
                          "journal is older than the database");
        return;
    }
    if (ledger->position.seq < lane->done_seq) {
        add_problem(
            lane,
            "the journal knows entry %" PRIu64 " as applied, the ledger stands at "
            "%" PRIu64 ": the database was rewound, or the ledger lost; a running "
            "engine applies again what is retained",
            lane->done_seq, ledger->position.seq);
    }
    if (!within) {
        add_problem(lane,
                    "the ledger counts %" PRIu64 " records, %" PRIu64
                    " retried ones, the journal accepted only %" PRIu64 " and %" PRIu64,
                    ledger->records, ledger->retried, lane->accepted, lane->retried);
    }
    const struct journal_counts *counts = &lane->position_counts;
    if (lane->position_known &&
        (counts->running != ledger->records || counts->retried != ledger->retried)) {
        add_problem(lane,
                    "at entry %" PRIu64 " the ledger counts %" PRIu64 " records, %" PRIu64
                    " retried ones, the journal %" PRIu64 " and %" PRIu64,
                    ledger->position.seq, ledger->records, ledger->retried,
                    counts->running, counts->retried);
    }
    judge_sums(lane);
}

/* ---- The ledger's side ----------------------------------------------------------- */

static struct audit_lane *find_lane(struct audit_report *report, const char *stream,
                                    uint32_t lane)
{
    for (size_t i = 0; i < report->lane_count; i++) {
        if (report->lanes[i].lane == lane &&
            strcmp(report->lanes[i].stream, stream) == 0) {
            return &report->lanes[i];
        }
    }
    return NULL;
}

static struct audit_lane *add_lane(struct audit_report *report, struct slice stream,
                                   uint32_t number)
{
    struct audit_lane *lanes =
        realloc(report->lanes, (report->lane_count + 1) * sizeof *lanes);
    if (!lanes) {
        return NULL;
    }
    struct audit_lane *lane = &lanes[report->lane_count++];
    report->lanes = lanes;
    *lane = (struct audit_lane){.lane = number};
    size_t len = stream.len < sizeof lane->stream ? stream.len : sizeof lane->stream - 1;
    memcpy(lane->stream, stream.data, len);
    return lane;
}

static struct audit_lane *take_lane(struct audit_report *report, struct slice stream,
                                    uint32_t number)
{
    char name[JOURNAL_STREAM_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)stream.len, stream.data);
    struct audit_lane *lane = find_lane(report, name, number);
    return lane ? lane : add_lane(report, stream, number);
}

/* The rows' lanes; which ones there are is all that is taken from this reading. */
static int list_ledger(struct db *db, struct audit_report *report, struct err *err)
{
    char sql[160];
    struct db_rows rows = {0};
    snprintf(sql, sizeof sql,
             "SELECT stream, lane FROM `" LEDGER_TABLE "` WHERE journal_id = '%s'",
             report->journal_id);
    int code = db_query(db, slice_text(sql), &rows, err);
    if (code) {
        report->ledger_found = err->sys != SERVER_NO_TABLE;
        return report->ledger_found ? code : ERR_OK;
    }
    report->ledger_found = true;
    for (size_t i = 0; !code && i < rows.row_count; i++) {
        char number[16];
        struct slice text = db_cell(&rows, i, 1);
        snprintf(number, sizeof number, "%.*s", (int)text.len, text.data);
        uint32_t lane = (uint32_t)strtoul(number, NULL, 10);
        if (!take_lane(report, db_cell(&rows, i, 0), lane)) {
            code = no_memory(err);
        }
    }
    db_rows_free(&rows);
    return code;
}

static int read_ledger(struct db *db, struct audit_report *report, struct err *err)
{
    int code = list_ledger(db, report, err);
    for (size_t i = 0; !code && report->ledger_found && i < report->lane_count; i++) {
        struct audit_lane *lane = &report->lanes[i];
        struct ledger_lane key = {report->journal_id, lane->stream, lane->lane};
        code = ledger_read(db, &key, false, &lane->ledger, err);
    }
    return code;
}

/* ---- The journal's side ---------------------------------------------------------- */

static int read_done_marks(struct journal *journal, struct audit_report *report,
                           struct err *err)
{
    struct journal_lane *held = NULL;
    size_t count = 0;
    int code = journal_lanes(journal, &held, &count, err);
    for (size_t i = 0; !code && i < count; i++) {
        struct audit_lane *lane =
            take_lane(report, slice_text(held[i].stream), held[i].lane);
        if (!lane) {
            code = no_memory(err);
            break;
        }
        lane->done_seq = held[i].done.seq;
    }
    free(held);
    return code;
}

/* What the lane had counted at L, where the journal still knows it. */
static int read_position(struct journal *journal, struct audit_lane *lane,
                         struct err *err)
{
    struct journal_counts counts;
    int code = journal_position_counts(journal, lane->stream, lane->lane,
                                       &lane->ledger.position, &counts, err);
    if (code == ERR_IDENTITY) {
        add_problem(lane,
                    "the journal's entry %" PRIu64 " is not the one that the ledger "
                    "applied: one of them was restored or copied",
                    lane->ledger.position.seq);
        return ERR_OK;
    }
    if (code == ERR_OK) {
        lane->position_known = true;
        lane->position_counts = counts;
    }
    return code == ERR_GAP ? ERR_OK : code;
}

/* Where all of a lane's records were dead letters at intake and none of them could be
 * told a stream, nothing is ever applied and there is no ledger row: the journal's own
 * mark is the position then. */
static void settle_rejected(const struct journal_lane *held, struct audit_lane *lane)
{
    if (lane->ledger.found || held->rejected != held->running) {
        return;
    }
    lane->ledger.position = held->done;
    lane->ledger.records = held->done_running;
}

static int read_journal_lanes(struct journal *journal, struct audit_report *report,
                              struct err *err)
{
    struct journal_lane *held = NULL;
    size_t count = 0;
    int code = journal_lanes(journal, &held, &count, err);
    for (size_t i = 0; !code && i < count; i++) {
        struct audit_lane *lane =
            take_lane(report, slice_text(held[i].stream), held[i].lane);
        if (!lane) {
            code = no_memory(err);
            break;
        }
        lane->in_journal = true;
        lane->accepted = held[i].running;
        lane->retried = held[i].retried;
        settle_rejected(&held[i], lane);
        code = read_position(journal, lane, err);
    }
    free(held);
    return code;
}

static bool count_letter(const struct journal_dead_entry *dead, void *context)
{
    struct audit_lane *lane = find_lane(context, dead->stream, dead->lane);
    if (!lane || dead->seq > lane->ledger.position.seq) {
        return true; /* above the ledger: pending */
    }
    switch (dead->state) {
    case JOURNAL_DEAD_KEPT:
        lane->dead_kept++;
        break;
    case JOURNAL_DEAD_RETRIED:
        lane->dead_retried++;
        break;
    case JOURNAL_DEAD_PURGED:
        lane->dead_purged++;
        break;
    case JOURNAL_DEAD_CONFLICT: /* counted as a conflict */
        break;
    }
    return true;
}

/* ---- The tables ------------------------------------------------------------------ */

static int count_rows(struct db *db, const char *table, bool *out_found,
                      uint64_t *out_rows, struct err *err)
{
    struct buf sql = {0};
    struct db_rows rows = {0};
    char number[24];
    buf_append_text(&sql, "SELECT COUNT(*) FROM ");
    ddl_append_identifier(&sql, table);
    int code = sql.failed ? no_memory(err) : db_query(db, buf_slice(&sql), &rows, err);
    buf_free(&sql);
    if (code && err->sys == SERVER_NO_TABLE) {
        return ERR_OK;
    }
    if (!code) {
        assert(rows.cells && rows.row_count == 1);
        struct slice cell = db_cell(&rows, 0, 0);
        snprintf(number, sizeof number, "%.*s", (int)cell.len, cell.data);
        *out_rows = strtoull(number, NULL, 10);
        *out_found = true;
        db_rows_free(&rows);
    }
    return code;
}

static int count_tables(struct db *db, const struct stream *const *streams, size_t count,
                        struct audit_report *report, struct err *err)
{
    report->streams = calloc(count + 1, sizeof *report->streams);
    if (!report->streams) {
        return no_memory(err);
    }
    int code = ERR_OK;
    for (size_t i = 0; !code && i < count; i++) {
        struct audit_stream *stream = &report->streams[report->stream_count++];
        stream->stream = streams[i];
        code = count_rows(db, streams[i]->entity.name, &stream->entity_found,
                          &stream->entities, err);
        code = code ? code
                    : count_rows(db, streams[i]->event.name, &stream->event_found,
                                 &stream->events, err);
    }
    return code;
}

/* --------------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
    const struct audit_lane *left = a;
    const struct audit_lane *right = b;
    int order = strcmp(left->stream, right->stream);
    return order ? order : (left->lane > right->lane) - (left->lane < right->lane);
}

static bool is_configured(const struct stream *const *streams, size_t count,
                          const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(streams[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void conclude(struct audit_report *report, const struct stream *const *streams,
                     size_t stream_count)
{
    for (size_t i = 0; i < report->lane_count; i++) {
        struct audit_lane *lane = &report->lanes[i];
        lane->configured = is_configured(streams, stream_count, lane->stream);
        audit_judge(lane);
        report->problems += lane->problem[0] != '\0';
    }
    if (report->lane_count) {
        qsort(report->lanes, report->lane_count, sizeof *report->lanes, by_name);
    }
}

int audit_run(struct journal *journal, struct db *db, const struct stream *const *streams,
              size_t stream_count, struct audit_report *out_report, struct err *err)
{
    struct audit_report report = {0};
    snprintf(report.journal_id, sizeof report.journal_id, "%s", journal_id(journal));
    int code = read_done_marks(journal, &report, err);
    code = code ? code : read_ledger(db, &report, err);
    code = code ? code : read_journal_lanes(journal, &report, err);
    code = code ? code
                : journal_dead_letters_visit(journal, 0, UINT64_MAX, count_letter,
                                             &report, err);
    code = code ? code : count_tables(db, streams, stream_count, &report, err);
    if (code) {
        audit_report_free(&report);
        return code;
    }
    conclude(&report, streams, stream_count);
    *out_report = report;
    return ERR_OK;
}

void audit_report_free(struct audit_report *report)
{
    free(report->lanes);
    free(report->streams);
    *report = (struct audit_report){0};
}
