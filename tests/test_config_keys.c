/* The keys as they are documented: the example and holdfast.yaml(5) name every key of the
 * schema and no other, with the default that it has.
 *
 * The schema's tables are private to their file; here it is one with the test, and so the
 * library's own copy is left out. */
#include "engine/config_schema.c" /* NOLINT(bugprone-suspicious-include) */

#include "engine/config.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stddef.h>

enum { KEYS_MOST = 256 };

/* Paths such as "streams[].name". */
struct keys {
    char paths[KEYS_MOST][COMPLAINT_MAX];
    const char *values[KEYS_MOST]; /* of scalars, where they come from a file */
    size_t count;
};

/* Both tables have columns and indexes; what these know is documented once. */
static const char *common_part(const char *path)
{
    static const char *const within[] = {".columns[].", ".indexes[]."};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(path, within[i]);
        if (at) {
            return at + 1;
        }
    }
    return path;
}

static size_t find(const struct keys *keys, const char *path)
{
    size_t i = 0;
    while (i < keys->count && strcmp(keys->paths[i], path) != 0) {
        i++;
    }
    return i;
}

static bool has(const struct keys *keys, const char *path)
{
    return find(keys, path) < keys->count;
}

static void add(struct keys *keys, const char *path, const char *value)
{
    path = common_part(path);
    if (!has(keys, path)) {
        cr_assert_lt(keys->count, (size_t)KEYS_MOST);
        snprintf(keys->paths[keys->count], COMPLAINT_MAX, "%s", path);
        keys->values[keys->count++] = value;
    }
}

/* ---- The schema's keys, or those of them that a file has ----------------------------
 */

/* `data` NULL: all that there are. */
static void walk(const cyaml_schema_field_t *fields, const char *at, const char *data,
                 struct keys *keys);

static void walk_list(const cyaml_schema_field_t *field, const char *path,
                      const char *data, struct keys *keys)
{
    const cyaml_schema_value_t *entry = field->value.sequence.entry;
    char within[COMPLAINT_MAX];
    size_t count = 0;
    const char *items = NULL;
    if (data) {
        count = *(const unsigned *)(const void *)(data + field->count_offset);
        items = *(char *const *)(const void *)(data + field->data_offset);
    }
    if (!data || count) {
        add(keys, path, NULL);
    }
    if (entry->type != CYAML_MAPPING) {
        return;
    }
    snprintf(within, sizeof within, "%.200s[]", path);
    for (size_t i = 0; i < count; i++) {
        walk(entry->mapping.fields, within, items + i * entry->data_size, keys);
    }
    if (!data) {
        walk(entry->mapping.fields, within, NULL, keys);
    }
}

static void walk_field(const cyaml_schema_field_t *field, const char *path,
                       const char *data, struct keys *keys)
{
    const char *member = data ? data + field->data_offset : NULL;
    const char *value = NULL;
    bool pointer = field->value.flags & CYAML_FLAG_POINTER;
    if (member && pointer && field->value.type != CYAML_SEQUENCE) {
        value = *(char *const *)(const void *)member;
    }
    switch ((int)field->value.type) {
    case CYAML_STRING:
        if (!data || value) {
            add(keys, path, value);
        }
        return;
    case CYAML_SEQUENCE:
        walk_list(field, path, data, keys);
        return;
    default: /* a mapping */
        if (!data || !pointer || value) {
            walk(field->value.mapping.fields, path, pointer ? value : member, keys);
        }
    }
}

static void walk(const cyaml_schema_field_t *fields, const char *at, const char *data,
                 struct keys *keys)
{
    for (; fields->key; fields++) {
        char path[COMPLAINT_MAX];
        snprintf(path, sizeof path, "%.120s%s%.100s", at, *at ? "." : "", fields->key);
        walk_field(fields, path, data, keys);
    }
}

