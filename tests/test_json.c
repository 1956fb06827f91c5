#include "engine/json.h"

#include <criterion/criterion.h>

#include <math.h>

static struct json_writer *started(void)
{
    struct json_writer *json = json_new();
    cr_assert_not_null(json);
    return json;
}

static void expect_result(struct json_writer *json, const char *wanted)
{
    struct slice result = json_result(json);
    cr_expect(slice_is(result, wanted), "%.*s is not %s", (int)result.len, result.data,
              wanted);
    json_free(json);
}

Test(json, every_kind_of_value)
{
    struct json_writer *json = started();
    json_object(json);
    json_put_text(json, "text", "a\"b\\c\n\x01");
    json_put_unsigned(json, "most", UINT64_MAX);
    json_put_integer(json, "least", INT64_MIN);
    json_put_bool(json, "yes", true);
    json_key(json, "list");
    json_array(json);
    json_integer(json, -1);
    json_real(json, 0.5);
    json_null(json);
    json_bool(json, false);
    json_array_end(json);
    json_object_end(json);
    expect_result(json,
                  "{\"text\":\"a\\\"b\\\\c\\n\\u0001\",\"most\":18446744073709551615,"
                  "\"least\":-9223372036854775808,\"yes\":true,"
                  "\"list\":[-1,0.5,null,false]}");
}

Test(json, reals_that_json_lacks_are_null)
{
    struct json_writer *json = started();
    json_array(json);
    json_real(json, NAN);
    json_real(json, INFINITY);
    json_array_end(json);
    expect_result(json, "[null,null]");
}

Test(json, text_is_always_utf8)
{
    struct json_writer *json = started();
    json_array(json);
    json_text(json, SLICE_LITERAL("\xe4\xb8\xad"));
    json_text(json, SLICE_LITERAL("a\xff"
                                  "b\xe4\xb8"));
    json_text(json, SLICE_LITERAL("\xed\xa0\x80")); /* a surrogate */
    json_text(json, slice_of(NULL, 0));
    json_array_end(json);
    expect_result(json, "[\"\xe4\xb8\xad\",\"a\xef\xbf\xbd"
                        "b\xef\xbf\xbd\xef\xbf\xbd\","
                        "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"\"]");
}

Test(json, reads_what_it_wrote)
{
    struct json_value *value = json_parse(SLICE_LITERAL(
        "{\"a\":[1,{\"b\":\"x\\u4e2d\"},true],\"n\":-5,\"no\":false,\"z\":null}"));
    cr_assert_not_null(value);
    const struct json_value *list = json_get(value, "a");
    cr_assert_eq(json_count(list), 3);
    cr_assert_eq(json_as_integer(json_item(list, 0), 9), 1);
    cr_assert_str_eq(json_as_text(json_get(json_item(list, 1), "b")), "x\xe4\xb8\xad");
    cr_assert(json_as_bool(json_item(list, 2), false));
    cr_assert_eq(json_as_integer(json_get(value, "n"), 9), -5);
    cr_assert_not(json_as_bool(json_get(value, "no"), true));
    json_value_free(value);
}

Test(json, what_is_not_there_or_of_another_type)
{
    struct json_value *value = json_parse(SLICE_LITERAL("{\"a\":\"x\",\"b\":1.5}"));
    cr_assert_null(json_get(value, "none"));
    cr_assert_null(json_get(json_get(value, "none"), "none"));
    cr_assert_null(json_as_text(json_get(value, "b")));
    cr_assert_null(json_as_text(NULL));
    cr_assert_eq(json_as_integer(json_get(value, "a"), 7), 7);
    cr_assert_eq(json_as_integer(json_get(value, "b"), 7), 7);
    cr_assert_eq(json_as_integer(NULL, 7), 7);
    cr_assert(json_as_bool(json_get(value, "a"), true));
    cr_assert_eq(json_count(value), 0);
    cr_assert_null(json_item(value, 0));
    json_value_free(value);
    json_value_free(NULL);
}

Test(json, refuses_what_is_not_json)
{
    static const char *const texts[] = {"",     "{",    "{\"a\":}", "[1,]",
                                        "oops", "[1]]", "{}{}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cr_expect_null(json_parse(slice_text(texts[i])), "%s", texts[i]);
    }
    cr_expect_null(json_parse(SLICE_LITERAL("[1]\0[2]")));
}

Test(json, refuses_what_is_too_deep)
{
    struct buf text = {0};
    for (int i = 0; i < 2000000; i++) {
        buf_append_char(&text, '[');
    }
    for (int i = 0; i < 2000000; i++) {
        buf_append_char(&text, ']');
    }
    cr_expect_null(json_parse(buf_slice(&text)));
    buf_clear(&text);
    buf_append_char(&text, '"'); /* brackets in a string are no depth */
    for (int i = 0; i < 1000; i++) {
        buf_append_text(&text, "[\\\"{");
    }
    buf_append_char(&text, '"');
    struct json_value *value = json_parse(buf_slice(&text));
    cr_expect_not_null(value);
    json_value_free(value);
    buf_free(&text);
}
