#include "tests/faults/crash_work.h"

#include "tests/faults/layer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAGIC = 0x48465742, EXIT_STRANGE = 3 };

const struct workload crash_workloads[] = {
    {.name = "creation", .size_max = 1 << 20, .producers = 1, .batches = 2, .bytes = 300},
    {.name = "creation in an empty directory",
     .size_max = 1 << 20,
     .producers = 1,
     .batches = 2,
     .bytes = 300,
     .exists = true},
    {.name = "group commit",
     .size_max = 4 << 20,
     .producers = 6,
     .batches = 20,
     .bytes = 2000},
    {.name = "growth",
     .size_max = 8 << 20,
     .producers = 1,
     .batches = 24,
     .bytes = 60000},
    {.name = "zeros ahead",
     .size_max = 4 << 20,
     .preallocate = 96 << 10,
     .producers = 2,
     .batches = 16,
     .bytes = 30000},
    {.name = "delete and reuse",
     .size_max = 768 << 10,
     .producers = 1,
     .batches = 50,
     .bytes = 20000,
     .marks = true,
     .leaves = true},
    {.name = "idempotency keys",
     .size_max = 2 << 20,
     .producers = 3,
     .batches = 16,
     .bytes = 1500,
     .keys = true},
    {.name = "dead letters",
     .size_max = 2 << 20,
     .producers = 1,
     .batches = 40,
     .bytes = 1500,
     .letters = true,
     .marks = true},
    {.name = "full",
     .size_max = 320 << 10,
     .producers = 2,
     .batches = 16,
     .bytes = 12000,
     .keys = true},
};
const size_t crash_workload_count = sizeof crash_workloads / sizeof *crash_workloads;

/* ---- Batches ----------------------------------------------------------------------- */

struct payload_head {
    uint32_t magic;
    uint32_t number;
    uint32_t part;
    uint32_t len;
};

static void fill(char *out, uint32_t len, uint32_t number, uint32_t part)
{
    struct payload_head head = {MAGIC, number, part, len};
    uint64_t random = (uint64_t)number << 8 | part;
    memcpy(out, &head, sizeof head);
    for (uint32_t i = sizeof head; i < len; i += sizeof(uint64_t)) {
        uint64_t word = layer_random(&random);
        memcpy(out + i, &word, len - i < sizeof word ? len - i : sizeof word);
    }
}

bool work_recognise(struct slice payload, uint32_t *out_number, uint32_t *out_part)
{
    struct payload_head head;
    if (payload.len < sizeof head) {
        return false;
    }
    memcpy(&head, payload.data, sizeof head);
    *out_number = head.number;
    *out_part = head.part;
    return head.magic == MAGIC && head.len == payload.len &&
           head.number < WORK_BATCHES_MAX && head.part < WORK_PARTS_MAX;
}

static void add_letters(struct work_batch *batch, uint32_t number, size_t part,
                        size_t count)
{
    struct journal_part *to = &batch->parts[part];
    for (size_t i = 0; i < count; i++) {
        char *text = batch->bytes[part][i];
        (void)snprintf(text, sizeof batch->bytes[part][i], "bad record %u/%zu/%zu",
                       number, part, i);
        batch->letters[part][i] = (struct journal_dead_letter){.index = to->records++,
                                                               .at_us = 1,
                                                               .reason = "bad",
                                                               .field = "ip",
                                                               .detail = "as made",
                                                               .bytes = slice_text(text)};
    }
    to->dead = count > 0 ? batch->letters[part] : NULL;
    to->dead_count = count;
}

int work_batch_make(const struct workload *workload, uint32_t number,
                    const struct journal_dead_place *retried, struct work_batch *out,
                    struct err *err)
{
    uint64_t random = number * UINT64_C(7919) + workload->bytes;
    memset(out, 0, sizeof *out);
    out->part_count = retried ? 1 : 1 + layer_random(&random) % WORK_PARTS_MAX;
    out->memory = calloc(WORK_PARTS_MAX, workload->bytes);
    if (out->memory == NULL) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a batch");
    }
    for (size_t p = 0; p < out->part_count; p++) {
        uint32_t most = workload->bytes - (uint32_t)sizeof(struct payload_head);
        uint32_t len =
            (uint32_t)(sizeof(struct payload_head) + layer_random(&random) % (most + 1));
        char *bytes = out->memory + p * workload->bytes;
        fill(bytes, len, number, (uint32_t)p);
        out->parts[p] = (struct journal_part){.stream = number % 5 == 0 ? "t" : "s",
                                              .lane = (uint32_t)p,
                                              .records = 1 + (uint32_t)p,
                                              .payload = slice_of(bytes, len)};
        if (workload->letters && !retried) {
            add_letters(out, number, p, layer_random(&random) % (WORK_LETTERS_MAX + 1));
        }
    }
    if (retried) {
        out->retried = *retried;
        out->parts[0].retried = &out->retried;
    }
    if (workload->keys && layer_random(&random) % 3 != 0) {
        (void)snprintf(out->key, sizeof out->key, "key of %u", number);
    }
    return ERR_OK;
}

