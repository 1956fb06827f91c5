#include "audit/deep_judge.h"

static enum deep_verdict gap(enum deep_kind kind, enum deep_kind *out_kind)
{
    *out_kind = kind;
    return DEEP_GAP;
}

static bool is_behind(const struct lookup_fact *fact, int64_t time_us)
{
    return fact->has_last && (!fact->last_known || fact->last_us < time_us);
}

/* In a column that a duplicate agrees in? */
static bool differs_in_compared(const struct lookup_fact *fact,
                                const struct stream *stream)
{
    bool found = false;
    for (size_t i = 0; i < stream->compare_count; i++) {
        found = found || fact->columns[stream->compare[i]];
    }
    return found;
}

static enum deep_verdict judge_content(const struct lookup_fact *fact,
                                       const struct deep_ground *ground,
                                       enum deep_kind *out_kind)
{
    if (fact->stands_in) {
        return gap(DEEP_STANDS_IN, out_kind);
    }
    if (!fact->first || !fact->differs) {
        return DEEP_AGREES;
    }
    if (!ground->differed &&
        (!ground->met || differs_in_compared(fact, ground->stream))) {
        return gap(DEEP_ALTERED, out_kind);
    }
    *out_kind = DEEP_ALTERED;
    return fact->received_here ? DEEP_SUSPECT : DEEP_OTHERS;
}

enum deep_verdict deep_judge(const struct lookup_fact *fact,
                             const struct deep_ground *ground, enum deep_kind *out_kind)
{
    int64_t time_us = fact->record->values[ground->stream->time_field].time_us;
    if (!fact->entity_id || !fact->event_id) {
        enum deep_kind kind = fact->entity_id  ? DEEP_EVENT_MISSING
                              : fact->event_id ? DEEP_ENTITY_MISSING
                                               : DEEP_BOTH_MISSING;
        return time_us < ground->cutoff_us ? DEEP_AGED : gap(kind, out_kind);
    }
    if (fact->event_entity != fact->entity_id) {
        return gap(DEEP_OTHER_ENTITY, out_kind);
    }
    if (is_behind(fact, time_us)) {
        return gap(DEEP_ENTITY_BEHIND, out_kind);
    }
    return judge_content(fact, ground, out_kind);
}
