#include "engine/body.h"
#include "engine/body_forms.h"

static struct slice skip_blanks(struct slice text)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    if (text.len >= 3 && memcmp(text.data, byte_order_mark, 3) == 0) {
        text = slice_of(text.data + 3, text.len - 3);
    }
    struct slice trimmed = slice_trim(text);
    return slice_of(trimmed.data, text.len - (size_t)(trimmed.data - text.data));
}

int body_parse(struct slice body, const struct body_rules *rules,
               const struct body_handler *handler, struct err *err)
{
    struct slice text = skip_blanks(body);
    if (slice_trim(text).len == 0) {
        return err_set(err, ERR_INVALID, 0,
                       "the body is empty; send records as JSON or CSV");
    }
    bool is_json = text.data[0] == '{' || text.data[0] == '[';
    uint64_t records =
        is_json ? body_parse_json(text, handler) : body_parse_csv(text, rules, handler);
    if (records > 0) {
        return ERR_OK;
    }
    if (!is_json && rules->csv_count == 0 && rules->key_count > 0) {
        return err_set(
            err, ERR_INVALID, 0,
            "no record was recognised in the body; as CSV it needs a first line "
            "that names its columns, '%s' among them; nothing was taken",
            rules->key_fields[0]);
    }
    return err_set(
        err, ERR_INVALID, 0,
        "no record was recognised in the body (taken as %s by its first byte); "
        "nothing was taken",
        is_json ? "JSON" : "CSV");
}
