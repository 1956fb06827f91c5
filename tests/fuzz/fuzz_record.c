/* The payload of an entry: arbitrary bytes, read under three streams; and what can be
 * read and is written again must read the same, to the byte. The first byte chooses the
 * stream. */
#include "engine/json.h"
#include "schema/record.h"
#include "tests/fuzz/kit.h"

#include <math.h>
#include <stdlib.h>

enum { PAYLOAD_MAX = 1 << 20 };

static struct config *config;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    config = fuzz_config("");
    return 0;
}

static void expect_json(const struct record_decoder *decoder)
{
    struct buf json = {0};
    record_decoder_append_json(decoder, &json);
    struct json_value *value = json_parse(buf_slice(&json));
    fuzz_expect(value != NULL, "a row is shown as JSON");
    json_value_free(value);
    buf_free(&json);
}

/* A value obeys its field, or the decoder should have said so. */
static void expect_legal(const struct stream_field *field, const struct value *value)
{
    if (value->type == VALUE_ABSENT) {
        fuzz_expect(!field->required, "what is required is there");
        return;
    }
    fuzz_expect(value->type == field->type, "a value has its field's type");
    fuzz_expect(value->type != VALUE_FLOAT || isfinite(value->real), "floats are finite");
    fuzz_expect(value->type != VALUE_TEXT || value->text.len <= 4 * (size_t)1024 * 1024,
                "text is bounded");
}

/* All rows into `encoder`; the decoder's end: ERR_NOT_FOUND or ERR_CORRUPT. */
static int copy_rows(const struct stream *stream, struct record_decoder *decoder,
                     struct record_encoder *encoder, uint32_t *out_refused)
{
    struct value values[STREAM_FIELDS_MAX];
    struct reject reject;
    struct err err = {0};
    int code;
    while ((code = record_decoder_next(decoder, values, &reject, &err)) == ERR_OK ||
           code == ERR_DATA) {
        expect_json(decoder);
        if (code == ERR_DATA) {
            fuzz_expect(reject.reason[0] && reject.detail[0], "a refusal has a reason");
            ++*out_refused;
            continue;
        }
        for (size_t i = 0; i < stream->field_count; i++) {
            expect_legal(&stream->fields[i], &values[i]);
        }
        fuzz_expect(record_encoder_add(encoder, values), "what was read can be written");
    }
    fuzz_expect(code == ERR_NOT_FOUND || code == ERR_CORRUPT || code == ERR_NOMEM,
                "the rows end in one way or the other");
    return code;
}

static void read_again(const struct stream *stream, struct record_encoder *first)
{
    struct slice payload = record_encoder_finish(first);
    struct record_decoder *decoder = NULL;
    struct record_encoder second;
    struct err err = {0};
    uint32_t refused = 0;
    fuzz_expect(record_decoder_new(stream, payload, &decoder, &err) == ERR_OK,
                "what was written can be read");
    fuzz_expect(record_decoder_rows(decoder) == first->rows, "with as many rows");
    record_encoder_init(&second, stream, PAYLOAD_MAX);
    fuzz_expect(copy_rows(stream, decoder, &second, &refused) == ERR_NOT_FOUND &&
                    refused == 0,
                "every row of it");
    fuzz_expect(slice_equal(payload, record_encoder_finish(&second)),
                "and writes to the same bytes");
    record_encoder_free(&second);
    record_decoder_free(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct stream *stream = config->streams[fuzz_byte(&data, &size) % 3];
    struct slice payload = fuzz_copy(data, size);
    struct record_decoder *decoder = NULL;
    struct err err = {0};
    int code = record_decoder_new(stream, payload, &decoder, &err);
    fuzz_expect(code == ERR_OK || code == ERR_CORRUPT || code == ERR_VERSION,
                "a payload, or none");
    if (code == ERR_OK && record_decoder_rows(decoder) < 4096) {
        struct record_encoder encoder;
        uint32_t refused = 0;
        record_encoder_init(&encoder, stream, PAYLOAD_MAX);
        code = copy_rows(stream, decoder, &encoder, &refused);
        fuzz_expect(code != ERR_NOT_FOUND ||
                        encoder.rows + refused == record_decoder_rows(decoder),
                    "as many rows as it says");
        read_again(stream, &encoder);
        record_encoder_free(&encoder);
    }
    record_decoder_free(decoder);
    free((void *)payload.data);
    return 0;
}
