#include "tests/journal_life.h"

#include "journal/tools.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL = 300, LARGE = 60000, HUGE = 300000, FULL_AFTER = 24, GROUP = 6 };

static const int64_t hour_us = 3600LL * 1000000;

static const struct {
    const char *stream;
    uint32_t lane;
} lanes[LIFE_LANES] = {{"s", 0}, {"s", 1}, {"t", 0}};

/* ---- What was promised ------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void broken(struct life *life,
                                                         const char *format, ...)
{
    va_list arguments;
    if (!life->broken[0]) {
        va_start(arguments, format);
        (void)vsnprintf(life->broken, sizeof life->broken, format, arguments);
        va_end(arguments);
    }
}

/* What a fault may be called: nothing that is said of what was asked for, or of what is
 * sound. */
static bool is_of_fault(int rc)
{
    return rc == ERR_NOMEM || rc == ERR_FULL || rc == ERR_BUSY || rc == ERR_UNKNOWN ||
           rc == ERR_IO;
}

/* Every error is explained and has the right code. True: it went well. */
static bool well(struct life *life, int rc, const struct err *err, const char *what)
{
    if (rc == ERR_OK) {
        return true;
    }
    life->failures++;
    if ((int)err->code != rc || !err->message[0]) {
        broken(life, "%s: code %d comes with %d, \"%s\"", what, rc, (int)err->code,
               err->message);
    }
    if (!is_of_fault(rc)) {
        broken(life, "%s: says %s: %s", what, err_name((enum err_code)rc), err->message);
    }
    return false;
}

static void fill(char *bytes, size_t len, unsigned number)
{
    memset(bytes, (int)(number % 251), len);
    memcpy(bytes, &number, sizeof number);
}

/* ---- Opening ----------------------------------------------------------------------- */

/* A living handle, if one is to be had. */
static bool revive(struct life *life)
{
    struct kit *kit = &life->kit;
    struct err err = {0};
    if (kit->journal && journal_health(kit->journal, &err) == ERR_OK) {
        return true;
    }
    kit_close(kit);
    for (unsigned attempt = 0; attempt < 2 && !kit->journal; attempt++) {
        err = (struct err){0};
        (void)well(life, journal_open(&kit->config, true, &kit->journal, &err), &err,
                   "open");
    }
    life->born = life->born || kit->journal;
    return kit->journal != NULL;
}

/* ---- Appending --------------------------------------------------------------------- */

static enum life_fate fate_of(const struct err *err)
{
    return err->code == ERR_OK        ? LIFE_TAKEN
           : err->code == ERR_UNKNOWN ? LIFE_UNKNOWN
                                      : LIFE_REFUSED;
}

static struct life_entry *new_entry(struct life *life, unsigned lane)
{
    struct life_entry *entry = &life->entries[life->count];
    life->count += life->count + 1 < LIFE_ENTRIES;
    *entry = (struct life_entry){.lane = lane};
    return entry;
}

static int append_one(struct life *life, unsigned lane, size_t len)
{
    static char bytes[HUGE];
    unsigned number = (unsigned)life->count;
    struct life_entry *entry = new_entry(life, lane);
    fill(bytes, len, number);
    struct journal_part part = {.stream = lanes[lane].stream,
                                .lane = lanes[lane].lane,
                                .records = 1,
                                .payload = slice_of(bytes, len)};
    struct journal_append append = {
        .parts = &part, .part_count = 1, .received_at_us = life->kit.clock.wall_us};
    int rc = journal_append_wait(life->kit.journal, &append);
    entry->fate = fate_of(&append.err);
    entry->seq = append.first_seq;
    if (rc != ERR_FULL) {
        (void)well(life, rc, &append.err, "append");
    }
    return rc;
}

static void add_letter(struct life *life, uint64_t seq, uint32_t index)
{
    if (life->letter_count < LIFE_LETTERS) {
        life->letters[life->letter_count++] =
            (struct life_letter){.place = {.seq = seq, .index = index}};
    }
}

