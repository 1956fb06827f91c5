/* The journal's format: what version N looks like is in data/journal-vN, hex by name.
 * Those files never change; a later version gets a directory of its own and still reads
 * these. With HOLDFAST_WRITE_GOLDEN set, files that are missing are written. */
#include "journal/format.h"
#include "journal/space.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- Golden files ---------------------------------------------------------------- */

static void golden_path(int version, const char *name, char out[512])
{
    const char *source = getenv("HOLDFAST_SOURCE");
    (void)snprintf(out, 512, "%s/tests/data/journal-v%d/%s.hex", source ? source : ".",
                   version, name);
}

static void write_golden(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "w");
    cr_assert(file, "%s", path);
    for (size_t i = 0; i < bytes.len; i++) {
        (void)fprintf(file, "%02x%s", (unsigned char)bytes.data[i],
                      i % 32 == 31 || i + 1 == bytes.len ? "\n" : "");
    }
    cr_assert_eq(fclose(file), 0);
}

static void read_golden(int version, const char *name, struct buf *out)
{
    char path[512];
    golden_path(version, name, path);
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s is missing", path);
    unsigned byte = 0;
    while (fscanf(file, "%2x", &byte) == 1) {
        buf_append_char(out, (char)byte);
    }
    cr_assert_eq(fclose(file), 0);
}

static void check_golden(const char *name, struct slice bytes)
{
    char path[512];
    golden_path(FORMAT_VERSION, name, path);
    if (getenv("HOLDFAST_WRITE_GOLDEN") && access(path, F_OK)) {
        write_golden(path, bytes);
    }
    struct buf golden = {0};
    read_golden(FORMAT_VERSION, name, &golden);
    cr_assert(slice_equal(buf_slice(&golden), bytes), "%s differs", name);
    buf_free(&golden);
}

/* ---- Samples --------------------------------------------------------------------- */

static struct journal_position position(uint64_t seq, int first)
{
    struct journal_position value = {.seq = seq};
    for (int i = 0; i < JOURNAL_SUM_LEN; i++) {
        value.sum[i] = (uint8_t)(first + i);
    }
    return value;
}

static struct entry_header sample_header(void)
{
    struct entry_header header = {
        .state = JOURNAL_ENTRY_FULL,
        .seq = 0x0102030405060708,
        .batch_seq = 0x0102030405060707,
        .batch_entries = 3,
        .records = 50000,
        .accepted = 49999,
        .running = 123456789012,
        .retried = 4711,
        .received_at_us = -5,
        .lane = 7,
        .previous = position(0x0102030405060700, 16),
        .stream = "mozi",
    };
    return header;
}

static const struct slice sample_payload = {"the payload, opaque here", 24};

static struct slice sample_entry(struct entry_header *header, uint8_t *out)
{
    *header = sample_header();
    format_entry_encode(header, sample_payload, out);
    return slice_of(out, header->header_len + sample_payload.len);
}

Test(journal_format, an_entry_is_as_it_was)
{
    uint8_t raw[512];
    struct entry_header header;
    check_golden("entry", sample_entry(&header, raw));
    header.state = JOURNAL_ENTRY_EXPIRED;
    check_golden("stub", slice_of(raw, format_stub_encode(&header, raw)));
    header.state = JOURNAL_ENTRY_GAP;
    check_golden("gap", slice_of(raw, format_stub_encode(&header, raw)));
}

static void check_header(int version, const struct entry_header *got)
{
    struct entry_header want = sample_header();
    cr_assert_eq(got->seq, want.seq);
    cr_assert_eq(got->batch_seq, want.batch_seq);
    cr_assert_eq(got->batch_entries, want.batch_entries);
    cr_assert_eq(got->records, want.records);
    cr_assert_eq(got->accepted, want.accepted);
    cr_assert_eq(got->running, want.running);
    cr_assert_eq(got->retried, version > 1 ? want.retried : 0);
    cr_assert_eq(got->received_at_us, want.received_at_us);
    cr_assert_eq(got->lane, want.lane);
    cr_assert_eq(got->previous.seq, want.previous.seq);
    cr_assert_arr_eq(got->previous.sum, want.previous.sum, JOURNAL_SUM_LEN);
    cr_assert_eq(got->payload_len, sample_payload.len);
    cr_assert_str_eq(got->stream, want.stream);
}

