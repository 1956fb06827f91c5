/* Journals whose pages are sound and whose records don't fit together: a write that was
 * lost, files of two journals, a bug of ours. Each is made through LMDB itself. verify
 * says what doesn't fit; repair makes a sound journal of it, and tells what it had to
 * give up.
 */
#include "journal/format.h"
#include "journal/tools.h"
#include "tests/journal_kit.h"

#include <criterion/criterion.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES = 6, DONE = 2 };

struct forgery {
    MDB_txn *txn;
    MDB_dbi meta;
    MDB_dbi entries;
    MDB_dbi receipts;
    MDB_dbi dead;
};

/* ---- What is there, changed -------------------------------------------------------- */

static MDB_val val(const void *data, size_t len)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = data};
    return (MDB_val){len, pointer.out};
}

static void put(struct forgery *forgery, MDB_dbi dbi, struct slice key,
                struct slice value)
{
    MDB_val name = val(key.data, key.len);
    MDB_val data = val(value.data, value.len);
    cr_assert_eq(mdb_put(forgery->txn, dbi, &name, &data, 0), 0);
}

static void drop(struct forgery *forgery, MDB_dbi dbi, struct slice key)
{
    MDB_val name = val(key.data, key.len);
    cr_assert_eq(mdb_del(forgery->txn, dbi, &name, NULL), 0);
}

static struct slice get(struct forgery *forgery, MDB_dbi dbi, struct slice key)
{
    MDB_val name = val(key.data, key.len);
    MDB_val data = {0};
    cr_assert_eq(mdb_get(forgery->txn, dbi, &name, &data), 0);
    return slice_of(data.mv_data, data.mv_size);
}

static struct slice lane_key(void)
{
    static uint8_t key[FORMAT_LANE_KEY_MAX];
    size_t len = format_lane_key(key, "s", 0);
    return slice_of(key, len);
}

static struct format_lane get_lane(struct forgery *forgery)
{
    struct format_lane lane;
    cr_assert_eq(format_lane_decode(get(forgery, forgery->meta, lane_key()), &lane, NULL),
                 ERR_OK);
    return lane;
}

static void put_lane(struct forgery *forgery, const struct format_lane *lane)
{
    struct buf value = {0};
    format_lane_encode(&value, lane);
    put(forgery, forgery->meta, lane_key(), buf_slice(&value));
    buf_free(&value);
}

static struct slice seq_key(const uint64_t *seq)
{
    return slice_of((const char *)seq, sizeof *seq);
}

/* Encodes the entry anew, with what `change` made of its header. */
static void forge_entry(struct forgery *forgery, uint64_t seq,
                        void (*change)(struct entry_header *header))
{
    uint8_t raw[512];
    char payload[256];
    struct entry_header header;
    struct slice value = get(forgery, forgery->entries, seq_key(&seq));
    cr_assert_eq(format_entry_decode(value, &header, NULL), ERR_OK);
    struct slice bytes = format_entry_payload(&header, value);
    cr_assert_leq(bytes.len, sizeof payload);
    memcpy(payload, bytes.data, bytes.len);
    change(&header);
    format_entry_encode(&header, slice_of(payload, bytes.len), raw);
    put(forgery, forgery->entries, seq_key(&seq),
        slice_of(raw, header.header_len + bytes.len));
}

/* ---- Forgeries --------------------------------------------------------------------- */

static void lose_lane(struct forgery *forgery)
{
    drop(forgery, forgery->meta, lane_key());
}

static void age_lane(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.running--;
    put_lane(forgery, &lane);
}

static void misplace_last(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.last.sum[0] ^= 1;
    put_lane(forgery, &lane);
}

static void misplace_retried(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.retried++;
    put_lane(forgery, &lane);
}

static void mark_beyond_the_end(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.done.seq = ENTRIES + 10;
    put_lane(forgery, &lane);
}

static void mark_another(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.done.sum[0] ^= 1;
    put_lane(forgery, &lane);
}

static void mark_with_another_count(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.done_running++;
    put_lane(forgery, &lane);
}

static void mark_with_another_retried(struct forgery *forgery)
{
    struct format_lane lane = get_lane(forgery);
    lane.done_retried++;
    put_lane(forgery, &lane);
}

static void lose_all_entries(struct forgery *forgery)
{
    cr_assert_eq(mdb_drop(forgery->txn, forgery->entries, 0), 0);
}

static void lose_an_entry(struct forgery *forgery)
{
    uint64_t seq = 4;
    drop(forgery, forgery->entries, seq_key(&seq));
}