/* One batch for every lane, with a dead letter and a receipt; then it comes again, and
 * with another body under its key. */
static void append_with_receipt(struct life *life, unsigned key)
{
    char bytes[LIFE_LANES][SMALL];
    struct life_entry *entries[LIFE_LANES];
    struct journal_part parts[LIFE_LANES] = {0};
    struct journal_dead_letter letter = {
        .reason = "bad", .field = "f", .detail = "", .bytes = SLICE_LITERAL("a bad row")};
    for (unsigned i = 0; i < LIFE_LANES; i++) {
        unsigned number = (unsigned)life->count;
        entries[i] = new_entry(life, i);
        fill(bytes[i], SMALL, number);
        letter.index = 1;
        parts[i] = (struct journal_part){.stream = lanes[i].stream,
                                         .lane = lanes[i].lane,
                                         .records = i == 1 ? 2 : 1,
                                         .payload = slice_of(bytes[i], SMALL),
                                         .dead = i == 1 ? &letter : NULL,
                                         .dead_count = i == 1};
    }
    struct journal_append append = {
        .parts = parts,
        .part_count = LIFE_LANES,
        .received_at_us = life->kit.clock.wall_us,
        .receipt = {.scope_key = slice_of((char *)&key, sizeof key),
                    .body_sum = {1},
                    .answer = SLICE_LITERAL("answer")}};
    int rc = journal_append_wait(life->kit.journal, &append);
    for (unsigned i = 0; i < LIFE_LANES; i++) {
        entries[i]->fate = fate_of(&append.err);
        entries[i]->seq = append.first_seq + i;
    }
    if (!well(life, rc, &append.err, "append with a receipt")) {
        return;
    }
    add_letter(life, append.first_seq + 1, 1);
    uint64_t first = append.first_seq;
    rc = journal_append_wait(life->kit.journal, &append);
    if (well(life, rc, &append.err, "append again") &&
        (append.outcome != JOURNAL_REPLAYED || append.first_seq != first)) {
        broken(life, "the batch of a receipt was taken twice");
    }
    append.receipt.body_sum[0] = 2;
    rc = journal_append_wait(life->kit.journal, &append);
    if (rc != ERR_KEY_REUSED && well(life, rc, &append.err, "append another body")) {
        broken(life, "another body under the same key was taken");
    }
}

static void find_receipt(struct life *life, unsigned key)
{
    static const uint8_t sum[16] = {1};
    struct buf answer = {0};
    uint64_t seq = 0;
    struct err err = {0};
    int rc = journal_receipt_find(life->kit.journal, slice_of((char *)&key, sizeof key),
                                  sum, &seq, &answer, &err);
    if (rc != ERR_NOT_FOUND && well(life, rc, &err, "find a receipt") &&
        !slice_is(buf_slice(&answer), "answer")) {
        broken(life, "a receipt's answer is not the one that was kept");
    }
    buf_free(&answer);
}

struct gate {
    pthread_t caller;
    sem_t entered;
    sem_t opened;
    sem_t finished;
};

/* On the writer's thread: what is handed over meanwhile goes into one commit. A dead
 * handle refuses at once, on the caller's. */
static void wait_at_gate(struct journal_append *append)
{
    struct gate *gate = append->context;
    (void)sem_post(&gate->entered);
    if (!pthread_equal(pthread_self(), gate->caller)) {
        (void)sem_wait(&gate->opened);
    }
    (void)sem_post(&gate->finished);
}

static void finish(struct journal_append *append)
{
    struct gate *gate = append->context;
    (void)sem_post(&gate->finished);
}

struct group {
    char bytes[GROUP][SMALL];
    struct journal_part parts[GROUP];
    struct journal_append appends[GROUP];
    struct life_entry *entries[GROUP];
};

