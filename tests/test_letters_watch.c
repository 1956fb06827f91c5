/* Dead letters, counted by reason while somebody asks. */
#include "engine/json.h"
#include "engine/letters.h"
#include "engine/letters_watch.h"
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, LOOK_MS = 20 };

struct fixture {
    struct kit kit;
    struct letters_watch *watch;
};

static void start(struct fixture *f)
{
    struct err err = {0};
    kit_start(&f->kit);
    kit_open(&f->kit);
    cr_assert_eq(letters_watch_start(f->kit.journal, &f->watch, &err), ERR_OK);
}

static void end(struct fixture *f)
{
    letters_watch_stop(f->watch);
    kit_end(&f->kit);
}

/* A letter of an entry of its own; its seq. */
static uint64_t add(struct fixture *f, const char *reason, struct slice bytes)
{
    struct err err = {0};
    struct journal_dead_letter letter = {0, 1, reason, "isp", "why not", bytes};
    uint64_t seq = kit_append(&f->kit, "mozi", 0, "payload");
    cr_assert_eq(journal_dead_letters_add(f->kit.journal, seq, &letter, 1, &err), ERR_OK,
                 "%s", err.message);
    return seq;
}

static struct json_value *ask(struct fixture *f)
{
    struct json_writer *json = json_new();
    json_object(json);
    letters_watch_put(f->watch, json);
    json_object_end(json);
    struct json_value *value = json_parse(json_result(json));
    json_free(json);
    cr_assert_not_null(value);
    return value;
}

static int64_t number(const struct json_value *object, const char *key)
{
    return json_as_integer(json_get(object, key), -1);
}

static const char *text(const struct json_value *object, const char *key)
{
    const char *found = json_as_text(json_get(object, key));
    return found ? found : "";
}

/* The answer, once it has so many letters kept. json_value_free it. */
static struct json_value *await_kept(struct fixture *f, int64_t kept)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += LOOK_MS) {
        struct json_value *value = ask(f);
        if (number(json_get(value, "dead_letters"), "kept") == kept) {
            return value;
        }
        json_value_free(value);
        usleep(LOOK_MS * 1000);
    }
    cr_assert_fail("never %lld kept", (long long)kept);
    return NULL;
}

static const struct json_value *reason_at(const struct json_value *value, size_t place)
{
    return json_item(json_get(json_get(value, "dead_letters"), "reasons"), place);
}

Test(letters_watch, counts_by_reason_with_the_newest)
{
    struct fixture f = {0};
    start(&f);
    for (int i = 0; i < 5; i++) {
        add(&f, "too_long", SLICE_LITERAL("{}"));
    }
    uint64_t last = add(&f, "ip", SLICE_LITERAL("{\"ip\":\"x\"}"));
    struct json_value *value = await_kept(&f, 6);
    const struct json_value *first = reason_at(value, 0);
    const struct json_value *newest = json_get(first, "newest");
    cr_expect_str_eq(text(first, "reason"), "too_long");
    cr_expect_eq(number(first, "count"), 5);
    cr_assert_eq(json_count(newest), 3);
    cr_expect_eq(number(json_item(newest, 0), "seq"), (int64_t)last - 1);
    cr_expect_eq(number(json_item(newest, 2), "seq"), (int64_t)last - 3);
    const struct json_value *sample =
        json_item(json_get(reason_at(value, 1), "newest"), 0);
    cr_expect_str_eq(text(sample, "reason"), "ip");
    cr_expect_str_eq(text(sample, "field"), "isp");
    cr_expect_str_eq(text(sample, "detail"), "why not");
    cr_expect_str_eq(text(sample, "bytes"), "{\"ip\":\"x\"}");
    cr_expect_str_eq(text(sample, "found"), "replay");
    json_value_free(value);
    end(&f);
}

Test(letters_watch, follows_what_is_added_and_purged)
{
    struct fixture f = {0};
    struct err err = {0};
    size_t purged = 0;
    start(&f);
    struct journal_dead_place place = {add(&f, "ip", SLICE_LITERAL("x")), 0};
    json_value_free(await_kept(&f, 1));
    add(&f, "time", SLICE_LITERAL("y"));
    json_value_free(await_kept(&f, 2));
    cr_assert_eq(journal_dead_letters_purge(f.kit.journal, &place, 1, &purged, &err),
                 ERR_OK);
    struct json_value *value = await_kept(&f, 1);
    cr_expect_str_eq(text(reason_at(value, 0), "reason"), "time");
    json_value_free(value);
    end(&f);
}

Test(letters_watch, tells_copies_of_conflicts_apart)
{
    struct fixture f = {0};
    struct err err = {0};
    struct journal_dead_letter copy = {0, 1, "conflict", "", "", SLICE_LITERAL("z")};
    start(&f);
    uint64_t seq = add(&f, "ip", SLICE_LITERAL("x"));
    copy.index = 1;
    cr_assert_eq(journal_conflicts_add(f.kit.journal, seq, &copy, 1, &err), ERR_OK);
    struct json_value *value = await_kept(&f, 1);
    cr_expect_eq(number(json_get(value, "dead_letters"), "conflicts"), 1);
    json_value_free(value);
    end(&f);
}

/* Bytes beyond 400 are left out, and no character is cut in two. */
Test(letters_watch, cuts_long_records_between_characters)
{
    struct fixture f = {0};
    struct buf bytes = {0};
    start(&f);
    buf_append_char(&bytes, '"');
    for (int i = 0; i < 300; i++) {
        buf_append_text(&bytes, "\xe4\xb8\xad");
    }
    add(&f, "too_long", buf_slice(&bytes));
    struct json_value *value = await_kept(&f, 1);
    const char *shown =
        text(json_item(json_get(reason_at(value, 0), "newest"), 0), "bytes");
    size_t len = strlen(shown);
    cr_assert_eq(len, 1 + 3 * 133 + 3);
    cr_expect_eq(memcmp(shown, bytes.data, len - 3), 0);
    cr_expect_str_eq(shown + len - 3, "\xe2\x80\xa6");
    json_value_free(value);
    buf_free(&bytes);
    end(&f);
}

Test(letters_watch, has_a_bound_of_reasons)
{
    enum { REASONS = LETTERS_REASONS_MAX + 5 };
    struct fixture f = {0};
    char reason[32];
    start(&f);
    for (int i = 0; i < REASONS; i++) {
        snprintf(reason, sizeof reason, "reason-%d", i);
        add(&f, reason, SLICE_LITERAL("x"));
    }
    struct json_value *value = await_kept(&f, REASONS);
    const struct json_value *last = reason_at(value, LETTERS_REASONS_MAX - 1);
    cr_expect_eq(json_count(json_get(json_get(value, "dead_letters"), "reasons")),
                 LETTERS_REASONS_MAX);
    cr_expect_str_eq(text(last, "reason"), "others");
    cr_expect_eq(number(last, "count"), 6);
    json_value_free(value);
    end(&f);
}

Test(letters_watch, an_empty_journal_has_none)
{
    struct fixture f = {0};
    start(&f);
    struct json_value *value = await_kept(&f, 0);
    cr_expect_eq(json_count(json_get(json_get(value, "dead_letters"), "reasons")), 0);
    json_value_free(value);
    end(&f);
}
