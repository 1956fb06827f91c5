/* tests/faults/hostile_secrets.c: secrets that must be nowhere but in their files and, as
 * long as they are used, in memory; and what the binary is hardened by. */
#include "tests/faults/hostile.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CANARY "canary7f3a"

static const struct secret {
    const char *name; /* of its file */
    const char *value;
    bool in_memory; /* may be, while it is used */
} secrets[] = {
    {"secret-database", CANARY "-database", false},
    {"secret-token", CANARY "-token", true}, /* of the latest requests */
    {"secret-webhook", CANARY "-webhook", false},
    {"secret-smtp", CANARY "-smtp", false},
};
enum { SECRETS = sizeof secrets / sizeof secrets[0] };

static void expect_none(struct stage *stage, const char *where, struct slice text)
{
    if (hostile_count(text, CANARY)) {
        const char *at = memmem(text.data, text.len, CANARY, sizeof CANARY - 1);
        size_t left = text.len - (size_t)(at - text.data);
        hostile_breaks(stage, "I2", "%s holds %.*s", where, (int)(left < 24 ? left : 24),
                       at);
    }
}

/* ---- An engine with secrets ----------------------------------------------------------
 */

static int write_secrets(struct stage *stage, struct err *err)
{
    int code = 0;
    for (size_t i = 0; i < SECRETS && code == 0; i++) {
        char path[HOSTILE_PATH_MAX];
        hostile_path(stage, secrets[i].name, path);
        code = hostile_write(path, secrets[i].value, err);
    }
    return code;
}

static int configure(struct stage *stage, struct err *err)
{
    static char server[HOSTILE_PATH_MAX + 64];
    static char intake[HOSTILE_PATH_MAX + 64];
    static char more[4 * HOSTILE_PATH_MAX];
    char database[HOSTILE_PATH_MAX];
    char token[HOSTILE_PATH_MAX];
    char webhook[HOSTILE_PATH_MAX];
    char smtp[HOSTILE_PATH_MAX];
    hostile_path(stage, secrets[0].name, database);
    hostile_path(stage, secrets[1].name, token);
    hostile_path(stage, secrets[2].name, webhook);
    hostile_path(stage, secrets[3].name, smtp);
    (void)snprintf(server, sizeof server, ", password_file: '%s'", database);
    (void)snprintf(intake, sizeof intake, ", token_file: '%s'", token);
    (void)snprintf(
        more, sizeof more,
        "alerts: {every: 100ms, hold: 100ms, timeout: 2s, webhook: {url: "
        "'http://127.0.0.1:1/" CANARY "-path?key=" CANARY "-query', tls: false, "
        "token_file: '%s'}, smtp: {url: 'smtp://127.0.0.1:1', from: a@example.org, to: "
        "[b@example.org], user: u, password_file: '%s', tls: false}}",
        webhook, smtp);
    stage->options.user = "least";
    stage->options.server = server;
    stage->options.intake = intake;
    stage->options.more = more;
    return stage_configure(stage, err);
}

static void ask(struct stage *stage, const char *method, const char *path,
                const char *token, struct slice body)
{
    struct buf request = {0};
    struct buf out = {0};
    buf_printf(&request,
               "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
               "Authorization: Bearer %s\r\n"
               "Content-Length: %zu\r\n\r\n",
               method, path, token, body.len);
    buf_append_slice(&request, body);
    (void)hostile_converse(stage->port, buf_slice(&request), 20000, &out);
    expect_none(stage, path, buf_slice(&out));
    if (out.len == 0)
        hostile_breaks(stage, "I8", "no answer to %s %s", method, path);
    buf_free(&request);
    buf_free(&out);
}

