/* Configuration: the whole file. It is taken, or refused with one message that names the
 * place; a stream that was taken can be printed as DDL. */
#include "schema/ddl.h"
#include "tests/fuzz/kit.h"

#include <stdlib.h>

/* Whatever is named in it, a statement is one: every quote is closed, and outside of them
 * is nothing but the words and signs of DDL. */
static void expect_closed(struct slice sql)
{
    static const char signs[] = " \n(),=_+0123456789";
    char open = 0;
    for (size_t i = 0; i < sql.len; i++) {
        char c = sql.data[i];
        if (open) {
            i += c == '\\' && open == '\'';
            open = c == open ? 0 : open;
        } else if (c == '\'' || c == '`') {
            open = c;
        } else {
            bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            fuzz_expect(letter || (c && strchr(signs, c)), "nothing else is said");
        }
    }
    fuzz_expect(open == 0, "every quote is closed");
}

static void use(const struct config *config)
{
    fuzz_expect(config->stream_count > 0, "a configuration has a stream");
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct stream *stream = config->streams[i];
        struct buf ddl = {0};
        fuzz_expect(config_stream(config, slice_text(stream->name)) == stream,
                    "a stream is found by its name");
        ddl_append_entity_table(&ddl, stream);
        ddl_append_event_table(&ddl, stream);
        fuzz_expect(!ddl.failed && ddl.len > 0, "a stream has its tables");
        expect_closed(buf_slice(&ddl));
        buf_free(&ddl);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = fuzz_copy(data, size);
    struct config *config = NULL;
    struct err err = {0};
    int code = config_parse("f.yaml", text, &config, &err);
    if (code == ERR_OK) {
        use(config);
        config_free(config);
    } else {
        fuzz_expect(code == ERR_CONFIG && config == NULL, "refused as configuration");
        fuzz_expect(strncmp(err.message, "f.yaml", 6) == 0, "the file is named");
    }
    free((void *)text.data);
    return 0;
}
