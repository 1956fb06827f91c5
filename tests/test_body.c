/* Bodies in every form that senders use, whole and broken: what is told about each is
 * written down as text and compared. */
#include "engine/body.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

/* `<name=value ...>` for a record, followed by its bytes in [] where they are asked for;
 * `!reason[bytes]` for a piece that is none. Values: a string bare, a number with #. */
struct story {
    struct buf text;
    struct buf record; /* the one in hand */
    struct slice body;
    bool with_bytes;
    uint64_t records;
};

static void on_begin(void *context)
{
    struct story *story = context;
    buf_clear(&story->record);
}

static void on_field(void *context, struct slice name, const struct raw_value *value)
{
    struct story *story = context;
    static const char *const marks[] = {"null", "", "#", "true", "false", "nested"};
    buf_printf(&story->record, "%s%.*s=%s", story->record.len ? " " : "", (int)name.len,
               name.len ? name.data : "", marks[value->type]);
    buf_append_slice(&story->record, value->text);
}

static void check_within(const struct story *story, struct slice bytes)
{
    cr_assert(bytes.data >= story->body.data &&
                  bytes.data + bytes.len <= story->body.data + story->body.len,
              "the bytes are a part of the body");
}

static void on_end(void *context, struct slice bytes)
{
    struct story *story = context;
    check_within(story, bytes);
    buf_append_char(&story->text, '<');
    buf_append_slice(&story->text, buf_slice(&story->record));
    buf_append_char(&story->text, '>');
    if (story->with_bytes) {
        buf_printf(&story->text, "[%.*s]", (int)bytes.len, bytes.data);
    }
    buf_clear(&story->record);
    story->records++;
}

static void on_broken(void *context, struct slice bytes, const char *reason,
                      const char *detail)
{
    struct story *story = context;
    check_within(story, bytes);
    cr_assert(*detail);
    buf_printf(&story->text, "!%s[", reason);
    buf_append_slice(&story->text, bytes);
    buf_append_char(&story->text, ']');
}

static const char *const csv_fields[] = {"timestamp", "ip", "event_type"};
static const char *const key_fields[] = {"ip", "timestamp"};
static const struct body_rules stream_rules = {csv_fields, 3, key_fields, 2};
static const struct body_rules route_rules = {NULL, 0, key_fields, 1};

/* The body lies in memory of its own length, so that a sanitizer sees a byte too far. */
static int parse(struct slice body, const struct body_rules *rules, bool with_bytes,
                 struct story *out_story)
{
    char *copy = malloc(body.len + (body.len == 0));
    if (body.len) {
        memcpy(copy, body.data, body.len);
    }
    *out_story =
        (struct story){.body = slice_of(copy, body.len), .with_bytes = with_bytes};
    struct body_handler handler = {out_story, on_begin,  on_field,
                                   on_end,    on_broken, NULL};
    struct err err = {0};
    int code = body_parse(out_story->body, rules, &handler, &err);
    cr_assert(code == ERR_OK || (code == ERR_INVALID && err.message[0]));
    cr_assert_eq(code == ERR_OK, out_story->records > 0,
                 "ERR_OK where records were told");
    free(copy);
    return code;
}

static void end_story(struct story *story)
{
    buf_free(&story->text);
    buf_free(&story->record);
}

static void expect_slice(struct slice body, const struct body_rules *rules,
                         bool with_bytes, const char *wanted)
{
    struct story story;
    int code = parse(body, rules, with_bytes, &story);
    if (wanted) {
        cr_expect_eq(code, ERR_OK, "%.*s", (int)body.len, body.data);
        cr_expect_str_eq(buf_text(&story.text), wanted, "of %.*s", (int)body.len,
                         body.data);
    } else {
        cr_expect_eq(code, ERR_INVALID, "%.*s", (int)body.len, body.data);
    }
    end_story(&story);
}

static void expect(const char *body, const char *wanted)
{
    expect_slice(slice_text(body), &stream_rules, false, wanted);
}

static void expect_bytes(const char *body, const char *wanted)
{
    expect_slice(slice_text(body), &stream_rules, true, wanted);
}

/* ---- JSON that is whole ---------------------------------------------------------- */

