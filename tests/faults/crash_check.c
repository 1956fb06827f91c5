/* Facts are what the marks said; findings what the journal shows. Each check compares one
 * kind of fact with one kind of finding and says which invariant it breaks. */
#include "tests/faults/crash_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 4096, LETTERS_MAX = 1024 };

enum told { UNTOLD, SENT, ACKED, REFUSED };

struct batch_fact {
    enum told told;
    uint64_t seq; /* of its first entry, once it was acknowledged */
    bool is_retry;
    struct journal_dead_place retried;
    uint32_t seen; /* bits: parts that are there */
    uint64_t seen_seq;
};

enum letter_done { LETTER_ADD, LETTER_PURGE, LETTER_RETRY };

struct letter_fact {
    enum letter_done done;
    enum told told;
    struct journal_dead_place place;
    uint32_t number; /* of the retry */
};

struct facts {
    bool opened;
    char id[JOURNAL_ID_TEXT];
    struct batch_fact batches[WORK_BATCHES_MAX];
    struct letter_fact letters[LETTERS_MAX];
    size_t letter_count;
    uint64_t done[ENTRIES_MAX]; /* seqs that were marked done */
    size_t done_count;
    size_t done_since_rewind;
    bool rewound;
    uint32_t set; /* and one that is on its way; +1, 0: none */
    uint32_t setting;
};

struct check {
    const struct workload *workload;
    struct facts *facts;
    struct journal *journal;
    enum layer_verdict verdict;
    uint64_t next_seq;
};

#define BROKEN_(check, ...) ((check)->verdict = layer_broken(__VA_ARGS__))

/* ---- Facts ------------------------------------------------------------------------- */

static struct letter_fact *letter_fact(struct facts *facts, enum letter_done done,
                                       struct journal_dead_place place)
{
    for (size_t i = 0; i < facts->letter_count; i++) {
        struct letter_fact *letter = &facts->letters[i];
        if (letter->done == done && letter->place.seq == place.seq &&
            letter->place.index == place.index) {
            return letter;
        }
    }
    struct letter_fact *made = &facts->letters[facts->letter_count];
    facts->letter_count += facts->letter_count < LETTERS_MAX - 1;
    *made = (struct letter_fact){.done = done, .place = place};
    return made;
}

static void take_batch_mark(struct facts *facts, const struct mark *mark)
{
    struct batch_fact *batch = &facts->batches[mark->number];
    if (mark->kind == MARK_SENT) {
        batch->told = SENT;
        batch->is_retry = mark->seq != 0;
        batch->retried = (struct journal_dead_place){mark->seq, mark->index};
    } else {
        batch->told = mark->kind == MARK_ACKED ? ACKED : REFUSED;
        batch->seq = mark->seq;
    }
    if (batch->is_retry) {
        struct letter_fact *letter = letter_fact(facts, LETTER_RETRY, batch->retried);
        letter->told = batch->told;
        letter->number = mark->number;
    }
}

static void take_letter_mark(struct facts *facts, const struct mark *mark)
{
    bool adds = mark->kind == MARK_ADDING || mark->kind == MARK_ADDED;
    bool over = mark->kind == MARK_ADDED || mark->kind == MARK_PURGED;
    struct journal_dead_place place = {mark->seq, mark->index};
    letter_fact(facts, adds ? LETTER_ADD : LETTER_PURGE, place)->told =
        over ? ACKED : SENT;
}

static void take_mark(struct facts *facts, const struct mark *mark)
{
    switch ((enum mark_kind)mark->kind) {
    case MARK_OPENED:
        facts->opened = true;
        memcpy(facts->id, mark->id, sizeof facts->id);
        break;
    case MARK_SENT:
    case MARK_ACKED:
    case MARK_REFUSED:
        take_batch_mark(facts, mark);
        break;
    case MARK_DONE:
        facts->done[facts->done_count++ % ENTRIES_MAX] = mark->seq;
        break;
    case MARK_PURGING:
    case MARK_PURGED:
    case MARK_ADDING:
    case MARK_ADDED:
        take_letter_mark(facts, mark);
        break;
    case MARK_SETTING:
        facts->setting = mark->number + 1;
        break;
    case MARK_SET:
        facts->set = mark->number + 1;
        break;
    case MARK_REWINDING:
        break;
    case MARK_REWOUND:
        facts->rewound = true;
        facts->done_since_rewind = facts->done_count;
        break;
    }
}

