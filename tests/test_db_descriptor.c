/* What becomes of a descriptor's number once the client library has closed it: another
 * thread may have it at once, for the HTTP server's listening socket, say.
 */
#include "replay/db.h"
#include "tests/world.h"

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    atomic_bool takes; /* the next number that is given up is taken */
    int listener;
    int taken; /* as; -1: none */
} at = {.listener = -1, .taken = -1};

/* In the place of libc's, for the libraries too: as another thread would that opens
 * something in this very moment. */
__attribute__((visibility("default"))) int close(int fd)
{
    long rc = syscall(SYS_close, fd);
    if (rc == 0 && atomic_exchange(&at.takes, false)) {
        at.taken = dup2(at.listener, fd);
    }
    return (int)rc;
}

static int listen_anywhere(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

static void kill_others(struct world *w)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "KILL %lld",
                   (long long)world_scalar(
                       w, "SELECT MAX(id) FROM information_schema.processlist WHERE "
                          "user = 'root' AND id <> CONNECTION_ID()"));
    world_exec(w, sql);
}

Test(descriptor, a_lost_connection_lets_go_of_its_number)
{
    struct world w = {0};
    struct err err = {0};
    struct db_hosts *hosts = NULL;
    struct db *db = NULL;
    world_start(&w);
    struct db_config config = {.socket = w.socket, .name = w.database, .user = "root"};
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), ERR_OK);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), ERR_OK, "%s", err.message);
    at.listener = listen_anywhere();
    kill_others(&w);
    atomic_store(&at.takes, true);
    int code = db_exec(db, SLICE_LITERAL("DO 1"), NULL, &err);
    cr_expect_eq(code, ERR_UNKNOWN, "%s", err.message);
    cr_expect_geq(at.taken, 0, "the library has closed nothing");
    cr_expect(is_listening(at.listener), "somebody else's socket was shut");
    db_abort(db);
    db_close(db);
    cr_expect(is_listening(at.listener), "somebody else's socket was shut");
    (void)close(at.taken);
    (void)close(at.listener);
    db_hosts_free(hosts);
    world_stop(&w);
}