static void lose_the_last_entry(struct forgery *forgery)
{
    uint64_t seq = ENTRIES;
    drop(forgery, forgery->entries, seq_key(&seq));
}

static void swap_entries(struct forgery *forgery)
{
    char bytes[512];
    uint64_t third = 3;
    uint64_t fourth = 4;
    struct slice value = get(forgery, forgery->entries, seq_key(&third));
    cr_assert_leq(value.len, sizeof bytes);
    memcpy(bytes, value.data, value.len);
    put(forgery, forgery->entries, seq_key(&fourth), slice_of(bytes, value.len));
}

static void follow_another(struct entry_header *header)
{
    header->previous.sum[0] ^= 1;
}

static void unchain_by_sum(struct forgery *forgery)
{
    forge_entry(forgery, 4, follow_another);
}

static void count_more(struct entry_header *header)
{
    header->running++;
}

static void unchain_by_count(struct forgery *forgery)
{
    forge_entry(forgery, 4, count_more);
}

static void retry_more(struct entry_header *header)
{
    header->retried++;
}

static void unchain_by_retried(struct forgery *forgery)
{
    forge_entry(forgery, 4, retry_more);
}

static void lose_state(struct forgery *forgery)
{
    drop(forgery, forgery->meta, SLICE_LITERAL("state"));
}

static void age_state(struct forgery *forgery)
{
    struct buf value = {0};
    struct format_state state;
    struct slice key = SLICE_LITERAL("state");
    cr_assert_eq(format_state_decode(get(forgery, forgery->meta, key), &state, NULL),
                 ERR_OK);
    state.next_seq--;
    format_state_encode(&value, &state);
    put(forgery, forgery->meta, key, buf_slice(&value));
    buf_free(&value);
}

static void lose_identity(struct forgery *forgery)
{
    drop(forgery, forgery->meta, SLICE_LITERAL("id"));
}

static void spoil_a_dead_letter(struct forgery *forgery)
{
    uint8_t key[FORMAT_DEAD_KEY_LEN];
    format_dead_key(key, 1, 1);
    put(forgery, forgery->dead, slice_of(key, sizeof key), SLICE_LITERAL("no letter"));
}

static void misname_a_dead_letter(struct forgery *forgery)
{
    put(forgery, forgery->dead, SLICE_LITERAL("short"), SLICE_LITERAL("no letter"));
}

static void spoil_a_receipt(struct forgery *forgery)
{
    put(forgery, forgery->receipts, SLICE_LITERAL("kkey"), SLICE_LITERAL("no receipt"));
}

static void misname_a_receipt_s_time(struct forgery *forgery)
{
    put(forgery, forgery->receipts, SLICE_LITERAL("t123"), SLICE_LITERAL("key"));
}

/* What repair says. An entry that the tree of pages lost is found by its bytes. What
 * contradicts itself, though nothing was lost, it makes no journal of. */
enum loss {
    NOTHING = 0,
    AN_ENTRY = 1,
    A_LANE = 2,
    STATE = 4,
    IDENTITY = 8,
    A_LETTER = 16,
    A_RECEIPT = 32,
    FOUND = 64,
    REFUSED = 128
};

/* clang-format off */
static const struct {
    const char *name;
    void (*forge)(struct forgery *forgery);
    const char *said; /* by verify */
    unsigned lost;    /* by repair */
} forgeries[] = {
    {"no lane", lose_lane, "lane without a record", A_LANE},
    {"an old lane", age_lane, "its record says", REFUSED},
    {"a lane with another last sum", misplace_last, "its record says", REFUSED},
    {"a lane that retried more", misplace_retried, "its record says", REFUSED},
    {"a mark beyond the end", mark_beyond_the_end, "its record says", REFUSED},
    {"a mark of another entry", mark_another, "done mark at entry 2", REFUSED},
    {"a mark that counts more", mark_with_another_count, "done mark", REFUSED},
    {"a mark that retried more", mark_with_another_retried, "done mark", REFUSED},
    {"no entries", lose_all_entries, "its record says", FOUND},
    {"an entry missing", lose_an_entry, "entry 4 is missing", FOUND},
    {"the last entry missing", lose_the_last_entry, "is the newest", FOUND},
    {"an entry in another's place", swap_entries, "says that it is entry 3", FOUND},
    {"a chain broken by its sum", unchain_by_sum, "does not follow", REFUSED},
    {"a chain broken by its count", unchain_by_count, "does not follow", REFUSED},
    {"a chain broken by retries", unchain_by_retried, "does not follow", REFUSED},
    {"no state", lose_state, "no state record", STATE},
    {"an old state", age_state, "is the newest", STATE},
    {"no identity", lose_identity, "no identity record", NOTHING},
    {"a spoiled dead letter", spoil_a_dead_letter, "dead letter", A_LETTER},
    {"a dead letter without a place", misname_a_dead_letter, "dead letter", NOTHING},
    {"a spoiled receipt", spoil_a_receipt, "receipt", A_RECEIPT},
    {"a receipt without a time", misname_a_receipt_s_time, "receipt", NOTHING},
};
/* clang-format on */

