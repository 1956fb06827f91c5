/* engine/ids.h: how far the id columns are used up, asked of the database now and then,
 * in a thread and on a connection of its own.
 */
#ifndef HOLDFAST_ENGINE_IDS_H
#define HOLDFAST_ENGINE_IDS_H

#include "engine/config.h"

struct ids;

/* `config` and `hosts` are borrowed until ids_stop. ERR_NOMEM. */
int ids_start(const struct config *config, struct db_hosts *hosts, struct ids **out_ids,
              struct err *err);
void ids_stop(struct ids *ids); /* cuts a call short; accepts NULL */

/* Share of its ids that the stream (by its place in the configuration) has used, of its
 * two tables the larger; false: not known yet. Any thread. */
bool ids_used(struct ids *ids, size_t stream, double *out_share);

#endif
