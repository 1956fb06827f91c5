/* The sink and its connection when the server, the network or another writer interferes:
 * each transaction is there as a whole or not at all, and the error says which class. */
#include "tests/sink_kit.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <mysql.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct world suite;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    world_start(&suite);
    world_share(&suite);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    world_stop(&suite);
}

static struct world w;
static struct sink_kit kit;
static MYSQL *other; /* a second writer, on the kit's database */

static void other_exec(const char *sql)
{
    cr_assert_eq(mysql_query(other, sql), 0, "%s: %s", sql, mysql_error(other));
    MYSQL_RES *result = mysql_store_result(other);
    if (result) {
        mysql_free_result(result);
    }
}

static void open_kit(void)
{
    struct stream_spec spec = botnet_spec("mozi");
    world_attach(&w);
    sink_kit_open(&kit, &w, &spec);
    other = world_connect(&w);
    cr_assert_not_null(other);
    cr_assert_eq(mysql_select_db(other, kit.database), 0);
}

static void close_kit(void)
{
    mysql_close(other);
    sink_kit_close(&kit);
    world_detach(&w);
}

static void seen(const char *ip, const char *time)
{
    sink_kit_add(&kit, "ip", ip, "timestamp", time, "event_type", "a", NULL);
}

static void expect_state(int64_t nodes, int64_t events, int64_t seq)
{
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_nodes_mozi", nodes);
    sink_kit_number(&kit, "SELECT COUNT(*) FROM botnet_communications_mozi", events);
    sink_kit_number(&kit, "SELECT COALESCE(MAX(applied_seq), 0) FROM holdfast_ledger",
                    seq);
    sink_kit_number(&kit, "SELECT COALESCE(MAX(events), 0) FROM holdfast_ledger", events);
    sink_kit_number(&kit,
                    "SELECT COALESCE(SUM(communication_count), 0) FROM botnet_nodes_mozi",
                    events);
}

/* Waits until the query gives a number that is not 0, for at most 30 s. InnoDB renews
 * what innodb_trx says only where nobody has read it for 0.1 s. */
static int64_t wait_for(const char *sql)
{
    const struct timespec pause = {.tv_nsec = 120000000};
    for (int i = 0; i < 250; i++) {
        nanosleep(&pause, NULL); /* first: an earlier test may have read just now */
        int64_t found = world_scalar(&w, sql);
        if (found) {
            return found;
        }
    }
    cr_assert_fail("waited in vain for %s", sql);
    return 0;
}

/* ---- An apply in another thread -------------------------------------------------- */

static int background_code;

static void *apply_in_background(void *context)
{
    (void)context;
    background_code = sink_kit_apply(&kit);
    return NULL;
}

static pthread_t start_apply(void)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, apply_in_background, NULL), 0);
    return thread;
}

static void expect_background(pthread_t thread, int code)
{
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(background_code, code, "%s expected, but %s: %s", err_name(code),
                 err_name(background_code), kit.err.message);
}

static const char waiting_for_lock[] =
    "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";

/* The connection of the transaction that waits for a lock. */
static const char waiting_thread[] =
    "SELECT COALESCE(MAX(trx_mysql_thread_id), 0) FROM information_schema.innodb_trx "
    "WHERE trx_state = 'LOCK WAIT'";

/* The connection whose COMMIT stands before a backup's lock. */
static const char committing_thread[] =
    "SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist WHERE info = "
    "'COMMIT' AND state LIKE 'Waiting for backup lock%'";

/* Returns its number. The client may hear of it before the server's thread does. */
static int64_t kill_connection(const char *which)
{
    char sql[64];
    int64_t id = wait_for(which);
    snprintf(sql, sizeof sql, "KILL %lld", (long long)id);
    world_exec(&w, sql);
    return id;
}

static void await_end(int64_t id)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT COUNT(*) = 0 FROM information_schema.processlist WHERE id = %lld",
             (long long)id);
    wait_for(sql);
}

static void open_impatient(void)
{
    kit.db.lock_wait_timeout_s = 1;
    open_kit();
}

/* ---- Locks ----------------------------------------------------------------------- */