Test(body, json_lines)
{
    expect("{\"a\":\"x\"}\n{\"a\":\"y\"}\n", "<a=x><a=y>");
    expect("{\"a\":\"x\"}\n{\"a\":\"y\"}", "<a=x><a=y>"); /* no last newline */
    expect("{\"a\":\"x\"}\r\n\r\n{\"a\":\"y\"}\r\n", "<a=x><a=y>");
    expect("\n \t{\"a\":\"x\"}\n", "<a=x>");
    expect("\xef\xbb\xbf{\"a\":\"x\"}", "<a=x>"); /* a byte order mark */
}

Test(body, json_concatenated)
{
    expect("{\"a\":1}{\"a\":2}{\"a\":3}", "<a=#1><a=#2><a=#3>");
    expect("{\"a\":1} {\"a\":2}", "<a=#1><a=#2>");
    expect("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}", "<a=#1><a=#2>"); /* over several lines */
    expect("{}", "<>");
}

Test(body, json_array)
{
    expect("[{\"a\":1},{\"a\":2}]", "<a=#1><a=#2>");
    expect(" [ {\"a\":1} ] ", "<a=#1>");
    expect("[{\"a\":1}]\n[{\"a\":2}]\n", "<a=#1><a=#2>");
    expect("[{\"a\":1}]{\"a\":2}", "<a=#1><a=#2>");
}

Test(body, json_records_of_kafka_rest)
{
    expect("{\"records\":[{\"value\":{\"a\":1}},{\"value\":{\"a\":2}}]}", "<a=#1><a=#2>");
    expect("{\"records\":[{\"a\":1}]}", "<a=#1>");
    /* what stands beside the value is no field of the record */
    expect("{\"records\":[{\"key\":\"k\",\"value\":{\"a\":1},\"partition\":3}]}",
           "<a=#1>");
    expect("{\"records\":[{\"value\":{\"a\":1}}],\"offset\":{\"x\":[1]}}", "<a=#1>");
    /* no list and no value is passed over */
    expect("{\"records\":[{\"a\":1}],\"records\":[{\"a\":2}]}", "<a=#1><a=#2>");
    expect("{\"metrics\":[{\"a\":1}],\"records\":[{\"a\":2}]}", "<a=#1><a=#2>");
    expect("{\"records\":[{\"value\":{\"a\":1},\"value\":{\"a\":2}},{\"a\":3}]}",
           "!json[{\"value\":{\"a\":1},\"value\":{\"a\":2}}]<a=#3>");
    /* a record may have a member of this name anywhere else */
    expect("{\"a\":1,\"records\":[1]}", "<a=#1 records=nested>");
    expect("{\"records\":\"all\"}", "<records=all>");
}

Test(body, json_metrics_of_telegraf)
{
    expect("{\"metrics\":[{\"fields\":{\"v\":1.5},\"name\":\"m\",\"tags\":{\"ip\":\"i\"},"
           "\"timestamp\":1767834266}]}",
           "<v=#1.5 name=m ip=i timestamp=#1767834266>");
    expect("{\"metrics\":[{\"fields\":{\"v\":{\"w\":1}}}]}", "<v=nested>");
}

Test(body, json_values)
{
    expect("{\"a\":null,\"b\":true,\"c\":false,\"d\":-1.5e-3,\"e\":\"\"}",
           "<a=null b=true c=false d=#-1.5e-3 e=>");
    expect("{\"a\":{\"b\":{\"c\":[1,{}]}},\"d\":[],\"e\":1}", "<a=nested d=nested e=#1>");
    expect("{\"a\":\"\\u4e2d\\u56fd\",\"b\":\"\xe4\xb8\xad\",\"c\":\"\\ud83d\\ude00\"}",
           "<a=\xe4\xb8\xad\xe5\x9b\xbd b=\xe4\xb8\xad c=\xf0\x9f\x98\x80>");
    expect("{\"\\u0061\\u0062\":\"x\\n\\\"\\\\\\/\"}",
           "<ab=x\n\"\\/>");                    /* also in names */
    expect("{\"a\":1,\"a\":2}", "<a=#1 a=#2>"); /* both are told */
    expect("{\"a\":123456789012345678901234567890,\"b\":1e999999}",
           "<a=#123456789012345678901234567890 b=#1e999999>");
    /* bytes that are not UTF-8 are for the field's own check: one record, not a tail */
    expect("{\"a\":\"\xff\xfe\"}\n{\"a\":\"y\"}", "<a=\xff\xfe><a=y>");
}

