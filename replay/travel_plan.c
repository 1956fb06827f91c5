/* replay/travel_plan.c: which entries, for which lane, from where: decided from headers
 * and the target's ledger alone. */
#include "replay/travel.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_ID_DIGITS = 16 };

struct planner {
    struct travel_plan plan;
    struct db *db;
    struct journal_stat stat;
    uint64_t last_batch;
};

/* ---- The range --------------------------------------------------------------------- */

struct range {
    const struct travel_config *config;
    uint64_t from; /* 0: not found yet */
    uint64_t to;
};

static bool find_bounds(const struct journal_entry *entry, void *context)
{
    struct range *range = context;
    const struct travel_bound *from = &range->config->from;
    const struct travel_bound *to = &range->config->to;
    if (!range->from &&
        ((from->kind == TRAVEL_SEQ && entry->seq >= from->seq) ||
         (from->kind == TRAVEL_TIME && entry->received_at_us >= from->time_us))) {
        range->from = entry->batch_seq;
    }
    if (to->kind == TRAVEL_SEQ && entry->seq <= to->seq) {
        range->to = entry->batch_seq + entry->batch_entries - 1;
    }
    bool behind = to->kind == TRAVEL_SEQ ? entry->seq >= to->seq
                                         : entry->received_at_us > to->time_us;
    if (behind && to->kind == TRAVEL_TIME) {
        range->to = entry->batch_seq - 1;
    }
    return !(behind && to->kind != TRAVEL_OPEN);
}

/* Whether what the journal holds begins behind the bound, so that what is gone may belong
 * to the range. */
static int find_oldest(struct journal *journal, const struct travel_bound *from,
                       bool *out_gone, struct err *err)
{
    struct journal_entries oldest;
    struct journal_stat stat;
    int code = journal_stat(journal, &stat, err);
    if (code || stat.first_seq <= 1) {
        *out_gone = false;
        return code;
    }
    code = journal_read_entry(journal, stat.first_seq, &oldest, err);
    if (code == ERR_OK) {
        *out_gone = oldest.items[0].received_at_us >= from->time_us;
        journal_entries_free(&oldest);
    }
    return code;
}

/* Both bounds as seqs, in whole batches. */
static int resolve(struct planner *at, struct err *err)
{
    const struct travel_config *config = &at->plan.config;
    uint64_t end = at->stat.next_seq - 1;
    uint64_t before = at->stat.first_seq ? at->stat.first_seq - 1 : end;
    struct range range = {.config = config, .to = end};
    bool gone = false;
    if (config->to.kind == TRAVEL_SEQ) {
        range.to = config->to.seq < before ? config->to.seq : before;
    }
    int code = ERR_OK;
    if (config->from.kind != TRAVEL_OPEN || config->to.kind != TRAVEL_OPEN) {
        code = journal_visit(config->journal, 1, find_bounds, &range, err);
    }
    if (code == ERR_OK && config->from.kind == TRAVEL_TIME) {
        code = find_oldest(config->journal, &config->from, &gone, err);
    }
    uint64_t none = config->from.kind == TRAVEL_OPEN ? 1 : end + 1;
    at->plan.from_seq = range.from ? range.from : none;
    if (config->from.kind == TRAVEL_SEQ && config->from.seq <= before) {
        at->plan.from_seq = config->from.seq ? config->from.seq : 1;
    }
    at->plan.from_seq = gone ? 1 : at->plan.from_seq;
    at->plan.to_seq = range.to;
    return code;
}

/* ---- Lanes ----------------------------------------------------------------------- */

static void add_problem(struct travel_lane *lane, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_problem(struct travel_lane *lane, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!lane->problem[0]) { /* the first one is what to begin with */
        vsnprintf(lane->problem, sizeof lane->problem, format, args);
    }
    va_end(args);
}