void work_batch_free(struct work_batch *batch)
{
    free(batch->memory);
    batch->memory = NULL;
}

struct journal_append work_append(const struct work_batch *batch)
{
    struct journal_append append = {.parts = batch->parts,
                                    .part_count = batch->part_count,
                                    .received_at_us = 1700000000000000};
    if (batch->key[0] != '\0') {
        append.receipt.scope_key = slice_text(batch->key);
        append.receipt.answer = slice_text(batch->key);
        memcpy(append.receipt.body_sum, batch->key, sizeof append.receipt.body_sum);
    }
    return append;
}

struct journal_dead_letter work_added_letter(uint64_t seq, char text[40])
{
    (void)snprintf(text, 40, "added to %llu", (unsigned long long)seq);
    return (struct journal_dead_letter){.index = 0,
                                        .at_us = 2,
                                        .reason = "too_long",
                                        .field = "city",
                                        .detail = "as added",
                                        .bytes = slice_text(text)};
}

struct journal_config work_config(const struct workload *workload, const char *path)
{
    struct journal_config config;
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = workload->size_max;
    config.preallocate = workload->preallocate;
    if (workload->leaves) {
        config.retain_us = 0;
    } else {
        config.retain_us = INT64_MAX / 2;
    }
    config.receipts_retain_us = INT64_MAX / 2;
    return config;
}

/* ---- The program ------------------------------------------------------------------- */

struct program {
    const struct workload *workload;
    struct journal *journal;
    void (*say)(const void *bytes, size_t len);
    uint32_t round;
    uint32_t retries;
};

struct producer {
    struct program *program;
    pthread_t thread;
    uint32_t number;
};

static _Noreturn void strange(const char *what, const struct err *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->message);
    exit(EXIT_STRANGE);
}

static void say(const struct program *program, struct mark mark)
{
    program->say(&mark, sizeof mark);
}

/* Returns the seq; 0: refused. */
static uint64_t send_batch(struct program *program, uint32_t number,
                           const struct work_batch *batch)
{
    struct journal_append append = work_append(batch);
    int code = journal_append_wait(program->journal, &append);
    if (code == ERR_FULL) {
        say(program, (struct mark){.kind = MARK_REFUSED, .number = number});
        return 0;
    }
    if (code != ERR_OK) {
        strange("append", &append.err);
    }
    say(program,
        (struct mark){.kind = MARK_ACKED, .number = number, .seq = append.first_seq});
    return append.first_seq;
}

static void send_again(struct program *program, const struct work_batch *batch,
                       uint64_t seq)
{
    struct journal_append append = work_append(batch);
    if (journal_append_wait(program->journal, &append) != ERR_OK ||
        append.outcome != JOURNAL_REPLAYED || append.first_seq != seq) {
        strange("the same key again", &append.err);
    }
}

static void mark_done(struct program *program, uint64_t seq)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    if (journal_read_entry(program->journal, seq, &entries, &err) != ERR_OK) {
        strange("read", &err);
    }
    const struct journal_entry *entry = &entries.items[0];
    struct journal_position position = {.seq = seq};
    memcpy(position.sum, entry->sum, sizeof position.sum);
    bool stopped = strcmp(entry->stream, "s") == 0 && entry->lane == 1;
    if (!stopped) {
        say(program, (struct mark){.kind = MARK_DONE, .seq = seq});
        if (journal_mark_done(program->journal, entry->stream, entry->lane, &position,
                              &err) != ERR_OK) {
            strange("done", &err);
        }
        journal_confirm(program->journal, entry->stream, entry->lane, true);
    }
    journal_entries_free(&entries);
}

struct search {
    uint64_t skip; /* so many kept ones */
    struct journal_dead_place place;
};

static bool look(const struct journal_dead_entry *entry, void *context)
{
    struct search *search = context;
    if (entry->state != JOURNAL_DEAD_KEPT || !entry->at_intake) {
        return true;
    }
    search->place = (struct journal_dead_place){entry->seq, entry->letter.index};
    return search->skip-- > 0;
}

/* A letter that is kept; seq 0: none is. */
static struct journal_dead_place find_letter(const struct program *program, uint64_t skip)
{
    struct search search = {.skip = skip};
    struct err err = {0};
    if (journal_dead_letters_visit(program->journal, 1, UINT64_MAX, look, &search,
                                   &err) != ERR_OK) {
        strange("dead letters", &err);
    }
    return search.place;
}

static void retry(struct program *program, struct journal_dead_place place)
{
    uint32_t number = WORK_RETRIES + program->retries++;
    struct work_batch batch;
    struct err err = {0};
    if (work_batch_make(program->workload, number, &place, &batch, &err) != ERR_OK) {
        strange("retry", &err);
    }
    say(program,
        (struct mark){
            .kind = MARK_SENT, .number = number, .seq = place.seq, .index = place.index});
    (void)send_batch(program, number, &batch);
    work_batch_free(&batch);
}

