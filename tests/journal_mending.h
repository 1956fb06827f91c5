/* tests/journal_mending.h: a journal damaged in many ways, which is repaired again and
 * again while calls fail: what repair says then must be as true as without. */
#ifndef HOLDFAST_TESTS_JOURNAL_MENDING_H
#define HOLDFAST_TESTS_JOURNAL_MENDING_H

#include "journal/tools.h"
#include "tests/journal_kit.h"

struct mending {
    struct kit kit;
    char damaged[128];
    char target[128];
    char id[JOURNAL_ID_TEXT];
    size_t lost;     /* entries that are, when nothing fails */
    bool unreadable; /* a read may fail: then more may be given up */
    int rc;          /* of the last repair */
    char broken[1024];
};

/* Makes the journal, repairs it once (so that it has a gap already), damages it again:
 * payloads, headers, the records of its state and of a lane. */
void mending_start(struct mending *mending);
/* Repairs it into mending->target. */
void mending_run(struct mending *mending);
/* What has the name is whole; and it is removed. */
void mending_check(struct mending *mending);
void mending_end(struct mending *mending);

#endif
