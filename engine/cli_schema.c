/* `schema`: the DDL of the configured streams, and the least rights. */
#include "engine/cli.h"
#include "replay/ledger.h"
#include "schema/ddl.h"

static void append_streams(struct buf *out, const struct stream *const *streams,
                           size_t count)
{
    ledger_append_ddl(out);
    buf_append_text(out, ";\n\n");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "-- stream %s\n", streams[i]->name);
        ddl_append_entity_table(out, streams[i]);
        buf_append_text(out, ";\n\n");
        ddl_append_event_table(out, streams[i]);
        buf_append_text(out, ";\n\n");
    }
}

static int print_schema(const struct cli *cli, const struct config *config,
                        const struct stream *const *streams, size_t count)
{
    const char *database = cli->text[OPTION_DATABASE_NAME];
    const char *user = cli->text[OPTION_USER];
    struct buf out = {0};
    append_streams(&out, streams, count);
    buf_append_text(&out,
                    "-- the least rights; the user must be there: CREATE USER first\n");
    struct ddl_rights rights = {
        .database = database ? database : config->database.name,
        .user = user ? user : config->database.user,
        .ledger_table = LEDGER_TABLE,
        .with_create = config->create_tables,
    };
    ddl_append_grants(&out, streams, count, &rights);
    int exit_code = out.failed ? cli_fail(EXIT_AGAIN, "no memory for the answer")
                               : cli_print(buf_slice(&out));
    buf_free(&out);
    return exit_code;
}

int cli_schema(const struct cli *cli)
{
    struct config *config = NULL;
    const char *name = cli->text[OPTION_STREAM];
    int exit_code = cli_load_config(cli, &config);
    if (exit_code) {
        return exit_code;
    }
    if (name) {
        const struct stream *stream = config_stream(config, slice_text(name));
        exit_code =
            stream ? print_schema(cli, config, &stream, 1) : cli_no_stream(config, name);
    } else {
        exit_code =
            print_schema(cli, config, (const struct stream *const *)config->streams,
                         config->stream_count);
    }
    config_free(config);
    return exit_code;
}
