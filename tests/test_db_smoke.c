/* A few records go in, come to rest in the tables and are counted: what even a broken
 * engine does where nothing goes wrong. tests/mutations/run.sh asks it of each planted
 * mistake, so that only what looks for that mistake can find it. */
#include "tests/drive.h"
#include "tests/process.h"

#include <criterion/criterion.h>

#include <stdio.h>

enum { POSTS = 4, RECORDS_EACH = 10, RECORDS = POSTS * RECORDS_EACH };

/* Each record is of another entity and time. */
static void post(struct drive *d, int number)
{
    char body[RECORDS_EACH * 128];
    size_t len = 0;
    for (int i = 0; i < RECORDS_EACH; i++) {
        int n =
            snprintf(body + len, sizeof body - len,
                     "{\"ip\":\"10.1.%d.%d\",\"timestamp\":\"2026-01-08 01:%02d:%02d\","
                     "\"event_type\":\"beacon\"}\n",
                     number, i + 1, number, i);
        cr_assert(n > 0 && (size_t)n < sizeof body - len);
        len += (size_t)n;
    }
    struct buf answer = {0};
    int status = drive_post(d, "/v1/streams/mozi/records?wait=applied&timeout=60", body,
                            NULL, &answer);
    cr_assert_eq(status, 200, "%d %s", status, buf_text(&answer));
    cr_assert_eq(http_probe_number(buf_slice(&answer), "accepted", 0), RECORDS_EACH);
    buf_free(&answer);
}

/* By the ledger: an engine that takes a transaction for done too early is no matter here.
 */
static void await_applied(struct drive *d)
{
    int64_t end = process_now_ms() + DRIVE_PATIENCE_MS;
    int64_t events = 0;
    while (events < RECORDS && process_now_ms() < end) {
        process_sleep_ms(10);
        events = world_scalar(
            &d->w,
            "SELECT CAST(COALESCE(SUM(events), 0) AS SIGNED) FROM holdfast_ledger");
    }
    cr_assert_eq(events, RECORDS);
}

Test(smoke, a_few_records_end_to_end)
{
    struct drive d;
    drive_begin(&d, 1, NULL);
    drive_engine(&d);
    for (int i = 0; i < POSTS; i++) {
        post(&d, i);
    }
    await_applied(&d);
    cr_assert_eq(world_scalar(&d.w, "SELECT COUNT(*) FROM botnet_nodes_mozi WHERE "
                                    "communication_count = 1"),
                 RECORDS);
    cr_assert_eq(world_scalar(&d.w, "SELECT COUNT(*) FROM botnet_communications_mozi"),
                 RECORDS);
    drive_end(&d);
}