/* The first holds the writer; the last is the batch of a receipt that is there already,
 * or else one more. */
static void make_group(struct life *life, struct gate *gate, struct group *group)
{
    static const unsigned key = 1;
    for (unsigned i = 0; i < GROUP; i++) {
        unsigned number = (unsigned)life->count;
        group->entries[i] = new_entry(life, 0);
        fill(group->bytes[i], SMALL, number);
        group->parts[i] = (struct journal_part){
            .stream = "s", .records = 1, .payload = slice_of(group->bytes[i], SMALL)};
        group->appends[i] =
            (struct journal_append){.parts = &group->parts[i],
                                    .part_count = 1,
                                    .received_at_us = life->kit.clock.wall_us,
                                    .done = i ? finish : wait_at_gate,
                                    .context = gate};
    }
    group->appends[GROUP - 1].receipt = (struct journal_receipt){
        .scope_key = slice_of((const char *)&key, sizeof key), .body_sum = {1}};
}

static void append_group(struct life *life)
{
    struct gate gate = {.caller = pthread_self()};
    struct group group;
    (void)sem_init(&gate.entered, 0, 0);
    (void)sem_init(&gate.opened, 0, 0);
    (void)sem_init(&gate.finished, 0, 0);
    make_group(life, &gate, &group);
    journal_submit(life->kit.journal, &group.appends[0]);
    (void)sem_wait(&gate.entered);
    for (unsigned i = 1; i < GROUP; i++) {
        journal_submit(life->kit.journal, &group.appends[i]);
    }
    (void)sem_post(&gate.opened);
    for (unsigned i = 0; i < GROUP; i++) {
        (void)sem_wait(&gate.finished);
    }
    for (unsigned i = 0; i < GROUP; i++) {
        const struct journal_append *append = &group.appends[i];
        bool again = append->outcome == JOURNAL_REPLAYED;
        group.entries[i]->fate = again ? LIFE_REFUSED : fate_of(&append->err);
        group.entries[i]->seq = append->first_seq;
        (void)well(life, (int)append->err.code, &append->err, "append in a group");
    }
}

/* ---- Marks, settings, dead letters ------------------------------------------------- */

static void put_setting(struct life *life)
{
    char text[16];
    struct err err = {0};
    (void)snprintf(text, sizeof text, "%u", ++life->setting_tried);
    if (well(life, journal_setting_put(life->kit.journal, "n", text, &err), &err,
             "put a setting")) {
        life->setting_kept = life->setting_tried;
    }
}

/* The position of the newest entry of the lane that was taken, `back` before it. */
static bool find_position(struct life *life, unsigned lane, unsigned back,
                          struct journal_position *out_position)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    uint64_t seq = 0;
    for (size_t i = life->count; i-- > 0 && !seq;) {
        const struct life_entry *entry = &life->entries[i];
        if (entry->lane == lane && entry->fate == LIFE_TAKEN && back-- == 0) {
            seq = entry->seq;
        }
    }
    int rc =
        seq ? journal_read_entry(life->kit.journal, seq, &entries, &err) : ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND || !well(life, rc, &err, "read an entry")) {
        return false;
    }
    out_position->seq = seq;
    memcpy(out_position->sum, entries.items[0].sum, JOURNAL_SUM_LEN);
    journal_entries_free(&entries);
    return true;
}

static void mark(struct life *life, unsigned lane, unsigned back)
{
    struct journal *journal = life->kit.journal;
    struct journal_position position;
    struct journal_counts counts;
    struct err err = {0};
    const char *stream = lanes[lane].stream;
    uint32_t number = lanes[lane].lane;
    if (!find_position(life, lane, back, &position)) {
        return;
    }
    (void)well(life,
               journal_position_counts(journal, stream, number, &position, &counts, &err),
               &err, "count to a position");
    if (well(life, journal_mark_done(journal, stream, number, &position, &err), &err,
             "mark") &&
        life->done[lane] < position.seq) {
        life->done[lane] = position.seq;
    }
    journal_confirm(journal, stream, number, true);
}

