#include "engine/letters.h"

#include "engine/body.h"
#include "engine/json.h"
#include "engine/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS_CHUNK = 1024, CHUNK_BYTES = 4 << 20 };

void letters_filter_all(struct letters_filter *filter)
{
    *filter = (struct letters_filter){
        .to_seq = UINT64_MAX, .since_us = INT64_MIN, .until_us = INT64_MAX};
}

bool letters_match(const struct letters_filter *filter,
                   const struct journal_dead_entry *letter)
{
    return letter->seq >= filter->from_seq && letter->seq <= filter->to_seq &&
           (!filter->one || letter->letter.index == filter->index) &&
           (!filter->stream || strcmp(filter->stream, letter->stream) == 0) &&
           (!filter->reason || strcmp(filter->reason, letter->letter.reason) == 0) &&
           letter->letter.at_us >= filter->since_us &&
           letter->letter.at_us <= filter->until_us;
}

bool letters_parse_place(const char *text, uint64_t *out_seq, uint32_t *out_index)
{
    const char *slash = strchr(text, '/');
    uint64_t seq;
    uint64_t index;
    if (!slash || !units_parse_count(slice_of(text, (size_t)(slash - text)), &seq) ||
        !units_parse_count(slice_text(slash + 1), &index) || index > UINT32_MAX) {
        return false;
    }
    *out_seq = seq;
    *out_index = (uint32_t)index;
    return true;
}

/* ---- The plan -------------------------------------------------------------------- */

struct planning {
    const struct letters_filter *filter;
    struct letters_plan *plan;
};

size_t letters_reasons_add(struct letters_reasons *reasons, const char *reason)
{
    size_t i = 0;
    while (i < reasons->count && strcmp(reasons->items[i].reason, reason) != 0) {
        i++;
    }
    if (i == LETTERS_REASONS_MAX) {
        i--;
        snprintf(reasons->items[i].reason, sizeof reasons->items[i].reason, "others");
    } else if (i == reasons->count) {
        snprintf(reasons->items[i].reason, sizeof reasons->items[i].reason, "%s", reason);
        reasons->count++;
    }
    reasons->items[i].count++;
    return i;
}

static bool plan_letter(const struct journal_dead_entry *letter, void *context)
{
    const struct planning *planning = context;
    struct letters_plan *plan = planning->plan;
    bool kept = letter->state == JOURNAL_DEAD_KEPT;
    bool conflict = letter->state == JOURNAL_DEAD_CONFLICT;
    if ((!kept && !conflict) || !letters_match(planning->filter, letter)) {
        return true;
    }
    plan->kept += kept;
    plan->conflicts += conflict;
    letters_reasons_add(&plan->reasons, letter->letter.reason);
    if (plan->sample_count < LETTERS_SAMPLES) {
        plan->samples[plan->sample_count++] =
            (struct journal_dead_place){letter->seq, letter->letter.index};
    }
    return true;
}

int letters_plan(struct journal *journal, const struct letters_filter *filter,
                 struct letters_plan *out_plan, struct err *err)
{
    struct planning planning = {.filter = filter, .plan = out_plan};
    memset(out_plan, 0, sizeof *out_plan);
    return journal_dead_letters_visit(journal, filter->from_seq, filter->to_seq,
                                      plan_letter, &planning, err);
}

/* ---- In pieces ------------------------------------------------------------------- */

/* The next letters that are chosen. */
struct chunk {
    const struct letters_filter *filter;
    bool with_conflicts; /* copies of conflicts, too */
    bool with_bytes;     /* and only as many as are of one stream */
    struct journal_dead_place places[LETTERS_CHUNK];
    size_t count;
    char stream[JOURNAL_STREAM_MAX + 1];
    struct buf bytes; /* of all of them, one after the other */
    size_t ends[LETTERS_CHUNK];
    struct journal_dead_place after; /* only behind this one */
    bool begun;                      /* `after` is one */
};

static bool is_behind(const struct chunk *chunk, const struct journal_dead_entry *letter)
{
    return !chunk->begun || letter->seq > chunk->after.seq ||
           (letter->seq == chunk->after.seq && letter->letter.index > chunk->after.index);
}

static bool is_chosen(const struct chunk *chunk, const struct journal_dead_entry *letter)
{
    bool there = letter->state == JOURNAL_DEAD_KEPT ||
                 (letter->state == JOURNAL_DEAD_CONFLICT && chunk->with_conflicts);
    return there && is_behind(chunk, letter) && letters_match(chunk->filter, letter);
}

static bool take_letter(const struct journal_dead_entry *letter, void *context)
{
    struct chunk *chunk = context;
    if (!is_chosen(chunk, letter)) {
        return true;
    }
    if (chunk->with_bytes && chunk->count &&
        (strcmp(chunk->stream, letter->stream) != 0 || chunk->bytes.len > CHUNK_BYTES)) {
        return false;
    }
    memcpy(chunk->stream, letter->stream, sizeof chunk->stream);
    if (chunk->with_bytes) {
        buf_append_slice(&chunk->bytes, letter->letter.bytes);
    }
    chunk->ends[chunk->count] = chunk->bytes.len;
    chunk->places[chunk->count++] =
        (struct journal_dead_place){letter->seq, letter->letter.index};
    return chunk->count < LETTERS_CHUNK;
}

