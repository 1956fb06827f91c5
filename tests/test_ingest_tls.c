/* `holdfast ingest --url https://...` to a real engine with a certificate. */
#include "tests/certificate.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000, PATH = 300 };

#define RECORD "{\"ip\":\"1.2.3.4\",\"timestamp\":\"2026-01-01 00:00:00\"}\n"

struct fixture {
    char dir[WORLD_PATH_MAX];
    char config[PATH];
    char cert[PATH];
    char other[PATH]; /* a certificate that the engine doesn't have */
    char log[PATH];
    char url[64];
    pid_t engine;
};

static void setup(struct fixture *f)
{
    char key[PATH];
    char text[2048];
    uint16_t port = world_free_port();
    *f = (struct fixture){0};
    world_make_dir(f->dir);
    snprintf(f->config, sizeof f->config, "%s/holdfast.yaml", f->dir);
    snprintf(f->cert, sizeof f->cert, "%s/cert.pem", f->dir);
    snprintf(f->other, sizeof f->other, "%s/other.pem", f->dir);
    snprintf(f->log, sizeof f->log, "%s/log", f->dir);
    snprintf(f->url, sizeof f->url, "https://localhost:%u", port);
    snprintf(key, sizeof key, "%s/key.pem", f->dir);
    certificate_make(f->dir, f->other, key);
    certificate_make(f->dir, f->cert, key);
    snprintf(text, sizeof text,
             "journal: {path: %s/journal, max_size: 64MiB, preallocate: 1MiB}\n"
             "intake: {listen: \"127.0.0.1:%u\", tls: {cert: %s, key: %s}}\n"
             "database: {socket: %s/nobody.sock, name: b, user: u}\n"
             "streams: [{name: mozi, preset: botnet}]\n",
             f->dir, port, f->cert, key, f->dir);
    world_write_file(f->config, text);
    const char *argv[] = {world_holdfast(), "serve", "--config", f->config, NULL};
    f->engine = world_spawn(argv, NULL, f->log);
    world_wait_log(f->log, "listening", f->engine, TIMEOUT_MS);
}

static void end(struct fixture *f)
{
    (void)kill(f->engine, SIGTERM);
    cr_expect_eq(world_wait(f->engine, TIMEOUT_MS), 0);
    world_remove_dir(f->dir);
}

/* What it says on both of its outputs must hold `holds`. */
static void expect(const struct fixture *f, const char *ca, int exit_code,
                   const char *holds)
{
    char path[PATH];
    char records[PATH];
    snprintf(path, sizeof path, "%s/ingest.log", f->dir);
    snprintf(records, sizeof records, "%s/records", f->dir);
    (void)remove(path);
    world_write_file(records, RECORD);
    /* without --timeout it would be tried again for ten minutes */
    const char *argv[] = {world_holdfast(),
                          "ingest",
                          "--stream",
                          "mozi",
                          "--url",
                          f->url,
                          "--config",
                          f->config,
                          records,
                          ca ? "--ca" : NULL,
                          ca,
                          NULL};
    int code = world_wait(world_spawn(argv, NULL, path), TIMEOUT_MS);
    char *said = world_read_file(path);
    cr_assert_eq(code, exit_code, "%d: %s", code, said);
    cr_assert(strstr(said, holds), "%s", said);
    free(said);
}

Test(ingest_tls, goes_to_whom_it_trusts)
{
    struct fixture f;
    setup(&f);
    expect(&f, f.cert, 0, "1 records accepted");
    end(&f);
}

Test(ingest_tls, a_certificate_that_nobody_vouches_for_is_refused_at_once)
{
    struct fixture f;
    setup(&f);
    expect(&f, NULL, 78, "with --ca");
    expect(&f, f.other, 78, "can't be trusted");
    end(&f);
}

Test(ingest_tls, a_file_that_is_not_there_is_named)
{
    struct fixture f;
    setup(&f);
    expect(&f, "/nonexistent/ca.pem", 78, "/nonexistent/ca.pem");
    end(&f);
}
