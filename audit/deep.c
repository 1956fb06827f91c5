/* In order: entries are gathered into a group, so that small ones share their statements;
 * the group is looked up and judged, record by record. A record whose event holds other
 * values, but was made at its moment, is suspect: it is held back. Once there are many of
 * these, and at the end, the journal is read again, and those are dropped whose key
 * an earlier record of the same moment had: that one has made the event, and is judged by
 * itself. So are those of moments from which entries have left the journal meanwhile.
 */
#include "audit/deep.h"

#include "audit/deep_judge.h"
#include "audit/judge.h"
#include "audit/retained.h"
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GROUP_RECORDS = 20000,
    GROUP_ENTRIES = 4096,
    GROUP_BYTES = 16 << 20,
    SUSPECTS_MAX = 16384,
};

/* A gap, unless an earlier record is found. */
struct suspect {
    struct deep_gap gap;
    struct slice event_key;
    uint32_t lane;
    bool cleared;
};

/* The oldest entry of a lane that is retained: what was received before it, or in the
 * same moment, isn't all there. */
struct horizon {
    bool known;
    bool whole; /* it is the lane's first one: nothing has left */
    int64_t at_us;
};

struct deep {
    struct journal *journal;
    struct db *db;
    const struct stream *stream;
    const struct deep_rules *rules;
    struct deep_report report;
    struct retained retained;
    struct lookup *lookup;
    int64_t cutoff_us;
    int64_t unit_us; /* of the events' time of receipt; 0: they have none */

    struct journal_entries group; /* its items point into `sets` */
    struct journal_entries *sets;
    uint64_t group_records;
    uint64_t group_bytes;
    size_t group_at; /* the item that the records have come to */

    struct suspect *suspects;
    size_t suspect_count;
    uint64_t suspects_to; /* the entry of the last one */
    struct arena texts;
    struct horizon horizons[STREAM_LANES_MAX];
    struct buf key;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, 0, "no memory to look the journal up");
}

/* ---- Kinds ------------------------------------------------------------------------- */

static const struct {
    const char *word;
    const char *sentence;
} kinds[] = {
#define X(kind, word, sentence) {word, sentence},
    DEEP_KINDS(X)
#undef X
};

const char *deep_kind_word(enum deep_kind kind)
{
    return kinds[kind].word;
}

const char *deep_kind_sentence(enum deep_kind kind)
{
    return kinds[kind].sentence;
}

static void report_gap(struct deep *at, const struct deep_gap *gap)
{
    at->report.gaps++;
    at->report.kinds[gap->kind]++;
    at->rules->gap(gap, at->rules->context);
}

/* ---- Suspects ---------------------------------------------------------------------- */

static int64_t moment(const struct deep *at, int64_t time_us)
{
    return at->unit_us ? time_us / at->unit_us : time_us;
}

static int by_key(const void *a, const void *b)
{
    const struct suspect *left = a;
    const struct suspect *right = b;
    return slice_compare(left->event_key, right->event_key);
}

static int by_place(const void *a, const void *b)
{
    const struct deep_gap *left = &((const struct suspect *)a)->gap;
    const struct deep_gap *right = &((const struct suspect *)b)->gap;
    if (left->seq != right->seq) {
        return left->seq < right->seq ? -1 : 1;
    }
    return (left->index > right->index) - (left->index < right->index);
}

static void sort_suspects(struct deep *at, int (*order)(const void *a, const void *b))
{
    if (at->suspect_count) {
        qsort(at->suspects, at->suspect_count, sizeof *at->suspects, order);
    }
}

