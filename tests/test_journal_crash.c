/* Processes killed while they append, marks that are committed alone, zeros ahead. */
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_there(struct kit *kit, const struct kit_ack *ack)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_entry(kit->journal, ack->seq, &entries, &err);
    cr_assert(rc == ERR_OK, "acknowledged, but: %s", err.message);
    size_t len = 0;
    char *bytes = kit_payload(ack->producer, ack->number, &len);
    cr_assert(slice_equal(entries.items[0].payload, slice_of(bytes, len)));
    cr_assert_eq(entries.items[0].lane, ack->producer);
    free(bytes);
    journal_entries_free(&entries);
}

Test(journal_crash, keeps_all_that_was_acknowledged_before_a_kill)
{
    enum { ROUNDS = 6, ENOUGH = 150 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 256 << 20;
    kit.config.preallocate = 1 << 20;
    kit.config.clock = &clock_system;
    static struct kit_ack all[100000];
    size_t count = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct kit_program program = kit_run(&kit, "append", round * 1000000);
        size_t until = count + ENOUGH + (size_t)round * 37;
        while (read(program.out, &all[count], sizeof *all) == (ssize_t)sizeof *all) {
            if (++count == until) {
                cr_assert_eq(kill(program.pid, SIGKILL), 0);
            }
        }
        cr_assert(WIFSIGNALED(kit_wait(&program)), "round %u ended by itself", round);
        struct journal_verify_result result;
        struct err err = {0};
        cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_OK, "%s",
                     err.message);
        cr_assert_geq(result.entries, count);
    }
    kit_open(&kit);
    for (size_t i = 0; i < count; i++) {
        check_there(&kit, &all[i]);
    }
    kit_end(&kit);
}

/* Killed at its first sync, its second ...: creation included. */
Test(journal_crash, survives_being_killed_at_each_sync)
{
    enum { SYNCS = 40 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 256 << 20;
    static struct kit_ack all[1000];
    size_t count = 0;
    for (unsigned number = 1; number <= SYNCS; number++) {
        struct kit_program program = kit_run(&kit, "die-at-sync", number);
        while (count < 1000 &&
               read(program.out, &all[count], sizeof *all) == (ssize_t)sizeof *all) {
            count++;
        }
        int status = kit_wait(&program);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%u", number);
        kit_open(&kit);
        for (size_t i = 0; i < count; i++) {
            check_there(&kit, &all[i]);
        }
        kit_close(&kit);
    }
    cr_assert_gt(count, SYNCS);
    kit_end(&kit);
}

Test(journal_crash, a_failed_sync_is_final)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 256 << 20;
    struct kit_program program = kit_run(&kit, "sync-fails", 0);
    int status = kit_wait(&program);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    /* a restart reads what the disk really holds */
    kit_open(&kit);
    cr_assert_eq(kit_state(&kit, 1), JOURNAL_ENTRY_FULL);
    uint64_t next = kit_stat(&kit).next_seq;
    cr_assert_geq(next, 2);
    cr_assert_eq(kit_append(&kit, "s", 0, "after"), next);
    kit_end(&kit);
}

/* Marks are committed alone within a second, on the journal's own account: seen by a
 * reader in another process, while the writer's process stays. */
Test(journal_crash, commits_marks_alone)
{
    struct kit kit;
    kit_start(&kit);
    struct kit_program program = kit_run(&kit, "hold", 0);
    char byte = 0;
    cr_assert_eq(read(program.out, &byte, 1), 1);
    struct err err = {0};
    cr_assert_eq(journal_open_reader(kit.path, &kit.journal, &err), ERR_OK);
    uint64_t done = 0;
    for (int i = 0; i < 600 && !done; i++) {
        done = kit_lane(&kit, "s", 0).done.seq;
        usleep(50000);
    }
    cr_assert_eq(done, 1);
    kit_close(&kit);
    cr_assert_eq(kit_wait(&program), 0);
    kit_end(&kit);
}

Test(journal_crash, writes_zeros_ahead)
{
    enum { AHEAD = 3 << 20 };
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 64 << 20;
    kit.config.preallocate = AHEAD;
    kit.config.clock = &clock_system;
    kit_open(&kit);
    for (unsigned i = 0; i < 40; i++) {
        kit_append_bytes(&kit, "s", 0, 100000, i);
        /* the file grows while entries come, and what was written stays */
        if (i % 8 == 7) {
            kit_reopen(&kit);
        }
    }
    struct journal_stat stat = kit_stat(&kit);
    for (int i = 0; i < 600 && stat.file_bytes < stat.used_bytes + AHEAD; i++) {
        usleep(50000);
        stat = kit_stat(&kit);
    }
    cr_assert_geq(stat.file_bytes, stat.used_bytes + AHEAD);
    cr_assert_leq(stat.file_bytes, stat.used_bytes + 2ULL * AHEAD);
    kit_close(&kit);
    struct journal_verify_result result;
    struct err err = {0};
    cr_assert_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_eq(result.entries, 40);
    kit_open(&kit);
    struct journal_entries entries = kit_read(&kit, "s", 0, 0);
    cr_assert_eq(entries.count, 40);
    for (unsigned i = 0; i < 40; i++) {
        char *bytes = kit_bytes(100000, i);
        cr_assert(slice_equal(entries.items[i].payload, slice_of(bytes, 100000)));
        free(bytes);
    }
    journal_entries_free(&entries);
    kit_end(&kit);
}

Test(journal_crash, zeros_end_with_the_map)
{
    struct kit kit;
    kit_start(&kit);
    kit.config.size_max = 1 << 20;
    kit.config.preallocate = 64 << 20;
    kit.config.clock = &clock_system;
    kit_open(&kit);
    kit_append(&kit, "s", 0, "payload");
    struct journal_stat stat = kit_stat(&kit);
    for (int i = 0; i < 600 && stat.file_bytes < 1 << 20; i++) {
        usleep(50000);
        stat = kit_stat(&kit);
    }
    kit_reopen(&kit);
    kit_append(&kit, "s", 0, "payload");
    cr_assert_eq(kit_stat(&kit).file_bytes, 1 << 20);
    kit_end(&kit);
}
