/* One connection to the real HTTP door, byte for byte as the input has it (its first byte
 * chooses TCP or the control socket). Every answer must be well-formed and, where it
 * refuses, say why; what the answers acknowledge must be in the journal; and over TCP
 * nothing may be taken from who doesn't know the token. */
#include "engine/http.h"
#include "engine/json.h"
#include "tests/fuzz/kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { RUNS_MAX = 2000, SECOND_US = 1000000, PATIENCE_S = 20, MOMENT_MS = 10 };
#define TOKEN "fuzz-token"

static struct config *config;
static struct engine *engine;
static struct http *http;
static char path[300];
static unsigned runs;

static void close_door(void)
{
    if (engine) {
        http_stop(http, clock_steady_us(&clock_system) + (int64_t)10 * SECOND_US);
        engine_close(engine, SECOND_US);
        fuzz_remove(path);
        engine = NULL;
    }
}

static void open_door(void)
{
    struct err err = {0};
    if (engine && runs++ < RUNS_MAX) {
        return;
    }
    close_door();
    runs = 0;
    if (engine_open(config, &engine, &err) != ERR_OK ||
        http_start(engine, &http, &err) != ERR_OK) {
        fuzz_expect(false, err.message);
    }
}

static void end(void)
{
    close_door();
    config_free(config);
}

static void write_token(const char *file)
{
    FILE *out = fopen(file, "we");
    fuzz_expect(out && fputs(TOKEN "\n", out) >= 0 && fclose(out) == 0, "a token file");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *directory = fuzz_directory();
    struct buf text = {0};
    struct err err = {0};
    char token[300];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(path, sizeof path, "%s/journal", directory);
    (void)snprintf(token, sizeof token, "%s/token", directory);
    write_token(token);
    log_setup(LOG_ERROR + 1, LOG_LOGFMT, STDERR_FILENO);
    buf_printf(&text,
               "journal: {path: %s, max_size: 64MiB, preallocate: 0}\n"
               "intake: {listen: '127.0.0.1:0', max_body: 64KiB, token_file: %s, "
               "idle_timeout: 1s, threads: 2}\n"
               "database: {socket: %s/none, name: x, user: x}\n"
               "streams: [{name: mozi, preset: botnet}]\n",
               path, token, directory);
    if (config_parse("fuzz.yaml", buf_slice(&text), &config, &err) != ERR_OK) {
        fuzz_expect(false, err.message);
    }
    buf_free(&text);
    open_door();
    (void)atexit(end); /* now: before what the libraries have registered meanwhile */
    return 0;
}

/* ---- One connection ---------------------------------------------------------------- */

static int connect_door(bool control)
{
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons(http_port(http))};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    (void)snprintf(local.sun_path, sizeof local.sun_path, "%.80s/control.sock", path);
    int fd = socket(control ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fuzz_expect(fd >= 0, "a socket");
    int rc = control ? connect(fd, (struct sockaddr *)&local, sizeof local)
                     : connect(fd, (struct sockaddr *)&four, sizeof four);
    fuzz_expect(rc == 0, "the door is open");
    rc = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    fuzz_expect(rc == 0, "a time-out");
    return fd;
}

static void send_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* it was cut off: the answers say why, or nothing was taken */
        }
        bytes = slice_of(bytes.data + sent, bytes.len - (size_t)sent);
    }
}

/* Sends, half-closes and reads until the other side closes. libmicrohttpd misses an end
 * that comes together with the last bytes, and then closes only as an idle connection: so
 * it gets a moment to read them, and a short idle time-out. */
static void converse(bool control, struct slice bytes, struct buf *out)
{
    int fd = connect_door(control);
    char piece[4096];
    struct pollfd answered = {.fd = fd, .events = POLLIN};
    send_all(fd, bytes);
    (void)poll(&answered, 1, MOMENT_MS);
    (void)shutdown(fd, SHUT_WR);
    ssize_t got;
    while ((got = recv(fd, piece, sizeof piece, 0)) > 0) {
        buf_append(out, piece, (size_t)got);
    }
    fuzz_expect(got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK),
                "a connection that sends no more is closed");
    (void)close(fd);
}