static struct facts *gather(const struct crash_fs *fs, size_t moment)
{
    struct facts *facts = calloc(1, sizeof *facts);
    for (size_t i = 0; facts && i < moment; i++) {
        struct slice bytes = crash_fs_mark(fs, i);
        struct mark mark;
        if (bytes.len == sizeof mark) {
            memcpy(&mark, bytes.data, sizeof mark);
            take_mark(facts, &mark);
        }
    }
    return facts;
}

static bool was_marked_done(const struct facts *facts, uint64_t seq)
{
    for (size_t i = 0; i < facts->done_count; i++) {
        if (facts->done[i] == seq) {
            return true;
        }
    }
    return false;
}

/* ---- Entries ----------------------------------------------------------------------- */

static bool is_as_sent(const struct journal_entry *entry, const struct work_batch *batch,
                       uint32_t part)
{
    const struct journal_part *sent = &batch->parts[part];
    return part < batch->part_count && entry->batch_entries == batch->part_count &&
           entry->batch_seq + part == entry->seq && entry->records == sent->records &&
           strcmp(entry->stream, sent->stream) == 0 && entry->lane == sent->lane &&
           slice_equal(entry->payload, sent->payload);
}

static void check_full_entry(struct check *check, const struct journal_entry *entry)
{
    uint32_t number = 0;
    uint32_t part = 0;
    struct work_batch batch;
    struct err err = {0};
    if (!work_recognise(entry->payload, &number, &part)) {
        BROKEN_(check, "I2", "entry %" PRIu64 " was never sent", entry->seq);
        return;
    }
    struct batch_fact *fact = &check->facts->batches[number];
    if (fact->told == UNTOLD || fact->told == REFUSED) {
        BROKEN_(check, fact->told == UNTOLD ? "I2" : "I4",
                "entry %" PRIu64 " is of batch %u, which was %s", entry->seq, number,
                fact->told == UNTOLD ? "not sent yet" : "refused");
    }
    if (work_batch_make(check->workload, number, fact->is_retry ? &fact->retried : NULL,
                        &batch, &err) != ERR_OK) {
        BROKEN_(check, "I2", "%s", err.message);
        return;
    }
    if (!is_as_sent(entry, &batch, part)) {
        BROKEN_(check, "I2", "entry %" PRIu64 " differs from part %u of batch %u",
                entry->seq, part, number);
    }
    if ((fact->seen >> part & 1) != 0 ||
        (fact->told == ACKED && fact->seq != entry->batch_seq)) {
        BROKEN_(check, "I1", "batch %u is there twice, or not where it was said to be",
                number);
    }
    fact->seen |= 1U << part;
    fact->seen_seq = entry->batch_seq;
    work_batch_free(&batch);
}

static void check_entry(struct check *check, uint64_t seq)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int code = journal_read_entry(check->journal, seq, &entries, &err);
    bool left = check->workload->leaves && was_marked_done(check->facts, seq);
    if (code == ERR_NOT_FOUND ||
        (code == ERR_OK && entries.items[0].state != JOURNAL_ENTRY_FULL)) {
        if (!left) {
            BROKEN_(check, "I1", "entry %" PRIu64 " is gone, nobody let it go", seq);
        }
    } else if (code != ERR_OK) {
        BROKEN_(check, "I5", "entry %" PRIu64 ": %s", seq, err.message);
    } else {
        check_full_entry(check, &entries.items[0]);
    }
    journal_entries_free(&entries);
}

/* Whether a batch was applied and has left. */
static bool may_be_gone(const struct check *check, const struct batch_fact *fact,
                        size_t part)
{
    return check->workload->leaves && fact->told == ACKED &&
           was_marked_done(check->facts, fact->seq + part);
}

static void check_receipt(struct check *check, uint32_t number,
                          const struct work_batch *batch)
{
    const struct batch_fact *fact = &check->facts->batches[number];
    struct journal_append append = work_append(batch);
    struct buf answer = {0};
    struct err err = {0};
    uint64_t seq = 0;
    int code = journal_receipt_find(check->journal, append.receipt.scope_key,
                                    append.receipt.body_sum, &seq, &answer, &err);
    bool found = code == ERR_OK && seq == fact->seen_seq &&
                 slice_is(buf_slice(&answer), batch->key);
    if (found != (fact->seen != 0) || (code != ERR_OK && code != ERR_NOT_FOUND)) {
        BROKEN_(check, fact->told == ACKED ? "I1" : "I4",
                "batch %u is %s, but its receipt says %s, seq %" PRIu64, number,
                fact->seen ? "there" : "not there", err_name((enum err_code)code), seq);
    }
    buf_free(&answer);
}

