/* tests/faults/hostile_text.c: text that means something in SQL, in every text field, on
 * both paths to the database and under the server's most awkward modes; and names of
 * tables and columns that do. What was sent must be stored byte for byte. */
#include "engine/json.h"
#include "tests/faults/hostile.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most 50 characters each, as the narrowest column has it. */
static const char *const texts[] = {
    "'",
    "''",
    "\"",
    "\\",
    "\\\\",
    "\\'",
    "'\\",
    "\\\"",
    "`",
    "%",
    "_",
    "\\%\\_",
    "--",
    "-- x",
    "#",
    "/* x */",
    "/*!50000 x */",
    ";",
    "'; DROP TABLE botnet_nodes_mozi; --",
    "' OR '1'='1",
    "\\'; DELETE FROM holdfast_ledger; #",
    "x' || 'y",
    "?",
    ":1",
    "${HOME}",
    "$(id)",
    "\\N",
    "\\0",
    "\\Z",
    "\\n",
    "NULL",
    "DEFAULT",
    "0x41",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "\t",
    "\n",
    "\x01\x02\x08\x0b\x1a\x1b\x7f",
    "a,b",
    "\"a\",\"b\"",
    "trailing \\",
    "trailing blank ",
    " leading",
    "\xe4\xb8\xad\xe5\x9b\xbd",
    "\xf0\x9f\x98\x80\\",
    "\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf",
    "\xef\xbc\x87 OR 1=1",
    "\xc2\xbf' OR 1=1 -- ",
    "\xe7\xb8\x97'",
    "<script>alert(1)</script>",
    "%s%n%x",
    "caf\x65\xcc\x81",
};
static const char *const fields[] = {"country", "province", "city",      "continent",
                                     "isp",     "asn",      "event_type"};
enum {
    TEXTS = sizeof texts / sizeof texts[0],
    FIELDS = sizeof fields / sizeof fields[0],
    SQL_MAX = 512,
    TIME = 1767225600
};

static const char modes[] =
    "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT,"
    "IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE'; "
    "SET GLOBAL character_set_server = 'gbk'; SET GLOBAL collation_connection = "
    "'latin1_swedish_ci'; SET GLOBAL time_zone = '+03:00'; "
    "SET GLOBAL tx_isolation = 'SERIALIZABLE'";
static const char no_modes[] =
    "SET GLOBAL sql_mode = DEFAULT; SET GLOBAL character_set_server = 'utf8mb4'; "
    "SET GLOBAL collation_connection = DEFAULT; SET GLOBAL time_zone = 'SYSTEM'; "
    "SET GLOBAL tx_isolation = 'REPEATABLE-READ'";

/* ---- Text -------------------------------------------------------------------------- */

static void address_of(size_t text, size_t field, char out[32])
{
    (void)snprintf(out, 32, "10.%zu.%zu.1", text, field);
}

static void put_record(struct json_writer *json, size_t text, size_t field)
{
    char ip[32];
    address_of(text, field, ip);
    json_object(json);
    json_put_text(json, "ip", ip);
    json_put_integer(json, "timestamp", TIME);
    json_put_text(json, fields[field], texts[text]);
    json_object_end(json);
}

static int send_texts(struct stage *stage, struct err *err)
{
    struct json_writer *json = json_new();
    struct buf answer = {0};
    json_array(json);
    for (size_t text = 0; text < TEXTS; text++)
        for (size_t field = 0; field < FIELDS; field++)
            put_record(json, text, field);
    json_array_end(json);
    int status = hostile_post(stage, "mozi", json_result(json), &answer);
    json_free(json);
    bool whole = status == 200 &&
                 hostile_count(buf_slice(&answer), "\"dead_lettered\":0") == 1 &&
                 hostile_count(buf_slice(&answer), "\"applied\":true") == 1;
    if (!whole)
        hostile_breaks(stage, "I2", "the answer is %d: %.400s", status,
                       answer.len ? buf_text(&answer) : "");
    buf_free(&answer);
    (void)err;
    return 0;
}