/* ---- What came back ---------------------------------------------------------------- */

static const char *find(struct slice in, const char *text)
{
    return in.len ? memmem(in.data, in.len, text, strlen(text)) : NULL;
}

/* The header's number; fallback where it is absent. */
static size_t header_number(struct slice head, const char *name, size_t fallback)
{
    const char *at = find(head, name);
    return at ? strtoul(at + strlen(name), NULL, 10) : fallback;
}

/* Records that a 200's body says were taken now. */
static uint64_t acknowledged(struct slice body)
{
    struct json_value *value = json_parse(body);
    bool replayed = json_as_bool(json_get(value, "replayed"), true);
    int64_t accepted = json_as_integer(json_get(value, "accepted"), 0);
    json_value_free(value);
    return replayed || accepted < 0 ? 0 : (uint64_t)accepted;
}

/* A refusal of ours explains itself; libmicrohttpd's own are HTML. */
static void expect_reason(struct slice head, struct slice body)
{
    if (!find(head, "application/json")) {
        return;
    }
    struct json_value *value = json_parse(body);
    const struct json_value *error = json_get(value, "error");
    fuzz_expect(json_as_text(json_get(error, "code")) &&
                    json_as_text(json_get(error, "message")),
                "a refusal says why");
    json_value_free(value);
}

/* Takes one answer off the front; false where what is left is none. */
static bool take_answer(struct slice *rest, uint64_t *acked)
{
    const char *end_of_head = find(*rest, "\r\n\r\n");
    if (!end_of_head) {
        return false;
    }
    struct slice head = slice_of(rest->data, (size_t)(end_of_head + 4 - rest->data));
    fuzz_expect(head.len > 12 && memcmp(head.data, "HTTP/1.", 7) == 0, "an answer");
    long status = strtol(head.data + 9, NULL, 10);
    fuzz_expect(status >= 100 && status < 600, "has a status");
    fuzz_expect(status < 501 || status == 503 || status == 505, "one that senders know");
    fuzz_expect(status != 206 && status != 207, "one that means one thing");
    size_t left = rest->len - head.len;
    size_t len = header_number(head, "Content-Length: ", status == 100 ? 0 : left);
    struct slice body = slice_of(end_of_head + 4, len < left ? len : left);
    if (status == 200) {
        *acked += acknowledged(body);
    } else if (status >= 400 && len <= left && len > 0) {
        expect_reason(head, body);
    }
    *rest = slice_of(body.data + body.len, left - body.len);
    return true;
}

static uint64_t accepted_now(void)
{
    struct journal_stat stat;
    struct err err = {0};
    fuzz_expect(journal_stat(engine_journal(engine), &stat, &err) == ERR_OK,
                "the journal is well");
    return stat.records;
}

/* HEAD's answers have a length and no body: they can't be told apart from here. */
static bool is_ambiguous(struct slice bytes)
{
    return find(bytes, "HEAD") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool control = fuzz_byte(&data, &size) & 1;
    struct slice bytes = fuzz_copy(data, size);
    struct buf answers = {0};
    uint64_t acked = 0;
    open_door();
    uint64_t before = accepted_now();
    converse(control, bytes, &answers);
    fuzz_expect(buf_text(&answers) != NULL, "memory"); /* numbers end before a NUL */
    struct slice rest = buf_slice(&answers);
    while (!is_ambiguous(bytes) && take_answer(&rest, &acked)) {
        /* the next one */
    }
    uint64_t taken = accepted_now() - before;
    fuzz_expect(acked <= taken, "what was acknowledged is in the journal");
    fuzz_expect(control || taken == 0 || find(bytes, TOKEN),
                "nothing is taken without the token");
    buf_free(&answers);
    free((void *)bytes.data);
    return 0;
}