/* Half a surrogate pair is no character: it must not become another text silently. */
Test(body, json_lone_surrogates)
{
    static const char *const lone[] = {
        "\\ud800",
        "\\ud83dx",
        "x\\uDBFF\\n",
        "\\ud83d\\u4e2d",
        "\\ud83d\\ud83d",
        "\\udc00",
        "\\uDFFF\\ud800",
        "\\\\\\ud800",
        "\\\"\\ud800",
        "\\ud83d\\ude00\\ud83d",
        "\\u4e2d\\ud83d\\\\",
    };
    for (size_t i = 0; i < sizeof lone / sizeof *lone; i++) {
        struct buf body = {0};
        buf_printf(&body, "{\"a\":\"%s\",\"b\":1}", lone[i]);
        expect(buf_text(&body), "<a=\xed\xa0\x80 b=#1>");
        buf_free(&body);
    }
    expect("{\"a\":\"\\ud83d\\ude00\\uD83D\\uDE00\"}",
           "<a=\xf0\x9f\x98\x80\xf0\x9f\x98\x80>");
    expect("{\"a\":\"\\\\ud800\"}", "<a=\\ud800>"); /* an escaped backslash */
    expect("{\"a\":\"\\ud7ff\\ue000\"}", "<a=\xed\x9f\xbf\xee\x80\x80>");
}

Test(body, bytes_of_records)
{
    expect_bytes("{\"a\":1} {\"a\" : \"x\\ny\"}",
                 "<a=#1>[{\"a\":1}]<a=x\ny>[{\"a\" : \"x\\ny\"}]");
    expect_bytes("[ {\"a\":1} , {\"b\":[2]}]",
                 "<a=#1>[{\"a\":1}]<b=nested>[{\"b\":[2]}]");
    expect_bytes("{\"records\":[{\"value\":{\"a\":1}}]}",
                 "<a=#1>[{\"value\":{\"a\":1}}]");
}

/* ---- JSON that is broken --------------------------------------------------------- */

Test(body, broken_line_among_good_ones)
{
    expect("{\"a\":1}\n{\"a\":oops}\n{\"a\":3}\n", "<a=#1>!json[{\"a\":oops}]<a=#3>");
    expect("{\"a\":1}\n{\"a\":2\n{\"a\":3}\n", "<a=#1>!json[{\"a\":2]<a=#3>");
    expect("{\"a\":1}\n{\"a\":\n{\"a\":3}\n{\"a\":4}",
           "<a=#1>!json[{\"a\":]<a=#3><a=#4>");
    expect("{\"a\":1}\n{\"a\":\"cut\n{\"a\":3}", "<a=#1>!json[{\"a\":\"cut]<a=#3>");
    expect("{\"a\":1}\ngarbage\n{\"a\":3}", "<a=#1>!json[garbage]<a=#3>");
    expect("{\"a\":1}\n]\n{\"a\":3}", "<a=#1>!json[]]<a=#3>");
    expect("{\"a\":1},\n{\"a\":3}", "<a=#1>!json[]<a=#3>");
}

Test(body, broken_tail)
{
    expect("{\"a\":1}\n{\"a\":", "<a=#1>!json[{\"a\":]");
    expect("{\"a\":1}\n{\"a\":2", "<a=#1>!json[{\"a\":2]");
    expect("[{\"a\":1},{\"a\":2},{\"a\":", "<a=#1><a=#2>!json[{\"a\":]");
    expect("[{\"a\":1}", "<a=#1>!json[]");
    expect("[{\"a\":1},{\"a\":oops},{\"a\":3}]", "<a=#1>!json[{\"a\":oops},{\"a\":3}]]");
    expect("{\"records\":[{\"value\":{\"a\":1}},{\"value\":", "<a=#1>!json[{\"value\":]");
}

