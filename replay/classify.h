/* replay/classify.h: what a server's error number means for the lane. Pure; one table. */
#ifndef HOLDFAST_REPLAY_CLASSIFY_H
#define HOLDFAST_REPLAY_CLASSIFY_H

#include "base/err.h"

/* DESIGN's table: ERR_TRANSIENT, ERR_UNKNOWN, ERR_DATA, ERR_SCHEMA, ERR_RESOURCE; every
 * code that is not in the table is ERR_SCHEMA. 0 is ERR_OK. */
enum err_code classify_server_error(unsigned number);

#endif