/* Returns the records that count as accepted. */
static uint64_t check_batch(struct check *check, uint32_t number)
{
    const struct batch_fact *fact = &check->facts->batches[number];
    struct work_batch batch;
    struct err err = {0};
    uint64_t records = 0;
    if (fact->told == UNTOLD || fact->told == REFUSED ||
        work_batch_make(check->workload, number, fact->is_retry ? &fact->retried : NULL,
                        &batch, &err) != ERR_OK) {
        return 0;
    }
    uint32_t gone = 0;
    for (size_t p = 0; p < batch.part_count; p++) {
        records += fact->is_retry ? 0 : batch.parts[p].records;
        gone |= may_be_gone(check, fact, p) ? 1U << p : 0;
    }
    uint32_t all = (1U << batch.part_count) - 1;
    if (fact->told == ACKED && (fact->seen | gone) != all) {
        BROKEN_(check, "I1",
                "batch %u was acknowledged as seq %" PRIu64
                " and is not there (parts %x of %x)",
                number, fact->seq, fact->seen, all);
    }
    if (fact->told == SENT && fact->seen != 0 && fact->seen != all) {
        BROKEN_(check, "I4", "batch %u is there in part (%x of %x)", number, fact->seen,
                all);
    }
    if (batch.key[0] != '\0') {
        check_receipt(check, number, &batch);
    }
    work_batch_free(&batch);
    return fact->told == ACKED || fact->seen ? records : 0;
}

/* ---- Dead letters ------------------------------------------------------------------ */

struct letters {
    struct check *check;
    uint64_t seen;
    uint64_t kept;
};

static enum told told_of(struct check *check, enum letter_done done,
                         const struct journal_dead_entry *entry)
{
    struct journal_dead_place place = {entry->seq, entry->letter.index};
    return letter_fact(check->facts, done, place)->told;
}

static void check_letter_state(struct check *check,
                               const struct journal_dead_entry *entry)
{
    enum told retried = told_of(check, LETTER_RETRY, entry);
    enum told purged = told_of(check, LETTER_PURGE, entry);
    struct journal_dead_place place = {entry->seq, entry->letter.index};
    const struct letter_fact *retry = letter_fact(check->facts, LETTER_RETRY, place);
    const struct batch_fact *batch = &check->facts->batches[retry->number];
    bool is_retried = entry->state == JOURNAL_DEAD_RETRIED;
    bool is_purged = entry->state == JOURNAL_DEAD_PURGED;
    bool retry_there = retried != UNTOLD && batch->seen != 0;
    if (is_retried != retry_there ||
        (is_retried && entry->retried_seq != batch->seen_seq)) {
        BROKEN_(check, "I4", "dead letter %" PRIu64 "/%u and its retry disagree",
                entry->seq, entry->letter.index);
    }
    if ((purged == ACKED && !is_purged) || (purged == UNTOLD && is_purged)) {
        BROKEN_(check, "I1", "dead letter %" PRIu64 "/%u is %spurged", entry->seq,
                entry->letter.index, is_purged ? "" : "not ");
    }
}

static bool check_letter(const struct journal_dead_entry *entry, void *context)
{
    struct letters *letters = context;
    struct check *check = letters->check;
    char added[40];
    letters->seen++;
    letters->kept += entry->state == JOURNAL_DEAD_KEPT;
    check_letter_state(check, entry);
    struct slice bytes = entry->letter.bytes;
    bool good = true;
    if (!entry->at_intake) {
        struct journal_dead_letter letter = work_added_letter(entry->seq, added);
        good = told_of(check, LETTER_ADD, entry) != UNTOLD &&
               slice_equal(bytes, letter.bytes);
    } else if (entry->state == JOURNAL_DEAD_KEPT) {
        good = bytes.len > 11 && memcmp(bytes.data, "bad record ", 11) == 0;
        for (uint32_t n = 0; good && n < WORK_BATCHES_MAX; n++) {
            const struct batch_fact *fact = &check->facts->batches[n];
            struct work_batch batch;
            struct err err = {0};
            uint64_t part = entry->seq - fact->seen_seq;
            if (fact->seen == 0 || entry->seq < fact->seen_seq ||
                part >= WORK_PARTS_MAX || (fact->seen >> part & 1) == 0 ||
                work_batch_make(check->workload, n,
                                fact->is_retry ? &fact->retried : NULL, &batch,
                                &err) != ERR_OK) {
                continue;
            }
            uint32_t rows =
                batch.parts[part].records - (uint32_t)batch.parts[part].dead_count;
            uint32_t place = entry->letter.index - rows;
            good = place < batch.parts[part].dead_count &&
                   slice_equal(bytes, batch.letters[part][place].bytes);
            work_batch_free(&batch);
        }
    }
    if (!good) {
        BROKEN_(check, "I2", "dead letter %" PRIu64 "/%u was never sent", entry->seq,
                entry->letter.index);
    }
    return true;
}

