/* audit/judge.h: what is wrong with an entity, by what its events say. Pure. Not a door.
 */
#ifndef HOLDFAST_AUDIT_JUDGE_H
#define HOLDFAST_AUDIT_JUDGE_H

#include "audit/scan.h"

struct judgement {
    bool missing; /* no event, and too young to have lost them to a purge */
    bool aged;
    bool count_off; /* and so on: as the events have it is in scan_entity */
    bool first_off;
    bool last_off;
};

/* Events before `cutoff_us` may have been purged; INT64_MIN: none have. */
struct judgement judge(const struct audit_columns *columns,
                       const struct scan_entity *entity, int64_t cutoff_us);

int64_t judge_cutoff(int64_t now_us, int64_t since_us);

/* When a missing entity was first there; known false: nobody can tell. */
struct scan_time judge_time(const struct scan_entity *entity);

#endif
