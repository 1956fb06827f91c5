/* engine/check_json.h: what a check found, as JSON. */
#ifndef HOLDFAST_ENGINE_CHECK_JSON_H
#define HOLDFAST_ENGINE_CHECK_JSON_H

#include "audit/check.h"

struct json_writer;

/* One object. `threshold` in hundredths of a percent. */
void check_put_report(struct json_writer *json, const struct check_report *report,
                      uint32_t threshold);

enum { CHECK_SHOWN_DAYS = 31, CHECK_SHOWN_BURSTS = 5 };

/* One object: the entities without events by day, the last CHECK_SHOWN_DAYS that had any
 * and all earlier ones together, and the last likely interruptions. What the report
 * found, explained. */
void check_put_orphans(struct json_writer *json, const struct check_report *report);

/* Percent, cut to two decimals. */
double check_share(uint64_t part, uint64_t whole);

/* "2026-01-11" */
const char *check_day_text(int64_t day, char out_text[VALUE_TIME_TEXT]);

#endif
