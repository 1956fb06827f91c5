/* engine/check_json.h: what a check found, as JSON. */
#ifndef HOLDFAST_ENGINE_CHECK_JSON_H
#define HOLDFAST_ENGINE_CHECK_JSON_H

#include "audit/check.h"

struct json_writer;

/* One object. `threshold` in hundredths of a percent. */
void check_put_report(struct json_writer *json, const struct check_report *report,
                      uint32_t threshold);

/* Percent, cut to two decimals. */
double check_share(uint64_t part, uint64_t whole);

/* "2026-01-11" */
const char *check_day_text(int64_t day, char out_text[VALUE_TIME_TEXT]);

#endif
