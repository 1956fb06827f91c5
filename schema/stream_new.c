#include "base/utf8.h"
#include "schema/builder.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum {
    STRING_MAX = 16383,     /* characters of four bytes in a row of 65535 bytes */
    INDEX_BYTES_MAX = 3072, /* of InnoDB */
    INDEX_COLUMNS_MAX = 16,
    INDEXES_MAX = 60, /* of InnoDB 64, less primary, unique and foreign key */
    MEMBERS_MAX = 1000,
};

struct block {
    struct block *next;
    alignas(max_align_t) unsigned char bytes[];
};

void builder_at(struct builder *builder, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(builder->path, sizeof builder->path, format, args);
    va_end(args);
}

int builder_refuse(struct builder *builder, const char *format, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return err_set(builder->err, ERR_CONFIG, 0, "%s: %s", builder->path, message);
}

void *builder_alloc(struct builder *builder, size_t count, size_t size)
{
    struct block *block = NULL;
    if (size && count <= (SIZE_MAX / 2) / size) {
        block = calloc(1, sizeof *block + count * size);
    }
    if (!block) {
        err_set(builder->err, ERR_NOMEM, 0, "no memory for a stream's description");
        return NULL;
    }
    block->next = builder->owner->blocks;
    builder->owner->blocks = block;
    return block->bytes;
}

/* A copy of `text` (NULL stays NULL). */
static int copy_text(struct builder *builder, const char *text, const char **out_copy)
{
    if (!text) {
        *out_copy = NULL;
        return ERR_OK;
    }
    size_t size = strlen(text) + 1;
    char *copy = builder_alloc(builder, size, 1);
    if (!copy) {
        return ERR_NOMEM;
    }
    memcpy(copy, text, size);
    *out_copy = copy;
    return ERR_OK;
}

static int copy_list(struct builder *builder, const char *const *list, size_t count,
                     const char *const **out_copy)
{
    const char **copy = builder_alloc(builder, count + 1, sizeof *copy);
    if (!copy) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        int code = copy_text(builder, list[i] ? list[i] : "", &copy[i]);
        if (code) {
            return code;
        }
    }
    *out_copy = copy;
    return ERR_OK;
}

/* ---- Names ---------------------------------------------------------------------- */