static void check_letters(struct check *check, uint64_t expected)
{
    struct letters letters = {.check = check};
    struct err err = {0};
    struct journal_stat stat;
    if (journal_dead_letters_visit(check->journal, 1, UINT64_MAX, check_letter, &letters,
                                   &err) != ERR_OK ||
        journal_stat(check->journal, &stat, &err) != ERR_OK) {
        BROKEN_(check, "I5", "dead letters: %s", err.message);
        return;
    }
    uint64_t added = 0;
    uint64_t maybe = 0;
    for (size_t i = 0; i < check->facts->letter_count; i++) {
        const struct letter_fact *letter = &check->facts->letters[i];
        added += letter->done == LETTER_ADD && letter->told == ACKED;
        maybe += letter->done == LETTER_ADD && letter->told == SENT;
    }
    if (letters.seen < expected + added || letters.seen > expected + added + maybe) {
        BROKEN_(check, "I1", "%" PRIu64 " dead letters, not %" PRIu64, letters.seen,
                expected + added);
    }
    if (letters.kept != stat.dead_letters) {
        BROKEN_(check, "I3", "%" PRIu64 " dead letters are kept, %" PRIu64 " counted",
                letters.kept, stat.dead_letters);
    }
}

/* ---- Lanes, settings, counts ------------------------------------------------------- */

static void check_lane(struct check *check, const struct journal_lane *lane)
{
    static const struct journal_read_limits no_limits = {UINT64_MAX, UINT64_MAX,
                                                         SIZE_MAX};
    const struct facts *facts = check->facts;
    struct journal_entries entries = {0};
    struct err err = {0};
    uint64_t after = check->workload->leaves ? lane->done.seq : 0;
    int code = journal_read_lane(check->journal, lane->stream, lane->lane, after,
                                 &no_limits, &entries, &err);
    if (code != ERR_OK) {
        BROKEN_(check, "I5", "lane %s/%u: %s", lane->stream, lane->lane, err.message);
        return;
    }
    if (entries.count > 0 && entries.items[entries.count - 1].seq != lane->last_seq) {
        BROKEN_(check, "I3", "lane %s/%u ends elsewhere than it says", lane->stream,
                lane->lane);
    }
    journal_entries_free(&entries);
    if (lane->done.seq != 0 && !was_marked_done(facts, lane->done.seq)) {
        BROKEN_(check, "I2", "lane %s/%u is marked done through %" PRIu64, lane->stream,
                lane->lane, lane->done.seq);
    }
    bool first = strcmp(lane->stream, "s") == 0 && lane->lane == 0;
    bool newer = false;
    for (size_t i = facts->done_since_rewind; i < facts->done_count; i++) {
        newer |= facts->done[i] == lane->done.seq;
    }
    if (first && facts->rewound && lane->done.seq != 0 && !newer) {
        BROKEN_(check, "I1", "a rewind is forgotten");
    }
    code = journal_check_position(check->journal, lane->stream, lane->lane, &lane->done,
                                  &err);
    if (code != ERR_OK && !(code == ERR_GAP && check->workload->leaves)) {
        BROKEN_(check, "I5", "done mark of %s/%u: %s", lane->stream, lane->lane,
                err.message);
    }
}

static void check_setting(struct check *check)
{
    const struct facts *facts = check->facts;
    struct buf value = {0};
    struct err err = {0};
    int code = journal_setting_get(check->journal, "number", &value, &err);
    uint32_t found =
        code == ERR_OK ? (uint32_t)strtoul(buf_text(&value), NULL, 10) + 1 : 0;
    if ((code != ERR_OK && code != ERR_NOT_FOUND) ||
        (found != facts->set && found != facts->setting)) {
        BROKEN_(check, "I1", "a setting is %u, not %u", found, facts->set);
    }
    buf_free(&value);
}