static void read_version(int version)
{
    struct buf golden = {0};
    struct entry_header header;
    struct err err = {0};
    read_golden(version, "entry", &golden);
    cr_assert_eq(format_entry_decode(buf_slice(&golden), &header, &err), ERR_OK, "%s",
                 err.message);
    cr_assert_eq(header.state, JOURNAL_ENTRY_FULL);
    check_header(version, &header);
    struct slice payload = format_entry_payload(&header, buf_slice(&golden));
    cr_assert(slice_equal(payload, sample_payload));
    cr_assert_eq(format_entry_check(&header, (const uint8_t *)golden.data, payload, &err),
                 ERR_OK);
    uint8_t sum[JOURNAL_SUM_LEN];
    memcpy(sum, header.sum, sizeof sum);

    static const char *const stubs[] = {"stub", "gap"};
    for (int i = 0; i < 2; i++) {
        buf_clear(&golden);
        read_golden(version, stubs[i], &golden);
        cr_assert_eq(format_entry_decode(buf_slice(&golden), &header, &err), ERR_OK);
        cr_assert_eq(header.state, i ? JOURNAL_ENTRY_GAP : JOURNAL_ENTRY_EXPIRED);
        check_header(version, &header);
        cr_assert_arr_eq(header.sum, sum, sizeof sum, "a stub keeps the entry's sum");
    }

    struct format_lane lane;
    buf_clear(&golden);
    read_golden(version, "lane", &golden);
    cr_assert_eq(format_lane_decode(buf_slice(&golden), &lane, &err), ERR_OK);
    cr_assert_eq(lane.given_up, 2);
    cr_assert_eq(lane.retried, version > 1 ? 6 : 0);
    cr_assert_eq(lane.done_retried, version > 1 ? 5 : 0);
    buf_free(&golden);
}

Test(journal_format, every_version_is_read)
{
    for (int version = 1; version <= FORMAT_VERSION; version++) {
        read_version(version);
    }
}

/* Its stub is made by this program from the entry that an earlier one wrote. */
Test(journal_format, a_stub_keeps_its_entry_s_version)
{
    struct buf golden = {0};
    struct buf stub = {0};
    uint8_t raw[512];
    struct entry_header header;
    struct err err = {0};
    read_golden(1, "entry", &golden);
    cr_assert_eq(format_entry_decode(buf_slice(&golden), &header, &err), ERR_OK);
    header.state = JOURNAL_ENTRY_EXPIRED;
    read_golden(1, "stub", &stub);
    cr_assert(
        slice_equal(slice_of(raw, format_stub_encode(&header, raw)), buf_slice(&stub)));
    buf_free(&stub);
    buf_free(&golden);
}

