/* holdfast.h: Holdfast as a library.
 *
 *     holdfast_open("/etc/holdfast.yaml", &db, error, sizeof error);
 *     holdfast_submit(db, "mozi", body, len, NULL, &receipt, error, sizeof error);
 *     holdfast_wait_applied(db, &receipt, 10000);
 *     holdfast_close(db);
 *
 * Promise: holdfast_submit returns HOLDFAST_OK only after the batch has been synced to
 * the journal; it is then applied to the database exactly once, in time, whatever
 * crashes. One process at a time owns a journal.
 *
 * Threads: every function may be called from any thread; holdfast_close once, last.
 * The handle must not be used across fork().
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HOLDFAST_API __attribute__((visibility("default")))

enum holdfast_code {
    HOLDFAST_OK = 0,
    HOLDFAST_INVALID,    /* the body holds no record, or an argument is wrong */
    HOLDFAST_CONFIG,     /* the configuration is wrong */
    HOLDFAST_NO_STREAM,  /* no such stream */
    HOLDFAST_KEY_REUSED, /* idempotency key used before with another body */
    HOLDFAST_AGAIN,      /* full or busy: nothing was taken, try again later */
    HOLDFAST_UNKNOWN,    /* the commit's outcome is unknown: send again after reopening,
                          * with the same idempotency key */
    HOLDFAST_TIMEOUT,    /* holdfast_wait_applied: not applied yet */
    HOLDFAST_FAILED      /* the journal can't be used; see the message */
};

struct holdfast;

struct holdfast_receipt {
    uint64_t seq;           /* first journal entry of the batch */
    uint32_t accepted;      /* records taken */
    uint32_t dead_lettered; /* of these, kept as dead letters */
    int replayed;           /* the idempotency key was known: nothing was added */
};

/* Opens the journal named in the configuration and starts applying. On failure *error
 * (if not NULL) holds one sentence, and *out is untouched. */
HOLDFAST_API enum holdfast_code holdfast_open(const char *config_path,
                                              struct holdfast **out, char *error,
                                              size_t error_size);

/* Takes one body (JSON lines, an array, CSV, as over HTTP) for one stream and returns
 * when it is durable. idempotency_key may be NULL. */
HOLDFAST_API enum holdfast_code holdfast_submit(struct holdfast *holdfast,
                                                const char *stream, const void *body,
                                                size_t len, const char *idempotency_key,
                                                struct holdfast_receipt *out, char *error,
                                                size_t error_size);

/* As holdfast_submit, without waiting: `done` is called once, on a thread of the library,
 * with the outcome; it must not block. `body` is copied. Where a code other than
 * HOLDFAST_OK is returned, `done` is not called. */
typedef void (*holdfast_done)(void *context, enum holdfast_code code,
                              const struct holdfast_receipt *receipt, const char *error);
HOLDFAST_API enum holdfast_code
holdfast_submit_async(struct holdfast *holdfast, const char *stream, const void *body,
                      size_t len, const char *idempotency_key, holdfast_done done,
                      void *context, char *error, size_t error_size);

/* Waits until the batch is in the database, at most timeout_ms. */
HOLDFAST_API enum holdfast_code
holdfast_wait_applied(struct holdfast *holdfast, const struct holdfast_receipt *receipt,
                      unsigned timeout_ms);

/* Ends the transaction in hand and closes the journal; what is not applied yet stays in
 * it. Accepts NULL. */
HOLDFAST_API void holdfast_close(struct holdfast *holdfast);

HOLDFAST_API const char *holdfast_version(void);

#ifdef __cplusplus
}
#endif
#endif
