/* tests/sample_text.h: how a record of the sample is written. Only for sample.c. */
#ifndef HOLDFAST_TESTS_SAMPLE_TEXT_H
#define HOLDFAST_TESTS_SAMPLE_TEXT_H

#include "tests/sample.h"

/* Ways to write a time: "2026-01-08 01:04:26", with slashes, ISO 8601 with T, Z, an
 * offset or a fraction, epoch seconds, milliseconds. */
enum { SAMPLE_TIME_FORMS = 8, SAMPLE_TIME_OFFSET = 4 };

/* A record before it is bytes. */
struct sample_text {
    struct sample_record truth;
    int32_t zone_offset_s;
    int place;       /* index, or SAMPLE_NONE */
    unsigned absent; /* bits: fields of the place that it lacks */
    uint32_t time_form;
    uint32_t variant; /* which of a fault's forms */
};

struct sample_record sample_report_truth(size_t index);

/* One line with its end; sets truth.city (and, for CSV, what CSV can't carry to none). */
void sample_append(struct buf *out, struct sample_text *text, bool csv,
                   const char *stream);

#endif