/* The rows of `table` by address, with the field's bytes, against what was sent. */
static int compare_field(struct stage *stage, const char *table, size_t field,
                         struct err *err)
{
    char sql[SQL_MAX];
    size_t right = 0;
    for (size_t text = 0; text < TEXTS; text++) {
        char ip[32];
        int64_t same = 0;
        struct buf hex = {0};
        address_of(text, field, ip);
        for (const char *c = texts[text]; *c; c++)
            buf_printf(&hex, "%02X", (unsigned)(unsigned char)*c);
        (void)snprintf(sql, sizeof sql,
                       "SELECT COUNT(*) FROM %s WHERE ip = '%s' AND HEX(%s) = '%s'",
                       table, ip, fields[field], buf_text(&hex));
        buf_free(&hex);
        int code = stage_number(stage, sql, &same, err);
        if (code != 0)
            return code;
        right += same == 1;
        if (same != 1)
            hostile_breaks(stage, "I2", "%s.%s of %s is not what was sent (text %zu)",
                           table, fields[field], ip, text);
    }
    return right ? 0 : err_set(err, ERR_INTERNAL, 0, "nothing at all is as it was sent");
}

static int compare_texts(struct stage *stage, struct err *err)
{
    int code = 0;
    for (size_t field = 0; field < FIELDS && code == 0; field++) {
        bool event_only = strcmp(fields[field], "event_type") == 0;
        code = compare_field(stage, "botnet_communications_mozi", field, err);
        if (code == 0 && !event_only)
            code = compare_field(stage, "botnet_nodes_mozi", field, err);
    }
    return code;
}

static int expect_path(struct stage *stage, struct err *err)
{
    int64_t applied = 0;
    int code = stage_number(stage, "SELECT COUNT(*) FROM botnet_communications_mozi",
                            &applied, err);
    if (code == 0 && applied != (int64_t)TEXTS * FIELDS)
        hostile_breaks(stage, "I1", "%lld rows, not %d", (long long)applied,
                       TEXTS * FIELDS);
    return code;
}

