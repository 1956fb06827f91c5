/* A Galera node of one's own: believed only while it is Synced in the primary component.
 */
#include "tests/sink_kit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct world w;
static struct sink_kit kit;
static struct stream_spec spec;

static void start_node(void)
{
    static const char provider[] = "/usr/lib/galera/libgalera_smm.so";
    static char listen[128];
    static char with[64];
    static const char *args[] = {"--wsrep-on=ON",
                                 with,
                                 "--wsrep-cluster-address=gcomm://",
                                 "--wsrep-new-cluster",
                                 "--wsrep-node-address=127.0.0.1",
                                 "--binlog-format=ROW",
                                 "--innodb-autoinc-lock-mode=2",
                                 listen,
                                 NULL};
    cr_assert_eq(access(provider, R_OK), 0, "%s is needed (package galera-4)", provider);
    (void)snprintf(with, sizeof with, "--wsrep-provider=%s", provider);
    (void)snprintf(listen, sizeof listen,
                   "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:%u;"
                   "gcache.size=8M",
                   (unsigned)world_free_port());
    w.server_args = args;
    world_start(&w);
    spec = botnet_spec("mozi");
    kit.config.cache_bytes = 1 << 16;
    sink_kit_open(&kit, &w, &spec);
}

static void stop_node(void)
{
    sink_kit_close(&kit);
    world_stop(&w);
}

static void expect_refused(const char *how)
{
    cr_assert_eq(sink_kit_connect(&kit), ERR_TRANSIENT, "%s", kit.err.message);
    cr_assert(strstr(kit.err.message, how), "%s", kit.err.message);
}

Test(galera, a_node_is_believed_while_it_is_synced, .init = start_node, .fini = stop_node)
{
    cr_assert(strstr(buf_text(&kit.notes), "goes without the fast path: the server is a "
                                           "Galera node"),
              "%s", buf_text(&kit.notes));
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:00", NULL);
    sink_kit_expect(&kit, ERR_OK);
    world_exec(&w, "SET GLOBAL wsrep_desync = ON");
    expect_refused("the Galera node is not Synced");
    world_exec(&w, "SET GLOBAL wsrep_desync = OFF");
    int code = sink_kit_connect(&kit);
    while (code == ERR_TRANSIENT) { /* it catches up first */
        code = sink_kit_connect(&kit);
    }
    cr_assert_eq(code, ERR_OK, "%s", kit.err.message);
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-01 00:00:01", NULL);
    sink_kit_expect(&kit, ERR_OK);
    world_exec(&w, "SET SESSION wsrep_on = OFF; SET GLOBAL wsrep_cluster_address = ''");
    expect_refused("the Galera node is not in the primary component");
}
