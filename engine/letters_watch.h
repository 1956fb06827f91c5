/* engine/letters_watch.h: what the dashboard shows of dead letters: how many of each
 * reason, and the newest of them.
 *
 * There may be millions, so they are counted in a thread of its own and only while
 * somebody asks: every two seconds at most, and for at most a twentieth of the time.
 * Threads: any.
 */
#ifndef HOLDFAST_ENGINE_LETTERS_WATCH_H
#define HOLDFAST_ENGINE_LETTERS_WATCH_H

#include "journal/journal.h"

struct letters_watch;
struct json_writer;

/* The journal is there until letters_watch_stop. ERR_NOMEM. */
int letters_watch_start(struct journal *journal, struct letters_watch **out_watch,
                        struct err *err);
void letters_watch_stop(struct letters_watch *watch); /* at once; accepts NULL */

/* "dead_letters": the last count, with when it was made; null where none was yet. To ask
 * is what makes it count, for the next half minute. */
void letters_watch_put(struct letters_watch *watch, struct json_writer *json);

#endif
