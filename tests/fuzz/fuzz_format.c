/* Values and keys of the journal: arbitrary bytes, as they are and with a checksum that
 * fits; what can be read and is written again must be the same bytes. */
#include "base/bytes.h"
#include "journal/format.h"
#include "tests/fuzz/kit.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CHECK_LEN = 8 };

static bool is_code(int code)
{
    return code == ERR_OK || code == ERR_CORRUPT || code == ERR_VERSION;
}

/* Only the present version is written, so only it can come back. */
static void expect_same(struct slice value, struct buf *again)
{
    fuzz_expect(!again->failed, "memory");
    if (value.len && value.data[0] == FORMAT_VERSION) {
        fuzz_expect(slice_equal(value, buf_slice(again)),
                    "what was read is written the same");
    }
    buf_free(again);
}

static void read_identity_and_state(struct slice value)
{
    struct format_identity identity;
    struct format_state state;
    struct err err = {0};
    struct buf again = {0};
    int code = format_identity_decode(value, &identity, &err);
    fuzz_expect(is_code(code), "identity");
    if (code == ERR_OK) {
        format_identity_encode(&again, &identity);
        expect_same(value, &again);
    }
    code = format_state_decode(value, &state, &err);
    fuzz_expect(is_code(code), "state");
    if (code == ERR_OK) {
        format_state_encode(&again, &state);
        expect_same(value, &again);
    }
}

/* Lengths can be written in more than one way, so that receipts and dead letters are the
 * same only from the first writing on. */
static void read_lane_and_receipt(struct slice value)
{
    struct format_lane lane;
    struct format_receipt receipt;
    struct err err = {0};
    struct buf again = {0};
    int code = format_lane_decode(value, &lane, &err);
    fuzz_expect(is_code(code), "lane");
    if (code == ERR_OK) {
        format_lane_encode(&again, &lane);
        expect_same(value, &again);
    }
    code = format_receipt_decode(value, &receipt, &err);
    fuzz_expect(is_code(code), "receipt");
    if (code == ERR_OK) {
        struct buf once_more = {0};
        format_receipt_encode(&again, &receipt);
        fuzz_expect(format_receipt_decode(buf_slice(&again), &receipt, &err) == ERR_OK,
                    "what was written can be read");
        format_receipt_encode(&once_more, &receipt);
        expect_same(buf_slice(&again), &once_more);
        buf_free(&again);
    }
}

static void read_dead(struct slice value)
{
    struct format_dead dead;
    struct err err = {0};
    struct buf again = {0};
    int code = format_dead_decode(value, &dead, &err);
    fuzz_expect(is_code(code), "dead letter");
    if (code == ERR_OK) {
        fuzz_expect(dead.state <= JOURNAL_DEAD_CONFLICT, "a state that there is");
        struct buf once_more = {0};
        format_dead_encode(&again, &dead);
        fuzz_expect(format_dead_decode(buf_slice(&again), &dead, &err) == ERR_OK,
                    "what was written can be read");
        format_dead_encode(&once_more, &dead);
        expect_same(buf_slice(&again), &once_more);
        buf_free(&again);
    }
}

static void read_keys(struct slice key)
{
    char stream[JOURNAL_STREAM_MAX + 1];
    char id[JOURNAL_ID_TEXT];
    uint32_t lane = 0;
    uint64_t seq = 0;
    uint32_t index = 0;
    int64_t at_us = 0;
    struct err err = {0};
    if (format_lane_key_decode(key, stream, &lane, &err) == ERR_OK) {
        uint8_t again[FORMAT_LANE_KEY_MAX];
        size_t len = format_lane_key(again, stream, lane);
        fuzz_expect(slice_equal(key, slice_of(again, len)), "a lane's key comes back");
    }
    if (format_dead_key_decode(key, &seq, &index, &err) == ERR_OK) {
        uint8_t again[FORMAT_DEAD_KEY_LEN];
        format_dead_key(again, seq, index);
        fuzz_expect(slice_equal(key, slice_of(again, sizeof again)),
                    "a dead letter's key comes back");
    }
    (void)format_receipt_time_decode(key, &at_us, &err);
    if (format_sentinel_decode(key, id, &err) == ERR_OK) {
        struct buf again = {0};
        format_sentinel_encode(&again, id);
        fuzz_expect(slice_is(slice_of(again.data + again.len - 33, 32), id) &&
                        memmem(key.data, key.len, id, 32),
                    "a sentinel names the id");
        buf_free(&again);
    }
}

static void read_entry(struct slice value)
{
    struct entry_header header;
    struct err err = {0};
    int code = format_entry_decode(value, &header, &err);
    fuzz_expect(is_code(code), "entry");
    if (code != ERR_OK) {
        return;
    }
    struct slice payload = format_entry_payload(&header, value);
    code = format_entry_check(&header, (const uint8_t *)value.data, payload, &err);
    fuzz_expect(code == ERR_OK || code == ERR_CORRUPT, "an entry's sum");
    if (header.version == FORMAT_VERSION) {
        uint8_t again[FORMAT_HEADER_MAX];
        size_t len = format_stub_encode(&header, again);
        fuzz_expect(len == header.header_len && memcmp(again, value.data, 96) == 0 &&
                        memcmp(again + 100, value.data + 100, len - 108) == 0,
                    "a header comes back");
    }
}

/* The checksum that belongs behind `covered` bytes. */
static void put_check(char *bytes, size_t covered)
{
    struct buf check = {.data = bytes + covered, .capacity = CHECK_LEN, .max = CHECK_LEN};
    bytes_put_u64(&check, XXH3_64bits(bytes, covered));
}

static void read_sealed(struct slice value)
{
    char *sealed = malloc(value.len + CHECK_LEN);
    fuzz_expect(sealed != NULL, "memory");
    if (value.len) {
        memcpy(sealed, value.data, value.len);
    }
    put_check(sealed, value.len);
    struct slice all = slice_of(sealed, value.len + CHECK_LEN);
    read_identity_and_state(all);
    read_lane_and_receipt(all);
    read_dead(all);
    free(sealed);
}

/* An entry's header says how long it is; its check is put right there. */
static void read_checked_entry(struct slice value)
{
    struct slice copy = fuzz_copy((const uint8_t *)value.data, value.len);
    if (copy.len >= 8) {
        char *bytes = (char *)copy.data;
        size_t header_len = (unsigned char)bytes[6] | (size_t)(unsigned char)bytes[7]
                                                          << 8;
        static const char magic[4] = {'H', 'F', 'E', 'N'};
        memcpy(bytes, magic, sizeof magic);
        if (header_len > CHECK_LEN && header_len <= copy.len) {
            put_check(bytes, header_len - CHECK_LEN);
        }
    }
    read_entry(copy);
    free((void *)copy.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = fuzz_copy(data, size);
    read_identity_and_state(value);
    read_lane_and_receipt(value);
    read_dead(value);
    read_keys(value);
    read_entry(value);
    read_sealed(value);
    read_checked_entry(value);
    free((void *)value.data);
    return 0;
}