Test(body, values_that_are_no_records)
{
    expect("{\"a\":1}\n17\n{\"a\":2}", "<a=#1>!json[17]<a=#2>");
    expect("{\"a\":1}\n17", "<a=#1>!json[17]"); /* a number at the very end */
    expect("[1,{\"a\":1},\"x\\ny\",null,[2,[{\"b\":3}]],true]",
           "!json[1]<a=#1>!json[\"x\\ny\"]!json[null]!json[[2,[{\"b\":3}]]]!json[true]");
    expect("[[{\"a\":1}],{\"a\":2}]", "!json[[{\"a\":1}]]<a=#2>");
}

Test(body, nothing_recognised)
{
    expect("", NULL);
    expect(" \r\n\t ", NULL);
    expect("[]", NULL);
    expect("[1,2,3]", NULL);
    expect("{\"records\":[]}", NULL);
    expect("{", NULL);
    expect("[{\"a\":", NULL);
    expect("{oops}\n{oops}", NULL);
}

Test(body, nul_bytes)
{
    struct story story;
    struct slice body = SLICE_LITERAL("{\"a\":1}\n\0\0\0\n{\"a\":2}\n");
    cr_assert_eq(parse(body, &stream_rules, false, &story), ERR_OK);
    cr_assert_eq(story.records, 2);
    struct slice wanted = SLICE_LITERAL("<a=#1>!json[\0\0\0]<a=#2>");
    cr_assert(slice_equal(buf_slice(&story.text), wanted));
    end_story(&story);
    expect_slice(SLICE_LITERAL("\0\0{}"), &route_rules, false, NULL);
}

/* ---- Depth and work -------------------------------------------------------------- */

static void append_times(struct buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        buf_append_text(out, text);
    }
}

Test(body, too_deep)
{
    struct buf body = {0};
    buf_append_text(&body, "{\"a\":1}\n{\"b\":");
    append_times(&body, "[", BODY_DEPTH_MAX + 1);
    append_times(&body, "]", BODY_DEPTH_MAX + 1);
    buf_append_text(&body, "}\n{\"a\":3}\n");
    expect_slice(buf_slice(&body), &stream_rules, false,
                 "<a=#1>!depth[{\"b\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}]<a=#3>");
    buf_clear(&body);
    append_times(&body, "[", 1000000);
    expect_slice(buf_slice(&body), &stream_rules, false, NULL);
    buf_free(&body);
}

Test(body, as_deep_as_allowed)
{
    struct buf body = {0};
    buf_append_text(&body, "{\"b\":");
    append_times(&body, "[", BODY_DEPTH_MAX - 1);
    append_times(&body, "]", BODY_DEPTH_MAX - 1);
    buf_append_text(&body, "}");
    expect_slice(buf_slice(&body), &stream_rules, false, "<b=nested>");
    buf_free(&body);
}

/* Each piece begins what the next ones could continue: the work must stay linear. The
 * time limit is far above what it takes, and far below the square. */
Test(body, work_is_linear, .timeout = 60)
{
    struct buf body = {0};
    struct story story;
    append_times(&body, "{\"a\":\n", 200000);
    buf_append_text(&body, "{\"a\":1}");
    cr_assert_eq(parse(buf_slice(&body), &stream_rules, false, &story), ERR_OK);
    cr_assert_eq(story.records, 1);
    end_story(&story);
    buf_clear(&body);
    append_times(&body, "\"a,\"\"\n", 200000);
    parse(buf_slice(&body), &stream_rules, false, &story);
    end_story(&story);
    buf_clear(&body);
    buf_append_text(&body, "{\"a\":\"");
    append_times(&body, "\\\\", 4000000);
    buf_append_text(&body, "\"}");
    cr_assert_eq(parse(buf_slice(&body), &stream_rules, false, &story), ERR_OK);
    end_story(&story);
    buf_free(&body);
}

/* ---- CSV ------------------------------------------------------------------------- */

Test(body, csv_in_the_streams_order)
{
    expect("2026-01-08 01:04:26,1.2.3.4,beacon\n", "<timestamp=2026-01-08 01:04:26 "
                                                   "ip=1.2.3.4 event_type=beacon>");
    expect("t,i,e\nT,I,E",
           "<timestamp=t ip=i event_type=e><timestamp=T ip=I event_type=E>");
    expect("t,i,e\r\n\r\n \nT,I,E\r\n",
           "<timestamp=t ip=i event_type=e><timestamp=T ip=I event_type=E>");
}

