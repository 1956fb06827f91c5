#include "engine/cli_overview.h"

#include <criterion/criterion.h>

static void expect(const char *json, const char *wanted)
{
    struct buf out = {0};
    cr_assert(cli_overview(slice_text(json), &out));
    cr_expect_str_eq(buf_text(&out), wanted);
    buf_free(&out);
}

Test(cli_overview, an_engine_at_work)
{
    expect(
        "{\"ready\":true,\"connected\":true,\"paused\":false,\"accepted\":20001,"
        "\"pending\":12,\"journal\":{\"size_max\":1073741824,\"used_bytes\":1048576,"
        "\"dead_letters\":1,\"refusing\":false},"
        "\"lanes\":[{\"stream\":\"mozi\",\"lane\":0,\"accepted\":20001,"
        "\"pending\":12,\"pending_age_s\":3,\"rejected\":1,\"done_seq\":9,"
        "\"state\":\"waiting\",\"reason\":\"COMMIT: deadlock\"}],"
        "\"checks\":[{\"stream\":\"mozi\",\"tables_found\":true,\"ok\":false,"
        "\"entities\":800,\"without_events\":301,\"at\":\"2026-11-23T07:46:28Z\"},{"
        "\"stream\":\"test\",\"failed\":\"no database\"}],"
        "\"alerts\":{\"raised\":[{\"rule\":\"low_coverage\",\"severity\":\"critical\","
        "\"summary\":\"62.37 %\"}]}}",
        "ready; the database is connected\n"
        "journal: 20001 records accepted, 12 pending, 1 dead letters kept; 1.0 MiB of "
        "1.0 GiB used\n\n"
        "lane                 state     applied to     accepted    pending       for   "
        "rejected  given up\n"
        "mozi/0               waiting            9        20001         12       3 s   "
        "       1         0\n"
        "    COMMIT: deadlock\n"
        "check of mozi: BELOW the threshold, 301 of 800 entities without events, at "
        "2026-11-23T07:46:28Z\n"
        "check of test failed: no database\n"
        "ALERT low_coverage (critical): 62.37 %\n");
}

Test(cli_overview, what_is_wrong_stands_out)
{
    expect(
        "{\"ready\":false,\"not_ready_because\":\"the journal has no room\","
        "\"connected\":false,\"paused\":true,\"accepted\":0,\"pending\":0,"
        "\"journal\":{\"size_max\":1024,\"used_bytes\":1024,\"refusing\":true},"
        "\"lanes\":[]}",
        "NOT READY: the journal has no room; PAUSED: `holdfast resume` ends that\n"
        "journal: 0 records accepted, 0 pending, 0 dead letters kept; 1.0 KiB of 1.0 KiB "
        "used; FULL, new batches are refused\n"
        "no lanes: nothing was taken in yet\n");
}

Test(cli_overview, without_a_database)
{
    expect("{\"ready\":true,\"connected\":false,\"paused\":false,\"accepted\":0,"
           "\"pending\":0,\"journal\":{\"size_max\":1024,\"used_bytes\":0},\"lanes\":[]}",
           "ready; the database is NOT connected\n"
           "journal: 0 records accepted, 0 pending, 0 dead letters kept; 0 B of 1.0 KiB "
           "used\n"
           "no lanes: nothing was taken in yet\n");
}

Test(cli_overview, a_journal_without_an_engine)
{
    expect(
        "{\"running\":false,\"note\":\"no engine is running\",\"paused\":false,"
        "\"journal\":{\"size_max\":1024,\"used_bytes\":0,\"accepted\":7,"
        "\"dead_letters\":0},\"lanes\":[{\"stream\":\"mozi\",\"lane\":1,"
        "\"accepted\":7,\"pending\":0,\"done_seq\":2}]}",
        "no engine is running\n"
        "journal: 7 records accepted, 0 dead letters kept; 0 B of 1.0 KiB used\n\n"
        "lane                 state     applied to     accepted    pending       for   "
        "rejected  given up\n"
        "mozi/1               -                  2            7          0       0 s   "
        "       0         0\n");
}

Test(cli_overview, another_document_is_left_alone)
{
    struct buf out = {0};
    cr_expect_not(cli_overview(slice_text("[1]"), &out));
    cr_expect_not(cli_overview(slice_text("no JSON"), &out));
    cr_expect_not(cli_overview(slice_text("{\"journal\":{}}"), &out));
    cr_expect_eq(out.len, 0);
}
