/* engine/alert_message.h: what is said of alerts: a webhook's JSON (docs/alerts.md has
 * its shape), a mail. Pure.
 */
#ifndef HOLDFAST_ENGINE_ALERT_MESSAGE_H
#define HOLDFAST_ENGINE_ALERT_MESSAGE_H

#include "engine/config.h"

/* One message: all that happened in one look. */
struct alert_message {
    const char *host; /* this machine's name */
    const char *journal_id;
    int64_t wall_us; /* now, by both clocks */
    int64_t steady_us;
    const struct alert_event *events; /* at least one */
    size_t count;
};

enum { ALERT_TIME_TEXT = 32 };

/* 2026-01-08T01:04:26Z */
void alert_time(int64_t wall_us, char out_text[ALERT_TIME_TEXT]);

/* "raised lane_stopped mozi", and what is known of it; control characters are blanks. */
void alert_line(struct buf *out, const struct alert_event *event);

/* out->failed: no memory. */
void alert_message_json(struct buf *out, const struct alert_message *message);
void alert_message_mail(struct buf *out, const struct alert_message *message,
                        const struct alert_channel_config *smtp);

/* What `holdfast alert --test` sends. */
struct alert_event alert_test_event(void);

#endif
