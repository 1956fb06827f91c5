/* tests/journal_life.h: a whole journal's life in one call: created, filled until it
 * refuses, drained, expired, read, verified, copied, mended, given a new identity, opened
 * again and again. Any call within may fail: the life goes on as a caller would (a handle
 * that is dead is closed and opened anew), and notes what was promised. Afterwards, with
 * nothing failing any more, life_check() holds the journal to that.
 */
#ifndef HOLDFAST_TESTS_JOURNAL_LIFE_H
#define HOLDFAST_TESTS_JOURNAL_LIFE_H

#include "tests/journal_kit.h"

enum { LIFE_ENTRIES = 160, LIFE_LETTERS = 8, LIFE_LANES = 3, LIFE_TEXT = 512 };

/* What became of an entry that was handed over. */
enum life_fate {
    LIFE_REFUSED, /* it is not there */
    LIFE_UNKNOWN, /* it may be there, whole */
    LIFE_TAKEN    /* it is there; a retained one with its bytes */
};

struct life_entry {
    enum life_fate fate;
    uint64_t seq; /* where it was taken */
    unsigned lane;
};

struct life_letter {
    struct journal_dead_place place;
    bool changed; /* a retry or purge of it was tried */
};

struct life {
    struct kit kit;
    char copy[128];   /* where copies are made */
    char mended[128]; /* and where repair makes one */
    struct life_entry entries[LIFE_ENTRIES];
    size_t count;
    struct life_letter letters[LIFE_LETTERS];
    size_t letter_count;
    uint64_t done[LIFE_LANES]; /* the furthest that was ever marked */
    bool born;                 /* there was a journal */
    bool copied;               /* a backup was made */
    bool repaired;
    bool unreadable; /* a read may fail: then repair may give up what it names */
    unsigned setting_kept;
    unsigned setting_tried;
    unsigned failures;      /* calls that gave an error which nothing but a fault gives */
    char broken[LIFE_TEXT]; /* the first promise that was not kept; "": none */
};

void life_start(struct life *life);
/* Lives. Asserts nothing, allocates nothing of its own. No journal is open afterwards. */
void life_run(struct life *life);
/* Opens what is left, and compares; "" or what is wrong is in life->broken. */
void life_check(struct life *life);
void life_end(struct life *life);

#endif