/* The same records again are duplicates: what is stored compares equal to what came. */
static int run_text(struct stage *stage, bool checked, bool with_modes, struct err *err)
{
    struct stage_plan plan = {.streams = 1, .records = 20, .checked_only = checked};
    int code = stage_begin(stage, &plan, err);
    if (code == 0 && with_modes)
        code = stage_exec(stage, modes, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : send_texts(stage, err);
    code = code ? code : compare_texts(stage, err);
    code = code ? code : send_texts(stage, err);
    code = code ? code : expect_path(stage, err);
    struct err ignored;
    if (with_modes)
        (void)stage_exec(stage, no_modes, &ignored);
    return code;
}

int hostile_text_fast(struct stage *stage, struct err *err)
{
    return run_text(stage, false, false, err);
}

int hostile_text_checked(struct stage *stage, struct err *err)
{
    return run_text(stage, true, false, err);
}

int hostile_text_fast_modes(struct stage *stage, struct err *err)
{
    return run_text(stage, false, true, err);
}

int hostile_text_checked_modes(struct stage *stage, struct err *err)
{
    return run_text(stage, true, true, err);
}

/* ---- Names ------------------------------------------------------------------------- */

/* A stream whose tables and columns are named `a` and `b`, in single quotes of YAML. */
static void name_stream(struct stage *stage, const char *a, const char *b)
{
    static char streams[2048];
    stage->options.streams = streams;
    (void)snprintf(
        streams, sizeof streams,
        "[{name: odd, time: at, entity: {table: '%s', id: 'select', columns: ["
        "{name: '%s', type: string, max: 40, from: k, merge: key, not_null: true},"
        "{name: seen, type: datetime, from: at, merge: max}]}, "
        "event: {table: '%s-e', id: id, entity: 'order', key: ['%s', at], columns: ["
        "{name: '%s', type: string, max: 40, from: k, not_null: true},"
        "{name: at, type: datetime, from: at, not_null: true}]}}]",
        a, b, a, b, b);
}

int hostile_names_refused(struct stage *stage, struct err *err)
{
    static const char *const names[] = {
        "a`b",      "a''b", "a\"b",   "a;b",   "a b",
        "a.b",      "a/b",  "a\\b",   "../a",  "a(b",
        "a*b",      "a%b",  "a--\tb", "a\\0b", "\xf0\x9f\x98\x80",
        "\xc0\xaf", "a#b",  "",
    };
    struct stage_plan plan = {.streams = 1, .records = 20};
    int code = stage_begin(stage, &plan, err);
    for (size_t i = 0; code == 0 && i < 2 * sizeof names / sizeof names[0]; i++) {
        const char *name = names[i / 2];
        const char *const validate[] = {"validate", NULL};
        struct buf out = {0};
        name_stream(stage, i % 2 ? "plain" : name, i % 2 ? name : "plain");
        code = stage_configure(stage, err);
        int exit_code = engine_command(&stage->engine, validate, &out);
        if (exit_code != 78)
            hostile_breaks(stage, "I2", "the name %s: validate's exit code is %d: %.200s",
                           name, exit_code, out.len ? buf_text(&out) : "");
        buf_free(&out);
    }
    return code;
}

static int use_names(struct stage *stage, const char *a, const char *b, struct err *err)
{
    static const char body[] =
        "{\"k\":\"it's\",\"at\":1767225600}{\"k\":\"\\\\\",\"at\":1767225601}";
    static const char *const commands[][3] = {{"validate", "--database", NULL},
                                              {"check", NULL},
                                              {"audit", NULL},
                                              {"repair", "--execute", NULL}};
    struct buf out = {0};
    char sql[SQL_MAX];
    int64_t rows = 0;
    name_stream(stage, a, b);
    int code = stage_configure(stage, err);
    code = code ? code : stage_grant(stage, err);
    code = code ? code : stage_start(stage, err);
    if (code == 0 && hostile_post(stage, "odd", slice_text(body), &out) != 200)
        hostile_breaks(stage, "I1", "%s, %s: %.300s", a, b, buf_text(&out));
    (void)snprintf(sql, sizeof sql,
                   "SELECT COUNT(*) FROM `%s` e JOIN `%s-e` v ON v.`order` = e.`select` "
                   "WHERE e.`%s` = v.`%s`",
                   a, a, b, b);
    code = code ? code : stage_number(stage, sql, &rows, err);
    if (code == 0 && rows != 2)
        hostile_breaks(stage, "I1", "%s, %s: %lld rows, not 2", a, b, (long long)rows);
    for (size_t i = 0; code == 0 && i < sizeof commands / sizeof commands[0]; i++) {
        buf_clear(&out);
        int exit_code = engine_command(&stage->engine, commands[i], &out);
        if (exit_code != 0)
            hostile_breaks(stage, "I2", "%s, %s: %s exits %d: %.300s", a, b,
                           commands[i][0], exit_code, buf_text(&out));
    }
    buf_free(&out);
    engine_kill(&stage->engine);
    (void)snprintf(sql, sizeof sql, "DROP TABLE `%s-e`; DROP TABLE `%s`", a, a);
    return code ? code : stage_exec(stage, sql, err);
}

int hostile_names_taken(struct stage *stage, struct err *err)
{
    static const char *const names[][2] = {
        {"select", "from"},
        {"0", "1e5"},
        {"-", "$"},
        {"tabelle-\xc3\xa4\xc3\xb6", "\xe4\xb8\xad\xe6\x96\x87"},
        {"TABLE", "INDEX"},
        {"e", "v"},
        {"holdfast", "new_events"},
        {"x23456789012345678901234567890123456789012345678901234567890_2",
         "y2345678901234567890123456789012345678901234567890123456789_1234"},
    };
    int code = 0;
    for (size_t i = 0; code == 0 && i < 2 * sizeof names / sizeof names[0]; i++) {
        struct stage_plan plan = {
            .streams = 1, .records = 20, .checked_only = i % 2 == 1};
        code = stage_begin(stage, &plan, err);
        code = code ? code : use_names(stage, names[i / 2][0], names[i / 2][1], err);
    }
    return code;
}
