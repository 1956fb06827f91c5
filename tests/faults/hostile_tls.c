/* tests/faults/hostile_tls.c: TLS on both sides, with certificates that openssl makes:
 * one that is good, one for another host, one that is over, one signed by itself and one
 * signed by somebody else. */
#include "tests/faults/hostile.h"
#include "tests/http_probe.h"
#include "tests/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_MS = 30000, TEN_DAYS_S = 864000 };

static const struct kind {
    const char *name;
    const char *names; /* that it is for */
    const char *signer;
    bool over;
} kinds[] = {
    {"good", "subjectAltName=DNS:localhost,IP:127.0.0.1", "ca", false},
    {"elsewhere", "subjectAltName=DNS:other.example,IP:192.0.2.1", "ca", false},
    {"over", "subjectAltName=DNS:localhost,IP:127.0.0.1", "ca", true},
    {"alone", "subjectAltName=DNS:localhost,IP:127.0.0.1", NULL, false},
    {"stranger", "subjectAltName=DNS:localhost,IP:127.0.0.1", "other", false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- Certificates --------------------------------------------------------------------
 */

static void cert_path(struct stage *stage, const char *name, const char *end,
                      char out[HOSTILE_PATH_MAX])
{
    char file[64];
    (void)snprintf(file, sizeof file, "%s.%s", name, end);
    hostile_path(stage, file, out);
}

static int make_cert(struct stage *stage, const char *name, const char *names,
                     const char *signer, struct err *err)
{
    char cert[HOSTILE_PATH_MAX];
    char key[HOSTILE_PATH_MAX];
    char signer_cert[HOSTILE_PATH_MAX];
    char signer_key[HOSTILE_PATH_MAX];
    struct buf out = {0};
    cert_path(stage, name, "pem", cert);
    cert_path(stage, name, "key", key);
    cert_path(stage, signer ? signer : "", "pem", signer_cert);
    cert_path(stage, signer ? signer : "", "key", signer_key);
    const char *argv[32] = {"openssl",
                            "req",
                            "-x509",
                            "-newkey",
                            "ec",
                            "-pkeyopt",
                            "ec_paramgen_curve:prime256v1",
                            "-nodes",
                            "-days",
                            "2",
                            "-subj",
                            "/CN=localhost",
                            "-keyout",
                            key,
                            "-out",
                            cert};
    size_t count = 16;
    if (names) {
        argv[count++] = "-addext";
        argv[count++] = names;
    }
    if (signer) {
        argv[count++] = "-CA";
        argv[count++] = signer_cert;
        argv[count++] = "-CAkey";
        argv[count++] = signer_key;
    }
    int code = hostile_run(stage, argv, &out) == 0
                   ? 0
                   : err_set(err, ERR_NOT_FOUND, 0, "openssl is needed: %.300s",
                             out.len ? buf_text(&out) : "it is not there");
    buf_free(&out);
    return code;
}

/* Made ten days ago, as it thinks, for two. */
static int make_cert_of_old(struct stage *stage, const struct kind *kind, struct err *err)
{
    char clock[HOSTILE_PATH_MAX];
    char preload[HOSTILE_PATH_MAX];
    int64_t offset_s = -TEN_DAYS_S;
    hostile_path(stage, "clock", clock);
    (void)snprintf(preload, sizeof preload, "%s/tests/libfaults_preload_clock.so",
                   getenv("HOLDFAST_BUILD"));
    FILE *file = fopen(clock, "we");
    bool fine = file && fwrite(&offset_s, sizeof offset_s, 1, file) == 1;
    fine = file && fclose(file) == 0 && fine && setenv("FAULTS_CLOCK", clock, 1) == 0 &&
           setenv("LD_PRELOAD", preload, 1) == 0;
    int code = fine ? make_cert(stage, kind->name, kind->names, kind->signer, err)
                    : err_set(err, ERR_IO, 0, "can't write %s", clock);
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("FAULTS_CLOCK");
    return code;
}

static int make_certs(struct stage *stage, struct err *err)
{
    char good[HOSTILE_PATH_MAX];
    cert_path(stage, kinds[0].name, "pem", good);
    if (access(good, F_OK) == 0)
        return 0; /* an earlier point's */
    int code = make_cert(stage, "ca", NULL, NULL, err);
    code = code ? code : make_cert(stage, "other", NULL, NULL, err);
    for (size_t i = KINDS; i > 0 && code == 0; i--) {
        const struct kind *kind = &kinds[i - 1];
        code = kind->over ? make_cert_of_old(stage, kind, err)
                          : make_cert(stage, kind->name, kind->names, kind->signer, err);
    }
    return code;
}

/* ---- The engine as server -------------------------------------------------------------
 */

static int run_client(struct stage *stage, const char *version, struct buf *out)
{
    char where[32];
    (void)snprintf(where, sizeof where, "127.0.0.1:%u", (unsigned)stage->port);
    const char *const argv[] = {"openssl", "s_client", "-connect",        where,
                                version,   "-cipher",  "ALL:@SECLEVEL=0", NULL};
    buf_clear(out);
    return hostile_run(stage, argv, out);
}

static int start_tls(struct stage *stage, const char *kind, struct err *err)
{
    static char intake[3 * HOSTILE_PATH_MAX];
    struct stage_plan plan = {.streams = 1, .records = 20};
    char cert[HOSTILE_PATH_MAX];
    char key[HOSTILE_PATH_MAX];
    cert_path(stage, kind, "pem", cert);
    cert_path(stage, kind, "key", key);
    (void)snprintf(intake, sizeof intake, ", tls: {cert: '%s', key: '%s'}", cert, key);
    int code = stage_begin(stage, &plan, err);
    code = code ? code : make_certs(stage, err);
    stage->options.intake = intake;
    code = code ? code : stage_configure(stage, err);
    code = code ? code : stage_launch(stage, NULL, err);
    struct buf out = {0};
    int64_t end = process_now_ms() + READY_MS;
    while (code == 0 && run_client(stage, "-tls1_3", &out) != 0)
        if (process_now_ms() > end)
            code = err_set(err, ERR_TIMEOUT, 0, "no TLS from the engine: %.300s",
                           out.len ? buf_text(&out) : "");
    buf_free(&out);
    return code;
}

int hostile_tls_versions(struct stage *stage, struct err *err)
{
    static const char *const old[] = {"-tls1", "-tls1_1"};
    static const char *const fine[] = {"-tls1_2", "-tls1_3"};
    struct buf out = {0};
    int code = start_tls(stage, "good", err);
    for (size_t i = 0; code == 0 && i < 2; i++) {
        if (run_client(stage, fine[i], &out) != 0 ||
            !hostile_count(buf_slice(&out), "BEGIN CERTIFICATE"))
            hostile_breaks(stage, "I8", "%s is refused: %.300s", fine[i], buf_text(&out));
        if (run_client(stage, old[i], &out) == 0 ||
            !hostile_count(buf_slice(&out), "no peer certificate") ||
            hostile_count(buf_slice(&out), "written 0 bytes"))
            hostile_breaks(stage, "I2", "%s is not refused: %.300s", old[i],
                           buf_text(&out));
    }
    buf_clear(&out);
    if (code == 0) {
        (void)hostile_converse(stage->port,
                               SLICE_LITERAL("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
                               20000, &out);
        if (hostile_count(buf_slice(&out), "HTTP/1.1 200"))
            hostile_breaks(stage, "I2", "without TLS it answers, too");
    }
    buf_free(&out);
    return code;
}

/* `holdfast ingest` to an engine with that certificate; whether it was let in. */
static int ingest_to(struct stage *stage, const struct kind *kind, struct err *err)
{
    char url[64];
    char ca[HOSTILE_PATH_MAX];
    char file[HOSTILE_PATH_MAX];
    struct buf out = {0};
    (void)snprintf(url, sizeof url, "https://localhost:%u", (unsigned)stage->port);
    cert_path(stage, "ca", "pem", ca);
    hostile_path(stage, "records.json", file);
    int code = start_tls(stage, kind->name, err);
    code =
        code ? code
             : hostile_write(file, "{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600}", err);
    if (code != 0)
        return code;
    const char *const argv[] = {"ingest", "--stream", "mozi", "--url",   url,
                                "--ca",   ca,         file,   "--quiet", NULL};
    int exit_code = engine_command(&stage->engine, argv, &out);
    bool good = kind == &kinds[0];
    if (good && exit_code != 0)
        hostile_breaks(stage, "I8", "ingest refuses a good certificate: %d, %.300s",
                       exit_code, buf_text(&out));
    if (!good && (exit_code == 0 || !hostile_count(buf_slice(&out), "certificate")))
        hostile_breaks(stage, "I2", "ingest takes a certificate (%s): %d, %.300s",
                       kind->name, exit_code, out.len ? buf_text(&out) : "");
    buf_free(&out);
    return 0;
}

int hostile_tls_ingest(struct stage *stage, struct err *err)
{
    int code = 0;
    for (size_t i = 0; i < KINDS && code == 0; i++)
        code = ingest_to(stage, &kinds[i], err);
    return code;
}

/* ---- The engine as client
 * -------------------------------------------------------------- */

static int use_cert(struct stage *stage, const char *kind, struct err *err)
{
    char from[HOSTILE_PATH_MAX];
    char to[HOSTILE_PATH_MAX];
    static const char *const ends[] = {"pem", "key"};
    for (size_t i = 0; i < 2; i++) {
        struct buf text = {0};
        cert_path(stage, kind, ends[i], from);
        cert_path(stage, "server", ends[i], to);
        int code = hostile_read(from, &text)
                       ? hostile_write(to, buf_text(&text), err)
                       : err_set(err, ERR_IO, 0, "can't read %s", from);
        buf_free(&text);
        if (code != 0)
            return code;
    }
    return 0;
}

/* The server once more, reached by TCP with TLS. */
static int restart_server(struct stage *stage, uint16_t port, struct err *err)
{
    static char texts[5][HOSTILE_PATH_MAX + 32];
    static const char *args[8];
    char path[HOSTILE_PATH_MAX];
    cert_path(stage, "server", "pem", path);
    (void)snprintf(texts[0], sizeof texts[0], "--ssl-cert=%s", path);
    cert_path(stage, "server", "key", path);
    (void)snprintf(texts[1], sizeof texts[1], "--ssl-key=%s", path);
    (void)snprintf(texts[2], sizeof texts[2], "--port=%u", (unsigned)port);
    args[0] = "--skip-networking=0";
    args[1] = "--bind-address=127.0.0.1";
    args[2] = texts[0];
    args[3] = texts[1];
    args[4] = texts[2];
    args[5] = NULL;
    stage->server.args = port ? args : NULL;
    private_server_stop(&stage->server);
    return stage_start_server(stage, err);
}

/* One record to an engine that must, or must not, get it into the database. */
static int apply_one(struct stage *stage, const struct kind *kind, const char *host,
                     struct err *err)
{
    static char server[3 * HOSTILE_PATH_MAX];
    struct stage_plan plan = {.streams = 1, .records = 20, .host = host};
    char ca[HOSTILE_PATH_MAX];
    char secret[HOSTILE_PATH_MAX];
    bool good = kind == &kinds[0];
    uint64_t refused = 0;
    struct http_probe_request request = {
        .method = "POST",
        .path = good ? "/v1/streams/mozi/records?wait=applied&timeout=30"
                     : "/v1/streams/mozi/records?wait=applied&timeout=1",
        .body = SLICE_LITERAL("{\"ip\":\"1.2.3.4\",\"timestamp\":1767225600}")};
    cert_path(stage, "ca", "pem", ca);
    hostile_path(stage, "password", secret);
    (void)snprintf(server, sizeof server,
                   ", password_file: '%s', tls: {ca: '%s', verify: true}", secret, ca);
    int code = stage_begin(stage, &plan, err);
    stage->options.user = "least";
    stage->options.server = server;
    code = code ? code : hostile_write(secret, "pw", err);
    code = code ? code : stage_configure(stage, err);
    code = code ? code : stage_start(stage, err);
    if (code != 0)
        return code;
    struct http_probe probe = {.port = stage->port};
    struct http_probe_answer answer = {0};
    enum http_fate fate = http_probe_send(&probe, &request, &answer);
    bool applied =
        fate == HTTP_ANSWERED && hostile_count(answer.body, "\"applied\":true");
    code = stage_log_count(stage, "connect_failed", &refused, err);
    if (code == 0 && (applied != good || (refused > 0) == good))
        hostile_breaks(stage, applied ? "I2" : "I8",
                       "the server at %s with the certificate \"%s\" is %s; see %s",
                       host ? host : "the socket", kind ? kind->name : "none",
                       applied ? "believed" : "not believed", stage->engine.log);
    http_probe_close(&probe);
    return code;
}

int hostile_tls_database(struct stage *stage, struct err *err)
{
    static const char user[] = "DROP USER IF EXISTS least@'%'; CREATE USER least@'%' "
                               "IDENTIFIED BY 'pw'; GRANT ALL ON holdfast.* TO least@'%'";
    uint16_t port = process_free_port((uint16_t)(stage->port + 200));
    char by_name[32];
    char by_number[32];
    (void)snprintf(by_name, sizeof by_name, "localhost:%u", (unsigned)port);
    (void)snprintf(by_number, sizeof by_number, "127.0.0.1:%u", (unsigned)port);
    int code = make_certs(stage, err);
    code = code ? code : stage_exec(stage, user, err);
    /* a server without TLS is not good enough where TLS is asked for */
    code = code ? code : apply_one(stage, NULL, NULL, err);
    code = code ? code : use_cert(stage, kinds[0].name, err);
    code = code ? code : restart_server(stage, port, err);
    for (size_t i = 0; i < KINDS && code == 0; i++) {
        code = use_cert(stage, kinds[i].name, err);
        code = code ? code : stage_exec(stage, "FLUSH SSL", err);
        code = code ? code : apply_one(stage, &kinds[i], by_name, err);
        code = code ? code : apply_one(stage, &kinds[i], by_number, err);
    }
    engine_kill(&stage->engine);
    struct err ignored;
    (void)restart_server(stage, 0, code ? &ignored : err);
    return code;
}