static const struct stream *stream_named(const struct travel_config *config,
                                         const char *name)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        if (strcmp(config->streams[i]->name, name) == 0) {
            return config->streams[i];
        }
    }
    return NULL;
}

static struct travel_lane *find_lane(struct travel_plan *plan,
                                     const struct journal_entry *entry)
{
    for (size_t i = 0; i < plan->lane_count; i++) {
        struct travel_lane *lane = &plan->lanes[i];
        if (lane->lane == entry->lane && strcmp(lane->stream->name, entry->stream) == 0) {
            return lane;
        }
    }
    return NULL;
}

static int list_lanes(struct planner *at, struct err *err)
{
    struct travel_plan *plan = &at->plan;
    struct journal_lane *known = NULL;
    size_t count = 0;
    int code = journal_lanes(plan->config.journal, &known, &count, err);
    if (code != ERR_OK) {
        return code;
    }
    plan->lanes = calloc(count + 1, sizeof *plan->lanes);
    for (size_t i = 0; i < count && plan->lanes; i++) {
        const struct stream *stream = stream_named(&plan->config, known[i].stream);
        if (stream) {
            uint64_t to = plan->to_seq;
            uint64_t done = known[i].done.seq;
            plan->lanes[plan->lane_count++] = (struct travel_lane){
                .stream = stream,
                .lane = known[i].lane,
                .done_seq = done,
                .to_seq = plan->config.here && done < to ? done : to};
        }
    }
    free(known);
    return plan->lanes ? ERR_OK : err_set(err, ERR_NOMEM, 0, "no memory for lanes");
}

/* ---- The target's ledger --------------------------------------------------------- */

static int read_ledger(struct planner *at, struct travel_lane *lane, struct err *err)
{
    struct ledger_lane key = {lane->ledger, lane->stream->name, lane->lane};
    struct err why = {0};
    int code = ledger_read(at->db, &key, false, &lane->row, &why);
    if (code && why.sys == DB_NO_TABLE) {
        lane->row = (struct ledger_row){0};
        return ERR_OK;
    }
    if (code == ERR_OK && lane->row.found) {
        code = journal_check_position(at->plan.config.journal, key.stream, key.lane,
                                      &lane->row.position, &why);
    }
    if (code == ERR_IDENTITY) {
        add_problem(lane,
                    "the ledger there is at entry %" PRIu64
                    ", which is another one in this journal: they don't belong together. "
                    "Take another database; or, where the journal was restored from a "
                    "backup, see 'holdfast journal adopt'",
                    lane->row.position.seq);
    } else if (code != ERR_OK && code != ERR_GAP) {
        *err = why;
        return code;
    }
    return ERR_OK;
}

static int read_own_ledgers(struct planner *at, struct err *err)
{
    struct travel_plan *plan = &at->plan;
    int code = ERR_OK;
    for (size_t i = 0; i < plan->lane_count && code == ERR_OK; i++) {
        struct travel_lane *lane = &plan->lanes[i];
        snprintf(lane->ledger, sizeof lane->ledger, "%s",
                 journal_id(plan->config.journal));
        code = read_ledger(at, lane, err);
        lane->after_seq = lane->row.position.seq;
        plan->rewound = plan->rewound || lane->after_seq < lane->done_seq;
    }
    return code;
}

/* ---- Does the range go on from there? -------------------------------------------- */

struct firsts {
    struct travel_plan *plan;
    bool *seen;
    bool *apart; /* the lane has entries before the range that the target lacks */
    size_t left;
};

static bool look_at_first(const struct journal_entry *entry, void *context)
{
    struct firsts *at = context;
    struct travel_lane *lane = find_lane(at->plan, entry);
    if (entry->seq > at->plan->to_seq) {
        return false;
    }
    size_t i = lane ? (size_t)(lane - at->plan->lanes) : 0;
    if (!lane || at->seen[i]) {
        return true;
    }
    uint64_t before = entry->running + entry->retried - entry->records;
    at->seen[i] = true;
    at->apart[i] = before > lane->row.records + lane->row.retried;
    return --at->left > 0;
}

