/* tests/drive.h: a database server, an engine, a sample and its producers in one test.
 *
 *     struct drive d;
 *     drive_begin(&d, 7, NULL);                 // server, configuration; seed 7 is
 * printed drive_sample(&d, 5000, 200); drive_engine(&d);                         //
 * started and ready drive_feed(&d, 8, 0);                     // producers at work
 *     ...
 *     drive_finish(&d);                         // all acknowledged, all applied,
 * compared drive_end(&d);
 *
 * What goes wrong fails the test. Threads: one thread at a time.
 */
#ifndef HOLDFAST_TESTS_DRIVE_H
#define HOLDFAST_TESTS_DRIVE_H

#include "tests/engine_process.h"
#include "tests/feeder.h"
#include "tests/http_probe.h"
#include "tests/oracle.h"
#include "tests/sample.h"
#include "tests/world.h"

struct drive {
    struct world w;
    struct engine_process engine;
    struct engine_options options;
    struct sample_config sample_config; /* may be changed before drive_sample */
    struct sample sample;
    struct feeder *feeder;
    struct feeder_line *lines;
    uint64_t random;
    struct oracle_context context; /* `accepted` is asked from the engine */
};

enum { DRIVE_PATIENCE_MS = 120000 };

/* `change` (may be NULL) gets the engine's options before they are written. */
void drive_begin(struct drive *d, uint64_t seed,
                 void (*change)(struct engine_options *options));

/* Stops the engine in order, which must exit with 0 and without a sanitizer's report, and
 * removes all. */
void drive_end(struct drive *d);

void drive_sample(struct drive *d, uint32_t records, uint32_t batch_max);

void drive_engine(struct drive *d);
/* Waits until every lane has been compared with its ledger and has nothing to do. */
void drive_wait_idle(struct drive *d);
/* TERM, exit code 0. */
void drive_stop_engine(struct drive *d);
/* The options once more into the configuration file. */
void drive_configure(struct drive *d);

void drive_feed(struct drive *d, uint32_t producers, uint32_t pause_us);
/* At least so many batches acknowledged. */
void drive_wait_batches(struct drive *d, uint32_t batches);

/* Waits until the producers are through, ends them, waits until all is applied, and
 * compares: nothing may be wrong. */
void drive_finish(struct drive *d);
/* Its parts. */
void drive_acknowledged(struct drive *d);
void drive_applied(struct drive *d);
void drive_compare(struct drive *d, struct oracle_report *out_report);
/* `holdfast audit` must find nothing either; drive_compare asks it. */
void drive_audit(struct drive *d);

/* One POST on a connection of its own. The status (0: no answer); body is a copy to be
 * freed with buf_free. */
int drive_post(struct drive *d, const char *path, const char *body, const char *key,
               struct buf *out_body);

/* Another engine on the same database, with a journal and a port of its own. */
void drive_second(struct drive *d, const char *name, struct engine_process *out_engine);

/* How often the engine's log holds the text. */
size_t drive_log_count(const struct engine_process *engine, const char *text);

#endif