Test(faults, lock_wait_time_out_rolls_all_back, .init = open_impatient, .fini = close_kit)
{
    seen("1.1.1.2", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    other_exec("START TRANSACTION");
    other_exec("SELECT * FROM botnet_nodes_mozi WHERE ip = '1.1.1.2' FOR UPDATE");
    seen("1.1.1.1", "2026-01-01 00:00:00");
    seen("1.1.1.2", "2026-01-02 00:00:00");
    sink_kit_expect(&kit, ERR_TRANSIENT);
    cr_assert_eq(kit.err.sys, 1205);
    expect_state(1, 1, 1);
    cr_assert(kit.sink->ops->connected(kit.sink));
    other_exec("ROLLBACK");
    sink_kit_expect(&kit, 0);
    expect_state(2, 3, 2);
}

/* As a half-open session of a predecessor does. */
Test(faults, lock_wait_time_out_at_the_ledger, .init = open_impatient, .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    other_exec("START TRANSACTION");
    other_exec("SELECT * FROM holdfast_ledger FOR UPDATE");
    seen("1.1.1.1", "2026-01-02 00:00:00");
    sink_kit_expect(&kit, ERR_TRANSIENT);
    cr_assert_eq(kit.err.sys, 1205);
    other_exec("ROLLBACK");
    expect_state(1, 1, 1);
    sink_kit_expect(&kit, 0);
    expect_state(1, 2, 2);
}

static void *insert_slowly(void *context)
{
    (void)context;
    (void)mysql_query(other, "INSERT INTO botnet_nodes_mozi (ip, city) SELECT "
                             "CONCAT('9.9.9.', seq), SLEEP(IF(seq = 2, 600, 0)) FROM "
                             "seq_1_to_2");
    return NULL;
}

/* A statement of many rows has the next ids for itself until it ends, as a LOAD DATA does
 * whose sender is gone. The server has another number for who waits too long for that. */
Test(faults, lock_wait_time_out_for_the_next_id, .init = open_impatient,
     .fini = close_kit)
{
    static const char sleeping[] = "SELECT COALESCE(MAX(id), 0) FROM "
                                   "information_schema.processlist WHERE state = 'User "
                                   "sleep'";
    char sql[64];
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, insert_slowly, NULL), 0);
    snprintf(sql, sizeof sql, "KILL QUERY %lld", (long long)wait_for(sleeping));
    seen("1.1.1.1", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, ERR_TRANSIENT);
    cr_assert_eq(kit.err.sys, 1467, "%s", kit.err.message);
    world_exec(&w, sql);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    expect_state(0, 0, 0);
    sink_kit_expect(&kit, 0);
    expect_state(1, 1, 1);
}

/* While it waits for the entity's row, the other takes what it will want: it sees that.
 */
Test(faults, the_entity_row_orders_two_writers, .init = open_kit, .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    other_exec("START TRANSACTION");
    other_exec("UPDATE botnet_nodes_mozi SET communication_count = 2, last_seen = "
               "'2026-01-05', city = 'theirs' WHERE ip = '1.1.1.1'");
    sink_kit_add(&kit, "ip", "1.1.1.1", "timestamp", "2026-01-02 00:00:00", "event_type",
                 "a", "city", "ours", NULL);
    pthread_t thread = start_apply();
    wait_for(waiting_for_lock);
    other_exec("INSERT INTO botnet_communications_mozi (node_id, ip, communication_time, "
               "event_type) VALUES (1, '1.1.1.1', '2026-01-02', 'b')");
    other_exec("COMMIT");
    expect_background(thread, 0);
    cr_assert_eq(kit.result.totals[FATE_CONFLICT], 1);
    sink_kit_text(&kit,
                  "SELECT CONCAT_WS('|', communication_count, last_seen, city) FROM "
                  "botnet_nodes_mozi",
                  "2|2026-01-05 00:00:00|theirs");
}