static void rewind_lane(struct life *life, unsigned lane, unsigned back)
{
    struct journal_position position;
    struct journal_lane found;
    struct err err = {0};
    const char *stream = lanes[lane].stream;
    uint32_t number = lanes[lane].lane;
    if (!find_position(life, lane, back, &position)) {
        return;
    }
    int rc = journal_rewind(life->kit.journal, stream, number, &position, &err);
    if (!well(life, rc, &err, "rewind")) {
        return;
    }
    rc = journal_lane_get(life->kit.journal, stream, number, &found, &err);
    if (well(life, rc, &err, "look at a lane") && found.done.seq != position.seq) {
        broken(life, "a rewind to %llu left the mark at %llu",
               (unsigned long long)position.seq, (unsigned long long)found.done.seq);
    }
}

static void bury(struct life *life, uint32_t index)
{
    struct journal_position position;
    struct journal_dead_letter letters[2] = {{.index = index,
                                              .reason = "bad",
                                              .field = "",
                                              .detail = "why",
                                              .bytes = SLICE_LITERAL("another bad row")},
                                             {.index = index + 1,
                                              .reason = "bad",
                                              .field = "",
                                              .detail = "",
                                              .bytes = SLICE_LITERAL("and another")}};
    struct err err = {0};
    if (!find_position(life, 0, 0, &position)) {
        return;
    }
    int rc = journal_dead_letters_add(life->kit.journal, position.seq, letters, 2, &err);
    if (well(life, rc, &err, "add dead letters")) {
        add_letter(life, position.seq, index);
        add_letter(life, position.seq, index + 1);
    }
    letters[0].index += 2;
    (void)well(life,
               journal_conflicts_add(life->kit.journal, position.seq, letters, 1, &err),
               &err, "add a conflict");
}

/* The first letter is tried again, the second given up. */
static void retry_and_purge(struct life *life)
{
    char bytes[SMALL];
    size_t purged = 0;
    struct err err = {0};
    if (life->letter_count < 2) {
        return;
    }
    life->letters[0].changed = life->letters[1].changed = true;
    unsigned number = (unsigned)life->count;
    struct life_entry *entry = new_entry(life, 1);
    fill(bytes, SMALL, number);
    struct journal_part part = {.stream = "s",
                                .lane = 1,
                                .records = 1,
                                .payload = slice_of(bytes, SMALL),
                                .retried = &life->letters[0].place};
    struct journal_append append = {
        .parts = &part, .part_count = 1, .received_at_us = life->kit.clock.wall_us};
    int rc = journal_append_wait(life->kit.journal, &append);
    entry->fate = fate_of(&append.err);
    entry->seq = append.first_seq;
    (void)well(life, rc, &append.err, "retry");
    rc = journal_dead_letters_purge(life->kit.journal, &life->letters[1].place, 1,
                                    &purged, &err);
    (void)well(life, rc, &err, "purge");
}

/* ---- Looking ----------------------------------------------------------------------- */

static bool go_on(const struct journal_entry *entry, void *context)
{
    (void)entry;
    (void)context;
    return true;
}

static bool go_on_dead(const struct journal_dead_entry *entry, void *context)
{
    (void)entry;
    (void)context;
    return true;
}