static void check_lanes(struct check *check)
{
    struct journal_lane *lanes = NULL;
    size_t count = 0;
    struct err err = {0};
    if (journal_lanes(check->journal, &lanes, &count, &err) != ERR_OK) {
        BROKEN_(check, "I5", "lanes: %s", err.message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        check_lane(check, &lanes[i]);
    }
    free(lanes);
}

static uint64_t letters_of(struct check *check, uint32_t number)
{
    struct work_batch batch;
    struct err err = {0};
    const struct batch_fact *fact = &check->facts->batches[number];
    uint64_t letters = 0;
    if (fact->seen == 0 ||
        work_batch_make(check->workload, number, fact->is_retry ? &fact->retried : NULL,
                        &batch, &err) != ERR_OK) {
        return 0;
    }
    for (size_t p = 0; p < batch.part_count; p++) {
        letters += batch.parts[p].dead_count;
    }
    work_batch_free(&batch);
    return letters;
}

/* ---- All of it --------------------------------------------------------------------- */

static void check_contents(struct check *check)
{
    struct journal_stat stat = {0};
    struct err err = {0};
    if (journal_stat(check->journal, &stat, &err) != ERR_OK) {
        BROKEN_(check, "I5", "status: %s", err.message);
        return;
    }
    check->next_seq = stat.next_seq;
    if (check->facts->opened &&
        strcmp(check->facts->id, journal_id(check->journal)) != 0) {
        BROKEN_(check, "I1", "another journal is in its place");
    }
    for (uint64_t seq = 1; seq < stat.next_seq; seq++) {
        check_entry(check, seq);
    }
    uint64_t records = 0;
    uint64_t letters = 0;
    for (uint32_t number = 0; number < WORK_BATCHES_MAX; number++) {
        records += check_batch(check, number);
        letters += letters_of(check, number);
    }
    if (records != stat.records) {
        BROKEN_(check, "I3", "%" PRIu64 " records are there, %" PRIu64 " counted",
                records, stat.records);
    }
    check_letters(check, letters);
    check_lanes(check);
    check_setting(check);
}

static void open_again(struct check *check, const char *path)
{
    struct journal_config config = work_config(check->workload, path);
    struct err err = {0};
    config.retain_us = INT64_MAX / 2; /* what is looked at must not leave meanwhile */
    check->journal = NULL;
    if (journal_open(&config, true, &check->journal, &err) != ERR_OK) {
        BROKEN_(check, "I5", "it doesn't open: %s", err.message);
    }
}

/* A journal that was full refuses; nothing else may. */
static uint64_t append_one(struct check *check)
{
    struct work_batch batch;
    struct err err = {0};
    if (work_batch_make(check->workload, WORK_AFTER, NULL, &batch, &err) != ERR_OK) {
        return 0;
    }
    struct journal_append append = work_append(&batch);
    int code = journal_append_wait(check->journal, &append);
    work_batch_free(&batch);
    struct journal_stat stat = {0};
    bool full = code == ERR_FULL && journal_stat(check->journal, &stat, &err) == ERR_OK &&
                stat.used_bytes > stat.size_max / 3;
    if (code != ERR_OK && !full) {
        BROKEN_(check, "I5", "it takes no new work: %s", append.err.message);
    } else if (code == ERR_OK && append.first_seq != check->next_seq) {
        BROKEN_(check, "I1", "new work got seq %" PRIu64 " instead of %" PRIu64,
                append.first_seq, check->next_seq);
    }
    return code == ERR_OK ? append.first_seq : 0;
}

static void check_new_work(struct check *check, const char *path, bool verify)
{
    uint64_t seq = append_one(check);
    journal_close(check->journal);
    struct err err = {0};
    struct journal_verify_result result;
    if (verify && journal_verify(path, NULL, NULL, &result, &err) != ERR_OK) {
        BROKEN_(check, "I5", "after new work: %s", err.message);
    }
    open_again(check, path);
    if (seq != 0 && check->journal != NULL) {
        struct journal_entries entries = {0};
        if (journal_read_entry(check->journal, seq, &entries, &err) != ERR_OK) {
            BROKEN_(check, "I5", "new work is gone: %s", err.message);
        }
        journal_entries_free(&entries);
    }
}

enum layer_verdict crash_check(const struct crash_fs *fs, size_t moment,
                               const struct workload *workload, const char *path,
                               bool verify)
{
    struct check check = {.workload = workload, .verdict = LAYER_HELD};
    check.facts = gather(fs, moment);
    if (check.facts == NULL) {
        return layer_broken("I5", "no memory for the check");
    }
    open_again(&check, path);
    if (check.journal != NULL) {
        check_contents(&check);
        if (check.verdict == LAYER_HELD) {
            check_new_work(&check, path, verify);
        }
    }
    journal_close(check.journal);
    free(check.facts);
    return check.verdict;
}
