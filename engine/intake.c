/* engine/intake.c
 *
 * A body is parsed once. Each record's fields are kept as they came until the record ends
 * (the field that names its stream may be the last), then read into values, checked, and
 * encoded into the part of its stream and lane. A record that is refused becomes a dead
 * letter of its stream's lane 0, or of INTAKE_UNROUTED where it has no stream.
 */
#include "engine/intake.h"

#include "engine/body.h"
#include "engine/digest.h"
#include "engine/json.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "schema/record.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PARTS_MAX = 4096,
    HEADER_BYTES_MAX = 16 << 20,
    LETTERS_MAX = 1 << 16, /* of a batch, and one more for so many bytes of its body: */
    LETTER_BYTES = 64,     /* pieces of two bytes would take forty times their room */
    FIELDS_MAX = 256,      /* of one record, known or not */
    ANSWER_VERSION = 1,
};

struct raw_field {
    struct slice name;
    struct raw_value value;
};

/* What the field at one place of a record was called, and which of its stream's it is:
 * the next record's is most often the same. */
struct known_name {
    const struct stream *stream;
    struct slice name; /* in the body */
    int index;
};

/* One entry to be. */
struct part {
    const struct stream *stream; /* NULL: INTAKE_UNROUTED */
    uint32_t lane;
    struct record_encoder encoder;
    struct journal_dead_letter *dead;
    size_t dead_count;
    size_t dead_capacity;
    struct journal_dead_place *retried; /* a retry: the letters that its rows are */
};

struct intake_batch {
    const struct intake_rules *rules;
    struct intake_source source;
    struct part *parts;
    size_t part_count;
    size_t part_capacity;
    uint32_t *newest; /* a lane's newest part and one, by slot_of; 0: none */
    struct intake_error errors[INTAKE_ERRORS_MAX];
    uint32_t accepted;
    uint32_t dead_lettered;
    int64_t now_us;

    /* the record in hand */
    struct raw_field fields[FIELDS_MAX];
    size_t field_count;
    bool too_many_fields;
    struct arena record_text; /* its strings that don't stand in the body as they are */
    struct value values[STREAM_FIELDS_MAX];
    struct known_name known[STREAM_FIELDS_MAX]; /* by place in the record */

    struct arena text;   /* of dead letters */
    struct slice header; /* the line that names a CSV body's columns; empty: none */
    size_t header_bytes; /* of its copies */
    int code; /* the first failure that ends the batch: ERR_NOMEM, ERR_TOO_LARGE */

    /* the append */
    struct journal_append append;
    struct journal_part *journal_parts;
    struct intake_entry *entries;
    struct buf scope_key;
    struct buf answer;
    struct intake_result result;
    void (*done)(struct intake_batch *batch, void *context);
    void *context;
};

/* ---- Parts
 * ----------------------------------------------------------------------------- */

static struct part *add_part(struct intake_batch *batch, const struct stream *stream,
                             uint32_t lane)
{
    if (batch->part_count == PARTS_MAX) {
        batch->code = ERR_TOO_LARGE;
        return NULL;
    }
    if (batch->part_count == batch->part_capacity) {
        size_t capacity = batch->part_capacity ? batch->part_capacity * 2 : 8;
        struct part *parts = realloc(batch->parts, capacity * sizeof *parts);
        if (!parts) {
            batch->code = ERR_NOMEM;
            return NULL;
        }
        batch->parts = parts;
        batch->part_capacity = capacity;
    }
    struct part *part = &batch->parts[batch->part_count++];
    *part = (struct part){.stream = stream, .lane = lane};
    if (stream) {
        record_encoder_init(&part->encoder, stream, 0);
    }
    return part;
}

/* Where batch->newest has the stream's lane: INTAKE_UNROUTED first, then the streams. */
static size_t slot_of(const struct intake_batch *batch, const struct stream *stream,
                      uint32_t lane)
{
    size_t index = 0;
    if (stream && batch->source.stream) {
        index = 1;
    } else if (stream) {
        while (batch->rules->streams[index++] != stream) {
        }
    }
    return index * STREAM_LANES_MAX + lane;
}

