/* engine/cli_letters.h: dead letters as JSON, for `journal show` and `deadletter`. */
#ifndef HOLDFAST_ENGINE_CLI_LETTERS_H
#define HOLDFAST_ENGINE_CLI_LETTERS_H

#include "engine/json.h"
#include "journal/journal.h"

const char *cli_letter_state(const struct journal_dead_entry *dead);
void cli_letter_put(struct json_writer *json, const struct journal_dead_entry *dead);

/* Appends the dead letters of one entry as a JSON array. */
int cli_letters_append(struct journal *journal, uint64_t seq, struct buf *out,
                       struct err *err);

#endif