Test(faults, a_deadlock_rolls_all_back, .init = open_kit, .fini = close_kit)
{
    seen("1.1.1.1", "2026-01-01 00:00:00");
    seen("1.1.1.2", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    /* the larger transaction survives: that must be the other one */
    world_exec(&w, "CREATE TABLE ballast (a INT)");
    other_exec("START TRANSACTION");
    other_exec("INSERT INTO ballast SELECT seq FROM seq_1_to_1000");
    other_exec("SELECT * FROM botnet_nodes_mozi WHERE ip = '1.1.1.2' FOR UPDATE");
    seen("1.1.1.1", "2026-01-02 00:00:00");
    seen("1.1.1.2", "2026-01-02 00:00:00");
    pthread_t thread = start_apply();
    wait_for(waiting_for_lock);
    other_exec("SELECT * FROM holdfast_ledger FOR UPDATE");
    expect_background(thread, ERR_TRANSIENT);
    cr_assert_eq(kit.err.sys, 1213);
    other_exec("ROLLBACK");
    expect_state(2, 2, 1);
    sink_kit_expect(&kit, 0);
    expect_state(2, 4, 2);
}

/* Another writer makes the missing entity between the lock and the INSERT. */
Test(faults, another_writer_is_quicker_with_an_entity, .init = open_kit,
     .fini = close_kit)
{
    other_exec("START TRANSACTION");
    other_exec("INSERT INTO botnet_nodes_mozi (ip) VALUES ('1.1.1.1')");
    seen("1.1.1.1", "2026-01-01 00:00:00");
    pthread_t thread = start_apply();
    wait_for(waiting_for_lock);
    other_exec("COMMIT");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    /* the lock's SELECT waits for the row where it is seen in time, else 1062 says so */
    cr_assert(background_code == 0 || kit.err.sys == 1062, "%s", kit.err.message);
    if (background_code) {
        cr_assert_eq(background_code, ERR_TRANSIENT);
        sink_kit_expect(&kit, 0);
    }
    expect_state(1, 1, 1);
}

/* ---- Lost connections ------------------------------------------------------------ */

Test(faults, killed_while_idle, .init = open_kit, .fini = close_kit)
{
    world_exec(&w, "BEGIN NOT ATOMIC FOR p IN (SELECT id FROM "
                   "information_schema.processlist WHERE db = DATABASE() AND id NOT IN "
                   "(CONNECTION_ID())) DO KILL p.id; END FOR; END");
    seen("1.1.1.1", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, ERR_UNKNOWN);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
    sink_kit_expect(&kit, ERR_TRANSIENT); /* not connected */
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    sink_kit_expect(&kit, 0);
    expect_state(1, 1, 1);
}

Test(faults, killed_inside_the_transaction, .init = open_kit, .fini = close_kit)
{
    seen("1.1.1.2", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    other_exec("START TRANSACTION");
    other_exec("SELECT * FROM botnet_nodes_mozi WHERE ip = '1.1.1.2' FOR UPDATE");
    seen("1.1.1.1", "2026-01-01 00:00:00");
    seen("1.1.1.2", "2026-01-02 00:00:00");
    pthread_t thread = start_apply();
    (void)kill_connection(waiting_thread);
    expect_background(thread, ERR_UNKNOWN);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
    other_exec("ROLLBACK");
    expect_state(1, 1, 1);
}

/* COMMIT was sent, and the server killed the connection before it did it. */
Test(faults, killed_at_commit_and_not_committed, .init = open_kit, .fini = close_kit)
{
    other_exec("BACKUP STAGE START");
    other_exec("BACKUP STAGE BLOCK_COMMIT");
    seen("1.1.1.1", "2026-01-01 00:00:00");
    pthread_t thread = start_apply();
    int64_t killed = kill_connection(committing_thread);
    expect_background(thread, ERR_UNKNOWN);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
    await_end(killed); /* else it may commit once it can */
    other_exec("BACKUP STAGE END");
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
    expect_state(0, 0, 0);
    sink_kit_expect(&kit, 0);
    expect_state(1, 1, 1);
}

/* ---- A network that fails at COMMIT ---------------------------------------------- */

/* A relay for one connection at a time, which is cut when COMMIT passes, or falls silent
 * after the login. */
enum cut { CUT_NEVER, CUT_BEFORE_COMMIT, CUT_BEFORE_ANSWER, SILENT_AFTER_LOGIN };

static struct relay {
    int listener;
    uint16_t server_port;
    char address[32];
    atomic_int cut;
    sem_t silent; /* posted when it falls silent */
    pthread_t thread;
} relay;

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        data += sent;
        len -= (size_t)sent;
    }
}