static void ask_all(struct stage *stage)
{
    static const char *const paths[] = {"/v1/status", "/metrics", "/",
                                        "/readyz",    "/version", "/v1/batches/1"};
    const char *token = secrets[1].value;
    struct slice record = SLICE_LITERAL("{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600}");
    ask(stage, "POST", "/v1/streams/mozi/records", token, record);
    ask(stage, "POST", "/v1/streams/mozi/records", token, SLICE_LITERAL("{"));
    ask(stage, "POST", "/v1/streams/none/records", token, record);
    ask(stage, "POST", "/v1/streams/mozi/records", CANARY "-another", record);
    ask(stage, "GET", "/v1/status", CANARY "-another", (struct slice){0});
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ask(stage, "GET", paths[i], token, (struct slice){0});
}

static void run_commands(struct stage *stage)
{
    char backup[HOSTILE_PATH_MAX];
    hostile_path(stage, "secret-less-backup", backup);
    const char *const commands[][4] = {
        {"status", NULL},
        {"status", "--json", NULL},
        {"validate", NULL},
        {"validate", "--database", NULL},
        {"alert", "--test", NULL},
        {"audit", NULL},
        {"check", "--json", NULL},
        {"journal", "ls", NULL},
        {"journal", "verify", NULL},
        {"journal", "export", NULL},
        {"schema", NULL},
        {"journal", "backup", backup, NULL},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct buf out = {0};
        (void)engine_command(&stage->engine, commands[i], &out);
        expect_none(stage, commands[i][0], buf_slice(&out));
        if (out.len == 0)
            hostile_breaks(stage, "I8", "%s says nothing", commands[i][0]);
        buf_free(&out);
    }
}

/* ---- Where they might be --------------------------------------------------------------
 */

static struct stage *looking; /* nftw has no context */

static int look(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    struct buf text = {0};
    if (type == FTW_F && S_ISREG(st->st_mode)) {
        (void)hostile_read(path, &text);
        expect_none(looking, path, buf_slice(&text));
    }
    buf_free(&text);
    return 0;
}

static bool look_at_range(struct stage *stage, int memory, const char *line)
{
    unsigned long from = 0;
    unsigned long to = 0;
    char rights[8] = "";
    enum { LARGE = 256 << 20 };
    if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
        to - from > LARGE)
        return false;
    char *bytes = malloc(to - from);
    ssize_t got = bytes ? pread(memory, bytes, to - from, (off_t)from) : -1;
    for (size_t i = 0; got > 0 && i < SECRETS; i++)
        if (!secrets[i].in_memory &&
            hostile_count(slice_of(bytes, (size_t)got), secrets[i].value))
            hostile_breaks(stage, "I2", "a core file would hold %s: %.80s",
                           secrets[i].value, line);
    free(bytes);
    return got > 0;
}

/* What a core file would hold: all memory that is written to. */
static int look_at_memory(struct stage *stage, struct err *err)
{
    char path[64];
    char line[512];
    size_t ranges = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)stage->engine.pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)stage->engine.pid);
    FILE *maps = fopen(path, "re");
    while (maps && memory >= 0 && fgets(line, sizeof line, maps))
        ranges += look_at_range(stage, memory, line);
    if (maps)
        (void)fclose(maps); /* it was only read */
    if (memory >= 0)
        (void)close(memory);
    return ranges ? 0 : err_set(err, ERR_INTERNAL, 0, "the engine's memory is closed");
}

