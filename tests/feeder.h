/* tests/feeder.h: producers that send a sample over HTTP, and their own log of it.
 *
 * Each producer takes the next batch of the order and sends it until it is acknowledged:
 * a connection refused or a 503 was not taken and is tried again; a connection lost on
 * the way has an unknown outcome, is noted as such and is sent again, with the same
 * Idempotency-Key where the batch has one. The log is what the client was told, and
 * nothing else: what the database must hold is computed from it.
 *
 * Threads: functions may be called from any thread, start and finish once each.
 */
#ifndef HOLDFAST_TESTS_FEEDER_H
#define HOLDFAST_TESTS_FEEDER_H

#include "tests/sample.h"

enum feeder_state {
    FEEDER_WAITING, /* not sent, or surely not taken */
    FEEDER_UNKNOWN, /* sent at least once without an answer */
    FEEDER_ACKED,
    FEEDER_REFUSED, /* another answer than 200, 429 and 503: see status */
};

/* The log's line about one batch of the sample (same index). */
struct feeder_line {
    enum feeder_state state;
    uint32_t unknown; /* sends without an answer */
    uint32_t busy;    /* answers 429 and 503 */
    int status;       /* of the last answer */
    bool replayed;
    uint64_t seq;
    uint32_t accepted;
    uint32_t dead_lettered;
};

struct feeder_config {
    const struct sample *sample;
    const uint32_t *order; /* sample->batch_count indexes; NULL: as they are */
    uint32_t producers;    /* threads; at most FEEDER_PRODUCERS_MAX */
    uint16_t port;         /* of the engine; the same after its restarts */
    uint32_t pause_us;     /* of each producer after an acknowledgement */
    const char *query;     /* appended to the path, such as "?wait=applied"; NULL: none */
};

enum { FEEDER_PRODUCERS_MAX = 64 };

struct feeder;

int feeder_start(const struct feeder_config *config, struct feeder **out_feeder,
                 struct err *err);

struct feeder_progress {
    uint32_t batches; /* done: acknowledged or refused for good */
    uint64_t records; /* sent in acknowledged batches */
    uint64_t unknown; /* sends that had no answer */
    uint64_t busy;
    uint32_t in_flight; /* sent, no answer yet */
    uint32_t refused;
    bool done; /* no batch is left */
};
void feeder_progress(struct feeder *feeder, struct feeder_progress *out_progress);

/* Waits until `batches` are done (all, if there are not so many) or timeout_ms have
 * passed; true in the first case. */
bool feeder_wait(struct feeder *feeder, uint32_t batches, uint32_t timeout_ms);

/* Producers stop after the request in hand; a batch that is not acknowledged stays so. */
void feeder_stop(struct feeder *feeder);

/* Stops, joins the producers and gives the log: one line a batch, free() it. The feeder
 * is gone then. */
struct feeder_line *feeder_finish(struct feeder *feeder);

#endif
