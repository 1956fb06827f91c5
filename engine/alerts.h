/* engine/alerts.h: looks at the engine every few seconds, raises and clears alerts, and
 * hands them to the channels. All in threads of its own: intake and replay never wait for
 * it.
 */
#ifndef HOLDFAST_ENGINE_ALERTS_H
#define HOLDFAST_ENGINE_ALERTS_H

#include "engine/engine.h"

struct alerts;
struct json_writer;

/* The engine is there until alerts_stop. ERR_NOMEM. */
int alerts_start(struct engine *engine, struct db_hosts *hosts,
                 struct alerts **out_alerts, struct err *err);
void alerts_stop(struct alerts *alerts); /* within about a second; accepts NULL */

/* Other limits from the next look on (HUP). */
void alerts_set_limits(struct alerts *alerts, const struct alert_limits *limits);

/* "alerts": {"raised":[...],"recent":[...],"channels":[...]}. Any thread. */
void alerts_put(struct alerts *alerts, struct json_writer *json);

/* holdfast_alerts_raised and what the channels did. */
void alerts_metrics(struct alerts *alerts, struct buf *out);

#endif
