#include "replay/fold.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Order ----------------------------------------------------------------------- */

/* An address as a number that orders as its text does in an index, so that one SELECT ...
 * FOR UPDATE and the next lock in one order: each octet is up to three digits of base 11,
 * where 0 stands for "no digit here". */
static uint64_t ip_text_order(uint32_t ip)
{
    uint64_t order = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t octet = ip >> shift & 0xff;
        uint32_t digits = octet >= 100 ? 3 : octet >= 10 ? 2 : 1;
        uint32_t scale = octet >= 100 ? 100 : octet >= 10 ? 10 : 1;
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t digit = i < digits ? octet / scale % 10 + 1 : 0;
            order = order * 11 + digit;
            scale = scale >= 10 ? scale / 10 : 1;
        }
    }
    return order;
}

static int compare_keys(const struct value *a, const struct value *b, bool is_unsigned)
{
    if (a->type == VALUE_IP && b->type == VALUE_IP) {
        uint64_t left = ip_text_order(a->ip);
        uint64_t right = ip_text_order(b->ip);
        return (left > right) - (left < right);
    }
    return value_compare(a, b, is_unsigned);
}

int fold_order_keys(const struct stream *stream, const struct value *a,
                    const struct value *b)
{
    return compare_keys(a, b, stream->fields[stream->key_field].is_unsigned);
}

static int order_events(const struct stream *stream, const struct apply_record *a,
                        const struct apply_record *b)
{
    for (size_t i = 0; i < stream->event_key_count; i++) {
        const struct stream_column *column = &stream->event.columns[stream->event_key[i]];
        struct value left = fold_event_value(column, a);
        struct value right = fold_event_value(column, b);
        int compared = compare_keys(&left, &right, column->spec.is_unsigned);
        if (compared) {
            return compared;
        }
    }
    return 0;
}

int fold_order_records(const struct stream *stream, const struct apply_record *a,
                       const struct apply_record *b)
{
    int field = stream->key_field;
    int compared = fold_order_keys(stream, &a->values[field], &b->values[field]);
    return compared ? compared : order_events(stream, a, b);
}

struct order {
    const struct stream *stream;
    const struct apply_record *records;
    const uint64_t *prefixes; /* one a record */
};

/* The beginning of the entity key as a number: where two differ, they order as the keys
 * do. Most comparisons end here. */
static uint64_t key_prefix(const struct value *key)
{
    if (key->type == VALUE_IP) {
        return ip_text_order(key->ip);
    }
    uint64_t prefix = 0;
    for (size_t i = 0; key->type == VALUE_TEXT && i < sizeof prefix; i++) {
        uint8_t byte = i < key->text.len ? (uint8_t)key->text.data[i] : 0;
        prefix = prefix << 8 | byte;
    }
    return prefix;
}

static int compare_records(const void *left, const void *right, void *context)
{
    const struct order *order = context;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    if (order->prefixes[a] != order->prefixes[b]) {
        return order->prefixes[a] < order->prefixes[b] ? -1 : 1;
    }
    int compared =
        fold_order_records(order->stream, &order->records[a], &order->records[b]);
    return compared ? compared : (a > b) - (a < b);
}

static int compare_first_record(const void *left, const void *right, void *context)
{
    const struct fold_event *events = context;
    uint32_t a = events[*(const uint32_t *)left].record;
    uint32_t b = events[*(const uint32_t *)right].record;
    return (a > b) - (a < b);
}

/* ---- Grouping ---------------------------------------------------------------------- */

/* Does sorted[i] begin another entity (and so another event), another event? */
struct boundary {
    bool entity;
    bool event;
};

static struct boundary boundary_at(const struct order *order, const uint32_t *sorted,
                                   size_t i)
{
    if (i == 0) {
        return (struct boundary){true, true};
    }
    const struct stream *stream = order->stream;
    const struct apply_record *a = &order->records[sorted[i - 1]];
    const struct apply_record *b = &order->records[sorted[i]];
    int field = stream->key_field;
    bool entity = order->prefixes[sorted[i - 1]] != order->prefixes[sorted[i]] ||
                  fold_order_keys(stream, &a->values[field], &b->values[field]) != 0;
    return (struct boundary){entity, entity || order_events(stream, a, b) != 0};
}

static void count_groups(const struct order *order, const uint32_t *sorted, size_t count,
                         struct fold *fold)
{
    for (size_t i = 0; i < count; i++) {
        struct boundary at = boundary_at(order, sorted, i);
        fold->entity_count += at.entity;
        fold->event_count += at.event;
    }
}

