#include "engine/config_env.h"
#include "engine/ingest_cut.h"
#include "engine/ingest_key.h"
#include "engine/progress.h"
#include "engine/units.h"

#include <criterion/criterion.h>

static const struct {
    const char *text;
    bool fine;
    uint64_t bytes;
} sizes[] = {
    {"0", true, 0},
    {"4096", true, 4096},
    {"10B", true, 10},
    {"64GiB", true, UINT64_C(64) << 30},
    {" 1 MiB ", true, 1 << 20},
    {"16777215TiB", true, UINT64_C(16777215) << 40},
    {"16777216TiB", false, 0}, /* 2^64 */
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"64GB", false, 0},
    {"1.5GiB", false, 0},
    {"-1", false, 0},
    {"GiB", false, 0},
    {"", false, 0},
    {"1 MiB x", false, 0},
};

Test(units, sizes)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes = 77;
        bool fine = units_parse_size(slice_text(sizes[i].text), &bytes);
        cr_assert_eq(fine, sizes[i].fine, "'%s'", sizes[i].text);
        cr_assert_eq(bytes, fine ? sizes[i].bytes : 77, "'%s'", sizes[i].text);
    }
}

static const struct {
    const char *text;
    bool fine;
    int64_t us;
} durations[] = {
    {"72h", true, INT64_C(72) * 3600 * 1000000},
    {"7d", true, INT64_C(7) * 86400 * 1000000},
    {"500ms", true, 500000},
    {"10min", true, 600000000},
    {"2m", true, 120000000},
    {"30 s", true, 30000000},
    {"0", true, 0},
    {"5", false, 0}, /* of what? */
    {"36600d", true, INT64_C(36600) * 86400 * 1000000},
    {"36601d", false, 0},
    {"1w", false, 0},
    {"99999999999999999999s", false, 0},
};

Test(units, durations)
{
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        int64_t us = -1;
        bool fine = units_parse_duration(slice_text(durations[i].text), &us);
        cr_assert_eq(fine, durations[i].fine, "'%s'", durations[i].text);
        cr_assert_eq(us, fine ? durations[i].us : -1, "'%s'", durations[i].text);
    }
}

Test(units, counts_and_bools)
{
    uint64_t count = 0;
    bool value = false;
    cr_assert(units_parse_count(SLICE_LITERAL("50000"), &count));
    cr_assert_eq(count, 50000);
    cr_assert_not(units_parse_count(SLICE_LITERAL("5e4"), &count));
    cr_assert_not(units_parse_count(SLICE_LITERAL("1.5"), &count));
    cr_assert(units_parse_bool(SLICE_LITERAL("yes"), &value));
    cr_assert(value);
    cr_assert_not(units_parse_bool(SLICE_LITERAL("flase"), &value));
}

Test(units, sizes_for_people)
{
    char text[UNITS_TEXT];
    units_format_size(999, text);
    cr_assert_str_eq(text, "999 B");
    units_format_size(1536, text);
    cr_assert_str_eq(text, "1.5 KiB");
    units_format_size(UINT64_C(64) << 30, text);
    cr_assert_str_eq(text, "64.0 GiB");
}

/* ---- ${NAME} --------------------------------------------------------------------- */

static const char *lookup(const char *name)
{
    return strcmp(name, "A") == 0 ? "one" : strcmp(name, "B_2") == 0 ? "" : NULL;
}

static const struct {
    const char *text;
    const char *result; /* NULL: refused */
} expansions[] = {
    {"plain $ text}", "plain $ text}"},
    {"${A}", "one"},
    {"x${A}${B_2}y", "xoney"},
    {"$${A}", "${A}"},
    {"$$${A}", "$${A}"},
    {"${C}", NULL},
    {"${A", NULL},
    {"${}", NULL},
    {"${2A}", NULL},
    {"${A B}", NULL},
};

Test(env, expands_and_refuses)
{
    for (size_t i = 0; i < sizeof expansions / sizeof expansions[0]; i++) {
        struct buf out = {0};
        struct err err = {0};
        int code = config_env_expand(slice_text(expansions[i].text), lookup, &out, &err);
        cr_assert_eq(code, expansions[i].result ? ERR_OK : ERR_CONFIG, "%s: %s",
                     expansions[i].text, err.message);
        if (expansions[i].result) {
            cr_assert_str_eq(buf_text(&out), expansions[i].result);
        }
        buf_free(&out);
    }
}

/* ---- progress -------------------------------------------------------------------- */

Test(progress, says_share_rate_and_rest)
{
    struct buf out = {0};
    struct progress_state state = {"ingest", 1000, 250, 5000, "records", 2000000};
    progress_render(&out, &state, true);
    cr_assert_str_eq(buf_text(&out), "ingest: [######..................]  25%  5000 "
                                     "records, 2500/s, 6 s left");
    buf_clear(&out);
    state.total = 0;
    progress_render(&out, &state, false);
    cr_assert_str_eq(buf_text(&out), "ingest: 5000 records, 2500/s");
    buf_free(&out);
}

/* ---- cutting --------------------------------------------------------------------- */

/* Cuts `text` to the end; the parts are joined by '|' in the result. With `step` bytes
 * more known at each try, as a pipe would give them. */
static struct buf cut_all(const char *text, struct cut_limits limits, size_t step)
{
    struct buf out = {0};
    struct slice all = slice_text(text);
    enum cut_form form = cut_form_of(all);
    size_t at = 0;
    size_t known = 0;
    while (at < all.len) {
        known = known + step < all.len ? known + step : all.len;
        struct cut cut = cut_next(form, slice_of(all.data + at, known - at),
                                  known == all.len, &limits);
        cr_assert_neq(cut.outcome, CUT_TOO_LARGE, "at %zu of: %s", at, text);
        if (cut.outcome == CUT_PART) {
            cr_assert_gt(cut.len, 0);
            buf_append_text(&out, at ? "|" : "");
            buf_append(&out, all.data + at, cut.len);
            at += cut.len;
        }
    }
    cr_assert_not_null(buf_text(&out));
    return out;
}

