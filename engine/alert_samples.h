/* engine/alert_samples.h: the engine's report -> what the alerts' rules look at. Pure.
 */
#ifndef HOLDFAST_ENGINE_ALERT_SAMPLES_H
#define HOLDFAST_ENGINE_ALERT_SAMPLES_H

#include "engine/alert_rules.h"
#include "engine/report.h"

/* What is known of a configured stream besides. */
struct alert_stream {
    const char *name;
    bool has_coverage;
    double coverage;
    bool has_ids;
    double ids; /* share used */
};

struct alert_samples {
    struct alert_sample *items; /* subjects point into what was viewed */
    size_t count;
    size_t capacity;
    char (*texts)[ALERT_TEXT_MAX + 1];
};

/* All that the samples are made of. */
struct alert_view {
    const struct report *report;
    const struct journal_config *journal;
    const struct alert_stream *streams;
    size_t stream_count;
    int64_t wall_us;
};

/* ERR_NOMEM. */
int alert_samples_make(const struct alert_view *view, struct alert_samples *out_samples,
                       struct err *err);
void alert_samples_free(struct alert_samples *samples);

#endif