/* One block for everything; the members in falling order of alignment. */
static bool allocate(struct fold *fold, size_t count)
{
    size_t cells = fold->entity_count * fold->stream->entity.column_count;
    size_t bytes = fold->entity_count * sizeof *fold->entities +
                   cells * sizeof(struct fold_cell) +
                   fold->event_count * sizeof *fold->events +
                   (fold->event_count + count) * sizeof(uint32_t);
    fold->memory = calloc(1, bytes ? bytes : 1);
    if (!fold->memory) {
        return false;
    }
    fold->entities = fold->memory;
    struct fold_cell *cell = (struct fold_cell *)(fold->entities + fold->entity_count);
    fold->events = (struct fold_event *)(cell + cells);
    uint32_t *lists = (uint32_t *)(fold->events + fold->event_count);
    fold->event_of = lists + fold->event_count;
    for (size_t i = 0; i < fold->entity_count; i++) {
        fold->entities[i].cells = cell + i * fold->stream->entity.column_count;
    }
    for (size_t i = 0; i < fold->event_count; i++) {
        lists[i] = (uint32_t)i;
    }
    if (fold->entity_count) {
        fold->entities[0].events = lists;
    }
    return true;
}

static void group(const struct order *order, const uint32_t *sorted, size_t count,
                  struct fold *fold)
{
    size_t entities = 0;
    size_t events = 0;
    uint32_t *lists = fold->entity_count ? fold->entities[0].events : NULL;
    for (size_t i = 0; i < count; i++) {
        struct boundary at = boundary_at(order, sorted, i);
        if (at.entity) {
            struct fold_entity *made = &fold->entities[entities++];
            made->key = order->records[sorted[i]].values[order->stream->key_field];
            made->events = lists + events;
        }
        if (at.event) {
            fold->events[events++] = (struct fold_event){
                .record = sorted[i], .entity = (uint32_t)(entities - 1)};
            fold->entities[entities - 1].event_count++;
        }
        fold->event_of[sorted[i]] = (uint32_t)(events - 1);
    }
    for (size_t i = 0; i < fold->entity_count; i++) {
        qsort_r(fold->entities[i].events, fold->entities[i].event_count, sizeof(uint32_t),
                compare_first_record, fold->events);
    }
}

/* ---- Merging ----------------------------------------------------------------------- */

static struct value column_source(const struct stream_column *column,
                                  const struct apply_record *record)
{
    if (column->field >= 0) {
        return record->values[column->field];
    }
    if (column->field == STREAM_RECEIVED) {
        return (struct value){.type = VALUE_TIME, .time_us = record->received_at_us};
    }
    return (struct value){.type = VALUE_ABSENT};
}

static bool is_better(const struct stream_column *column, const struct value *candidate,
                      const struct value *held)
{
    int compared = value_compare(candidate, held, column->spec.is_unsigned);
    return column->merge == MERGE_MIN ? compared < 0 : compared > 0;
}

/* `newest`: the record is not older than any of this entity before it in the run. */
static void merge_cell(const struct stream_column *column, struct fold_cell *cell,
                       const struct value *value, bool newest, int64_t time_us)
{
    switch (column->merge) {
    case MERGE_FIRST:
        if (cell->value.type == VALUE_ABSENT) {
            cell->value = *value;
        }
        break;
    case MERGE_LATEST:
        if (newest) {
            *cell = (struct fold_cell){.value = *value, .time_us = time_us};
        }
        break;
    case MERGE_MIN:
    case MERGE_MAX:
        if (cell->value.type == VALUE_ABSENT || is_better(column, value, &cell->value)) {
            cell->value = *value;
        }
        break;
    case MERGE_KEY:
        cell->value = *value;
        break;
    case MERGE_NONE:
    case MERGE_COUNT:
    case MERGE_CONSTANT:
        break;
    }
}

static void merge_record(const struct stream *stream, const struct apply_record *record,
                         struct fold_entity *entity, int64_t *newest_us)
{
    int64_t time_us = record->values[stream->time_field].time_us;
    bool newest = time_us >= *newest_us;
    if (newest) {
        *newest_us = time_us;
    }
    for (size_t i = 0; i < stream->entity.column_count; i++) {
        const struct stream_column *column = &stream->entity.columns[i];
        struct value value = column_source(column, record);
        if (value.type != VALUE_ABSENT) {
            merge_cell(column, &entity->cells[i], &value, newest, time_us);
        }
    }
}

