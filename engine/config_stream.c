#include "engine/config_stream.h"

#include <stdio.h>
#include <stdlib.h>

/* From engine/presets, made by cmake/embed.cmake. */
extern const char preset_botnet_yaml[];
extern const size_t preset_botnet_yaml_len;

enum { KEY_PATH_MAX = 256 };

static const struct {
    const char *name;
    const char *text;
    const size_t *len;
} presets[] = {
    {"botnet", preset_botnet_yaml, &preset_botnet_yaml_len},
};

static const char *const type_words[] = {
    [COLUMN_STRING] = "string",       [COLUMN_IP] = "ip",
    [COLUMN_TIMESTAMP] = "timestamp", [COLUMN_DATETIME] = "datetime",
    [COLUMN_INTEGER] = "integer",     [COLUMN_FLOAT] = "float",
    [COLUMN_BOOL] = "bool",           [COLUMN_ENUM] = "enum",
    [COLUMN_ENUM + 1] = NULL,
};

static const char *const merge_words[] = {
    [MERGE_NONE] = "none",     [MERGE_KEY] = "key",           [MERGE_FIRST] = "first",
    [MERGE_LATEST] = "latest", [MERGE_MIN] = "min",           [MERGE_MAX] = "max",
    [MERGE_COUNT] = "count",   [MERGE_CONSTANT] = "constant", [MERGE_CONSTANT + 1] = NULL,
};

static const char *const conflict_words[] = {
    [CONFLICT_COUNT] = "count",
    [CONFLICT_KEEP] = "keep",
    [CONFLICT_KEEP + 1] = NULL,
};

/* A stream on its way: where it stands in the file, and what it borrows. */
struct draft {
    struct config_reader *reader;
    char at[32];      /* "streams[3]" */
    bool from_preset; /* then only name, lanes and on_conflict have a line */
    struct stream_spec spec;
};

/* "streams[3].entity.columns[2]" + key */
static const char *path_of(const struct draft *draft, const char *within, const char *key,
                           char out_path[KEY_PATH_MAX])
{
    snprintf(out_path, KEY_PATH_MAX, "%s%s%s%s%s", draft->at, *within ? "." : "", within,
             *key ? "." : "", key);
    return out_path;
}

static const char *const *borrowed(char *const *list)
{
    return (const char *const *)list;
}

static void read_flag(struct draft *draft, const char *within, const char *key,
                      const char *text, bool *out)
{
    char path[KEY_PATH_MAX];
    read_bool(draft->reader, path_of(draft, within, key, path), text, out);
}

static void read_number(struct draft *draft, const char *within, const char *key,
                        const char *text, uint32_t *out)
{
    char path[KEY_PATH_MAX];
    read_count32(draft->reader, path_of(draft, within, key, path), text,
                 (struct read_range){0, UINT32_MAX}, out);
}

static void read_column(struct draft *draft, const char *within,
                        const struct raw_column *raw, struct column_spec *column)
{
    char path[KEY_PATH_MAX];
    unsigned type = 0;
    unsigned merge = MERGE_NONE;
    *column = (struct column_spec){
        .name = raw->name,
        .members = borrowed(raw->members),
        .member_count = raw->members_count,
        .from = raw->from,
        .value = raw->value,
        .default_value = raw->default_value,
    };
    read_word(draft->reader, path_of(draft, within, "type", path), raw->type, type_words,
              &type);
    read_word(draft->reader, path_of(draft, within, "merge", path), raw->merge,
              merge_words, &merge);
    column->type = (enum column_type)type;
    column->merge = (enum merge_rule)merge;
    read_number(draft, within, "max", raw->max, &column->max);
    read_number(draft, within, "bits", raw->bits, &column->bits);
    read_number(draft, within, "precision", raw->precision, &column->precision);
    read_flag(draft, within, "unsigned", raw->is_unsigned, &column->is_unsigned);
    read_flag(draft, within, "not_null", raw->not_null, &column->not_null);
    read_flag(draft, within, "optional", raw->optional, &column->optional);
    if (raw->members && column->type != COLUMN_ENUM) {
        read_refuse(draft->reader, path_of(draft, within, "members", path),
                    "members are for enum columns; leave them out");
    }
    if (raw->max && column->type != COLUMN_STRING) {
        read_refuse(draft->reader, path_of(draft, within, "max", path),
                    "max is for string columns; leave it out");
    }
}

/* The columns and indexes of a table; what it allocates goes with free_table. */
static void read_table(struct draft *draft, const char *label,
                       const struct raw_table *raw, struct table_spec *table)
{
    struct column_spec *columns = calloc(raw->columns_count + 1, sizeof *columns);
    struct index_spec *indexes = calloc(raw->indexes_count + 1, sizeof *indexes);
    char within[64];
    table->table = raw->table;
    table->id = raw->id;
    table->columns = columns;
    table->indexes = indexes;
    if (!columns || !indexes) {
        draft->reader->code =
            err_set(draft->reader->err, ERR_NOMEM, 0, "no memory for the configuration");
        return;
    }
    read_number(draft, label, "id_bits", raw->id_bits, &table->id_bits);
    for (unsigned i = 0; i < raw->columns_count; i++) {
        snprintf(within, sizeof within, "%s.columns[%u]", label, i);
        read_column(draft, within, &raw->columns[i], &columns[i]);
    }
    for (unsigned i = 0; i < raw->indexes_count; i++) {
        indexes[i] = (struct index_spec){
            .columns = borrowed(raw->indexes[i].columns),
            .column_count = raw->indexes[i].columns_count,
            .name = raw->indexes[i].name,
        };
    }
    table->column_count = raw->columns_count;
    table->index_count = raw->indexes_count;
}

