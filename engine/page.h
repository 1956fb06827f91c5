/* engine/page.h: the status page at `/`: one HTML document without scripts. */
#ifndef HOLDFAST_ENGINE_PAGE_H
#define HOLDFAST_ENGINE_PAGE_H

#include "engine/engine.h"

int page_make(struct engine *engine, struct buf *out, struct err *err);

#endif
