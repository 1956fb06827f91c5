/* tests/faults/crash_work.h: what a program does to a journal while it is recorded, and
 * what it says about it: the marks. A program and a checker that share nothing but these
 * marks make the same batches from their numbers. */
#ifndef HOLDFAST_TESTS_FAULTS_CRASH_WORK_H
#define HOLDFAST_TESTS_FAULTS_CRASH_WORK_H

#include "journal/journal.h"

enum {
    WORK_PARTS_MAX = 3,
    WORK_LETTERS_MAX = 2, /* of a part */
    WORK_BATCHES_MAX = 1024,
    WORK_RETRIES = 500, /* numbers of retries begin here */
    WORK_AFTER = 1000,  /* the number of what a checker appends */
    WORK_LANES = 3,
    WORK_STREAMS = 2,
    WORK_KEY_MAX = 24,
};

struct workload {
    const char *name;
    uint64_t size_max;
    uint64_t preallocate;
    uint32_t producers;
    uint32_t batches; /* of each, in two rounds: the journal is opened twice */
    uint32_t bytes;   /* of a payload, at most */
    bool keys;        /* some batches have an idempotency key, and are sent again */
    bool letters;     /* some records are dead letters; retried, purged, added */
    bool marks;       /* what is acknowledged is marked done, but for lane 1 of "s" */
    bool leaves;      /* and expires at once */
    bool exists;      /* the directory is there before, and empty */
};

extern const struct workload crash_workloads[];
extern const size_t crash_workload_count;

enum mark_kind {
    MARK_OPENED,  /* id */
    MARK_SENT,    /* number; a retry: seq and index of its letter */
    MARK_ACKED,   /* number, seq: durable from now on */
    MARK_REFUSED, /* number: full, nothing was written */
    MARK_DONE,    /* seq: about to be marked done */
    MARK_PURGING, /* seq, index */
    MARK_PURGED,
    MARK_ADDING, /* seq: its row 0 is about to become a dead letter */
    MARK_ADDED,
    MARK_SETTING, /* number */
    MARK_SET,
    MARK_REWINDING, /* lane 0 of "s", to nothing */
    MARK_REWOUND,
};

struct mark {
    uint32_t kind;
    uint32_t number;
    uint64_t seq;
    uint32_t index;
    char id[JOURNAL_ID_TEXT];
};

/* A batch as its number makes it. Zero `memory` is nothing to free. */
struct work_batch {
    struct journal_part parts[WORK_PARTS_MAX];
    size_t part_count;
    struct journal_dead_letter letters[WORK_PARTS_MAX][WORK_LETTERS_MAX];
    char bytes[WORK_PARTS_MAX][WORK_LETTERS_MAX][40];
    struct journal_dead_place retried;
    char key[WORK_KEY_MAX]; /* empty: none */
    char *memory;
};

/* `retried` NULL: no retry. ERR_NOMEM. Not to be moved; free it with work_batch_free. */
int work_batch_make(const struct workload *workload, uint32_t number,
                    const struct journal_dead_place *retried, struct work_batch *out,
                    struct err *err);
void work_batch_free(struct work_batch *batch);

/* Points into the batch. */
struct journal_append work_append(const struct work_batch *batch);

/* The number and part that a payload says that it is of; false: it says nothing. */
bool work_recognise(struct slice payload, uint32_t *out_number, uint32_t *out_part);

/* The letter that replay adds to an entry. `text` is its memory. */
struct journal_dead_letter work_added_letter(uint64_t seq, char text[40]);

struct journal_config work_config(const struct workload *workload, const char *path);

/* The program that is recorded: its exit code. */
int work_run(const struct workload *workload, const char *path);

#endif
