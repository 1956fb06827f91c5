#include "engine/page.h"

/* From engine/dashboard, made by cmake/embed.cmake: name in C, file, type. */
/* clang-format off */
#define FILES(X)                                                                         \
    X(index_html,  "index.html",  "text/html; charset=utf-8")                            \
    X(style_css,   "style.css",   "text/css; charset=utf-8")                             \
    X(icon_svg,    "icon.svg",    "image/svg+xml")                                       \
    X(app_js,      "app.js",      "text/javascript; charset=utf-8")                      \
    X(health_js,   "health.js",   "text/javascript; charset=utf-8")                      \
    X(samples_js,  "samples.js",  "text/javascript; charset=utf-8")                      \
    X(sections_js, "sections.js", "text/javascript; charset=utf-8")                      \
    X(table_js,    "table.js",    "text/javascript; charset=utf-8")                      \
    X(text_js,     "text.js",     "text/javascript; charset=utf-8")
/* clang-format on */

#define X(symbol, file, type)                                                            \
    extern const char dashboard_##symbol[];                                              \
    extern const size_t dashboard_##symbol##_len;
FILES(X)
#undef X

bool page_find(struct slice name, struct page_file *out_file)
{
    static const struct {
        const char *name;
        const char *content_type;
        const char *data;
        const size_t *len;
    } files[] = {
#define X(symbol, file, type) {file, type, dashboard_##symbol, &dashboard_##symbol##_len},
        FILES(X)
#undef X
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (slice_is(name, files[i].name)) {
            *out_file = (struct page_file){files[i].content_type,
                                           slice_of(files[i].data, *files[i].len)};
            return true;
        }
    }
    return false;
}
