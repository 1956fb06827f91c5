#include "bench/expected.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1 << 16 };

/* A set of event keys by open addressing: no ip is 0, so 0 is an empty slot. */
struct expected {
    struct database_expected counts;
    bool *seen_ips; /* by ip_index: seeded or sent */
    uint64_t *slots;
    size_t slot_count; /* a power of two, at most half full */
};

int expected_new(const struct workload_config *config, struct expected **out_expected,
                 struct err *err)
{
    struct expected *expected = calloc(1, sizeof *expected);
    bool *seen_ips = calloc(config->ips, sizeof *seen_ips);
    uint64_t *slots = calloc(SLOTS_FIRST, sizeof *slots);
    if (!expected || !seen_ips || !slots) {
        free(expected);
        free(seen_ips);
        free(slots);
        return err_set(err, ERR_NOMEM, 0, "no memory for what is expected");
    }
    *expected = (struct expected){
        .seen_ips = seen_ips, .slots = slots, .slot_count = SLOTS_FIRST};
    for (uint32_t i = 0; i < config->seeded && i < config->ips; i++) {
        seen_ips[i] = true;
        expected->counts.entities++;
    }
    *out_expected = expected;
    return ERR_OK;
}

void expected_free(struct expected *expected)
{
    if (expected) {
        free(expected->seen_ips);
        free(expected->slots);
        free(expected);
    }
}

/* Where the key is or belongs. */
static uint64_t *find_slot(uint64_t *slots, size_t slot_count, uint64_t key)
{
    size_t at = (key * 0x9e3779b97f4a7c15u >> 32) & (slot_count - 1);
    while (slots[at] != 0 && slots[at] != key) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static int grow(struct expected *expected, struct err *err)
{
    size_t slot_count = expected->slot_count * 2;
    uint64_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots) {
        return err_set(err, ERR_NOMEM, 0, "no memory for what is expected");
    }
    for (size_t i = 0; i < expected->slot_count; i++) {
        if (expected->slots[i]) {
            *find_slot(slots, slot_count, expected->slots[i]) = expected->slots[i];
        }
    }
    free(expected->slots);
    expected->slots = slots;
    expected->slot_count = slot_count;
    return ERR_OK;
}

int expected_add(struct expected *expected, const struct workload_record *record,
                 struct err *err)
{
    if (expected->counts.events * 2 >= expected->slot_count &&
        grow(expected, err) != ERR_OK) {
        return err->code;
    }
    uint64_t key = (uint64_t)record->ip << 32 | (uint32_t)record->time_s;
    uint64_t *slot = find_slot(expected->slots, expected->slot_count, key);
    expected->counts.events += *slot == 0;
    *slot = key;
    expected->counts.entities += !expected->seen_ips[record->ip_index];
    expected->seen_ips[record->ip_index] = true;
    return ERR_OK;
}

struct database_expected expected_now(const struct expected *expected)
{
    return expected->counts;
}
