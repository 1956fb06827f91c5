/* Folding a run and applying the fold gives what applying record by record gives. */
#include "replay/fold.h"
#include "tests/specs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUN_MAX = 24, ROUNDS = 3000 };

static const int64_t second_us = 1000000;

/* ---- The model: one entity's row, and how it follows a record -------------------- */

struct row {
    bool exists;
    struct value cells[STREAM_COLUMNS_MAX];
};

static bool carries(const struct value *value)
{
    return value->type != VALUE_ABSENT;
}

static const struct value *source(const struct stream_column *column,
                                  const struct apply_record *record)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    return column->field >= 0 ? &record->values[column->field] : &absent;
}

static void make_row(const struct stream *stream, const struct apply_record *record,
                     struct row *row)
{
    row->exists = true;
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        const struct stream_column *column = &stream->entity.columns[i];
        const struct value *value = source(column, record);
        row->cells[i] = carries(value) ? *value : column->fallback;
        if (column->merge == MERGE_CONSTANT) {
            row->cells[i] = column->constant;
        }
        if (column->merge == MERGE_NONE || column->merge == MERGE_COUNT) {
            row->cells[i] = (struct value){.type = VALUE_ABSENT};
        }
    }
}

static void extend(const struct stream_column *column, struct value *cell,
                   const struct value *value)
{
    int compared =
        carries(cell) ? value_compare(value, cell, column->spec.is_unsigned) : 0;
    if (!carries(cell) || (column->merge == MERGE_MIN ? compared < 0 : compared > 0)) {
        *cell = *value;
    }
}

static void apply_one(const struct stream *stream, const struct apply_record *record,
                      struct row *row)
{
    if (!row->exists) {
        make_row(stream, record, row);
        return;
    }
    const struct value *seen = &row->cells[stream->watermark_column];
    bool newest =
        !carries(seen) || record->values[stream->time_field].time_us >= seen->time_us;
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        const struct stream_column *column = &stream->entity.columns[i];
        const struct value *value = source(column, record);
        struct value *cell = &row->cells[i];
        if (!carries(value)) {
            continue;
        }
        if ((column->merge == MERGE_LATEST && newest) ||
            (column->merge == MERGE_FIRST && !carries(cell))) {
            *cell = *value;
        } else if (column->merge == MERGE_MIN || column->merge == MERGE_MAX) {
            extend(column, cell, value);
        }
    }
}

/* ---- The fold, applied as the sink's statements do ------------------------------- */

static void apply_fold(const struct stream *stream, const struct fold *fold,
                       const struct apply_record *records,
                       const struct fold_entity *entity, struct row *row)
{
    bool exists = row->exists;
    struct value seen = row->cells[stream->watermark_column];
    row->exists = true;
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        const struct stream_column *column = &stream->entity.columns[i];
        struct value *cell = &row->cells[i];
        struct value folded = entity->cells[i].value;
        if (column->merge == MERGE_COUNT || column->merge == MERGE_NONE) {
            continue;
        }
        if (!exists) {
            *cell = fold_entity_initial(fold, records, entity, i);
            continue;
        }
        if (column->merge == MERGE_LATEST) {
            folded = fold_entity_latest(entity, i, carries(&seen), seen.time_us);
            *cell = carries(&folded) ? folded : *cell;
        } else if (column->merge == MERGE_FIRST) {
            *cell = carries(cell) ? *cell : folded;
        } else if (carries(&folded) && column->merge != MERGE_KEY &&
                   column->merge != MERGE_CONSTANT) {
            extend(column, cell, &folded);
        }
    }
}

/* ---- Random runs ----------------------------------------------------------------- */

static unsigned pick(unsigned *seed, unsigned below)
{
    return (unsigned)rand_r(seed) / 7 % below;
}

static struct value random_value(const struct stream *stream, int field, unsigned *seed)
{
    static const char *const words[] = {"a", "b", "cc", "Ddd", ""};
    const struct stream_field *is = &stream->fields[field];
    struct value value = {.type = is->type};
    if (!is->required && pick(seed, 2) == 0) {
        value.type = VALUE_ABSENT;
    }
    switch (value.type) {
    case VALUE_TEXT:
        value.text = is->members ? slice_text(is->members[pick(seed, 2)])
                                 : slice_text(words[pick(seed, is->key ? 3 : 5)]);
        break;
    case VALUE_IP:
        value.ip = 0x0a000000u + pick(seed, 3);
        break;
    case VALUE_TIME:
        value.time_us = 1767834266 * second_us + (int64_t)pick(seed, 6) * second_us;
        break;
    case VALUE_INTEGER:
        value.integer = (int64_t)pick(seed, 3);
        break;
    case VALUE_FLOAT:
        value.real = pick(seed, 9) / 8.0 - 0.5;
        break;
    case VALUE_BOOL:
        value.boolean = pick(seed, 2);
        break;
    case VALUE_ABSENT:
        break;
    }
    return value;
}

