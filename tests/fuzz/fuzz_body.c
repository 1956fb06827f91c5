/* Bodies in every form: the first byte chooses the rules, the rest is the body. What is
 * told about it must be a legal story over bytes of the body. */
#include "engine/body.h"
#include "tests/fuzz/kit.h"

#include <stdlib.h>

struct story {
    struct slice body;
    bool begun;
    uint64_t ended;
    uint64_t told; /* calls, which must stay in proportion to the body */
};

static void expect_within(const struct story *story, struct slice bytes)
{
    fuzz_expect(bytes.len == 0 ||
                    (bytes.data >= story->body.data &&
                     bytes.data + bytes.len <= story->body.data + story->body.len),
                "bytes are a part of the body");
}

/* Reads every byte, so that a sanitizer sees those that are not there. */
static void touch(struct slice text)
{
    unsigned sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        sum += (unsigned char)text.data[i];
    }
    fuzz_expect(sum <= 255 * text.len, "bytes are bytes");
}

static void on_begin(void *context)
{
    struct story *story = context;
    story->begun = true;
    story->told++;
}

static void on_field(void *context, struct slice name, const struct raw_value *value)
{
    struct story *story = context;
    fuzz_expect(story->begun, "a field belongs to a record");
    fuzz_expect(value->type <= RAW_NESTED, "a type that there is");
    fuzz_expect(value->type != RAW_NUMBER || value->text.len > 0, "a number has digits");
    touch(name);
    touch(value->text);
    story->told++;
}

static void on_end(void *context, struct slice bytes)
{
    struct story *story = context;
    fuzz_expect(story->begun, "what ends was begun");
    fuzz_expect(bytes.len > 0, "a record has bytes");
    expect_within(story, bytes);
    story->begun = false;
    story->ended++;
    story->told++;
}

static void on_broken(void *context, struct slice bytes, const char *reason,
                      const char *detail)
{
    struct story *story = context;
    expect_within(story, bytes);
    fuzz_expect(reason[0] && detail[0], "what is broken has a reason");
    story->begun = false;
    story->told++;
}

static void on_header(void *context, struct slice bytes)
{
    struct story *story = context;
    expect_within(story, bytes);
    fuzz_expect(!story->begun && story->ended == 0, "a header comes before its records");
    story->told++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const csv[] = {"timestamp", "ip", "event_type"};
    static const char *const keys[] = {"ip", "timestamp"};
    static const struct body_rules rules[] = {
        {csv, 3, keys, 2}, {NULL, 0, keys, 1}, {NULL, 0, NULL, 0}, {csv, 1, keys, 2}};
    const struct body_rules *chosen = &rules[fuzz_byte(&data, &size) % 4];
    struct slice body = fuzz_copy(data, size);
    struct story story = {.body = body};
    struct body_handler handler = {&story, on_begin,  on_field,
                                   on_end, on_broken, on_header};
    struct err err = {0};
    int code = body_parse(body, chosen, &handler, &err);
    fuzz_expect(code == ERR_OK || (code == ERR_INVALID && err.message[0]),
                "taken, or refused with a reason");
    fuzz_expect((code == ERR_OK) == (story.ended > 0), "taken where there is a record");
    fuzz_expect(story.told <= (uint64_t)BODY_DEPTH_MAX * (size + 1),
                "work is in proportion to the body");
    free((void *)body.data);
    return 0;
}