static struct keys *new_keys(void)
{
    struct keys *keys = calloc(1, sizeof *keys);
    cr_assert_not_null(keys);
    return keys;
}

static struct keys *schema_keys(void)
{
    struct keys *keys = new_keys();
    walk(config_fields, "", NULL, keys);
    cr_assert_gt(keys->count, (size_t)80, "only %zu keys", keys->count);
    return keys;
}

/* ---- The documents' keys ------------------------------------------------------------
 */

static char *document(const char *name)
{
    char path[WORLD_PATH_MAX];
    const char *source = getenv("HOLDFAST_SOURCE");
    snprintf(path, sizeof path, "%s/docs/%s", source ? source : ".", name);
    char *text = world_read_file(path);
    cr_assert_not_null(text, "%s", path);
    return text;
}

/* A "#" without one blank behind it is before a setting; prose has just one. */
static bool is_setting(const char *hash)
{
    return islower((unsigned char)hash[1]) || (hash[1] == ' ' && hash[2] == ' ');
}

/* Settings that stand behind a "#" too. */
static void uncomment(char *text)
{
    char *to = text;
    bool begun = false; /* something stands on this line */
    for (const char *from = text; *from; from++) {
        if (*from == '#' && !begun && is_setting(from)) {
            continue;
        }
        begun = *from != '\n' && (begun || *from != ' ');
        *to++ = *from;
    }
    *to = '\0';
}

static struct raw_config *load_raw(const char *name, const char *text)
{
    struct locate *locate = NULL;
    struct raw_config *raw = NULL;
    struct err err = {0};
    int code = locate_new(name, slice_text(text), &locate, &err);
    code = code ? code : raw_config_load(locate, slice_text(text), &raw, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    locate_free(locate);
    return raw;
}

static void add_keys_of(const char *name, bool all, struct keys *keys,
                        struct raw_config **out_raw)
{
    char *text = document(name);
    if (all) {
        uncomment(text);
    }
    *out_raw = load_raw(name, text);
    walk(config_fields, "", (const char *)*out_raw, keys);
    free(text);
}

/* The lines ".It Cm PATH : Li VALUE" and ".It Cm PATH : Ar WHAT"; values of the latter
 * are NULL. Borrows the text. */
static struct keys *manual_keys(char *text)
{
    static const char begin[] = ".It Cm ";
    struct keys *keys = new_keys();
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, " : ");
        if (strncmp(line, begin, strlen(begin)) != 0) {
            continue;
        }
        cr_assert_not_null(colon, "%s", line);
        *colon = '\0';
        bool is_default = strncmp(colon + 3, "Li ", 3) == 0;
        add(keys, line + strlen(begin), is_default ? colon + 6 : NULL);
    }
    return keys;
}

/* ---- Tests --------------------------------------------------------------------------
 */

static void assert_all(const struct keys *keys, const struct keys *in, const char *what)
{
    for (size_t i = 0; i < keys->count; i++) {
        cr_expect(has(in, keys->paths[i]), "%s %s", keys->paths[i], what);
    }
}

Test(config_keys, the_examples_have_every_key)
{
    struct keys *schema = schema_keys();
    struct keys *examples = new_keys();
    struct raw_config *raw[2];
    add_keys_of("examples/holdfast.yaml", true, examples, &raw[0]);
    add_keys_of("examples/readings.yaml", false, examples, &raw[1]);
    assert_all(schema, examples, "is in neither example");
    raw_config_free(raw[0]);
    raw_config_free(raw[1]);
    free(examples);
    free(schema);
}

Test(config_keys, the_manual_has_every_key_and_no_other)
{
    struct keys *schema = schema_keys();
    char *text = document("holdfast.yaml.5");
    struct keys *manual = manual_keys(text);
    assert_all(schema, manual, "is not in docs/holdfast.yaml.5");
    assert_all(manual, schema, "is in docs/holdfast.yaml.5, but no key");
    free(manual);
    free(text);
    free(schema);
}

