/* tests/faults/database_journal.c: database and journal that don't belong together. */
#include "tests/faults/database_faults.h"

#include "tests/faults/hostile.h"
#include "tests/process.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 512, DUMP_TIMEOUT_MS = 60000 };

static int run_client(struct database_fault *at, const char *const *argv, struct err *err)
{
    pid_t pid = 0;
    int exit_code = -1;
    int code = process_start(argv, at->stage->server.log, SIGKILL, &pid, err);
    if (code != 0)
        return code;
    if (!process_wait(pid, DUMP_TIMEOUT_MS, &exit_code))
        process_kill(pid);
    return exit_code == 0 ? 0
                          : err_set(err, ERR_IO, 0, "%s ends with %d; see %s", argv[0],
                                    exit_code, at->stage->server.log);
}

static int dump(struct database_fault *at, const char *path, struct err *err)
{
    char socket[PATH_SIZE];
    char result[PATH_SIZE];
    (void)snprintf(socket, sizeof socket, "--socket=%s", at->stage->server.socket);
    (void)snprintf(result, sizeof result, "--result-file=%.400s", path);
    const char *argv[] = {"mariadb-dump", "--no-defaults",        "--user=root", socket,
                          result,         "--single-transaction", "holdfast",    NULL};
    return run_client(at, argv, err);
}

static int restore(struct database_fault *at, const char *path, struct err *err)
{
    char socket[PATH_SIZE];
    char source[PATH_SIZE];
    (void)snprintf(socket, sizeof socket, "--socket=%s", at->stage->server.socket);
    (void)snprintf(source, sizeof source, "--execute=source %.400s", path);
    const char *argv[] = {"mariadb", "--no-defaults", "--user=root", socket,
                          source,    "holdfast",      NULL};
    return run_client(at, argv, err);
}

static int pause_lanes(struct database_fault *at, bool pause, struct err *err)
{
    const char *args[] = {pause ? "pause" : "resume", NULL};
    return fault_command(at, args, err);
}

/* ---- The database goes back ---------------------------------------------------------
 */

/* A dump taken under load, restored between pause and resume when more is applied. */
int fault_rewound(struct database_fault *at, struct err *err)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s.sql", at->stage->engine.config);
    int code = dump(at, path, err);
    code = code ? code : stage_feed_end(at->stage, err);
    code = code ? code : stage_settle(at->stage, err);
    code = code ? code : pause_lanes(at, true, err);
    code = code ? code : restore(at, path, err);
    code = code ? code : pause_lanes(at, false, err);
    code = code ? code : fault_await_log(at, "event=rewound", 0, err);
    (void)unlink(path);
    at->met = code == 0;
    return code;
}

static const char empty[] =
    "DELETE FROM botnet_communications_mozi; DELETE FROM botnet_communications_test;"
    "DELETE FROM botnet_nodes_mozi; DELETE FROM botnet_nodes_test;"
    "DELETE FROM holdfast_ledger";

static int accept_gaps(struct database_fault *at, const char *stream, struct err *err)
{
    int code = 0;
    for (uint32_t lane = 0; code == 0 && lane < at->stage->plan.lanes; lane++) {
        char number[12];
        (void)snprintf(number, sizeof number, "%u", lane);
        const char *args[] = {"replay", "--accept-gap", "--stream",  stream,
                              "--lane", number,         "--execute", NULL};
        code = fault_command(at, args, err);
    }
    return code;
}

/* What the database lost is no longer retained: the lanes stop, and name it; accepted, it
 * counts as given up. The plan retains for one second. */
int fault_rewound_too_far(struct database_fault *at, struct err *err)
{
    struct stage *stage = at->stage;
    int code = fault_feed_all(at, err);
    process_sleep_ms(1200); /* what is measured: the retention's second is over */
    /* a commit of the journal lets go of what is over: by the same batches once more */
    code = code ? code : fault_feed_all(at, err);
    code = code ? code : pause_lanes(at, true, err);
    code = code ? code : stage_exec(stage, empty, err);
    code = code ? code : pause_lanes(at, false, err);
    uint64_t lanes = (uint64_t)stage->plan.lanes * 2;
    code = code ? code : fault_await_log(at, "event=lane_stopped", lanes - 1, err);
    code = code ? code : fault_await_log(at, "no longer retained", lanes - 1, err);
    code = code ? code : accept_gaps(at, "mozi", err);
    code = code ? code : accept_gaps(at, "test", err);
    code = code ? code : stage_settle(stage, err);
    at->met = code == 0;
    const char *args[] = {"audit", NULL};
    return code ? code : fault_command(at, args, err);
}

/* Commits of the journal, which let go of what is over, until the tables are as they
 * were.
 */
static int commit_until(struct database_fault *at, const char *body, int64_t digest,
                        struct err *err)
{
    enum { PATIENCE_MS = 40000, BETWEEN_MS = 100 };
    int64_t end = process_now_ms() + PATIENCE_MS;
    int64_t now = digest - 1;
    int code = 0;
    while (code == 0 && now != digest && process_now_ms() < end) {
        code = fault_post(&at->stage->engine, body, err);
        code = code ? code : fault_digest(at, &now, err);
        process_sleep_ms(BETWEEN_MS);
    }
    return code;
}

/* What the database lost is retained, but its time is over before all of it is applied
 * again: the plan retains for some seconds, and the engine is made to apply slowly. */
