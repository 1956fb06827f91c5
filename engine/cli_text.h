/* engine/cli_text.h: JSON for people: indented "key: value" lines. One document is made
 * for both faces of a command, so that they can't say different things. */
#ifndef HOLDFAST_ENGINE_CLI_TEXT_H
#define HOLDFAST_ENGINE_CLI_TEXT_H

#include "base/slice.h"

/* Pure. Text that is not JSON comes out in some form, but ends. */
void cli_text_render(struct slice json, struct buf *out);

/* Prints the document as it is, or rendered; the exit code of cli_print. */
int cli_show(struct slice json, bool as_json);

#endif