struct run {
    struct value values[RUN_MAX][STREAM_FIELDS_MAX];
    struct apply_record records[RUN_MAX];
    size_t count;
};

static void random_run(const struct stream *stream, struct run *run, unsigned *seed)
{
    run->count = 1 + pick(seed, RUN_MAX);
    for (size_t i = 0; i < run->count; i++) {
        for (size_t f = 0; f < stream->field_count; f++) {
            run->values[i][f] = random_value(stream, (int)f, seed);
        }
        run->records[i] = (struct apply_record){.values = run->values[i], .seq = i + 1};
    }
}

/* Rows by key: few keys, so a list will do. */
struct table {
    struct row rows[RUN_MAX + 1];
    size_t count;
};

static struct row *row_of(const struct stream *stream, struct table *table,
                          const struct value *key)
{
    for (size_t i = 0; i < table->count; i++) {
        if (value_equal(&table->rows[i].cells[stream->entity_key_column], key)) {
            return &table->rows[i];
        }
    }
    struct row *row = &table->rows[table->count++];
    *row = (struct row){0};
    row->cells[stream->entity_key_column] = *key;
    return row;
}

/* Some entities are there before, some of them with NULL in last_seen. */
static void random_table(const struct stream *stream, const struct run *run,
                         struct table *table, unsigned *seed)
{
    table->count = 0;
    for (size_t i = 0; i < run->count; i++) {
        struct row *row = row_of(stream, table, &run->values[i][stream->key_field]);
        if (!row->exists && pick(seed, 2)) {
            struct run other;
            random_run(stream, &other, seed);
            other.values[0][stream->key_field] = run->values[i][stream->key_field];
            make_row(stream, &other.records[0], row);
            if (pick(seed, 3) == 0) {
                row->cells[stream->watermark_column].type = VALUE_ABSENT;
            }
        }
    }
}

static void expect_rows_equal(const struct stream *stream, const struct row *a,
                              const struct row *b, unsigned seed)
{
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        bool equal = (!carries(&a->cells[i]) && !carries(&b->cells[i])) ||
                     value_equal(&a->cells[i], &b->cells[i]);
        cr_assert(equal, "seed %u: column %s differs", seed,
                  stream->entity.columns[i].name);
    }
}

static void fold_and_apply(const struct stream *stream,
                           const struct apply_record *records, size_t count,
                           struct table *table)
{
    struct fold fold;
    struct err err = {0};
    cr_assert_eq(fold_new(stream, records, count, &fold, &err), 0, "%s", err.message);
    for (size_t i = 0; i < fold.entity_count; i++) {
        struct row *row = row_of(stream, table, &fold.entities[i].key);
        apply_fold(stream, &fold, records, &fold.entities[i], row);
    }
    fold_free(&fold);
}

static void check_round(const struct stream *stream, unsigned seed)
{
    static struct run run;
    static struct table one_by_one;
    static struct table folded;
    unsigned state = seed;
    random_run(stream, &run, &state);
    random_table(stream, &run, &one_by_one, &state);
    folded = one_by_one;
    for (size_t i = 0; i < run.count; i++) {
        apply_one(stream, &run.records[i],
                  row_of(stream, &one_by_one, &run.values[i][stream->key_field]));
    }
    /* in one run or two: where a transaction ends must not matter */
    size_t cut = pick(&state, (unsigned)run.count + 1);
    fold_and_apply(stream, run.records, cut, &folded);
    fold_and_apply(stream, run.records + cut, run.count - cut, &folded);
    cr_assert_eq(one_by_one.count, folded.count);
    for (size_t i = 0; i < folded.count; i++) {
        expect_rows_equal(stream, &one_by_one.rows[i], &folded.rows[i], seed);
    }
}

static void check_stream(const struct stream_spec *spec)
{
    struct stream *stream = stream_of(spec);
    for (unsigned seed = 1; seed <= ROUNDS; seed++) {
        check_round(stream, seed);
    }
    stream_free(stream);
}

Test(fold, is_record_by_record_for_botnet)
{
    struct stream_spec spec = botnet_spec("mozi");
    check_stream(&spec);
}

Test(fold, is_record_by_record_for_readings)
{
    struct stream_spec spec = readings_spec();
    check_stream(&spec);
}

/* Where first, min and max have a fallback, the first record of a new entity leaves it.
 */
