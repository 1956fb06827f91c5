#include "replay/decode.h"

#include "schema/record.h"

#include <stdlib.h>

struct place {
    uint64_t seq;
    uint32_t index;
};

/* Dead letters of the entries, in order. */
struct left_out {
    const struct journal_entries *entries;
    size_t entry;   /* the first that is not below the last letter */
    bool met_other; /* that letter is of another lane's entry */
    struct place *places;
    size_t count;
    size_t capacity;
    size_t at; /* those before it are below the row being read */
    bool failed;
};

static bool note_left_out(const struct journal_dead_entry *entry, void *context)
{
    struct left_out *left_out = context;
    const struct journal_entries *entries = left_out->entries;
    while (left_out->entry < entries->count &&
           entries->items[left_out->entry].seq < entry->seq) {
        left_out->entry++;
    }
    left_out->met_other = left_out->entry == entries->count ||
                          entries->items[left_out->entry].seq != entry->seq;
    if (left_out->met_other) {
        return false;
    }
    if (entry->state == JOURNAL_DEAD_CONFLICT) {
        return true;
    }
    if (left_out->count == left_out->capacity) {
        size_t capacity = left_out->capacity ? left_out->capacity * 2 : 16;
        struct place *places = realloc(left_out->places, capacity * sizeof *places);
        if (!places) {
            left_out->failed = true;
            return false;
        }
        left_out->places = places;
        left_out->capacity = capacity;
    }
    left_out->places[left_out->count++] = (struct place){entry->seq, entry->letter.index};
    return true;
}

static bool is_below(const struct place *place, uint64_t seq, uint32_t index)
{
    return place->seq < seq || (place->seq == seq && place->index < index);
}

/* Rows are asked for in order. */
static bool is_left_out(struct left_out *left_out, uint64_t seq, uint32_t index)
{
    while (left_out->at < left_out->count &&
           is_below(&left_out->places[left_out->at], seq, index)) {
        left_out->at++;
    }
    return left_out->at < left_out->count && left_out->places[left_out->at].seq == seq &&
           left_out->places[left_out->at].index == index;
}

/* Text that the decoder made and takes back with its next row. */
struct decoded_text {
    struct decoded_text *next;
    char bytes[];
};

struct decoding {
    const struct stream *stream;
    struct left_out left_out;
    struct decoded *out;
};

static int allocate(struct decoding *decoding, const struct journal_entries *entries,
                    struct err *err)
{
    size_t rows = 1;
    for (size_t i = 0; i < entries->count; i++) {
        rows += entries->items[i].records;
    }
    struct decoded *out = decoding->out;
    out->records = calloc(rows, sizeof *out->records);
    out->rejects = calloc(rows, sizeof *out->rejects);
    out->values = calloc(rows * decoding->stream->field_count, sizeof *out->values);
    if (!out->records || !out->rejects || !out->values) {
        return err_set(err, ERR_NOMEM, 0, "no memory for %zu records", rows);
    }
    return ERR_OK;
}

static void keep_reject(struct decoded *out, uint64_t seq, uint32_t index,
                        const struct reject *reject)
{
    out->rejects[out->reject_count++] = (struct decoded_reject){seq, index, *reject};
}

static bool is_within(struct slice text, struct slice payload)
{
    return text.len == 0 || (text.data >= payload.data &&
                             text.data + text.len <= payload.data + payload.len);
}

static int keep_texts(struct decoding *decoding, struct slice payload,
                      struct value *values, struct err *err)
{
    for (size_t i = 0; i < decoding->stream->field_count; i++) {
        struct value *value = &values[i];
        if (value->type != VALUE_TEXT || is_within(value->text, payload)) {
            continue;
        }
        struct decoded_text *text = malloc(sizeof *text + value->text.len);
        if (!text) {
            return err_set(err, ERR_NOMEM, 0, "no memory for a record's text");
        }
        memcpy(text->bytes, value->text.data, value->text.len);
        value->text.data = text->bytes;
        text->next = decoding->out->texts;
        decoding->out->texts = text;
    }
    return ERR_OK;
}

static int decode_row(struct decoding *decoding, const struct journal_entry *entry,
                      struct record_decoder *decoder, uint32_t index, struct err *err)
{
    struct decoded *out = decoding->out;
    struct value *values = out->values + out->count * decoding->stream->field_count;
    struct reject reject;
    int code = record_decoder_next(decoder, values, &reject, err);
    if (code != ERR_OK && code != ERR_DATA) {
        return code;
    }
    if (is_left_out(&decoding->left_out, entry->seq, index)) {
        return ERR_OK;
    }
    if (code == ERR_DATA) {
        keep_reject(out, entry->seq, index, &reject);
        return ERR_OK;
    }
    if (keep_texts(decoding, entry->payload, values, err) != ERR_OK) {
        return err->code;
    }
    out->records[out->count++] = (struct apply_record){
        .values = values,
        .seq = entry->seq,
        .index = index,
        .received_at_us = entry->received_at_us,
    };
    return ERR_OK;
}

