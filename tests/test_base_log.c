#include "base/log.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yajl/yajl_tree.h>

static const int64_t wall_us = 1767834266000042;

/* The line, NUL-terminated; free() it. */
static char *render(enum log_format format, const struct log_field *fields, size_t count)
{
    struct log_line line = {wall_us, LOG_WARN, "lane_stopped", fields, count};
    struct buf out = {0};
    log_render(&out, format, &line);
    cr_assert_not_null(buf_text(&out));
    return out.data;
}

#define RENDER(format, ...)                                                              \
    render((format), (const struct log_field[]){__VA_ARGS__},                            \
           sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

static void assert_line(char *line, const char *expected)
{
    cr_assert_str_eq(line, expected);
    free(line);
}

Test(base_log, logfmt)
{
    assert_line(RENDER(LOG_LOGFMT, L_STR("stream", "mozi"), L_INT("lane", -3),
                       L_REAL("rate", 1.5), L_STR("detail", "two words"),
                       L_STR("empty", ""), L_SLICE("part", slice_of("abc", 2))),
                "time=2026-01-08T01:04:26.000042Z level=warn event=lane_stopped "
                "stream=mozi lane=-3 rate=1.5 detail=\"two words\" empty=\"\" part=ab\n");
}

Test(base_log, json)
{
    assert_line(RENDER(LOG_JSON, L_STR("stream", "mozi"), L_INT("lane", INT64_MIN),
                       L_STR("detail", "say \"a\\b\"")),
                "{\"time\":\"2026-01-08T01:04:26.000042Z\",\"level\":\"warn\","
                "\"event\":\"lane_stopped\",\"stream\":\"mozi\","
                "\"lane\":-9223372036854775808,\"detail\":\"say \\\"a\\\\b\\\"\"}\n");
}

static size_t count_of(const char *line, char c)
{
    size_t count = 0;
    for (; *line; line++) {
        count += *line == c;
    }
    return count;
}

Test(base_log, a_value_can_not_forge_a_line_or_a_field)
{
    static const char *const hostile[] = {
        "x\ntime=2026-01-08T00:00:00.000000Z level=error event=forged",
        "x\r\n",
        "x level=error",
        "x\" level=error event=\"forged",
        "x\\\" level=error",
        "\x1b[2Jcleared",
        "\x7f\x08\x08",
        "a=b",
        "\xc2\x85next line, \xe2\x80\xa8 line separator",
        "\xe2\x80\xaeright to left",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        char *line = RENDER(LOG_LOGFMT, L_STR("v", hostile[i]), L_INT("last", 1));
        cr_assert_eq(count_of(line, '\n'), 1, "%s", line);
        for (const char *at = line; *at; at++) {
            cr_assert((unsigned char)*at >= 0x20 || at[1] == '\0', "%s", line);
            cr_assert_neq(*at, 0x7f);
        }
        /* the value is one quoted word: nothing of it stands outside */
        const char *value = strstr(line, " v=") + 3;
        cr_assert_eq(value[0], '"', "%s", line);
        const char *end = value + 1;
        while (*end != '"') {
            end += *end == '\\' ? 2 : 1;
        }
        cr_assert_str_eq(end, "\" last=1\n", "%s", line);
        cr_assert_null(strstr(line, "\xc2\x85"), "C1 controls are controls");
        cr_assert_null(strstr(line, "\xe2\x80\xa8"));
        cr_assert_null(strstr(line, "\xe2\x80\xae"));
        free(line);
    }
}

static void assert_is_json(const char *line)
{
    char why[256] = "";
    yajl_val tree = yajl_tree_parse(line, why, sizeof why);
    cr_assert_not_null(tree, "%s\n%s", line, why);
    yajl_tree_free(tree);
}

Test(base_log, json_is_json_whatever_the_bytes)
{
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    char *line = RENDER(LOG_JSON, L_SLICE("all", slice_of(all, sizeof all)));
    assert_is_json(line);
    cr_assert_eq(count_of(line, '\n'), 1);
    free(line);
    uint64_t state = 42;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)(state >> 56);
        }
        line = RENDER(LOG_JSON, L_SLICE("v", slice_of(bytes, state >> 32 & 15)));
        assert_is_json(line);
        free(line);
    }
}