/* ---- Making and judging ------------------------------------------------------------ */

static void open_forgery(const struct kit *kit, MDB_env **out_env, struct forgery *out)
{
    MDB_env *env = NULL;
    struct forgery forgery = {0};
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_set_maxdbs(env, 4), 0);
    cr_assert_eq(mdb_env_open(env, kit->path, 0, 0600), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, &forgery.txn), 0);
    cr_assert_eq(mdb_dbi_open(forgery.txn, "meta", 0, &forgery.meta), 0);
    cr_assert_eq(mdb_dbi_open(forgery.txn, "entries", MDB_INTEGERKEY, &forgery.entries),
                 0);
    cr_assert_eq(mdb_dbi_open(forgery.txn, "receipts", 0, &forgery.receipts), 0);
    cr_assert_eq(mdb_dbi_open(forgery.txn, "deadletter", 0, &forgery.dead), 0);
    *out_env = env;
    *out = forgery;
}

static void make(struct kit *kit)
{
    struct err err = {0};
    struct journal_dead_letter letter = {
        .index = 1, .reason = "bad", .field = "", .detail = "", .bytes = {"row", 3}};
    struct journal_part part = {.stream = "s", .records = 1, .payload = {"p", 1}};
    struct journal_append append = {
        .parts = &part,
        .part_count = 1,
        .receipt = {.scope_key = SLICE_LITERAL("key"), .answer = SLICE_LITERAL("a")}};
    kit_start(kit);
    kit_open(kit);
    cr_assert_eq(journal_append_wait(kit->journal, &append), ERR_OK);
    for (unsigned i = 1; i < ENTRIES; i++) {
        kit_append_bytes(kit, "s", 0, 40, i);
    }
    kit_done(kit, DONE);
    cr_assert_eq(journal_dead_letters_add(kit->journal, 1, &letter, 1, &err), ERR_OK);
    kit_close(kit);
}

static unsigned losses(const struct journal_repair *made)
{
    return (made->loss_count ? AN_ENTRY : 0U) | (made->lanes_lost ? A_LANE : 0U) |
           (made->state_lost ? STATE : 0U) | (made->id_lost ? IDENTITY : 0U) |
           (made->dead_letters_lost ? A_LETTER : 0U) |
           (made->receipts_lost ? A_RECEIPT : 0U) | (made->found ? FOUND : 0U);
}

static void expect_mended(const struct kit *kit, size_t which)
{
    char target[128];
    struct journal_repair made;
    struct journal_verify_result result;
    struct err err = {0};
    (void)snprintf(target, sizeof target, "%s/mended", kit->directory);
    int rc = journal_repair(kit->path, target, true, NULL, &made, &err);
    bool refused = forgeries[which].lost == REFUSED;
    cr_expect_eq(rc, refused ? ERR_CORRUPT : ERR_OK, "%s: %s", forgeries[which].name,
                 err.message);
    if (rc) {
        cr_expect(access(target, F_OK), "%s", forgeries[which].name);
        return;
    }
    cr_expect_eq(losses(&made), forgeries[which].lost, "%s: %u is lost",
                 forgeries[which].name, losses(&made));
    journal_repair_free(&made);
    rc = journal_verify(target, NULL, NULL, &result, &err);
    cr_expect(rc == ERR_OK, "%s: %s", forgeries[which].name, err.message);
}

/* Makes a journal with that forgery in it. */
static void make_forged(struct kit *kit, void (*forge)(struct forgery *forgery))
{
    MDB_env *env = NULL;
    struct forgery forgery;
    make(kit);
    open_forgery(kit, &env, &forgery);
    forge(&forgery);
    cr_assert_eq(mdb_txn_commit(forgery.txn), 0);
    mdb_env_close(env);
}

