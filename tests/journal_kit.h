/* tests/journal_kit.h: what the journal's tests share: a directory of their own, a clock
 * that they set, short ways to append and to look. Failures are Criterion's. */
#ifndef HOLDFAST_TESTS_JOURNAL_KIT_H
#define HOLDFAST_TESTS_JOURNAL_KIT_H

#include "journal/journal.h"

#include <sys/types.h>

struct kit_clock {
    struct clock clock;
    _Atomic int64_t wall_us;
    _Atomic int64_t steady_us;
    _Atomic uint64_t reads; /* how often the steady one was asked */
};

struct kit {
    char directory[64]; /* mkdtemp; the journal is <directory>/journal */
    char path[96];
    struct kit_clock clock;
    struct journal_config config;
    struct journal *journal;
};

/* A directory and a configuration (4 MiB, no preallocation, the kit's clock, which stands
 * at 2026-01-01 and moves only by kit_pass), nothing opened yet. */
void kit_start(struct kit *kit);
/* The same, in a directory of `parent`. */
void kit_start_in(struct kit *kit, const char *parent);
/* Closes and removes everything. */
void kit_end(struct kit *kit);
void kit_remove(const char *directory);

void kit_open(struct kit *kit); /* creates where nothing is */
void kit_close(struct kit *kit);
void kit_reopen(struct kit *kit);
/* Opening fails: returns the code; *err says why. */
int kit_open_fails(struct kit *kit, struct err *err);

void kit_pass(struct kit *kit, int64_t us);

/* One entry of `payload` for the lane; the code of the append. */
int kit_try(struct kit *kit, const char *stream, uint32_t lane, struct slice payload,
            uint64_t *out_seq);
/* It must succeed; returns the seq. */
uint64_t kit_append(struct kit *kit, const char *stream, uint32_t lane,
                    const char *payload);
/* A payload of `len` bytes made from `seed`, the same each time. Free it. */
char *kit_bytes(size_t len, unsigned seed);
uint64_t kit_append_bytes(struct kit *kit, const char *stream, uint32_t lane, size_t len,
                          unsigned seed);

/* The position of an entry that is there. */
struct journal_position kit_position(struct kit *kit, uint64_t seq);
/* Marks the entry's lane as done through it. */
void kit_done(struct kit *kit, uint64_t seq);
struct journal_lane kit_lane(struct kit *kit, const char *stream, uint32_t lane);
struct journal_stat kit_stat(struct kit *kit);
/* What is at `seq`: JOURNAL_ENTRY_FULL ..., or -1 where nothing is retained. */
int kit_state(struct kit *kit, uint64_t seq);
/* A commit, durable when it returns, that brings no entry: marks and expiry go along. */
void kit_commit(struct kit *kit);

/* All of a lane after `after`; free with journal_entries_free. */
struct journal_entries kit_read(struct kit *kit, const char *stream, uint32_t lane,
                                uint64_t after);

extern const struct journal_read_limits kit_no_limits;

/* What program_journal's batches hold, 20 bytes to 30 KB. Free it. */
char *kit_payload(uint32_t producer, uint32_t number, size_t *out_len);

struct kit_ack {
    uint64_t seq;
    uint32_t producer;
    uint32_t number;
};

struct kit_program {
    pid_t pid;
    int in; /* its standard input, for writing */
    int out;
};

/* Starts program_journal on the kit's journal. */
struct kit_program kit_run(const struct kit *kit, const char *mode, unsigned number);
/* Ends its input and waits for it; its wait status. */
int kit_wait(struct kit_program *program);

#endif
