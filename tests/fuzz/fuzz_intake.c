/* A body on its whole way: parsed, checked, encoded, in a journal, and read back. The
 * first byte chooses the stream (or several, told apart) and whether there is a key. All
 * that was accepted must be in the journal's entries, as rows that read and write to the
 * same bytes or as dead letters, and the answer must say so. */
#include "engine/engine.h"
#include "engine/json.h"
#include "schema/record.h"
#include "tests/fuzz/kit.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS_MAX = 5000, JOURNAL_SIZE = 64 << 20, PAYLOAD_MAX = 16 << 20 };

static struct config *config;
static struct intake_rules rules;
static struct journal *journal;
static char path[300];
static unsigned runs;

static void close_journal(void)
{
    journal_close(journal);
    fuzz_remove(path);
    journal = NULL;
}

/* Anew every so often: nothing is ever applied. */
static void open_journal(void)
{
    struct journal_config journal_config;
    struct journal_stat stat;
    struct err err = {0};
    if (journal && runs++ < RUNS_MAX && journal_stat(journal, &stat, &err) == ERR_OK &&
        stat.free_bytes > JOURNAL_SIZE / 2) {
        return;
    }
    if (journal) {
        close_journal();
    }
    runs = 0;
    journal_config_defaults(&journal_config);
    journal_config.path = path;
    journal_config.size_max = JOURNAL_SIZE;
    journal_config.preallocate = 0;
    journal_config.clock = &clock_system;
    if (journal_open(&journal_config, true, &journal, &err) != ERR_OK) {
        fuzz_expect(false, err.message);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    config = fuzz_config("");
    rules = engine_rules_of(config);
    (void)snprintf(path, sizeof path, "%s/journal", fuzz_directory());
    (void)atexit(close_journal);
    return 0;
}

static bool count_letter(const struct journal_dead_entry *dead, void *context)
{
    uint32_t *count = context;
    fuzz_expect(dead->at_intake && dead->state == JOURNAL_DEAD_KEPT, "a new letter");
    fuzz_expect(dead->letter.reason[0] != '\0', "has a reason");
    ++*count;
    return true;
}

static uint32_t expect_rows(const struct stream *stream, struct slice payload)
{
    struct record_decoder *decoder = NULL;
    struct record_encoder encoder;
    struct value values[STREAM_FIELDS_MAX];
    struct reject reject;
    struct err err = {0};
    fuzz_expect(record_decoder_new(stream, payload, &decoder, &err) == ERR_OK,
                "a payload can be read");
    record_encoder_init(&encoder, stream, PAYLOAD_MAX);
    int code;
    while ((code = record_decoder_next(decoder, values, &reject, &err)) == ERR_OK) {
        fuzz_expect(record_encoder_add(&encoder, values), "and written");
    }
    fuzz_expect(code == ERR_NOT_FOUND, "every row that was accepted is still good");
    fuzz_expect(slice_equal(payload, record_encoder_finish(&encoder)),
                "and is the same bytes");
    uint32_t rows = encoder.rows;
    record_encoder_free(&encoder);
    record_decoder_free(decoder);
    return rows;
}

/* How many records the entry holds. */
static uint32_t expect_entry(const struct intake_entry *entry)
{
    struct journal_entries entries;
    struct err err = {0};
    uint32_t letters = 0;
    fuzz_expect(journal_read_entry(journal, entry->seq, &entries, &err) == ERR_OK,
                "what was accepted is there");
    const struct journal_entry *item = &entries.items[0];
    fuzz_expect(strcmp(item->stream, entry->stream) == 0 && item->lane == entry->lane,
                "in its lane");
    fuzz_expect(journal_dead_letters_visit(journal, entry->seq, entry->seq, count_letter,
                                           &letters, &err) == ERR_OK,
                "letters can be read");
    const struct stream *stream = config_stream(config, slice_text(item->stream));
    uint32_t rows = stream && item->payload.len ? expect_rows(stream, item->payload) : 0;
    fuzz_expect(rows + letters == item->records, "rows and letters are all records");
    uint32_t records = item->records;
    journal_entries_free(&entries);
    return records;
}

static void expect_answer(const struct intake_batch *batch,
                          const struct intake_result *result)
{
    struct buf answer = {0};
    intake_answer(batch, journal_id(journal), -1, &answer);
    struct json_value *value = json_parse(buf_slice(&answer));
    fuzz_expect(json_as_integer(json_get(value, "accepted"), -1) == result->accepted,
                "the answer says how many");
    fuzz_expect(json_count(json_get(value, "errors")) == result->error_count,
                "and what was wrong");
    json_value_free(value);
    buf_free(&answer);
}

static void submit(struct intake_batch *batch)
{
    (void)intake_submit_wait(batch, journal);
    const struct intake_result *result = intake_batch_result(batch);
    if (result->err.code != ERR_OK) {
        fuzz_expect(result->err.code == ERR_TOO_LARGE || result->err.code == ERR_FULL ||
                        result->err.code == ERR_KEY_REUSED,
                    result->err.message);
        return;
    }
    expect_answer(batch, result);
    uint64_t records = 0;
    for (size_t i = 0; i < result->entry_count; i++) {
        records += expect_entry(&result->entries[i]);
    }
    fuzz_expect(result->replayed || records == result->accepted,
                "all that was accepted is in the entries");
    fuzz_expect(result->dead_lettered <= result->accepted, "letters are accepted too");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_byte(&data, &size);
    struct slice body = fuzz_copy(data, size);
    struct intake_source source = {
        .stream = choice % 4 < 3 ? config->streams[choice % 4] : NULL,
        .body = body,
        .idempotency_key = choice & 4 ? SLICE_LITERAL("key") : (struct slice){0},
        .scope = slice_of(&choice, 1),
    };
    struct intake_batch *batch = NULL;
    struct err err = {0};
    open_journal();
    int code = intake_prepare(&rules, &source, &batch, &err);
    if (code == ERR_OK) {
        submit(batch);
        intake_batch_free(batch);
    } else {
        fuzz_expect((code == ERR_INVALID || code == ERR_TOO_LARGE) && err.message[0],
                    "refused with a reason");
    }
    free((void *)body.data);
    return 0;
}
