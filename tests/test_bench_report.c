#include "bench/report.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct report report;

static char *printed(void (*print)(const struct report *report, FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert_not_null(out);
    print(&report, out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

static void read_back(int (*write)(const struct report *report, const char *path,
                                   struct err *err),
                      char *out_text, size_t size)
{
    char path[] = "/tmp/holdfast-report-XXXXXX";
    int fd = mkstemp(path);
    struct err err = {0};
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(&report, path, &err), ERR_OK, "%s", err.message);
    ssize_t len = read(fd, out_text, size - 1);
    cr_assert_gt(len, 0);
    out_text[len] = '\0';
    (void)close(fd);
    (void)unlink(path);
}

Test(report, says_median_min_and_max_of_the_samples)
{
    report_add(&report, 3, "apply.lanes%d.records_per_s", 1);
    report_add(&report, 1, "apply.lanes1.records_per_s");
    report_add(&report, 10, "apply.lanes1.records_per_s");
    cr_assert_eq(report.count, 1);
    const struct stats *stats = report_find(&report, "apply.lanes1.records_per_s");
    cr_assert_eq(stats_median(stats), 3);
    cr_assert_eq(stats_min(stats), 1);
    cr_assert_eq(stats_max(stats), 10);
    cr_assert_null(report_find(&report, "apply.lanes1"));
}

Test(report, quantile_lies_between_its_neighbours)
{
    double values[] = {40, 10, 30, 20};
    cr_assert_float_eq(stats_quantile(values, 4, 0.5), 25, 1e-9);
    cr_assert_float_eq(stats_quantile(values, 4, 0.99), 39.7, 1e-9);
    cr_assert_eq(stats_quantile(values, 0, 0.5), 0);
    cr_assert_eq(stats_quantile(values, 1, 0.99), 10);
}

Test(report, unit_is_told_by_the_longest_end_of_the_name)
{
    cr_assert_str_eq(report_unit("a.records_per_s"), "1/s");
    cr_assert_str_eq(report_unit("a.took_s"), "s");
    cr_assert_str_eq(report_unit("tune.preallocate.bytes_per_s"), "B/s");
    cr_assert_str_eq(report_unit("recover.private_mib"), "MiB");
    cr_assert_str_eq(report_unit("journal.p99_us"), "us");
    cr_assert_str_eq(report_unit("apply.ratio"), "");
    cr_assert_str_eq(report_unit("_s"), "");
}

Test(report, summary_is_one_line_of_medians_and_exact)
{
    report.exact = true;
    report_add(&report, 0.5, "apply.lanes1.10000.ratio");
    report_add(&report, 0.7, "apply.lanes1.10000.ratio");
    report_add(&report, 8, "not.in.the.summary");
    char *text = printed(report_print_summary);
    cr_assert_str_eq(text, "{\"apply_ratio_10k\":0.6,\"exact\":true}\n");
    free(text);
}

Test(report, what_is_not_exact_says_so)
{
    char *text = printed(report_print_summary);
    cr_assert_str_eq(text, "{\"exact\":false}\n");
    free(text);
}

Test(report, infinity_is_no_number_in_json)
{
    report_add(&report, 1 / (double)(report.count), "compare.python.ratio");
    char *text = printed(report_print_summary);
    cr_assert_str_eq(text, "{\"python_ratio\":null,\"exact\":false}\n");
    free(text);
}

Test(report, json_holds_samples_facts_and_what_was_skipped)
{
    report_add(&report, 2, "a_us");
    report_add(&report, 4, "a_us");
    report_fact(&report, "server", "first");
    report_fact(&report, "server", "say \"%d\"\t\\", 5);
    report_skip(&report, "compare.rsyslog", "not installed");
    char text[1024];
    read_back(report_write_json, text, sizeof text);
    cr_assert_str_eq(text, "{\n  \"exact\": false,\n"
                           "  \"facts\": {\n"
                           "    \"server\": \"say \\\"5\\\"\\u0009\\\\\"\n  },\n"
                           "  \"skipped\": {\n"
                           "    \"compare.rsyslog\": \"not installed\"\n  },\n"
                           "  \"figures\": {\n"
                           "    \"a_us\": {\"unit\": \"us\", \"median\": 3, \"min\": 2, "
                           "\"max\": 4, \"samples\": [2, 4]}\n  }\n}\n");
}

Test(report, columns_are_for_the_charts)
{
    report_add(&report, 2, "a_us");
    report_add(&report, 4, "a_us");
    report_add(&report, 0.25, "b.ratio");
    char text[256];
    read_back(report_write_columns, text, sizeof text);
    cr_assert_str_eq(text, "a_us 3 2 4 2\nb.ratio 0.25 0.25 0.25 1\n");
}

Test(report, table_names_what_was_skipped)
{
    report_add(&report, 43210, "apply.records_per_s");
    report_skip(&report, "compare.python", "pymysql is missing");
    char *text = printed(report_print);
    cr_assert_not_null(strstr(text, "43210"));
    cr_assert_not_null(strstr(text, "1/s"));
    cr_assert_not_null(strstr(text, "SKIPPED: pymysql is missing"));
    free(text);
}

Test(report, a_path_that_cannot_be_written_is_named)
{
    struct err err = {0};
    cr_assert_eq(report_write_json(&report, "/nowhere/at/all", &err), ERR_IO);
    cr_assert_not_null(strstr(err.message, "/nowhere/at/all"));
}

Test(report, knows_the_machine)
{
    report_machine(&report);
    char *text = printed(report_print);
    cr_assert_not_null(strstr(text, "cores"));
    cr_assert_not_null(strstr(text, "Linux"));
    free(text);
}
