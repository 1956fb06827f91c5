/* A journal whose file was damaged. The input is a list of damages: kind and place (4
 * bytes), then bytes up to the next 0xff that are written there; kind 0xfe cuts the file
 * off. LMDB may fault on such a file, so it is only opened by who forks.
 *
 * Promised: verification comes back, whatever the file holds, and says that it is sound
 * or what is wrong; and if it says sound, then every entry reads as it was written. What
 * is not sound can be mended: the new journal is sound, and each entry is in it as it was
 * written, or is told to be lost. */
#include "journal/tools.h"
#include "tests/fuzz/kit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ENTRIES = 40, FILE_MAX = 4 << 20 };

static char path[300];
static char mended[300];
static char data_file[320];
static char *whole;
static size_t whole_len;

static size_t payload_of(uint64_t seq, char *out)
{
    size_t len = seq % 7 == 0 ? 9000 : 20 + (size_t)seq * 3;
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)(seq * 31 + i * 7);
    }
    return len;
}

static void append(struct journal *journal, uint64_t seq)
{
    char payload[10000];
    struct journal_dead_letter dead = {.index = 1,
                                       .reason = "type",
                                       .field = "ip",
                                       .detail = "a sentence",
                                       .bytes = SLICE_LITERAL("the record as it came")};
    struct journal_part part = {.stream = seq % 3 ? "mozi" : "test",
                                .records = 1 + (seq % 5 == 0),
                                .payload = slice_of(payload, payload_of(seq, payload)),
                                .dead = &dead,
                                .dead_count = seq % 5 == 0};
    struct journal_append request = {.parts = &part, .part_count = 1};
    request.receipt.scope_key = slice_of(&seq, seq % 4 == 0 ? sizeof seq : 0);
    request.receipt.answer = SLICE_LITERAL("the answer");
    fuzz_expect(journal_append_wait(journal, &request) == ERR_OK, "an append");
    fuzz_expect(request.first_seq == seq, "in order");
}

