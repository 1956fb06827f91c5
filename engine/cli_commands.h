/* engine/cli_commands.h: the dispatch table: every command's name, help and function. */
#ifndef HOLDFAST_ENGINE_CLI_COMMANDS_H
#define HOLDFAST_ENGINE_CLI_COMMANDS_H

#include "engine/cli.h"

extern const struct command cli_commands[];
extern const size_t cli_command_count;

#endif
