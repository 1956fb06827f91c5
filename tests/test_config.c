#include "engine/config.h"
#include "tests/specs.h"
#include "tests/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define BASE "database: {name: b, user: u}\n"
#define MOZI "streams: [{name: mozi, preset: botnet}]\n"

static struct config *parse(const char *text)
{
    struct config *config = NULL;
    struct err err = {0};
    int code = config_parse("x.yaml", slice_text(text), &config, &err);
    cr_assert_eq(code, ERR_OK, "%s", err.message);
    return config;
}

/* ---- What is refused, and how it is said ----------------------------------------- */

/* The message begins with `begins`: file, line, key, what is wrong. */
static const struct {
    const char *text;
    const char *begins;
} refused[] = {
    {"", "x.yaml:1: nothing is configured"},
    {"- a\n", "x.yaml:1: keys with values are expected"},
    {"a: [\n", "x.yaml:2: not YAML: "},
    {"a: \"x\n", "x.yaml:2: not YAML: "},
    {BASE MOZI "---\na: 1\n", "x.yaml:3: a second document"},
    {BASE "intake: *x\n", "x.yaml:2: intake: YAML aliases"},
    {BASE MOZI "log: {level: info}\nlog: {level: info}\n",
     "x.yaml:4: log: this key is already on line 3"},
    {BASE MOZI "log:\n  level: info\n  level: info\n",
     "x.yaml:5: log.level: this key is already on line 4"},
    {BASE MOZI "journal:\n  pth: /x\n", "x.yaml:4: journal.pth: no such key"},
    {BASE MOZI "jornal:\n  path: /x\n", "x.yaml:3: jornal: no such key"},
    {BASE MOZI "journal: /x\n", "x.yaml:3: journal: keys with values"},
    {BASE MOZI "journal:\n", "x.yaml:3: journal: keys with values"},
    {BASE MOZI "journal:\n  path: [a]\n", "x.yaml:4: journal.path: one value"},
    {"database: {name: b, user: u, hosts: here}\n" MOZI,
     "x.yaml:1: database.hosts: a list is expected"},
    {BASE MOZI "journal:\n  path:\n", "x.yaml:4: journal.path: is empty"},
    {BASE MOZI "journal:\n  max_size: 64GB\n",
     "x.yaml:4: journal.max_size: '64GB' is not a size"},
    {BASE MOZI "journal:\n  max_size: 10\n",
     "x.yaml:4: journal.max_size: '10' is too small"},
    {BASE MOZI "journal:\n  retain: 72\n",
     "x.yaml:4: journal.retain: '72' is not a time"},
    {BASE MOZI "replay:\n  validate: flase\n",
     "x.yaml:4: replay.validate: 'flase' is neither"},
    {BASE MOZI "intake:\n  threads: 1.5\n",
     "x.yaml:4: intake.threads: '1.5' is not a whole number from 1 to 64"},
    {BASE MOZI "intake: {idle_timeout: 1500ms}\n",
     "x.yaml:3: intake.idle_timeout: '1500ms' is not between"},
    {BASE MOZI "intake: {max_body: 2MiB, max_bodies: 1MiB}\n",
     "x.yaml:3: intake.max_bodies: is less than one body"},
    {BASE MOZI "log: {level: loud}\n",
     "x.yaml:3: log.level: 'loud' is not known; it is one of: debug, info, warn, error"},
    {BASE MOZI "time_zone: Asia/Shanghai\n", "x.yaml:3: time_zone: 'Asia/Shanghai' is"},
    {BASE MOZI "intake:\n  listen: localhost:80\n",
     "x.yaml:4: intake.listen: 'localhost:80' is no address"},
    {BASE MOZI "intake:\n  listen: 127.0.0.1:99999\n", "x.yaml:4: intake.listen: "},
    {BASE MOZI "intake:\n  listen: 0.0.0.0:8640\n",
     "x.yaml:4: intake.listen: '0.0.0.0:8640' can be reached from other machines"},
    {BASE MOZI "intake:\n  listen: \"[::]:8640\"\n",
     "x.yaml:4: intake.listen: '[::]:8640' can be reached"},
    {BASE MOZI "intake:\n  tls: {cert: /x}\n",
     "x.yaml:4: intake.tls.cert: cert and key go together"},
    {"database:\n  user: u\n" MOZI, "x.yaml:1: database.name: is missing"},
    {"database:\n  name: b\n" MOZI, "x.yaml:1: database.user: is missing"},
    {"database: {name: b, user: u, hosts: [a], socket: /s}\n" MOZI,
     "x.yaml:1: database.socket: hosts and socket"},
    {"database:\n  name: b\n  user: u\n  hosts: [\"a:b:c\"]\n" MOZI,
     "x.yaml:4: database.hosts: "},
    {"database: {name: b, user: u, durability: maybe}\n" MOZI,
     "x.yaml:1: database.durability: 'maybe' is not known"},
    {BASE "streams: []\n", "x.yaml:2: streams: none is configured"},
    {BASE, "x.yaml:1: streams: none is configured"},
    {BASE "streams:\n  - {preset: botnet}\n", "x.yaml:3: streams[0].name: is missing"},
    {BASE "streams:\n  - name: a\n    preset: botnt\n",
     "x.yaml:4: streams[0].preset: 'botnt' is not a preset"},
    {BASE "streams:\n  - {name: a}\n", "x.yaml:3: streams[0].entity: is missing"},
    {BASE "streams:\n  - name: a\n    preset: botnet\n    time: at\n",
     "x.yaml:5: streams[0].time: preset botnet says this already"},
    {BASE "streams:\n  - name: a\n    preset: botnet\n    lanes: 0\n",
     "x.yaml:5: streams[0].lanes: '0' is not a whole number from 1 to 64"},
    {BASE "streams:\n  - name: a b\n    preset: botnet\n",
     "x.yaml:3: streams[0].name: a stream's name is"},
    {BASE "streams:\n  - {name: a, preset: botnet}\n  - {name: a, preset: botnet}\n",
     "x.yaml:4: streams[1].name: streams[0] is named 'a' too"},
    {BASE MOZI "journal:\n  path: ${HF_UNSET}/x\n",
     "x.yaml:4: journal.path: environment variable HF_UNSET is not set"},
    {BASE "streams:\n  - name: a\n    preset: ${\n",
     "x.yaml:4: streams[0].preset: '${' is not closed"},
};

