/* engine/cli_progress.h: what the journal's tools report, as progress on standard error.
 */
#ifndef HOLDFAST_ENGINE_CLI_PROGRESS_H
#define HOLDFAST_ENGINE_CLI_PROGRESS_H

#include "engine/cli.h"
#include "engine/progress.h"
#include "journal/tools.h"

struct cli_progress {
    struct journal_progress journal; /* to be handed over; its context is this */
    struct progress line;
    bool quiet;
    char step[16];
};

void cli_progress_begin(const struct cli *cli, struct cli_progress *out_progress);
void cli_progress_end(struct cli_progress *progress);

#endif
