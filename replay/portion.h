/* replay/portion.h: what one transaction of a lane is about: entries as they were read,
 * their records, what these come to. Not a door.
 *
 * A portion depends on nothing but its wish and the journal, so it may be made before the
 * transaction before it has ended (replay/ahead.h).
 */
#ifndef HOLDFAST_REPLAY_PORTION_H
#define HOLDFAST_REPLAY_PORTION_H

#include "replay/decode.h"
#include "replay/fold.h"
#include "replay/layout.h"

struct portion_wish {
    struct journal *journal;
    const struct stream *stream; /* borrowed, as the layout */
    const struct layout *layout;
    uint32_t lane;
    struct journal_position after;
    uint64_t to_seq; /* nothing behind this entry; 0: no end */
    uint64_t bytes_max;
    size_t records_max;
};

struct portion {
    struct journal_entries entries; /* none: there was nothing */
    struct decoded decoded;
    struct fold fold; /* of the decoded records */
};

/* As journal_read_lane and decode_entries; entries behind a change of the number of lanes
 * are left for another portion, and those behind the wish's end are left out. */
int portion_make(const struct portion_wish *wish, struct portion *out_portion,
                 struct err *err);
void portion_free(struct portion *portion);

/* The same portion. */
bool portion_wish_equal(const struct portion_wish *a, const struct portion_wish *b);

#endif
