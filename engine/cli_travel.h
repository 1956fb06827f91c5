/* engine/cli_travel.h: `replay` without --accept-gap: retained batches applied again,
 * into another database or, where it was rewound, into the configured one. */
#ifndef HOLDFAST_ENGINE_CLI_TRAVEL_H
#define HOLDFAST_ENGINE_CLI_TRAVEL_H

#include "engine/cli.h"

int cli_travel(const struct cli *cli);

#endif
