#include "replay/restore.h"

#include "replay/apply_work.h"
#include "replay/decode.h"

#include <stdlib.h>

struct restore {
    struct db *db;
    struct journal *journal;
    const struct stream *stream;
    int32_t zone_offset_s;
    struct sink_tables tables;
};

int restore_new(struct db *db, struct journal *journal, const struct stream *stream,
                int32_t zone_offset_s, struct restore **out_restore, struct err *err)
{
    struct buf notes = {0};
    struct restore *restore = calloc(1, sizeof *restore);
    if (!restore) {
        return work_no_memory(err);
    }
    *restore = (struct restore){
        .db = db, .journal = journal, .stream = stream, .zone_offset_s = zone_offset_s};
    int code = examine_tables(db, stream, EXAMINE_LOOK, &restore->tables, &notes, err);
    buf_free(&notes);
    if (code) {
        free(restore);
        return code;
    }
    *out_restore = restore;
    return 0;
}

void restore_free(struct restore *restore)
{
    free(restore);
}

static int write_events(struct work *at, uint64_t *out_events, struct err *err)
{
    int code = work_settle(at, err);
    if (code == 0 && at->made) {
        code = work_miss(at, "entities that were there and are gone", 0, at->made, err);
    }
    code = code ? code : work_decide(at, err);
    code = code ? code : work_insert_events(at, err);
    *out_events = 0;
    for (size_t i = 0; i < at->fold->event_count; i++) {
        *out_events += !at->found[i];
    }
    return code;
}

static int transact(struct work *at, uint64_t *out_events, struct err *err)
{
    struct db *db = at->context->db;
    uint64_t events = 0;
    int code = db_begin(db, err);
    if (code) {
        return code;
    }
    code = write_events(at, &events, err);
    code = code ? code : db_commit(db, err);
    if (code) {
        db_rollback(db);
        return code;
    }
    *out_events = events;
    return 0;
}

static int apply_records(struct restore *restore, const struct decoded *decoded,
                         uint64_t *out_events, struct err *err)
{
    struct fold fold = {0};
    struct work at;
    struct apply_request request = {.stream = restore->stream,
                                    .records = decoded->records,
                                    .record_count = decoded->count};
    struct apply_context context = {.db = restore->db,
                                    .tables = &restore->tables,
                                    .request = &request,
                                    .fold = &fold,
                                    .zone_offset_s = restore->zone_offset_s};
    uint8_t *fates = malloc(decoded->count);
    int code =
        fates ? fold_new(restore->stream, decoded->records, decoded->count, &fold, err)
              : work_no_memory(err);
    if (code) {
        free(fates);
        return code;
    }
    code = work_start(&at, &context, fates, err);
    code = code ? code : transact(&at, out_events, err);
    work_free(&at);
    fold_free(&fold);
    free(fates);
    return code;
}

static int decode_wanted(struct restore *restore, const struct journal_entries *entries,
                         const struct restore_filter *filter, struct decoded *out_decoded,
                         struct err *err)
{
    int code =
        decode_entries(restore->journal, restore->stream, entries, out_decoded, err);
    if (code == 0) {
        decode_keep(out_decoded, restore->stream, filter->wants, filter->context);
    }
    return code;
}

int restore_look(struct restore *restore, const struct journal_entries *entries,
                 const struct restore_filter *filter, struct err *err)
{
    struct decoded decoded;
    int code = decode_wanted(restore, entries, filter, &decoded, err);
    if (code == 0) {
        decode_free(&decoded);
    }
    return code;
}

int restore_apply(struct restore *restore, const struct journal_entries *entries,
                  const struct restore_filter *filter, uint64_t *out_events,
                  struct err *err)
{
    struct decoded decoded;
    int code = decode_wanted(restore, entries, filter, &decoded, err);
    if (code) {
        return code;
    }
    *out_events = 0;
    if (decoded.count) {
        code = apply_records(restore, &decoded, out_events, err);
    }
    decode_free(&decoded);
    return code;
}
