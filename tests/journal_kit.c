#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

const struct journal_read_limits kit_no_limits = {UINT64_MAX, UINT64_MAX, SIZE_MAX};

static int64_t wall_us(const struct clock *clock)
{
    return ((const struct kit_clock *)(const void *)clock)->wall_us;
}

static int64_t steady_us(const struct clock *clock)
{
    union {
        const struct clock *in;
        struct kit_clock *out;
    } pointer = {.in = clock};
    pointer.out->reads++;
    return pointer.out->steady_us;
}

void kit_start(struct kit *kit)
{
    kit_start_in(kit, "/tmp");
}

void kit_start_in(struct kit *kit, const char *parent)
{
    memset(kit, 0, sizeof *kit);
    (void)snprintf(kit->directory, sizeof kit->directory, "%s/holdfast-journal-XXXXXX",
                   parent);
    cr_assert(mkdtemp(kit->directory));
    (void)snprintf(kit->path, sizeof kit->path, "%s/journal", kit->directory);
    kit->clock.clock.wall_us = wall_us;
    kit->clock.clock.steady_us = steady_us;
    kit->clock.wall_us = 1767225600LL * 1000000;
    kit->clock.steady_us = 1000000;
    journal_config_defaults(&kit->config);
    kit->config.path = kit->path;
    kit->config.size_max = 4 << 20;
    kit->config.preallocate = 0;
    kit->config.clock = &kit->clock.clock;
}

static int remove_one(const char *path, const struct stat *about, int type,
                      struct FTW *place)
{
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

void kit_remove(const char *directory)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void kit_end(struct kit *kit)
{
    kit_close(kit);
    kit_remove(kit->directory);
}

void kit_open(struct kit *kit)
{
    struct err err = {0};
    int rc = journal_open(&kit->config, true, &kit->journal, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
}

void kit_close(struct kit *kit)
{
    journal_close(kit->journal);
    kit->journal = NULL;
}

void kit_reopen(struct kit *kit)
{
    kit_close(kit);
    kit_open(kit);
}

int kit_open_fails(struct kit *kit, struct err *err)
{
    struct journal *journal = NULL;
    *err = (struct err){0};
    int rc = journal_open(&kit->config, true, &journal, err);
    cr_assert(rc != ERR_OK, "it opens");
    cr_assert(journal == NULL, "the out parameter was touched");
    cr_assert_eq(rc, (int)err->code);
    return rc;
}

void kit_pass(struct kit *kit, int64_t us)
{
    kit->clock.wall_us += us;
    kit->clock.steady_us += us;
}

int kit_try(struct kit *kit, const char *stream, uint32_t lane, struct slice payload,
            uint64_t *out_seq)
{
    struct journal_part part = {
        .stream = stream, .lane = lane, .records = 1, .payload = payload};
    struct journal_append append = {
        .parts = &part, .part_count = 1, .received_at_us = kit->clock.wall_us};
    int rc = journal_append_wait(kit->journal, &append);
    if (!rc && out_seq) {
        *out_seq = append.first_seq;
    }
    return rc;
}

uint64_t kit_append(struct kit *kit, const char *stream, uint32_t lane,
                    const char *payload)
{
    uint64_t seq = 0;
    cr_assert_eq(kit_try(kit, stream, lane, slice_text(payload), &seq), ERR_OK);
    return seq;
}

char *kit_bytes(size_t len, unsigned seed)
{
    char *bytes = malloc(len + 1);
    cr_assert(bytes);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245U + 12345U;
        bytes[i] = (char)(seed >> 16);
    }
    bytes[len] = '\0';
    return bytes;
}

uint64_t kit_append_bytes(struct kit *kit, const char *stream, uint32_t lane, size_t len,
                          unsigned seed)
{
    char *bytes = kit_bytes(len, seed);
    uint64_t seq = 0;
    int rc = kit_try(kit, stream, lane, slice_of(bytes, len), &seq);
    free(bytes);
    cr_assert_eq(rc, ERR_OK, "append of %zu bytes: %s", len, err_name((enum err_code)rc));
    return seq;
}

struct journal_position kit_position(struct kit *kit, uint64_t seq)
{
    struct journal_position position = {.seq = seq};
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_entry(kit->journal, seq, &entries, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    memcpy(position.sum, entries.items[0].sum, sizeof position.sum);
    journal_entries_free(&entries);
    return position;
}

void kit_done(struct kit *kit, uint64_t seq)
{
    struct journal_entries entries = {0};
    struct journal_position position = kit_position(kit, seq);
    struct err err = {0};
    cr_assert_eq(journal_read_entry(kit->journal, seq, &entries, &err), ERR_OK);
    int rc = journal_mark_done(kit->journal, entries.items[0].stream,
                               entries.items[0].lane, &position, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    journal_entries_free(&entries);
}

struct journal_lane kit_lane(struct kit *kit, const char *stream, uint32_t lane)
{
    struct journal_lane found;
    struct err err = {0};
    int rc = journal_lane_get(kit->journal, stream, lane, &found, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return found;
}

struct journal_stat kit_stat(struct kit *kit)
{
    struct journal_stat stat;
    struct err err = {0};
    int rc = journal_stat(kit->journal, &stat, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return stat;
}

int kit_state(struct kit *kit, uint64_t seq)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_entry(kit->journal, seq, &entries, &err);
    if (rc == ERR_NOT_FOUND) {
        return -1;
    }
    cr_assert(rc == ERR_OK, "%s", err.message);
    int state = (int)entries.items[0].state;
    journal_entries_free(&entries);
    return state;
}

void kit_commit(struct kit *kit)
{
    struct err err = {0};
    int rc = journal_setting_put(kit->journal, "kit", "", &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
}

struct journal_entries kit_read(struct kit *kit, const char *stream, uint32_t lane,
                                uint64_t after)
{
    struct journal_entries entries = {0};
    struct err err = {0};
    int rc = journal_read_lane(kit->journal, stream, lane, after, &kit_no_limits,
                               &entries, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    return entries;
}

char *kit_payload(uint32_t producer, uint32_t number, size_t *out_len)
{
    *out_len = 20 + (producer * 7919U + number * 104729U) % 30000;
    return kit_bytes(*out_len, producer * 1000003U + number);
}

struct kit_program kit_run(const struct kit *kit, const char *mode, unsigned number)
{
    struct kit_program program = {0};
    int in[2];
    int out[2];
    const char *build = getenv("HOLDFAST_BUILD");
    char path[512];
    char text[16];
    cr_assert(build, "HOLDFAST_BUILD names the build directory");
    (void)snprintf(path, sizeof path, "%s/tests/program_journal", build);
    (void)snprintf(text, sizeof text, "%u", number);
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    program.pid = fork();
    if (program.pid == 0) {
        if (dup2(in[0], 0) == 0 && dup2(out[1], 1) == 1) {
            execl(path, path, mode, kit->path, text, (char *)NULL);
        }
        _exit(127);
    }
    cr_assert_gt(program.pid, 0);
    cr_assert_eq(close(in[0]), 0);
    cr_assert_eq(close(out[1]), 0);
    program.in = in[1];
    program.out = out[0];
    return program;
}

int kit_wait(struct kit_program *program)
{
    int status = 0;
    cr_assert_eq(close(program->in), 0);
    cr_assert_eq(waitpid(program->pid, &status, 0), program->pid);
    cr_assert_eq(close(program->out), 0);
    return status;
}
