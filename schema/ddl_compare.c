/* Does an existing table hold what the stream writes? Only what would lose, change or
 * refuse a value is a difference; a wider column, another index or more columns are not.
 */
#include "schema/ddl.h"
#include "schema/internal.h"

#include <strings.h>

struct comparison {
    const struct stream *stream;
    const struct stream_table *table;
    bool entity;
    const struct ddl_found_column *found;
    size_t found_count;
    struct buf *out;
    size_t differences;
};

/* Begins a sentence about `name`; the caller appends the rest. */
static void differ(struct comparison *comparison, const char *name)
{
    buf_append_text(comparison->out, comparison->differences++ ? "; " : "");
    ddl_append_identifier(comparison->out, comparison->table->name);
    buf_append_char(comparison->out, '.');
    ddl_append_identifier(comparison->out, name);
    buf_append_char(comparison->out, ' ');
}

static const struct ddl_found_column *find(const struct comparison *comparison,
                                           const char *name)
{
    for (size_t i = 0; i < comparison->found_count; i++) {
        if (strcasecmp(comparison->found[i].name, name) == 0) {
            return &comparison->found[i];
        }
    }
    return NULL;
}

/* ---- Types ------------------------------------------------------------------------- */

/* What an integer type of the server holds; 0 bits: it is none. */
static uint32_t integer_bits(const struct ddl_found_column *found)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } types[] = {{"tinyint", 8}, {"smallint", 16}, {"mediumint", 24},
                 {"int", 32},    {"integer", 32},  {"bigint", 64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcasecmp(found->data_type, types[i].name) == 0) {
            return types[i].bits;
        }
    }
    return 0;
}

static bool is_unsigned(const struct ddl_found_column *found)
{
    return strcasestr(found->column_type, "unsigned") != NULL;
}

