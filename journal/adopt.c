/* `journal adopt`: a new identity for a journal that was restored or copied.
 *
 * The id stands in two places, and only one of them can be in the transaction. So that
 * comes first: with the new id it notes the old one, and where journal.id still names
 * that, the next open knows that a crash came between and lets the file follow
 * (store.c). Before the commit nothing has happened; after it everything has.
 *
 * A lane's position in the ledger begins at 0 under a new id. Where its first entries are
 * no longer held it would stop there for good, so the gap up to the first one that is
 * held is accepted in the same transaction. A lane that holds nothing in full and has
 * nothing to apply keeps its done mark, so that a removed stream doesn't become a
 * backlog.
 */
#include "journal/tools.h"

#include "journal/change.h"
#include "journal/lanes.h"
#include "journal/store_create.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_LEN = JOURNAL_STREAM_MAX + 24, VALUE_LEN = 64 + 2 * JOURNAL_SUM_LEN };

/* ---- What there is ----------------------------------------------------------------- */

struct adoption_lane {
    struct journal_adopted_lane *said;
    struct journal_position gap_to;
    bool stays; /* at its end */
};

struct adopting {
    struct journal_adoption *adoption;
    struct adoption_lane *lanes;
    struct format_identity identity;
};

static bool count_entry(const struct journal_entry *entry, void *context)
{
    struct journal_adoption *adoption = context;
    for (size_t i = 0; i < adoption->lane_count; i++) {
        struct journal_adopted_lane *lane = &adoption->lanes[i];
        if (entry->state == JOURNAL_ENTRY_FULL && lane->lane == entry->lane &&
            strcmp(lane->stream, entry->stream) == 0) {
            lane->entries++;
            lane->records += entry->records;
        }
    }
    return true;
}

static int plan_lane(struct journal *journal, const struct journal_lane *known,
                     struct adoption_lane *lane, struct err *err)
{
    struct journal_gap gap = {0};
    struct err why = {0};
    memcpy(lane->said->stream, known->stream, sizeof known->stream);
    lane->said->lane = known->lane;
    lane->stays = !known->oldest_seq && known->done.seq == known->last_seq;
    int rc = journal_gap_find(journal, known->stream, known->lane, &gap, &why);
    if (rc == ERR_NOT_FOUND) {
        return ERR_OK;
    }
    if (rc) {
        return err_set(err, why.code, why.sys, "%s", why.message);
    }
    lane->gap_to = gap.to;
    lane->said->gone_to = gap.to.seq;
    lane->said->gone = gap.records;
    return ERR_OK;
}

static int plan(struct journal *journal, struct adopting *adopting, struct err *err)
{
    struct journal_adoption *adoption = adopting->adoption;
    struct journal_lane *known = NULL;
    size_t count = 0;
    memcpy(adoption->id_before, journal_id(journal), JOURNAL_ID_TEXT);
    int rc = journal_lanes(journal, &known, &count, err);
    if (rc) {
        return rc;
    }
    adoption->lanes = calloc(count + 1, sizeof *adoption->lanes);
    adopting->lanes = calloc(count + 1, sizeof *adopting->lanes);
    if (!adoption->lanes || !adopting->lanes) {
        free(known);
        return err_set(err, ERR_NOMEM, 0, "out of memory");
    }
    for (size_t i = 0; i < count && !rc; i++) {
        adopting->lanes[i].said = &adoption->lanes[i];
        adoption->lane_count++;
        rc = plan_lane(journal, &known[i], &adopting->lanes[i], err);
    }
    free(known);
    return rc ? rc : journal_visit(journal, 1, count_entry, adoption, err);
}

/* ---- The transaction ----------------------------------------------------------------
 */

static int put_setting(struct change *change, const char *name, const char *value,
                       struct err *err)
{
    char key[1 + NAME_LEN];
    int len = snprintf(key, sizeof key, "%c%s", FORMAT_SETTING_TAG, name);
    MDB_dbi meta = change->journal->store.meta;
    struct slice place = slice_of(key, (size_t)len);
    return value ? change_put(change, meta, place, slice_text(value), 0, err)
                 : change_delete(change, meta, place, err);
}