static int merge(const struct apply_record *records, size_t count, struct fold *fold)
{
    int64_t *newest_us = malloc((fold->entity_count + 1) * sizeof *newest_us);
    if (!newest_us) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < fold->entity_count; i++) {
        newest_us[i] = INT64_MIN;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t entity = fold->events[fold->event_of[i]].entity;
        merge_record(fold->stream, &records[i], &fold->entities[entity],
                     &newest_us[entity]);
    }
    free(newest_us);
    return 0;
}

/* ---- The door ---------------------------------------------------------------------- */

int fold_new(const struct stream *stream, const struct apply_record *records,
             size_t count, struct fold *out_fold, struct err *err)
{
    assert(count < UINT32_MAX);
    struct fold fold = {.stream = stream};
    uint64_t *prefixes = malloc((count + 1) * sizeof *prefixes);
    struct order order = {stream, records, prefixes};
    uint32_t *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted || !prefixes) {
        free(prefixes);
        free(sorted);
        return err_set(err, ERR_NOMEM, 0, "no memory to fold %zu records", count);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (uint32_t)i;
        prefixes[i] = key_prefix(&records[i].values[stream->key_field]);
    }
    qsort_r(sorted, count, sizeof *sorted, compare_records, &order);
    count_groups(&order, sorted, count, &fold);
    bool allocated = allocate(&fold, count);
    if (allocated) {
        group(&order, sorted, count, &fold);
    }
    free(prefixes);
    free(sorted);
    if (!allocated || merge(records, count, &fold)) {
        fold_free(&fold);
        return err_set(err, ERR_NOMEM, 0, "no memory to fold %zu records", count);
    }
    *out_fold = fold;
    return 0;
}

void fold_free(struct fold *fold)
{
    free(fold->memory);
    *fold = (struct fold){0};
}

struct value fold_entity_latest(const struct fold_entity *entity, size_t column,
                                bool has_stored, int64_t stored_us)
{
    const struct fold_cell *cell = &entity->cells[column];
    if (has_stored && cell->time_us < stored_us) {
        return (struct value){.type = VALUE_ABSENT};
    }
    return cell->value;
}

struct value fold_entity_initial(const struct fold *fold,
                                 const struct apply_record *records,
                                 const struct fold_entity *entity, size_t index)
{
    const struct stream_column *column = &fold->stream->entity.columns[index];
    struct value folded = entity->cells[index].value;
    if (column->merge == MERGE_COUNT) {
        return (struct value){.type = VALUE_INTEGER, .integer = 0};
    }
    if (column->merge == MERGE_CONSTANT) {
        return column->constant;
    }
    if (folded.type == VALUE_ABSENT) {
        return column->fallback;
    }
    uint32_t first = fold->events[entity->events[0]].record;
    if (column->fallback.type == VALUE_ABSENT ||
        column_source(column, &records[first]).type != VALUE_ABSENT) {
        return folded;
    }
    /* The first record alone would have left the fallback there for the later ones. */
    if (column->merge == MERGE_FIRST) {
        return column->fallback;
    }
    bool extreme = column->merge == MERGE_MIN || column->merge == MERGE_MAX;
    return extreme && is_better(column, &column->fallback, &folded) ? column->fallback
                                                                    : folded;
}

struct value fold_event_value(const struct stream_column *column,
                              const struct apply_record *record)
{
    struct value value = column_source(column, record);
    if (value.type == VALUE_ABSENT) {
        value =
            column->constant.type == VALUE_ABSENT ? column->fallback : column->constant;
    }
    if (value.type == VALUE_FLOAT && column->spec.bits != 64) {
        value.real = (double)(float)value.real;
    }
    return value;
}

enum record_fate fold_compare(const struct stream *stream, const struct value *stored,
                              const struct value *later)
{
    struct apply_record a = {.values = stored};
    struct apply_record b = {.values = later};
    for (size_t i = 0; i < stream->compare_count; i++) {
        const struct stream_column *column = &stream->event.columns[stream->compare[i]];
        struct value left = fold_event_value(column, &a);
        struct value right = fold_event_value(column, &b);
        if (!value_equal(&left, &right)) {
            return FATE_CONFLICT;
        }
    }
    return FATE_DUPLICATE;
}