static bool make_slots(struct intake_batch *batch)
{
    size_t streams = batch->source.stream ? 1 : batch->rules->stream_count;
    batch->newest = calloc((streams + 1) * STREAM_LANES_MAX, sizeof *batch->newest);
    return batch->newest != NULL;
}

/* The part that takes the next record of this lane: the newest one, if it has room. */
static struct part *part_for(struct intake_batch *batch, const struct stream *stream,
                             uint32_t lane)
{
    uint32_t *newest = &batch->newest[slot_of(batch, stream, lane)];
    if (*newest) {
        struct part *part = &batch->parts[*newest - 1];
        if (part->encoder.rows + part->dead_count < batch->rules->entry_records_max) {
            return part;
        }
    }
    struct part *part = add_part(batch, stream, lane);
    *newest = part ? (uint32_t)batch->part_count : *newest;
    return part;
}

/* ---- Dead letters
 * ------------------------------------------------------------------------ */

static bool is_retry(const struct intake_batch *batch)
{
    return batch->source.retried != NULL;
}

static void note_error(struct intake_batch *batch, const struct reject *reject)
{
    if (batch->dead_lettered >= INTAKE_ERRORS_MAX) {
        return;
    }
    struct intake_error *error = &batch->errors[batch->dead_lettered];
    error->index = batch->accepted + (is_retry(batch) ? batch->dead_lettered : 0);
    snprintf(error->field, sizeof error->field, "%s", reject->field);
    snprintf(error->reason, sizeof error->reason, "%s", reject->reason);
    snprintf(error->detail, sizeof error->detail, "%s", reject->detail);
}

static bool grow_dead(struct part *part)
{
    if (part->dead_count < part->dead_capacity) {
        return true;
    }
    size_t capacity = part->dead_capacity ? part->dead_capacity * 2 : 4;
    struct journal_dead_letter *dead = realloc(part->dead, capacity * sizeof *dead);
    if (dead) {
        part->dead = dead;
        part->dead_capacity = capacity;
    }
    return dead != NULL;
}

static bool is_within(const struct intake_batch *batch, struct slice text)
{
    struct slice body = batch->source.body;
    return text.data >= body.data && text.data + text.len <= body.data + body.len;
}

/* Text that stands in the body is borrowed; other text is copied. */
static struct slice keep(struct intake_batch *batch, struct arena *arena,
                         struct slice text)
{
    if (text.len == 0 || is_within(batch, text)) {
        return text;
    }
    struct slice copy = arena_copy(arena, text);
    if (!copy.data) {
        batch->code = ERR_NOMEM;
    }
    return copy;
}

/* A CSV line means nothing without the line that names its columns. Bounded: a long
 * header before very many short lines would make much of little. */
static struct slice with_header(struct intake_batch *batch, struct slice bytes)
{
    struct buf both = {0};
    if (batch->header.len == 0) {
        return bytes;
    }
    batch->header_bytes += batch->header.len;
    if (batch->header_bytes > HEADER_BYTES_MAX) {
        batch->code = ERR_TOO_LARGE;
        return bytes;
    }
    buf_append_slice(&both, batch->header);
    buf_append_char(&both, '\n');
    buf_append_slice(&both, bytes);
    if (!both.failed) {
        bytes = keep(batch, &batch->text, buf_slice(&both));
    }
    batch->code = both.failed ? ERR_NOMEM : batch->code;
    buf_free(&both);
    return bytes;
}

/* Most often it is that of the letter before. */
static const char *keep_detail(struct intake_batch *batch, const struct part *part,
                               const char *detail)
{
    const char *before = part->dead_count ? part->dead[part->dead_count - 1].detail : "";
    return part->dead_count && strcmp(before, detail) == 0
               ? before
               : arena_copy(&batch->text, slice_text(detail)).data;
}