/* One readable side; false where the connection is over. */
static bool pass_on(int from, int to, bool from_client)
{
    static const char commit[] = "\3COMMIT"; /* COM_QUERY */
    char bytes[65536];
    ssize_t got = recv(from, bytes, sizeof bytes, 0);
    if (got <= 0) {
        return false;
    }
    if (from_client && atomic_load(&relay.cut) == SILENT_AFTER_LOGIN &&
        memmem(bytes, (size_t)got, "SET SESSION", 11)) {
        sem_post(&relay.silent);
        return true;
    }
    bool at_commit = from_client && memmem(bytes, (size_t)got, commit, sizeof commit - 1);
    int cut = at_commit ? atomic_exchange(&relay.cut, CUT_NEVER) : CUT_NEVER;
    if (cut == CUT_BEFORE_COMMIT) {
        return false;
    }
    send_all(to, bytes, (size_t)got);
    if (cut == CUT_BEFORE_ANSWER) {
        recv(to, bytes, sizeof bytes, 0); /* it is done, and nobody hears of it */
        return false;
    }
    return true;
}

static int connect_server(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(relay.server_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void *run_relay(void *context)
{
    (void)context;
    int client;
    while ((client = accept(relay.listener, NULL, NULL)) >= 0) {
        int server = connect_server();
        struct pollfd sides[2] = {{.fd = client, .events = POLLIN},
                                  {.fd = server, .events = POLLIN}};
        bool alive = server >= 0;
        while (alive && poll(sides, 2, -1) > 0) {
            alive = (!sides[0].revents || pass_on(client, server, true)) &&
                    (!sides[1].revents || pass_on(server, client, false));
        }
        (void)close(client);
        if (server >= 0) {
            (void)close(server);
        }
    }
    return NULL;
}

static void open_relayed(void)
{
    struct world known = {0};
    world_attach(&known);
    relay.server_port = known.port;
    cr_assert_eq(sem_init(&relay.silent, 0, 0), 0);
    world_detach(&known);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(relay.listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(relay.listener, 4), 0);
    cr_assert_eq(getsockname(relay.listener, (struct sockaddr *)&at, &len), 0);
    snprintf(relay.address, sizeof relay.address, "127.0.0.1:%u", ntohs(at.sin_port));
    cr_assert_eq(pthread_create(&relay.thread, NULL, run_relay, NULL), 0);
    static const char *const hosts[] = {relay.address};
    kit.db.hosts = hosts;
    kit.db.host_count = 1;
    open_kit();
}

static void close_relayed(void)
{
    close_kit();
    shutdown(relay.listener, SHUT_RDWR);
    pthread_join(relay.thread, NULL);
    (void)close(relay.listener);
}

static void expect_lost_at_commit(enum cut cut)
{
    atomic_store(&relay.cut, (int)cut);
    seen("1.1.1.1", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, ERR_UNKNOWN);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
    cr_assert_eq(sink_kit_connect(&kit), 0, "%s", kit.err.message);
}

Test(faults, the_answer_to_commit_is_lost, .init = open_relayed, .fini = close_relayed)
{
    expect_lost_at_commit(CUT_BEFORE_ANSWER);
    struct ledger_row row = {0};
    struct ledger_lane lane = {.journal_id = kit.journal_id, .stream = "mozi"};
    cr_assert_eq(kit.sink->ops->position(kit.sink, &lane, &row, &kit.err), 0, "%s",
                 kit.err.message);
    cr_assert(row.found);
    cr_assert_eq(row.position.seq, 1);
    cr_assert_eq(row.events, 1);
    sink_kit_expect(&kit, ERR_IDENTITY); /* doing it again is refused */
    expect_state(1, 1, 1);
}

Test(faults, commit_itself_is_lost, .init = open_relayed, .fini = close_relayed)
{
    expect_lost_at_commit(CUT_BEFORE_COMMIT);
    expect_state(0, 0, 0);
    /* waits for the half-open predecessor's locks, if it still has them */
    sink_kit_expect(&kit, 0);
    expect_state(1, 1, 1);
}

static void *connect_in_background(void *context)
{
    (void)context;
    background_code = sink_kit_connect(&kit);
    return NULL;
}

/* The server lets us in and then says nothing more: what comes before the first lane's
 * question ends by abort too. */
Test(faults, a_connection_in_the_making_ends_by_abort, .init = open_relayed,
     .fini = close_relayed)
{
    kit.db.call_timeout_s = 3600;
    atomic_store(&relay.cut, (int)SILENT_AFTER_LOGIN);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, connect_in_background, NULL), 0);
    cr_assert_eq(sem_wait(&relay.silent), 0);
    kit.sink->ops->abort(kit.sink);
    expect_background(thread, ERR_CLOSED);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
}