int hostile_secrets(struct stage *stage, struct err *err)
{
    struct stage_plan plan = {.streams = 1, .records = 20};
    int code = stage_begin(stage, &plan, err);
    code = code ? code : write_secrets(stage, err);
    code = code ? code : configure(stage, err);
    code = code ? code
                : stage_exec(stage,
                             "DROP USER IF EXISTS least@'%'; CREATE USER least@'%' "
                             "IDENTIFIED BY '" CANARY "-database'; GRANT ALL ON "
                             "holdfast.* TO least@'%'",
                             err);
    code = code ? code : stage_start(stage, err);
    if (code != 0)
        return code;
    ask_all(stage);
    run_commands(stage);
    code = look_at_memory(stage, err);
    /* and once more while the login is refused and alerts can't be delivered */
    code = code ? code
                : stage_exec(stage,
                             "ALTER USER least@'%' IDENTIFIED BY 'another'; KILL USER "
                             "least",
                             err);
    int64_t end = process_now_ms() + 30000;
    uint64_t refused = 0;
    while (code == 0 && !refused && process_now_ms() < end) {
        process_sleep_ms(50);
        code = stage_log_count(stage, "Access denied", &refused, err);
    }
    if (code == 0 && !refused)
        code = err_set(err, ERR_INTERNAL, 0, "the login was not refused");
    if (code == 0) {
        ask_all(stage);
        run_commands(stage);
        struct buf log = {0};
        (void)hostile_read(stage->engine.log, &log);
        expect_none(stage, "the log", buf_slice(&log));
        buf_free(&log);
        looking = stage;
        (void)nftw(stage->engine.journal, look, 16, FTW_PHYS);
    }
    return code;
}

/* ---- The binary -----------------------------------------------------------------------
 */

static void expect_hardened(struct stage *stage, struct slice elf)
{
    static const struct mark {
        const char *text;
        bool wanted;
        const char *what;
    } marks[] = {
        {"Type:                              DYN", true, "it is position-independent"},
        {"PIE", true, "it is an executable of that kind"},
        {"GNU_RELRO", true, "relocations are read-only"},
        {"BIND_NOW", true, "nothing is bound late"},
        {"RPATH", false, "no library comes from a path of the build"},
        {"RUNPATH", false, "no library comes from a path of the build"},
        {"TEXTREL", false, "its code is not written to"},
        {"__stack_chk_fail", true, "the stack is guarded"},
        {"_chk@", true, "calls are checked by their sizes"},
        {"GNU_STACK", true, "it says what its stack is"},
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if ((hostile_count(elf, marks[i].text) > 0) != marks[i].wanted)
            hostile_breaks(stage, "I2", "the binary: not so that %s", marks[i].what);
    const char *stack = memmem(elf.data, elf.len, "GNU_STACK", 9);
    const char *end =
        stack ? memchr(stack, '\n', elf.len - (size_t)(stack - elf.data)) : NULL;
    if (end && memmem(stack, (size_t)(end - stack), "RWE", 3))
        hostile_breaks(stage, "I2", "the binary's stack can be executed");
}

/* -fcf-protection, where there is such a thing: Debian's C library is built without, so
 * that the linker leaves the mark out, but the code has its landing pads. */
static int expect_landing_pads(struct stage *stage, struct buf *out, struct err *err)
{
#if defined(__x86_64__)
    enum { FUNCTIONS = 500 };
    const char *const argv[] = {
        "objdump",         "--disassemble",    "--no-show-raw-insn",
        "--section=.text", stage->run->binary, NULL};
    if (hostile_run(stage, argv, out) != 0)
        return err_set(err, ERR_INTERNAL, 0, "objdump is needed (binutils)");
    if (hostile_count(buf_slice(out), "endbr64") < FUNCTIONS)
        hostile_breaks(stage, "I2", "the binary: calls have no landing pads");
#endif
    return 0;
}

int hostile_binary(struct stage *stage, struct err *err)
{
    const char *const argv[] = {"readelf",    "--wide",           "-hldns",
                                "--dyn-syms", stage->run->binary, NULL};
    struct stage_plan plan = {.streams = 1, .records = 20};
    struct buf out = {0};
    int code = stage_begin(stage, &plan, err);
    if (code == 0 && (hostile_run(stage, argv, &out) != 0 || out.len == 0))
        code = err_set(err, ERR_INTERNAL, 0, "readelf is needed (binutils)");
    if (code == 0)
        expect_hardened(stage, buf_slice(&out));
    buf_clear(&out);
    code = code ? code : expect_landing_pads(stage, &out, err);
    buf_free(&out);
    return code;
}