static void purge(struct program *program, struct journal_dead_place place)
{
    struct err err = {0};
    size_t purged = 0;
    struct mark mark = {.kind = MARK_PURGING, .seq = place.seq, .index = place.index};
    say(program, mark);
    if (journal_dead_letters_purge(program->journal, &place, 1, &purged, &err) !=
            ERR_OK ||
        purged != 1) {
        strange("purge", &err);
    }
    mark.kind = MARK_PURGED;
    say(program, mark);
}

static void add_letter(struct program *program, uint64_t seq)
{
    char text[40];
    struct err err = {0};
    struct journal_dead_letter letter = work_added_letter(seq, text);
    say(program, (struct mark){.kind = MARK_ADDING, .seq = seq});
    if (journal_dead_letters_add(program->journal, seq, &letter, 1, &err) != ERR_OK) {
        strange("add", &err);
    }
    say(program, (struct mark){.kind = MARK_ADDED, .seq = seq});
}

static void set(struct program *program, uint32_t number)
{
    char text[16];
    struct err err = {0};
    (void)snprintf(text, sizeof text, "%u", number);
    say(program, (struct mark){.kind = MARK_SETTING, .number = number});
    if (journal_setting_put(program->journal, "number", text, &err) != ERR_OK) {
        strange("setting", &err);
    }
    say(program, (struct mark){.kind = MARK_SET, .number = number});
}

static void rewind_lane(struct program *program)
{
    struct err err = {0};
    struct journal_position nothing = {0};
    say(program, (struct mark){.kind = MARK_REWINDING});
    if (journal_rewind(program->journal, "s", 0, &nothing, &err) != ERR_OK) {
        strange("rewind", &err);
    }
    say(program, (struct mark){.kind = MARK_REWOUND});
}

/* What an operator and replay do to dead letters, by turns. */
static void operate(struct program *program, uint32_t i, uint64_t seq)
{
    struct journal_dead_place place = find_letter(program, i % 3);
    if (i % 4 == 1 && place.seq != 0) {
        retry(program, place);
    } else if (i % 4 == 2 && place.seq != 0) {
        purge(program, place);
    } else if (i % 4 == 3) {
        add_letter(program, seq);
    } else {
        set(program, i);
    }
    if (i % 13 == 12) {
        rewind_lane(program);
    }
}

static void *produce(void *argument)
{
    const struct producer *producer = argument;
    struct program *program = producer->program;
    const struct workload *workload = program->workload;
    uint32_t half = workload->batches / 2;
    for (uint32_t i = program->round * half; i < (program->round + 1) * half; i++) {
        uint32_t number = producer->number * workload->batches + i;
        struct work_batch batch;
        struct err err = {0};
        if (work_batch_make(workload, number, NULL, &batch, &err) != ERR_OK) {
            strange("batch", &err);
        }
        say(program, (struct mark){.kind = MARK_SENT, .number = number});
        uint64_t seq = send_batch(program, number, &batch);
        if (seq != 0 && batch.key[0] != '\0' && number % 3 == 0) {
            send_again(program, &batch, seq);
        }
        for (size_t p = 0; seq != 0 && workload->marks && p < batch.part_count; p++) {
            mark_done(program, seq + p);
        }
        if (workload->letters) {
            operate(program, i, seq);
        }
        work_batch_free(&batch);
    }
    return NULL;
}

static void run_round(struct program *program, const char *path)
{
    struct journal_config config = work_config(program->workload, path);
    struct producer producers[8] = {0};
    struct err err = {0};
    if (journal_open(&config, true, &program->journal, &err) != ERR_OK) {
        strange("open", &err);
    }
    struct mark opened = {.kind = MARK_OPENED};
    (void)snprintf(opened.id, sizeof opened.id, "%s", journal_id(program->journal));
    say(program, opened);
    for (uint32_t i = 0; i < program->workload->producers; i++) {
        producers[i] = (struct producer){.program = program, .number = i};
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0) {
            strange("thread", &err);
        }
    }
    for (uint32_t i = 0; i < program->workload->producers; i++) {
        (void)pthread_join(producers[i].thread, NULL);
    }
    /* time for a step of zeros, which needs a quiet moment: what of it gets into the
     * trace is left to chance */
    (void)usleep(program->workload->preallocate > 0 ? 20000 : 0);
    journal_close(program->journal);
}

int work_run(const struct workload *workload, const char *path)
{
    struct program program = {.workload = workload};
    void *found = dlsym(RTLD_DEFAULT, "faults_mark");
    if (found == NULL) {
        (void)fprintf(stderr, "nobody records: preload_record is not preloaded\n");
        return EXIT_STRANGE;
    }
    memcpy(&program.say, &found, sizeof found);
    for (program.round = 0; program.round < 2; program.round++) {
        run_round(&program, path);
    }
    return 0;
}
