/* engine/intake.h: one body -> one batch in the journal -> one answer. The only way into
 * the journal, whether records come over HTTP, from `holdfast ingest` or the library.
 *
 * intake_prepare parses, checks and encodes (CPU only); intake_submit hands the batch to
 * the journal and returns; `done` is called once it is durable or refused.
 */
#ifndef HOLDFAST_ENGINE_INTAKE_H
#define HOLDFAST_ENGINE_INTAKE_H

#include "engine/body.h"

#include "base/clock.h"
#include "journal/journal.h"
#include "schema/stream.h"

enum { INTAKE_ERRORS_MAX = 10 };

/* The lane (number 0) of dead letters that belong to no stream. Its entries hold nothing
 * to apply: the engine marks them done. In parentheses, as no stream's name can be. */
#define INTAKE_UNROUTED "(unrouted)"

struct intake_rules {
    const struct stream *const *streams;
    size_t stream_count;
    const char *route_field;
    uint32_t entry_records_max;
    int32_t zone_offset_s;
    int64_t max_future_us;
    const struct clock *clock;
};

/* One of the first errors of a batch, for the answer. */
struct intake_error {
    uint32_t index; /* place in the body, from 0 */
    char field[64];
    char reason[32];
    char detail[REJECT_DETAIL_MAX];
};

/* How a body of the stream (NULL: of several) is read; points into itself. */
struct intake_names {
    const char *csv[STREAM_FIELDS_MAX];
    const char *keys[STREAM_FIELDS_MAX];
    struct body_rules rules;
};
void intake_name_fields(const struct stream *stream, const char *route_field,
                        struct intake_names *out);

struct intake_batch;

struct intake_source {
    const struct stream *stream;  /* NULL: told apart by route_field */
    struct slice body;            /* decoded; borrowed until the batch is freed */
    struct slice idempotency_key; /* empty: none */
    struct slice scope;           /* token and path: whose key it is */
    /* Not NULL: the body's records are these dead letters tried again, one for one, in
     * ascending order. They aren't accepted anew, and one that is refused once more makes
     * no dead letter: it stays what it was, and is only told. */
    const struct journal_dead_place *retried;
    size_t retried_count;
};

/* ERR_INVALID: no record in the body. ERR_TOO_LARGE: more entries than a batch may have,
 * or more wrong records than 65536 and one for each 64 bytes of the body, or headers of
 * more than 16 MiB that wrong CSV lines are to be kept with. ERR_NOMEM. */
int intake_prepare(const struct intake_rules *rules, const struct intake_source *source,
                   struct intake_batch **out_batch, struct err *err);

/* What the batch's dead letters take beside the body; after intake_prepare. */
size_t intake_batch_letter_bytes(const struct intake_batch *batch);

/* Looks the idempotency key up before anything is parsed. ERR_OK: the batch is known, and
 * *out_batch holds its first answer as intake_submit would leave it (replayed), not to be
 * submitted. ERR_NOT_FOUND: it is new, or has no key; the writer looks again.
 * ERR_KEY_REUSED: another body. ERR_INVALID, ERR_NOMEM, ERR_VERSION, ERR_CORRUPT, ERR_IO.
 */
int intake_recall(const struct intake_rules *rules, const struct intake_source *source,
                  struct journal *journal, struct intake_batch **out_batch,
                  struct err *err);

/* `done` is called exactly once, possibly before this returns, on any thread; it must not
 * block. The batch belongs to the journal until then. */
void intake_submit(struct intake_batch *batch, struct journal *journal,
                   void (*done)(struct intake_batch *batch, void *context),
                   void *context);

struct intake_entry {
    const char *stream;
    uint32_t lane;
    uint64_t seq;
};

/* After `done`. */
struct intake_result {
    struct err err;
    bool replayed;
    uint64_t seq;           /* first of the batch */
    uint32_t accepted;      /* all records taken, dead letters among them */
    uint32_t dead_lettered; /* of a retry: refused once more, and not among them */
    const struct intake_error *errors;
    size_t error_count;
    const struct intake_entry *entries; /* replayed: empty */
    size_t entry_count;
};
const struct intake_result *intake_batch_result(const struct intake_batch *batch);

/* Waits: intake_submit and its `done`. Returns result->err.code. */
int intake_submit_wait(struct intake_batch *batch, struct journal *journal);

/* Records that were refused, after intake_prepare already. */
uint32_t intake_batch_refused(const struct intake_batch *batch);

/* After `done`: gives back all but the result, the body included. */
void intake_batch_shrink(struct intake_batch *batch);

void intake_batch_free(struct intake_batch *batch);

/* The JSON answer of DESIGN's first row: batch, seq, accepted, dead_lettered, errors,
 * replayed; `applied` is added where it is 0 or 1 (-1: not asked for). */
void intake_answer(const struct intake_batch *batch, const char *journal_id, int applied,
                   struct buf *out);

#endif