Test(config, one_message_with_file_line_and_key)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct config *config = NULL;
        struct err err = {0};
        int code = config_parse("x.yaml", slice_text(refused[i].text), &config, &err);
        cr_assert_eq(code, ERR_CONFIG, "taken: %s", refused[i].text);
        cr_assert_null(config);
        cr_assert_eq(strncmp(err.message, refused[i].begins, strlen(refused[i].begins)),
                     0, "%s\nnot: %s", err.message, refused[i].begins);
    }
}

static char *example(const char *name)
{
    char path[WORLD_PATH_MAX];
    const char *source = getenv("HOLDFAST_SOURCE");
    snprintf(path, sizeof path, "%s/docs/examples/%s", source ? source : ".", name);
    char *text = world_read_file(path);
    cr_assert_not_null(text, "%s", path);
    return text;
}

/* The example with `from` replaced, and the line that `from` is on. */
static char *altered(const char *from, const char *to, size_t *out_line)
{
    char *text = example("readings.yaml");
    char *at = strstr(text, from);
    cr_assert_not_null(at, "%s", from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *changed = malloc(size);
    snprintf(changed, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    *out_line = 1;
    for (const char *c = text; c < at; c++) {
        *out_line += *c == '\n';
    }
    free(text);
    return changed;
}

static const struct {
    const char *from;
    const char *to;
    const char *says; /* after file and line */
} in_streams[] = {
    {"max: 80, from: site, merge: latest", "max: 80, from: site, merge: lates",
     "streams[0].entity.columns[2].merge: 'lates' is not known"},
    {"type: string, max: 40", "type: text, max: 40",
     "streams[0].entity.columns[1].type: 'text' is not known"},
    {"type: string, max: 40", "max: 40", "streams[0].entity.columns[1].type: is missing"},
    {"type: string, max: 40", "type: string, width: 40",
     "streams[0].entity.columns[1].width: no such key"},
    {"type: string, max: 40", "type: ip, max: 40",
     "streams[0].entity.columns[1].max: max is for string columns"},
    {"key: [serial, at]", "key: [serial, att]",
     "streams[0].event.key[1]: 'att' is not an event column"},
    {"compare: [value]", "compare: [vale]", "streams[0].event.compare[0]: 'vale' is not"},
    {"entity: device_id", "entity: \"device id\"",
     "streams[0].event.entity: 'device id' is no name"},
    {"time: at", "time: att", "streams[0].time: 'att' must be a record field"},
    {"csv: [at, serial, value]", "csv: [at, serial]",
     "streams[0].csv: the required field 'value'"},
    {"{columns: [last_at]}", "{columns: [last_on]}",
     "streams[0].entity.indexes[0]: the table has no column 'last_on'"},
    {"table: devices", "table: device_readings", "streams[0]"},
};

Test(config, faults_in_a_stream_have_their_line)
{
    for (size_t i = 0; i < sizeof in_streams / sizeof in_streams[0]; i++) {
        size_t line;
        char *text = altered(in_streams[i].from, in_streams[i].to, &line);
        struct config *config = NULL;
        struct err err = {0};
        char begins[256];
        int code = config_parse("r.yaml", slice_text(text), &config, &err);
        cr_assert_eq(code, ERR_CONFIG, "taken: %s", in_streams[i].to);
        snprintf(begins, sizeof begins, "r.yaml:%zu: %s", line, in_streams[i].says);
        /* both tables alike is told at the second one */
        const char *found = strcmp(in_streams[i].says, "streams[0]") == 0
                                ? strstr(err.message, "both tables are")
                                : strstr(err.message, begins);
        cr_assert_not_null(found, "%s\nnot: %s", err.message, begins);
        free(text);
    }
}

/* ---- What is taken --------------------------------------------------------------- */

Test(config, defaults)
{
    struct config *config = parse(BASE MOZI);
    cr_assert_str_eq(config->journal.path, "/var/lib/holdfast/journal");
    cr_assert_eq(config->journal.size_max, UINT64_C(64) << 30);
    cr_assert_eq(config->journal.preallocate, UINT64_C(256) << 20);
    cr_assert_eq(config->journal.retain_us, INT64_C(72) * 3600 * 1000000);
    cr_assert_eq(config->journal.dead_letters_max, UINT64_C(1) << 30);
    cr_assert_eq(config->journal.receipts_retain_us, INT64_C(7) * 86400 * 1000000);
    cr_assert_eq(config->journal.receipts_max, 1000000);
    cr_assert_str_eq(config->intake.listen, "127.0.0.1:8640");
    cr_assert_null(config->intake.token_file);
    cr_assert_eq(config->intake.body_max, UINT64_C(16) << 20);
    cr_assert_eq(config->intake.entry_records_max, 50000);
    cr_assert_str_eq(config->intake.route_field, "botnet_type");
    cr_assert_eq(config->database.host_count, 1);
    cr_assert_str_eq(config->database.hosts[0], "127.0.0.1:3306");
    cr_assert(config->database.tls_verify);
    cr_assert_eq(config->durability, DURABILITY_WARN);
    cr_assert(config->create_tables);
    cr_assert(config->validate);
    cr_assert_eq(config->rows_per_second_max, 0);
    cr_assert_eq(config->transaction_records_max, 10000);
    cr_assert(config->fast);
    cr_assert_eq(config->cache_bytes, UINT64_C(64) << 20);
    cr_assert_eq(config->zone_offset_s, 0);
    cr_assert_eq(config->max_future_us, INT64_C(24) * 3600 * 1000000);
    cr_assert_eq(config->streams[0]->lanes, 1);
    cr_assert_eq(config->streams[0]->on_conflict, CONFLICT_COUNT);
    cr_assert_eq(config_stream(config, SLICE_LITERAL("mozi")), config->streams[0]);
    cr_assert_null(config_stream(config, SLICE_LITERAL("moz")));
    config_free(config);
}

Test(config, every_key_is_read)
{
    setenv("HF_PLACE", "/data", 1);
    struct config *config =
        parse("journal: {path: \"${HF_PLACE}/j$${x}\", max_size: 2GiB, preallocate: 0,\n"
              "          retain: 1h, reserve: 3MiB, max_queue: 5MiB}\n"
              "intake: {listen: \"[::1]:0\", token_file: /t, tls: {cert: /c, key: /k},\n"
              "         max_body: 1MiB, max_bodies: 9MiB, max_entry_records: 7,\n"
              "         route_field: kind, max_connections: 8,\n"
              "         max_connections_per_address: 3, idle_timeout: 4s,\n"
              "         request_timeout: 2min, threads: 2}\n"
              "database: {socket: /s, name: n, user: u, password_file: /p,\n"
              "           tls: {ca: /a, cert: /b, key: /d, verify: no},\n"
              "           durability: require, create_tables: false,\n"
              "           timeouts: {connect: 1s, call: 2s, lock_wait: 3s, idle: 4s}}\n"
              "replay: {validate: false, max_rows_per_second: 100, connections: 9,\n"
              "         transaction_records: 11, fast: no, cache: 3MiB}\n"
              "time_zone: \"+08:00\"\nmax_future: 1h\n"
              "dead_letters: {max_size: 2MiB}\nreceipts: {retain: 1d, max: 5}\n"
              "log: {level: debug, format: json}\n"
              "streams: [{name: a, preset: botnet, lanes: 3, on_conflict: keep}]\n");
    cr_assert_str_eq(config->journal.path, "/data/j${x}");
    cr_assert_eq(config->journal.size_max, UINT64_C(2) << 30);
    cr_assert_eq(config->journal.preallocate, 0);
    cr_assert_eq(config->journal.retain_us, INT64_C(3600) * 1000000);
    cr_assert_eq(config->journal.reserve, 3 << 20);
    cr_assert_eq(config->journal.queue_bytes_max, 5 << 20);
    cr_assert_eq(config->journal.dead_letters_max, 2 << 20);
    cr_assert_eq(config->journal.receipts_retain_us, INT64_C(86400) * 1000000);
    cr_assert_eq(config->journal.receipts_max, 5);
    cr_assert_str_eq(config->intake.listen, "[::1]:0");
    cr_assert_str_eq(config->intake.token_file, "/t");
    cr_assert_str_eq(config->intake.tls_cert, "/c");
    cr_assert_str_eq(config->intake.tls_key, "/k");
    cr_assert_eq(config->intake.body_max, 1 << 20);
    cr_assert_eq(config->intake.bodies_max, 9 << 20);
    cr_assert_eq(config->intake.entry_records_max, 7);
    cr_assert_str_eq(config->intake.route_field, "kind");
    cr_assert_eq(config->intake.connections_max, 8);
    cr_assert_eq(config->intake.connections_per_address_max, 3);
    cr_assert_eq(config->intake.idle_timeout_s, 4);
    cr_assert_eq(config->intake.request_timeout_s, 120);
    cr_assert_eq(config->intake.threads, 2);
    cr_assert_str_eq(config->database.socket, "/s");
    cr_assert_eq(config->database.host_count, 0);
    cr_assert_str_eq(config->database.password_file, "/p");
    cr_assert_str_eq(config->database.tls_ca, "/a");
    cr_assert_str_eq(config->database.tls_cert, "/b");
    cr_assert_str_eq(config->database.tls_key, "/d");
    cr_assert_not(config->database.tls_verify);
    cr_assert_eq(config->database.connect_timeout_s, 1);
    cr_assert_eq(config->database.call_timeout_s, 2);
    cr_assert_eq(config->database.lock_wait_timeout_s, 3);
    cr_assert_eq(config->database.wait_timeout_s, 4);
    cr_assert_eq(config->durability, DURABILITY_REQUIRE);
    cr_assert_not(config->create_tables);
    cr_assert_not(config->validate);
    cr_assert_eq(config->rows_per_second_max, 100);
    cr_assert_eq(config->connections, 9);
    cr_assert_eq(config->transaction_records_max, 11);
    cr_assert_not(config->fast);
    cr_assert_eq(config->cache_bytes, UINT64_C(3) << 20);
    cr_assert_eq(config->zone_offset_s, 8 * 3600);
    cr_assert_eq(config->max_future_us, INT64_C(3600) * 1000000);
    cr_assert_eq(config->log_level, LOG_DEBUG);
    cr_assert_eq(config->log_format, LOG_JSON);
    cr_assert_eq(config->streams[0]->lanes, 3);
    cr_assert_eq(config->streams[0]->on_conflict, CONFLICT_KEEP);
    config_free(config);
}

Test(config, the_environment_reaches_lists_and_nested_keys)
{
    setenv("HF_HOST", "10.0.0.1:3306", 1);
    setenv("HF_LANES", "5", 1);
    struct config *config = parse("database: {name: b, user: u, hosts: [\"${HF_HOST}\", "
                                  "b]}\nstreams:\n  - {name: a, preset: botnet, lanes: "
                                  "\"${HF_LANES}\"}\n");
    cr_assert_str_eq(config->database.hosts[0], "10.0.0.1:3306");
    cr_assert_str_eq(config->database.hosts[1], "b");
    cr_assert_eq(config->streams[0]->lanes, 5);
    config_free(config);
}

Test(config, a_file_that_is_not_there)
{
    struct config *config = NULL;
    struct err err = {0};
    cr_assert_eq(config_load("/nowhere/x.yaml", &config, &err), ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.message, "/nowhere/x.yaml"));
}

/* ---- The preset and the examples ------------------------------------------------- */

static void assert_same_text(const char *a, const char *b, const char *what)
{
    cr_assert_eq(!a, !b, "%s", what);
    if (a) {
        cr_assert_str_eq(a, b, "%s", what);
    }
}

static void assert_same_column(const struct stream_column *a,
                               const struct stream_column *b)
{
    cr_assert_str_eq(a->name, b->name);
    cr_assert_eq(a->type, b->type, "%s", a->name);
    cr_assert_eq(a->field, b->field, "%s", a->name);
    cr_assert_eq(a->merge, b->merge, "%s", a->name);
    cr_assert_eq(a->spec.max, b->spec.max, "%s", a->name);
    cr_assert_eq(a->spec.bits, b->spec.bits, "%s", a->name);
    cr_assert_eq(a->spec.is_unsigned, b->spec.is_unsigned, "%s", a->name);
    cr_assert_eq(a->spec.precision, b->spec.precision, "%s", a->name);
    cr_assert_eq(a->spec.not_null, b->spec.not_null, "%s", a->name);
    cr_assert_eq(a->spec.optional, b->spec.optional, "%s", a->name);
    cr_assert_eq(a->spec.member_count, b->spec.member_count, "%s", a->name);
    for (size_t i = 0; i < a->spec.member_count; i++) {
        cr_assert_str_eq(a->spec.members[i], b->spec.members[i]);
    }
    assert_same_text(a->spec.from, b->spec.from, a->name);
    assert_same_text(a->spec.value, b->spec.value, a->name);
    assert_same_text(a->spec.default_value, b->spec.default_value, a->name);
}

static void assert_same_index(const struct index_spec *a, const struct index_spec *b)
{
    cr_assert_str_eq(a->name, b->name);
    cr_assert_eq(a->column_count, b->column_count);
    for (size_t i = 0; i < a->column_count; i++) {
        cr_assert_str_eq(a->columns[i], b->columns[i]);
    }
}

static void assert_same_table(const struct stream_table *a, const struct stream_table *b)
{
    cr_assert_str_eq(a->name, b->name);
    cr_assert_str_eq(a->id, b->id);
    cr_assert_eq(a->id_bits, b->id_bits);
    cr_assert_eq(a->column_count, b->column_count);
    for (size_t i = 0; i < a->column_count; i++) {
        assert_same_column(&a->columns[i], &b->columns[i]);
    }
    cr_assert_eq(a->index_count, b->index_count);
    for (size_t i = 0; i < a->index_count; i++) {
        assert_same_index(&a->indexes[i], &b->indexes[i]);
    }
}

static void assert_same_indexes(const int *a, size_t a_count, const int *b,
                                size_t b_count)
{
    cr_assert_eq(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        cr_assert_eq(a[i], b[i]);
    }
}

Test(preset, botnet_is_the_tables_that_exist)
{
    struct config *config = parse(BASE MOZI);
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *expected = stream_of(&spec);
    const struct stream *stream = config->streams[0];
    assert_same_table(&stream->entity, &expected->entity);
    assert_same_table(&stream->event, &expected->event);
    cr_assert_eq(stream->field_count, expected->field_count);
    cr_assert_str_eq(stream->entity_ref, expected->entity_ref);
    cr_assert_eq(stream->time_field, expected->time_field);
    cr_assert_eq(stream->key_field, expected->key_field);
    cr_assert_eq(stream->count_column, expected->count_column);
    cr_assert_eq(stream->watermark_column, expected->watermark_column);
    assert_same_indexes(stream->event_key, stream->event_key_count, expected->event_key,
                        expected->event_key_count);
    assert_same_indexes(stream->compare, stream->compare_count, expected->compare,
                        expected->compare_count);
    assert_same_indexes(stream->csv, stream->csv_count, expected->csv,
                        expected->csv_count);
    stream_free(expected);
    config_free(config);
}

Test(examples, load_and_show_the_defaults)
{
    char *text = example("holdfast.yaml");
    struct config *shown = parse(text);
    struct config *plain = parse(BASE MOZI);
    cr_assert_eq(shown->journal.size_max, plain->journal.size_max);
    cr_assert_eq(shown->journal.reserve, plain->journal.reserve);
    cr_assert_eq(shown->journal.queue_bytes_max, plain->journal.queue_bytes_max);
    cr_assert_eq(shown->intake.bodies_max, plain->intake.bodies_max);
    cr_assert_eq(shown->intake.connections_max, plain->intake.connections_max);
    cr_assert_eq(shown->intake.connections_per_address_max,
                 plain->intake.connections_per_address_max);
    cr_assert_eq(shown->intake.idle_timeout_s, plain->intake.idle_timeout_s);
    cr_assert_eq(shown->intake.request_timeout_s, plain->intake.request_timeout_s);
    cr_assert_eq(shown->intake.threads, plain->intake.threads);
    cr_assert_eq(shown->database.connect_timeout_s, plain->database.connect_timeout_s);
    cr_assert_eq(shown->database.call_timeout_s, plain->database.call_timeout_s);
    cr_assert_eq(shown->database.lock_wait_timeout_s,
                 plain->database.lock_wait_timeout_s);
    cr_assert_eq(shown->database.wait_timeout_s, plain->database.wait_timeout_s);
    cr_assert_eq(shown->connections, plain->connections);
    cr_assert_eq(shown->transaction_records_max, plain->transaction_records_max);
    cr_assert_eq(shown->fast, plain->fast);
    cr_assert_eq(shown->cache_bytes, plain->cache_bytes);
    cr_assert_eq(shown->max_future_us, plain->max_future_us);
    cr_assert_eq(shown->zone_offset_s, plain->zone_offset_s);
    free(text);
    config_free(shown);
    config_free(plain);
}

Test(examples, readings_is_a_stream_spelled_out)
{
    char *text = example("readings.yaml");
    struct config *config = parse(text);
    const struct stream *stream = config->streams[0];
    cr_assert_str_eq(stream->name, "readings");
    cr_assert_eq(stream->lanes, 2);
    cr_assert_eq(stream->on_conflict, CONFLICT_KEEP);
    cr_assert_str_eq(stream->entity.name, "devices");
    cr_assert_eq(stream->entity.id_bits, 32);
    cr_assert_eq(stream->event.id_bits, 64);
    cr_assert_str_eq(stream->event.name, "device_readings");
    cr_assert_eq(stream->entity.column_count, 12);
    cr_assert_eq(stream->csv_count, 3);
    cr_assert_str_eq(stream->entity.indexes[1].name, "idx_site");
    cr_assert_str_eq(stream->entity.columns[3].spec.members[0], "on");
    free(text);
    config_free(config);
}