Test(journal_forged, what_does_not_fit_is_named_and_mended)
{
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        struct kit kit;
        struct journal_verify_result result;
        struct err err = {0};
        make_forged(&kit, forgeries[i].forge);
        cr_expect_eq(journal_verify(kit.path, NULL, NULL, &result, &err), ERR_CORRUPT,
                     "%s", forgeries[i].name);
        cr_expect(strstr(err.message, forgeries[i].said), "%s: %s", forgeries[i].name,
                  err.message);
        expect_mended(&kit, i);
        kit_end(&kit);
    }
}

/* A lane isn't given what doesn't follow, nor what is in another's place. */
Test(journal_forged, a_broken_chain_is_not_read)
{
    static void (*const forges[])(struct forgery * forgery) = {
        unchain_by_sum, unchain_by_count, unchain_by_retried, swap_entries,
        lose_an_entry};
    for (size_t i = 0; i < sizeof forges / sizeof *forges; i++) {
        struct kit kit;
        struct journal_entries entries = {0};
        struct err err = {0};
        make_forged(&kit, forges[i]);
        kit_open(&kit);
        cr_expect_eq(
            journal_read_lane(kit.journal, "s", 0, 0, &kit_no_limits, &entries, &err),
            ERR_CORRUPT, "%zu", i);
        cr_expect(err.message[0]);
        kit_end(&kit);
    }
}

/* What can't be opened is not opened halfway either. */
Test(journal_forged, a_journal_without_its_records_is_not_opened)
{
    static void (*const forges[])(struct forgery * forgery) = {
        lose_state, lose_identity, age_state, lose_the_last_entry};
    for (size_t i = 0; i < sizeof forges / sizeof *forges; i++) {
        struct kit kit;
        struct err err;
        make_forged(&kit, forges[i]);
        cr_expect_eq(kit_open_fails(&kit, &err), ERR_CORRUPT, "%zu", i);
        kit_end(&kit);
    }
}

/* The writer comes to it when receipts are over their time. */
Test(journal_forged, a_receipt_s_time_that_is_none_stops_the_writer)
{
    struct kit kit;
    struct err err = {0};
    make_forged(&kit, misname_a_receipt_s_time);
    kit_open(&kit);
    kit_pass(&kit, 8LL * 24 * 3600 * 1000000);
    cr_assert_eq(journal_setting_put(kit.journal, "a", "b", &err), ERR_IO, "%s",
                 err_name(err.code));
    cr_assert(strstr(err.message, "receipt"), "%s", err.message);
    cr_assert_eq(journal_health(kit.journal, &err), ERR_CORRUPT, "%s", err.message);
    kit_end(&kit);
}

static void write_as_newer(struct forgery *forgery)
{
    char bytes[512];
    uint64_t seq = 3;
    struct slice value = get(forgery, forgery->entries, seq_key(&seq));
    cr_assert_leq(value.len, sizeof bytes);
    memcpy(bytes, value.data, value.len);
    bytes[strlen("HFEN")] = FORMAT_VERSION + 1;
    put(forgery, forgery->entries, seq_key(&seq), slice_of(bytes, value.len));
}

/* Nothing is given up of what a newer program can read. */
Test(journal_forged, repair_leaves_a_newer_journal_alone)
{
    struct kit kit;
    char target[128];
    struct journal_repair made;
    struct err err = {0};
    make_forged(&kit, write_as_newer);
    (void)snprintf(target, sizeof target, "%s/mended", kit.directory);
    cr_assert_eq(journal_repair(kit.path, target, true, NULL, &made, &err), ERR_VERSION,
                 "%s", err.message);
    cr_assert(access(target, F_OK), "nothing is made");
    kit_end(&kit);
}

Test(journal_forged, repair_draws_an_id_where_both_are_lost)
{
    struct kit kit;
    char path[160];
    struct journal_repair made;
    struct err err = {0};
    make_forged(&kit, lose_identity);
    (void)snprintf(path, sizeof path, "%s/journal.id", kit.path);
    cr_assert_eq(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/mended", kit.directory);
    int rc = journal_repair(kit.path, path, true, NULL, &made, &err);
    cr_assert(rc == ERR_OK, "%s", err.message);
    cr_assert(made.id_lost);
    cr_assert(journal_repair_lost(&made));
    kit.config.path = path;
    kit_open(&kit);
    cr_assert_str_eq(journal_id(kit.journal), made.id);
    journal_repair_free(&made);
    kit_end(&kit);
}