int fault_rewound_expiring(struct database_fault *at, struct err *err)
{
    static const char body[] = "{\"ip\":\"198.51.100.8\",\"timestamp\":1767225600}";
    struct stage *stage = at->stage;
    int64_t digest = 0;
    int code = fault_post(&stage->engine, body, err);
    code = code ? code : fault_feed_all(at, err);
    code = code ? code : fault_digest(at, &digest, err);
    code = code ? code : stage_stop(stage, err);
    code = code ? code : stage_exec(stage, empty, err);
    stage->options.more = "replay: {transaction_records: 50, max_rows_per_second: 50}";
    code = code ? code : stage_configure(stage, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : fault_await_log(at, "event=rewound", 0, err);
    code = code ? code : commit_until(at, body, digest, err);
    at->met = code == 0;
    return code ? code
                : fault_expect_digest(at, digest, "for good when the database went back",
                                      err);
}

/* ---- The journal goes back ----------------------------------------------------------
 */

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fault_remove_journal(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int fault_digest(struct database_fault *at, int64_t *out_digest, struct err *err)
{
    static const char sql[] =
        "SELECT (SELECT COALESCE(SUM(CRC32(CONCAT_WS('|', ip, first_seen, last_seen, "
        "communication_count, city, status))), 0) FROM botnet_nodes_mozi) + (SELECT "
        "COALESCE(SUM(CRC32(CONCAT_WS('|', ip, communication_time, event_type, city))), "
        "0) FROM botnet_communications_mozi) + (SELECT COALESCE(SUM(CRC32(CONCAT_WS('|', "
        "ip, first_seen, last_seen, communication_count, city, status))), 0) FROM "
        "botnet_nodes_test) + (SELECT COALESCE(SUM(CRC32(CONCAT_WS('|', ip, "
        "communication_time, event_type, city))), 0) FROM botnet_communications_test)";
    return stage_number(at->stage, sql, out_digest, err);
}

int fault_expect_digest(struct database_fault *at, int64_t before, const char *when,
                        struct err *err)
{
    int64_t after = 0;
    int code = fault_digest(at, &after, err);
    if (code == 0 && after != before) {
        (void)layer_broken("I1", "the tables changed %s", when);
        at->stage->broken = true;
    }
    return code;
}

int fault_swap_journal(struct database_fault *at, const char *from, const char *to,
                       struct err *err)
{
    int code = stage_stop(at->stage, err);
    fault_remove_journal(to);
    return code ? code : stage_copy_files(from, to, err);
}

/* A backup of the journal from before some of what is applied: it must stop, and be
 * adopted only on demand. */
int fault_journal_restored(struct database_fault *at, struct err *err)
{
    struct stage *stage = at->stage;
    char backup[PATH_SIZE];
    int64_t digest = 0;
    (void)snprintf(backup, sizeof backup, "%s-backup", stage->engine.journal);
    int code = fault_swap_journal(at, stage->engine.journal, backup, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : stage_feed_end(stage, err);
    code = code ? code : stage_settle(stage, err);
    code = code ? code : fault_digest(at, &digest, err);
    code = code ? code : fault_swap_journal(at, backup, stage->engine.journal, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : fault_await_log(at, "event=lane_stopped", 0, err);
    code =
        code ? code
             : fault_expect_digest(at, digest, "though the journal is an older one", err);
    at->met = code == 0;
    code = code ? code : stage_stop(stage, err);
    const char *args[] = {"journal", "adopt", "--execute", NULL};
    code = code ? code : fault_command(at, args, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : stage_settle(stage, err);
    fault_remove_journal(backup);
    return code ? code : fault_expect_digest(at, digest, "by the adopted journal", err);
}

/* ---- The journal is damaged ---------------------------------------------------------
 */

static const char written[] = "as-it-was-sent";
static const char flipped[] = "as-it-was-bent";

/* Every copy of the text in the journal's file. */
static int flip(const char *journal, struct err *err)
{
    enum { AT = sizeof written - 4 };
    char path[PATH_SIZE];
    struct buf file = {0};
    size_t copies = 0;
    (void)snprintf(path, sizeof path, "%.400s/data.mdb", journal);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool fine = fd >= 0 && hostile_read(path, &file);
    for (char *at = file.data; fine && file.len; copies++) {
        size_t left = file.len - (size_t)(at - file.data);
        at = memmem(at, left, written, sizeof written - 1);
        if (!at)
            break;
        off_t place = at - file.data;
        fine = pwrite(fd, flipped, sizeof flipped - 1, place) == sizeof flipped - 1;
        at++;
    }
    if (fd >= 0)
        (void)close(fd);
    buf_free(&file);
    return fine && copies ? 0
                          : err_set(err, ERR_IO, 0, "no record to damage in %s", path);
}

/* A record changes in the journal's file while nobody looks: it must not be applied as it
 * is now, and the lane says why it stands still. */
int fault_journal_flipped(struct database_fault *at, struct err *err)
{
    static const char body[] = "{\"ip\":\"198.51.100.7\",\"timestamp\":\"2026-01-09 "
                               "01:00:00\",\"event_type\":\"as-it-was-sent\"}";
    struct stage *stage = at->stage;
    int64_t bent = 0;
    int code = fault_feed_all(at, err);
    code = code ? code : pause_lanes(at, true, err);
    code = code ? code : fault_post(&stage->engine, body, err);
    engine_kill(&stage->engine);
    code = code ? code : flip(stage->engine.journal, err);
    code = code ? code : stage_start(stage, err);
    code = code ? code : pause_lanes(at, false, err);
    code = code ? code : fault_await_log(at, "event=lane_stopped", 0, err);
    at->met = code == 0;
    struct err later = {0};
    int asked = stage_number(stage,
                             "SELECT COUNT(*) FROM botnet_communications_mozi WHERE ip = "
                             "'198.51.100.7'",
                             &bent, &later);
    if (asked == 0 && bent != 0) {
        (void)layer_broken("I2", "a record that was damaged in the journal is applied");
        stage->broken = true;
        return 0;
    }
    return code;
}
