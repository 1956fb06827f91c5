/* The layer "hostile": what somebody who means harm, or a server, a file or a name that
 * is set up in the worst way, can do. A point is one such thing; see hostile.h. */
#include "tests/faults/hostile.h"

#include <stdio.h>

static const struct hostile_point {
    const char *name;
    int (*run)(struct stage *stage, struct err *err);
} points[] = {
    {"smuggling", hostile_smuggling},
    {"paths", hostile_paths},
    {"endless bodies", hostile_endless},
    {"slow readers", hostile_slow_readers},
    {"many connections", hostile_many_connections},
    {"text, fast path", hostile_text_fast},
    {"text, checked path", hostile_text_checked},
    {"text, fast path, odd modes", hostile_text_fast_modes},
    {"text, checked path, odd modes", hostile_text_checked_modes},
    {"names that are refused", hostile_names_refused},
    {"names that are taken", hostile_names_taken},
    {"least rights", hostile_least_rights},
    {"least rights, tables made by hand", hostile_least_rights_without_create},
    {"init_connect", hostile_init_connect},
    {"wildcards in grants", hostile_grant_wildcards},
    {"rights of files", hostile_permissions},
    {"secrets", hostile_secrets},
    {"the binary", hostile_binary},
    {"TLS versions", hostile_tls_versions},
    {"certificates, ingest", hostile_tls_ingest},
    {"certificates, database", hostile_tls_database},
    {"tokens", hostile_tokens},
    {"refused beside others", hostile_refused_beside},
};
enum { POINTS = sizeof points / sizeof points[0] };

static struct stage stage;

static int open_layer(const struct layer_run *run, uint64_t *out_points, struct err *err)
{
    *out_points = POINTS;
    return stage_open(&stage, run, NULL, err);
}

static int run_point(const struct layer_run *run, uint64_t point, uint64_t seed,
                     enum layer_verdict *out_verdict, struct err *err)
{
    (void)run;
    (void)seed;
    if (point >= POINTS) {
        *out_verdict = LAYER_END;
        return 0;
    }
    int code = points[point].run(&stage, err);
    code = stage_end(&stage, code, true, out_verdict, err);
    if (code != 0 || *out_verdict == LAYER_BROKEN)
        (void)printf("  in: %s\n", points[point].name);
    return code;
}

static void close_layer(const struct layer_run *run)
{
    (void)run;
    stage_close(&stage);
}

static const char *point_name(uint64_t point)
{
    return point < POINTS ? points[point].name : NULL;
}

int main(int argc, char **argv)
{
    static const struct layer layer = {.name = "hostile",
                                       .invariants = "I1 I2 I4 I6 I8 I9",
                                       .each = true,
                                       .budget_s = 60,
                                       .point_name = point_name,
                                       .open = open_layer,
                                       .point = run_point,
                                       .close = close_layer};
    return layer_main(&layer, argc, argv);
}