/* Works on a reader's handle too. */
static void look(struct life *life, struct journal *journal)
{
    struct journal_stat stat;
    struct journal_lane *all = NULL;
    struct journal_entries entries = {0};
    struct buf value = {0};
    struct err err = {0};
    size_t count = 0;
    (void)well(life, journal_stat(journal, &stat, &err), &err, "stat");
    if (well(life, journal_lanes(journal, &all, &count, &err), &err, "list lanes")) {
        free(all);
    }
    for (unsigned i = 0; i < LIFE_LANES; i++) {
        int rc = journal_read_lane(journal, lanes[i].stream, lanes[i].lane, life->done[i],
                                   &kit_no_limits, &entries, &err);
        if (rc != ERR_GAP && well(life, rc, &err, "read a lane")) {
            journal_entries_free(&entries);
        }
        struct journal_gap gap = {.after_seq = 0};
        rc = journal_gap_find(journal, lanes[i].stream, lanes[i].lane, &gap, &err);
        if (rc != ERR_NOT_FOUND) {
            (void)well(life, rc, &err, "find a gap");
        }
    }
    (void)well(life, journal_visit(journal, 1, go_on, NULL, &err), &err, "visit");
    (void)well(life,
               journal_dead_letters_visit(journal, 1, UINT64_MAX, go_on_dead, NULL, &err),
               &err, "visit dead letters");
    int rc = journal_setting_get(journal, "n", &value, &err);
    if (rc != ERR_NOT_FOUND) {
        (void)well(life, rc, &err, "get a setting");
    }
    buf_free(&value);
}

/* ---- Phases ------------------------------------------------------------------------ */

/* Zeros ahead are written in quiet moments: until they are, or won't be any more. */
static void await_zeros(const struct life *life)
{
    enum { LOOKS = 100, LOOK_US = 500 };
    struct journal_stat stat = {0};
    struct err err = {0};
    for (unsigned i = 0; i < LOOKS && !err.code; i++) {
        (void)usleep(LOOK_US);
        (void)journal_stat(life->kit.journal, &stat, &err);
        bool done = stat.file_bytes >= stat.used_bytes + life->kit.config.preallocate;
        (void)(err.code || done || journal_health(life->kit.journal, &err));
        i = done ? LOOKS : i;
    }
}

static void work(struct life *life)
{
    if (!revive(life)) {
        return;
    }
    for (unsigned i = 0; i < LIFE_LANES; i++) {
        (void)append_one(life, i, SMALL);
    }
    append_with_receipt(life, 1);
    append_group(life);
    find_receipt(life, 1);
    bury(life, 0);
    mark(life, 0, 3);
    put_setting(life);
    await_zeros(life);
    look(life, life->kit.journal);
}

/* What was applied leaves, receipts with it; a database goes back. */
static void age(struct life *life)
{
    if (!revive(life)) {
        return;
    }
    for (unsigned key = 2; key < 6; key++) {
        append_with_receipt(life, key);
    }
    retry_and_purge(life);
    mark(life, 1, 0);
    mark(life, 2, 0);
    rewind_lane(life, 2, 1);
    kit_pass(&life->kit, 2 * hour_us);
    put_setting(life);
    (void)append_one(life, 2, SMALL);
    find_receipt(life, 2);
    mark(life, 0, 0);
    kit_pass(&life->kit, 2 * hour_us);
    put_setting(life);
    look(life, life->kit.journal);
}

/* Until it refuses; then what is applied gives way. */
static void overflow(struct life *life)
{
    int rc = ERR_OK;
    life->kit.config.size_max = 1 << 20;
    if (!revive(life)) {
        return;
    }
    for (unsigned i = 0; i < FULL_AFTER && rc == ERR_OK; i++) {
        rc = append_one(life, 0, LARGE);
    }
    if (rc == ERR_FULL) {
        append_group(life);
    }
    mark(life, 0, 1);
    (void)append_one(life, 1, HUGE);
    (void)append_one(life, 0, LARGE);
    kit_pass(&life->kit, 2 * hour_us);
    put_setting(life);
    look(life, life->kit.journal);
    mark(life, 1, 0); /* committed by closing */
}

