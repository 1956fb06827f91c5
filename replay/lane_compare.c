/* replay/lane_compare.c: the ledger's position L against the journal's done mark D, once
 * a connection. What they say together is decided in replay/recover.c.
 */
#include "replay/lane.h"
#include "replay/recover.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- A COMMIT whose answer never came ---------------------------------------------- */

static const char *const fates[] = {
    [RECOVER_COMMITTED] = "committed",
    [RECOVER_NOT_COMMITTED] = "not committed",
    [RECOVER_ELSEWHERE] = "the ledger is at another entry",
};

/* The ledger has the answer, and the counts of what it holds now. */
static void resolve_unknown(struct lane *lane, const struct ledger_row *row)
{
    enum recover_fate fate =
        recover_commit(&row->position, &lane->ledger.position, &lane->attempted);
    lane->unknown = false;
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.ambiguous_committed += fate == RECOVER_COMMITTED;
    lane->status.counts.ambiguous_lost += fate == RECOVER_NOT_COMMITTED;
    pthread_mutex_unlock(&lane->shared->lock);
    if (fate == RECOVER_COMMITTED) {
        uint64_t totals[FATE_COUNT] = {
            [FATE_NEW] = row->events - lane->ledger.events,
            [FATE_DUPLICATE] = row->duplicates - lane->ledger.duplicates,
            [FATE_CONFLICT] = row->conflicts - lane->ledger.conflicts,
        };
        lane_count(lane, totals);
    }
    struct err outcome = {0};
    snprintf(outcome.message, sizeof outcome.message, "%s", fates[fate]);
    lane_tell(lane, "commit_resolved", &outcome);
}

/* ---- What stops the lane --------------------------------------------------------- */

static int refuse_other(const struct lane *lane, const struct ledger_row *row,
                        const struct journal_position *done, struct err *err)
{
    return err_set(
        err, ERR_IDENTITY, 0,
        "the ledger of stream %s lane %u is at entry %llu and the journal's done "
        "mark at %llu, but they don't belong together: this journal was restored or "
        "copied, or the database is newer. Nothing is applied; bring back the right "
        "journal, or give this one a new identity with 'holdfast journal adopt'",
        lane->stream_name, lane->id.lane, (unsigned long long)row->position.seq,
        (unsigned long long)done->seq);
}

static int refuse_lost(const struct lane *lane, const struct ledger_row *row,
                       const struct journal_position *done, struct err *err)
{
    return err_set(
        err, ERR_GAP, 0,
        "the database of stream %s lane %u is at entry %llu and the journal's done mark "
        "at %llu, and what lies between is not all retained any more; restore a newer "
        "database, or see 'holdfast replay --accept-gap --stream %s --lane %u'",
        lane->stream_name, lane->id.lane, (unsigned long long)row->position.seq,
        (unsigned long long)done->seq, lane->stream_name, lane->id.lane);
}

static int refuse_to_rewind(const struct lane *lane, const struct ledger_row *row,
                            const struct journal_position *done, struct err *err)
{
    return err_set(err, ERR_CONFIG, 0,
                   "the database went back from entry %llu to entry %llu of stream %s "
                   "lane %u, which is not configured any more; configure it again, and "
                   "what lies between is applied again",
                   (unsigned long long)done->seq, (unsigned long long)row->position.seq,
                   lane->stream_name, lane->id.lane);
}

/* ---- Comparing ------------------------------------------------------------------- */

/* The database went back for all lanes. One with nothing to do would notice only when it
 * next asks: until then its entries stay, and no other relies on its done mark. */
static int doubt_all(struct lane *lane, struct err *err)
{
    struct lane_shared *shared = lane->shared;
    struct journal *journal = lane_config(lane)->journal;
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    int code = journal_lanes(journal, &lanes, &count, err);
    pthread_mutex_lock(&shared->lock);
    lane->doubts += lane->doubts == shared->doubts; /* it has just seen it */
    shared->doubts++;
    for (size_t i = 0; i < count; i++) {
        journal_confirm(journal, lanes[i].stream, lanes[i].lane, false);
    }
    pthread_mutex_unlock(&shared->lock);
    free(lanes);
    return code;
}

/* Durably, before anything is applied again. What is no longer retained is named by the
 * next read. */