Test(journal_format, each_flipped_bit_of_an_entry_is_found)
{
    uint8_t raw[512];
    struct entry_header header;
    struct slice entry = sample_entry(&header, raw);
    for (size_t bit = 0; bit < entry.len * 8; bit++) {
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct entry_header got;
        struct err err = {0};
        int rc = format_entry_decode(entry, &got, &err);
        if (!rc) {
            rc = format_entry_check(&got, raw, format_entry_payload(&got, entry), &err);
        }
        cr_assert(rc == ERR_CORRUPT || rc == ERR_VERSION, "bit %zu", bit);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(journal_format, a_cut_entry_is_found)
{
    uint8_t raw[512];
    struct entry_header header;
    struct slice entry = sample_entry(&header, raw);
    for (size_t len = 0; len < entry.len; len++) {
        char *exact = malloc(len + 1); /* so that a read behind it is seen */
        memcpy(exact, raw, len);
        char *cut = realloc(exact, len ? len : 1);
        struct entry_header got;
        struct err err = {0};
        cr_assert_eq(format_entry_decode(slice_of(cut, len), &got, &err), ERR_CORRUPT,
                     "%zu bytes", len);
        free(cut);
    }
}

Test(journal_format, records_are_as_they_were)
{
    struct buf out = {0};
    struct err err = {0};
    struct format_identity identity = {.created_at_us = 1767225600000000};
    memcpy(identity.id, "0123456789abcdef", sizeof identity.id);
    format_identity_encode(&out, &identity);
    check_golden("identity", buf_slice(&out));
    struct format_identity got_identity;
    cr_assert_eq(format_identity_decode(buf_slice(&out), &got_identity, &err), ERR_OK);
    cr_assert_arr_eq(got_identity.id, identity.id, sizeof identity.id);
    cr_assert_eq(got_identity.created_at_us, identity.created_at_us);

    buf_clear(&out);
    struct format_state state = {11, 22, 33, 44, 55};
    format_state_encode(&out, &state);
    check_golden("state", buf_slice(&out));
    struct format_state got_state;
    cr_assert_eq(format_state_decode(buf_slice(&out), &got_state, &err), ERR_OK);
    cr_assert_eq(memcmp(&got_state, &state, sizeof state), 0);

    buf_clear(&out);
    struct format_lane lane = {position(9, 1), 100, position(7, 32), 80, 3, 2, 6, 5};
    format_lane_encode(&out, &lane);
    check_golden("lane", buf_slice(&out));
    struct format_lane got_lane;
    cr_assert_eq(format_lane_decode(buf_slice(&out), &got_lane, &err), ERR_OK);
    cr_assert_eq(memcmp(&got_lane, &lane, sizeof lane), 0);
    buf_free(&out);
}

Test(journal_format, receipts_and_dead_letters_are_as_they_were)
{
    struct buf out = {0};
    struct err err = {0};
    struct format_receipt receipt = {
        .first_seq = 77, .at_us = 88, .answer = SLICE_LITERAL("{\"seq\":77}")};
    memset(receipt.body_sum, 0xee, sizeof receipt.body_sum);
    format_receipt_encode(&out, &receipt);
    check_golden("receipt", buf_slice(&out));
    struct format_receipt got_receipt;
    cr_assert_eq(format_receipt_decode(buf_slice(&out), &got_receipt, &err), ERR_OK);
    cr_assert_eq(got_receipt.first_seq, 77);
    cr_assert_eq(got_receipt.at_us, 88);
    cr_assert(slice_equal(got_receipt.answer, receipt.answer));

    buf_clear(&out);
    struct format_dead dead = {.state = JOURNAL_DEAD_RETRIED,
                               .at_intake = true,
                               .lane = 3,
                               .at_us = 99,
                               .retried_seq = 123,
                               .stream = SLICE_LITERAL("mozi"),
                               .reason = SLICE_LITERAL("too_long"),
                               .field = SLICE_LITERAL("isp"),
                               .detail = SLICE_LITERAL("longer than 255"),
                               .bytes = SLICE_LITERAL("{}")};
    format_dead_encode(&out, &dead);
    check_golden("dead", buf_slice(&out));
    struct format_dead got_dead;
    cr_assert_eq(format_dead_decode(buf_slice(&out), &got_dead, &err), ERR_OK);
    cr_assert_eq(got_dead.state, JOURNAL_DEAD_RETRIED);
    cr_assert_eq(got_dead.retried_seq, 123);
    cr_assert(slice_equal(got_dead.detail, dead.detail));
    cr_assert(slice_equal(got_dead.bytes, dead.bytes));
    buf_free(&out);
}

Test(journal_format, keys_are_as_they_were_and_sort)
{
    uint8_t a[FORMAT_LANE_KEY_MAX];
    uint8_t b[FORMAT_LANE_KEY_MAX];
    check_golden("lane-key", slice_of(a, format_lane_key(a, "mozi", 258)));
    char stream[JOURNAL_STREAM_MAX + 1];
    uint32_t lane = 0;
    struct err err = {0};
    cr_assert_eq(format_lane_key_decode(slice_of(a, 9), stream, &lane, &err), ERR_OK);
    cr_assert_str_eq(stream, "mozi");
    cr_assert_eq(lane, 258);
    format_dead_key(a, 0x1ff, 2);
    check_golden("dead-key", slice_of(a, (size_t)FORMAT_DEAD_KEY_LEN));
    format_dead_key(b, 0x200, 1);
    cr_assert_lt(memcmp(a, b, FORMAT_DEAD_KEY_LEN), 0);
    format_receipt_time_key(a, 1767225600000000, 5);
    check_golden("receipt-time-key", slice_of(a, (size_t)FORMAT_RECEIPT_TIME_KEY_LEN));
    format_receipt_time_key(b, 1767225600000001, 4);
    cr_assert_lt(memcmp(a, b, FORMAT_RECEIPT_TIME_KEY_LEN), 0);
}

/* As a newer program would write them. */
Test(journal_format, a_newer_version_is_refused)
{
    struct err err = {0};
    struct buf out = {0};
    format_sentinel_encode(&out, "00112233445566778899aabbccddeeff");
    check_golden("sentinel", buf_slice(&out));
    char id[JOURNAL_ID_TEXT];
    cr_assert_eq(format_sentinel_decode(buf_slice(&out), id, &err), ERR_OK);
    out.data[strlen("holdfast journal\nversion ")] = '3';
    cr_assert_eq(format_sentinel_decode(buf_slice(&out), id, &err), ERR_VERSION);
    buf_free(&out);
    uint8_t raw[512];
    struct entry_header header;
    struct slice entry = sample_entry(&header, raw);
    raw[4] = 3;
    cr_assert_eq(format_entry_decode(entry, &header, &err), ERR_VERSION);
}

Test(journal_format, a_sealed_record_shows_each_flipped_bit)
{
    struct buf out = {0};
    struct format_lane lane = {position(9, 1), 100, position(7, 32), 80, 3, 2, 6, 5};
    format_lane_encode(&out, &lane);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.data[bit / 8] = (char)(out.data[bit / 8] ^ (1 << bit % 8));
        struct format_lane got;
        struct err err = {0};
        cr_assert_eq(format_lane_decode(buf_slice(&out), &got, &err), ERR_CORRUPT);
        out.data[bit / 8] = (char)(out.data[bit / 8] ^ (1 << bit % 8));
    }
    buf_free(&out);
}

/* ---- Forged: the checksums are right, what they seal is not ---------------------------
 */

enum { SEAL = 8, FORGED_MAX = 1024 };

static struct slice seal(char *bytes, size_t len)
{
    uint64_t sum = XXH3_64bits(bytes, len);
    for (size_t i = 0; i < SEAL; i++) {
        bytes[len + i] = (char)(sum >> (8 * i));
    }
    return slice_of(bytes, len + SEAL);
}

static int decode_identity(struct slice value, struct err *err)
{
    struct format_identity identity;
    return format_identity_decode(value, &identity, err);
}

static int decode_state(struct slice value, struct err *err)
{
    struct format_state state;
    return format_state_decode(value, &state, err);
}

static int decode_lane(struct slice value, struct err *err)
{
    struct format_lane lane;
    return format_lane_decode(value, &lane, err);
}

static int decode_receipt(struct slice value, struct err *err)
{
    struct format_receipt receipt;
    return format_receipt_decode(value, &receipt, err);
}

static int decode_dead(struct slice value, struct err *err)
{
    struct format_dead dead;
    return format_dead_decode(value, &dead, err);
}

static const struct {
    const char *golden;
    int (*decode)(struct slice value, struct err *err);
} sealed[] = {{"identity", decode_identity},
              {"state", decode_state},
              {"lane", decode_lane},
              {"receipt", decode_receipt},
              {"dead", decode_dead}};

static void expect_forged(size_t which, struct slice value, enum err_code code)
{
    struct err err = {0};
    char *exact = malloc(value.len + !value.len); /* so that a read behind it is seen */
    memcpy(exact, value.data, value.len);
    int rc = sealed[which].decode(slice_of(exact, value.len), &err);
    cr_assert_eq(rc, (int)code, "%s of %zu bytes: %s", sealed[which].golden, value.len,
                 err_name((enum err_code)rc));
    free(exact);
}

Test(journal_format, a_sealed_record_of_another_length_is_refused)
{
    for (size_t which = 0; which < sizeof sealed / sizeof *sealed; which++) {
        struct buf golden = {0};
        char forged[FORGED_MAX] = {0};
        read_golden(FORMAT_VERSION, sealed[which].golden, &golden);
        cr_assert(golden.data && golden.len > SEAL);
        size_t len = golden.len - SEAL;
        memcpy(forged, golden.data, len);
        expect_forged(which, seal(forged, len), ERR_OK);
        for (size_t cut = 0; cut < len; cut++) {
            memcpy(forged, golden.data, len);
            expect_forged(which, seal(forged, cut), ERR_CORRUPT);
            expect_forged(which, slice_of(forged, cut), ERR_CORRUPT);
        }
        memcpy(forged, golden.data, len);
        forged[len] = 0;
        expect_forged(which, seal(forged, len + 1), ERR_CORRUPT);
        forged[0] = 0;
        expect_forged(which, seal(forged, len), ERR_CORRUPT);
        forged[0] = FORMAT_VERSION + 1;
        expect_forged(which, seal(forged, len), ERR_VERSION);
        buf_free(&golden);
    }
}

Test(journal_format, a_dead_letter_that_can_t_be_is_refused)
{
    char forged[FORGED_MAX];
    char name[JOURNAL_STREAM_MAX + 1];
    struct buf out = {0};
    struct format_dead got;
    struct err err = {0};
    memset(name, 'n', sizeof name);
    struct format_dead dead = {.state = JOURNAL_DEAD_CONFLICT,
                               .stream = slice_of(name, sizeof name - 1)};
    format_dead_encode(&out, &dead);
    cr_assert_eq(format_dead_decode(buf_slice(&out), &got, &err), ERR_OK);
    memcpy(forged, out.data, out.len);
    forged[1] = JOURNAL_DEAD_CONFLICT + 1;
    cr_assert_eq(format_dead_decode(seal(forged, out.len - SEAL), &got, &err),
                 ERR_CORRUPT);
    buf_clear(&out);
    dead.stream = slice_of(name, sizeof name);
    format_dead_encode(&out, &dead);
    cr_assert_eq(format_dead_decode(buf_slice(&out), &got, &err), ERR_CORRUPT);
    buf_free(&out);
}

/* What is said of it is cut, not refused. */
Test(journal_format, a_long_reason_is_cut)
{
    char detail[FORMAT_FIELD_MAX + 50];
    struct buf out = {0};
    struct format_dead got;
    struct err err = {0};
    memset(detail, 'd', sizeof detail);
    struct format_dead dead = {.detail = slice_of(detail, sizeof detail)};
    format_dead_encode(&out, &dead);
    cr_assert_eq(format_dead_decode(buf_slice(&out), &got, &err), ERR_OK);
    cr_assert_eq(got.detail.len, FORMAT_FIELD_MAX);
    buf_free(&out);
}

/* `at` of the header is `byte`, its checksum is right. */
static int decode_header_with(size_t at, uint8_t byte)
{
    uint8_t raw[512];
    struct entry_header header;
    struct entry_header got;
    struct err err = {0};
    struct slice entry = sample_entry(&header, raw);
    raw[at] = byte;
    (void)seal((char *)raw, header.header_len - SEAL);
    return format_entry_decode(entry, &got, &err);
}

Test(journal_format, a_header_that_can_t_be_is_refused)
{
    enum { STATE_AT = 5, LENGTH_AT = 6, PAYLOAD_AT = 80, STREAM_LEN_AT = 100 };
    cr_assert_eq(decode_header_with(STATE_AT, JOURNAL_ENTRY_FULL), ERR_OK);
    cr_assert_eq(decode_header_with(STATE_AT, JOURNAL_ENTRY_GAP), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(STATE_AT, JOURNAL_ENTRY_GAP + 1), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(STREAM_LEN_AT, 3), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(STREAM_LEN_AT, 255), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(STREAM_LEN_AT + 1, 0), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(LENGTH_AT, 255), ERR_CORRUPT);
    cr_assert_eq(decode_header_with(LENGTH_AT + 1, 1), ERR_CORRUPT);
    for (size_t at = PAYLOAD_AT; at < PAYLOAD_AT + 8; at++) {
        cr_assert_neq(decode_header_with(at, 77), ERR_OK, "%zu", at);
    }
}

Test(journal_format, keys_that_can_t_be_are_refused)
{
    static const struct slice lanes[] = {
        {"", 0}, {"L\0\0\0\0", 5}, {"M\0\0\0\0s", 6}, {"L\0\0\0\0s\0", 7}};
    char stream[JOURNAL_STREAM_MAX + 1];
    char key[6 + JOURNAL_STREAM_MAX] = "L";
    uint64_t seq = 0;
    uint32_t number = 0;
    int64_t at_us = 0;
    struct err err = {0};
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) {
        cr_assert_eq(format_lane_key_decode(lanes[i], stream, &number, &err), ERR_CORRUPT,
                     "%zu", i);
    }
    memset(key + 5, 's', sizeof key - 5);
    cr_assert_eq(format_lane_key_decode(slice_of(key, sizeof key), stream, &number, &err),
                 ERR_CORRUPT);
    cr_assert_eq(
        format_lane_key_decode(slice_of(key, sizeof key - 1), stream, &number, &err),
        ERR_OK);
    cr_assert_eq(format_receipt_time_decode(slice_of(key, 16), &at_us, &err),
                 ERR_CORRUPT);
    cr_assert_eq(format_dead_key_decode(slice_of(key, 11), &seq, &number, &err),
                 ERR_CORRUPT);
}

