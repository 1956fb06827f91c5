/* bench/compare.h: what the two files of the comparison share. */
#ifndef HOLDFAST_BENCH_COMPARE_H
#define HOLDFAST_BENCH_COMPARE_H

#include "bench/bench.h"
#include "bench/child.h"
#include "bench/process.h"
#include "bench/sent.h"

#define COMPARE_DATABASE "bench_compare"
#define COMPARE_STREAM "mozi" /* compare/put_record.sql names its tables */

enum { COMPARE_PATH_MAX = 512 };

struct compare {
    struct bench *bench;
    const struct stream *stream;
    struct db *db;
    const char *python; /* an interpreter that has pymysql; NULL: none */
    bool rsyslog;       /* installed, with ommysql */
    char output[COMPARE_PATH_MAX];
    char log[COMPARE_PATH_MAX];       /* of the Python writer: what it took and flushed */
    char directory[COMPARE_PATH_MAX]; /* rsyslog's own */
    uint64_t random;
};

/* compare/python_writer.py from the record `first` on. */
int compare_start_python(struct compare *compare, const struct sent *sent, uint32_t first,
                         struct child *out_child, struct err *err);

/* An engine of one lane, prepared and not started. */
int compare_prepare_engine(struct compare *compare, struct process *out_process,
                           struct err *err);

/* `holdfast ingest` of all records. */
int compare_start_ingest(struct compare *compare, const struct process *process,
                         const struct sent *sent, struct child *out_child,
                         struct err *err);

/* rsyslogd in its directory; *_fresh empties that and makes the stored procedure. */
int compare_fresh_rsyslog(struct compare *compare, struct err *err);
int compare_start_rsyslog(struct compare *compare, struct child *out_child,
                          struct err *err);

/* A sender of lines to rsyslog, a thread of its own; it connects again and sends the line
 * in hand once more where it is cut off. */
struct rsyslog_sender;
int rsyslog_sender_start(struct compare *compare, const struct sent *sent,
                         struct rsyslog_sender **out_sender, struct err *err);
/* Lines written in full so far. */
uint32_t rsyslog_sender_sent(const struct rsyslog_sender *sender);
void rsyslog_sender_stop(struct rsyslog_sender *sender);

/* Waits until the event table holds `events`, or has not grown for 5 s; *out_last_us
 * (steady) is when it last grew. */
int compare_wait_events(struct compare *compare, uint64_t events, int64_t *out_last_us,
                        struct err *err);

/* A pause of `from_ms` to `to_ms`, of chance. */
void compare_pause(struct compare *compare, uint32_t from_ms, uint32_t to_ms);

/* Each writer's losses when its process is killed, and when its connection is. */
int compare_losses(struct compare *compare, struct err *err);

#endif
