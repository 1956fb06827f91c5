/* replay/ahead.h: the next portion, made on a thread of its own while the database works
 * on the present one. Not a door.
 *
 * Nothing of it reaches the database before it is taken, and it is taken only by a lane
 * that has come to just the position that it begins behind, and would make the same now.
 * Whatever happens to the present transaction, the worst is a portion made in vain.
 *
 * One a connection, for one portion: lanes that share a connection share it, and one that
 * finds it in use makes its own. So there are at most two portions a connection.
 * Threads: asked, taken and dropped by the connection's worker.
 */
#ifndef HOLDFAST_REPLAY_AHEAD_H
#define HOLDFAST_REPLAY_AHEAD_H

#include "replay/portion.h"

struct ahead;

int ahead_new(struct ahead **out_ahead, struct err *err); /* ERR_NOMEM */
void ahead_free(struct ahead *ahead); /* waits for what is being made; accepts NULL */

/* Begins to make the portion, unless another is in hand. */
void ahead_ask(struct ahead *ahead, const struct portion_wish *wish);

/* The portion, if it is this one that was asked for, once it is made; false: it is not,
 * or it could not be made. A portion of the same lane that is not wanted any more goes.
 */
bool ahead_take(struct ahead *ahead, const struct portion_wish *wish,
                struct portion *out_portion);

/* What is made or being made is not wanted. Does not wait. */
void ahead_drop(struct ahead *ahead);

#endif