static void name_range(struct travel_lane *lane, uint64_t from)
{
    char id[JOURNAL_ID_TEXT];
    memcpy(id, lane->ledger, sizeof id);
    int digits = JOURNAL_ID_TEXT - 1 - NAME_ID_DIGITS - 1;
    snprintf(lane->ledger, sizeof lane->ledger, "%.*s@%0*" PRIu64, NAME_ID_DIGITS, id,
             digits, from % UINT64_C(1000000000000000));
}

/* All lanes of a stream under one name. */
static int part_stream(struct planner *at, const struct stream *stream, struct err *err)
{
    struct travel_plan *plan = &at->plan;
    int code = ERR_OK;
    for (size_t i = 0; i < plan->lane_count && code == ERR_OK; i++) {
        struct travel_lane *lane = &plan->lanes[i];
        if (lane->stream != stream) {
            continue;
        }
        name_range(lane, plan->from_seq);
        lane->problem[0] = '\0'; /* that was the other name's */
        code = read_ledger(at, lane, err);
        uint64_t before = plan->from_seq - 1;
        lane->after_seq = lane->row.found ? lane->row.position.seq : before;
    }
    return code;
}

static int part_lane(struct planner *at, struct travel_lane *lane, struct err *err)
{
    const struct travel_plan *plan = &at->plan;
    if (plan->config.here) {
        add_problem(lane,
                    "the ledger stands at entry %" PRIu64 ", and the range would leave "
                    "out what lies between that and entry %" PRIu64 "; leave --from away",
                    lane->row.position.seq, plan->from_seq);
        return ERR_OK;
    }
    return strchr(lane->ledger, '@') ? ERR_OK : part_stream(at, lane->stream, err);
}

static int find_names(struct planner *at, struct err *err)
{
    struct travel_plan *plan = &at->plan;
    struct firsts firsts = {.plan = plan, .left = plan->lane_count};
    /* what is not retained before the range is a gap in it, not left out on purpose */
    if (plan->from_seq <= 1 || plan->from_seq < at->stat.first_seq || !plan->lane_count) {
        return ERR_OK;
    }
    firsts.seen = calloc(2 * plan->lane_count, sizeof *firsts.seen);
    if (!firsts.seen) {
        return err_set(err, ERR_NOMEM, 0, "no memory for lanes");
    }
    firsts.apart = firsts.seen + plan->lane_count;
    int code =
        journal_visit(plan->config.journal, plan->from_seq, look_at_first, &firsts, err);
    for (size_t i = 0; i < plan->lane_count && code == ERR_OK; i++) {
        if (firsts.apart[i]) {
            code = part_lane(at, &plan->lanes[i], err);
        }
    }
    free(firsts.seen);
    return code;
}

/* ---- What is there, and what is gone --------------------------------------------- */

static bool is_own(const struct travel_lane *lane)
{
    return !strchr(lane->ledger, '@');
}

/* What is gone before the first entry that can be read. */
static int find_gap(struct planner *at, struct travel_lane *lane, struct err *err)
{
    struct journal_gap gap = {.after_seq = lane->after_seq,
                              .after_counts = {lane->row.records, lane->row.retried}};
    if (lane->after_seq >= lane->to_seq) {
        return ERR_OK;
    }
    int code = journal_gap_find(at->plan.config.journal, lane->stream->name, lane->lane,
                                &gap, err);
    if (code != ERR_OK || gap.first_seq > lane->to_seq) {
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    }
    if (at->plan.config.here) {
        add_problem(lane,
                    "entries behind %" PRIu64 " up to %" PRIu64 " (%" PRIu64
                    " records) are not retained any more: restore a newer dump, or give "
                    "them up with 'holdfast replay --accept-gap --stream %s --lane %u'",
                    gap.after_seq, gap.to.seq, gap.records, lane->stream->name,
                    lane->lane);
    } else {
        add_problem(lane,
                    "entries behind %" PRIu64 " up to %" PRIu64
                    " are not retained any more: begin with --from %" PRIu64
                    ", or restore a dump there first whose ledger is at entry %" PRIu64
                    " or later",
                    gap.after_seq, gap.to.seq, gap.to.seq + 1, gap.to.seq);
    }
    return ERR_OK;
}