Test(journal_format, a_sentinel_that_can_t_be_is_refused)
{
#define HEAD "holdfast journal\nversion "
#define ID "00112233445566778899aabbccddeeff"
    static const char *const texts[] = {
        "",
        HEAD,
        "another journal\nversion 2\nid " ID "\n",
        HEAD "0\nid " ID "\n",
        HEAD "x\nid " ID "\n",
        HEAD "2\nno " ID "\n",
        HEAD "2\nid " ID,
        HEAD "2\nid " ID "00\n",
        HEAD "2\nid 0011\n",
        HEAD "2\nid " ID "\nand more that is too long for what a journal.id may hold, as "
             "if it had grown in some way\n",
    };
    char id[JOURNAL_ID_TEXT];
    struct err err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cr_assert_eq(format_sentinel_decode(slice_text(texts[i]), id, &err), ERR_CORRUPT,
                     "%zu", i);
    }
    cr_assert_eq(format_sentinel_decode(SLICE_LITERAL(HEAD "2\nid " ID "\n"), id, &err),
                 ERR_OK);
    cr_assert_str_eq(id, ID);
}

Test(journal_format, an_entry_follows_by_both_counts)
{
    struct entry_header before = {.running = 10, .retried = 2};
    struct entry_header next = {.records = 5, .accepted = 3, .running = 13, .retried = 4};
    cr_assert(format_entry_follows(&next, &before));
    before.retried = 3;
    cr_assert_not(format_entry_follows(&next, &before));
    before.retried = 2;
    before.running = 11;
    cr_assert_not(format_entry_follows(&next, &before));
}

