/* bench/poster.h: producers that post ready-made bodies over HTTP in a closed loop, as
 * cheaply as a client can: one kept-alive connection each, no parsing beyond the status
 * line, the length, and that all was taken.
 *
 * Threads: poster_run starts and joins its own. Errors: ERR_IO, ERR_TIMEOUT, ERR_NOMEM.
 */
#ifndef HOLDFAST_BENCH_POSTER_H
#define HOLDFAST_BENCH_POSTER_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

enum { POSTER_PRODUCERS_MAX = 512 };

struct poster_config {
    uint16_t port;    /* on 127.0.0.1 */
    const char *path; /* with its query */
    uint32_t producers;
    const struct slice *bodies; /* each is sent once, in order, by whoever is free */
    size_t body_count;
    int64_t stop_after_us; /* no new body is begun after this; 0: all are sent */
    int64_t interval_us;   /* a producer begins a body at most so often; 0: at once */
};

struct poster_result {
    size_t sent;       /* bodies acknowledged with 200: the first `sent` of them */
    uint64_t refused;  /* answers 429 and 503, each of which was sent again */
    int64_t took_us;   /* to the last acknowledgement */
    double cpu_s;      /* of the producers' threads */
    double *acks_us;   /* the latency of each acknowledgement, `sent` of them */
    int64_t *acked_us; /* and when it came, since the start */
};

/* ERR_IO: another answer than these, a 200 with dead letters or "applied":false, or a
 * connection was lost; then nothing is in `out`.
 * ERR_TIMEOUT: a body was refused for a minute. */
int poster_run(const struct poster_config *config, struct poster_result *out,
               struct err *err);
void poster_result_free(struct poster_result *result);

#endif
