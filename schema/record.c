/* The payload of a journal entry, version 1. Integers are little-endian, varints LEB128.
 *
 *     u8      version, 1
 *     u32     number of rows
 *     u8      number of fields, at most 255
 *     fields: u8 wire type; varint length and bytes of the name (UTF-8)
 *     rows:   a bitmap of ceil(fields / 8) bytes, bit i % 8 of byte i / 8 being set where
 *             field i is carried, the bits beyond the last field zero; then each carried
 *             field in order:
 *               1 text      varint length, bytes
 *               2 ip        u32
 *               3 time      u64, two's complement, microseconds since 1970 UTC
 *               4 integer   varint, zigzag
 *               5 unsigned  varint
 *               6 float     u64, the bits of an IEEE 754 double
 *               7 bool      u8, 0 or 1
 *
 * Nothing follows the last row. Within version 1 nothing changes: a reader refuses an
 * unknown wire type as damage and a higher version as newer. */
#include "schema/record.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "schema/internal.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RECORD_VERSION = 1,
    ROWS_OFFSET = 1,
    FIELDS_MAX = 255,
    CONVERTED_MAX = 48, /* the text of any value that is not text */
};

enum wire_type {
    WIRE_TEXT = 1,
    WIRE_IP,
    WIRE_TIME,
    WIRE_INTEGER,
    WIRE_UNSIGNED,
    WIRE_FLOAT,
    WIRE_BOOL,
};

static const enum value_type value_types[] = {
    [WIRE_TEXT] = VALUE_TEXT,        [WIRE_IP] = VALUE_IP,
    [WIRE_TIME] = VALUE_TIME,        [WIRE_INTEGER] = VALUE_INTEGER,
    [WIRE_UNSIGNED] = VALUE_INTEGER, [WIRE_FLOAT] = VALUE_FLOAT,
    [WIRE_BOOL] = VALUE_BOOL,
};

static enum wire_type wire_type(const struct stream_field *field)
{
    switch (field->type) {
    case VALUE_TEXT:
        return WIRE_TEXT;
    case VALUE_IP:
        return WIRE_IP;
    case VALUE_TIME:
        return WIRE_TIME;
    case VALUE_INTEGER:
        return field->is_unsigned ? WIRE_UNSIGNED : WIRE_INTEGER;
    case VALUE_FLOAT:
        return WIRE_FLOAT;
    case VALUE_BOOL:
    case VALUE_ABSENT:
        break;
    }
    return WIRE_BOOL;
}

