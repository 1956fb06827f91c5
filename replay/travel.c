/* replay/travel.c: the plan carried out, a portion a transaction.
 *
 * Happy path: the ledger's position is read, and then, as long as there are entries up to
 * the lane's end: a portion is made and applied behind the position. One lane after the
 * other, but all of a stream's lanes up to a change of its number of lanes before any
 * goes behind it (replay/layout.h).
 *
 * After a failure that may pass the position is read again, on a new connection where the
 * old one is gone: a COMMIT without an answer, or somebody else who applies the same, is
 * settled by that.
 */
#include "replay/travel.h"

#include "replay/backoff.h"
#include "replay/bisect.h"
#include "replay/plan.h"
#include "replay/portion.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    FAILURES_MAX = 12, /* in a row: a minute or so */
    BACKOFF_MIN_US = 100000,
    BACKOFF_MAX_US = 10000000,
    BYTES_MAX = 32 << 20,
    STATEMENT_ROWS_MAX = 500,
};

struct traveller {
    const struct travel_plan *plan;
    const struct travel_run *run;
    struct travel_report report;
    struct plan sizes;
    struct pace pace;
    const struct stream *prepared; /* on the present connection */
    uint32_t failures;             /* in a row */
    uint64_t records;
};

/* One lane's way. */
struct journey {
    const struct travel_lane *lane;
    const struct layout *layout;
    struct ledger_lane key;
    struct ledger_row row;
    uint64_t to; /* the last entry before a change of the number of lanes, or the end */
    bool known;  /* the row is what the ledger holds */
};

