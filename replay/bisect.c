#include "replay/bisect.h"

#include <stdio.h>
#include <stdlib.h>

static int try_records(struct bisect *bisect, const struct apply_record *records,
                       size_t count, struct err *err)
{
    struct apply_request request = bisect->request;
    struct apply_result result;
    request.records = records;
    request.record_count = count;
    request.fold = NULL;
    request.trial = true;
    return bisect->sink->ops->apply(bisect->sink, &request, &result, NULL, err);
}

static struct bisect_bad *add_bad(struct bisect *bisect)
{
    if (bisect->bad_count == bisect->bad_capacity) {
        size_t capacity = bisect->bad_capacity ? bisect->bad_capacity * 2 : 16;
        struct bisect_bad *bad = realloc(bisect->bad, capacity * sizeof *bad);
        if (!bad) {
            return NULL;
        }
        bisect->bad = bad;
        bisect->bad_capacity = capacity;
    }
    return &bisect->bad[bisect->bad_count++];
}

static int keep_bad(struct bisect *bisect, const struct apply_record *record,
                    struct err *err)
{
    bisect->in_a_row++;
    if (bisect->in_a_row_max && bisect->in_a_row >= bisect->in_a_row_max) {
        bisect->gave_up = true;
        err->code = ERR_SCHEMA;
        return ERR_SCHEMA;
    }
    struct bisect_bad *bad = add_bad(bisect);
    if (!bad) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the list of bad records");
    }
    bad->record = record;
    snprintf(bad->message, sizeof bad->message, "%.*s", JOURNAL_REASON_MAX, err->message);
    return ERR_OK;
}

/* Depth: the logarithm of the number of records. */
static int search(struct bisect *bisect, const struct apply_record *records, size_t count,
                  struct err *err)
{
    if (count == 0) {
        return ERR_OK;
    }
    int code = try_records(bisect, records, count, err);
    if (code == ERR_OK) {
        bisect->in_a_row = 0;
        return ERR_OK;
    }
    if (code != ERR_DATA) {
        return code;
    }
    if (count == 1) {
        return keep_bad(bisect, records, err);
    }
    size_t half = count / 2;
    code = search(bisect, records, half, err);
    return code == ERR_OK ? search(bisect, records + half, count - half, err) : code;
}

int bisect_find(struct bisect *bisect, struct err *err)
{
    bisect->bad = NULL;
    bisect->bad_count = 0;
    bisect->bad_capacity = 0;
    bisect->gave_up = false;
    return search(bisect, bisect->request.records, bisect->request.record_count, err);
}
