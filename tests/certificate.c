#include "tests/certificate.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { TIMEOUT_MS = 60000 };

void certificate_make(const char *dir, const char *cert, const char *key)
{
    const char *argv[] = {"openssl",
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
                          "-addext",
                          "subjectAltName=DNS:localhost,IP:127.0.0.1",
                          "-keyout",
                          key,
                          "-out",
                          cert,
                          NULL};
    char log[WORLD_PATH_MAX + 16];
    (void)snprintf(log, sizeof log, "%s/openssl.log", dir);
    cr_assert_eq(world_wait(world_spawn(argv, NULL, log), TIMEOUT_MS), 0,
                 "openssl is needed: see %s", log);
}
