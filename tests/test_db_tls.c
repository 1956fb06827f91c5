/* Connections to a server by TLS: encrypted or not at all. */
#include "replay/db.h"
#include "tests/certificate.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { FILE_LEN = WORLD_PATH_MAX + 32 };

static struct world w;
static char dir[WORLD_PATH_MAX];
static char cert[FILE_LEN];
static char key[FILE_LEN];
static char other_cert[FILE_LEN];
static char other_key[FILE_LEN];

static void name_file(char out_path[FILE_LEN], const char *name)
{
    (void)snprintf(out_path, FILE_LEN, "%s/%s", dir, name);
}

static void make_certificates(void)
{
    world_make_dir(dir);
    name_file(cert, "cert.pem");
    name_file(key, "key.pem");
    name_file(other_cert, "other-cert.pem");
    name_file(other_key, "other-key.pem");
    certificate_make(dir, cert, key);
    certificate_make(dir, other_cert, other_key);
}

/* It takes clients with the first certificate for known ones. */
static void start_server(void)
{
    static char options[3][FILE_LEN + 16];
    static const char *args[] = {options[0], options[1], options[2], NULL};
    (void)snprintf(options[0], sizeof options[0], "--ssl-cert=%s", cert);
    (void)snprintf(options[1], sizeof options[1], "--ssl-key=%s", key);
    (void)snprintf(options[2], sizeof options[2], "--ssl-ca=%s", cert);
    w.server_args = args;
    world_start(&w);
}

static void add_users(void)
{
    world_exec(&w, "CREATE USER careless@127.0.0.1; CREATE USER encrypted@127.0.0.1 "
                   "REQUIRE SSL; CREATE USER certified@127.0.0.1 REQUIRE X509; GRANT ALL "
                   "ON holdfast.* TO careless@127.0.0.1, encrypted@127.0.0.1, "
                   "certified@127.0.0.1");
}

static struct db_config config_for(const char *user)
{
    static char host[32];
    static const char *const hosts[] = {host};
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", (unsigned)w.port);
    return (struct db_config){.hosts = hosts,
                              .host_count = 1,
                              .name = w.database,
                              .user = user,
                              .tls_verify = true};
}

static bool is_encrypted(struct db *db)
{
    struct db_rows rows = {0};
    struct err err = {0};
    int code = db_query(db, SLICE_LITERAL("SHOW STATUS LIKE 'Ssl_cipher'"), &rows, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    bool encrypted = rows.row_count == 1 && db_cell(&rows, 0, 1).len > 0;
    db_rows_free(&rows);
    return encrypted;
}

/* 1: encrypted, 0: in clear, -1: refused, and explained. */
static int connect_with(const struct db_config *config)
{
    struct db_hosts *hosts = NULL;
    struct db *db = NULL;
    struct err err = {0};
    cr_assert_eq(db_hosts_new(config, &hosts, &err), ERR_OK, "%s", err.message);
    int code = db_connect(config, hosts, &db, &err);
    int found = code ? -1 : is_encrypted(db);
    cr_assert(!code || err.message[0]);
    db_close(db);
    db_hosts_free(hosts);
    return found;
}

Test(tls, a_server_with_a_certificate)
{
    make_certificates();
    start_server();
    add_users();
    struct db_config config = config_for("encrypted");
    cr_assert_eq(connect_with(&config), -1, "in clear, though the user may not");
    config.tls_ca = cert;
    cr_assert_eq(connect_with(&config), 1);
    config.tls_ca = other_cert;
    cr_assert_eq(connect_with(&config), -1, "the server's certificate is another's");
    config.tls_verify = false; /* the name in it alone is not looked at */
    config.tls_ca = cert;
    cr_assert_eq(connect_with(&config), 1);
    config.tls_ca = other_cert;
    cr_assert_eq(connect_with(&config), -1, "the certificate is another's");
    config.tls_ca = key;
    cr_assert_eq(connect_with(&config), -1, "the authority's file is none");

    config = config_for("certified");
    config.tls_ca = cert;
    cr_assert_eq(connect_with(&config), -1, "without a certificate of its own");
    config.tls_cert = cert;
    config.tls_key = key;
    cr_assert_eq(connect_with(&config), 1);
    config.tls_key = other_key;
    cr_assert_eq(connect_with(&config), -1, "the key is another's");

    config = config_for("careless");
    cr_assert_eq(connect_with(&config), 0);
    world_stop(&w);
    world_remove_dir(dir);
}

/* Nothing is said in clear instead. */
Test(tls, a_server_without_tls)
{
    make_certificates();
    world_start(&w);
    add_users();
    struct db_config config = config_for("careless");
    cr_assert_eq(connect_with(&config), 0);
    config.tls_ca = cert;
    cr_assert_eq(connect_with(&config), -1);
    config.tls_verify = false;
    cr_assert_eq(connect_with(&config), -1);
    world_stop(&w);
    world_remove_dir(dir);
}