static void copy(struct life *life)
{
    struct journal_verify_result result;
    struct journal *reader = NULL;
    struct journal_repair repair;
    struct err err = {0};
    kit_close(&life->kit);
    if (!life->born) {
        return;
    }
    if (well(life, journal_open_reader(life->kit.path, &reader, &err), &err,
             "open a reader")) {
        look(life, reader);
        journal_close(reader);
    }
    (void)well(life, journal_verify(life->kit.path, NULL, NULL, &result, &err), &err,
               "verify");
    life->copied =
        well(life, journal_backup(life->kit.path, life->copy, NULL, &result, &err), &err,
             "backup");
    life->repaired = well(
        life, journal_repair(life->kit.path, life->mended, true, NULL, &repair, &err),
        &err, "repair");
    if (life->repaired) {
        if (journal_repair_lost(&repair) && !(life->unreadable && repair.problem[0])) {
            broken(life, "repair lost something of a sound journal: %s", repair.problem);
        }
        journal_repair_free(&repair);
    }
}

static void adopt(struct life *life)
{
    struct journal_adoption adoption;
    struct err err = {0};
    if (!revive(life)) {
        return;
    }
    int rc = journal_adoption_plan(life->kit.journal, &adoption, &err);
    if (well(life, rc, &err, "plan an adoption")) {
        journal_adoption_free(&adoption);
    }
    rc = journal_adopt(life->kit.journal, &adoption, &err);
    kit_close(&life->kit);
    if (!well(life, rc, &err, "adopt")) {
        return;
    }
    if (revive(life) && strcmp(journal_id(life->kit.journal), adoption.id) != 0) {
        broken(life, "an adopted journal has the id %s, not %s",
               journal_id(life->kit.journal), adoption.id);
    }
    journal_adoption_free(&adoption);
}

void life_start(struct life *life)
{
    memset(life, 0, sizeof *life);
    /* Its syncs fail when they are told to; a disk would only take its time. */
    bool in_memory = access("/dev/shm", W_OK) == 0;
    kit_start_in(&life->kit, in_memory ? "/dev/shm" : "/tmp");
    (void)snprintf(life->copy, sizeof life->copy, "%s/copy", life->kit.directory);
    (void)snprintf(life->mended, sizeof life->mended, "%s/mended", life->kit.directory);
    /* beyond what a commit makes room for by itself */
    life->kit.config.size_max = 8 << 20;
    life->kit.config.preallocate = 3 << 20;
    life->kit.config.retain_us = hour_us;
    life->kit.config.receipts_retain_us = hour_us;
    life->kit.config.receipts_max = 3;
}

void life_run(struct life *life)
{
    work(life);
    age(life);
    kit_close(&life->kit);
    overflow(life);
    copy(life);
    adopt(life);
    if (revive(life)) {
        (void)append_one(life, 0, SMALL);
        look(life, life->kit.journal);
    }
    kit_close(&life->kit);
}

/* ---- Afterwards -------------------------------------------------------------------- */

static void check_entry(struct life *life, unsigned number)
{
    static char bytes[HUGE];
    const struct life_entry *expected = &life->entries[number];
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_entry(life->kit.journal, expected->seq, &entries, &err);
    bool applied = expected->seq <= life->done[expected->lane];
    if (rc != ERR_OK) {
        if (!(rc == ERR_NOT_FOUND && applied)) {
            broken(life, "entry %llu was taken: %s", (unsigned long long)expected->seq,
                   err.message);
        }
        return;
    }
    const struct journal_entry *entry = &entries.items[0];
    if (entry->state == JOURNAL_ENTRY_FULL && entry->payload.len <= sizeof bytes) {
        fill(bytes, entry->payload.len, number);
        if (!slice_equal(entry->payload, slice_of(bytes, entry->payload.len))) {
            broken(life, "entry %llu has other bytes", (unsigned long long)entry->seq);
        }
    } else if (!(entry->state == JOURNAL_ENTRY_EXPIRED && applied)) {
        broken(life, "entry %llu is not held in full", (unsigned long long)entry->seq);
    }
    journal_entries_free(&entries);
}