/* A setting's own line, but for those that only begin a group or a list. */
static bool sets_a_value(const char *line)
{
    line += strspn(line, " -");
    size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    if (len == 0 || line[len] != ':') {
        return false;
    }
    line += len + 1;
    line += strspn(line, " ");
    return *line && *line != '#';
}

Test(config_keys, each_has_a_comment)
{
    char *text = document("examples/holdfast.yaml");
    size_t settings = 0;
    char *rest = NULL;
    uncomment(text);
    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (sets_a_value(line)) {
            settings++;
            cr_expect(strstr(line, " # "), "no comment: %s", line);
        }
    }
    cr_assert_gt(settings, (size_t)60, "only %zu settings", settings);
    free(text);
}

/* Where a default lives; each key that the example sets must have its line here. */
static const struct {
    const char *path;
    size_t offset;
    size_t size; /* 0: a string */
} members[] = {
#define TEXT_AT(path, member)                                                            \
    {                                                                                    \
        path, offsetof(struct config, member), 0                                         \
    }
#define VALUE_AT(path, member)                                                           \
    {                                                                                    \
        path, offsetof(struct config, member), sizeof((struct config){0}.member)         \
    }
    TEXT_AT("journal.path", journal.path),
    VALUE_AT("journal.max_size", journal.size_max),
    VALUE_AT("journal.preallocate", journal.preallocate),
    VALUE_AT("journal.retain", journal.retain_us),
    VALUE_AT("journal.reserve", journal.reserve),
    VALUE_AT("journal.max_queue", journal.queue_bytes_max),
    TEXT_AT("intake.listen", intake.listen),
    TEXT_AT("intake.route_field", intake.route_field),
    VALUE_AT("intake.max_body", intake.body_max),
    VALUE_AT("intake.max_bodies", intake.bodies_max),
    VALUE_AT("intake.max_entry_records", intake.entry_records_max),
    VALUE_AT("intake.max_connections", intake.connections_max),
    VALUE_AT("intake.max_connections_per_address", intake.connections_per_address_max),
    VALUE_AT("intake.idle_timeout", intake.idle_timeout_s),
    VALUE_AT("intake.request_timeout", intake.request_timeout_s),
    VALUE_AT("intake.threads", intake.threads),
    VALUE_AT("database.hosts", database.host_count),
    TEXT_AT("database.name", database.name),
    TEXT_AT("database.user", database.user),
    VALUE_AT("database.tls.verify", database.tls_verify),
    VALUE_AT("database.durability", durability),
    VALUE_AT("database.create_tables", create_tables),
    VALUE_AT("database.timeouts.connect", database.connect_timeout_s),
    VALUE_AT("database.timeouts.call", database.call_timeout_s),
    VALUE_AT("database.timeouts.lock_wait", database.lock_wait_timeout_s),
    VALUE_AT("database.timeouts.idle", database.wait_timeout_s),
    VALUE_AT("replay.validate", validate),
    VALUE_AT("replay.max_rows_per_second", rows_per_second_max),
    VALUE_AT("replay.connections", connections),
    VALUE_AT("replay.transaction_records", transaction_records_max),
    VALUE_AT("replay.fast", fast),
    VALUE_AT("replay.cache", cache_bytes),
    VALUE_AT("time_zone", zone_offset_s),
    VALUE_AT("max_future", max_future_us),
    VALUE_AT("dead_letters.max_size", journal.dead_letters_max),
    VALUE_AT("receipts.retain", journal.receipts_retain_us),
    VALUE_AT("receipts.max", journal.receipts_max),
    VALUE_AT("check.since", check.since_us),
    VALUE_AT("check.every", check.every_us),
    VALUE_AT("check.threshold", check.threshold),
    VALUE_AT("alerts.every", alerts.every_us),
    VALUE_AT("alerts.timeout", alerts.timeout_s),
    VALUE_AT("alerts.hold", alerts.limits.hold_us),
    VALUE_AT("alerts.repeat", alerts.limits.repeat_us),
    VALUE_AT("alerts.lag", alerts.limits.lag_us),
    VALUE_AT("alerts.dead_letters", alerts.limits.dead_letters),
    VALUE_AT("alerts.conflicts", alerts.limits.conflicts),
    VALUE_AT("alerts.dead_letters_full", alerts.limits.dead_letters_full),
    VALUE_AT("alerts.journal_full", alerts.limits.journal_full),
    VALUE_AT("alerts.disk_free", alerts.limits.disk_free),
    VALUE_AT("alerts.retention", alerts.limits.retention),
    VALUE_AT("alerts.ids", alerts.limits.ids),
    VALUE_AT("log.level", log_level),
    VALUE_AT("log.format", log_format),
};

