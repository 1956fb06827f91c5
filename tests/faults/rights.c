#include "tests/faults/rights.h"

#include <string.h>

static const char grant[] = "GRANT ";

/* The tables' own definitions are left out: the engine makes them. */
static size_t append_grants(struct buf *out, const char *schema)
{
    size_t count = 0;
    for (const char *line = schema; line;) {
        const char *end = strchr(line, '\n');
        size_t len = end ? (size_t)(end - line) : strlen(line);
        if (strncmp(line, grant, sizeof grant - 1) == 0) {
            buf_append(out, line, len);
            count++;
        }
        line = end ? end + 1 : NULL;
    }
    return count;
}

int rights_append(const struct engine_process *engine, struct buf *out_sql,
                  struct err *err)
{
    static const char *const schema[] = {"schema", NULL};
    struct buf printed = {0};
    int exit_code = engine_command(engine, schema, &printed);
    buf_append_text(out_sql, "CREATE OR REPLACE USER " RIGHTS_USER "@'%';");
    size_t count = exit_code == 0 ? append_grants(out_sql, buf_text(&printed)) : 0;
    int code =
        count && !out_sql->failed
            ? ERR_OK
            : err_set(err, ERR_INTERNAL, 0, "schema exits %d, with %zu grants: %.300s",
                      exit_code, count, buf_text(&printed));
    buf_free(&printed);
    return code;
}