static void bury(struct intake_batch *batch, const struct stream *stream,
                 struct slice bytes, const struct reject *reject)
{
    if (is_retry(batch)) {
        note_error(batch, reject);
        batch->dead_lettered++;
        return;
    }
    if (batch->dead_lettered >= LETTERS_MAX + batch->source.body.len / LETTER_BYTES) {
        batch->code = ERR_TOO_LARGE;
        return;
    }
    struct part *part = part_for(batch, stream, 0);
    if (!part) {
        return;
    }
    const char *detail = keep_detail(batch, part, reject->detail);
    bytes = with_header(batch, bytes);
    if (!detail || !grow_dead(part)) {
        batch->code = ERR_NOMEM;
        return;
    }
    part->dead[part->dead_count++] = (struct journal_dead_letter){
        .at_us = batch->now_us,
        .reason = reject->reason,
        .field = reject->field,
        .detail = detail,
        .bytes = bytes,
    };
    note_error(batch, reject);
    batch->dead_lettered++;
    batch->accepted++;
}

static void reject_with(struct reject *out, const char *reason, const char *field,
                        const char *detail)
{
    out->reason = reason;
    out->field = field;
    snprintf(out->detail, sizeof out->detail, "%s", detail);
}

/* ---- Records
 * ----------------------------------------------------------------------------- */

static void on_begin(void *context)
{
    struct intake_batch *batch = context;
    batch->field_count = 0;
    batch->too_many_fields = false;
    arena_clear(&batch->record_text);
}

static void on_field(void *context, struct slice name, const struct raw_value *value)
{
    struct intake_batch *batch = context;
    if (batch->field_count == FIELDS_MAX) {
        batch->too_many_fields = true;
        return;
    }
    struct raw_field *field = &batch->fields[batch->field_count++];
    field->name = keep(batch, &batch->record_text, name);
    field->value = *value;
    field->value.text = keep(batch, &batch->record_text, value->text);
}

/* The field that names the record's stream; NULL: *out_reject says what is wrong. */
static const struct raw_field *find_route(const struct intake_batch *batch,
                                          struct reject *out_reject)
{
    const char *name = batch->rules->route_field;
    const struct raw_field *route = NULL;
    for (size_t i = 0; i < batch->field_count; i++) {
        if (!slice_is(batch->fields[i].name, name)) {
            continue;
        }
        if (route) {
            reject_with(out_reject, "duplicate_field", name,
                        "the record names this field twice");
            return NULL;
        }
        route = &batch->fields[i];
    }
    if (!route) {
        reject_with(out_reject, "missing", name,
                    "this field names the record's stream, and it is not there");
    }
    return route;
}

/* NULL: *out_reject says why the record has no stream. */
static const struct stream *find_stream(const struct intake_batch *batch,
                                        struct reject *out_reject)
{
    const struct intake_rules *rules = batch->rules;
    if (batch->source.stream) {
        return batch->source.stream;
    }
    const struct raw_field *route = find_route(batch, out_reject);
    for (size_t i = 0; route && i < rules->stream_count; i++) {
        if (slice_is(route->value.text, rules->streams[i]->name)) {
            return rules->streams[i];
        }
    }
    if (route) {
        reject_with(out_reject, "unknown_stream", rules->route_field,
                    "no stream of this name is configured");
    }
    return NULL;
}

/* The stream's field of the name at this place of the record, or STREAM_NO_FIELD. */
static int find_field(struct intake_batch *batch, const struct stream *stream,
                      size_t place)
{
    struct slice name = batch->fields[place].name;
    if (place >= STREAM_FIELDS_MAX) {
        return stream_field_find(stream, name);
    }
    struct known_name *known = &batch->known[place];
    if (known->stream == stream && slice_equal(known->name, name)) {
        return known->index;
    }
    int index = stream_field_find(stream, name);
    if (is_within(batch, name)) { /* else it is gone with its record */
        *known = (struct known_name){stream, name, index};
    }
    return index;
}

