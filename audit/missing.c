#include "audit/missing.h"

#include "audit/judge.h"

#include <stdlib.h>

static bool parse_key(struct missing *missing, struct slice cell, struct value *out)
{
    switch (missing->key->type) {
    case COLUMN_IP:
        out->type = VALUE_IP;
        return value_parse_ip(cell, &out->ip);
    case COLUMN_INTEGER:
        out->type = VALUE_INTEGER;
        return value_parse_integer(cell, missing->key->spec.is_unsigned, &out->integer);
    case COLUMN_STRING:
    case COLUMN_ENUM:
        out->type = VALUE_TEXT;
        out->text = arena_copy(&missing->texts, cell);
        return out->text.data != NULL;
    case COLUMN_TIMESTAMP:
    case COLUMN_DATETIME:
    case COLUMN_FLOAT:
    case COLUMN_BOOL:
        break;
    }
    return false;
}

bool missing_add(struct missing *missing, const struct scan_entity *entity)
{
    if (!missing->items) {
        missing->items = calloc(MISSING_MAX, sizeof *missing->items);
    }
    if (!missing->items || missing->count == MISSING_MAX) {
        return false;
    }
    struct missing_entity *item = &missing->items[missing->count++];
    *item = (struct missing_entity){.id = entity->id, .time = judge_time(entity)};
    /* a key that is none, or of a type that no key has: the journal knows none such */
    if (!entity->key.data || !parse_key(missing, entity->key, &item->key)) {
        item->key = (struct value){.type = VALUE_ABSENT};
    }
    return true;
}

static int compare_keys(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return (a->type > b->type) - (a->type < b->type);
    }
    return a->type == VALUE_ABSENT ? 0 : value_compare(a, b, true);
}

static int by_key(const void *a, const void *b)
{
    const struct missing_entity *left = a;
    const struct missing_entity *right = b;
    return compare_keys(&left->key, &right->key);
}

void missing_sort(struct missing *missing)
{
    if (missing->count) {
        qsort(missing->items, missing->count, sizeof *missing->items, by_key);
    }
}

struct missing_entity *missing_find(const struct missing *missing,
                                    const struct value *key)
{
    struct missing_entity probe = {.key = *key};
    if (missing->count == 0 || key->type == VALUE_ABSENT) {
        return NULL;
    }
    return bsearch(&probe, missing->items, missing->count, sizeof probe, by_key);
}

void missing_clear(struct missing *missing)
{
    missing->count = 0;
    arena_clear(&missing->texts);
}

void missing_free(struct missing *missing)
{
    free(missing->items);
    arena_free(&missing->texts);
}