static int rewind_to(struct lane *lane, const struct ledger_row *row,
                     const struct journal_position *done, struct err *err)
{
    int code = journal_rewind(lane_config(lane)->journal, lane->stream_name,
                              lane->id.lane, &row->position, err);
    code = code ? code : doubt_all(lane, err);
    if (code != ERR_OK) {
        return code;
    }
    lane->dead_seq = 0; /* what comes next is older */
    struct err note = {0};
    snprintf(note.message, sizeof note.message,
             "the database went back from entry %llu to entry %llu; what lies between is "
             "applied again",
             (unsigned long long)done->seq, (unsigned long long)row->position.seq);
    pthread_mutex_lock(&lane->shared->lock);
    lane->status.counts.rewinds++;
    pthread_mutex_unlock(&lane->shared->lock);
    lane_tell(lane, "rewound", &note);
    return ERR_OK;
}

/* ERR_OK: it was passed, and the lane compares again. */
static int pass_lost(struct lane *lane, struct sink *sink, const struct ledger_row *row,
                     const struct journal_position *done, struct err *err)
{
    int code = lane->stream ? lane_pass_gap(lane, sink, row, err) : ERR_NOT_FOUND;
    return code == ERR_NOT_FOUND ? refuse_lost(lane, row, done, err) : code;
}

/* The done mark and the ledger's position, made to agree or refused. */
static int reconcile(struct lane *lane, struct sink *sink, const struct ledger_row *row,
                     struct err *err)
{
    struct journal *journal = lane_config(lane)->journal;
    struct journal_lane known = {0};
    int code = journal_lane_get(journal, lane->stream_name, lane->id.lane, &known, err);
    if (code != ERR_OK && code != ERR_NOT_FOUND) {
        return code;
    }
    int checked = journal_check_position(journal, lane->stream_name, lane->id.lane,
                                         &row->position, err);
    if (checked != ERR_OK && checked != ERR_IDENTITY && checked != ERR_GAP) {
        return checked;
    }
    switch (recover_decide(&row->position, &known.done, checked)) {
    case RECOVER_GO_ON:
        return ERR_OK;
    case RECOVER_TAKE_LEDGER:
        return lane_mark_done(lane, row, err);
    case RECOVER_REWIND:
        return lane->stream ? rewind_to(lane, row, &known.done, err)
                            : refuse_to_rewind(lane, row, &known.done, err);
    case RECOVER_LOST:
        return pass_lost(lane, sink, row, &known.done, err);
    case RECOVER_OTHER:
        break;
    }
    return refuse_other(lane, row, &known.done, err);
}

static const struct lane_prepared *find_prepared(const struct lane_link *link,
                                                 const struct stream *stream)
{
    for (size_t i = 0; i < link->prepared_count; i++) {
        if (link->prepared[i].stream == stream) {
            return &link->prepared[i];
        }
    }
    return NULL;
}

/* Once a connection and stream. */
static int prepare(struct lane *lane, struct lane_link *link, struct err *err)
{
    const struct lane_prepared *known = find_prepared(link, lane->stream);
    struct err note = {0};
    if (!known) {
        struct buf notes = {0};
        int code = link->sink->ops->prepare(link->sink, lane->stream, &notes, err);
        if (code != ERR_OK) {
            buf_free(&notes);
            return code;
        }
        struct lane_prepared *made = &link->prepared[link->prepared_count++];
        made->stream = lane->stream;
        snprintf(made->notes, sizeof made->notes, "%.*s", (int)notes.len,
                 notes.len ? notes.data : "");
        snprintf(note.message, sizeof note.message, "%s", made->notes);
        buf_free(&notes);
        known = made;
    }
    pthread_mutex_lock(&lane->shared->lock);
    memcpy(lane->status.notes, known->notes, sizeof lane->status.notes);
    pthread_mutex_unlock(&lane->shared->lock);
    if (note.message[0]) {
        lane_tell(lane, "sink_note", &note);
    }
    return ERR_OK;
}

int lane_compare(struct lane *lane, struct lane_link *link, struct err *err)
{
    struct ledger_row row = {0};
    int code = lane->stream ? prepare(lane, link, err) : ERR_OK;
    pthread_mutex_lock(&lane->shared->lock);
    lane->doubts = lane->shared->doubts;
    pthread_mutex_unlock(&lane->shared->lock);
    if (code == ERR_OK) {
        code = link->sink->ops->position(link->sink, &lane->id, &row, err);
    }
    if (code != ERR_OK) {
        return code;
    }
    if (lane->unknown) {
        resolve_unknown(lane, &row);
    }
    lane->ledger = row;
    lane->compared = true;
    code = reconcile(lane, link->sink, &row, err);
    if (code != ERR_OK) {
        lane->compared = false;
    } else if (lane->compared) {
        pthread_mutex_lock(&lane->shared->lock);
        lane->status.ledger = row;
        pthread_mutex_unlock(&lane->shared->lock);
        lane_confirm(lane);
    }
    return code;
}
