/* A journal that was damaged, from the first complaint to the end: the real executable
 * verifies it, makes a sound one of it and goes on with that. */
#include "tests/cli_kit.h"

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Changes a byte behind each place of `needle` in the journal's file. */
static void spoil(const struct cli_kit *cli, const char *needle)
{
    char path[WORLD_PATH_MAX];
    snprintf(path, sizeof path, "%.200s/journal/data.mdb", cli->dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    off_t len = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)len);
    unsigned found = 0;
    cr_assert_eq(pread(fd, bytes, (size_t)len, 0), len);
    char *at = bytes;
    while ((at = memmem(at, (size_t)(bytes + len - at), needle, strlen(needle)))) {
        cr_assert_eq(pwrite(fd, "#", 1, at - bytes), 1);
        found++;
        at++;
    }
    free(bytes);
    cr_assert_eq(close(fd), 0);
    cr_assert_geq(found, 1);
}

/* Waits for the lane's state; what status says then. */
static struct json_value *wait_state(struct cli_kit *cli, const char *state)
{
    struct json_value *found = NULL;
    const char *now = NULL;
    do {
        json_value_free(found);
        usleep(20000);
        const char *const argv[] = {world_holdfast(), "status",    "--json",
                                    "--config",       cli->config, NULL};
        char *text = NULL;
        cr_assert_leq(world_run(argv, NULL, &text, CLI_KIT_TIMEOUT_MS), 1);
        found = json_parse(slice_text(text));
        cr_assert_not_null(found, "%s", text);
        free(text);
        now = json_as_text(cli_kit_at(found, "lanes.0.state"));
    } while (!now || strcmp(now, state) != 0);
    return found;
}

static void move(const struct cli_kit *cli, const char *from, const char *to)
{
    char old_path[WORLD_PATH_MAX];
    char new_path[WORLD_PATH_MAX];
    snprintf(old_path, sizeof old_path, "%.200s/%s", cli->dir, from);
    snprintf(new_path, sizeof new_path, "%.200s/%s", cli->dir, to);
    cr_assert_eq(rename(old_path, new_path), 0);
}

/* Entry 1 is applied, entries 2 and 3 are not; entry 2 is damaged then. */
static void make_damage(struct cli_kit *cli)
{
    cli_kit_begin(cli, "intake: {listen: \"127.0.0.1:0\"}\n");
    cli_kit_serve(cli);
    cli_kit_ingest(cli, "2026-01-08 01:00:01,10.0.0.1,beacon\n");
    free(cli_kit_text(cli, "pause", 0));
    cli_kit_send(cli, "2026-01-08 01:00:02,10.0.0.1,needle\n"
                      "2026-01-08 01:00:03,10.0.0.2,scan\n");
    cli_kit_send(cli, "2026-01-08 01:00:04,10.0.0.3,beacon\n");
    cli_kit_stop(cli);
    spoil(cli, "needle");
}

Test(mended, a_damaged_journal_is_mended_and_gone_on_with)
{
    struct cli_kit cli;
    char words[WORLD_PATH_MAX + 64];
    make_damage(&cli);
    free(cli_kit_text(&cli, "journal verify --json", 1));

    /* the engine goes as far as it can, and says what to do */
    cli_kit_serve(&cli);
    free(cli_kit_text(&cli, "resume", 0));
    struct json_value *found = wait_state(&cli, "stopped");
    const char *reason = json_as_text(cli_kit_at(found, "lanes.0.reason"));
    cr_assert(reason && strstr(reason, "journal repair"), "%s", reason);
    json_value_free(found);
    cli_kit_stop(&cli);

    snprintf(words, sizeof words, "journal repair %.180s/mended", cli.dir);
    found = cli_kit_run(&cli, words, 1);
    cli_kit_expect(found, "lost_entries", 1);
    cli_kit_expect(found, "lost_pending", 2);
    cli_kit_expect(found, "lost.0.seq", 2);
    cli_kit_expect_text(found, "lost.0.stream", "mozi");
    json_value_free(found);
    snprintf(words, sizeof words, "journal repair %.180s/mended --execute", cli.dir);
    json_value_free(cli_kit_run(&cli, words, 1));
    move(&cli, "journal", "damaged");
    move(&cli, "mended", "journal");
    free(cli_kit_text(&cli, "journal verify --json", 0));

    cli_kit_serve(&cli);
    json_value_free(wait_state(&cli, "stopped"));
    char *plan = cli_kit_text(&cli, "replay --accept-gap --stream mozi --lane 0", 0);
    cr_assert_not_null(strstr(plan, "first_seq: 2\nto: 2\n"), "%s", plan);
    cr_assert_not_null(strstr(plan, "records: 2\n"), "%s", plan);
    free(plan);
    free(cli_kit_text(&cli, "replay --accept-gap --stream mozi --lane 0 --execute", 0));
    cli_kit_wait_applied(&cli);
    found = cli_kit_run(&cli, "audit --deep", 0);
    cli_kit_expect(found, "totals.given_up", 2);
    cli_kit_expect(found, "totals.events", 2);
    cli_kit_expect(found, "totals.pending", 0);
    cli_kit_expect(found, "deep.0.records", 2);
    json_value_free(found);
    sink_kit_number(&cli.kit, "SELECT COUNT(*) FROM botnet_communications_mozi", 2);
    cli_kit_end(&cli);
}