Test(base_log, json_text_reads_back_as_it_was)
{
    static const char text[] = "tab\t quote\" slash\\ \xe4\xb8\xad\xf0\x9f\x98\x80 \x01";
    char *line = RENDER(LOG_JSON, L_STR("v", text));
    yajl_val tree = yajl_tree_parse(line, NULL, 0);
    const char *path[] = {"v", NULL};
    cr_assert_str_eq(YAJL_GET_STRING(yajl_tree_get(tree, path, yajl_t_string)), text);
    yajl_tree_free(tree);
    free(line);
}

Test(base_log, numbers_that_json_does_not_know)
{
    static const double numbers[] = {INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < 3; i++) {
        char *line = RENDER(LOG_JSON, L_REAL("v", numbers[i]));
        assert_is_json(line);
        free(line);
    }
}

Test(base_log, no_fields_and_early_times)
{
    struct log_line line = {-1, LOG_DEBUG, "start", NULL, 0};
    struct buf out = {0};
    log_render(&out, LOG_LOGFMT, &line);
    cr_assert_str_eq(buf_text(&out),
                     "time=1969-12-31T23:59:59.999999Z level=debug event=start\n");
    buf_clear(&out);
    log_render(&out, LOG_JSON, &line);
    assert_is_json(buf_text(&out));
    buf_free(&out);
}

/* ---- What is written ------------------------------------------------------------- */

/* What the file holds; free() it. */
static char *written(FILE *file)
{
    fseek(file, 0, SEEK_END);
    long len = ftell(file);
    char *text = calloc(1, (size_t)len + 1);
    rewind(file);
    cr_assert_eq(fread(text, 1, (size_t)len, file), (size_t)len);
    return text;
}

Test(base_log, levels_below_the_set_one_are_silent)
{
    FILE *file = tmpfile();
    log_setup(LOG_WARN, LOG_LOGFMT, fileno(file));
    log_info("quiet", L_INT("n", 1));
    log_warn("loud", L_INT("n", 2));
    cr_assert_not(log_enabled(LOG_INFO));
    cr_assert(log_enabled(LOG_ERROR));
    char *text = written(file);
    cr_assert_null(strstr(text, "quiet"));
    cr_assert_not_null(strstr(text, " level=warn event=loud n=2\n"));
    free(text);
    cr_assert_eq(fclose(file), 0);
}

Test(base_log, repeats_are_limited_by_event)
{
    FILE *file = tmpfile();
    log_setup(LOG_INFO, LOG_LOGFMT, fileno(file));
    for (int i = 0; i < 1000; i++) {
        log_info("often", L_INT("n", i));
    }
    log_info("once", L_INT("n", 1));
    char *text = written(file);
    size_t lines = count_of(text, '\n');
    /* each second that the loop takes lets LOG_BURST more lines and a note through */
    cr_assert_geq(lines, LOG_BURST + 1);
    cr_assert_lt(lines, 500, "%zu lines", lines);
    cr_assert_not_null(strstr(text, "event=once"), "another event is not held back");
    free(text);
    cr_assert_eq(fclose(file), 0);
}

/* A line is bounded: too long a value is cut, and the line still ends and still is what
 * its format says. */
Test(base_log, too_long_a_line_is_cut_and_stays_well_formed)
{
    static char text[100000];
    memset(text, '"', sizeof text - 1);
    FILE *file = tmpfile();
    log_setup(LOG_INFO, LOG_JSON, fileno(file));
    log_info("long", L_STR("v", text), L_INT("after", 1));
    char *line = written(file);
    cr_assert_lt(strlen(line), 20000);
    cr_assert_eq(count_of(line, '\n'), 1);
    cr_assert_eq(line[strlen(line) - 1], '\n');
    cr_assert_not_null(strstr(line, "...\",\"after\":1}"));
    assert_is_json(line);
    free(line);
    cr_assert_eq(fclose(file), 0);
}

Test(base_log, fields_beyond_the_bound_are_left_out_whole)
{
    static char text[2000];
    memset(text, 1, sizeof text - 1);
    FILE *file = tmpfile();
    log_setup(LOG_INFO, LOG_JSON, fileno(file));
    log_info("many", L_STR("a", text), L_STR("b", text), L_INT("after", 1));
    char *line = written(file);
    assert_is_json(line);
    cr_assert_not_null(strstr(line, "\"a\":"));
    cr_assert_null(strstr(line, "\"b\":"));
    cr_assert_not_null(strstr(line, ",\"cut\":true}\n"));
    free(line);
    cr_assert_eq(fclose(file), 0);
}