/* ---- The reserve ----------------------------------------------------------------- */

Test(journal_space, reserve_follows_the_size)
{
    cr_assert_eq(space_reserve(0, 1 << 20), 128 << 10);
    cr_assert_eq(space_reserve(0, 256 << 20), 8 << 20);
    cr_assert_eq(space_reserve(0, 4ULL << 30), 64 << 20);
    cr_assert_eq(space_reserve(0, 64ULL << 30), 256 << 20);
    cr_assert_eq(space_reserve(1 << 20, 64ULL << 30), 1 << 20);
    cr_assert_eq(space_reserve(1 << 20, 1 << 20), 128 << 10);
}

Test(journal_space, intake_takes_the_smaller_of_map_and_disk)
{
    struct space space = {.page_size = 4096,
                          .map_bytes = 1000000,
                          .used_bytes = 400000,
                          .ahead_bytes = 50000,
                          .disk_free_bytes = 1000000,
                          .reserve_bytes = 100000};
    cr_assert_eq(space_intake(&space), 500000);
    space.disk_free_bytes = 60000;
    cr_assert_eq(space_intake(&space), 10000);
    space.disk_free_bytes = 0;
    cr_assert_eq(space_intake(&space), 0);
    space.disk_free_bytes = 1000000;
    space.used_bytes = 2000000;
    cr_assert_eq(space_intake(&space), 0);
}

