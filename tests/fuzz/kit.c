#include "tests/fuzz/kit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Every type of column that there is, and every merge rule. */
static const char streams[] =
    "journal: {path: /nonexistent}\n"
    "database: {socket: /nonexistent, name: x, user: x}\n"
    "streams:\n"
    "  - {name: mozi, preset: botnet}\n"
    "  - {name: test, preset: botnet, lanes: 3}\n"
    "  - name: readings\n"
    "    time: at\n"
    "    csv: [at, serial, value, state, flag, small, big]\n"
    "    entity:\n"
    "      table: devices\n"
    "      id: id\n"
    "      columns:\n"
    "        - {name: serial, type: string, max: 64, from: serial, merge: key, not_null: "
    "true}\n"
    "        - {name: state, type: enum, members: [on, off], from: state, merge: "
    "latest}\n"
    "        - {name: first_at, type: datetime, precision: 3, from: at, merge: min}\n"
    "        - {name: last_at, type: datetime, precision: 3, from: at, merge: max}\n"
    "        - {name: lowest, type: float, bits: 64, from: value, merge: min}\n"
    "        - {name: readings, type: integer, bits: 64, unsigned: true, merge: count, "
    "not_null: true, default: 0}\n"
    "    event:\n"
    "      table: device_readings\n"
    "      id: id\n"
    "      entity: device_id\n"
    "      key: [serial, at]\n"
    "      compare: [value]\n"
    "      columns:\n"
    "        - {name: serial, type: string, max: 64, from: serial, not_null: true}\n"
    "        - {name: at, type: datetime, precision: 3, from: at, not_null: true}\n"
    "        - {name: value, type: float, bits: 64, from: value, not_null: true}\n"
    "        - {name: narrow, type: float, bits: 32, from: value}\n"
    "        - {name: flag, type: bool, from: flag}\n"
    "        - {name: small, type: integer, bits: 8, from: small}\n"
    "        - {name: big, type: integer, bits: 64, unsigned: true, from: big}\n"
    "        - {name: received, type: timestamp, precision: 6, from: $received}\n";

_Noreturn void fuzz_fail(const char *what)
{
    (void)fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct slice fuzz_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    fuzz_expect(copy != NULL, "memory");
    if (size) {
        memcpy(copy, data, size);
    }
    return slice_of(copy, size);
}

uint8_t fuzz_byte(const uint8_t **data, size_t *size)
{
    if (*size == 0) {
        return 0;
    }
    --*size;
    return *(*data)++;
}

struct slice fuzz_text(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, 0xff, *size) : NULL;
    size_t len = end ? (size_t)(end - *data) : *size;
    struct slice text = slice_of(*data, len);
    size_t taken = end ? len + 1 : len;
    *data += taken;
    *size -= taken;
    return text;
}

struct config *fuzz_config(const char *more)
{
    struct buf text = {0};
    struct config *config = NULL;
    struct err err = {0};
    buf_append_text(&text, streams);
    buf_append_text(&text, more);
    if (config_parse("fuzz.yaml", buf_slice(&text), &config, &err) != ERR_OK) {
        fuzz_expect(false, err.message);
    }
    buf_free(&text);
    return config;
}

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fuzz_remove(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static char directory[256];
static pid_t owner;

static void remove_directory(void)
{
    if (getpid() == owner) {
        fuzz_remove(directory);
    }
}

const char *fuzz_directory(void)
{
    if (directory[0]) {
        return directory;
    }
    const char *parent = getenv("TMPDIR");
    if (access("/dev/shm", W_OK) == 0) {
        parent = "/dev/shm";
    }
    (void)snprintf(directory, sizeof directory, "%s/holdfast-fuzz-XXXXXX",
                   parent ? parent : "/tmp");
    fuzz_expect(mkdtemp(directory) != NULL, "a directory can be made");
    owner = getpid();
    (void)atexit(remove_directory);
    return directory;
}