Test(faults, a_hung_call_ends_by_abort, .init = open_kit, .fini = close_kit)
{
    seen("1.1.1.2", "2026-01-01 00:00:00");
    sink_kit_expect(&kit, 0);
    other_exec("START TRANSACTION");
    other_exec("SELECT * FROM botnet_nodes_mozi WHERE ip = '1.1.1.2' FOR UPDATE");
    seen("1.1.1.2", "2026-01-02 00:00:00");
    pthread_t thread = start_apply();
    wait_for(waiting_for_lock);
    kit.sink->ops->abort(kit.sink);
    expect_background(thread, ERR_UNKNOWN);
    cr_assert_not(kit.sink->ops->connected(kit.sink));
    other_exec("ROLLBACK");
    cr_assert_eq(sink_kit_connect(&kit), ERR_CLOSED);
    expect_state(1, 1, 1);
}

/* ---- Two writers ----------------------------------------------------------------- */

enum { ROUNDS = 40, ROUND_RECORDS = 30 };

struct writer {
    struct sink_kit kit;
    unsigned seed;
    const char *failure;
};

static unsigned pick(unsigned *seed, unsigned below)
{
    return (unsigned)rand_r(seed) / 7 % below;
}

/* Few entities and times: most records meet one of the other writer. */
static void add_random(struct writer *writer)
{
    static const char *const ips[] = {"10.0.0.1", "10.0.0.2",  "10.0.0.10", "10.0.0.3",
                                      "9.9.9.9",  "10.0.0.11", "100.0.0.1", "1.0.0.1"};
    static const char *const times[] = {"2026-01-01 00:00:00", "2026-01-01 00:00:01",
                                        "2026-01-01 00:00:02", "2026-01-01 00:00:03",
                                        "2026-01-01 00:00:04", "2026-01-01 00:00:05"};
    static const char *const types[] = {"a", "b"};
    unsigned *seed = &writer->seed;
    const char *ip = ips[pick(seed, 8)];
    const char *time = times[pick(seed, 6)];
    sink_kit_add(&writer->kit, "ip", ip, "timestamp", time, "event_type",
                 types[pick(seed, 2)], NULL);
}

static void *write_rounds(void *context)
{
    struct writer *writer = context;
    for (int round = 0; round < ROUNDS && !writer->failure; round++) {
        for (int i = 0; i < ROUND_RECORDS; i++) {
            add_random(writer);
        }
        int code = ERR_TRANSIENT;
        for (int tries = 0; tries < 1000 && code == ERR_TRANSIENT; tries++) {
            code = sink_kit_apply(&writer->kit);
        }
        writer->failure = code ? writer->kit.err.message : NULL;
    }
    return NULL;
}