static int decode_entry(struct decoding *decoding, const struct journal_entry *entry,
                        struct err *err)
{
    if (entry->payload.len == 0) {
        return ERR_OK; /* nothing but dead letters */
    }
    struct record_decoder *decoder;
    int code = record_decoder_new(decoding->stream, entry->payload, &decoder, err);
    if (code != ERR_OK) {
        return err_wrap(err, "entry %llu", (unsigned long long)entry->seq);
    }
    uint32_t rows = record_decoder_rows(decoder);
    if (rows > entry->records) {
        code = err_set(err, ERR_CORRUPT, 0, "%u rows, but its header says %u", rows,
                       entry->records);
    }
    for (uint32_t i = 0; i < rows && code == ERR_OK; i++) {
        code = decode_row(decoding, entry, decoder, i, err);
    }
    record_decoder_free(decoder);
    return code == ERR_OK ? code
                          : err_wrap(err, "entry %llu", (unsigned long long)entry->seq);
}

/* The end of the entries from `first` on whose seqs have no other lane's between them. */
static size_t end_of_range(const struct journal_entries *entries, size_t first)
{
    size_t end = first + 1;
    while (end < entries->count &&
           entries->items[end].seq == entries->items[end - 1].seq + 1) {
        end++;
    }
    return end;
}

/* Mostly there is none, and one look will do. Where other lanes have some, which may be
 * many and large, only our own entries' are read from there on. */
static int read_left_out(struct journal *journal, const struct journal_entries *entries,
                         struct left_out *left_out, struct err *err)
{
    int code = ERR_OK;
    bool others = false;
    size_t first = 0;
    left_out->entries = entries;
    while (first < entries->count && code == ERR_OK && !left_out->failed) {
        size_t end = others ? end_of_range(entries, first) : entries->count;
        left_out->met_other = false;
        code = journal_dead_letters_visit(journal, entries->items[first].seq,
                                          entries->items[end - 1].seq, note_left_out,
                                          left_out, err);
        others = others || left_out->met_other;
        first = left_out->met_other ? left_out->entry : end;
    }
    if (code == ERR_OK && left_out->failed) {
        code = err_set(err, ERR_NOMEM, 0, "no memory for the list of dead letters");
    }
    return code;
}

int decode_entries(struct journal *journal, const struct stream *stream,
                   const struct journal_entries *entries, struct decoded *out_decoded,
                   struct err *err)
{
    struct decoded decoded = {0};
    struct decoding decoding = {.stream = stream, .out = &decoded};
    int code = read_left_out(journal, entries, &decoding.left_out, err);
    if (code == ERR_OK) {
        code = allocate(&decoding, entries, err);
    }
    for (size_t i = 0; i < entries->count && code == ERR_OK; i++) {
        code = decode_entry(&decoding, &entries->items[i], err);
    }
    decoded.left_out_count = decoding.left_out.count;
    free(decoding.left_out.places);
    if (code != ERR_OK) {
        decode_free(&decoded);
        return code;
    }
    *out_decoded = decoded;
    return ERR_OK;
}

void decode_free(struct decoded *decoded)
{
    while (decoded->texts) {
        struct decoded_text *next = decoded->texts->next;
        free(decoded->texts);
        decoded->texts = next;
    }
    free(decoded->records);
    free(decoded->rejects);
    free(decoded->values);
    *decoded = (struct decoded){0};
}

void decode_keep(struct decoded *decoded, const struct stream *stream,
                 bool (*wants)(const struct value *key, void *context), void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < decoded->count; i++) {
        if (wants(&decoded->records[i].values[stream->key_field], context)) {
            decoded->records[kept++] = decoded->records[i];
        }
    }
    decoded->count = kept;
}

/* They never become fewer while their entry is pending. */
int decode_is_current(struct journal *journal, const struct journal_entries *entries,
                      const struct decoded *decoded, bool *out_current, struct err *err)
{
    struct left_out left_out = {0};
    int code = read_left_out(journal, entries, &left_out, err);
    if (code == ERR_OK) {
        *out_current = left_out.count == decoded->left_out_count;
    }
    free(left_out.places);
    return code;
}