static bool read_fields(struct intake_batch *batch, const struct stream *stream,
                        struct reject *out_reject)
{
    struct time_rules times = {.zone_offset_s = batch->rules->zone_offset_s,
                               .now_us = batch->now_us,
                               .max_future_us = batch->rules->max_future_us};
    uint64_t seen = 0;
    memset(batch->values, 0, stream->field_count * sizeof batch->values[0]);
    if (batch->too_many_fields) {
        reject_with(out_reject, "fields", "", "more than 256 fields");
        return false;
    }
    for (size_t i = 0; i < batch->field_count; i++) {
        int index = find_field(batch, stream, i);
        if (index == STREAM_NO_FIELD) {
            continue;
        }
        const struct stream_field *field = &stream->fields[index];
        if (seen >> index & 1) {
            reject_with(out_reject, "duplicate_field", field->name,
                        "the record names this field twice");
            return false;
        }
        seen |= (uint64_t)1 << index;
        if (!stream_field_parse(field, &batch->fields[i].value, &times,
                                &batch->values[index], out_reject)) {
            return false;
        }
    }
    return stream_record_check(stream, batch->values, out_reject);
}

/* The row about to be added is the next letter; its places have the room that the most
 * rows of a part take. */
static bool note_retried(struct intake_batch *batch, struct part *part)
{
    size_t letter = batch->accepted + batch->dead_lettered;
    if (letter >= batch->source.retried_count) {
        batch->code = ERR_INVALID;
        return false;
    }
    if (!part->retried) {
        part->retried = calloc(batch->source.retried_count, sizeof *part->retried);
    }
    if (!part->retried) {
        batch->code = ERR_NOMEM;
        return false;
    }
    part->retried[part->encoder.rows] = batch->source.retried[letter];
    return true;
}

static void take_record(struct intake_batch *batch, const struct stream *stream)
{
    uint32_t lane = stream->lanes > 1 ? stream_lane(stream, batch->values) : 0;
    struct part *part = part_for(batch, stream, lane);
    if (!part || (is_retry(batch) && !note_retried(batch, part))) {
        return;
    }
    if (record_encoder_add(&part->encoder, batch->values)) {
        batch->accepted++;
    } else {
        batch->code = ERR_NOMEM;
    }
}

static void on_end(void *context, struct slice bytes)
{
    struct intake_batch *batch = context;
    struct reject reject = {.reason = "", .field = ""};
    const struct stream *stream = find_stream(batch, &reject);
    if (batch->code != ERR_OK) {
        return;
    }
    if (stream && read_fields(batch, stream, &reject)) {
        take_record(batch, stream);
    } else {
        bury(batch, stream, bytes, &reject);
    }
}

static void on_broken(void *context, struct slice bytes, const char *reason,
                      const char *detail)
{
    struct intake_batch *batch = context;
    struct reject reject;
    reject_with(&reject, reason, "", detail);
    if (batch->code == ERR_OK && bytes.len) {
        bury(batch, batch->source.stream, keep(batch, &batch->text, bytes), &reject);
    }
}

static void on_header(void *context, struct slice bytes)
{
    struct intake_batch *batch = context;
    batch->header = bytes;
}

/* ---- Preparing
 * --------------------------------------------------------------------------- */

void intake_name_fields(const struct stream *stream, const char *route_field,
                        struct intake_names *out)
{
    *out = (struct intake_names){.keys = {route_field}};
    out->rules = (struct body_rules){
        .csv_fields = out->csv, .key_fields = out->keys, .key_count = 1};
    if (!stream) {
        return;
    }
    out->rules.key_count = 0;
    for (size_t i = 0; i < stream->csv_count; i++) {
        out->csv[out->rules.csv_count++] = stream->fields[stream->csv[i]].name;
    }
    for (size_t i = 0; i < stream->field_count; i++) {
        if (stream->fields[i].key) {
            out->keys[out->rules.key_count++] = stream->fields[i].name;
        }
    }
}

static int parse(struct intake_batch *batch, struct err *err)
{
    struct intake_names names;
    intake_name_fields(batch->source.stream, batch->rules->route_field, &names);
    struct body_handler handler = {.context = batch,
                                   .begin = on_begin,
                                   .field = on_field,
                                   .end = on_end,
                                   .broken = on_broken,
                                   .header = on_header};
    int code = body_parse(batch->source.body, &names.rules, &handler, err);
    if (batch->code == ERR_NOMEM) {
        return err_set(err, ERR_NOMEM, 0, "out of memory while reading the body");
    }
    if (batch->code == ERR_INVALID) {
        return err_set(err, ERR_INVALID, 0, "the body has more records than it retries");
    }
    if (batch->code == ERR_TOO_LARGE) {
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the body needs more than %d journal entries, or has too many "
                       "wrong records, or wrong lines under a long header; send it in "
                       "parts",
                       PARTS_MAX);
    }
    return code;
}

