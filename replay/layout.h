/* replay/layout.h: the order of a stream's entries across a change of its number of
 * lanes.
 *
 * When `lanes` changes over a backlog, an entity's older records lie in one lane and its
 * newer ones in another. So that they still reach the database in seq order, which
 * `latest` and the first of two conflicting events go by, entries from the change on wait
 * until all of the stream's entries before it are applied. The changes are remembered in
 * the journal, as the seqs that were next when they were made; what they ask for is read
 * off the done marks, so it holds for a rewound database too.
 */
#ifndef HOLDFAST_REPLAY_LAYOUT_H
#define HOLDFAST_REPLAY_LAYOUT_H

#include "journal/journal.h"

enum { LAYOUT_CHANGES_MAX = 8 }; /* the newest ones are kept */

struct layout {
    uint32_t lanes;
    uint64_t changes[LAYOUT_CHANGES_MAX]; /* rising */
    size_t change_count;
};

/* Reads the stream's layout and, where its number of lanes is another now, adds a change
 * at the journal's next seq, durably. Before intake takes anything under the new number.
 */
int layout_update(struct journal *journal, const char *stream, uint32_t lanes,
                  struct layout *out_layout, struct err *err);

/* As it was left; nothing is written, and a stream without one has no changes. */
int layout_read(struct journal *journal, const char *stream, struct layout *out_layout,
                struct err *err);

/* The last change at or before `seq`; 0: none. */
uint64_t layout_change_before(const struct layout *layout, uint64_t seq);

/* The first change after `seq`; UINT64_MAX: none. */
uint64_t layout_change_after(const struct layout *layout, uint64_t seq);

/* Whether all of the stream's entries before `change` are applied, which of a lane that
 * still retains some is believed only while its ledger position is confirmed. */
int layout_is_settled(struct journal *journal, const char *stream, uint64_t change,
                      bool *out_settled, struct err *err);

#endif