Test(faults, two_journals_on_the_same_entities)
{
    static struct writer writers[2];
    struct stream_spec spec = botnet_spec("mozi");
    world_attach(&w);
    sink_kit_open(&writers[0].kit, &w, &spec);
    sink_kit_join(&writers[1].kit, &writers[0].kit, &spec,
                  "ffffffffffffffffffffffffffffffff");
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        writers[i].seed = 17 + i;
        cr_assert_eq(pthread_create(&threads[i], NULL, write_rounds, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert_null(writers[i].failure, "%s", writers[i].failure);
    }
    struct sink_kit *first = &writers[0].kit;
    sink_kit_number(first, "SELECT COUNT(*) FROM botnet_communications_mozi", 48);
    sink_kit_number(first, "SELECT COUNT(*) FROM botnet_nodes_mozi", 8);
    sink_kit_number(first,
                    "SELECT COUNT(*) FROM botnet_nodes_mozi n WHERE communication_count "
                    "<> 6 OR first_seen <> (SELECT MIN(communication_time) FROM "
                    "botnet_communications_mozi WHERE node_id = n.id) OR last_seen <> "
                    "(SELECT MAX(communication_time) FROM botnet_communications_mozi "
                    "WHERE node_id = n.id)",
                    0);
    sink_kit_number(first, "SELECT SUM(events) FROM holdfast_ledger", 48);
    sink_kit_number(
        first,
        "SELECT SUM(events + duplicates + conflicts - records) FROM holdfast_ledger", 0);
    sink_kit_number(first, "SELECT SUM(records) FROM holdfast_ledger",
                    INT64_C(2) * ROUNDS * ROUND_RECORDS);
    sink_kit_close(&writers[1].kit);
    sink_kit_close(&writers[0].kit);
    world_detach(&w);
}

/* ---- The connection alone -------------------------------------------------------- */

static struct db_config db_config_of(const struct world *world)
{
    return (struct db_config){
        .socket = world->socket, .name = world->database, .user = "root"};
}

Test(db, the_password_file_is_read_at_each_connect)
{
    char path[WORLD_PATH_MAX];
    char dir[WORLD_PATH_MAX];
    world_attach(&w);
    world_make_dir(dir);
    snprintf(path, sizeof path, "%.200s/password", dir);
    world_exec(&w, "CREATE OR REPLACE USER secretive@localhost IDENTIFIED BY 'first'; "
                   "GRANT ALL ON holdfast.* TO secretive@localhost");
    struct db_config config = db_config_of(&w);
    struct db_hosts *hosts;
    struct db *db;
    struct err err = {0};
    config.user = "secretive";
    config.password_file = path;
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), ERR_CONFIG);
    cr_assert(strstr(err.message, path), "%s", err.message);
    world_write_file(path, "wrong\n");
    cr_assert_eq(db_connect(&config, hosts, &db, &err), ERR_SCHEMA);
    cr_assert_eq(err.sys, 1045);
    cr_assert_null(strstr(err.message, "wrong"), "%s", err.message);
    world_write_file(path, "first\n");
    cr_assert_eq(db_connect(&config, hosts, &db, &err), 0, "%s", err.message);
    db_close(db);
    db_hosts_free(hosts);
    world_remove_dir(dir);
    world_detach(&w);
}

Test(db, hosts_move_on_together)
{
    world_attach(&w);
    char dead[32];
    char alive[32];
    snprintf(dead, sizeof dead, "127.0.0.1:%u", world_free_port());
    snprintf(alive, sizeof alive, "127.0.0.1:%u", w.port);
    const char *const list[] = {dead, alive};
    struct db_config config = db_config_of(&w);
    config.socket = NULL;
    config.hosts = list;
    config.host_count = 2;
    struct db_hosts *hosts;
    struct db *first;
    struct db *second;
    struct err err = {0};
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    cr_assert_eq(db_connect(&config, hosts, &first, &err), ERR_TRANSIENT);
    cr_assert(strstr(err.message, dead), "%s", err.message);
    cr_assert_eq(db_connect(&config, hosts, &first, &err), 0, "%s", err.message);
    cr_assert_str_eq(db_server(first)->host, alive);
    cr_assert(db_server(first)->is_mariadb && db_server(first)->flush_each_commit);
    cr_assert_eq(db_check_host(first, &err), 0);
    /* the user's rights fail here too: the list moves on, and who is left behind hears */
    config.user = "nobody_of_that_name";
    cr_assert_eq(db_connect(&config, hosts, &second, &err), ERR_SCHEMA);
    cr_assert_eq(db_check_host(first, &err), ERR_TRANSIENT);
    db_close(first);
    db_hosts_free(hosts);
    world_detach(&w);
}