static void note_hole(struct travel_lane *lane, const struct journal_entry *entry)
{
    add_problem(lane,
                "entry %" PRIu64 " (%u records) %s: end before it with --to %" PRIu64
                ", or begin behind it with --from %" PRIu64,
                entry->seq, entry->records,
                entry->state == JOURNAL_ENTRY_GAP ? "was lost to damage"
                                                  : "is not retained any more",
                entry->seq - 1, entry->seq + 1);
}

static void count_entry(struct planner *at, struct travel_lane *lane,
                        const struct journal_entry *entry)
{
    lane->first_seq = lane->first_seq ? lane->first_seq : entry->seq;
    lane->first_at_us = lane->entries ? lane->first_at_us : entry->received_at_us;
    lane->last_seq = entry->seq;
    lane->last_at_us = entry->received_at_us;
    lane->entries++;
    lane->records += entry->records;
    at->plan.entries++;
    at->plan.records += entry->records;
    at->plan.batches += entry->batch_seq != at->last_batch;
    at->last_batch = entry->batch_seq;
}

static bool count(const struct journal_entry *entry, void *context)
{
    struct planner *at = context;
    struct travel_lane *lane = find_lane(&at->plan, entry);
    if (entry->seq > at->plan.to_seq) {
        return false;
    }
    if (!lane) {
        at->plan.left_out += entry->seq >= at->plan.from_seq && entry->stream[0] != '(';
    } else if (entry->seq > lane->after_seq && entry->seq <= lane->to_seq) {
        if (entry->state == JOURNAL_ENTRY_FULL) {
            count_entry(at, lane, entry);
        } else {
            note_hole(lane, entry);
        }
    }
    return true;
}

static void judge(struct travel_plan *plan)
{
    for (size_t i = 0; i < plan->lane_count; i++) {
        struct travel_lane *lane = &plan->lanes[i];
        bool beyond = lane->row.found && lane->row.position.seq > lane->to_seq;
        if (beyond && !plan->config.here && lane->to_seq >= plan->from_seq) {
            add_problem(lane,
                        "the database holds all up to entry %" PRIu64 "%s, and nothing "
                        "is taken away again: take an empty database, or restore an "
                        "older dump there",
                        lane->row.position.seq, is_own(lane) ? "" : " of this range");
        }
        plan->problems += lane->problem[0] != '\0';
    }
}

int travel_plan_make(const struct travel_config *config, struct db *db,
                     struct travel_plan *out_plan, struct err *err)
{
    struct planner at = {.plan.config = *config, .db = db};
    int code = journal_stat(config->journal, &at.stat, err);
    code = code ? code : resolve(&at, err);
    code = code ? code : list_lanes(&at, err);
    code = code ? code : read_own_ledgers(&at, err);
    code = code ? code : find_names(&at, err);
    for (size_t i = 0; i < at.plan.lane_count && code == ERR_OK; i++) {
        code = find_gap(&at, &at.plan.lanes[i], err);
    }
    code = code ? code : journal_visit(config->journal, 1, count, &at, err);
    if (code != ERR_OK) {
        travel_plan_free(&at.plan);
        return code;
    }
    judge(&at.plan);
    *out_plan = at.plan;
    return ERR_OK;
}

void travel_plan_free(struct travel_plan *plan)
{
    free(plan->lanes);
    plan->lanes = NULL;
    plan->lane_count = 0;
}