Test(fold, is_record_by_record_with_fallbacks)
{
    struct stream_spec spec = readings_spec();
    struct column_spec columns[STREAM_COLUMNS_MAX];
    memcpy(columns, spec.entity.columns, spec.entity.column_count * sizeof *columns);
    for (size_t i = 0; i < spec.entity.column_count; i++) {
        if (strcmp(columns[i].name, "site") == 0) {
            columns[i].default_value = "nowhere";
        } else if (strcmp(columns[i].name, "highest") == 0) {
            columns[i].default_value = "1";
        } else if (strcmp(columns[i].name, "lowest") == 0) {
            columns[i].default_value = "0.125";
        }
    }
    spec.entity.columns = columns;
    check_stream(&spec);
}

/* ---- Structure ------------------------------------------------------------------- */

Test(fold, orders_groups_and_keeps_seq_order)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    for (unsigned seed = 1; seed <= 500; seed++) {
        static struct run run;
        unsigned state = seed;
        random_run(stream, &run, &state);
        struct fold fold;
        cr_assert_eq(fold_new(stream, run.records, run.count, &fold, NULL), 0);
        size_t events = 0;
        for (size_t i = 0; i < fold.entity_count; i++) {
            const struct fold_entity *entity = &fold.entities[i];
            cr_assert(i == 0 || fold_order_keys(stream, &fold.entities[i - 1].key,
                                                &entity->key) < 0);
            cr_assert_gt(entity->event_count, 0);
            for (size_t k = 0; k < entity->event_count; k++) {
                const struct fold_event *event = &fold.events[entity->events[k]];
                cr_assert_eq(event->entity, i);
                cr_assert(k == 0 ||
                          fold.events[entity->events[k - 1]].record < event->record);
            }
            events += entity->event_count;
        }
        cr_assert_eq(events, fold.event_count);
        for (size_t i = 0; i < run.count; i++) {
            uint32_t first = fold.events[fold.event_of[i]].record;
            cr_assert_leq(first, i);
            cr_assert_eq(fold_order_records(stream, &run.records[first], &run.records[i]),
                         0);
        }
        for (size_t i = 1; i < fold.event_count; i++) {
            cr_assert_lt(fold_order_records(stream,
                                            &run.records[fold.events[i - 1].record],
                                            &run.records[fold.events[i].record]),
                         0);
        }
        fold_free(&fold);
    }
    stream_free(stream);
}

/* Addresses are locked in the order of their text, which is the index's. */
Test(fold, addresses_order_as_their_text)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    unsigned seed = 11;
    for (size_t i = 0; i < 20000; i++) {
        struct value a = {.type = VALUE_IP};
        struct value b = {.type = VALUE_IP};
        for (unsigned k = 0; k < 4; k++) {
            a.ip = a.ip << 8 | pick(&seed, pick(&seed, 2) ? 256 : 12);
            b.ip = pick(&seed, 2) ? a.ip : b.ip << 8 | pick(&seed, 256);
        }
        char left[VALUE_IP_TEXT];
        char right[VALUE_IP_TEXT];
        value_format_ip(a.ip, left);
        value_format_ip(b.ip, right);
        int text = strcmp(left, right);
        int order = fold_order_keys(stream, &a, &b);
        cr_assert_eq((text > 0) - (text < 0), order, "%s %s", left, right);
    }
    stream_free(stream);
}

Test(fold, no_records)
{
    struct stream_spec spec = botnet_spec("mozi");
    struct stream *stream = stream_of(&spec);
    struct fold fold;
    cr_assert_eq(fold_new(stream, NULL, 0, &fold, NULL), 0);
    cr_assert_eq(fold.entity_count, 0);
    cr_assert_eq(fold.event_count, 0);
    fold_free(&fold);
    stream_free(stream);
}

Test(fold, compare_sees_fallbacks_and_widths)
{
    static const char *const compare[] = {"event_type", "status", "longitude"};
    struct stream_spec spec = botnet_spec("mozi");
    spec.compare = compare;
    spec.compare_count = 3;
    struct stream *stream = stream_of(&spec);
    struct value a[STREAM_FIELDS_MAX] = {0};
    struct value b[STREAM_FIELDS_MAX] = {0};
    set_field(stream, a, "event_type", "beacon");
    set_field(stream, b, "event_type", "beacon");
    set_field(stream, b, "status", "active"); /* what the other falls back to */
    set_field(stream, a, "longitude", "114.05");
    set_field(stream, b, "longitude", "114.0500001"); /* the same FLOAT */
    cr_assert_eq(fold_compare(stream, a, b), FATE_DUPLICATE);
    set_field(stream, b, "longitude", "114.06");
    cr_assert_eq(fold_compare(stream, a, b), FATE_CONFLICT);
    set_field(stream, b, "longitude", "114.05");
    set_field(stream, b, "event_type", "scan");
    cr_assert_eq(fold_compare(stream, a, b), FATE_CONFLICT);
    stream_free(stream);
}