static bool holds_integer(const struct ddl_found_column *found, uint32_t bits,
                          bool wanted_unsigned)
{
    uint32_t found_bits = integer_bits(found);
    if (is_unsigned(found)) {
        return wanted_unsigned && found_bits >= bits;
    }
    return found_bits >= bits + wanted_unsigned;
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool holds_text(const struct ddl_found_column *found)
{
    static const char *const types[] = {"varchar", "char",       "tinytext",
                                        "text",    "mediumtext", "longtext"};
    return is_one_of(found->data_type, types, sizeof types / sizeof types[0]);
}

/* Is 'member' (quotes doubled, as the server shows it) among column_type's? */
static bool has_member(const struct ddl_found_column *found, const char *member)
{
    struct slice wanted = slice_text(member);
    const char *at = strchr(found->column_type, '(');
    while (at && *at && *at != ')') {
        at++;
        if (*at != '\'') {
            return false;
        }
        bool same = true;
        size_t len = 0;
        for (at++; *at && (*at != '\'' || at[1] == '\''); at++, len++) {
            at += *at == '\'';
            same = same && len < wanted.len && wanted.data[len] == *at;
        }
        if (!*at) {
            return false;
        }
        if (same && len == wanted.len) {
            return true;
        }
        at++;
    }
    return false;
}

static bool holds_float(const struct ddl_found_column *found, uint32_t bits)
{
    return strcasecmp(found->data_type, "double") == 0 ||
           (bits == 32 && strcasecmp(found->data_type, "float") == 0);
}

static bool holds_type(const struct stream_column *column,
                       const struct ddl_found_column *found)
{
    const struct column_spec *spec = &column->spec;
    switch (column->type) {
    case COLUMN_STRING:
    case COLUMN_IP:
        return holds_text(found);
    case COLUMN_ENUM:
        return holds_text(found) || strcasecmp(found->data_type, "enum") == 0;
    case COLUMN_TIMESTAMP:
        return strcasecmp(found->data_type, "timestamp") == 0;
    case COLUMN_DATETIME:
        return strcasecmp(found->data_type, "datetime") == 0;
    case COLUMN_INTEGER:
        return holds_integer(found, spec->bits, spec->is_unsigned);
    case COLUMN_FLOAT:
        return holds_float(found, spec->bits);
    case COLUMN_BOOL:
        return integer_bits(found) > 0;
    }
    return false;
}

static size_t characters_wanted(const struct stream_column *column)
{
    size_t most = column->type == COLUMN_IP ? VALUE_IP_TEXT - 1 : column->spec.max;
    if (column->type == COLUMN_ENUM) {
        most = 0;
        for (size_t i = 0; i < column->spec.member_count; i++) {
            size_t len = strlen(column->spec.members[i]); /* bytes: not too few */
            most = len > most ? len : most;
        }
    }
    return most;
}

/* ---- One column ------------------------------------------------------------------ */

static void compare_text(struct comparison *comparison,
                         const struct stream_column *column,
                         const struct ddl_found_column *found, bool string_key)
{
    size_t wanted = characters_wanted(column);
    if (found->characters_max < wanted) {
        differ(comparison, column->name);
        buf_printf(comparison->out,
                   "takes %llu characters, and values have up to %zu: widen it, or give "
                   "the configuration a smaller max",
                   (unsigned long long)found->characters_max, wanted);
    }
    const char *collation = found->collation ? found->collation : "";
    size_t len = strlen(collation);
    if (string_key && (len < 4 || strcmp(collation + len - 4, "_bin") != 0)) {
        differ(comparison, column->name);
        buf_printf(comparison->out,
                   "is a key under collation %s, where different texts can be one key: "
                   "change it to utf8mb4_bin",
                   collation);
    }
    if (column->type == COLUMN_STRING && strncmp(collation, "utf8mb4", 7) != 0) {
        differ(comparison, column->name);
        buf_printf(comparison->out,
                   "is under collation %s, which can't hold every character: convert it "
                   "to utf8mb4",
                   found->collation ? collation : "(none)");
    }
}

static void compare_members(struct comparison *comparison,
                            const struct stream_column *column,
                            const struct ddl_found_column *found)
{
    for (size_t i = 0; i < column->spec.member_count; i++) {
        if (!has_member(found, column->spec.members[i])) {
            differ(comparison, column->name);
            buf_printf(comparison->out,
                       "lacks the member '%s': add it to the column, or take it out of "
                       "the configuration",
                       column->spec.members[i]);
        }
    }
}

static void compare_type(struct comparison *comparison,
                         const struct stream_column *column,
                         const struct ddl_found_column *found, bool string_key)
{
    if (!holds_type(column, found)) {
        differ(comparison, column->name);
        buf_printf(comparison->out,
                   "is %s, which can't hold what is configured: make it ",
                   found->column_type);
        ddl_append_type(comparison->out, column);
        buf_append_text(comparison->out, ", or change the configuration");
        return;
    }
    if (strcasecmp(found->data_type, "enum") == 0) {
        compare_members(comparison, column, found);
    } else if (field_value_type(column->type) == VALUE_TEXT ||
               column->type == COLUMN_IP) {
        compare_text(comparison, column, found, string_key);
    } else if (field_value_type(column->type) == VALUE_TIME &&
               found->precision < column->spec.precision) {
        differ(comparison, column->name);
        buf_printf(comparison->out,
                   "keeps %u digits of a second where %u are configured: widen it, or "
                   "configure precision: %u",
                   found->precision, column->spec.precision, found->precision);
    }
}

/* Nobody's column: the database fills it in, or a row can't be written. */
static void compare_unwritten(struct comparison *comparison,
                              const struct ddl_found_column *found)
{
    if (!found->nullable && !found->has_default && !found->auto_increment &&
        !found->generated) {
        differ(comparison, found->name);
        buf_append_text(comparison->out, "is NOT NULL without a default, and Holdfast "
                                         "never writes it: give it a default");
    }
}

static bool is_written(const struct comparison *comparison,
                       const struct stream_column *column)
{
    return column->field != STREAM_NO_FIELD || column->constant.type != VALUE_ABSENT ||
           (comparison->entity && column->merge == MERGE_COUNT);
}

static bool may_be_null(const struct comparison *comparison,
                        const struct stream_column *column)
{
    return column->field >= 0 && column->fallback.type == VALUE_ABSENT &&
           !comparison->stream->fields[column->field].required;
}

static void compare_written(struct comparison *comparison,
                            const struct stream_column *column,
                            const struct ddl_found_column *found)
{
    if (found->generated) {
        differ(comparison, column->name);
        buf_append_text(comparison->out, "is generated and can't be written: take it out "
                                         "of the configuration");
    }
    if (found->on_update) {
        differ(comparison, column->name);
        buf_append_text(comparison->out, "has ON UPDATE CURRENT_TIMESTAMP, so that it "
                                         "would change whenever its row does: remove it");
    }
    if (!found->nullable && may_be_null(comparison, column)) {
        differ(comparison, column->name);
        buf_append_text(comparison->out, "is NOT NULL, but a record may lack it: allow "
                                         "NULL, or configure not_null or a default");
    }
}

static void compare_column(struct comparison *comparison, size_t index, bool *out_missing)
{
    const struct stream_column *column = &comparison->table->columns[index];
    const struct ddl_found_column *found = find(comparison, column->name);
    bool missing = !found && column->spec.optional;
    if (out_missing) {
        out_missing[index] = missing;
    }
    if (missing) {
        return;
    }
    if (!found) {
        differ(comparison, column->name);
        buf_append_text(comparison->out, "is missing: add it as ");
        ddl_append_type(comparison->out, column);
        buf_append_text(comparison->out, ", or take it out of the configuration");
        return;
    }
    bool string_key = ddl_is_string_key(comparison->stream, comparison->entity, index);
    if (is_written(comparison, column)) {
        compare_type(comparison, column, found, string_key);
        compare_written(comparison, column, found);
    } else {
        compare_unwritten(comparison, found);
    }
}

/* ---- The table ------------------------------------------------------------------- */

static void compare_id(struct comparison *comparison, const char *name, uint32_t bits,
                       bool auto_increment)
{
    const struct ddl_found_column *found = find(comparison, name);
    if (!found || integer_bits(found) < bits) {
        differ(comparison, name);
        buf_printf(comparison->out, "%s%s: it must be %s", found ? "is " : "is missing",
                   found ? found->column_type : "", bits == 64 ? "BIGINT" : "INT");
    } else if (auto_increment && !found->auto_increment) {
        differ(comparison, name);
        buf_append_text(comparison->out, "is not AUTO_INCREMENT: make it so");
    }
}

static bool is_configured(const struct comparison *comparison, const char *name)
{
    return column_find(comparison->table, name) >= 0 ||
           strcasecmp(comparison->table->id, name) == 0 ||
           (!comparison->entity && strcasecmp(comparison->stream->entity_ref, name) == 0);
}

size_t ddl_compare(const struct stream *stream, bool entity,
                   const struct ddl_found_column *found, size_t found_count,
                   bool *out_missing, struct buf *out)
{
    struct comparison comparison = {
        .stream = stream,
        .table = entity ? &stream->entity : &stream->event,
        .entity = entity,
        .found = found,
        .found_count = found_count,
        .out = out,
    };
    compare_id(&comparison, comparison.table->id, comparison.table->id_bits, true);
    if (!entity) {
        compare_id(&comparison, stream->entity_ref, stream->entity.id_bits, false);
    }
    for (size_t i = 0; i < comparison.table->column_count; i++) {
        compare_column(&comparison, i, out_missing);
    }
    for (size_t i = 0; i < found_count; i++) {
        if (!is_configured(&comparison, found[i].name)) {
            compare_unwritten(&comparison, &found[i]);
        }
    }
    return comparison.differences;
}