static const struct {
    const char *text;
    size_t bytes;
    uint64_t records;
    const char *parts;
} cuts[] = {
    /* lines */
    {"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", 100, 1, "{\"a\":1}|\n{\"a\":2}|\n{\"a\":3}|\n"},
    {"{\"a\":1}\n{\"a\":2}\n{\"a\":3}", 8, 100, "{\"a\":1}\n{\"a\":2}|\n{\"a\":3}"},
    /* objects with nothing between, braces and quotes in strings, nesting */
    {"{\"a\":\"}{\"}{\"b\":[{}]}{\"c\":\"\\\"}\"}", 1, 1,
     "{\"a\":\"}{\"}|{\"b\":[{}]}|{\"c\":\"\\\"}\"}"},
    /* over several lines */
    {"{\n \"a\": {\n  \"b\": 1\n }\n}\n{\n \"c\": 2\n}\n", 1, 1,
     "{\n \"a\": {\n  \"b\": 1\n }\n}|\n{\n \"c\": 2\n}|\n"},
    /* a broken record keeps to itself */
    {"{\"a\":\"x\n{\"b\":2}\n", 1, 1, "{\"a\":\"x\n|{\"b\":2}|\n"},
    {"{\"a\":{\n{\"b\":2}\n", 1, 1, "{\"a\":{\n|{\"b\":2}|\n"},
    {"{\"a\":1}\nrubbish\n{\"b\":2}\n", 1, 1, "{\"a\":1}|\nrubbish\n|{\"b\":2}|\n"},
    /* CSV: quotes hold line ends and quotes */
    {"a,b\nc,d\ne,f", 1, 1, "a,b\n|c,d\n|e,f"},
    {"a,\"b\nc\"\nd,\"e\"\"\n\"\n", 1, 1, "a,\"b\nc\"\n|d,\"e\"\"\n\"\n"},
    {"a,5\" disk\nb,c\n", 1, 1, "a,5\" disk\n|b,c\n"},
};

Test(cut, at_records_however_the_bytes_arrive)
{
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct cut_limits limits = {cuts[i].bytes, cuts[i].records, 1000};
        for (size_t step = 1; step < 8; step++) {
            struct buf parts = cut_all(cuts[i].text, limits, step);
            cr_assert_str_eq(parts.data, cuts[i].parts, "step %zu", step);
            buf_free(&parts);
        }
    }
}

Test(cut, what_never_ends_is_cut_at_a_line)
{
    struct cut_limits limits = {10, 10, 20};
    struct slice text = SLICE_LITERAL("\"open,1\nb,2\nc,3\nd,4\ne,5\nf,6\n");
    struct cut cut = cut_next(CUT_CSV, text, false, &limits);
    cr_assert_eq(cut.outcome, CUT_PART);
    cr_assert_eq(cut.len, 20); /* the last line end within 20 bytes */
    text = SLICE_LITERAL("{\"a\":\"0123456789012345678901234567890123456789\"}");
    cr_assert_eq(cut_next(CUT_JSON, text, true, &limits).outcome, CUT_TOO_LARGE);
    text = SLICE_LITERAL("[{\"a\":1},{\"a\":2},{\"a\":3}]");
    cr_assert_eq(cut_next(CUT_WHOLE, text, true, &limits).outcome, CUT_TOO_LARGE);
}

Test(cut, forms)
{
    cr_assert_eq(cut_form_of(SLICE_LITERAL(" \n{")), CUT_JSON);
    cr_assert_eq(cut_form_of(SLICE_LITERAL("[1")), CUT_WHOLE);
    cr_assert_eq(cut_form_of(SLICE_LITERAL("ip,timestamp")), CUT_CSV);
    cr_assert_eq(cut_form_of(SLICE_LITERAL("\x1f\x8b\x08")), CUT_GZIP);
    cr_assert_eq(cut_form_of(SLICE_LITERAL(" \n")), CUT_BLANK);
}

Test(cut, headers)
{
    static const char *const names[] = {"ip", "timestamp"};
    size_t len = 0;
    cr_assert(
        cut_has_header(SLICE_LITERAL("timestamp, \"ip\",x\r\n1,2,3\n"), names, 2, &len));
    cr_assert_eq(len, 19);
    cr_assert(cut_has_header(SLICE_LITERAL("\xef\xbb\xbfip,timestamp"), names, 2, &len));
    cr_assert_not(
        cut_has_header(SLICE_LITERAL("ip,time\nip,timestamp\n"), names, 2, &len));
}

Test(cut, keys_tell_name_place_and_bytes)
{
    char key[4][INGEST_KEY_TEXT];
    ingest_key(SLICE_LITERAL("a"), 0, SLICE_LITERAL("x"), key[0]);
    ingest_key(SLICE_LITERAL("b"), 0, SLICE_LITERAL("x"), key[1]);
    ingest_key(SLICE_LITERAL("a"), 1, SLICE_LITERAL("x"), key[2]);
    ingest_key(SLICE_LITERAL("a"), 0, SLICE_LITERAL("y"), key[3]);
    for (size_t i = 1; i < 4; i++) {
        cr_assert_str_neq(key[0], key[i]);
    }
    char again[INGEST_KEY_TEXT];
    ingest_key(SLICE_LITERAL("a"), 0, SLICE_LITERAL("x"), again);
    cr_assert_str_eq(key[0], again);
}