/* Letters of any script, digits, "_", "$" and "-": all that needs no thought in SQL. */
static bool is_identifier_char(struct slice text, size_t len)
{
    char c = text.data[0];
    return len > 1 ? len < 4
                   : (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '-';
}

static int check_identifier(struct builder *builder, const char *name)
{
    struct slice rest = slice_text(name ? name : "");
    if (rest.len == 0 || rest.len > IDENTIFIER_MAX) {
        return builder_refuse(builder, "a name of 1 to %d bytes is needed here",
                              IDENTIFIER_MAX);
    }
    while (rest.len) {
        size_t len = utf8_next(rest);
        if (len == 0 || !is_identifier_char(rest, len)) {
            return builder_refuse(builder,
                                  "'%s' is no name for a table or column: use letters, "
                                  "digits, '_', '-' and '$'",
                                  name);
        }
        rest = slice_of(rest.data + len, rest.len - len);
    }
    return ERR_OK;
}

/* A checked copy; never NULL. */
static int take_identifier(struct builder *builder, const char *name,
                           const char **out_name)
{
    *out_name = "";
    int code = check_identifier(builder, name);
    return code ? code : copy_text(builder, name ? name : "", out_name);
}

static int check_field_name(struct builder *builder, const char *name)
{
    size_t characters;
    size_t len = strlen(name);
    if (len == 0 || len > IDENTIFIER_MAX || !utf8_count(slice_text(name), &characters)) {
        return builder_refuse(builder, "a record field's name has 1 to %d bytes of UTF-8",
                              IDENTIFIER_MAX);
    }
    if (name[0] == '$') {
        return builder_refuse(builder,
                              "'%s' is not known: of the names that begin with '$' only "
                              "%s exists, and only in the event table",
                              name, COLUMN_FROM_RECEIVED);
    }
    return ERR_OK;
}

static int check_stream_name(struct builder *builder)
{
    const char *name = builder->spec->name ? builder->spec->name : "";
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    builder_at(builder, "name");
    if (len == 0 || len > STREAM_NAME_MAX || name[len]) {
        return builder_refuse(builder,
                              "a stream's name is 1 to %d letters, digits or '_'",
                              STREAM_NAME_MAX);
    }
    return copy_text(builder, name, &builder->owner->stream.name);
}

/* ---- Fields --------------------------------------------------------------------- */

static const char *type_word(enum value_type type)
{
    static const char *const words[] = {
        [VALUE_ABSENT] = "nothing",     [VALUE_TEXT] = "text",
        [VALUE_IP] = "an ip",           [VALUE_TIME] = "a time",
        [VALUE_INTEGER] = "an integer", [VALUE_FLOAT] = "a float",
        [VALUE_BOOL] = "a bool",
    };
    return words[type];
}

static bool has_member(const char *const *members, size_t count, const char *wanted,
                       int (*compare)(const char *, const char *))
{
    for (size_t i = 0; i < count; i++) {
        if (compare(members[i], wanted) == 0) {
            return true;
        }
    }
    return false;
}

/* Leaves the members that both enums know. */
static int intersect_members(struct builder *builder, struct stream_field *field,
                             const struct column_spec *column)
{
    const char **both = builder_alloc(builder, field->member_count + 1, sizeof *both);
    if (!both) {
        return ERR_NOMEM;
    }
    size_t count = 0;
    for (size_t i = 0; i < field->member_count; i++) {
        if (has_member(column->members, column->member_count, field->members[i],
                       strcmp)) {
            both[count++] = field->members[i];
        }
    }
    if (count == 0) {
        return builder_refuse(builder,
                              "field '%s' feeds two enums that have no member in common",
                              field->name);
    }
    field->members = both;
    field->member_count = count;
    return ERR_OK;
}

static int add_field(struct builder *builder, const char *name, enum value_type type,
                     int *out_index)
{
    struct stream *stream = &builder->owner->stream;
    if (stream->field_count == STREAM_FIELDS_MAX) {
        return builder_refuse(builder, "more than %d record fields", STREAM_FIELDS_MAX);
    }
    size_t index = stream->field_count++;
    builder->owner->fields[index] = field_widest(name, type);
    builder->owner->name_len[index] = (uint8_t)strlen(name);
    *out_index = (int)index;
    return ERR_OK;
}

/* The field that feeds the column, made or narrowed. */
static int feed_column(struct builder *builder, struct stream_column *column)
{
    enum value_type type = field_value_type(column->type);
    int code = check_field_name(builder, column->spec.from);
    int index = stream_field_find(&builder->owner->stream, slice_text(column->spec.from));
    if (!code && index == STREAM_NO_FIELD) {
        code = add_field(builder, column->spec.from, type, &index);
    }
    if (code) {
        return code;
    }
    struct stream_field *field = &builder->owner->fields[index];
    column->field = index;
    if (field->type != type) {
        return builder_refuse(builder,
                              "field '%s' feeds this column as %s and another one as %s: "
                              "columns fed by one field take one kind of value",
                              field->name, type_word(type), type_word(field->type));
    }
    if (column->type == COLUMN_ENUM && field->members) {
        return intersect_members(builder, field, &column->spec);
    }
    field_narrow(field, &column->spec);
    return ERR_OK;
}

/* ---- Columns -------------------------------------------------------------------- */

/* What must stand between quotes in DDL under any sql_mode. */
static bool is_plain_text(const char *text)
{
    size_t characters;
    for (const char *at = text; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f || *at == '\\') {
            return false;
        }
    }
    return utf8_count(slice_text(text), &characters);
}

static int check_members(struct builder *builder, const struct column_spec *spec)
{
    if (spec->member_count == 0 || spec->member_count > MEMBERS_MAX) {
        return builder_refuse(builder, "an enum has 1 to %d members", MEMBERS_MAX);
    }
    for (size_t i = 0; i < spec->member_count; i++) {
        struct slice member = slice_text(spec->members[i]);
        if (member.len == 0 || member.len > 255 || !is_plain_text(member.data) ||
            slice_trim(member).len != member.len) {
            return builder_refuse(builder,
                                  "enum member %zu must be 1 to 255 bytes of UTF-8 "
                                  "without backslash, control or outer blanks",
                                  i);
        }
        /* without case, as the database takes them */
        if (has_member(spec->members, i, member.data, strcasecmp)) {
            return builder_refuse(builder, "enum member '%s' is one with an earlier one",
                                  member.data);
        }
    }
    return ERR_OK;
}