static void assert_same_member(const char *path, const struct config *a,
                               const struct config *b)
{
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const char *in_a = (const char *)a + members[i].offset;
        const char *in_b = (const char *)b + members[i].offset;
        if (strcmp(members[i].path, path) != 0) {
            continue;
        }
        bool same = members[i].size ? memcmp(in_a, in_b, members[i].size) == 0
                                    : strcmp(*(char *const *)(const void *)in_a,
                                             *(char *const *)(const void *)in_b) == 0;
        cr_expect(same, "%s: the example has another value than the default", path);
        return;
    }
    cr_expect(false, "%s: where is its default? Add it to the list above", path);
}

static struct config *parsed(const char *name, const char *text)
{
    struct config *config = NULL;
    struct err err = {0};
    int code = config_parse(name, slice_text(text), &config, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    return config;
}

Test(config_keys, the_example_is_the_defaults)
{
    char *text = document("examples/holdfast.yaml");
    struct raw_config *raw = load_raw("holdfast.yaml", text);
    struct config *example = parsed("holdfast.yaml", text);
    struct config *defaults =
        parsed("defaults", "database: {name: botnet, user: holdfast}\n"
                           "streams: [{name: mozi, preset: botnet}]\n");
    struct keys *keys = new_keys();
    walk(config_fields, "", (const char *)raw, keys);
    for (size_t i = 0; i < keys->count; i++) {
        if (strncmp(keys->paths[i], "streams", 7) != 0) {
            assert_same_member(keys->paths[i], example, defaults);
        }
    }
    cr_assert_str_eq(example->database.hosts[0], defaults->database.hosts[0]);
    cr_assert_eq(example->streams[0]->lanes, defaults->streams[0]->lanes);
    cr_assert_eq(example->streams[0]->on_conflict, defaults->streams[0]->on_conflict);
    free(keys);
    config_free(defaults);
    config_free(example);
    raw_config_free(raw);
    free(text);
}

/* What the example sets, but for what has no default. */
static bool has_default(const char *path)
{
    static const char *const without[] = {"database.name", "database.user",
                                          "streams[].name", "streams[].preset"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        if (strcmp(without[i], path) == 0) {
            return false;
        }
    }
    return true;
}

Test(config_keys, the_manual_has_the_defaults)
{
    char *text = document("holdfast.yaml.5");
    struct keys *manual = manual_keys(text);
    struct keys *keys = new_keys();
    struct raw_config *raw;
    add_keys_of("examples/holdfast.yaml", false, keys, &raw);
    for (size_t i = 0; i < keys->count; i++) {
        size_t at = find(manual, keys->paths[i]);
        if (at < manual->count && keys->values[i] && has_default(keys->paths[i])) {
            cr_expect_not_null(manual->values[at], "%s has a default", keys->paths[i]);
            cr_expect_str_eq(manual->values[at] ? manual->values[at] : "",
                             keys->values[i], "%s", keys->paths[i]);
        }
    }
    raw_config_free(raw);
    free(keys);
    free(manual);
    free(text);
}
