/* engine/ingest_send.h: bodies to where they belong: a running engine, a remote one, or,
 * where none runs, the journal itself, by the same intake. One thread. */
#ifndef HOLDFAST_ENGINE_INGEST_SEND_H
#define HOLDFAST_ENGINE_INGEST_SEND_H

#include "engine/config.h"

struct sender;

struct sender_target {
    const struct config *config;
    const char *stream; /* NULL: routed */
    const char *url;    /* NULL: the configured journal's engine, or the journal */
    const char *token;  /* for url; NULL: none */
    const char *ca;     /* for an https url; NULL: the system's authorities */
    int64_t timeout_us; /* how long one body is tried */
};

/* ERR_LOCKED: another process that is no engine writes to the journal. Other errors as
 * journal_open and client_new_url. */
int sender_new(const struct sender_target *target, struct sender **out_sender,
               struct err *err);
void sender_free(struct sender *sender);

/* "the engine at ...", "journal ..." */
const char *sender_place(const struct sender *sender);

struct sender_answer {
    uint64_t accepted;
    uint64_t dead_lettered;
    bool replayed;
};

/* Sends one body and tries again while that may help. */
int sender_send(struct sender *sender, struct slice body, const char *key,
                struct sender_answer *out_answer, struct err *err);

#endif
