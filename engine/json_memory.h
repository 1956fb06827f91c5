/* engine/json_memory.h: memory for yajl, which doesn't ask whether it got any. */
#ifndef HOLDFAST_ENGINE_JSON_MEMORY_H
#define HOLDFAST_ENGINE_JSON_MEMORY_H

#include <yajl/yajl_common.h>

/* Where there is no memory the process ends with EXIT_NO_MEMORY, which a supervisor
 * answers with a new start: yajl would write to where nothing is. What was acknowledged
 * is in the journal by then. Static: valid for ever; yajl only reads it. */
yajl_alloc_funcs *json_memory(void);

enum { EXIT_NO_MEMORY = 75 };

#endif