/* A file that has grown to the disk's end: its free pages are used again. */
Test(journal_space, free_pages_inside_count_wherever_the_disk_stands)
{
    struct space space = {.page_size = 4096,
                          .map_bytes = 10000000,
                          .used_bytes = 300000,
                          .end_bytes = 1000000,
                          .inside_bytes = 700000,
                          .working_bytes = 50000,
                          .disk_free_bytes = 200000,
                          .reserve_bytes = 200000};
    cr_assert_eq(space_intake(&space), 650000, "what operations need is left");
    cr_assert_eq(space_growth_for_intake(&space), 0);
    space.ahead_bytes = 100000;
    cr_assert_eq(space_intake(&space), 750000);
    cr_assert_eq(space_growth_for_intake(&space), 100000);
    space.ahead_bytes = 0;
    space.disk_free_bytes = 150000;
    cr_assert_eq(space_intake(&space), 650000, "not less for what draining grew by");
    uint64_t left = space_growth_for_work(&space);
    cr_assert(left > 0 && left < 150000);
    space.disk_free_bytes = 150000 - left - 1;
    cr_assert_eq(space_growth_for_work(&space), 0);
    cr_assert_eq(space_intake(&space), 0, "the list of free pages may not fit");
    space.disk_free_bytes = 200000;
    space.inside_bytes = 40000;
    cr_assert_eq(space_intake(&space), 0);
}

Test(journal_space, values_take_whole_pages)
{
    cr_assert_eq(space_pages_of_value(4096, 2000), 0);
    cr_assert_eq(space_pages_of_value(4096, 2048), 1);
    cr_assert_eq(space_pages_of_value(4096, 4080), 1);
    cr_assert_eq(space_pages_of_value(4096, 4081), 2);
    cr_assert_eq(space_pages_of_list(4096, 0), 1);
    cr_assert_eq(space_pages_of_list(4096, 509), 1);
    cr_assert_eq(space_pages_of_list(4096, 510), 2);
    cr_assert_geq(space_of_value(4096, 100), 100);
    cr_assert_geq(space_of_value(4096, 4080), 4096);
    cr_assert_geq(space_of_value(4096, 4081), 8192);
    cr_assert_lt(space_of_value(4096, 4081), 8192 + 4096);
}
