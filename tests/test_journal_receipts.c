/* Idempotency keys: the same batch twice is one append. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static const struct journal_part one_part = {
    .stream = "mozi", .records = 1, .payload = SLICE_LITERAL("payload")};

static struct journal_append keyed(const char *key, uint8_t body)
{
    struct journal_append append = {.parts = &one_part, .part_count = 1};
    append.receipt.scope_key = slice_text(key);
    memset(append.receipt.body_sum, body, sizeof append.receipt.body_sum);
    append.receipt.answer = SLICE_LITERAL("the answer");
    return append;
}

static int find(struct kit *kit, const char *key, uint8_t body, uint64_t *out_seq)
{
    uint8_t sum[16];
    memset(sum, body, sizeof sum);
    struct buf answer = {0};
    struct err err = {0};
    int rc =
        journal_receipt_find(kit->journal, slice_text(key), sum, out_seq, &answer, &err);
    cr_assert(rc || slice_is(buf_slice(&answer), "the answer"));
    buf_free(&answer);
    return rc;
}

Test(journal_receipts, replay_the_same_batch)
{
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    struct journal_append append = keyed("k1", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.outcome, JOURNAL_APPENDED);
    cr_assert_eq(kit_append(&kit, "mozi", 0, "another"), 2);
    for (int round = 0; round < 2; round++) {
        append = keyed("k1", 1);
        cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
        cr_assert_eq(append.outcome, JOURNAL_REPLAYED);
        cr_assert_eq(append.first_seq, 1);
        append = keyed("k1", 2);
        cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_KEY_REUSED);
        uint64_t seq = 0;
        cr_assert_eq(find(&kit, "k1", 1, &seq), ERR_OK);
        cr_assert_eq(seq, 1);
        cr_assert_eq(find(&kit, "k1", 2, &seq), ERR_KEY_REUSED);
        cr_assert_eq(find(&kit, "k2", 1, &seq), ERR_NOT_FOUND);
        kit_reopen(&kit);
    }
    cr_assert_eq(kit_stat(&kit).next_seq, 3);
    cr_assert_eq(kit_stat(&kit).receipts, 1);
    kit_end(&kit);
}

struct told {
    sem_t *told;
    int code;
    enum journal_outcome outcome;
    uint64_t first_seq;
    char answer[32];
};

static void tell(struct journal_append *append)
{
    struct told *told = append->context;
    told->code = (int)append->err.code;
    told->outcome = append->outcome;
    told->first_seq = append->first_seq;
    (void)snprintf(told->answer, sizeof told->answer, "%.*s", (int)append->answer.len,
                   append->answer.len ? append->answer.data : "");
    sem_post(told->told);
}

Test(journal_receipts, ten_at_once_are_one_append)
{
    enum { COUNT = 10 };
    struct kit kit;
    kit_start(&kit);
    kit_open(&kit);
    sem_t told;
    sem_init(&told, 0, 0);
    struct journal_append appends[COUNT];
    struct told outcomes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        appends[i] = keyed("same", i == 7 ? 9 : 1);
        outcomes[i] = (struct told){.told = &told};
        appends[i].done = tell;
        appends[i].context = &outcomes[i];
        journal_submit(kit.journal, &appends[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        sem_wait(&told);
    }
    int appended = 0;
    for (int i = 0; i < COUNT; i++) {
        if (i == 7) {
            cr_assert_eq(outcomes[i].code, ERR_KEY_REUSED);
            continue;
        }
        cr_assert_eq(outcomes[i].code, ERR_OK);
        cr_assert_eq(outcomes[i].first_seq, 1);
        appended += outcomes[i].outcome == JOURNAL_APPENDED;
        if (outcomes[i].outcome == JOURNAL_REPLAYED) {
            cr_assert_str_eq(outcomes[i].answer, "the answer");
        }
    }
    cr_assert_eq(appended, 1);
    cr_assert_eq(kit_stat(&kit).next_seq, 2);
    sem_destroy(&told);
    kit_end(&kit);
}

Test(journal_receipts, expire_by_age)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.receipts_retain_us = 1000;
    kit_open(&kit);
    struct journal_append append = keyed("old", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    kit_pass(&kit, 1000);
    kit_commit(&kit);
    uint64_t seq = 0;
    cr_assert_eq(find(&kit, "old", 1, &seq), ERR_OK, "its time is not over yet");
    kit_pass(&kit, 1);
    kit_commit(&kit);
    cr_assert_eq(find(&kit, "old", 1, &seq), ERR_NOT_FOUND);
    cr_assert_eq(kit_stat(&kit).receipts, 0);
    append = keyed("old", 2);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.outcome, JOURNAL_APPENDED);
    kit_end(&kit);
}

/* A key whose time is over is as good as new, though nothing was committed since that
 * could have taken its record away. */
Test(journal_receipts, are_over_before_they_are_taken_away)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.receipts_retain_us = 1000;
    kit_open(&kit);
    struct journal_append append = keyed("same", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    append = keyed("other", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    kit_pass(&kit, 1001);
    uint64_t seq = 0;
    cr_assert_eq(find(&kit, "same", 1, &seq), ERR_NOT_FOUND);
    cr_assert_eq(find(&kit, "same", 2, &seq), ERR_NOT_FOUND);
    append = keyed("same", 2);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.outcome, JOURNAL_APPENDED);
    append = keyed("other", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.outcome, JOURNAL_APPENDED);
    /* the new ones are not taken for the old ones when those would have gone */
    kit_commit(&kit);
    cr_assert_eq(kit_stat(&kit).receipts, 2);
    cr_assert_eq(find(&kit, "same", 2, &seq), ERR_OK);
    cr_assert_eq(seq, 3);
    append = keyed("other", 1);
    cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
    cr_assert_eq(append.outcome, JOURNAL_REPLAYED);
    cr_assert_eq(append.first_seq, 4);
    kit_pass(&kit, 1001);
    kit_commit(&kit);
    cr_assert_eq(kit_stat(&kit).receipts, 0);
    kit_end(&kit);
}

Test(journal_receipts, expire_by_number_oldest_first)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.receipts_max = 3;
    kit_open(&kit);
    for (int i = 0; i < 6; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        struct journal_append append = keyed(key, 1);
        cr_assert_eq(journal_append_wait(kit.journal, &append), ERR_OK);
        kit_pass(&kit, 10);
    }
    kit_commit(&kit);
    cr_assert_eq(kit_stat(&kit).receipts, 3);
    uint64_t seq = 0;
    cr_assert_eq(find(&kit, "k2", 1, &seq), ERR_NOT_FOUND);
    cr_assert_eq(find(&kit, "k3", 1, &seq), ERR_OK);
    cr_assert_eq(find(&kit, "k5", 1, &seq), ERR_OK);
    kit_end(&kit);
}
