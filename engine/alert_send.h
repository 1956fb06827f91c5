/* engine/alert_send.h: brings messages to a webhook or a mail server, by libcurl.
 *
 * A sender is one channel's thread and bounded queue: a server that is slow, refuses or
 * is gone holds up nothing but its own messages. Each is tried again, later and later,
 * and given up after ALERT_TRIES; then the next has its turn. What stands in the queue
 * when the process ends is lost: an alert that still holds is raised anew by the next.
 */
#ifndef HOLDFAST_ENGINE_ALERT_SEND_H
#define HOLDFAST_ENGINE_ALERT_SEND_H

#include "engine/alert_message.h"

#include <stdatomic.h>

enum alert_channel { ALERT_WEBHOOK, ALERT_SMTP, ALERT_CHANNELS };
enum { ALERT_TRIES = 12, ALERT_QUEUE_MAX = 64 };

const char *alert_channel_name(enum alert_channel channel); /* "webhook" */
const struct alert_channel_config *alert_channel(const struct alert_config *config,
                                                 enum alert_channel channel);

/* One try; waits for its end, at most config->timeout_s, or until *stop. The secret is
 * read from its file, and neither it nor the URL is ever part of a message.
 * ERR_CONFIG: the secret can't be read. ERR_TRANSIENT, ERR_TIMEOUT: again later.
 * ERR_INVALID: refused for good. ERR_CLOSED: *stop. */
int alert_deliver(const struct alert_config *config, enum alert_channel channel,
                  struct slice body, const atomic_bool *stop, struct err *err);

struct alert_sender;

/* `config` is borrowed until alert_sender_stop. ERR_NOMEM. */
int alert_sender_start(const struct alert_config *config, enum alert_channel channel,
                       struct alert_sender **out_sender, struct err *err);

/* Cuts a delivery short (within about a second) and frees. Accepts NULL. */
void alert_sender_stop(struct alert_sender *sender);

/* Takes the body over, never waits. False: the queue is full, and it is dropped. */
bool alert_sender_offer(struct alert_sender *sender, struct buf *body);

struct alert_sender_counts {
    uint64_t delivered;
    uint64_t failed_tries;
    uint64_t dropped; /* given up, or no room */
    size_t queued;
};
struct alert_sender_counts alert_sender_counts(struct alert_sender *sender);

/* The wait after so many failed tries in a row, 1 up; pure. */
int64_t alert_retry_us(uint32_t tries);

#endif
