/* schema/record.h: the payload of a journal entry: the fields' names once, then rows.
 *
 * Yesterday's payload is read under today's configuration: fields are matched by name, a
 * field that is gone is passed over, one that is new is absent, and one whose type has
 * changed goes through its text again (a time without an offset is then one in UTC). The
 * format is at the head of record.c.
 */
#ifndef HOLDFAST_SCHEMA_RECORD_H
#define HOLDFAST_SCHEMA_RECORD_H

#include "base/err.h"
#include "schema/stream.h"

/* Builds one payload. Not thread-safe; one encoder a lane of a batch. */
struct record_encoder {
    const struct stream *stream;
    struct buf out;
    uint32_t rows;
};

/* `bytes_max` bounds the payload. */
void record_encoder_init(struct record_encoder *encoder, const struct stream *stream,
                         size_t bytes_max);
void record_encoder_free(struct record_encoder *encoder);

/* Appends a row; values has stream->field_count items. False where bytes_max or memory is
 * exhausted: the payload is as it was. */
bool record_encoder_add(struct record_encoder *encoder, const struct value *values);

/* The finished payload, valid until the next call; header and row count filled in. Empty
 * where not even the header fits into bytes_max or memory. */
struct slice record_encoder_finish(struct record_encoder *encoder);

struct record_decoder;

/* Reads a payload under `stream` of today. `payload` is borrowed until the decoder is
 * freed. ERR_CORRUPT: not a payload. ERR_VERSION: of a newer version. ERR_NOMEM. */
int record_decoder_new(const struct stream *stream, struct slice payload,
                       struct record_decoder **out_decoder, struct err *err);
void record_decoder_free(struct record_decoder *decoder);
uint32_t record_decoder_rows(const struct record_decoder *decoder);

/* The next row into values[stream->field_count]; text is borrowed from the payload, but
 * the text of a value that was not text when it was written: that is the decoder's until
 * the next call. 0; ERR_NOT_FOUND after the last; ERR_CORRUPT (the next call repeats it);
 * ERR_DATA: the row is well-formed, but breaks a limit of today's configuration or lacks
 * what that requires (*out_reject says why) and the next call goes on with the row after
 * it. Only after 0 are all values meaningful. */
int record_decoder_next(struct record_decoder *decoder, struct value *values,
                        struct reject *out_reject, struct err *err);

/* The row last read (also one refused as ERR_DATA) as JSON text for a person or a dead
 * letter: {"ip":"1.2.3.4",...}; times in UTC ISO 8601, strings escaped. Uses the
 * payload's names and values, also of fields that today's stream no longer knows. */
void record_decoder_append_json(const struct record_decoder *decoder, struct buf *out);

#endif
