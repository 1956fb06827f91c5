/* tests/faults/intake.h: clients that send whole workloads to the real engine, what they
 * were told, and whether the journal holds just that.
 *
 * What a batch is in the journal is learnt once, from a run without a fault
 * (intake_learn); from then on each entry must be, byte for byte, a part of a batch.
 *
 * Threads: one, which starts the clients and ends them.
 */
#ifndef HOLDFAST_TESTS_FAULTS_INTAKE_H
#define HOLDFAST_TESTS_FAULTS_INTAKE_H

#include "base/slice.h"
#include "tests/faults/layer.h"

#include <stddef.h>
#include <stdint.h>

enum { INTAKE_CLIENTS = 4, INTAKE_WORKS = 3, INTAKE_PARTS_MAX = 4, INTAKE_KEY_MAX = 24 };

/* A batch's part as the journal holds it. */
struct intake_part {
    struct buf payload;
    struct buf letters; /* reason and bytes of each */
    uint32_t records;
    uint32_t lane;
    char stream[16];
};

struct intake_batch {
    const char *path;
    char key[INTAKE_KEY_MAX]; /* empty: none */
    struct buf body;
    uint32_t records; /* good and bad */
    uint32_t bad;
    struct intake_part parts[INTAKE_PARTS_MAX];
    size_t part_count; /* once learnt */
};

struct intake_work {
    const char *name;
    struct intake_batch *batches;
    uint32_t count;
};

/* Single small records; 500 lines of JSON over two lanes; large bodies with keys and with
 * bad records. ERR_NOMEM. */
int intake_work_new(uint32_t which, struct intake_work *out_work, struct err *err);
void intake_work_free(struct intake_work *work);

enum intake_fate {
    INTAKE_UNSENT,  /* or refused before it was looked at: 429, 503 */
    INTAKE_UNKNOWN, /* sent, and no answer */
    INTAKE_ACKED,
    INTAKE_STRANGE, /* another answer */
};

struct intake_line {
    enum intake_fate fate;
    int status;
    bool replayed;
    uint64_t seq;
    uint32_t accepted;
    uint32_t dead_lettered;
};

/* Each client sends its share, one batch after the other on one connection, until it is
 * through or, with `stop` set, until a send has no answer; without it goes on on a new
 * connection. Appends to no line that is ACKED already. */
int intake_send(const struct intake_work *work, uint16_t port, bool stop,
                struct intake_line *lines, struct err *err);

/* Sends one batch again, on a connection of its own. */
struct intake_line intake_send_one(const struct intake_batch *batch, uint16_t port);

/* From the journal of a run in which every batch was acknowledged: compares what is
 * decoded with what was sent, and keeps its bytes. ERR_CORRUPT says what differs. */
int intake_learn(struct intake_work *work, const struct intake_line *lines,
                 const char *journal, struct err *err);

/* Reads the journal, which nobody writes to, by the library, in a process of its own:
 * acknowledged batches exactly once, without an answer whole or not at all, nothing else.
 */
enum layer_verdict intake_check(const struct intake_work *work,
                                const struct intake_line *lines, const char *journal);

#endif