static int finish_part(struct part *part, struct journal_part *out, struct err *err)
{
    uint32_t rows = part->encoder.rows;
    *out = (struct journal_part){
        .stream = part->stream ? part->stream->name : INTAKE_UNROUTED,
        .lane = part->lane,
        .records = rows + (uint32_t)part->dead_count,
        .dead = part->dead,
        .dead_count = part->dead_count,
        .retried = part->retried,
    };
    for (size_t i = 0; i < part->dead_count; i++) {
        part->dead[i].index = rows + (uint32_t)i;
    }
    if (rows) {
        out->payload = record_encoder_finish(&part->encoder);
        if (!out->payload.len) {
            return err_set(err, ERR_NOMEM, 0, "out of memory while encoding the batch");
        }
    }
    return ERR_OK;
}

static int finish_parts(struct intake_batch *batch, struct err *err)
{
    batch->journal_parts = calloc(batch->part_count, sizeof *batch->journal_parts);
    batch->entries = calloc(batch->part_count, sizeof *batch->entries);
    if (!batch->journal_parts || !batch->entries) {
        return err_set(err, ERR_NOMEM, 0, "out of memory while encoding the batch");
    }
    for (size_t i = 0; i < batch->part_count; i++) {
        struct journal_part *part = &batch->journal_parts[i];
        if (finish_part(&batch->parts[i], part, err) != ERR_OK) {
            return err->code;
        }
        batch->entries[i] = (struct intake_entry){part->stream, part->lane, 0};
    }
    return ERR_OK;
}

/* What a receipt keeps of the answer: version, accepted, dead_lettered, then each error's
 * index, field, reason, detail. */
static void encode_answer(struct intake_batch *batch)
{
    struct buf *out = &batch->answer;
    bytes_put_u8(out, ANSWER_VERSION);
    bytes_put_u32(out, batch->accepted);
    bytes_put_u32(out, batch->dead_lettered);
    bytes_put_u8(out, (uint8_t)batch->result.error_count);
    for (size_t i = 0; i < batch->result.error_count; i++) {
        const struct intake_error *error = &batch->errors[i];
        bytes_put_u32(out, error->index);
        bytes_put_slice(out, slice_text(error->field));
        bytes_put_slice(out, slice_text(error->reason));
        bytes_put_slice(out, slice_text(error->detail));
    }
}

static void get_text(struct bytes_reader *in, char *out, size_t size)
{
    struct slice text = bytes_get_slice(in);
    size_t len = text.len < size ? text.len : size - 1;
    if (len) {
        memcpy(out, text.data, len);
    }
    out[len] = '\0';
}

static int decode_answer(struct intake_batch *batch, struct slice answer)
{
    struct bytes_reader in = bytes_reader(answer);
    struct intake_result *result = &batch->result;
    if (bytes_get_u8(&in) != ANSWER_VERSION) {
        return err_set(&result->err, ERR_VERSION, 0,
                       "the stored answer was written by a newer version");
    }
    result->accepted = bytes_get_u32(&in);
    result->dead_lettered = bytes_get_u32(&in);
    result->error_count = bytes_get_u8(&in);
    if (result->error_count > INTAKE_ERRORS_MAX) {
        in.failed = true;
        result->error_count = 0;
    }
    for (size_t i = 0; i < result->error_count; i++) {
        struct intake_error *error = &batch->errors[i];
        error->index = bytes_get_u32(&in);
        get_text(&in, error->field, sizeof error->field);
        get_text(&in, error->reason, sizeof error->reason);
        get_text(&in, error->detail, sizeof error->detail);
    }
    return in.failed
               ? err_set(&result->err, ERR_CORRUPT, 0, "the stored answer can't be read")
               : ERR_OK;
}

