#include "audit/judge.h"

int64_t judge_cutoff(int64_t now_us, int64_t since_us)
{
    return since_us > 0 ? now_us - since_us : INT64_MIN;
}

struct scan_time judge_time(const struct scan_entity *entity)
{
    return entity->first.known ? entity->first : entity->last;
}

/* A column that is NULL, or has no time in it, is off as well. */
static bool differs(const struct stream_column *column, const struct scan_time *stored,
                    const struct scan_time *found)
{
    return column && found->known && (!stored->known || stored->us != found->us);
}

struct judgement judge(const struct audit_columns *columns,
                       const struct scan_entity *entity, int64_t cutoff_us)
{
    struct judgement found = {0};
    struct scan_time begin = judge_time(entity);
    struct scan_time end = entity->last.known ? entity->last : entity->first;
    if (entity->events == 0) {
        found.aged = end.known && end.us < cutoff_us;
        found.missing = !found.aged;
        return found;
    }
    bool whole = cutoff_us == INT64_MIN || !begin.known || begin.us >= cutoff_us;
    int64_t events = (int64_t)entity->events;
    bool fewer = !entity->has_count || entity->count < events;
    found.count_off = columns->count && (fewer || (whole && entity->count != events));
    bool later = !entity->first.known || entity->first.us > entity->earliest.us;
    found.first_off =
        differs(columns->first, &entity->first, &entity->earliest) && (whole || later);
    found.last_off = differs(columns->last, &entity->last, &entity->latest);
    return found;
}