/* The first of those with this event key, or the end. */
static size_t place_of(const struct deep *at, struct slice event_key)
{
    size_t low = 0;
    size_t high = at->suspect_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(at->suspects[middle].event_key, event_key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_earlier(const struct apply_record *record, const struct deep_gap *gap)
{
    return record->seq < gap->seq ||
           (record->seq == gap->seq && record->index < gap->index);
}

static int clear_suspects(const struct lookup_fact *fact, void *context, struct err *err)
{
    struct deep *at = context;
    const struct apply_record *record = fact->record;
    buf_clear(&at->key);
    lookup_append_event_key(&at->key, at->stream, record);
    if (at->key.failed) {
        return no_memory(err);
    }
    struct slice key = buf_slice(&at->key);
    for (size_t i = place_of(at, key);
         i < at->suspect_count && slice_equal(at->suspects[i].event_key, key); i++) {
        struct suspect *suspect = &at->suspects[i];
        suspect->cleared =
            suspect->cleared || (is_earlier(record, &suspect->gap) &&
                                 moment(at, record->received_at_us) ==
                                     moment(at, suspect->gap.received_at_us));
    }
    return 0;
}

static void note_horizon(struct deep *at, const struct journal_entry *entry)
{
    struct horizon *horizon = &at->horizons[entry->lane];
    if (!horizon->known) {
        *horizon =
            (struct horizon){.known = true,
                             .whole = entry->running == entry->accepted &&
                                      entry->retried + entry->accepted == entry->records,
                             .at_us = entry->received_at_us};
    }
}

static bool is_within(const struct deep *at, const struct suspect *suspect)
{
    const struct horizon *horizon = &at->horizons[suspect->lane];
    return horizon->known && (horizon->whole || moment(at, suspect->gap.received_at_us) >
                                                    moment(at, horizon->at_us));
}

static int look_for_earlier(struct journal_entries *entry, void *context, struct err *err)
{
    struct deep *at = context;
    struct lookup_visit visit = {.record = clear_suspects, .context = at};
    if (entry->items[0].seq > at->suspects_to) {
        return ERR_NOT_FOUND; /* enough: not an error */
    }
    note_horizon(at, &entry->items[0]);
    return lookup_records(at->lookup, entry, &visit, err);
}

static int settle_suspects(struct deep *at, struct err *err)
{
    struct retained_visit visit = {look_for_earlier, at, at->db};
    if (at->suspect_count == 0) {
        return 0;
    }
    memset(at->horizons, 0, sizeof at->horizons);
    sort_suspects(at, by_key);
    int code = retained_walk(&at->retained, at->journal, at->stream, &visit, err);
    if (code && code != ERR_NOT_FOUND) {
        return code;
    }
    sort_suspects(at, by_place);
    for (size_t i = 0; i < at->suspect_count; i++) {
        const struct suspect *suspect = &at->suspects[i];
        if (suspect->cleared || !is_within(at, suspect)) {
            at->report.others++;
        } else {
            report_gap(at, &suspect->gap);
        }
    }
    at->suspect_count = 0;
    arena_clear(&at->texts);
    return 0;
}

/* ---- The group --------------------------------------------------------------------- */

/* The entry of a record; records come in order. */
static const struct journal_entry *entry_of(struct deep *at,
                                            const struct apply_record *record)
{
    while (at->group.items[at->group_at].seq < record->seq) {
        at->group_at++;
    }
    return &at->group.items[at->group_at];
}

static void describe(struct deep *at, const struct lookup_fact *fact, enum deep_kind kind,
                     struct deep_gap *out_gap)
{
    const struct apply_record *record = fact->record;
    *out_gap = (struct deep_gap){
        .stream = at->stream,
        .kind = kind,
        .seq = record->seq,
        .index = record->index,
        .received_at_us = record->received_at_us,
        .time_us = record->values[at->stream->time_field].time_us,
        .entity_id = fact->entity_id,
        .event_id = fact->event_id,
    };
    buf_clear(&at->key);
    value_append_text(&at->key, &record->values[at->stream->key_field]);
    const char *text = buf_text(&at->key);
    snprintf(out_gap->key, sizeof out_gap->key, "%s", text ? text : "");
    for (size_t i = 0; i < at->stream->event.column_count && fact->columns; i++) {
        out_gap->columns[i] = kind == DEEP_ALTERED && fact->columns[i];
    }
}

/* Room for one more, first. */
static int hold_back(struct deep *at, const struct lookup_fact *fact, uint32_t lane,
                     struct err *err)
{
    const struct apply_record *record = fact->record;
    int code = at->suspect_count == SUSPECTS_MAX ? settle_suspects(at, err) : 0;
    if (code) {
        return code;
    }
    struct suspect *suspect = &at->suspects[at->suspect_count];
    *suspect = (struct suspect){.lane = lane};
    describe(at, fact, DEEP_ALTERED, &suspect->gap);
    buf_clear(&at->key);
    lookup_append_event_key(&at->key, at->stream, record);
    suspect->event_key = arena_copy(&at->texts, buf_slice(&at->key));
    if (at->key.failed || !suspect->event_key.data) {
        return no_memory(err);
    }
    at->suspect_count++;
    at->suspects_to = record->seq;
    return 0;
}

static int judge_record(const struct lookup_fact *fact, void *context, struct err *err)
{
    struct deep *at = context;
    enum deep_kind kind = DEEP_ALTERED;
    struct deep_gap gap;
    uint32_t lane = entry_of(at, fact->record)->lane;
    struct deep_ground ground = {.stream = at->stream,
                                 .cutoff_us = at->cutoff_us,
                                 .met = at->retained.met[lane],
                                 .differed = at->retained.differed[lane]};
    enum deep_verdict verdict = deep_judge(fact, &ground, &kind);
    at->report.records++;
    at->report.aged += verdict == DEEP_AGED;
    at->report.others += verdict == DEEP_OTHERS;
    if (verdict == DEEP_GAP) {
        describe(at, fact, kind, &gap);
        report_gap(at, &gap);
    }
    return verdict == DEEP_SUSPECT ? hold_back(at, fact, lane, err) : 0;
}

static int note_unreadable(uint64_t seq, uint32_t index, const struct reject *why,
                           void *context, struct err *err)
{
    (void)err;
    struct deep *at = context;
    struct deep_gap gap = {.stream = at->stream,
                           .kind = DEEP_UNREADABLE,
                           .seq = seq,
                           .index = index,
                           .why = *why};
    report_gap(at, &gap);
    return 0;
}

static void drop_group(struct deep *at)
{
    for (size_t i = 0; i < at->group.count; i++) {
        journal_entries_free(&at->sets[i]);
    }
    at->group.count = 0;
    at->group_records = 0;
    at->group_bytes = 0;
    at->group_at = 0;
}

static int look_up_group(struct deep *at, struct err *err)
{
    struct lookup_visit visit = {
        .record = judge_record, .unreadable = note_unreadable, .context = at};
    int code = at->group.count ? lookup_entries(at->lookup, &at->group, &visit, err) : 0;
    drop_group(at);
    if (code == 0 && at->rules->progress) {
        at->rules->progress(at->report.last_seq, at->retained.last_seq,
                            at->report.records, at->rules->context);
    }
    return code;
}

static int gather(struct journal_entries *entry, void *context, struct err *err)
{
    struct deep *at = context;
    uint64_t records_max =
        at->rules->group_records ? at->rules->group_records : GROUP_RECORDS;
    const struct journal_entry *item = &entry->items[0];
    bool full = at->group.count == GROUP_ENTRIES ||
                at->group_records + item->records > records_max ||
                at->group_bytes + item->payload.len > GROUP_BYTES;
    int code = full ? look_up_group(at, err) : 0;
    if (code) {
        return code;
    }
    at->group_records += item->records;
    at->group_bytes += item->payload.len;
    at->report.entries++;
    at->report.first_seq = at->report.first_seq ? at->report.first_seq : item->seq;
    at->report.last_seq = item->seq;
    at->group.items[at->group.count] = *item;
    at->sets[at->group.count++] = *entry;
    *entry = (struct journal_entries){0};
    return 0;
}

/* ---- The stream -------------------------------------------------------------------- */

static int start(struct deep *at, struct err *err)
{
    int code = retained_find(at->journal, at->db, at->stream, &at->retained, err);
    code = code ? code
                : lookup_new(at->db, at->journal, at->stream, at->rules->zone_offset_s,
                             &at->lookup, err);
    if (code) {
        return code;
    }
    at->report.foreign = at->retained.foreign;
    at->unit_us = lookup_received_unit_us(at->lookup);
    at->group.items = calloc(GROUP_ENTRIES, sizeof *at->group.items);
    at->sets = calloc(GROUP_ENTRIES, sizeof *at->sets);
    at->suspects = calloc(SUSPECTS_MAX, sizeof *at->suspects);
    return at->group.items && at->sets && at->suspects ? 0 : no_memory(err);
}

static void end(struct deep *at)
{
    drop_group(at);
    free(at->group.items);
    free(at->sets);
    free(at->suspects);
    arena_free(&at->texts);
    buf_free(&at->key);
    lookup_free(at->lookup);
    free(at);
}

int deep_stream(struct journal *journal, struct db *db, const struct stream *stream,
                const struct deep_rules *rules, struct deep_report *out_report,
                struct err *err)
{
    struct deep *at = calloc(1, sizeof *at);
    if (!at) {
        return no_memory(err);
    }
    at->journal = journal;
    at->db = db;
    at->stream = stream;
    at->rules = rules;
    at->cutoff_us = judge_cutoff(rules->now_us, rules->since_us);
    struct retained_visit visit = {gather, at, db};
    int code = start(at, err);
    code = code ? code : retained_walk(&at->retained, journal, stream, &visit, err);
    code = code ? code : look_up_group(at, err);
    code = code ? code : settle_suspects(at, err);
    if (code == 0) {
        *out_report = at->report;
    }
    end(at);
    return code;
}