/* The receipt's key and the body's sum: what makes a resend known. */
static int identify(struct intake_batch *batch, struct err *err)
{
    if (batch->source.idempotency_key.len == 0) {
        return ERR_OK;
    }
    struct journal_receipt *receipt = &batch->append.receipt;
    buf_append_slice(&batch->scope_key, batch->source.scope);
    buf_append_slice(&batch->scope_key, batch->source.idempotency_key);
    if (batch->scope_key.failed) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for a batch");
    }
    if (batch->scope_key.len > JOURNAL_RECEIPT_KEY_MAX) {
        return err_set(
            err, ERR_INVALID, 0,
            "the Idempotency-Key is too long; at most 200 characters are taken");
    }
    receipt->scope_key = buf_slice(&batch->scope_key);
    digest_body(batch->source.body, receipt->body_sum);
    return ERR_OK;
}

static int make_answer(struct intake_batch *batch, struct err *err)
{
    if (batch->source.idempotency_key.len == 0) {
        return ERR_OK;
    }
    encode_answer(batch);
    batch->append.receipt.answer = buf_slice(&batch->answer);
    return batch->answer.failed
               ? err_set(err, ERR_NOMEM, 0, "out of memory while encoding the batch")
               : ERR_OK;
}

static struct intake_batch *new_batch(const struct intake_rules *rules,
                                      const struct intake_source *source)
{
    struct intake_batch *batch = calloc(1, sizeof *batch);
    if (batch) {
        batch->rules = rules;
        batch->source = *source;
        batch->now_us = clock_wall_us(rules->clock);
        batch->result.errors = batch->errors;
        if (!make_slots(batch)) {
            free(batch);
            batch = NULL;
        }
    }
    return batch;
}

int intake_prepare(const struct intake_rules *rules, const struct intake_source *source,
                   struct intake_batch **out_batch, struct err *err)
{
    struct intake_batch *batch = new_batch(rules, source);
    if (!batch) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for a batch");
    }
    int code = identify(batch, err);
    code = code ? code : parse(batch, err);
    batch->result.error_count = batch->dead_lettered < INTAKE_ERRORS_MAX
                                    ? batch->dead_lettered
                                    : INTAKE_ERRORS_MAX;
    code = code ? code : finish_parts(batch, err);
    code = code ? code : make_answer(batch, err);
    if (code != ERR_OK) {
        intake_batch_free(batch);
        return code;
    }
    *out_batch = batch;
    return ERR_OK;
}

size_t intake_batch_letter_bytes(const struct intake_batch *batch)
{
    size_t bytes = 0;
    for (size_t i = 0; i < batch->part_count; i++) {
        const struct part *part = &batch->parts[i];
        bytes += part->dead_capacity * sizeof *part->dead;
        for (size_t j = 0; j < part->dead_count; j++) {
            struct slice letter = part->dead[j].bytes;
            bytes += is_within(batch, letter) ? 0 : letter.len;
        }
    }
    return bytes;
}

int intake_recall(const struct intake_rules *rules, const struct intake_source *source,
                  struct journal *journal, struct intake_batch **out_batch,
                  struct err *err)
{
    if (source->idempotency_key.len == 0) {
        return err_set(err, ERR_NOT_FOUND, 0, "the batch has no key");
    }
    struct intake_batch *batch = new_batch(rules, source);
    if (!batch) {
        return err_set(err, ERR_NOMEM, 0, "out of memory for a batch");
    }
    int code = identify(batch, err);
    const struct journal_receipt *receipt = &batch->append.receipt;
    code = code ? code
                : journal_receipt_find(journal, receipt->scope_key, receipt->body_sum,
                                       &batch->result.seq, &batch->answer, err);
    if (code == ERR_OK && decode_answer(batch, buf_slice(&batch->answer)) != ERR_OK) {
        *err = batch->result.err;
        code = err->code;
    }
    if (code != ERR_OK) {
        intake_batch_free(batch);
        return code;
    }
    batch->result.replayed = true;
    *out_batch = batch;
    return ERR_OK;
}