/* The acceptance of the gap behind a ledger position of 0, as replay/gap.c has it. */
static int accept_gap(struct change *change, const struct adoption_lane *lane,
                      struct err *err)
{
    char name[NAME_LEN];
    char value[VALUE_LEN];
    snprintf(name, sizeof name, "gap/%s/%u", lane->said->stream, lane->said->lane);
    if (!lane->gap_to.seq) {
        return put_setting(change, name, NULL, err);
    }
    int len =
        snprintf(value, sizeof value, "0-%llu ", (unsigned long long)lane->gap_to.seq);
    for (size_t i = 0; i < JOURNAL_SUM_LEN; i++) {
        len += snprintf(value + len, sizeof value - (size_t)len, "%02x",
                        lane->gap_to.sum[i]);
    }
    return put_setting(change, name, value, err);
}

static int begin_lane(struct change *change, const struct adoption_lane *lane,
                      struct err *err)
{
    struct lane *known =
        lanes_find(change->journal, lane->said->stream, lane->said->lane);
    if (known && !lane->stays) {
        change_touch(change, known);
        known->next.done = (struct journal_position){0};
        known->next.done_running = 0;
        known->next.done_retried = 0;
        known->rewound = true;
    }
    return accept_gap(change, lane, err);
}

static int put_identity(struct change *change, const struct format_identity *identity,
                        struct err *err)
{
    struct buf value = {0};
    format_identity_encode(&value, identity);
    int rc = value.failed ? err_set(err, ERR_NOMEM, 0, "out of memory")
                          : change_put(change, change->journal->store.meta,
                                       SLICE_LITERAL("id"), buf_slice(&value), 0, err);
    buf_free(&value);
    return rc;
}

static int apply_adopt(struct change *change, struct operation *operation,
                       struct err *err)
{
    struct adopting *adopting = operation->context;
    const struct journal_adoption *adoption = adopting->adoption;
    int rc = put_identity(change, &adopting->identity, err);
    rc = rc ? rc : put_setting(change, FORMAT_ADOPTED_FROM, adoption->id_before, err);
    for (size_t i = 0; i < adoption->lane_count && !rc; i++) {
        rc = begin_lane(change, &adopting->lanes[i], err);
    }
    return rc;
}

/* ---- The door -----------------------------------------------------------------------
 */

void journal_adoption_free(struct journal_adoption *adoption)
{
    free(adoption->lanes);
    *adoption = (struct journal_adoption){0};
}

static int end(struct adopting *adopting, int rc, struct journal_adoption *out_adoption)
{
    free(adopting->lanes);
    if (rc) {
        journal_adoption_free(adopting->adoption);
    } else {
        *out_adoption = *adopting->adoption;
    }
    return rc;
}

int journal_adoption_plan(struct journal *journal, struct journal_adoption *out_adoption,
                          struct err *err)
{
    struct journal_adoption adoption = {0};
    struct adopting adopting = {.adoption = &adoption};
    return end(&adopting, plan(journal, &adopting, err), out_adoption);
}

int journal_adopt(struct journal *journal, struct journal_adoption *out_adoption,
                  struct err *err)
{
    struct journal_adoption adoption = {0};
    struct adopting adopting = {.adoption = &adoption};
    struct operation operation = {.apply = apply_adopt, .context = &adopting};
    int rc = handle_check_writable(journal, err);
    rc = rc ? rc : plan(journal, &adopting, err);
    rc = rc ? rc : store_draw_identity(&adopting.identity, err);
    rc = rc ? rc : handle_run(journal, &operation, err);
    if (!rc) {
        format_id_text(adopting.identity.id, adoption.id);
        memcpy(journal->store.id, adoption.id, sizeof adoption.id);
        rc = store_replace_sentinel(journal->store.path, adoption.id, err);
    }
    return end(&adopting, rc, out_adoption);
}