static uint64_t zigzag(int64_t integer)
{
    return (uint64_t)integer << 1 ^ (integer < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t bits)
{
    return (int64_t)(bits >> 1 ^ (bits & 1 ? UINT64_MAX : 0));
}

static uint64_t integer_bits(const struct stream_field *field, int64_t integer)
{
    return field->is_unsigned ? (uint64_t)integer : zigzag(integer);
}

/* ---- Encoding -------------------------------------------------------------------- */

/* The header; false (and nothing written) where there is no room. */
static bool put_header(struct record_encoder *encoder)
{
    const struct stream *stream = encoder->stream;
    struct buf *out = &encoder->out;
    bytes_put_u8(out, RECORD_VERSION);
    bytes_put_u32(out, 0);
    bytes_put_u8(out, (uint8_t)stream->field_count);
    for (size_t i = 0; i < stream->field_count; i++) {
        bytes_put_u8(out, (uint8_t)wire_type(&stream->fields[i]));
        bytes_put_slice(out, slice_text(stream->fields[i].name));
    }
    if (out->failed) {
        buf_clear(out);
        return false;
    }
    return true;
}

void record_encoder_init(struct record_encoder *encoder, const struct stream *stream,
                         size_t bytes_max)
{
    *encoder = (struct record_encoder){.stream = stream, .out = {.max = bytes_max}};
}

void record_encoder_free(struct record_encoder *encoder)
{
    buf_free(&encoder->out);
    encoder->rows = 0;
}

static size_t varint_size(uint64_t value)
{
    size_t bits = 64 - (size_t)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static size_t value_size(const struct stream_field *field, const struct value *value)
{
    switch (value->type) {
    case VALUE_TEXT:
        return varint_size(value->text.len) + value->text.len;
    case VALUE_IP:
        return 4;
    case VALUE_TIME:
    case VALUE_FLOAT:
        return 8;
    case VALUE_INTEGER:
        return varint_size(integer_bits(field, value->integer));
    case VALUE_BOOL:
        return 1;
    case VALUE_ABSENT:
        break;
    }
    return 0;
}

static uint8_t *put_fixed(uint8_t *at, uint64_t bits, size_t width)
{
    bits = htole64(bits);
    memcpy(at, &bits, width);
    return at + width;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_value(uint8_t *at, const struct stream_field *field,
                          const struct value *value)
{
    uint64_t bits = 0;
    switch (value->type) {
    case VALUE_TEXT:
        at = put_varint(at, value->text.len);
        if (value->text.len) {
            memcpy(at, value->text.data, value->text.len);
        }
        return at + value->text.len;
    case VALUE_IP:
        return put_fixed(at, value->ip, 4);
    case VALUE_TIME:
        return put_fixed(at, (uint64_t)value->time_us, 8);
    case VALUE_INTEGER:
        return put_varint(at, integer_bits(field, value->integer));
    case VALUE_FLOAT:
        memcpy(&bits, &value->real, sizeof bits);
        return put_fixed(at, bits, 8);
    case VALUE_BOOL:
        return put_fixed(at, value->boolean, 1);
    case VALUE_ABSENT:
        break;
    }
    return at;
}

/* The size is known before the first byte is written, so that a row is there whole or
 * not at all and room is asked for once. */
bool record_encoder_add(struct record_encoder *encoder, const struct value *values)
{
    const struct stream *stream = encoder->stream;
    if (encoder->rows == UINT32_MAX || (encoder->out.len == 0 && !put_header(encoder))) {
        return false;
    }
    size_t bitmap_len = (stream->field_count + 7) / 8;
    size_t size = bitmap_len;
    for (size_t i = 0; i < stream->field_count; i++) {
        assert(values[i].type == VALUE_ABSENT ||
               values[i].type == stream->fields[i].type);
        size += value_size(&stream->fields[i], &values[i]);
    }
    if (!buf_reserve(&encoder->out, size)) {
        encoder->out.failed = false;
        return false;
    }
    uint8_t *bitmap = (uint8_t *)encoder->out.data + encoder->out.len;
    uint8_t *at = bitmap + bitmap_len;
    memset(bitmap, 0, bitmap_len);
    for (size_t i = 0; i < stream->field_count; i++) {
        if (values[i].type != VALUE_ABSENT) {
            bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
            at = put_value(at, &stream->fields[i], &values[i]);
        }
    }
    assert(at == bitmap + size);
    encoder->out.len += size;
    encoder->rows++;
    return true;
}

struct slice record_encoder_finish(struct record_encoder *encoder)
{
    if (encoder->out.len == 0 && !put_header(encoder)) {
        return slice_of(NULL, 0);
    }
    put_fixed((uint8_t *)encoder->out.data + ROWS_OFFSET, encoder->rows, 4);
    return buf_slice(&encoder->out);
}

/* ---- Decoding -------------------------------------------------------------------- */

/* A field as the payload names it. */
struct wire_field {
    struct slice name;
    enum wire_type type;
    int index; /* today's field, or STREAM_NO_FIELD */
};

struct record_decoder {
    const struct stream *stream;
    struct bytes_reader in;
    uint32_t rows;
    uint32_t row; /* rows read so far */
    struct slice last;
    size_t field_count;
    struct wire_field fields[FIELDS_MAX];
    /* texts of values whose type has changed; valid until the next row */
    char converted[STREAM_FIELDS_MAX][CONVERTED_MAX];
};

static int corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, 0, "damaged record payload: %s", what);
}

/* Is the name among the first `count` fields? */
static bool has_field(const struct record_decoder *decoder, size_t count,
                      struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(decoder->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

static int read_fields(struct record_decoder *decoder, struct err *err)
{
    struct bytes_reader *in = &decoder->in;
    for (size_t i = 0; i < decoder->field_count; i++) {
        struct wire_field *field = &decoder->fields[i];
        uint8_t type = bytes_get_u8(in);
        field->name = bytes_get_slice(in);
        size_t characters;
        if (in->failed || type < WIRE_TEXT || type > WIRE_BOOL ||
            !utf8_count(field->name, &characters)) {
            return corrupt(err, "a field's type or name can't be read");
        }
        field->type = (enum wire_type)type;
        field->index = stream_field_find(decoder->stream, field->name);
        if (has_field(decoder, i, field->name)) {
            return corrupt(err, "two fields have one name");
        }
    }
    return ERR_OK;
}

static int read_header(struct record_decoder *decoder, struct err *err)
{
    struct bytes_reader *in = &decoder->in;
    uint8_t version = bytes_get_u8(in);
    if (!in->failed && version > RECORD_VERSION) {
        return err_set(err, ERR_VERSION, 0,
                       "record payload of version %u, where this program reads up to %d: "
                       "use the version of holdfast that wrote it, or a newer one",
                       version, RECORD_VERSION);
    }
    decoder->rows = bytes_get_u32(in);
    decoder->field_count = bytes_get_u8(in);
    if (in->failed || version == 0) {
        return corrupt(err, "its header can't be read");
    }
    int code = read_fields(decoder, err);
    size_t row_min = (decoder->field_count + 7) / 8;
    if (!code && decoder->rows > 0 &&
        (row_min == 0 || decoder->rows > bytes_left(in) / row_min)) {
        code = corrupt(err, "more rows than bytes for them");
    }
    return code;
}

int record_decoder_new(const struct stream *stream, struct slice payload,
                       struct record_decoder **out_decoder, struct err *err)
{
    struct record_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) {
        return err_set(err, ERR_NOMEM, 0, "no memory to decode records");
    }
    decoder->stream = stream;
    decoder->in = bytes_reader(payload);
    int code = read_header(decoder, err);
    if (code) {
        free(decoder);
        return code;
    }
    *out_decoder = decoder;
    return ERR_OK;
}

void record_decoder_free(struct record_decoder *decoder)
{
    free(decoder);
}

uint32_t record_decoder_rows(const struct record_decoder *decoder)
{
    return decoder->rows;
}

/* False: no such value can have been written. */
static bool get_value(struct bytes_reader *in, enum wire_type type, struct value *value)
{
    uint64_t bits;
    value->type = value_types[type];
    switch (type) {
    case WIRE_TEXT:
        value->text = bytes_get_slice(in);
        break;
    case WIRE_IP:
        value->ip = bytes_get_u32(in);
        break;
    case WIRE_TIME:
        value->time_us = (int64_t)bytes_get_u64(in);
        break;
    case WIRE_INTEGER:
        value->integer = unzigzag(bytes_get_varint(in));
        break;
    case WIRE_UNSIGNED:
        value->integer = (int64_t)bytes_get_varint(in);
        break;
    case WIRE_FLOAT:
        bits = bytes_get_u64(in);
        memcpy(&value->real, &bits, sizeof value->real);
        return !in->failed && isfinite(value->real);
    case WIRE_BOOL: {
        uint8_t byte = bytes_get_u8(in);
        value->boolean = byte == 1;
        return !in->failed && byte <= 1;
    }
    }
    return !in->failed;
}

static void append_wire_text(struct buf *out, enum wire_type type,
                             const struct value *value)
{
    if (type == WIRE_UNSIGNED) {
        buf_printf(out, "%llu", (unsigned long long)value->integer);
    } else {
        value_append_text(out, value);
    }
}

/* The text of a value, kept in the decoder unless it is text already. */
static struct slice text_of(struct record_decoder *decoder,
                            const struct wire_field *field, const struct value *value)
{
    if (value->type == VALUE_TEXT) {
        return value->text;
    }
    char *kept = decoder->converted[field->index];
    struct buf text = {.data = kept, .capacity = CONVERTED_MAX, .max = CONVERTED_MAX};
    append_wire_text(&text, field->type, value);
    assert(!text.failed && text.data == kept);
    return buf_slice(&text);
}

static bool fits_as_is(const struct stream_field *field, enum wire_type type,
                       const struct value *value)
{
    if (value->type != field->type) {
        return false;
    }
    /* the same bits mean the same number unless the top one is set */
    bool is_unsigned = type == WIRE_UNSIGNED;
    return value->type != VALUE_INTEGER || field->is_unsigned == is_unsigned ||
           value->integer >= 0;
}

/* Yesterday's value under today's field. */
static bool take_value(struct record_decoder *decoder, const struct wire_field *field,
                       struct value *value, struct reject *out_reject)
{
    const struct stream_field *today = &decoder->stream->fields[field->index];
    if (fits_as_is(today, field->type, value)) {
        return field_limit(today, value, out_reject);
    }
    /* the time was judged against the clock when it came in */
    struct time_rules rules = {.max_future_us = INT64_MAX, .now_us = INT64_MAX};
    struct raw_value raw = {RAW_STRING, text_of(decoder, field, value)};
    return stream_field_parse(today, &raw, &rules, value, out_reject);
}

static struct slice get_bitmap(const struct record_decoder *decoder,
                               struct bytes_reader *in)
{
    struct slice bitmap = bytes_get_raw(in, (decoder->field_count + 7) / 8);
    size_t rest = decoder->field_count % 8;
    if (!in->failed && rest && (uint8_t)bitmap.data[bitmap.len - 1] >> rest) {
        in->failed = true;
    }
    return bitmap;
}

static bool is_carried(struct slice bitmap, size_t field)
{
    return (uint8_t)bitmap.data[field / 8] >> (field % 8) & 1;
}

static int finish_rows(const struct record_decoder *decoder, struct err *err)
{
    if (bytes_left(&decoder->in)) {
        return corrupt(err, "bytes after the last row");
    }
    return err_set(err, ERR_NOT_FOUND, 0, "no more rows");
}

static int refuse_row(const struct record_decoder *decoder, const struct reject *reject,
                      struct err *err)
{
    return err_set(err, ERR_DATA, 0, "row %u: field '%s': %s", decoder->row - 1,
                   reject->field, reject->detail);
}

int record_decoder_next(struct record_decoder *decoder, struct value *values,
                        struct reject *out_reject, struct err *err)
{
    if (decoder->row == decoder->rows) {
        return finish_rows(decoder, err);
    }
    struct bytes_reader in = decoder->in;
    const uint8_t *start = in.at;
    struct slice bitmap = get_bitmap(decoder, &in);
    struct reject reject;
    bool accepted = true;
    for (size_t i = 0; i < decoder->stream->field_count; i++) {
        values[i] = (struct value){.type = VALUE_ABSENT};
    }
    for (size_t i = 0; !in.failed && i < decoder->field_count; i++) {
        const struct wire_field *field = &decoder->fields[i];
        struct value value = {.type = VALUE_ABSENT};
        if (!is_carried(bitmap, i)) {
            continue;
        }
        in.failed = !get_value(&in, field->type, &value);
        if (accepted && !in.failed && field->index != STREAM_NO_FIELD) {
            accepted = take_value(decoder, field, &value, &reject);
            values[field->index] = value;
        }
    }
    if (in.failed) {
        return corrupt(err, "a row can't be read");
    }
    decoder->in = in;
    decoder->row++;
    decoder->last = slice_of(start, (size_t)(in.at - start));
    accepted = accepted && stream_record_check(decoder->stream, values, &reject);
    if (!accepted) {
        *out_reject = reject;
        return refuse_row(decoder, &reject, err);
    }
    return ERR_OK;
}

/* ---- Showing ----------------------------------------------------------------------- */

static void append_json_string(struct buf *out, struct slice text)
{
    buf_append_char(out, '"');
    while (text.len) {
        size_t len = utf8_next(text);
        unsigned char first = (unsigned char)text.data[0];
        if (len == 0) {
            buf_append_text(out, "\\ufffd");
            len = 1;
        } else if (first == '"' || first == '\\') {
            buf_printf(out, "\\%c", first);
        } else if (first < 0x20 || first == 0x7f) {
            buf_printf(out, "\\u%04x", first);
        } else {
            buf_append(out, text.data, len);
        }
        text = slice_of(text.data + len, text.len - len);
    }
    buf_append_char(out, '"');
}

static void append_json_value(struct buf *out, enum wire_type type,
                              const struct value *value)
{
    if (type == WIRE_TEXT) {
        append_json_string(out, value->text);
        return;
    }
    const char *quote = type == WIRE_IP || type == WIRE_TIME ? "\"" : "";
    buf_append_text(out, quote);
    append_wire_text(out, type, value);
    buf_append_text(out, quote);
}

void record_decoder_append_json(const struct record_decoder *decoder, struct buf *out)
{
    struct bytes_reader in = bytes_reader(decoder->last);
    struct slice bitmap = {NULL, 0};
    if (decoder->row > 0) {
        bitmap = get_bitmap(decoder, &in);
    }
    const char *separator = "";
    buf_append_char(out, '{');
    for (size_t i = 0; bitmap.len && i < decoder->field_count; i++) {
        const struct wire_field *field = &decoder->fields[i];
        struct value value;
        if (!is_carried(bitmap, i) || !get_value(&in, field->type, &value)) {
            continue;
        }
        buf_append_text(out, separator);
        append_json_string(out, field->name);
        buf_append_char(out, ':');
        append_json_value(out, field->type, &value);
        separator = ",";
    }
    buf_append_char(out, '}');
}