void intake_batch_shrink(struct intake_batch *batch)
{
    for (size_t i = 0; i < batch->part_count; i++) {
        if (batch->parts[i].stream) {
            record_encoder_free(&batch->parts[i].encoder);
        }
        free(batch->parts[i].dead);
        free(batch->parts[i].retried);
    }
    free(batch->parts);
    free(batch->newest);
    free(batch->journal_parts);
    batch->parts = NULL;
    batch->newest = NULL;
    batch->journal_parts = NULL;
    batch->part_count = 0;
    batch->source.body = (struct slice){0};
    arena_free(&batch->record_text);
    arena_free(&batch->text);
    buf_free(&batch->scope_key);
    buf_free(&batch->answer);
}

void intake_batch_free(struct intake_batch *batch)
{
    if (batch) {
        intake_batch_shrink(batch);
        free(batch->entries);
        free(batch);
    }
}

/* ---- Submitting
 * -------------------------------------------------------------------------- */

static void on_done(struct journal_append *append)
{
    struct intake_batch *batch = append->context;
    struct intake_result *result = &batch->result;
    result->err = append->err;
    result->seq = append->first_seq;
    if (append->err.code == ERR_OK && append->outcome == JOURNAL_REPLAYED) {
        result->replayed = true;
        (void)decode_answer(batch, append->answer); /* a failure is in result->err */
    } else if (append->err.code == ERR_OK) {
        result->accepted = batch->accepted;
        result->dead_lettered = batch->dead_lettered;
        result->entries = batch->entries;
        result->entry_count = batch->part_count;
        for (size_t i = 0; i < batch->part_count; i++) {
            batch->entries[i].seq = append->first_seq + i;
        }
    }
    batch->done(batch, batch->context);
}

void intake_submit(struct intake_batch *batch, struct journal *journal,
                   void (*done)(struct intake_batch *batch, void *context), void *context)
{
    batch->done = done;
    batch->context = context;
    batch->append.parts = batch->journal_parts;
    batch->append.part_count = batch->part_count;
    batch->append.received_at_us = batch->now_us;
    batch->append.done = on_done;
    batch->append.context = batch;
    journal_submit(journal, &batch->append);
}

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    bool done;
};

static void wake(struct intake_batch *batch, void *context)
{
    (void)batch;
    struct wait *wait = context;
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    pthread_cond_signal(&wait->finished);
    pthread_mutex_unlock(&wait->lock);
}

uint32_t intake_batch_refused(const struct intake_batch *batch)
{
    return batch->dead_lettered;
}

int intake_submit_wait(struct intake_batch *batch, struct journal *journal)
{
    struct wait wait = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    intake_submit(batch, journal, wake, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done) {
        pthread_cond_wait(&wait.finished, &wait.lock);
    }
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.finished);
    pthread_mutex_destroy(&wait.lock);
    return batch->result.err.code;
}

const struct intake_result *intake_batch_result(const struct intake_batch *batch)
{
    return &batch->result;
}

/* ---- Answering
 * --------------------------------------------------------------------------- */

static void put_error(struct json_writer *json, const struct intake_error *error)
{
    json_object(json);
    json_put_unsigned(json, "index", error->index);
    json_put_text(json, "field", error->field);
    json_put_text(json, "reason", error->reason);
    json_put_text(json, "detail", error->detail);
    json_object_end(json);
}

void intake_answer(const struct intake_batch *batch, const char *journal_id, int applied,
                   struct buf *out)
{
    const struct intake_result *result = &batch->result;
    struct json_writer *json = json_new();
    if (!json) {
        out->failed = true;
        return;
    }
    char name[JOURNAL_ID_TEXT + 24];
    snprintf(name, sizeof name, "%s/%llu", journal_id, (unsigned long long)result->seq);
    json_object(json);
    json_put_text(json, "batch", name);
    json_put_unsigned(json, "seq", result->seq);
    json_put_unsigned(json, "accepted", result->accepted);
    json_put_unsigned(json, "dead_lettered", result->dead_lettered);
    json_key(json, "errors");
    json_array(json);
    for (size_t i = 0; i < result->error_count; i++) {
        put_error(json, &result->errors[i]);
    }
    json_array_end(json);
    json_put_bool(json, "replayed", result->replayed);
    if (applied >= 0) {
        json_put_bool(json, "applied", applied > 0);
    }
    json_object_end(json);
    buf_append_slice(out, json_result(json));
    json_free(json);
}