/* The primary was demoted: it answers, and takes nothing. */
Test(db, a_read_only_host_is_left)
{
    world_attach(&w);
    char demoted[32];
    char next[32];
    snprintf(demoted, sizeof demoted, "127.0.0.1:%u", w.port);
    snprintf(next, sizeof next, "localhost:%u", w.port);
    const char *const list[] = {demoted, next};
    struct db_config config = db_config_of(&w);
    config.socket = NULL;
    config.hosts = list;
    config.host_count = 2;
    config.user = "writer";
    struct db_hosts *hosts;
    struct db *db;
    struct err err = {0};
    world_exec(&w,
               "CREATE TABLE demoted (a INT); CREATE USER writer; GRANT INSERT, SELECT "
               "ON holdfast.* TO writer; SET GLOBAL read_only = 1");
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), 0, "%s", err.message);
    cr_assert_str_eq(db_server(db)->host, demoted);
    cr_expect_eq(db_exec(db, SLICE_LITERAL("INSERT INTO demoted VALUES (1)"), NULL, &err),
                 ERR_TRANSIENT);
    cr_expect_eq(err.sys, 1290, "%s", err.message);
    cr_expect_eq(db_check_host(db, &err), ERR_TRANSIENT);
    db_close(db);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), 0, "%s", err.message);
    cr_expect_str_eq(db_server(db)->host, next);
    db_close(db);
    db_hosts_free(hosts);
    world_exec(&w, "SET GLOBAL read_only = 0; DROP USER writer; DROP TABLE demoted");
    world_detach(&w);
}

Test(db, hosts_are_read_strictly)
{
    static const char *const bad[] = {"",         "host:",  "host:0", "host:65536",
                                      "[::1",     "[::1]x", "::1",    ":3306",
                                      "host:12a", "[]:1",   "a:1:2",  "[::1]:0x1"};
    static const char *const good[] = {"host", "host:1", "[::1]:65535", "[::1]"};
    struct db_hosts *hosts;
    struct err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct db_config config = {.hosts = &bad[i], .host_count = 1};
        cr_assert_eq(db_hosts_new(&config, &hosts, &err), ERR_CONFIG, "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct db_config config = {.hosts = &good[i], .host_count = 1};
        cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0, "%s", good[i]);
        db_hosts_free(hosts);
    }
    const char *many[DB_HOSTS_MAX + 1];
    for (size_t i = 0; i <= DB_HOSTS_MAX; i++) {
        many[i] = "host";
    }
    struct db_config none = {.name = "holdfast"};
    struct db_config all = {.hosts = many, .host_count = DB_HOSTS_MAX + 1};
    cr_assert_eq(db_hosts_new(&none, &hosts, &err), ERR_CONFIG);
    cr_assert_eq(db_hosts_new(&all, &hosts, &err), ERR_CONFIG);
    all.host_count = DB_HOSTS_MAX;
    cr_assert_eq(db_hosts_new(&all, &hosts, &err), 0, "%s", err.message);
    db_hosts_free(hosts);
}

static bool count_rows(const struct slice *cells, size_t count, void *context)
{
    size_t *seen_rows = context;
    cr_assert_eq(count, 1);
    cr_assert_not_null(cells[0].data);
    return ++*seen_rows < 3;
}