static int check_width(struct builder *builder, const struct column_spec *spec)
{
    bool bits_fit = spec->bits == 32 || spec->bits == 64;
    switch (spec->type) {
    case COLUMN_STRING:
        if (spec->max == 0 || spec->max > STRING_MAX) {
            return builder_refuse(builder, "a string needs max, 1 to %d characters",
                                  STRING_MAX);
        }
        break;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
        if (spec->precision > 6) {
            return builder_refuse(builder, "precision is 0 to 6 digits of a second");
        }
        break;
    case COLUMN_INTEGER:
        if (!bits_fit && spec->bits != 8 && spec->bits != 16) {
            return builder_refuse(builder, "an integer has 8, 16, 32 or 64 bits");
        }
        break;
    case COLUMN_FLOAT:
        if (!bits_fit) {
            return builder_refuse(builder, "a float has 32 or 64 bits");
        }
        break;
    case COLUMN_ENUM:
        return check_members(builder, spec);
    case COLUMN_IP:
    case COLUMN_BOOL:
        break;
    }
    return ERR_OK;
}

/* A default or constant as a value of the column. */
static int parse_literal(struct builder *builder, const struct stream_column *column,
                         const char *literal, struct value *out_value)
{
    enum value_type type = field_value_type(column->type);
    if (type == VALUE_TIME) {
        return builder_refuse(builder,
                              "'%s': a time column takes no value of its own "
                              "but the default \"now\"",
                              literal);
    }
    struct stream_field field = field_widest(column->name, type);
    field_narrow(&field, &column->spec);
    struct raw_value raw = {RAW_STRING, slice_text(literal)};
    struct time_rules rules = {0};
    struct reject reject;
    if (!is_plain_text(literal)) {
        return builder_refuse(builder, "a value here must be UTF-8 without backslash "
                                       "or control characters");
    }
    if (!stream_field_parse(&field, &raw, &rules, out_value, &reject)) {
        return builder_refuse(builder, "'%s' is no value of this column: %s", literal,
                              reject.detail);
    }
    return ERR_OK;
}

static bool is_now(const struct column_spec *spec)
{
    return spec->default_value && strcmp(spec->default_value, "now") == 0 &&
           field_value_type(spec->type) == VALUE_TIME;
}

static int take_literals(struct builder *builder, struct stream_column *column)
{
    const struct column_spec *spec = &column->spec;
    if (is_now(spec)) {
        return column->field < 0
                   ? ERR_OK
                   : builder_refuse(builder,
                                    "the default \"now\" is for columns that no record "
                                    "field feeds: '%s' feeds this one",
                                    spec->from);
    }
    int code = ERR_OK;
    if (spec->default_value) {
        code = parse_literal(builder, column, spec->default_value, &column->fallback);
    }
    if (!code && spec->value) {
        code = parse_literal(builder, column, spec->value, &column->constant);
    }
    return code;
}

static int copy_column_texts(struct builder *builder, struct column_spec *spec)
{
    int code = copy_text(builder, spec->name, &spec->name);
    code = code ? code : copy_text(builder, spec->from, &spec->from);
    code = code ? code : copy_text(builder, spec->value, &spec->value);
    code = code ? code : copy_text(builder, spec->default_value, &spec->default_value);
    if (!code && spec->type == COLUMN_ENUM) {
        code = copy_list(builder, spec->members, spec->member_count, &spec->members);
    }
    return code;
}

static int take_source(struct builder *builder, struct stream_column *column, bool entity)
{
    const struct column_spec *spec = &column->spec;
    column->field = STREAM_NO_FIELD;
    if (spec->from && spec->value) {
        return builder_refuse(builder, "a column has `from` or `value`, not both");
    }
    if (spec->from && !entity && strcmp(spec->from, COLUMN_FROM_RECEIVED) == 0) {
        column->field = STREAM_RECEIVED;
        if (field_value_type(spec->type) != VALUE_TIME) {
            return builder_refuse(builder, "%s needs a timestamp or datetime column",
                                  COLUMN_FROM_RECEIVED);
        }
        return ERR_OK;
    }
    return spec->from ? feed_column(builder, column) : ERR_OK;
}

static int take_column(struct builder *builder, const struct column_spec *spec,
                       bool entity, struct stream_column *column)
{
    column->spec = *spec;
    int code = check_identifier(builder, spec->name);
    if (!code && (spec->type < COLUMN_STRING || spec->type > COLUMN_ENUM ||
                  spec->merge < MERGE_NONE || spec->merge > MERGE_CONSTANT)) {
        code = builder_refuse(builder, "unknown type or merge rule");
    }
    if (!code && spec->bits == 0) {
        column->spec.bits = 32;
    }
    code = code ? code : check_width(builder, &column->spec);
    code = code ? code : copy_column_texts(builder, &column->spec);
    column->name = column->spec.name;
    column->type = spec->type;
    column->merge = spec->merge;
    code = code ? code : take_source(builder, column, entity);
    return code ? code : take_literals(builder, column);
}