static void free_table(struct table_spec *table)
{
    free((void *)table->columns);
    free((void *)table->indexes);
}

/* ---- What stands for what -------------------------------------------------------- */

static void read_tables(struct draft *draft, const struct raw_stream *raw)
{
    struct stream_spec *spec = &draft->spec;
    spec->time = raw->time;
    spec->csv = borrowed(raw->csv);
    spec->csv_count = raw->csv_count;
    spec->entity_ref = raw->event->entity;
    spec->event_key = borrowed(raw->event->key);
    spec->event_key_count = raw->event->key_count;
    spec->compare = borrowed(raw->event->compare);
    spec->compare_count = raw->event->compare_count;
    read_table(draft, "entity", raw->entity, &spec->entity);
    if (!draft->reader->code) {
        read_table(draft, "event", raw->event, &spec->event);
    }
}

/* A place within the stream as stream_new names it -> the place in the file. */
static void refuse_spec(struct draft *draft, const char *place, const struct err *why)
{
    char path[KEY_PATH_MAX];
    size_t len = strlen(place);
    const char *message = why->message;
    if (strncmp(message, place, len) == 0 && strncmp(message + len, ": ", 2) == 0) {
        message += len + 2;
    }
    bool is_reference = strcmp(place, "entity_ref") == 0;
    bool in_file =
        !draft->from_preset || strcmp(place, "name") == 0 || strcmp(place, "lanes") == 0;
    path_of(draft, in_file ? (is_reference ? "event.entity" : place) : "", "", path);
    read_refuse(draft->reader, path, "%s", message);
}

static void make_stream(struct draft *draft, const struct raw_stream *raw,
                        struct stream **out_stream)
{
    char place[STREAM_PATH_MAX] = "";
    struct err why = {0};
    read_tables(draft, raw);
    if (!draft->reader->code && stream_new(&draft->spec, out_stream, place, &why)) {
        if (why.code == ERR_CONFIG) {
            refuse_spec(draft, place, &why);
        } else {
            *draft->reader->err = why;
            draft->reader->code = why.code;
        }
    }
    free_table(&draft->spec.entity);
    free_table(&draft->spec.event);
}

static void check_spelled_out(struct draft *draft, const struct raw_stream *raw)
{
    const char *missing = !raw->entity  ? "entity"
                          : !raw->event ? "event"
                          : !raw->time  ? "time"
                                        : NULL;
    if (missing) {
        char path[KEY_PATH_MAX];
        read_refuse(draft->reader, path_of(draft, "", missing, path),
                    "is missing; spell out entity, event and time, or name a preset "
                    "(botnet)");
    }
}

static void check_preset_alone(struct draft *draft, const struct raw_stream *raw)
{
    const char *more = raw->entity  ? "entity"
                       : raw->event ? "event"
                       : raw->time  ? "time"
                       : raw->csv   ? "csv"
                                    : NULL;
    if (more) {
        char path[KEY_PATH_MAX];
        read_refuse(draft->reader, path_of(draft, "", more, path),
                    "preset %s says this already; leave it out, or spell the whole "
                    "stream out without a preset",
                    raw->preset);
    }
}

static void make_from_preset(struct draft *draft, const struct raw_stream *raw,
                             struct stream **out_stream)
{
    char path[KEY_PATH_MAX];
    path_of(draft, "", "preset", path);
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, raw->preset) != 0) {
            continue;
        }
        struct slice text = slice_of(presets[i].text, *presets[i].len);
        struct locate *locate = NULL;
        struct raw_stream *preset = NULL;
        struct config_reader *reader = draft->reader;
        reader->code = locate_new("preset", text, &locate, reader->err);
        if (!reader->code) {
            reader->code = raw_preset_load(locate, text, &preset, reader->err);
        }
        if (!reader->code) {
            make_stream(draft, preset, out_stream);
        }
        raw_preset_free(preset);
        locate_free(locate);
        return;
    }
    read_refuse(draft->reader, path,
                "'%.64s' is not a preset; there is botnet, or spell the stream out",
                raw->preset);
}

void config_stream_build(struct config_reader *reader, const struct raw_stream *raw,
                         size_t index, struct stream **out_stream)
{
    struct draft draft = {.reader = reader, .from_preset = raw->preset != NULL};
    char path[KEY_PATH_MAX];
    unsigned on_conflict = CONFLICT_COUNT;
    snprintf(draft.at, sizeof draft.at, "streams[%zu]", index);
    draft.spec.name = raw->name;
    read_count32(reader, path_of(&draft, "", "lanes", path), raw->lanes,
                 (struct read_range){1, STREAM_LANES_MAX}, &draft.spec.lanes);
    read_word(reader, path_of(&draft, "", "on_conflict", path), raw->on_conflict,
              conflict_words, &on_conflict);
    draft.spec.on_conflict = (enum on_conflict)on_conflict;
    if (raw->preset) {
        check_preset_alone(&draft, raw);
    } else {
        check_spelled_out(&draft, raw);
    }
    if (reader->code) {
        return;
    }
    if (raw->preset) {
        make_from_preset(&draft, raw, out_stream);
    } else {
        make_stream(&draft, raw, out_stream);
    }
}