Test(db, statements_and_their_errors)
{
    world_attach(&w);
    struct db_config config = db_config_of(&w);
    struct db_hosts *hosts;
    struct db *db;
    struct db_rows rows;
    struct db_outcome outcome;
    struct err err = {0};
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), 0, "%s", err.message);

    cr_assert_eq(db_exec(db, SLICE_LITERAL("CREATE OR REPLACE TABLE t (a VARCHAR(5))"),
                         NULL, &err),
                 0);
    cr_assert_eq(db_exec(db, SLICE_LITERAL("INSERT INTO t VALUES ('secret text')"),
                         &outcome, &err),
                 ERR_DATA);
    cr_assert_str_eq(err.message, "INSERT INTO t VALUES (...: Data too long for column "
                                  "'a' at row 1 (1406)");
    struct buf sql = {0};
    buf_append_text(&sql, "INSERT INTO t VALUES (");
    db_append_quoted(&sql, slice_of("'\\\0\n\x1a", 5));
    buf_append_text(&sql, "), (NULL)");
    cr_assert_eq(db_exec(db, buf_slice(&sql), &outcome, &err), 0, "%s", err.message);
    cr_assert_eq(outcome.matched, 2);
    cr_assert_eq(
        db_query(db, SLICE_LITERAL("SELECT a FROM t ORDER BY a DESC"), &rows, &err), 0);
    cr_assert_eq(rows.row_count, 2);
    cr_assert(slice_equal(db_cell(&rows, 0, 0), slice_of("'\\\0\n\x1a", 5)));
    cr_assert_null(db_cell(&rows, 1, 0).data);
    db_rows_free(&rows);
    /* matched, not changed */
    cr_assert_eq(db_exec(db, SLICE_LITERAL("UPDATE t SET a = a"), &outcome, &err), 0);
    cr_assert_eq(outcome.matched, 2);
    size_t seen_rows = 0;
    cr_assert_eq(db_query_each(db, SLICE_LITERAL("SELECT seq FROM seq_1_to_1000"),
                               count_rows, &seen_rows, &err),
                 0);
    cr_assert_eq(seen_rows, 3);
    cr_assert_eq(
        db_query_each(db, SLICE_LITERAL("SELECT nothing"), count_rows, &seen_rows, &err),
        ERR_SCHEMA);
    cr_assert_eq(db_exec(db, SLICE_LITERAL("SELECT 1"), &outcome, &err), ERR_INTERNAL);
    cr_assert_eq(db_exec(db, SLICE_LITERAL("DELETE FROM t; DELETE FROM t"), NULL, &err),
                 ERR_SCHEMA); /* one statement a call */
    cr_assert(db_alive(db));

    buf_clear(&sql);
    cr_assert(buf_reserve(&sql, db_server(db)->max_allowed_packet));
    memset(sql.data, ' ', db_server(db)->max_allowed_packet);
    memcpy(sql.data, "SELECT 1", 8);
    sql.len = db_server(db)->max_allowed_packet - 2;
    cr_assert_eq(db_query(db, buf_slice(&sql), &rows, &err), 0, "%s", err.message);
    db_rows_free(&rows);
    sql.len++;
    cr_assert_eq(db_query(db, buf_slice(&sql), &rows, &err), ERR_RESOURCE);
    cr_assert(db_alive(db));
    buf_free(&sql);
    db_close(db);
    db_hosts_free(hosts);
    world_detach(&w);
}

/* The login goes by the time-out for connecting, whatever a call may take. */
Test(db, a_server_that_never_greets_ends_in_a_time_out)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 4), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    const char *const list[] = {address};
    struct db_config config = {.hosts = list,
                               .host_count = 1,
                               .name = "holdfast",
                               .user = "root",
                               .connect_timeout_s = 1,
                               .call_timeout_s = 3600};
    struct db_hosts *hosts;
    struct db *db;
    struct err err = {0};
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    int code = db_connect(&config, hosts, &db, &err);
    cr_assert(code == ERR_TRANSIENT || code == ERR_UNKNOWN, "%s", err.message);
    db_hosts_free(hosts);
    (void)close(listener);
}

Test(db, a_silent_server_ends_in_a_time_out)
{
    world_attach(&w);
    struct db_config config = db_config_of(&w);
    struct db_hosts *hosts;
    struct db *db;
    struct db_rows rows;
    struct err err = {0};
    config.call_timeout_s = 1;
    cr_assert_eq(db_hosts_new(&config, &hosts, &err), 0);
    cr_assert_eq(db_connect(&config, hosts, &db, &err), 0, "%s", err.message);
    cr_assert_eq(db_query(db, SLICE_LITERAL("SELECT SLEEP(3600)"), &rows, &err),
                 ERR_UNKNOWN);
    cr_assert_not(db_alive(db));
    cr_assert_eq(db_begin(db, &err), ERR_UNKNOWN);
    db_rollback(db);
    db_abort(db);
    db_close(db);
    db_close(NULL);
    db_hosts_free(hosts);
    world_detach(&w);
}
