/* tests/travel_kit.c: see travel_kit.h. */
#include "tests/travel_kit.h"

#include "tests/process.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engine makes a stream's tables when its lane begins, which may be while another's
 * are full; a dump that comes upon one that is just made fails ("Table definition has
 * changed"). */
static void wait_tables(struct drive *d)
{
    enum { TABLES = 2 * 2 + 1 }; /* of two streams, and the ledger */
    char sql[160];
    (void)snprintf(sql, sizeof sql,
                   "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "
                   "'%s' AND create_time IS NOT NULL",
                   d->w.database);
    int64_t end = process_now_ms() + TRAVEL_TIMEOUT_MS;
    while (world_scalar(&d->w, sql) < TABLES) {
        cr_assert_lt(process_now_ms(), end, "not all tables are made; see %s",
                     d->engine.log);
        process_sleep_ms(10);
    }
}

char *travel_dump(struct drive *d, const char *table)
{
    wait_tables(d);
    char socket[WORLD_PATH_MAX + 16];
    (void)snprintf(socket, sizeof socket, "--socket=%s", d->w.socket);
    const char *argv[] = {
        "mysqldump",   "--no-defaults", socket, "--user=root", "--single-transaction",
        d->w.database, table,           NULL};
    char *dump = NULL;
    cr_assert_eq(world_run(argv, NULL, &dump, TRAVEL_TIMEOUT_MS), 0, "mysqldump failed");
    return dump;
}

void travel_restore(struct drive *d, const char *database, const char *dump)
{
    char socket[WORLD_PATH_MAX + 16];
    (void)snprintf(socket, sizeof socket, "--socket=%s", d->w.socket);
    const char *argv[] = {"mysql",       "--no-defaults", socket,
                          "--user=root", database,        NULL};
    cr_assert_eq(world_run(argv, dump, NULL, TRAVEL_TIMEOUT_MS), 0, "the restore failed");
}

void travel_database(struct drive *d, const char *name)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE `%s`", name);
    world_exec(&d->w, sql);
}

char *travel_state(struct drive *d, const char *database)
{
    char sql[600];
    world_exec(&d->w, "SET SESSION group_concat_max_len = 100000000");
    (void)snprintf(sql, sizeof sql,
                   "SELECT CONCAT((SELECT MD5(GROUP_CONCAT(ip, first_seen, last_seen, "
                   "communication_count ORDER BY ip)) FROM %s.botnet_nodes_mozi), ' ', "
                   "(SELECT MD5(GROUP_CONCAT(ip, communication_time ORDER BY ip, "
                   "communication_time)) FROM %s.botnet_communications_mozi))",
                   database, database);
    return world_text(&d->w, sql);
}

/* `words` parted at blanks; the copy is the caller's to free. */
static char *part_words(const char *words, const char *out_args[TRAVEL_WORDS_MAX])
{
    char *copy = strdup(words);
    char *rest = NULL;
    size_t count = 0;
    cr_assert_not_null(copy);
    for (char *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        cr_assert_lt(count, TRAVEL_WORDS_MAX - 6);
        out_args[count++] = word;
    }
    out_args[count] = NULL;
    return copy;
}

char *travel_command(struct drive *d, const char *words, int exit_code)
{
    const char *args[TRAVEL_WORDS_MAX];
    struct buf said = {0};
    char *copy = part_words(words, args);
    int found = engine_command(&d->engine, args, &said);
    const char *text = buf_text(&said);
    cr_assert_not_null(text);
    cr_assert_eq(found, exit_code, "holdfast %s: %d instead of %d: %s", words, found,
                 exit_code, text);
    char *kept = strdup(text);
    cr_assert_not_null(kept);
    free(copy);
    buf_free(&said);
    return kept;
}

struct json_value *travel_json(struct drive *d, const char *words, int exit_code)
{
    const char *args[TRAVEL_WORDS_MAX];
    const char *argv[TRAVEL_WORDS_MAX + 8] = {world_holdfast()};
    char *copy = part_words(words, args);
    size_t count = 1;
    for (size_t i = 0; args[i]; i++)
        argv[count++] = args[i];
    argv[count++] = "--json";
    argv[count++] = "--config";
    argv[count++] = d->engine.config;
    argv[count] = NULL;
    char *text = NULL;
    int found = world_run(argv, NULL, &text, TRAVEL_TIMEOUT_MS);
    cr_assert_eq(found, exit_code, "holdfast %s: %d instead of %d: %s", words, found,
                 exit_code, text);
    struct json_value *value = json_parse(slice_text(text));
    cr_assert_not_null(value, "holdfast %s: no JSON: %s", words, text);
    free(text);
    free(copy);
    return value;
}
