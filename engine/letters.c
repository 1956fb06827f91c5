#include "engine/letters.h"

#include "engine/units.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK = 1024 };

void letters_filter_all(struct letters_filter *filter)
{
    *filter = (struct letters_filter){
        .to_seq = UINT64_MAX, .since_us = INT64_MIN, .until_us = INT64_MAX};
}

bool letters_match(const struct letters_filter *filter,
                   const struct journal_dead_entry *letter)
{
    return letter->seq >= filter->from_seq && letter->seq <= filter->to_seq &&
           (!filter->one || letter->letter.index == filter->index) &&
           (!filter->stream || strcmp(filter->stream, letter->stream) == 0) &&
           (!filter->reason || strcmp(filter->reason, letter->letter.reason) == 0) &&
           letter->letter.at_us >= filter->since_us &&
           letter->letter.at_us <= filter->until_us;
}

bool letters_parse_place(const char *text, uint64_t *out_seq, uint32_t *out_index)
{
    const char *slash = strchr(text, '/');
    uint64_t seq;
    uint64_t index;
    if (!slash || !units_parse_count(slice_of(text, (size_t)(slash - text)), &seq) ||
        !units_parse_count(slice_text(slash + 1), &index) || index > UINT32_MAX) {
        return false;
    }
    *out_seq = seq;
    *out_index = (uint32_t)index;
    return true;
}

/* ---- The plan -------------------------------------------------------------------- */

struct planning {
    const struct letters_filter *filter;
    struct letters_plan *plan;
};

static void count_reason(struct letters_plan *plan, const char *reason)
{
    size_t i = 0;
    while (i < plan->reason_count && strcmp(plan->reasons[i].reason, reason) != 0) {
        i++;
    }
    if (i == LETTERS_REASONS_MAX) {
        i--;
        snprintf(plan->reasons[i].reason, sizeof plan->reasons[i].reason, "others");
    } else if (i == plan->reason_count) {
        snprintf(plan->reasons[i].reason, sizeof plan->reasons[i].reason, "%s", reason);
        plan->reason_count++;
    }
    plan->reasons[i].count++;
}

static bool plan_letter(const struct journal_dead_entry *letter, void *context)
{
    const struct planning *planning = context;
    struct letters_plan *plan = planning->plan;
    bool kept = letter->state == JOURNAL_DEAD_KEPT;
    bool conflict = letter->state == JOURNAL_DEAD_CONFLICT;
    if ((!kept && !conflict) || !letters_match(planning->filter, letter)) {
        return true;
    }
    plan->kept += kept;
    plan->conflicts += conflict;
    count_reason(plan, letter->letter.reason);
    if (plan->sample_count < LETTERS_SAMPLES) {
        plan->samples[plan->sample_count++] =
            (struct journal_dead_place){letter->seq, letter->letter.index};
    }
    return true;
}

int letters_plan(struct journal *journal, const struct letters_filter *filter,
                 struct letters_plan *out_plan, struct err *err)
{
    struct planning planning = {.filter = filter, .plan = out_plan};
    memset(out_plan, 0, sizeof *out_plan);
    return journal_dead_letters_visit(journal, filter->from_seq, filter->to_seq,
                                      plan_letter, &planning, err);
}

/* ---- Purging --------------------------------------------------------------------- */

/* The next letters that are chosen. */
struct chunk {
    const struct letters_filter *filter;
    struct journal_dead_place places[CHUNK];
    size_t count;
    struct journal_dead_place after; /* only behind this one */
    bool begun;                      /* `after` is one */
};

static bool is_behind(const struct chunk *chunk, const struct journal_dead_entry *letter)
{
    return !chunk->begun || letter->seq > chunk->after.seq ||
           (letter->seq == chunk->after.seq && letter->letter.index > chunk->after.index);
}

static bool take_letter(const struct journal_dead_entry *letter, void *context)
{
    struct chunk *chunk = context;
    bool there =
        letter->state == JOURNAL_DEAD_KEPT || letter->state == JOURNAL_DEAD_CONFLICT;
    if (there && is_behind(chunk, letter) && letters_match(chunk->filter, letter)) {
        chunk->places[chunk->count++] =
            (struct journal_dead_place){letter->seq, letter->letter.index};
    }
    return chunk->count < CHUNK;
}

static int fill_chunk(struct journal *journal, struct chunk *chunk, struct err *err)
{
    uint64_t from = chunk->begun ? chunk->after.seq : chunk->filter->from_seq;
    chunk->count = 0;
    int code = journal_dead_letters_visit(journal, from, chunk->filter->to_seq,
                                          take_letter, chunk, err);
    if (code == ERR_OK && chunk->count) {
        chunk->after = chunk->places[chunk->count - 1];
        chunk->begun = true;
    }
    return code;
}

int letters_purge(struct journal *journal, const struct letters_filter *filter,
                  uint64_t *out_purged, struct err *err)
{
    struct chunk chunk = {.filter = filter};
    uint64_t total = 0;
    int code = fill_chunk(journal, &chunk, err);
    while (code == ERR_OK && chunk.count) {
        size_t purged = 0;
        code =
            journal_dead_letters_purge(journal, chunk.places, chunk.count, &purged, err);
        total += purged;
        code = code ? code : fill_chunk(journal, &chunk, err);
    }
    *out_purged = total;
    return code;
}