static void sleep_us(int64_t us)
{
    struct timespec wait = {us / 1000000, us % 1000000 * 1000};
    while (us > 0 && nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

/* ---- Where the target stands ----------------------------------------------------- */

static int get_ready(struct traveller *at, struct journey *way, struct err *err)
{
    struct sink *sink = at->run->sink;
    struct buf notes = {0};
    int code = ERR_OK;
    if (!sink->ops->connected(sink)) {
        at->prepared = NULL;
        way->known = false;
        code = sink->ops->connect(sink, err);
    }
    if (code == ERR_OK && at->prepared != way->lane->stream) {
        code = sink->ops->prepare(sink, way->lane->stream, &notes, err);
        at->prepared = code ? NULL : way->lane->stream;
        buf_free(&notes);
    }
    return code;
}

static int read_position(struct traveller *at, struct journey *way, struct err *err)
{
    struct sink *sink = at->run->sink;
    struct ledger_row row = {0};
    int code = sink->ops->position(sink, &way->key, &row, err);
    if (code == ERR_OK && row.found) {
        code = journal_check_position(at->plan->config.journal, way->key.stream,
                                      way->key.lane, &row.position, err);
        code = code == ERR_GAP ? ERR_OK : code;
    }
    if (code == ERR_IDENTITY) { /* trying again would not help */
        return err_set(err, ERR_INVALID, 0,
                       "the ledger there is at entry %" PRIu64
                       ", which is another one in this journal",
                       row.position.seq);
    }
    if (code == ERR_OK && !row.found) {
        row.position.seq = way->lane->after_seq;
    }
    if (code == ERR_OK) {
        way->row = row;
        way->known = true;
    }
    return code;
}

/* ---- One transaction --------------------------------------------------------------- */

static int refuse_record(const struct journey *way, uint64_t seq, uint32_t index,
                         const char *why, struct err *err)
{
    return err_set(err, ERR_DATA, 0,
                   "stream %s: entry %" PRIu64 " record %u can't be applied: %.300s; the "
                   "engine makes such a record a dead letter when it comes to it: let it "
                   "do that first, or make the tables there like those here",
                   way->key.stream, seq, index, why);
}

/* Which record it is that the target refuses. */
static int name_refused(struct traveller *at, const struct journey *way,
                        const struct apply_request *request, struct err *err)
{
    struct err refusal = *err;
    struct bisect bisect = {.sink = at->run->sink, .request = *request};
    int code = bisect_find(&bisect, err);
    if (code == ERR_OK && bisect.bad_count) {
        const struct bisect_bad *bad = &bisect.bad[0];
        code =
            refuse_record(way, bad->record->seq, bad->record->index, bad->message, err);
    } else if (code == ERR_OK) {
        code = err_set(err, ERR_DATA, refusal.sys, "%s", refusal.message);
    }
    free(bisect.bad);
    return code;
}

static void note_done(struct traveller *at, const struct portion *portion,
                      const struct apply_result *result)
{
    for (size_t i = 0; i < portion->entries.count; i++) {
        at->records += portion->entries.items[i].records;
    }
    at->failures = 0;
    at->report.transactions++;
    at->report.events += result->totals[FATE_NEW];
    at->report.duplicates += result->totals[FATE_DUPLICATE];
    at->report.conflicts += result->totals[FATE_CONFLICT];
    plan_succeeded(&at->sizes);
    pace_take(&at->pace, clock_steady_us(at->run->clock), portion->decoded.count);
    if (at->run->progress) {
        at->run->progress(at->records, at->run->context);
    }
}

static int apply_portion(struct traveller *at, struct journey *way,
                         const struct portion *portion, struct err *err)
{
    const struct decoded *decoded = &portion->decoded;
    const struct journal_entry *last =
        &portion->entries.items[portion->entries.count - 1];
    struct apply_result result = {0};
    struct apply_request request = {
        .stream = way->lane->stream,
        .lane = way->key,
        .previous = &way->row,
        .last = {.seq = last->seq},
        .last_records = last->running,
        .last_retried = last->retried,
        .records = decoded->records,
        .record_count = decoded->count,
        .fold = &portion->fold,
        .statement_rows_max = at->sizes.statement_rows,
        .validate = at->run->validate,
    };
    memcpy(request.last.sum, last->sum, sizeof request.last.sum);
    if (decoded->reject_count) {
        const struct decoded_reject *bad = &decoded->rejects[0];
        return refuse_record(way, bad->seq, bad->index, bad->reject.detail, err);
    }
    int code = at->run->sink->ops->apply(at->run->sink, &request, &result, NULL, err);
    if (code == ERR_OK) {
        way->row = result.row;
        note_done(at, portion, &result);
    } else if (code == ERR_DATA) {
        code = name_refused(at, way, &request, err);
    } else {
        plan_failed(&at->sizes, decoded->count);
    }
    return code;
}

static int step(struct traveller *at, struct journey *way, bool *out_more,
                struct err *err)
{
    struct portion portion;
    int code = get_ready(at, way, err);
    code = code || way->known ? code : read_position(at, way, err);
    if (code != ERR_OK) {
        return code;
    }
    struct portion_wish wish = {.journal = at->plan->config.journal,
                                .stream = way->lane->stream,
                                .layout = way->layout,
                                .lane = way->key.lane,
                                .after = way->row.position,
                                .to_seq = way->to,
                                .bytes_max = BYTES_MAX,
                                .records_max = at->sizes.records};
    *out_more = false;
    if (way->row.position.seq >= way->to) {
        return ERR_OK;
    }
    code = portion_make(&wish, &portion, err);
    if (code != ERR_OK) {
        return code;
    }
    *out_more = portion.entries.count > 0;
    if (*out_more) {
        code = apply_portion(at, way, &portion, err);
    }
    portion_free(&portion);
    return code;
}

/* ---- All of them ------------------------------------------------------------------- */

/* Whether the same may pass later; it has waited then. */
static bool try_again(struct traveller *at, struct journey *way, const struct err *err)
{
    enum plan_action action = plan_after(err->code, PLAN_APPLYING);
    bool passing =
        action == PLAN_BACK_OFF || action == PLAN_ASK_LEDGER || action == PLAN_ONCE_MORE;
    if (!passing || ++at->failures > FAILURES_MAX) {
        return false;
    }
    way->known = false;
    sleep_us(backoff_us(at->failures, BACKOFF_MIN_US, BACKOFF_MAX_US,
                        (uint64_t)clock_steady_us(at->run->clock)));
    return true;
}

static int travel_lane(struct traveller *at, struct journey *way, struct err *err)
{
    bool more = true;
    int code = ERR_OK;
    while (more && code == ERR_OK) {
        sleep_us(pace_wait_us(&at->pace, clock_steady_us(at->run->clock)));
        code = step(at, way, &more, err);
        if (code != ERR_OK && try_again(at, way, err)) {
            code = ERR_OK;
            more = true;
        }
    }
    return code;
}

static int travel_lanes(struct traveller *at, const struct stream *stream,
                        const struct layout *layout, uint64_t to, struct err *err)
{
    int code = ERR_OK;
    for (size_t i = 0; i < at->plan->lane_count && code == ERR_OK; i++) {
        const struct travel_lane *lane = &at->plan->lanes[i];
        struct journey way = {.lane = lane,
                              .layout = layout,
                              .key = {lane->ledger, lane->stream->name, lane->lane},
                              .to = to < lane->last_seq ? to : lane->last_seq};
        if (lane->stream == stream && lane->entries && way.to > lane->after_seq) {
            code = travel_lane(at, &way, err);
        }
    }
    return code;
}

static int travel_stream(struct traveller *at, const struct stream *stream,
                         struct err *err)
{
    struct layout layout;
    int code = layout_read(at->plan->config.journal, stream->name, &layout, err);
    uint64_t from = 0;
    while (code == ERR_OK && from < at->plan->to_seq) {
        uint64_t change = layout_change_after(&layout, from);
        code = travel_lanes(at, stream, &layout, change - 1, err);
        from = change;
    }
    return code;
}

int travel_run(const struct travel_plan *plan, const struct travel_run *run,
               struct travel_report *out_report, struct err *err)
{
    struct traveller at = {.plan = plan,
                           .run = run,
                           .pace = {.rows_per_second_max = run->rows_per_second_max}};
    int code = ERR_OK;
    plan_init(&at.sizes, run->transaction_records_max, STATEMENT_ROWS_MAX);
    for (size_t i = 0; i < plan->config.stream_count && code == ERR_OK; i++) {
        code = travel_stream(&at, plan->config.streams[i], err);
    }
    *out_report = at.report;
    return code;
}