static int fill_chunk(struct journal *journal, struct chunk *chunk, struct err *err)
{
    uint64_t from = chunk->begun ? chunk->after.seq : chunk->filter->from_seq;
    chunk->count = 0;
    buf_clear(&chunk->bytes);
    int code = journal_dead_letters_visit(journal, from, chunk->filter->to_seq,
                                          take_letter, chunk, err);
    if (code == ERR_OK && chunk->bytes.failed) {
        code = err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    if (code == ERR_OK && chunk->count) {
        chunk->after = chunk->places[chunk->count - 1];
        chunk->begun = true;
    }
    return code;
}

static struct chunk *chunk_new(const struct letters_filter *filter, struct err *err)
{
    struct chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk) {
        chunk->filter = filter;
    } else {
        err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    if (chunk) {
        buf_free(&chunk->bytes);
        free(chunk);
    }
}

/* ---- Purging --------------------------------------------------------------------- */

int letters_purge(struct journal *journal, const struct letters_filter *filter,
                  uint64_t *out_purged, struct err *err)
{
    struct chunk *chunk = chunk_new(filter, err);
    if (!chunk) {
        return ERR_NOMEM;
    }
    chunk->with_conflicts = true;
    *out_purged = 0;
    int code = fill_chunk(journal, chunk, err);
    while (code == ERR_OK && chunk->count) {
        size_t purged = 0;
        code = journal_dead_letters_purge(journal, chunk->places, chunk->count, &purged,
                                          err);
        *out_purged += purged;
        code = code ? code : fill_chunk(journal, chunk, err);
    }
    chunk_free(chunk);
    return code;
}

/* ---- Retrying -------------------------------------------------------------------- */

/* The letters of a chunk as lines of JSON, each one record, corrected. */
struct rewriting {
    const struct letters_retry *retry;
    struct json_writer *json; /* the record in hand; NULL: memory is out */
    uint32_t records;         /* recognised in this letter */
    bool broken;
    struct buf *out;
};

static bool is_set(const struct rewriting *rewriting, struct slice name)
{
    for (size_t i = 0; i < rewriting->retry->set_count; i++) {
        if (slice_is(name, rewriting->retry->sets[i].name)) {
            return true;
        }
    }
    return false;
}

static void begin_record(void *context)
{
    struct rewriting *rewriting = context;
    json_free(rewriting->json);
    rewriting->json = json_new();
    if (rewriting->json) {
        json_object(rewriting->json);
    }
}

static void put_field(void *context, struct slice name, const struct raw_value *value)
{
    struct rewriting *rewriting = context;
    char key[BODY_FIELD_NAME_MAX + 1];
    struct json_writer *json = rewriting->json;
    if (!json || name.len >= sizeof key || is_set(rewriting, name)) {
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)name.len, name.len ? name.data : "");
    json_key(json, key);
    switch (value->type) {
    case RAW_NULL:
        json_null(json);
        break;
    case RAW_TRUE:
    case RAW_FALSE:
        json_bool(json, value->type == RAW_TRUE);
        break;
    case RAW_NESTED: /* refused again where the field is one of the stream's */
        json_object(json);
        json_object_end(json);
        break;
    case RAW_STRING:
    case RAW_NUMBER:
        json_text(json, value->text);
        break;
    }
}

static void end_record(void *context, struct slice bytes)
{
    struct rewriting *rewriting = context;
    (void)bytes;
    if (!rewriting->json) {
        rewriting->out->failed = true;
        return;
    }
    for (size_t i = 0; i < rewriting->retry->set_count; i++) {
        json_put_text(rewriting->json, rewriting->retry->sets[i].name,
                      rewriting->retry->sets[i].value);
    }
    json_object_end(rewriting->json);
    buf_append_slice(rewriting->out, json_result(rewriting->json));
    buf_append_char(rewriting->out, '\n');
    rewriting->records++;
}

static void note_broken(void *context, struct slice bytes, const char *reason,
                        const char *detail)
{
    struct rewriting *rewriting = context;
    (void)bytes;
    (void)reason;
    (void)detail;
    rewriting->broken = true;
}

/* Appends one line. What is not just one record can't be corrected by its fields: false,
 * and nothing is appended. */
static bool rewrite(const struct letters_retry *retry, const struct stream *stream,
                    struct slice bytes, struct buf *out)
{
    struct rewriting rewriting = {.retry = retry, .out = out};
    struct body_handler handler = {.context = &rewriting,
                                   .begin = begin_record,
                                   .field = put_field,
                                   .end = end_record,
                                   .broken = note_broken};
    struct intake_names names;
    struct err none = {0};
    size_t before = out->len;
    intake_name_fields(stream, retry->rules->route_field, &names);
    int code = body_parse(bytes, &names.rules, &handler, &none);
    json_free(rewriting.json);
    bool one = code == ERR_OK && rewriting.records == 1 && !rewriting.broken;
    if (!one) {
        out->len = before;
    }
    return one;
}