/* ---- Indexes -------------------------------------------------------------------- */

void index_name(const char *prefix, const char *const *columns, size_t count,
                char out_name[IDENTIFIER_MAX + 1])
{
    size_t len = 0;
    for (size_t i = 0; i <= count; i++) {
        struct slice rest = slice_text(i ? columns[i - 1] : prefix);
        if (i && len < IDENTIFIER_MAX) {
            out_name[len++] = '_';
        }
        size_t step = utf8_next(rest);
        while (step && len + step <= IDENTIFIER_MAX) {
            memcpy(out_name + len, rest.data, step);
            len += step;
            rest = slice_of(rest.data + step, rest.len - step);
            step = utf8_next(rest);
        }
    }
    out_name[len] = '\0';
}

int column_find(const struct stream_table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcasecmp(table->columns[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool is_known_column(const struct builder *builder,
                            const struct stream_table *table, const char *name)
{
    return column_find(table, name) >= 0 || strcasecmp(table->id, name) == 0 ||
           (table == &builder->owner->stream.event &&
            strcasecmp(builder->owner->stream.entity_ref, name) == 0);
}

static int check_index_name(struct builder *builder, const struct index_spec *indexes,
                            size_t at)
{
    int code = check_identifier(builder, indexes[at].name);
    if (!code && strcasecmp(indexes[at].name, "PRIMARY") == 0) {
        code = builder_refuse(builder, "PRIMARY is the primary key's own name");
    }
    for (size_t i = 0; !code && i < at; i++) {
        if (strcasecmp(indexes[i].name, indexes[at].name) == 0) {
            code = builder_refuse(builder,
                                  "two indexes are named '%s': give one another name",
                                  indexes[at].name);
        }
    }
    return code;
}

static int take_index(struct builder *builder, const struct stream_table *table,
                      const struct index_spec *spec, struct index_spec *out_index)
{
    out_index->name = "";
    if (spec->column_count == 0 || spec->column_count > INDEX_COLUMNS_MAX) {
        return builder_refuse(builder, "an index has 1 to %d columns", INDEX_COLUMNS_MAX);
    }
    for (size_t i = 0; i < spec->column_count; i++) {
        const char *name = spec->columns[i] ? spec->columns[i] : "";
        if (!is_known_column(builder, table, name)) {
            return builder_refuse(builder, "the table has no column '%s'", name);
        }
    }
    char name[IDENTIFIER_MAX + 1];
    index_name("idx", spec->columns, spec->column_count, name);
    out_index->column_count = spec->column_count;
    int code = copy_text(builder, spec->name ? spec->name : name, &out_index->name);
    return code ? code
                : copy_list(builder, spec->columns, spec->column_count,
                            &out_index->columns);
}

static int take_indexes(struct builder *builder, const struct table_spec *spec,
                        struct stream_table *table, const char *label)
{
    builder_at(builder, "%s.indexes", label);
    if (spec->index_count > INDEXES_MAX) {
        return builder_refuse(builder, "more than %d indexes", INDEXES_MAX);
    }
    struct index_spec *indexes =
        builder_alloc(builder, spec->index_count + 1, sizeof *indexes);
    int code = indexes ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !code && i < spec->index_count; i++) {
        builder_at(builder, "%s.indexes[%zu]", label, i);
        code = take_index(builder, table, &spec->indexes[i], &indexes[i]);
        code = code ? code : check_index_name(builder, indexes, i);
    }
    table->indexes = indexes;
    table->index_count = spec->index_count;
    return code;
}

/* ---- Tables --------------------------------------------------------------------- */

/* The table's name with {stream} replaced. */
static int take_table_name(struct builder *builder, const char *pattern,
                           const char **out_name)
{
    static const char place[] = "{stream}";
    char name[IDENTIFIER_MAX + STREAM_NAME_MAX + 2];
    const char *at = pattern ? strstr(pattern, place) : NULL;
    const char *stream = builder->owner->stream.name;
    int len = at ? snprintf(name, sizeof name, "%.*s%s%s", (int)(at - pattern), pattern,
                            stream, at + sizeof place - 1)
                 : snprintf(name, sizeof name, "%s", pattern ? pattern : "");
    if (len < 0 || (size_t)len >= sizeof name) {
        return builder_refuse(builder, "a table's name has at most %d bytes",
                              IDENTIFIER_MAX);
    }
    int code = check_identifier(builder, name);
    return code ? code : copy_text(builder, name, out_name);
}

static int take_id(struct builder *builder, const struct table_spec *spec,
                   struct stream_table *table, const char *label)
{
    builder_at(builder, "%s.id", label);
    int code = take_identifier(builder, spec->id, &table->id);
    if (!code && spec->id_bits != 0 && spec->id_bits != 32 && spec->id_bits != 64) {
        builder_at(builder, "%s.id_bits", label);
        code = builder_refuse(builder, "an id has 32 or 64 bits");
    }
    table->id_bits = spec->id_bits ? spec->id_bits : 64;
    return code;
}

static int take_columns(struct builder *builder, const struct table_spec *spec,
                        struct stream_table *table, const char *label)
{
    builder_at(builder, "%s.columns", label);
    if (spec->column_count == 0 || spec->column_count > STREAM_COLUMNS_MAX) {
        return builder_refuse(builder, "a table has 1 to %d columns", STREAM_COLUMNS_MAX);
    }
    bool entity = table == &builder->owner->stream.entity;
    struct stream_column *columns =
        builder_alloc(builder, spec->column_count, sizeof *columns);
    if (!columns) {
        return ERR_NOMEM;
    }
    table->columns = columns;
    for (size_t i = 0; i < spec->column_count; i++) {
        builder_at(builder, "%s.columns[%zu]", label, i);
        int code = check_identifier(builder, spec->columns[i].name);
        if (!code && is_known_column(builder, table, spec->columns[i].name)) {
            code = builder_refuse(builder, "the table has a column '%s' already",
                                  spec->columns[i].name);
        }
        code = code ? code : take_column(builder, &spec->columns[i], entity, &columns[i]);
        if (code) {
            return code;
        }
        table->column_count = i + 1;
    }
    return ERR_OK;
}

static int take_table(struct builder *builder, const struct table_spec *spec,
                      struct stream_table *table, const char *label)
{
    builder_at(builder, "%s.table", label);
    int code = take_table_name(builder, spec->table, &table->name);
    code = code ? code : take_id(builder, spec, table, label);
    code = code ? code : take_columns(builder, spec, table, label);
    return code ? code : take_indexes(builder, spec, table, label);
}

static int take_lanes(struct builder *builder)
{
    const struct stream_spec *spec = builder->spec;
    builder_at(builder, "lanes");
    if (spec->lanes > STREAM_LANES_MAX) {
        return builder_refuse(builder, "a stream has 1 to %d lanes", STREAM_LANES_MAX);
    }
    builder->owner->stream.lanes = spec->lanes ? spec->lanes : 1;
    builder->owner->stream.on_conflict = spec->on_conflict;
    return ERR_OK;
}

static int take_entity_ref(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    builder_at(builder, "entity_ref");
    return take_identifier(builder, builder->spec->entity_ref, &stream->entity_ref);
}

static int build(struct builder *builder)
{
    struct stream *stream = &builder->owner->stream;
    const struct stream_spec *spec = builder->spec;
    stream->fields = builder->owner->fields;
    int code = check_stream_name(builder);
    code = code ? code : take_lanes(builder);
    code = code ? code : take_entity_ref(builder);
    code = code ? code : take_table(builder, &spec->entity, &stream->entity, "entity");
    code = code ? code : take_table(builder, &spec->event, &stream->event, "event");
    if (!code && strcasecmp(stream->entity.name, stream->event.name) == 0) {
        builder_at(builder, "event.table");
        code = builder_refuse(builder, "both tables are '%s'", stream->event.name);
    }
    if (!code && strcasecmp(stream->event.id, stream->entity_ref) == 0) {
        builder_at(builder, "entity_ref");
        code = builder_refuse(builder, "'%s' is the event table's id", stream->event.id);
    }
    return code ? code : builder_roles(builder);
}

int stream_new(const struct stream_spec *spec, struct stream **out_stream,
               char out_path[STREAM_PATH_MAX], struct err *err)
{
    struct stream_owner *owner = calloc(1, sizeof *owner);
    if (!owner) {
        return err_set(err, ERR_NOMEM, 0, "no memory for a stream's description");
    }
    struct builder builder = {.spec = spec, .owner = owner, .err = err};
    int code = build(&builder);
    if (code) {
        if (out_path) {
            memcpy(out_path, builder.path, STREAM_PATH_MAX);
        }
        stream_free(&owner->stream);
        return code;
    }
    *out_stream = &owner->stream;
    return ERR_OK;
}

void stream_free(struct stream *stream)
{
    struct stream_owner *owner = (struct stream_owner *)stream;
    while (owner && owner->blocks) {
        struct block *next = owner->blocks->next;
        free(owner->blocks);
        owner->blocks = next;
    }
    free(owner);
}
