/* engine/checker.h: `holdfast check`, run by the engine every now and then, in a thread
 * and on a connection of its own.
 */
#ifndef HOLDFAST_ENGINE_CHECKER_H
#define HOLDFAST_ENGINE_CHECKER_H

#include "engine/config.h"

struct checker;
struct json_writer;

/* Starts the thread; the first check comes a minute later, or after check.every where
 * that is less. `config` and `hosts` are borrowed until checker_stop. ERR_NOMEM. */
int checker_start(const struct config *config, struct db_hosts *hosts,
                  struct checker **out_checker, struct err *err);

/* Ends a check under way and frees all. Accepts NULL. */
void checker_stop(struct checker *checker);

/* "checks": the last result of each stream that was checked, with when that was, and why
 * the last one could not be made, if so. Any thread; NULL: nothing is checked. */
void checker_put(struct checker *checker, struct json_writer *json);

/* "orphans": of each stream that was checked, when entities without events came, by day,
 * as check_put_orphans does it. Any thread; NULL: nothing is checked. */
void checker_put_orphans(struct checker *checker, struct json_writer *json);

/* Share of the entities of a stream (by its place in the configuration) that have their
 * events, by the last check; an empty table: 1. False: not checked yet. Any thread;
 * `checker` may be NULL. */
bool checker_coverage(struct checker *checker, size_t stream, double *out_ratio);

#endif