static void note_refused(struct letters_retried *out, struct journal_dead_place place,
                         const struct intake_error *error)
{
    out->refused++;
    if (out->error_count < LETTERS_ERRORS_MAX) {
        out->errors[out->error_count++] = (struct letters_error){place, *error};
    }
}

/* A chunk on its way in. */
struct trial {
    struct buf body;
    struct journal_dead_place places[LETTERS_CHUNK];
    size_t count;
};

static void rewrite_chunk(const struct letters_retry *retry, const struct stream *stream,
                          const struct chunk *chunk, struct trial *trial,
                          struct letters_retried *out)
{
    static const struct intake_error unreadable = {
        .reason = "unreadable",
        .detail = "it is not one whole record, so that there are no fields to try again"};
    buf_clear(&trial->body);
    trial->count = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        size_t start = i ? chunk->ends[i - 1] : 0;
        struct slice bytes = slice_of(chunk->bytes.data + start, chunk->ends[i] - start);
        if (rewrite(retry, stream, bytes, &trial->body)) {
            trial->places[trial->count++] = chunk->places[i];
        } else {
            note_refused(out, chunk->places[i], &unreadable);
        }
    }
}

static void take_result(const struct trial *trial, const struct intake_batch *batch,
                        struct letters_retried *out)
{
    const struct intake_result *result = intake_batch_result(batch);
    for (size_t i = 0; i < result->error_count; i++) {
        note_refused(out, trial->places[result->errors[i].index], &result->errors[i]);
    }
    uint64_t refused = intake_batch_refused(batch);
    out->refused += refused - result->error_count;
    out->retried += trial->count - refused;
}

static int try_chunk(struct journal *journal, const struct letters_retry *retry,
                     const struct stream *stream, const struct trial *trial,
                     struct letters_retried *out, struct err *err)
{
    struct intake_source source = {.stream = stream,
                                   .body = buf_slice(&trial->body),
                                   .retried = trial->places,
                                   .retried_count = trial->count};
    struct intake_batch *batch = NULL;
    if (trial->count == 0) {
        return ERR_OK;
    }
    int code = trial->body.failed
                   ? err_set(err, ERR_NOMEM, 0, "no memory for dead letters")
                   : intake_prepare(retry->rules, &source, &batch, err);
    if (code != ERR_OK) {
        return code;
    }
    if (retry->execute && intake_batch_refused(batch) < trial->count) {
        code = intake_submit_wait(batch, journal);
        *err = intake_batch_result(batch)->err;
    }
    if (code == ERR_OK) {
        take_result(trial, batch, out);
    }
    intake_batch_free(batch);
    return code;
}

/* The stream that the letters are of; NULL: none, or one that is no longer configured,
 * so that the record itself must name one. */
static const struct stream *stream_of(const struct letters_retry *retry, const char *name)
{
    for (size_t i = 0; i < retry->rules->stream_count; i++) {
        if (strcmp(retry->rules->streams[i]->name, name) == 0) {
            return retry->rules->streams[i];
        }
    }
    return NULL;
}

static int retry_all(struct journal *journal, const struct letters_retry *retry,
                     struct chunk *chunk, struct trial *trial,
                     struct letters_retried *out, struct err *err)
{
    int code = fill_chunk(journal, chunk, err);
    while (code == ERR_OK && chunk->count) {
        const struct stream *stream = stream_of(retry, chunk->stream);
        rewrite_chunk(retry, stream, chunk, trial, out);
        code = try_chunk(journal, retry, stream, trial, out, err);
        code = code ? code : fill_chunk(journal, chunk, err);
    }
    return code;
}

int letters_retry(struct journal *journal, const struct letters_retry *retry,
                  struct letters_retried *out, struct err *err)
{
    struct trial *trial = calloc(1, sizeof *trial);
    struct chunk *chunk = trial ? chunk_new(retry->filter, err) : NULL;
    if (!chunk) {
        free(trial);
        return err_set(err, ERR_NOMEM, 0, "no memory for dead letters");
    }
    chunk->with_bytes = true;
    *out = (struct letters_retried){0};
    int code = retry_all(journal, retry, chunk, trial, out, err);
    buf_free(&trial->body);
    free(trial);
    chunk_free(chunk);
    return code;
}

bool letters_parse_set(char *text, struct letters_set *out)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        return false;
    }
    *equals = '\0';
    *out = (struct letters_set){text, equals + 1};
    return true;
}

void letters_put_retried(struct json_writer *json, const struct letters_retried *retried)
{
    char place[40];
    json_object(json);
    json_put_unsigned(json, "retried", retried->retried);
    json_put_unsigned(json, "refused", retried->refused);
    json_key(json, "errors");
    json_array(json);
    for (size_t i = 0; i < retried->error_count; i++) {
        const struct letters_error *error = &retried->errors[i];
        snprintf(place, sizeof place, "%llu/%u", (unsigned long long)error->place.seq,
                 error->place.index);
        json_object(json);
        json_put_text(json, "letter", place);
        json_put_text(json, "field", error->error.field);
        json_put_text(json, "reason", error->error.reason);
        json_put_text(json, "detail", error->error.detail);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}
