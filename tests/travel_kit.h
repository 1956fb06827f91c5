/* tests/travel_kit.h: dumps and restores of a drive's database by the server's own tools,
 * and commands of the executable on it. What goes wrong fails the test.
 */
#ifndef HOLDFAST_TESTS_TRAVEL_KIT_H
#define HOLDFAST_TESTS_TRAVEL_KIT_H

#include "engine/json.h"
#include "tests/drive.h"

enum { TRAVEL_TIMEOUT_MS = 120000, TRAVEL_WORDS_MAX = 24 };

/* mysqldump --single-transaction of the whole database (`table` NULL), or of one table,
 * once all tables of its two streams are made; free() it. */
char *travel_dump(struct drive *d, const char *table);

/* Into the named database, which must exist. */
void travel_restore(struct drive *d, const char *database, const char *dump);

/* An empty database; its name is borrowed. */
void travel_database(struct drive *d, const char *name);

/* What of stream mozi depends neither on the order of batches nor on how often they came:
 * free() it. */
char *travel_state(struct drive *d, const char *database);

/* Runs `holdfast words... --config F` and expects the exit code; what it said, both
 * outputs together: free() it. */
char *travel_command(struct drive *d, const char *words, int exit_code);

/* The same with --json, of standard output alone; json_value_free. */
struct json_value *travel_json(struct drive *d, const char *words, int exit_code);

#endif
