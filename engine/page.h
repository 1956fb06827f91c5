/* engine/page.h: the dashboard at `/`: the files of engine/dashboard, compiled in. They
 * hold no data; the page asks /v1/status and /v1/dashboard for it.
 */
#ifndef HOLDFAST_ENGINE_PAGE_H
#define HOLDFAST_ENGINE_PAGE_H

#include "base/slice.h"

struct page_file {
    const char *content_type;
    struct slice bytes;
};

/* The file of this name, index.html being the page; false: there is none. */
bool page_find(struct slice name, struct page_file *out_file);

#endif