Test(body, csv_with_header)
{
    expect("ip,extra,timestamp\ni,x,t\n", "<ip=i extra=x timestamp=t>");
    expect("\"ip\",\"timestamp\"\r\n\"i\",\"t\"\r\n", "<ip=i timestamp=t>");
    expect(" ip , timestamp\ni,t", "<ip=i timestamp=t>");
    /* the case counts: this is a line of data */
    expect("IP,TIMESTAMP\ni,t", "<timestamp=IP ip=TIMESTAMP><timestamp=i ip=t>");
    /* and so is one that lacks a key */
    expect("ip,extra\ni,x", "<timestamp=ip ip=extra><timestamp=i ip=x>");
    expect("ip,timestamp\n", NULL); /* a header alone has no record */
}

Test(body, csv_quotes)
{
    expect("\"t\",\"a \"\"quoted\"\", thing\",\"two\nlines\"\n",
           "<timestamp=t ip=a \"quoted\", thing event_type=two\nlines>");
    expect("\"\",i,\"\"\"\"\n", "<ip=i event_type=\">");
    expect("t,i\"i,e\n", "<timestamp=t ip=i\"i event_type=e>"); /* not at the beginning */
    expect_bytes("\"t\",i\r\nT,I", "<timestamp=t ip=i>[\"t\",i]<timestamp=T ip=I>[T,I]");
}

Test(body, csv_columns)
{
    expect("t,i\n", "<timestamp=t ip=i>"); /* the last ones may be missing */
    expect("t,,e\n", "<timestamp=t event_type=e>");
    expect("t,i,e,more\nT,I,E\n", "!csv[t,i,e,more]<timestamp=T ip=I event_type=E>");
    struct buf line = {0};
    append_times(&line, ",", 100000);
    buf_append_text(&line, "\nT,I,E");
    struct story story;
    cr_assert_eq(parse(buf_slice(&line), &stream_rules, false, &story), ERR_OK);
    cr_assert_eq(story.records, 1);
    end_story(&story);
    buf_free(&line);
}

Test(body, csv_broken_quotes)
{
    expect("t,i,e\n\"open,I,E\nT,I,E\n",
           "<timestamp=t ip=i event_type=e>"
           "!csv[\"open,I,E]<timestamp=T ip=I event_type=E>");
    expect("\"t\"x,i,e\nT,I,E\n", "!csv[\"t\"x,i,e]<timestamp=T ip=I event_type=E>");
}

Test(body, csv_of_several_streams_needs_a_header)
{
    expect_slice(SLICE_LITERAL("a,b\n1,2\n"), &route_rules, false, NULL);
    expect_slice(SLICE_LITERAL("a,ip\n1,2\n"), &route_rules, false, "<a=1 ip=2>");
}

/* ---- Anything -------------------------------------------------------------------- */

/* Whatever comes, it ends, and no byte beyond the body is read (under a sanitizer). */
Test(body, every_prefix_and_every_flipped_byte)
{
    static const char *const bodies[] = {
        "[{\"a\":\"\\u4e2d\",\"b\":[1,{\"c\":null}]},[1],2,{\"a\":-1.5e3}]",
        "{\"records\":[{\"value\":{\"a\":1},\"k\":2}],\"x\":[{}]}{\"a\":true}\n17",
        "{\"metrics\":[{\"fields\":{\"v\":1},\"tags\":{\"t\":\"x\"},\"timestamp\":1}]}",
        "ip,timestamp,x\r\n\"a\"\"b\",\"c\nd\",e\r\n,,\n\"open",
    };
    for (size_t k = 0; k < sizeof bodies / sizeof *bodies; k++) {
        struct slice whole = slice_text(bodies[k]);
        for (size_t len = 0; len <= whole.len; len++) {
            struct story story;
            parse(slice_of(whole.data, len), &stream_rules, true, &story);
            end_story(&story);
        }
        char *copy = strdup(bodies[k]);
        for (size_t i = 0; i < whole.len * 256; i++) {
            struct story story;
            char before = copy[i / 256];
            copy[i / 256] = (char)(i % 256);
            parse(slice_of(copy, whole.len), &stream_rules, true, &story);
            end_story(&story);
            copy[i / 256] = before;
        }
        free(copy);
    }
}
