#include "engine/config_env.h"

enum { NAME_MAX_BYTES = 128 };

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.len > 0 && name.len < NAME_MAX_BYTES;
}

static bool starts_with(struct slice text, struct slice prefix)
{
    return text.len >= prefix.len && memcmp(text.data, prefix.data, prefix.len) == 0;
}

/* `text` begins with "${"; *out_used is the reference's length. */
static int expand_one(struct slice text, const char *(*lookup)(const char *name),
                      struct buf *out, size_t *out_used, struct err *err)
{
    const char *end = memchr(text.data, '}', text.len);
    if (!end) {
        return err_set(err, ERR_CONFIG, 0,
                       "'${' is not closed; write ${NAME}, or $${ for the characters");
    }
    struct slice name = slice_of(text.data + 2, (size_t)(end - text.data) - 2);
    if (!is_name(name)) {
        return err_set(err, ERR_CONFIG, 0,
                       "'${%.*s}' names no environment variable; write ${NAME}, or $${ "
                       "for the characters",
                       (int)(name.len < NAME_MAX_BYTES ? name.len : NAME_MAX_BYTES),
                       name.data);
    }
    char text_name[NAME_MAX_BYTES];
    memcpy(text_name, name.data, name.len);
    text_name[name.len] = '\0';
    const char *value = lookup(text_name);
    if (!value) {
        return err_set(err, ERR_CONFIG, 0,
                       "environment variable %s is not set; set it, or write the value "
                       "here",
                       text_name);
    }
    buf_append_text(out, value);
    *out_used = name.len + 3;
    return ERR_OK;
}

static int expand_next(struct slice text, const char *(*lookup)(const char *name),
                       struct buf *out, size_t *out_used, struct err *err)
{
    if (starts_with(text, SLICE_LITERAL("$${"))) {
        buf_append_text(out, "${");
        *out_used = 3;
        return ERR_OK;
    }
    if (starts_with(text, SLICE_LITERAL("${"))) {
        return expand_one(text, lookup, out, out_used, err);
    }
    buf_append_char(out, text.data[0]);
    *out_used = 1;
    return ERR_OK;
}

int config_env_expand(struct slice text, const char *(*lookup)(const char *name),
                      struct buf *out, struct err *err)
{
    while (text.len) {
        size_t used = 0;
        int code = expand_next(text, lookup, out, &used, err);
        if (code) {
            return code;
        }
        text = slice_of(text.data + used, text.len - used);
    }
    return out->failed ? err_set(err, ERR_NOMEM, 0, "no memory for the configuration")
                       : ERR_OK;
}