static void read_whole(void)
{
    int fd = open(data_file, O_RDONLY | O_CLOEXEC);
    whole = malloc(FILE_MAX);
    ssize_t len = fd < 0 || !whole ? -1 : pread(fd, whole, FILE_MAX, 0);
    fuzz_expect(len > 0 && len <= FILE_MAX, "the file can be read");
    whole_len = (size_t)len;
    (void)close(fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct journal_config config;
    struct journal *journal = NULL;
    struct err err = {0};
    (void)snprintf(path, sizeof path, "%s/journal", fuzz_directory());
    (void)snprintf(mended, sizeof mended, "%s/mended", fuzz_directory());
    (void)snprintf(data_file, sizeof data_file, "%s/data.mdb", path);
    journal_config_defaults(&config);
    config.path = path;
    config.size_max = FILE_MAX;
    config.preallocate = 0;
    config.clock = &clock_system;
    fuzz_expect(journal_open(&config, true, &journal, &err) == ERR_OK, err.message);
    for (uint64_t seq = 1; seq <= ENTRIES; seq++) {
        append(journal, seq);
    }
    journal_close(journal);
    read_whole();
    return 0;
}

/* ---- Damage ------------------------------------------------------------------------ */

static void damage(const uint8_t *data, size_t size, char *file, size_t *len)
{
    while (size >= 4) {
        uint8_t kind = fuzz_byte(&data, &size);
        size_t at = fuzz_byte(&data, &size);
        at |= (size_t)fuzz_byte(&data, &size) << 8;
        at |= (size_t)fuzz_byte(&data, &size) << 16;
        at %= whole_len;
        if (kind == 0xfe) {
            *len = *len < at ? *len : at;
            continue;
        }
        struct slice bytes = fuzz_text(&data, &size);
        for (size_t i = 0; i < bytes.len && at + i < whole_len; i++) {
            file[at + i] =
                (char)(kind & 1 ? bytes.data[i] : file[at + i] ^ bytes.data[i]);
        }
    }
}

static void put_file(const char *bytes, size_t len)
{
    int fd = open(data_file, O_WRONLY | O_TRUNC | O_CLOEXEC);
    fuzz_expect(fd >= 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len && close(fd) == 0,
                "the file can be written");
}

/* ---- Promise ----------------------------------------------------------------------- */

enum { READ_NONE, READ_WRITTEN, READ_OTHER };

static int read_entry(struct journal *journal, uint64_t seq)
{
    char payload[10000];
    struct journal_entries entries;
    struct err err = {0};
    int code = journal_read_entry(journal, seq, &entries, &err);
    if (code != ERR_OK) {
        return READ_NONE;
    }
    struct slice wanted = slice_of(payload, payload_of(seq, payload));
    const struct journal_entry *entry = &entries.items[0];
    int read = slice_equal(entry->payload, wanted)  ? READ_WRITTEN
               : entry->state == JOURNAL_ENTRY_FULL ? READ_OTHER
                                                    : READ_NONE;
    journal_entries_free(&entries);
    return read;
}

/* Whether the repair told that the entry is lost. */
static bool is_told(const struct journal_repair *repair, uint64_t seq,
                    const struct journal_stat *stat)
{
    if (!repair) {
        return false;
    }
    for (size_t i = 0; i < repair->loss_count; i++) {
        if (repair->losses[i].seq == seq) {
            return true;
        }
    }
    bool before = seq < stat->first_seq && repair->unread >= stat->first_seq - 1;
    bool behind = seq >= stat->next_seq && repair->state_lost; /* who knows what came? */
    return before || behind;
}

/* All entries of a journal that is called sound; `repair`: what was told of it. */
static void expect_entries(const char *which, const struct journal_repair *repair)
{
    struct journal *journal = NULL;
    struct journal_stat stat;
    struct err err = {0};
    if (journal_open_reader(which, &journal, &err) != ERR_OK ||
        journal_stat(journal, &stat, &err) != ERR_OK) {
        fuzz_fail(err.message);
    }
    for (uint64_t seq = 1; seq <= ENTRIES; seq++) {
        int read = read_entry(journal, seq);
        fuzz_expect(read != READ_OTHER, "nothing is read that was not written");
        fuzz_expect(read == READ_WRITTEN || is_told(repair, seq, &stat),
                    "an entry is there, or told to be lost");
    }
    journal_close(journal);
}

/* A child, since what is called sound might still not be. */
static void expect_entries_apart(const char *which, const struct journal_repair *repair)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        expect_entries(which, repair);
        _exit(0);
    }
    fuzz_expect(child > 0 && waitpid(child, &status, 0) == child, "a child");
    fuzz_expect(status == 0, "a sound journal can be read");
}

static void mend(void)
{
    struct journal_repair repair = {0};
    struct journal_verify_result result = {0};
    struct err err = {0};
    int code = journal_repair(path, mended, true, NULL, &repair, &err);
    if (code == ERR_OK) {
        if (journal_verify(mended, NULL, NULL, &result, &err) != ERR_OK) {
            fuzz_fail(err.message);
        }
        expect_entries_apart(mended, &repair);
        journal_repair_free(&repair);
    } else {
        fuzz_expect(err.message[0] && code != ERR_INTERNAL, err.message);
    }
    fuzz_remove(mended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_verify_result result = {0};
    struct err err = {0};
    char *file = malloc(whole_len);
    size_t len = whole_len;
    fuzz_expect(file != NULL, "memory");
    memcpy(file, whole, whole_len);
    damage(data, size, file, &len);
    put_file(file, len);
    free(file);
    int code = journal_verify(path, NULL, NULL, &result, &err);
    if (code == ERR_OK) {
        fuzz_expect(result.problems == 0 && result.entries == ENTRIES,
                    "sound is without problems");
        expect_entries_apart(path, NULL);
        return 0;
    }
    fuzz_expect(err.message[0] != '\0' && code != ERR_INTERNAL, err.message);
    mend();
    return 0;
}
