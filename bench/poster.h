/* bench/poster.h: producers that post ready-made bodies over HTTP in a closed loop, as
 * cheaply as a client can: one kept-alive connection each, no parsing beyond the status
 * line and the length.
 *
 * Threads: poster_run starts and joins its own. Errors: ERR_IO, ERR_NOMEM.
 */
#ifndef HOLDFAST_BENCH_POSTER_H
#define HOLDFAST_BENCH_POSTER_H

#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>

struct poster_config {
    uint16_t port;
    const char *path; /* with its query */
    uint32_t producers;
    const struct slice *bodies; /* each is sent once, in order, by whoever is free */
    size_t body_count;
    int64_t stop_after_us; /* no new body is begun after this; 0: all are sent */
};

struct poster_result {
    size_t sent;      /* bodies acknowledged with 200; these are the first `sent` of them
                       * but for at most `producers` */
    uint64_t refused; /* answers 429 and 503, each sent again */
    int64_t took_us;
    double cpu_s;     /* of the producers' threads */
    double *acks_us;  /* one latency each acknowledgement, caller frees */
    int64_t *acked_us; /* and when, since the start */
};

int poster_run(const struct poster_config *config, struct poster_result *out,
               struct err *err);

#endif
