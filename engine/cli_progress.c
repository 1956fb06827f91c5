#include "engine/cli_progress.h"

#include <stdio.h>

/* Each step has a line of its own. */
static void report(const char *step, uint64_t bytes, uint64_t entries, void *context)
{
    struct cli_progress *progress = context;
    if (strcmp(progress->step, step) != 0) {
        cli_progress_end(progress);
        snprintf(progress->step, sizeof progress->step, "%s", step);
        progress_begin(&progress->line, progress->step, 0, &clock_system);
        progress->line.quiet = progress->quiet;
    }
    progress_show(&progress->line, bytes, entries, "entries");
}

void cli_progress_begin(const struct cli *cli, struct cli_progress *out_progress)
{
    *out_progress =
        (struct cli_progress){.journal = {.report = report, .context = out_progress},
                              .quiet = cli_has(cli, OPTION_QUIET)};
}

void cli_progress_end(struct cli_progress *progress)
{
    if (progress->step[0]) {
        progress_end(&progress->line);
    }
}
