/* tests/lane_kit.h: replay over a real journal and the fake database, on botnet streams.
 * What the observer is told is kept, and can be waited for. Failures are Criterion's. */
#ifndef HOLDFAST_TESTS_LANE_KIT_H
#define HOLDFAST_TESTS_LANE_KIT_H

#include "replay/replay.h"
#include "tests/fakes/fake_sink.h"
#include "tests/journal_kit.h"

#include <pthread.h>

enum { LANE_KIT_STREAMS = 4, LANE_KIT_EVENTS = 4096 };

struct lane_kit_event {
    char name[32];
    bool of_lane;
    struct lane_status status;
    struct err err;
};

struct lane_kit {
    struct kit journal;
    struct fake_database *database;
    const struct stream *streams[LANE_KIT_STREAMS];
    size_t stream_count;
    struct replay_config config; /* retries within milliseconds; stopped lanes: hourly */
    struct replay *replay;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct lane_kit_event *events;
    size_t event_count;
};

/* Opens the journal; nothing is configured or replayed yet. */
void lane_kit_start(struct lane_kit *kit);
void lane_kit_end(struct lane_kit *kit);

/* Configures a botnet stream; its index. */
size_t lane_kit_stream(struct lane_kit *kit, const char *name, uint32_t lanes,
                       enum on_conflict on_conflict);
/* Forgets all configured streams; replay must be stopped. */
void lane_kit_no_streams(struct lane_kit *kit);

/* One entry of `count` records with the numbers from `first` on; where `types` is given
 * its letters are the records' event types: 'g' good, 'b' bad, 'p' pair, others as they
 * are. Its seq. Wakes the replay that runs. */
uint64_t lane_kit_append(struct lane_kit *kit, size_t stream, uint32_t lane,
                         unsigned first, unsigned count, const char *types);
/* The event key of a record, as fake_has_event takes it. */
void lane_kit_key(unsigned number, char out_key[64]);

/* Predicates for the fake database. */
bool lane_kit_is_bad(const struct stream *stream, const struct value *values);
bool lane_kit_is_pair(const struct stream *stream, const struct value *values);

void lane_kit_run(struct lane_kit *kit);
void lane_kit_stop(struct lane_kit *kit); /* with plenty of time */

/* Waits until the lane's done mark is at `seq`. */
void lane_kit_await_done(struct lane_kit *kit, size_t stream, uint32_t lane,
                         uint64_t seq);
/* Waits until the event was told `times` times; the last of them. */
struct lane_kit_event lane_kit_await(struct lane_kit *kit, const char *name,
                                     size_t times);
size_t lane_kit_told(struct lane_kit *kit, const char *name);
/* Waits until the lane's status shows this state; the status. */
struct lane_status lane_kit_await_state(struct lane_kit *kit, const char *stream,
                                        uint32_t lane, enum lane_state state);
struct lane_status lane_kit_status(struct lane_kit *kit, const char *stream,
                                   uint32_t lane);

/* Dead letters (or copies of conflicts) of the whole journal. */
size_t lane_kit_dead(struct lane_kit *kit, enum journal_dead_state state);

#endif
