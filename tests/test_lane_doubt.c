/* Two lanes, one of which asks its ledger, and before it says so the database goes back
 * and the other lane finds out. Step by step, in one thread: replay/lane.h.
 */
#include "replay/lane.h"
#include "tests/lane_kit.h"

#include <criterion/criterion.h>

enum { LANES = 2 };

static struct {
    struct lane_kit kit;
    struct lane_shared shared;
    struct lane lanes[LANES];
    struct lane_link links[LANES];
    struct lane_prepared prepared[LANES][LANE_KIT_STREAMS];
    struct sink_ops ops; /* of lane 1's sink, with our `position` */
    const struct sink_ops *real;
    bool goes_back; /* once lane 1 has been answered */
} at;

static int answer_and_go_back(struct sink *sink, const struct ledger_lane *lane,
                              struct ledger_row *out_row, struct err *err)
{
    struct err later = {0};
    int code = at.real->position(sink, lane, out_row, err);
    if (at.goes_back) {
        at.goes_back = false;
        fake_rewind(at.kit.database);
        cr_assert_eq(lane_compare(&at.lanes[0], &at.links[0], &later), ERR_OK, "%s",
                     later.message);
    }
    return code;
}

/* What two lanes have applied and done, and the database could go back before. */
static void begin(void)
{
    lane_kit_start(&at.kit);
    size_t mozi = lane_kit_stream(&at.kit, "mozi", LANES, CONFLICT_COUNT);
    lane_kit_run(&at.kit);
    fake_snapshot(at.kit.database);
    for (uint32_t i = 0; i < LANES; i++) {
        lane_kit_await_done(&at.kit, mozi, i,
                            lane_kit_append(&at.kit, mozi, i, 10 * i, 4, NULL));
    }
    lane_kit_stop(&at.kit);
    at.shared = (struct lane_shared){.config = at.kit.config,
                                     .journal_id = journal_id(at.kit.journal.journal)};
    cr_assert_eq(pthread_mutex_init(&at.shared.lock, NULL), 0);
    for (uint32_t i = 0; i < LANES; i++) {
        struct err err = {0};
        struct lane_link *link = &at.links[i];
        link->prepared = at.prepared[i];
        cr_assert_eq(fake_sink_new(at.kit.database, &link->sink, &err), ERR_OK);
        cr_assert_eq(link->sink->ops->connect(link->sink, &err), ERR_OK);
        lane_init(&at.lanes[i], &at.shared, "mozi", at.kit.streams[mozi], i);
    }
    at.real = at.links[1].sink->ops;
    at.ops = *at.real;
    at.ops.position = answer_and_go_back;
    at.links[1].sink->ops = &at.ops;
}

static void end(void)
{
    for (uint32_t i = 0; i < LANES; i++) {
        at.links[i].sink->ops->free(at.links[i].sink);
    }
    (void)pthread_mutex_destroy(&at.shared.lock);
    lane_kit_end(&at.kit);
}

static bool confirmed(uint32_t lane)
{
    return kit_lane(&at.kit.journal, "mozi", lane).confirmed;
}

static void compare(uint32_t lane)
{
    struct err err = {0};
    cr_assert_eq(lane_compare(&at.lanes[lane], &at.links[lane], &err), ERR_OK, "%s",
                 err.message);
}

Test(lane_doubt, an_answer_from_before_the_database_went_back_confirms_nothing)
{
    begin();
    at.goes_back = true;
    compare(1);
    cr_expect(confirmed(0));
    cr_expect_not(confirmed(1));
    cr_expect_not(at.lanes[1].compared);
    compare(1);
    cr_expect(confirmed(1));
    cr_expect_eq(kit_lane(&at.kit.journal, "mozi", 1).done.seq, 0);
    end();
}

/* Nor does a lane that found it by itself have to ask twice, or doubt the others again.
 */
Test(lane_doubt, each_lane_that_went_back_is_confirmed_in_the_end)
{
    begin();
    fake_rewind(at.kit.database);
    compare(0);
    cr_expect(confirmed(0));
    compare(1);
    cr_expect_not(confirmed(0)); /* lane 1 found it, too */
    cr_expect(confirmed(1));
    compare(0);
    cr_expect(confirmed(0));
    cr_expect(confirmed(1));
    end();
}
