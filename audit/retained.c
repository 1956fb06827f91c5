#include "audit/retained.h"

#include "replay/ledger.h"

#include <stdlib.h>

enum { SEQS_MAX = 4096, SERVER_NO_TABLE = 1146 };

static int find_lane(struct journal *journal, struct db *db,
                     const struct journal_lane *lane, struct retained *retained,
                     struct err *err)
{
    struct ledger_lane key = {journal_id(journal), lane->stream, lane->lane};
    struct ledger_row row = {0};
    int code = ledger_read(db, &key, false, &row, err);
    if (code && err->sys == SERVER_NO_TABLE) {
        return 0;
    }
    if (code || !row.found) {
        return code;
    }
    code = journal_check_position(journal, lane->stream, lane->lane, &row.position, err);
    if (code == 0 || code == ERR_GAP) {
        retained->applied[lane->lane] = row.position.seq;
        retained->met[lane->lane] = row.duplicates > 0;
        retained->differed[lane->lane] = row.conflicts > 0;
        retained->any = retained->any || lane->oldest_seq;
        if (row.position.seq > retained->last_seq) {
            retained->last_seq = row.position.seq;
        }
    }
    retained->foreign += code == ERR_IDENTITY;
    return code == ERR_GAP || code == ERR_IDENTITY ? 0 : code;
}

int retained_find(struct journal *journal, struct db *db, const struct stream *stream,
                  struct retained *out_retained, struct err *err)
{
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    struct retained retained = {0};
    int code = journal_lanes(journal, &lanes, &count, err);
    for (size_t i = 0; i < count && code == 0; i++) {
        if (strcmp(lanes[i].stream, stream->name) == 0 &&
            lanes[i].lane < STREAM_LANES_MAX) {
            code = find_lane(journal, db, &lanes[i], &retained, err);
        }
    }
    free(lanes);
    if (code == 0) {
        *out_retained = retained;
    }
    return code;
}

struct collected {
    const struct retained *retained;
    const char *stream;
    uint64_t *seqs;
    size_t count;
    uint64_t next_seq;
};

static bool collect(const struct journal_entry *entry, void *context)
{
    struct collected *at = context;
    if (at->count == SEQS_MAX) {
        return false;
    }
    at->next_seq = entry->seq + 1;
    if (entry->state == JOURNAL_ENTRY_FULL && entry->lane < STREAM_LANES_MAX &&
        strcmp(entry->stream, at->stream) == 0 &&
        entry->seq <= at->retained->applied[entry->lane]) {
        at->seqs[at->count++] = entry->seq;
    }
    return true;
}

/* One that has expired in between is passed over. */
static int visit_entry(struct journal *journal, uint64_t seq,
                       const struct retained_visit *visit, struct err *err)
{
    struct journal_entries entry;
    int code = journal_read_entry(journal, seq, &entry, err);
    if (code) {
        return code == ERR_NOT_FOUND ? 0 : code;
    }
    if (entry.items[0].state == JOURNAL_ENTRY_FULL) {
        code = visit->visit(&entry, visit->context, err);
    }
    journal_entries_free(&entry);
    return code;
}

static int speak(struct db *db, int64_t *spoken_us, struct err *err)
{
    enum { EVERY_US = 5000000 };
    int64_t now_us = clock_steady_us(&clock_system);
    if (!db || now_us - *spoken_us < EVERY_US) {
        return 0;
    }
    *spoken_us = now_us;
    return db_exec(db, SLICE_LITERAL("DO 1"), NULL, err);
}

int retained_walk(const struct retained *retained, struct journal *journal,
                  const struct stream *stream, const struct retained_visit *visit,
                  struct err *err)
{
    struct collected at = {.retained = retained, .stream = stream->name, .next_seq = 1};
    int64_t spoken_us = clock_steady_us(&clock_system);
    int code = 0;
    at.seqs = malloc(SEQS_MAX * sizeof *at.seqs);
    if (!at.seqs) {
        return err_set(err, ERR_NOMEM, 0, "no memory to walk the journal");
    }
    do {
        at.count = 0;
        code = journal_visit(journal, at.next_seq, collect, &at, err);
        for (size_t i = 0; i < at.count && code == 0; i++) {
            code = visit_entry(journal, at.seqs[i], visit, err);
            code = code ? code : speak(visit->db, &spoken_us, err);
        }
    } while (code == 0 && at.count == SEQS_MAX);
    free(at.seqs);
    return code;
}
