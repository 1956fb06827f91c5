#include "engine/report.h"

#include <stdlib.h>

static const struct lane_status *find_replay(const struct replay_status *replay,
                                             const char *stream, uint32_t lane)
{
    for (size_t i = 0; i < replay->lane_count; i++) {
        if (replay->lanes[i].lane == lane &&
            strcmp(replay->lanes[i].stream, stream) == 0) {
            return &replay->lanes[i];
        }
    }
    return NULL;
}

static bool is_known(const struct report *report, const struct lane_status *status)
{
    for (size_t i = 0; i < report->lane_count; i++) {
        if (report->lanes[i].replay == status) {
            return true;
        }
    }
    return false;
}

/* A configured lane without entries. */
static void add_empty(struct report *report, const struct lane_status *status)
{
    struct report_lane *lane = &report->lanes[report->lane_count++];
    *lane = (struct report_lane){.journal.lane = status->lane, .replay = status};
    memcpy(lane->journal.stream, status->stream, sizeof lane->journal.stream);
}

static int join(struct report *report, const struct journal_lane *known, size_t count,
                struct err *err)
{
    report->lanes = calloc(count + report->replay.lane_count + 1, sizeof *report->lanes);
    if (!report->lanes) {
        return err_set(err, ERR_NOMEM, 0, "no memory for the status");
    }
    for (size_t i = 0; i < count; i++) {
        report->lanes[report->lane_count++] = (struct report_lane){
            known[i], find_replay(&report->replay, known[i].stream, known[i].lane)};
    }
    for (size_t i = 0; i < report->replay.lane_count; i++) {
        if (!is_known(report, &report->replay.lanes[i])) {
            add_empty(report, &report->replay.lanes[i]);
        }
    }
    return ERR_OK;
}

int report_make(struct engine *engine, struct report *out_report, struct err *err)
{
    struct report report = {0};
    struct journal_lane *known = NULL;
    size_t count = 0;
    int code = journal_stat(engine_journal(engine), &report.stat, err);
    code = code ? code : journal_lanes(engine_journal(engine), &known, &count, err);
    code = code ? code : replay_status(engine_replay(engine), &report.replay, err);
    code = code ? code : join(&report, known, count, err);
    free(known);
    if (code != ERR_OK) {
        report_free(&report);
        return code;
    }
    *out_report = report;
    return ERR_OK;
}

void report_free(struct report *report)
{
    free(report->lanes);
    free(report->replay.lanes);
    *report = (struct report){0};
}

uint64_t report_pending(const struct report_lane *lane)
{
    return journal_lane_pending(&lane->journal);
}

double report_pending_age_s(const struct report_lane *lane, int64_t wall_us)
{
    int64_t since_us = lane->journal.oldest_pending_at_us;
    return since_us && wall_us > since_us ? (double)(wall_us - since_us) / 1e6 : 0;
}

/* Of the entries, how much isn't applied: by time, as if they had come evenly. */
static double pending_share(const struct report *report, int64_t wall_us)
{
    double oldest_s = 0;
    double reach_s = (double)(wall_us - report->stat.oldest_at_us) / 1e6;
    for (size_t i = 0; i < report->lane_count; i++) {
        double age_s = report_pending_age_s(&report->lanes[i], wall_us);
        oldest_s = age_s > oldest_s ? age_s : oldest_s;
    }
    if (!report->stat.oldest_at_us || reach_s <= 0) {
        return 0;
    }
    return oldest_s < reach_s ? oldest_s / reach_s : 1;
}

uint64_t report_capacity_bytes(const struct report *report)
{
    const struct journal_stat *stat = &report->stat;
    uint64_t room = stat->used_bytes + stat->free_bytes;
    return room + stat->reserve_bytes < stat->size_max ? room : stat->size_max;
}

uint64_t report_disk_room_bytes(const struct report *report)
{
    const struct journal_stat *stat = &report->stat;
    return stat->disk_free_bytes > stat->free_bytes ? stat->disk_free_bytes
                                                    : stat->free_bytes;
}

uint64_t report_held_bytes(const struct report *report, int64_t wall_us)
{
    if (report->stat.refusing) {
        return report->stat.used_bytes; /* what could give way has */
    }
    double pending = (double)report->stat.used_bytes * pending_share(report, wall_us);
    return (uint64_t)pending + report->stat.dead_letter_bytes;
}