/* What is there was handed over, once, and not refused. */
static void check_held(struct life *life)
{
    bool seen[LIFE_ENTRIES] = {false};
    struct journal_stat stat = {0};
    struct err err = {0};
    (void)well(life, journal_stat(life->kit.journal, &stat, &err), &err, "stat");
    for (uint64_t seq = stat.first_seq; seq && seq < stat.next_seq; seq++) {
        struct journal_entries entries = {0};
        int rc = journal_read_entry(life->kit.journal, seq, &entries, &err);
        if (!well(life, rc, &err, "read what is held")) {
            return;
        }
        unsigned number = LIFE_ENTRIES;
        struct slice payload = entries.items[0].payload;
        if (payload.len >= sizeof number) {
            memcpy(&number, payload.data, sizeof number);
        }
        bool full = entries.items[0].state == JOURNAL_ENTRY_FULL;
        journal_entries_free(&entries);
        if (full && (number >= life->count || seen[number] ||
                     life->entries[number].fate == LIFE_REFUSED)) {
            broken(life, "entry %llu was refused, or is there twice",
                   (unsigned long long)seq);
            return;
        }
        if (full) {
            seen[number] = true;
        }
    }
}

struct search {
    const struct life_letter *letter;
    bool found;
};

static bool search_letter(const struct journal_dead_entry *entry, void *context)
{
    struct search *search = context;
    if (entry->letter.index == search->letter->place.index) {
        search->found = entry->state == JOURNAL_DEAD_KEPT || search->letter->changed;
        return false;
    }
    return true;
}

static void check_rest(struct life *life)
{
    struct journal *journal = life->kit.journal;
    struct buf value = {0};
    struct err err = {0};
    for (size_t i = 0; i < life->letter_count; i++) {
        struct search search = {.letter = &life->letters[i]};
        uint64_t seq = search.letter->place.seq;
        (void)well(
            life,
            journal_dead_letters_visit(journal, seq, seq, search_letter, &search, &err),
            &err, "look for a dead letter");
        if (!search.found) {
            broken(life, "a dead letter of entry %llu is gone", (unsigned long long)seq);
        }
    }
    unsigned number = 0;
    int rc = journal_setting_get(journal, "n", &value, &err);
    if (rc == ERR_OK && buf_text(&value)) {
        number = (unsigned)strtoul(buf_text(&value), NULL, 10);
    }
    buf_free(&value);
    if (number < life->setting_kept || number > life->setting_tried) {
        broken(life, "the setting is %u; %u was kept, %u tried", number,
               life->setting_kept, life->setting_tried);
    }
}

/* What has the name is whole, whatever was said of it: if it was made, its maker has
 * verified it. */
static void check_copy(struct life *life, const char *path, bool made)
{
    struct journal_verify_result result;
    struct err err = {0};
    bool there = access(path, F_OK) == 0;
    if (made && !there) {
        broken(life, "%s is not there", path);
    }
    if (there && !made) {
        (void)well(life, journal_verify(path, NULL, NULL, &result, &err), &err,
                   "verify a copy");
    }
}

void life_check(struct life *life)
{
    struct journal_verify_result result;
    struct err err = {0};
    check_copy(life, life->copy, life->copied);
    check_copy(life, life->mended, life->repaired);
    int rc = journal_open(&life->kit.config, true, &life->kit.journal, &err);
    if (!well(life, rc, &err, "open at the end")) {
        return;
    }
    for (unsigned i = 0; i < life->count; i++) {
        if (life->entries[i].fate == LIFE_TAKEN) {
            check_entry(life, i);
        }
    }
    check_held(life);
    check_rest(life);
    (void)append_one(life, 0, SMALL);
    kit_close(&life->kit);
    (void)well(life, journal_verify(life->kit.path, NULL, NULL, &result, &err), &err,
               "verify at the end");
}

void life_end(struct life *life)
{
    kit_end(&life->kit);
}
